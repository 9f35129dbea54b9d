//! What is rare: a pool that is paused from birth, clocks that are set, edited addresses, addresses that no host can have.

use jiff::SignedDuration;
use serde_json::json;

use super::super::{Input, Request};
use super::steps::count;
use super::world::{C, Fate, M, World, address_key, claim_key, small, spec};
use crate::api::names::PAUSED_ANNOTATION;

#[test]
fn a8_the_pools_status_appears_however_many_claims_are_outstanding() {
    let mut world = World::new();
    world.create_pool(small(250));
    for number in 0..200 {
        world.create_claim(M, &format!("c{number}"));
    }
    world.deliver_all();
    // One write after the other is answered; the claims' are always more than may be in flight.
    let mut answered = 0;
    while count(&world, |r| matches!(r, Request::PoolStatus { .. })) == 0 {
        answered += 1;
        assert!(answered < 5, "the status waits behind the claims");
        world.carry_out(0, Fate::Fine);
        world.answer(0);
    }
    assert!(world.requests.len() > 60, "they are outstanding still");
}

#[test]
fn a8_the_conditions_generation_follows_the_specs() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.pass(5);
    world.edit_spec(|spec| spec.prefix = Some(24));
    world.pass(2);
    let pool = world.pool.as_ref().unwrap();
    assert_eq!(pool.status.observed_generation, Some(2));
    for condition in &pool.status.conditions {
        assert_eq!(
            condition.observed_generation,
            Some(2),
            "{}",
            condition.type_
        );
    }
}

#[test]
fn p1_a_pool_that_is_paused_from_birth_says_so() {
    for cluster in [false, true] {
        let mut world = World::new();
        let mut spec = json!({"namePrefix": "p", "pools": []});
        if cluster {
            world.set_cluster("c", true);
            spec["clusterName"] = json!("c");
        }
        world.create_pool(super::world::spec(spec));
        if !cluster {
            world.edit_pool(|pool| {
                let all = &mut pool.meta.annotations;
                all.insert(PAUSED_ANNOTATION.into(), String::new());
            });
        }
        world.pass(5);
        assert_eq!(world.pool_condition("Paused").0, "True");
        assert!(!world.has_pool_finalizer());
    }
}

#[test]
fn a9_a_message_names_who_holds_the_address_that_a_claim_waits_for() {
    for kind in [M, C] {
        let mut world = World::new();
        world.create_pool(spec(json!({
            "namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}],
            "preAllocations": {"named": "10.0.0.2"},
        })));
        world.request_address(kind, "first", "10.0.0.1");
        world.create_address(kind, "theirs", "prov", "x", "10.0.0.2", |_| {});
        world.settle();
        world.request_address(kind, "second", "10.0.0.1");
        world.create_claim(kind, "named");
        world.pass(2);
        let message = world.message(kind, "second");
        assert!(message.contains("is held by IPAddress"), "{message}");
        assert!(message.contains("(claim first)"), "{message}");
        let message = world.message(kind, "named");
        assert!(message.contains("theirs (claim x)"), "{message}");
        // The message follows the holder.
        world.request_address(kind, "a-third", "10.0.0.1");
        world.pass(1);
        world.delete_claim(kind, "first");
        world.pass(2);
        assert_eq!(world.bound(kind, "second").as_deref(), Some("10.0.0.1"));
        let message = world.message(kind, "a-third");
        assert!(message.contains("(claim second)"), "{message}");
    }
}

#[test]
fn a11_a_claim_that_left_a_busy_pool_and_came_back_is_served() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.create_claim(M, "b");
    world.create_claim(M, "x");
    world.pass(2);
    // A request of the pool is under way while the claim leads elsewhere for a moment.
    world.delete_claim(M, "a");
    world.deliver_all();
    assert!(!world.requests.is_empty());
    let (key, claim) = (claim_key(M, "x"), world.claim(M, "x").clone());
    let uid = claim.meta.uid.clone();
    world.step(Input::ClaimLeft { key, uid });
    world.edit_claim(&claim_key(M, "x"), |claim| {
        claim.meta.labels.insert("back".into(), "yes".into());
    });
    world.pass(2);
    world.delete_claim(M, "b");
    world.pass(5);
    assert_eq!(world.bound(M, "x").as_deref(), Some("10.0.0.1"));
    let object = address_key(M, "p-10-0-0-1");
    assert_eq!(&*world.addresses[&object].claim, "x");
}

#[test]
fn a13_labels_of_an_applyset_stay_with_the_claim() {
    for kind in [M, C] {
        let mut world = World::new();
        world.create_pool(small(1));
        world.create_claim_with(kind, "a", |claim| {
            let labels = &mut claim.meta.labels;
            labels.insert("applyset.kubernetes.io/part-of".into(), "x-v1".into());
            labels.insert("objectset.rio.cattle.io/hash".into(), "h".into());
            labels.insert("site".into(), "north".into());
        });
        world.settle();
        let labels = &world.addresses[&address_key(kind, "p-10-0-0-1")]
            .meta
            .labels;
        assert_eq!(labels.keys().collect::<Vec<_>>(), ["site"]);
    }
}

#[test]
fn p2_a_cluster_name_that_is_no_label_is_said_and_never_written() {
    let name = "c".repeat(75);
    for exists in [false, true] {
        let mut world = World::new();
        world.problems = vec!["spec.clusterName: Invalid: 63".into()];
        if exists {
            world.set_cluster(&name, false);
        }
        world.create_pool(spec(
            json!({"namePrefix": "p", "pools": [{"start": "10.0.0.1"}], "clusterName": name}),
        ));
        world.create_claim(M, "a");
        world.pass(5);
        let status = &world.pool.as_ref().unwrap().status;
        let ready = status
            .conditions
            .iter()
            .find(|c| c.type_ == "Ready")
            .unwrap();
        assert_eq!(
            (&*ready.reason, &*ready.message),
            ("InvalidSpec", "spec.clusterName: Invalid: 63")
        );
        assert_eq!(status.observed_generation, Some(1));
        assert_eq!(world.reason(M, "a"), "PoolNotReady");
        assert!(world.message(M, "a").contains("default/prov"));
        let pool_writes = count(&world, |r| matches!(r, Request::PoolMeta { .. }));
        assert!(pool_writes <= 1, "its finalizer alone");
        world.delete_pool();
        world.delete_claim(M, "a");
        world.pass(5);
        assert!(world.pool.is_none() && world.claims.is_empty());
    }
}

/// A bound claim of a pool with a grace period of 60 s, deleted.
fn in_grace(clock_error: i64) -> World {
    let mut world = World::new();
    world.clock_error = SignedDuration::from_secs(clock_error);
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": [{"start": "10.0.0.1"}], "addressReuseGracePeriodSeconds": 60,
    })));
    world.create_claim(M, "a");
    world.pass(2);
    world.delete_claim(M, "a");
    world.pass(2);
    world
}

#[test]
fn r3_a_clock_that_was_wrong_and_is_set_changes_no_grace_period() {
    for hours in [-1, 1] {
        let mut world = in_grace(0);
        // Wrong for a while, then set right: the grace period ends when it should.
        world.clock_error = SignedDuration::from_hours(hours);
        let ends_early = hours > 0;
        if !ends_early {
            world.step(Input::Kinds(world.kinds));
            world.pass(10);
        }
        world.clock_error = SignedDuration::ZERO;
        world.step(Input::Kinds(world.kinds));
        world.pass(40);
        assert!(
            world.claims.contains_key(&claim_key(M, "a")),
            "{hours} h: it lasts 60 s"
        );
        world.pass(30);
        assert!(world.claims.is_empty(), "{hours} h: and no longer");
    }
    // An hour behind from the start, then set.
    let mut world = in_grace(-3600);
    world.pass(120);
    assert!(
        world.claims.contains_key(&claim_key(M, "a")),
        "by that clock it has an hour left"
    );
    world.clock_error = SignedDuration::ZERO;
    world.step(Input::Kinds(world.kinds));
    world.settle();
    assert!(world.claims.is_empty());
}

#[test]
fn conditions_carry_the_time_of_the_clock_as_it_was_set() {
    let mut world = World::new();
    world.clock_error = SignedDuration::from_hours(-1);
    world.create_pool(small(1));
    world.pass(5);
    world.clock_error = SignedDuration::ZERO;
    world.create_claim(M, "a");
    world.pass(5);
    let ready = world.claim(M, "a").condition("Ready").unwrap();
    let age = world.now.duration_since(ready.last_transition_time.0);
    assert!(age < SignedDuration::from_mins(1), "{age:?}");
}

#[test]
fn a2_an_address_that_was_edited_under_its_claim_stays_held_beside_the_new_one() {
    // Inside the ranges, and outside.
    for (kind, edited) in [
        (M, "10.0.0.3"),
        (C, "10.0.0.3"),
        (M, "10.9.9.9"),
        (C, "10.9.9.9"),
    ] {
        let mut world = World::new();
        world.create_pool(small(4));
        world.create_claim(kind, "a");
        world.pass(2);
        let object = address_key(kind, "p-10-0-0-1");
        world.edit_address(&object, |a| a.address = Ok(edited.parse().unwrap()));
        world.pass(2);
        for restarted in [false, true] {
            if restarted {
                world.restart();
                world.pass(2);
            }
            let (status, reason) = world.pool_condition("Consistent");
            assert_eq!((&*status, &*reason), ("False", "AddressChanged"));
            let pool = world.pool.as_ref().unwrap();
            let consistent = pool
                .status
                .conditions
                .iter()
                .find(|c| c.type_ == "Consistent");
            let message = &consistent.unwrap().message;
            assert!(
                message.contains("10.0.0.1") && message.contains(edited),
                "{message}"
            );
            let outside = i64::from(edited == "10.9.9.9");
            assert_eq!(pool.status.allocated, Some(2 - outside));
            assert_eq!(pool.status.out_of_range, Some(outside));
            assert_eq!(pool.status.available, Some(2 + outside));
        }
        for name in ["b", "c", "d"] {
            world.create_claim(kind, name);
        }
        world.request_address(kind, "e", "10.0.0.1");
        world.pass(5);
        for name in ["b", "c", "d", "e"] {
            let got = world.bound(kind, name);
            assert!(
                got.as_deref() != Some("10.0.0.1") && got.as_deref() != Some(edited),
                "{name}: {got:?}"
            );
        }
        world.edit_address(&object, |a| a.address = Ok("10.0.0.1".parse().unwrap()));
        world.pass(5);
        assert_eq!(world.pool_condition("Consistent").0, "True");
        assert_eq!(world.pool.as_ref().unwrap().status.out_of_range, Some(0));
    }
}

#[test]
fn a_pool_without_ranges_says_so() {
    let mut world = World::new();
    world.create_pool(spec(json!({"namePrefix": "p", "pools": []})));
    world.create_claim(M, "a");
    world.pass(5);
    assert_eq!(
        world.pool_condition("Exhausted"),
        ("True".into(), "NoRanges".into())
    );
    let says = "pool default/prov has no ranges; add entries to its spec.pools";
    assert_eq!(world.message(M, "a"), says);
    world.edit_spec(|spec| *spec = small(1));
    world.pass(2);
    assert!(world.bound(M, "a").is_some());
    assert_eq!(
        world.pool_condition("Exhausted"),
        ("True".into(), "NoFreeAddress".into())
    );
}

#[test]
fn a7_the_limited_broadcast_address_is_given_to_nobody() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": [{"start": "255.255.255.254", "end": "255.255.255.255"}],
        "allocateReservedIPAddresses": true,
    })));
    world.create_claim(M, "a");
    world.pass(1);
    world.create_claim(M, "b");
    world.request_address(C, "c", "255.255.255.255");
    world.pass(15);
    assert_eq!(world.bound(M, "a").as_deref(), Some("255.255.255.254"));
    assert_eq!(world.reason(M, "b"), "PoolExhausted");
    assert!(
        world
            .message(C, "c")
            .starts_with("RequestedAddressOutOfRange: ")
    );
}

/// A pool that was stored before the rules: its good addresses are served, in whatever order they stand.
#[test]
fn a7_addresses_that_no_host_can_have_hide_no_others() {
    let ranges = json!([
        {"start": "239.255.255.250", "end": "240.0.0.1"},
        {"start": "ff02::1", "end": "ff02::9"},
        {"start": "::", "end": "::1"},
        {"start": "10.0.0.1", "end": "10.0.0.1"},
    ]);
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": ranges, "allocateReservedIPAddresses": true,
    })));
    let given = ["240.0.0.0", "240.0.0.1", "::1", "10.0.0.1"];
    for (n, address) in given.into_iter().enumerate() {
        let name = format!("c{n}");
        world.create_claim(M, &name);
        world.pass(1);
        assert_eq!(world.bound(M, &name).as_deref(), Some(address));
    }
    world.create_claim(M, "last");
    world.pass(15);
    assert_eq!(world.reason(M, "last"), "PoolExhausted");
}
