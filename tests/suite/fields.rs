//! Ownership of fields: fixed scripts of requests, sent to the embedded server and to the real one. After each step both must
//! return the same code and object, `managedFields` included, without UIDs, versions and times.

mod scripts;

use std::fmt::Write as _;

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::differential::level_decoder_texts;
use crate::harness::{On, World};
use crate::{control_plane, tally};

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

/// One request. `$RV` and `$UID` in its body are those of the last returned object.
#[derive(Clone)]
struct Step {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    media_type: &'static str,
    agent: Option<&'static str>,
    body: String,
}

/// A body.
struct Text(String);

impl From<Value> for Text {
    fn from(body: Value) -> Self {
        Self(body.to_string())
    }
}

impl From<&Value> for Text {
    fn from(body: &Value) -> Self {
        Self(body.to_string())
    }
}

impl From<&str> for Text {
    fn from(body: &str) -> Self {
        Self(body.to_owned())
    }
}

impl Step {
    /// A request on a resource (`group/version/plural`, or `v1/plural`); `name` may end in `/status`.
    fn new(method: Method, resource: &str, name: &str, body: impl Into<Text>) -> Self {
        let prefix = if resource.starts_with("v1/") {
            "/api"
        } else {
            "/apis"
        };
        let (version, plural) = resource.rsplit_once('/').unwrap();
        let path = if plural == "namespaces" {
            format!("{prefix}/{version}/{plural}/{name}")
        } else {
            format!("{prefix}/{version}/namespaces/$NS/{plural}/{name}")
        };
        Self {
            method,
            path: path.trim_end_matches('/').to_owned(),
            query: Vec::new(),
            media_type: JSON,
            agent: None,
            body: body.into().0,
        }
    }

    fn create(resource: &str, object: Value) -> Self {
        Self::new(Method::POST, resource, "", object)
    }

    fn update(resource: &str, name: &str, object: Value) -> Self {
        Self::new(Method::PUT, resource, name, object)
    }

    fn patch(resource: &str, name: &str, media_type: &'static str, patch: Value) -> Self {
        let step = Self::new(Method::PATCH, resource, name, patch);
        Self { media_type, ..step }
    }

    fn apply(resource: &str, name: &str, manager: &str, config: impl Into<Text>) -> Self {
        let step = Self::new(Method::PATCH, resource, name, config);
        let step = Self {
            media_type: APPLY,
            ..step
        };
        if manager.is_empty() {
            step
        } else {
            step.by(manager)
        }
    }

    fn get(resource: &str, name: &str) -> Self {
        Self::new(Method::GET, resource, name, "")
    }

    fn by(self, manager: &str) -> Self {
        self.with("fieldManager", manager)
    }

    fn force(self) -> Self {
        self.with("force", "true")
    }

    fn dry(self) -> Self {
        self.with("dryRun", "All")
    }

    fn with(mut self, key: &'static str, value: &str) -> Self {
        self.query.push((key, value.to_owned()));
        self
    }

    fn from(self, agent: &'static str) -> Self {
        Self {
            agent: Some(agent),
            ..self
        }
    }
}

/// One server, and what was answered last.
struct Player {
    client: Client,
    namespace: String,
    last: (String, String),
}

impl Player {
    async fn start(world: &World) -> Self {
        let mut player = Self {
            client: world.client.clone(),
            namespace: String::new(),
            last: Default::default(),
        };
        let namespace = json!({"metadata": {"generateName": "fields-"}});
        let made = Step::new(Method::POST, "v1/namespaces", "", namespace);
        let (code, made) = player.send(&made).await;
        assert_eq!(code, 201, "{made}");
        made["metadata"]["name"]
            .as_str()
            .unwrap()
            .clone_into(&mut player.namespace);
        player
    }

    async fn send(&mut self, step: &Step) -> (u16, Value) {
        let put_in = |text: &str| {
            text.replace("$NS", &self.namespace)
                .replace("$RV", &self.last.0)
                .replace("$UID", &self.last.1)
        };
        let query: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&step.query)
            .finish();
        let mut request = Request::builder()
            .method(&step.method)
            .uri(format!("{}?{query}", put_in(&step.path)))
            .header("content-type", step.media_type);
        if let Some(agent) = step.agent {
            request = request.header("user-agent", agent);
        }
        let body = Body::from(put_in(&step.body).into_bytes());
        let answer = self.client.send(request.body(body).unwrap()).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        if let (Some(version), Some(uid)) = (
            body.pointer("/metadata/resourceVersion")
                .and_then(Value::as_str),
            body.pointer("/metadata/uid").and_then(Value::as_str),
        ) {
            self.last = (version.to_owned(), uid.to_owned());
        }
        (code, body)
    }

    /// Code and answer without what cannot be the same.
    async fn play(&mut self, step: &Step) -> (u16, Value) {
        let (code, mut body) = self.send(step).await;
        let text = body.to_string().replace(&self.namespace, "$NS");
        body = serde_json::from_str(&text).unwrap();
        blur(&mut body);
        (code, body)
    }
}

/// Takes out UIDs, versions and times, and puts in order what comes in any.
fn blur(value: &mut Value) {
    match value {
        Value::Object(map) => {
            blur_fields(map);
            map.values_mut().for_each(blur);
        }
        Value::Array(list) => list.iter_mut().for_each(blur),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn blur_fields(map: &mut Map<String, Value>) {
    if map.contains_key("creationTimestamp") {
        for name in ["uid", "resourceVersion", "creationTimestamp"] {
            if map.contains_key(name) {
                map.insert(name.to_owned(), "*".into());
            }
        }
    }
    if map.contains_key("fieldsType") && map.contains_key("time") {
        map.insert("time".to_owned(), "*".into());
    }
    for (name, by) in [
        ("managedFields", ["operation", "manager", "subresource"]),
        ("causes", ["field", "message", "reason"]),
    ] {
        if let Some(Value::Array(list)) = map.get_mut(name) {
            list.sort_by_key(|entry| by.map(|field| entry[field].to_string()));
            // The real server checks metadata several times, and warns each time.
            list.dedup();
        }
    }
}

/// Where two values differ, path by path.
fn differences(path: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                differences(&format!("{path}.{name}"), &a[name], &b[name], found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (a, b)) in left.iter().zip(right).enumerate() {
                differences(&format!("{path}[{index}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}\n    embedded {a}\n    real     {b}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_owned_on_the_embedded_server_as_on_the_real_one() {
    if control_plane::started().await.is_none() {
        control_plane::say(
            "SKIPPED: who owns which field cannot be compared without a real server",
        );
        tally::add("steps of field ownership SKIPPED: no Go", 1);
        return;
    }
    let (embedded, real) = (
        World::without_controller(On::Embedded).await,
        World::without_controller(On::Real).await,
    );
    let mut report = String::new();
    let mut steps = 0;
    let (mut here, mut there) = (Player::start(&embedded).await, Player::start(&real).await);
    for (name, script) in scripts::all() {
        for (index, step) in script.iter().enumerate() {
            let (mut a, mut b) = (here.play(step).await, there.play(step).await);
            steps += 1;
            // Texts of Go's parsers are not those of the embedded server (`decoder-text` in docs/standalone.md).
            level_decoder_texts(&mut a.1, &mut b.1);
            let mut found = Vec::new();
            differences("code", &a.0.into(), &b.0.into(), &mut found);
            differences("answer", &a.1, &b.1, &mut found);
            if !found.is_empty() {
                let body: String = step.body.chars().take(200).collect();
                let (method, path, query) = (&step.method, &step.path, &step.query);
                let found = found.join("\n  ");
                writeln!(
                    report,
                    "\n{name} {index}: {method} {path} {query:?} {body}\n  {found}"
                )
                .unwrap();
            }
        }
    }
    for player in [&mut here, &mut there] {
        let gone = Step::new(Method::DELETE, "v1/namespaces", "$NS", "");
        player.send(&gone).await;
    }
    embedded.end().await;
    real.end().await;
    assert!(report.is_empty(), "{report}");
    tally::add("steps of field ownership compared", steps);
}
