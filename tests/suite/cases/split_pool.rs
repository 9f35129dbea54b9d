//! A tool splits a pool in two and first sends each change as a dry run, against the stored objects: a dry run stores nothing and
//! allocates nothing.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::View;
use serde_json::{Value, json};

use crate::harness::{On, World, claim_json, scenarios};
use crate::steps::{asking_for, range, until_view};

scenarios! {
    a11_u1_a_range_moves_to_another_pool_after_a_dry_run_that_changes_nothing,
}

async fn a11_u1_a_range_moves_to_another_pool_after_a_dry_run_that_changes_nothing(on: On) {
    let world = World::start(on).await;
    world.pool("lan", range("10.10.0.2", "10.10.0.254")).await;
    let _: IPClaim = world
        .create(asking_for(claim_json("l0", "lan"), "10.10.0.200"))
        .await;
    world.claim("e0", "edge").await;
    assert_eq!(world.address_of("l0").await, "10.10.0.200");
    world.waits_for("e0", "PoolNotFound").await;
    world.pool_counts("lan", 1).await;
    let after = [
        ("edge", range("10.10.0.129", "10.10.0.129")),
        ("lan", range("10.10.0.130", "10.10.0.254")),
    ]
    .map(|(name, mut spec)| {
        spec["namePrefix"] = json!(name);
        spec["prefix"] = json!(24);
        (name, json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": spec}))
    });
    let params = PatchParams::apply("argocd-controller").force();
    until_view(world.view(), "every status to be written", View::is_idle).await;
    let before = world.versions().await;
    let apply = async |params: &PatchParams| {
        for (name, object) in &after {
            let applied = world
                .api::<IPPool>()
                .patch(name, params, &Patch::Apply(object))
                .await;
            applied.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    };
    apply(&params.clone().dry_run()).await;
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(world.versions().await, before, "a dry run stores nothing");
    world.waits_for("e0", "PoolNotFound").await;

    apply(&params).await;
    assert_eq!(world.address_of("e0").await, "10.10.0.129");
    assert_eq!(world.address_of("l0").await, "10.10.0.200");
    let lan = world.until_observed("lan").await;
    let ghost: IPClaim = serde_json::from_value(claim_json("ghost", "lan")).unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    world.api::<IPClaim>().create(&dry, &ghost).await.unwrap();
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(
        world
            .api::<IPClaim>()
            .get_opt("ghost")
            .await
            .unwrap()
            .map(|c| c.name_any()),
        None
    );
    let later: IPPool = world.get("lan").await;
    assert_eq!(
        later.status.unwrap().allocated,
        lan.status.unwrap().allocated
    );
    let objects = world.until::<IPAddress>("a list", |_| true).await;
    assert_eq!(objects.len(), 2);
    world.end().await;
}
