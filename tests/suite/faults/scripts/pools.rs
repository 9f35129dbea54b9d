//! Pools are exhausted, grow, shrink and are deleted.

use std::collections::BTreeMap;

use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::json;

use super::steps::{
    all_bound, capi_address_json, entry, in_force, nothing_left, patch, pool_says, range,
    so_many_bound,
};
use crate::faults::script::Script;
use crate::harness::{World, capi_is_bound};

pub(super) const SCRIPTS: &[Script] = &[
    Script::new("a full pool with waiting claims", &["A11", "A12", "U1"], "Claims wait in a full pool, and every address that is freed goes to one of them.", |w| Box::pin(full(w))).racing(),
    Script::new("a pool that grows", &["A11"], "Claims that wait in a full pool are served when it gets another range.", |w| Box::pin(grows(w))).racing(),
    Script::new("a pool that shrinks", &["A7", "A11"], "Ranges shrink and addresses are excluded under a bound claim, which keeps its own; a lifted exclusion serves who waits.", |w| Box::pin(shrinks(w))),
    Script::new("a pool that is deleted", &["R5", "A5", "A11"], "A deleted pool gives nothing out, waits for its claims and for someone's address object, and its name serves anew.", |w| Box::pin(deleted(w))),
    Script::new("a pool deleted with everything", &["R5", "R8", "A1"], "Pool and claims are deleted together, and all of them go.", |w| {
        Box::pin(all_at_once(w))
    }),
    Script::new("two pools of one prefix", &["A12", "A14"], "Two pools fight for the names of address objects, and hear of each other's names when they are free.", |w| Box::pin(one_prefix(w))).racing(),
    Script::new("the random strategy", &["A6", "A11"], "A pool that hands out at random fills up, and who waits gets what is freed.", |w| Box::pin(random(w))).racing(),
];

async fn full(world: &World) {
    range(world, "p", 1, 2).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.capi_claim("b", "p").await;
    world.capi_address_of("b").await;
    for name in ["c", "d", "e"] {
        world.claim(name, "p").await;
        world.waits_for(name, "PoolExhausted").await;
    }
    world.delete::<IPClaim>("a").await;
    so_many_bound(world, 1).await;
    world.delete::<IPAddressClaim>("b").await;
    so_many_bound(world, 2).await;
    // The longest waiting one may have been in the middle of another try.
    for name in ["c", "d", "e"] {
        world.delete::<IPClaim>(name).await;
    }
    nothing_left(world).await;
}

async fn grows(world: &World) {
    range(world, "p", 1, 1).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.claim("b", "p").await;
    world.capi_claim("c", "p").await;
    world.waits_for("b", "PoolExhausted").await;
    patch::<IPPool>(
        world,
        "p",
        json!({"spec": {"pools": [entry(1, 1), entry(5, 6)]}}),
    )
    .await;
    all_bound(world).await;
}

async fn shrinks(world: &World) {
    range(world, "p", 1, 9).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    let excluded =
        json!({"spec": {"pools": [entry(1, 4)], "excludedAddresses": ["10.0.0.2-10.0.0.3"]}});
    patch::<IPPool>(world, "p", excluded).await;
    in_force(world, "p").await;
    world.capi_claim("b", "p").await;
    assert_eq!(world.capi_address_of("b").await, "10.0.0.4");
    world.claim("c", "p").await;
    world.waits_for("c", "PoolExhausted").await;
    patch::<IPPool>(
        world,
        "p",
        json!({"spec": {"excludedAddresses": ["10.0.0.3"]}}),
    )
    .await;
    assert_eq!(world.address_of("c").await, "10.0.0.2");
}

async fn deleted(world: &World) {
    range(world, "p", 1, 9).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    let external = capi_address_json("by-hand", "p", "10.0.0.9", "nobody");
    let _: metal3_ipam::api::capi::CapiIPAddress = world.create(external).await;
    world.delete::<IPPool>("p").await;
    pool_says(world, "p", "Ready", "False").await;
    world.capi_claim("late", "p").await;
    world.delete_and_wait::<IPClaim>("a").await;
    world
        .delete::<metal3_ipam::api::capi::CapiIPAddress>("by-hand")
        .await;
    world
        .until::<IPPool>("the pool to go", BTreeMap::is_empty)
        .await;
    range(world, "p", 1, 9).await;
    assert_eq!(world.capi_address_of("late").await, "10.0.0.1");
}

async fn all_at_once(world: &World) {
    range(world, "p", 1, 9).await;
    for n in 0..2 {
        world.claim(&format!("m-{n}"), "p").await;
        world.capi_claim(&format!("c-{n}"), "p").await;
    }
    all_bound(world).await;
    world.delete::<IPPool>("p").await;
    for n in 0..2 {
        world.delete::<IPAddressClaim>(&format!("c-{n}")).await;
        world.delete::<IPClaim>(&format!("m-{n}")).await;
    }
    nothing_left(world).await;
    world
        .until::<IPPool>("the pool to go", BTreeMap::is_empty)
        .await;
}

async fn one_prefix(world: &World) {
    let spec = json!({"namePrefix": "shared", "pools": [entry(1, 3)]});
    world.pool("p", spec.clone()).await;
    world.pool("q", spec).await;
    // Three names for six addresses: the second claim waits until the other pool releases the name.
    for n in 0..2 {
        world.claim(&format!("p-{n}"), "p").await;
        world.claim(&format!("q-{n}"), "q").await;
    }
    so_many_bound(world, 3).await;
    for n in 0..2 {
        world.delete::<IPClaim>(&format!("p-{n}")).await;
    }
    world
        .until::<IPClaim>("the other pool's claims alone", |all| all.len() == 2)
        .await;
    all_bound(world).await;
    for n in 0..2 {
        world.delete::<IPClaim>(&format!("q-{n}")).await;
    }
    nothing_left(world).await;
}

async fn random(world: &World) {
    let spec = json!({"allocationStrategy": "random", "pools": [entry(1, 4)]});
    world.pool("p", spec).await;
    for n in 0..2 {
        world.claim(&format!("m-{n}"), "p").await;
        world.capi_claim(&format!("c-{n}"), "p").await;
    }
    all_bound(world).await;
    world.capi_claim("d", "p").await;
    world.delete_and_wait::<IPClaim>("m-0").await;
    world
        .until::<IPAddressClaim>("the one that waited", |all| {
            all.get("d").is_some_and(capi_is_bound)
        })
        .await;
}
