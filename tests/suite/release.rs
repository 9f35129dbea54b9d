//! Scenarios of `docs/spec.md` section 3, by the id of the rule.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use crate::harness::{
    On, World, capi_claim_json, capi_is_bound, claim_json, scenarios_with_upstream,
};
use crate::oracles::Recorder;

scenarios_with_upstream! {
    r1_claims_created_and_deleted_at_once_leave_nothing,
    r2_a_foreign_finalizer_on_the_claim_keeps_its_address,
    r3_a_successor_made_in_the_same_moment_in_full_pools_keeps_what_it_gets,
    r3_a_deleted_claim_keeps_its_address_for_the_grace_period => "needs addressReuseGracePeriodSeconds",
    r4_an_address_object_deleted_by_hand_stays_held_and_is_put_back_if_it_vanishes,
    r5_a_pool_being_deleted_allocates_nothing_and_waits_for_its_addresses,
    r8_a_deleting_claim_with_our_finalizer_is_released_whatever_its_pools_state,
}

fn merge(patch: serde_json::Value) -> Patch<serde_json::Value> {
    Patch::Merge(patch)
}

async fn r1_claims_created_and_deleted_at_once_leave_nothing(on: On) {
    let world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    world
        .pool("p", json!({"pools": [{"subnet": "10.0.0.0/16"}]}))
        .await;
    world.claim("first", "p").await;
    assert_eq!(world.address_of("first").await, "10.0.0.1");
    let (claims, capi_claims) = (world.api::<IPClaim>(), world.api::<IPAddressClaim>());
    join_all((0..200).map(|n| {
        let (claims, capi_claims) = (claims.clone(), capi_claims.clone());
        async move {
            let name = format!("quick-{n:03}");
            if n % 2 == 0 {
                let claim: IPClaim = serde_json::from_value(claim_json(&name, "p")).unwrap();
                claims.create(&PostParams::default(), &claim).await.unwrap();
                claims
                    .delete(&name, &DeleteParams::default())
                    .await
                    .unwrap();
            } else {
                let claim: IPAddressClaim =
                    serde_json::from_value(capi_claim_json(&name, "p")).unwrap();
                capi_claims
                    .create(&PostParams::default(), &claim)
                    .await
                    .unwrap();
                capi_claims
                    .delete(&name, &DeleteParams::default())
                    .await
                    .unwrap();
            }
        }
    }))
    .await;
    world
        .until::<IPClaim>("the quick IPClaims to be gone", |all| all.len() == 1)
        .await;
    world
        .until::<IPAddressClaim>("the quick IPAddressClaims to be gone", BTreeMap::is_empty)
        .await;
    world
        .until::<IPAddress>("only the first claim's object", |all| all.len() == 1)
        .await;
    world
        .until::<CapiIPAddress>("no object of the other kind", BTreeMap::is_empty)
        .await;
    world.claim("next", "p").await;
    assert_eq!(
        world.address_of("next").await,
        "10.0.0.2",
        "the addresses of the quick ones are free"
    );
    recorder.finish().await.assert_clean("r1");
    world.end().await;
}

async fn r2_a_foreign_finalizer_on_the_claim_keeps_its_address(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}),
        )
        .await;
    let mut used = claim_json("used", "p");
    used["metadata"]["finalizers"] = json!(["example.com/in-use"]);
    let _: IPClaim = world.create(used).await;
    assert_eq!(world.address_of("used").await, "10.0.0.1");
    world.delete::<IPClaim>("used").await;
    world.claim("next", "p").await;
    world.waits_for("next", "PoolExhausted").await;
    let object = world.api::<IPAddress>().get("p-10-0-0-1").await.unwrap();
    assert!(
        object.metadata.deletion_timestamp.is_none(),
        "kept as long as the claim is in use"
    );
    let claim = world.api::<IPClaim>().get("used").await.unwrap();
    let ours: Vec<String> = claim
        .finalizers()
        .iter()
        .filter(|f| *f != "example.com/in-use")
        .cloned()
        .collect();
    world
        .api::<IPClaim>()
        .patch(
            "used",
            &PatchParams::default(),
            &merge(json!({"metadata": {"finalizers": ours}})),
        )
        .await
        .unwrap();
    assert_eq!(world.address_of("next").await, "10.0.0.1");
    world.end().await;
}

async fn r3_a_successor_made_in_the_same_moment_in_full_pools_keeps_what_it_gets(on: On) {
    let world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    // Ten pools of one address: every second one changes the kind from claim to claim, so that the two kinds meet too.
    let is_capi = |pool: u32, round: u32| match pool % 3 {
        0 => false,
        1 => true,
        _ => round.is_multiple_of(2),
    };
    let name = |pool: u32, round: u32| format!("pool-{pool}-round-{round:02}");
    let make = async |world: &World, pool: u32, round: u32| {
        if is_capi(pool, round) {
            drop(
                world
                    .capi_claim(&name(pool, round), &format!("pool-{pool}"))
                    .await,
            );
        } else {
            drop(
                world
                    .claim(&name(pool, round), &format!("pool-{pool}"))
                    .await,
            );
        }
    };
    let remove = async |world: &World, pool: u32, round: u32| {
        if is_capi(pool, round) {
            world.delete::<IPAddressClaim>(&name(pool, round)).await;
        } else {
            world.delete::<IPClaim>(&name(pool, round)).await;
        }
    };
    for pool in 0..10 {
        let address = format!("10.0.{pool}.1");
        let spec = json!({"pools": [{"start": address, "end": address}]});
        world.pool(&format!("pool-{pool}"), spec).await;
        make(&world, pool, 0).await;
    }
    for round in 0..=20 {
        if round > 0 {
            join_all((0..10).map(async |pool| {
                tokio::join!(remove(&world, pool, round - 1), make(&world, pool, round));
            }))
            .await;
        }
        let of_round = |name: &str| name.ends_with(&format!("{round:02}"));
        let capi = (0..10).filter(|pool| is_capi(*pool, round)).count();
        world
            .until::<IPClaim>("the successors alone, bound", |all| {
                let served = |(n, c): (&String, &IPClaim)| of_round(n) && world.is_bound(c);
                all.len() == 10 - capi && all.iter().all(served)
            })
            .await;
        world
            .until::<IPAddressClaim>("the successors alone, bound", |all| {
                let served = |(n, c): (&String, &IPAddressClaim)| of_round(n) && capi_is_bound(c);
                all.len() == capi && all.iter().all(served)
            })
            .await;
    }
    let objects = world.until::<IPAddress>("a list", |_| true).await.len();
    let capi_objects = world.until::<CapiIPAddress>("a list", |_| true).await.len();
    assert_eq!(objects + capi_objects, 10, "one object a pool");
    recorder.finish().await.assert_clean("r3");
    world.end().await;
}

async fn r3_a_deleted_claim_keeps_its_address_for_the_grace_period(on: On) {
    let mut world = World::start(on).await;
    world.pool("p", json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}], "addressReuseGracePeriodSeconds": 6})).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.delete::<IPClaim>("a").await;
    let deleted = world
        .api::<IPClaim>()
        .get("a")
        .await
        .unwrap()
        .metadata
        .deletion_timestamp
        .unwrap();
    world.claim("b", "p").await;
    world.waits_for("b", "PoolExhausted").await;
    // It survives a restart: the claim itself is the memory of it.
    world.stop_controller().await;
    world.start_controller();
    assert_eq!(world.address_of("b").await, "10.0.0.1");
    let waited = jiff::Timestamp::now().duration_since(deleted.0);
    assert!(
        waited >= jiff::SignedDuration::from_secs(6),
        "freed after {waited:?}"
    );
    world.end().await;
}

async fn r4_an_address_object_deleted_by_hand_stays_held_and_is_put_back_if_it_vanishes(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}], "prefix": 24}),
        )
        .await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    let before = world.api::<IPAddress>().get("p-10-0-0-1").await.unwrap();
    world.delete::<IPAddress>("p-10-0-0-1").await;
    world.claim("b", "p").await;
    assert_eq!(
        world.address_of("b").await,
        "10.0.0.2",
        "10.0.0.1 is held by its finalizer"
    );
    // Someone strips the finalizer: the object vanishes under its living claim.
    world
        .api::<IPAddress>()
        .patch(
            "p-10-0-0-1",
            &PatchParams::default(),
            &merge(json!({"metadata": {"finalizers": null}})),
        )
        .await
        .unwrap();
    let objects = world
        .until::<IPAddress>("the object to be put back", |all| {
            all.get("p-10-0-0-1")
                .is_some_and(|o| o.uid() != before.uid())
        })
        .await;
    assert_eq!(objects["p-10-0-0-1"].spec, before.spec);
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.delete_and_wait::<IPClaim>("a").await;
    world
        .until::<IPAddress>("the object to go with the claim", |all| {
            !all.contains_key("p-10-0-0-1")
        })
        .await;
    world.end().await;
}

async fn r5_a_pool_being_deleted_allocates_nothing_and_waits_for_its_addresses(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}),
        )
        .await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.delete::<IPPool>("p").await;
    world.pool_is_seen("p").await;
    world.claim("late", "p").await;
    world.waits_for("late", "PoolNotReady").await;
    let message = world.pool_says("p", "Ready", ("False", "Deleting")).await;
    assert!(
        !world.keeps_conditions() || !message.is_empty(),
        "the pool says what it waits for"
    );
    world.delete::<IPClaim>("a").await;
    world
        .until::<IPPool>(
            "the pool to go; the claim without an address does not hold it",
            BTreeMap::is_empty,
        )
        .await;
    world.end().await;
}

async fn r8_a_deleting_claim_with_our_finalizer_is_released_whatever_its_pools_state(on: On) {
    let world = World::start(on).await;
    let mut orphan = claim_json("orphan", "nowhere");
    orphan["metadata"]["finalizers"] = json!(["ipclaim.ipam.metal3.io"]);
    let _: IPClaim = world.create(orphan).await;
    let mut orphan = capi_claim_json("orphan", "nowhere");
    orphan["metadata"]["finalizers"] = json!(["ipam.metal3.io/ipaddressclaim"]);
    let _: IPAddressClaim = world.create(orphan).await;
    world.delete_and_wait::<IPClaim>("orphan").await;
    world.delete_and_wait::<IPAddressClaim>("orphan").await;
    world.end().await;
}
