//! Spoiling a body: one thing in it that should not be so.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::bodies::{chance, pick};

/// Behind a key that is to stand twice; taken out of the text.
const DOUBLED: &str = "~~";

/// The text of a body, with keys that were doubled standing twice.
pub(super) fn written(body: &Value) -> String {
    body.to_string().replace(&format!("{DOUBLED}\":"), "\":")
}

/// Values of every type, to stand where another is wanted.
fn odd(rng: &mut StdRng) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("text"),
        json!([]),
        json!(["a", "a"]),
        json!({}),
        json!({"a": 1}),
        json!("2021-13-45T99:00:00Z"),
        json!("x".repeat(70)),
        json!(9_999_999_999_i64),
    ];
    pick(rng, &values).clone()
}

/// Changes one place somewhere below `value`: taken away, of another type, doubled, or with something unknown beside it.
pub(super) fn one_place(rng: &mut StdRng, value: &mut Value) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = &pick(rng, &keys);
            let inner = &mut map[key];
            let has_inside = matches!(inner, Value::Object(m) if !m.is_empty())
                || matches!(inner, Value::Array(l) if !l.is_empty());
            if has_inside && chance(rng, 60) {
                return one_place(rng, inner);
            }
            match rng.random_range(0..10) {
                0 | 1 => {
                    map.remove(key);
                }
                2..=5 => *inner = odd(rng),
                6 => {
                    let twin = if chance(rng, 50) {
                        inner.clone()
                    } else {
                        odd(rng)
                    };
                    map.insert(format!("{key}{DOUBLED}"), twin);
                }
                7 => {
                    // Keys of JSON are case-sensitive for custom resources and were not always for built-in kinds.
                    let moved = map.remove(key).unwrap_or_default();
                    let mut other = key.clone();
                    if let Some(first) = other.get_mut(0..1) {
                        first.make_ascii_uppercase();
                    }
                    map.insert(other, moved);
                }
                _ => {
                    let unknown = pick(rng, &["unknown", "zzz", "aaa"]);
                    map.insert(unknown.to_owned(), odd(rng));
                }
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let at = rng.random_range(0..list.len());
            if chance(rng, 60) && (list[at].is_object() || list[at].is_array()) {
                return one_place(rng, &mut list[at]);
            }
            match rng.random_range(0..3) {
                0 => list[at] = odd(rng),
                1 => {
                    let twin = list[at].clone();
                    list.push(twin);
                }
                _ => list.push(odd(rng)),
            }
        }
        _ => *value = odd(rng),
    }
}

/// Spoils the part of an object below this field, if it has one.
pub(super) fn part(rng: &mut StdRng, object: &mut Value, field: &str) {
    if let Some(found) = object.get_mut(field) {
        one_place(rng, found);
    } else {
        object[field] = odd(rng);
    }
}

/// Spoils metadata in the ways that clients do.
pub(super) fn metadata(rng: &mut StdRng, metadata: &mut Value) {
    match rng.random_range(0..16) {
        0 => metadata["uid"] = "12345678-1234-1234-1234-123456789012".into(),
        1 => metadata["uid"] = "no uuid".into(),
        2 => metadata["resourceVersion"] = (pick(rng, &["1", "abc", "0", ""])).into(),
        3 => metadata["namespace"] = (pick(rng, &["elsewhere", "", "default"])).into(),
        4 => {
            metadata["creationTimestamp"] =
                (pick(rng, &["2020-01-01T00:00:00Z", "yesterday"])).into();
        }
        5 => metadata["deletionTimestamp"] = "2020-01-01T00:00:00Z".into(),
        6 => metadata["deletionGracePeriodSeconds"] = 5.into(),
        7 => metadata["generation"] = rng.random_range(0..9).into(),
        8 => metadata["selfLink"] = "/x".into(),
        9 => metadata["unknown"] = odd(rng),
        10 => {
            metadata["name"] = (pick(
                rng,
                &["Upper", "a_b", "-a", "a.", "a..b", "", "x/y", "other"],
            ))
            .into();
        }
        11 => metadata["name"] = "n".repeat(pick(rng, &[63, 64, 253, 254])).into(),
        12 => {
            // A prefix of its own: of two names that are made of one, each server puts another first in its lists.
            let own = format!("gen-{}-", rng.random::<u32>());
            metadata["generateName"] = (pick(rng, &["", "Bad_", own.as_str()])).into();
        }
        _ => one_place(rng, metadata),
    }
}
