//! What metrics, CLI and tests may read of a run: snapshots, states and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::api::{ClaimKind, PoolKey};
use crate::observe::metrics::{Metrics, Sight};
use crate::pool::{Decision, KindState, Kinds, Outcome, Snapshot};

use super::registry::Registry;
use super::wire::{Subject, Verb};
use crate::api::{Kind, Origin};

/// A window into a running controller. Cheap to clone; goes on showing the last state after the run.
#[derive(Clone)]
pub struct View {
    pub(super) registry: Arc<Registry>,
    pub(super) counts: Arc<Counts>,
}

/// What was counted since the start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    /// Requests answered, by what they did, to which resource (`plural.group`), and what came of them.
    pub requests: BTreeMap<(Verb, Kind, &'static str), u64>,
    /// Time that requests took, in total.
    pub request_time: Duration,
    /// Events of the watches, by kind and event.
    pub events: BTreeMap<(Kind, &'static str), u64>,
    /// Watches started again, by kind and reason.
    pub restarts: BTreeMap<(Kind, &'static str), u64>,
    /// Addresses allocated, by the kind of the claim.
    pub allocated: BTreeMap<ClaimKind, u64>,
    /// Claims bound.
    pub bound: BTreeMap<ClaimKind, u64>,
    /// Addresses released.
    pub released: BTreeMap<ClaimKind, u64>,
}

impl Counters {
    /// Requests that were carried out and changed something.
    pub fn writes(&self) -> u64 {
        let done = |outcome: &str| outcome == "stored" || outcome == "gone";
        self.requests
            .iter()
            .filter(|((verb, _, outcome), _)| verb.is_write() && done(outcome))
            .map(|(_, n)| n)
            .sum()
    }
}

/// Counters, and the state of the run, as the tasks write them.
#[derive(Debug)]
pub(super) struct Counts {
    counters: Mutex<Counters>,
    metrics: Arc<Metrics>,
    /// Name of the Lease, for the metrics.
    lease: String,
    state: watch::Sender<State>,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct State {
    kinds: Kinds,
    /// Kinds whose objects have been listed completely in this run, or that the server did not have: they are watched since.
    listed: BTreeSet<Kind>,
    leading: bool,
    /// Why a kind cannot be listed.
    troubles: BTreeMap<Kind, String>,
    /// Rises whenever a snapshot changes.
    revision: u64,
}

// === impl View ===

impl View {
    /// Newest snapshot of every pool, by key.
    pub fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.registry.snapshots()
    }

    /// Newest snapshot of one pool.
    pub fn snapshot(&self, pool: &PoolKey) -> Option<Arc<Snapshot>> {
        self.registry.snapshot(pool)
    }

    /// State of every watched kind.
    pub fn kinds(&self) -> Kinds {
        self.counts.state.borrow().kinds
    }

    /// Whether every kind has been listed or is known to be absent (A3).
    pub fn is_synced(&self) -> bool {
        self.kinds().is_synced()
    }

    /// Whether this process may write: it holds the lease, or none is asked for.
    pub fn is_leading(&self) -> bool {
        self.counts.state.borrow().leading
    }

    /// Whether nothing is under way: every message was taken in, every request answered and every status of a pool written.
    /// Claims may still wait for something that is to come, or for a time.
    pub fn is_idle(&self) -> bool {
        self.is_synced() && self.registry.is_idle()
    }

    /// Inputs that the pools have not taken yet: objects and answers, over all mailboxes.
    pub fn backlog(&self) -> usize {
        self.registry.backlog()
    }

    /// What the run counts; to be registered together with [`Self::sight`].
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.counts.metrics)
    }

    /// What a scrape of the metrics reads.
    pub fn sight(&self) -> Sight {
        let kinds = self.kinds();
        let troubles = self.counts.state.borrow().troubles.clone();
        let state = |kind: Kind| {
            let state = match kinds[kind] {
                // Listed once, and changes of it are not heard of.
                KindState::Listed if troubles.contains_key(&kind) => KindState::Pending,
                state => state,
            };
            (kind.resource().to_owned(), state)
        };
        let kinds = Kind::ALL.map(state).to_vec();
        let load = self.registry.load();
        let pools = self.is_leading().then(|| {
            let mut pools = self.registry.snapshots();
            pools.retain(|pool| !pool.of_another_manager);
            pools
        });
        Sight {
            pools,
            kinds,
            workers: load.workers,
            busy: load.busy,
            queued: load.queued,
            backlog: load.backlog,
            unfinished: load.unfinished,
            longest: load.longest,
        }
    }

    /// `Ok` once every kind is listed and as long as it is watched; else a line that says what is missing, for `/readyz`.
    ///
    /// # Errors
    /// The line.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.counts.state.borrow();
        let missing: Vec<String> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let why = state.troubles.get(&kind);
                match (state.kinds[kind], why) {
                    (KindState::Pending, Some(why)) => {
                        Some(format!("{kind} is not listed yet: {why}"))
                    }
                    (KindState::Pending, None) => Some(format!("{kind} is not listed yet")),
                    (KindState::Listed, Some(why)) => Some(format!("{kind} is not watched: {why}")),
                    (KindState::Unavailable, Some(why)) if kind.origin() == Origin::Ours => {
                        Some(format!("{kind} is not served: {why}"))
                    }
                    (KindState::Listed | KindState::Absent | KindState::Unavailable, _) => None,
                }
            })
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join("; "))
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let counters = self.counts.counters.lock();
        // Also after a panic ended the run: counts are whole at every moment.
        counters
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Returns when a snapshot, a kind's state or the leadership has changed since `seen`, and updates it. Begin with
    /// [`Self::changes`].
    pub async fn changed(&self, seen: &mut Changes) {
        // The sender lives in `self`, so this cannot fail.
        let _ = seen.0.changed().await;
    }

    /// Where [`Self::changed`] begins.
    pub fn changes(&self) -> Changes {
        Changes(self.counts.state.subscribe())
    }
}

/// What of a [`View`] has been looked at.
#[derive(Debug, Clone)]
pub struct Changes(watch::Receiver<State>);

// === impl Counts ===

impl Counts {
    pub(super) fn new(metrics: Arc<Metrics>, lease: &str) -> Self {
        metrics.leading(lease, false);
        Self {
            counters: Mutex::default(),
            metrics,
            lease: lease.to_owned(),
            state: watch::Sender::new(State::default()),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().expect(super::LOCK));
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A request was sent and answered with this HTTP status, or not answered.
    pub(super) fn sent(&self, subject: &Subject<'_>, code: Option<u16>, took: Duration) {
        if subject.verb.is_write() {
            let (verb, resource) = (subject.verb.name(), subject.kind.resource());
            self.metrics.written(verb, resource, code, took);
        }
    }

    pub(super) fn answered(&self, subject: &Subject<'_>, outcome: &Outcome, took: Duration) {
        if let (true, Outcome::Refused { refusal, .. }) = (subject.verb.is_write(), outcome) {
            let (verb, resource) = (subject.verb.name(), subject.kind.resource());
            self.metrics.refused(verb, resource, refusal.name());
        }
        let name = match outcome {
            Outcome::Stored(..) | Outcome::Cluster(_) => "stored",
            Outcome::Gone => "gone",
            Outcome::Conflict(_) => "conflict",
            Outcome::NameTaken => "name_taken",
            Outcome::Refused { .. } => "refused",
            Outcome::NotSent { .. } => "not_sent",
            Outcome::Withdrawn => "withdrawn",
            Outcome::Unknown { .. } => "unknown",
        };
        self.count(|c| {
            *c.requests
                .entry((subject.verb, subject.kind, name))
                .or_default() += 1;
            c.request_time += took;
        });
    }

    pub(super) fn event(&self, kind: Kind, event: &'static str) {
        self.metrics.watch_event(kind.resource(), event);
        self.count(|c| *c.events.entry((kind, event)).or_default() += 1);
    }

    pub(super) fn restarted(&self, kind: Kind, reason: &'static str) {
        self.metrics.watch_restarted(kind.resource(), reason);
        self.count(|c| *c.restarts.entry((kind, reason)).or_default() += 1);
    }

    pub(super) fn decided(&self, decision: &Decision, now: Timestamp) {
        self.metrics.decided(decision, now);
        self.count(|c| {
            let (counter, kind) = match decision {
                Decision::Allocated { claim, .. } => (&mut c.allocated, claim.kind),
                Decision::Bound { claim, .. } => (&mut c.bound, claim.kind),
                Decision::Released { claim, .. } => (&mut c.released, claim.kind),
                Decision::Waiting { .. }
                | Decision::Pool { .. }
                | Decision::NearlyFull { .. }
                | Decision::Problem { .. }
                | Decision::StatusRefused { .. }
                | Decision::Repaired { .. }
                | Decision::Retrying { .. } => return,
            };
            *counter.entry(kind).or_default() += 1;
        });
    }

    /// Wakes the readers after a snapshot has changed.
    pub(super) fn changed(&self) {
        self.state.send_modify(|s| s.revision += 1);
    }

    pub(super) fn kinds(&self, kinds: Kinds) {
        let known = |kind: &Kind| kinds[*kind] != KindState::Pending;
        let known: Vec<Kind> = Kind::ALL.into_iter().filter(known).collect();
        self.state.send_modify(|s| {
            s.kinds = kinds;
            s.listed.extend(known);
        });
    }

    /// Whether memory holds the objects of this kind. A new term lists them again, and they are known meanwhile.
    pub(super) fn was_listed(&self, kind: Kind) -> bool {
        self.state.borrow().listed.contains(&kind)
    }

    pub(super) fn leading(&self, leading: bool) {
        self.metrics.leading(&self.lease, leading);
        self.state.send_modify(|s| s.leading = leading);
    }

    /// Why a kind cannot be listed; `None` once it can.
    pub(super) fn trouble(&self, kind: Kind, why: Option<String>) {
        self.state.send_if_modified(|s| match why {
            Some(why) => s.troubles.insert(kind, why.clone()) != Some(why),
            None => s.troubles.remove(&kind).is_some(),
        });
    }
}
