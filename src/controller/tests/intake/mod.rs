//! Lists and watches of a scripted server: what the router hears of them.

mod discovery;
mod lists;
mod reading;
mod watches;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{Say, address_spec, claim_spec, failure, key, object, server, told, until};
use crate::api::ClaimKind;
use crate::api::Kind;
use crate::controller::View;
use crate::controller::failure::Failures;
use crate::controller::intake::{Intake, Intakes};
use crate::controller::lease::Entry;
use crate::controller::registry::Registry;
use crate::controller::router::Router;
use crate::controller::served::Served;
use crate::controller::view::Counts;
use crate::pool::KindState;

const CLAIMS: Kind = Kind::Claims(ClaimKind::Metal3);
const CAPI_ADDRESSES: Kind = Kind::Addresses(ClaimKind::Capi);

/// What a scripted server says: discovery by itself, lists and watches in the order of the script. At its end it is silent.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Scripted>>);

#[derive(Default)]
struct Scripted {
    /// Versions in which the kind is served.
    versions: Vec<&'static str>,
    lists: VecDeque<Say>,
    watches: VecDeque<Say>,
    /// Lists and watches that were asked for.
    asked: Vec<String>,
    /// Times that the list of groups was asked for.
    discoveries: usize,
}

struct Harness {
    failures: Arc<Failures>,
    script: Script,
    router: Arc<Router>,
    view: View,
    served: Arc<Served>,
    registry: Arc<Registry>,
    kind: Kind,
}

impl Script {
    fn answer(&self, kind: Kind, line: &str) -> Say {
        let mut script = self.0.lock().unwrap();
        let path = line.strip_prefix("GET ").unwrap();
        if path == "/apis" {
            script.discoveries += 1;
            let versions: Vec<Value> = script
                .versions
                .iter()
                .map(|v| json!({ "version": v }))
                .collect();
            let groups = if versions.is_empty() {
                json!([])
            } else {
                json!([{ "name": kind.group(), "versions": versions }])
            };
            return Say::Status(200, json!({ "kind": "APIGroupList", "groups": groups }));
        }
        if path.split('/').count() == 4 {
            let resources =
                json!([{ "name": kind.plural() }, { "name": format!("{}/status", kind.plural()) }]);
            return Say::Status(
                200,
                json!({ "kind": "APIResourceList", "resources": resources }),
            );
        }
        script.asked.push(path.to_owned());
        let queue = if path.contains("watch=1") {
            &mut script.watches
        } else {
            &mut script.lists
        };
        queue.pop_front().unwrap_or(Say::Nothing)
    }

    fn asked(&self) -> Vec<String> {
        let asked = &self.0.lock().unwrap().asked;
        // The seconds of a watch are random.
        let short = |line: &String| {
            let (path, query) = line.split_once('?').unwrap_or((line, ""));
            let query: Vec<&str> = query
                .split('&')
                .filter(|q| !q.starts_with("timeoutSeconds"))
                .collect();
            format!(
                "{} {}",
                path.rsplit('/').next().unwrap_or_default(),
                query.join("&")
            )
        };
        asked.iter().map(short).collect()
    }
}

fn page(version: u64, next: &str, items: Vec<Value>) -> Say {
    Say::Status(
        200,
        json!({ "kind": "List", "metadata": { "resourceVersion": version.to_string(), "continue": next }, "items": items }),
    )
}

fn event(what: &str, object: Value) -> Value {
    json!({ "type": what, "object": object })
}

/// What a watch says that is behind what the server still keeps.
fn expired() -> Value {
    let status =
        json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" });
    event("ERROR", status)
}

fn claim(name: &str, uid: &str, version: u64) -> Value {
    object(name, uid, version, claim_spec("x"))
}

/// An intake at work on a scripted server, of a process that leads.
fn harness(kind: Kind, versions: &[&'static str], lists: Vec<Say>, watches: Vec<Say>) -> Harness {
    let script = Script::default();
    {
        let mut scripted = script.0.lock().unwrap();
        scripted.versions = versions.to_vec();
        scripted.lists = lists.into();
        scripted.watches = watches.into();
    }
    let answers = script.clone();
    let (client, _) = server(move |_, asked| answers.answer(kind, &asked.line));
    let (registry, counts) = (
        Arc::new(Registry::default()),
        Arc::new(Counts::new(Arc::default(), "lease")),
    );
    let router = Arc::new(Router::new(
        Arc::clone(&registry),
        Arc::clone(&counts),
        None,
        Box::new(|_, _, _| {}),
    ));
    router.lead(Entry::Early);
    // Lists of address objects wait for theirs.
    router.kind_is(Kind::Clusters, KindState::Absent);
    let served = Arc::new(Served::new());
    let failures = Arc::new(Failures::default());
    let all = Intakes {
        client,
        router: Arc::clone(&router),
        served: Arc::clone(&served),
        counts: Arc::clone(&counts),
        namespace: None,
        discovery_interval: Duration::from_secs(30),
        seed: 1,
        failures: Arc::clone(&failures),
        page_bytes: 8 << 10,
    };
    failures.spawn("watch", Intake::new(kind, all).run());
    Harness {
        failures,
        script,
        router,
        view: View {
            registry: Arc::clone(&registry),
            counts,
        },
        served,
        registry,
        kind,
    }
}

impl Harness {
    /// What pool `x` was told since the last time.
    fn told(&self) -> Vec<String> {
        let Some(handle) = self.registry.get(&key("x")) else {
            return Vec::new();
        };
        let inputs = std::iter::from_fn(|| handle.mailbox.take_input());
        inputs
            .map(|i| told(&i))
            .filter(|t| !t.starts_with("kinds"))
            .collect()
    }

    fn state(&self) -> KindState {
        self.view.kinds()[self.kind]
    }

    /// What the server says from now on.
    fn next(&self, lists: Vec<Say>, watches: Vec<Say>) {
        let mut script = self.script.0.lock().unwrap();
        script.lists = lists.into();
        script.watches = watches.into();
    }

    /// Whether the metric says that the kind is not watched.
    fn is_blind(&self) -> bool {
        let kinds = self.view.sight().kinds;
        let pending =
            |of: &str, state: KindState| of == self.kind.resource() && state == KindState::Pending;
        kinds.iter().any(|(of, state)| pending(of, *state))
    }

    /// Of a create that is decided on now.
    async fn knows_who_holds(&self, age: Duration) -> bool {
        let decided_on = self.view.kinds().changes();
        self.router.knows_who_holds(decided_on, age).await
    }

    async fn asked(&self, n: usize) {
        until("asked so often", || self.script.asked().len() >= n).await;
    }
}
