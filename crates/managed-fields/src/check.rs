//! Whether an applied configuration fits the shape of its kind. A finding is the field's path and a sentence.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Object;
use super::element::Element;
use super::shape::{By, Layout, List, Scalar, Shape};

/// Most findings that one answer names.
const FINDINGS: usize = 16;

/// Whether items of a list may have the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twins {
    Wrong,
    Taken,
}

struct Found {
    texts: Vec<String>,
    twins: Twins,
}

/// Whether an object fits the shape of its kind. Items with the same key are allowed. Ownership cannot be computed for an object
/// that does not fit.
pub fn fits(layout: &Layout, object: &Object) -> bool {
    stored(&layout.root, object).is_none()
}

/// What does not fit in a stored object, as one text. `None` when everything fits.
pub(super) fn stored(shape: &Shape, object: &Object) -> Option<String> {
    misfits(shape, object, Twins::Taken)
}

/// What does not fit in an applied configuration, as one text. `None` when everything fits.
pub(super) fn check(shape: &Shape, object: &Object) -> Option<String> {
    misfits(shape, object, Twins::Wrong)
}

fn misfits(shape: &Shape, object: &Object, twins: Twins) -> Option<String> {
    let mut found = Found {
        texts: Vec::new(),
        twins,
    };
    walk_map(shape, object, &mut Vec::new(), &mut found);
    match &found.texts[..] {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("errors:\n  {}", several.join("\n  "))),
    }
}

fn walk(shape: &Shape, value: &Value, path: &mut Vec<Element>, found: &mut Found) {
    if value.is_null() || found.texts.len() >= FINDINGS {
        return;
    }
    match shape {
        Shape::Free => {}
        Shape::Scalar(scalar) => {
            if let Some(what) = misfit(*scalar, value) {
                tell(path, &what, found);
            }
        }
        Shape::List(shape) => match value {
            Value::Array(items) => walk_list(shape, items, path, found),
            other => tell(path, &expected("a list", other), found),
        },
        Shape::Map(_) => match value {
            Value::Object(fields) => walk_map(shape, fields, path, found),
            other => tell(path, &expected("an object", other), found),
        },
    }
}

fn walk_map(shape: &Shape, fields: &Object, path: &mut Vec<Element>, found: &mut Found) {
    for (name, value) in fields {
        path.push(Element::field(name));
        match shape.field(name) {
            Some(field) => walk(field, value, path, found),
            None => tell(path, "field not declared in schema", found),
        }
        path.pop();
    }
}

fn walk_list(shape: &List, items: &[Value], path: &mut Vec<Element>, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let element = match &shape.by {
            By::Whole => Element::Index(i64::try_from(index).unwrap_or(i64::MAX)),
            by @ (By::Value | By::Keys(_)) => match by.element(item) {
                Ok(element) => element,
                Err(why) => {
                    tell(path, &format!("element {index}: {why}"), found);
                    return;
                }
            },
        };
        let is_twin = shape.by != By::Whole && !seen.insert(element.clone());
        if is_twin && found.twins == Twins::Wrong {
            tell(path, &format!("duplicate entries for key {element}"), found);
        }
        path.push(element);
        walk(&shape.items, item, path, found);
        path.pop();
    }
}

fn tell(path: &[Element], what: &str, found: &mut Found) {
    if found.texts.len() >= FINDINGS {
        return;
    }
    let path: String = path.iter().map(ToString::to_string).collect();
    found.texts.push(if path.is_empty() {
        what.to_owned()
    } else {
        format!("{path}: {what}")
    });
}

/// A sentence when this value is none of the scalar's types.
fn misfit(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = match scalar {
        Scalar::Text => value.is_string(),
        Scalar::Number => value.is_number(),
        Scalar::Boolean => value.is_boolean(),
        Scalar::Any => value.is_string() || value.is_number() || value.is_boolean(),
    };
    let wanted = match scalar {
        Scalar::Text => "a string",
        Scalar::Number => "a number",
        Scalar::Boolean => "a boolean",
        Scalar::Any => "a string, a number or a boolean",
    };
    (!fits).then(|| expected(wanted, value))
}

/// `expected a string, got a list`. Strings are not shown: they may be secret.
fn expected(wanted: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) => return format!("expected {wanted}, got the number {number}"),
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("expected {wanted}, got {found}")
}
