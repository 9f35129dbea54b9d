//! The machine itself: all state of one pool, and the loop that turns an input into effects.
//!
//! An input changes what is known and marks the cases that it concerns. Each of those is then assessed anew from everything
//! known ([`Pool::assess`] and its files); those that want to send something park, and go in order of class and age while
//! the pool has requests left. An input costs O(log n), but for changes of the pool, its spec or a Cluster, which concern
//! every case.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Map, Value};

use crate::api::{AddressKey, ClaimKey, ClaimKind, ClusterFacts, PoolKey, Uid};

use super::case::{Case, Verdict};
use super::config::Config;
use super::dropped::ClaimFields;
use super::head::Head;
use super::input::{Input, Kinds};
use super::queue::Queue;
use super::record::AddressRecord;
use super::request::{ClaimStatus, Decision, Effect, Request, RequestId};
use super::shown::Strays;
use super::space::Space;
use super::tally::Tally;
use super::time::{Moment, later};

/// A difference between the two times that counts as a clock that was set.
const CLOCK_SET: SignedDuration = SignedDuration::from_millis(400);

/// What a request in flight was for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// Metadata of the pool of this UID.
    Meta(Uid),
    /// Status of the pool of this UID, and what was written.
    Status(Uid, Box<Map<String, Value>>),
    /// A Cluster, before it becomes the pool's owner.
    Cluster(Arc<str>),
    /// A case.
    Case(ClaimKey, Sent),
}

/// What was sent for a case.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// Our finalizer on the claim of this UID.
    Pin(Uid),
    /// Our finalizer off it.
    Unpin(Uid),
    /// Status of the claim of this UID; with its address when that is what was written.
    Status(Uid, Option<IpAddr>, Box<ClaimStatus>),
    /// Create of the address object.
    Create,
    /// Read of the object that has the name.
    ReadName(AddressKey),
    /// DELETE or metadata of an address object.
    Address(AddressKey, Uid),
    /// Read of the claim.
    Confirm,
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
    pub(super) clusters: BTreeMap<Arc<str>, ClusterFacts>,
    /// The pool object and all that is about it.
    pub(super) head: Head,
    pub(super) space: Space,
    pub(super) cases: BTreeMap<ClaimKey, Case>,
    /// Address objects that name this pool, external ones too.
    pub(super) addresses: BTreeMap<AddressKey, AddressRecord>,
    pub(super) strays: Strays,
    /// What the server keeps of a claim's status.
    pub(super) fields: BTreeMap<ClaimKind, ClaimFields>,
    /// Names that objects of other pools have, and the addresses that we cannot hand out for it (A12).
    pub(super) foreign: BTreeMap<AddressKey, IpAddr>,
    pub(super) queue: Queue,
    pub(super) tally: Tally,
    /// Creates that may be carried out without our knowing, by the generation of the spec that they were sent under.
    pub(super) unsettled: BTreeMap<i64, u32>,
    /// The namespace refuses creates until then, at least.
    pub(super) terminating_until: Option<Timestamp>,
    pub(super) flights: BTreeMap<RequestId, Purpose>,
    next_request: u64,
    effects: Vec<Effect>,
    /// The wake-up that the shell knows of.
    told_wake: Option<Timestamp>,
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
            head: Head::default(),
            space: Space::new(),
            cases: BTreeMap::new(),
            addresses: BTreeMap::new(),
            strays: Strays::default(),
            fields: BTreeMap::new(),
            foreign: BTreeMap::new(),
            queue: Queue::default(),
            tally: Tally::default(),
            unsettled: BTreeMap::new(),
            terminating_until: None,
            flights: BTreeMap::new(),
            next_request: 0,
            effects: Vec::new(),
            told_wake: None,
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
        self.settle();
        self.tell_wake();
        std::mem::take(&mut self.effects)
    }

    /// Whether nothing is known and nothing in flight, so that the worker may be dropped.
    pub fn is_empty(&self) -> bool {
        self.head.object.is_none()
            && self.cases.is_empty()
            && self.flights.is_empty()
            && self.foreign.is_empty()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Seen(object) => self.seen(object),
            Input::PoolGone { uid } => self.pool_gone(&uid),
            Input::ClusterSeen(facts) => self.cluster_seen(facts),
            Input::ClusterGone { name } => self.cluster_gone(&name),
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
                    self.settle_all_shown();
                    self.mark_all();
                }
            }
            Input::Answer { id, outcome } => self.answered(id, outcome),
            Input::Tick => {}
        }
    }

    /// Assesses what is marked and sends what may be sent, until nothing changes any more.
    fn settle(&mut self) {
        self.queue.ring(self.now);
        loop {
            while let Some(key) = self.queue.next_dirty() {
                self.file(&key);
            }
            if self.tend_meta() {
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
        self.weigh_pool();
        self.tend_status();
    }

    /// Looks at a case: parks it, sets its timer, counts it; sends nothing.
    fn file(&mut self, key: &ClaimKey) {
        let assessment = self.assess(key);
        self.note_wait(key, assessment.waiting.as_ref());
        self.tidy_attempt(key, &assessment.verdict);
        self.hear_call(key, &assessment.verdict);
        self.look_for_leaks(key);
        self.weigh_missing(key);
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        let age = case.age(key);
        match assessment.verdict {
            Verdict::Rest => {
                self.queue.unpark(case);
                self.queue.set_timer(case, key, None);
            }
            Verdict::Later(at) => {
                self.queue.unpark(case);
                self.queue.set_timer(case, key, Some(at));
            }
            Verdict::Do(class, _) => {
                self.queue.set_timer(case, key, None);
                self.queue.park(case, class, age);
            }
        }
        if case.is_over() {
            self.queue.set_timer(case, key, None);
            self.queue.unpark(case);
            self.weigh_several(key);
            self.cases.remove(key);
        }
    }

    /// The case's turn has come: it is assessed once more and does its step.
    fn serve(&mut self, key: &ClaimKey) {
        let assessment = self.assess(key);
        let Verdict::Do(class, step) = assessment.verdict else {
            self.file(key);
            return;
        };
        // Sorted anew when something more urgent has come in between, or it only explains while it starves.
        let parked = self.cases.get(key).and_then(|c| c.parked.as_ref());
        if parked.is_none_or(|(as_class, _)| *as_class != class) {
            self.file(key);
            return;
        }
        if let Some(case) = self.cases.get_mut(key) {
            self.queue.unpark(case);
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
        let of_cases = self.flights.len() - usize::from(self.head.flight.is_some());
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
            case.flight = Some(id);
        }
        self.flights.insert(id, purpose);
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

    fn tell_wake(&mut self) {
        if self.told_wake.is_some_and(|at| at <= self.now) {
            self.told_wake = None;
        }
        let timers = [self.queue.next_timer(), self.head.next_timer(self.now)];
        let Some(next) = timers.into_iter().flatten().min() else {
            return;
        };
        if self.told_wake != Some(next) {
            self.told_wake = Some(next);
            self.effects.push(Effect::WakeAt(next));
        }
    }
}
