//! Checks that a run is at rest (O3), and that the controller's memory equals the objects (O4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use metal3_ipam::controller::View;
use metal3_ipam::pool::Snapshot;
use serde_json::Value;

use super::end::{End, beside};
use super::ranges::Ranges;

/// O3 and O4: nothing that is against them when the list is empty.
pub(crate) fn is_at_rest(end: &End, view: &View) -> Vec<String> {
    let mut wrong = end.loose_ends();
    let snapshots = view.snapshots();
    for snapshot in &snapshots {
        let key = format!("{}/{}", snapshot.key.namespace, snapshot.key.name);
        let pool = end.pool(&key);
        wrong.extend(
            remembered(end, snapshot, &key, pool)
                .into_iter()
                .chain(
                    pool.into_iter()
                        .flat_map(|pool| told(end, &key, snapshot, pool)),
                )
                .map(|line| format!("O4 pool {key}: {line}")),
        );
    }
    let known = |name: &str| {
        let mut keys = snapshots.iter().map(|s| &s.key);
        keys.any(|k| format!("{}/{}", k.namespace, k.name) == name)
    };
    for (name, _) in end.of("IPPool").filter(|(name, _)| !known(name)) {
        wrong.push(format!("O4 pool {name} is not known"));
    }
    wrong
}

/// What a pool's memory says and the objects do not.
fn remembered(end: &End, snapshot: &Snapshot, key: &str, pool: Option<&Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, memory: u128, objects: u128| {
        if memory != objects {
            wrong.push(format!(
                "{what}: {memory} in memory, {objects} by the objects"
            ));
        }
    };
    same(
        "exists",
        u128::from(snapshot.exists()),
        u128::from(pool.is_some()),
    );
    same("requests in flight", u128::from(snapshot.in_flight), 0);
    let claims: Vec<_> = end.claims().filter(|(.., of, _)| of == key).collect();
    same("claims", u128::from(snapshot.claims), claims.len() as u128);
    let living = |claim: &Value| claim.pointer("/metadata/deletionTimestamp").is_none();
    let waiting = claims
        .iter()
        .filter(|(_, _, claim, _, published)| published.is_none() && living(claim));
    let in_memory = snapshot.waiting.values().sum::<u64>();
    same("waiting", u128::from(in_memory), waiting.count() as u128);
    let Some(pool) = pool else {
        return wrong;
    };
    let held: BTreeSet<IpAddr> = end
        .objects()
        .filter(|(_, name, held)| beside(name, held.pool) == key)
        .filter_map(|(_, _, held)| held.address.parse().ok())
        .collect();
    let ranges = Ranges::read(pool);
    let inside = held.iter().filter(|a| ranges.contain(**a)).count();
    same("allocated", snapshot.allocated, inside as u128);
    same(
        "held outside the ranges",
        u128::from(snapshot.out_of_range),
        (held.len() - inside) as u128,
    );
    if let Some(capacity) = ranges.capacity() {
        same("capacity", snapshot.capacity, capacity);
        let free = snapshot.available + snapshot.reserved + snapshot.allocated;
        same("available + reserved + allocated", free, capacity);
    }
    wrong
}

/// What a pool's stored status says and its memory does not.
fn told(end: &End, key: &str, snapshot: &Snapshot, pool: &Value) -> Vec<String> {
    let counts = [
        ("capacity", snapshot.capacity),
        ("allocated", snapshot.allocated),
        ("available", snapshot.available),
        ("reserved", snapshot.reserved),
        ("outOfRange", u128::from(snapshot.out_of_range)),
        ("waitingClaims", u128::from(waiting_in_vain(snapshot))),
    ];
    let conditions = pool.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let says_paused = conditions.any(|c| c["type"] == "Paused" && c["status"] == "True");
    let is_paused = is_paused(end, key, pool);
    if says_paused && !is_paused {
        return vec!["the status says Paused=True, and nothing pauses the pool".to_owned()];
    }
    // A status that another manager or nobody writes says nothing of this one's memory.
    let status = &pool["status"];
    if is_paused || status["capacity"].is_null() {
        return Vec::new();
    }
    counts
        .into_iter()
        .filter(|(field, memory)| {
            let stored = status[*field].as_u64().unwrap_or(0);
            i64::try_from(*memory).unwrap_or(i64::MAX) != i64::try_from(stored).unwrap_or(i64::MAX)
        })
        .map(|(field, memory)| format!("status.{field} is {}, memory has {memory}", status[field]))
        .collect()
}

/// Claims that the status counts as waiting: those that are just being served are not among them.
fn waiting_in_vain(snapshot: &Snapshot) -> u64 {
    let waiting = snapshot.waiting.iter();
    waiting
        .filter(|(reason, _)| **reason != "Pending")
        .map(|(_, claims)| claims)
        .sum()
}

/// Whether the pool or its Cluster is paused, by the objects (P1).
fn is_paused(end: &End, key: &str, pool: &Value) -> bool {
    let annotated = |object: &Value| {
        let annotations = object.pointer("/metadata/annotations");
        annotations.is_some_and(|all| all.get("cluster.x-k8s.io/paused").is_some())
    };
    let cluster = pool.pointer("/spec/clusterName").and_then(Value::as_str);
    let cluster = cluster.map(|name| beside(key, name));
    let cluster = cluster.and_then(|name| end.of("Cluster").find(|(key, _)| *key == name));
    annotated(pool)
        || cluster.is_some_and(|(_, cluster)| {
            annotated(cluster) || cluster.pointer("/spec/paused") == Some(&Value::Bool(true))
        })
}
