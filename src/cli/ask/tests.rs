//! Answers over prepared clusters.

#![allow(
    clippy::needless_pass_by_value,
    reason = "objects are written where they are handed over"
)]

mod plans;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::objects::Objects;
use super::answer::Answer;
use super::target::Output;
use super::who::{address_of, answer, at, named, without_address};
use super::{Sight, forecast, plan, pool, pools, tree, why};
use crate::api::{
    Address, Claim, ClaimKey, ClaimKind, ClusterFacts, PoolKey, PoolObject, WireObject,
};
use crate::pool::{Effect, KindState, Kinds, Request};

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn wire(object: Value) -> WireObject {
    serde_json::from_value(object).unwrap()
}

fn meta(name: &str, finalizer: &str) -> Value {
    json!({"namespace": "a", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1", "generation": 1,
        "creationTimestamp": "2026-11-01T12:00:00Z", "finalizers": [finalizer]})
}

/// Puts objects together.
#[derive(Default)]
struct Cluster(Objects);

impl Cluster {
    fn new() -> Self {
        Self(Objects {
            kinds: Kinds::all(KindState::Listed),
            ..Objects::default()
        })
    }

    fn pool(mut self, name: &str, mut spec: Value) -> Self {
        spec["namePrefix"] = json!(name);
        let mut meta = meta(name, "ippool.ipam.metal3.io");
        if let Some(cluster) = spec["clusterName"].as_str() {
            meta["labels"] = json!({"cluster.x-k8s.io/cluster-name": cluster, "cluster.x-k8s.io/provider": "ipam-metal3"});
            meta["ownerReferences"] = json!([{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": cluster, "uid": "uid"}]);
        }
        let object = json!({"metadata": meta, "spec": spec});
        self.0.pools.push(PoolObject::read(wire(object)));
        self
    }

    /// An IPClaim with what is patched into it.
    fn claim(mut self, name: &str, pool: &str, patch: Value) -> Self {
        let mut object = json!({"metadata": meta(name, "ipclaim.ipam.metal3.io"), "spec": {"pool": {"name": pool}}, "status": {}});
        json_patch::merge(&mut object, &patch);
        let claim = Claim::read(ClaimKind::Metal3, wire(object));
        self.0.claims.push(claim);
        self
    }

    /// An IPClaim with its address.
    fn bound(self, name: &str, pool: &str, address: &str) -> Self {
        let object = crate::api::names::address_name(pool, address.parse().unwrap());
        let status = json!({"status": {"address": {"name": object}}, "metadata": {"ownerReferences": [
            {"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "Metal3Data", "name": format!("data-{name}"), "uid": "u"}]}});
        self.claim(name, pool, status)
            .address(ClaimKind::Metal3, pool, name, address)
    }

    fn address(mut self, kind: ClaimKind, pool: &str, claim: &str, address: &str) -> Self {
        let name = crate::api::names::address_name(pool, address.parse().unwrap());
        let mut meta = meta(&name, kind.address_finalizer());
        meta["uid"] = json!(format!("uid-{}-{name}", kind.group()));
        let spec = match kind {
            ClaimKind::Metal3 => {
                json!({"address": address, "pool": {"name": pool}, "claim": {"name": claim}})
            }
            ClaimKind::Capi => json!({"address": address, "claimRef": {"name": claim},
                "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}}),
        };
        let object = Address::read(kind, wire(json!({"metadata": meta, "spec": spec})));
        self.0.addresses.push(object);
        self
    }

    fn cluster(mut self, name: &str, paused: bool) -> Self {
        let object = json!({"metadata": {"namespace": "a", "name": name, "uid": "uid"}, "spec": {"paused": paused}});
        let facts = ClusterFacts::read("", &wire(object));
        self.0.clusters.push(("a".to_owned(), facts.into()));
        self
    }

    fn seen(self) -> Sight {
        Sight::new(self.0, now())
    }
}

fn key(name: &str) -> PoolKey {
    PoolKey {
        namespace: "a".into(),
        name: name.into(),
    }
}

/// A pool of nine addresses, of which some are in use, kept back or promised.
fn prepared() -> Cluster {
    Cluster::new()
        .pool(
            "prov",
            json!({
                "clusterName": "prod",
                "pools": [
                    {"start": "10.0.0.1", "end": "10.0.0.6", "gateway": "10.0.0.1"},
                    {"start": "10.0.1.1", "end": "10.0.1.3"},
                ],
                "excludedAddresses": ["10.0.0.4"],
                "preAllocations": {"promised": "10.0.0.5"},
            }),
        )
        .cluster("prod", false)
        .bound("one", "prov", "10.0.0.2")
}

fn why_of(sight: &Sight, namespace: Option<&str>, kind: Option<ClaimKind>, name: &str) -> Answer {
    why::answer(&why::look(sight, namespace, kind, name), namespace, name)
}

fn who(sight: &Sight, text: &str) -> String {
    let found = match address_of(text) {
        Some(address) => at(sight, address),
        None => named(sight, text),
    };
    let without = without_address(sight, text, &found);
    answer(text, &found, &without).table
}

#[test]
fn who_has_an_address_in_any_spelling_and_who_has_none() {
    let sight = prepared()
        .claim("next", "prov", json!({}))
        .pool(
            "wide",
            json!({"pools": [{"start": "fd00::", "end": "fd00::ff", "prefix": 64}]}),
        )
        .seen();
    for spelling in ["10.0.0.2", "10.0.0.2/24", " [10.0.0.2] ", "::ffff:10.0.0.2"] {
        assert_eq!(
            address_of(spelling),
            Some("10.0.0.2".parse().unwrap()),
            "{spelling}"
        );
    }
    assert_eq!(address_of("FD00:0::7"), Some("fd00::7".parse().unwrap()));
    assert_eq!(address_of("one"), None);
    let says = |text| who(&sight, text);
    assert_eq!(
        says("10.0.0.2"),
        "10.0.0.2: IPClaim one in IPPool a/prov (entry 1)\n  \
         object   IPAddress.ipam.metal3.io prov-10-0-0-2 in a\n  \
         since    2026-11-01T12:00:00Z\n  rule     the first free one\n"
    );
    for (address, expected) in [
        (
            "10.0.0.1",
            "nobody: a gateway of IPPool a/prov (entry 1); a claim that requests it can get it",
        ),
        (
            "10.0.0.3",
            "reserved for IPClaim next, which gets it next, in IPPool a/prov (entry 1)",
        ),
        (
            "10.0.0.4",
            "nobody: IPPool a/prov (an excluded address) does not hand it out",
        ),
        (
            "10.0.0.5",
            "nobody yet: IPPool a/prov (entry 1) has it pre-allocated to the claim promised",
        ),
        ("10.0.1.2", "nobody: free in IPPool a/prov (entry 2)"),
        ("10.9.9.9", "in no pool"),
        (
            "fd00::",
            "nobody: IPPool a/wide (entry 1) keeps it back as a network, broadcast or anycast address; a claim that requests it can get it",
        ),
        ("fd00::7", "nobody: free in IPPool a/wide (entry 1)"),
    ] {
        assert_eq!(says(address), format!("{address}: {expected}\n"));
    }
}

#[test]
fn who_finds_by_the_name_of_claim_object_and_owner() {
    let sight = prepared()
        .claim("next", "prov", json!({}))
        .claim("lost", "nopool", json!({}))
        .seen();
    assert_eq!(
        who(&sight, "lost"),
        "lost: IPClaim a/lost of IPPool nopool has no address; metal3-ipam why ipclaim/lost -n a tells why\n"
    );
    for name in ["one", "prov-10-0-0-2", "data-one"] {
        let text = who(&sight, name);
        assert!(
            text.starts_with("10.0.0.2: IPClaim one in "),
            "{name}: {text}"
        );
    }
    assert!(who(&sight, "next").starts_with("10.0.0.3: reserved for IPClaim next"));
    let found = named(&sight, "nothing");
    let missing = answer("nothing", &found, &[]);
    assert!(!missing.is_found);
    assert!(
        missing
            .table
            .starts_with("nothing: no claim and no address object")
    );
}

#[test]
fn who_knows_what_a_claim_that_is_gone_or_to_come_has() {
    let sight = prepared()
        .address(ClaimKind::Metal3, "prov", "ghost", "10.0.1.1")
        .seen();
    let ghost = who(&sight, "ghost");
    assert!(ghost.starts_with("10.0.1.1: "), "{ghost}");
    assert!(ghost.contains("which does not exist"), "{ghost}");
    let promised = who(&sight, "promised");
    let says = "10.0.0.5: nobody yet: IPPool a/prov (entry 1) has it pre-allocated to the claim promised\n";
    assert_eq!(promised, says);
    let sight = prepared().bound("promised", "prov", "10.0.0.5").seen();
    let bound = who(&sight, "promised");
    assert_eq!(bound.matches("10.0.0.5: ").count(), 1, "{bound}");
}

#[test]
fn a_paused_pool_says_so_whatever_else_holds() {
    let paused = |finalizer: bool| {
        let mut cluster = prepared();
        let pool = &mut cluster.0.pools[0];
        pool.meta
            .annotations
            .insert("cluster.x-k8s.io/paused".into(), String::new());
        if !finalizer {
            pool.meta.finalizers.clear();
        }
        cluster.seen()
    };
    for finalizer in [true, false] {
        let sight = paused(finalizer);
        let line = pools::Line::new(sight.pool(&key("prov")).unwrap(), sight.now);
        assert_eq!(line.ready(), "Paused");
        let whole = pool::look(&sight, &key("prov")).table;
        assert!(whole.starts_with("IPPool a/prov: Paused\n"), "{whole}");
    }
}

/// What a claim or an operator has to do depends on why the pool is not ready, and a holder may be none.
#[test]
fn a_pool_that_goes_says_what_it_waits_for() {
    let mut cluster = prepared()
        .claim("new", "prov", json!({}))
        .address(ClaimKind::Metal3, "prov", "gone", "10.0.0.3")
        .bound("going", "prov", "10.0.1.1");
    let going = cluster.0.claims.last_mut().unwrap();
    going.meta.deletion_timestamp = Some(now());
    cluster.0.pools[0].meta.deletion_timestamp = Some(now());
    cluster.0.addresses[1].meta.deletion_timestamp = Some(now());
    let sight = cluster.seen();
    let why = why_of(&sight, Some("a"), None, "new").table;
    assert!(
        why.contains("next  create the claim again in another pool"),
        "{why}"
    );
    let whole = pool::look(&sight, &key("prov")).table;
    for line in [
        "IPPool a/prov: Deleting\n! pool a/prov is being deleted and waits until these are gone: ",
        "prov-10-0-0-3 of claim gone (deleted already, goes by itself once that claim has been missing for 10m)",
        "IPClaim gone, which does not exist ",
        "IPClaim going, which is being deleted ",
        "IPClaim one ",
    ] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
}

/// Which address the claim has had, only the manager knows.
#[test]
fn what_only_the_manager_knows_is_told_in_its_words() {
    let condition = |reason: &str| {
        let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": "its words",
            "lastTransitionTime": "2026-11-01T12:00:00Z", "observedGeneration": 1});
        json!({"status": {"conditions": [ready]}})
    };
    for (reason, shown) in [("AddressConflict", true), ("PoolExhausted", false)] {
        let sight = prepared().claim("c", "prov", condition(reason)).seen();
        let why = why_of(&sight, Some("a"), None, "c").table;
        assert_eq!(why.contains("its words"), shown, "{why}");
        assert_eq!(why.contains("Pending"), !shown, "{why}");
    }
}

#[test]
fn who_names_both_holders_of_one_address_and_the_rule_of_each() {
    let sight = prepared()
        .address(ClaimKind::Capi, "prov", "other", "10.0.0.2")
        .claim("asked", "prov", json!({"metadata": {"annotations": {"ipAddress": "10.0.1.3"}}, "status": {"address": {"name": "prov-10-0-1-3"}}}))
        .address(ClaimKind::Metal3, "prov", "asked", "10.0.1.3")
        .bound("promised", "prov", "10.0.0.5")
        .seen();
    let why = why_of(&sight, Some("a"), None, "one").table;
    assert!(
        why.contains("of IPAddressClaim other has that address too"),
        "{why}"
    );
    assert!(
        why.contains("next  find out which machine uses the address"),
        "{why}"
    );
    let both = who(&sight, "10.0.0.2");
    assert!(both.contains("IPClaim one in"), "{both}");
    assert!(
        both.contains("for IPAddressClaim other, which does not exist"),
        "{both}"
    );
    assert!(who(&sight, "asked").contains("rule     requested by the claim's annotation"));
    assert!(who(&sight, "promised").contains("rule     pre-allocated to it by the pool"));
    let full = pool::look(&sight, &key("prov")).table;
    assert!(full.contains("\n! "), "the duplicate is named:\n{full}");
    assert!(full.contains('!'), "{full}");
}

/// A pool of two addresses, of which the objects of another pool have the names that its claims would need (A12).
fn with_taken_names() -> Cluster {
    let range = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]});
    let mut cluster = Cluster::new()
        .pool("short", range.clone())
        .pool("other", range)
        .claim("waits", "short", json!({}));
    for (claim, address) in [("one", "10.0.0.1"), ("two", "10.0.0.2")] {
        cluster = cluster.bound(claim, "other", address);
        let object = cluster.0.addresses.last_mut().unwrap();
        object.meta.name =
            crate::api::names::address_name("short", address.parse().unwrap()).into();
        let claim = cluster.0.claims.last_mut().unwrap();
        claim.published = Some(object.meta.name.clone());
    }
    cluster
}

#[test]
fn a12_every_answer_knows_of_names_that_are_taken() {
    let sight = with_taken_names().seen();
    let said = why_of(&sight, None, None, "waits").table;
    assert!(said.contains("PoolExhausted"), "{said}");
    assert!(
        said.contains("10.0.0.1 cannot be given out while IPAddress.ipam.metal3.io short-10-0-0-1"),
        "{said}"
    );
    let said = who(&sight, "10.0.0.1");
    assert!(!said.contains("next"), "{said}");
    let line = |name: &str| pools::Line::new(sight.pool(&key(name)).unwrap(), sight.now);
    assert_eq!((line("short").waiting, line("other").waiting), (1, 0));
    let statuses = sight.pool(&key("short")).unwrap().effects.iter();
    let statuses: Vec<&Value> = statuses
        .filter_map(|effect| match effect {
            Effect::Request(_, Request::PoolStatus { status, .. }) => Some(status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0]["waitingClaims"], 1);

    // Of a part of a cluster such objects are read beside it.
    let mut part = with_taken_names().0;
    let (others, own) = std::mem::take(&mut part.addresses)
        .into_iter()
        .partition(|address| &*address.pool == "other");
    (part.namesakes, part.addresses) = (others, own);
    let sight = Sight::new(part, now());
    let said = why_of(&sight, None, None, "waits").table;
    assert!(said.contains("PoolExhausted"), "{said}");
}

/// A part of a cluster was read, and the manager made the object meanwhile; or another object of the pool was left out.
#[test]
fn a12_an_object_of_the_pool_itself_that_was_left_out_is_taken_in() {
    for claim in ["waits", "other"] {
        let mut part = Cluster::new()
            .pool(
                "prov",
                json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}),
            )
            .claim("waits", "prov", json!({}))
            .address(ClaimKind::Metal3, "prov", claim, "10.0.0.1")
            .0;
        part.namesakes = std::mem::take(&mut part.addresses);
        let sight = Sight::new(part, now());
        let fed = sight.pool(&key("prov")).unwrap();
        assert_eq!(fed.creates().count(), 0, "{claim}");
        assert_eq!(fed.pool.snapshot().available, 0, "{claim}");
    }
}

#[test]
fn why_a_claim_waits_and_what_to_do() {
    let paused = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": ""}}});
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-11-28T11:00:00Z", "finalizers": ["example.com/mine"]}});
    let ready = |reason: &str, message: &str| {
        json!({"type": "Ready", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": "2026-11-28T11:00:00Z"})
    };
    let refused =
        json!({"status": {"conditions": [ready("AllocationFailed", "exceeded quota: addresses")]}});
    let mut stuck = deleted.clone();
    stuck["status"] = json!({"conditions": [ready("ReleaseFailed", "ipaddresses is forbidden")]});
    let sight = prepared()
        .claim("refused", "prov", refused)
        .claim("stuck", "prov", stuck)
        .pool(
            "small",
            json!({"pools": [{"start": "10.1.0.1", "end": "10.1.0.1"}]}),
        )
        .bound("first", "small", "10.1.0.1")
        .claim("late", "small", json!({}))
        .claim("lost", "nowhere", json!({}))
        .claim("next", "prov", json!({}))
        .claim("resting", "prov", paused)
        .claim("going", "prov", deleted.clone())
        .pool(
            "slow",
            json!({"addressReuseGracePeriodSeconds": 3600, "pools": [{"start": "10.2.0.1"}]}),
        )
        .claim("kept", "slow", deleted)
        .claim(
            "odd",
            "prov",
            json!({"metadata": {"annotations": {"ipAddress": "10.0.0.300"}}}),
        )
        .seen();
    let reason = |name: &str| {
        let answer = why_of(&sight, Some("a"), None, name);
        assert!(answer.is_found, "{name}");
        let claim = answer.value["claims"][0].clone();
        let text = |field: &str| claim[field].as_str().unwrap().to_owned();
        (text("reason"), text("why"), text("next"))
    };
    for (name, expected, says, next) in [
        ("late", "PoolExhausted", "free", "add an entry"),
        ("lost", "PoolNotFound", "nowhere", "create the pool"),
        ("next", "Pending", "10.0.0.3 is free for it", "manager"),
        ("resting", "Paused", "the claim is paused", "end the pause"),
        ("going", "Deleting", "example.com/mine", "finalizers"),
        (
            "kept",
            "Deleting",
            "pool slow keeps its address until",
            "after the time that it names",
        ),
        (
            "odd",
            "RequestedAddressInvalid",
            "10.0.0.300",
            "192.168.0.10",
        ),
        (
            "refused",
            "AllocationFailed",
            "exceeded quota",
            "change what the message names",
        ),
        (
            "stuck",
            "ReleaseFailed",
            "forbidden",
            "do not take the finalizer off",
        ),
        (
            "one",
            "AddressAllocated",
            "it has 10.0.0.2 by IPAddress.ipam.metal3.io prov-10-0-0-2",
            "nothing",
        ),
    ] {
        let (reason, why, step) = reason(name);
        assert_eq!(reason, expected, "{name}: {why}");
        assert!(why.contains(says), "{name}: {why}");
        assert!(step.contains(next), "{name}: {step}");
    }
    assert!(!why_of(&sight, Some("a"), None, "none").is_found);
    assert!(!why_of(&sight, Some("a"), Some(ClaimKind::Capi), "one").is_found);
    let sight = prepared()
        .cluster("prod", true)
        .claim("waits", "prov", json!({}))
        .seen();
    let answer = why_of(&sight, None, None, "waits");
    assert!(
        answer
            .table
            .contains(": Paused\n  why   Cluster prod is paused"),
        "{}",
        answer.table
    );
}

#[test]
fn pools_are_shown_worst_first_and_a_pool_that_is_missing_too() {
    let sight = prepared()
        .pool("empty", json!({"pools": []}))
        .pool(
            "small",
            json!({"pools": [{"start": "10.1.0.1", "end": "10.1.0.1"}]}),
        )
        .bound("first", "small", "10.1.0.1")
        .claim("late", "small", json!({}))
        .claim("lost", "nowhere", json!({}))
        .seen();
    let all = pools::look(&sight, true);
    assert_eq!(
        all.text(Output::Table).unwrap(),
        "NAMESPACE   NAME      USE               FREE   WAITING   LEFT        STRATEGY     FAMILY   READY\n\
         a           small     ██████████ 100%   0      1         full        sequential   IPv4     True\n\
         a           nowhere   -                 -      1         -           -            -        NotFound\n\
         a           empty     no addresses      0      0         full        sequential   none     True\n\
         a           prov      ████░░░░░░  37%   5      0         no growth   sequential   IPv4     True\n"
    );
    assert!(!pools::look(&sight, false).table.contains("NAMESPACE"));
    let forecast = forecast::look(&sight, None, true);
    assert_eq!(
        forecast.table,
        "NAMESPACE   NAME    FREE   LEFT        EARLIEST   BECAUSE\n\
         a           empty   0      full        -          no address is free\n\
         a           small   0      full        -          no address is free\n\
         a           prov    5      no growth   -          no new address for 27 d\n"
    );
    assert_eq!(forecast.names[2], "ippool.ipam.metal3.io/prov");
    let one = forecast::look(&sight, Some(&key("prov")), false);
    assert_eq!(one.value["pools"][0]["earliestDays"], Value::Null);
    assert!(all.wide.lines().next().unwrap().ends_with("CLUSTER"));
    assert_eq!(
        all.value["pools"][0]["waiting"],
        json!({"PoolExhausted": 1})
    );
    assert_eq!(all.names.len(), 3, "a pool that is missing has no name");
    assert!(
        pools::look(&Cluster::new().seen(), true)
            .table
            .starts_with("No IPPools found")
    );
}

#[test]
fn a_pool_is_shown_with_entries_map_holders_and_waiting_claims() {
    let sight = prepared()
        .claim(
            "odd",
            "prov",
            json!({"metadata": {"annotations": {"ipAddress": "10.0.0.300"}}}),
        )
        .seen();
    let text = pool::look(&sight, &key("prov")).table;
    assert!(text.starts_with("IPPool a/prov: Ready\n"), "{text}");
    for part in [
        "ENTRY   ADDRESSES           USE",
        "1       10.0.0.1-10.0.0.6",
        "10.0.0.1        r█·\n",
        "10.0.0.5        p·\n",
        "10.0.1.1        ···\n",
        "10.0.0.2   IPClaim one",
        "IPClaim odd   RequestedAddressInvalid",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!pool::look(&sight, &key("none")).is_found);
    let two = [key("x"), key("y")];
    assert!(
        pool::unclear("x", None, &two)
            .table
            .contains("choose one with --namespace")
    );
}

#[test]
fn a_large_pool_has_a_map_that_fits_and_shows_one_address_of_many() {
    let sight = Cluster::new()
        .pool("large", json!({"pools": [{"subnet": "10.0.0.0/8"}]}))
        .bound("one", "large", "10.128.0.1")
        .pool(
            "v6",
            json!({"pools": [{"subnet": "fd00::/64", "prefix": 64}]}),
        )
        .seen();
    let text = pool::look(&sight, &key("large")).table;
    let signs = text
        .lines()
        .filter(|line| line.contains('·') && line.starts_with("10."))
        .count();
    assert_eq!(signs, 16, "{text}");
    assert!(text.contains("10.128.0.1      ▁···"), "{text}");
    assert!(
        text.contains("each sign stands for 16384 addresses"),
        "{text}"
    );
    assert!(pool::look(&sight, &key("v6")).table.contains("fd00::"));
}

#[test]
fn a_pool_of_many_ranges_has_a_map_of_few_lines() {
    let entry = |n: usize| {
        let last = |host: usize| format!("10.{}.{}.{host}", n / 250, n % 250);
        json!({"start": last(1), "end": last(2)})
    };
    let ranges = |count: usize| {
        let entries: Vec<Value> = (0..count).map(entry).collect();
        json!({ "pools": entries })
    };
    let sight = Cluster::new()
        .pool("many", ranges(5_000))
        .bound("one", "many", "10.10.0.2")
        .pool("few", ranges(300))
        .bound("two", "few", "10.0.64.1")
        .seen();
    let map = |name: &str| {
        let text = pool::look(&sight, &key(name)).table;
        let is_drawn = |line: &&str| line.starts_with("10.") && line.contains('\u{b7}');
        let lines: Vec<String> = text.lines().filter(is_drawn).map(str::to_owned).collect();
        assert!(
            text.contains("the ranges follow one another without a gap"),
            "{text}"
        );
        (lines, text)
    };
    // 10,000 addresses, ten to a sign; the 5,002nd is in use.
    let (lines, text) = map("many");
    assert_eq!(lines.len(), 16, "{text}");
    assert!(text.contains("each sign stands for 10 addresses"), "{text}");
    assert!(lines[7].starts_with("10.8.240.1 "), "{text}");
    let used = lines
        .iter()
        .flat_map(|line| line.split(' ').next_back().unwrap().chars());
    assert_eq!(
        used.take(1_000).position(|sign| sign == '\u{2581}'),
        Some(500),
        "{text}"
    );
    // 600 addresses, one by one; the 129th is in use.
    let (lines, text) = map("few");
    assert_eq!(lines.len(), 10, "{text}");
    assert!(lines[2].starts_with("10.0.64.1 "), "{text}");
    assert!(lines[2].contains(" \u{2588}\u{b7}"), "{text}");
}

#[test]
fn the_tree_of_a_cluster_has_its_pools_claims_and_addresses() {
    let labelled = json!({"metadata": {"labels": {"cluster.x-k8s.io/cluster-name": "prod"}}});
    let sight = prepared().claim("lost", "nowhere", labelled).seen();
    let answer = tree::look(&sight, Some("a"), "prod");
    assert_eq!(
        answer.table,
        "Cluster a/prod\n\
         ├─ IPPool nowhere (there is no such pool)\n\
         │  └─ IPClaim lost (PoolNotFound)\n\
         └─ IPPool prov (37% used, 5 free)\n\
         \u{20}  └─ IPClaim one\n\
         \u{20}     └─ 10.0.0.2 (IPAddress.ipam.metal3.io prov-10-0-0-2)\n"
    );
    assert!(!tree::look(&sight, None, "other").is_found);
}

#[test]
fn every_answer_has_every_form() {
    let sight = prepared().claim("next", "prov", json!({})).seen();
    let answers = [
        pools::look(&sight, true),
        pool::look(&sight, &key("prov")),
        answer("10.0.0.2", &at(&sight, "10.0.0.2".parse().unwrap()), &[]),
        why_of(&sight, None, None, "next"),
        tree::look(&sight, None, "prod"),
        plan::look(&sight, &key("prov"), 1, 0),
        forecast::look(&sight, None, true),
    ];
    for answer in answers {
        let json: Value = serde_json::from_str(&answer.text(Output::Json).unwrap()).unwrap();
        let yaml: Value = serde_saphyr::from_str(&answer.text(Output::Yaml).unwrap()).unwrap();
        assert_eq!(json, yaml);
        for output in [Output::Table, Output::Wide, Output::Name] {
            assert!(answer.text(output).unwrap().ends_with('\n'));
        }
    }
}
