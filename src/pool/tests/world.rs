//! A small API server in memory: objects, versions, finalizers, preconditions, watches that lag and answers that get lost.
//! What it does is told from outside, request by request and event by event, so that a test decides the order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{
    Config, Decision, Effect, Input, KindState, Kinds, Known, Moment, Name, Object, Outcome, Pool,
    Refusal, Request, RequestId, Reread, Scope,
};
use super::door::About;
use crate::api::metal3::{IPPoolSpec, IPPoolStatus};
use crate::api::names::POOL_FINALIZER;
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, Kind, PoolKey, PoolObject,
    ResourceVersion, Uid,
};

pub(super) const M: ClaimKind = ClaimKind::Metal3;
pub(super) const C: ClaimKind = ClaimKind::Capi;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Fine,
    /// Not carried out, and nobody knows.
    Vanished,
    /// Carried out, and nobody knows.
    Unheard,
    NotSent,
    /// Carried out; where it meets a newer version, that cannot be read.
    Unread,
    Refused,
    Terminating,
    /// 409, though nobody else has written.
    Denied,
}

/// A policy of the server: which requests it refuses, and with which words; `{name}` is that of the object to be created.
pub(super) type Policy = (fn(&Request) -> bool, &'static str);

/// An event of a watch.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Seen(Object),
    Gone {
        kind: Kind,
        name: Name,
        uid: Uid,
        version: ResourceVersion,
    },
    /// Of a Cluster.
    Cluster(Input),
}

/// Streams of watch events; order is kept within a stream, not between streams.
pub(super) const STREAMS: usize = 6;

/// The kind of each stream.
pub(super) const KINDS: [Kind; STREAMS] = [
    Kind::Pools,
    Kind::Claims(M),
    Kind::Claims(C),
    Kind::Addresses(M),
    Kind::Addresses(C),
    Kind::Clusters,
];

pub(super) struct World {
    pub(super) machine: Pool,
    pub(super) config: Config,
    pub(super) now: Timestamp,
    /// How far the system's clock of the controller is ahead of the server's.
    pub(super) clock_error: SignedDuration,
    pub(super) kinds: Kinds,
    pub(super) version: u64,
    pub(super) uids: u64,
    pub(super) pool: Option<PoolObject>,
    pub(super) problems: Vec<String>,
    pub(super) claims: BTreeMap<ClaimKey, Claim>,
    pub(super) addresses: BTreeMap<AddressKey, Address>,
    pub(super) clusters: BTreeMap<Arc<str>, ClusterFacts>,
    /// What the controller's router asks before it puts anything into the pool.
    pub(super) known: Known,
    pub(super) events: [VecDeque<Event>; STREAMS],
    pub(super) last: [Option<Event>; STREAMS],
    /// What the router has put into the pool's mailbox and the pool has not taken: answers overtake it.
    pub(super) mailbox: VecDeque<Input>,
    /// The pool is busy: what is put into the mailbox stays there.
    pub(super) is_busy: bool,
    pub(super) requests: VecDeque<(RequestId, Request)>,
    pub(super) answers: VecDeque<(RequestId, Outcome)>,
    /// Which of the requests cannot be withdrawn any more.
    pub(super) has_left: fn(RequestId) -> bool,
    /// What the requests without an answer are about.
    pub(super) asked: BTreeMap<RequestId, About>,
    pub(super) wake: Option<Timestamp>,
    pub(super) watched: BTreeSet<AddressKey>,
    /// Everything sent, for counting.
    pub(super) sent: Vec<Request>,
    pub(super) told: Vec<Decision>,
    /// Fields of a pool's or a claim's status that the server's definition lacks, such as `conditions.message`; upstream's
    /// IPClaim has no conditions, its IPPool no counts.
    pub(super) drops: BTreeSet<&'static str>,
    /// What the server refuses, with these words.
    pub(super) refuses: Option<Policy>,
    /// Writes of metadata that a policy of the server undoes as they are stored.
    pub(super) undoes: Option<fn(&Request) -> bool>,
    /// What a mutating webhook makes of an address object that is created.
    pub(super) mutates: Option<fn(&mut Address)>,
    /// Every status that a claim had: (claim UID, object name, address).
    pub(super) published: Vec<(Uid, ClaimKey, Arc<str>)>,
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn spec(value: Value) -> IPPoolSpec {
    serde_json::from_value(value).unwrap()
}

/// A pool of `size` addresses from 10.0.0.1 on.
pub(super) fn small(size: u8) -> IPPoolSpec {
    spec(json!({
        "namePrefix": "p",
        "pools": [{ "start": "10.0.0.1", "end": format!("10.0.0.{size}") }],
    }))
}

pub(super) fn claim_object(claim: Claim) -> Object {
    Object::Claim {
        claim: Box::new(claim),
        scope: Scope::Ours,
    }
}

pub(super) fn address_object(address: Address) -> Object {
    Object::Address {
        address: Box::new(address),
        scope: Scope::Ours,
    }
}

pub(super) fn claim_key(kind: ClaimKind, name: &str) -> ClaimKey {
    ClaimKey {
        kind,
        name: name.into(),
    }
}

pub(super) fn address_key(kind: ClaimKind, name: &str) -> AddressKey {
    AddressKey {
        kind,
        name: name.into(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        let kinds = Kinds::all(KindState::Listed);
        let key = PoolKey {
            namespace: "default".into(),
            name: "prov".into(),
        };
        let mut world = Self {
            machine: Pool::new(key, config.clone()),
            config,
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            clock_error: SignedDuration::ZERO,
            kinds,
            version: 100,
            uids: 0,
            pool: None,
            problems: Vec::new(),
            claims: BTreeMap::new(),
            addresses: BTreeMap::new(),
            clusters: BTreeMap::new(),
            known: Known::default(),
            events: Default::default(),
            last: Default::default(),
            mailbox: VecDeque::new(),
            is_busy: false,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            has_left: |_| false,
            asked: BTreeMap::new(),
            wake: None,
            watched: BTreeSet::new(),
            sent: Vec::new(),
            told: Vec::new(),
            drops: BTreeSet::new(),
            refuses: None,
            undoes: None,
            mutates: None,
            published: Vec::new(),
        };
        world.step(Input::Kinds(kinds));
        world
    }

    // --- the machine

    pub(super) fn step(&mut self, input: Input) {
        let wall = self.now.checked_add(self.clock_error).unwrap();
        let at = Moment {
            now: self.now,
            wall,
        };
        for effect in self.machine.step(input, at) {
            match effect {
                Effect::Request(id, request) => {
                    self.sent.push(request.clone());
                    self.asked
                        .insert(id, About::of(&request, self.kinds.changes()));
                    self.requests.push_back((id, request));
                }
                Effect::Withdraw(id) => self.withdraw(id),
                Effect::WakeAt(at) => self.wake = Some(at),
                Effect::WatchName(key) => {
                    self.watched.insert(key);
                }
                Effect::ForgetName(key) => {
                    self.watched.remove(&key);
                }
                Effect::Decided(decision) => self.told.push(decision),
            }
        }
    }

    /// A request that has not left is answered at once.
    fn withdraw(&mut self, id: RequestId) {
        let waits = self.requests.iter().position(|(of, _)| *of == id);
        if let Some(place) = waits.filter(|_| !(self.has_left)(id)) {
            self.requests.remove(place);
            self.answers.push_back((id, Outcome::Withdrawn));
        }
    }

    /// A crash: what was on its way is lost or landed, and everything is read anew.
    pub(super) fn restart(&mut self) {
        let key = PoolKey {
            namespace: "default".into(),
            name: "prov".into(),
        };
        self.machine = Pool::new(key, self.config.clone());
        self.known = Known::default();
        self.requests.clear();
        self.answers.clear();
        self.asked.clear();
        self.mailbox.clear();
        self.watched.clear();
        self.wake = None;
        for stream in 0..STREAMS {
            self.events[stream].clear();
            self.last[stream] = None;
        }
        let claims: Vec<Claim> = self.claims.values().cloned().collect();
        let addresses: Vec<Address> = self.addresses.values().cloned().collect();
        let clusters: Vec<ClusterFacts> = self.clusters.values().cloned().collect();
        for claim in claims {
            self.tell_claim(claim);
        }
        for address in addresses {
            self.tell_address(address);
        }
        for cluster in clusters {
            self.events[5].push_back(Event::Cluster(Input::ClusterSeen(cluster.into())));
        }
        self.tell_pool();
        self.deliver_all();
        self.end_missing();
        for kind in Kind::ALL {
            // Of a kind that was there a new process knows nothing before it is back.
            if self.kinds[kind] == KindState::Unavailable {
                self.kinds.change(kind, KindState::Pending);
            }
        }
        self.step(Input::Kinds(self.kinds));
    }

    /// Delivers the next event of a stream, while its kind is watched.
    pub(super) fn deliver(&mut self, stream: usize) -> bool {
        self.empty_mailbox();
        self.kinds[KINDS[stream]] == KindState::Listed && self.deliver_next(stream)
    }

    /// The same, but the pool is busy and takes in answers before it.
    pub(super) fn deliver_to_mailbox(&mut self, stream: usize) {
        self.is_busy = true;
        if self.kinds[KINDS[stream]] == KindState::Listed {
            self.deliver_next(stream);
        }
        self.is_busy = false;
    }

    /// A kind comes, or goes, or its watch is to begin anew. One that comes is listed completely before it counts as listed.
    pub(super) fn set_kind(&mut self, stream: usize, to: KindState) {
        if to == KindState::Listed {
            while self.deliver_next(stream) {}
        }
        if self.kinds.change(KINDS[stream], to) {
            self.empty_mailbox();
            self.step(Input::Kinds(self.kinds));
        }
    }

    fn deliver_next(&mut self, stream: usize) -> bool {
        let Some(event) = self.events[stream].pop_front() else {
            return false;
        };
        self.last[stream] = Some(event.clone());
        self.show(event);
        true
    }

    /// Delivers all events that wait.
    pub(super) fn deliver_all(&mut self) {
        for stream in 0..STREAMS {
            while self.deliver(stream) {}
        }
    }

    /// Delivers the last event of a stream again.
    pub(super) fn repeat(&mut self, stream: usize) {
        if let Some(event) = self.last[stream].clone() {
            self.show(event);
        }
    }

    /// Carries out the request at `place`.
    pub(super) fn carry_out(&mut self, place: usize, fate: Fate) {
        let Some((id, request)) = self.requests.remove(place) else {
            return;
        };
        let unknown = || Outcome::Unknown {
            message: "timeout".into(),
        };
        let refused = |refusal| Outcome::Refused {
            refusal,
            message: "no".into(),
        };
        let about = self.asked.get(&id);
        let is_old = about.is_some_and(|about| about.decided_on != self.kinds.changes());
        let fate = match request {
            // The router sends none that was decided on before a kind came or went (A3).
            Request::CreateAddress(_) if is_old => Fate::NotSent,
            _ => fate,
        };
        let outcome = match fate {
            Fate::Fine => self.execute(&request),
            Fate::Vanished => unknown(),
            Fate::Unheard => {
                self.execute(&request);
                unknown()
            }
            Fate::NotSent => Outcome::NotSent { retry_after: None },
            Fate::Unread => match self.execute(&request) {
                Outcome::Conflict(_) => Outcome::Conflict(Reread::Unread),
                outcome => outcome,
            },
            Fate::Denied => match (&request, self.stored_version(&request)) {
                (Request::CreateAddress(_), _) => refused(Refusal::Conflict),
                (_, Some(stored)) if request.resource_version() == Some(&stored) => {
                    Outcome::Conflict(Reread::Unchanged {
                        message: "no".into(),
                    })
                }
                _ => self.execute(&request),
            },
            Fate::Refused => refused(Refusal::Forbidden),
            Fate::Terminating => refused(Refusal::NamespaceTerminating),
        };
        self.answers.push_back((id, outcome));
    }

    /// The stored version of what a request writes.
    fn stored_version(&self, request: &Request) -> Option<ResourceVersion> {
        let meta = match request {
            Request::PoolMeta { .. } | Request::PoolStatus { .. } => &self.pool.as_ref()?.meta,
            Request::ClaimFinalizers { key, .. } | Request::ClaimStatus { key, .. } => {
                &self.claims.get(key)?.meta
            }
            Request::DeleteAddress { key, .. } | Request::AddressMeta { key, .. } => {
                &self.addresses.get(key)?.meta
            }
            Request::CreateAddress(_)
            | Request::ReadCluster { .. }
            | Request::ReadClaim { .. }
            | Request::ReadAddress { .. } => return None,
        };
        Some(meta.resource_version.clone())
    }

    /// Hands over the answer at `place`.
    pub(super) fn answer(&mut self, place: usize) {
        if let Some((id, mut outcome)) = self.answers.remove(place) {
            self.is_busy = true;
            if let Some(about) = self.asked.remove(&id) {
                self.note_answer(&about, &mut outcome);
            }
            self.step(Input::Answer { id, outcome });
            self.is_busy = false;
        }
    }

    /// Everything that can happen now without time passing, in order.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = !self.mailbox.is_empty();
            self.empty_mailbox();
            for stream in 0..STREAMS {
                busy |= self.deliver(stream);
            }
            if !self.requests.is_empty() {
                self.carry_out(0, Fate::Fine);
                busy = true;
            }
            if !self.answers.is_empty() {
                self.answer(0);
                busy = true;
            }
            if !busy {
                return;
            }
        }
        panic!(
            "never comes to rest: {:?}",
            self.sent.iter().rev().take(5).collect::<Vec<_>>()
        );
    }

    /// Lets time pass, tick by tick.
    pub(super) fn pass(&mut self, seconds: i64) {
        let end = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
        self.settle();
        let mut rounds = 0;
        while let Some(at) = self.wake.filter(|at| *at <= end) {
            rounds += 1;
            assert!(rounds < 100_000, "wakes without end");
            self.now = self.now.max(at);
            self.wake = None;
            self.step(Input::Tick);
            self.settle();
        }
        self.now = end;
    }

    // --- people

    pub(super) fn create_pool(&mut self, spec: IPPoolSpec) {
        if self.pool.is_some() {
            return;
        }
        self.pool = Some(PoolObject {
            meta: self.new_meta("prov"),
            spec: Ok(spec),
            status: IPPoolStatus::default(),
        });
        self.tell_pool();
    }

    pub(super) fn edit_spec(&mut self, change: impl FnOnce(&mut IPPoolSpec)) {
        self.edit_pool(|pool| {
            if let Ok(spec) = &mut pool.spec {
                change(spec);
            }
        });
    }

    pub(super) fn delete_pool(&mut self) {
        let now = self.now;
        self.edit_pool(|pool| {
            pool.meta.deletion_timestamp.get_or_insert(now);
        });
    }

    /// Somebody takes all finalizers off the pool that is being deleted.
    pub(super) fn strip_pool(&mut self) {
        let now = self.now;
        self.edit_pool(|pool| {
            pool.meta.deletion_timestamp.get_or_insert(now);
            pool.meta.finalizers.clear();
        });
    }

    pub(super) fn create_claim(&mut self, kind: ClaimKind, name: &str) {
        self.create_claim_with(kind, name, |_| {});
    }

    pub(super) fn create_claim_with(
        &mut self,
        kind: ClaimKind,
        name: &str,
        change: impl FnOnce(&mut Claim),
    ) {
        let key = claim_key(kind, name);
        if self.claims.contains_key(&key) {
            return;
        }
        let mut claim = Claim {
            meta: self.new_meta(name),
            kind,
            pool: "prov".into(),
            fault: None,
            cluster: None,
            cluster_required: false,
            published: None,
            ip_address: None,
            error_message: None,
            conditions: Vec::new(),
            old_conditions: Vec::new(),
        };
        change(&mut claim);
        self.claims.insert(key, claim.clone());
        self.tell_claim(claim);
    }

    pub(super) fn request_address(&mut self, kind: ClaimKind, name: &str, text: &str) {
        self.create_claim_with(kind, name, |claim| {
            claim
                .meta
                .annotations
                .insert("ipAddress".into(), text.into());
        });
    }

    pub(super) fn delete_claim(&mut self, kind: ClaimKind, name: &str) {
        let now = self.now;
        self.edit_claim(&claim_key(kind, name), |claim| {
            claim.meta.deletion_timestamp.get_or_insert(now);
        });
    }

    /// An address object made by hand, of any pool.
    pub(super) fn create_address(
        &mut self,
        kind: ClaimKind,
        name: &str,
        pool: &str,
        claim: &str,
        address: &str,
        change: impl FnOnce(&mut Address),
    ) {
        let key = address_key(kind, name);
        if self.addresses.contains_key(&key) {
            return;
        }
        let mut object = Address {
            meta: self.new_meta(name),
            kind,
            address: crate::api::ip::parse_stored_ip(address).map_err(|_| address.to_owned()),
            pool: pool.into(),
            claim: claim.into(),
            prefix: None,
            gateway: None,
            dns_servers: Vec::new(),
        };
        change(&mut object);
        self.addresses.insert(key, object.clone());
        self.tell_address(object);
    }

    pub(super) fn delete_address(&mut self, key: &AddressKey) {
        let now = self.now;
        self.edit_address(key, |address| {
            address.meta.deletion_timestamp.get_or_insert(now);
        });
    }

    pub(super) fn set_cluster(&mut self, name: &str, paused: bool) {
        let uid = if let Some(cluster) = self.clusters.get(name) {
            cluster.uid.clone()
        } else {
            self.uids += 1;
            uuid::Uuid::from_u128(self.uids.into()).to_string().into()
        };
        let facts = ClusterFacts {
            name: name.into(),
            uid,
            api_version: "cluster.x-k8s.io/v1beta2".into(),
            paused,
            deleting: false,
        };
        self.clusters.insert(name.into(), facts.clone());
        self.events[5].push_back(Event::Cluster(Input::ClusterSeen(facts.into())));
    }

    pub(super) fn remove_cluster(&mut self, name: &str) {
        if self.clusters.remove(name).is_some() {
            let input = Input::ClusterGone { name: name.into() };
            self.events[5].push_back(Event::Cluster(input));
        }
    }

    // --- what is seen

    pub(super) fn claim(&self, kind: ClaimKind, name: &str) -> &Claim {
        &self.claims[&claim_key(kind, name)]
    }

    /// The address that a claim's status leads to, as text.
    pub(super) fn bound(&self, kind: ClaimKind, name: &str) -> Option<String> {
        let claim = self.claims.get(&claim_key(kind, name))?;
        let object = address_key(kind, claim.published.as_deref()?);
        let object = self.addresses.get(&object)?;
        object.address.as_ref().ok().map(ToString::to_string)
    }

    /// Reason of a claim's `Ready` condition.
    pub(super) fn reason(&self, kind: ClaimKind, name: &str) -> String {
        let ready = self.claim(kind, name).condition("Ready");
        ready.map_or_else(String::new, |c| c.reason.clone())
    }

    pub(super) fn message(&self, kind: ClaimKind, name: &str) -> String {
        let ready = self.claim(kind, name).condition("Ready");
        ready.map_or_else(String::new, |c| c.message.clone())
    }

    /// Status and reason of a condition of the pool.
    pub(super) fn pool_condition(&self, type_: &str) -> (String, String) {
        let conditions = &self.pool.as_ref().unwrap().status.conditions;
        let found = conditions.iter().find(|c| c.type_ == type_);
        found.map_or_else(Default::default, |c| (c.status.clone(), c.reason.clone()))
    }

    pub(super) fn has_pool_finalizer(&self) -> bool {
        let pool = self.pool.as_ref();
        pool.is_some_and(|p| p.meta.has_finalizer(POOL_FINALIZER))
    }

    /// Requests sent so far that are about a claim or an address object.
    pub(super) fn writes(&self) -> usize {
        let writes = |request: &&Request| match request {
            Request::ClaimFinalizers { .. }
            | Request::ClaimStatus { .. }
            | Request::CreateAddress(_)
            | Request::DeleteAddress { .. }
            | Request::AddressMeta { .. } => true,
            Request::PoolMeta { .. }
            | Request::PoolStatus { .. }
            | Request::ReadCluster { .. }
            | Request::ReadClaim { .. }
            | Request::ReadAddress { .. } => false,
        };
        self.sent.iter().filter(writes).count()
    }
}
