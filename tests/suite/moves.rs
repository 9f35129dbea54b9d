//! Scenarios of rule P3: status lost, UIDs new, and every claim has its old address without a write to any address object.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use metal3_ipam::api::ClaimKind;
use metal3_ipam::api::Kind;
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::View;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{On, World, capi_is_bound, published, scenarios_with_upstream};
use crate::steps::{capi_published, range, until_view};

scenarios_with_upstream! {
    p3_after_a_move_every_claim_has_its_old_address_without_a_write_to_any_address_object,
    p3_a2_a3_wiped_status_is_rebuilt_to_the_same_addresses_without_a_write_to_any_address_object,
}

/// What `clusterctl move` carries over: UIDs, versions, status and managedFields are the target's own business.
fn moved(object: &impl Serialize) -> Value {
    let mut object = serde_json::to_value(object).unwrap();
    object.as_object_mut().unwrap().remove("status");
    let meta = object["metadata"].as_object_mut().unwrap();
    for key in [
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        meta.remove(key);
    }
    object
}

/// Moves all objects of a kind to the target, owned by what their owners (kind and name) have become there.
pub(crate) async fn move_all<K>(
    source: &World,
    target: &World,
    owners: &mut BTreeMap<(String, String), String>,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug
        + Send
        + 'static,
{
    for (name, object) in source.until::<K>("a list", |_| true).await {
        let mut object = moved(&object);
        let references = object["metadata"].get_mut("ownerReferences");
        for owner in references
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let of = |field: &str| owner[field].as_str().unwrap().to_owned();
            owner["uid"] = json!(owners[&(of("kind"), of("name"))]);
        }
        let made: K = target.create(object).await;
        let uid = made.meta().uid.clone().unwrap();
        owners.insert((K::kind(&()).into_owned(), name), uid);
    }
}

/// What `clusterctl move` does at the source with what it has moved.
async fn delete_for_move<K>(source: &World)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    for name in source.until::<K>("a list", |_| true).await.into_keys() {
        let annotated = json!({"metadata": {"annotations": {"clusterctl.cluster.x-k8s.io/delete-for-move": ""}}});
        source.patch::<K>(&name, annotated).await;
        source.delete::<K>(&name).await;
        // It may have none, and be gone by now.
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let _ = source
            .api::<K>()
            .patch(&name, &PatchParams::default(), &bare)
            .await;
    }
    source.none::<K>().await;
}

async fn p3_after_a_move_every_claim_has_its_old_address_without_a_write_to_any_address_object(
    on: On,
) {
    let source = World::start(on).await;
    source.cluster("c", false).await;
    let mut spec = range("10.0.0.1", "10.0.0.99");
    spec["clusterName"] = json!("c");
    spec["preAllocations"] = json!({"c03": "10.0.0.50"});
    source.pool("p", spec).await;
    for n in 0..20 {
        // With claims of both kinds of one name the pre-allocation is for whichever comes first.
        source.claim(&format!("c{n:02}"), "p").await;
        source.capi_claim(&format!("d{n:02}"), "p").await;
    }
    let before = all_bound(&source).await;
    source
        .patch::<Cluster>("c", json!({"spec": {"paused": true}}))
        .await;
    source.pool_says("p", "Paused", ("True", "Paused")).await;

    // The target's controller is there from the start and sees claims long before their addresses, as in a real move.
    let target = World::start(on).await;
    let mut owners = BTreeMap::new();
    move_all::<Cluster>(&source, &target, &mut owners).await;
    move_all::<IPPool>(&source, &target, &mut owners).await;
    move_all::<IPClaim>(&source, &target, &mut owners).await;
    move_all::<IPAddressClaim>(&source, &target, &mut owners).await;
    target.looked_at_everything(&Value::Null).await;
    move_all::<IPAddress>(&source, &target, &mut owners).await;
    move_all::<CapiIPAddress>(&source, &target, &mut owners).await;
    let objects = versions_of_addresses(&target).await;
    assert_eq!(objects.len(), 40);
    delete_for_move::<IPAddress>(&source).await;
    delete_for_move::<CapiIPAddress>(&source).await;
    delete_for_move::<IPClaim>(&source).await;
    delete_for_move::<IPAddressClaim>(&source).await;
    delete_for_move::<IPPool>(&source).await;
    delete_for_move::<Cluster>(&source).await;

    target
        .patch::<Cluster>("c", json!({"spec": {"paused": false}}))
        .await;
    assert_eq!(
        all_bound(&target).await,
        before,
        "every claim keeps its address"
    );
    assert_eq!(
        versions_of_addresses(&target).await,
        objects,
        "no write to any address object, none created, none gone"
    );
    target.claim("next", "p").await;
    assert_eq!(target.address_of("next").await, "10.0.0.40");
    source.none::<IPAddress>().await;
    source.none::<CapiIPAddress>().await;
    target.end().await;
    source.end().await;
}

/// Waits until 20 claims of each kind are bound; what each shows.
async fn all_bound(world: &World) -> [Vec<(String, String)>; 2] {
    let claims = world
        .until::<IPClaim>("20 IPClaims bound", |all| {
            all.len() == 20 && all.values().all(|c| world.is_bound(c))
        })
        .await;
    let capi_claims = world
        .until::<IPAddressClaim>("20 IPAddressClaims bound", |all| {
            all.len() == 20 && all.values().all(capi_is_bound)
        })
        .await;
    let shown = |(claim, object): (&String, Option<String>)| (claim.clone(), object.unwrap());
    let capi = capi_claims
        .iter()
        .map(|(n, c)| shown((n, capi_published(c))));
    let metal3 = claims.iter().map(|(n, c)| shown((n, published(c))));
    [metal3.collect(), capi.collect()]
}

async fn p3_a2_a3_wiped_status_is_rebuilt_to_the_same_addresses_without_a_write_to_any_address_object(
    on: On,
) {
    let mut world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    for n in 0..20 {
        world.claim(&format!("c{n:02}"), "p").await;
        world.capi_claim(&format!("c{n:02}"), "p").await;
    }
    let before = all_bound(&world).await;
    let objects = versions_of_addresses(&world).await;
    assert_eq!(objects.len(), 40);
    world.pool_counts("p", 40).await;
    world.stop_controller().await;
    for (name, _) in &before[0] {
        world.patch_status::<IPClaim>(name, Value::Null).await;
        world
            .patch_status::<IPAddressClaim>(name, Value::Null)
            .await;
    }
    let pool: IPPool = world.patch_status("p", Value::Null).await;
    assert!(
        pool.status
            .is_none_or(|s| s.indexes.is_empty() && s.allocated.is_none())
    );
    world.start_controller();
    assert_eq!(all_bound(&world).await, before);
    world.pool_counts("p", 40).await;
    // One key for both kinds of a name (A10).
    world
        .until::<IPPool>("20 keys in the pool's status", |all| {
            let status = all["p"].status.as_ref();
            status.is_some_and(|s| s.indexes.len() == 20)
        })
        .await;
    assert_eq!(versions_of_addresses(&world).await, objects);
    until_view(world.view(), "every request to be answered", View::is_idle).await;
    let counters = world.view().counters();
    let written = |kind: Kind| -> u64 {
        let of_kind = counters
            .requests
            .iter()
            .filter(|((verb, of, _), _)| verb.is_write() && *of == kind);
        of_kind.map(|(_, count)| count).sum()
    };
    for kind in [ClaimKind::Metal3, ClaimKind::Capi] {
        assert_eq!(
            written(Kind::Addresses(kind)),
            0,
            "the controller says the same"
        );
        assert!(written(Kind::Claims(kind)) >= 20, "its counters count");
    }
    world.end().await;
}

/// Every address object with its version.
pub(crate) async fn versions_of_addresses(world: &World) -> Vec<(String, Option<String>)> {
    let objects = world.until::<IPAddress>("a list", |_| true).await;
    let capi_objects = world.until::<CapiIPAddress>("a list", |_| true).await;
    let mut all: Vec<_> = objects
        .into_iter()
        .map(|(n, o)| (n, o.resource_version()))
        .collect();
    all.extend(
        capi_objects
            .into_iter()
            .map(|(n, o)| (n, o.resource_version())),
    );
    all
}
