//! One rule after the other, without faults: what users see of pools and claims.

use jiff::SignedDuration;
use serde_json::json;

use super::super::{Decision, Input, Object, Request, Scope};
use super::world::{C, Event, Fate, M, World, claim_key, small, spec};
use crate::api::ReferenceFault;
use crate::api::names::PAUSED_ANNOTATION;

#[test]
fn a10_indexes_show_the_ipclaims_address_of_two_of_one_name() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(C, "a");
    world.settle();
    world.create_claim(M, "a");
    world.pass(2);
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(status.indexes["a"].0, "10.0.0.2");
    world.delete_claim(M, "a");
    world.pass(2);
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(status.indexes["a"].0, "10.0.0.1");
}

#[test]
fn u1_each_reason_is_said_in_the_words_of_its_kind() {
    let mut world = World::new();
    world.create_claim(M, "a");
    world.create_claim(C, "b");
    world.settle();
    assert_eq!(world.writes(), 0, "it may pass within moments");
    world.pass(2);
    assert_eq!(world.reason(M, "a"), "PoolNotFound");
    assert_eq!(
        world.message(M, "a"),
        "pool default/prov does not exist; create it"
    );
    assert_eq!(world.reason(C, "b"), "PoolNotReady");
    assert_eq!(
        world.message(C, "b"),
        "PoolNotFound: pool default/prov does not exist; create it"
    );
    world.create_claim_with(M, "f", |c| c.fault = Some(ReferenceFault::OtherKind));
    world.create_claim_with(C, "g", |c| c.fault = Some(ReferenceFault::OtherProvider));
    world.create_pool(small(3));
    world.pass(2);
    assert_eq!(world.reason(M, "f"), "AllocationFailed");
    assert_eq!(
        world.reason(C, "g"),
        "",
        "another provider's claim is none of ours"
    );
    let waits = world
        .told
        .iter()
        .filter(|d| matches!(d, Decision::Waiting { .. }));
    assert_eq!(waits.count(), 3);
}

#[test]
fn u2_exhaustion_becomes_an_error_after_a_while_and_goes_with_the_binding() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.create_claim(M, "b");
    world.pass(9);
    assert_eq!(world.claim(M, "b").error_message, None);
    world.pass(2);
    let error = world.claim(M, "b").error_message.as_deref();
    assert_eq!(error, Some("Exhausted IP Pools"));
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.claim(M, "b").error_message, None);
    assert_eq!(world.reason(M, "b"), "AddressAllocated");
}

#[test]
fn u3_a_forged_status_is_corrected() {
    let mut world = World::new();
    world.create_pool(small(2));
    world.create_claim(M, "a");
    world.create_claim(M, "b");
    world.settle();
    world.create_claim_with(M, "c", |c| c.published = Some("p-10-0-0-1".into()));
    world.edit_claim(&claim_key(M, "b"), |c| {
        c.published = Some("p-10-0-0-1".into());
    });
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
    assert_eq!(world.claim(M, "c").published, None);
    assert_eq!(world.reason(M, "c"), "PoolExhausted");
    // A condition that is put right is no binding.
    let bound = |world: &World| {
        let bound = world
            .told
            .iter()
            .filter(|d| matches!(d, Decision::Bound { .. }));
        bound.count()
    };
    let before = bound(&world);
    world.edit_claim(&claim_key(M, "b"), |c| {
        c.conditions[0].reason = "Forged".into();
    });
    world.settle();
    assert_eq!(world.reason(M, "b"), "AddressAllocated");
    assert_eq!(bound(&world), before);
}

#[test]
fn p4_another_managers_claims_are_not_touched_and_their_objects_held() {
    let mut world = World::new();
    world.create_address(M, "x", "prov", "theirs", "10.0.0.1", |_| {});
    world.create_claim(M, "theirs");
    for event in &mut world.events[1] {
        if let Event::Seen(Object::Claim { scope, .. }) = event {
            *scope = Scope::Another;
        }
    }
    world.create_pool(small(2));
    world.create_claim(M, "ours");
    world.settle();
    assert_eq!(world.bound(M, "ours").as_deref(), Some("10.0.0.2"));
    let theirs = world.claim(M, "theirs");
    assert!(theirs.meta.finalizers.is_empty() && theirs.published.is_none());
}

#[test]
fn an_invalid_spec_is_said_and_its_good_entries_are_served() {
    let mut world = World::new();
    world.problems = vec!["spec.pools[0].end: must not be below start".into()];
    world.create_pool(spec(json!({ "namePrefix": "p", "pools": [
        { "start": "10.0.0.9", "end": "10.0.0.1" }, { "start": "10.0.0.1", "end": "10.0.0.1" },
    ] })));
    world.create_claim(M, "a");
    world.settle();
    world.pass(2);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(
        world.pool_condition("Ready"),
        ("False".into(), "InvalidSpec".into())
    );
}

#[test]
fn indexes_are_left_out_beyond_their_bounds_and_come_back() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": [{ "subnet": "10.0.0.0/16" }],
    })));
    for number in 0..4097 {
        world.create_claim(M, &format!("c{number}"));
    }
    world.pass(60);
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(status.allocated, Some(4097));
    assert!(status.indexes.is_empty());
    assert_eq!(world.pool_condition("IndexesComplete").0, "False");
    let reported = |world: &World| {
        let mut said = world.told.iter();
        said.any(|told| {
            matches!(
                told,
                Decision::Pool {
                    condition: "IndexesComplete",
                    status: false,
                    ..
                }
            )
        })
    };
    assert!(reported(&world), "that they are left out is said");
    // A new leader says nothing that is not so, and not again what is.
    world.told.clear();
    world.restart();
    world.pass(60);
    let of_indexes = |told: &&Decision| {
        matches!(
            told,
            Decision::Pool {
                condition: "IndexesComplete",
                ..
            }
        )
    };
    assert_eq!(world.told.iter().find(of_indexes), None);
    world.delete_claim(M, "c7");
    world.pass(60);
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(status.indexes.len(), 4096);
    assert_eq!(world.pool_condition("IndexesComplete").0, "True");
}

#[test]
fn the_status_is_written_once_per_interval_and_only_when_it_differs() {
    let mut world = World::new();
    world.create_pool(small(200));
    for second in 0..5 {
        for number in 0..10 {
            world.create_claim(M, &format!("c{second}-{number}"));
        }
        world.pass(1);
    }
    let busy = status_writes(&world);
    assert!((2..=6).contains(&busy), "{busy}");
    world.pass(3600);
    assert!(status_writes(&world) <= busy + 1);
    assert_eq!(world.pool.as_ref().unwrap().status.allocated, Some(50));
}

fn status_writes(world: &World) -> usize {
    let status = |r: &&Request| matches!(r, Request::PoolStatus { .. });
    world.sent.iter().filter(status).count()
}

#[test]
fn a_lone_claim_costs_one_write_of_the_pool() {
    let mut world = World::new();
    world.create_pool(small(200));
    world.pass(60);
    for name in ["a", "b"] {
        let before = (status_writes(&world), world.writes());
        world.create_claim(M, name);
        world.pass(60);
        let after = (status_writes(&world), world.writes());
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 3), "{name}");
    }
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(
        (status.allocated, status.waiting_claims),
        (Some(2), Some(0))
    );
}

#[test]
fn a_status_waits_until_it_is_written_and_not_while_writes_of_it_are_refused() {
    let mut world = World::new();
    world.create_pool(small(200));
    world.pass(60);
    let waits = |world: &World| world.machine.snapshot().status_waits;
    assert!(!waits(&world));
    world.create_claim(M, "a");
    world.settle();
    assert!(waits(&world), "counts wait");
    let before = status_writes(&world);
    world.now = world.wake.take().unwrap();
    world.step(Input::Tick);
    world.settle();
    assert_eq!(status_writes(&world) - before, 1);
    assert!(!waits(&world), "the answer asks for no other write");
    world.refuses = Some((|r| matches!(r, Request::PoolStatus { .. }), "no"));
    world.create_claim(M, "b");
    world.pass(60);
    assert!(!waits(&world), "it is refused");
    world.refuses = None;
    world.pass(3600);
    assert_eq!(world.pool.as_ref().unwrap().status.allocated, Some(2));
}

#[test]
fn counts_that_go_on_changing_are_written_every_eight_seconds_and_at_rest_within_one() {
    let mut world = World::new();
    world.create_pool(small(200));
    world.pass(60);
    let before = status_writes(&world);
    for number in 0..80 {
        world.create_claim(M, &format!("c{number}"));
        world.pass(1);
    }
    let busy = status_writes(&world) - before;
    assert!((80 / 8..=80 / 8 + 4).contains(&busy), "{busy}");
    // They are right at rest, and then the next change shows soon again.
    world.pass(20);
    assert_eq!(world.pool.as_ref().unwrap().status.allocated, Some(80));
    world.create_claim(M, "late");
    world.pass(2);
    assert_eq!(world.pool.as_ref().unwrap().status.allocated, Some(81));
}

#[test]
fn a_condition_that_changes_is_written_at_once_also_while_counts_wait() {
    let mut world = World::new();
    world.create_pool(small(40));
    world.pass(60);
    for number in 0..39 {
        world.create_claim(M, &format!("c{number}"));
        world.pass(1);
    }
    assert_eq!(world.pool_condition("Exhausted").0, "False");
    world.create_claim(M, "last");
    world.pass(1);
    assert_eq!(world.pool_condition("Exhausted").0, "True");
    // A lost answer delays it by its backoff alone.
    world.pass(1);
    world.delete_claim(M, "c7");
    world.deliver_all();
    let is_status = |(_, r): &(_, Request)| matches!(r, Request::PoolStatus { .. });
    while !world.requests.iter().any(is_status) {
        assert!(!world.requests.is_empty(), "no status is sent");
        world.carry_out(0, Fate::Fine);
        world.answer(0);
    }
    let place = world.requests.iter().position(is_status).unwrap();
    world.carry_out(place, Fate::Vanished);
    world.pass(2);
    assert_eq!(world.pool_condition("Exhausted").0, "False");
}

#[test]
fn a_pool_of_many_ranges_is_counted_less_often() {
    let mut world = World::new();
    let ranges: Vec<_> = (0..5000)
        .map(|i| json!({ "subnet": format!("10.{}.{}.0/28", i / 256, i % 256) }))
        .collect();
    world.create_pool(spec(json!({ "namePrefix": "p", "pools": ranges })));
    let written = |world: &World| {
        let status = |r: &&Request| matches!(r, Request::PoolStatus { entries: 5000, .. });
        world.sent.iter().filter(status).count()
    };
    world.pass(6);
    let before = written(&world);
    for second in 0..12 {
        world.create_claim(M, &format!("c{second}"));
        world.pass(1);
    }
    assert!((2..=3).contains(&(written(&world) - before)));
    world.pass(6);
    assert_eq!(world.pool.as_ref().unwrap().status.allocated, Some(12));
}

#[test]
fn p1_a_paused_pool_gets_one_write_that_says_so() {
    let mut world = World::new();
    world.create_pool(small(2));
    world.create_claim(M, "a");
    world.pass(2);
    world.edit_pool(|pool| {
        pool.meta
            .annotations
            .insert(PAUSED_ANNOTATION.into(), String::new());
    });
    world.settle();
    let before = world.sent.len();
    world.create_claim(M, "b");
    world.delete_claim(M, "a");
    world.pass(3600);
    let after: Vec<_> = world.sent[before..].iter().collect();
    assert!(
        after.len() <= 1
            && after
                .iter()
                .all(|r| matches!(r, Request::PoolStatus { .. })),
        "{after:?}"
    );
    assert_eq!(world.pool_condition("Paused").0, "True");
    assert_eq!(world.machine.snapshot().waiting["Paused"], 1);
    world.edit_pool(|pool| {
        pool.meta.annotations.remove(PAUSED_ANNOTATION);
    });
    world.pass(2);
    assert_eq!(
        world.bound(M, "b").as_deref(),
        Some("10.0.0.2"),
        "before the release"
    );
    assert!(!world.claims.contains_key(&claim_key(M, "a")));
    assert_eq!(world.pool_condition("Paused").0, "False");
}

#[test]
fn u4_few_addresses_are_reported_once_until_there_are_more_again() {
    let mut world = World::new();
    world.create_pool(small(10));
    let reports = |world: &World| {
        let told = world.told.iter();
        told.filter(|d| matches!(d, Decision::NearlyFull { .. }))
            .count()
    };
    for n in 0..8 {
        world.create_claim(M, &format!("c{n}"));
    }
    world.settle();
    assert_eq!(reports(&world), 0, "a fifth is free");
    for n in 0..3 {
        world.create_claim(M, &format!("more-{n}"));
        world.settle();
    }
    assert_eq!(world.reason(M, "more-2"), "PoolExhausted");
    world.delete_claim(M, "more-2");
    world.delete_claim(M, "more-1");
    world.settle();
    assert_eq!(
        reports(&world),
        1,
        "10 % are free again, which is few still"
    );
    world.delete_claim(M, "more-0");
    world.delete_claim(M, "c7");
    world.settle();
    world.create_claim(M, "c7");
    world.create_claim(M, "more-0");
    world.settle();
    assert_eq!(reports(&world), 2);
}

#[test]
fn u4_a_pool_that_is_exhausted_says_what_it_was_before() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.settle();
    world.delete_claim(M, "a");
    world.settle();
    let said = world.told.iter().filter_map(|decision| match decision {
        Decision::Pool {
            condition: "Exhausted",
            before,
            status,
            ..
        } => Some((*before, *status)),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    let expected = [(None, false), (Some(false), true), (Some(true), false)];
    assert_eq!(said, expected);
}

/// With a thousand pools in a burst a write of counts waits a minute to be sent.
fn waiting_counts() -> World {
    let mut world = World::new();
    world.set_cluster("cl", false);
    let mut spec = small(3);
    spec.cluster_name = Some("cl".into());
    world.create_pool(spec);
    world.pass(10);
    world.create_claim(M, "a");
    world.deliver_all();
    while !next_is_counts(&world) {
        assert!(world.wake.is_some() || !world.requests.is_empty());
        if let Some(at) = world.wake.filter(|_| world.requests.is_empty()) {
            world.now = world.now.max(at);
            world.wake = None;
            world.step(Input::Tick);
        }
        while !world.requests.is_empty() && !next_is_counts(&world) {
            world.carry_out(0, Fate::Fine);
            world.answer(0);
        }
        world.deliver_all();
    }
    world
}

fn next_is_counts(world: &World) -> bool {
    let counts = |request: &Request| {
        matches!(
            request,
            Request::PoolStatus {
                counts_only: true,
                ..
            }
        )
    };
    world.requests.front().is_some_and(|(_, r)| counts(r))
}

#[test]
fn a_condition_does_not_wait_behind_counts_that_have_not_left() {
    let mut world = waiting_counts();
    world.edit_spec(|spec| spec.pools.clear());
    world.deliver_all();
    assert!(world.requests.is_empty(), "the counts are withdrawn");
    world.answer(0);
    let next = world.requests.front();
    assert!(
        next.is_some_and(|(_, r)| matches!(
            r,
            Request::PoolStatus {
                counts_only: false,
                ..
            }
        )),
        "at once: what was not written puts off nothing"
    );
    world.pass(2);
    assert_eq!(
        world.pool_condition("Exhausted"),
        ("True".into(), "NoRanges".into())
    );
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(
        status.out_of_range,
        Some(1),
        "what the counts said is not lost"
    );
}

/// They were not written: those after them wait no longer for them.
#[test]
fn counts_that_were_withdrawn_slow_down_none_after_them() {
    let mut world = waiting_counts();
    world.edit_spec(|spec| spec.pools.clear());
    world.deliver_all();
    world.answer(0);
    world.settle();
    let waiting = |world: &World| world.pool.as_ref().unwrap().status.waiting_claims;
    assert_eq!(waiting(&world), Some(0));
    world.create_claim(M, "b");
    world.pass(1);
    assert_eq!(waiting(&world), Some(1));
}

#[test]
fn p2_what_the_pools_metadata_lacks_does_not_wait_behind_counts_that_have_not_left() {
    let mut world = waiting_counts();
    world.edit_pool(|pool| pool.meta.finalizers.clear());
    world.deliver_all();
    let first = world.requests.front();
    assert!(
        first.is_none_or(|(_, r)| matches!(r, Request::PoolMeta { .. })),
        "{first:?}"
    );
    world.pass(2);
    assert!(world.has_pool_finalizer());
}

/// The Cluster is served in another version: the pool's owner reference is to be written, and no condition changes.
fn outdate_owner(world: &mut World) {
    let mut cluster = world.clusters["cl"].clone();
    cluster.api_version = "cluster.x-k8s.io/v1beta1".into();
    world.clusters.insert("cl".into(), cluster.clone());
    world.step(Input::ClusterSeen(cluster.into()));
}

/// What was not written puts off nothing: the counts follow at once.
#[test]
fn counts_that_were_withdrawn_for_metadata_are_written_after_it() {
    let mut world = waiting_counts();
    outdate_owner(&mut world);
    assert!(world.requests.is_empty(), "the counts are withdrawn");
    world.settle();
    let pool = world.pool.as_ref().unwrap();
    let owner = &pool.meta.owner_references[0];
    assert_eq!(owner.api_version, "cluster.x-k8s.io/v1beta1");
    assert_eq!(pool.status.allocated, Some(1));
    // The next ones wait as after any write of counts.
    let written = world.now;
    world.create_claim(M, "b");
    world.settle();
    let wake = world.wake.unwrap();
    assert_eq!(wake.duration_since(written), SignedDuration::from_secs(2));
}

/// Metadata that is refused again and again does not keep the counts from being written.
#[test]
fn counts_are_not_withdrawn_for_metadata_that_is_refused() {
    let mut world = waiting_counts();
    world.refuses = Some((
        |request| matches!(request, Request::PoolMeta { .. }),
        "pools are protected",
    ));
    outdate_owner(&mut world);
    world.settle();
    let before = world.sent.len();
    world.create_claim(M, "b");
    for _ in 0..600 {
        world.now = world
            .now
            .checked_add(SignedDuration::from_millis(100))
            .unwrap();
        world.step(Input::Tick);
        world.deliver_all();
        // The counts never have their turn.
        let place = world.requests.iter().position(|(_, request)| {
            !matches!(
                request,
                Request::PoolStatus {
                    counts_only: true,
                    ..
                }
            )
        });
        if let Some(place) = place {
            world.carry_out(place, Fate::Fine);
        }
        while !world.answers.is_empty() {
            world.answer(0);
        }
    }
    assert!(next_is_counts(&world), "{:?}", world.requests);
    let counts = world.sent[before..].iter();
    let counts = counts.filter(|request| matches!(request, Request::PoolStatus { .. }));
    assert_eq!(counts.count(), 1, "it keeps its place");
}

/// Counts whose request has left are waited for, and what is more is written after their answer.
#[test]
fn a_condition_is_written_after_counts_that_have_left() {
    let mut world = waiting_counts();
    world.has_left = |_| true;
    world.edit_spec(|spec| spec.pools.clear());
    world.deliver_all();
    assert!(next_is_counts(&world));
    world.pass(3);
    assert_eq!(
        world.pool_condition("Exhausted"),
        ("True".into(), "NoRanges".into())
    );
}
