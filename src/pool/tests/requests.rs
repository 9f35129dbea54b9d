//! Refused, lost and late answers, and how many requests are sent (R7, R8, A12).

use std::collections::{BTreeMap, BTreeSet};

use super::steps::{before_create, bound_world};
use serde_json::json;

use super::super::{Config, Decision, Input, Outcome, Request, RequestId, Reread, Take};
use super::world::{
    C, Event, Fate, M, World, address_key, address_object, claim_key, claim_object, small, spec,
};

#[test]
fn r7_a_lost_answer_is_settled_by_the_same_create() {
    for fate in [Fate::Vanished, Fate::Unheard] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, fate);
        world.answer(0);
        // Nothing is seen of it, and the claim and the pool go meanwhile.
        world.events[3].clear();
        world.delete_claim(M, "a");
        world.delete_pool();
        world.deliver_all();
        assert!(world.claims.len() == 1 && world.has_pool_finalizer());
        assert_eq!(world.machine.snapshot().allocated, 1);
        world.pass(60);
        assert!(world.claims.is_empty() && world.addresses.is_empty() && world.pool.is_none());
        let creates: Vec<_> = world
            .sent
            .iter()
            .filter(|r| matches!(r, Request::CreateAddress(_)))
            .collect();
        assert!(creates.len() >= 2 && creates.iter().all(|c| *c == creates[0]));
    }
}

/// A DELETE of kube-apiserver that has found no finalizer on the claim removes it though ours was stored meanwhile.
#[test]
fn r1_r7_a_claim_that_vanishes_while_its_create_is_under_way_leaves_no_object() {
    for fate in [Fate::Fine, Fate::Vanished, Fate::Unheard] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, fate);
        world.edit_claim(&claim_key(M, "a"), |claim| claim.meta.finalizers.clear());
        world.delete_claim(M, "a");
        assert!(world.claims.is_empty());
        world.deliver_all();
        world.answer(0);
        // Long before any audit would find it (R6).
        world.pass(60);
        assert!(world.addresses.is_empty(), "{fate:?} leaves its object");
        world.create_claim(M, "b");
        world.pass(1);
        assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
    }
}

/// The answer to a create is lost, by this fate, and when it is sent again it is refused.
fn refused_after_a_lost_answer(fate: Fate) -> World {
    let mut world = World::new();
    before_create(&mut world);
    world.carry_out(0, fate);
    world.answer(0);
    world.events[3].clear();
    world.now = world.wake.unwrap();
    world.step(Input::Tick);
    world.carry_out(0, Fate::Refused);
    world.answer(0);
    world
}

fn says_that_a_name_was_taken(world: &World) -> bool {
    let says = |decision: &Decision| matches!(decision, Decision::Retrying { why, .. } if why.contains("name was taken"));
    world.told.iter().any(says)
}

#[test]
fn r7_a_create_that_is_refused_after_a_lost_answer_is_settled_by_a_read() {
    let mut world = refused_after_a_lost_answer(Fate::Unheard);
    world.pass(120);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.addresses.len(), 1);
}

#[test]
fn r7_a_create_that_a_read_has_settled_as_not_made_says_nothing_of_its_name() {
    let mut world = refused_after_a_lost_answer(Fate::Vanished);
    world.pass(120);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert!(!says_that_a_name_was_taken(&world), "{:?}", world.told);
}

/// The read fails first: it is still about a create whose answer is lost, and about no name that is taken.
#[test]
fn r7_a_read_that_fails_before_it_settles_a_create_says_nothing_of_its_name() {
    let mut world = refused_after_a_lost_answer(Fate::Vanished);
    let is_read = |request: Option<&(RequestId, Request)>| {
        matches!(request, Some((_, Request::ReadAddress { .. })))
    };
    while !is_read(world.requests.front()) {
        if !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
            world.answer(0);
        }
        world.now = world.wake.unwrap();
        world.step(Input::Tick);
    }
    world.carry_out(0, Fate::Vanished);
    world.answer(0);
    world.pass(120);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert!(!says_that_a_name_was_taken(&world), "{:?}", world.told);
}

#[test]
fn r8_a_deleting_claim_without_object_is_let_go_whatever_its_pool() {
    let mut world = World::new();
    world.create_claim_with(M, "a", |c| {
        c.meta.finalizers.push("ipclaim.ipam.metal3.io".into());
    });
    world.delete_claim(M, "a");
    world.pass(2);
    assert!(world.claims.is_empty());
    // One that is deleting already gets no finalizer.
    world.create_claim_with(C, "b", |c| c.meta.finalizers.push("x/y".into()));
    world.delete_claim(C, "b");
    world.create_pool(small(3));
    world.pass(2);
    assert_eq!(world.claim(C, "b").meta.finalizers, ["x/y"]);
}

#[test]
fn a12_a_refused_create_is_explained_and_delays_no_other() {
    let mut world = World::new();
    before_create(&mut world);
    world.carry_out(0, Fate::Refused);
    world.answer(0);
    world.create_claim(M, "b");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.reason(M, "a"), "AllocationFailed");
    assert_eq!(
        world.message(M, "a"),
        "the API server refused the address object: no"
    );
    world.pass(60);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
}

#[test]
fn a4_wrong_uids_of_owners_are_corrected() {
    let mut world = bound_world();
    let object = address_key(M, "p-10-0-0-1");
    world.edit_address(&object, |a| {
        a.meta.owner_references[0].uid = "old-claim".into();
        a.meta.owner_references[1].uid = "old-pool".into();
    });
    world.settle();
    let owners = &world.addresses[&object].meta.owner_references;
    assert!(world.claim(M, "a").meta.uid.is(&owners[0].uid));
    let pool = world.pool.as_ref().unwrap();
    assert!(pool.meta.uid.is(&owners[1].uid));
}

#[test]
fn a1_a_publishing_whose_answer_is_not_there_yet_counts_against_rivals() {
    for lost in [false, true] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        assert!(matches!(world.requests[0].1, Request::ClaimStatus { .. }));
        world.carry_out(0, if lost { Fate::Unheard } else { Fate::Fine });
        if lost {
            world.answer(0);
        }
        // By hand, older, for the same address, and told of by streams of its own.
        world.create_claim(C, "b");
        world.create_address(C, "dup", "prov", "b", "10.0.0.1", |object| {
            object.meta.creation_timestamp = Some(jiff::Timestamp::UNIX_EPOCH);
        });
        world.deliver(2);
        world.deliver(4);
        // All but the first claim's answer arrives.
        let others = usize::from(!lost);
        while !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
            world.answer(others);
        }
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
        assert_eq!(world.bound(C, "b"), None);
        world.pass(5);
        assert_eq!(world.bound(C, "b"), None);
    }
}

#[test]
fn a_watch_that_lags_behind_the_answers_costs_no_write() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.deliver_all();
    let rest = |world: &mut World| {
        while !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
            world.answer(0);
        }
    };
    rest(&mut world);
    assert!(world.bound(M, "a").is_some());
    // Every step of what is long past, one by one.
    while (0..super::world::STREAMS).any(|stream| world.deliver(stream)) {
        rest(&mut world);
    }
    assert_eq!(world.writes(), 3);
    world.delete_claim(M, "a");
    world.deliver_all();
    rest(&mut world);
    assert!(world.claims.is_empty());
    while (0..super::world::STREAMS).any(|stream| world.deliver(stream)) {
        rest(&mut world);
    }
    assert_eq!(world.writes(), 6);
    assert_eq!(world.machine.snapshot().claims, 0);
}

#[test]
fn late_and_repeated_views_change_nothing() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    let early = world.events[1][0].clone();
    world.settle();
    let object = world.addresses[&address_key(M, "p-10-0-0-1")].clone();
    world.delete_claim(M, "a");
    world.settle();
    assert!(world.machine.is_empty() || world.pool.is_some());
    // The watch of an earlier life: the claim and the object as they once were.
    world.create_claim(M, "a");
    world.settle();
    world.show(early);
    world.show(Event::Seen(address_object(object)));
    world.pass(3 * 3600);
    let snapshot = world.machine.snapshot();
    assert_eq!((snapshot.claims, snapshot.allocated), (1, 1));
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn an_answer_that_comes_after_the_watch_told_of_the_end_brings_nothing_back() {
    let mut world = World::new();
    before_create(&mut world);
    world.carry_out(0, Fate::Fine);
    // Created, seen, and taken away by hand before the answer arrives.
    let now = world.now;
    world.edit_address(&address_key(M, "p-10-0-0-1"), |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.deliver_all();
    world.answer(0);
    world.pass(5);
    assert_eq!(world.addresses.len(), 1);
    assert_eq!(world.machine.snapshot().allocated, 1);
    assert!(world.bound(M, "a").is_some());
}

#[test]
fn one_claims_backoff_honours_retry_after_and_delays_no_other() {
    let mut world = World::new();
    before_create(&mut world);
    let (id, _) = world.requests.pop_front().unwrap();
    world.step(Input::Answer {
        id,
        outcome: Outcome::NotSent {
            retry_after: Some(std::time::Duration::from_secs(7)),
        },
    });
    world.create_claim(M, "b");
    world.pass(6);
    assert!(world.bound(M, "a").is_none() && world.bound(M, "b").is_some());
    world.pass(5);
    assert!(world.bound(M, "a").is_some());
}

/// Somebody labels the object that a write is about; `None`: it is no write of an object that exists.
fn label_its_object(world: &mut World, request: &Request) -> Option<()> {
    let label = |labels: &mut BTreeMap<String, String>| {
        labels.insert("someone".into(), labels.len().to_string());
    };
    match request {
        Request::PoolMeta { .. } | Request::PoolStatus { .. } => world
            .edit_pool(|pool| label(&mut pool.meta.labels))
            .map(drop),
        Request::ClaimFinalizers { key, .. } | Request::ClaimStatus { key, .. } => world
            .edit_claim(key, |claim| label(&mut claim.meta.labels))
            .map(drop),
        Request::DeleteAddress { key, .. } | Request::AddressMeta { key, .. } => world
            .edit_address(key, |address| label(&mut address.meta.labels))
            .map(drop),
        Request::CreateAddress(_)
        | Request::ReadCluster { .. }
        | Request::ReadClaim { .. }
        | Request::ReadAddress { .. } => None,
    }
}

/// Carries out what is asked. The first write of each kind loses to a change that the watch shows before the answer.
fn lose_each_kind_once(world: &mut World, lost: &mut BTreeSet<String>) {
    world.deliver_all();
    while let Some((_, request)) = world.requests.front().cloned() {
        let text = format!("{request:?}");
        let kind = text.split(' ').next().unwrap_or_default();
        let off = text.contains("finalizers: []") || text.contains("finalizers: Some([])");
        let kind = format!("{kind}{}", if off { " off" } else { "" });
        if !lost.contains(&kind) && label_its_object(world, &request).is_some() {
            lost.insert(kind);
        }
        world.deliver_all();
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        world.deliver_all();
    }
}

#[test]
fn a_write_that_lost_to_a_change_the_watch_has_shown_is_sent_again_at_once() {
    let (mut world, mut lost) = (World::new(), BTreeSet::new());
    world.create_pool(small(3));
    lose_each_kind_once(&mut world, &mut lost);
    world.create_claim(M, "a");
    lose_each_kind_once(&mut world, &mut lost);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    world.delete_claim(M, "a");
    lose_each_kind_once(&mut world, &mut lost);
    assert!(world.claims.is_empty() && world.addresses.is_empty());
    world.delete_pool();
    lose_each_kind_once(&mut world, &mut lost);
    assert!(world.pool.is_none());
    let kinds: Vec<&str> = lost.iter().map(String::as_str).collect();
    let all = [
        "AddressMeta off",
        "ClaimFinalizers",
        "ClaimFinalizers off",
        "ClaimStatus",
        "DeleteAddress",
        "PoolMeta",
        "PoolMeta off",
        "PoolStatus",
    ];
    assert_eq!(kinds, all);
    let waits = |told: &&Decision| matches!(told, Decision::Retrying { .. });
    assert_eq!(world.told.iter().find(waits), None);
}

#[test]
fn a_conflict_with_the_version_it_was_decided_on_waits() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.deliver_all();
    while !matches!(world.requests[0].1, Request::ClaimFinalizers { .. }) {
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        world.deliver_all();
    }
    let (id, _) = world.requests.pop_front().unwrap();
    let found = claim_object(world.claim(M, "a").clone());
    let outcome = Outcome::Conflict(Reread::Found(found, Take::In));
    world.step(Input::Answer { id, outcome });
    world.settle();
    assert!(world.bound(M, "a").is_none());
    world.pass(1);
    assert!(world.bound(M, "a").is_some());
}

#[test]
fn the_same_seed_and_inputs_give_the_same_requests() {
    let run = || {
        let mut world = World::new();
        world.create_pool(spec(json!({
            "namePrefix": "p", "allocationStrategy": "random",
            "pools": [{ "start": "10.0.0.1", "end": "10.0.9.255" }],
        })));
        for number in 0..200 {
            world.create_claim(if number % 2 == 0 { M } else { C }, &format!("c{number}"));
        }
        world.pass(10);
        world.sent
    };
    assert_eq!(run(), run());
}

#[test]
fn requests_in_flight_are_bounded_and_go_by_age() {
    let mut world = World::with(Config {
        in_flight: 3,
        ..Config::default()
    });
    world.create_pool(small(200));
    world.settle();
    for number in 0..50 {
        world.create_claim(M, &format!("c{number:02}"));
    }
    let mut most = 0;
    while !world.requests.is_empty() || world.events.iter().any(|e| !e.is_empty()) {
        world.deliver_all();
        most = most.max(world.requests.len());
        world.carry_out(0, Fate::Fine);
        world.answer(0);
    }
    assert_eq!(most, 3);
    assert_eq!(world.bound(M, "c00").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(M, "c49").as_deref(), Some("10.0.0.50"));
}

/// With upstream's own definitions on the server our conditions are dropped in silence.
#[test]
fn u1_a_server_that_keeps_no_conditions_is_not_written_to_without_end() {
    let mut world = World::new();
    world.drops = ["conditions"].into();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.create_claim(M, "b");
    world.pass(60);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(
        world.claim(M, "b").error_message.as_deref(),
        Some("Exhausted IP Pools")
    );
    let sent = world.sent.len();
    assert!(sent < 16, "{sent} requests: {:?}", world.sent);
    world.pass(600);
    assert_eq!(world.sent.len(), sent, "at rest nothing is written");
    world.delete_claim(M, "a");
    world.pass(60);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
}

/// The fault layer's find (script "status wiped", seed 7): the watch told of the wiped status before the answer to the write
/// came, and that was taken for a server that keeps no status.
#[test]
fn u3_a_status_wiped_before_its_write_is_answered_is_written_again() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.pass(5);
    world.create_claim(M, "a");
    world.deliver_all();
    // Everything up to the claim's status; that is carried out and not answered yet.
    let is_status = |(_, request): &(_, Request)| matches!(request, Request::ClaimStatus { .. });
    let place = loop {
        if let Some(place) = world.requests.iter().position(is_status) {
            break place;
        }
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        world.deliver_all();
    };
    assert_eq!(world.bound(M, "a"), None);
    world.carry_out(place, Fate::Fine);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    world.edit_claim(&claim_key(M, "a"), |claim| {
        claim.published = None;
        claim.conditions.clear();
    });
    world.deliver_all();
    world.answer(0);
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

/// Somebody writes the object as soon as our create has made it; the watch's event of that still waits to be taken in.
#[test]
fn a1_an_address_is_held_until_what_is_newer_of_its_object_is_taken_in() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.settle();
    world.create_claim(M, "a");
    world.create_claim(C, "b");
    while world.answers.is_empty() || !world.addresses.contains_key(&address_key(M, "p-10-0-0-1")) {
        for stream in [1, 2] {
            while world.deliver(stream) {}
        }
        if !world.answers.is_empty() {
            world.answer(0);
        }
        if !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
        }
    }
    let create = |request: &Request| matches!(request, Request::CreateAddress(_));
    let creates = |world: &World| world.sent.iter().filter(|r| create(r)).count();
    let before = creates(&world);
    let (id, outcome) = world.answers.pop_back().unwrap();
    let Outcome::Stored(object, Take::In) = outcome else {
        panic!("{outcome:?}");
    };
    let outcome = Outcome::Stored(object, Take::LeaveOut);
    world.step(Input::Answer { id, outcome });
    assert_eq!(creates(&world), before, "the address is not chosen again");
    world.pass(60);
    assert_eq!(creates(&world), before);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.reason(C, "b"), "PoolExhausted");
    let given = |d: &&Decision| matches!(d, Decision::Allocated { .. });
    assert_eq!(world.told.iter().filter(given).count(), 1);
}
