//! Sound clusters have no errors; one object that is corrupted is named.

mod healthy;
mod repair;

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use self::healthy::{Cluster, now};
use super::super::objects::Objects;
use super::catalog::{self, Check};
use super::finding::{Finding, Level, confirmed};
use super::read::Reading;
use super::report::Report;
use super::{Ages, Form, look};
use crate::api::{ClaimKind, Kind};

/// Seeds of each corruption.
const SEEDS: u64 = 20;

fn ages() -> Ages {
    Ages {
        now: now(),
        settled: SignedDuration::from_mins(10),
        paused: SignedDuration::from_hours(24),
    }
}

fn reading(cluster: &Cluster) -> Reading {
    Reading {
        version: "v1.34.1".to_owned(),
        cluster: Some("kube-system-uid".to_owned()),
        objects: cluster.objects(),
        ..Reading::default()
    }
}

fn found(cluster: &Cluster) -> Vec<Finding> {
    look(&reading(cluster), None, ages())
}

fn errors(findings: &[Finding]) -> Vec<String> {
    let errors = findings.iter().filter(|f| f.level == Level::Error);
    errors
        .map(|f| format!("{} {}: {}", f.check.code, f.subject, f.message))
        .collect()
}

/// Corrupts sound clusters; the check finds it on the object that is named.
#[track_caller]
fn names(check: Check, level: Level, corrupt: impl Fn(&mut Cluster, &mut StdRng) -> String) {
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut cluster = Cluster::new(&mut rng);
        let object = corrupt(&mut cluster, &mut rng);
        let findings = found(&cluster);
        let named = findings.iter().any(|f| {
            let other = |other: &super::finding::Subject| other.to_string() == object;
            f.check == check
                && f.level == level
                && (f.subject.to_string() == object || f.others.iter().any(other))
        });
        let all: Vec<String> = findings
            .iter()
            .map(|f| {
                format!(
                    "{} {:?} {}: {}",
                    f.check.code, f.level, f.subject, f.message
                )
            })
            .collect();
        assert!(named, "seed {seed}: {object} is not named: {all:#?}");
    }
}

/// A bound claim of a cluster, by its place, with its address object's place.
fn bound(cluster: &Cluster, rng: &mut StdRng) -> (usize, usize) {
    let pairs = cluster.pairs();
    pairs[rng.random_range(0..pairs.len())]
}

fn ago(minutes: i64) -> Value {
    json!((now() - SignedDuration::from_mins(minutes)).to_string())
}

#[test]
fn sound_clusters_have_no_errors() {
    for seed in 0..1000 {
        let cluster = Cluster::new(&mut StdRng::seed_from_u64(seed));
        let found = found(&cluster);
        let strangers = found.iter().filter(|f| f.check == catalog::FOREIGN);
        for stranger in strangers {
            assert!(
                stranger.subject.name.starts_with("by-hand-"),
                "{stranger:?}"
            );
        }
        let found = errors(&found);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
}

#[test]
fn e1_one_address_twice() {
    for kind in ["ipam.metal3.io", "ipam.cluster.x-k8s.io"] {
        names(catalog::DUPLICATE, Level::Error, |cluster, rng| {
            let (_, address) = bound(cluster, rng);
            cluster.twin(address, kind)
        });
    }
}

#[test]
fn upstreams_duplicate_of_each_kind_names_both_objects() {
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    let twin = cluster.twin(0, "ipam.cluster.x-k8s.io");
    let findings = found(&cluster);
    let duplicate = findings.iter().find(|f| f.check == catalog::DUPLICATE);
    let duplicate = duplicate.unwrap();
    let one = "IPAddress.ipam.metal3.io a/p0-10-0-0-1";
    let message = &duplicate.message;
    assert!(message.contains(one), "{message}");
    assert!(message.contains(&twin), "{message}");
    let reading = reading(&cluster);
    let value = Report::new(&reading, findings.clone(), now());
    let json: Value = serde_json::from_str(&value.text(Form::Json).unwrap()).unwrap();
    assert_eq!(json["findings"][0]["code"], "E1");
    assert_eq!(json["findings"][0]["object"]["uid"], "uid-a-p0-10-0-0-1");
    assert_eq!(json["findings"][0]["object"]["resourceVersion"], "1");
    assert_eq!(json["cluster"], "kube-system-uid");
    assert_eq!(json["exitCode"], 2);
}

#[test]
fn e2_one_claim_with_two_addresses() {
    names(catalog::SEVERAL, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        cluster.second(address);
        cluster.claim_name(claim)
    });
}

#[test]
fn e3_a_claim_that_is_gone() {
    names(catalog::LEAK, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        cluster.claims.remove(claim);
        cluster.address_name(address)
    });
}

#[test]
fn e4_and_e11_owners_with_another_uid() {
    names(catalog::REPLACED, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        cluster.claims[claim].1["metadata"]["uid"] = json!("another");
        cluster.address_name(address)
    });
    names(catalog::OWNER, Level::Error, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        cluster.addresses[address].1["metadata"]["ownerReferences"][1]["uid"] = json!("another");
        cluster.address_name(address)
    });
}

#[test]
fn e5_a_pool_that_is_gone() {
    names(catalog::POOL_MISSING, Level::Error, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        let pool = cluster.pool_of(address);
        cluster.pools.remove(pool);
        cluster.address_name(address)
    });
}

#[test]
fn e6_and_e7_a_status_without_its_address() {
    names(catalog::DANGLING, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        cluster.addresses.remove(address);
        cluster.claim_name(claim)
    });
    names(catalog::DANGLING, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        let field = healthy::claim_field(cluster.addresses[address].0);
        cluster.addresses[address].1["spec"][field]["name"] = json!("someone-else");
        cluster.claim_name(claim)
    });
    names(catalog::NOTHING_BOUND, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        cluster.addresses.remove(address);
        let condition = json!({"type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "",
            "lastTransitionTime": ago(600)});
        cluster.claims[claim].1["status"] = json!({"conditions": [condition]});
        cluster.claim_name(claim)
    });
}

#[test]
fn e8_e9_and_e10_addresses_that_cannot_be() {
    names(catalog::OUT_OF_RANGE, Level::Error, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        cluster.addresses[address].1["spec"]["address"] = json!("172.31.0.1");
        cluster.address_name(address)
    });
    names(catalog::MISNAMED, Level::Error, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        cluster.addresses[address].1["spec"]["address"] = json!("172.31.0.1");
        cluster.address_name(address)
    });
    names(catalog::NOT_CANONICAL, Level::Error, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        cluster.addresses[address].1["spec"]["address"] = json!("010.0.0.1");
        cluster.address_name(address)
    });
    names(catalog::NOT_CANONICAL, Level::Warning, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        cluster.addresses[address].1["spec"]["address"] = json!("FD00::0005");
        cluster.address_name(address)
    });
}

#[test]
fn e9_takes_the_names_that_upstream_gives_for_right() {
    for (address, name, is_right) in [
        ("fd00::", "p0-fd00--0", true),
        ("fd00::", "p0-fd00", true),
        ("fd00::0005", "p0-fd00--0005", true),
        ("fd00::5", "p0-fd00--5", true),
        ("fd00::5", "p0-fd00--0005", false),
        ("fd00::5", "p0-fd00", false),
        ("10.0.0.0", "p0-10-0-0-0", true),
        ("10.0.0.0", "p0-10-0-0", false),
    ] {
        let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
        cluster.pools[0]["spec"]["pools"] =
            json!([{"subnet": "fd00::/64"}, {"subnet": "10.0.0.0/24"}]);
        let object = &mut cluster.addresses[0].1;
        object["spec"]["address"] = json!(address);
        object["metadata"]["name"] = json!(name);
        cluster.claims[0].1["status"]["address"]["name"] = json!(name);
        let codes: Vec<&str> = found(&cluster).iter().map(|f| f.check.code).collect();
        let is_named = codes.contains(&catalog::MISNAMED.code);
        assert_eq!(!is_named, is_right, "{address} {name}: {codes:?}");
    }
}

#[test]
fn e12_and_e13_finalizers() {
    names(catalog::FINALIZER, Level::Error, |cluster, rng| {
        let (claim, _) = bound(cluster, rng);
        cluster.claims[claim].1["metadata"]["finalizers"] = json!([]);
        cluster.claim_name(claim)
    });
    names(catalog::FINALIZER, Level::Error, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        let pool = cluster.pool_of(address);
        cluster.pools[pool]["metadata"]["finalizers"] = json!([]);
        cluster.pool_name(pool)
    });
    names(catalog::STUCK_DELETION, Level::Error, |cluster, rng| {
        let (claim, _) = bound(cluster, rng);
        cluster.claims[claim].1["metadata"]["deletionTimestamp"] = ago(60);
        cluster.claim_name(claim)
    });
    names(catalog::STUCK_DELETION, Level::Error, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        cluster.addresses[address].1["metadata"]["deletionTimestamp"] = ago(60);
        cluster.claims.remove(claim);
        cluster.address_name(address)
    });
}

#[test]
fn e14_and_e15_a_status_that_differs_from_the_objects() {
    names(catalog::COUNTS, Level::Error, |cluster, rng| {
        let pool = cluster.shows_counts(rng);
        cluster.pools[pool]["status"]["allocated"] = json!(77);
        cluster.pool_name(pool)
    });
    names(catalog::INDEXES, Level::Error, |cluster, rng| {
        let pool = cluster.shows_counts(rng);
        cluster.pools[pool]["status"]["indexes"]["nobody"] = json!("10.0.0.77");
        cluster.pool_name(pool)
    });
}

#[test]
fn e17_and_e18_promises_and_sizes() {
    names(catalog::PROMISED, Level::Warning, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        let (pool, ip) = (
            cluster.pool_of(address),
            cluster.addresses[address].1["spec"]["address"].clone(),
        );
        cluster.pools[pool]["spec"]["preAllocations"] = json!({"later": ip});
        cluster.pool_name(pool)
    });
    names(catalog::STATUS_SIZE, Level::Error, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        let entry = |n: u32| (format!("claim-{n:0>200}"), json!("10.0.0.1"));
        let indexes: serde_json::Map<_, _> = (0..6000).map(entry).collect();
        cluster.pools[pool]["status"]["indexes"] = json!(indexes);
        cluster.pool_name(pool)
    });
}

#[test]
fn warnings_of_pools() {
    names(catalog::OVERLAP, Level::Warning, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        let other = (pool + 1) % cluster.pools.len();
        let ranges = cluster.pools[other]["spec"]["pools"].clone();
        cluster.pools[pool]["spec"]["pools"] = ranges;
        cluster.pool_name(pool)
    });
    names(catalog::COLLISION, Level::Note, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        let mut twin = cluster.pools[pool].clone();
        twin["metadata"]["name"] = json!("twin");
        cluster.pools.push(twin);
        cluster.pool_name(pool)
    });
    names(catalog::GATEWAY, Level::Warning, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        let (pool, ip) = (
            cluster.pool_of(address),
            cluster.addresses[address].1["spec"]["address"].clone(),
        );
        cluster.pools[pool]["spec"]["gateway"] = ip;
        cluster.pool_name(pool)
    });
    names(catalog::MIXED, Level::Note, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        cluster.pools[pool]["spec"]["pools"] =
            json!([{"subnet": "10.99.0.0/24"}, {"subnet": "fd99::/64"}]);
        cluster.pool_name(pool)
    });
    names(catalog::DOUBTFUL, Level::Warning, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        cluster.pools[pool]["spec"]["pools"] = json!([{"subnet": "10.99.0.0/24", "prefix": 16}]);
        cluster.pool_name(pool)
    });
    names(catalog::PAUSED, Level::Warning, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        cluster.pools[pool]["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": ""});
        let condition = json!({"type": "Paused", "status": "True", "reason": "Paused", "message": "",
            "lastTransitionTime": ago(60 * 25)});
        cluster.pools[pool]["status"]["conditions"] = json!([condition]);
        cluster.pool_name(pool)
    });
    names(catalog::FULL, Level::Warning, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        let (pool, ip) = (
            cluster.pool_of(address),
            cluster.addresses[address].1["spec"]["address"].clone(),
        );
        cluster.pools[pool]["spec"]["pools"] = json!([{"start": ip, "end": ip}]);
        cluster.pool_name(pool)
    });
    names(catalog::STUCK_CLAIM, Level::Warning, |cluster, rng| {
        let (claim, address) = bound(cluster, rng);
        let pool = cluster.pool_of(address);
        cluster.pools[pool]["spec"]["pools"] = json!([]);
        cluster.addresses.remove(address);
        let condition = json!({"type": "Ready", "status": "False", "reason": "PoolExhausted", "message": "full",
            "lastTransitionTime": ago(20)});
        cluster.claims[claim].1["status"] = json!({"conditions": [condition]});
        cluster.claim_name(claim)
    });
}

#[test]
fn e16_a_claim_that_is_not_served_though_an_address_is_free() {
    for finalizers in [json!([]), Value::Null] {
        names(catalog::NOT_SERVED, Level::Error, |cluster, rng| {
            let (claim, address) = bound(cluster, rng);
            cluster.addresses.remove(address);
            let claim_object = &mut cluster.claims[claim].1;
            claim_object["status"] = json!({});
            if !finalizers.is_null() {
                claim_object["metadata"]["finalizers"] = finalizers.clone();
            }
            cluster.claim_name(claim)
        });
    }
}

/// No address is free for it: the object of another pool has the only name.
#[test]
fn a12_a_claim_whose_names_are_taken_is_not_e16() {
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    cluster.addresses[0].1["spec"]["pool"]["name"] = json!("another");
    cluster.addresses[0].1["spec"]["claim"]["name"] = json!("another");
    cluster.pools[0]["spec"]["pools"] = json!([{"start": "10.0.0.1", "end": "10.0.0.1"}]);
    let object = &mut cluster.addresses[0].1;
    object["spec"]["address"] = json!("10.0.0.1");
    object["metadata"]["name"] = json!("p0-10-0-0-1");
    cluster.claims[0].1["status"] = json!({});
    let codes: Vec<&str> = found(&cluster).iter().map(|f| f.check.code).collect();
    assert!(!codes.contains(&catalog::NOT_SERVED.code), "{codes:?}");
    cluster.addresses.clear();
    let codes: Vec<&str> = found(&cluster).iter().map(|f| f.check.code).collect();
    assert!(codes.contains(&catalog::NOT_SERVED.code), "{codes:?}");
}

#[test]
fn n9_what_someone_else_has_written() {
    let by_someone = |object: &mut Value, part: &str| {
        let (update, mut apply) = (
            healthy::written("someone", part),
            healthy::written("someone", part),
        );
        // Of two ways of writing the later counts.
        apply["operation"] = json!("Apply");
        apply["time"] = json!("2026-11-02T00:00:00Z");
        let managed = object["metadata"]["managedFields"].as_array_mut();
        managed.unwrap().extend([apply, update]);
    };
    names(catalog::FOREIGN, Level::Warning, |cluster, rng| {
        let pool = rng.random_range(0..cluster.pools.len());
        by_someone(&mut cluster.pools[pool], "f:status");
        cluster.pool_name(pool)
    });
    names(catalog::FOREIGN, Level::Warning, |cluster, rng| {
        let (claim, _) = bound(cluster, rng);
        by_someone(&mut cluster.claims[claim].1, "f:status");
        cluster.claim_name(claim)
    });
    names(catalog::FOREIGN, Level::Note, |cluster, rng| {
        let (_, address) = bound(cluster, rng);
        by_someone(&mut cluster.addresses[address].1, "f:spec");
        cluster.address_name(address)
    });
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    let twin = cluster.twin(0, "ipam.metal3.io");
    for (_, address) in &mut cluster.addresses {
        by_someone(address, "f:spec");
    }
    // Labels and finalizers are anybody's.
    by_someone(&mut cluster.pools[0], "f:metadata");
    let findings = found(&cluster);
    let foreign: Vec<&Finding> = findings
        .iter()
        .filter(|f| f.check == catalog::FOREIGN)
        .collect();
    let [one] = &*foreign else {
        panic!("{foreign:?}");
    };
    assert_eq!(
        one.message,
        "was written by \"someone\" at 2026-11-02T00:00:00Z (and 1 more ipaddresses.ipam.metal3.io of IPPool a/p0)"
    );
    assert_eq!(one.others[0].to_string(), twin);
}

#[test]
fn managed_fields_that_cannot_be_read_are_named() {
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    cluster.pools[0]["metadata"]["managedFields"] = json!("no list");
    let objects = cluster.objects();
    let [(object, why)] = &*objects.strange else {
        panic!("{:?}", objects.strange);
    };
    assert_eq!(object, "IPPool a/p0");
    assert!(why.starts_with("metadata.managedFields: "), "{why}");
}

/// Of a Cluster that is paused for a move: the source while it is emptied, the target while it fills.
#[test]
fn both_sides_of_a_move_pass() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut cluster = Cluster::in_a_move(&mut rng);
        if rng.random() {
            // The target: no status, new UIDs, and the address objects come last.
            for (_, claim) in &mut cluster.claims {
                claim["status"] = json!({});
            }
            let keep = rng.random_range(0..=cluster.addresses.len());
            cluster.addresses.truncate(keep);
        } else {
            // The source: address objects go first.
            let keep = rng.random_range(0..=cluster.addresses.len());
            cluster.addresses.truncate(keep);
            if keep == 0 {
                let keep = rng.random_range(0..=cluster.claims.len());
                cluster.claims.truncate(keep);
            }
        }
        let found = errors(&found(&cluster));
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
}

#[test]
fn an_error_that_the_second_reading_does_not_show_is_left_out() {
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    let sound = cluster.addresses.clone();
    cluster.addresses.clear();
    let first = found(&cluster);
    assert_eq!(errors(&first).len(), 1);
    assert_eq!(confirmed(&first, found(&cluster)).len(), first.len());
    cluster.claims[0].1["metadata"]["resourceVersion"] = json!("2");
    assert!(errors(&confirmed(&first, found(&cluster))).is_empty());
    cluster.addresses = sound;
    assert!(errors(&confirmed(&first, found(&cluster))).is_empty());
}

/// Findings about pools that the other cluster has too: their level and what they say.
fn elsewhere(here: &Cluster, there: &Cluster) -> Vec<(Level, String)> {
    let (here, there) = (reading(here), reading(there));
    let findings = look(&here, Some(&there), ages()).into_iter();
    findings
        .filter(|f| f.check == catalog::ELSEWHERE)
        .map(|f| (f.level, f.message))
        .collect()
}

#[test]
fn n10_a_pool_that_two_clusters_serve() {
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let (here, mut there) = (
            Cluster::new(&mut StdRng::seed_from_u64(seed)),
            Cluster::new(&mut StdRng::seed_from_u64(seed)),
        );
        let both = elsewhere(&here, &there);
        assert_eq!(both.len(), here.pools.len(), "seed {seed}");
        for (level, text) in both {
            assert_eq!(level, Level::Warning, "seed {seed}: {text}");
            assert!(text.ends_with("both hand out its addresses"), "{text}");
        }
        // Another claim has one of the addresses there.
        let (_, address) = bound(&there, &mut rng);
        let (kind, object) = &mut there.addresses[address];
        object["spec"][healthy::claim_field(*kind)]["name"] = json!("another");
        let errors = elsewhere(&here, &there);
        let errors = errors.iter().filter(|(level, _)| *level == Level::Error);
        let errors: Vec<&String> = errors.map(|(_, text)| text).collect();
        assert_eq!(errors.len(), 1, "seed {seed}: {errors:?}");
        assert!(errors[0].contains("(claim \"another\")"), "{errors:?}");
        // The pool's status is written between the two readings, as that of every busy pool is.
        let mut later = Cluster::new(&mut StdRng::seed_from_u64(seed));
        for pool in &mut later.pools {
            pool["metadata"]["resourceVersion"] = json!("4711");
        }
        let looks = |here: &Cluster| look(&reading(here), Some(&reading(&there)), ages());
        let stays = confirmed(&looks(&here), looks(&later));
        let stays = stays.iter().filter(|f| f.check == catalog::ELSEWHERE);
        assert!(
            stays.into_iter().any(|f| f.level == Level::Error),
            "seed {seed}"
        );
        // Other ranges under the same name are another network.
        for pool in &mut there.pools {
            pool["spec"]["pools"] = json!([{"subnet": "10.250.0.0/24"}]);
        }
        assert!(elsewhere(&here, &there).is_empty(), "seed {seed}");
    }
}

#[test]
fn n10_both_sides_of_a_move_are_sound() {
    for seed in 0..SEEDS {
        let source = Cluster::in_a_move(&mut StdRng::seed_from_u64(seed));
        let mut target = Cluster::in_a_move(&mut StdRng::seed_from_u64(seed));
        for pool in &mut target.pools {
            pool["metadata"]["uid"] = json!("another");
        }
        for (here, there) in [(&source, &target), (&target, &source)] {
            let both = elsewhere(here, there);
            assert_eq!(both.len(), here.pools.len(), "seed {seed}");
            let is_note = |(level, text): &(Level, String)| {
                *level == Level::Note && text.contains("at rest in both")
            };
            assert!(both.iter().all(is_note), "seed {seed}: {both:?}");
        }
    }
}

#[test]
fn what_could_not_be_read_ends_with_2() {
    let cluster = Cluster::with_one_claim("ipam.metal3.io");
    let mut reading = reading(&cluster);
    let findings = look(&reading, None, ages());
    let report = Report::new(&reading, findings.clone(), now());
    assert_eq!(
        report.exit_code(),
        0,
        "{}",
        report.text(Form::Table).unwrap()
    );
    reading.unread.push("IPClaims: forbidden".to_owned());
    let report = Report::new(&reading, findings, now());
    assert_eq!(report.exit_code(), 2);
    let text = report.text(Form::Table).unwrap();
    assert!(text.contains("\n  IPClaims: forbidden\n"), "{text}");
    let json: Value = serde_json::from_str(&report.text(Form::Json).unwrap()).unwrap();
    let yaml: Value = serde_saphyr::from_str(&report.text(Form::Yaml).unwrap()).unwrap();
    assert_eq!(json, yaml);
}

/// What was not read is not missing.
#[test]
fn no_check_takes_what_could_not_be_read_for_missing() {
    let cluster = Cluster::with_one_claim("ipam.metal3.io");
    let whole = reading(&cluster);
    let claims = Kind::Claims(ClaimKind::Metal3);
    let addresses = Kind::Addresses(ClaimKind::Metal3);
    for kind in [Kind::Pools, claims, addresses] {
        let mut part = whole.objects.clone();
        match kind {
            Kind::Pools => part.pools.clear(),
            Kind::Claims(_) => part.claims.clear(),
            Kind::Addresses(_) => part.addresses.clear(),
            Kind::Clusters => {}
        }
        let with = |unread: &[Kind]| Reading {
            objects: Objects {
                unread: unread.to_vec(),
                ..part.clone()
            },
            ..Reading::default()
        };
        let errors = |reading: &Reading| {
            let findings = look(reading, None, ages()).into_iter();
            let errors = findings.filter(|f| f.level == Level::Error);
            errors.map(|f| f.check.code).collect::<Vec<_>>()
        };
        assert_ne!(errors(&with(&[])), [""; 0], "{kind}: it is missing");
        assert_eq!(errors(&with(&[kind])), [""; 0], "{kind}: it was not read");
    }
}

#[test]
fn docs_check_md_has_every_check() {
    let page = include_str!("../../../docs/check.md");
    for check in catalog::ALL {
        let row = format!("| {} | `{}` |", check.code, check.name);
        assert!(page.contains(&row), "no {row:?} in docs/check.md");
    }
}
