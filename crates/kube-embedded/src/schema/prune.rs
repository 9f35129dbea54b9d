//! Removes unknown fields and names them.

use serde_json::{Map, Value};

use super::{Additional, Node, child, is_type_or_metadata};
use crate::field::truncated;

/// Most unknown fields that are named. All are removed.
const NAMED: usize = 64;

pub(super) fn root(node: &Node, object: &mut Map<String, Value>, unknown: &mut Vec<String>) {
    prune_object(node, object, "", true, unknown);
}

fn prune(node: &Node, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(object) => prune_object(node, object, path, node.embedded, unknown),
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for (index, item) in list.iter_mut().enumerate() {
                    prune(items, item, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn prune_object(
    node: &Node,
    object: &mut Map<String, Value>,
    path: &str,
    whole: bool,
    unknown: &mut Vec<String>,
) {
    object.retain(|name, value| {
        if whole && is_type_or_metadata(name) {
            return true;
        }
        if let Some(property) = node.properties.get(name) {
            prune(property, value, &child(path, name), unknown);
            return true;
        }
        match &node.additional {
            Additional::Any => true,
            Additional::Of(values) => {
                prune(values, value, &child(path, name), unknown);
                true
            }
            Additional::None if node.preserve => true,
            Additional::None => {
                if unknown.len() < NAMED {
                    let path = truncated(&child(path, name), 256);
                    unknown.push(format!("unknown field \"{path}\""));
                }
                false
            }
        }
    });
}
