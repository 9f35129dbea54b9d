//! One rule after the other: release, faults, pause, Clusters, move.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::super::{Config, Decision, Input, LeakRepair, Object, Outcome, Request, Scope};
use super::world::{C, Event, Fate, M, World, address_key, address_object, claim_key, small, spec};
use crate::api::AddressKey;
use crate::api::names::{
    CLUSTER_NAME_LABEL, DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION, PROVIDER_LABEL,
};

/// Kinds of the requests sent since, in order.
fn kinds(world: &World, since: usize) -> Vec<&'static str> {
    let kind = |request: &Request| match request {
        Request::PoolMeta { .. } => "pool",
        Request::PoolStatus { .. } => "",
        Request::ClaimFinalizers { finalizers, .. } if finalizers.is_empty() => "claim off",
        Request::ClaimFinalizers { .. } => "claim on",
        Request::ClaimStatus { .. } => "status",
        Request::CreateAddress(_) => "create",
        Request::DeleteAddress { .. } => "delete",
        Request::AddressMeta { .. } => "address",
        Request::ReadCluster { .. } => "read cluster",
        Request::ReadClaim { .. } => "read claim",
        Request::ReadAddress { .. } => "read address",
    };
    let all = world.sent[since..].iter().map(kind);
    all.filter(|k| !k.is_empty()).collect()
}

/// One bound claim in a pool of three.
fn bound_world() -> World {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.pass(2);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    world
}

/// A pool of three and a claim whose create is the next request.
fn before_create(world: &mut World) {
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.deliver_all();
    while !matches!(world.requests[0].1, Request::CreateAddress(_)) {
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        world.deliver_all();
    }
}

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
fn r4_what_vanishes_under_a_living_claim_is_put_back() {
    let mut world = World::new();
    world.create_address(C, "by-hand", "prov", "a", "10.0.0.7", |a| {
        a.prefix = Some(23);
        a.gateway = Some("10.0.0.9".parse().unwrap());
    });
    world.create_pool(small(3));
    world.create_claim(C, "a");
    world.settle();
    let object = address_key(C, "by-hand");
    world.delete_address(&object);
    world.create_claim(C, "b");
    world.pass(2);
    assert_eq!(world.bound(C, "a").as_deref(), Some("10.0.0.7"));
    let back = &world.addresses[&object];
    assert_eq!(back.prefix, Some(23));
    assert!(back.gateway.is_some() && back.has_our_finalizer());
    // With our finalizer it does not vanish any more.
    world.delete_address(&object);
    world.pass(2);
    assert!(world.addresses[&object].meta.is_deleting());
    world.delete_claim(C, "a");
    world.pass(2);
    assert!(!world.addresses.contains_key(&object));
}

#[test]
fn r4_a_restart_gives_back_the_address_that_the_status_names() {
    let mut world = bound_world();
    world.create_claim(M, "b");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
    world.delete_claim(M, "a");
    world.settle();
    let object = address_key(M, "p-10-0-0-2");
    let now = world.now;
    world.edit_address(&object, |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.restart();
    world.pass(2);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
}

/// Takes an address object away as `clusterctl move` does.
fn move_away(world: &mut World, object: &AddressKey) {
    world.edit_address(object, |a| {
        let all = &mut a.meta.annotations;
        all.insert(DELETE_FOR_MOVE_ANNOTATION.into(), String::new());
    });
    world.settle();
    strip(world, object);
}

/// Takes an address object away by force.
fn strip(world: &mut World, object: &AddressKey) {
    let now = world.now;
    world.edit_address(object, |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.settle();
}

#[test]
fn a1_the_address_of_a_living_claim_whose_object_was_moved_away_is_given_to_nobody() {
    for kind in [M, C] {
        let mut world = World::new();
        world.create_pool(small(2));
        world.create_claim(kind, "a");
        world.settle();
        let object = address_key(kind, "p-10-0-0-1");
        move_away(&mut world, &object);
        world.create_claim(kind, "b");
        world.create_claim(kind, "c");
        world.request_address(kind, "d", "10.0.0.1");
        world.pass(5);
        assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.2"));
        assert!(world.claim(kind, "c").published.is_none());
        assert!(world.claim(kind, "d").published.is_none());
        assert!(!world.addresses.contains_key(&object), "a move may go on");
        let ready = world.claim(kind, "a").condition("Ready").unwrap().clone();
        assert_eq!(ready.status, "False");
        let says = "the address object p-10-0-0-1 was taken away by clusterctl move; 10.0.0.1 stays held for this claim";
        assert!(ready.message.contains(says), "{}", ready.message);
        assert_eq!(
            world.pool_condition("Consistent"),
            ("False".into(), "AddressMissing".into())
        );
        let status = &world.pool.as_ref().unwrap().status;
        assert_eq!(
            (status.allocated, status.available, status.waiting_claims),
            (Some(2), Some(0), Some(3))
        );
        world.pass(600);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        let ready = world.claim(kind, "a").condition("Ready").unwrap();
        assert_eq!(ready.status, "True");
        assert_eq!(world.pool_condition("Consistent").0, "True");
        assert!(world.claim(kind, "d").published.is_none());
        world.delete_claim(kind, "a");
        world.pass(5);
        let next = [world.bound(kind, "c"), world.bound(kind, "d")];
        assert_eq!(next.iter().flatten().count(), 1, "{next:?}");
    }
}

#[test]
fn a1_a_restart_gives_the_address_of_a_missing_object_to_nobody_else() {
    for kind in [M, C] {
        let mut world = World::new();
        world.create_pool(small(2));
        // Its own name, so that only the pool's indexes say which address it had.
        world.create_address(kind, "by-hand", "prov", "a", "10.0.0.1", |_| {});
        world.create_claim(kind, "a");
        world.pass(2);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        move_away(&mut world, &address_key(kind, "by-hand"));
        // An edited request and a reservation of another claim ask for nothing that it shows.
        world.edit_claim(&claim_key(kind, "a"), |claim| {
            let all = &mut claim.meta.annotations;
            all.insert("ipAddress".into(), "10.0.0.2".into());
        });
        world.request_address(kind, "b", "10.0.0.1");
        world.restart();
        world.pass(5);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        assert!(world.claim(kind, "b").published.is_none());
    }
}

#[test]
fn r4_a_claim_that_is_marked_for_a_move_is_left_as_it_is_until_the_mark_goes() {
    for kind in [M, C] {
        let mut world = World::new();
        world.create_pool(small(1));
        world.create_claim(kind, "a");
        world.settle();
        let key = claim_key(kind, "a");
        world.edit_claim(&key, |claim| {
            let all = &mut claim.meta.annotations;
            all.insert(DELETE_FOR_MOVE_ANNOTATION.into(), String::new());
            claim.meta.finalizers.clear();
        });
        world.pass(60);
        assert!(
            !world.claim(kind, "a").has_our_finalizer(),
            "the mover took it off and waits to delete the claim"
        );
        strip(&mut world, &address_key(kind, "p-10-0-0-1"));
        world.create_claim(kind, "b");
        world.pass(3600);
        assert!(world.addresses.is_empty());
        let message = world.message(kind, "a");
        let says = "remove the annotation clusterctl.cluster.x-k8s.io/delete-for-move";
        assert!(message.contains(says), "{message}");
        world.edit_claim(&key, |claim| claim.meta.annotations.clear());
        world.pass(5);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.1"));
        assert!(world.claim(kind, "b").published.is_none());
    }
}

#[test]
fn r4_a_pool_that_is_marked_for_a_move_gets_no_finalizer_back() {
    let mut world = bound_world();
    world.edit_pool(|pool| {
        let all = &mut pool.meta.annotations;
        all.insert(DELETE_FOR_MOVE_ANNOTATION.into(), String::new());
        pool.meta.finalizers.clear();
    });
    world.create_claim(M, "b");
    world.pass(60);
    assert!(!world.has_pool_finalizer());
    assert_eq!(
        world.pool_condition("Ready"),
        ("False".into(), "Moving".into())
    );
    assert_eq!(world.reason(M, "b"), "PoolNotReady");
    world.edit_pool(|pool| pool.meta.annotations.clear());
    world.pass(5);
    assert!(world.has_pool_finalizer());
    assert!(world.bound(M, "b").is_some());
}

#[test]
fn u3_a_forged_status_is_corrected_whatever_state_the_pool_is_in() {
    let forge = |world: &mut World, kind| {
        world.create_claim_with(kind, "f", |claim| {
            claim.published = Some("p-10-0-0-5".into());
        });
    };
    for kind in [M, C] {
        let mut missing = World::new();
        forge(&mut missing, kind);
        missing.pass(20);
        assert_eq!(missing.claim(kind, "f").published, None);
        assert!(!missing.message(kind, "f").is_empty());
        let mut waits = World::new();
        waits.create_pool(spec(
            json!({"namePrefix": "p", "pools": [], "clusterName": "nope"}),
        ));
        forge(&mut waits, kind);
        waits.pass(20);
        assert_eq!(waits.claim(kind, "f").published, None);
        let mut deleting = World::new();
        deleting.create_address(kind, "ext", "prov", "nobody", "10.0.0.9", |_| {});
        deleting.create_pool(small(9));
        deleting.settle();
        deleting.delete_pool();
        forge(&mut deleting, kind);
        deleting.pass(20);
        assert_eq!(deleting.claim(kind, "f").published, None);
        assert_eq!(deleting.reason(kind, "f"), "PoolNotReady");
    }
}

#[test]
fn r4_never_in_a_terminating_namespace() {
    let mut world = bound_world();
    let object = address_key(M, "p-10-0-0-1");
    let now = world.now;
    world.edit_address(&object, |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.deliver_all();
    world.carry_out(0, Fate::Terminating);
    world.answer(0);
    let since = world.sent.len();
    world.delete_claim(M, "a");
    world.pass(5);
    assert!(world.claims.is_empty());
    assert_eq!(kinds(&world, since), ["claim off"]);
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
    assert_eq!(world.machine.snapshot().problems["Leak"], 1);
    assert_eq!(
        world.pool_condition("Consistent"),
        ("False".into(), "Leak".into())
    );
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

#[test]
fn r7_a_lost_answer_is_settled_by_the_same_create() {
    for fate in [Fate::Vanished, Fate::Unheard] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, fate);
        world.answer(0);
        // Nothing is seen of it, and the claim and the pool go meanwhile.
        world.events[3].clear();
        world.delete_claim(M, "a");
        world.delete_pool();
        world.deliver_all();
        assert!(world.claims.len() == 1 && world.has_pool_finalizer());
        assert_eq!(world.machine.snapshot().allocated, 1);
        world.pass(60);
        assert!(world.claims.is_empty() && world.addresses.is_empty() && world.pool.is_none());
        let creates: Vec<_> = world
            .sent
            .iter()
            .filter(|r| matches!(r, Request::CreateAddress(_)))
            .collect();
        assert!(creates.len() >= 2 && creates.iter().all(|c| *c == creates[0]));
    }
}

/// A DELETE of kube-apiserver that has found no finalizer on the claim removes it though ours was stored meanwhile.
#[test]
fn r1_r7_a_claim_that_vanishes_while_its_create_is_under_way_leaves_no_object() {
    for fate in [Fate::Fine, Fate::Vanished, Fate::Unheard] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, fate);
        world.edit_claim(&claim_key(M, "a"), |claim| claim.meta.finalizers.clear());
        world.delete_claim(M, "a");
        assert!(world.claims.is_empty());
        world.deliver_all();
        world.answer(0);
        // Long before any audit would find it (R6).
        world.pass(60);
        assert!(world.addresses.is_empty(), "{fate:?} leaves its object");
        world.create_claim(M, "b");
        world.pass(1);
        assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
    }
}

#[test]
fn r7_a_create_that_is_refused_after_a_lost_answer_is_settled_by_a_read() {
    let mut world = World::new();
    before_create(&mut world);
    world.carry_out(0, Fate::Unheard);
    world.answer(0);
    world.events[3].clear();
    world.now = world.wake.unwrap();
    world.step(Input::Tick);
    world.carry_out(0, Fate::Refused);
    world.answer(0);
    world.pass(120);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.addresses.len(), 1);
}

#[test]
fn r8_a_deleting_claim_without_object_is_let_go_whatever_its_pool() {
    let mut world = World::new();
    world.create_claim_with(M, "a", |c| {
        c.meta.finalizers.push("ipclaim.ipam.metal3.io".into());
    });
    world.delete_claim(M, "a");
    world.pass(2);
    assert!(world.claims.is_empty());
    // One that is deleting already gets no finalizer.
    world.create_claim_with(C, "b", |c| c.meta.finalizers.push("x/y".into()));
    world.delete_claim(C, "b");
    world.create_pool(small(3));
    world.pass(2);
    assert_eq!(world.claim(C, "b").meta.finalizers, ["x/y"]);
}

#[test]
fn a12_a_refused_create_is_explained_and_delays_no_other() {
    let mut world = World::new();
    before_create(&mut world);
    world.carry_out(0, Fate::Refused);
    world.answer(0);
    world.create_claim(M, "b");
    world.settle();
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.reason(M, "a"), "AllocationFailed");
    assert_eq!(
        world.message(M, "a"),
        "the API server refused the address object: no"
    );
    world.pass(60);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
}

#[test]
fn p2_a_pool_waits_for_its_cluster_and_belongs_to_it() {
    let mut world = World::new();
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.create_claim(M, "a");
    world.pass(5);
    assert_eq!(world.reason(M, "a"), "PoolNotReady");
    assert_eq!(
        world.pool_condition("Ready"),
        ("False".into(), "ClusterNotFound".into())
    );
    assert!(!world.has_pool_finalizer());
    let since = world.sent.len();
    world.set_cluster("cl", false);
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(kinds(&world, since)[..2], ["read cluster", "pool"]);
    let meta = &world.pool.as_ref().unwrap().meta;
    assert_eq!(meta.labels[CLUSTER_NAME_LABEL], "cl");
    assert_eq!(meta.labels[PROVIDER_LABEL], "ipam-metal3");
    let owner = &meta.owner_references[0];
    assert_eq!(
        (&*owner.uid, owner.controller),
        (&*world.clusters["cl"].uid, None)
    );
    // Another Cluster takes its place.
    world.set_cluster("other", false);
    world.edit_spec(|spec| spec.cluster_name = Some("other".into()));
    world.settle();
    let meta = &world.pool.as_ref().unwrap().meta;
    assert_eq!(meta.labels[CLUSTER_NAME_LABEL], "other");
    let owners: Vec<_> = meta.owner_references.iter().map(|o| &*o.name).collect();
    assert_eq!(owners, ["other"]);
    // The Cluster goes: what is deleted is released all the same.
    world.remove_cluster("other");
    world.delete_claim(M, "a");
    world.delete_pool();
    world.pass(5);
    assert!(world.pool.is_none() && world.claims.is_empty());
}

#[test]
fn p2_a_pool_that_leaves_its_cluster_no_longer_belongs_to_it() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    let by_hand = |kind: &str, name: &str| OwnerReference {
        api_version: "cluster.x-k8s.io/v1beta2".into(),
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-of-{name}"),
        ..OwnerReference::default()
    };
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.create_claim(M, "a");
    world.settle();
    world.edit_pool(|pool| {
        pool.meta.labels.insert("rack".into(), "7".into());
        pool.meta.owner_references.push(by_hand("Fleet", "f"));
    });
    world.edit_spec(|spec| spec.cluster_name = None);
    world.settle();
    let meta = &world.pool.as_ref().unwrap().meta;
    let labels: Vec<_> = meta.labels.keys().collect();
    assert_eq!(labels, ["rack"]);
    let owners: Vec<_> = meta.owner_references.iter().map(|o| &*o.name).collect();
    assert_eq!(owners, ["f"]);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    // What a user has written of a Cluster stays.
    world.edit_pool(|pool| {
        let name = (CLUSTER_NAME_LABEL.to_owned(), "cl".to_owned());
        pool.meta.labels.extend([name]);
        pool.meta.owner_references = vec![by_hand("Cluster", "cl")];
    });
    let since = world.sent.len();
    world.pass(60);
    assert!(kinds(&world, since).iter().all(|kind| kind.is_empty()));
    let meta = &world.pool.as_ref().unwrap().meta;
    assert_eq!((meta.labels.len(), meta.owner_references.len()), (2, 1));
}

#[test]
fn p2_the_owner_is_named_in_the_version_that_is_served() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.settle();
    let change = |world: &mut World, version: &str, deleting: bool| {
        let cluster = world.clusters.get_mut("cl").unwrap();
        cluster.api_version = format!("cluster.x-k8s.io/{version}").into();
        cluster.deleting = deleting;
        let facts = cluster.clone();
        world.events[5].push_back(Event::Cluster(Input::ClusterSeen(facts)));
        world.settle();
        let owners = &world.pool.as_ref().unwrap().meta.owner_references;
        assert_eq!(owners.len(), 1);
        owners[0].api_version.clone()
    };
    assert_eq!(
        change(&mut world, "v1beta1", false),
        "cluster.x-k8s.io/v1beta1"
    );
    // Nothing waits for it, and a Cluster that is being deleted is not written anew.
    assert_eq!(
        change(&mut world, "v1beta2", true),
        "cluster.x-k8s.io/v1beta1"
    );
    world.create_claim(M, "a");
    world.settle();
    assert!(world.bound(M, "a").is_some());
}

#[test]
fn p2_a_cluster_that_is_being_deleted_becomes_no_owner() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.create_pool(spec(json!({ "namePrefix": "p", "clusterName": "cl" })));
    world.deliver_all();
    // It is deleted, and the watch has not told yet.
    world.clusters.get_mut("cl").unwrap().deleting = true;
    world.pass(60);
    assert!(!world.has_pool_finalizer());
    assert_eq!(
        world.pool_condition("Ready"),
        ("False".into(), "ClusterDeleting".into())
    );
}

#[test]
fn p1_a_claim_is_paused_by_itself_and_by_its_own_cluster() {
    let mut world = World::new();
    world.create_pool(small(5));
    world.set_cluster("cl", true);
    world.create_claim_with(M, "a", |c| c.cluster = Some("cl".into()));
    world.create_claim_with(M, "b", |c| {
        c.meta
            .annotations
            .insert(PAUSED_ANNOTATION.into(), String::new());
    });
    // A missing Cluster is ignored for an IPClaim and waited for by an IPAddressClaim.
    world.create_claim_with(M, "c", |c| c.cluster = Some("none".into()));
    world.create_claim_with(C, "d", |c| {
        c.cluster = Some("none".into());
        c.cluster_required = true;
    });
    world.create_claim(M, "e");
    world.pass(5);
    let bound = |w: &World| ["a", "b", "c", "e"].map(|n| w.bound(M, n).is_some());
    assert_eq!(bound(&world), [false, false, true, true]);
    assert_eq!(world.reason(M, "a"), "");
    assert_eq!(world.reason(C, "d"), "PoolNotReady");
    world.set_cluster("cl", false);
    world.edit_claim(&claim_key(M, "b"), |c| c.meta.annotations.clear());
    world.set_cluster("none", false);
    world.settle();
    assert_eq!(bound(&world), [true; 4]);
    assert!(world.bound(C, "d").is_some());
}

#[test]
fn p3_after_a_move_every_claim_has_its_object_back_and_no_object_is_written() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1", "end": "10.0.0.9" }],
    })));
    for name in ["a", "b", "c"] {
        world.create_claim(M, name);
        world.create_claim(C, name);
    }
    world.settle();
    let before: Vec<_> = world
        .claims
        .keys()
        .map(|k| world.bound(k.kind, &k.name))
        .collect();

    // The target: UIDs new, status dropped, finalizers kept; the Cluster, then pool and claims, then the objects.
    let mut target = World::new();
    target.set_cluster("cl", true);
    let source = world.pool.clone().unwrap();
    target.create_pool(source.spec.clone().unwrap());
    target.edit_pool(|pool| {
        pool.meta.finalizers.clone_from(&source.meta.finalizers);
        pool.meta.labels.clone_from(&source.meta.labels);
        pool.meta
            .owner_references
            .clone_from(&source.meta.owner_references);
    });
    let cluster = target.clusters["cl"].uid.to_string();
    target.edit_pool(|pool| pool.meta.owner_references[0].uid = cluster);
    for (key, claim) in &world.claims {
        target.create_claim_with(key.kind, &key.name, |c| {
            c.meta.finalizers.clone_from(&claim.meta.finalizers);
        });
    }
    target.pass(30);
    for (key, object) in &world.addresses {
        let claim = target.claims[&object.claim_key()].meta.uid.to_string();
        let pool = target.pool.as_ref().unwrap().meta.uid.to_string();
        let address = object.address.clone().unwrap().to_string();
        target.create_address(key.kind, &key.name, "prov", &object.claim, &address, |o| {
            o.meta.finalizers.clone_from(&object.meta.finalizers);
            o.meta
                .owner_references
                .clone_from(&object.meta.owner_references);
            o.meta.owner_references[0].uid = claim;
            o.meta.owner_references[1].uid = pool;
        });
    }
    target.pass(30);
    target.set_cluster("cl", false);
    target.pass(7200);
    let after: Vec<_> = target
        .claims
        .keys()
        .map(|k| target.bound(k.kind, &k.name))
        .collect();
    assert_eq!(before, after);
    assert!(before.iter().all(Option::is_some));
    // Status writes only: one a claim.
    assert_eq!(target.writes(), 6);
    assert!(
        kinds(&target, 0).iter().all(|k| *k == "status"),
        "{:?}",
        kinds(&target, 0)
    );
}

#[test]
fn a4_wrong_uids_of_owners_are_corrected() {
    let mut world = bound_world();
    let object = address_key(M, "p-10-0-0-1");
    world.edit_address(&object, |a| {
        a.meta.owner_references[0].uid = "old-claim".into();
        a.meta.owner_references[1].uid = "old-pool".into();
    });
    world.settle();
    let owners = &world.addresses[&object].meta.owner_references;
    assert_eq!(*owners[0].uid, *world.claim(M, "a").meta.uid);
    assert_eq!(*owners[1].uid, *world.pool.as_ref().unwrap().meta.uid);
}

#[test]
fn a1_a_publishing_whose_answer_is_not_there_yet_counts_against_rivals() {
    for lost in [false, true] {
        let mut world = World::new();
        before_create(&mut world);
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        assert!(matches!(world.requests[0].1, Request::ClaimStatus { .. }));
        world.carry_out(0, if lost { Fate::Unheard } else { Fate::Fine });
        if lost {
            world.answer(0);
        }
        // By hand, older, for the same address, and told of by streams of its own.
        world.create_claim(C, "b");
        world.create_address(C, "dup", "prov", "b", "10.0.0.1", |object| {
            object.meta.creation_timestamp = Some(jiff::Timestamp::UNIX_EPOCH);
        });
        world.deliver(2);
        world.deliver(4);
        // All but the first claim's answer arrives.
        let others = usize::from(!lost);
        while !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
            world.answer(others);
        }
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
        assert_eq!(world.bound(C, "b"), None);
        world.pass(5);
        assert_eq!(world.bound(C, "b"), None);
    }
}

#[test]
fn p4_another_managers_claim_that_goes_leaves_its_objects_alone() {
    let mut world = bound_world();
    let claim = Box::new(world.claim(M, "a").clone());
    world.step(Input::Seen(Object::Claim {
        claim,
        scope: Scope::Another,
    }));
    let since = world.sent.len();
    world.delete_claim(M, "a");
    world.edit_claim(&claim_key(M, "a"), |c| c.meta.finalizers.clear());
    world.events[1].retain(|event| matches!(event, Event::Gone { .. }));
    world.pass(60);
    assert!(kinds(&world, since).is_empty());
    assert_eq!(world.machine.snapshot().allocated, 1);
}

#[test]
fn a_watch_that_lags_behind_the_answers_costs_no_write() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.deliver_all();
    let rest = |world: &mut World| {
        while !world.requests.is_empty() {
            world.carry_out(0, Fate::Fine);
            world.answer(0);
        }
    };
    rest(&mut world);
    assert!(world.bound(M, "a").is_some());
    // Every step of what is long past, one by one.
    while (0..super::world::STREAMS).any(|stream| world.deliver(stream)) {
        rest(&mut world);
    }
    assert_eq!(world.writes(), 3);
    world.delete_claim(M, "a");
    world.deliver_all();
    rest(&mut world);
    assert!(world.claims.is_empty());
    while (0..super::world::STREAMS).any(|stream| world.deliver(stream)) {
        rest(&mut world);
    }
    assert_eq!(world.writes(), 6);
    assert_eq!(world.machine.snapshot().claims, 0);
}

#[test]
fn late_and_repeated_views_change_nothing() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    let early = world.events[1][0].clone();
    world.settle();
    let object = world.addresses[&address_key(M, "p-10-0-0-1")].clone();
    world.delete_claim(M, "a");
    world.settle();
    assert!(world.machine.is_empty() || world.pool.is_some());
    // The watch of an earlier life: the claim and the object as they once were.
    world.create_claim(M, "a");
    world.settle();
    world.show(early);
    world.show(Event::Seen(address_object(object)));
    world.pass(3 * 3600);
    let snapshot = world.machine.snapshot();
    assert_eq!((snapshot.claims, snapshot.allocated), (1, 1));
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

#[test]
fn an_answer_that_comes_after_the_watch_told_of_the_end_brings_nothing_back() {
    let mut world = World::new();
    before_create(&mut world);
    world.carry_out(0, Fate::Fine);
    // Created, seen, and taken away by hand before the answer arrives.
    let now = world.now;
    world.edit_address(&address_key(M, "p-10-0-0-1"), |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.deliver_all();
    world.answer(0);
    world.pass(5);
    assert_eq!(world.addresses.len(), 1);
    assert_eq!(world.machine.snapshot().allocated, 1);
    assert!(world.bound(M, "a").is_some());
}

#[test]
fn one_claims_backoff_honours_retry_after_and_delays_no_other() {
    let mut world = World::new();
    before_create(&mut world);
    let (id, _) = world.requests.pop_front().unwrap();
    world.step(Input::Answer {
        id,
        outcome: Outcome::NotSent {
            retry_after: Some(std::time::Duration::from_secs(7)),
        },
    });
    world.create_claim(M, "b");
    world.pass(6);
    assert!(world.bound(M, "a").is_none() && world.bound(M, "b").is_some());
    world.pass(5);
    assert!(world.bound(M, "a").is_some());
}

#[test]
fn the_same_seed_and_inputs_give_the_same_requests() {
    let run = || {
        let mut world = World::new();
        world.create_pool(spec(json!({
            "namePrefix": "p", "allocationStrategy": "random",
            "pools": [{ "start": "10.0.0.1", "end": "10.0.9.255" }],
        })));
        for number in 0..200 {
            world.create_claim(if number % 2 == 0 { M } else { C }, &format!("c{number}"));
        }
        world.pass(10);
        world.sent
    };
    assert_eq!(run(), run());
}

#[test]
fn requests_in_flight_are_bounded_and_go_by_age() {
    let mut world = World::with(Config {
        in_flight: 3,
        ..Config::default()
    });
    world.create_pool(small(200));
    world.settle();
    for number in 0..50 {
        world.create_claim(M, &format!("c{number:02}"));
    }
    let mut most = 0;
    while !world.requests.is_empty() || world.events.iter().any(|e| !e.is_empty()) {
        world.deliver_all();
        most = most.max(world.requests.len());
        world.carry_out(0, Fate::Fine);
        world.answer(0);
    }
    assert_eq!(most, 3);
    assert_eq!(world.bound(M, "c00").as_deref(), Some("10.0.0.1"));
    assert_eq!(world.bound(M, "c49").as_deref(), Some("10.0.0.50"));
}

/// With upstream's own definitions on the server our conditions are dropped in silence.
#[test]
fn u1_a_server_that_keeps_no_conditions_is_not_written_to_without_end() {
    let mut world = World::new();
    world.drops = ["conditions"].into();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.create_claim(M, "b");
    world.pass(60);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(
        world.claim(M, "b").error_message.as_deref(),
        Some("Exhausted IP Pools")
    );
    let sent = world.sent.len();
    assert!(sent < 16, "{sent} requests: {:?}", world.sent);
    world.pass(600);
    assert_eq!(world.sent.len(), sent, "at rest nothing is written");
    world.delete_claim(M, "a");
    world.pass(60);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
}

/// The fault layer's find (script "status wiped", seed 7): the watch told of the wiped status before the answer to the write
/// came, and that was taken for a server that keeps no status.
#[test]
fn u3_a_status_wiped_before_its_write_is_answered_is_written_again() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.pass(5);
    world.create_claim(M, "a");
    world.deliver_all();
    // Everything up to the claim's status; that is carried out and not answered yet.
    let is_status = |(_, request): &(_, Request)| matches!(request, Request::ClaimStatus { .. });
    let place = loop {
        if let Some(place) = world.requests.iter().position(is_status) {
            break place;
        }
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        world.deliver_all();
    };
    assert_eq!(world.bound(M, "a"), None);
    world.carry_out(place, Fate::Fine);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    world.edit_claim(&claim_key(M, "a"), |claim| {
        claim.published = None;
        claim.conditions.clear();
    });
    world.deliver_all();
    world.answer(0);
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}
