//! Who owns the fields of an object that an older version of this program wrote: it created objects and merged into them, so
//! its fields belong to its field manager by operation `Update`, and server-side apply would leave them in the object for good.

use serde_json::{Value, json};

/// A JSON patch that gives all fields that `manager` owns by `Update` to its `Apply`, if it owns any so. It holds for this
/// version of the object only.
pub(super) fn moved(object: &Value, manager: &str) -> Option<Value> {
    let metadata = &object["metadata"];
    let entries = metadata["managedFields"].as_array()?;
    let is = |entry: &Value, operation: &str| {
        entry["manager"] == manager
            && entry["operation"] == operation
            && entry.get("subresource").is_none()
    };
    let mut moved: Vec<Value> = Vec::new();
    let mut fields = json!({});
    let mut last = entries.iter().find(|entry| is(entry, "Update"))?.clone();
    for entry in entries {
        if is(entry, "Update") {
            join(&mut fields, &entry["fieldsV1"]);
        } else if is(entry, "Apply") {
            join(&mut fields, &entry["fieldsV1"]);
            last = entry.clone();
        } else {
            moved.push(entry.clone());
        }
    }
    last["operation"] = "Apply".into();
    last["fieldsV1"] = fields;
    moved.insert(0, last);
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": moved},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]))
}

/// Adds the fields of one set to another.
fn join(fields: &mut Value, more: &Value) {
    let (Some(into), Some(more)) = (fields.as_object_mut(), more.as_object()) else {
        return;
    };
    for (path, below) in more {
        join(into.entry(path).or_insert_with(|| json!({})), below);
    }
}
