//! When pools hear of the end of a pause.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fixture::{Asked, Say, address_spec, object, server, until, wire};
use super::router::{World, world};
use crate::api::{Kind, WireObject};
use crate::controller::resume::Resumer;
use crate::controller::served::Served;
use crate::pool::{By, KindState};

const PAUSED: &str = "cluster k paused true";
const GOES_ON: &str = "cluster k paused false";

fn cluster(version: u64, paused: bool) -> WireObject {
    wire("k", "1", version, json!({ "paused": paused }))
}

/// A pool that knows that its Cluster is paused.
fn paused() -> World {
    let world = world(None).with_pool_of("x", "k");
    world.seen(Kind::Clusters, cluster(1, true));
    assert_eq!(world.told("x"), [PAUSED]);
    world
}

fn page(objects: &[Value], next: &str) -> Say {
    let metadata = json!({ "resourceVersion": "9", "continue": next });
    Say::Status(200, json!({ "metadata": metadata, "items": objects }))
}

#[tokio::test(start_paused = true)]
async fn p3_the_end_of_a_pause_is_told_after_every_address_object_of_the_namespace() {
    let world = paused();
    let address = |name: &str, uid: &str| object(name, uid, 5, address_spec("x"));
    let answers = move |n: usize, _: &Asked| match n {
        0 => Say::Status(500, json!({ "message": "busy" })),
        1 => page(&[address("a", "10")], "more"),
        2 => page(&[address("b", "11"), json!({ "spec": 7 })], ""),
        _ => page(&[], ""),
    };
    let (client, asked) = server(answers);
    let served = Arc::new(Served::new());
    served.set(
        Kind::Addresses(crate::api::ClaimKind::Capi),
        Some("v1beta1"),
    );
    let resumer = Resumer {
        client,
        router: Arc::clone(&world.router),
        served,
        seed: 1,
        page_bytes: 8 << 10,
    };
    tokio::spawn(resumer.run());
    world.seen(Kind::Clusters, cluster(2, false));
    let mut told = Vec::new();
    until("the pool hears of the end", || {
        told.extend(world.told("x"));
        told.len() == 3
    })
    .await;
    assert_eq!(told, ["address a 10", "address b 11", GOES_ON]);
    let asked: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|a| a.line.clone())
        .collect();
    let ours = "GET /apis/ipam.metal3.io/v1alpha1/namespaces/n/ipaddresses?limit=500";
    let theirs = "GET /apis/ipam.cluster.x-k8s.io/v1beta1/namespaces/n/ipaddresses?limit=500";
    assert_eq!(
        asked,
        [ours, ours, &format!("{ours}&continue=more"), theirs]
    );
    // A pool that begins later hears the same, and what changes then is told at once.
    let mut claim = wire("c", "2", 2, super::fixture::claim_spec("z"));
    let label = "cluster.x-k8s.io/cluster-name".into();
    claim.metadata.labels.insert(label, "k".into());
    world.seen(Kind::Claims(crate::api::ClaimKind::Metal3), claim);
    assert_eq!(world.told("z")[0], GOES_ON);
    world.seen(Kind::Clusters, cluster(3, true));
    assert_eq!(world.told("x"), [PAUSED]);
}

#[tokio::test]
async fn p3_a_list_that_began_before_a_pause_ended_does_not_count_for_it() {
    let world = paused();
    world.seen(Kind::Clusters, cluster(2, false));
    let first = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    // Seen anew meanwhile: it is the same end.
    world.seen(Kind::Clusters, cluster(3, false));
    assert_eq!(
        world.router.pause_ended(&"".into(), &BTreeSet::new()).await,
        first
    );
    world.seen(Kind::Clusters, cluster(4, true));
    world.seen(Kind::Clusters, cluster(5, false));
    world.router.resume(&first);
    assert!(world.told("x").is_empty(), "another pause has ended since");
    let second = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    assert_ne!(second, first);
    world.router.resume(&second);
    assert_eq!(world.told("x"), [GOES_ON]);
    world.router.resume(&second);
    assert!(world.told("x").is_empty());
}

#[tokio::test]
async fn p3_a_cluster_that_is_gone_meanwhile_does_not_come_back() {
    let world = paused();
    world.seen(Kind::Clusters, cluster(2, false));
    let ended = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    world.gone(Kind::Clusters, "k", "1");
    world.router.resume(&ended);
    assert_eq!(world.told("x"), ["cluster gone k"]);
}

#[tokio::test]
async fn p3_namespaces_take_turns() {
    let world = paused();
    let of = |namespace: &str, version, paused| {
        let mut cluster = cluster(version, paused);
        cluster.metadata.namespace = namespace.into();
        cluster
    };
    for namespace in ["a", "n", "z"] {
        world.seen(Kind::Clusters, of(namespace, 1, true));
        world.seen(Kind::Clusters, of(namespace, 2, false));
    }
    let mut after: Arc<str> = "".into();
    let mut turns = Vec::new();
    for _ in 0..4 {
        after = world
            .router
            .pause_ended(&after, &BTreeSet::new())
            .await
            .namespace;
        turns.push(after.to_string());
    }
    assert_eq!(turns, ["a", "n", "z", "a"]);
}

/// The list of one namespace gets no answer: the pause of another ends all the same.
#[tokio::test(start_paused = true)]
async fn p3_a_namespace_whose_list_hangs_keeps_no_other_waiting() {
    let world = paused();
    let (client, _) = server(|_, asked| {
        if asked.line.contains("/namespaces/a/") {
            Say::Nothing
        } else {
            page(&[], "")
        }
    });
    let resumer = Resumer {
        client,
        router: Arc::clone(&world.router),
        served: Arc::new(Served::new()),
        seed: 1,
        page_bytes: 8 << 10,
    };
    for (version, is_paused) in [(1, true), (2, false)] {
        let mut other = cluster(version, is_paused);
        other.metadata.namespace = "a".into();
        world.seen(Kind::Clusters, other);
    }
    tokio::spawn(resumer.run());
    world.seen(Kind::Clusters, cluster(2, false));
    let begun = tokio::time::Instant::now();
    until("the pool hears of the end", || world.told("x") == [GOES_ON]).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

fn list(world: &World, cluster: WireObject) {
    world
        .router
        .seen(Kind::Clusters, "v1beta2", By::List, cluster);
}

/// The watch has a gap while address objects are listed: in it the Cluster may have been paused and resumed once more.
#[tokio::test]
async fn p3_a_list_does_not_count_for_a_cluster_that_a_later_list_shows() {
    let world = paused();
    world.seen(Kind::Clusters, cluster(2, false));
    let first = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    list(&world, cluster(5, false));
    world.router.resume(&first);
    assert!(world.told("x").is_empty());
    let second = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    world.router.resume(&second);
    assert_eq!(world.told("x"), [GOES_ON]);
}

/// The watch of the Clusters had a gap, or their kind has just come: one that is new in the list may have been paused meanwhile.
#[tokio::test]
async fn p3_a_cluster_that_is_new_in_a_later_list_waits_for_the_address_objects_too() {
    let world = world(None).with_pool_of("x", "k");
    list(&world, cluster(1, false));
    assert_eq!(world.told("x"), [GOES_ON], "the first list of the term");
    world.router.kind_is(Kind::Clusters, KindState::Listed);
    world.router.addresses_begin().await;
    list(&world, cluster(2, false));
    assert!(world.told("x").is_empty(), "nothing new");

    let other = |uid| wire("other", uid, 3, json!({ "paused": false }));
    list(&world, other("2"));
    assert_eq!(world.told("x"), ["cluster other paused true"]);
    let ended = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    world.router.resume(&ended);
    assert_eq!(world.told("x"), ["cluster gone other"]);
    // Moved away and back.
    list(&world, wire("k", "7", 8, json!({ "paused": false })));
    let ended = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    assert_eq!(world.told("x"), [PAUSED]);
    world.router.resume(&ended);
    assert_eq!(world.told("x"), [GOES_ON]);
    // A watch without a gap would have shown the pause.
    world.seen(
        Kind::Clusters,
        wire("new", "9", 9, json!({ "paused": false })),
    );
    assert!(world.told("x").is_empty(), "no pool names it");
}

/// What the first list of Clusters shows as no longer paused is complete in the lists of address objects of that term.
#[tokio::test(start_paused = true)]
async fn p3_lists_of_address_objects_begin_after_the_clusters_are_listed_in_every_term() {
    let world = world(None);
    let begins = async || {
        let begins = world.router.addresses_begin();
        tokio::time::timeout(std::time::Duration::from_secs(1), begins)
            .await
            .is_ok()
    };
    assert!(!begins().await);
    world.router.kind_is(Kind::Clusters, KindState::Listed);
    assert!(begins().await);
    world.router.next_term();
    assert!(!begins().await);
    world.router.kind_is(Kind::Clusters, KindState::Absent);
    assert!(begins().await);
}

/// The worker is busy, and has not taken the pause yet when its end comes.
#[tokio::test]
async fn p3_the_end_of_a_pause_overtakes_no_address_object_in_the_mailbox() {
    let world = world(None).with_pool_of("x", "k");
    world.router.kind_is(Kind::Clusters, KindState::Listed);
    world.router.addresses_begin().await;
    list(&world, cluster(2, false));
    let object = wire("a", "10", 5, address_spec("x"));
    let kind = Kind::Addresses(crate::api::ClaimKind::Metal3);
    world.router.seen(kind, "v1alpha1", By::Read, object);
    let ended = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    world.router.resume(&ended);
    assert_eq!(world.told("x"), [PAUSED, "address a 10", GOES_ON]);
}

/// The list began before there were objects of the newer one.
#[tokio::test]
async fn p3_a_list_does_not_count_for_a_cluster_that_took_the_place_of_another() {
    let world = paused();
    world.router.kind_is(Kind::Clusters, KindState::Listed);
    world.router.addresses_begin().await;
    world.seen(Kind::Clusters, cluster(2, false));
    let first = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    list(&world, wire("k", "7", 8, json!({ "paused": false })));
    world.told("x");
    world.router.resume(&first);
    assert!(world.told("x").is_empty());
    let second = world.router.pause_ended(&"".into(), &BTreeSet::new()).await;
    world.router.resume(&second);
    assert_eq!(world.told("x"), [GOES_ON]);
}

/// A list of hundreds of pages on a busy server.
#[tokio::test(start_paused = true)]
async fn p3_a_later_page_of_the_address_objects_that_fails_is_asked_for_again() {
    let world = paused();
    let address = |name: &str, uid: &str| object(name, uid, 5, address_spec("x"));
    let answers = move |n: usize, _: &Asked| match n {
        0 => page(&[address("a", "10")], "more"),
        1 => Say::Status(500, json!({ "message": "busy" })),
        _ => page(&[address("b", "11")], ""),
    };
    let (client, asked) = server(answers);
    tokio::spawn(resumer(&world, client).run());
    world.seen(Kind::Clusters, cluster(2, false));
    until("it goes on", || {
        world.told("x").iter().any(|told| told == GOES_ON)
    })
    .await;
    let asked = asked.lock().unwrap();
    let anew = asked
        .iter()
        .filter(|asked| !asked.line.contains("continue="));
    assert_eq!((asked.len(), anew.count()), (3, 1));
}

fn resumer(world: &World, client: kube::Client) -> Resumer {
    Resumer {
        client,
        router: Arc::clone(&world.router),
        served: Arc::new(Served::new()),
        seed: 1,
        page_bytes: 8 << 10,
    }
}

#[tokio::test(start_paused = true)]
async fn p3_four_namespaces_whose_lists_hang_keep_no_fifth_waiting_for_ever() {
    let world = paused();
    let (client, asked) = server(|_, asked| {
        if asked.line.contains("/namespaces/n/") {
            page(&[], "")
        } else {
            Say::Nothing
        }
    });
    for namespace in ["a", "b", "c", "d"] {
        for (version, is_paused) in [(1, true), (2, false)] {
            let mut other = cluster(version, is_paused);
            other.metadata.namespace = namespace.into();
            world.seen(Kind::Clusters, other);
        }
    }
    world.seen(Kind::Clusters, cluster(2, false));
    tokio::spawn(resumer(&world, client).run());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(asked.lock().unwrap().len(), 4, "four at once");
    until("the fifth goes on", || world.told("x") == [GOES_ON]).await;
}

#[tokio::test(start_paused = true)]
async fn p3_a_list_that_fails_again_and_again_is_tried_less_often() {
    let world = paused();
    let (client, asked) = server(|_, _| Say::Status(500, json!({ "message": "busy" })));
    tokio::spawn(resumer(&world, client).run());
    world.seen(Kind::Clusters, cluster(2, false));
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    let tries = asked.lock().unwrap().len();
    assert!((8..30).contains(&tries), "{tries}");
}
