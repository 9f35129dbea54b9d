//! Scenarios of rule R6: address objects of ours that no claim leads to. The audit's times are set to seconds here; creation
//! times have whole seconds, on any server.

use jiff::SignedDuration;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::Settings;
use metal3_ipam::pool::LeakRepair;
use serde_json::{Value, json};

use crate::harness::{On, World, claim_json, scenarios};
use crate::oracles::Recorder;
use crate::steps::{
    ADDRESS_FINALIZER, CAPI_ADDRESS_FINALIZER, PAUSED, WATCH_FILTER, address_json,
    capi_address_json, pool_condition, range,
};

scenarios! {
    r6_a11_leaks_are_found_and_released_and_serve_waiting_claims,
    r6_a4_with_report_alone_a_leak_stays_until_its_claim_is_created,
    r6_a_pause_suspends_the_audit,
    r6_p4_a_leak_of_another_managers_claim_is_left_to_it,
}

/// An audit within seconds.
fn hasty() -> Settings {
    let mut settings = Settings::default();
    settings.pool.audit_interval = SignedDuration::from_secs(1);
    settings.pool.leak_min_age = SignedDuration::from_secs(2);
    settings
}

fn kept(mut object: Value, finalizer: &str) -> Value {
    object["metadata"]["finalizers"] = json!([finalizer]);
    object
}

async fn leak(world: &World, last: u8, claim: &str) -> IPAddress {
    let (name, address) = (format!("p-10-0-0-{last}"), format!("10.0.0.{last}"));
    let object = address_json(&name, "p", claim, &address);
    world.create(kept(object, ADDRESS_FINALIZER)).await
}

async fn capi_leak(world: &World, last: u8, claim: &str) -> CapiIPAddress {
    let (name, address) = (format!("p-10-0-0-{last}"), format!("10.0.0.{last}"));
    let object = capi_address_json(&name, "p", claim, &address);
    world.create(kept(object, CAPI_ADDRESS_FINALIZER)).await
}

async fn r6_a11_leaks_are_found_and_released_and_serve_waiting_claims(on: On) {
    let mut world = World::without_controller(on).await;
    let recorder = Recorder::start(&world).await;
    leak(&world, 1, "gone").await;
    capi_leak(&world, 2, "gone").await;
    leak(&world, 3, "comes").await;
    let external = address_json("by-hand", "p", "router", "10.0.0.4");
    let _: IPAddress = world.create(external).await;
    world.pool("p", range("10.0.0.1", "10.0.0.4")).await;
    world.start_controller_with(hasty());
    // The audit looks at a pool that is full: those who wait are served when it has repaired.
    world.claim("waits", "p").await;
    world.capi_claim("waits", "p").await;
    world.waits_for("waits", "PoolExhausted").await;
    world.claim("comes", "p").await;
    assert_eq!(world.address_of("comes").await, "10.0.0.3");
    let mut got = [
        world.address_of("waits").await,
        world.capi_address_of("waits").await,
    ];
    got.sort();
    assert_eq!(got, ["10.0.0.1", "10.0.0.2"]);
    world.get::<IPAddress>("by-hand").await;
    assert_eq!(world.address_of("comes").await, "10.0.0.3");
    world
        .pool_says("p", "Consistent", ("True", "Consistent"))
        .await;
    recorder.finish().await.assert_clean("r6");
    world.end().await;
}

async fn r6_a4_with_report_alone_a_leak_stays_until_its_claim_is_created(on: On) {
    let mut world = World::without_controller(on).await;
    leak(&world, 1, "gone").await;
    capi_leak(&world, 2, "gone").await;
    world.pool("p", range("10.0.0.1", "10.0.0.2")).await;
    let mut settings = hasty();
    settings.pool.leak_repair = LeakRepair::Report;
    world.start_controller_with(settings);
    world.claim("waits", "p").await;
    let both = |pool: &IPPool| {
        pool_condition(pool, "Consistent").is_some_and(|c| {
            c.status == "False"
                && c.reason == "Leak"
                && c.message.contains("IPClaim gone")
                && c.message.contains("IPAddressClaim gone")
        })
    };
    world
        .until::<IPPool>("the pool to report both leaks", |all| {
            all.get("p").is_some_and(both)
        })
        .await;
    world.waits_for("waits", "PoolExhausted").await;
    let untouched: IPAddress = world.get("p-10-0-0-1").await;
    assert!(untouched.metadata.deletion_timestamp.is_none());
    world.claim("gone", "p").await;
    world.capi_claim("gone", "p").await;
    assert_eq!(world.address_of("gone").await, "10.0.0.1");
    assert_eq!(world.capi_address_of("gone").await, "10.0.0.2");
    world
        .pool_says("p", "Consistent", ("True", "Consistent"))
        .await;
    world.delete::<IPClaim>("gone").await;
    assert_eq!(world.address_of("waits").await, "10.0.0.1");
    world.delete_and_wait::<IPAddressClaim>("gone").await;
    world.none::<CapiIPAddress>().await;
    world.end().await;
}

async fn r6_a_pause_suspends_the_audit(on: On) {
    let mut world = World::without_controller(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let pause = |to: Value| json!({"metadata": {"annotations": {PAUSED: to}}});
    world.patch::<IPPool>("p", pause(json!(""))).await;
    world.start_controller_with(hasty());
    leak(&world, 1, "gone").await;
    let stays = capi_leak(&world, 2, "stays").await;
    // A pool beside it has the same kind of leak, of the same age: when the audit has released that one, it was due here too.
    world.pool("beside", range("10.0.1.1", "10.0.1.9")).await;
    let object = address_json("beside-10-0-1-1", "beside", "gone", "10.0.1.1");
    let _: IPAddress = world.create(kept(object, ADDRESS_FINALIZER)).await;
    world
        .until::<IPAddress>("the leak beside to be released", |all| {
            !all.contains_key("beside-10-0-1-1")
        })
        .await;
    let now: CapiIPAddress = world.get("p-10-0-0-2").await;
    assert_eq!(
        now.metadata.resource_version,
        stays.metadata.resource_version
    );
    world.get::<IPAddress>("p-10-0-0-1").await;
    world.capi_claim("stays", "p").await;
    world.patch::<IPPool>("p", pause(Value::Null)).await;
    assert_eq!(world.capi_address_of("stays").await, "10.0.0.2");
    world.none::<IPAddress>().await;
    assert_eq!(world.capi_address_of("stays").await, "10.0.0.2");
    world.end().await;
}

async fn r6_p4_a_leak_of_another_managers_claim_is_left_to_it(on: On) {
    let mut world = World::without_controller(on).await;
    let labelled = |mut object: Value, value: &str| {
        object["metadata"]["labels"] = json!({WATCH_FILTER: value});
        object
    };
    let mut spec = range("10.0.0.1", "10.0.0.3");
    spec["namePrefix"] = json!("p");
    let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p"}, "spec": spec});
    let _: IPPool = world.create(labelled(pool, "mine")).await;
    for (last, whose) in [(1, "mine"), (2, "theirs")] {
        let name = format!("p-10-0-0-{last}");
        let object = address_json(&name, "p", whose, &format!("10.0.0.{last}"));
        let _: IPAddress = world
            .create(labelled(kept(object, ADDRESS_FINALIZER), whose))
            .await;
    }
    let unlabelled = leak(&world, 3, "nobody").await;
    world.start_controller_with(Settings {
        watch_filter: Some("mine".to_owned()),
        ..hasty()
    });
    let _: IPClaim = world
        .create(labelled(claim_json("waits", "p"), "mine"))
        .await;
    assert_eq!(world.address_of("waits").await, "10.0.0.1");
    // All three are of one age, and the audit has been through them.
    world
        .looked_at_everything(&json!({WATCH_FILTER: "mine"}))
        .await;
    let now: IPAddress = world.get("p-10-0-0-3").await;
    assert_eq!(
        now.metadata.resource_version,
        unlabelled.metadata.resource_version
    );
    let theirs: IPAddress = world.get("p-10-0-0-2").await;
    assert!(theirs.metadata.deletion_timestamp.is_none());
    world.end().await;
}
