//! Plans, and what the allocator then does.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

#[test]
fn a_plan_says_from_where_and_what_is_missing() {
    let sight = prepared().seen();
    let fits = plan::look(&sight, &key("prov"), 4, 1);
    assert!(fits.is_found, "{}", fits.table);
    assert!(
        fits.table
            .starts_with("It fits: IPPool a/prov has 5 free addresses for 5 claims.")
    );
    assert!(
        fits.table.contains("entry 2  10.0.1.1-10.0.1.3: 3"),
        "{}",
        fits.table
    );
    assert!(
        fits.table
            .contains("next addresses: 10.0.0.3, 10.0.0.6, 10.0.1.1"),
        "{}",
        fits.table
    );
    assert!(
        fits.table
            .contains("0 free while all of them exist, 1 after that")
    );
    let not = plan::look(&sight, &key("prov"), 9, 0);
    assert!(!not.is_found);
    assert!(not.table.contains("4 are missing"), "{}", not.table);
    assert_eq!(not.value["missing"], "4");
    let without_cluster = Cluster::new()
        .pool(
            "p",
            json!({"clusterName": "none", "pools": [{"subnet": "10.0.0.0/24"}]}),
        )
        .seen();
    let unready = plan::look(&without_cluster, &key("p"), 1, 0);
    assert!(
        unready
            .table
            .contains("gives nothing out now, ClusterNotFound: pool a/p waits for Cluster none"),
        "{}",
        unready.table
    );
}

/// A random pool with random use.
fn random_cluster(rng: &mut StdRng) -> Cluster {
    let mut entries = Vec::new();
    for entry in 0..rng.random_range(1..4_u8) {
        let first = rng.random_range(0..20_u8);
        let last = first + rng.random_range(0..12_u8);
        let mut range = json!({"start": format!("10.0.{entry}.{first}"), "end": format!("10.0.{entry}.{last}")});
        if rng.random_bool(0.3) {
            range["prefix"] = json!(29);
        }
        if rng.random_bool(0.3) {
            range["gateway"] = json!(format!("10.0.{entry}.{first}"));
        }
        entries.push(range);
    }
    let mut spec = json!({"pools": entries});
    if rng.random_bool(0.4) {
        spec["excludedAddresses"] = json!([format!("10.0.0.{}", rng.random_range(0..32_u8))]);
    }
    let mut cluster = Cluster::new().pool("p", spec);
    let mut taken = std::collections::BTreeSet::new();
    for number in 0..rng.random_range(0..8_u8) {
        let (entry, host) = (rng.random_range(0..4_u8), rng.random_range(0..32_u8));
        if taken.insert((entry, host)) {
            let address = format!("10.0.{entry}.{host}");
            cluster = cluster.bound(&format!("held-{number}"), "p", &address);
        }
    }
    cluster
}

#[test]
fn a_plan_is_what_the_allocator_then_does() {
    let cases = 10_000;
    for seed in 0..cases {
        let mut rng = StdRng::seed_from_u64(seed);
        let cluster = random_cluster(&mut rng);
        let add = rng.random_range(1..20_u64);
        let mut with = Cluster(cluster.0.clone());
        let sight = cluster.seen();
        let planned = plan::look(&sight, &key("p"), add, 0);
        for number in 0..add {
            with = with.claim(&format!("new-{number:02}"), "p", json!({}));
        }
        let after = with.seen();
        let fed = after.pool(&key("p")).unwrap();
        let mut got: BTreeMap<u64, u64> = BTreeMap::new();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for number in 0..add {
            let claim = ClaimKey {
                kind: ClaimKind::Metal3,
                name: format!("new-{number:02}").into(),
            };
            let create = fed.effects.iter().find_map(|effect| match effect {
                Effect::Request(_, Request::CreateAddress(new)) if new.claim == claim.name => {
                    Some(new.address)
                }
                _ => None,
            });
            if let Some(address) = create {
                let crate::alloc::Location::Inside { entry } = fed.pool.standing(address).place
                else {
                    panic!("seed {seed}: {address} is in no entry");
                };
                *got.entry(entry as u64 + 1).or_default() += 1;
                addresses.push(address);
            }
        }
        let bound: u64 = got.values().sum();
        assert_eq!(
            planned.is_found,
            bound == add,
            "seed {seed}: {}",
            planned.table
        );
        let from = planned.value["from"].as_array().unwrap();
        let from: BTreeMap<u64, u64> = from
            .iter()
            .map(|of| {
                (
                    of["entry"].as_u64().unwrap(),
                    of["claims"].as_str().unwrap().parse().unwrap(),
                )
            })
            .collect();
        assert_eq!(from, got, "seed {seed}");
        if let Some(next) = planned.value["next"].as_array() {
            let next: Vec<IpAddr> = next
                .iter()
                .map(|a| a.as_str().unwrap().parse().unwrap())
                .collect();
            assert_eq!(next, addresses, "seed {seed}");
        }
    }
}

/// The claims that wait for the end of the pause are older than those to come.
#[test]
fn a_plan_of_a_paused_pool_says_so_and_counts_who_waits() {
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.3"}]);
    let mut cluster = Cluster::new()
        .pool("p", json!({"clusterName": "prod", "pools": range}))
        .cluster("prod", true);
    for name in ["a", "b"] {
        cluster = cluster.claim(name, "p", json!({}));
    }
    let plan = plan::look(&cluster.seen(), &key("p"), 2, 0);
    assert!(!plan.is_found, "{}", plan.table);
    let says = "It does not fit: IPPool a/p gives nothing out now, Paused: end the pause";
    assert!(plan.table.starts_with(says), "{}", plan.table);
    let numbers = (&plan.value["waiting"], &plan.value["missing"]);
    assert_eq!(numbers, (&json!(2), &json!("1")));
}

/// Claims that wait for the pool's Cluster get their addresses before those to come; a pool that is being deleted gives none.
#[test]
fn a_plan_counts_who_waits_for_the_pool_unless_it_goes() {
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.2"}]);
    let cluster = || {
        let pool = json!({"clusterName": "later", "pools": range});
        let cluster = Cluster::new().pool("p", pool);
        ["a", "b"]
            .into_iter()
            .fold(cluster, |cluster, name| cluster.claim(name, "p", json!({})))
    };
    let plan = plan::look(&cluster().seen(), &key("p"), 1, 0);
    let numbers = (&plan.value["waiting"], &plan.value["missing"]);
    assert_eq!(numbers, (&json!(2), &json!("1")), "{}", plan.table);
    let mut going = cluster();
    going.0.pools[0].meta.deletion_timestamp = Some(now());
    let plan = plan::look(&going.seen(), &key("p"), 1, 0);
    let says =
        "It does not fit: IPPool a/p gives nothing out now, Deleting: pool a/p is being deleted";
    assert!(plan.table.starts_with(says), "{}", plan.table);
    assert!(!plan.table.contains("next addresses"), "{}", plan.table);
}

/// Gateways and pre-allocations are kept back, in the table of the entries as in the pool's status.
#[test]
fn the_entries_of_a_pool_add_up_to_its_counts() {
    let sight = prepared().seen();
    let pool = &sight.pool(&key("prov")).unwrap().pool;
    let snapshot = pool.snapshot();
    let entries = pool.entries();
    let sum = |of: fn(&crate::alloc::Counts) -> u128| -> u128 {
        entries.iter().map(|entry| of(&entry.counts)).sum()
    };
    assert_eq!(sum(|counts| counts.used), snapshot.allocated);
    assert_eq!(sum(|counts| counts.reserved), snapshot.reserved);
    assert_eq!(sum(|counts| counts.free), snapshot.available);
    assert_eq!((snapshot.allocated, snapshot.reserved), (1, 2));
}
