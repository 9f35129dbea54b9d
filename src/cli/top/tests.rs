//! Stores of prepared changes, and the screens that are drawn of them.

mod drawn;
mod keys;
mod store;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::ask::Line;
use super::screen::{Act, Screen};
use super::store::{Store, View};
use super::watch::Change;
use crate::api::{ClaimKind, Kind, PoolKey, WireObject};
use crate::pool::Name;

const CLAIMS: Kind = Kind::Claims(ClaimKind::Metal3);
const ADDRESSES: Kind = Kind::Addresses(ClaimKind::Metal3);

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wire(name: &str, spec: &Value, status: &Value) -> WireObject {
    let [metal3, capi] = ClaimKind::ALL.map(ClaimKind::claim_finalizer);
    let finalizers = ["ippool.ipam.metal3.io", metal3, capi];
    let meta = json!({"namespace": "a", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1",
        "generation": 1, "creationTimestamp": "2026-11-01T12:00:00Z", "finalizers": finalizers});
    let object = json!({"metadata": meta, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

/// A pool of addresses 10.0.NET.1 to 10.0.NET.COUNT.
fn pool(name: &str, net: u8, count: u8) -> WireObject {
    let range = json!({"start": format!("10.0.{net}.1"), "end": format!("10.0.{net}.{count}")});
    let spec = json!({"namePrefix": name, "pools": [range]});
    wire(name, &spec, &Value::Null)
}

fn claim(name: &str, pool: &str) -> WireObject {
    wire(name, &json!({"pool": {"name": pool}}), &json!({}))
}

fn bound(name: &str, pool: &str) -> WireObject {
    let status = json!({"address": {"name": format!("{pool}-{name}")}});
    wire(name, &json!({"pool": {"name": pool}}), &status)
}

fn address(claim: &str, pool: &str, address: &str) -> WireObject {
    let spec = json!({"address": address, "pool": {"name": pool}, "claim": {"name": claim}});
    wire(&format!("{pool}-{claim}"), &spec, &Value::Null)
}

fn name(name: &str) -> Name {
    Name {
        namespace: "a".into(),
        name: name.into(),
    }
}

fn key(name: &str) -> PoolKey {
    PoolKey {
        namespace: "a".into(),
        name: name.into(),
    }
}

fn seen(kind: Kind, object: WireObject) -> Change {
    Change::Seen(kind, Box::new(object))
}

/// Gives the store a whole list.
fn list(store: &mut Store, kind: Kind, objects: Vec<WireObject>) {
    store.take(Change::Listing(kind), at(0));
    for object in objects {
        store.take(Change::Page(kind, vec![Ok(object)]), at(0));
    }
    store.take(Change::Listed(kind), at(0));
}

/// Three pools: `full` of one address, which has a holder and a claim that waits; `half` of ten, one in use; `free` of ten.
fn prepared() -> Store {
    let mut store = Store::default();
    list(
        &mut store,
        Kind::Pools,
        vec![pool("full", 1, 1), pool("half", 2, 10), pool("free", 3, 10)],
    );
    let claims = vec![
        bound("one", "full"),
        claim("late", "full"),
        bound("two", "half"),
    ];
    list(&mut store, CLAIMS, claims);
    let addresses = vec![
        address("one", "full", "10.0.1.1"),
        address("two", "half", "10.0.2.1"),
    ];
    list(&mut store, ADDRESSES, addresses);
    for kind in [
        Kind::Clusters,
        Kind::Claims(ClaimKind::Capi),
        Kind::Addresses(ClaimKind::Capi),
    ] {
        assert!(!store.is_complete());
        store.take(Change::Absent(kind), at(0));
    }
    assert!(store.is_complete());
    store
}

/// Names of the pools whose lines are new, with free addresses and waiting claims.
fn rebuilt(store: &mut Store) -> Vec<String> {
    let shown = |line: &Arc<Line>| {
        let s = &line.snapshot;
        let gone = if s.exists() { "" } else { " missing" };
        format!("{} {} {}{gone}", s.key.name, s.available, line.waiting)
    };
    store.rebuild(now()).iter().map(shown).collect()
}

fn view(store: &mut Store) -> View {
    store.rebuild(now());
    store.view(at(0))
}

fn press(screen: &mut Screen, view: &View, codes: &[KeyCode]) -> Act {
    let mut act = Act::Stay;
    for code in codes {
        act = screen.on_key(KeyEvent::new(*code, KeyModifiers::NONE), view, 2);
    }
    act
}
