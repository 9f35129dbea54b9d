//! What a server does that is not in the script: fields that its definitions lack, writes that it refuses for ever.

use jiff::SignedDuration;
use serde_json::json;

use super::super::{Input, Request};
use super::world::{C, Fate, M, Policy, World, address_key, claim_key, small, spec};
use crate::api::names::{PAUSED_ANNOTATION, POOL_FINALIZER};

/// Every field of ours in a status, and each field of a condition.
const FIELDS: [&str; 18] = [
    "lastUpdated",
    "indexes",
    "capacity",
    "allocated",
    "available",
    "reserved",
    "outOfRange",
    "availableIPCount",
    "utilization",
    "waitingClaims",
    "observedGeneration",
    "errorMessage",
    "conditions",
    "conditions.reason",
    "conditions.message",
    "conditions.observedGeneration",
    "conditions.lastTransitionTime",
    "ipAddress",
];

fn count(world: &World, of: fn(&Request) -> bool) -> usize {
    world.sent.iter().filter(|r| of(r)).count()
}

fn is_claim_status(request: &Request) -> bool {
    matches!(request, Request::ClaimStatus { .. })
}

/// A pool of two, two bound claims and two that wait, on a server that drops these fields.
fn busy(drops: &[&'static str]) -> World {
    let mut world = World::new();
    world.drops = drops.iter().copied().collect();
    world.create_pool(small(2));
    for name in ["a", "b", "c", "d"] {
        world.create_claim(M, name);
    }
    world.pass(60);
    for name in ["a", "b"] {
        assert!(world.bound(M, name).is_some(), "{drops:?}: {name}");
    }
    world
}

#[test]
fn u1_whatever_field_a_definition_drops_costs_one_more_write_at_most() {
    let each = FIELDS.map(|field| vec![field]);
    let all_of_ours = vec![FIELDS.to_vec(), FIELDS[2..].to_vec()];
    let whole = busy(&[]).sent.len();
    for drops in each.into_iter().chain(all_of_ours) {
        let mut world = busy(&drops);
        let sent = world.sent.len();
        // Each object of the five is written once more at most.
        assert!(
            sent <= whole + 5,
            "{drops:?}: {sent} and {whole} of a whole definition"
        );
        world.pass(3600);
        assert_eq!(
            sent,
            world.sent.len(),
            "{drops:?}: {:?}",
            &world.sent[sent..]
        );
        // A new leader finds out anew, with one write of an object at most.
        world.restart();
        world.pass(3600);
        let restarted = world.sent.len() - sent;
        assert!(restarted <= 5, "{drops:?}: {:?}", &world.sent[sent..]);
        world.delete_claim(M, "a");
        world.pass(60);
        assert!(world.bound(M, "c").is_some(), "{drops:?}");
        let sent = world.sent.len();
        world.pass(3600);
        assert_eq!(sent, world.sent.len(), "{drops:?}");
    }
}

#[test]
fn u1_binding_a_claim_costs_three_writes_where_conditions_are_dropped() {
    for kind in [M, C] {
        let mut world = World::new();
        world.drops = ["conditions"].into();
        world.create_pool(small(9));
        world.settle();
        for name in ["a", "b", "c"] {
            let before = world.writes();
            world.create_claim(kind, name);
            world.pass(5);
            assert_eq!(world.writes() - before, 3, "{name}");
        }
    }
}

#[test]
fn u1_a_field_that_the_server_begins_to_keep_is_written_again() {
    let mut world = busy(&["conditions", "capacity"]);
    assert!(world.pool.as_ref().unwrap().status.capacity.is_none());
    world.drops.clear();
    world.delete_claim(M, "a");
    world.pass(60);
    assert_eq!(world.pool.as_ref().unwrap().status.capacity, Some(2));
    assert_eq!(world.pool_condition("Exhausted").0, "True");
    assert_eq!(world.reason(M, "c"), "AddressAllocated");
    assert_eq!(world.reason(M, "d"), "PoolExhausted");
    assert_eq!(world.reason(M, "b"), "AddressAllocated", "the others too");
}

/// As upstream's controller leaves them: bound, without conditions.
fn taken_over(count: u8) -> World {
    let mut world = World::new();
    world.create_pool(small(count + 9));
    for number in 1..=count {
        let (name, object) = (format!("c{number:03}"), format!("p-10-0-0-{number}"));
        let address = format!("10.0.0.{number}");
        world.create_address(M, &object, "prov", &name, &address, |a| {
            a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
        });
        world.create_claim_with(M, &name, |claim| {
            claim.published = Some(object.as_str().into());
            claim.meta.finalizers.push("ipclaim.ipam.metal3.io".into());
        });
    }
    world
}

#[test]
fn a_new_claim_comes_before_conditions_of_bound_ones() {
    let mut world = taken_over(200);
    world.create_claim(M, "new");
    world.settle();
    let place = |of: &dyn Fn(&Request) -> bool| world.sent.iter().position(of);
    let created = place(&|r| matches!(r, Request::CreateAddress(_))).unwrap();
    let tidied = |r: &&Request| matches!(r, Request::ClaimStatus { status, .. } if status.published.is_none());
    let before = world.sent[..created].iter().filter(tidied).count();
    assert!(before <= 1, "{before} conditions were written before");
    world.pass(60);
    assert_eq!(world.reason(M, "c200"), "AddressAllocated");
}

#[test]
fn a_restart_on_a_server_without_conditions_writes_to_one_claim_of_many() {
    let mut world = taken_over(200);
    world.drops = ["conditions", "ipAddress"].into();
    world.pass(60);
    assert_eq!(count(&world, is_claim_status), 1);
    world.restart();
    world.pass(60);
    assert_eq!(count(&world, is_claim_status), 2);
}

#[test]
fn u1_bound_claims_of_an_older_version_show_their_address_after_one_write_each() {
    let mut world = taken_over(200);
    world.drops = ["ipAddress"].into();
    world.pass(60);
    assert_eq!(world.reason(M, "c200"), "AddressAllocated");
    let before = count(&world, is_claim_status);
    // The definitions are replaced, and a new leader comes.
    world.drops.clear();
    world.restart();
    world.pass(60);
    assert_eq!(count(&world, is_claim_status) - before, 200);
    let shown = world.claim(M, "c200").ip_address;
    assert_eq!(shown, Some([10, 0, 0, 200].into()));
}

#[test]
fn u3_an_address_that_a_claim_shows_and_has_not_is_corrected_or_taken_away() {
    let mut world = busy(&[]);
    for name in ["a", "c"] {
        world.edit_claim(&claim_key(M, name), |claim| {
            claim.ip_address = Some([10, 9, 9, 9].into());
        });
    }
    world.pass(5);
    assert_eq!(world.claim(M, "a").ip_address, Some([10, 0, 0, 1].into()));
    assert_eq!(world.claim(M, "c").ip_address, None);
}

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

fn finalizers_of_a(request: &Request) -> bool {
    matches!(request, Request::ClaimFinalizers { key, .. } if &*key.name == "a")
}

#[test]
fn a12_a_claim_whose_finalizer_is_refused_holds_no_address_and_says_why() {
    for kind in [M, C] {
        let mut world = World::new();
        world.refuses = Some((finalizers_of_a, "denied by policy frozen"));
        world.create_pool(small(1));
        world.create_claim(kind, "a");
        world.pass(1);
        world.create_claim(kind, "b");
        world.pass(5);
        assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.1"));
        let says = "the API server refused our finalizer on this claim: denied by policy frozen";
        // With no address free, that is what it waits for.
        world.delete_claim(kind, "b");
        world.pass(120);
        let message = world.message(kind, "a");
        assert!(message.ends_with(says), "{message}");
        let tries = count(&world, finalizers_of_a);
        assert!(tries < 12, "{tries} in two minutes");
        world.pass(3600);
        let statuses = count(&world, is_claim_status);
        world.pass(3600);
        assert_eq!(statuses, count(&world, is_claim_status), "said once");
        world.refuses = None;
        world.pass(61);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        assert_eq!(world.reason(kind, "a"), "AddressAllocated");
    }
}

#[test]
fn u1_a_refused_release_is_said_on_the_claim_and_ends_with_the_refusal() {
    let of_a: [fn(&Request) -> bool; 3] = [
        |r| matches!(r, Request::DeleteAddress { .. }),
        |r| matches!(r, Request::AddressMeta { .. }),
        finalizers_of_a,
    ];
    for kind in [M, C] {
        for refuses in of_a {
            let mut world = World::new();
            world.create_pool(small(1));
            world.create_claim(kind, "a");
            world.create_claim(kind, "b");
            world.pass(2);
            world.refuses = Some((refuses, "label team is required"));
            world.delete_claim(kind, "a");
            world.pass(15);
            let ready = world.claim(kind, "a").condition("Ready").unwrap().clone();
            assert_eq!(ready.status, "False");
            assert!(
                ready.message.contains("label team is required"),
                "{ready:?}"
            );
            let (reason, says) = (&*ready.reason, &*ready.message);
            if kind == M {
                assert_eq!(reason, "ReleaseFailed");
            } else {
                assert_eq!(reason, "AllocationFailed");
                assert!(says.starts_with("ReleaseFailed: "), "{says}");
            }
            world.pass(600);
            let statuses = count(&world, is_claim_status);
            world.pass(600);
            assert_eq!(statuses, count(&world, is_claim_status), "said once");
            // The labels are put right: tried again at once.
            world.refuses = None;
            world.edit_claim(&claim_key(kind, "a"), |claim| {
                claim.meta.labels.insert("team".into(), "a".into());
            });
            world.settle();
            assert!(!world.claims.contains_key(&claim_key(kind, "a")));
            world.pass(1);
            assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.1"));
        }
    }
}

#[test]
fn a_pool_whose_finalizer_is_refused_says_why() {
    let mut world = World::new();
    world.refuses = Some((
        |r| matches!(r, Request::PoolMeta { .. }),
        "label team is required",
    ));
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(5);
    let status = &world.pool.as_ref().unwrap().status;
    let ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Ready")
        .unwrap();
    let says = "the API server refuses the finalizer, labels or owner reference of pool default/prov: label team is required";
    assert_eq!(
        (&*ready.reason, &*ready.message),
        ("FinalizerPending", says)
    );
    assert_eq!(world.message(M, "a"), says);
    world.refuses = None;
    world.pass(61);
    assert!(
        world
            .pool
            .as_ref()
            .unwrap()
            .meta
            .has_finalizer(POOL_FINALIZER)
    );
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

/// An IPAddress of another pool has the name; an IPAddress of Cluster API's group under the same name is another object.
#[test]
fn a12_a_foreign_name_of_one_kind_leaves_the_address_to_claims_of_the_other() {
    let mut world = World::new();
    world.create_address(M, "p-10-0-0-1", "other", "x", "10.0.0.1", |_| {});
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(30);
    assert_eq!(world.reason(M, "a"), "PoolExhausted");
    for name in ["b", "c"] {
        world.create_claim(C, name);
    }
    world.pass(30);
    assert_eq!(world.bound(C, "b").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.reason(C, "c"), "PoolExhausted");
    // Its address is not free when it goes, since the name is still foreign, and the next one of its kind gets it.
    world.delete_claim(C, "b");
    world.pass(30);
    assert_eq!(world.bound(C, "c").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(M, "a"), None);
    // The name is freed while the other kind has the address.
    world.delete_address(&address_key(M, "p-10-0-0-1"));
    world.pass(30);
    assert_eq!(world.bound(M, "a"), None);
    world.delete_claim(C, "c");
    world.pass(30);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.machine.snapshot().allocated, 1);
}

#[test]
fn a12_a_refused_create_gives_the_address_to_the_next() {
    let of_a: fn(&Request) -> bool =
        |r| matches!(r, Request::CreateAddress(new) if &*new.claim == "a");
    let mut world = World::new();
    world.refuses = Some((of_a, "quota exceeded"));
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(1);
    world.create_claim(M, "b");
    world.pass(5);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
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

#[test]
fn a12_who_waits_for_a_squatted_name_is_told_its_holder() {
    let mut world = World::new();
    world.create_address(M, "p-10-0-0-1", "other", "z", "10.9.9.9", |_| {});
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(5);
    let message = world.message(M, "a");
    assert!(
        message.contains("10.0.0.1 cannot be given out while IPAddress.ipam.metal3.io p-10-0-0-1"),
        "{message}"
    );
    world.edit_address(&address_key(M, "p-10-0-0-1"), |a| {
        a.meta.deletion_timestamp = Some(a.meta.created());
    });
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

/// The object of another claim of the pool is not seen yet when its name is taken: it holds its address, and no name is lost.
#[test]
fn a12_an_object_of_the_pool_that_has_the_very_address_takes_no_name() {
    let mut world = World::new();
    world.create_pool(small(2));
    world.settle();
    world.create_claim(M, "a");
    world.create_address(M, "p-10-0-0-1", "prov", "d", "10.0.0.1", |_| {});
    for _ in 0..10 {
        while world.deliver(1) {}
        while !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
        }
        while !world.answers.is_empty() {
            world.answer(0);
        }
    }
    world.create_claim(M, "d");
    world.pass(5);
    assert_eq!(world.bound(M, "d").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
    assert!(world.machine.foreign.is_empty());
    assert_eq!(world.pool_condition("Consistent").0, "True");
}

#[test]
fn a12_a_pool_made_anew_with_another_prefix_waits_for_no_name_of_the_old_one() {
    let mut world = World::new();
    world.create_address(M, "p-10-0-0-1", "other", "z", "10.9.9.9", |_| {});
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(5);
    assert_eq!(world.reason(M, "a"), "PoolExhausted");
    world.delete_pool();
    world.settle();
    assert!(world.pool.is_none());
    let mut anew = small(1);
    anew.name_prefix = "q".into();
    world.create_pool(anew);
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
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

/// Such as where an admission webhook is down that must be asked: 500 to every write but those of a status.
#[test]
fn u1_a_claim_says_that_its_writes_fail_without_an_answer() {
    let is_create = |request: &Request| matches!(request, Request::CreateAddress(_));
    let is_finalizer = |request: &Request| matches!(request, Request::ClaimFinalizers { .. });
    let ways: [Policy; 2] = [
        (is_finalizer, "our finalizer on this claim"),
        (is_create, "the address object"),
    ];
    for (fails, what) in ways {
        let mut world = World::new();
        world.create_pool(small(3));
        world.settle();
        world.create_claim(M, "a");
        world.deliver_all();
        let begun = world.now;
        while world.now < begun + SignedDuration::from_mins(2) {
            let fate = match world.requests.front() {
                Some((_, request)) if fails(request) => Fate::Vanished,
                _ => Fate::Fine,
            };
            world.carry_out(0, fate);
            world.answer(0);
            world.deliver_all();
            world.now += SignedDuration::from_millis(500);
            world.step(Input::Tick);
        }
        assert_eq!(world.reason(M, "a"), "AllocationFailed");
        let says = format!("the API server fails to store {what}: timeout");
        assert!(
            world.message(M, "a").starts_with(&says),
            "{}",
            world.message(M, "a")
        );
        let status = |request: &&Request| matches!(request, Request::ClaimStatus { .. });
        assert_eq!(world.sent.iter().filter(status).count(), 1, "said once");
        world.pass(120);
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    }
}
