//! A pool with thousands of claims that a former controller bound, without the conditions of this one.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{WatchEvent, WatchParams};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use crate::control_plane::{is_there, say};
use crate::harness::{On, World, claim_json, is_bound, published, ready};
use crate::steps::{ADDRESS_FINALIZER, address_json, pool_condition, range, until_view};

/// Claims that are taken over.
const CLAIMS: u16 = 10_000;
/// Requests at a time that write them.
const WRITERS: usize = 64;

/// One claim as upstream's controller leaves it: bound, with finalizers, and no condition.
async fn bound_by_another(world: &World, n: u16) {
    let name = format!("claim-{n:05}");
    let address = format!("10.0.{}.{}", n >> 8, n & 0xff);
    let object = format!("p-{}", address.replace('.', "-"));
    let mut made = address_json(&object, "p", &name, &address);
    made["metadata"]["finalizers"] = json!([ADDRESS_FINALIZER]);
    let _: IPAddress = world.create(made).await;
    let mut claim = claim_json(&name, "p");
    claim["metadata"]["finalizers"] = json!(["ipclaim.ipam.metal3.io"]);
    let _: IPClaim = world.create(claim).await;
    let status = json!({"address": {"name": object, "namespace": world.namespace}});
    let _: IPClaim = world.patch_status(&name, status).await;
}

/// Waits for one claim by a watch of it alone: a list of all of them takes longer than what is measured.
async fn until_bound(world: &World, name: &str) {
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let claims = world.api::<IPClaim>();
    let mut events = claims.watch(&only, "0").await.unwrap().boxed();
    while let Some(event) = events.try_next().await.unwrap() {
        if let WatchEvent::Added(claim) | WatchEvent::Modified(claim) = event
            && is_bound(&claim)
        {
            return;
        }
    }
    panic!("the watch ended before {name} was bound");
}

/// Too long for every run: 30,000 writes come first, and as many of ours follow.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "30,000 writes on a real server: cargo test --test suite takeover -- --ignored --nocapture"]
async fn a8_u1_a_new_claim_is_served_before_the_conditions_of_ten_thousand_taken_over() {
    if !is_there("a8_u1_a_new_claim_is_served_before_the_conditions_of_ten_thousand_taken_over")
        .await
    {
        return;
    }
    let mut world = World::without_controller(On::Real).await;
    world.patience = Duration::from_mins(10);
    world.pool("p", range("10.0.0.1", "10.0.255.254")).await;
    let begun = Instant::now();
    stream::iter(1..=CLAIMS)
        .for_each_concurrent(WRITERS, |n| bound_by_another(&world, n))
        .await;
    say(&format!(
        "{CLAIMS} claims of a former controller written in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));

    let begun = Instant::now();
    world.start_controller();
    until_view(
        world.view(),
        "that all is listed",
        metal3_ipam::controller::View::is_synced,
    )
    .await;
    let synced = Instant::now();
    world.claim("new", "p").await;
    let claim = async {
        until_bound(&world, "new").await;
        synced.elapsed()
    };
    let pool = async {
        world
            .until::<IPPool>("the pool's status", |all| {
                let status = all["p"].status.as_ref();
                let counted = status.and_then(|s| s.allocated) >= Some(CLAIMS.into());
                let observed = status.and_then(|s| s.observed_generation).is_some();
                let ready = pool_condition(&all["p"], "Ready").is_some_and(|c| c.status == "True");
                counted && observed && ready
            })
            .await;
        synced.elapsed()
    };
    let (bound, shown) = tokio::join!(claim, pool);
    let claims = world.until::<IPClaim>("a list", |_| true).await;
    assert!(claims.values().all(|claim| published(claim).is_some()));
    let unwritten = claims.values().filter(|claim| ready(claim).is_none());
    let behind = unwritten.count();
    say(&format!(
        "{CLAIMS} claims taken over: listed in {:.2} s; a new claim bound {:.2} s later, while {behind} claims had no condition; the \
         pool's Ready, counts and observedGeneration after {:.2} s",
        (synced - begun).as_secs_f64(),
        bound.as_secs_f64(),
        shown.as_secs_f64()
    ));
    assert!(behind > 0, "the new claim came last");
    // Not the scenario's business, and too long: the namespace stays, the run's server goes.
    world.stop_controller().await;
}
