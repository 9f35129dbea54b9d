//! `clusterctl move` has deleted an address object and dies before it deletes the claim: the pool is served and other claims
//! ask. The address that the claim shows stays the claim's.

use kube::api::{Patch, PatchParams};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;

use crate::harness::{On, World, published, scenarios};
use crate::steps::{capi_published, range};

scenarios! {
    a1_a2_u3_an_address_that_a_living_claim_shows_is_never_allocated_to_another,
    a1_a2_an_address_that_a_claim_marked_for_a_move_shows_is_never_allocated_to_another,
    a1_a2_an_address_that_an_ip_address_claim_shows_is_never_allocated_to_another,
}

const MARK: &str = "clusterctl.cluster.x-k8s.io/delete-for-move";

async fn gone_by_a_mover(world: &World, object: &str) {
    let bare = json!({"metadata": {"annotations": {MARK: ""}, "finalizers": null}});
    world.patch::<IPAddress>(object, bare).await;
    world.delete::<IPAddress>(object).await;
}

async fn metal3(on: On, claim_marked: bool) {
    let mut world = World::start(on).await;
    world.pool("p", range("10.40.0.10", "10.40.0.19")).await;
    for (name, address) in [("m1", "10.40.0.10"), ("m2", "10.40.0.11")] {
        world.claim(name, "p").await;
        assert_eq!(world.address_of(name).await, address);
    }
    let object = published(&world.get("m1").await).unwrap();
    if claim_marked {
        let marked = json!({"metadata": {"annotations": {MARK: ""}}});
        world.patch::<IPClaim>("m1", marked).await;
    }
    gone_by_a_mover(&world, &object).await;
    for restart in [false, true] {
        if restart {
            world.stop_controller().await;
            world.start_controller();
        }
        let name = format!("newcomer-{restart}");
        world.claim(&name, "p").await;
        let address = world.address_of(&name).await;
        assert!(address.as_str() > "10.40.0.11", "{name} has {address}");
        let claim: IPClaim = world.get("m1").await;
        let shown = published(&claim);
        assert!(
            shown.is_none() || shown.as_deref() == Some(&*object),
            "m1 never moves to another address: {shown:?}"
        );
    }
    world.delete_and_wait::<IPClaim>("m1").await;
    world.claim("last", "p").await;
    assert_eq!(
        world.address_of("last").await,
        "10.40.0.10",
        "free after its claim"
    );
    world.end().await;
}

async fn a1_a2_u3_an_address_that_a_living_claim_shows_is_never_allocated_to_another(on: On) {
    metal3(on, false).await;
}

async fn a1_a2_an_address_that_a_claim_marked_for_a_move_shows_is_never_allocated_to_another(
    on: On,
) {
    metal3(on, true).await;
}

async fn a1_a2_an_address_that_an_ip_address_claim_shows_is_never_allocated_to_another(on: On) {
    let mut world = World::start(on).await;
    world.pool("p", range("10.40.0.10", "10.40.0.19")).await;
    world.capi_claim("m1", "p").await;
    assert_eq!(world.capi_address_of("m1").await, "10.40.0.10");
    let object = capi_published(&world.get("m1").await).unwrap();
    let bare = json!({"metadata": {"annotations": {MARK: ""}, "finalizers": null}});
    world
        .api::<CapiIPAddress>()
        .patch(&object, &PatchParams::default(), &Patch::Merge(bare))
        .await
        .unwrap();
    world.delete::<CapiIPAddress>(&object).await;
    world.capi_claim("newcomer", "p").await;
    assert_eq!(world.capi_address_of("newcomer").await, "10.40.0.11");
    world.stop_controller().await;
    world.start_controller();
    world.claim("later", "p").await;
    assert_eq!(world.address_of("later").await, "10.40.0.12");
    let shown = capi_published(&world.get("m1").await);
    assert!(shown.is_none() || shown == Some(object), "{shown:?}");
    world.delete_and_wait::<IPAddressClaim>("m1").await;
    world.end().await;
}
