//! A warm standby takes over while claims are created, repeatedly: `kill -9`, SIGTERM and a freeze past the lease.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::ListParams;
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::Manager;
use super::lease::leader_other_than;
use crate::control_plane::say;
use crate::harness::{On, World, is_bound, scenarios};
use crate::oracles::Recorder;

/// Time between two claims.
const BETWEEN: Duration = Duration::from_millis(50);
/// Time that a lease lasts without renewal, and the time in which a standby must be at work then.
const LEASE: Duration = Duration::from_secs(15);

scenarios! {
    p5_a1_a_standby_takes_over_while_claims_flow,
}

/// Rounds, unless `FAILOVER_ROUNDS` says how many: one of each kind.
fn rounds() -> usize {
    let asked = std::env::var("FAILOVER_ROUNDS").ok();
    asked.map_or(3, |n| n.parse().expect("FAILOVER_ROUNDS is a number"))
}

async fn p5_a1_a_standby_takes_over_while_claims_flow(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let recorder = Recorder::start(&world).await;
    let range = json!({"pools": [{"subnet": "10.0.0.0/12"}]});
    world.pool("p", range).await;
    let start = || Manager::start(&world, &door.kubeconfig, &[]);

    let (created, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let flow = async {
        let mut ticks = interval(BETWEEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_over.load(Ordering::Relaxed) {
            ticks.tick().await;
            let n = created.load(Ordering::Relaxed);
            world.claim(&format!("claim-{n:05}"), "p").await;
            created.store(n + 1, Ordering::Relaxed);
        }
    };
    let ends = async {
        let mut leading = start();
        let mut leader = leader_other_than(&world, "").await;
        let mut times = Vec::new();
        for round in 0..rounds() {
            let standby = start();
            bound(&world, created.load(Ordering::Relaxed) + 20).await;
            let begun = Instant::now();
            let how = ["SIGTERM", "kill -9", "freeze"][round % 3];
            let frozen = match how {
                "SIGTERM" => {
                    leading.signal("TERM");
                    assert!(leading.ended().await, "SIGTERM is a good end");
                    None
                }
                "kill -9" => {
                    leading.kill();
                    None
                }
                _ => {
                    leading.signal("STOP");
                    Some(leading)
                }
            };
            // Some that came after the end of the old one.
            let next = created.load(Ordering::Relaxed) + 5;
            leader = leader_other_than(&world, &leader).await;
            bound(&world, next).await;
            let took = begun.elapsed();
            times.push(format!("{how} {:.2} s", took.as_secs_f64()));
            assert!(
                took < LEASE + Duration::from_secs(10),
                "{how}: claims were bound again after {took:?}"
            );
            if let Some(frozen) = frozen {
                frozen.signal("CONT");
                assert!(!frozen.ended().await, "it lost its lease");
            }
            leading = standby;
        }
        is_over.store(true, Ordering::Relaxed);
        (leading, times)
    };
    let ((), (leading, times)) = tokio::join!(flow, ends);
    let all = created.into_inner();
    let claims = world.until::<IPClaim>("every claim bound", |claims| {
        claims.len() == all && claims.values().all(is_bound)
    });
    claims.await;
    let objects = world.api::<IPAddress>().list(&ListParams::default()).await;
    assert_eq!(objects.unwrap().items.len(), all, "an object each, no more");
    let findings = recorder.finish().await;
    findings.assert_clean("failover under load");
    say(&format!(
        "{on:?}: {all} claims came at {:.0}/s over {} failovers; none lost, none twice; claims that came after the end of the \
         old leader were bound after: {}",
        1.0 / BETWEEN.as_secs_f64(),
        times.len(),
        times.join(", ")
    ));
    drop(leading);
    world.end().await;
}

/// Waits until so many claims are bound.
async fn bound(world: &World, count: usize) {
    world
        .until::<IPClaim>("claims bound", |claims| {
            claims.values().filter(|c| is_bound(c)).count() >= count
        })
        .await;
}
