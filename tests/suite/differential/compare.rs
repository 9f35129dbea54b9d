//! Two answers side by side.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::answer::{Answer, Body};

/// What two answers differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    Code,
    Reason,
    Message,
    /// The rest of a `Status`.
    Details,
    Object,
    Events,
    State,
    Warnings,
    ContentType,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub(super) aspect: Aspect,
    /// Where.
    pub(super) path: String,
    pub(super) embedded: Value,
    pub(super) real: Value,
}

/// Most differences that are listed of one answer.
const MOST: usize = 12;

/// Everything in which the answers differ.
pub(super) fn compare(embedded: &Answer, real: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |aspect, path: &str, embedded: Value, real: Value| {
        if embedded != real {
            found.push(Difference {
                aspect,
                path: path.to_owned(),
                embedded,
                real,
            });
        }
    };
    add(
        Aspect::Code,
        "HTTP status",
        embedded.code.into(),
        real.code.into(),
    );
    add(
        Aspect::Reason,
        "reason",
        embedded.reason().into(),
        real.reason().into(),
    );
    add(
        Aspect::Message,
        "message",
        embedded.message().into(),
        real.message().into(),
    );
    add(
        Aspect::Warnings,
        "warnings",
        embedded.warnings.clone().into(),
        real.warnings.clone().into(),
    );
    add(
        Aspect::ContentType,
        "Content-Type",
        embedded.content_type.as_str().into(),
        real.content_type.as_str().into(),
    );
    bodies(&embedded.body, &real.body, &mut found);
    found.truncate(MOST);
    found
}

fn bodies(embedded: &Body, real: &Body, found: &mut Vec<Difference>) {
    match (embedded, real) {
        (Body::Json(left), Body::Json(right)) => {
            let is_status = left["kind"] == "Status" && right["kind"] == "Status";
            let aspect = if is_status {
                Aspect::Details
            } else {
                Aspect::Object
            };
            let (mut left, mut right) = (left.clone(), right.clone());
            if is_status {
                // Told already.
                for status in [&mut left, &mut right] {
                    for field in ["reason", "message", "code"] {
                        status.as_object_mut().map(|map| map.remove(field));
                    }
                }
            }
            values(aspect, "", &left, &right, found);
        }
        (Body::Events(left), Body::Events(right)) => {
            for n in 0..left.len().max(right.len()) {
                let side = |events: &[(String, Value)]| {
                    events.get(n).map_or(
                        Value::Null,
                        |(kind, object)| serde_json::json!({"type": kind, "object": object}),
                    )
                };
                values(
                    Aspect::Events,
                    &format!("event {n}"),
                    &side(left),
                    &side(right),
                    found,
                );
            }
        }
        (Body::State(left), Body::State(right)) => {
            values(
                Aspect::State,
                "",
                &left.clone().into(),
                &right.clone().into(),
                found,
            );
        }
        (left, right) if left == right => {}
        (left, right) => found.push(Difference {
            aspect: Aspect::Object,
            path: "body".to_owned(),
            embedded: format!("{left:?}").into(),
            real: format!("{right:?}").into(),
        }),
    }
}

fn values(aspect: Aspect, path: &str, left: &Value, right: &Value, found: &mut Vec<Difference>) {
    if left == right || found.len() >= MOST {
        return;
    }
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (a.get(key), b.get(key));
                if let (Some(a), Some(b)) = (a, b) {
                    values(aspect, &format!("{path}.{key}"), a, b, found);
                } else {
                    found.push(Difference {
                        aspect,
                        path: format!("{path}.{key}"),
                        embedded: a.map_or("(absent)".into(), Clone::clone),
                        real: b.map_or("(absent)".into(), Clone::clone),
                    });
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                values(aspect, &format!("{path}[{n}]"), a, b, found);
            }
        }
        _ => found.push(Difference {
            aspect,
            path: path.to_owned(),
            embedded: left.clone(),
            real: right.clone(),
        }),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| super::report::shortened(&value.to_string(), 1200);
        write!(
            f,
            "{:?} {}:\n      embedded {}\n      real     {}",
            self.aspect,
            self.path,
            text(&self.embedded),
            text(&self.real)
        )
    }
}
