//! What absent fields mean.

use serde_json::{Map, Value};

use super::{Additional, Node, is_type_or_metadata};

pub(super) fn root(node: &Node, object: &mut Map<String, Value>) {
    fill_object(node, object, true);
}

fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(object) => fill_object(node, object, node.embedded),
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    fill(items, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fill_object(node: &Node, object: &mut Map<String, Value>, whole: bool) {
    for (name, property) in &node.properties {
        if whole && is_type_or_metadata(name) {
            continue;
        }
        // `null` in a field that cannot hold it is how clients say "not set".
        if !property.nullable && object.get(name).is_some_and(Value::is_null) {
            object.remove(name);
        }
        match (object.get_mut(name), &property.default) {
            (Some(value), _) => fill(property, value),
            (None, Some(default)) => {
                let mut value = default.clone();
                fill(property, &mut value);
                object.insert(name.clone(), value);
            }
            (None, None) => {}
        }
    }
    if let Additional::Of(values) = &node.additional {
        for (name, value) in object.iter_mut() {
            if !node.properties.contains_key(name) {
                fill(values, value);
            }
        }
    }
}
