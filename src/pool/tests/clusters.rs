//! Pause, Clusters, moves and other managers (P1 to P4).

use super::steps::{bound_world, is_create_next, kinds, until_create};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::super::{Decision, Input, Object, Request, RequestId, Scope};
use super::world::{C, Event, Fate, M, World, claim_key, small, spec};
use crate::api::Claim;
use crate::api::names::{CLUSTER_NAME_LABEL, PAUSED_ANNOTATION, PROVIDER_LABEL};

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
        (&*world.clusters["cl"].uid.to_string(), None)
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
fn p2_a_pool_leaves_its_cluster_at_once_for_one_that_comes_later() {
    let mut world = World::new();
    world.set_cluster("old", false);
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "old", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.create_claim(M, "a");
    world.settle();
    for name in ["new", "no label: /"] {
        world.edit_spec(|spec| spec.cluster_name = Some(name.into()));
        world.settle();
        let meta = &world.pool.as_ref().unwrap().meta;
        assert!(meta.labels.is_empty(), "{name}: {:?}", meta.labels);
        assert!(
            meta.owner_references.is_empty(),
            "the end of old would take it"
        );
        assert!(world.has_pool_finalizer());
        let since = world.sent.len();
        world.pass(60);
        assert!(kinds(&world, since).iter().all(|kind| kind.is_empty()));
        world.edit_spec(|spec| spec.cluster_name = Some("old".into()));
        world.settle();
        let meta = &world.pool.as_ref().unwrap().meta;
        assert_eq!(meta.labels[CLUSTER_NAME_LABEL], "old");
    }
    world.edit_spec(|spec| spec.cluster_name = Some("new".into()));
    world.settle();
    world.remove_cluster("old");
    world.set_cluster("new", false);
    world.settle();
    let meta = &world.pool.as_ref().unwrap().meta;
    assert_eq!(meta.labels[CLUSTER_NAME_LABEL], "new");
    let owners: Vec<_> = meta.owner_references.iter().map(|o| &*o.name).collect();
    assert_eq!(owners, ["new"]);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
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
        world.events[5].push_back(Event::Cluster(Input::ClusterSeen(facts.into())));
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

/// The pool belongs to no Cluster; some of its claims belong to one that is paused while their requests wait.
#[test]
fn p1_what_waits_to_be_sent_when_the_pause_of_a_claim_is_seen_is_withdrawn() {
    let ours = |c: &mut Claim| c.cluster = Some("cl".into());
    let mut world = World::new();
    world.create_pool(small(9));
    world.set_cluster("cl", false);
    world.create_claim_with(M, "bound", ours);
    world.settle();
    world.create_claim_with(M, "new", ours);
    world.create_claim(M, "other");
    world.delete_claim(M, "bound");
    world.deliver_all();
    // Finalizers of the new ones, DELETE of the old one's object.
    let waits = |world: &World| world.requests.len();
    assert_eq!(waits(&world), 3);
    world.set_cluster("cl", true);
    world.deliver_all();
    assert_eq!(waits(&world), 1, "{:?}", world.requests);
    world.pass(60);
    assert_eq!(world.claim(M, "new").meta.finalizers.len(), 0);
    assert!(world.claim(M, "bound").meta.is_deleting());
    assert!(world.bound(M, "other").is_some());
    assert!(
        !world
            .told
            .iter()
            .any(|d| matches!(d, Decision::Retrying { .. }))
    );

    world.set_cluster("cl", false);
    world.pass(1);
    assert!(world.bound(M, "new").is_some());
    assert!(!world.claims.contains_key(&claim_key(M, "bound")));
}

/// The create is the write that a move cannot take back.
#[test]
fn p1_a_create_that_waits_to_be_sent_is_withdrawn_and_another_claim_can_have_the_address() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.set_cluster("cl", false);
    world.create_claim_with(M, "a", |c| c.cluster = Some("cl".into()));
    until_create(&mut world);
    world.set_cluster("cl", true);
    world.deliver_all();
    assert!(!is_create_next(&world), "{:?}", world.requests);
    world.create_claim(M, "b");
    world.pass(60);
    assert_eq!(world.bound(M, "b").as_deref(), Some("10.0.0.1"));
    world.set_cluster("cl", false);
    world.pass(1);
    assert_eq!(world.reason(M, "a"), "PoolExhausted");
    world.delete_claim(M, "b");
    world.pass(1);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

/// The pool's own finalizer, labels and owner reference.
#[test]
fn p1_a_write_of_the_pools_metadata_that_waits_when_its_pause_is_seen_is_withdrawn() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.deliver_all();
    let is_meta = |(_, request): &(RequestId, Request)| matches!(request, Request::PoolMeta { .. });
    while !world.requests.iter().any(is_meta) {
        world.carry_out(0, Fate::Fine);
        world.answer(0);
    }
    world.set_cluster("cl", true);
    world.deliver_all();
    world.pass(60);
    assert!(!world.has_pool_finalizer());
    assert_eq!(world.pool_condition("Paused").0, "True");
    world.set_cluster("cl", false);
    world.pass(1);
    assert!(world.has_pool_finalizer());
}

/// What a condition says is no exception: the pause comes first.
#[test]
fn p1_a_status_of_the_pool_that_waits_when_its_pause_is_seen_is_withdrawn() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1", "end": "10.0.0.3" }],
    })));
    world.pass(20);
    world.edit_spec(|spec| spec.pools.clear());
    world.deliver_all();
    let is_status =
        |(_, request): &(RequestId, Request)| matches!(request, Request::PoolStatus { .. });
    assert!(
        world.requests.iter().any(is_status),
        "that it has no ranges"
    );
    world.set_cluster("cl", true);
    world.pass(60);
    assert_eq!(world.pool_condition("Paused").0, "True");
    assert_eq!(world.pool_condition("Exhausted").0, "False");
    world.set_cluster("cl", false);
    world.pass(2);
    assert_eq!(world.pool_condition("Paused").0, "False");
    assert_eq!(world.pool_condition("Exhausted").0, "True");
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

/// The watch of Clusters is behind: the pool's Cluster is gone, is asked for in vain, and is made anew. The pool starts as it is seen.
#[test]
fn p2_a_cluster_that_is_made_anew_is_not_waited_for() {
    let mut world = World::new();
    world.set_cluster("cl", false);
    world.deliver_all();
    // The watch does not show its end.
    world.remove_cluster("cl");
    let gone = world.events[5].pop_back().unwrap();
    world.create_pool(spec(json!({
        "namePrefix": "p", "clusterName": "cl", "pools": [{ "start": "10.0.0.1" }],
    })));
    world.create_claim(M, "a");
    world.pass(120);
    assert!(!world.has_pool_finalizer());
    world.events[5].push_back(gone);
    world.set_cluster("cl", false);
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}

/// A namespace may have thousands of Clusters: only who names one looks again when it changes.
#[test]
fn a12_a_cluster_that_nobody_here_names_wakes_no_claim() {
    let mut world = World::new();
    world.create_pool(small(1));
    world.create_claim(M, "a");
    world.create_claim(M, "waits");
    world.create_claim_with(M, "of-it", |claim| claim.cluster = Some("cl".into()));
    world.pass(5);
    for (name, woken) in [("other", None), ("cl", Some(claim_key(M, "of-it")))] {
        world.set_cluster(name, true);
        let Some(Event::Cluster(Input::ClusterSeen(facts))) = world.events[5].pop_front() else {
            panic!("no Cluster");
        };
        world.machine.cluster_seen(facts);
        assert_eq!(world.machine.queue.next_dirty(), woken);
        assert_eq!(world.machine.queue.next_dirty(), None);
    }
}

#[test]
fn p1_the_end_of_a_paused_cluster_wakes_who_names_it() {
    let mut world = World::new();
    world.create_pool(small(2));
    world.set_cluster("cl", true);
    world.create_claim_with(M, "a", |claim| claim.cluster = Some("cl".into()));
    world.pass(5);
    assert_eq!(world.bound(M, "a"), None);
    world.remove_cluster("cl");
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
}
