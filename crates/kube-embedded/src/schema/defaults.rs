//! Fills in the defaults of absent fields.

use serde_json::{Map, Value};

use super::{Additional, Node, Nulls, is_type_or_metadata};

pub(super) fn root(node: &Node, object: &mut Map<String, Value>, nulls: Nulls) {
    fill_object(node, object, true, nulls);
}

fn fill(node: &Node, value: &mut Value, nulls: Nulls) {
    match value {
        Value::Object(object) => fill_object(node, object, node.embedded, nulls),
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    fill(items, item, nulls);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fill_object(node: &Node, object: &mut Map<String, Value>, whole: bool, nulls: Nulls) {
    for (name, property) in &node.properties {
        if whole && is_type_or_metadata(name) {
            continue;
        }
        // Clients send `null` in a field that is not nullable for "not set".
        let means_absent = nulls == Nulls::Absent || property.default.is_some();
        if !property.nullable && means_absent && object.get(name).is_some_and(Value::is_null) {
            object.remove(name);
        }
        match (object.get_mut(name), &property.default) {
            (Some(value), _) => fill(property, value, nulls),
            (None, Some(default)) => {
                let mut value = default.clone();
                fill(property, &mut value, nulls);
                object.insert(name.clone(), value);
            }
            (None, None) => {}
        }
    }
    if let Additional::Of(values) = &node.additional {
        object.retain(|name, value| {
            let is_known = node.properties.contains_key(name);
            is_known || !value.is_null() || values.nullable || nulls == Nulls::Wrong
        });
        for (name, value) in object.iter_mut() {
            if !node.properties.contains_key(name) {
                fill(values, value, nulls);
            }
        }
    }
}
