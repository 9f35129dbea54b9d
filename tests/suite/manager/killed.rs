//! `kill -9` of the manager in the middle of a burst.

use kube::api::ListParams;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;

use super::Manager;
use crate::control_plane::say;
use crate::harness::{On, World, capi_is_bound, is_bound, scenarios};
use crate::oracles::Recorder;

scenarios! {
    a1_a3_kill_9_of_the_manager_in_the_middle_of_500_claims_ten_times,
}

async fn a1_a3_kill_9_of_the_manager_in_the_middle_of_500_claims_ten_times(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let start = || Manager::start(&world, &door.kubeconfig, &["--leader-elect=false"]);
    let recorder = Recorder::start(&world).await;
    for pool in 0..5 {
        let spec = json!({"pools": [{"subnet": format!("10.{pool}.0.0/24")}]});
        world.pool(&format!("pool-{pool}"), spec).await;
    }
    for round in 0..10 {
        let manager = start();
        let create = async {
            for n in (round * 50)..(round * 50 + 50) {
                let (name, pool) = (format!("claim-{n:03}"), format!("pool-{}", (n / 2) % 5));
                if n % 2 == 0 {
                    world.claim(&name, &pool).await;
                } else {
                    world.capi_claim(&name, &pool).await;
                }
            }
        };
        // Killed as soon as it is at work on this round: with finalizers, creates and status writes under way.
        let kill = async {
            let before = round * 25;
            world
                .until::<IPAddress>("the manager to be at work", |all| {
                    all.len() > before + round
                })
                .await;
            manager.kill();
        };
        tokio::join!(create, kill);
    }
    let last = start();
    world
        .until::<IPClaim>("every IPClaim bound", |all| {
            all.len() == 250 && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim bound", |all| {
            all.len() == 250 && all.values().all(capi_is_bound)
        })
        .await;
    let objects = world.api::<IPAddress>();
    let objects = objects.list_metadata(&ListParams::default()).await.unwrap();
    let capi_objects = world.api::<CapiIPAddress>();
    let capi_objects = capi_objects.list_metadata(&ListParams::default()).await;
    assert_eq!(
        (objects.items.len(), capi_objects.unwrap().items.len()),
        (250, 250)
    );
    let findings = recorder.finish().await;
    findings.assert_clean("kill -9 of the manager");
    say(&format!(
        "{on:?}: kill -9 of the manager, 10 times during 500 claims: all bound, no duplicate, nothing leaked"
    ));
    drop(last);
    world.end().await;
}
