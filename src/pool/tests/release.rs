//! A claim, a pool or a leaked object goes (R1 to R3, R5, R6).

use super::steps::{before_create, bound_world, count, kinds};

use super::super::{Config, Decision, Input, LeakRepair, Object, ProblemKind, Request, Scope};
use super::world::{C, Event, Fate, M, World, address_key, address_object, claim_key, ip, small};
use crate::api::names::PAUSED_ANNOTATION;

#[test]
fn r1_the_finalizers_come_first() {
    let world = bound_world();
    assert_eq!(kinds(&world, 0), ["pool", "claim on", "create", "status"]);
}

#[test]
fn r1_a_claim_deleted_at_any_moment_leaves_nothing() {
    // Deleted before the n-th request is carried out, or after it and before its answer.
    for moment in 0..8 {
        for answered in [false, true] {
            let mut world = World::new();
            world.create_pool(small(3));
            world.create_claim(M, "a");
            world.deliver_all();
            for _ in 0..moment {
                if world.requests.is_empty() {
                    break;
                }
                world.carry_out(0, Fate::Fine);
                world.answer(0);
            }
            if answered && !world.requests.is_empty() {
                world.carry_out(0, Fate::Fine);
            }
            world.delete_claim(M, "a");
            world.pass(60);
            assert!(world.claims.is_empty(), "{moment} {answered}");
            assert!(world.addresses.is_empty(), "{moment} {answered}");
            assert_eq!(world.machine.snapshot().available, 3);
        }
    }
}

#[test]
fn r1_a_claim_whose_finalizer_was_taken_off_is_asked_for_and_released() {
    let mut world = bound_world();
    let since = world.sent.len();
    world.delete_claim(M, "a");
    world.edit_claim(&claim_key(M, "a"), |c| c.meta.finalizers.clear());
    world.events[1].retain(|event| matches!(event, Event::Gone { .. }));
    world.pass(2);
    assert_eq!(kinds(&world, since), ["read claim", "delete", "address"]);
    assert!(world.addresses.is_empty());
}

#[test]
fn r2_someone_elses_finalizer_keeps_the_address_but_not_the_collectors() {
    let mut world = bound_world();
    let key = claim_key(M, "a");
    world.edit_claim(&key, |c| c.meta.finalizers.push("x/y".into()));
    world.edit_claim(&key, |c| {
        c.meta.finalizers.push("foregroundDeletion".into());
    });
    world.delete_claim(M, "a");
    world.pass(600);
    assert_eq!(world.addresses.len(), 1);
    world.edit_claim(&key, |c| c.meta.finalizers.retain(|f| f != "x/y"));
    world.pass(2);
    assert!(world.addresses.is_empty());
    assert_eq!(world.claim(M, "a").meta.finalizers, ["foregroundDeletion"]);
}

#[test]
fn r3_the_order_of_a_release() {
    let mut world = bound_world();
    let since = world.sent.len();
    world.delete_claim(M, "a");
    world.pass(2);
    assert_eq!(kinds(&world, since), ["delete", "address", "claim off"]);
    let released = |d: &Decision| matches!(d, Decision::Released { .. });
    assert!(world.told.iter().any(released));
}

#[test]
fn r3_a_foreign_finalizer_on_the_object_holds_the_address_but_not_the_claim() {
    let mut world = bound_world();
    let object = address_key(M, "p-10-0-0-1");
    world.edit_address(&object, |a| a.meta.finalizers.push("x/y".into()));
    world.delete_claim(M, "a");
    world.pass(2);
    assert!(world.claims.is_empty());
    assert_eq!(world.machine.snapshot().allocated, 1);
    // A claim of the same name is another story: it does not get what is on its way out.
    world.create_claim(M, "a");
    world.pass(2);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
    world.edit_address(&object, |a| a.meta.finalizers.clear());
    world.pass(2);
    assert_eq!(world.machine.snapshot().allocated, 1);
}

#[test]
fn r3_a_deleted_claim_keeps_its_address_for_the_grace_period_over_a_restart() {
    let mut world = bound_world();
    world.edit_spec(|spec| spec.address_reuse_grace_period_seconds = Some(100));
    world.delete_claim(M, "a");
    world.pass(60);
    world.restart();
    world.pass(30);
    assert_eq!(world.addresses.len(), 1);
    assert_eq!(world.claims.len(), 1);
    world.pass(11);
    assert!(world.addresses.is_empty() && world.claims.is_empty());
}

#[test]
fn r3_the_grace_period_is_skipped_when_the_pool_goes() {
    let mut world = bound_world();
    world.edit_spec(|spec| spec.address_reuse_grace_period_seconds = Some(100));
    world.delete_claim(M, "a");
    world.delete_pool();
    world.pass(2);
    assert!(world.addresses.is_empty() && world.claims.is_empty() && world.pool.is_none());
    assert!(world.machine.is_empty());
}

#[test]
fn r3_a_delete_is_for_the_object_that_was_meant() {
    let mut world = bound_world();
    world.delete_claim(M, "a");
    world.deliver_all();
    // Its finalizer is taken off and a successor has the name by now.
    let object = address_key(M, "p-10-0-0-1");
    let now = world.now;
    world.edit_address(&object, |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.create_address(M, "p-10-0-0-1", "prov", "b", "10.0.0.1", |_| {});
    world.create_claim(M, "b");
    world.pass(2);
    assert!(world.claims.contains_key(&claim_key(M, "b")));
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
    assert!(!world.claims.contains_key(&claim_key(M, "a")));
}

#[test]
fn r5_a_deleted_pool_waits_for_every_object_that_names_it() {
    let mut world = bound_world();
    world.create_address(C, "ext", "prov", "nobody", "10.0.0.9", |_| {});
    world.delete_pool();
    world.create_claim(M, "late");
    world.pass(5);
    assert!(world.has_pool_finalizer());
    assert_eq!(world.bound(M, "late"), None);
    assert_eq!(world.reason(M, "late"), "PoolNotReady");
    assert_eq!(
        world.pool_condition("Ready"),
        ("False".into(), "Deleting".into())
    );
    world.delete_claim(M, "a");
    world.pass(5);
    assert!(world.has_pool_finalizer());
    world.delete_address(&address_key(C, "ext"));
    world.pass(5);
    assert!(world.pool.is_none());
}

#[test]
fn r6_a_leak_is_released_after_two_looks_and_a_read() {
    let leak = |repair| {
        let mut world = World::with(Config {
            leak_repair: repair,
            ..Config::default()
        });
        world.create_address(M, "p-10-0-0-1", "prov", "gone", "10.0.0.1", |a| {
            a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
        });
        world.create_pool(small(3));
        world.pass(3000);
        assert_eq!(world.addresses.len(), 1, "younger than an hour");
        assert!(world.machine.snapshot().problems.is_empty());
        world.pass(700);
        world
    };
    let world = leak(LeakRepair::Auto);
    assert!(world.addresses.is_empty());
    assert!(kinds(&world, 0).ends_with(&["read claim", "delete", "address"]));
    assert!(world.machine.snapshot().problems.is_empty());
    let world = leak(LeakRepair::Report);
    assert_eq!(world.addresses.len(), 1);
    assert_eq!(world.machine.snapshot().problems[&ProblemKind::Leak], 1);
    assert_eq!(
        world.pool_condition("Consistent"),
        ("False".into(), "Leak".into())
    );
}

/// Nothing is left to do for anybody: its namespace or pool waits for it alone.
#[test]
fn r6_a_leak_that_somebody_has_deleted_is_released_after_two_looks_whatever_its_age() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.settle();
    world.create_address(M, "p-10-0-0-1", "prov", "gone", "10.0.0.1", |a| {
        a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
    });
    world.delete_address(&address_key(M, "p-10-0-0-1"));
    world.settle();
    world.delete_pool();
    world.pass(500);
    assert_eq!(world.addresses.len(), 1, "one look");
    let ready = world.pool.as_ref().unwrap().status.conditions.iter();
    let message = &ready.clone().find(|c| c.type_ == "Ready").unwrap().message;
    assert!(
        message.contains("of claim gone (deleted already, goes by itself"),
        "{message}"
    );
    world.pass(200);
    assert!(world.addresses.is_empty() && world.pool.is_none());
    assert!(kinds(&world, 0).contains(&"read claim"));
}

/// An object may name what no claim can be called. Its path would be that of a list, or of something else.
#[test]
fn r6_a_leak_that_names_what_cannot_be_a_claim_is_released_without_a_read() {
    for name in ["", "..", "a/b", "Not A Name"] {
        let mut world = World::new();
        world.create_pool(small(3));
        world.create_address(M, "p-10-0-0-1", "prov", name, "10.0.0.1", |address| {
            address
                .meta
                .finalizers
                .push("ipaddress.ipam.metal3.io".into());
        });
        world.settle();
        world.pass(3 * 3600);
        assert!(world.addresses.is_empty(), "{name:?}");
        let reads = |request: &&Request| matches!(request, Request::ReadClaim { .. });
        assert_eq!(world.sent.iter().filter(reads).count(), 0, "{name:?}");
    }
}

#[test]
fn r6_a_leak_that_somebody_deletes_is_released_where_leaks_are_only_reported() {
    let mut world = World::with(Config {
        leak_repair: LeakRepair::Report,
        ..Config::default()
    });
    for (name, address) in [("p-10-0-0-1", "10.0.0.1"), ("p-10-0-0-2", "10.0.0.2")] {
        world.create_address(M, name, "prov", "gone", address, |a| {
            a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
        });
    }
    world.create_pool(small(3));
    world.pass(7200);
    assert_eq!(world.addresses.len(), 2, "only reported");
    world.delete_address(&address_key(M, "p-10-0-0-1"));
    world.settle();
    let left: Vec<&str> = world.addresses.keys().map(|key| &*key.name).collect();
    assert_eq!(left, ["p-10-0-0-2"]);
    assert!(kinds(&world, 0).ends_with(&["read claim", "address"]));
    world.pass(7200);
    assert_eq!(world.addresses.len(), 1, "nobody has deleted the other");
}

#[test]
fn r6_a_leak_whose_release_is_refused_stays_reported_until_it_is_gone() {
    let mut world = World::new();
    world.create_address(M, "p-10-0-0-1", "prov", "gone", "10.0.0.1", |a| {
        a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
    });
    world.refuses = Some((
        |r| matches!(r, Request::DeleteAddress { .. }),
        "deletes of address objects are forbidden",
    ));
    world.create_pool(small(3));
    world.pass(7200);
    let ended = |world: &World| {
        let ended = |d: &&Decision| matches!(d, Decision::Repaired { .. });
        world.told.iter().filter(ended).count()
    };
    assert_eq!(world.addresses.len(), 1);
    assert_eq!(world.machine.snapshot().problems[&ProblemKind::Leak], 1);
    assert_eq!(ended(&world), 0);
    assert_eq!(
        world.pool_condition("Consistent"),
        ("False".into(), "Leak".into())
    );
    world.refuses = None;
    world.pass(3600);
    assert!(world.addresses.is_empty());
    assert!(world.machine.snapshot().problems.is_empty());
    assert_eq!(ended(&world), 1);
}

#[test]
fn r6_never_while_paused_and_never_when_the_claim_comes() {
    let mut world = World::new();
    world.create_address(M, "p-10-0-0-1", "prov", "a", "10.0.0.1", |a| {
        a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
    });
    world.create_pool(small(3));
    world.edit_pool(|pool| {
        pool.meta
            .annotations
            .insert(PAUSED_ANNOTATION.into(), String::new());
    });
    world.pass(7200);
    world.edit_pool(|pool| {
        pool.meta.annotations.remove(PAUSED_ANNOTATION);
    });
    world.pass(500);
    assert_eq!(world.addresses.len(), 1, "the watch begins anew");
    world.create_claim(M, "a");
    world.pass(7200);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn r6_p4_a_leak_of_another_managers_claim_is_that_managers_to_find() {
    let mut world = World::new();
    for (name, claim) in [("p-10-0-0-1", "theirs"), ("p-10-0-0-2", "ours")] {
        world.create_address(M, name, "prov", claim, &name[2..].replace('-', "."), |a| {
            a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
        });
    }
    for event in &mut world.events[3] {
        if let Event::Seen(Object::Address { address, scope }) = event
            && &*address.claim == "theirs"
        {
            *scope = Scope::Another;
        }
    }
    world.create_pool(small(3));
    world.pass(7200);
    let left: Vec<_> = world.addresses.keys().map(|k| k.name.to_string()).collect();
    assert_eq!(left, ["p-10-0-0-1"]);
    assert!(
        world.machine.snapshot().problems.is_empty(),
        "not even a report"
    );
    // Its label is corrected: it is looked at from now on.
    let key = address_key(M, "p-10-0-0-1");
    let address = address_object(world.addresses[&key].clone());
    world.step(Input::Seen(address));
    world.pass(7200);
    assert!(world.addresses.is_empty());
}

/// The claim is of this manager, its pool is not: its finalizer, which a webhook put in, does not keep it for ever.
#[test]
fn r8_p4_a_claim_of_ours_in_anothers_pool_is_released() {
    let mut world = World::new();
    world.create_pool(small(2));
    for event in &mut world.events[0] {
        if let Event::Seen(Object::Pool { scope, .. }) = event {
            *scope = Scope::Another;
        }
    }
    for name in ["a", "paused"] {
        world.create_claim_with(M, name, |claim| {
            claim.meta.finalizers.push(M.claim_finalizer().into());
        });
    }
    world.edit_claim(&claim_key(M, "paused"), |claim| {
        let all = &mut claim.meta.annotations;
        all.insert(PAUSED_ANNOTATION.into(), String::new());
    });
    world.pass(30);
    assert_eq!(world.writes(), 0);
    world.delete_claim(M, "a");
    world.delete_claim(M, "paused");
    world.pass(30);
    assert!(!world.claims.contains_key(&claim_key(M, "a")));
    assert!(world.claims.contains_key(&claim_key(M, "paused")));
}

/// The answer to the create is lost, and then the pool is another manager's: nothing is created in it any more.
#[test]
fn r8_p4_a_lost_create_is_not_sent_into_anothers_pool() {
    for fate in [Fate::Vanished, Fate::Unheard] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, fate);
        world.answer(0);
        world.edit_pool(|pool| {
            pool.meta.labels.insert("team".into(), "other".into());
        });
        for event in &mut world.events[0] {
            if let Event::Seen(Object::Pool { scope, .. }) = event {
                *scope = Scope::Another;
            }
        }
        world.deliver_all();
        world.delete_claim(M, "a");
        let creates = count(&world, |r| matches!(r, Request::CreateAddress(_)));
        world.pass(60);
        assert_eq!(
            creates,
            count(&world, |r| matches!(r, Request::CreateAddress(_)))
        );
        let is_gone = world.claims.is_empty();
        assert_eq!(is_gone, fate == Fate::Vanished, "{fate:?}");
    }
}

/// The claim vanishes while its create is under way, and a webhook gives the object another address: it goes all the same.
#[test]
fn r1_an_object_that_is_stored_otherwise_goes_with_its_claim() {
    let mut world = World::with(Config {
        leak_repair: LeakRepair::Report,
        ..Config::default()
    });
    world.mutates = Some(|a| a.address = Ok(ip("10.0.0.77")));
    before_create(&mut world);
    world.edit_claim(&claim_key(M, "a"), |claim| {
        claim.meta.deletion_timestamp = Some(claim.meta.created());
        claim.meta.finalizers.clear();
    });
    world.deliver_all();
    world.pass(120);
    assert!(world.addresses.is_empty(), "{:?}", world.addresses);
}
