//! The paths of a value: every leaf, every item, and every field of a map that is not in the schema's `properties`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Object;
use super::element::Element;
use super::set::{Node, Set};
use super::shape::{Form, List, Shape, list, map};

/// The paths of an object of this shape.
pub(super) fn paths_of(shape: &Shape, object: &Object) -> Set {
    walk_map(shape, Some(object))
}

fn walk(shape: &Shape, value: &Value) -> Node {
    let form = shape.form(Some(value));
    if shape.is_whole(form) {
        return Node::leaf();
    }
    let below = match (form, shape) {
        (Form::Map, _) => walk_map(shape, map(Some(value))),
        (Form::List, Shape::List(list)) => walk_list(list, value),
        (Form::Scalar | Form::List, _) => Set::default(),
    };
    Node { own: false, below }
}

fn walk_map(shape: &Shape, fields: Option<&Object>) -> Set {
    let mut set = Set::default();
    for (name, value) in fields.into_iter().flatten() {
        let Some(field) = shape.field(name) else {
            continue;
        };
        let mut node = walk(field, value);
        let is_nothing = match value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
        };
        node.own |= is_nothing || !shape.names(name);
        set.put(Element::field(name), node);
    }
    set
}

fn walk_list(shape: &List, value: &Value) -> Set {
    let mut items: BTreeMap<Element, (&Value, bool)> = BTreeMap::new();
    for item in list(Some(value)).into_iter().flatten() {
        if let Ok(element) = shape.by.element(item) {
            items
                .entry(element)
                .and_modify(|(_, again)| *again = true)
                .or_insert((item, false));
        }
    }
    let mut set = Set::default();
    for (element, (item, again)) in items {
        // Items with the same key count as one value.
        let mut node = if again {
            Node::leaf()
        } else {
            walk(&shape.items, item)
        };
        node.own = true;
        set.put(element, node);
    }
    set
}

impl Set {
    /// Adds each field of the schema's `properties` that has a path below it: a set with `a.b` then has `a` as well.
    pub(super) fn with_named_fields(mut self, shape: Option<&Shape>) -> Self {
        self.retain(|element, node| {
            let inner = match element {
                Element::Field(name) => {
                    let is_named = shape.is_some_and(|shape| shape.names(name));
                    node.own |= is_named && !node.below.is_empty();
                    shape.and_then(|shape| shape.field(name))
                }
                Element::Key(_) => shape.and_then(Shape::items),
                Element::Value(_) | Element::Index(_) => None,
            };
            let below = std::mem::take(&mut node.below);
            node.below = below.with_named_fields(inner);
        });
        self
    }
}
