//! A Cluster's name may have 253 characters, a label's value 63: a pool of a Cluster with a longer name
//! is refused, or reports it in a condition and can be deleted.

use kube::ResourceExt;
use kube::api::PostParams;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::json;

use crate::harness::{On, World, scenarios};
use crate::steps::range;

use super::refusal;

scenarios! {
    p2_u1_a_cluster_name_that_fits_no_label_is_refused_or_reported,
}

/// 75 characters.
const LONG: &str = "edge-site-frankfurt-am-main-hall-07-row-12-production-workload-cluster-0001";

async fn p2_u1_a_cluster_name_that_fits_no_label_is_refused_or_reported(on: On) {
    let world = World::start(on).await;
    world.cluster(LONG, false).await;
    for (pool, cluster, says) in [("p", LONG, "63"), ("q", "Prod_East", "Prod_East")] {
        let mut object = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": pool}});
        object["spec"] = range("10.3.0.10", "10.3.0.14");
        object["spec"]["namePrefix"] = json!(pool);
        object["spec"]["clusterName"] = json!(cluster);
        let object: IPPool = serde_json::from_value(object).unwrap();
        let made = world
            .api::<IPPool>()
            .create(&PostParams::default(), &object)
            .await;
        if made.is_err() {
            let (code, message) = refusal(made);
            assert_eq!(code, 422, "{message}");
            assert!(
                message.contains("spec.clusterName") && message.contains(says),
                "{message}"
            );
            continue;
        }
        assert_ne!(
            on,
            On::Embedded,
            "this server applies the rules of admission"
        );
        world.claim(pool, pool).await;
        let message = world
            .pool_says(pool, "Ready", ("False", "InvalidSpec"))
            .await;
        assert!(
            message.contains("clusterName") && message.contains(says),
            "{message}"
        );
        let message = world.waits_for(pool, "PoolNotReady").await;
        assert!(
            message.contains(&format!("{}/{pool}", world.namespace)),
            "{message}"
        );
        let pool_now = world.until_observed(pool).await;
        world.looked_at_everything(&serde_json::Value::Null).await;
        let later: IPPool = world.get(pool).await;
        assert_eq!(
            later.resource_version(),
            pool_now.resource_version(),
            "the pool is at rest"
        );
        world.delete_and_wait::<IPClaim>(pool).await;
        world.delete_and_wait::<IPPool>(pool).await;
    }
    world.pool("other", range("10.3.2.10", "10.3.2.14")).await;
    world.claim("a", "other").await;
    assert_eq!(world.address_of("a").await, "10.3.2.10");
    world.end().await;
}
