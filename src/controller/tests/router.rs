//! Which pool hears of what, and in which order.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::json;

use super::fixture::{address_spec, claim_spec, key, pool_spec, told, wire};
use crate::api::Kind;
use crate::api::{Address, AddressKey, ClaimKind, WireObject};
use crate::controller::kinds::Listing;
use crate::controller::lease::Entry;
use crate::controller::registry::Registry;
use crate::controller::router::Router;
use crate::controller::view::Counts;
use crate::controller::wire::{Subject, Verb};
use crate::pool::{By, KindState, Name, Object, Outcome, RequestId, Reread, Scope, Take};

const CLAIMS: Kind = Kind::Claims(ClaimKind::Metal3);
const ADDRESSES: Kind = Kind::Addresses(ClaimKind::Metal3);

pub(super) struct World {
    pub(super) router: Arc<Router>,
    registry: Arc<Registry>,
    hired: Arc<Mutex<Vec<String>>>,
}

pub(super) fn world(filter: Option<&str>) -> World {
    let registry = Arc::new(Registry::default());
    let hired = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&hired);
    let router = Arc::new(Router::new(
        Arc::clone(&registry),
        Arc::new(Counts::new(Arc::default(), "lease")),
        filter.map(str::to_owned),
        Box::new(move |_, key, _| log.lock().unwrap().push(key.to_string())),
    ));
    World {
        router,
        registry,
        hired,
    }
}

impl World {
    pub(super) fn seen(&self, kind: Kind, object: WireObject) {
        self.router.seen(kind, "v1beta2", By::Event, object);
    }

    pub(super) fn gone(&self, kind: Kind, name: &str, uid: &str) {
        self.router
            .gone(kind, &named(name), &uid.into(), &"".into());
    }

    /// The pool gets an answer about an address object.
    fn answered(&self, pool: &str, name: &str, uid: Option<&str>, outcome: Outcome) {
        let mailbox = self.registry.get(&key(pool)).unwrap().mailbox;
        let uid = uid.map(Into::into);
        let subject = Subject {
            verb: Verb::Patch,
            kind: ADDRESSES,
            name,
            uid: uid.as_ref(),
        };
        let reply = mailbox.reserve(RequestId(1));
        self.router.answered(&key(pool), &subject, outcome, reply);
    }

    /// The answer that shows an address object of a pool.
    fn stored(&self, pool: &str, uid: &str, version: u64) {
        let object = made("a", uid, version, pool);
        self.answered(pool, "a", None, Outcome::Stored(object, Take::In));
    }

    /// The address objects of the namespace were listed after a pause has ended.
    fn resumed(&self) {
        let (first, none) = ("".into(), BTreeSet::new());
        let ended = self.router.pause_ended(&first, &none).now_or_never();
        self.router.resume(&ended.expect("a pause has ended"));
    }

    /// What the pool was told since the last time.
    pub(super) fn told(&self, pool: &str) -> Vec<String> {
        let Some(handle) = self.registry.get(&key(pool)) else {
            return Vec::new();
        };
        std::iter::from_fn(|| handle.mailbox.take_input())
            .map(|input| told(&input))
            .collect()
    }

    /// Has a worker for this pool that has taken in everything.
    pub(super) fn with_pool(self, pool: &str) -> Self {
        self.with_pool_of(pool, "")
    }

    /// The same, of a pool that names this Cluster.
    pub(super) fn with_pool_of(self, pool: &str, cluster: &str) -> Self {
        self.seen(Kind::Pools, wire(pool, "p", 1, pool_of(cluster)));
        self.told(pool);
        self
    }
}

fn made(name: &str, uid: &str, version: u64, pool: &str) -> Object {
    let object = wire(name, uid, version, address_spec(pool));
    Object::Address {
        address: Box::new(Address::read(ClaimKind::Metal3, object)),
        scope: Scope::Ours,
    }
}

fn named(name: &str) -> Name {
    Name {
        namespace: "n".into(),
        name: name.into(),
    }
}

#[test]
fn objects_of_both_kinds_lead_to_their_pool_which_gets_one_worker() {
    let world = world(None);
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    let capi =
        json!({ "poolRef": { "apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "x" } });
    world.seen(Kind::Claims(ClaimKind::Capi), wire("c", "2", 2, capi));
    world.seen(ADDRESSES, wire("a", "3", 3, address_spec("x")));
    world.seen(
        Kind::Pools,
        wire("x", "4", 4, json!({ "namePrefix": "p", "pools": [{}] })),
    );
    assert_eq!(*world.hired.lock().unwrap(), ["n/x"]);
    let told = world.told("x");
    assert_eq!(
        told[..4],
        [
            "kinds synced false",
            "claim IPClaim c 1 Ours",
            "claim IPAddressClaim c 2 Ours",
            "address a 3"
        ]
    );
    assert!(
        told[4].starts_with("pool 4 Ours [\"spec.pools[0]"),
        "{told:?}"
    );
}

#[test]
fn objects_of_other_providers_lead_nowhere_but_for_our_finalizer() {
    let world = world(None);
    let other = json!({ "poolRef": { "apiGroup": "ipam.cluster.x-k8s.io", "kind": "InClusterIPPool", "name": "x" } });
    let kind = Kind::Claims(ClaimKind::Capi);
    world.seen(kind, wire("c", "1", 1, other.clone()));
    world.seen(
        Kind::Addresses(ClaimKind::Capi),
        wire("a", "2", 2, other.clone()),
    );
    assert!(world.hired.lock().unwrap().is_empty());
    let mut ours = wire("c", "1", 3, other.clone());
    ours.metadata.finalizers = vec!["ipam.metal3.io/ipaddressclaim".into()];
    world.seen(kind, ours);
    assert_eq!(world.told("x")[1], "claim IPAddressClaim c 1 Ours");
    // Once the finalizer is off it is theirs alone.
    world.seen(kind, wire("c", "1", 4, other));
    assert_eq!(world.told("x"), ["claim left IPAddressClaim c 1"]);
}

#[test]
fn a_claim_that_leads_elsewhere_has_left_the_old_pool() {
    let world = world(None).with_pool("x").with_pool("y");
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    world.seen(CLAIMS, wire("c", "1", 2, claim_spec("y")));
    assert_eq!(world.told("x"), ["claim left IPClaim c 1"]);
    assert_eq!(world.told("y"), ["claim IPClaim c 1 Ours"]);
}

#[test]
fn no_pool_gets_a_worker_after_the_end_of_the_run() {
    let world = world(None).with_pool("x");
    world.router.stop();
    // A page of a list is just being put in.
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    world.seen(CLAIMS, wire("d", "2", 2, claim_spec("y")));
    world.seen(Kind::Pools, wire("z", "3", 3, pool_spec()));
    assert_eq!(*world.hired.lock().unwrap(), ["n/x"]);
}

#[test]
fn a_new_incarnation_whose_predecessors_end_was_missed_ends_it() {
    let world = world(None).with_pool("x");
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    assert_eq!(world.told("x"), ["claim IPClaim c 1 Ours"]);
    world.seen(CLAIMS, wire("c", "2", 5, claim_spec("x")));
    assert_eq!(
        world.told("x"),
        ["claim gone IPClaim c 1", "claim IPClaim c 2 Ours"]
    );
    // The late end of the first one is nothing new.
    world.gone(CLAIMS, "c", "1");
    assert!(world.told("x").is_empty());
    world.gone(CLAIMS, "c", "2");
    assert_eq!(world.told("x"), ["claim gone IPClaim c 2"]);
}

#[test]
fn a3_a_relist_ends_what_is_no_longer_there() {
    let world = world(None).with_pool("x");
    for (name, uid) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.seen(ADDRESSES, wire(name, uid, 1, address_spec("x")));
    }
    world.told("x");
    world
        .router
        .reset(ADDRESSES, &HashSet::from([named("b")]), &"9".into());
    assert_eq!(world.told("x"), ["address gone a 1", "address gone c 3"]);
    world
        .router
        .reset(ADDRESSES, &HashSet::from([named("b")]), &"10".into());
    assert!(world.told("x").is_empty());
}

#[test]
fn a3_our_own_create_is_missed_by_a_later_list_and_not_by_an_older_one() {
    let world = world(None).with_pool("x");
    world.stored("x", "1", 7);
    assert_eq!(world.told("x"), ["answer 1 Stored 1 In"]);
    world.router.reset(ADDRESSES, &HashSet::new(), &"6".into());
    assert!(
        world.told("x").is_empty(),
        "the list was made before the object"
    );
    world.router.reset(ADDRESSES, &HashSet::new(), &"8".into());
    assert_eq!(world.told("x"), ["address gone a 1"]);
}

/// Our create made an object under a name whose last holder the watch, which then broke, has not told gone.
#[test]
fn a3_our_own_create_takes_the_place_of_an_older_object_of_its_name() {
    let world = world(None).with_pool("x");
    world.seen(ADDRESSES, wire("a", "1", 5, address_spec("x")));
    assert_eq!(world.told("x"), ["address a 1"]);
    world.stored("x", "2", 7);
    assert_eq!(
        world.told("x"),
        ["answer 1 Stored 2 In", "address gone a 1"]
    );
    // It was ended by somebody else before the list that follows.
    world.router.reset(ADDRESSES, &HashSet::new(), &"9".into());
    assert_eq!(world.told("x"), ["address gone a 2"]);

    // The watch was faster than the answer, and knows a successor already.
    world.seen(ADDRESSES, wire("a", "3", 12, address_spec("x")));
    assert_eq!(world.told("x"), ["address a 3"]);
    world.stored("x", "2", 10);
    assert_eq!(world.told("x"), ["answer 1 Stored 2 LeaveOut"]);
    world.router.reset(ADDRESSES, &HashSet::new(), &"14".into());
    assert_eq!(world.told("x"), ["address gone a 3"]);
}

#[test]
fn what_the_watch_shows_after_the_answer_is_not_told_twice() {
    let world = world(None).with_pool("x");
    world.stored("x", "1", 7);
    world.told("x");
    world.seen(ADDRESSES, wire("a", "1", 7, address_spec("x")));
    assert!(world.told("x").is_empty());
    world.seen(ADDRESSES, wire("a", "1", 8, address_spec("x")));
    assert_eq!(world.told("x"), ["address a 1"]);
}

/// The watch lags: it shows a change of the object that had the name before, after our create has made a new one.
#[test]
fn a1_a_late_event_of_the_object_before_does_not_end_the_one_that_our_create_made() {
    let world = world(None).with_pool("x");
    world.seen(ADDRESSES, wire("a", "1", 5, address_spec("x")));
    world.stored("x", "2", 9);
    world.told("x");
    world.seen(ADDRESSES, wire("a", "1", 7, address_spec("x")));
    world.gone(ADDRESSES, "a", "1");
    assert!(world.told("x").is_empty());
    world.gone(ADDRESSES, "a", "2");
    assert_eq!(world.told("x"), ["address gone a 2"]);
}

#[test]
fn an_end_that_an_answer_shows_is_told_to_everybody_who_waits_and_not_twice() {
    let world = world(None).with_pool("x").with_pool("y");
    world.seen(ADDRESSES, wire("a", "1", 5, address_spec("x")));
    world.told("x");
    let name = AddressKey {
        kind: ClaimKind::Metal3,
        name: "a".into(),
    };
    world.router.watch_name(&key("y"), &name);
    world.answered("x", "a", Some("1"), Outcome::Gone);
    assert_eq!(world.told("x"), ["answer 1 Gone"]);
    assert_eq!(world.told("y"), ["freed a"]);
    world.seen(ADDRESSES, wire("a", "1", 6, address_spec("x")));
    world.gone(ADDRESSES, "a", "1");
    assert!(world.told("x").is_empty());
    assert!(world.told("y").is_empty());
}

/// The pool has not taken a version in yet when an answer shows that the object is gone: answers overtake objects, and what is
/// gone must not come back.
#[test]
fn r3_an_answer_that_shows_an_end_drops_what_was_not_taken_of_that_object() {
    let world = world(None).with_pool("x");
    world.seen(ADDRESSES, wire("a", "1", 5, address_spec("x")));
    assert_eq!(world.told("x"), ["address a 1"]);
    world.seen(ADDRESSES, wire("a", "1", 6, address_spec("x")));
    world.answered("x", "a", Some("1"), Outcome::Gone);
    world.gone(ADDRESSES, "a", "1");
    assert_eq!(world.told("x"), ["answer 1 Gone"]);
    // A successor stays, whatever an answer says of the one before.
    world.seen(ADDRESSES, wire("b", "1", 7, address_spec("x")));
    assert_eq!(world.told("x"), ["address b 1"]);
    world.seen(ADDRESSES, wire("b", "2", 9, address_spec("x")));
    world.answered("x", "b", Some("1"), Outcome::Conflict(Reread::Gone));
    assert_eq!(
        world.told("x"),
        ["answer 1 Conflict(Gone)", "address gone b 1", "address b 2"]
    );
}

#[test]
fn an_object_that_an_answer_shows_elsewhere_goes_to_the_pool_that_it_leads_to() {
    let world = world(None).with_pool("x").with_pool("y");
    world.seen(ADDRESSES, wire("a", "1", 5, address_spec("x")));
    world.told("x");
    let object = made("a", "1", 8, "y");
    world.answered("x", "a", None, Outcome::Stored(object, Take::In));
    assert_eq!(
        world.told("x"),
        ["answer 1 Stored 1 LeaveOut", "address gone a 1"]
    );
    assert_eq!(world.told("y"), ["address a 1"]);
    // Another provider's object of that name leads nowhere.
    let spec = json!({ "address": "10.0.0.1", "claimRef": { "name": "c" },
        "poolRef": { "apiGroup": "ipam.cluster.x-k8s.io", "kind": "InClusterIPPool", "name": "x" } });
    let object = Object::Address {
        address: Box::new(Address::read(ClaimKind::Capi, wire("a", "2", 9, spec))),
        scope: Scope::Ours,
    };
    world.answered("x", "a", None, Outcome::Stored(object, Take::In));
    assert_eq!(world.told("x"), ["answer 1 Stored 2 LeaveOut"]);
}

#[test]
fn namespaces_are_forgotten_with_their_last_object() {
    let world = world(None);
    for n in 0..10_000 {
        let mut object = wire("c", "1", 1, claim_spec("x"));
        object.metadata.namespace = format!("n{n}").into();
        let name = Name::of(&object.metadata);
        world.seen(Kind::Clusters, object);
        world
            .router
            .gone(Kind::Clusters, &name, &"1".into(), &"1".into());
    }
    let known = world.router.shared_texts_for_tests();
    assert!(known <= 256, "{known}");
}

#[test]
fn a12_whoever_holds_a_name_as_foreign_hears_when_it_goes() {
    let world = world(None).with_pool("x").with_pool("y");
    let key_of = |name: &str| AddressKey {
        kind: ClaimKind::Metal3,
        name: name.into(),
    };
    world.router.watch_name(&key("x"), &key_of("a"));
    world.seen(ADDRESSES, wire("a", "1", 1, address_spec("y")));
    assert!(world.told("x").is_empty());
    assert_eq!(world.told("y"), ["address a 1"]);
    world.gone(ADDRESSES, "a", "1");
    assert_eq!(world.told("x"), ["freed a"]);
    assert_eq!(world.told("y"), ["address gone a 1"]);
    // Its own object is no foreign one.
    world.seen(ADDRESSES, wire("a", "2", 2, address_spec("x")));
    world.gone(ADDRESSES, "a", "2");
    assert_eq!(world.told("x"), ["address gone a 2"]);
    world.router.forget_name(&key("x"), &key_of("a"));
    world.seen(ADDRESSES, wire("a", "3", 3, address_spec("y")));
    world.gone(ADDRESSES, "a", "3");
    assert!(world.told("x").is_empty());
    // Another kind's object of that name is another object.
    world.router.watch_name(&key("x"), &key_of("b"));
    let other = json!({ "poolRef": { "apiGroup": "o", "kind": "P", "name": "y" } });
    let capi = Kind::Addresses(ClaimKind::Capi);
    world.seen(capi, wire("b", "4", 4, other));
    world.gone(capi, "b", "4");
    assert!(world.told("x").is_empty());
}

fn pool_of(cluster: &str) -> serde_json::Value {
    let mut spec = pool_spec();
    spec["clusterName"] = json!(cluster);
    spec
}

/// A claim of pool x that its label says to be of this Cluster.
fn claim_of(cluster: &str, uid: &str, version: u64) -> WireObject {
    let mut claim = wire(&format!("of-{cluster}"), uid, version, claim_spec("x"));
    let label = "cluster.x-k8s.io/cluster-name".into();
    claim.metadata.labels.insert(label, cluster.into());
    claim
}

fn cluster(version: u64, paused: bool) -> WireObject {
    wire("k", "1", version, json!({ "paused": paused }))
}

#[test]
fn pools_hear_of_a_cluster_that_their_objects_name_before_the_first_of_these() {
    let world = world(None).with_pool("x");
    world.seen(Kind::Clusters, cluster(1, false));
    assert!(world.told("x").is_empty());
    world.seen(CLAIMS, claim_of("k", "2", 2));
    assert_eq!(
        world.told("x"),
        ["cluster k paused false", "claim IPClaim of-k 2 Ours"]
    );
    world.seen(CLAIMS, claim_of("k", "2", 3));
    assert_eq!(world.told("x"), ["claim IPClaim of-k 2 Ours"]);
    // Nothing that a pool looks at changed.
    world.seen(Kind::Clusters, cluster(4, false));
    assert!(world.told("x").is_empty());
    world.seen(Kind::Clusters, wire("k", "9", 5, json!({})));
    assert_eq!(world.told("x"), ["cluster k paused false"]);

    // Also where that object has its place already.
    let world = world.with_pool("v");
    for (version, pool) in [(6, pool_spec()), (7, pool_of("k"))] {
        world.seen(Kind::Pools, wire("v", "p", version, pool));
    }
    let told = world.told("v");
    assert_eq!((told.len(), &*told[0]), (2, "cluster k paused false"));

    // A pool that names it, in its first worker and later.
    world.seen(Kind::Pools, wire("y", "3", 6, pool_of("k")));
    assert_eq!(world.told("y")[0], "cluster k paused false");
    world.seen(Kind::Pools, wire("y", "3", 7, pool_of("other")));
    world.told("y");
    let mut other = cluster(8, false);
    other.metadata.name = "other".into();
    other.metadata.uid = "8".into();
    world.seen(Kind::Clusters, other);
    assert_eq!(world.told("y"), ["cluster other paused false"]);
    assert!(world.told("x").is_empty());
    world.gone(Kind::Clusters, "other", "8");
    assert_eq!(world.told("y"), ["cluster gone other"]);
    assert!(world.told("x").is_empty());
}

#[test]
fn p1_every_pool_of_a_namespace_hears_that_a_cluster_is_paused_also_a_new_one() {
    let world = world(None).with_pool("x");
    world.seen(Kind::Clusters, cluster(1, true));
    assert_eq!(world.told("x"), ["cluster k paused true"]);
    world.seen(CLAIMS, wire("c", "2", 2, claim_spec("z")));
    assert_eq!(world.told("z")[0], "cluster k paused true");
    let mut elsewhere = wire("k", "9", 9, json!({ "paused": true }));
    elsewhere.metadata.namespace = "other".into();
    world.seen(Kind::Clusters, elsewhere);
    assert!(world.told("x").is_empty());
    // Pool x knows the Cluster already.
    world.seen(CLAIMS, claim_of("k", "3", 3));
    assert_eq!(world.told("x"), ["claim IPClaim of-k 3 Ours"]);
    // Its pause ends: those that it is named in hear how it is now, to the others it is as if there were none.
    world.seen(Kind::Clusters, cluster(4, false));
    assert!(world.told("x").is_empty());
    world.resumed();
    assert_eq!(world.told("x"), ["cluster k paused false"]);
    assert_eq!(world.told("z").last().unwrap(), "cluster gone k");
    world.gone(Kind::Clusters, "k", "1");
    assert_eq!(world.told("x"), ["cluster gone k"]);
    assert!(world.told("z").is_empty());
    world.seen(Kind::Clusters, wire("k", "5", 5, json!({ "paused": true })));
    world.told("z");
    world.gone(Kind::Clusters, "k", "5");
    assert_eq!(world.told("z"), ["cluster gone k"]);
}

#[test]
fn a3_pools_hear_that_kinds_are_listed_after_their_objects() {
    let world = world(None);
    world.router.lead(Entry::Early);
    for kind in Kind::ALL {
        if kind == CLAIMS {
            world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
        }
        world.router.kind_is(kind, KindState::Listed);
    }
    let told = world.told("x");
    assert_eq!(told.last().unwrap(), "kinds synced true");
    assert!(told.contains(&"claim IPClaim c 1 Ours".to_owned()));
    assert_eq!(told.iter().filter(|t| t.starts_with("kinds")).count(), 1);
}

#[test]
fn a_standby_hears_everything_but_that_it_may_write() {
    let world = world(None);
    for kind in Kind::ALL {
        world.router.kind_is(kind, KindState::Listed);
    }
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    assert_eq!(
        world.told("x"),
        ["kinds synced false", "claim IPClaim c 1 Ours"]
    );
    world.router.lead(Entry::Early);
    assert_eq!(world.told("x"), ["kinds synced true"]);
}

#[test]
fn a1_a_list_that_was_begun_under_another_leader_vouches_for_nothing() {
    let world = world(None);
    let old = world.router.terms().current();
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    for kind in Kind::ALL {
        assert_eq!(world.router.listed(kind, old), Listing::Counts);
    }
    world.router.lead(Entry::Late);
    let told = world.told("x");
    assert!(!told.contains(&"kinds synced true".to_owned()), "{told:?}");
    for kind in Kind::ALL {
        assert_eq!(world.router.listed(kind, old), Listing::Outdated);
    }
    assert!(world.told("x").is_empty());
    let new = world.router.terms().current();
    for kind in Kind::ALL {
        assert_eq!(world.router.listed(kind, new), Listing::Counts);
    }
    assert_eq!(world.told("x").last().unwrap(), "kinds synced true");
}

#[test]
fn p4_the_watch_filter_marks_what_is_another_managers() {
    let world = world(Some("blue"));
    let mut ours = wire("c", "1", 1, claim_spec("x"));
    ours.metadata
        .labels
        .insert("cluster.x-k8s.io/watch-filter".into(), "blue".into());
    world.seen(CLAIMS, ours);
    world.seen(CLAIMS, wire("d", "2", 2, claim_spec("x")));
    world.seen(Kind::Pools, wire("x", "3", 3, pool_spec()));
    let address =
        json!({ "address": "10.0.0.1", "pool": { "name": "x" }, "claim": { "name": "d" } });
    world.seen(ADDRESSES, wire("x-10-0-0-1", "4", 4, address));
    assert_eq!(
        world.told("x")[1..],
        [
            "claim IPClaim c 1 Ours",
            "claim IPClaim d 2 Another",
            "pool 3 Another []",
            "address x-10-0-0-1 4 another's"
        ]
    );
}

#[test]
fn a_message_to_a_worker_that_just_left_goes_to_the_next_one() {
    let world = world(None).with_pool("x");
    let old = world.registry.get(&key("x")).unwrap().mailbox;
    assert!(old.close_if_idle());
    world.seen(CLAIMS, wire("c", "1", 1, claim_spec("x")));
    assert_eq!(*world.hired.lock().unwrap(), ["n/x", "n/x"]);
    // The old one comes to retire only now: the new one stays.
    world.router.retire(&key("x"), &old);
    assert_eq!(
        world.told("x"),
        ["kinds synced false", "claim IPClaim c 1 Ours"]
    );
    let new = world.registry.get(&key("x")).unwrap().mailbox;
    assert!(new.close_if_idle());
    world.router.retire(&key("x"), &new);
    assert!(world.registry.get(&key("x")).is_none());
    // An end needs no worker.
    world.gone(CLAIMS, "c", "1");
    assert!(world.registry.get(&key("x")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a3_a_create_waits_for_every_absent_kind_that_holds_addresses() {
    let both = [
        Kind::Addresses(ClaimKind::Capi),
        Kind::Claims(ClaimKind::Capi),
    ];
    for (first, second) in [(both[0], both[1]), (both[1], both[0])] {
        let world = world(None);
        for kind in both {
            world.router.kind_is(kind, KindState::Absent);
        }
        let decided_on = world.router.state().kinds.changes();
        let confirm = |kind| {
            let term = world.router.terms().current();
            let now = tokio::time::Instant::now();
            world.router.not_there(kind, KindState::Absent, term, now);
        };
        let knows = || {
            world
                .router
                .knows_who_holds(decided_on, Duration::from_mins(1))
        };
        confirm(first);
        assert!(!knows().await, "{first:?} alone");
        confirm(second);
        assert!(knows().await);
    }
}
