//! A small API server in memory: objects, versions, finalizers, preconditions, watches that lag and answers that get lost.
//! What it does is told from outside, request by request and event by event, so that a test decides the order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use super::super::{
    By, Config, Decision, Effect, Freshness, Incarnation, Input, KindState, Kinds, Known, Moment,
    Name, Object, Outcome, Outdated, Pool, Refusal, Request, RequestId, Reread, Scope,
};
use crate::api::metal3::{IPPoolSpec, IPPoolStatus};
use crate::api::names::{METAL3_GROUP, POOL_FINALIZER};
use crate::api::object::{conditions as conditions_of, pool_status};
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, Kind, Meta, PoolKey, PoolObject,
    Uid,
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
    Refused,
    Terminating,
}

/// A policy of the server: which requests it refuses, and with which words.
pub(super) type Policy = (fn(&Request) -> bool, &'static str);

/// An event of a watch.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Seen(Object),
    Gone {
        kind: Kind,
        name: Name,
        uid: Uid,
        version: Arc<str>,
    },
    /// Of a Cluster.
    Cluster(Input),
}

/// Streams of watch events; order is kept within a stream, not between streams.
pub(super) const STREAMS: usize = 6;

pub(super) struct World {
    pub(super) machine: Pool,
    pub(super) config: Config,
    pub(super) now: Timestamp,
    /// How far the system's clock of the controller is ahead of the server's.
    pub(super) clock_error: SignedDuration,
    pub(super) kinds: Kinds,
    version: u64,
    uids: u64,
    pub(super) pool: Option<PoolObject>,
    pub(super) problems: Vec<String>,
    pub(super) claims: BTreeMap<ClaimKey, Claim>,
    pub(super) addresses: BTreeMap<AddressKey, Address>,
    pub(super) clusters: BTreeMap<Arc<str>, ClusterFacts>,
    /// What the controller's router asks before it puts anything into the pool.
    known: Known,
    pub(super) events: [VecDeque<Event>; STREAMS],
    last: [Option<Event>; STREAMS],
    pub(super) requests: VecDeque<(RequestId, Request)>,
    pub(super) answers: VecDeque<(RequestId, Outcome)>,
    /// What the requests without an answer are about.
    asked: BTreeMap<RequestId, About>,
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
    /// Every status that a claim had: (claim UID, object name, address).
    pub(super) published: Vec<(Arc<str>, ClaimKey, Arc<str>)>,
}

/// The object that a request is about.
struct About {
    kind: Kind,
    name: Name,
    /// The incarnation that is to be written.
    uid: Option<Uid>,
}

impl About {
    fn of(request: &Request) -> Self {
        let (kind, name, uid) = match request {
            Request::PoolMeta { uid, .. } | Request::PoolStatus { uid, .. } => {
                (Kind::Pools, "prov", Some(uid))
            }
            Request::ClaimFinalizers { key, uid, .. } | Request::ClaimStatus { key, uid, .. } => {
                (Kind::Claims(key.kind), &*key.name, Some(uid))
            }
            Request::DeleteAddress { key, uid, .. } | Request::AddressMeta { key, uid, .. } => {
                (Kind::Addresses(key.kind), &*key.name, Some(uid))
            }
            Request::CreateAddress(new) => (Kind::Addresses(new.kind), &*new.name, None),
            Request::ReadCluster { name } => (Kind::Clusters, &**name, None),
            Request::ReadClaim { key } => (Kind::Claims(key.kind), &*key.name, None),
            Request::ReadAddress { key } => (Kind::Addresses(key.kind), &*key.name, None),
        };
        let name = Name {
            namespace: "default".into(),
            name: name.into(),
        };
        let uid = uid.cloned();
        Self { kind, name, uid }
    }
}

/// Drops a field as a structural schema without it does; of the conditions also a field of each.
fn drop_field(status: &mut Value, field: &str) {
    let fields = status.as_object_mut().unwrap();
    match field.split_once('.') {
        None => _ = fields.remove(field),
        Some((list, field)) => {
            let items = fields.get_mut(list).and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                item.as_object_mut().unwrap().remove(field);
            }
        }
    }
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

fn claim_object(claim: Claim) -> Object {
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

/// The end of an object; its metadata has the version of that.
fn gone(kind: Kind, meta: &Meta) -> Event {
    Event::Gone {
        kind,
        name: Name::of(meta),
        uid: meta.uid.clone(),
        version: meta.resource_version.clone(),
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
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            asked: BTreeMap::new(),
            wake: None,
            watched: BTreeSet::new(),
            sent: Vec::new(),
            told: Vec::new(),
            drops: BTreeSet::new(),
            refuses: None,
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
                    self.asked.insert(id, About::of(&request));
                    self.requests.push_back((id, request));
                }
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
            self.events[5].push_back(Event::Cluster(Input::ClusterSeen(cluster)));
        }
        self.tell_pool();
        self.deliver_all();
        self.end_missing();
        self.step(Input::Kinds(self.kinds));
    }

    /// Delivers the next event of a stream.
    pub(super) fn deliver(&mut self, stream: usize) -> bool {
        let Some(event) = self.events[stream].pop_front() else {
            return false;
        };
        self.last[stream] = Some(event.clone());
        self.show(event);
        true
    }

    // --- the way into the machine

    /// What a watch shows, as far as it is new.
    pub(super) fn show(&mut self, event: Event) {
        match event {
            Event::Cluster(input) => self.step(input),
            Event::Seen(object) => {
                if let Ok(true) = self.note(&object, By::Event) {
                    self.step(Input::Seen(object));
                }
            }
            Event::Gone {
                kind,
                name,
                uid,
                version,
            } => {
                if let Some(known) = self.known.end(kind, &name, &uid, &version) {
                    self.tell_end(kind, &name, &known);
                }
            }
        }
    }

    /// Whether the object leads to the pool.
    fn note(&mut self, object: &Object, by: By) -> Result<bool, Outdated> {
        let (kind, pool) = match object {
            Object::Pool { object, .. } => (Kind::Pools, &object.meta.name),
            Object::Claim { claim, .. } => (Kind::Claims(claim.kind), &claim.pool),
            Object::Address { address, .. } => (Kind::Addresses(address.kind), &address.pool),
        };
        let name = Name::of(object.meta());
        let seen = Incarnation::of(object.meta(), Some(pool.clone()));
        let before = self.known.see(kind, &name, seen, by)?;
        if let Some(before) = before
            && (before.uid != object.meta().uid || before.pool.as_ref() != Some(pool))
        {
            self.tell_end(kind, &name, &before);
        }
        Ok(&**pool == "prov")
    }

    fn tell_end(&mut self, kind: Kind, name: &Name, known: &Incarnation) {
        let uid = known.uid.clone();
        let ours = known.pool.as_deref() == Some("prov");
        let input = match kind {
            Kind::Pools if ours => Input::PoolGone { uid },
            Kind::Claims(family) if ours => Input::ClaimGone {
                key: name.claim(family),
                uid,
            },
            Kind::Addresses(family) if ours => Input::AddressGone {
                key: name.address(family),
                uid,
            },
            Kind::Addresses(family) if self.watched.contains(&name.address(family)) => {
                Input::NameFreed(name.address(family))
            }
            Kind::Pools | Kind::Claims(_) | Kind::Addresses(_) | Kind::Clusters => return,
        };
        self.step(input);
    }

    /// Every kind was listed: what is not there is gone.
    fn end_missing(&mut self) {
        let version = self.version.to_string();
        for kind in Kind::ALL {
            let live = match kind {
                Kind::Pools => self.pool.iter().map(|pool| Name::of(&pool.meta)).collect(),
                Kind::Claims(family) => {
                    let live = self.claims.values().filter(|claim| claim.kind == family);
                    live.map(|claim| Name::of(&claim.meta)).collect()
                }
                Kind::Addresses(family) => {
                    let live = self.addresses.values().filter(|a| a.kind == family);
                    live.map(|address| Name::of(&address.meta)).collect()
                }
                Kind::Clusters => continue,
            };
            for (name, known) in self.known.end_missing(kind, &live, &version) {
                self.tell_end(kind, &name, &known);
            }
        }
    }

    /// What an answer shows is noted before the machine has it.
    fn note_answer(&mut self, about: &About, outcome: &mut Outcome) {
        match outcome {
            Outcome::Stored(object, freshness)
            | Outcome::Conflict(Reread::Found(object, freshness)) => {
                *freshness = match self.note(object, By::Answer) {
                    Ok(true) => Freshness::Newest,
                    Ok(false) | Err(Outdated) => Freshness::Outdated,
                };
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                if let Some(uid) = &about.uid {
                    self.known.end_by_answer(about.kind, &about.name, uid);
                }
            }
            _ => {}
        }
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
        let outcome = match fate {
            Fate::Fine => self.execute(&request),
            Fate::Vanished => unknown(),
            Fate::Unheard => {
                self.execute(&request);
                unknown()
            }
            Fate::NotSent => Outcome::NotSent { retry_after: None },
            Fate::Refused => refused(Refusal::Forbidden),
            Fate::Terminating => refused(Refusal::NamespaceTerminating),
        };
        self.answers.push_back((id, outcome));
    }

    /// Hands over the answer at `place`.
    pub(super) fn answer(&mut self, place: usize) {
        if let Some((id, mut outcome)) = self.answers.remove(place) {
            if let Some(about) = self.asked.remove(&id) {
                self.note_answer(&about, &mut outcome);
            }
            self.step(Input::Answer { id, outcome });
        }
    }

    /// Everything that can happen now without time passing, in order.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
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

    // --- the server

    fn next_version(&mut self) -> Arc<str> {
        self.version += 1;
        self.version.to_string().into()
    }

    fn new_meta(&mut self, name: &str) -> Meta {
        self.uids += 1;
        Meta {
            name: name.into(),
            namespace: "default".into(),
            uid: format!("uid-{}", self.uids).into(),
            resource_version: self.next_version(),
            generation: 1,
            creation_timestamp: Some(self.now),
            ..Meta::default()
        }
    }

    fn pool_object(&self, pool: PoolObject) -> Object {
        Object::Pool {
            object: Box::new(pool),
            problems: self.problems.clone(),
            scope: Scope::Ours,
        }
    }

    fn tell_pool(&mut self) {
        if let Some(pool) = self.pool.clone() {
            let seen = self.pool_object(pool);
            self.events[0].push_back(Event::Seen(seen));
        }
    }

    fn tell_claim(&mut self, claim: Claim) {
        let stream = if claim.kind == M { 1 } else { 2 };
        self.events[stream].push_back(Event::Seen(claim_object(claim)));
    }

    fn tell_address(&mut self, address: Address) {
        let stream = if address.kind == M { 3 } else { 4 };
        self.events[stream].push_back(Event::Seen(address_object(address)));
    }

    /// Changes the pool as a user or a writer does; `None` back: it is gone.
    pub(super) fn edit_pool(&mut self, change: impl FnOnce(&mut PoolObject)) -> Option<PoolObject> {
        let mut pool = self.pool.clone()?;
        let before = pool.clone();
        change(&mut pool);
        if pool == before {
            return Some(pool);
        }
        if pool.spec != before.spec {
            pool.meta.generation += 1;
        }
        pool.meta.resource_version = self.next_version();
        if pool.meta.is_deleting() && pool.meta.finalizers.is_empty() {
            self.pool = None;
            self.events[0].push_back(gone(Kind::Pools, &pool.meta));
            return None;
        }
        self.pool = Some(pool.clone());
        self.tell_pool();
        Some(pool)
    }

    pub(super) fn edit_claim(
        &mut self,
        key: &ClaimKey,
        change: impl FnOnce(&mut Claim),
    ) -> Option<Claim> {
        let mut claim = self.claims.get(key)?.clone();
        let before = claim.clone();
        change(&mut claim);
        if claim == before {
            return Some(claim);
        }
        claim.meta.resource_version = self.next_version();
        if claim.meta.is_deleting() && claim.meta.finalizers.is_empty() {
            self.claims.remove(key);
            let stream = if key.kind == M { 1 } else { 2 };
            self.events[stream].push_back(gone(Kind::Claims(key.kind), &claim.meta));
            return None;
        }
        if claim.published != before.published
            && let Some(name) = &claim.published
        {
            self.published
                .push((claim.meta.uid.clone(), key.clone(), name.clone()));
        }
        self.claims.insert(key.clone(), claim.clone());
        self.tell_claim(claim.clone());
        Some(claim)
    }

    pub(super) fn edit_address(
        &mut self,
        key: &AddressKey,
        change: impl FnOnce(&mut Address),
    ) -> Option<Address> {
        let mut address = self.addresses.get(key)?.clone();
        let before = address.clone();
        change(&mut address);
        if address == before {
            return Some(address);
        }
        address.meta.resource_version = self.next_version();
        if address.meta.is_deleting() && address.meta.finalizers.is_empty() {
            self.addresses.remove(key);
            let stream = if key.kind == M { 3 } else { 4 };
            self.events[stream].push_back(gone(Kind::Addresses(key.kind), &address.meta));
            return None;
        }
        self.addresses.insert(key.clone(), address.clone());
        self.tell_address(address.clone());
        Some(address)
    }

    fn execute(&mut self, request: &Request) -> Outcome {
        if let Some((refuses, words)) = self.refuses
            && refuses(request)
        {
            return Outcome::Refused {
                refusal: Refusal::Invalid,
                message: words.into(),
            };
        }
        let drops = self.drops.clone();
        match request {
            Request::PoolMeta {
                uid: _,
                resource_version,
                finalizers,
                labels,
                owner_references,
                entries: _,
            } => self.patch_pool(resource_version, |pool| {
                pool.meta.finalizers.clone_from(finalizers);
                for (key, value) in labels {
                    match value {
                        Some(value) => pool.meta.labels.insert(key.clone(), value.clone()),
                        None => pool.meta.labels.remove(key),
                    };
                }
                if let Some(owners) = owner_references {
                    pool.meta.owner_references.clone_from(owners);
                }
            }),
            Request::PoolStatus {
                uid: _,
                resource_version,
                status,
                entries: _,
            } => self.patch_pool(resource_version, |pool| {
                let mut stored = serde_json::to_value(&pool.status).unwrap();
                json_patch::merge(&mut stored, status);
                for field in &drops {
                    drop_field(&mut stored, field);
                }
                pool.status = pool_status(&stored);
            }),
            Request::ClaimFinalizers {
                key,
                uid: _,
                resource_version,
                finalizers,
            } => {
                let adds = |claim: &Claim| {
                    claim.meta.is_deleting()
                        && finalizers.iter().any(|f| !claim.meta.has_finalizer(f))
                };
                if self.claims.get(key).is_some_and(adds) {
                    return Outcome::Refused {
                        refusal: Refusal::Invalid,
                        message: "no new finalizers on what is being deleted".into(),
                    };
                }
                self.patch_claim(key, resource_version, |claim| {
                    claim.meta.finalizers.clone_from(finalizers);
                })
            }
            Request::ClaimStatus {
                key,
                uid: _,
                resource_version,
                status,
            } => self.patch_claim(key, resource_version, |claim| {
                if let Some(published) = &status.published
                    && !drops.contains("address")
                {
                    claim.published.clone_from(published);
                }
                if let Some(error) = &status.error_message
                    && !drops.contains("errorMessage")
                {
                    claim.error_message.clone_from(error);
                }
                if let Some(conditions) = &status.conditions {
                    let mut kept = json!({ "conditions": conditions });
                    for field in &drops {
                        drop_field(&mut kept, field);
                    }
                    claim.conditions = conditions_of(kept.get("conditions"));
                }
            }),
            Request::CreateAddress(new) => {
                let key = address_key(new.kind, &new.name);
                if self.addresses.contains_key(&key) {
                    return Outcome::NameTaken;
                }
                let owner = |kind: &str, group: &str, name: &str, uid: &str| OwnerReference {
                    api_version: format!("{group}/v1"),
                    kind: kind.into(),
                    name: name.into(),
                    uid: uid.into(),
                    ..OwnerReference::default()
                };
                let mut meta = self.new_meta(&new.name);
                meta.finalizers = vec![new.kind.address_finalizer().into()];
                meta.labels.clone_from(&new.labels);
                meta.owner_references = vec![
                    owner(
                        new.kind.claim(),
                        new.kind.group(),
                        &new.claim,
                        &new.claim_uid,
                    ),
                    owner("IPPool", METAL3_GROUP, "prov", &new.pool_uid),
                ];
                let address = Address {
                    meta,
                    kind: new.kind,
                    address: Ok(new.address),
                    pool: "prov".into(),
                    claim: new.claim.clone(),
                    prefix: new.prefix,
                    gateway: new.gateway,
                    dns_servers: new.dns_servers.clone(),
                };
                self.addresses.insert(key, address.clone());
                self.tell_address(address.clone());
                Outcome::Stored(address_object(address), Freshness::Newest)
            }
            Request::DeleteAddress {
                key,
                uid,
                resource_version,
            } => {
                let now = self.now;
                let known = self.addresses.get(key).map(|a| a.meta.uid == *uid);
                if known == Some(false) {
                    return self.newest_address(key);
                }
                self.patch_address(key, resource_version, |address| {
                    address.meta.deletion_timestamp.get_or_insert(now);
                })
            }
            Request::AddressMeta {
                key,
                uid: _,
                resource_version,
                finalizers,
                owner_references,
            } => self.patch_address(key, resource_version, |address| {
                if let Some(finalizers) = finalizers {
                    address.meta.finalizers.clone_from(finalizers);
                }
                if let Some(owners) = owner_references {
                    address.meta.owner_references.clone_from(owners);
                }
            }),
            Request::ReadCluster { name } => Outcome::Cluster(self.clusters.get(name).cloned()),
            Request::ReadClaim { key } => self.claims.get(key).map_or(Outcome::Gone, |claim| {
                Outcome::Stored(claim_object(claim.clone()), Freshness::Newest)
            }),
            Request::ReadAddress { key } => {
                self.addresses.get(key).map_or(Outcome::Gone, |address| {
                    Outcome::Stored(address_object(address.clone()), Freshness::Newest)
                })
            }
        }
    }

    fn patch_pool(&mut self, version: &str, change: impl FnOnce(&mut PoolObject)) -> Outcome {
        let Some(pool) = &self.pool else {
            return Outcome::Gone;
        };
        if *pool.meta.resource_version != *version {
            let found = self.pool_object(pool.clone());
            return Outcome::Conflict(Reread::Found(found, Freshness::Newest));
        }
        match self.edit_pool(change) {
            Some(pool) => Outcome::Stored(self.pool_object(pool), Freshness::Newest),
            None => Outcome::Gone,
        }
    }

    fn patch_claim(
        &mut self,
        key: &ClaimKey,
        version: &str,
        change: impl FnOnce(&mut Claim),
    ) -> Outcome {
        let Some(claim) = self.claims.get(key) else {
            return Outcome::Gone;
        };
        if *claim.meta.resource_version != *version {
            let found = claim_object(claim.clone());
            return Outcome::Conflict(Reread::Found(found, Freshness::Newest));
        }
        match self.edit_claim(key, change) {
            Some(claim) => Outcome::Stored(claim_object(claim), Freshness::Newest),
            None => Outcome::Gone,
        }
    }

    fn newest_address(&self, key: &AddressKey) -> Outcome {
        Outcome::Conflict(self.addresses.get(key).map_or(Reread::Gone, |address| {
            Reread::Found(address_object(address.clone()), Freshness::Newest)
        }))
    }

    fn patch_address(
        &mut self,
        key: &AddressKey,
        version: &str,
        change: impl FnOnce(&mut Address),
    ) -> Outcome {
        let Some(address) = self.addresses.get(key) else {
            return Outcome::Gone;
        };
        if *address.meta.resource_version != *version {
            return self.newest_address(key);
        }
        match self.edit_address(key, change) {
            Some(address) => Outcome::Stored(address_object(address), Freshness::Newest),
            None => Outcome::Gone,
        }
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
            address: crate::api::ip::parse_ip(address).map_err(|_| address.to_owned()),
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
            format!("uid-{}", self.uids).into()
        };
        let facts = ClusterFacts {
            name: name.into(),
            uid,
            api_version: "cluster.x-k8s.io/v1beta2".into(),
            paused,
            deleting: false,
        };
        self.clusters.insert(name.into(), facts.clone());
        self.events[5].push_back(Event::Cluster(Input::ClusterSeen(facts)));
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
