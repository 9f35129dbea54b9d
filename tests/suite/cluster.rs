//! Scenarios of rule P2: the Cluster of a pool is created late, deleted early, changed, or deleted without its pool.

use kube::ResourceExt;
use kube::api::DeleteParams;
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, claim_json, scenarios};
use crate::steps::{CLUSTER_NAME, range};

scenarios! {
    p2_a_pool_waits_for_its_cluster_and_starts_the_moment_it_appears,
    p2_a_deleted_claim_whose_cluster_is_gone_is_released,
    p2_a_deleted_cluster_takes_its_pool_and_deleted_claims_are_released,
    p2_a_cluster_that_is_being_deleted_becomes_no_owner,
    p2_a_pool_that_outlives_its_cluster_is_still_served,
    p2_a_changed_cluster_name_replaces_labels_and_owner_and_none_removes_them,
}

const PROVIDER: &str = "cluster.x-k8s.io/provider";

fn of_cluster(name: &str) -> Value {
    let mut spec = range("10.0.0.1", "10.0.0.99");
    spec["clusterName"] = json!(name);
    spec
}

fn label<'a>(pool: &'a IPPool, label: &str) -> Option<&'a str> {
    pool.labels().get(label).map(String::as_str)
}

/// UIDs of the Clusters that own the pool.
fn owners(pool: &IPPool) -> Vec<String> {
    let owners = pool.owner_references().iter();
    let clusters = owners.filter(|o| o.kind == "Cluster");
    clusters.map(|o| o.uid.clone()).collect()
}

async fn p2_a_pool_waits_for_its_cluster_and_starts_the_moment_it_appears(on: On) {
    let world = World::start(on).await;
    world.pool("p", of_cluster("late")).await;
    world.claim("a", "p").await;
    world.capi_claim("a", "p").await;
    world.waits_for("a", "PoolNotReady").await;
    world.capi_waits_for("a", "PoolNotReady").await;
    world
        .pool_says("p", "Ready", ("False", "ClusterNotFound"))
        .await;
    let cluster = world.cluster("late", false).await;
    world.address_of("a").await;
    world.capi_address_of("a").await;
    let pool: IPPool = world.get("p").await;
    assert_eq!(label(&pool, CLUSTER_NAME), Some("late"));
    assert_eq!(label(&pool, PROVIDER), Some("ipam-metal3"));
    assert_eq!(owners(&pool), [cluster.uid().unwrap()]);
    let owner = &pool.owner_references()[0];
    assert!(!owner.controller.unwrap_or(false));
    world.end().await;
}

async fn p2_a_deleted_claim_whose_cluster_is_gone_is_released(on: On) {
    let world = World::start(on).await;
    world.cluster("c", false).await;
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    let mut claim = claim_json("a", "p");
    claim["metadata"]["labels"] = json!({CLUSTER_NAME: "c"});
    let _: IPClaim = world.create(claim).await;
    let mut claim = crate::harness::capi_claim_json("a", "p");
    claim["spec"]["clusterName"] = json!("c");
    let _: IPAddressClaim = world.create(claim).await;
    world.address_of("a").await;
    world.capi_address_of("a").await;
    world.delete_and_wait::<Cluster>("c").await;
    world.delete_and_wait::<IPClaim>("a").await;
    world.delete_and_wait::<IPAddressClaim>("a").await;
    world.none::<IPAddress>().await;
    world.none::<CapiIPAddress>().await;
    world.end().await;
}

async fn p2_a_deleted_cluster_takes_its_pool_and_deleted_claims_are_released(on: On) {
    let world = World::start(on).await;
    world.cluster("c", false).await;
    world.pool("p", of_cluster("c")).await;
    world.claim("a", "p").await;
    world.capi_claim("b", "p").await;
    world.address_of("a").await;
    world.capi_address_of("b").await;
    let before = world.versions().await;
    world
        .delete_with::<Cluster>("c", &DeleteParams::background())
        .await;
    // The garbage collector deletes the pool; its finalizer keeps it as long as it has addresses (R5).
    world.pool_says("p", "Ready", ("False", "Deleting")).await;
    let after = world.versions().await;
    assert_eq!(
        after[1..],
        before[1..],
        "claims and addresses are as they were"
    );
    world.delete::<IPClaim>("a").await;
    world.delete::<IPAddressClaim>("b").await;
    world.none::<IPClaim>().await;
    world.none::<IPAddressClaim>().await;
    world.none::<IPAddress>().await;
    world.none::<CapiIPAddress>().await;
    world.none::<IPPool>().await;
    world.end().await;
}

async fn p2_a_cluster_that_is_being_deleted_becomes_no_owner(on: On) {
    let world = World::start(on).await;
    let in_use = json!({"metadata": {"finalizers": ["example.com/in-use"]}});
    world.cluster("c", false).await;
    world.patch::<Cluster>("c", in_use).await;
    world.delete::<Cluster>("c").await;
    world.pool("p", of_cluster("c")).await;
    world.claim("a", "p").await;
    world
        .pool_says("p", "Ready", ("False", "ClusterDeleting"))
        .await;
    world.waits_for("a", "PoolNotReady").await;
    let free = json!({"metadata": {"finalizers": null}});
    world.patch::<Cluster>("c", free).await;
    world
        .pool_says("p", "Ready", ("False", "ClusterNotFound"))
        .await;
    let pool: IPPool = world.get("p").await;
    assert!(owners(&pool).is_empty() && pool.metadata.deletion_timestamp.is_none());
    let next = world.cluster("c", false).await;
    world.address_of("a").await;
    assert_eq!(owners(&world.get("p").await), [next.uid().unwrap()]);
    world.end().await;
}

async fn p2_a_pool_that_outlives_its_cluster_is_still_served(on: On) {
    let world = World::start(on).await;
    world.cluster("c", false).await;
    world.pool("p", of_cluster("c")).await;
    world.claim("stays", "p").await;
    world.claim("leaves", "p").await;
    let address = world.address_of("stays").await;
    world.address_of("leaves").await;
    world.garbage_collector_knows_the_pools().await;
    world
        .delete_with::<Cluster>("c", &DeleteParams::orphan())
        .await;
    world.none::<Cluster>().await;
    world
        .pool_says("p", "Ready", ("False", "ClusterNotFound"))
        .await;
    let pool: IPPool = world.get("p").await;
    assert!(pool.metadata.deletion_timestamp.is_none());
    assert!(owners(&pool).is_empty(), "it was not put back");
    world.delete_and_wait::<IPClaim>("leaves").await;
    world.claim("waits", "p").await;
    world.waits_for("waits", "PoolNotReady").await;
    assert_eq!(world.address_of("stays").await, address);
    let next = world.cluster("c", false).await;
    world.address_of("waits").await;
    assert_eq!(owners(&world.get("p").await), [next.uid().unwrap()]);
    world.end().await;
}

async fn p2_a_changed_cluster_name_replaces_labels_and_owner_and_none_removes_them(on: On) {
    let world = World::start(on).await;
    world.cluster("one", false).await;
    let two = world.cluster("two", false).await;
    world.pool("p", of_cluster("one")).await;
    world.claim("a", "p").await;
    let address = world.address_of("a").await;
    world
        .patch::<IPPool>("p", json!({"spec": {"clusterName": "two"}}))
        .await;
    world
        .until::<IPPool>("the pool to belong to the other Cluster", |all| {
            owners(&all["p"]) == [two.uid().unwrap()]
                && label(&all["p"], CLUSTER_NAME) == Some("two")
        })
        .await;
    world.delete_and_wait::<Cluster>("one").await;
    world
        .patch::<IPPool>("p", json!({"spec": {"clusterName": null}}))
        .await;
    world
        .until::<IPPool>("the pool to belong to none", |all| {
            let pool = &all["p"];
            owners(pool).is_empty()
                && label(pool, CLUSTER_NAME)
                    .or(label(pool, PROVIDER))
                    .is_none()
        })
        .await;
    world.delete_and_wait::<Cluster>("two").await;
    world.claim("b", "p").await;
    world.address_of("b").await;
    assert_eq!(world.address_of("a").await, address);
    let pool: IPPool = world.get("p").await;
    assert!(pool.metadata.deletion_timestamp.is_none());
    world.end().await;
}
