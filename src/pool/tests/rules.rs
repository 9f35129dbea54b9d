//! One rule after the other, without faults: which claim gets which address.

use serde_json::json;

use super::super::{Input, KindState, ProblemKind, Request};
use super::steps::take_first_name;
use super::world::{C, M, World, address_key, claim_key, ip, small, spec};
use crate::api::{Address, ClaimKind, Kind, ReferenceFault};

/// The request that created the address object of a claim.
fn created(world: &World, kind: ClaimKind, claim: &str) -> super::super::NewAddress {
    let created = world.sent.iter().rev().find_map(|request| match request {
        Request::CreateAddress(new) if new.kind == kind && &*new.claim == claim => Some(new),
        _ => None,
    });
    (**created.unwrap()).clone()
}

#[test]
fn a6_claims_get_the_lowest_free_address_and_give_it_back() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.create_claim(C, "b");
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(C, "b").as_deref(), Some("10.0.0.2"));
    assert_eq!(world.writes(), 6, "three writes a claim");
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.writes(), 9, "three writes a release");
    assert!(!world.claims.contains_key(&claim_key(M, "a")));
    world.create_claim(C, "c");
    world.settle();
    assert_eq!(world.bound(C, "c").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a11_a_freed_address_wakes_the_oldest_that_waits() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.settle();
    world.pass(5);
    world.create_claim(M, "z");
    world.settle();
    world.pass(5);
    world.create_claim(C, "b");
    world.settle();
    assert_eq!(world.reason(M, "z"), "PoolExhausted");
    assert_eq!(
        world.message(C, "b"),
        "pool default/prov has no free address; add a range or delete claims"
    );
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.bound(M, "z").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(C, "b"), None);
    world.edit_spec(|spec| *spec = small(2));
    world.settle();
    assert_eq!(world.bound(C, "b").as_deref(), Some("10.0.0.2"));
}

#[test]
fn a11_an_external_object_that_goes_wakes_those_who_wait() {
    let mut world = World::new();
    world.create_address(M, "ext", "prov", "nobody", "10.0.0.1", |_| {});
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.settle();
    assert_eq!(world.reason(M, "a"), "PoolExhausted");
    world.delete_address(&address_key(M, "ext"));
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a11_ten_thousand_waiting_claims_cost_a_freed_address_two_of_them() {
    let mut world = World::new();
    world.create_pool(small(2));
    world.create_claim(M, "first");
    world.create_claim(M, "second");
    world.settle();
    for number in 0..10_000 {
        world.create_claim(C, &format!("w{number:05}"));
    }
    world.settle();
    let before = world.sent.len();
    world.delete_claim(M, "first");
    world.settle();
    assert_eq!(world.bound(C, "w00000").as_deref(), Some("10.0.0.1"));
    // Three of the release, three of the claim that is served.
    assert_eq!(world.sent.len() - before, 6);
    assert_eq!(world.machine.snapshot().waiting["PoolExhausted"], 9_999);
}

#[test]
fn a3_nothing_is_allocated_before_every_kind_is_listed() {
    let mut world = World::new();
    let mut kinds = world.kinds;
    kinds[Kind::Addresses(C)] = KindState::Pending;
    world.step(Input::Kinds(kinds));
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.pass(60);
    assert!(world.sent.is_empty());
    kinds[Kind::Addresses(C)] = KindState::Absent;
    kinds[Kind::Claims(C)] = KindState::Absent;
    kinds[Kind::Clusters] = KindState::Absent;
    world.step(Input::Kinds(kinds));
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a3_a_kind_that_disappears_frees_nothing() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(C, "a");
    world.settle();
    let mut kinds = world.kinds;
    kinds[Kind::Claims(C)] = KindState::Unavailable;
    kinds[Kind::Addresses(C)] = KindState::Unavailable;
    world.step(Input::Kinds(kinds));
    let before = world.writes();
    world.create_claim(M, "b");
    world.delete_claim(C, "a");
    world.pass(5);
    let snapshot = world.machine.snapshot();
    assert_eq!(snapshot.allocated, 1);
    assert_eq!(snapshot.ready, Err("KindUnavailable"));
    assert_eq!(
        world.pool_condition("Ready"),
        ("False".into(), "KindUnavailable".into())
    );
    // One status write says so.
    assert_eq!(world.writes(), before + 1);
    assert_eq!(world.reason(M, "b"), "PoolNotReady");
    world.step(Input::Kinds(world.kinds));
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a4_an_object_that_names_the_claim_is_its_own_and_goes_with_it() {
    let mut world = World::new();
    world.create_address(M, "mine", "prov", "a", "10.0.0.3", |_| {});
    world.create_pool(small(3));
    world.create_claim(M, "a");
    // Same name, other kind: not its object.
    world.create_claim(C, "a");
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.3"));
    assert_eq!(world.bound(C, "a").as_deref(), Some("10.0.0.1"));
    world.delete_claim(M, "a");
    world.settle();
    assert!(!world.addresses.contains_key(&address_key(M, "mine")));
    assert!(!world.claims.contains_key(&claim_key(M, "a")));
}

#[test]
fn a4_of_several_objects_the_published_then_the_oldest_counts_and_all_go() {
    let mut world = World::new();
    world.create_address(M, "young", "prov", "a", "10.0.0.1", |_| {});
    world.create_address(M, "old", "prov", "a", "10.0.0.2", |object| {
        object.meta.creation_timestamp = Some(jiff::Timestamp::UNIX_EPOCH);
    });
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.pass(2);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
    assert_eq!(
        world.machine.snapshot().problems[&ProblemKind::SeveralAddresses],
        1
    );
    assert_eq!(world.pool_condition("Consistent").0, "False");
    world.delete_claim(M, "a");
    world.pass(2);
    assert!(world.addresses.is_empty());
    assert!(world.machine.snapshot().problems.is_empty());
}

#[test]
fn a4_another_claims_address_is_never_published_twice() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.settle();
    // By hand, for the same address: first one of ours, then a foreign one.
    world.create_address(M, "dup", "prov", "b", "10.0.0.1", |object| {
        object
            .meta
            .finalizers
            .push("ipaddress.ipam.metal3.io".into());
    });
    world.create_claim(M, "b");
    world.create_address(M, "dup2", "prov", "c", "10.0.0.1", |_| {});
    world.create_claim(M, "c");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
    assert!(!world.addresses.contains_key(&address_key(M, "dup")));
    assert_eq!(world.bound(M, "c"), None);
    assert_eq!(world.reason(M, "c"), "AddressConflict");
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.bound(M, "c").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a5_an_external_object_is_held_and_never_touched() {
    let mut world = World::new();
    world.create_address(M, "ext", "prov", "nobody", "10.0.0.1", |_| {});
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.pass(3 * 3600);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
    let status = &world.pool.as_ref().unwrap().status;
    assert_eq!(status.indexes["nobody"].0, "10.0.0.1");
    let touched = world.sent.iter().any(|request| match request {
        Request::AddressMeta { key, .. } | Request::DeleteAddress { key, .. } => {
            *key.name == *"ext"
        }
        _ => false,
    });
    assert!(!touched);
}

#[test]
fn a7_gateways_exclusions_network_and_broadcast_are_skipped_but_not_when_asked_for() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "gateway": "10.0.0.2", "prefix": 29,
        "pools": [{ "start": "10.0.0.0", "end": "10.0.0.7" }],
        "excludedAddresses": ["10.0.0.3-10.0.0.4"],
        "preAllocations": { "bc": "10.0.0.7" },
    })));
    for name in ["a", "b", "c", "bc"] {
        world.create_claim(M, name);
    }
    world.request_address(M, "gw", "10.0.0.2");
    world.request_address(M, "net", "10.0.0.0");
    world.request_address(M, "ex", "10.0.0.3");
    world.settle();
    let bound = |name| world.bound(M, name).unwrap_or_default();
    assert_eq!(
        ["a", "b", "c", "bc", "gw", "net"].map(bound),
        [
            "10.0.0.1", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.2", "10.0.0.0"
        ]
    );
    assert_eq!(world.reason(M, "ex"), "RequestedAddressOutOfRange");
    let snapshot = world.machine.snapshot();
    assert_eq!((snapshot.capacity, snapshot.allocated), (6, 6));
    assert_eq!((snapshot.available, snapshot.reserved), (0, 0));
}

#[test]
fn a8_a_preallocation_is_held_for_its_name_and_compared_by_value() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": [{ "start": "fd00::5", "end": "fd00::6" }],
        "preAllocations": { "b": "fd00::0005" },
    })));
    world.create_claim(M, "a");
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("fd00::6"));
    assert_eq!(world.machine.snapshot().reserved, 1);
    world.create_claim(C, "b");
    world.settle();
    assert_eq!(world.bound(C, "b").as_deref(), Some("fd00::5"));
    world.create_claim(M, "b");
    world.settle();
    assert_eq!(world.reason(M, "b"), "PreAllocationConflict");
    world.delete_claim(C, "b");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("fd00::5"));
}

#[test]
fn a9_a_requested_address_or_an_error() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": [{ "start": "10.0.0.1", "end": "10.0.0.9" }],
        "preAllocations": { "own": "10.0.0.8", "out": "10.9.9.9" },
    })));
    for (name, text) in [
        ("take", "10.0.0.5"),
        ("held", "10.0.0.5"),
        ("far", "10.1.0.1"),
        ("odd", "ten"),
        ("own", "10.0.0.7"),
        ("none", ""),
    ] {
        world.request_address(M, name, text);
    }
    world.create_claim(M, "out");
    world.deliver_all();
    world.settle();
    assert_eq!(
        world.bound(M, "held").as_deref(),
        Some("10.0.0.5"),
        "by name"
    );
    assert_eq!(world.bound(M, "none").as_deref(), Some("10.0.0.1"));
    let errors = |world: &World| {
        ["take", "far", "odd", "own", "out"].map(|name| {
            let error = world.claim(M, name).error_message.clone();
            (world.reason(M, name), error.unwrap_or_default())
        })
    };
    let mut want = [
        ("RequestedAddressUnavailable", ""),
        (
            "RequestedAddressOutOfRange",
            "Requested IP out of bounds of the pool",
        ),
        (
            "RequestedAddressInvalid",
            "Invalid ipAddress annotation \"ten\": not a valid IP address",
        ),
        (
            "PreAllocationConflict",
            "PreAllocation and requested ip address are conflicting",
        ),
        ("AllocationFailed", "Pre-allocated IP out of bounds"),
    ]
    .map(|(reason, error)| (reason.to_owned(), error.to_owned()));
    assert_eq!(errors(&world), want);
    // U2: what can heal is final only after a while.
    world.pass(11);
    want[0].1 = "Requested IP not available".into();
    assert_eq!(errors(&world), want);
    world.delete_claim(M, "held");
    world.settle();
    assert_eq!(world.bound(M, "take").as_deref(), Some("10.0.0.5"));
    assert_eq!(world.claim(M, "take").error_message, None);
    // While it waits the annotation as it stands counts.
    world.edit_claim(&claim_key(M, "far"), |claim| {
        claim
            .meta
            .annotations
            .insert("ipAddress".into(), "10.0.0.9".into());
    });
    world.settle();
    assert_eq!(world.bound(M, "far").as_deref(), Some("10.0.0.9"));
    // Once bound it is ignored.
    world.edit_claim(&claim_key(M, "far"), |claim| {
        claim
            .meta
            .annotations
            .insert("ipAddress".into(), "10.0.0.6".into());
    });
    world.settle();
    assert_eq!(world.bound(M, "far").as_deref(), Some("10.0.0.9"));
}

#[test]
fn a12_a_squatted_name_costs_its_address_and_no_claim_its_turn() {
    let mut world = World::new();
    take_first_name(&mut world, M);
    world.create_pool(small(2));
    world.create_claim(M, "a");
    world.create_claim(M, "b");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
    assert_eq!(world.reason(M, "a"), "PoolExhausted");
    assert!(world.watched.contains(&address_key(M, "p-10-0-0-1")));
    assert_eq!(
        world.machine.snapshot().problems[&ProblemKind::NameTaken],
        1
    );
    world.delete_address(&address_key(M, "p-10-0-0-1"));
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert!(world.watched.is_empty());
}

/// A pool that was stored under upstream's definitions: an IPAddress of ours can have none of this.
#[test]
fn a13_what_no_address_object_can_have_does_not_come_along() {
    let mut world = World::new();
    let servers: Vec<String> = (1..=11).map(|n| format!("10.1.0.{n}")).collect();
    world.create_pool(spec(json!({
        "namePrefix": "p", "gateway": "0.0.0.0", "dnsServers": servers,
        "pools": [
            { "start": "10.0.0.1", "end": "10.0.0.1" },
            { "start": "10.0.0.2", "end": "10.0.0.2", "gateway": "224.0.0.1", "dnsServers": ["::", "9.9.9.9"] },
        ],
    })));
    world.create_claim(M, "a");
    world.settle();
    world.create_claim(M, "b");
    world.settle();
    let new = created(&world, M, "a");
    assert_eq!(new.gateway, None);
    assert_eq!(new.dns_servers.len(), 10);
    let new = created(&world, M, "b");
    assert_eq!(
        (new.gateway, &*new.dns_servers),
        (None, &[ip("9.9.9.9")][..])
    );
}

#[test]
fn a13_what_comes_with_an_address() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "prefix": 24, "gateway": "10.0.0.254", "dnsServers": ["8.8.8.8"],
        "pools": [
            { "start": "10.0.0.1", "end": "10.0.0.1", "prefix": 25, "gateway": "10.0.0.126", "dnsServers": ["9.9.9.9"] },
            { "start": "10.0.0.2", "end": "10.0.0.2", "prefix": 0, "dnsServers": [] },
            { "start": "fd00::1", "end": "fd00::1" },
        ],
    })));
    world.create_claim_with(M, "a", |claim| {
        claim.meta.labels.insert("rack".into(), "7".into());
    });
    world.create_claim(M, "b");
    world.create_claim(C, "c");
    world.deliver_all();
    world.settle();
    let new = created(&world, M, "a");
    assert_eq!(new.labels["rack"], "7");
    assert_eq!(new.claim_uid, world.claim(M, "a").meta.uid);
    assert_eq!(new.pool_uid, world.pool.as_ref().unwrap().meta.uid);
    assert_eq!(
        (new.prefix, new.gateway),
        (Some(25), Some(ip("10.0.0.126")))
    );
    assert_eq!(new.dns_servers, [ip("9.9.9.9")]);
    let new = created(&world, M, "b");
    assert_eq!(
        (new.prefix, new.gateway),
        (Some(24), Some(ip("10.0.0.254")))
    );
    assert_eq!(new.dns_servers, [ip("8.8.8.8")]);
    // The pool's gateway is of the other family.
    let new = created(&world, C, "c");
    assert_eq!((new.gateway, &*new.name), (None, "p-fd00--1"));
}

#[test]
fn a15_duplicates_found_at_start_are_kept_and_reported() {
    let mut world = World::new();
    for (name, claim) in [("x", "a"), ("y", "b")] {
        world.create_address(M, name, "prov", claim, "10.0.0.1", |object| {
            object
                .meta
                .finalizers
                .push("ipaddress.ipam.metal3.io".into());
        });
        world.create_claim_with(M, claim, |c| c.published = Some(name.into()));
    }
    world.create_pool(small(2));
    world.create_claim(M, "c");
    world.pass(2);
    assert_eq!(world.bound(M, "a"), world.bound(M, "b"));
    assert_eq!(world.bound(M, "c").as_deref(), Some("10.0.0.2"));
    assert_eq!(
        world.pool_condition("Consistent"),
        ("False".into(), "DuplicateAddress".into())
    );
    // The address is free when both are gone.
    world.create_claim(M, "d");
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.bound(M, "d"), None);
    world.delete_claim(M, "b");
    world.settle();
    assert_eq!(world.bound(M, "d").as_deref(), Some("10.0.0.1"));
}

/// After a restore of objects only, all of them are of the same second.
#[test]
fn a15_of_two_objects_of_one_age_the_one_whose_claim_exists_keeps_the_address() {
    let ours = |object: &mut Address| {
        let finalizers = &mut object.meta.finalizers;
        finalizers.push("ipaddress.ipam.metal3.io".into());
    };
    for finalizer in [true, false] {
        let mut world = World::new();
        world.create_address(M, "dup", "prov", "nobody", "10.0.0.1", |object| {
            if finalizer {
                ours(object);
            }
        });
        world.create_address(M, "z", "prov", "web-0", "10.0.0.1", ours);
        world.create_claim(M, "web-0");
        world.create_pool(small(2));
        world.pass(2);
        assert_eq!(world.bound(M, "web-0").as_deref(), Some("10.0.0.1"));
        assert!(world.addresses.contains_key(&address_key(M, "z")));
        assert_eq!(
            world.pool_condition("Consistent"),
            ("False".into(), "DuplicateAddress".into())
        );
    }
}

/// The rules refuse it; a pool may have been stored without them.
#[test]
fn a8_of_two_claims_with_one_preallocation_the_first_gets_it() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "pools": [{ "start": "10.0.0.1", "end": "10.0.0.9" }],
        "preAllocations": { "a": "10.0.0.5", "b": "10.0.0.5" },
    })));
    world.create_claim(M, "a");
    world.settle();
    world.create_claim(M, "b");
    world.pass(60);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.5"));
    assert_eq!(world.reason(M, "b"), "PreAllocationConflict");
    world.request_address(M, "c", "10.0.0.5");
    world.pass(1);
    assert_eq!(world.reason(M, "c"), "RequestedAddressUnavailable");
    world.delete_claim(M, "a");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.5"));
}

#[test]
fn a6_at_random_nothing_is_drawn_from_an_entry_without_an_end() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "allocationStrategy": "random",
        "pools": [{ "start": "10.0.0.1" }, { "start": "10.1.0.1", "end": "10.1.0.2" }],
    })));
    for claim in ["a", "b", "c"] {
        world.create_claim(M, claim);
    }
    world.settle();
    let mut bound: Vec<_> = ["a", "b", "c"]
        .iter()
        .filter_map(|c| world.bound(M, c))
        .collect();
    bound.sort();
    assert_eq!(bound, ["10.1.0.1", "10.1.0.2"]);
}

/// Upstream's controller reads only the name of an IPClaim's pool; a restore into another namespace leaves the old one in it.
#[test]
fn a2_a4_a_claim_with_an_address_keeps_it_however_its_reference_reads() {
    for fault in [ReferenceFault::OtherNamespace, ReferenceFault::OtherKind] {
        let mut world = World::new();
        world.create_pool(small(3));
        world.settle();
        world.create_claim_with(M, "f", |claim| {
            claim.fault = Some(fault);
            claim.meta.finalizers.push("ipclaim.ipam.metal3.io".into());
            claim.published = Some("p-10-0-0-2".into());
        });
        world.create_address(M, "p-10-0-0-2", "prov", "f", "10.0.0.2", |_| {});
        world.pass(2);
        assert_eq!(world.bound(M, "f").as_deref(), Some("10.0.0.2"));
        assert_eq!(world.claim(M, "f").error_message, None, "{fault:?}");
        let key = address_key(M, "p-10-0-0-2");
        world.edit_address(&key, |address| address.meta.finalizers.clear());
        world.delete_address(&key);
        world.pass(2);
        assert_eq!(world.bound(M, "f").as_deref(), Some("10.0.0.2"));
        assert_eq!(world.addresses[&key].address, Ok(ip("10.0.0.2")), "R4");

        // One that the garbage collector deletes, and that no status shows, stays the claim's too.
        let mut restored = World::new();
        restored.create_claim_with(M, "f", |claim| claim.fault = Some(fault));
        let now = restored.now;
        restored.create_address(M, "p-10-0-0-2", "prov", "f", "10.0.0.2", |address| {
            address
                .meta
                .finalizers
                .push("ipaddress.ipam.metal3.io".into());
            address.meta.deletion_timestamp = Some(now);
        });
        restored.create_pool(small(3));
        restored.pass(2);
        assert_eq!(
            restored.bound(M, "f").as_deref(),
            Some("10.0.0.2"),
            "{fault:?}"
        );

        // One without an address gets none.
        world.create_claim_with(M, "new", |claim| claim.fault = Some(fault));
        world.pass(2);
        assert_eq!(world.reason(M, "new"), "AllocationFailed");
        world.delete_claim(M, "f");
        world.pass(2);
        assert!(world.addresses.is_empty() && !world.claims.contains_key(&claim_key(M, "f")));
    }
}
