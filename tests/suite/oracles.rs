//! What must hold after and during every scenario, checked on everything that a watcher could see.
//!
//! The recorder watches both claim kinds and both address kinds from before the first write. Streams of different kinds are
//! skewed against each other, but every event carries the revision of its write, and revisions are one order over all kinds:
//! so the events are sorted and replayed, and the oracles look at the state after each single write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use metal3_ipam::api::{Address, Claim, ClaimKind, WireObject};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::world::World;

/// One write, as the watch of its kind told it.
#[derive(Debug, Clone)]
enum Seen {
    Claim(Box<Claim>),
    ClaimGone(ClaimKind, String),
    Address(Box<Address>),
    AddressGone(ClaimKind, String),
}

/// Watches until it is asked for its findings.
pub(crate) struct Recorder {
    client: Client,
    namespace: String,
    events: Arc<Mutex<Vec<(u64, Seen)>>>,
    tasks: Vec<JoinHandle<()>>,
    reached: Arc<tokio::sync::watch::Sender<[u64; 4]>>,
}

/// What the replay found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// O1: an address bound to two claims, or held by two live objects of one pool.
    pub(crate) duplicates: Vec<String>,
    /// O2: a bound claim whose address changed or went.
    pub(crate) moved: Vec<String>,
    /// O3: address objects of ours, at the end, without a claim.
    pub(crate) leaked: Vec<String>,
    /// Events seen.
    pub(crate) events: usize,
}

impl Findings {
    /// Panics unless nothing was found.
    pub(crate) fn assert_clean(&self, scenario: &str) {
        assert!(
            self.duplicates.is_empty(),
            "{scenario}: O1 duplicates: {:#?}",
            self.duplicates
        );
        assert!(
            self.moved.is_empty(),
            "{scenario}: O2 moved: {:#?}",
            self.moved
        );
        assert!(
            self.leaked.is_empty(),
            "{scenario}: O3 leaked: {:#?}",
            self.leaked
        );
        assert!(
            self.events > 0,
            "{scenario}: the recorder saw nothing, so it proved nothing"
        );
    }
}

fn wire<K: serde::Serialize>(object: &K) -> WireObject {
    serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap()
}

impl Recorder {
    /// Starts watching the scenario's namespace, from now on.
    pub(crate) async fn start(world: &World) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let reached = Arc::new(tokio::sync::watch::channel([0; 4]).0);
        let mut this = Self {
            client: world.client.clone(),
            namespace: world.namespace.clone(),
            events,
            tasks: Vec::new(),
            reached,
        };
        this.follow::<IPClaim>(
            0,
            |k| Seen::Claim(Box::new(Claim::read(ClaimKind::Metal3, wire(k)))),
            |n| Seen::ClaimGone(ClaimKind::Metal3, n),
        )
        .await;
        this.follow::<IPAddressClaim>(
            1,
            |k| Seen::Claim(Box::new(Claim::read(ClaimKind::Capi, wire(k)))),
            |n| Seen::ClaimGone(ClaimKind::Capi, n),
        )
        .await;
        this.follow::<IPAddress>(
            2,
            |k| Seen::Address(Box::new(Address::read(ClaimKind::Metal3, wire(k)))),
            |n| Seen::AddressGone(ClaimKind::Metal3, n),
        )
        .await;
        this.follow::<CapiIPAddress>(
            3,
            |k| Seen::Address(Box::new(Address::read(ClaimKind::Capi, wire(k)))),
            |n| Seen::AddressGone(ClaimKind::Capi, n),
        )
        .await;
        this
    }

    async fn follow<K>(&mut self, slot: usize, seen: fn(&K) -> Seen, gone: fn(String) -> Seen)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + serde::Serialize
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let listed = api.list(&ListParams::default()).await.unwrap();
        let start = listed.metadata.resource_version.clone().unwrap();
        let (events, reached) = (self.events.clone(), self.reached.clone());
        {
            let mut events = events.lock().unwrap();
            for item in &listed.items {
                events.push((revision(item), seen(item)));
            }
        }
        reached.send_modify(|r| r[slot] = start.parse().unwrap());
        self.tasks.push(tokio::spawn(async move {
            let mut from = start;
            loop {
                let params = WatchParams::default().timeout(290);
                let mut stream = match api.watch(&params, &from).await {
                    Ok(stream) => stream.boxed(),
                    Err(e) => panic!("recorder: watch of {} from {from}: {e}", K::plural(&())),
                };
                while let Ok(Some(event)) = stream.try_next().await {
                    let at = match event {
                        WatchEvent::Added(k) | WatchEvent::Modified(k) => {
                            let at = revision(&k);
                            events.lock().unwrap().push((at, seen(&k)));
                            at
                        }
                        WatchEvent::Deleted(k) => {
                            let at = revision(&k);
                            let name = format!(
                                "{}/{}",
                                k.meta().namespace.clone().unwrap_or_default(),
                                k.meta().name.clone().unwrap_or_default()
                            );
                            events.lock().unwrap().push((at, gone(name)));
                            at
                        }
                        WatchEvent::Bookmark(b) => b.metadata.resource_version.parse().unwrap(),
                        WatchEvent::Error(e) => {
                            panic!("recorder: watch of {}: {e:?}", K::plural(&()))
                        }
                    };
                    from = at.to_string();
                    reached.send_modify(|r| r[slot] = r[slot].max(at));
                }
            }
        }));
    }

    /// Waits until every stream has told all that was written before this call, then replays and judges.
    pub(crate) async fn finish(self) -> Findings {
        // What the server holds now must have been told by the streams; then they are complete up to here.
        let claims = Api::<IPClaim>::namespaced(self.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await
            .unwrap();
        let capi_claims = Api::<IPAddressClaim>::namespaced(self.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await
            .unwrap();
        let addresses = Api::<IPAddress>::namespaced(self.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await
            .unwrap();
        let capi_addresses = Api::<CapiIPAddress>::namespaced(self.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await
            .unwrap();
        let newest = [
            claims.items.iter().map(revision).max().unwrap_or(0),
            capi_claims.items.iter().map(revision).max().unwrap_or(0),
            addresses.items.iter().map(revision).max().unwrap_or(0),
            capi_addresses.items.iter().map(revision).max().unwrap_or(0),
        ];
        let mut reached = self.reached.subscribe();
        let complete = reached.wait_for(|r| {
            r.iter()
                .zip(newest)
                .all(|(reached, newest)| *reached >= newest)
        });
        tokio::time::timeout(std::time::Duration::from_mins(1), complete)
            .await
            .expect("the recorder's watches caught up")
            .unwrap();
        for task in &self.tasks {
            assert!(!task.is_finished(), "a watch of the recorder ended early");
            task.abort();
        }
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        replay(events)
    }
}

fn revision<K: Resource>(object: &K) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .unwrap()
        .parse()
        .unwrap()
}

type Key = (ClaimKind, String);

fn replay(mut events: Vec<(u64, Seen)>) -> Findings {
    events.sort_by_key(|(revision, _)| *revision);
    let mut findings = Findings {
        events: events.len(),
        ..Findings::default()
    };
    let mut claims: BTreeMap<Key, Claim> = BTreeMap::new();
    let mut objects: BTreeMap<Key, Address> = BTreeMap::new();
    // Who is bound to an object, which object a claim is bound to, and which objects hold an address of a pool.
    let mut bound: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    let mut bound_to: BTreeMap<Key, Key> = BTreeMap::new();
    let mut held: BTreeMap<(String, String, String), BTreeSet<Key>> = BTreeMap::new();
    let full = |namespace: &str, name: &str| format!("{namespace}/{name}");
    let unbind = |claim: &Key,
                  bound: &mut BTreeMap<Key, BTreeSet<Key>>,
                  bound_to: &mut BTreeMap<Key, Key>| {
        if let Some(object) = bound_to.remove(claim)
            && let Some(holders) = bound.get_mut(&object)
        {
            holders.remove(claim);
        }
    };
    for (revision, seen) in events {
        match seen {
            Seen::Claim(claim) => {
                let key = (claim.kind, full(&claim.meta.namespace, &claim.meta.name));
                let before = claims.insert(key.clone(), (*claim).clone());
                let same_life = before
                    .as_ref()
                    .is_some_and(|b| b.meta.uid == claim.meta.uid);
                let had = before.filter(|_| same_life).and_then(|b| b.published);
                if let Some(had) = had.filter(|had| claim.published.as_ref() != Some(had)) {
                    findings.moved.push(format!(
                        "{key:?} at {revision}: from {had} to {:?}",
                        claim.published
                    ));
                }
                let object = claim
                    .published
                    .as_ref()
                    .map(|name| (claim.kind, full(&claim.meta.namespace, name)));
                // A deleting claim whose object went before (R3) points at nothing, though the name may live again.
                if object.is_some() && claim.meta.is_deleting() && !bound_to.contains_key(&key) {
                    continue;
                }
                unbind(&key, &mut bound, &mut bound_to);
                if let Some(object) = object {
                    let holders = bound.entry(object.clone()).or_default();
                    holders.insert(key.clone());
                    if holders.len() > 1 {
                        findings
                            .duplicates
                            .push(format!("{object:?} at {revision}: bound to {holders:?}"));
                    }
                    bound_to.insert(key, object);
                }
            }
            Seen::ClaimGone(kind, name) => {
                let key = (kind, name);
                claims.remove(&key);
                unbind(&key, &mut bound, &mut bound_to);
            }
            Seen::Address(object) => {
                let key = (object.kind, full(&object.meta.namespace, &object.meta.name));
                if let Ok(address) = object.address {
                    let at = (
                        object.meta.namespace.to_string(),
                        object.pool.to_string(),
                        address.to_string(),
                    );
                    let holders = held.entry(at.clone()).or_default();
                    if holders.insert(key.clone()) && holders.len() > 1 {
                        findings
                            .duplicates
                            .push(format!("{at:?} at {revision}: held by {holders:?}"));
                    }
                }
                objects.insert(key, *object);
            }
            Seen::AddressGone(kind, name) => {
                let key = (kind, name);
                if let Some(Address {
                    meta,
                    pool,
                    address: Ok(address),
                    ..
                }) = objects.remove(&key)
                {
                    let at = (
                        meta.namespace.to_string(),
                        pool.to_string(),
                        address.to_string(),
                    );
                    if let Some(holders) = held.get_mut(&at) {
                        holders.remove(&key);
                    }
                }
                for holder in bound.remove(&key).unwrap_or_default() {
                    bound_to.remove(&holder);
                    if claims.get(&holder).is_some_and(|c| !c.meta.is_deleting()) {
                        findings.moved.push(format!(
                            "{key:?} at {revision}: gone while bound to {holder:?}"
                        ));
                    }
                }
            }
        }
    }
    for (key, object) in &objects {
        let claim = (object.kind, full(&object.meta.namespace, &object.claim));
        if object.has_our_finalizer() && !claims.contains_key(&claim) {
            findings.leaked.push(format!("{key:?} of {claim:?}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(name: &str, uid: &str, published: Option<&str>) -> Seen {
        let status = published.map_or(json!({}), |p| json!({"address": {"name": p}}));
        let object = json!({"metadata": {"name": name, "namespace": "d", "uid": uid}, "spec": {"pool": {"name": "p"}}, "status": status});
        Seen::Claim(Box::new(Claim::read(
            ClaimKind::Metal3,
            serde_json::from_value(object).unwrap(),
        )))
    }

    fn address(kind: ClaimKind, name: &str, ip: &str, claim: &str) -> Seen {
        let object = match kind {
            ClaimKind::Metal3 => {
                json!({"metadata": {"name": name, "namespace": "d", "finalizers": [kind.address_finalizer()]},
                "spec": {"address": ip, "pool": {"name": "p"}, "claim": {"name": claim}}})
            }
            ClaimKind::Capi => {
                json!({"metadata": {"name": name, "namespace": "d", "finalizers": [kind.address_finalizer()]},
                "spec": {"address": ip, "poolRef": {"name": "p"}, "claimRef": {"name": claim}}})
            }
        };
        Seen::Address(Box::new(Address::read(
            kind,
            serde_json::from_value(object).unwrap(),
        )))
    }

    #[test]
    fn the_oracles_see_what_they_are_for() {
        use ClaimKind::{Capi, Metal3};
        let clean = replay(vec![
            (1, claim("a", "1", None)),
            (2, address(Metal3, "p-1", "10.0.0.1", "a")),
            (3, claim("a", "1", Some("p-1"))),
        ]);
        clean.assert_clean("clean");
        let twice = replay(vec![
            (1, claim("a", "1", Some("p-1"))),
            (2, claim("b", "2", Some("p-1"))),
        ]);
        assert_eq!(twice.duplicates.len(), 1);
        let both_kinds = replay(vec![
            (1, address(Metal3, "p-1", "10.0.0.1", "a")),
            (2, address(Capi, "p-1", "10.0.0.1", "a")),
        ]);
        assert_eq!(both_kinds.duplicates.len(), 1);
        let moved = replay(vec![
            (1, claim("a", "1", Some("p-1"))),
            (2, claim("a", "1", Some("p-2"))),
        ]);
        assert_eq!(moved.moved.len(), 1);
        let taken = replay(vec![
            (1, address(Metal3, "p-1", "10.0.0.1", "a")),
            (2, claim("a", "1", Some("p-1"))),
            (3, Seen::AddressGone(Metal3, "d/p-1".into())),
        ]);
        assert_eq!(taken.moved.len(), 1);
        let leaked = replay(vec![(1, address(Metal3, "p-1", "10.0.0.1", "a"))]);
        assert_eq!(leaked.leaked.len(), 1);
        let recreated = replay(vec![
            (1, claim("a", "1", Some("p-1"))),
            (2, Seen::ClaimGone(Metal3, "d/a".into())),
            (3, claim("a", "2", Some("p-2"))),
        ]);
        assert!(recreated.moved.is_empty() && recreated.duplicates.is_empty());
    }
}
