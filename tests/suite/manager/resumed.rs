//! A Cluster's pause ends while the watches of address objects are far behind, as after `clusterctl move` by files on a busy
//! server: the last address object and the end of the pause are a moment apart (P3).

use std::collections::BTreeMap;

use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use super::Manager;
use crate::harness::{Door, On, World, capi_is_bound, published, scenarios};
use crate::moves::{move_all, versions_of_addresses};
use crate::proxy::{Asked, Proxy, Watches};
use crate::steps::{capi_published, range};

scenarios! {
    p3_claims_keep_their_addresses_when_a_pause_ends_before_the_watch_shows_them,
    p3_claims_keep_their_addresses_when_no_watch_shows_the_pause,
}

/// Claims of each kind.
const EACH: usize = 8;

/// Waits until all of them are bound; the address object that each shows.
async fn all_bound(world: &World) -> BTreeMap<String, Option<String>> {
    let claims = world
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            all.len() == EACH && all.values().all(|c| world.is_bound(c))
        })
        .await;
    let capi_claims = world
        .until::<IPAddressClaim>("every IPAddressClaim to be bound", |all| {
            all.len() == EACH && all.values().all(capi_is_bound)
        })
        .await;
    let shown = claims
        .iter()
        .map(|(name, claim)| (format!("IPClaim {name}"), published(claim)));
    let capi = capi_claims
        .iter()
        .map(|(name, claim)| (format!("IPAddressClaim {name}"), capi_published(claim)));
    shown.chain(capi).collect()
}

/// Bound claims of a paused Cluster, and the address object that each shows.
async fn paused_source(on: On) -> (World, BTreeMap<String, Option<String>>) {
    let source = World::start(on).await;
    source.cluster("c", false).await;
    let mut spec = range("10.0.0.1", "10.0.0.99");
    spec["clusterName"] = json!("c");
    source.pool("p", spec).await;
    // The addresses before those of the claims are free again when it moves, so a claim that is taken for a new one gets another.
    for n in 0..2 * EACH {
        source.claim(&format!("before-{n}"), "p").await;
    }
    source
        .until::<IPClaim>("the claims before to be bound", |all| {
            all.len() == 2 * EACH && all.values().all(|c| source.is_bound(c))
        })
        .await;
    for n in 0..EACH {
        source.claim(&format!("c{n}"), "p").await;
        source.capi_claim(&format!("d{n}"), "p").await;
    }
    source
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            all.len() == 3 * EACH && all.values().all(|c| source.is_bound(c))
        })
        .await;
    for n in 0..2 * EACH {
        source.delete::<IPClaim>(&format!("before-{n}")).await;
    }
    let before = all_bound(&source).await;
    source
        .patch::<Cluster>("c", json!({"spec": {"paused": true}}))
        .await;
    (source, before)
}

/// A manager whose watches the proxy treats so, once it watches every kind.
async fn manager_behind(world: &World, door: &Door, watches: Watches) -> (Proxy, Manager) {
    let proxy = Proxy::with(&door.config, watches).await;
    let through = door.kubeconfig_to("behind", &proxy.cluster(), None);
    let manager = Manager::start(world, &through, &["--leader-elect=false"]);
    let watches = |asked: &Asked| asked.query.contains("watch=1");
    proxy
        .until(|asked| asked.iter().filter(|a| watches(a)).count() >= 6)
        .await;
    (proxy, manager)
}

/// Moves all, and ends the pause a moment after the last address object. `waits`: what the target's pool says before it.
async fn move_and_end_pause(
    source: &World,
    target: &World,
    waits: (&str, (&str, &str)),
) -> Vec<(String, Option<String>)> {
    let mut owners = BTreeMap::new();
    move_all::<Cluster>(source, target, &mut owners).await;
    move_all::<IPPool>(source, target, &mut owners).await;
    move_all::<IPClaim>(source, target, &mut owners).await;
    move_all::<IPAddressClaim>(source, target, &mut owners).await;
    target.pool_says("p", waits.0, waits.1).await;
    move_all::<IPAddress>(source, target, &mut owners).await;
    move_all::<CapiIPAddress>(source, target, &mut owners).await;
    let objects = versions_of_addresses(target).await;
    assert_eq!(objects.len(), 2 * EACH);
    target
        .patch::<Cluster>("c", json!({"spec": {"paused": false}}))
        .await;
    objects
}

async fn p3_claims_keep_their_addresses_when_a_pause_ends_before_the_watch_shows_them(on: On) {
    let (source, before) = paused_source(on).await;
    let target = World::without_controller(on).await;
    let door = target.door().await;
    let behind = Watches::Silent("/ipaddresses");
    let (_proxy, _manager) = manager_behind(&target, &door, behind).await;
    let objects = move_and_end_pause(&source, &target, ("Paused", ("True", "Paused"))).await;
    let after = all_bound(&target).await;
    assert_eq!(after, before, "every claim keeps its address");
    let objects_after = versions_of_addresses(&target).await;
    assert_eq!(objects_after, objects, "no write to any address object");
    target.end().await;
    source.end().await;
}

/// The watch of the Clusters had a gap, in which the Cluster came, paused, and its pause ended.
async fn p3_claims_keep_their_addresses_when_no_watch_shows_the_pause(on: On) {
    let (source, before) = paused_source(on).await;
    let gap = Watches::Gap("/ipaddresses", "/clusters");
    let target = World::without_controller(on).await;
    let door = target.door().await;
    let (proxy, _manager) = manager_behind(&target, &door, gap).await;
    let waits = ("Ready", ("False", "ClusterNotFound"));
    let objects = move_and_end_pause(&source, &target, waits).await;
    proxy.end_gap();
    let after = all_bound(&target).await;
    assert_eq!(after, before, "every claim keeps its address");
    let objects_after = versions_of_addresses(&target).await;
    assert_eq!(objects_after, objects, "no write to any address object");
    target.end().await;
    source.end().await;
}
