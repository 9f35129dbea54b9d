//! The oracles: what must hold during and after a scenario, checked on all events of the watches.
//!
//! The recorder watches both claim kinds and both address kinds from before the first write. Streams of different kinds are
//! skewed against each other, but every event carries the revision of its write, and revisions are one order over all kinds:
//! so the events are sorted and replayed (`replay.rs`), and the oracles look at the state after each single write.
//!
//! ```text
//!   mod.rs      the recorder           history.rs   the same from a server that remembers all
//!   replay.rs   O1, O2, O3             end.rs       O7: what stands at the end
//!                                      rest.rs      O3, O4, with ranges.rs
//! ```
//! O5 and O6 are the deadlines of what a scenario waits for; O8 is checked where requests pass (`faults/lease_check.rs`).

pub(crate) mod end;
pub(crate) mod history;
mod ranges;
mod replay;
pub(crate) mod rest;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use metal3_ipam::api::{Address, Claim, ClaimKind, WireObject};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use self::replay::{Seen, replay};
use crate::harness::World;

pub(crate) use self::replay::{ByHand, Findings};

/// Watches until it is asked for its findings.
pub(crate) struct Recorder {
    client: Client,
    namespace: String,
    events: Arc<Mutex<Vec<(u64, Seen)>>>,
    tasks: Vec<JoinHandle<()>>,
    reached: Arc<tokio::sync::watch::Sender<[u64; 4]>>,
    ends: Ends,
}

/// Whether the server may end while it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Never,
    /// It comes back with the same objects. What a watch cannot say after that is read from a list: of an object that was
    /// written more than once while nobody could watch, only the last state is judged.
    AndComesBack,
}

fn wire<K: serde::Serialize>(object: &K) -> WireObject {
    serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap()
}

impl Recorder {
    /// Starts watching the scenario's namespace, from now on.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_while(world, Ends::Never).await
    }

    /// The same on a server that ends and comes back meanwhile.
    pub(crate) async fn start_over_restarts(world: &World) -> Self {
        Self::start_while(world, Ends::AndComesBack).await
    }

    async fn start_while(world: &World, ends: Ends) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let reached = Arc::new(tokio::sync::watch::channel([0; 4]).0);
        let mut this = Self {
            client: world.client.clone(),
            namespace: world.namespace.clone(),
            events,
            tasks: Vec::new(),
            reached,
            ends,
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
        let ends = self.ends;
        let mut known: BTreeSet<String> = listed.items.iter().map(named).collect();
        self.tasks.push(tokio::spawn(async move {
            let mut from = start;
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            loop {
                let params = WatchParams::default().timeout(290);
                let expired = match api.watch(&params, &from).await {
                    Ok(stream) => {
                        let mut stream = stream.boxed();
                        let mut expired = false;
                        while let Ok(Some(event)) = stream.try_next().await {
                            let at = match event {
                                WatchEvent::Added(k) | WatchEvent::Modified(k) => {
                                    known.insert(named(&k));
                                    events.lock().unwrap().push((revision(&k), seen(&k)));
                                    revision(&k)
                                }
                                WatchEvent::Deleted(k) => {
                                    known.remove(&named(&k));
                                    let at = revision(&k);
                                    events.lock().unwrap().push((at, gone(named(&k))));
                                    at
                                }
                                WatchEvent::Bookmark(b) => {
                                    b.metadata.resource_version.parse().unwrap()
                                }
                                WatchEvent::Error(e) if ends == Ends::AndComesBack => {
                                    expired = e.code == 410;
                                    break;
                                }
                                WatchEvent::Error(e) => {
                                    panic!("recorder: watch of {}: {e:?}", K::plural(&()))
                                }
                            };
                            from = at.to_string();
                            reached.send_modify(|r| r[slot] = r[slot].max(at));
                        }
                        expired
                    }
                    Err(kube::Error::Api(e)) if ends == Ends::AndComesBack => e.code == 410,
                    Err(_) if ends == Ends::AndComesBack => false,
                    Err(e) => panic!("recorder: watch of {} from {from}: {e}", K::plural(&())),
                };
                if ends == Ends::AndComesBack {
                    pause.tick().await;
                }
                if expired && let Ok(now) = api.list(&ListParams::default()).await {
                    let last: u64 = from.parse().unwrap();
                    let there: BTreeSet<String> = now.items.iter().map(named).collect();
                    let newer = now.items.iter().filter(|k| revision(*k) > last);
                    let newer = newer.map(|k| (revision(k), seen(k)));
                    // When they went is not known: as early as possible accuses nobody wrongly.
                    let gone = known.difference(&there).map(|n| (last, gone(n.clone())));
                    events.lock().unwrap().extend(newer.chain(gone));
                    known = there;
                    from = now.metadata.resource_version.unwrap();
                    let at = from.parse().unwrap();
                    reached.send_modify(|r| r[slot] = r[slot].max(at));
                }
            }
        }));
    }

    /// Waits until every stream has shown all that was written before this call, then replays and checks.
    pub(crate) async fn finish(self) -> Findings {
        // What the server holds now must have been shown by the streams; then they are complete up to here.
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
        tokio::time::timeout(Duration::from_mins(1), complete)
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

/// Namespace and name.
fn named<K: Resource>(object: &K) -> String {
    let meta = object.meta();
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", meta.name.as_deref().unwrap_or_default())
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
