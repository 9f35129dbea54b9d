//! Sets of paths as FieldsV1 has them: `{"f:spec": {".": {}, "f:pool": {}}}`.

use serde_json::{Map, Value};

use super::element::{Element, Unread};
use super::set::{Node, Set};

/// Where a path ends that others go on from.
const HERE: &str = ".";

/// Reads FieldsV1; none when it is malformed. Steps that only a later version knows are passed by.
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
    // What nothing goes on from ends here.
    node.own |= node.below.is_empty();
    Some(node)
}

/// Whether any path of the set stands in FieldsV1.
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
