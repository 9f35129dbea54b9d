//! Tables of cases, and what must hold of any objects. That the rules are those of a real server is tested in
//! `tests/suite/fields.rs`.

mod entries;
mod lists;
mod random;
mod shapes;

use serde_json::{Value, json};

use super::compare::{Delta, compare};
use super::managed::Entry;
use super::paths::paths_of;
use super::set::Set;
use super::shape::Layout;
use super::*;

/// A kind with a list and a map of every sort.
fn layout() -> Layout {
    let text = json!({"type": "string"});
    let item = |map_type: Value| {
        json!({"type": "object", "x-kubernetes-map-type": map_type, "properties": {
            "name": text, "port": {"type": "integer", "default": 80}, "value": text,
        }})
    };
    let list = |list_type: &str, items: Value| json!({"type": "array", "x-kubernetes-list-type": list_type, "items": items});
    let mut by_name = list("map", item(json!("granular")));
    by_name["x-kubernetes-list-map-keys"] = json!(["name", "port"]);
    let metadata =
        json!({"type": "object", "properties": {"name": text, "managedFields": {"type": "array"}}});
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "text": text,
            "number": {"type": "integer"},
            "flag": {"type": "boolean"},
            "set": list("set", text.clone()),
            "byName": by_name,
            "whole": list("atomic", item(json!("granular"))),
            "reference": item(json!("atomic")),
            "map": {"type": "object", "additionalProperties": text},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "properties": {"count": {"type": "integer"}}},
    }});
    Layout::of_schema(&schema, &metadata)
}

const VERSION: &str = "example.com/v1";

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        version: VERSION,
        subresource: "",
        now: "2026-01-01T00:00:00Z",
        untouched: &["status"],
    }
}

fn object(spec: Value) -> Object {
    Object::from_iter([
        ("apiVersion".to_owned(), VERSION.into()),
        ("kind".to_owned(), "Thing".into()),
        ("metadata".to_owned(), json!({"name": "a"})),
        ("spec".to_owned(), spec),
    ])
}

/// The spec's part of a set, as FieldsV1.
fn spec_of(set: &Set) -> Value {
    text::write(set)["f:spec"].take()
}

fn written(managed: &Managed, manager: &str) -> Value {
    let entry = |entry: &&Entry| entry.key.manager == manager;
    let found = managed.entries.iter().find(entry);
    found.map_or(Value::Null, |entry| spec_of(&entry.set()))
}

/// An object of the store, with its entries.
fn with_entries(mut object: Object, managed: &Managed) -> Object {
    if let Some(entries) = managed.clone().write() {
        object["metadata"]["managedFields"] = entries;
    }
    object
}

/// What is stored after an apply.
fn applied(layout: &Layout, live: &Object, config: &Object, manager: &str) -> (Object, Managed) {
    let done = apply(layout, live, config, &writer(manager), true).unwrap();
    let mut object = done.object.unwrap_or_else(|| live.clone());
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    (object, done.managed)
}

fn delta(layout: &Layout, before: Value, after: Value) -> Delta {
    compare(&layout.root, &object(before), &object(after))
}
