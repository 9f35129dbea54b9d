//! Patches of every form, good and bad.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::bodies::{self, chance, pick};
use super::generate::Generator;
use super::kinds::Kind;
use super::model::kind;
use super::script::Request;
use super::spoil::{self, written};

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A patch of an object by its main path.
pub(super) fn patch(generator: &mut Generator) -> Request {
    let (at, name, object) = generator.target();
    let path = kind(at).object(&name);
    let request = match generator.rng.random_range(0..100) {
        0..45 => {
            let mut body = merge_body(generator, at, object.as_ref());
            if chance(&mut generator.rng, 12) && !kind(at).is_minimal() {
                spoil::one_place(&mut generator.rng, &mut body);
            }
            Request::new("PATCH", path).typed(MERGE, written(&body))
        }
        45..80 => {
            let body = json_body(generator, at, object.as_ref()).to_string();
            let body = body.replace("{time}", "2020-01-01T00:00:00Z");
            Request::new("PATCH", path).typed(JSON, body)
        }
        _ => {
            let mut body = strategic_body(generator, at, object.as_ref());
            if chance(&mut generator.rng, 8) {
                spoil::one_place(&mut generator.rng, &mut body);
            }
            Request::new("PATCH", path).typed(STRATEGIC, written(&body))
        }
    };
    generator.write_options(request)
}

/// A patch of a status.
pub(super) fn status(generator: &mut Generator, at: usize, path: String) -> Request {
    let kind = kind(at);
    let rng = &mut generator.rng;
    let mut new = json!({"status": bodies::status(rng, kind)});
    match rng.random_range(0..100) {
        0..20 | 40..46 if kind.is_minimal() => {}
        0..20 => spoil::part(rng, &mut new, "status"),
        20..25 if !kind.is_minimal() => {
            new["spec"] = json!({"namePrefix": "other", "paused": true});
        }
        25..30 => new["metadata"] = json!({"labels": {"app": "b"}}),
        30..34 => new["metadata"] = json!({"finalizers": ["test.io/hold"]}),
        34..37 => new["metadata"] = json!({"resourceVersion": "1"}),
        37..40 => new["metadata"] = json!({"uid": "12345678-3333-0000-0000-000000000000"}),
        40..43 => new["status"] = Value::Null,
        43..46 => new["status"] = json!({}),
        _ => {}
    }
    let request = if chance(rng, 70) || kind.is_minimal() {
        Request::new("PATCH", path).typed(MERGE, written(&new))
    } else {
        let operation = pick(rng, &["add", "add", "replace", "test", "remove"]);
        let body = match rng.random_range(0..3) {
            0 => json!([{"op": operation, "path": "/status", "value": new["status"]}]),
            1 => {
                json!([{"op": operation, "path": "/status/conditions", "value": new["status"]["conditions"]}])
            }
            _ => json!([
                {"op": "add", "path": "/status", "value": {}},
                {"op": operation, "path": "/status/conditions", "value": []},
            ]),
        };
        Request::new("PATCH", path).typed(JSON, body.to_string())
    };
    generator.write_options(request)
}

/// What a merge patch may want of an object.
fn merge_body(generator: &mut Generator, at: usize, object: Option<&Value>) -> Value {
    let kind = kind(at);
    let fresh = generator.new_object(kind);
    let rng = &mut generator.rng;
    let mut body = json!({});
    for _ in 0..rng.random_range(1..3) {
        match rng.random_range(0..100) {
            0..18 => {
                let labels = bodies::labels(rng, 6);
                body["metadata"]["labels"] = with_nulls(rng, labels);
            }
            18..28 => body["metadata"]["annotations"] = bodies::annotations(rng, 6),
            28..40 => {
                body["metadata"]["finalizers"] = if chance(rng, 40) {
                    Value::Null
                } else {
                    bodies::finalizers(rng, 8)
                }
            }
            40..46 => body["metadata"]["ownerReferences"] = Value::Null,
            46..52 if !fresh["metadata"]["ownerReferences"].is_null() => {
                body["metadata"]["ownerReferences"] = fresh["metadata"]["ownerReferences"].clone();
            }
            52..60 => {
                let mut metadata = object.map_or(json!({}), |o| o["metadata"].clone());
                generator.misname(at, &mut metadata);
                for field in ["resourceVersion", "uid"] {
                    body["metadata"][field] = metadata[field].clone();
                }
                return body;
            }
            60..66 => {
                let mut metadata = json!({});
                spoil::metadata(rng, &mut metadata);
                body["metadata"] = metadata;
                return body;
            }
            66..70 => body["status"] = bodies::status(rng, kind),
            _ => {
                for (field, value) in fresh.as_object().into_iter().flatten() {
                    if !["metadata", "kind", "apiVersion"].contains(&field.as_str())
                        && chance(rng, 70)
                    {
                        body[field] = value.clone();
                    }
                }
                if kind.custom && !kind.is_minimal() && chance(rng, 25) {
                    let field = pick(
                        rng,
                        &[
                            "prefix",
                            "gateway",
                            "dnsServers",
                            "namePrefix",
                            "unknown",
                            "pool",
                            "poolRef",
                        ],
                    );
                    body["spec"][field] = Value::Null;
                }
            }
        }
    }
    body
}

/// Some values of a map become `null`: take them away.
fn with_nulls(rng: &mut StdRng, mut map: Value) -> Value {
    for value in map.as_object_mut().into_iter().flat_map(|m| m.values_mut()) {
        if chance(rng, 40) {
            *value = Value::Null;
        }
    }
    map
}

/// Pointers into an object, to its leaves and to what lies on the way.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                let here = format!("{at}/{key}");
                found.push(here.clone());
                pointers(inner, &here, found);
            }
        }
        Value::Array(list) => {
            for (n, inner) in list.iter().enumerate() {
                let here = format!("{at}/{n}");
                found.push(here.clone());
                pointers(inner, &here, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Pointers that mostly lead nowhere; the first five keep to the metadata.
const ODD_POINTERS: [&str; 11] = [
    "/metadata/labels/app",
    "/metadata/finalizers/-",
    "/metadata/annotations",
    "",
    "no-slash",
    "/spec/nothing/below",
    "/spec/pools/9",
    "/spec/pools/-",
    "/data/a",
    "/spec/prefix",
    "/",
];

/// Whether what lies there is the same text on both servers.
fn is_sayable(path: &str) -> bool {
    let made_up = [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "name",
        "managedFields",
    ];
    path != "/metadata"
        && !made_up
            .iter()
            .any(|field| path.starts_with(&format!("/metadata/{field}")))
}

fn json_body(generator: &mut Generator, at: usize, object: Option<&Value>) -> Value {
    let fresh = generator.new_object(kind(at));
    let mut known = Vec::new();
    pointers(object.unwrap_or(&fresh), "", &mut known);
    // Identity is changed by other requests often enough.
    known.retain(|p| !["/kind", "/apiVersion"].contains(&p.as_str()));
    if kind(at).is_minimal() {
        known.retain(|p| p.starts_with("/metadata"));
    }
    // In which order several stand depends on when a second begins.
    let entries = object.and_then(|o| o["metadata"]["managedFields"].as_array());
    if entries.is_some_and(|entries| entries.len() > 1) {
        known.retain(|p| !p.starts_with("/metadata/managedFields/"));
    }
    let rng = &mut generator.rng;
    let mut list = Vec::new();
    for _ in 0..rng.random_range(1..4) {
        let mut path = if known.is_empty() || chance(rng, 20) {
            let anywhere = if kind(at).is_minimal() {
                5
            } else {
                ODD_POINTERS.len()
            };
            pick(rng, &ODD_POINTERS[..anywhere]).to_owned()
        } else {
            pick(rng, &known).clone()
        };
        if path.starts_with('/') && chance(rng, 5) {
            path.push_str("/-");
        }
        let as_it_is = chance(rng, 60);
        let value = object
            .and_then(|o| o.pointer(&path))
            .filter(|_| as_it_is)
            .cloned();
        let value = match value {
            Some(value) => value,
            None => match path.rsplit('/').next() {
                Some("labels" | "annotations") => bodies::labels(rng, 5),
                Some("finalizers") => bodies::finalizers(rng, 5),
                _ => pick(
                    rng,
                    &[
                        json!("a"),
                        json!(3),
                        json!({}),
                        json!([]),
                        json!(null),
                        json!("10.0.0.9"),
                    ],
                )
                .clone(),
            },
        };
        let from = known
            .get(rng.random_range(0..known.len().max(1)))
            .filter(|path| is_sayable(path))
            .cloned()
            .unwrap_or_default();
        list.push(match rng.random_range(0..100) {
            0..30 => json!({"op": "replace", "path": path, "value": value}),
            30..60 => json!({"op": "add", "path": path, "value": value}),
            60..78 => json!({"op": "remove", "path": path}),
            78..88 => json!({"op": "test", "path": path, "value": value}),
            88..92 => json!({"op": "copy", "from": from, "path": path}),
            92..95 => json!({"op": "move", "from": from, "path": path}),
            95..96 => json!({"op": "paint", "path": path, "value": value}),
            96..97 => json!({"op": "add", "value": value}),
            97..98 => json!({"op": "add", "path": path}),
            _ => json!({"op": "remove", "path": path, "value": value, "unknown": 1}),
        });
    }
    if chance(rng, 2) {
        return json!({"op": "add"});
    }
    list.into()
}

fn strategic_body(generator: &mut Generator, at: usize, object: Option<&Value>) -> Value {
    let kind: &Kind = kind(at);
    let mut body = merge_body(generator, at, object);
    let rng = &mut generator.rng;
    let has_metadata = body["metadata"].is_object() || body["metadata"].is_null();
    if kind.custom || !has_metadata {
        return body;
    }
    let has_data = ["ConfigMap", "Secret"].contains(&kind.kind);
    match rng.random_range(0..10) {
        0 => {
            body["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(["test.io/hold"]);
            // Beside a list to put in, the two are carried out in an order of Go's.
            body["metadata"]
                .as_object_mut()
                .map(|m| m.remove("finalizers"));
        }
        1 => body["metadata"]["labels"] = json!({"$patch": "replace", "app": "b"}),
        2 if has_data => body["data"] = json!({"$patch": "replace", "z": "MQ=="}),
        3 if has_data => body["data"] = json!({"$patch": "delete"}),
        4 => body["metadata"]["finalizers"] = json!(["test.io/other", "test.io/hold"]),
        5 => {
            let uid = object.map_or(Value::Null, |o| {
                o["metadata"]["ownerReferences"][0]["uid"].clone()
            });
            if uid.is_string() {
                body["metadata"]["ownerReferences"] = json!([{"$patch": "delete", "uid": uid}]);
            }
        }
        6 => {
            body["metadata"]["$setElementOrder/finalizers"] =
                json!(["test.io/other", "test.io/hold"]);
        }
        _ => {}
    }
    body
}
