//! What became of every claim: a copy of the server's pools, claims, address objects and Clusters, fed by watches, and the
//! table and the verdict read from it. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::table;
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, PoolKey, PoolObject,
    ReferenceFault, WireObject, names,
};
use crate::pool::Snapshot;

/// The kinds that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Pool,
    Claim(ClaimKind),
    Address(ClaimKind),
    Cluster,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Pool,
        Self::Claim(ClaimKind::Metal3),
        Self::Claim(ClaimKind::Capi),
        Self::Address(ClaimKind::Metal3),
        Self::Address(ClaimKind::Capi),
        Self::Cluster,
    ];
}

/// One thing that a watch tells.
#[derive(Debug)]
pub(super) enum Change {
    /// These are all there are.
    All(Kind, Vec<WireObject>),
    /// This is new, or new in this form.
    Seen(Kind, WireObject),
    /// This is gone.
    Gone(Kind, WireObject),
}

/// Namespace and key within it.
type At<K> = (Arc<str>, K);

/// The copy.
#[derive(Debug, Default)]
pub(super) struct Board {
    listed: BTreeSet<Kind>,
    pools: BTreeMap<PoolKey, PoolObject>,
    claims: BTreeMap<At<ClaimKey>, Claim>,
    addresses: BTreeMap<At<AddressKey>, Address>,
    clusters: BTreeMap<At<Arc<str>>, ClusterFacts>,
}

/// How far all claims are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Some may still get an address without anyone's doing.
    Open,
    /// Every claim is bound.
    Bound,
    /// These have no address and get none unless something changes: what, and why.
    Stuck(Vec<String>),
}

/// How far one claim is.
#[derive(Debug)]
enum Standing<'a> {
    Bound(&'a Address),
    /// Of no interest here: being deleted, or another provider's.
    Aside(&'static str),
    /// Nothing is written to it, so that it waits stands nowhere but here (P1).
    Paused(String),
    /// Has no address, and was told why.
    Told(String),
    /// Has no address, and was not told yet.
    Open,
}

impl Board {
    /// Takes in what a watch tells.
    pub(super) fn take(&mut self, change: Change) {
        match change {
            Change::All(kind, objects) => {
                match kind {
                    Kind::Pool => self.pools.clear(),
                    Kind::Claim(kind) => self.claims.retain(|(_, key), _| key.kind != kind),
                    Kind::Address(kind) => self.addresses.retain(|(_, key), _| key.kind != kind),
                    Kind::Cluster => self.clusters.clear(),
                }
                for object in objects {
                    self.put(kind, object);
                }
                self.listed.insert(kind);
            }
            Change::Seen(kind, object) => self.put(kind, object),
            Change::Gone(kind, object) => self.drop(kind, object),
        }
    }

    fn put(&mut self, kind: Kind, object: WireObject) {
        let namespace = object.metadata.namespace.clone();
        match kind {
            Kind::Pool => {
                let pool = PoolObject::read(object);
                self.pools.insert(pool.key(), pool);
            }
            Kind::Claim(kind) => {
                let claim = Claim::read(kind, object);
                self.claims.insert((namespace, claim.key()), claim);
            }
            Kind::Address(kind) => {
                let address = Address::read(kind, object);
                self.addresses.insert((namespace, address.key()), address);
            }
            Kind::Cluster => {
                let facts = ClusterFacts::read("", &object);
                self.clusters.insert((namespace, facts.name.clone()), facts);
            }
        }
    }

    fn drop(&mut self, kind: Kind, object: WireObject) {
        let (namespace, name) = (object.metadata.namespace, object.metadata.name);
        match kind {
            Kind::Pool => {
                self.pools.remove(&PoolKey { namespace, name });
            }
            Kind::Claim(kind) => {
                self.claims.remove(&(namespace, ClaimKey { kind, name }));
            }
            Kind::Address(kind) => {
                self.addresses
                    .remove(&(namespace, AddressKey { kind, name }));
            }
            Kind::Cluster => {
                self.clusters.remove(&(namespace, name));
            }
        }
    }

    /// Bound and waiting claims.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.claims
            .values()
            .fold((0, 0), |(bound, waiting), claim| {
                match self.standing(claim) {
                    Standing::Bound(_) => (bound + 1, waiting),
                    Standing::Aside(_) => (bound, waiting),
                    Standing::Paused(_) | Standing::Told(_) | Standing::Open => {
                        (bound, waiting + 1)
                    }
                }
            })
    }

    /// Whether all that will happen by itself has happened. `snapshots` are the controller's pools, taken after everything
    /// that the board holds.
    pub(super) fn verdict(&self, snapshots: &[Arc<Snapshot>]) -> Verdict {
        if self.listed.len() < Kind::ALL.len() {
            return Verdict::Open;
        }
        let mut stuck = Vec::new();
        let mut waiting: BTreeMap<PoolKey, u64> = BTreeMap::new();
        for claim in self.claims.values() {
            let why = match self.standing(claim) {
                Standing::Bound(_) | Standing::Aside(_) => continue,
                Standing::Open => return Verdict::Open,
                Standing::Paused(why) => why,
                Standing::Told(why) => {
                    *waiting.entry(claim.pool_key()).or_default() += 1;
                    why
                }
            };
            stuck.push(format!(
                "{} {}/{}: {why}",
                claim.kind.claim(),
                claim.meta.namespace,
                claim.meta.name
            ));
        }
        if stuck.is_empty() {
            return Verdict::Bound;
        }
        // The controller is ahead of the watches here: fewer claims wait in its pools than on the board when one was just bound.
        let waiting_there = |key: &PoolKey| {
            let snapshot = snapshots.iter().find(|s| s.key == *key);
            snapshot.map_or(0, |s| s.waiting.values().sum())
        };
        if waiting.iter().any(|(key, here)| waiting_there(key) < *here) {
            return Verdict::Open;
        }
        Verdict::Stuck(stuck)
    }

    fn standing(&self, claim: &Claim) -> Standing<'_> {
        if claim.meta.is_deleting() {
            return Standing::Aside("Deleting");
        }
        if claim.fault == Some(ReferenceFault::OtherProvider) {
            return Standing::Aside("OtherProvider");
        }
        let address = claim.published.as_ref().and_then(|name| {
            let key = AddressKey {
                kind: claim.kind,
                name: name.clone(),
            };
            self.addresses.get(&(claim.meta.namespace.clone(), key))
        });
        if let Some(address) = address {
            return Standing::Bound(address);
        }
        if let Some(what) = self.pause(claim) {
            return Standing::Paused(format!("Paused: {what} is paused"));
        }
        match claim.condition("Ready").filter(|c| c.status == "False") {
            None => Standing::Open,
            Some(c) if c.message.is_empty() => Standing::Told(c.reason.clone()),
            Some(c) => Standing::Told(format!("{}: {}", c.reason, c.message)),
        }
    }

    /// What keeps the controller from writing to a claim.
    fn pause(&self, claim: &Claim) -> Option<String> {
        let pool = self.pools.get(&claim.pool_key());
        let of_pool = pool.and_then(|pool| pool.spec.as_ref().ok()?.cluster_name.as_deref());
        let paused = |cluster: &&str| {
            let key = (claim.meta.namespace.clone(), Arc::from(*cluster));
            self.clusters.get(&key).is_some_and(|facts| facts.paused)
        };
        let cluster = claim
            .cluster
            .as_deref()
            .filter(paused)
            .or(of_pool.filter(paused));
        if claim.meta.has_annotation(names::PAUSED_ANNOTATION) {
            Some("the claim".to_owned())
        } else if let Some(cluster) = cluster {
            Some(format!("Cluster {cluster}"))
        } else {
            let pool = pool.filter(|pool| pool.meta.has_annotation(names::PAUSED_ANNOTATION));
            pool.map(|pool| format!("pool {}", pool.key()))
        }
    }

    /// The table: one line a claim, by namespace, kind and name.
    pub(super) fn table(&self) -> String {
        let namespaces: BTreeSet<_> = self.claims.keys().map(|(namespace, _)| namespace).collect();
        let rows: Vec<[String; 7]> = self
            .claims
            .values()
            .map(|claim| {
                let name = if namespaces.len() > 1 {
                    format!("{}/{}", claim.meta.namespace, claim.meta.name)
                } else {
                    claim.meta.name.to_string()
                };
                let (address, state) = match self.standing(claim) {
                    Standing::Bound(address) => (Some(address), "Bound".to_owned()),
                    Standing::Aside(state) => (None, state.to_owned()),
                    Standing::Paused(why) | Standing::Told(why) => (None, why),
                    Standing::Open => (None, "Waiting".to_owned()),
                };
                let text =
                    |of: fn(&Address) -> Option<String>| address.and_then(of).unwrap_or_default();
                [
                    name,
                    claim.kind.claim().to_owned(),
                    claim.pool.to_string(),
                    text(|a| a.address.as_ref().ok().map(ToString::to_string)),
                    text(|a| a.prefix.map(|p| p.to_string())),
                    text(|a| a.gateway.map(|g| g.to_string())),
                    state,
                ]
            })
            .collect();
        table::render(
            [
                "CLAIM", "KIND", "POOL", "ADDRESS", "PREFIX", "GATEWAY", "STATE",
            ],
            &rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
            exists: true,
            capacity: 0,
            allocated: 0,
            available: 0,
            reserved: 0,
            out_of_range: 0,
            waiting: BTreeMap::from([("PoolExhausted", waiting)]),
            claims: waiting,
            in_flight: 0,
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
        assert!(
            board
                .table()
                .contains("   -         -        -         PoolExhausted: add a range\n"),
            "{}",
            board.table()
        );
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
}
