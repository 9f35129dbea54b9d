//! Whether a value that someone applies fits its shape, in a real API server's words. What is stored is not looked at here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Object;
use super::element::Element;
use super::shape::{By, Layout, List, Scalar, Shape};

/// Most findings that one answer names.
const FINDINGS: usize = 16;

/// Items of a list that have one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twins {
    Wrong,
    Taken,
}

struct Found {
    texts: Vec<String>,
    twins: Twins,
}

/// Whether an object fits its shape, items with one key aside: else nobody can say what is whose in it.
pub fn fits(layout: &Layout, object: &Object) -> bool {
    let mut found = Found {
        texts: Vec::new(),
        twins: Twins::Taken,
    };
    walk_map(&layout.root, object, &mut Vec::new(), &mut found);
    found.texts.is_empty()
}

/// What does not fit, as one text; none when everything does.
pub(super) fn check(shape: &Shape, object: &Object) -> Option<String> {
    let mut found = Found {
        texts: Vec::new(),
        twins: Twins::Wrong,
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
            other => tell(
                path,
                &format!("expected list, got {}", pointed(other)),
                found,
            ),
        },
        Shape::Map(_) => match value {
            Value::Object(fields) => walk_map(shape, fields, path, found),
            other => tell(
                path,
                &format!("expected map, got {}", pointed(other)),
                found,
            ),
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

/// Why a scalar's field does not take this value.
fn misfit(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = match scalar {
        Scalar::Text => value.is_string(),
        Scalar::Number => value.is_number(),
        Scalar::Boolean => value.is_boolean(),
        Scalar::Any => value.is_string() || value.is_number() || value.is_boolean(),
    };
    (!fits).then(|| match scalar {
        Scalar::Text => format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go_syntax(value)
        ),
        Scalar::Number => format!("expected numeric (int or float), got {}", go_type(value)),
        Scalar::Boolean => format!("expected boolean, got {}", pointed(value)),
        Scalar::Any => format!("expected any scalar, got {}", pointed(value)),
    })
}

/// Go's name of a value's type.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go's `%v` prints it, behind a pointer.
fn pointed(value: &Value) -> String {
    format!("&{{{}}}", go_value(value))
}

/// A value as Go's `%v` prints it.
pub fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", go_value(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", go_syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
    }
}
