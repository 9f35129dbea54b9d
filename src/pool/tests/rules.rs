//! One rule after the other, without faults.

use super::world::{C, M, World, claim_key, small};

#[test]
fn a6_claims_get_the_lowest_free_address_and_give_it_back() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.create_claim(C, "b");
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(C, "b").as_deref(), Some("10.0.0.2"));
    assert_eq!(world.writes(), 6, "three writes a claim");
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.writes(), 9, "three writes a release");
    assert!(!world.claims.contains_key(&claim_key(M, "a")));
    world.create_claim(C, "c");
    world.settle();
    assert_eq!(world.bound(C, "c").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a11_a_freed_address_wakes_the_oldest_that_waits() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.settle();
    world.pass(5);
    world.create_claim(M, "z");
    world.settle();
    world.pass(5);
    world.create_claim(C, "b");
    world.settle();
    assert_eq!(world.reason(M, "z"), "PoolExhausted");
    assert_eq!(
        world.message(C, "b"),
        "pool default/prov has no free address; add a range or delete claims"
    );
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.bound(M, "z").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(C, "b"), None);
    world.edit_spec(|spec| *spec = small(2));
    world.settle();
    assert_eq!(world.bound(C, "b").as_deref(), Some("10.0.0.2"));
}

#[test]
fn r1_pool_and_claims_applied_together_cost_no_extra_write() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.create_claim(M, name);
        while world.deliver(1) {}
    }
    world.settle();
    world.create_pool(small(5));
    world.settle();
    world.pass(5);
    assert_eq!(world.writes(), 9);
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(status.allocated, Some(3));
    assert_eq!(status.available, Some(2));
    assert_eq!(status.waiting_claims, Some(0));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.indexes["b"].0, "10.0.0.2");
    assert_eq!(
        world.pool_condition("Ready"),
        ("True".into(), "Ready".into())
    );
}

#[test]
fn a1_a_restart_finds_every_case_where_it_was() {
    let mut world = World::new();
    world.create_pool(small(2));
    world.create_claim(M, "a");
    world.settle();
    world.restart();
    world.create_claim(M, "b");
    world.settle();
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
    assert_eq!(world.writes(), 6);
}
