//! Scenarios of rule P4: managers that share a server, by label or by namespace.

use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{LeaseSettings, Settings, View};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_claim_json, claim_json, published, scenarios};
use crate::oracles::Recorder;
use crate::steps::{WATCH_FILTER, address_json, range, until_view};

scenarios! {
    p4_the_watch_filter_leaves_others_objects_alone_but_holds_their_addresses,
    p4_p5_two_managers_by_label_share_a_namespace_with_a_lease_each,
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

async fn p4_p5_two_managers_by_label_share_a_namespace_with_a_lease_each(on: On) {
    let mut world = World::without_controller(on).await;
    // Leases have one name: the manager of each fleet runs in a namespace of its own.
    let elsewhere = world.neighbour().await;
    let leading = |value: &str, place: &World| Settings {
        lease: Some(LeaseSettings::new(place.namespace.clone())),
        ..filtered(value)
    };
    let recorder = Recorder::start(&world).await;
    let red = leading("red", &world);
    world.start_controller_with(red);
    let blue = world.another_controller(leading("blue", &elsewhere));
    for view in [world.view(), &blue.view] {
        until_view(view, "that both lead", View::is_leading).await;
    }
    // One name prefix and one range: the names are locks between the two (A12).
    for colour in ["red", "blue"] {
        let mut pool = labelled(pool_json(colour, "10.0.0.1", "10.0.0.40"), colour);
        pool["spec"]["namePrefix"] = json!("shared");
        let _: IPPool = world.create(pool).await;
    }
    for n in 0..40 {
        let colour = if n % 2 == 0 { "red" } else { "blue" };
        let claim = claim_json(&format!("{colour}-{n:02}"), colour);
        let _: IPClaim = world.create(labelled(claim, colour)).await;
    }
    let claims = world
        .until::<IPClaim>("40 claims bound", |all| {
            all.len() == 40 && all.values().all(crate::harness::is_bound)
        })
        .await;
    let mut names: Vec<_> = claims.values().filter_map(published).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 40);
    for view in [world.view(), &blue.view] {
        let bound = |view: &View| view.counters().bound.values().sum::<u64>() == 20;
        until_view(view, "20 claims bound by it", bound).await;
    }
    for name in claims.keys() {
        world.delete::<IPClaim>(name).await;
    }
    world.none::<IPClaim>().await;
    world.none::<IPAddress>().await;
    recorder
        .finish()
        .await
        .assert_clean("two managers by label");
    blue.end().await;
    elsewhere.end().await;
    world.end().await;
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
