//! Ends: foreign finalizers, and claims, pools and whole namespaces deleted with every kind of propagation (R2, R3, R5).

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use kube::{Resource, ResourceExt};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{Settings, View};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_claim_json, published, scenarios_with_upstream, until};
use crate::oracles::Recorder;
use crate::steps::{address_json, capi_published, range, until_view};

scenarios_with_upstream! {
    r2_r3_a_foreign_finalizer_holds_its_object,
    r2_r3_claims_are_released_with_every_kind_of_propagation,
    r5_pools_are_deleted_after_their_addresses_with_every_kind_of_propagation,
    r3_r5_a_namespace_is_deleted_with_all_its_objects,
}

/// The ways of `kubectl delete --cascade`.
fn ways() -> [(&'static str, DeleteParams); 3] {
    [
        ("background", DeleteParams::background()),
        ("foreground", DeleteParams::foreground()),
        ("orphan", DeleteParams::orphan()),
    ]
}

fn finalizers(list: &[&str]) -> Value {
    json!({"metadata": {"finalizers": list}})
}

async fn r2_r3_a_foreign_finalizer_holds_its_object(on: On) {
    const IN_USE: &str = "example.com/in-use";
    let world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.2")).await;
    let mut used = capi_claim_json("used", "p");
    used["metadata"]["finalizers"] = json!([IN_USE]);
    let _: IPAddressClaim = world.create(used).await;
    world.capi_address_of("used").await;
    world.claim("other", "p").await;
    world.address_of("other").await;
    let (object, capi_object) = (
        published(&world.get("other").await).unwrap(),
        capi_published(&world.get("used").await).unwrap(),
    );
    let held: IPAddress = world.get(&object).await;
    let mut both: Vec<&str> = held.finalizers().iter().map(String::as_str).collect();
    both.push(IN_USE);
    world.patch::<IPAddress>(&object, finalizers(&both)).await;

    world.delete::<IPAddressClaim>("used").await;
    world.delete::<IPClaim>("other").await;
    world.claim("waits", "p").await;
    world.waits_for("waits", "PoolExhausted").await;
    world.looked_at_everything(&Value::Null).await;
    let untouched: CapiIPAddress = world.get(&capi_object).await;
    assert!(
        untouched.metadata.deletion_timestamp.is_none(),
        "the claim is in use, and so is its address"
    );
    // The other's object is released as far as it is ours; the address is held until it is gone.
    world
        .until::<IPAddress>("our part of the object to be released", |all| {
            let object = &all[&object];
            object.meta().deletion_timestamp.is_some() && object.finalizers() == [IN_USE]
        })
        .await;
    world.waits_for("waits", "PoolExhausted").await;
    world.patch::<IPAddress>(&object, finalizers(&[])).await;
    world.address_of("waits").await;
    world
        .patch::<IPAddressClaim>("used", finalizers(&["ipam.metal3.io/ipaddressclaim"]))
        .await;
    world.none::<IPAddressClaim>().await;
    world.none::<CapiIPAddress>().await;

    // A pool that someone else keeps: our part is done, and it gives nothing out.
    let pool: IPPool = world.get("p").await;
    let mut both: Vec<&str> = pool.finalizers().iter().map(String::as_str).collect();
    both.push(IN_USE);
    world.patch::<IPPool>("p", finalizers(&both)).await;
    world.delete::<IPPool>("p").await;
    world.pool_is_seen("p").await;
    world.claim("late", "p").await;
    world.waits_for("late", "PoolNotReady").await;
    world.delete::<IPClaim>("waits").await;
    world
        .until::<IPPool>("our finalizer to be off the pool", |all| {
            all["p"].finalizers() == [IN_USE]
        })
        .await;
    world.patch::<IPPool>("p", finalizers(&[])).await;
    world.waits_for("late", "PoolNotFound").await;
    world.end().await;
}

async fn r2_r3_claims_are_released_with_every_kind_of_propagation(on: On) {
    let world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    world.pool("p", range("10.0.0.1", "10.0.0.6")).await;
    for (name, _) in ways() {
        world.claim(name, "p").await;
        world.capi_claim(name, "p").await;
    }
    for (name, _) in ways() {
        world.address_of(name).await;
        world.capi_address_of(name).await;
    }
    // The pool is full: the next claim is served only when an address is really free.
    world.claim("next", "p").await;
    world.capi_claim("next", "p").await;
    world.waits_for("next", "PoolExhausted").await;
    for (name, how) in ways() {
        world.delete_with::<IPClaim>(name, &how).await;
        world.delete_with::<IPAddressClaim>(name, &how).await;
    }
    world
        .until::<IPClaim>("the IPClaims to go", |all| all.len() == 1)
        .await;
    world
        .until::<IPAddressClaim>("the IPAddressClaims to go", |all| all.len() == 1)
        .await;
    world.address_of("next").await;
    world.capi_address_of("next").await;
    world
        .until::<IPAddress>("their objects to go", |all| all.len() == 1)
        .await;
    world
        .until::<CapiIPAddress>("their objects to go", |all| all.len() == 1)
        .await;
    world.pool_counts("p", 2).await;
    recorder
        .finish()
        .await
        .assert_clean("propagation of claims");
    world.end().await;
}

async fn r5_pools_are_deleted_after_their_addresses_with_every_kind_of_propagation(on: On) {
    let world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    for (pool, _) in ways() {
        world.pool(pool, range("10.0.0.1", "10.0.0.9")).await;
        world.claim(&format!("{pool}-a"), pool).await;
        world.capi_claim(&format!("{pool}-b"), pool).await;
    }
    for (pool, _) in ways() {
        world.address_of(&format!("{pool}-a")).await;
        world.capi_address_of(&format!("{pool}-b")).await;
    }
    for (pool, how) in ways() {
        world.delete_with::<IPPool>(pool, &how).await;
        let message = world.pool_says(pool, "Ready", ("False", "Deleting")).await;
        assert!(
            !world.keeps_conditions() || message.contains(&format!("{pool}-10-0-0-1")),
            "{message}"
        );
    }
    world.looked_at_everything(&Value::Null).await;
    for (pool, _) in ways() {
        // Nothing of a living claim goes with its pool (A2).
        world.address_of(&format!("{pool}-a")).await;
        world.capi_address_of(&format!("{pool}-b")).await;
        world.get::<IPPool>(pool).await;
        world.delete::<IPClaim>(&format!("{pool}-a")).await;
        world.delete::<IPAddressClaim>(&format!("{pool}-b")).await;
    }
    world.none::<IPPool>().await;
    recorder.finish().await.assert_clean("propagation of pools");
    world.end().await;
}

async fn r3_r5_a_namespace_is_deleted_with_all_its_objects(on: On) {
    let world = World::start(on).await;
    let mut doomed = world.neighbour().await;
    let managed = (on != On::Embedded).then(|| doomed.another_controller(Settings::default()));
    if let Some(controller) = &managed {
        doomed.is_served_by(controller.view.clone());
    }
    for place in [&world, &doomed] {
        place.cluster("c", false).await;
        let mut spec = range("10.0.0.1", "10.0.0.5");
        spec["clusterName"] = json!("c");
        place.pool("p", spec).await;
        place.pool("q", range("10.0.1.1", "10.0.1.9")).await;
        let _: IPAddress = place
            .create(address_json("by-hand", "p", "router", "10.0.0.2"))
            .await;
        place.pool_counts("p", 1).await;
        for name in ["a", "b"] {
            place.claim(name, "p").await;
            place.capi_claim(name, "p").await;
            place.capi_claim(&format!("{name}-q"), "q").await;
        }
        place.pool_counts("p", 5).await;
        place.pool_counts("q", 2).await;
    }
    // One more than there are addresses: what is freed while the namespace goes tempts it.
    doomed.claim("waits", "p").await;
    doomed.waits_for("waits", "PoolExhausted").await;
    world.looked_at_everything(&Value::Null).await;
    if !world.keeps_conditions() {
        tokio::join!(world.until_pool_rests("p"), world.until_pool_rests("q"));
    }
    until_view(world.view(), "every status to be written", View::is_idle).await;
    let before = world.versions().await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let name = doomed.namespace.clone();
    namespaces
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    until(namespaces, "the namespace to be gone", |all| {
        !all.contains_key(&name)
    })
    .await;
    doomed.none::<IPPool>().await;
    doomed.none::<IPClaim>().await;
    doomed.none::<IPAddressClaim>().await;
    doomed.none::<IPAddress>().await;
    doomed.none::<CapiIPAddress>().await;
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(
        world.versions().await,
        before,
        "nothing of another namespace was touched"
    );
    if let Some(controller) = managed {
        controller.end().await;
    }
    world.end().await;
}
