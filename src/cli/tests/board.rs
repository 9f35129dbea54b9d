//! What the table and the verdict make of what watches tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{ClaimKind, PoolKey};
use crate::cli::board::{Board, Change, Kind, Verdict};
use crate::pool::Snapshot;

fn seen(kind: Kind, name: &str, metadata: Value, spec: Value, status: Value) -> Change {
    let mut object = json!({ "metadata": { "name": name, "namespace": "default" } });
    if let (Value::Object(all), Value::Object(given)) = (&mut object["metadata"], metadata) {
        all.extend(given);
    }
    object["spec"] = spec;
    object["status"] = status;
    Change::Seen(kind, serde_json::from_value(object).unwrap())
}

fn listed() -> Board {
    let mut board = Board::default();
    for kind in Kind::ALL {
        assert_eq!(board.verdict(&[]), Verdict::Open, "not all is listed yet");
        board.take(Change::All(kind, Vec::new()));
    }
    board
}

fn claim(name: &str, status: Value) -> Change {
    seen(
        Kind::Claim(ClaimKind::Metal3),
        name,
        json!({}),
        json!({ "pool": { "name": "p" } }),
        status,
    )
}

fn capi_claim(name: &str, group: &str, status: Value) -> Change {
    let spec = json!({ "poolRef": { "name": "p", "kind": "IPPool", "apiGroup": group } });
    seen(Kind::Claim(ClaimKind::Capi), name, json!({}), spec, status)
}

fn bound(name: &str) -> Value {
    json!({ "address": { "name": name }, "addressRef": { "name": name } })
}

fn told(reason: &str, message: &str) -> Value {
    json!({ "conditions": [{ "type": "Ready", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": "2025-01-01T00:00:00Z" }] })
}

fn address(kind: ClaimKind, name: &str, spec: Value) -> Change {
    seen(Kind::Address(kind), name, json!({}), spec, Value::Null)
}

fn snapshot(waiting: u64) -> Vec<Arc<Snapshot>> {
    vec![Arc::new(Snapshot {
        key: PoolKey {
            namespace: "default".into(),
            name: "p".into(),
        },
        uid: Some("u".into()),
        of_another_manager: false,
        capacity: 0,
        allocated: 0,
        available: 0,
        reserved: 0,
        out_of_range: 0,
        waiting: BTreeMap::from([("PoolExhausted", waiting)]),
        claims: waiting,
        in_flight: 0,
        status_waits: false,
        ready: Ok(()),
        cluster: None,
        strategy: "sequential",
        family: "IPv4",
        problems: BTreeMap::new(),
    })]
}

#[test]
fn a_claim_is_bound_when_its_address_object_is_there() {
    let mut board = listed();
    assert_eq!(
        board.verdict(&[]),
        Verdict::Bound,
        "there is none that is not"
    );
    board.take(claim("a", bound("x")));
    board.take(capi_claim("a", "ipam.metal3.io", bound("x")));
    assert_eq!(
        (board.counts(), board.verdict(&[])),
        ((0, 2), Verdict::Open)
    );
    board.take(address(
        ClaimKind::Metal3,
        "x",
        json!({ "address": "10.0.0.1", "prefix": 24, "gateway": "10.0.0.254" }),
    ));
    assert_eq!(
        (board.counts(), board.verdict(&[])),
        ((1, 1), Verdict::Open)
    );
    board.take(address(
        ClaimKind::Capi,
        "x",
        json!({ "address": "fd00::5", "prefix": 0 }),
    ));
    assert_eq!(
        (board.counts(), board.verdict(&[])),
        ((2, 0), Verdict::Bound)
    );
    assert_eq!(
        board.table(),
        "CLAIM   KIND             POOL   ADDRESS    PREFIX   GATEWAY      STATE\n\
         a       IPClaim          p      10.0.0.1   24       10.0.0.254   Bound\n\
         a       IPAddressClaim   p      fd00::5    -        -            Bound\n"
    );
    let Change::Seen(kind, gone) = claim("a", Value::Null) else {
        unreachable!()
    };
    board.take(Change::Gone(kind, gone));
    assert_eq!(board.counts(), (1, 0));
    board.take(Change::All(Kind::Claim(ClaimKind::Capi), Vec::new()));
    assert_eq!(board.counts(), (0, 0));
}

#[test]
fn claims_that_were_told_why_are_stuck_once_the_controller_agrees() {
    let mut board = listed();
    board.take(claim("a", Value::Null));
    assert_eq!(board.verdict(&snapshot(1)), Verdict::Open);
    board.take(claim("a", told("PoolExhausted", "add a range")));
    assert_eq!(
        board.verdict(&[]),
        Verdict::Open,
        "the controller does not know it yet"
    );
    assert_eq!(
        board.verdict(&snapshot(0)),
        Verdict::Open,
        "the controller has just bound it"
    );
    let why = "IPClaim default/a: PoolExhausted: add a range".to_owned();
    assert_eq!(board.verdict(&snapshot(1)), Verdict::Stuck(vec![why]));
    board.take(claim("a", told("PoolNotFound", "create it")));
    assert_eq!(
        board.verdict(&snapshot(1)),
        Verdict::Open,
        "the controller knows another reason by now"
    );
    board.take(claim("a", told("PoolExhausted", "add a range")));
    assert!(
        board
            .table()
            .contains("   -         -        -         PoolExhausted: add a range\n"),
        "{}",
        board.table()
    );
}

#[test]
fn the_finer_reason_of_an_ipaddressclaim_is_compared() {
    let mut board = listed();
    let status = told("AllocationFailed", "PoolExhausted: see 10.0.0.0");
    board.take(capi_claim("a", "ipam.metal3.io", status));
    let why = "IPAddressClaim default/a: AllocationFailed: PoolExhausted: see 10.0.0.0";
    assert_eq!(
        board.verdict(&snapshot(1)),
        Verdict::Stuck(vec![why.to_owned()])
    );
    assert_eq!(board.verdict(&snapshot(0)), Verdict::Open);
}

#[test]
fn paused_claims_are_stuck_without_being_told() {
    let pool = |metadata| {
        seen(
            Kind::Pool,
            "p",
            metadata,
            json!({ "namePrefix": "x", "clusterName": "c" }),
            Value::Null,
        )
    };
    let cluster = |paused: bool| {
        seen(
            Kind::Cluster,
            "c",
            json!({}),
            json!({ "paused": paused }),
            Value::Null,
        )
    };
    let annotation = json!({ "annotations": { "cluster.x-k8s.io/paused": "" } });
    let stuck =
        |why: &str| Verdict::Stuck(vec![format!("IPClaim default/a: Paused: {why} is paused")]);
    let mut board = listed();
    board.take(claim("a", Value::Null));
    board.take(pool(annotation.clone()));
    assert_eq!(board.verdict(&[]), stuck("pool default/p"));
    board.take(cluster(true));
    assert_eq!(board.verdict(&[]), stuck("Cluster c"));
    board.take(cluster(false));
    board.take(pool(json!({})));
    assert_eq!(board.verdict(&[]), Verdict::Open);
    board.take(seen(
        Kind::Claim(ClaimKind::Metal3),
        "a",
        annotation,
        json!({ "pool": { "name": "p" } }),
        Value::Null,
    ));
    assert_eq!(board.verdict(&[]), stuck("the claim"));
}

#[test]
fn deleted_claims_and_other_providers_are_not_waited_for() {
    let mut board = listed();
    board.take(capi_claim("other", "other.io", Value::Null));
    let deleting = json!({ "deletionTimestamp": "2025-01-01T00:00:00Z" });
    board.take(seen(
        Kind::Claim(ClaimKind::Metal3),
        "gone",
        deleting,
        json!({ "pool": { "name": "p" } }),
        Value::Null,
    ));
    assert_eq!(
        (board.counts(), board.verdict(&[])),
        ((0, 0), Verdict::Bound)
    );
}

#[test]
fn claims_of_several_namespaces_are_named_with_them() {
    let mut board = listed();
    board.take(claim("b", Value::Null));
    board.take(seen(
        Kind::Claim(ClaimKind::Metal3),
        "a",
        json!({ "namespace": "n" }),
        json!({}),
        Value::Null,
    ));
    let table = board.table();
    let names: Vec<_> = table
        .lines()
        .skip(1)
        .filter_map(|l| l.split(' ').next())
        .collect();
    assert_eq!(names, ["default/b", "n/a"]);
}
