//! Deletes of claims, and of their pools, namespaces and owners.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::json;

use super::steps::{all_bound, delete, entry, nothing_left, patch, range};
use crate::faults::script::Script;
use crate::harness::{World, claim_json};

pub(super) const SCRIPTS: &[Script] = &[
    Script::new(
        "a foreign finalizer",
        &["R2", "A11"],
        "A deleted claim that someone still holds keeps its address until it is let go.",
        |w| Box::pin(foreign_finalizer(w)),
    ),
    Script::new(
        "foreground and orphan deletes",
        &["R2", "R3", "A13"],
        "Claims and their pool are deleted in the foreground and orphaning, and nothing waits for ever.",
        |w| Box::pin(propagation(w)),
    ),
    Script::new(
        "the grace period",
        &["R3", "A11"],
        "A deleted claim's address stays out of use for the grace period, over every restart.",
        |w| Box::pin(grace(w)),
    ),
    Script::new(
        "a namespace that is deleted",
        &["R3", "R5", "A12"],
        "A namespace goes with everything in it, and another one does not notice.",
        |w| Box::pin(namespace(w)),
    ),
    Script::new(
        "claims that can never be served",
        &["A12", "R8", "U1"],
        "Claims on a pool that does not exist wait or go, and delay no other.",
        |w| Box::pin(broken(w)),
    ),
];

async fn foreign_finalizer(world: &World) {
    range(world, "p", 1, 1).await;
    let mut used = claim_json("used", "p");
    used["metadata"]["finalizers"] = json!(["example.com/in-use"]);
    let _: IPClaim = world.create(used).await;
    world.address_of("used").await;
    world.delete::<IPClaim>("used").await;
    world.claim("next", "p").await;
    world.waits_for("next", "PoolExhausted").await;
    let ours = json!({"metadata": {"finalizers": ["ipclaim.ipam.metal3.io"]}});
    patch::<IPClaim>(world, "used", ours).await;
    assert_eq!(world.address_of("next").await, "10.0.0.1");
    world
        .until::<IPClaim>("the used one to go", |all| all.len() == 1)
        .await;
}

async fn propagation(world: &World) {
    range(world, "p", 1, 9).await;
    for name in ["a", "b"] {
        world.claim(name, "p").await;
        world.address_of(name).await;
        world.capi_claim(name, "p").await;
        world.capi_address_of(name).await;
    }
    delete::<IPClaim>(world, "a", DeleteParams::foreground()).await;
    delete::<IPAddressClaim>(world, "a", DeleteParams::foreground()).await;
    delete::<IPClaim>(world, "b", DeleteParams::orphan()).await;
    delete::<IPAddressClaim>(world, "b", DeleteParams::orphan()).await;
    nothing_left(world).await;
    delete::<IPPool>(world, "p", DeleteParams::foreground()).await;
    world
        .until::<IPPool>("the pool to go", BTreeMap::is_empty)
        .await;
}

async fn grace(world: &World) {
    world
        .pool(
            "p",
            json!({"pools": [entry(1, 1)], "addressReuseGracePeriodSeconds": 30}),
        )
        .await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.delete::<IPClaim>("a").await;
    world.claim("b", "p").await;
    world.waits_for("b", "PoolExhausted").await;
    assert_eq!(world.address_of("b").await, "10.0.0.1");
    world
        .until::<IPClaim>("the deleted one to go", |all| all.len() == 1)
        .await;
}

async fn namespace(world: &World) {
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let made = serde_json::from_value(json!({"metadata": {"name": "short"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &made)
        .await
        .unwrap();
    let mut there = World::on(world.client.clone());
    "short".clone_into(&mut there.namespace);
    there.patience = world.patience;
    range(&there, "p", 1, 9).await;
    for n in 0..2 {
        there.claim(&format!("m-{n}"), "p").await;
        there.capi_claim(&format!("c-{n}"), "p").await;
    }
    all_bound(&there).await;
    namespaces
        .delete("short", &DeleteParams::default())
        .await
        .unwrap();
    nothing_left(&there).await;
    there
        .until::<IPPool>("the pool to go", BTreeMap::is_empty)
        .await;
    range(world, "p", 1, 9).await;
    world.claim("elsewhere", "p").await;
    assert_eq!(world.address_of("elsewhere").await, "10.0.0.1");
}

async fn broken(world: &World) {
    range(world, "p", 1, 9).await;
    let nowhere = world.claim("nowhere", "no-such-pool").await;
    assert!(nowhere.status.is_none());
    world.waits_for("nowhere", "PoolNotFound").await;
    let mut orphan = claim_json("orphan", "no-such-pool");
    orphan["metadata"]["finalizers"] = json!(["ipclaim.ipam.metal3.io"]);
    let _: IPClaim = world.create(orphan).await;
    world.delete_and_wait::<IPClaim>("orphan").await;
    world.claim("good", "p").await;
    assert_eq!(world.address_of("good").await, "10.0.0.1");
    world.delete_and_wait::<IPClaim>("nowhere").await;
}
