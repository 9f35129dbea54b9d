//! `kubectl wait`, Flux and Argo read `observedGeneration` of a pool and of its conditions: it reaches the generation of every
//! pool.

use metal3_ipam::api::capi::Cluster;
use metal3_ipam::api::metal3::IPPool;
use serde_json::{Value, json};

use crate::harness::{On, World, scenarios};
use crate::steps::{PAUSED, pool_condition, range};

scenarios! {
    u1_every_condition_follows_the_generation,
    p1_a_pool_that_is_created_paused_reports_it,
}

async fn u1_every_condition_follows_the_generation(on: On) {
    let world = World::start(on).await;
    world.pool("good", range("10.24.0.10", "10.24.0.11")).await;
    world.pool("full", range("10.24.1.10", "10.24.1.11")).await;
    let mut lonely = range("10.24.3.10", "10.24.3.11");
    lonely["clusterName"] = json!("not-there-yet");
    world.pool("lonely", lonely).await;
    for name in ["f0", "f1"] {
        world.claim(name, "full").await;
        world.address_of(name).await;
    }
    world.claim("f2", "full").await;
    world.waits_for("f2", "PoolExhausted").await;
    world
        .pool_says("full", "Exhausted", ("True", "NoFreeAddress"))
        .await;
    for pool in ["good", "full", "lonely"] {
        world.until_observed(pool).await;
    }
    // A change that moves nothing.
    for round in 1..3 {
        let patch = json!({"spec": {"dnsServers": [format!("10.24.255.{round}")]}});
        for pool in ["good", "full", "lonely"] {
            world.patch::<IPPool>(pool, patch.clone()).await;
            let pool = world.until_observed(pool).await;
            assert_eq!(pool.metadata.generation, Some(round + 1));
        }
    }
    let of = async |pool: &str, type_: &str| {
        let pool: IPPool = world.get(pool).await;
        let condition = pool_condition(&pool, type_).unwrap();
        (condition.status.clone(), condition.reason.clone())
    };
    assert_eq!(of("good", "Ready").await.0, "True");
    assert_eq!(of("full", "Ready").await.0, "True");
    assert_eq!(of("full", "Exhausted").await.0, "True");
    assert_eq!(
        of("lonely", "Ready").await,
        ("False".into(), "ClusterNotFound".into())
    );
    if on != On::Embedded {
        // The definition lets two claims have one address reserved, and no webhook refuses it there.
        let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "invalid"},
            "spec": {"namePrefix": "invalid", "pools": range("10.24.4.10", "10.24.4.11")["pools"],
                "preAllocations": {"a": "10.24.4.10", "b": "10.24.4.10"}}});
        world.create::<IPPool>(pool).await;
        world
            .pool_says("invalid", "Ready", ("False", "InvalidSpec"))
            .await;
        world.until_observed("invalid").await;
    }
    world.end().await;
}

async fn p1_a_pool_that_is_created_paused_reports_it(on: On) {
    let world = World::start(on).await;
    let mut paused = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "by-itself", "annotations": {PAUSED: ""}}, "spec": range("10.24.2.10", "10.24.2.11")});
    paused["spec"]["namePrefix"] = json!("by-itself");
    let _: IPPool = world.create(paused).await;
    world.cluster("stopped", true).await;
    let mut spec = range("10.24.5.10", "10.24.5.11");
    spec["clusterName"] = json!("stopped");
    world.pool("by-cluster", spec).await;
    for pool in ["by-itself", "by-cluster"] {
        world.pool_says(pool, "Paused", ("True", "Paused")).await;
    }
    world.looked_at_everything(&Value::Null).await;
    for pool in ["by-itself", "by-cluster"] {
        let pool: IPPool = world.get(pool).await;
        assert_eq!(pool.metadata.finalizers, None, "nothing else is written");
        let observed = pool.status.and_then(|s| s.observed_generation);
        assert!(observed <= pool.metadata.generation);
    }
    let off = json!({"metadata": {"annotations": {PAUSED: null}}});
    world.patch::<IPPool>("by-itself", off).await;
    world
        .patch::<Cluster>("stopped", json!({"spec": {"paused": false}}))
        .await;
    for pool in ["by-itself", "by-cluster"] {
        world.pool_says(pool, "Ready", ("True", "Ready")).await;
        world.until_observed(pool).await;
        world.claim(pool, pool).await;
        world.address_of(pool).await;
    }
    world.end().await;
}
