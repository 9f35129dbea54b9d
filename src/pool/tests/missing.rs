//! The address object of a living claim is missing: deleted, moved away, or shown by a forged status (R4, A1, U3).

use super::steps::{bound_world, is_claim_status, kinds};
use serde_json::json;

use super::super::{Fact, Input, Kinds, Question, Request, RequestId};
use super::world::{C, Fate, M, World, address_key, claim_key, small, spec};
use crate::api::names::DELETE_FOR_MOVE_ANNOTATION;
use crate::api::{Address, AddressKey};

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
fn a2_a_claim_gets_its_address_again_from_a_pool_that_is_made_anew() {
    for kind in [M, C] {
        let mut world = World::new();
        world.create_pool(small(5));
        for name in ["free", "a", "b"] {
            world.create_claim(kind, name);
            world.settle();
        }
        world.delete_claim(kind, "free");
        world.pass(2);
        // As an operator takes a pool away that holds on.
        world.delete_pool();
        world.settle();
        let objects: Vec<_> = world.addresses.keys().cloned().collect();
        for object in &objects {
            world.edit_address(object, |address| address.meta.finalizers.clear());
            world.delete_address(object);
        }
        world.pass(5);
        assert!(world.pool.is_none(), "nothing holds it any more");
        world.pass(60);
        let shows = |world: &World, name| world.claim(kind, name).published.clone();
        assert_eq!(shows(&world, "a").as_deref(), Some("p-10-0-0-2"));
        assert!(world.message(kind, "a").contains("does not exist"));
        world.create_claim(kind, "0-younger");
        world.create_pool(small(5));
        world.pass(5);
        assert_eq!(world.bound(kind, "a").as_deref(), Some("10.0.0.2"));
        assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.3"));
        assert_eq!(world.bound(kind, "0-younger").as_deref(), Some("10.0.0.1"));
        assert_eq!(world.addresses.len(), 3);

        // A pool with other ranges: what is not in them is no address of the claim any more.
        world.delete_pool();
        for object in &objects {
            world.edit_address(object, |address| address.meta.finalizers.clear());
            world.delete_address(object);
        }
        let last = address_key(kind, "p-10-0-0-1");
        world.edit_address(&last, |address| address.meta.finalizers.clear());
        world.delete_address(&last);
        world.pass(5);
        world.create_pool(spec(json!({
            "namePrefix": "p", "pools": [{ "start": "10.0.0.3", "end": "10.0.0.9" }],
        })));
        world.pass(60);
        assert_eq!(world.bound(kind, "b").as_deref(), Some("10.0.0.3"));
        let others: Vec<_> = ["a", "0-younger"]
            .map(|name| world.bound(kind, name))
            .into();
        assert!(others.contains(&Some("10.0.0.4".into())), "{others:?}");
        assert!(others.contains(&Some("10.0.0.5".into())), "{others:?}");
    }
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

/// What is remembered of the object that vanished says nothing of another name.
#[test]
fn u3_a_forged_status_is_corrected_while_the_address_that_it_had_is_another_objects() {
    let mut world = bound_world();
    world.create_address(M, "rival", "prov", "nobody", "10.0.0.1", |_| {});
    world.settle();
    let (object, now) = (address_key(M, "p-10-0-0-1"), world.now);
    world.edit_address(&object, |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.pass(20);
    assert_eq!(world.reason(M, "a"), "AddressConflict");
    // One outside of the ranges, and one that it could get if it had none.
    for forged in ["p-10-0-0-99", "p-10-0-0-3"] {
        world.edit_claim(&claim_key(M, "a"), |claim| {
            claim.published = Some(forged.into());
        });
        world.pass(20);
        let shown = world.claim(M, "a").published.clone();
        assert_ne!(shown.as_deref(), Some(forged));
    }
}

/// Whatever the claim's status shows meanwhile.
#[test]
fn r4_an_object_that_was_moved_away_is_not_made_again_for_another_status() {
    for edited in [Some("p-10-0-0-3"), None] {
        let mut world = bound_world();
        move_away(&mut world, &address_key(M, "p-10-0-0-1"));
        world.settle();
        let creates = |world: &World| {
            let create = |r: &&Request| matches!(r, Request::CreateAddress(_));
            world.sent.iter().filter(create).count()
        };
        let before = creates(&world);
        world.edit_claim(&claim_key(M, "a"), |claim| {
            claim.published = edited.map(Into::into);
        });
        world.pass(590);
        assert_eq!(creates(&world), before, "{edited:?}");
        world.pass(30);
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    }
}

/// Upstream names an object by the text of a pre-allocation.
#[test]
fn a2_an_object_that_upstream_named_by_another_spelling_keeps_its_address() {
    for (text, name) in [
        ("::ffff:10.0.0.1", "p---ffff-10-0-0-1"),
        ("::ffff:a00:1", "p---ffff-a00-1"),
        ("10.0.0.01", "p-10-0-0-01"),
    ] {
        let mut world = World::new();
        world.create_pool(small(3));
        world.settle();
        world.create_address(M, name, "prov", "a", text, |_| {});
        world.create_claim_with(M, "a", |claim| claim.published = Some(name.into()));
        world.pass(5);
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"), "{text}");
        let consistent = world.pool_condition("Consistent");
        assert_eq!(consistent.0, "True", "{text}: {consistent:?}");
        // A new leader finds the claim alone, and its address in the pool's status at the least.
        let now = world.now;
        world.edit_address(&address_key(M, name), |a| {
            a.meta.finalizers.clear();
            a.meta.deletion_timestamp = Some(now);
        });
        world.restart();
        world.create_claim(M, "b");
        world.pass(5);
        assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"), "{text}");
        assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"), "{text}");
    }
}

#[test]
fn r2_a_deleted_claim_that_others_keep_keeps_its_address_without_its_object() {
    let mut world = bound_world();
    world.edit_claim(&claim_key(M, "a"), |claim| {
        claim.meta.finalizers.push("x/y".into());
    });
    world.delete_claim(M, "a");
    world.pass(2);
    strip(&mut world, &address_key(M, "p-10-0-0-1"));
    world.create_claim(M, "b");
    world.pass(5);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.2"));
    world.restart();
    world.create_claim(M, "c");
    world.pass(5);
    assert_eq!(world.bound(M, "c").as_deref(), Some("10.0.0.3"));
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

/// A manager that does not lead is asked whether a pool may lose an address.
#[test]
fn a2_an_address_that_a_claim_shows_is_in_use_before_every_kind_is_listed() {
    let mut world = bound_world();
    let now = world.now;
    world.edit_address(&address_key(M, "p-10-0-0-1"), |a| {
        a.meta.finalizers.clear();
        a.meta.deletion_timestamp = Some(now);
    });
    world.restart();
    world.step(Input::Kinds(Kinds::default()));
    let Fact::InUse(in_use) = world.machine.fact(&Question::InUse) else {
        panic!("addresses in use");
    };
    let shown = "IPClaim default/a, whose IPAddress is missing";
    assert!(in_use.iter().any(|used| used.by == shown), "{in_use:?}");
}

/// The object goes while the write that shows it is under way, and the answer to that is older than what the watch has shown, which
/// waits in the mailbox: the address stays the claim's.
#[test]
fn a2_an_answer_that_overtakes_the_newer_claim_gives_no_address_up() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "first");
    world.pass(2);
    world.create_claim(M, "a");
    let shows = |(_, request): &(RequestId, Request)| is_claim_status(request);
    while !world.requests.iter().any(shows) {
        world.deliver_all();
        world.carry_out(0, Fate::Fine);
        world.answer(0);
    }
    // A lower address becomes free.
    world.delete_claim(M, "first");
    while world.claims.contains_key(&claim_key(M, "first")) {
        world.deliver_all();
        let other = world.requests.iter().position(|request| !shows(request));
        world.carry_out(other.unwrap(), Fate::Fine);
        world.answer(0);
    }
    let publish = world.requests.iter().position(shows).unwrap();
    world.carry_out(publish, Fate::Fine);
    world.edit_claim(&claim_key(M, "a"), |claim| {
        claim.meta.labels.insert("edited".into(), String::new());
    });
    let (now, object) = (world.now, address_key(M, "p-10-0-0-2"));
    world.edit_address(&object, |object| {
        object.meta.deletion_timestamp = Some(now);
        object.meta.finalizers.clear();
    });
    let (claims, addresses) = (1, 3);
    while world.deliver(addresses) {}
    while !world.events[claims].is_empty() {
        world.deliver_to_mailbox(claims);
    }
    let answer = world.answers.len() - 1;
    world.answer(answer);
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.2"));
    let published: Vec<_> = world
        .published
        .iter()
        .filter(|(_, key, _)| &*key.name == "a")
        .collect();
    assert_eq!(published.len(), 1, "{published:?}");
}

/// The claim shows an object that another leader made, and the watch of address objects has not shown it yet: what is seen already does
/// not take its place. Where there is none of that name, the status was forged.
#[test]
fn a2_a_status_that_leads_to_an_object_not_yet_seen_is_not_written_over() {
    for exists in [true, false] {
        let mut world = World::new();
        world.create_pool(small(9));
        world.pass(2);
        let ours = |a: &mut Address| a.meta.finalizers.push(M.address_finalizer().into());
        world.create_claim(M, "a");
        world.create_address(M, "p-10-0-0-9", "prov", "a", "10.0.0.9", ours);
        if exists {
            world.create_address(M, "p-10-0-0-4", "prov", "a", "10.0.0.4", ours);
        }
        world.edit_claim(&claim_key(M, "a"), |claim| {
            claim.published = Some("p-10-0-0-4".into());
        });
        let (claims, addresses) = (1, 3);
        world.deliver(addresses);
        let since = world.sent.len();
        for _ in 0..20 {
            while world.deliver(claims) {}
            world.carry_out(0, Fate::Fine);
            world.answer(0);
        }
        let address = if exists { "10.0.0.4" } else { "10.0.0.9" };
        assert_eq!(world.bound(M, "a").as_deref(), Some(address));
        let reads = kinds(&world, since)
            .iter()
            .filter(|kind| **kind == "read address")
            .count();
        assert_eq!(reads, 1, "{:?}", kinds(&world, since));
        world.pass(60);
        assert_eq!(world.bound(M, "a").as_deref(), Some(address));
    }
}

/// A status that leads to a name which no object can have is put right without a read that no server answers.
#[test]
fn u3_a_status_that_leads_to_no_name_is_put_right() {
    let mut world = bound_world();
    let since = world.sent.len();
    world.edit_claim(&claim_key(M, "a"), |claim| {
        claim.published = Some("a/b".into());
    });
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    assert_eq!(kinds(&world, since), ["status"]);
}

/// The object that a status shows cannot be read: the claim says so, and is served when it can.
#[test]
fn u1_a_read_of_the_shown_object_that_is_refused_is_said() {
    let mut world = World::new();
    world.create_pool(small(9));
    world.pass(2);
    world.create_address(M, "by-hand", "prov", "a", "10.0.0.9", |_| {});
    world.create_claim_with(M, "a", |claim| claim.published = Some("p-10-0-0-4".into()));
    world.refuses = Some((|r| matches!(r, Request::ReadAddress { .. }), "you may not"));
    world.pass(30);
    assert_eq!(world.reason(M, "a"), "AllocationFailed");
    let message = world.message(M, "a");
    assert!(
        message.contains("this claim's status shows: you may not"),
        "{message}"
    );
    world.refuses = None;
    world.pass(61);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.9"));
}

/// While the object that a status shows cannot be read, the status is left as it is: another object does not take its place.
#[test]
fn a2_a_status_is_not_cleared_while_what_it_shows_cannot_be_read() {
    let mut world = World::new();
    world.create_pool(small(9));
    world.pass(2);
    world.create_claim_with(M, "a", |claim| claim.published = Some("by-hand-2".into()));
    world.create_address(M, "by-hand-1", "prov", "a", "10.0.0.9", |_| {});
    world.create_address(M, "by-hand-2", "prov", "a", "10.0.0.4", |_| {});
    // The watch has not shown the second one.
    let unseen = world.events[3].pop_back().unwrap();
    world.refuses = Some((|r| matches!(r, Request::ReadAddress { .. }), "you may not"));
    world.pass(30);
    let shows = |world: &World| world.claim(M, "a").published.clone();
    assert_eq!(shows(&world).as_deref(), Some("by-hand-2"));
    assert_eq!(world.reason(M, "a"), "AllocationFailed");
    world.refuses = None;
    world.pass(61);
    world.events[3].push_back(unseen);
    world.pass(5);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.4"));
    assert_eq!(world.reason(M, "a"), "AddressAllocated");
}
