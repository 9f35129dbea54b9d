//! Writes that the API server refuses, or fails at, for as long as it likes.

use jiff::SignedDuration;

use super::super::{Input, Request};
use super::steps::{count, is_claim_status};
use super::world::{C, Fate, M, Policy, World, claim_key, small};
use crate::api::names::POOL_FINALIZER;

fn finalizers_of_a(request: &Request) -> bool {
    matches!(request, Request::ClaimFinalizers { key, .. } if &*key.name == "a")
}

#[test]
fn a12_a_claim_whose_finalizer_is_refused_holds_no_address_and_says_why() {
    for kind in [M, C] {
        let mut world = World::new();
        world.refuses = Some((finalizers_of_a, "denied by policy frozen"));
        world.create_pool(small(1));
        world.create_claim(kind, "a");
        world.pass(1);
        world.create_claim(kind, "b");
        world.pass(5);
        assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.1"));
        let says = "the API server refused our finalizer on this claim: denied by policy frozen";
        // With no address free, that is what it waits for.
        world.delete_claim(kind, "b");
        world.pass(120);
        let message = world.message(kind, "a");
        assert!(message.ends_with(says), "{message}");
        let tries = count(&world, finalizers_of_a);
        assert!(tries < 12, "{tries} in two minutes");
        world.pass(3600);
        let statuses = count(&world, is_claim_status);
        world.pass(3600);
        assert_eq!(statuses, count(&world, is_claim_status), "said once");
        world.refuses = None;
        world.pass(61);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        assert_eq!(world.reason(kind, "a"), "AddressAllocated");
    }
}

#[test]
fn u1_a_refused_release_is_said_on_the_claim_and_ends_with_the_refusal() {
    let of_a: [fn(&Request) -> bool; 3] = [
        |r| matches!(r, Request::DeleteAddress { .. }),
        |r| matches!(r, Request::AddressMeta { .. }),
        finalizers_of_a,
    ];
    for kind in [M, C] {
        for refuses in of_a {
            let mut world = World::new();
            world.create_pool(small(1));
            world.create_claim(kind, "a");
            world.create_claim(kind, "b");
            world.pass(2);
            world.refuses = Some((refuses, "label team is required"));
            world.delete_claim(kind, "a");
            world.pass(15);
            let ready = world.claim(kind, "a").condition("Ready").unwrap().clone();
            assert_eq!(ready.status, "False");
            assert!(
                ready.message.contains("label team is required"),
                "{ready:?}"
            );
            let (reason, says) = (&*ready.reason, &*ready.message);
            if kind == M {
                assert_eq!(reason, "ReleaseFailed");
            } else {
                assert_eq!(reason, "AllocationFailed");
                assert!(says.starts_with("ReleaseFailed: "), "{says}");
            }
            world.pass(600);
            let statuses = count(&world, is_claim_status);
            world.pass(600);
            assert_eq!(statuses, count(&world, is_claim_status), "said once");
            // The labels are put right: tried again at once.
            world.refuses = None;
            world.edit_claim(&claim_key(kind, "a"), |claim| {
                claim.meta.labels.insert("team".into(), "a".into());
            });
            world.settle();
            assert!(!world.claims.contains_key(&claim_key(kind, "a")));
            world.pass(1);
            assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.1"));
        }
    }
}

#[test]
fn a_pool_whose_finalizer_is_refused_says_why() {
    let mut world = World::new();
    world.refuses = Some((
        |r| matches!(r, Request::PoolMeta { .. }),
        "label team is required",
    ));
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(5);
    let status = &world.pool.as_ref().unwrap().status;
    let ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Ready")
        .unwrap();
    let says = "the API server refuses the finalizer, labels or owner reference of pool default/prov: label team is required";
    assert_eq!(
        (&*ready.reason, &*ready.message),
        ("FinalizerPending", says)
    );
    assert_eq!(world.message(M, "a"), says);
    world.refuses = None;
    world.pass(61);
    assert!(
        world
            .pool
            .as_ref()
            .unwrap()
            .meta
            .has_finalizer(POOL_FINALIZER)
    );
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn a12_a_refused_create_gives_the_address_to_the_next() {
    let of_a: fn(&Request) -> bool =
        |r| matches!(r, Request::CreateAddress(new) if &*new.claim == "a");
    let mut world = World::new();
    world.refuses = Some((of_a, "quota exceeded"));
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.pass(1);
    world.create_claim(M, "b");
    world.pass(5);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
}

/// Such as where an admission webhook is down that must be asked: 500 to every write but those of a status.
#[test]
fn u1_a_claim_says_that_its_writes_fail_without_an_answer() {
    let is_create = |request: &Request| matches!(request, Request::CreateAddress(_));
    let is_finalizer = |request: &Request| matches!(request, Request::ClaimFinalizers { .. });
    let ways: [Policy; 2] = [
        (is_finalizer, "our finalizer on this claim"),
        (is_create, "the address object"),
    ];
    for (fails, what) in ways {
        let mut world = World::new();
        world.create_pool(small(3));
        world.settle();
        world.create_claim(M, "a");
        world.deliver_all();
        let begun = world.now;
        while world.now < begun + SignedDuration::from_mins(2) {
            let fate = match world.requests.front() {
                Some((_, request)) if fails(request) => Fate::Vanished,
                _ => Fate::Fine,
            };
            world.carry_out(0, fate);
            world.answer(0);
            world.deliver_all();
            world.now += SignedDuration::from_millis(500);
            world.step(Input::Tick);
        }
        assert_eq!(world.reason(M, "a"), "AllocationFailed");
        let says = format!("the API server fails to store {what}: timeout");
        assert!(
            world.message(M, "a").starts_with(&says),
            "{}",
            world.message(M, "a")
        );
        let status = |request: &&Request| matches!(request, Request::ClaimStatus { .. });
        assert_eq!(world.sent.iter().filter(status).count(), 1, "said once");
        world.pass(120);
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    }
}

/// A webhook that answers 409 is not another's write: who waits says so, however often it is tried.
#[test]
fn u1_a_write_that_is_denied_as_a_conflict_again_and_again_is_said() {
    let of_a: [fn(&Request) -> bool; 5] = [
        |r| matches!(r, Request::CreateAddress(_)),
        finalizers_of_a,
        |r| matches!(r, Request::DeleteAddress { .. }),
        |r| matches!(r, Request::AddressMeta { .. }),
        |r| matches!(r, Request::PoolMeta { .. }),
    ];
    for (n, denies) in of_a.into_iter().enumerate() {
        let mut world = World::new();
        world.create_pool(small(1));
        if (2..4).contains(&n) {
            world.create_claim(M, "a");
            world.pass(2);
            world.delete_claim(M, "a");
        } else {
            world.create_claim(M, "a");
        }
        let mut denied = 0;
        let end = world.now.checked_add(SignedDuration::from_mins(2)).unwrap();
        while world.now < end {
            world.deliver_all();
            while let Some((_, request)) = world.requests.front() {
                let fate = if denies(request) {
                    denied += 1;
                    Fate::Denied
                } else {
                    Fate::Fine
                };
                world.carry_out(0, fate);
                world.answer(0);
                world.deliver_all();
            }
            world.now = world.wake.unwrap_or(end).max(world.now);
            world.step(Input::Tick);
        }
        assert!((4..40).contains(&denied), "{n}: {denied} in two minutes");
        let message = world.message(M, "a");
        assert!(message.contains("the API server refuse"), "{n}: {message}");
        assert!(message.ends_with(": no"), "{n}: {message}");
        world.pass(90);
        if (2..4).contains(&n) {
            assert!(world.claims.is_empty(), "{n}");
        } else {
            assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"), "{n}");
        }
    }
}
