//! More steps of scripts.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kube::Resource;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{World, capi_is_bound, claim_json, is_bound};

/// A merge patch of an object.
pub(super) async fn patch<K>(world: &World, name: &str, patch: Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let params = PatchParams::default();
    let patch = Patch::Merge(patch);
    world.api::<K>().patch(name, &params, &patch).await.unwrap();
}

/// A merge patch of an object's status.
pub(super) async fn patch_status<K>(world: &World, name: &str, patch: Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let params = PatchParams::default();
    let patch = Patch::Merge(patch);
    world
        .api::<K>()
        .patch_status(name, &params, &patch)
        .await
        .unwrap();
}

/// Deletes with these parameters and does not wait.
pub(super) async fn delete<K>(world: &World, name: &str, params: DeleteParams)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    world.api::<K>().delete(name, &params).await.unwrap();
}

/// A pool of the addresses `10.0.0.FROM` to `10.0.0.TO`.
pub(super) async fn range(world: &World, name: &str, from: u8, to: u8) -> IPPool {
    world.pool(name, json!({"pools": [entry(from, to)]})).await
}

/// An entry of a pool's spec.
pub(super) fn entry(from: u8, to: u8) -> Value {
    json!({"start": format!("10.0.0.{from}"), "end": format!("10.0.0.{to}")})
}

/// An IPClaim that asks for an address.
pub(super) async fn wanting(world: &World, name: &str, pool: &str, address: &str) -> IPClaim {
    let mut claim = claim_json(name, pool);
    claim["metadata"]["annotations"] = json!({"ipAddress": address});
    world.create(claim).await
}

/// An address object of Metal3's kind as someone else makes it.
pub(super) fn address_json(name: &str, pool: &str, address: &str, claim: &str) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": address, "pool": {"name": pool}, "claim": {"name": claim}}})
}

/// The same of Cluster API's kind.
pub(super) fn capi_address_json(name: &str, pool: &str, address: &str, claim: &str) -> Value {
    json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": address, "prefix": 24, "claimRef": {"name": claim},
            "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}}})
}

/// Waits until every claim of both kinds is bound.
pub(super) async fn all_bound(world: &World) {
    world
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim to be bound", |all| {
            all.values().all(capi_is_bound)
        })
        .await;
}

/// Waits until so many IPClaims are bound.
pub(super) async fn so_many_bound(world: &World, count: usize) {
    world
        .until::<IPClaim>(&format!("{count} IPClaims to be bound"), |all| {
            all.values().filter(|c| is_bound(c)).count() == count
        })
        .await;
}

/// Waits until nothing is left of claims and address objects.
pub(super) async fn nothing_left(world: &World) {
    world
        .until::<IPClaim>("the IPClaims to go", BTreeMap::is_empty)
        .await;
    world
        .until::<IPAddressClaim>("the IPAddressClaims to go", BTreeMap::is_empty)
        .await;
    world
        .until::<IPAddress>("their objects to go", BTreeMap::is_empty)
        .await;
    world
        .until::<CapiIPAddress>("their objects to go", BTreeMap::is_empty)
        .await;
}

/// Waits until a pool has a condition of this type and status.
pub(super) async fn pool_says(world: &World, pool: &str, type_: &str, status: &str) {
    let what = format!("pool {pool} to say {type_}={status}");
    world
        .until::<IPPool>(&what, |all| {
            all.get(pool).is_some_and(|p| {
                let conditions = p.status.iter().flat_map(|s| &s.conditions);
                conditions
                    .into_iter()
                    .any(|c| c.type_ == type_ && c.status == status)
            })
        })
        .await;
}

/// Waits until a pool counts so many of its addresses as held, so until what was made by hand is seen.
pub(super) async fn so_many_held(world: &World, pool: &str, count: i64) {
    world
        .until::<IPPool>(&format!("pool {pool} to hold {count}"), |all| {
            all[pool].status.as_ref().and_then(|s| s.allocated) == Some(count)
        })
        .await;
}

/// Waits until the pool's spec as it stands is in force (A8).
pub(super) async fn in_force(world: &World, pool: &str) {
    world
        .until::<IPPool>(&format!("the spec of pool {pool} to be in force"), |all| {
            let status = all[pool].status.as_ref();
            status.and_then(|s| s.observed_generation) == all[pool].metadata.generation
        })
        .await;
}
