//! The machine under random actions of people, random faults and random order of everything, held to five statements
//! (O1 to O5, statements.rs).
//!
//! `POOL_MODEL_CASES` raises the number of runs. What it found is kept in found.rs.

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestCaseError};
use serde_json::json;

use super::super::{Config, KindState};
use super::statements::{Ledger, check_rest, is_forgotten, leads_here};
use super::world::{C, Fate, M, STREAMS, World, claim_key, spec};
use crate::api::names::{DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION};
use crate::api::{AddressKey, ClaimKey, ClaimKind, ReferenceFault};

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
    SquatHere(u8, u8, u8, bool),
    Deliver(u8),
    /// It waits in the mailbox while answers come.
    DeliverLate(u8),
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
        1 => Just(Fate::Denied),
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
        1 => (k(), n(), 1..5u8, any::<bool>()).prop_map(|(k, n, a, d)| Act::SquatHere(k, n, a, d)),
        14 => (0..STREAMS as u8).prop_map(Act::Deliver),
        6 => (0..STREAMS as u8).prop_map(Act::DeliverAll),
        5 => (0..STREAMS as u8).prop_map(Act::DeliverLate),
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
        // An object that names a claim of the pool and has the name of an address, and the claim cannot be bound to it: it has no
        // address, or it is deleted and others keep it. Under a name that a status shows it would be a forged address.
        Act::SquatHere(k, n, a, deleted) => {
            let name = format!("p-10-0-0-{a}");
            let address = if deleted { "10.9.9.9" } else { "10.0.0.001" };
            let (claim, now) = (NAMES[usize::from(n)], world.now);
            let mut claims = world.claims.values();
            if !claims.any(|claim| claim.published.as_deref() == Some(&*name)) {
                world.create_address(kind(k), &name, "prov", claim, address, |object| {
                    if deleted {
                        object.meta.deletion_timestamp = Some(now);
                        object.meta.finalizers.push("example.com/keep".into());
                    }
                });
            }
        }
        Act::Deliver(stream) => {
            world.deliver(usize::from(stream));
        }
        Act::DeliverLate(stream) => world.deliver_to_mailbox(usize::from(stream)),
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
            world.empty_mailbox();
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
    let taken = !world.machine.taken_names.is_empty()
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
