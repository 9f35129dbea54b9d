//! Objects that users create or edit although the controller owns them: address objects of both kinds (A4, A5, A14, A15), and the
//! status of claims and pools (A3, U2, U3).

use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_is_bound, is_bound, published, ready, scenarios};
use crate::steps::{
    ADDRESS_FINALIZER, CAPI_ADDRESS_FINALIZER, address_json, capi_address_json, capi_published,
    capi_ready, pool_condition, range,
};

scenarios! {
    a4_a13_owner_references_with_an_old_uid_are_corrected,
    a4_a2_of_several_objects_one_is_bound_and_all_are_released_with_the_claim,
    a4_an_object_outside_the_ranges_serves_its_claim,
    a4_a_foreign_object_for_an_address_that_is_taken_makes_its_claim_wait,
    a5_a14_objects_of_others_are_held_by_value_in_their_own_pool_only,
    a5_r6_an_object_of_ours_with_a_wrong_claim_is_held,
    u3_a2_forged_status_of_claims_is_corrected,
    u3_a1_status_forged_while_no_controller_ran_is_corrected_at_the_start,
    u2_an_error_text_of_someone_else_does_not_stop_a_claim,
    a3_forged_status_of_a_pool_is_corrected_and_never_used,
}

fn owned(mut object: Value, finalizer: &str, owners: &[Value]) -> Value {
    object["metadata"]["finalizers"] = json!([finalizer]);
    object["metadata"]["ownerReferences"] = json!(owners);
    object
}

fn owner(group: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": group, "kind": kind, "name": name, "uid": uid})
}

async fn a4_a13_owner_references_with_an_old_uid_are_corrected(on: On) {
    let mut world = World::without_controller(on).await;
    let pool = world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let pool = pool.uid().unwrap();
    let claim = world.claim("a", "p").await.uid().unwrap();
    let capi_claim = world.capi_claim("b", "p").await.uid().unwrap();
    // One reference of each is right: an object without any living owner is the garbage collector's.
    let owners = [
        owner("ipam.metal3.io/v1alpha1", "IPClaim", "a", "of-another-life"),
        owner("ipam.metal3.io/v1alpha1", "IPPool", "p", &pool),
    ];
    let object = address_json("p-10-0-0-3", "p", "a", "10.0.0.3");
    let made: IPAddress = world
        .create(owned(object, ADDRESS_FINALIZER, &owners))
        .await;
    let owners = [
        owner(
            "ipam.cluster.x-k8s.io/v1beta2",
            "IPAddressClaim",
            "b",
            &capi_claim,
        ),
        owner("ipam.metal3.io/v1alpha1", "IPPool", "p", "of-another-life"),
        owner("example.com/v1", "Rack", "r", "rack-7"),
    ];
    let object = capi_address_json("p-10-0-0-4", "p", "b", "10.0.0.4");
    let capi_made: CapiIPAddress = world
        .create(owned(object, CAPI_ADDRESS_FINALIZER, &owners))
        .await;
    world.start_controller();
    assert_eq!(world.address_of("a").await, "10.0.0.3");
    assert_eq!(world.capi_address_of("b").await, "10.0.0.4");
    // A garbage collector that was there first has taken the wrong ones out; neither is anyone's fault.
    let object: IPAddress = world.get("p-10-0-0-3").await;
    assert_eq!(
        (object.uid(), &object.metadata.deletion_timestamp),
        (made.uid(), &None)
    );
    let all_right = |meta: &ObjectMeta| {
        let living = [claim.as_str(), capi_claim.as_str(), pool.as_str(), "rack-7"];
        let owners = meta.owner_references.iter().flatten();
        for owner in owners {
            assert!(living.contains(&&*owner.uid), "{owner:?}");
        }
    };
    all_right(object.meta());
    let object: CapiIPAddress = world.get("p-10-0-0-4").await;
    assert_eq!(
        (object.uid(), &object.metadata.deletion_timestamp),
        (capi_made.uid(), &None)
    );
    all_right(object.meta());
    world.delete_and_wait::<IPClaim>("a").await;
    world.delete_and_wait::<IPAddressClaim>("b").await;
    world.none::<IPAddress>().await;
    world.none::<CapiIPAddress>().await;
    world.end().await;
}

async fn a4_a2_of_several_objects_one_is_bound_and_all_are_released_with_the_claim(on: On) {
    let world = World::start(on).await;
    // Made in the order of their names: the oldest, and within one second the first by name, counts.
    for (name, last) in [("one", 7), ("two", 5), ("zoo", 3)] {
        let address = format!("10.0.0.{last}");
        let _: IPAddress = world.create(address_json(name, "p", "a", &address)).await;
        let address = format!("10.0.0.1{last}");
        let _: CapiIPAddress = world
            .create(capi_address_json(name, "p", "b", &address))
            .await;
    }
    world.looked_at_everything(&Value::Null).await;
    world.claim("a", "p").await;
    world.capi_claim("b", "p").await;
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    assert_eq!(world.address_of("a").await, "10.0.0.7");
    assert_eq!(world.capi_address_of("b").await, "10.0.0.17");
    let message = world
        .pool_says("p", "Consistent", ("False", "SeveralAddresses"))
        .await;
    assert!(message.contains("one, two, zoo"), "{message}");
    world.pool_counts("p", 6).await;
    // What is in the status counts before age: an older object that comes back from somewhere changes nothing (A2).
    world.delete::<IPAddress>("two").await;
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(world.address_of("a").await, "10.0.0.7");
    world.delete_and_wait::<IPClaim>("a").await;
    world.delete_and_wait::<IPAddressClaim>("b").await;
    world.none::<IPAddress>().await;
    world.none::<CapiIPAddress>().await;
    world
        .pool_says("p", "Consistent", ("True", "Consistent"))
        .await;
    world.end().await;
}

async fn a4_an_object_outside_the_ranges_serves_its_claim(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.2")).await;
    let _: IPAddress = world
        .create(address_json("by-hand", "p", "a", "192.168.7.7"))
        .await;
    let _: CapiIPAddress = world
        .create(capi_address_json("by-hand", "p", "b", "fd00::7"))
        .await;
    let seen = "both objects outside the ranges";
    world
        .until_snapshot("p", seen, |pool| pool.out_of_range == 2)
        .await;
    world.claim("a", "p").await;
    world.capi_claim("b", "p").await;
    assert_eq!(world.address_of("a").await, "192.168.7.7");
    assert_eq!(world.capi_address_of("b").await, "fd00::7");
    world
        .until::<IPPool>("the pool to count them apart", |all| {
            let status = all["p"].status.as_ref();
            status.is_some_and(|s| {
                (s.out_of_range, s.allocated, s.available, s.capacity)
                    == (Some(2), Some(0), Some(2), Some(2))
            })
        })
        .await;
    world.end().await;
}

async fn a4_a_foreign_object_for_an_address_that_is_taken_makes_its_claim_wait(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    world.claim("first", "p").await;
    assert_eq!(world.address_of("first").await, "10.0.0.1");
    // The same address for others, by hand.
    let _: IPAddress = world
        .create(address_json("by-hand", "p", "late", "10.0.0.1"))
        .await;
    let _: CapiIPAddress = world
        .create(capi_address_json("by-hand", "p", "late", "10.0.0.1"))
        .await;
    world.looked_at_everything(&Value::Null).await;
    world.claim("late", "p").await;
    world.capi_claim("late", "p").await;
    let message = world.waits_for("late", "AddressConflict").await;
    assert!(message.contains("10.0.0.1"), "{message}");
    let message = world.capi_waits_for("late", "AllocationFailed").await;
    assert!(message.starts_with("AddressConflict: "), "{message}");
    let message = world
        .pool_says("p", "Consistent", ("False", "DuplicateAddress"))
        .await;
    assert!(message.contains("10.0.0.1 is held by"), "{message}");
    world.delete::<CapiIPAddress>("by-hand").await;
    assert_eq!(world.capi_address_of("late").await, "10.0.0.2");
    world.delete::<IPClaim>("first").await;
    assert_eq!(world.address_of("late").await, "10.0.0.1");
    world
        .pool_says("p", "Consistent", ("True", "Consistent"))
        .await;
    world.end().await;
}

async fn a5_a14_objects_of_others_are_held_by_value_in_their_own_pool_only(on: On) {
    let world = World::start(on).await;
    let odd: IPAddress = world
        .create(address_json("odd", "p", "router", "FD00:0::0001"))
        .await;
    // It names another pool: here it holds nothing.
    let elsewhere: IPAddress = world
        .create(address_json("elsewhere", "q", "router", "fd00::2"))
        .await;
    let capi: CapiIPAddress = world
        .create(capi_address_json("by-hand", "p", "router", "fd00:0:0:0::3"))
        .await;
    world.pool("p", range("fd00::1", "fd00::3")).await;
    world.pool_counts("p", 2).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "fd00::2");
    world.capi_claim("b", "p").await;
    world.capi_waits_for("b", "PoolExhausted").await;
    world.pool_counts("p", 3).await;
    world.delete_and_wait::<IPClaim>("a").await;
    assert_eq!(world.capi_address_of("b").await, "fd00::2");
    world.looked_at_everything(&Value::Null).await;
    let version = |object: &ObjectMeta| object.resource_version.clone();
    assert_eq!(
        version(world.get::<IPAddress>("odd").await.meta()),
        version(odd.meta())
    );
    let now: IPAddress = world.get("elsewhere").await;
    assert_eq!(version(now.meta()), version(elsewhere.meta()));
    let now: CapiIPAddress = world.get("by-hand").await;
    assert_eq!(version(now.meta()), version(capi.meta()));
    world.end().await;
}

async fn a5_r6_an_object_of_ours_with_a_wrong_claim_is_held(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.3")).await;
    let object = address_json("p-10-0-0-1", "p", "mistyped", "10.0.0.1");
    let made: IPAddress = world.create(owned(object, ADDRESS_FINALIZER, &[])).await;
    let object = capi_address_json("p-10-0-0-2", "p", "mistyped", "10.0.0.2");
    let capi_made: CapiIPAddress = world
        .create(owned(object, CAPI_ADDRESS_FINALIZER, &[]))
        .await;
    world.looked_at_everything(&Value::Null).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.3");
    world.capi_claim("b", "p").await;
    world.capi_waits_for("b", "PoolExhausted").await;
    world.looked_at_everything(&Value::Null).await;
    let now: IPAddress = world.get("p-10-0-0-1").await;
    assert_eq!(now.resource_version(), made.resource_version());
    let now: CapiIPAddress = world.get("p-10-0-0-2").await;
    assert_eq!(now.resource_version(), capi_made.resource_version());
    world.end().await;
}

/// Claims `a` and `b` of both kinds, bound, and what they show.
async fn two_of_each(world: &World) -> [String; 4] {
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    for name in ["a", "b"] {
        world.claim(name, "p").await;
        world.capi_claim(name, "p").await;
    }
    for name in ["a", "b"] {
        world.address_of(name).await;
        world.capi_address_of(name).await;
    }
    [
        published(&world.get("a").await).unwrap(),
        published(&world.get("b").await).unwrap(),
        capi_published(&world.get("a").await).unwrap(),
        capi_published(&world.get("b").await).unwrap(),
    ]
}

/// Waits until `b` of both kinds shows its own again, and says that it is bound.
async fn b_is_right(world: &World, shown: &[String; 4]) {
    world
        .until::<IPClaim>("the IPClaim's status to be right", |all| {
            let b = &all["b"];
            let error = b.status.as_ref().and_then(|s| s.error_message.as_ref());
            is_bound(b) && published(b).as_ref() == Some(&shown[1]) && error.is_none()
        })
        .await;
    world
        .until::<IPAddressClaim>("the IPAddressClaim's status to be right", |all| {
            let b = &all["b"];
            capi_is_bound(b) && capi_published(b).as_ref() == Some(&shown[3])
        })
        .await;
}

/// Forgeries of a claim's status: to another's object, to one that is not there, to none, and to a failure.
fn forgeries(namespace: &str, theirs: &str) -> [Value; 4] {
    let reference = |name: &str| json!({"address": {"name": name, "namespace": namespace}});
    [
        reference(theirs),
        reference("no-such-object"),
        Value::Null,
        json!({"errorMessage": "someone says no", "conditions": [{"type": "Ready", "status": "False",
            "reason": "Nonsense", "message": "no", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}),
    ]
}

fn capi_forgeries(theirs: &str) -> [Value; 4] {
    [
        json!({"addressRef": {"name": theirs}}),
        json!({"addressRef": {"name": "no-such-object"}}),
        Value::Null,
        json!({"conditions": [{"type": "Ready", "status": "False",
            "reason": "Nonsense", "message": "no", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}),
    ]
}

async fn u3_a2_forged_status_of_claims_is_corrected(on: On) {
    let world = World::start(on).await;
    let shown = two_of_each(&world).await;
    for forgery in forgeries(&world.namespace, &shown[0]) {
        world.patch_status::<IPClaim>("b", forgery).await;
        b_is_right(&world, &shown).await;
    }
    for forgery in capi_forgeries(&shown[2]) {
        world.patch_status::<IPAddressClaim>("b", forgery).await;
        b_is_right(&world, &shown).await;
    }
    // A claim that waits is forged to a bound one.
    world.pool("full", range("10.0.1.1", "10.0.1.1")).await;
    world.claim("holds", "full").await;
    world.address_of("holds").await;
    world.claim("waits", "full").await;
    world.capi_claim("waits", "full").await;
    world.waits_for("waits", "PoolExhausted").await;
    world.capi_waits_for("waits", "PoolExhausted").await;
    let bound = json!([{"type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "",
        "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
    let forged = json!({"address": {"name": "full-10-0-1-1", "namespace": world.namespace}, "conditions": bound});
    world.patch_status::<IPClaim>("waits", forged).await;
    let forged = json!({"addressRef": {"name": "full-10-0-1-1"}, "conditions": bound});
    world.patch_status::<IPAddressClaim>("waits", forged).await;
    world
        .until::<IPClaim>("the waiting IPClaim to say so again", |all| {
            let waits = &all["waits"];
            published(waits).is_none()
                && ready(waits).is_some_and(|(_, reason, _)| reason == "PoolExhausted")
        })
        .await;
    world
        .until::<IPAddressClaim>("the waiting IPAddressClaim to say so again", |all| {
            let waits = &all["waits"];
            capi_published(waits).is_none()
                && capi_ready(waits).is_some_and(|r| r.reason == "PoolExhausted")
        })
        .await;
    let objects = world.until::<IPAddress>("a list", |_| true).await;
    assert_eq!(
        objects.len(),
        3,
        "nothing was made or released on a forged word"
    );
    world.end().await;
}

async fn u3_a1_status_forged_while_no_controller_ran_is_corrected_at_the_start(on: On) {
    let mut world = World::start(on).await;
    let shown = two_of_each(&world).await;
    let forged = forgeries(&world.namespace, &shown[0]);
    for (forgery, capi_forgery) in forged.into_iter().zip(capi_forgeries(&shown[2])) {
        world.stop_controller().await;
        world.patch_status::<IPClaim>("b", forgery).await;
        world
            .patch_status::<IPAddressClaim>("b", capi_forgery)
            .await;
        world.start_controller();
        b_is_right(&world, &shown).await;
        assert_eq!(published(&world.get("a").await).as_ref(), Some(&shown[0]));
        assert_eq!(
            capi_published(&world.get("a").await).as_ref(),
            Some(&shown[2])
        );
    }
    world.end().await;
}

async fn u2_an_error_text_of_someone_else_does_not_stop_a_claim(on: On) {
    let world = World::start(on).await;
    for name in ["a", "b"] {
        world.claim(name, "p").await;
        world.capi_claim(name, "p").await;
    }
    let failed = json!({"errorMessage": "someone says no"});
    world.patch_status::<IPClaim>("a", failed).await;
    let failed = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "AllocationFailed",
        "message": "someone says no", "lastTransitionTime": "2020-01-01T00:00:00Z"}]});
    world.patch_status::<IPAddressClaim>("a", failed).await;
    world.pool("p", range("10.0.0.1", "10.0.0.4")).await;
    for name in ["a", "b"] {
        world.address_of(name).await;
        world.capi_address_of(name).await;
    }
    let status = world.get::<IPClaim>("a").await.status.unwrap();
    assert_eq!(status.error_message, None, "binding removes it");
    world.end().await;
}

async fn a3_forged_status_of_a_pool_is_corrected_and_never_used(on: On) {
    let mut world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.4")).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.pool_counts("p", 1).await;
    let condition = |type_: &str, status: &str| {
        json!({"type": type_, "status": status, "reason": "Forged", "message": "by hand",
            "lastTransitionTime": "2020-01-01T00:00:00Z"})
    };
    // Full, by its own word; nobody has an address, and the one who will come has one already.
    let forged = json!({
        "indexes": {"a": null, "b": "10.0.0.3", "nobody": "10.0.0.2"},
        "capacity": 1, "allocated": 4, "available": 0, "reserved": 3, "outOfRange": 7, "waitingClaims": 9,
        "availableIPCount": 77, "utilization": 99, "capacityOverflow": true, "observedGeneration": 99,
        "conditions": [condition("Ready", "False"), condition("Exhausted", "True"), condition("Paused", "True"),
            condition("Consistent", "False"), condition("Theirs", "True")],
    });
    let is_right = |pool: &IPPool| {
        let status = pool.status.clone().unwrap();
        let said = |type_: &str| pool_condition(pool, type_).map(|c| c.reason.clone());
        let indexes: Vec<_> = status.indexes.iter().map(|(n, a)| (&**n, &**a)).collect();
        let counts = [
            status.capacity,
            status.allocated,
            status.available,
            status.reserved,
        ];
        indexes == [("a", "10.0.0.1")]
            && counts == [Some(4), Some(1), Some(3), Some(0)]
            && (status.out_of_range, status.waiting_claims) == (Some(0), Some(0))
            && (status.available_ip_count, status.utilization) == (Some(3), Some(25))
            && status.capacity_overflow.is_none_or(|overflow| !overflow)
            && status.observed_generation == Some(1)
            && said("Ready").as_deref() == Some("Ready")
            && said("Exhausted").as_deref() == Some("FreeAddresses")
            && said("Paused").as_deref() == Some("NotPaused")
            && said("Consistent").as_deref() == Some("Consistent")
            && said("Theirs").as_deref() == Some("Forged")
    };
    world.patch_status::<IPPool>("p", forged.clone()).await;
    world
        .until::<IPPool>("the status to be right, but for what is another's", |all| {
            is_right(&all["p"])
        })
        .await;
    world.stop_controller().await;
    world.patch_status::<IPPool>("p", forged).await;
    world.start_controller();
    world
        .until::<IPPool>("the status to be right after a start", |all| {
            is_right(&all["p"])
        })
        .await;
    world.claim("b", "p").await;
    assert_eq!(world.address_of("b").await, "10.0.0.2");
    world.end().await;
}
