//! Scenarios of rule P4: managers that share a server, by label or by namespace.

use std::collections::BTreeSet;

use kube::ResourceExt;
use kube::api::ListParams;
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{LeaseSettings, Settings, View};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_claim_json, claim_json, is_bound, published, scenarios};
use crate::oracles::Recorder;
use crate::steps::{WATCH_FILTER, address_json, range, until_view};

scenarios! {
    p4_the_watch_filter_leaves_others_objects_alone_but_holds_their_addresses,
    p4_p5_two_managers_of_different_filters_lead_in_one_namespace_by_leases_of_different_names,
    p4_a_manager_of_one_namespace_acts_in_no_other,
}

fn filtered(value: &str) -> Settings {
    Settings {
        watch_filter: Some(value.to_owned()),
        ..Settings::default()
    }
}

fn labelled(mut object: Value, value: &str) -> Value {
    object["metadata"]["labels"] = json!({WATCH_FILTER: value});
    object
}

fn pool_json(name: &str, start: &str, end: &str) -> Value {
    let mut spec = range(start, end);
    spec["namePrefix"] = json!(name);
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": spec})
}

async fn p4_the_watch_filter_leaves_others_objects_alone_but_holds_their_addresses(on: On) {
    let mut world = World::without_controller(on).await;
    world.start_controller_with(filtered("mine"));
    let pool = labelled(pool_json("p", "10.0.0.1", "10.0.0.9"), "mine");
    let _: IPPool = world.create(pool).await;
    let _: IPPool = world
        .create(pool_json("none", "10.0.0.1", "10.0.0.9"))
        .await;
    let other = labelled(pool_json("other", "10.0.0.1", "10.0.0.9"), "theirs");
    let _: IPPool = world.create(other).await;
    let _: IPAddress = world
        .create(address_json("p-10-0-0-1", "p", "theirs", "10.0.0.1"))
        .await;
    world.claim("none", "p").await;
    world.capi_claim("none", "p").await;
    // A claim of ours cannot be served by a pool that is not.
    let _: IPClaim = world
        .create(labelled(claim_json("lost", "other"), "mine"))
        .await;
    let _: IPClaim = world
        .create(labelled(claim_json("other", "p"), "theirs"))
        .await;
    let before = world.versions().await;
    let _: IPClaim = world
        .create(labelled(claim_json("mine", "p"), "mine"))
        .await;
    let _: IPAddressClaim = world
        .create(labelled(capi_claim_json("mine", "p"), "mine"))
        .await;
    let mut got = [
        world.address_of("mine").await,
        world.capi_address_of("mine").await,
    ];
    got.sort();
    assert_eq!(got, ["10.0.0.2", "10.0.0.3"]);
    world
        .looked_at_everything(&json!({WATCH_FILTER: "mine"}))
        .await;
    let ours = |line: &String| !line.contains("ippools p ");
    let after = world.versions().await;
    let untouched: Vec<_> = before.iter().filter(|l| ours(l)).collect();
    assert!(
        untouched.iter().all(|line| after.contains(line)),
        "{untouched:?} {after:?}"
    );
    world.end().await;
}

async fn p4_p5_two_managers_of_different_filters_lead_in_one_namespace_by_leases_of_different_names(
    on: On,
) {
    let mut world = World::without_controller(on).await;
    let recorder = Recorder::start(&world).await;
    let leading = |colour: &str| Settings {
        lease: Some(LeaseSettings {
            name: colour.to_owned(),
            ..LeaseSettings::new(world.namespace.clone())
        }),
        ..filtered(colour)
    };
    let (red, red_again, blue) = (leading("red"), leading("red"), leading("blue"));
    world.start_controller_with(red);
    let blue = world.another_controller(blue);
    for view in [world.view(), &blue.view] {
        until_view(view, "that both lead", View::is_leading).await;
    }
    // One name prefix and one range: the names are locks between the two (A12).
    for colour in ["red", "blue"] {
        let mut pool = labelled(pool_json(colour, "10.0.0.1", "10.0.0.50"), colour);
        pool["spec"]["namePrefix"] = json!("shared");
        let _: IPPool = world.create(pool).await;
    }
    for n in 0..20 {
        claim_of(&world, "red", n).await;
        claim_of(&world, "blue", n).await;
    }
    addresses_of(&world, 40).await;
    for view in [world.view(), &blue.view] {
        until_view(view, "20 claims bound by it", |view| bound(view) == 20).await;
    }
    // The end of one stops nothing of the other, and leaves it nothing to do.
    world.stop_controller().await;
    claim_of(&world, "red", 20).await;
    claim_of(&world, "blue", 20).await;
    until_view(&blue.view, "its next claim bound", |view| bound(view) == 21).await;
    world.start_controller_with(red_again);
    until_view(world.view(), "the claim that waited bound", |view| {
        view.is_leading() && bound(view) == 1
    })
    .await;
    assert!(blue.view.is_leading());
    let by_blue = blue.view.clone();
    blue.end().await;
    claim_of(&world, "red", 21).await;
    addresses_of(&world, 43).await;
    until_view(world.view(), "both claims bound by it", |view| {
        bound(view) == 2
    })
    .await;
    assert_eq!(bound(&by_blue), 21);
    let blue = world.another_controller(filtered("blue"));
    let claims = world.api::<IPClaim>().list(&ListParams::default()).await;
    for claim in claims.unwrap().items {
        world.delete::<IPClaim>(&claim.name_any()).await;
    }
    world.none::<IPClaim>().await;
    world.none::<IPAddress>().await;
    let findings = recorder.finish().await;
    findings.assert_clean("two managers by label");
    blue.end().await;
    world.end().await;
}

async fn claim_of(world: &World, colour: &str, n: u32) {
    let claim = claim_json(&format!("{colour}-{n:02}"), colour);
    let _: IPClaim = world.create(labelled(claim, colour)).await;
}

/// Claims that a controller has bound.
fn bound(view: &View) -> u64 {
    view.counters().bound.values().sum()
}

/// Waits until so many claims are bound, each to an address of its own.
async fn addresses_of(world: &World, count: usize) {
    let claims = world
        .until::<IPClaim>("the claims bound", |all| {
            all.len() == count && all.values().all(is_bound)
        })
        .await;
    let names: BTreeSet<_> = claims.values().filter_map(published).collect();
    assert_eq!(names.len(), count);
}

async fn p4_a_manager_of_one_namespace_acts_in_no_other(on: On) {
    let mut world = World::without_controller(on).await;
    let other = world.neighbour().await;
    world.start_controller_with(Settings {
        namespace: Some(world.namespace.clone()),
        ..Settings::default()
    });
    for place in [&other, &world] {
        place.pool("p", range("10.0.0.1", "10.0.0.9")).await;
        place.claim("a", "p").await;
        place.capi_claim("b", "p").await;
    }
    let before = other.versions().await;
    world.address_of("a").await;
    world.capi_address_of("b").await;
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(other.versions().await, before);
    world.stop_controller().await;
    // The neighbour's own manager finds everything as it was left.
    let neighbours = other.another_controller(Settings::default());
    other.address_of("a").await;
    other.capi_address_of("b").await;
    neighbours.end().await;
    other.end().await;
    world.end().await;
}
