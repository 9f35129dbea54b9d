//! The statements that the model is held to (O1 to O5), computed from the API server's objects alone, the slow and obvious way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::world::{C, M, World, address_key, claim_key, ip};
use crate::api::names::POOL_FINALIZER;
use crate::api::{Address, Claim, ClaimKey, Uid};

/// Whether the claim's reference leads to the pool.
pub(super) fn leads_here(claim: &Claim) -> bool {
    &*claim.pool == "prov"
}

/// The prefix of the names that the pool gives to objects, with the hyphen.
fn prefix(world: &World) -> Option<String> {
    let spec = world.pool.as_ref()?.spec.as_ref().ok()?;
    Some(format!("{}-", spec.name_prefix))
}

/// What must stay as it is.
#[derive(Default)]
pub(super) struct Ledger {
    /// The address that each claim was first bound to, by the claim's UID.
    bound: BTreeMap<Uid, IpAddr>,
    /// The object that each claim's status shows, and the address that it had when it existed, by the claim's UID.
    pub(super) shown: BTreeMap<Uid, (Arc<str>, IpAddr)>,
    /// Claims whose reference led to another pool for a while, by UID: the pool has let go of what it held for them.
    pub(super) moved: BTreeSet<Uid>,
}

/// The address that a claim shows: its status leads to an object of this pool that names it.
fn bound(world: &World, key: &ClaimKey, claim: &Claim) -> Option<IpAddr> {
    let object = address_key(key.kind, claim.published.as_deref()?);
    let object = world.addresses.get(&object)?;
    let its = &*object.pool == "prov" && object.claim == key.name;
    object.address.clone().ok().filter(|_| its)
}

/// Whether the object that a claim shows is as old as another claim's of its address.
fn is_of_the_same_second(world: &World, key: &ClaimKey, claim: &Claim) -> bool {
    let shown = claim.published.as_deref();
    let own = shown.and_then(|name| world.addresses.get(&address_key(key.kind, name)));
    let Some(own) = own else {
        return false;
    };
    world.addresses.values().any(|other| {
        other.address == own.address
            && other.claim_key() != *key
            && other.meta.creation_timestamp == own.meta.creation_timestamp
    })
}

impl Ledger {
    /// O1 and O2, and that no claim is ever given two addresses (R7).
    pub(super) fn check(&mut self, world: &World) -> Result<(), TestCaseError> {
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
            // A new process does not know of a claim that leads elsewhere: of objects of one second another claim's goes first (A4).
            if !leads_here(claim) && is_of_the_same_second(world, key, claim) {
                continue;
            }
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
    pub(super) fn forget_unknown(&mut self, world: &World) {
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
    pub(super) fn forget_unnamed(&mut self, world: &World) {
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
    pub(super) fn forget(&mut self, world: &World, key: &ClaimKey) {
        if let Some(claim) = world.claims.get(key) {
            self.bound.remove(&claim.meta.uid);
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
    let known = world.machine.taken_names.values().copied();
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
pub(super) fn check_rest(world: &World) -> Result<(), TestCaseError> {
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

/// Whether a new process cannot know the address that the claim shows: its missing object was named by a user, and what the pool's
/// `indexes` have under the claim's name is the other kind's (A2, A10).
pub(super) fn is_forgotten(world: &World, key: &ClaimKey) -> bool {
    let published = world.claims[key].published.as_deref();
    let named_by_a_user =
        published.filter(|name| !name.starts_with(&prefix(world).unwrap_or_default()));
    key.kind == C
        && world.claims.contains_key(&claim_key(M, &key.name))
        && named_by_a_user.is_some_and(|name| !world.addresses.contains_key(&address_key(C, name)))
}
