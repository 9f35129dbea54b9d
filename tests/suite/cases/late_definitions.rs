//! The controller starts before the definitions exist, they appear one by one, and they are deleted while objects exist: it
//! recovers by itself, and no claim hangs.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::crds;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::Settings;
use serde_json::json;

use crate::control_plane::{self, ApiServer, Versions, capi_definitions, skipped};
use crate::harness::{World, until};
use crate::steps::range;
use crate::tally;

fn quick() -> Settings {
    Settings {
        discovery_interval: Duration::from_millis(100),
        ..Settings::default()
    }
}

/// A server of the test's own with these definitions, or the skip said.
async fn server(definitions: &[CustomResourceDefinition], test: &str) -> Option<ApiServer> {
    let server = control_plane::private(definitions).await;
    if server.is_none() {
        skipped(test);
    }
    server
}

/// The definition of this plural.
fn of(plural: &str) -> CustomResourceDefinition {
    let mut all = crds::metal3_crds();
    all.extend(capi_definitions(Versions::Stored));
    let named = format!("{plural}.");
    all.into_iter()
        .find(|d| d.name_any().starts_with(&named))
        .expect("one of the six")
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_are_created_late_and_one_by_one_are_picked_up() {
    let test = "definitions_that_are_created_late_and_one_by_one_are_picked_up";
    let Some(server) = server(&[], test).await else {
        return;
    };
    let mut world = World::at(&server.config).await;
    world.start_controller_with(quick());
    assert!(world.view().ready().is_err(), "it cannot allocate yet");
    server.define(&[of("ippools")]).await;
    world.pool("p", range("10.27.0.10", "10.27.0.19")).await;
    server.define(&[metal3("ipclaims")]).await;
    world.claim("m1", "p").await;
    // The kind of address objects is not there: nothing is decided.
    assert!(world.view().ready().is_err());
    server.define(&[metal3("ipaddresses")]).await;
    assert_eq!(world.address_of("m1").await, "10.27.0.10");

    // Cluster API's in the same way.
    server.define(&[of("ipaddressclaims")]).await;
    world.capi_claim("later", "p").await;
    server.define(&[capi("ipaddresses"), of("clusters")]).await;
    assert_eq!(world.capi_address_of("later").await, "10.27.0.11");

    // A change of a definition cuts its watches, and moves and frees nothing.
    let before: IPAddress = world.get("p-10-27-0-10").await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let column = json!({"op": "add", "path": "/spec/versions/0/additionalPrinterColumns/-",
        "value": {"name": "Prefix", "type": "string", "jsonPath": ".spec.prefix"}});
    for plural in ["ippools", "ipaddresses"] {
        let name = format!("{plural}.ipam.metal3.io");
        let patch = Patch::Json::<()>(serde_json::from_value(json!([column])).unwrap());
        definitions
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    world.claim("m2", "p").await;
    assert_eq!(world.address_of("m2").await, "10.27.0.12");
    let after: IPAddress = world.get("p-10-27-0-10").await;
    assert_eq!(after.resource_version(), before.resource_version());
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

fn metal3(plural: &str) -> CustomResourceDefinition {
    of_group(plural, "ipam.metal3.io")
}

fn capi(plural: &str) -> CustomResourceDefinition {
    of_group(plural, "ipam.cluster.x-k8s.io")
}

fn of_group(plural: &str, group: &str) -> CustomResourceDefinition {
    let mut all = crds::metal3_crds();
    all.extend(capi_definitions(Versions::Stored));
    all.into_iter()
        .find(|d| d.name_any() == format!("{plural}.{group}"))
        .expect("one of the six")
}

const PLURALS: [&str; 3] = ["ippools", "ipclaims", "ipaddresses"];

/// Deletes our definitions in this order, each after the one before is on its way; waits until all are gone.
async fn uninstall(world: &World, order: [&str; 3]) {
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    for plural in order {
        let name = format!("{plural}.ipam.metal3.io");
        definitions
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }
    until(definitions, "our definitions to be gone", |all| {
        !all.keys().any(|name| name.ends_with(".ipam.metal3.io"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_deleted_in_every_order_while_objects_exist() {
    let test = "definitions_are_deleted_in_every_order_while_objects_exist";
    let Some(server) = server(&capi_definitions(Versions::Stored), test).await else {
        return;
    };
    let mut world = World::at(&server.config).await;
    let [p, c, a] = PLURALS;
    let orders = [
        [p, c, a],
        [p, a, c],
        [c, p, a],
        [c, a, p],
        [a, p, c],
        [a, c, p],
    ];
    server.define(&crds::metal3_crds()).await;
    world.start_controller_with(quick());
    for (round, order) in orders.into_iter().enumerate() {
        if round > 0 {
            server.define(&crds::metal3_crds()).await;
        }
        world.pool("p", range("10.28.0.10", "10.28.0.19")).await;
        for name in ["m1", "m2"] {
            world.claim(name, "p").await;
            world.address_of(name).await;
        }
        world.claim("lost", "no-such-pool").await;
        world.waits_for("lost", "PoolNotFound").await;
        if round == 0 {
            world.capi_claim("stays", "p").await;
            world.capi_address_of("stays").await;
            // A pool waits for the addresses of the other group too.
            let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
            definitions
                .delete("ippools.ipam.metal3.io", &DeleteParams::default())
                .await
                .unwrap();
            world.pool_says("p", "Ready", ("False", "Deleting")).await;
            world.delete::<IPClaim>("m1").await;
            world.delete::<IPClaim>("m2").await;
            world.delete_and_wait::<IPAddressClaim>("stays").await;
            world.none::<IPPool>().await;
            world.delete_and_wait::<IPClaim>("lost").await;
            until(definitions, "the definition of pools to be gone", |all| {
                !all.contains_key("ippools.ipam.metal3.io")
            })
            .await;
            server.define(&[metal3("ippools")]).await;
            world.pool("p", range("10.28.0.10", "10.28.0.19")).await;
            for name in ["m1", "m2"] {
                world.claim(name, "p").await;
                world.address_of(name).await;
            }
        }
        uninstall(&world, order).await;
    }
    server.define(&crds::metal3_crds()).await;
    world.pool("p", range("10.28.0.10", "10.28.0.19")).await;
    world.claim("m1", "p").await;
    assert_eq!(world.address_of("m1").await, "10.28.0.10");
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
