//! Pause, Clusters and moves.

use std::collections::BTreeMap;

use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use super::steps::{
    address_json, all_bound, capi_address_json, entry, nothing_left, patch, patch_status,
    pool_says, range,
};
use crate::faults::script::Script;
use crate::harness::{World, capi_claim_json, claim_json};
use crate::oracles::ByHand;

pub(super) const SCRIPTS: &[Script] = &[
    Script::new("pause and its end", &["P1", "R8"], "A Cluster is paused, then its pool: nothing is written meanwhile, all of it afterwards.", |w| Box::pin(pause(w))),
    Script::new("a Cluster that comes late and goes early", &["P2", "A11", "R5"], "A pool waits for its Cluster, and goes with it.", |w| {
        Box::pin(late(w))
    }),
    Script::new("status wiped", &["U3", "A4", "A2"], "All status is taken away and comes back with the same addresses.", |w| Box::pin(wiped(w))).by_hand(&[ByHand::Unbinding]),
    Script::new("after a move", &["P3", "A4", "P1"], "A manager finds a moved and paused Cluster without any status: each claim gets its own object back, and nobody else does.", |w| Box::pin(unpaused(w))).found(|w| Box::pin(moved(w))),
    Script::new("the watch filter", &["P4", "A12"], "Another manager's objects in the pool are counted and left alone.", |w| Box::pin(filter(w)))
        .with(|settings| settings.watch_filter = Some("mine".to_owned())),
];

async fn pause(world: &World) {
    world.cluster("c", false).await;
    world
        .pool("p", json!({"pools": [entry(1, 9)], "clusterName": "c"}))
        .await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    patch::<Cluster>(world, "c", json!({"spec": {"paused": true}})).await;
    pool_says(world, "p", "Paused", "True").await;
    world.capi_claim("b", "p").await;
    world.delete::<IPClaim>("a").await;
    patch::<Cluster>(world, "c", json!({"spec": {"paused": false}})).await;
    world.capi_address_of("b").await;
    world
        .until::<IPClaim>("the deleted one to go", BTreeMap::is_empty)
        .await;
    let annotation = |value: serde_json::Value| json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": value}}});
    patch::<IPPool>(world, "p", annotation(json!("true"))).await;
    pool_says(world, "p", "Paused", "True").await;
    world.delete::<IPAddressClaim>("b").await;
    patch::<IPPool>(world, "p", annotation(json!(null))).await;
    nothing_left(world).await;
}

async fn late(world: &World) {
    world
        .pool("p", json!({"pools": [entry(1, 9)], "clusterName": "c"}))
        .await;
    world.claim("a", "p").await;
    world.waits_for("a", "PoolNotReady").await;
    world.cluster("c", false).await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    let mut claim = capi_claim_json("b", "p");
    claim["spec"]["clusterName"] = json!("c");
    let _: IPAddressClaim = world.create(claim).await;
    assert_eq!(world.capi_address_of("b").await, "10.0.0.2");
    // The pool is the Cluster's: it goes with it, once its claims have.
    world.delete::<Cluster>("c").await;
    world.delete::<IPClaim>("a").await;
    world.delete::<IPAddressClaim>("b").await;
    nothing_left(world).await;
    world
        .until::<IPPool>("the Cluster's pool to go", BTreeMap::is_empty)
        .await;
}

async fn wiped(world: &World) {
    range(world, "p", 1, 9).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.capi_claim("b", "p").await;
    world.capi_address_of("b").await;
    patch_status::<IPClaim>(world, "a", json!({"status": null})).await;
    patch_status::<IPAddressClaim>(world, "b", json!({"status": null})).await;
    patch_status::<IPPool>(world, "p", json!({"status": null})).await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    assert_eq!(world.capi_address_of("b").await, "10.0.0.2");
    pool_says(world, "p", "Ready", "True").await;
}

/// As `clusterctl move` leaves it: no status, new UIDs, owners first, everything paused at first.
async fn moved(world: &World) {
    world.cluster("c", true).await;
    let mut pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "p", "finalizers": ["ippool.ipam.metal3.io"], "labels": {"cluster.x-k8s.io/cluster-name": "c"}},
        "spec": {"namePrefix": "p", "pools": [entry(1, 9)], "clusterName": "c"}});
    let _: IPPool = world.create(pool.take()).await;
    let mut claim = claim_json("a", "p");
    claim["metadata"]["finalizers"] = json!(["ipclaim.ipam.metal3.io"]);
    let _: IPClaim = world.create(claim).await;
    let mut claim = capi_claim_json("b", "p");
    claim["metadata"]["finalizers"] = json!(["ipam.metal3.io/ipaddressclaim"]);
    let _: IPAddressClaim = world.create(claim).await;
    let mut object = capi_address_json("p-10-0-0-7", "p", "10.0.0.7", "b");
    object["metadata"]["finalizers"] = json!(["ipam.metal3.io/ipaddress"]);
    let _: CapiIPAddress = world.create(object).await;
    let mut object = address_json("p-10-0-0-5", "p", "10.0.0.5", "a");
    object["metadata"]["finalizers"] = json!(["ipaddress.ipam.metal3.io"]);
    let _: IPAddress = world.create(object).await;
}

async fn unpaused(world: &World) {
    world.claim("new", "p").await;
    patch::<Cluster>(world, "c", json!({"spec": {"paused": false}})).await;
    assert_eq!(world.address_of("a").await, "10.0.0.5");
    assert_eq!(world.capi_address_of("b").await, "10.0.0.7");
    assert_eq!(world.address_of("new").await, "10.0.0.1");
    all_bound(world).await;
}

async fn filter(world: &World) {
    let label = |mut object: serde_json::Value| {
        object["metadata"]["labels"] = json!({"cluster.x-k8s.io/watch-filter": "mine"});
        object
    };
    let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p"},
        "spec": {"namePrefix": "p", "pools": [entry(1, 3)]}});
    let _: IPPool = world.create(label(pool)).await;
    // Another manager's claim has an address, and another one waits for that manager.
    let theirs: IPAddress = world
        .create(address_json("p-10-0-0-1", "p", "10.0.0.1", "theirs"))
        .await;
    world.claim("theirs", "p").await;
    let _: IPClaim = world.create(label(claim_json("ours", "p"))).await;
    assert_eq!(world.address_of("ours").await, "10.0.0.2");
    let _: IPAddressClaim = world.create(label(capi_claim_json("ours", "p"))).await;
    assert_eq!(world.capi_address_of("ours").await, "10.0.0.3");
    let unlabelled = json!({"metadata": {"labels": {"cluster.x-k8s.io/watch-filter": null}}});
    patch::<IPClaim>(world, "ours", unlabelled).await;
    let now = world.api::<IPAddress>().get("p-10-0-0-1").await.unwrap();
    assert_eq!(
        now.metadata.resource_version,
        theirs.metadata.resource_version
    );
}
