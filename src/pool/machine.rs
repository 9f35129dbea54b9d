//! The machine itself: all state of one pool, and the loop that turns an input into effects.
//!
//! An input changes what is known and marks the cases that it concerns. Each of those is then assessed anew from everything
//! known ([`Pool::assess`] and its files); those that want to send something queue up, and go in order of class and age
//! while the pool may send. An input costs O(log n), but for changes of the pool, its spec or a Cluster, which concern
//! every case.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Map, Value};

use crate::api::{
    AddressKey, ClaimKey, ClaimKind, ClusterFacts, Kind, PoolKey, ResourceVersion, Uid,
};

use super::asked::AskedMeta;
use super::case::Case;
use super::config::Config;
use super::counts::Counts;
use super::dropped::ClaimFields;
use super::input::{Input, Kinds};
use super::ippool::IPPoolState;
use super::next::Next;
use super::queue::Queue;
use super::record::AddressRecord;
use super::request::{ClaimStatus, Decision, Effect, Request, RequestId};
use super::shown::ShownElsewhere;
use super::space::Space;
use super::time::{Moment, later};

/// A difference between the two times that counts as a clock that was set. Below `SLACK` in controller/clock.rs, after which the
/// controller asks for a step.
const CLOCK_SET: SignedDuration = SignedDuration::from_millis(400);

/// What a request in flight was for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// Metadata of the pool of this UID, and what was written.
    Meta(Uid, Option<Box<AskedMeta>>),
    /// Status of the pool of this UID, what was written, and what it is about.
    Status(Uid, Box<Map<String, Value>>, About),
    /// A Cluster, before it becomes the pool's owner.
    Cluster(Arc<str>),
    /// A case.
    Case(ClaimKey, Sent),
}

/// What a write of the pool's status is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Counts,
    /// More than counts.
    Conditions,
    /// No more than that the pool is paused.
    Pause,
}

/// What was sent for a case.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// Our finalizer on the claim of this UID.
    AddFinalizer(Uid, Option<Box<AskedMeta>>),
    /// Our finalizer off it.
    RemoveFinalizer(Uid, Option<Box<AskedMeta>>),
    /// Status of the claim of this UID; with its address when that is what was written.
    Status(Uid, Option<IpAddr>, Box<ClaimStatus>),
    /// Create of the address object.
    Create,
    /// Read of the object that has the name; to settle a create whose answer was lost.
    ReadName(AddressKey),
    /// Read of the object that the claim's status shows.
    ReadShown(AddressKey),
    /// DELETE or metadata of an address object, and what was written.
    Address(AddressKey, Uid, Option<Box<AskedMeta>>),
    /// Read of the claim.
    Confirm,
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) purpose: Purpose,
    /// Version of the object that the write was decided on.
    pub(super) decided_on: Option<ResourceVersion>,
}

/// One pool. Everything that happens to it comes in through [`Pool::step`].
#[derive(Debug)]
pub struct Pool {
    pub(super) key: PoolKey,
    pub(super) config: Config,
    pub(super) rng: StdRng,
    /// The time of this step that timers go by; never runs backwards.
    pub(super) now: Timestamp,
    /// What the system's clock shows in this step.
    pub(super) wall: Timestamp,
    pub(super) kinds: Kinds,
    pub(super) clusters: BTreeMap<Arc<str>, Arc<ClusterFacts>>,
    /// The pool object and all that is about it.
    pub(super) ippool: IPPoolState,
    pub(super) space: Space,
    pub(super) cases: BTreeMap<ClaimKey, Case>,
    /// Address objects that name this pool, external ones too.
    pub(super) addresses: BTreeMap<AddressKey, Box<AddressRecord>>,
    pub(super) shown: ShownElsewhere,
    /// What the server keeps of a claim's status.
    pub(super) fields: BTreeMap<ClaimKind, ClaimFields>,
    /// Names that objects have which our claims cannot use (A12): of other pools, of other claims, of no use to their own; and the
    /// address that each keeps from being handed out.
    pub(super) taken_names: BTreeMap<AddressKey, IpAddr>,
    pub(super) queue: Queue,
    pub(super) counts: Counts,
    /// Creates whose outcome is not known, by the generation of the spec that they were sent under.
    pub(super) unsettled: BTreeMap<i64, u32>,
    /// When it was last told that statuses of a kind are refused.
    pub(super) refused_told: BTreeMap<Kind, Timestamp>,
    /// The namespace refused a create: nothing is created in it until then.
    pub(super) terminating_until: Option<Timestamp>,
    pub(super) flights: BTreeMap<RequestId, Flight>,
    next_request: u64,
    effects: Vec<Effect>,
    /// The wake-up that the shell knows of.
    wake_at: Option<Timestamp>,
}

impl Pool {
    /// A pool of which nothing is known yet.
    pub fn new(key: PoolKey, config: Config) -> Self {
        Self {
            key,
            rng: StdRng::seed_from_u64(config.seed),
            config,
            now: Timestamp::MIN,
            wall: Timestamp::MIN,
            kinds: Kinds::default(),
            clusters: BTreeMap::new(),
            ippool: IPPoolState::default(),
            space: Space::new(),
            cases: BTreeMap::new(),
            addresses: BTreeMap::new(),
            shown: ShownElsewhere::default(),
            fields: BTreeMap::new(),
            taken_names: BTreeMap::new(),
            queue: Queue::default(),
            counts: Counts::default(),
            unsettled: BTreeMap::new(),
            refused_told: BTreeMap::new(),
            terminating_until: None,
            flights: BTreeMap::new(),
            next_request: 0,
            effects: Vec::new(),
            wake_at: None,
        }
    }

    /// Takes in one input; returns what is to be done, in this order.
    pub fn step(&mut self, input: Input, at: impl Into<Moment>) -> Vec<Effect> {
        let Moment { now, wall } = at.into();
        let ahead = self.wall.duration_since(self.now);
        self.now = self.now.max(now);
        self.wall = wall;
        if (self.wall.duration_since(self.now) - ahead).abs() > CLOCK_SET {
            // What waits for a time of the system's clock waits for another length now.
            self.mark_all();
        }
        self.take(input);
        self.serve_all();
        self.schedule_wake();
        std::mem::take(&mut self.effects)
    }

    /// Whether nothing is known and nothing in flight, so that the worker may be dropped.
    pub fn is_empty(&self) -> bool {
        self.ippool.record.is_none()
            && self.cases.is_empty()
            && self.flights.is_empty()
            && self.taken_names.is_empty()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Seen(object) => self.seen(object),
            Input::PoolGone { uid } => self.pool_gone(&uid),
            Input::ClusterSeen(facts) => self.cluster_seen(facts),
            Input::ClusterGone { name } => self.cluster_gone(&name),
            // A claim that was given another pool has nothing in this one either.
            Input::ClaimGone { key, uid } | Input::ClaimLeft { key, uid } => {
                self.claim_gone(&key, &uid);
            }
            Input::AddressGone { key, uid } => {
                self.address_gone(&key, &uid);
                self.name_freed(&key);
            }
            Input::NameFreed(key) => self.name_freed(&key),
            Input::Kinds(kinds) => {
                if self.kinds != kinds {
                    self.kinds = kinds;
                    self.hold_all_shown();
                    self.mark_all();
                }
            }
            Input::Answer { id, outcome } => self.answered(id, outcome),
            Input::Tick => {}
        }
    }

    /// Assesses what is marked and sends what may be sent, until nothing changes any more.
    ///
    /// It ends: each round takes a case out of the queue by sending a request for it, brings it a step on that needs none (an address
    /// is chosen, a claim that no server can have is confirmed gone), moves a claim from those that wait for a free address to those
    /// that have a turn (its address is free), or finds that the case wants nothing and takes it out.
    fn serve_all(&mut self) {
        self.queue.mark_due(self.now);
        loop {
            while let Some(key) = self.queue.next_dirty() {
                self.sort_in(&key);
            }
            if self.write_metadata() {
                continue;
            }
            if !self.has_room() {
                break;
            }
            let free = !self.space.is_full();
            let Some((_, age)) = self.queue.next(free) else {
                break;
            };
            self.serve(&age.key());
        }
        self.check_pool_status();
        self.write_status();
    }

    /// Looks at a case: gives it its place in the queue and its timer, and counts it. Sends nothing; a request of one that is to be
    /// left alone is taken back.
    fn sort_in(&mut self, key: &ClaimKey) {
        let assessment = self.assess(key);
        self.note_wait(key, assessment.asking.as_ref());
        self.tidy_attempt(key, &assessment.next);
        self.decline_offer(key, &assessment.next);
        self.look_for_leaks(key);
        self.report_shown(key);
        let alone = self
            .cases
            .get(key)
            .filter(|case| self.leaves_case_alone(case));
        let withdrawn = alone.and_then(|case| case.work().flight);
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        let age = case.age(key);
        if let Some(id) = withdrawn {
            self.effects.push(Effect::Withdraw(id));
        }
        match assessment.next {
            Next::Rest => {
                self.queue.dequeue(case);
                self.queue.set_timer(case, key, None);
            }
            Next::Later(at) => {
                self.queue.dequeue(case);
                self.queue.set_timer(case, key, Some(at));
            }
            Next::Do(class, _) => {
                self.queue.set_timer(case, key, None);
                self.queue.enqueue(case, class, age);
            }
        }
        case.shrink();
        if case.is_over() {
            self.queue.set_timer(case, key, None);
            self.queue.dequeue(case);
            self.check_several(key);
            self.cases.remove(key);
        }
    }

    /// The case's turn has come: it is assessed once more and does its step. A claim that waited for a free address has no turn yet
    /// and gets one here.
    fn serve(&mut self, key: &ClaimKey) {
        let assessment = self.assess(key);
        let Next::Do(class, step) = assessment.next else {
            self.sort_in(key);
            return;
        };
        // Sorted in anew without a turn, when something more urgent has come in between, or when all that is left is to explain why it
        // waits.
        let turn = self.cases.get(key).and_then(|c| c.work().turn.as_ref());
        if turn.is_none_or(|(as_class, _)| *as_class != class) {
            self.sort_in(key);
            return;
        }
        if let Some(case) = self.cases.get_mut(key) {
            self.queue.dequeue(case);
        }
        self.perform(key, step);
    }

    // --- small things that every file uses

    /// When timers show that the system's clock shows this.
    pub(super) fn when_wall_is(&self, time: Timestamp) -> Timestamp {
        later(self.now, time.duration_since(self.wall))
    }

    /// Whether one more request for a claim may be sent. The one request about the pool object has a place beside them, so that
    /// the pool's status appears however many claims ask.
    pub(super) fn has_room(&self) -> bool {
        let of_cases = self.flights.len() - usize::from(self.ippool.flight.is_some());
        of_cases < self.config.in_flight.max(1)
    }

    pub(super) fn next_id(&self) -> RequestId {
        RequestId(self.next_request)
    }

    pub(super) fn send(&mut self, purpose: Purpose, request: Request) {
        let id = self.next_id();
        self.next_request += 1;
        if let Purpose::Case(key, _) = &purpose
            && let Some(case) = self.cases.get_mut(key)
        {
            case.work_mut().flight = Some(id);
        }
        let decided_on = request.resource_version().cloned();
        self.flights.insert(
            id,
            Flight {
                purpose,
                decided_on,
            },
        );
        self.effects.push(Effect::Request(id, request));
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn decided(&mut self, decision: Decision) {
        self.effects.push(Effect::Decided(decision));
    }

    /// Has every case looked at again: the pool, its spec, a Cluster or a kind changed.
    pub(super) fn mark_all(&mut self) {
        for key in self.cases.keys() {
            self.queue.mark(key);
        }
    }

    fn schedule_wake(&mut self) {
        if self.wake_at.is_some_and(|at| at <= self.now) {
            self.wake_at = None;
        }
        let timers = [
            self.queue.next_timer(),
            self.ippool
                .next_timer(self.now, self.config.status_interval),
        ];
        let Some(next) = timers.into_iter().flatten().min() else {
            return;
        };
        if self.wake_at != Some(next) {
            self.wake_at = Some(next);
            self.effects.push(Effect::WakeAt(next));
        }
    }
}
