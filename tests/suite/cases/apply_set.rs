//! `kubectl apply --prune --applyset` labels its members. A controller that copies this label to the address objects makes the
//! next run prune them.

use kube::ResourceExt;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;

use crate::harness::{On, World, capi_claim_json, claim_json, published, scenarios};
use crate::steps::{address_json, capi_published, range};

use super::with;

scenarios! {
    a13_the_label_of_an_apply_set_stays_off_the_address_object,
}

async fn a13_the_label_of_an_apply_set_stays_off_the_address_object(on: On) {
    let world = World::start(on).await;
    world.pool("rack", range("10.1.0.10", "10.1.0.20")).await;
    let vip: IPAddress = world
        .create(address_json(
            "storage-vip",
            "rack",
            "storage-vip",
            "10.1.0.15",
        ))
        .await;
    let labels = json!({"site": "north", "applyset.kubernetes.io/part-of": "applyset-x-v1"});
    let claim = with(
        claim_json("worker-0", "rack"),
        "/metadata/labels",
        labels.clone(),
    );
    let _: IPClaim = world.create(claim).await;
    let capi_claim = with(
        capi_claim_json("worker-0", "rack"),
        "/metadata/labels",
        labels,
    );
    let _: IPAddressClaim = world.create(capi_claim).await;
    world.address_of("worker-0").await;
    world.capi_address_of("worker-0").await;
    let object: IPAddress = world
        .get(&published(&world.get("worker-0").await).unwrap())
        .await;
    let capi_object: CapiIPAddress = world
        .get(&capi_published(&world.get("worker-0").await).unwrap())
        .await;
    for labels in [object.labels(), capi_object.labels()] {
        assert_eq!(labels.get("site").map(String::as_str), Some("north"));
        assert!(
            !labels
                .keys()
                .any(|k| k.starts_with("applyset.kubernetes.io/")),
            "the object is a member of nobody's set: {labels:?}"
        );
    }
    world.delete_and_wait::<IPClaim>("worker-0").await;
    world
        .until::<IPAddress>("its object to go", |all| all.len() == 1)
        .await;
    let now: IPAddress = world.get("storage-vip").await;
    assert_eq!(now.resource_version(), vip.resource_version());
    world.end().await;
}
