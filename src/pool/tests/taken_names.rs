//! Names of address objects that other objects have (A12).

use super::super::{Input, Outcome, ProblemKind, Request};
use super::steps::{count, take_first_name};
use super::world::{C, Fate, M, World, address_key, ip, small};

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
fn a12_who_waits_for_a_squatted_name_is_told_its_holder() {
    let mut world = World::new();
    take_first_name(&mut world, M);
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
    assert!(world.machine.taken_names.is_empty());
    assert_eq!(world.pool_condition("Consistent").0, "True");
}

/// However many problems of one kind there are, the condition names one of each.
#[test]
fn a15_consistent_names_one_problem_of_each_kind() {
    let mut world = World::new();
    for number in 1..=8 {
        world.create_address(
            M,
            &format!("p-10-0-0-{number}"),
            "other",
            "z",
            "10.9.9.9",
            |_| {},
        );
    }
    world.create_address(M, "spelled", "prov", "nobody", "10.0.0.001", |_| {});
    world.create_pool(small(9));
    world.create_claim(M, "a");
    world.pass(60);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.9"));
    assert_eq!(
        world.pool_condition("Consistent"),
        ("False".into(), "NameTaken".into())
    );
    let status = &world.pool.as_ref().unwrap().status;
    let consistent = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Consistent")
        .unwrap();
    let message = &consistent.message;
    assert!(message.contains("10.0.0.001"), "{message}");
    assert_eq!(message.matches("has the name").count(), 4, "{message}");
    assert!(message.ends_with("and others"), "{message}");
}

#[test]
fn a12_a_pool_made_anew_with_another_prefix_waits_for_no_name_of_the_old_one() {
    let mut world = World::new();
    take_first_name(&mut world, M);
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

/// The name is that of an object of the claim's own which it can never be bound to: the next address is tried, not the same for ever.
#[test]
fn a12_an_object_of_the_claim_without_an_address_has_the_name() {
    let mut world = World::new();
    let squatter = address_key(M, "p-10-0-0-1");
    world.create_address(M, "p-10-0-0-1", "prov", "a", "10.0.0.001", |_| {});
    world.create_pool(small(2));
    world.create_claim(M, "a");
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
    world.create_claim(M, "b");
    world.pass(5);
    assert_eq!(world.reason(M, "b"), "PoolExhausted");
    assert_eq!(
        world.machine.snapshot().problems[&ProblemKind::NameTaken],
        1
    );
    // Corrected, it is an object like any other: it holds its address, and takes no name.
    world.edit_address(&squatter, |a| a.address = Ok(ip("10.0.0.1")));
    world.pass(5);
    assert_eq!(world.reason(M, "b"), "PoolExhausted");
    assert!(
        !world
            .machine
            .snapshot()
            .problems
            .contains_key(&ProblemKind::NameTaken)
    );
    world.delete_address(&squatter);
    world.pass(30);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
}

/// It is deleted, and only another's finalizer keeps it: it takes the name until it is gone.
#[test]
fn a12_an_object_of_the_claim_that_others_keep_has_the_name() {
    let mut world = World::new();
    let squatter = address_key(M, "p-10-0-0-1");
    world.create_address(M, "p-10-0-0-1", "prov", "a", "10.0.0.9", |a| {
        a.meta.finalizers.push("example.com/keep".into());
        a.meta.deletion_timestamp = Some(a.meta.created());
    });
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(5);
    assert_eq!(world.reason(M, "a"), "PoolExhausted");
    world.edit_address(&squatter, |a| a.meta.finalizers.clear());
    world.pass(30);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

/// Something in the server, such as a webhook, says of every create that the name is taken, and no object has it.
#[test]
fn a12_u1_a_name_that_is_taken_by_nothing_is_asked_for_with_pauses_and_said() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    let end = world
        .now
        .checked_add(jiff::SignedDuration::from_mins(5))
        .unwrap();
    while world.now < end {
        world.deliver_all();
        while let Some((id, request)) = world.requests.front().cloned() {
            if matches!(request, Request::CreateAddress(_)) {
                world.requests.pop_front();
                world.answers.push_back((id, Outcome::NameTaken));
            } else {
                world.carry_out(0, Fate::Fine);
            }
            world.answer(0);
            world.deliver_all();
        }
        world.now = world.wake.unwrap_or(end).max(world.now);
        world.step(Input::Tick);
    }
    let creates = count(&world, |r| matches!(r, Request::CreateAddress(_)));
    assert!((6..40).contains(&creates), "{creates} in five minutes");
    let message = world.message(M, "a");
    assert!(message.contains("no object has it"), "{message}");
    world.pass(31);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}
