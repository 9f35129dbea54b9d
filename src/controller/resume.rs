//! The end of a Cluster's pause (P3).
//!
//! `clusterctl move` pauses a Cluster, creates its claims, then its address objects, and ends the pause. Each kind has a watch of
//! its own, and the one of the address objects may be behind the one of the Clusters. A pool that heard of the end first would take
//! the claims for new ones and give them other addresses. So the router keeps the end of a pause from the pools until the Resumer
//! has listed the namespace's address objects.
//!
//! ```text
//!   watch of Clusters --paused before, not any more--> State::resuming (the pools go on hearing of a pause)
//!   list of Clusters  --new, after a gap of the watch-->      "
//!   Resumer::run: list both kinds of address objects --> router --> pools, then State::resuming --> pools
//! ```
//!
//! Some namespaces are listed at once, so that none with 100,000 address objects keeps the others waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::api::{ClaimKind, ClusterFacts, Kind};
use crate::pool::By;

use super::backoff::Backoff;
use super::pages::{Missing, Pages};
use super::router::{Router, State};
use super::served::Served;
use super::status::refused_read;

/// Namespaces that are listed at once.
const AT_ONCE: usize = 4;

/// Clusters whose pause has ended, and what of that the pools do not know yet. Behind the router's lock.
#[derive(Default)]
pub(super) struct Resuming {
    /// By namespace and name.
    held: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Held>>,
    /// Pauses that have ended so far.
    ends: u64,
}

/// What is held back of one Cluster.
struct Held {
    /// As it was seen last.
    facts: ClusterFacts,
    /// Which end of a pause it is: a list that began before this one does not count for it.
    end: u64,
}

/// The pauses that had ended in a namespace when its lists began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    pub(super) namespace: Arc<str>,
    /// The newest of them.
    last: u64,
}

/// The task that lists address objects when a pause has ended.
pub(super) struct Resumer {
    pub(super) client: Client,
    pub(super) router: Arc<Router>,
    pub(super) served: Arc<Served>,
    pub(super) seed: u64,
    /// Longest page of a list, in bytes.
    pub(super) page_bytes: usize,
}

// === impl Resuming ===

impl Resuming {
    /// Holds back what was seen of a Cluster whose pause has ended. After a gap of the watch, when a list shows it, it may have been
    /// paused once more meanwhile: that is another end.
    pub(super) fn hold(&mut self, namespace: &Arc<str>, facts: ClusterFacts, by: By) {
        let held = self.held.entry(namespace.clone()).or_default();
        let known = held.get_mut(&facts.name);
        let is_the_same = |known: &&mut Held| known.facts.uid == facts.uid && by != By::List;
        if let Some(known) = known.filter(is_the_same) {
            known.facts = facts;
            return;
        }
        self.ends += 1;
        let end = self.ends;
        held.insert(facts.name.clone(), Held { facts, end });
    }

    /// It is paused again, or gone.
    pub(super) fn forget(&mut self, namespace: &str, name: &str) {
        if let Some(held) = self.held.get_mut(namespace) {
            held.remove(name);
            if held.is_empty() {
                self.held.remove(namespace);
            }
        }
    }

    /// A namespace in which a pause has ended and that is not `listed` just now: the next one after this in their order, so that
    /// none keeps another waiting.
    fn next(&self, after: &Arc<str>, listed: &BTreeSet<Arc<str>>) -> Option<Ended> {
        let later = self.held.range::<Arc<str>, _>((Excluded(after), Unbounded));
        let mut all = later.chain(&self.held);
        let (namespace, held) = all.find(|(namespace, _)| !listed.contains(*namespace))?;
        Some(Ended {
            namespace: namespace.clone(),
            last: held.values().map(|held| held.end).max()?,
        })
    }

    /// What was held back until these ends.
    fn take(&mut self, ended: &Ended) -> Vec<ClusterFacts> {
        let Some(held) = self.held.get_mut(&ended.namespace) else {
            return Vec::new();
        };
        let taken = held.extract_if(.., |_, held| held.end <= ended.last);
        let taken = taken.map(|(_, held)| held.facts).collect();
        if held.is_empty() {
            self.held.remove(&ended.namespace);
        }
        taken
    }
}

// === impl Router ===

impl Router {
    /// What was seen of a Cluster whose pause has ended waits for its namespace's address objects.
    pub(super) fn hold(
        &self,
        state: &mut State,
        namespace: &Arc<str>,
        facts: ClusterFacts,
        by: By,
    ) {
        state.resuming.hold(namespace, facts, by);
        self.ended.notify_one();
    }

    /// Waits until a pause has ended in a namespace that is not `listed` just now.
    pub(super) async fn pause_ended(&self, after: &Arc<str>, listed: &BTreeSet<Arc<str>>) -> Ended {
        loop {
            let ended = self.ended.notified();
            if let Some(next) = self.state().resuming.next(after, listed) {
                return next;
            }
            ended.await;
        }
    }

    /// Tells the pools that these pauses have ended. To be called after the namespace's address objects were put in.
    pub(super) fn resume(&self, ended: &Ended) {
        let mut state = self.state();
        for facts in state.resuming.take(ended) {
            self.tell_cluster(&mut state, &ended.namespace, Arc::new(facts));
        }
    }
}

/// Tells the [`Resumer`] that a pause has ended.
pub(super) type PauseEnded = Notify;

// === impl Resumer ===

impl Resumer {
    /// Works for as long as the process runs.
    pub(super) async fn run(self) {
        let mut backoffs: BTreeMap<Arc<str>, Backoff> = BTreeMap::new();
        let mut said = None;
        let mut after: Arc<str> = "".into();
        let mut listed = BTreeSet::new();
        let mut lists = FuturesUnordered::new();
        loop {
            let is_full = lists.len() >= AT_ONCE;
            tokio::select! {
                ended = self.router.pause_ended(&after, &listed), if !is_full => {
                    after = ended.namespace.clone();
                    listed.insert(after.clone());
                    let backoff = backoffs.remove(&after);
                    let backoff = backoff.unwrap_or_else(|| Backoff::new(self.seed));
                    lists.push(self.list_and_wait(ended, backoff));
                }
                Some((ended, backoff, done)) = lists.next() => {
                    listed.remove(&ended.namespace);
                    match done {
                        Ok(()) => said = None,
                        Err(why) => {
                            if said.as_ref() != Some(&why) {
                                warn!(
                                    namespace = %ended.namespace, why,
                                    "a Cluster is no longer paused, but its address objects cannot be listed: its pools stay paused; trying again"
                                );
                                said = Some(why);
                            }
                            backoffs.insert(ended.namespace, backoff);
                        }
                    }
                }
            }
        }
    }

    /// Lists a namespace's address objects, and tells the pools of the end of the pause. After a failure it takes a pause of its own.
    async fn list_and_wait(
        &self,
        ended: Ended,
        mut backoff: Backoff,
    ) -> (Ended, Backoff, Result<(), String>) {
        let done = self.list(&ended.namespace, &mut backoff).await;
        if done.is_ok() {
            debug!(namespace = %ended.namespace, "a Cluster is no longer paused; its pools go on");
            self.router.resume(&ended);
        } else {
            sleep(backoff.next()).await;
        }
        (ended, backoff, done.map_err(super::bounded))
    }

    /// Puts in every address object of the namespace.
    async fn list(&self, namespace: &str, backoff: &mut Backoff) -> Result<(), String> {
        for family in [ClaimKind::Metal3, ClaimKind::Capi] {
            let kind = Kind::Addresses(family);
            // Without Cluster API there are none of its kind; before a create that is looked at again (`absence.rs`).
            let Some(version) = self.served.version(kind) else {
                continue;
            };
            let mut pages = Pages::new(self.client.clone(), kind, self.page_bytes);
            let path = kind.collection(version, Some(namespace));
            let mut next = String::new();
            loop {
                let page = pages
                    .page_or_again(&path, &next, backoff)
                    .await
                    .map_err(|missing| match missing {
                        Missing::Answer { status, body } => refused_read(status, &body),
                        Missing::Failed(why) => why,
                    })?;
                // One that cannot be read is reported by the watch.
                for object in page.objects.into_iter().flatten() {
                    self.router.seen(kind, version, By::Read, object);
                }
                if page.next.is_empty() {
                    break;
                }
                next = page.next;
            }
        }
        Ok(())
    }
}
