//! A Cluster that is nested deeper than a JSON parser reads: a real server stores it. The controller reads only its metadata and
//! `spec.paused`, so it keeps no claim from an address, also after a restart (A12).

use metal3_ipam::api::metal3::IPClaim;
use serde_json::json;

use crate::control_plane::is_there;
use crate::harness::{On, World};
use crate::steps::range;
use crate::tally;

/// Levels of the nesting; serde_json reads 128.
const LEVELS: usize = 150;

/// Stores a Cluster with a topology's variable of so many levels.
async fn deep_cluster(world: &World, name: &str) {
    let value = format!("{}1{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let body = format!(
        r#"{{"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"Cluster","metadata":{{"name":"{name}"}},"spec":{{"paused":false,
        "topology":{{"classRef":{{"name":"k"}},"version":"v1.36.0","variables":[{{"name":"deep","value":{value}}}]}}}}}}"#
    );
    let namespace = &world.namespace;
    let uri = format!("/apis/cluster.x-k8s.io/v1beta2/namespaces/{namespace}/clusters");
    let request = http::Request::post(uri).header("content-type", "application/json");
    let request = request.body(body.into_bytes()).unwrap();
    let stored = world.client.request_text(request).await.unwrap();
    assert!(
        stored.contains(&"[".repeat(LEVELS)),
        "the server has pruned it: {stored:.300}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_cluster_nested_too_deep_keeps_no_claim_from_an_address() {
    if !is_there("a12_a_cluster_nested_too_deep_keeps_no_claim_from_an_address").await {
        return;
    }
    let mut world = World::start(On::Real).await;
    // Before the watch, and while it goes on; one of them is the pool's own.
    deep_cluster(&world, "own").await;
    world.stop_controller().await;
    world.start_controller();
    deep_cluster(&world, "other").await;
    world.cluster("new", false).await;
    for (pool, cluster, address) in [("p", "own", "10.5.0.1"), ("q", "new", "10.5.0.2")] {
        let mut spec = range(address, address);
        spec["clusterName"] = json!(cluster);
        world.pool(pool, spec).await;
        world.claim(pool, pool).await;
        assert_eq!(world.address_of(pool).await, address);
    }
    world.stop_controller().await;
    world.start_controller();
    world.delete_and_wait::<IPClaim>("p").await;
    world.claim("again", "p").await;
    assert_eq!(world.address_of("again").await, "10.5.0.1");
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
