//! Reads and changes the metadata of an object. The rules on it are in `rules/mod.rs` and `names.rs`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::store::owner_id;

/// An object, whole.
pub(crate) type Object = Map<String, Value>;

/// A string of the metadata; empty when it is absent.
pub(crate) fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The object's kind.
pub(crate) fn kind(object: &Object) -> &str {
    object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A field of the metadata.
pub(crate) fn field<'a>(object: &'a Object, field: &str) -> Option<&'a Value> {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .filter(|value| !value.is_null())
}

/// The metadata, to change it. Every object that was read by `body` has it.
pub(crate) fn of(object: &mut Object) -> &mut Map<String, Value> {
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata
        .as_object_mut()
        .expect("it was made an object right above")
}

/// Whether it is being deleted.
pub(crate) fn is_deleting(object: &Object) -> bool {
    field(object, "deletionTimestamp").is_some()
}

/// The finalizers, in order.
pub(crate) fn finalizers(object: &Object) -> Vec<&str> {
    field(object, "finalizers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Sets the finalizers. An empty list removes the field.
pub(crate) fn set_finalizers(object: &mut Object, finalizers: &[&str]) {
    let metadata = of(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.to_vec().into());
    }
}

/// The owner references, as they stand.
pub(crate) fn owners(object: &Object) -> &[Value] {
    field(object, "ownerReferences")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Ids of the owners.
pub(crate) fn owner_ids(object: &Object) -> BTreeSet<u128> {
    owners(object)
        .iter()
        .filter_map(|owner| owner["uid"].as_str())
        .map(owner_id)
        .collect()
}

/// The group of an apiVersion: `a` of `a/v1`, empty of `v1`.
pub(crate) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
