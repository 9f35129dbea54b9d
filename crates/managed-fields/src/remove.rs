//! A value without some of its fields and items.

use serde_json::{Map, Value};

use super::Object;
use super::element::Element;
use super::set::Set;
use super::shape::{By, Form, List, Shape, list, map};

/// The object without the paths of the set. A map or list of which nothing is left becomes null.
pub(super) fn remove(shape: &Shape, object: &Object, gone: &Set) -> Object {
    remove_fields(shape, object, gone)
}

fn walk(shape: &Shape, value: &Value, gone: &Set) -> Value {
    let form = shape.form(Some(value));
    match (form, shape) {
        (Form::Scalar, _) => value.clone(),
        (Form::Map, _) if !shape.is_whole(form) => {
            let kept = map(Some(value)).map(|fields| remove_fields(shape, fields, gone));
            kept.filter(|kept| !kept.is_empty())
                .map_or(Value::Null, Value::Object)
        }
        (Form::List, Shape::List(shape)) if !is_whole(shape) => remove_items(shape, value, gone),
        // Parts of a value without parts cannot be removed.
        (Form::Map | Form::List, _) => Value::Null,
    }
}

fn is_whole(shape: &List) -> bool {
    shape.by == By::Whole
}

fn remove_fields(shape: &Shape, fields: &Object, gone: &Set) -> Object {
    let mut kept = Map::new();
    for (name, value) in fields {
        let value = match (gone.get(&Element::field(name)), shape.field(name)) {
            (Some(node), _) if node.own => continue,
            (Some(node), Some(shape)) => walk(shape, value, &node.below),
            (Some(_) | None, _) => value.clone(),
        };
        kept.insert(name.clone(), value);
    }
    kept
}

fn remove_items(shape: &List, value: &Value, gone: &Set) -> Value {
    let mut kept = Vec::new();
    for item in list(Some(value)).into_iter().flatten() {
        let element = shape.by.element(item).ok();
        match element.and_then(|element| gone.get(&element)) {
            Some(node) if node.own => {}
            Some(node) => kept.push(walk(&shape.items, item, &node.below)),
            None => kept.push(item.clone()),
        }
    }
    if kept.is_empty() {
        Value::Null
    } else {
        Value::Array(kept)
    }
}
