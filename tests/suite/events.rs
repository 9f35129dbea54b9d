//! Events (U4): what `kubectl events` and `kubectl describe` show.

use std::process::Command;

use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{Events, Settings};
use serde_json::json;

use crate::harness::{On, World, claim_json, scenarios};
use crate::kubectl::kubectl;
use crate::steps::asking_for;

scenarios! {
    u4_events_tell_of_a_pool_that_runs_dry_and_recovers,
    u4_events_tell_which_claim_somebody_has_to_change,
    u4_events_tell_of_few_addresses_a_taken_name_and_a_pause,
    u4_claim_events_are_written_when_asked_for,
}

async fn world(on: On, events: Events) -> World {
    let mut world = World::without_controller(on).await;
    world.start_controller_with(Settings {
        events,
        ..Settings::default()
    });
    world
}

/// The one Event of this object and reason, once there is one that `is` so.
pub(crate) async fn event(
    world: &World,
    of: &str,
    reason: &str,
    is: impl Fn(&Event) -> bool,
) -> Event {
    let its = |e: &Event| {
        e.involved_object.name.as_deref() == Some(of) && e.reason.as_deref() == Some(reason)
    };
    let what = format!("Event {reason} of {of}");
    let all = world
        .until::<Event>(&what, |all| all.values().any(|e| its(e) && is(e)))
        .await;
    let mut all = all.into_values().filter(its);
    let one = all.next().unwrap();
    assert!(all.next().is_none(), "{what}: one object for all of them");
    one
}

pub(crate) fn any(_: &Event) -> bool {
    true
}

async fn u4_events_tell_of_a_pool_that_runs_dry_and_recovers(on: On) {
    let world = world(on, Events::Usual).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.1"}]);
    let pool = world.pool("p", json!({"pools": range})).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    let full = event(&world, "p", "PoolExhausted", any).await;
    assert_eq!(full.type_.as_deref(), Some("Warning"));
    assert_eq!(full.involved_object.uid, pool.metadata.uid);
    assert_eq!(full.involved_object.kind.as_deref(), Some("IPPool"));
    let names: Vec<String> = (0..30).map(|n| format!("waits-{n}")).collect();
    for name in &names {
        world.claim(name, "p").await;
    }
    let full = event(&world, "p", "PoolExhausted", |e| e.count >= Some(31)).await;
    let message = full.message.unwrap_or_default();
    assert!(message.contains("waits-"), "{message}");
    let all = world
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let of_claims = |e: &&Event| e.involved_object.kind.as_deref() != Some("IPPool");
    assert_eq!(all.items.iter().find(of_claims), None, "they only wait");

    let door = world.door().await;
    let mut describe = Command::new(kubectl());
    describe.args(["describe", "ippool", "p", "--kubeconfig"]);
    describe
        .arg(&door.kubeconfig)
        .args(["-n", &world.namespace]);
    // Where kubectl is not installed the objects above are what it would show.
    if let Ok(output) = describe.output() {
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = printed.lines().find(|line| line.contains("PoolExhausted"));
        let events = printed.split_once("Events:").map(|(_, events)| events);
        let shown = events.is_some_and(|e| e.contains("PoolExhausted") && e.contains("Warning"));
        assert!(shown, "{row:?} in {printed}");
    }

    for name in names.iter().map(String::as_str).chain(["a"]) {
        world.delete::<IPClaim>(name).await;
    }
    let free = event(&world, "p", "PoolRecovered", any).await;
    assert_eq!(free.type_.as_deref(), Some("Normal"));
    world.end().await;
}

async fn u4_events_tell_which_claim_somebody_has_to_change(on: On) {
    let world = world(on, Events::Usual).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
    world.pool("p", json!({"pools": range})).await;
    let far = asking_for(claim_json("far", "p"), "10.9.9.9");
    world.create::<IPClaim>(far).await;
    world.waits_for("far", "RequestedAddressOutOfRange").await;
    let far = event(&world, "far", "RequestedAddressOutOfRange", any).await;
    assert_eq!(far.type_.as_deref(), Some("Warning"));
    assert!(
        far.message.as_ref().is_some_and(|m| m.contains("10.9.9.9")),
        "{far:?}"
    );
    assert_eq!(far.involved_object.kind.as_deref(), Some("IPClaim"));
    world.end().await;
}

async fn u4_events_tell_of_few_addresses_a_taken_name_and_a_pause(on: On) {
    let world = world(on, Events::Usual).await;
    let squatter = json!({"metadata": {"name": "p-10-0-0-1"},
        "spec": {"address": "10.9.9.9", "pool": {"name": "other"}, "claim": {"name": "nobody"}}});
    world.create::<IPAddress>(squatter).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.10"}]);
    world.pool("p", json!({"pools": range})).await;
    for n in 0..8 {
        let name = format!("c{n}");
        world.claim(&name, "p").await;
        world.address_of(&name).await;
    }
    event(&world, "p", "IPAddressNameCollision", any).await;
    let few = event(&world, "p", "PoolNearlyFull", any).await;
    let message = few.message.unwrap_or_default();
    assert!(message.contains("1 free addresses left of 10"), "{message}");
    let pause = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": ""}}});
    let patch = PatchParams::default();
    let pools = world.api::<IPPool>();
    pools
        .patch("p", &patch, &Patch::Merge(pause))
        .await
        .unwrap();
    event(&world, "p", "Paused", any).await;
    world.end().await;
}

async fn u4_claim_events_are_written_when_asked_for(on: On) {
    let world = world(on, Events::EveryClaim).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
    world.pool("p", json!({"pools": range})).await;
    let claim = world.capi_claim("c", "p").await;
    let address = world.capi_address_of("c").await;
    let bound = event(&world, "c", "AddressAllocated", any).await;
    assert_eq!(bound.involved_object.uid, claim.metadata.uid);
    assert!(bound.message.is_some_and(|m| m.contains(&address)));
    world.end().await;
}
