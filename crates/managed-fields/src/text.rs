//! Reads and writes sets of paths as FieldsV1: `{"f:spec": {".": {}, "f:size": {}}}`.

use serde_json::{Map, Value};

use super::element::{Element, Unread};
use super::set::{Node, Set};

/// Marks a path that ends here while others go on.
const HERE: &str = ".";

/// Reads FieldsV1. `None` when it is malformed. Elements that only a later version knows are ignored.
pub(super) fn read(fields: &Value) -> Option<Set> {
    Some(read_node(fields)?.below)
}

fn read_node(fields: &Value) -> Option<Node> {
    let fields = match fields {
        Value::Null => return Some(Node::leaf()),
        Value::Object(fields) => fields,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
    };
    let mut node = Node::default();
    for (text, below) in fields {
        if text == HERE {
            node.own = true;
            continue;
        }
        match Element::read(text) {
            Ok(element) => node.below.put(element, read_node(below)?),
            Err(Unread::Unknown) => {}
            Err(Unread::Bad) => return None,
        }
    }
    // A path from which none goes on ends here.
    node.own |= node.below.is_empty();
    Some(node)
}

/// Whether FieldsV1 has any path of the set.
pub(super) fn shares(fields: &Value, set: &Set) -> bool {
    let Value::Object(fields) = fields else {
        return false;
    };
    set.nodes().iter().any(|(element, node)| {
        fields.get(&element.text()).is_some_and(|below| {
            let ends = |below: &Value| match below {
                Value::Object(below) => below.is_empty() || below.contains_key(HERE),
                _ => true,
            };
            (node.own && ends(below)) || shares(below, &node.below)
        })
    })
}

/// Writes FieldsV1.
pub(super) fn write(set: &Set) -> Value {
    let mut fields = Map::new();
    for (element, node) in set.nodes() {
        let mut below = match write(&node.below) {
            Value::Object(below) => below,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        if node.own && !below.is_empty() {
            below.insert(HERE.to_owned(), Value::Object(Map::new()));
        }
        fields.insert(element.text(), Value::Object(below));
    }
    Value::Object(fields)
}
