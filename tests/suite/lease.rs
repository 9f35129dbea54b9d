//! Scenarios of rule P5 in one process; `manager/lease.rs` has those of processes that are killed and frozen.

use k8s_openapi::api::coordination::v1::Lease;
use metal3_ipam::api::metal3::IPClaim;
use metal3_ipam::controller::{LeaseSettings, Settings, View};

use crate::harness::{On, World, is_bound, scenarios};
use crate::oracles::Recorder;
use crate::steps::{range, until_view};

scenarios! {
    p5_a1_a_standby_leads_when_the_leader_stops,
}

async fn p5_a1_a_standby_leads_when_the_leader_stops(on: On) {
    let mut world = World::without_controller(on).await;
    let recorder = Recorder::start(&world).await;
    let standing = |world: &World| Settings {
        lease: Some(LeaseSettings::new(world.namespace.clone())),
        ..Settings::default()
    };
    let settings = standing(&world);
    let first = settings.lease.clone().unwrap().identity;
    world.start_controller_with(settings);
    until_view(world.view(), "that it leads", View::is_leading).await;
    let settings = standing(&world);
    let second = settings.lease.clone().unwrap().identity;
    let next = world.another_controller(settings);
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    for n in 0..20 {
        world.claim(&format!("a-{n:02}"), "p").await;
        world.capi_claim(&format!("a-{n:02}"), "p").await;
    }
    let holder = |lease: &Lease| lease.spec.as_ref()?.holder_identity.clone();
    let lease: Lease = world.get("controller-leader-election-ipam-capm3").await;
    assert_eq!(holder(&lease).as_deref(), Some(&*first));
    // In mid-work, most likely; the lease is given back once every write is answered.
    world.stop_controller().await;
    until_view(&next.view, "that it leads", View::is_leading).await;
    let lease: Lease = world.get("controller-leader-election-ipam-capm3").await;
    assert_eq!(holder(&lease).as_deref(), Some(&*second));
    world.claim("b", "p").await;
    world.address_of("b").await;
    world
        .until::<IPClaim>("all claims bound", |all| {
            all.len() == 21 && all.values().all(is_bound)
        })
        .await;
    world.pool_counts("p", 41).await;
    recorder.finish().await.assert_clean("p5");
    next.end().await;
    world.end().await;
}
