//! Watches whose revision has expired on the server, repeatedly (W8, W11).

use std::collections::BTreeMap;

use kube::api::DeleteParams;
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::IPClaim;
use serde_json::json;

use super::Manager;
use crate::control_plane::say;
use crate::harness::{On, World, capi_is_bound, is_bound, scenarios};
use crate::oracles::Recorder;
use crate::proxy::{Asked, Proxy, Watches};

scenarios! {
    a3_r1_every_watch_ends_with_410_repeatedly,
}

/// How often each collection was watched.
fn watched(asked: &[Asked]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for asked in asked.iter().filter(|a| a.query.contains("watch=1")) {
        *times.entry(asked.path.clone()).or_default() += 1;
    }
    times
}

async fn a3_r1_every_watch_ends_with_410_repeatedly(on: On) {
    const EACH: usize = 60;
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let proxy = Proxy::with(&door.config, Watches::ExpireAfter(2)).await;
    let through = door.kubeconfig_to("expiring", &proxy.cluster(), None);
    let recorder = Recorder::start(&world).await;
    let _manager = Manager::start(&world, &through, &["--leader-elect=false"]);
    world.cluster("cluster", false).await;
    for pool in ["p", "q"] {
        let range = json!([{"subnet": if pool == "p" { "10.0.0.0/24" } else { "10.0.1.0/24" }}]);
        world
            .pool(pool, json!({"clusterName": "cluster", "pools": range}))
            .await;
    }
    for n in 0..EACH {
        let pool = ["p", "q"][n % 2];
        world.claim(&format!("claim-{n:03}"), pool).await;
        world.capi_claim(&format!("claim-{n:03}"), pool).await;
    }
    world
        .until::<IPClaim>("every IPClaim bound", |all| {
            all.len() == EACH && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim bound", |all| {
            all.len() == EACH && all.values().all(capi_is_bound)
        })
        .await;
    let half = DeleteParams::default();
    for n in 0..EACH / 2 {
        let name = format!("claim-{n:03}");
        world.api::<IPClaim>().delete(&name, &half).await.unwrap();
    }
    world
        .until::<IPClaim>("half of them released", |all| all.len() == EACH / 2)
        .await;
    let times = watched(&proxy.asked());
    assert_eq!(times.len(), 6, "{times:?}");
    let ended: usize = times.values().map(|n| n - 1).sum();
    let mut each = times.iter().filter(|(path, _)| path.contains("/ip"));
    assert!(each.all(|(_, n)| *n > 1), "each of them ended: {times:?}");
    let findings = recorder.finish().await;
    findings.assert_clean("410 on every watch");
    say(&format!(
        "{on:?}: {ended} watches ended with 410 while {} claims were bound and {} released",
        2 * EACH,
        EACH / 2
    ));
    world.end().await;
}
