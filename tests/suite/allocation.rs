//! Scenarios of `docs/spec.md` section 2, by the id of the rule.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use metal3_ipam::api::capi::CapiIPAddress;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_claim_json, claim_json, scenarios_with_upstream};
use crate::steps::{address_json, asking_for, range};
use crate::table::{
    capi_claim, capi_deleted, claim, deleted, later, now_asking, object_deleted, play, play_in,
    pool, pool_changes,
};

scenarios_with_upstream! {
    a6_a8_a9_a13_the_guides_pool_serves_each_claim_as_it_asks,
    a4_an_address_object_made_before_its_claim_is_the_claims_and_goes_with_it,
    a5_a11_an_external_address_is_held_untouched_and_its_end_wakes_a_waiting_claim,
    a7_gateways_network_broadcast_and_excluded_addresses_are_skipped => "needs excludedAddresses",
    a7_an_ipv6_subnets_router_anycast_address_and_an_entrys_gateway_are_skipped,
    a7_reserved_addresses_are_handed_out_where_the_pool_says_so => "needs allocateReservedIPAddresses",
    section_1_a_capacity_that_no_integer_holds_saturates => "needs counts",
    a8_a10_a_pre_allocation_is_held_by_value_for_the_first_claim_of_its_name,
    a9_a_requested_address_that_is_held_is_given_when_it_is_freed_and_the_annotation_counts_while_waiting,
    a10_claims_of_both_kinds_with_one_name_are_two_claims,
    a11_a_full_pools_waiting_claims_are_bound_oldest_first,
    a11_claims_made_before_their_pool_are_bound_when_it_appears,
    a12_a_squatted_object_name_costs_one_address_and_is_free_again_when_the_squatter_goes,
    a14_addresses_are_canonical_and_two_never_share_a_name,
    a15_duplicates_found_at_start_are_kept_and_reported,
    a6_random_addresses_are_distinct_and_claims_of_another_provider_are_left_alone,
}

/// The pool of the user guide.
fn guide_pool() -> Value {
    json!({
        "namePrefix": "test1-prov",
        "pools": [
            {"start": "192.168.0.10", "end": "192.168.0.30", "prefix": 25, "gateway": "192.168.0.1"},
            {"subnet": "192.168.1.1/26"},
            {"subnet": "192.168.1.128/25"},
        ],
        "prefix": 24,
        "gateway": "192.168.1.1",
        "preAllocations": {"claim1": "192.168.0.12"},
    })
}

async fn a6_a8_a9_a13_the_guides_pool_serves_each_claim_as_it_asks(on: On) {
    let world = World::start(on).await;
    world.pool("pool1", guide_pool()).await;
    let mut labelled = claim_json("claim1", "pool1");
    labelled["metadata"]["labels"] = json!({"rack": "7"});
    let claim: IPClaim = world.create(labelled).await;
    assert_eq!(world.address_of("claim1").await, "192.168.0.12");
    let object = world
        .api::<IPAddress>()
        .get("test1-prov-192-168-0-12")
        .await
        .unwrap();
    assert_eq!(
        (object.spec.prefix, object.spec.gateway.as_deref()),
        (Some(25), Some("192.168.0.1"))
    );
    assert_eq!(object.labels().get("rack").map(String::as_str), Some("7"));
    assert_eq!(object.finalizers(), ["ipaddress.ipam.metal3.io"]);
    let owners: Vec<(String, String, Option<bool>)> = object
        .owner_references()
        .iter()
        .map(|o| (o.kind.clone(), o.uid.clone(), o.controller))
        .collect();
    let pool_uid = world
        .api::<IPPool>()
        .get("pool1")
        .await
        .unwrap()
        .uid()
        .unwrap();
    assert!(
        owners.iter().any(|(kind, uid, controller)| kind == "IPPool"
            && *uid == pool_uid
            && *controller != Some(true)),
        "{owners:?}"
    );
    assert!(
        owners
            .iter()
            .any(|(kind, uid, _)| kind == "IPClaim" && *uid == claim.uid().unwrap()),
        "{owners:?}"
    );

    world.claim("first", "pool1").await;
    assert_eq!(world.address_of("first").await, "192.168.0.10");
    world.capi_claim("second", "pool1").await;
    assert_eq!(world.capi_address_of("second").await, "192.168.0.11");
    let capi = world
        .api::<CapiIPAddress>()
        .get("test1-prov-192-168-0-11")
        .await
        .unwrap();
    assert_eq!(
        (capi.spec.prefix, capi.spec.gateway.as_deref()),
        (25, Some("192.168.0.1"))
    );
    let controllers: Vec<&str> = capi
        .owner_references()
        .iter()
        .filter(|o| o.controller == Some(true))
        .map(|o| o.kind.as_str())
        .collect();
    assert_eq!(controllers, ["IPAddressClaim"]);
    assert!(
        capi.owner_references()
            .iter()
            .all(|o| o.block_owner_deletion == Some(true))
    );

    let _: IPClaim = world
        .create(asking_for(claim_json("wants", "pool1"), "192.168.1.200"))
        .await;
    assert_eq!(world.address_of("wants").await, "192.168.1.200");
    let object = world
        .api::<IPAddress>()
        .get("test1-prov-192-168-1-200")
        .await
        .unwrap();
    assert_eq!(
        (object.spec.prefix, object.spec.gateway.as_deref()),
        (Some(24), Some("192.168.1.1"))
    );
    world.end().await;
}

async fn a4_an_address_object_made_before_its_claim_is_the_claims_and_goes_with_it(on: On) {
    let world = World::start(on).await;
    let mut by_hand = address_json("by-hand", "p", "c", "10.0.0.5");
    by_hand["spec"]["prefix"] = json!(28);
    let _: IPAddress = world.create(by_hand).await;
    world.looked_at_everything(&Value::Null).await;
    play_in(
        &world,
        vec![
            pool(
                "p",
                json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}], "prefix": 24}),
            ),
            claim("c").gets("10.0.0.5"),
        ],
    )
    .await;
    let object: IPAddress = world.get("by-hand").await;
    assert_eq!(object.spec.prefix, Some(28), "its values are kept");
    world.delete_and_wait::<IPClaim>("c").await;
    world.none::<IPAddress>().await;
    world.end().await;
}

async fn a5_a11_an_external_address_is_held_untouched_and_its_end_wakes_a_waiting_claim(on: On) {
    let world = World::start(on).await;
    let external = address_json("external", "p", "router", "10.0.0.1");
    let external: IPAddress = world.create(external).await;
    world.looked_at_everything(&Value::Null).await;
    let steps = vec![
        pool("p", range("10.0.0.1", "10.0.0.2")),
        claim("a").gets("10.0.0.2"),
        claim("b").waits_saying("PoolExhausted", "/p has no free address"),
    ];
    play_in(&world, steps).await;
    let now: IPAddress = world.get("external").await;
    assert_eq!(
        now.resource_version(),
        external.resource_version(),
        "external address objects are never written to"
    );
    let steps = vec![object_deleted("external"), later("b").gets("10.0.0.1")];
    play_in(&world, steps).await;
    world.end().await;
}

async fn a7_gateways_network_broadcast_and_excluded_addresses_are_skipped(on: On) {
    let world = World::start(on).await;
    let spec = json!({"pools": [{"start": "10.0.0.0", "end": "10.0.0.7"}], "prefix": 29, "gateway": "10.0.0.1",
        "excludedAddresses": ["10.0.0.2-10.0.0.3"]});
    let steps = vec![
        pool("p", spec),
        claim("a").gets("10.0.0.4"),
        claim("b").gets("10.0.0.5"),
        claim("c").gets("10.0.0.6"),
        claim("d").waits_for("PoolExhausted"),
        // A requested address may be a reserved one, but not an excluded one.
        claim("gateway").asking_for("10.0.0.1").gets("10.0.0.1"),
        claim("network").asking_for("10.0.0.0").gets("10.0.0.0"),
        claim("broadcast").asking_for("10.0.0.7").gets("10.0.0.7"),
        claim("excluded")
            .asking_for("10.0.0.3")
            .waits_for("RequestedAddressOutOfRange"),
    ];
    play_in(&world, steps).await;
    let pools = world
        .until::<IPPool>("the pool's counts to say full", |all| {
            all["p"]
                .status
                .as_ref()
                .is_some_and(|s| s.allocated == Some(6) && s.available == Some(0))
        })
        .await;
    let status = pools["p"].status.clone().unwrap();
    assert_eq!((status.capacity, status.reserved), (Some(6), Some(0)));
    let steps = vec![
        pool_changes("p", json!({"excludedAddresses": null})),
        later("d").gets("10.0.0.2"),
        later("excluded").gets("10.0.0.3"),
    ];
    play_in(&world, steps).await;
    world.end().await;
}

async fn a7_an_ipv6_subnets_router_anycast_address_and_an_entrys_gateway_are_skipped(on: On) {
    let six = json!({"pools": [{"start": "fd00::", "end": "fd00::3", "gateway": "fd00::1"}], "prefix": 64,
        "gateway": "fd00::3"});
    let four = json!({"pools": [{"start": "10.0.0.0", "end": "10.0.0.2", "gateway": "10.0.0.1"}], "prefix": 24});
    let steps = vec![
        pool("six", six),
        claim("six").of("six").gets("fd00::2"),
        // The pool's own gateway is skipped too.
        capi_claim("full").of("six").waits_for("PoolExhausted"),
        pool("four", four),
        claim("four").of("four").gets("10.0.0.2"),
    ];
    play(on, steps).await;
}

async fn a7_reserved_addresses_are_handed_out_where_the_pool_says_so(on: On) {
    let six = json!({"pools": [{"start": "fd00::", "end": "fd00::2", "gateway": "fd00::1"}], "prefix": 64,
        "allocateReservedIPAddresses": true});
    let four = json!({"pools": [{"start": "10.0.0.0", "end": "10.0.0.3", "gateway": "10.0.0.1"}], "prefix": 30,
        "allocateReservedIPAddresses": true, "excludedAddresses": ["10.0.0.2"]});
    let steps = vec![
        pool("six", six),
        claim("six-0").of("six").gets("fd00::"),
        claim("six-1").of("six").gets("fd00::2"),
        // The gateway is still skipped, and so is an excluded address.
        claim("six-full").of("six").waits_for("PoolExhausted"),
        pool("four", four),
        claim("four-0").of("four").gets("10.0.0.0"),
        claim("four-1").of("four").gets("10.0.0.3"),
        claim("four-full").of("four").waits_for("PoolExhausted"),
    ];
    play(on, steps).await;
}

async fn section_1_a_capacity_that_no_integer_holds_saturates(on: On) {
    let world = World::start(on).await;
    let subnet = json!({"pools": [{"subnet": "fd00::/64"}]});
    world.pool("large", subnet).await;
    world.claim("a", "large").await;
    assert_eq!(world.address_of("a").await, "fd00::1");
    let counted = |pool: &IPPool| {
        let status = pool.status.as_ref()?;
        Some((status.capacity?, status.allocated?, status.available?))
    };
    let pools = world
        .until::<IPPool>("the claim counted", |all| {
            counted(&all["large"]).is_some_and(|(_, allocated, _)| allocated == 1)
        })
        .await;
    assert_eq!(counted(&pools["large"]), Some((i64::MAX, 1, i64::MAX)));
    let status = pools["large"].status.as_ref().unwrap();
    assert_eq!(status.capacity_overflow, Some(true));
    let shown = (status.available_ip_count, status.utilization);
    assert_eq!(shown, (None, Some(0)), "no count where it does not fit");
    // One that an integer does hold says nothing of it.
    world
        .pool("small", json!({"pools": [{"subnet": "fd00::/66"}]}))
        .await;
    let pools = world
        .until::<IPPool>("the smaller one counted", |all| {
            all.get("small").and_then(counted).is_some()
        })
        .await;
    let status = pools["small"].status.as_ref().unwrap();
    assert_ne!(status.capacity_overflow, Some(true));
    assert!(status.capacity < Some(i64::MAX));
    world.end().await;
}

async fn a8_a10_a_pre_allocation_is_held_by_value_for_the_first_claim_of_its_name(on: On) {
    let spec = json!({"pools": [{"start": "fd00::5", "end": "fd00::7"}], "prefix": 64,
        "preAllocations": {"named": "fd00::0005"}});
    let steps = vec![
        pool("p", spec),
        claim("other").gets("fd00::6"),
        capi_claim("named").gets("fd00::5"),
        claim("named").waits_saying("PreAllocationConflict", "fd00::5"),
        capi_deleted("named"),
        later("named").gets("fd00::5"),
    ];
    play(on, steps).await;
}

async fn a9_a_requested_address_that_is_held_is_given_when_it_is_freed_and_the_annotation_counts_while_waiting(
    on: On,
) {
    let steps = vec![
        pool("p", range("10.0.0.1", "10.0.0.9")),
        claim("a").asking_for("10.0.0.3").gets("10.0.0.3"),
        claim("b")
            .asking_for("10.0.0.3")
            .waits_for("RequestedAddressUnavailable"),
        claim("c")
            .asking_for("10.9.9.9")
            .waits_for("RequestedAddressOutOfRange"),
        later("c").has_error(Some("Requested IP out of bounds of the pool")),
        deleted("a"),
        later("b").gets("10.0.0.3"),
        now_asking("c", "10.0.0.7").gets("10.0.0.7"),
        // Binding removes the error text (U2), and the annotation of a bound claim is ignored (A2).
        later("c").has_error(None),
        now_asking("c", "10.0.0.8").gets("10.0.0.7"),
        claim("d").asking_for("10.0.0.8").gets("10.0.0.8"),
        later("c").gets("10.0.0.7"),
    ];
    play(on, steps).await;
}

async fn a10_claims_of_both_kinds_with_one_name_are_two_claims(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}),
        )
        .await;
    world.claim("twin", "p").await;
    assert_eq!(world.address_of("twin").await, "10.0.0.1");
    world.capi_claim("twin", "p").await;
    assert_eq!(world.capi_address_of("twin").await, "10.0.0.2");
    world.pool_counts("p", 2).await;
    let pools = world
        .until::<IPPool>("the IPClaim to be in the pool's status", |all| {
            let status = all["p"].status.as_ref();
            status.is_some_and(|s| !s.indexes.is_empty())
        })
        .await;
    let indexes = pools["p"].status.clone().unwrap().indexes;
    assert_eq!(
        indexes.get("twin").map(|t| &**t),
        Some("10.0.0.1"),
        "the one key shows the IPClaim's: {indexes:?}"
    );
    world.end().await;
}

async fn a11_a_full_pools_waiting_claims_are_bound_oldest_first(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}),
        )
        .await;
    world.claim("holder", "p").await;
    assert_eq!(world.address_of("holder").await, "10.0.0.1");
    // Creation times have whole seconds: within one second the name decides, so the names are in order too.
    for name in ["w1", "w2", "w3"] {
        world.claim(name, "p").await;
        world.waits_for(name, "PoolExhausted").await;
    }
    let mut holder = "holder";
    for next in ["w1", "w2", "w3"] {
        world.delete::<IPClaim>(holder).await;
        let claims = world
            .until::<IPClaim>("a waiting claim to be bound", |all| {
                // The one before may still be on its way out: its address is free before it is gone (R3).
                let living = |c: &IPClaim| c.metadata.deletion_timestamp.is_none();
                all.values().any(|c| living(c) && world.is_bound(c))
            })
            .await;
        assert!(world.is_bound(&claims[next]), "{next} is the oldest");
        holder = next;
    }
    // A range that grows serves the rest (A11).
    world.claim("w4", "p").await;
    world.waits_for("w4", "PoolExhausted").await;
    let patch = json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]}});
    world
        .api::<IPPool>()
        .patch("p", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(world.address_of("w4").await, "10.0.0.2");
    world.end().await;
}

async fn a11_claims_made_before_their_pool_are_bound_when_it_appears(on: On) {
    let steps = vec![
        claim("early").waits_saying("PoolNotFound", "/p does not exist"),
        pool("p", range("10.0.0.1", "10.0.0.9")),
        later("early").gets("10.0.0.1"),
    ];
    play(on, steps).await;
}

async fn a12_a_squatted_object_name_costs_one_address_and_is_free_again_when_the_squatter_goes(
    on: On,
) {
    let world = World::start(on).await;
    let squatter = address_json("p-10-0-0-1", "another", "x", "172.16.0.1");
    let _: IPAddress = world.create(squatter).await;
    let steps = vec![
        pool("p", range("10.0.0.1", "10.0.0.2")),
        claim("a").gets("10.0.0.2"),
        claim("b").waits_for("PoolExhausted"),
        object_deleted("p-10-0-0-1"),
        later("b").gets("10.0.0.1"),
    ];
    play_in(&world, steps).await;
    world.end().await;
}

async fn a14_addresses_are_canonical_and_two_never_share_a_name(on: On) {
    let world = World::start(on).await;
    let spec = json!({"pools": [{"start": "1:2:3:4::", "end": "1:2:3:4::3"}, {"start": "1.2.3.4", "end": "1.2.3.4"}]});
    let steps = vec![
        pool("p", spec),
        claim("six").asking_for("1:2:3:4:0:0:0:0").gets("1:2:3:4::"),
        claim("four").asking_for("1.2.3.4").gets("1.2.3.4"),
    ];
    play_in(&world, steps).await;
    let objects = world
        .until::<IPAddress>("both objects", |all| all.len() == 2)
        .await;
    let names: Vec<String> = objects.into_keys().collect();
    assert_eq!(names, ["p-1-2-3-4", "p-1-2-3-4--0"]);
    world.end().await;
}

async fn a15_duplicates_found_at_start_are_kept_and_reported(on: On) {
    let mut world = World::without_controller(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}),
        )
        .await;
    // As upstream leaves them: one address, both kinds, both claims bound.
    let claim = world.claim("a", "p").await;
    world.capi_claim("b", "p").await;
    let metal3 = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
        "metadata": {"name": "p-10-0-0-1", "finalizers": ["ipaddress.ipam.metal3.io"]},
        "spec": {"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "a"}}});
    let _: IPAddress = world.create(metal3).await;
    let capi = json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddress",
        "metadata": {"name": "p-10-0-0-1", "finalizers": ["ipam.metal3.io/ipaddress"]},
        "spec": {"address": "10.0.0.1", "prefix": 24, "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"}, "claimRef": {"name": "b"}}});
    let _: CapiIPAddress = world.create(capi).await;
    let status =
        json!({"status": {"address": {"name": "p-10-0-0-1", "namespace": world.namespace}}});
    world
        .api::<IPClaim>()
        .patch_status(
            &claim.name_any(),
            &PatchParams::default(),
            &Patch::Merge(status),
        )
        .await
        .unwrap();
    let status = json!({"status": {"addressRef": {"name": "p-10-0-0-1"}}});
    world
        .api::<metal3_ipam::api::capi::IPAddressClaim>()
        .patch_status("b", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    world.start_controller();
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    assert_eq!(world.capi_address_of("b").await, "10.0.0.1");
    if world.keeps_conditions() {
        let message = world
            .pool_says("p", "Consistent", ("False", "DuplicateAddress"))
            .await;
        for part in ["10.0.0.1", "(claim a)", "(claim b)"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
    world
        .until_snapshot("p", "a problem of consistency", |s| !s.problems.is_empty())
        .await;
    world.claim("c", "p").await;
    assert_eq!(world.address_of("c").await, "10.0.0.2");
    world.delete_and_wait::<IPClaim>("a").await;
    world.claim("d", "p").await;
    assert_eq!(
        world.address_of("d").await,
        "10.0.0.3",
        "the other holder still has 10.0.0.1"
    );
    world.end().await;
}

async fn a6_random_addresses_are_distinct_and_claims_of_another_provider_are_left_alone(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"subnet": "10.0.0.0/28"}], "allocationStrategy": "random"}),
        )
        .await;
    let mut foreign = capi_claim_json("foreign", "p");
    foreign["spec"]["poolRef"]["kind"] = json!("InClusterIPPool");
    foreign["spec"]["poolRef"]["apiGroup"] = json!("ipam.cluster.x-k8s.io");
    let foreign: metal3_ipam::api::capi::IPAddressClaim = world.create(foreign).await;
    for n in 0..13 {
        let claim: IPClaim = serde_json::from_value(claim_json(&format!("c{n:02}"), "p")).unwrap();
        world
            .api::<IPClaim>()
            .create(&PostParams::default(), &claim)
            .await
            .unwrap();
    }
    let claims = world
        .until::<IPClaim>("13 claims bound", |all| {
            all.len() == 13 && all.values().all(|c| world.is_bound(c))
        })
        .await;
    let objects = world
        .until::<IPAddress>("13 objects", |all| all.len() == 13)
        .await;
    let distinct: std::collections::BTreeSet<&str> =
        objects.values().map(|o| &*o.spec.address).collect();
    assert_eq!((claims.len(), distinct.len()), (13, 13));
    let now = world
        .api::<metal3_ipam::api::capi::IPAddressClaim>()
        .get("foreign")
        .await
        .unwrap();
    assert_eq!(
        now.resource_version(),
        foreign.resource_version(),
        "another provider's claim is not touched"
    );
    world.end().await;
}
