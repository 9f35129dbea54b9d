//! The shapes of the built-in kinds that are served here, and of the metadata that every kind has.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shape::{By, Fields, Layout, List, Scalar, Shape};

const TEXT: Shape = Shape::Scalar(Scalar::Text);
const NUMBER: Shape = Shape::Scalar(Scalar::Number);
const BOOLEAN: Shape = Shape::Scalar(Scalar::Boolean);
/// Times have a type of their own, which takes any scalar.
const TIME: Shape = Shape::Scalar(Scalar::Any);

pub(super) fn layout(kind: &str) -> Layout {
    let (fields, zero) = match kind {
        "Namespace" => (
            vec![("spec", namespace_spec()), ("status", namespace_status())],
            json!({"metadata": {}, "spec": {}, "status": {}}),
        ),
        "Event" => (
            event(),
            json!({
                "metadata": {}, "involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null,
                "eventTime": null, "reportingComponent": "", "reportingInstance": "",
            }),
        ),
        "ConfigMap" => (
            vec![
                ("data", texts()),
                ("binaryData", texts()),
                ("immutable", BOOLEAN),
            ],
            json!({"metadata": {}}),
        ),
        "Secret" => (
            vec![
                ("data", texts()),
                ("stringData", texts()),
                ("immutable", BOOLEAN),
                ("type", TEXT),
            ],
            json!({"metadata": {}}),
        ),
        "Lease" => (
            vec![("spec", lease_spec())],
            json!({"metadata": {}, "spec": {}}),
        ),
        _ => {
            return Layout {
                root: Shape::Free,
                zero: Map::new(),
            };
        }
    };
    let Shape::Map(mut root) = object(fields) else {
        unreachable!("object() makes maps");
    };
    for (name, shape) in [
        ("apiVersion", TEXT),
        ("kind", TEXT),
        ("metadata", metadata()),
    ] {
        root.named.insert(name.to_owned(), shape);
    }
    let zero = match zero {
        Value::Object(zero) => zero,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    Layout {
        root: Shape::Map(root),
        zero,
    }
}

/// ObjectMeta.
pub(super) fn metadata() -> Shape {
    object(vec![
        ("annotations", texts()),
        ("creationTimestamp", TIME),
        ("deletionGracePeriodSeconds", NUMBER),
        ("deletionTimestamp", TIME),
        ("finalizers", list(By::Value, TEXT)),
        ("generateName", TEXT),
        ("generation", NUMBER),
        ("labels", texts()),
        ("managedFields", list(By::Whole, Shape::Free)),
        ("name", TEXT),
        ("namespace", TEXT),
        (
            "ownerReferences",
            list(
                keyed("uid"),
                whole(vec![
                    ("apiVersion", TEXT),
                    ("blockOwnerDeletion", BOOLEAN),
                    ("controller", BOOLEAN),
                    ("kind", TEXT),
                    ("name", TEXT),
                    ("uid", TEXT),
                ]),
            ),
        ),
        ("resourceVersion", TEXT),
        ("selfLink", TEXT),
        ("uid", TEXT),
    ])
}

fn namespace_spec() -> Shape {
    object(vec![("finalizers", list(By::Whole, TEXT))])
}

fn namespace_status() -> Shape {
    let condition = object(vec![
        ("lastTransitionTime", TIME),
        ("message", TEXT),
        ("reason", TEXT),
        ("status", TEXT),
        ("type", TEXT),
    ]);
    object(vec![
        ("conditions", list(keyed("type"), condition)),
        ("phase", TEXT),
    ])
}

fn event() -> Vec<(&'static str, Shape)> {
    vec![
        ("action", TEXT),
        ("count", NUMBER),
        ("eventTime", TIME),
        ("firstTimestamp", TIME),
        ("involvedObject", reference()),
        ("lastTimestamp", TIME),
        ("message", TEXT),
        ("reason", TEXT),
        ("related", reference()),
        ("reportingComponent", TEXT),
        ("reportingInstance", TEXT),
        (
            "series",
            object(vec![("count", NUMBER), ("lastObservedTime", TIME)]),
        ),
        ("source", object(vec![("component", TEXT), ("host", TEXT)])),
        ("type", TEXT),
    ]
}

fn reference() -> Shape {
    whole(vec![
        ("apiVersion", TEXT),
        ("fieldPath", TEXT),
        ("kind", TEXT),
        ("name", TEXT),
        ("namespace", TEXT),
        ("resourceVersion", TEXT),
        ("uid", TEXT),
    ])
}

fn lease_spec() -> Shape {
    object(vec![
        ("acquireTime", TIME),
        ("holderIdentity", TEXT),
        ("leaseDurationSeconds", NUMBER),
        ("leaseTransitions", NUMBER),
        ("preferredHolder", TEXT),
        ("renewTime", TIME),
        ("strategy", TEXT),
    ])
}

// === words ===

/// An object with these fields and no others.
fn object(fields: Vec<(&str, Shape)>) -> Shape {
    Shape::Map(named(fields, false))
}

/// One that is owned as a whole.
fn whole(fields: Vec<(&str, Shape)>) -> Shape {
    Shape::Map(named(fields, true))
}

fn named(fields: Vec<(&str, Shape)>, whole: bool) -> Fields {
    Fields {
        whole,
        named: fields
            .into_iter()
            .map(|(name, shape)| (name.to_owned(), shape))
            .collect(),
        others: None,
    }
}

/// A map of texts.
fn texts() -> Shape {
    Shape::Map(Fields {
        whole: false,
        named: BTreeMap::new(),
        others: Some(Box::new(TEXT)),
    })
}

fn list(by: By, items: Shape) -> Shape {
    Shape::List(List {
        by,
        items: Box::new(items),
    })
}

/// Told apart by this field. An absent one stands for the empty text.
fn keyed(field: &str) -> By {
    By::Keys(vec![(field.to_owned(), Some(Value::from("")))])
}
