//! What admission policies of others do to our writes beside refusing a write (refused.rs): they undo one as it is stored,
//! refuse the status that binds a claim, or name the object that they refuse.

use serde_json::json;

use jiff::SignedDuration;

use super::super::{Decision, Input, ProblemKind, Request, RequestId};
use super::steps::{bound_world, count, is_claim_status, kinds, take_first_name, until_create};
use super::world::{C, Fate, M, World, address_key, claim_key, ip, small, spec};
use crate::api::Address;

fn claim_finalizers(request: &Request) -> bool {
    matches!(request, Request::ClaimFinalizers { .. })
}

#[test]
fn u1_a_finalizer_that_is_taken_away_again_is_a_refusal_and_no_loop() {
    for kind in [M, C] {
        let mut world = World::new();
        world.undoes = Some(claim_finalizers);
        world.create_pool(small(3));
        world.create_claim(kind, "a");
        world.pass(600);
        let tries = world.sent.iter().filter(|r| claim_finalizers(r)).count();
        assert!((3..40).contains(&tries), "{tries} in ten minutes");
        assert_eq!(world.reason(kind, "a"), "AllocationFailed");
        let says = format!(
            "the API server refused our finalizer on this claim: it stored the write without the change of the finalizer {}; a webhook or policy of the cluster undoes it, exempt this manager from it",
            kind.claim_finalizer()
        );
        assert_eq!(world.message(kind, "a"), says);
        world.undoes = None;
        world.pass(61);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));

        // The same as the claim goes.
        world.undoes = Some(claim_finalizers);
        world.delete_claim(kind, "a");
        let since = world.sent.len();
        world.pass(600);
        let tries = kinds(&world, since);
        let tries = tries.iter().filter(|kind| **kind == "claim off").count();
        assert!((3..40).contains(&tries), "{tries} in ten minutes");
        assert!(world.message(kind, "a").contains("undoes it"));
        world.undoes = None;
        world.pass(61);
        assert!(world.claims.is_empty());
    }
}

/// The reference is in every definition, so it is not taken for a field that the server does not keep: that would end the
/// correction of every claim's status in the pool (U3).
#[test]
fn u1_u3_a_reference_that_is_taken_out_of_a_status_is_a_refusal_and_no_field_that_is_not_kept() {
    let statuses = |request: &Request| match request {
        Request::ClaimStatus { status, .. } => status.published.is_some(),
        _ => false,
    };
    for kind in [M, C] {
        let mut world = World::new();
        world.drops.insert("address");
        world.create_pool(small(3));
        world.create_claim(kind, "a");
        world.create_claim(kind, "b");
        world.pass(600);
        let tries = world.sent.iter().filter(|r| statuses(r)).count();
        assert!((6..80).contains(&tries), "{tries} in ten minutes");
        let is_bound = |decision: &Decision| matches!(decision, Decision::Bound { .. });
        assert!(!world.told.iter().any(is_bound), "none shows its address");
        let says = |decision: &Decision| match decision {
            Decision::Waiting { message, .. } => message.contains("change of status.address"),
            _ => false,
        };
        assert!(world.told.iter().any(says), "{:?}", world.told);
        world.drops.clear();
        world.pass(61);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.2"));
        let other = world.claim(kind, "b").published.clone();
        world.edit_claim(&claim_key(kind, "a"), |claim| claim.published = other);
        world.pass(1);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
    }
}

#[test]
fn an_address_object_whose_release_or_owners_are_undone_is_not_written_without_end() {
    let addresses = |request: &Request| matches!(request, Request::AddressMeta { .. });
    let object = address_key(M, "p-10-0-0-1");
    let mut world = bound_world();
    world.undoes = Some(addresses);
    world.edit_address(&object, |address| {
        address.meta.owner_references[0].uid = "of-a-restore".into();
    });
    world.pass(600);
    let tries = world.sent.iter().filter(|r| addresses(r)).count();
    assert!((3..40).contains(&tries), "{tries} in ten minutes");
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    world.undoes = None;
    world.pass(61);
    let uid = world.claim(M, "a").meta.uid.to_string();
    assert_eq!(world.addresses[&object].meta.owner_references[0].uid, uid);

    world.undoes = Some(addresses);
    world.delete_claim(M, "a");
    let since = world.sent.len();
    world.pass(600);
    let tries = kinds(&world, since)
        .iter()
        .filter(|kind| **kind == "address")
        .count();
    assert!((3..40).contains(&tries), "{tries} in ten minutes");
    let message = world.message(M, "a");
    assert!(message.contains("ipaddress.ipam.metal3.io"), "{message}");
    world.undoes = None;
    world.pass(61);
    assert!(world.claims.is_empty() && world.addresses.is_empty());
}

#[test]
fn a_pool_whose_metadata_is_undone_says_so_and_is_not_written_without_end() {
    let pools = |request: &Request| matches!(request, Request::PoolMeta { .. });
    let mut world = World::new();
    world.undoes = Some(pools);
    world.set_cluster("cl", false);
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.create_claim(M, "a");
    world.pass(600);
    let tries = world.sent.iter().filter(|r| pools(r)).count();
    assert!((3..40).contains(&tries), "{tries} in ten minutes");
    let message = world.message(M, "a");
    assert!(
        message.contains("the finalizer ippool.ipam.metal3.io"),
        "{message}"
    );
    world.undoes = None;
    world.pass(61);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn r5_a_pool_that_cannot_go_says_why() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.pass(5);
    world.refuses = Some((
        |request| matches!(request, Request::PoolMeta { .. }),
        "pools are protected",
    ));
    world.delete_pool();
    world.pass(30);
    let conditions = &world.pool.as_ref().unwrap().status.conditions;
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(
        ready.message,
        "pool default/prov is being deleted, and the API server refuses to take its finalizer off: pools are protected"
    );
    world.refuses = None;
    world.pass(61);
    assert!(world.pool.is_none());
}

#[test]
fn u1_a_status_that_is_refused_is_told_once_and_counted() {
    for kind in [M, C] {
        let mut world = World::new();
        world.refuses = Some((
            |request| matches!(request, Request::ClaimStatus { .. }),
            "statuses are frozen",
        ));
        world.create_pool(small(3));
        world.create_claim(kind, "a");
        world.pass(600);
        let told = |world: &World| -> Vec<String> {
            let told = world.told.iter();
            let told = told.filter_map(|decision| match decision {
                Decision::Waiting {
                    reason, message, ..
                } => Some(format!("{reason}: {message}")),
                _ => None,
            });
            told.collect()
        };
        let says = "AllocationFailed: the API server refused the status of this claim with its address: statuses are frozen";
        assert_eq!(told(&world), [says]);
        let tries = world
            .sent
            .iter()
            .filter(|r| matches!(r, Request::ClaimStatus { .. }))
            .count();
        assert!((3..40).contains(&tries), "{tries} in ten minutes");
        assert_eq!(world.machine.snapshot().waiting["AllocationFailed"], 1);
        assert_eq!(world.addresses.len(), 1, "the address stays held");
        world.refuses = None;
        world.pass(61);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        assert_eq!(
            world.machine.snapshot().waiting.get("AllocationFailed"),
            None
        );
    }
}

#[test]
fn u1_a_refused_create_is_said_once_whatever_address_is_tried() {
    let mut world = World::new();
    world.refuses = Some((
        |request| matches!(request, Request::CreateAddress(_)),
        "ipaddresses \"{name}\" is forbidden: exceeded quota",
    ));
    world.create_pool(spec(json!({
        "namePrefix": "p", "allocationStrategy": "random",
        "pools": [{ "start": "10.0.0.1", "end": "10.0.0.250" }],
    })));
    world.create_claim(M, "a");
    world.pass(60);
    let statuses = |world: &World| {
        let statuses = world.sent.iter();
        statuses
            .filter(|r| matches!(r, Request::ClaimStatus { .. }))
            .count()
    };
    let before = statuses(&world);
    let says = "the API server refused the address object: ipaddresses \"(its name)\" is forbidden: exceeded quota";
    assert_eq!(world.message(M, "a"), says);
    world.pass(3600);
    assert_eq!(statuses(&world), before);
    let tried = world.sent.iter().filter_map(|request| match request {
        Request::CreateAddress(new) => Some(new.address),
        _ => None,
    });
    let tried: std::collections::BTreeSet<_> = tried.collect();
    assert!(tried.len() > 5, "other addresses are tried: {tried:?}");
}

#[test]
fn an_object_whose_claim_was_taken_away_and_whose_delete_is_refused_is_reported() {
    let mut world = bound_world();
    world.refuses = Some((
        |request| matches!(request, Request::DeleteAddress { .. }),
        "address objects are protected",
    ));
    let key = claim_key(M, "a");
    world.edit_claim(&key, |claim| claim.meta.finalizers.clear());
    world.delete_claim(M, "a");
    world.pass(120);
    assert!(world.claims.is_empty());
    assert_eq!(world.machine.snapshot().problems[&ProblemKind::Leak], 1);
    let (_, message) = world.machine.problems().next().unwrap();
    assert!(
        message.ends_with("address objects are protected"),
        "{message}"
    );
    world.refuses = None;
    world.pass(61);
    assert!(world.addresses.is_empty());
    assert!(world.machine.snapshot().problems.is_empty());
}

fn refused_statuses(world: &World) -> Vec<&str> {
    let told = world.told.iter().filter_map(|decision| match decision {
        Decision::StatusRefused { message } => Some(message.as_str()),
        _ => None,
    });
    told.collect()
}

/// Nobody can read it in the status, so Events say it, once an hour.
#[test]
fn u1_a_status_that_only_explains_and_is_refused_is_told_once_an_hour() {
    for kind in [M, C] {
        let mut world = World::new();
        world.refuses = Some((
            |request| matches!(request, Request::ClaimStatus { .. }),
            "statuses are frozen",
        ));
        world.create_pool(spec(json!({ "namePrefix": "p", "pools": [] })));
        world.create_claim(kind, "a");
        world.create_claim(kind, "b");
        world.pass(600);
        let waits = |decision: &&Decision| matches!(decision, Decision::Waiting { .. });
        assert_eq!(world.told.iter().filter(waits).count(), 2, "one a claim");
        let what = if kind == M {
            "IPClaim"
        } else {
            "IPAddressClaim"
        };
        let says = format!("the API server refuses the status of {what} a: statuses are frozen");
        assert_eq!(refused_statuses(&world), [&says]);
        world.pass(3600);
        assert_eq!(refused_statuses(&world).len(), 2);
        assert_eq!(world.told.iter().filter(waits).count(), 2);
    }
}

#[test]
fn u1_a_status_of_the_pool_that_is_refused_is_told_once_an_hour() {
    let mut world = World::new();
    world.refuses = Some((
        |request| matches!(request, Request::PoolStatus { .. }),
        "statuses are frozen",
    ));
    world.create_pool(small(3));
    world.pass(600);
    let says = "the API server refuses the status of pool default/prov: statuses are frozen";
    assert_eq!(refused_statuses(&world), [says]);
    world.pass(3600);
    assert_eq!(refused_statuses(&world).len(), 2);
}

/// The name of the address object is taken, and whose object has it cannot be read.
#[test]
fn u1_a_read_that_is_refused_is_said_by_the_claim() {
    let reads = |request: &Request| matches!(request, Request::ReadAddress { .. });
    for kind in [M, C] {
        let mut world = World::new();
        world.refuses = Some((
            reads,
            "ipaddresses \"{name}\" is forbidden: get is not allowed",
        ));
        world.create_pool(small(1));
        take_first_name(&mut world, kind);
        world.events[3].clear();
        world.events[4].clear();
        world.create_claim(kind, "a");
        world.pass(120);
        let message = world.message(kind, "a");
        assert!(
            message.starts_with(
                "the API server refused a read of the object that has the name of this claim's address object"
            ),
            "{message}"
        );
        world.refuses = None;
        world.pass(61);
        assert_eq!(world.reason(kind, "a"), "PoolExhausted");
    }
}

/// A proxy that answers with something else, an API server that fails at it.
#[test]
fn u1_a_read_that_goes_on_failing_is_said_by_the_claim() {
    let mut world = World::new();
    world.create_pool(small(1));
    take_first_name(&mut world, M);
    world.events[3].clear();
    world.create_claim(M, "a");
    let end = world.now.checked_add(SignedDuration::from_mins(5)).unwrap();
    while world.now < end {
        world.deliver_all();
        while let Some((_, request)) = world.requests.front() {
            let fate = match request {
                Request::ReadAddress { .. } => Fate::Vanished,
                _ => Fate::Fine,
            };
            world.carry_out(0, fate);
            world.answer(0);
            world.deliver_all();
        }
        world.now = world.wake.take().unwrap_or(end).max(world.now);
        world.step(Input::Tick);
    }
    let message = world.message(M, "a");
    assert!(
        message.starts_with(
            "the API server does not answer a read of the object that has the name of this claim's"
        ) && message.contains(": timeout; it is asked again"),
        "{message}"
    );
}

/// The status that says why waits to be sent when the claim's pause is seen.
#[test]
fn u1_a_refusal_whose_status_was_withdrawn_is_said_after_the_pause() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.create_pool(small(3));
    world.settle();
    world.refuses = Some((
        |request| matches!(request, Request::CreateAddress(_)),
        "exceeded quota",
    ));
    world.create_claim_with(M, "a", |c| c.cluster = Some("cl".into()));
    until_create(&mut world);
    world.carry_out(0, Fate::Fine);
    world.answer(0);
    let is_status = |(_, request): &(RequestId, Request)| is_claim_status(request);
    assert!(world.requests.iter().any(is_status));
    world.set_cluster("cl", true);
    world.settle();
    assert_eq!(world.reason(M, "a"), "");
    world.set_cluster("cl", false);
    world.settle();
    assert_eq!(world.reason(M, "a"), "AllocationFailed");
}

#[test]
fn u1_an_address_object_that_is_changed_as_it_is_created_is_a_refusal_and_no_loop() {
    type Mutation = fn(&mut Address);
    let mutations: [(Mutation, &str); 4] = [
        (|a| a.claim = "other".into(), "claim"),
        (|a| a.pool = "other".into(), "pool"),
        (|a| a.address = Ok(ip("10.0.0.77")), "address"),
        (|a| a.address = Err("nonsense".into()), "address"),
    ];
    for (mutates, what) in mutations {
        let mut world = World::new();
        world.mutates = Some(mutates);
        world.create_pool(small(200));
        world.create_claim(M, "a");
        world.pass(3);
        let says = format!(" with another {what}; a mutating webhook");
        assert!(world.told.iter().any(|decision| matches!(
            decision,
            Decision::Retrying { why, .. } if why.contains(&says)
        )));
        if world.bound(M, "a").is_none() {
            assert!(world.message(M, "a").contains(&says), "{what}");
            assert_eq!(world.reason(M, "a"), "AllocationFailed");
        }
        world.pass(600);
        let creates = count(&world, |r| matches!(r, Request::CreateAddress(_)));
        assert!(creates < 40, "{what}: {creates} in ten minutes");
        world.mutates = None;
        world.pass(61);
        assert!(world.bound(M, "a").is_some(), "{what}");
    }
}

#[test]
fn u1_claims_whose_objects_all_get_one_address_are_served_with_growing_pauses() {
    let mut world = World::new();
    world.mutates = Some(|a| a.address = Ok(ip("10.0.0.77")));
    world.create_pool(small(200));
    for name in ["a", "b", "c"] {
        world.create_claim(M, name);
    }
    world.pass(600);
    let creates = count(&world, |r| matches!(r, Request::CreateAddress(_)));
    assert!(creates < 60, "{creates} in ten minutes");
    world.mutates = None;
    world.pass(61);
    for name in ["b", "c"] {
        assert!(world.bound(M, name).is_some(), "{name}");
    }
}
