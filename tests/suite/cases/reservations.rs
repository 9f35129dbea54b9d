//! Reservations are rotated while every one of them is in use, and the machines are rebuilt one after the other or all at once:
//! each ends with the address that is reserved for it.

use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, scenarios};
use crate::steps::range;

scenarios! {
    a2_a8_a11_reservations_rotate_under_a_rolling_rebuild,
    a8_a11_reservations_rotate_and_all_are_rebuilt_at_once,
    a8_a11_reservations_rotate_while_no_controller_runs,
}

fn reserved(first: &str, second: &str, third: &str) -> Value {
    json!({"n0": first, "n1": second, "n2": third})
}

fn rotated() -> Value {
    reserved("10.12.0.11", "10.12.0.12", "10.12.0.10")
}

/// A full pool whose reservations have been rotated.
async fn rotated_world(on: On) -> World {
    let world = World::start(on).await;
    let mut spec = range("10.12.0.10", "10.12.0.12");
    spec["preAllocations"] = reserved("10.12.0.10", "10.12.0.11", "10.12.0.12");
    world.pool("bmh", spec).await;
    for name in ["n0", "n1", "n2"] {
        world.claim(name, "bmh").await;
    }
    holds(&world, ["10.12.0.10", "10.12.0.11", "10.12.0.12"]).await;
    let patch = json!({"spec": {"preAllocations": rotated()}});
    world.patch::<IPPool>("bmh", patch).await;
    world.until_observed("bmh").await;
    holds(&world, ["10.12.0.10", "10.12.0.11", "10.12.0.12"]).await;
    world
}

async fn holds(world: &World, addresses: [&str; 3]) {
    for (name, address) in ["n0", "n1", "n2"].into_iter().zip(addresses) {
        assert_eq!(world.address_of(name).await, address, "{name}");
    }
}

/// Everybody has what is reserved for it, and the pool's status says the same.
async fn all_is_rotated(world: &World) {
    holds(world, ["10.12.0.11", "10.12.0.12", "10.12.0.10"]).await;
    world
        .until::<IPPool>("the pool to show the reservations in use", |all| {
            let pool = &all["bmh"];
            pool.status.as_ref().is_some_and(|s| {
                json!(s.indexes) == json!(pool.spec.pre_allocations)
                    && (s.available, s.waiting_claims) == (Some(0), Some(0))
            })
        })
        .await;
}

async fn rebuild(world: &World, name: &str) {
    world.delete_and_wait::<IPClaim>(name).await;
    world.claim(name, "bmh").await;
}

async fn a2_a8_a11_reservations_rotate_under_a_rolling_rebuild(on: On) {
    let world = rotated_world(on).await;
    rebuild(&world, "n0").await;
    let message = world.waits_for("n0", "PreAllocationConflict").await;
    assert!(
        message.contains("10.12.0.11") && message.contains("n1"),
        "{message}"
    );
    world.claim("stranger", "bmh").await;
    world.waits_for("stranger", "PoolExhausted").await;
    world.delete_and_wait::<IPClaim>("stranger").await;
    rebuild(&world, "n1").await;
    assert_eq!(world.address_of("n0").await, "10.12.0.11");
    let message = world.waits_for("n1", "PreAllocationConflict").await;
    assert!(
        message.contains("10.12.0.12") && message.contains("n2"),
        "{message}"
    );
    rebuild(&world, "n2").await;
    all_is_rotated(&world).await;
    world.end().await;
}

async fn a8_a11_reservations_rotate_and_all_are_rebuilt_at_once(on: On) {
    let world = rotated_world(on).await;
    for name in ["n0", "n1", "n2"] {
        world.delete::<IPClaim>(name).await;
    }
    world.none::<IPClaim>().await;
    for name in ["n0", "n1", "n2"] {
        world.claim(name, "bmh").await;
    }
    all_is_rotated(&world).await;
    world.end().await;
}

async fn a8_a11_reservations_rotate_while_no_controller_runs(on: On) {
    let mut world = rotated_world(on).await;
    world.stop_controller().await;
    // n0 is still Terminating when it is applied again: the apply meets the object that goes.
    world.delete::<IPClaim>("n0").await;
    world.delete::<IPClaim>("n1").await;
    world.start_controller();
    world
        .until::<IPClaim>("both to be gone", |all| all.len() == 1)
        .await;
    world.claim("n0", "bmh").await;
    world.claim("n1", "bmh").await;
    assert_eq!(world.address_of("n0").await, "10.12.0.11");
    world.waits_for("n1", "PreAllocationConflict").await;
    rebuild(&world, "n2").await;
    all_is_rotated(&world).await;
    world.end().await;
}
