//! Scenarios of rule P1: a pause, in each of its forms, stops all writes, and its end makes up for them.

use std::collections::BTreeMap;

use kube::ResourceExt;
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_claim_json, claim_json, published, scenarios_with_upstream};
use crate::steps::{CLUSTER_NAME, PAUSED, capi_published, range};

scenarios_with_upstream! {
    p1_a_paused_cluster_stops_everything_of_its_pool,
    p1_a_cluster_with_the_annotation_stops_everything_of_its_pool,
    p1_a_pool_with_the_annotation_is_stopped_beside_its_cluster,
    p1_a_pool_with_the_annotation_is_stopped_without_a_cluster,
    p1_a_paused_claim_is_left_alone_by_itself,
    p1_a_claim_of_a_missing_cluster_waits_or_not_by_its_kind,
}

/// What is paused.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Spec,
    ClusterAnnotation,
    PoolAnnotation,
    PoolAlone,
}

impl Form {
    async fn set(self, world: &World, on: bool) {
        let mark = if on { json!("true") } else { Value::Null };
        let annotation = json!({"metadata": {"annotations": {PAUSED: mark}}});
        match self {
            Self::Spec => drop(
                world
                    .patch::<Cluster>("c", json!({"spec": {"paused": on}}))
                    .await,
            ),
            Self::ClusterAnnotation => drop(world.patch::<Cluster>("c", annotation).await),
            Self::PoolAnnotation | Self::PoolAlone => {
                drop(world.patch::<IPPool>("p", annotation).await);
            }
        }
    }
}

async fn p1_a_paused_cluster_stops_everything_of_its_pool(on: On) {
    everything_stops_and_goes_on(on, Form::Spec).await;
}

async fn p1_a_cluster_with_the_annotation_stops_everything_of_its_pool(on: On) {
    everything_stops_and_goes_on(on, Form::ClusterAnnotation).await;
}

async fn p1_a_pool_with_the_annotation_is_stopped_beside_its_cluster(on: On) {
    everything_stops_and_goes_on(on, Form::PoolAnnotation).await;
}

async fn p1_a_pool_with_the_annotation_is_stopped_without_a_cluster(on: On) {
    everything_stops_and_goes_on(on, Form::PoolAlone).await;
}

async fn everything_stops_and_goes_on(on: On, form: Form) {
    let world = World::start(on).await;
    let mut spec = range("10.0.0.1", "10.0.0.99");
    if form != Form::PoolAlone {
        world.cluster("c", false).await;
        spec["clusterName"] = json!("c");
    }
    world.pool("p", spec).await;
    for name in ["kept", "leaves", "robbed"] {
        world.claim(name, "p").await;
        world.capi_claim(name, "p").await;
    }
    let mut addresses = BTreeMap::new();
    for name in ["kept", "leaves", "robbed"] {
        addresses.insert(("m", name), world.address_of(name).await);
        addresses.insert(("c", name), world.capi_address_of(name).await);
    }
    world.pool_counts("p", 6).await;
    let shown = published(&world.get("kept").await).unwrap();
    let capi_shown = capi_published(&world.get("kept").await).unwrap();
    let robbed = published(&world.get("robbed").await).unwrap();
    let capi_robbed = capi_published(&world.get("robbed").await).unwrap();

    form.set(&world, true).await;
    world.pool_says("p", "Paused", ("True", "Paused")).await;
    // Allocation, release, status and repair have something to do now.
    world.claim("new", "p").await;
    world.capi_claim("new", "p").await;
    world.delete::<IPClaim>("leaves").await;
    world.delete::<IPAddressClaim>("leaves").await;
    let forged = json!({"address": {"name": robbed, "namespace": world.namespace}});
    world.patch_status::<IPClaim>("kept", forged).await;
    let forged = json!({"addressRef": {"name": capi_robbed}});
    world.patch_status::<IPAddressClaim>("kept", forged).await;
    let bare = json!({"metadata": {"finalizers": null}});
    world.patch::<IPAddress>(&robbed, bare.clone()).await;
    world.patch::<CapiIPAddress>(&capi_robbed, bare).await;
    world.delete::<IPAddress>(&robbed).await;
    world.delete::<CapiIPAddress>(&capi_robbed).await;
    world
        .patch_status::<IPPool>("p", json!({"allocated": 1000}))
        .await;
    let before = world.versions().await;
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(
        world.versions().await,
        before,
        "nothing is written while it is paused, and nothing is made or removed"
    );

    form.set(&world, false).await;
    addresses.insert(("m", "new"), world.address_of("new").await);
    addresses.insert(("c", "new"), world.capi_address_of("new").await);
    world
        .until::<IPClaim>(
            "the deleted IPClaim to go, the forged status to be right",
            |all| !all.contains_key("leaves") && published(&all["kept"]).as_ref() == Some(&shown),
        )
        .await;
    world
        .until::<IPAddressClaim>("the same of the other kind", |all| {
            !all.contains_key("leaves")
                && capi_published(&all["kept"]).as_ref() == Some(&capi_shown)
        })
        .await;
    world
        .until::<IPAddress>("what vanished to be put back", |all| {
            all.contains_key(&robbed)
        })
        .await;
    world
        .until::<CapiIPAddress>("the same of the other kind", |all| {
            all.contains_key(&capi_robbed)
        })
        .await;
    for name in ["kept", "robbed"] {
        assert_eq!(world.address_of(name).await, addresses[&("m", name)]);
        assert_eq!(world.capi_address_of(name).await, addresses[&("c", name)]);
    }
    world.pool_says("p", "Paused", ("False", "NotPaused")).await;
    world.pool_counts("p", 6).await;
    world.end().await;
}

/// A claim that is paused by itself, as (kind, what makes it so, what ends it).
async fn p1_a_paused_claim_is_left_alone_by_itself(on: On) {
    let world = World::start(on).await;
    world.cluster("stopped", true).await;
    world.cluster("running", false).await;
    world.looked_at_everything(&Value::Null).await;
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    let annotated = |mut claim: Value| {
        claim["metadata"]["annotations"] = json!({PAUSED: ""});
        claim
    };
    let labelled = |mut claim: Value| {
        claim["metadata"]["labels"] = json!({CLUSTER_NAME: "stopped"});
        claim
    };
    let mut named = capi_claim_json("named", "p");
    named["spec"]["clusterName"] = json!("stopped");
    // The spec counts before the label.
    let mut goes = labelled(capi_claim_json("goes", "p"));
    goes["spec"]["clusterName"] = json!("running");
    let _: IPClaim = world.create(annotated(claim_json("annotated", "p"))).await;
    let _: IPClaim = world.create(labelled(claim_json("labelled", "p"))).await;
    let _: IPAddressClaim = world
        .create(annotated(capi_claim_json("annotated", "p")))
        .await;
    let _: IPAddressClaim = world
        .create(labelled(capi_claim_json("labelled", "p")))
        .await;
    let _: IPAddressClaim = world.create(named).await;
    let _: IPAddressClaim = world.create(goes).await;
    world.capi_address_of("goes").await;
    // A bound claim that is paused then: its release and its status are left alone too.
    for name in ["bound", "leaves"] {
        world.claim(name, "p").await;
        world.address_of(name).await;
        let paused = json!({"metadata": {"annotations": {PAUSED: ""}}});
        world.patch::<IPClaim>(name, paused).await;
    }
    world.delete::<IPClaim>("leaves").await;
    let own = published(&world.get("bound").await).unwrap();
    world
        .patch_status::<IPClaim>("bound", json!({"address": null}))
        .await;
    world.pool_counts("p", 3).await;
    // The pool's status is written some time after the addresses are given out.
    let shown = |p: &IPPool| p.status.as_ref().is_some_and(|s| s.indexes.len() == 3);
    let what = "the pool to show the three addresses";
    world
        .until::<IPPool>(what, |all| all.get("p").is_some_and(shown))
        .await;
    let before = world.versions().await;
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(world.versions().await, before);

    let off = json!({"metadata": {"annotations": {PAUSED: null}}});
    for name in ["annotated", "bound", "leaves"] {
        world.patch::<IPClaim>(name, off.clone()).await;
    }
    world.patch::<IPAddressClaim>("annotated", off).await;
    world.address_of("annotated").await;
    world.capi_address_of("annotated").await;
    world
        .until::<IPClaim>("the deleted one to go, the wiped one to be right", |all| {
            !all.contains_key("leaves") && published(&all["bound"]).as_ref() == Some(&own)
        })
        .await;
    world
        .patch::<Cluster>("stopped", json!({"spec": {"paused": false}}))
        .await;
    world.address_of("labelled").await;
    world.capi_address_of("labelled").await;
    world.capi_address_of("named").await;
    world.end().await;
}

async fn p1_a_claim_of_a_missing_cluster_waits_or_not_by_its_kind(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    let labelled = |mut claim: Value| {
        claim["metadata"]["labels"] = json!({CLUSTER_NAME: "later"});
        claim
    };
    let _: IPClaim = world.create(labelled(claim_json("a", "p"))).await;
    world.address_of("a").await; // as upstream
    let _: IPAddressClaim = world
        .create(labelled(capi_claim_json("by-label", "p")))
        .await;
    let mut named = capi_claim_json("by-spec", "p");
    named["spec"]["clusterName"] = json!("later");
    let _: IPAddressClaim = world.create(named.clone()).await;
    named["metadata"] = json!({"name": "deleted", "finalizers": ["ipam.metal3.io/ipaddressclaim"]});
    let _: IPAddressClaim = world.create(named).await;
    for name in ["by-label", "by-spec", "deleted"] {
        let message = world.capi_waits_for(name, "PoolNotReady").await;
        assert!(message.contains("Cluster later"), "{message}");
    }
    world.delete_and_wait::<IPAddressClaim>("deleted").await;
    world.cluster("later", false).await;
    world.capi_address_of("by-label").await;
    world.capi_address_of("by-spec").await;
    assert!(world.get::<IPClaim>("a").await.finalizers().len() == 1);
    world.end().await;
}
