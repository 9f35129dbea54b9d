//! Bursts: thousands of claims of both kinds, written by many at once, under the oracles.

use futures::future::join_all;
use kube::api::PostParams;
use metal3_ipam::api::Kind;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::Verb;
use serde_json::json;

use crate::control_plane::say;
use crate::harness::{On, World, capi_claim_json, capi_is_bound, claim_json, is_bound, scenarios};
use crate::oracles::Recorder;

scenarios! {
    a1_a_thousand_claims_of_both_kinds_over_ten_pools,
    a1_a3_a_thousand_claims_over_ten_pools_while_the_controller_restarts,
}

/// Creates `count` claims, every second one an IPAddressClaim, over `pools` pools, by `writers` at once.
async fn create_claims(world: &World, count: usize, pools: usize, writers: usize) {
    let (claims, capi_claims) = (world.api::<IPClaim>(), world.api::<IPAddressClaim>());
    join_all((0..writers).map(|writer| {
        let (claims, capi_claims) = (claims.clone(), capi_claims.clone());
        async move {
            for n in (writer..count).step_by(writers) {
                let (name, pool) = (format!("claim-{n:05}"), format!("pool-{}", (n / 2) % pools));
                if n % 2 == 0 {
                    let claim: IPClaim = serde_json::from_value(claim_json(&name, &pool)).unwrap();
                    claims.create(&PostParams::default(), &claim).await.unwrap();
                } else {
                    let claim: IPAddressClaim =
                        serde_json::from_value(capi_claim_json(&name, &pool)).unwrap();
                    capi_claims
                        .create(&PostParams::default(), &claim)
                        .await
                        .unwrap();
                }
            }
        }
    }))
    .await;
}

async fn burst(on: On, count: usize, pools: usize) {
    let world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    for pool in 0..pools {
        world
            .pool(
                &format!("pool-{pool}"),
                json!({"pools": [{"subnet": format!("10.{pool}.0.0/16")}], "prefix": 16}),
            )
            .await;
    }
    for pool in 0..pools {
        world.pool_is_seen(&format!("pool-{pool}")).await;
    }
    let begun = std::time::Instant::now();
    create_claims(&world, count, pools, 8).await;
    world
        .until::<IPClaim>("every IPClaim bound", |all| {
            all.len() == count / 2 && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim bound", |all| {
            all.len() == count / 2 && all.values().all(capi_is_bound)
        })
        .await;
    let took = begun.elapsed();
    let objects = world
        .until::<IPAddress>("an object each", |all| all.len() == count / 2)
        .await;
    let capi_objects = world
        .until::<CapiIPAddress>("an object each", |all| all.len() == count / 2)
        .await;
    let mut addresses: Vec<&str> = objects
        .values()
        .map(|o| &*o.spec.address)
        .chain(capi_objects.values().map(|o| &*o.spec.address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), count, "one address a claim");
    let (per_claim, pool_status) = writes_per_claim(&world, count);
    say(&format!(
        "{on:?}: {count} claims of both kinds over {pools} pools, 8 writers: {:.0} claims/s bound while being created; \
         {per_claim:.3} writes per claim and {pool_status} pool status writes",
        count as f64 / took.as_secs_f64()
    ));
    // A real server changes objects behind our back (its garbage collector looks at owners): a conflict now and then.
    let bound = if on == On::Embedded { 3.0 } else { 3.1 };
    assert!(
        per_claim <= bound,
        "at most {bound} writes a claim: {per_claim}"
    );
    let at_most = (took.as_secs() + 2) * pools as u64;
    assert!(
        pool_status <= at_most,
        "at most one status write a second and pool: {pool_status} > {at_most}"
    );
    world
        .until::<IPPool>("the counts to settle", |all| {
            all.values()
                .map(|p| p.status.as_ref().and_then(|s| s.allocated).unwrap_or(0))
                .sum::<i64>()
                == i64::try_from(count).unwrap()
        })
        .await;
    recorder.finish().await.assert_clean("burst");
    world.end().await;
}

/// Writes that the controller sent per claim (finalizer, address object, claim status; whatever came of them), and its writes
/// of pools' status.
fn writes_per_claim(world: &World, count: usize) -> (f64, u64) {
    let counters = world.view().counters();
    let sent = |which: &dyn Fn(Verb, Kind) -> bool| -> u64 {
        counters
            .requests
            .iter()
            .filter(|((verb, kind, _), _)| verb.is_write() && which(*verb, *kind))
            .map(|(_, n)| n)
            .sum()
    };
    let for_claims = sent(&|_, kind| kind != Kind::Pools);
    (
        for_claims as f64 / count as f64,
        sent(&|verb, kind| kind == Kind::Pools && verb == Verb::PatchStatus),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_ten_thousand_claims_of_both_kinds_over_ten_pools() {
    burst(On::Embedded, 10_000, 10).await;
}

async fn a1_a_thousand_claims_of_both_kinds_over_ten_pools(on: On) {
    burst(on, 1_000, 10).await;
}

async fn a1_a3_a_thousand_claims_over_ten_pools_while_the_controller_restarts(on: On) {
    let mut world = World::start(on).await;
    let recorder = Recorder::start(&world).await;
    for pool in 0..10 {
        world
            .pool(
                &format!("pool-{pool}"),
                json!({"pools": [{"subnet": format!("10.{pool}.0.0/16")}]}),
            )
            .await;
    }
    for round in 0..5 {
        let bound = (round + 1) * 200;
        for n in (round * 200)..bound {
            let (name, pool) = (format!("claim-{n:05}"), format!("pool-{}", n % 10));
            world.claim(&name, &pool).await;
        }
        world.stop_controller().await;
        world.start_controller();
        world
            .until::<IPClaim>("all so far bound", |all| {
                all.len() == bound && all.values().all(is_bound)
            })
            .await;
    }
    recorder.finish().await.assert_clean("restarts");
    world.end().await;
}
