//! The machine under random actions of people, random faults and random order of everything, held to five statements
//! (O1 to O5) that are computed here from the server's objects alone, the slow and obvious way.
//!
//! `POOL_MODEL_CASES` raises the number of runs. What it found is kept in found.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestCaseError};
use serde_json::json;

use super::super::{Config, KindState};
use super::world::{C, Fate, M, STREAMS, World, address_key, claim_key, ip, spec};
use crate::api::names::{DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION, POOL_FINALIZER};
use crate::api::{Address, AddressKey, Claim, ClaimKey, ClaimKind, ReferenceFault, Uid};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TEXTS: [&str; 6] = [
    "", "10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.9.9", "nonsense",
];

/// What happens next. Numbers choose among kinds, names, texts and what is there.
#[derive(Debug, Clone)]
pub(super) enum Act {
    CreateClaim(u8, u8, u8),
    /// An IPClaim whose reference is of another kind.
    FaultyClaim(u8),
    DeleteClaim(u8, u8),
    ForeignFinalizer(u8, u8),
    StripClaim(u8, u8),
    Annotate(u8, u8, u8),
    Forge(u8, u8, u8),
    PauseClaim(u8, u8),
    /// Its reference leads to another pool, or back.
    MoveClaim(u8, u8),
    CreatePool(u8),
    EditPool(u8),
    DeletePool,
    StripPool,
    PausePool,
    Cluster(bool),
    NoCluster,
    HandAddress(u8, u8, u8, bool),
    DeleteAddress(u8),
    StripAddress(u8),
    MarkAddress(u8),
    MarkClaim(u8, u8),
    Squat(u8, u8),
    Deliver(u8),
    DeliverAll(u8),
    Repeat(u8),
    /// A kind is listed, to be listed anew, or not served.
    Kind(u8, KindState),
    CarryOut(u8, Fate),
    Answer(u8),
    Pass(u8),
    Settle,
    Crash(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Fine),
        2 => Just(Fate::Vanished),
        2 => Just(Fate::Unheard),
        1 => Just(Fate::NotSent),
        1 => Just(Fate::Unread),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Terminating),
    ]
}

fn state() -> impl Strategy<Value = KindState> {
    prop_oneof![
        2 => Just(KindState::Listed),
        1 => Just(KindState::Pending),
        1 => Just(KindState::Unavailable),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let k = || 0..2u8;
    let n = || 0..4u8;
    prop_oneof![
        8 => (k(), n(), prop_oneof![4 => Just(0), 2 => 1..6u8]).prop_map(|(k, n, t)| Act::CreateClaim(k, n, t)),
        1 => n().prop_map(Act::FaultyClaim),
        6 => (k(), n()).prop_map(|(k, n)| Act::DeleteClaim(k, n)),
        1 => (k(), n()).prop_map(|(k, n)| Act::ForeignFinalizer(k, n)),
        1 => (k(), n()).prop_map(|(k, n)| Act::StripClaim(k, n)),
        1 => (k(), n(), 0..6u8).prop_map(|(k, n, t)| Act::Annotate(k, n, t)),
        1 => (k(), n(), 0..6u8).prop_map(|(k, n, t)| Act::Forge(k, n, t)),
        1 => (k(), n()).prop_map(|(k, n)| Act::PauseClaim(k, n)),
        1 => (k(), n()).prop_map(|(k, n)| Act::MoveClaim(k, n)),
        3 => (0..SPECS + 1).prop_map(Act::CreatePool),
        2 => (0..SPECS).prop_map(Act::EditPool),
        1 => Just(Act::DeletePool),
        1 => Just(Act::StripPool),
        1 => Just(Act::PausePool),
        1 => any::<bool>().prop_map(Act::Cluster),
        1 => Just(Act::NoCluster),
        2 => (k(), 0..5u8, 1..6u8, any::<bool>()).prop_map(|(k, n, a, o)| Act::HandAddress(k, n, a, o)),
        1 => (0..8u8).prop_map(Act::DeleteAddress),
        1 => (0..8u8).prop_map(Act::StripAddress),
        2 => (0..8u8).prop_map(Act::MarkAddress),
        1 => (k(), n()).prop_map(|(k, n)| Act::MarkClaim(k, n)),
        2 => (k(), 1..5u8).prop_map(|(k, a)| Act::Squat(k, a)),
        14 => (0..STREAMS as u8).prop_map(Act::Deliver),
        6 => (0..STREAMS as u8).prop_map(Act::DeliverAll),
        3 => (0..STREAMS as u8).prop_map(Act::Repeat),
        3 => (0..STREAMS as u8, state()).prop_map(|(s, to)| Act::Kind(s, to)),
        16 => (0..8u8, fate()).prop_map(|(p, f)| Act::CarryOut(p, f)),
        16 => (0..8u8).prop_map(Act::Answer),
        3 => (0..70u8).prop_map(Act::Pass),
        3 => Just(Act::Settle),
        1 => any::<u8>().prop_map(Act::Crash),
    ]
}

/// Specs that a pool may be edited to; one more, with another name prefix, only a new pool may have.
const SPECS: u8 = 6;

fn pool_spec(number: u8) -> crate::api::metal3::IPPoolSpec {
    let range = |first: &str, last: &str| json!([{ "start": first, "end": last }]);
    spec(match number {
        0 => json!({ "namePrefix": "p", "pools": range("10.0.0.1", "10.0.0.3") }),
        1 => {
            json!({ "namePrefix": "p", "pools": range("10.0.0.1", "10.0.0.5"), "gateway": "10.0.0.2" })
        }
        2 => json!({ "namePrefix": "p", "pools": range("10.0.0.1", "10.0.0.4"),
                     "preAllocations": { "a": "10.0.0.3" }, "excludedAddresses": ["10.0.0.1"] }),
        3 => {
            json!({ "namePrefix": "p", "pools": range("10.0.0.1", "10.0.0.5"), "clusterName": "cl" })
        }
        4 => json!({ "namePrefix": "p", "pools": [], "addressReuseGracePeriodSeconds": 30 }),
        5 => {
            json!({ "namePrefix": "p", "pools": range("10.0.0.2", "10.0.0.6"), "allocationStrategy": "random",
                     "addressReuseGracePeriodSeconds": 30 })
        }
        _ => json!({ "namePrefix": "q", "pools": range("10.0.0.1", "10.0.0.4") }),
    })
}

fn kind(number: u8) -> ClaimKind {
    if number == 0 { M } else { C }
}

/// What `clusterctl move` marks on the source before it deletes an object, and takes off nothing when it is aborted.
fn mark(meta: &mut crate::api::Meta) {
    meta.annotations
        .insert(DELETE_FOR_MOVE_ANNOTATION.into(), String::new());
}

/// Whether the claim's reference leads to the pool.
fn leads_here(claim: &Claim) -> bool {
    &*claim.pool == "prov"
}

/// The prefix of the names that the pool gives to objects, with the hyphen.
fn prefix(world: &World) -> Option<String> {
    let spec = world.pool.as_ref()?.spec.as_ref().ok()?;
    Some(format!("{}-", spec.name_prefix))
}

/// What must stay as it is.
#[derive(Default)]
struct Ledger {
    /// The address that each claim was first bound to, by the claim's UID.
    bound: BTreeMap<Uid, IpAddr>,
    /// The object that each claim's status shows, and the address that it had when it existed, by the claim's UID.
    shown: BTreeMap<Uid, (Arc<str>, IpAddr)>,
    /// Claims whose reference led to another pool for a while, by UID: the pool has let go of what it held for them.
    moved: BTreeSet<Uid>,
}

/// The address that a claim shows: its status leads to an object of this pool that names it.
fn bound(world: &World, key: &ClaimKey, claim: &Claim) -> Option<IpAddr> {
    let object = address_key(key.kind, claim.published.as_deref()?);
    let object = world.addresses.get(&object)?;
    let its = &*object.pool == "prov" && object.claim == key.name;
    object.address.clone().ok().filter(|_| its)
}

impl Ledger {
    /// O1 and O2, and that no claim is ever given two addresses (R7).
    fn check(&mut self, world: &World) -> Result<(), TestCaseError> {
        let mut given: BTreeSet<&str> = BTreeSet::new();
        let living = |object: &&Address| !object.meta.is_deleting();
        for object in world.addresses.values().filter(living) {
            // Objects made by hand have no owners here, until one that vanished under its claim is put back (R4): then the object
            // whose create was under way when somebody made it stands beside it until the claim goes (A4).
            if object.meta.name.starts_with("hand-") {
                continue;
            }
            if let Some(owner) = object.meta.owner_references.first() {
                let first = given.insert(&owner.uid);
                prop_assert!(first, "R7: {} was given two addresses", object.claim_key());
            }
        }
        let mut seen: BTreeMap<IpAddr, ClaimKey> = BTreeMap::new();
        for (key, claim) in &world.claims {
            let found = bound(world, key, claim);
            // The machine uses the address that its claim shows, whatever became of the object.
            let Some(addr) = found.or_else(|| self.still_shown(claim)) else {
                continue;
            };
            if let Some(other) = seen.insert(addr, key.clone()) {
                prop_assert!(false, "O1: {addr} is shown by {other} and by {key}");
            }
            if found.is_none() || self.moved.contains(&claim.meta.uid) {
                continue;
            }
            let name = claim.published.clone().unwrap_or_default();
            self.shown.insert(claim.meta.uid.clone(), (name, addr));
            let first = *self.bound.entry(claim.meta.uid.clone()).or_insert(addr);
            prop_assert_eq!(first, addr, "O2: {} changed its address", key);
        }
        Ok(())
    }

    /// The address of the missing object that a living claim shows.
    fn still_shown(&self, claim: &Claim) -> Option<IpAddr> {
        let (name, addr) = self.shown.get(&claim.meta.uid)?;
        let shows = claim.published.as_ref() == Some(name) && !claim.meta.is_deleting();
        (shows && !self.moved.contains(&claim.meta.uid)).then_some(*addr)
    }

    /// A new process knows the address of a missing object from the object's name, or else from the pool's `indexes`.
    fn forget_unknown(&mut self, world: &World) {
        let indexes = world.pool.as_ref().map(|pool| &pool.status.indexes);
        let indexed = |uid: &Uid, addr: &IpAddr| {
            let claim = world.claims.values().find(|c| c.meta.uid == *uid);
            let text = claim.and_then(|c| indexes?.get(&*c.meta.name));
            let twin = claim.is_some_and(|c| {
                c.kind == C && world.claims.contains_key(&claim_key(M, &c.meta.name))
            });
            // The entry may as well be of the other kind's claim of that name, whose object has the address.
            let of_twin = claim.is_some_and(|c| {
                let mut objects = world.addresses.values();
                objects.any(|a| {
                    let is_twins = a.kind != c.kind && a.claim == c.meta.name;
                    is_twins && a.address.as_ref() == Ok(addr)
                })
            });
            !twin && !of_twin && text.is_some_and(|text| text.0 == addr.to_string())
        };
        // No pool gives out no address, and one that comes says how it names its objects.
        let prefix = prefix(world).unwrap_or_default();
        self.shown.retain(|uid, (name, addr)| {
            let exists = world.addresses.keys().any(|key| key.name == *name);
            exists || name.starts_with(&prefix) || indexed(uid, addr)
        });
    }

    /// A pool is made that names its objects otherwise: of those before, their names do not tell the address any more. What the
    /// process has seen of them does.
    fn forget_unnamed(&mut self, world: &World) {
        let Some(prefix) = prefix(world) else {
            return;
        };
        let seen: BTreeSet<Arc<str>> = world
            .machine
            .cases
            .values()
            .flat_map(|case| {
                let work = case.work();
                let vanished = work.vanished.as_deref().map(|kept| kept.name.clone());
                let outlived = work.outlived.as_deref().map(|kept| kept.name.clone());
                vanished.into_iter().chain(outlived)
            })
            .chain(world.machine.addresses.keys().map(|key| key.name.clone()))
            .collect();
        self.shown
            .retain(|_, (name, _)| name.starts_with(&prefix) || seen.contains(name));
    }

    /// The claim may be bound to another address from now on.
    fn forget(&mut self, world: &World, key: &ClaimKey) {
        if let Some(claim) = world.claims.get(key) {
            self.bound.remove(&claim.meta.uid);
        }
    }
}

fn nth_address(world: &World, number: u8) -> Option<AddressKey> {
    let count = world.addresses.len().max(1);
    world
        .addresses
        .keys()
        .nth(usize::from(number) % count)
        .cloned()
}

fn act_out(world: &mut World, ledger: &mut Ledger, act: &Act) {
    let key = |k: u8, n: u8| claim_key(kind(k), NAMES[usize::from(n)]);
    match *act {
        Act::CreateClaim(k, n, t) => {
            let text = TEXTS[usize::from(t)];
            let name = NAMES[usize::from(n)];
            if t == 0 {
                world.create_claim(kind(k), name);
            } else {
                world.request_address(kind(k), name, text);
            }
        }
        Act::FaultyClaim(n) => {
            world.create_claim_with(M, NAMES[usize::from(n)], |claim| {
                claim.fault = Some(ReferenceFault::OtherKind);
            });
        }
        Act::DeleteClaim(k, n) => world.delete_claim(kind(k), NAMES[usize::from(n)]),
        Act::ForeignFinalizer(k, n) => {
            world.edit_claim(&key(k, n), |claim| {
                let list = &mut claim.meta.finalizers;
                if list.iter().any(|f| f == "x/y") {
                    list.retain(|f| f != "x/y");
                } else if claim.meta.deletion_timestamp.is_none() {
                    list.push("x/y".into());
                }
            });
        }
        Act::StripClaim(k, n) => {
            world.edit_claim(&key(k, n), |claim| claim.meta.finalizers.clear());
        }
        Act::Annotate(k, n, t) => {
            world.edit_claim(&key(k, n), |claim| {
                let text = TEXTS[usize::from(t)];
                claim
                    .meta
                    .annotations
                    .insert("ipAddress".into(), text.into());
            });
        }
        Act::Forge(k, n, t) => {
            ledger.forget(world, &key(k, n));
            if let Some(claim) = world.claims.get(&key(k, n)) {
                ledger.shown.remove(&claim.meta.uid);
            }
            // A status that leads to another claim's object, to none, or nowhere: never to a second one of its own.
            let object = world
                .addresses
                .iter()
                .filter(|(_, a)| *a.claim != *NAMES[usize::from(n)])
                .map(|(key, _)| key.name.clone())
                .nth(usize::from(t));
            let forged = object.or_else(|| (t > 3).then(|| "p-10-0-0-9".into()));
            world.edit_claim(&key(k, n), |claim| claim.published = forged);
        }
        Act::PauseClaim(k, n) => {
            world.edit_claim(&key(k, n), |claim| {
                let all = &mut claim.meta.annotations;
                if all.remove(PAUSED_ANNOTATION).is_none() {
                    all.insert(PAUSED_ANNOTATION.into(), String::new());
                }
            });
        }
        Act::MoveClaim(k, n) => {
            if let Some(claim) = world.claims.get(&key(k, n)) {
                ledger.moved.insert(claim.meta.uid.clone());
            }
            world.edit_claim(&key(k, n), |claim| {
                let to = if leads_here(claim) { "other" } else { "prov" };
                claim.pool = to.into();
            });
        }
        Act::CreatePool(number) => {
            if world.pool.is_none() {
                world.create_pool(pool_spec(number));
                ledger.forget_unnamed(world);
            }
        }
        Act::EditPool(number) => world.edit_spec(|spec| *spec = pool_spec(number)),
        Act::DeletePool => world.delete_pool(),
        Act::StripPool => world.strip_pool(),
        Act::PausePool => {
            world.edit_pool(|pool| {
                let all = &mut pool.meta.annotations;
                if all.remove(PAUSED_ANNOTATION).is_none() {
                    all.insert(PAUSED_ANNOTATION.into(), String::new());
                }
            });
        }
        Act::Cluster(paused) => world.set_cluster("cl", paused),
        Act::NoCluster => world.remove_cluster("cl"),
        Act::HandAddress(k, n, a, ours) => {
            let claim = NAMES.get(usize::from(n)).copied().unwrap_or("nobody");
            let name = format!("hand-{a}-{n}");
            let address = format!("10.0.0.{a}");
            world.create_address(kind(k), &name, "prov", claim, &address, |object| {
                if ours {
                    let ours = object.kind.address_finalizer();
                    object.meta.finalizers.push(ours.into());
                }
            });
        }
        Act::DeleteAddress(number) => {
            if let Some(object) = nth_address(world, number) {
                let ours = world.addresses[&object].has_our_finalizer();
                if !ours {
                    let claim = world.addresses[&object].claim_key();
                    ledger.forget(world, &claim);
                }
                world.delete_address(&object);
            }
        }
        Act::StripAddress(number) => {
            if let Some(object) = nth_address(world, number) {
                let claim = world.addresses[&object].claim_key();
                ledger.forget(world, &claim);
                let now = world.now;
                world.edit_address(&object, |object| {
                    object.meta.deletion_timestamp.get_or_insert(now);
                    object.meta.finalizers.clear();
                });
            }
        }
        Act::MarkAddress(number) => {
            if let Some(object) = nth_address(world, number) {
                world.edit_address(&object, |object| mark(&mut object.meta));
            }
        }
        Act::MarkClaim(k, n) => {
            world.edit_claim(&key(k, n), |claim| mark(&mut claim.meta));
        }
        Act::Squat(k, a) => {
            let name = format!("p-10-0-0-{a}");
            world.create_address(kind(k), &name, "other", "z", "10.9.9.9", |_| {});
        }
        Act::Deliver(stream) => {
            world.deliver(usize::from(stream));
        }
        Act::DeliverAll(stream) => while world.deliver(usize::from(stream)) {},
        Act::Repeat(stream) => world.repeat(usize::from(stream)),
        Act::Kind(stream, to) => world.set_kind(usize::from(stream), to),
        Act::CarryOut(place, fate) => {
            let count = world.requests.len().max(1);
            world.carry_out(usize::from(place) % count, fate);
        }
        Act::Answer(place) => {
            let count = world.answers.len().max(1);
            world.answer(usize::from(place) % count);
        }
        Act::Pass(seconds) => {
            world.now = world
                .now
                .checked_add(jiff::SignedDuration::from_secs(seconds.into()))
                .unwrap();
            world.step(super::super::Input::Tick);
        }
        Act::Settle => world.settle(),
        Act::Crash(landed) => {
            // Each request on its way lands or does not.
            let count = world.requests.len();
            for bit in 0..count {
                let fate = if landed >> (bit % 8) & 1 == 1 {
                    Fate::Fine
                } else {
                    Fate::Vanished
                };
                world.carry_out(0, fate);
            }
            ledger.forget_unknown(world);
            world.restart();
        }
    }
}

/// Who holds what, from the objects alone.
struct Truth {
    inside: BTreeSet<IpAddr>,
    free: BTreeSet<IpAddr>,
    held: BTreeMap<IpAddr, usize>,
    pre_allocations: BTreeMap<String, IpAddr>,
}

fn truth(world: &World) -> Truth {
    let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for object in world.addresses.values().filter(|a| &*a.pool == "prov") {
        if let Ok(addr) = object.address {
            *held.entry(addr).or_default() += 1;
        }
    }
    let known = world.machine.foreign.values().copied();
    for addr in known.chain(world.machine.shown.addresses()) {
        *held.entry(addr).or_default() += 1;
    }
    let spec = world.pool.as_ref().and_then(|p| p.spec.as_ref().ok());
    let mut inside = BTreeSet::new();
    let mut kept_back = BTreeSet::new();
    let mut pre_allocations = BTreeMap::new();
    if let Some(spec) = spec {
        for entry in &spec.pools {
            let last = |text: &str| text.rsplit('.').next().unwrap().parse::<u8>().unwrap();
            let (first, end) = (entry.start.as_ref().unwrap(), entry.end.as_ref().unwrap());
            inside.extend((last(first)..=last(end)).map(|n| ip(&format!("10.0.0.{n}"))));
        }
        for excluded in &spec.excluded_addresses {
            inside.remove(&ip(&excluded.0));
        }
        kept_back.extend(spec.gateway.as_ref().map(|g| ip(g)));
        for (name, addr) in &spec.pre_allocations {
            kept_back.insert(ip(addr));
            pre_allocations.insert(name.clone(), ip(addr));
        }
    }
    let free = |addr: &&IpAddr| !held.contains_key(addr) && !kept_back.contains(addr);
    Truth {
        free: inside.iter().filter(free).copied().collect(),
        inside,
        held,
        pre_allocations,
    }
}

/// The claims that lead to the pool.
fn here(world: &World) -> impl Iterator<Item = (&ClaimKey, &Claim)> {
    world.claims.iter().filter(|(_, claim)| leads_here(claim))
}

/// O3, O4 and O5, once everything has come to rest and nobody is paused.
fn check_rest(world: &World) -> Result<(), TestCaseError> {
    let truth = truth(world);
    let snapshot = world.machine.snapshot();
    prop_assert!(world.machine.flights.is_empty());
    prop_assert!(
        world.machine.unsettled.is_empty(),
        "an answer is still awaited"
    );

    // O3: no object of ours without its claim.
    for (key, object) in world.addresses.iter().filter(|(_, a)| &*a.pool == "prov") {
        if object.has_our_finalizer() {
            let claim = world.claims.get(&object.claim_key());
            prop_assert!(claim.is_some(), "O3: {key} is kept for nobody");
        }
    }
    // Nothing that can go stays.
    for (key, claim) in here(world) {
        let foreign = claim.meta.has_finalizer("x/y");
        prop_assert!(foreign || !claim.meta.is_deleting(), "{key} is not let go");
    }
    for (key, case) in &world.machine.cases {
        prop_assert!(
            case.work().attempt.is_none(),
            "{key} still holds {:?}",
            case.work().attempt
        );
    }
    let named = world.addresses.values().any(|a| &*a.pool == "prov");
    if let Some(pool) = &world.pool {
        let kept = named || !pool.meta.is_deleting();
        prop_assert!(
            kept,
            "R5: the pool is not let go: {:?}",
            pool.meta.finalizers
        );
    }

    // O4: what is known is what is there.
    let count = |inside: bool| {
        let held = truth.held.keys();
        held.filter(|a| truth.inside.contains(a) == inside).count()
    };
    prop_assert_eq!(snapshot.capacity, truth.inside.len() as u128);
    prop_assert_eq!(snapshot.allocated, count(true) as u128, "O4: allocated");
    prop_assert_eq!(
        u128::from(snapshot.out_of_range),
        count(false) as u128,
        "O4: out of range"
    );
    prop_assert_eq!(
        snapshot.available,
        truth.free.len() as u128,
        "O4: available"
    );
    prop_assert_eq!(
        snapshot.allocated + snapshot.available + snapshot.reserved,
        snapshot.capacity
    );
    prop_assert_eq!(snapshot.claims, here(world).count() as u64, "O4: claims");
    let objects = world.addresses.iter().filter(|(_, a)| &*a.pool == "prov");
    let objects: BTreeSet<_> = objects.map(|(key, _)| key.clone()).collect();
    let known: BTreeSet<_> = world.machine.addresses.keys().cloned().collect();
    prop_assert_eq!(known, objects, "O4: address objects");
    let waits = |(key, claim): &(&ClaimKey, &Claim)| {
        !claim.meta.is_deleting() && bound(world, key, claim).is_none()
    };
    let waiting = here(world).filter(waits).count() as u64;
    prop_assert_eq!(
        snapshot.waiting.values().sum::<u64>(),
        waiting,
        "O4: waiting"
    );
    if let Some(pool) = &world.pool {
        prop_assert_eq!(pool.status.allocated, Some(snapshot.allocated as i64));
        prop_assert_eq!(pool.status.available, Some(snapshot.available as i64));
        prop_assert_eq!(pool.status.waiting_claims, Some(waiting.cast_signed()));
        prop_assert_eq!(pool.status.observed_generation, Some(pool.meta.generation));
        if !pool.meta.is_deleting() {
            prop_assert!(pool.meta.has_finalizer(POOL_FINALIZER));
        }
    }

    // A1: what a claim shows is held, though its object is missing.
    if let Some(prefix) = prefix(world) {
        for (key, claim) in here(world).filter(|(_, c)| !c.meta.is_deleting()) {
            let name = claim.published.as_deref();
            let last = name.and_then(|name| name.strip_prefix(&*format!("{prefix}10-0-0-")));
            let Some((name, last)) = name.zip(last) else {
                continue;
            };
            let missing = !world.addresses.contains_key(&address_key(key.kind, name));
            let held = truth.held.contains_key(&ip(&format!("10.0.0.{last}")));
            prop_assert!(!missing || held, "A1: {key} shows {name}, which is free");
        }
    }

    // O5: who waits has a reason, and its status says so.
    for (key, claim) in here(world).filter(|(_, c)| !c.meta.is_deleting()) {
        let ready = claim.condition("Ready");
        let status = ready.map(|c| c.status.as_str());
        if bound(world, key, claim).is_some() {
            prop_assert_eq!(status, Some("True"), "{} is bound", key);
            prop_assert!(claim.error_message.is_none());
            prop_assert!(claim.has_our_finalizer());
            continue;
        }
        prop_assert_eq!(status, Some("False"), "{} waits", key);
        let reason = ready.map(|c| c.reason.clone()).unwrap_or_default();
        let open = world.pool.as_ref().is_some_and(|p| !p.meta.is_deleting());
        let disputed = world
            .addresses
            .values()
            .any(|a| a.kind == key.kind && a.claim == key.name && &*a.pool == "prov");
        let message = ready.map(|c| c.message.as_str()).unwrap_or_default();
        let conflict = reason == "AddressConflict" || message.starts_with("AddressConflict");
        if !open || disputed || conflict || claim.fault.is_some() {
            continue;
        }
        let pre_allocation = truth.pre_allocations.get(&*key.name);
        let text = claim.requested();
        let wanted = text
            .map(|t| t.parse::<IpAddr>().ok())
            .or(pre_allocation.map(|p| Some(*p)));
        let servable = match wanted {
            None => !truth.free.is_empty(),
            Some(None) => false,
            Some(Some(addr)) => {
                let mine = truth
                    .pre_allocations
                    .iter()
                    .all(|(n, a)| **n == *key.name || *a != addr);
                let agrees = pre_allocation.is_none_or(|p| *p == addr);
                truth.inside.contains(&addr) && !truth.held.contains_key(&addr) && mine && agrees
            }
        };
        prop_assert!(!servable, "O5: {key} could be served but waits: {reason}");
    }
    Ok(())
}

/// Acts it all out, and holds the outcome to O1 to O5, also after a restart.
pub(super) fn run(in_flight: usize, acts: &[Act]) -> Result<(), TestCaseError> {
    let mut world = World::with(Config {
        in_flight,
        ..Config::default()
    });
    // Some have left when they are withdrawn.
    world.has_left = |id| id.0 % 3 == 0;
    let mut ledger = Ledger::default();
    for act in acts {
        act_out(&mut world, &mut ledger, act);
        ledger.check(&world)?;
    }
    // Nobody is paused any more, and the Cluster is there.
    world.set_cluster("cl", false);
    for stream in 0..STREAMS {
        world.set_kind(stream, KindState::Listed);
    }
    world.edit_pool(|pool| {
        pool.meta.annotations.remove(PAUSED_ANNOTATION);
    });
    let claims: Vec<ClaimKey> = world.claims.keys().cloned().collect();
    for key in claims {
        world.edit_claim(&key, |claim| {
            claim.meta.annotations.remove(PAUSED_ANNOTATION);
            claim.meta.annotations.remove(DELETE_FOR_MOVE_ANNOTATION);
        });
    }
    world.pass(3 * 3600);
    ledger.check(&world)?;
    let sent = world.sent.len();
    world.pass(2 * 3600);
    prop_assert_eq!(
        sent,
        world.sent.len(),
        "it goes on and on: {:?}",
        &world.sent[sent..]
    );
    check_rest(&world)?;
    // A restart finds nothing to do, but names that others have: they are found taken once more. And it does not remember
    // the object that a claim had and that somebody else has put his own in the place of.
    let taken = !world.machine.foreign.is_empty()
        || world
            .machine
            .cases
            .values()
            .any(|case| case.work().vanished.is_some() || case.work().outlived.is_some());
    let taken = taken || world.claims.keys().any(|key| is_forgotten(&world, key));
    world.restart();
    world.pass(3600);
    if taken {
        return Ok(());
    }
    prop_assert_eq!(
        sent,
        world.sent.len(),
        "a restart finds more to do: {:?}",
        &world.sent[sent..]
    );
    check_rest(&world)
}

/// Whether a new process cannot know the address that the claim shows: its missing object was named by a user, and what the pool's
/// `indexes` have under the claim's name is the other kind's (A2, A10).
fn is_forgotten(world: &World, key: &ClaimKey) -> bool {
    let published = world.claims[key].published.as_deref();
    let named_by_a_user =
        published.filter(|name| !name.starts_with(&prefix(world).unwrap_or_default()));
    key.kind == C
        && world.claims.contains_key(&claim_key(M, &key.name))
        && named_by_a_user.is_some_and(|name| !world.addresses.contains_key(&address_key(C, name)))
}

fn runs() -> Runs {
    let cases = std::env::var("POOL_MODEL_CASES").ok();
    Runs {
        cases: cases.and_then(|n| n.parse().ok()).unwrap_or(400),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Runs::default()
    }
}

proptest! {
    #![proptest_config(runs())]

    #[test]
    fn o1_to_o5_hold_whatever_happens(
        in_flight in prop_oneof![Just(64usize), Just(1), Just(2)],
        acts in prop::collection::vec(act(), 1..120),
    ) {
        run(in_flight, &acts)?;
    }
}
