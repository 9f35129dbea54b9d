//! What became of every claim: a copy of the server's pools, claims, address objects and Clusters, fed by watches, and the
//! table and the verdict read from it. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{fine_reason, pause_of};
use super::table;
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, PoolKey, PoolObject,
    ReferenceFault, WireObject,
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

/// One event of a watch.
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

/// The copy of the claims and pools that the watches keep up to date.
#[derive(Debug, Default)]
pub(super) struct Board {
    listed: BTreeSet<Kind>,
    pools: BTreeMap<PoolKey, PoolObject>,
    claims: BTreeMap<At<ClaimKey>, Claim>,
    addresses: BTreeMap<At<AddressKey>, Address>,
    clusters: BTreeMap<At<Arc<str>>, ClusterFacts>,
}

/// Whether all claims are bound, some still are to be, or some cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Some may still get an address without anyone's doing.
    Open,
    /// Every claim is bound.
    Bound,
    /// These have no address and get none unless something changes: what, and why.
    Stuck(Vec<String>),
}

/// Whether one claim is bound, waits, or cannot be bound.
#[derive(Debug)]
enum ClaimState<'a> {
    Bound(&'a Address),
    /// Of no interest here: being deleted, or another provider's.
    Aside(&'static str),
    /// Nothing is written to it, so that it waits stands nowhere but here (P1).
    Paused(String),
    /// Has no address, and its status says why: the controller's reason, and what to show.
    Told(&'a str, String),
    /// Has no address, and its status does not say why yet.
    Open,
}

impl Board {
    /// Takes in an event.
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
            .fold((0, 0), |(bound, waiting), claim| match self.state(claim) {
                ClaimState::Bound(_) => (bound + 1, waiting),
                ClaimState::Aside(_) => (bound, waiting),
                ClaimState::Paused(_) | ClaimState::Told(..) | ClaimState::Open => {
                    (bound, waiting + 1)
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
        let mut told: BTreeMap<(PoolKey, &str), u64> = BTreeMap::new();
        for claim in self.claims.values() {
            let why = match self.state(claim) {
                ClaimState::Bound(_) | ClaimState::Aside(_) => continue,
                ClaimState::Open => return Verdict::Open,
                ClaimState::Paused(why) => why,
                ClaimState::Told(reason, why) => {
                    *told.entry((claim.pool_key(), reason)).or_default() += 1;
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
        // The controller may know more than the claim's status says: it was just bound, or waits for something else by now.
        let pools: BTreeMap<&PoolKey, &Snapshot> =
            snapshots.iter().map(|s| (&s.key, s.as_ref())).collect();
        let known = |key: &PoolKey, reason: &str| {
            let snapshot = pools.get(key);
            snapshot
                .and_then(|s| s.waiting.get(reason))
                .copied()
                .unwrap_or(0)
        };
        if told
            .iter()
            .any(|((key, reason), claims)| known(key, reason) < *claims)
        {
            return Verdict::Open;
        }
        Verdict::Stuck(stuck)
    }

    fn state<'a>(&'a self, claim: &'a Claim) -> ClaimState<'a> {
        if claim.meta.is_deleting() {
            return ClaimState::Aside("Deleting");
        }
        if claim.fault == Some(ReferenceFault::OtherProvider) {
            return ClaimState::Aside("OtherProvider");
        }
        let address = claim.published.as_ref().and_then(|name| {
            let key = AddressKey {
                kind: claim.kind,
                name: name.clone(),
            };
            self.addresses.get(&(claim.meta.namespace.clone(), key))
        });
        if let Some(address) = address {
            return ClaimState::Bound(address);
        }
        if let Some(what) = self.pause(claim) {
            return ClaimState::Paused(format!("Paused: {what} is paused"));
        }
        let Some(ready) = claim.condition("Ready").filter(|c| c.status == "False") else {
            return ClaimState::Open;
        };
        let (reason, message) = (ready.reason.as_str(), ready.message.as_str());
        let text = if message.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason}: {message}")
        };
        ClaimState::Told(fine_reason(claim.kind, ready), text)
    }

    /// What keeps the controller from writing to a claim.
    fn pause(&self, claim: &Claim) -> Option<String> {
        let pool = self.pools.get(&claim.pool_key());
        pause_of(claim, pool, |cluster| {
            let key = (claim.meta.namespace.clone(), Arc::from(cluster));
            self.clusters.get(&key).is_some_and(|facts| facts.paused)
        })
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
                let (address, state) = match self.state(claim) {
                    ClaimState::Bound(address) => (Some(address), "Bound".to_owned()),
                    ClaimState::Aside(state) => (None, state.to_owned()),
                    ClaimState::Paused(why) | ClaimState::Told(_, why) => (None, why),
                    ClaimState::Open => (None, "Waiting".to_owned()),
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
