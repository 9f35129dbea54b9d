//! Two pools with one name prefix and overlapping ranges: the names of address objects are locks between them (A12, A14).

use std::collections::BTreeSet;

use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use crate::harness::{On, World, capi_is_bound, is_bound, ready, scenarios};
use crate::oracles::Recorder;
use crate::steps::{capi_ready, range};

scenarios! {
    a12_a1_two_pools_of_one_prefix_and_range_share_it_and_are_woken_by_each_others_names,
    a12_a_deleted_pool_leaves_its_names_to_the_other,
}

async fn twins(world: &World, end: u8) {
    for pool in ["left", "right"] {
        let mut spec = range("10.0.0.1", &format!("10.0.0.{end}"));
        spec["namePrefix"] = json!("shared");
        world.pool(pool, spec).await;
    }
}

async fn a12_a1_two_pools_of_one_prefix_and_range_share_it_and_are_woken_by_each_others_names(
    on: On,
) {
    let world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    twins(&world, 30).await;
    // Forty claims of each kind on thirty names of each kind.
    for n in 0..20 {
        for pool in ["left", "right"] {
            world.claim(&format!("{pool}-{n:02}"), pool).await;
            world.capi_claim(&format!("{pool}-{n:02}"), pool).await;
        }
    }
    // Within a pool the kinds share the addresses, between the pools only the names are shared: how many of each kind and
    // pool come first is a race, but no name and no pool's address is left while someone could have it.
    let waiting = async |world: &World| -> (Vec<String>, Vec<String>) {
        let claims = world
            .until::<IPClaim>("every IPClaim served or told why not", |all| {
                let settled = |c: &IPClaim| is_bound(c) || ready(c).is_some();
                all.values().all(settled)
            })
            .await;
        let capi_claims = world
            .until::<IPAddressClaim>("every IPAddressClaim served or told why not", |all| {
                let settled = |c: &IPAddressClaim| capi_is_bound(c) || capi_ready(c).is_some();
                all.values().all(settled)
            })
            .await;
        let unbound = claims.into_iter().filter(|(_, c)| !is_bound(c));
        let capi_unbound = capi_claims.into_iter().filter(|(_, c)| !capi_is_bound(c));
        (
            unbound.map(|(name, _)| name).collect(),
            capi_unbound.map(|(name, _)| name).collect(),
        )
    };
    let (unbound, capi_unbound) = waiting(&world).await;
    assert!(
        unbound.len() + capi_unbound.len() >= 20,
        "80 claims on 60 names"
    );
    // Everyone who is served goes, and everyone who waits is served then, in both pools.
    let claims = world.until::<IPClaim>("a list", |_| true).await;
    let waits: BTreeSet<&String> = unbound.iter().collect();
    for name in claims.keys().filter(|name| !waits.contains(name)) {
        world.delete::<IPClaim>(name).await;
    }
    let capi_claims = world.until::<IPAddressClaim>("a list", |_| true).await;
    let waits: BTreeSet<&String> = capi_unbound.iter().collect();
    for name in capi_claims.keys().filter(|name| !waits.contains(name)) {
        world.delete::<IPAddressClaim>(name).await;
    }
    world
        .until::<IPClaim>("the waiting IPClaims to be bound", |all| {
            all.len() == unbound.len() && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("the waiting IPAddressClaims to be bound", |all| {
            all.len() == capi_unbound.len() && all.values().all(capi_is_bound)
        })
        .await;
    for name in &unbound {
        world.delete::<IPClaim>(name).await;
    }
    for name in &capi_unbound {
        world.delete::<IPAddressClaim>(name).await;
    }
    world.none::<IPAddress>().await;
    world.none::<CapiIPAddress>().await;
    for pool in ["left", "right"] {
        world
            .pool_says(pool, "Consistent", ("True", "Consistent"))
            .await;
        let status = world.pool_counts(pool, 0).await.status.unwrap();
        assert_eq!(status.available, Some(30), "no name stays locked in {pool}");
    }
    recorder
        .finish()
        .await
        .assert_clean("two pools of one prefix");
    world.end().await;
}

async fn a12_a_deleted_pool_leaves_its_names_to_the_other(on: On) {
    let world = World::start(on).await;
    twins(&world, 2).await;
    world.claim("left", "left").await;
    assert_eq!(world.address_of("left").await, "10.0.0.1");
    world.claim("one", "right").await;
    assert_eq!(world.address_of("one").await, "10.0.0.2");
    world.claim("two", "right").await;
    world.waits_for("two", "PoolExhausted").await;
    let message = world
        .pool_says("right", "Consistent", ("False", "NameTaken"))
        .await;
    assert!(
        message.contains("10.0.0.1") && message.contains("shared-10-0-0-1"),
        "{message}"
    );
    world.delete::<IPPool>("left").await;
    world.delete::<IPClaim>("left").await;
    assert_eq!(world.address_of("two").await, "10.0.0.1");
    world
        .until::<IPPool>("the other pool to go", |all| !all.contains_key("left"))
        .await;
    world.end().await;
}
