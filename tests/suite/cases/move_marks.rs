//! The delete phase of `clusterctl move` on a pool that is not paused: only the annotation `delete-for-move` distinguishes it
//! from an accident. No object gets its finalizer back, none is created again, and no address that a living claim shows is allocated.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{On, World, published, scenarios};
use crate::steps::range;

scenarios! {
    r4_a1_objects_marked_for_a_move_are_deleted_from_the_addresses_to_the_pool,
    r4_a1_objects_marked_for_a_move_are_deleted_from_the_pool_to_the_addresses,
    r4_a1_objects_that_are_all_marked_for_a_move_are_deleted_one_by_one,
}

const MARK: &str = "clusterctl.cluster.x-k8s.io/delete-for-move";

async fn lab(on: On) -> World {
    let world = World::start(on).await;
    world.pool("p", range("10.30.0.10", "10.30.0.19")).await;
    for (name, address) in [("m1", "10.30.0.10"), ("m2", "10.30.0.11")] {
        world.claim(name, "p").await;
        assert_eq!(world.address_of(name).await, address);
    }
    world.pool_counts("p", 2).await;
    world
}

async fn mark<K>(world: &World, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    world
        .patch::<K>(name, json!({"metadata": {"annotations": {MARK: ""}}}))
        .await;
}

/// Takes the finalizers off; the object may be gone by then.
async fn strip<K>(world: &World, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let _ = world
        .api::<K>()
        .patch(name, &PatchParams::default(), &bare)
        .await;
}

/// What the mover does to one object; a look of the controller's lies in between.
async fn remove<K>(world: &World, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    // Where its claim has gone before, it may go at any moment.
    let taken = Patch::Merge(json!({"metadata": {"annotations": {MARK: ""}, "finalizers": null}}));
    let _ = world
        .api::<K>()
        .patch(name, &PatchParams::default(), &taken)
        .await;
    world.looked_at_everything(&Value::Null).await;
    if let Some(object) = world.api::<K>().get_opt(name).await.unwrap() {
        assert!(
            object.finalizers().is_empty(),
            "{name} got a finalizer back"
        );
        world.delete_and_wait::<K>(name).await;
    }
}

/// Nothing is left, and the pool made again begins at its first address.
async fn all_is_forgotten(world: World) {
    world.none::<IPPool>().await;
    world.none::<IPClaim>().await;
    world.none::<IPAddress>().await;
    world.pool("p", range("10.30.0.10", "10.30.0.19")).await;
    world.claim("again", "p").await;
    assert_eq!(world.address_of("again").await, "10.30.0.10");
    world.end().await;
}

async fn r4_a1_objects_marked_for_a_move_are_deleted_from_the_addresses_to_the_pool(on: On) {
    let world = lab(on).await;
    for name in ["p-10-30-0-10", "p-10-30-0-11"] {
        remove::<IPAddress>(&world, name).await;
    }
    world.looked_at_everything(&Value::Null).await;
    world.none::<IPAddress>().await;
    world.claim("newcomer", "p").await;
    assert_eq!(
        world.address_of("newcomer").await,
        "10.30.0.12",
        "the other addresses are shown by living claims"
    );
    world.delete_and_wait::<IPClaim>("newcomer").await;
    for name in ["m1", "m2"] {
        remove::<IPClaim>(&world, name).await;
    }
    remove::<IPPool>(&world, "p").await;
    all_is_forgotten(world).await;
}

async fn r4_a1_objects_marked_for_a_move_are_deleted_from_the_pool_to_the_addresses(on: On) {
    let world = lab(on).await;
    remove::<IPPool>(&world, "p").await;
    for name in ["m1", "m2"] {
        let object = published(&world.get(name).await);
        assert!(object.is_some(), "{name} keeps what it shows");
        remove::<IPClaim>(&world, name).await;
    }
    for name in ["p-10-30-0-10", "p-10-30-0-11"] {
        remove::<IPAddress>(&world, name).await;
    }
    all_is_forgotten(world).await;
}

async fn r4_a1_objects_that_are_all_marked_for_a_move_are_deleted_one_by_one(on: On) {
    let world = lab(on).await;
    let addresses = ["p-10-30-0-10", "p-10-30-0-11"];
    for name in addresses {
        mark::<IPAddress>(&world, name).await;
    }
    for name in ["m1", "m2"] {
        mark::<IPClaim>(&world, name).await;
    }
    mark::<IPPool>(&world, "p").await;
    for name in addresses {
        strip::<IPAddress>(&world, name).await;
        world.delete_and_wait::<IPAddress>(name).await;
    }
    for name in ["m1", "m2"] {
        strip::<IPClaim>(&world, name).await;
        world.delete_and_wait::<IPClaim>(name).await;
    }
    strip::<IPPool>(&world, "p").await;
    world.delete_and_wait::<IPPool>("p").await;
    all_is_forgotten(world).await;
}
