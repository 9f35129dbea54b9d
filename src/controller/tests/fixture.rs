//! Objects in one line, and a server that answers as a test says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use crate::api::{PoolKey, WireObject};
use crate::pool::{Input, Object, Outcome, Scope};

pub(super) fn key(name: &str) -> PoolKey {
    PoolKey {
        namespace: "n".into(),
        name: name.into(),
    }
}

pub(super) fn wire(name: &str, uid: &str, version: u64, spec: Value) -> WireObject {
    serde_json::from_value(object(name, uid, version, spec)).unwrap()
}

pub(super) fn object(name: &str, uid: &str, version: u64, spec: Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string() },
        "spec": spec,
    })
}

pub(super) fn claim_spec(pool: &str) -> Value {
    json!({ "pool": { "name": pool } })
}

pub(super) fn address_spec(pool: &str) -> Value {
    json!({ "pool": { "name": pool }, "claim": { "name": "c" }, "address": "10.0.0.1" })
}

pub(super) fn pool_spec() -> Value {
    json!({ "namePrefix": "p", "pools": [{ "start": "10.0.0.1", "end": "10.0.0.9" }] })
}

/// An input in one line.
pub(super) fn told(input: &Input) -> String {
    match input {
        Input::Seen(Object::Pool {
            object,
            problems,
            scope,
        }) => format!("pool {} {scope:?} {problems:?}", object.meta.uid),
        Input::PoolGone { uid } => format!("pool gone {uid}"),
        Input::ClusterSeen(c) => format!("cluster {} paused {}", c.name, c.paused),
        Input::ClusterGone { name } => format!("cluster gone {name}"),
        Input::Seen(Object::Claim { claim, scope }) => {
            format!("claim {} {} {scope:?}", claim.key(), claim.meta.uid)
        }
        Input::ClaimGone { key, uid } => format!("claim gone {key} {uid}"),
        Input::ClaimLeft { key, uid } => format!("claim left {key} {uid}"),
        Input::Seen(Object::Address { address: a, scope }) => {
            let whose = if *scope == Scope::Ours {
                ""
            } else {
                " another's"
            };
            format!("address {} {}{whose}", a.meta.name, a.meta.uid)
        }
        Input::AddressGone { key, uid } => format!("address gone {} {uid}", key.name),
        Input::NameFreed(key) => format!("freed {}", key.name),
        Input::Kinds(kinds) => format!("kinds synced {}", kinds.is_synced()),
        Input::Answer {
            id,
            outcome: Outcome::Stored(object, take),
        } => format!("answer {} Stored {} {take:?}", id.0, object.meta().uid),
        Input::Answer { id, outcome } => format!("answer {} {outcome:?}", id.0),
        Input::Tick => "tick".to_owned(),
    }
}

/// A request as a fake server sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) body: Value,
}

/// What a fake server says.
pub(super) enum Say {
    Status(u16, Value),
    /// With a Retry-After header, in seconds.
    Later(u16, u64),
    Text(u16, &'static str),
    /// A watch that tells these and ends.
    Lines(Vec<Value>),
    Error(BoxError),
    Nothing,
}

/// The answer to one request: shapes of a real server's.
pub(super) fn failure(code: u16, reason: &str, name: &str) -> Say {
    Say::Status(
        code,
        json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": format!("{reason} {name}"),
                "details": { "name": name } }),
    )
}

/// A client of a server that answers by `script`, and what it was asked.
pub(super) fn server(
    script: impl FnMut(usize, &Asked) -> Say + Send + 'static,
) -> (Client, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new(script));
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, script) = (Arc::clone(&log), Arc::clone(&script));
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let asked = Asked { line, body };
            let n = {
                let mut log = log.lock().unwrap();
                log.push(asked.clone());
                log.len() - 1
            };
            let said = (script.lock().unwrap())(n, &asked);
            let response = Response::builder().header("content-type", "application/json");
            let (response, body) = match said {
                Say::Status(code, body) => (response.status(code), body.to_string()),
                Say::Later(code, seconds) => (
                    response.status(code).header("retry-after", seconds),
                    "{}".to_owned(),
                ),
                Say::Text(code, text) => (response.status(code), text.to_owned()),
                Say::Lines(lines) => {
                    let text: String = lines
                        .iter()
                        .flat_map(|l| [l.to_string(), "\n".to_owned()])
                        .collect();
                    (response.status(200), text)
                }
                Say::Error(e) => return Err(e),
                Say::Nothing => std::future::pending().await,
            };
            Ok::<_, BoxError>(response.body(Full::new(Bytes::from(body))).unwrap())
        }
    });
    (Client::new(service, "default"), asked)
}

/// Returns once it is so. The clock of these tests is paused, so this takes no time; it panics when it is not so within ten
/// minutes of that clock.
pub(super) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
