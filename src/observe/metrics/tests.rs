//! What a scrape says, read back from its text.

#![allow(
    clippy::float_cmp,
    reason = "whole numbers, written as text and read back"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::api::{ClaimKey, ClaimKind, PoolKey};
use crate::pool::{Decision, ProblemKind};

/// Series by name and labels as they stand in the text.
type Series = BTreeMap<String, f64>;

/// A registry over a sight that tests change between scrapes.
struct Bench {
    registry: Registry,
    metrics: Metrics,
    sight: Arc<Mutex<Sight>>,
}

impl Bench {
    fn new(mode: PoolMetrics) -> Self {
        let (registry, metrics) = (Registry::new(), Metrics::new());
        let sight: Arc<Mutex<Sight>> = Arc::default();
        let look = {
            let sight = Arc::clone(&sight);
            Box::new(move || sight.lock().unwrap().clone())
        };
        register(&registry, &metrics, look, mode).unwrap();
        Self {
            registry,
            metrics,
            sight,
        }
    }

    fn pools(&self, snapshots: Vec<Snapshot>) {
        let mut sight = self.sight.lock().unwrap();
        sight.pools = Some(snapshots.into_iter().map(Arc::new).collect());
    }

    fn scrape(&self) -> Series {
        let text = String::from_utf8(text(&self.registry).unwrap()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        series.collect()
    }
}

fn snapshot(name: &str, capacity: u128, available: u128) -> Snapshot {
    Snapshot {
        key: PoolKey {
            namespace: "ns".into(),
            name: name.into(),
        },
        uid: Some("u".into()),
        of_another_manager: false,
        capacity,
        allocated: capacity.saturating_sub(available),
        available,
        reserved: 0,
        out_of_range: 0,
        waiting: BTreeMap::new(),
        claims: 0,
        in_flight: 0,
        status_waits: false,
        ready: Ok(()),
        cluster: None,
        strategy: "sequential",
        family: "IPv4",
        problems: BTreeMap::new(),
    }
}

#[test]
fn what_can_be_known_beforehand_is_there_from_the_start() {
    let bench = Bench::new(PoolMetrics::All);
    bench.pools(Vec::new());
    let start = bench.scrape();
    for series in [
        "metal3_ipam_pools{state=\"exhausted\"}",
        "metal3_ipam_pools_omitted{state=\"exhausted\"}",
        "metal3_ipam_waiting_claims",
        "metal3_ipam_allocations_total{claim_kind=\"IPClaim\",result=\"allocated\"}",
        "metal3_ipam_allocations_total{claim_kind=\"IPAddressClaim\",result=\"waiting\"}",
        "metal3_ipam_releases_total{claim_kind=\"IPClaim\"}",
        "metal3_ipam_claim_bind_seconds_count{claim_kind=\"IPAddressClaim\"}",
        "metal3_ipam_allocation_decision_seconds_count",
        "metal3_ipam_writes_in_flight",
        "metal3_ipam_mailbox_depth",
        "metal3_ipam_watch_restarts_total{kind=\"ippools.ipam.metal3.io\",reason=\"expired\"}",
        "metal3_ipam_cache_synced{kind=\"clusters.cluster.x-k8s.io\"}",
        "metal3_ipam_consistency_problems{kind=\"DuplicateAddress\"}",
        "metal3_ipam_consistency_repairs_total{kind=\"Leak\"}",
        "metal3_ipam_webhook_secret_repairs_total{reason=\"foreign\"}",
        "metal3_ipam_worker_pools{state=\"busy\"}",
        "controller_runtime_reconcile_total{controller=\"ippool\",result=\"error\"}",
        "controller_runtime_reconcile_errors_total{controller=\"ippool\"}",
        "controller_runtime_active_workers{controller=\"ippool\"}",
        "workqueue_depth{name=\"ippool\",controller=\"ippool\",priority=\"0\"}",
    ] {
        assert_eq!(start.get(series), Some(&0.0), "{series}");
    }
    assert!(start["process_resident_memory_bytes"] > 1e6);
    assert!(
        start
            .keys()
            .any(|name| name.starts_with("metal3_ipam_build_info{"))
    );
    // Names and units: counters end in _total, gauges never do.
    for family in bench.registry.gather() {
        let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        assert_eq!(
            counter,
            family.name().ends_with("_total"),
            "{}",
            family.name()
        );
        assert!(family.help().ends_with('.'), "{}", family.name());
    }
}

#[test]
fn a_manager_that_does_not_lead_shows_no_pools() {
    let bench = Bench::new(PoolMetrics::All);
    let of_pools = |scrape: &Series| {
        let names = [
            "metal3_ipam_pool",
            "metal3_ipam_waiting_claims",
            "metal3_ipam_consistency_problems",
            "metal3_ipam_capacity_addresses",
            "metal3_ipam_allocated_addresses",
            "metal3_ipam_available_addresses",
        ];
        let of_pools = |series: &&String| names.iter().any(|name| series.starts_with(name));
        scrape.keys().filter(of_pools).count()
    };
    bench.sight.lock().unwrap().workers = 3;
    let standby = bench.scrape();
    assert_eq!(of_pools(&standby), 0);
    assert_eq!(standby["metal3_ipam_worker_pools{state=\"idle\"}"], 3.0);
    bench.pools(vec![snapshot("p", 10, 4)]);
    assert!(of_pools(&bench.scrape()) > 20);
}

#[test]
fn a_pools_series_come_and_go_with_it() {
    let bench = Bench::new(PoolMetrics::All);
    let mut first = snapshot("first", 10, 4);
    first.cluster = Some("lab".to_owned());
    bench.pools(vec![first, snapshot("second", 1, 1)]);
    let scrape = bench.scrape();
    for (series, value) in [
        (
            "metal3_ipam_pool_capacity_addresses{pool_namespace=\"ns\",pool=\"first\"}",
            10.0,
        ),
        (
            "metal3_ipam_pool_allocated_addresses{pool_namespace=\"ns\",pool=\"first\"}",
            6.0,
        ),
        (
            "metal3_ipam_pool_available_addresses{pool_namespace=\"ns\",pool=\"first\"}",
            4.0,
        ),
        (
            "metal3_ipam_pool_utilization_ratio{pool_namespace=\"ns\",pool=\"first\"}",
            0.6,
        ),
        (
            "metal3_ipam_pool_waiting_claims{pool_namespace=\"ns\",pool=\"first\",reason=\"PoolExhausted\"}",
            0.0,
        ),
        (
            "metal3_ipam_pool_info{pool_namespace=\"ns\",pool=\"first\",cluster=\"lab\",strategy=\"sequential\",family=\"IPv4\"}",
            1.0,
        ),
        (
            "metal3_ipam_pool_capacity_addresses{pool_namespace=\"ns\",pool=\"second\"}",
            1.0,
        ),
        ("metal3_ipam_pools{state=\"ok\"}", 2.0),
        ("metal3_ipam_capacity_addresses", 11.0),
    ] {
        assert_eq!(scrape.get(series), Some(&value), "{series}");
    }
    bench.pools(vec![snapshot("second", 1, 1)]);
    let left: Vec<String> = bench.scrape().into_keys().collect();
    assert!(left.iter().any(|name| name.contains("\"second\"")));
    assert!(
        !left.iter().any(|name| name.contains("\"first\"")),
        "{left:#?}"
    );
}

#[test]
fn a_pool_that_is_not_there_shows_who_waits_for_it_and_no_addresses() {
    let bench = Bench::new(PoolMetrics::All);
    let mut absent = snapshot("absent", 0, 0);
    absent.uid = None;
    absent.ready = Err("PoolNotFound");
    absent.waiting.insert("PoolNotFound", 3);
    bench.pools(vec![absent]);
    let scrape = bench.scrape();
    let of_pool: Vec<_> = scrape
        .iter()
        .filter(|(name, _)| name.contains("\"absent\""))
        .collect();
    let want = "metal3_ipam_pool_waiting_claims{pool_namespace=\"ns\",pool=\"absent\",reason=\"PoolNotFound\"}";
    assert_eq!(of_pool, [(&want.to_owned(), &3.0)]);
    assert_eq!(scrape["metal3_ipam_waiting_claims"], 3.0);
    assert_eq!(scrape["metal3_ipam_pools{state=\"not_ready\"}"], 0.0);
}

#[test]
fn states_follow_the_thresholds() {
    let bench = Bench::new(PoolMetrics::Off);
    let mut broken = snapshot("broken", 100, 0);
    broken.ready = Err("InvalidSpec");
    bench.pools(vec![
        snapshot("empty", 0, 0),
        snapshot("low", 100, 26),
        snapshot("warning", 100, 25),
        snapshot("warning too", 100, 6),
        snapshot("critical", 100, 5),
        snapshot("full", 100, 0),
        broken,
    ]);
    let scrape = bench.scrape();
    let states = ["ok", "warning", "critical", "exhausted", "not_ready"];
    let counts = states.map(|state| scrape[&format!("metal3_ipam_pools{{state=\"{state}\"}}")]);
    assert_eq!(counts, [2.0, 2.0, 1.0, 1.0, 1.0]);
    let states = [
        "ok",
        "warning",
        "critical",
        "exhausted",
        "not_ready",
        "missing",
    ];
    assert_eq!(
        states.map(|state| omitted(&scrape, state)),
        [2.0, 2.0, 1.0, 1.0, 1.0, 0.0]
    );
    assert!(!scrape.keys().any(|name| name.contains("pool=\"")));
}

#[test]
fn those_that_need_a_look_are_shown_first() {
    let bench = Bench::new(PoolMetrics::Top(3));
    let mut waits = snapshot("waits", 100, 50);
    waits.waiting.insert("AddressConflict", 1);
    bench.pools(vec![
        snapshot("idle", 100, 100),
        snapshot("full", 100, 0),
        snapshot("half", 100, 40),
        waits,
        snapshot("quarter", 100, 75),
    ]);
    let scrape = bench.scrape();
    let shown = |pool: &str| {
        scrape.contains_key(&format!(
            "metal3_ipam_pool_capacity_addresses{{pool_namespace=\"ns\",pool=\"{pool}\"}}"
        ))
    };
    assert_eq!(
        ["waits", "full", "half", "quarter", "idle"].map(shown),
        [true, true, true, false, false]
    );
    assert_eq!(omitted(&scrape, "ok"), 2.0);
    assert_eq!(
        scrape["metal3_ipam_capacity_addresses"], 500.0,
        "sums are over all pools"
    );

    for (text, mode) in [
        ("all", PoolMetrics::All),
        ("off", PoolMetrics::Off),
        ("top=12", PoolMetrics::Top(12)),
    ] {
        assert_eq!(text.parse(), Ok(mode));
        assert_eq!(mode.to_string(), text);
    }
    assert_eq!(
        bench_limit(PoolMetrics::All),
        bench_limit(PoolMetrics::Top(usize::MAX))
    );
}

#[test]
fn claims_that_name_missing_pools_take_no_series_from_a_pool_that_exists() {
    let bench = Bench::new(PoolMetrics::Top(3));
    let ghost = |n: usize| {
        let mut ghost = snapshot(&format!("ghost-{n}"), 0, 0);
        ghost.uid = None;
        ghost.ready = Err("PoolNotFound");
        ghost.waiting.insert("PoolNotFound", 1);
        ghost
    };
    let mut snapshots: Vec<_> = (0..3).map(ghost).collect();
    snapshots.push(snapshot("full", 10, 0));
    bench.pools(snapshots);
    let scrape = bench.scrape();
    let series = "metal3_ipam_pool_available_addresses{pool_namespace=\"ns\",pool=\"full\"}";
    assert_eq!(scrape.get(series), Some(&0.0), "{scrape:#?}");
    let waiting = |pool: &str| {
        let reason = if pool == "full" {
            "PoolExhausted"
        } else {
            "PoolNotFound"
        };
        scrape.contains_key(&format!(
            "metal3_ipam_pool_waiting_claims{{pool_namespace=\"ns\",pool=\"{pool}\",reason=\"{reason}\"}}"
        ))
    };
    assert_eq!(
        ["full", "ghost-0", "ghost-1", "ghost-2"].map(waiting),
        [true, true, true, false],
        "what is left goes to the names without a pool"
    );
    assert_eq!(omitted(&scrape, "missing"), 1.0);

    // The same where each name without a pool is in a namespace of its own.
    let bench = Bench::new(PoolMetrics::Top(3));
    let elsewhere = |n: usize| {
        let mut ghost = ghost(n);
        ghost.key.namespace = format!("ns-{n}").into();
        ghost
    };
    let mut snapshots: Vec<_> = (0..3).map(elsewhere).collect();
    snapshots.extend([snapshot("full", 10, 0), snapshot("half", 10, 5)]);
    bench.pools(snapshots);
    let series = "metal3_ipam_pool_available_addresses{pool_namespace=\"ns\",pool=\"half\"}";
    assert_eq!(bench.scrape().get(series), Some(&5.0));
}

#[test]
fn a_namespace_with_many_pools_takes_no_series_from_a_pool_of_another() {
    let bench = Bench::new(PoolMetrics::Top(4));
    let mut snapshots: Vec<_> = (0..9)
        .map(|n| snapshot(&format!("many-{n}"), 10, 0))
        .collect();
    for pool in &mut snapshots {
        pool.waiting.insert("PoolExhausted", 2);
    }
    let mut other = snapshot("other", 10, 5);
    other.key.namespace = "small".into();
    snapshots.push(other);
    bench.pools(snapshots);
    let scrape = bench.scrape();
    let series = "metal3_ipam_pool_available_addresses{pool_namespace=\"small\",pool=\"other\"}";
    assert_eq!(scrape.get(series), Some(&5.0), "{scrape:#?}");
    let shown = scrape
        .keys()
        .filter(|name| name.starts_with("metal3_ipam_pool_info{"));
    assert_eq!(shown.count(), 4);
    assert_eq!(omitted(&scrape, "exhausted"), 6.0);
}

/// Pools in a state without series of their own.
fn omitted(scrape: &Series, state: &str) -> f64 {
    scrape[&format!("metal3_ipam_pools_omitted{{state=\"{state}\"}}")]
}

/// How many of very many pools are shown.
fn bench_limit(mode: PoolMetrics) -> usize {
    let bench = Bench::new(mode);
    bench.pools(
        (0..pools::MOST + 2)
            .map(|n| snapshot(&n.to_string(), 1, 1))
            .collect(),
    );
    let scrape = bench.scrape();
    assert_eq!(omitted(&scrape, "ok"), 2.0);
    scrape
        .keys()
        .filter(|name| name.starts_with("metal3_ipam_pool_info{"))
        .count()
}

#[test]
fn what_happens_is_counted() {
    let bench = Bench::new(PoolMetrics::All);
    let claim = ClaimKey {
        kind: ClaimKind::Metal3,
        name: "c".into(),
    };
    let address = [10, 0, 0, 1].into();
    let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let now: Timestamp = "2026-01-01T00:00:02Z".parse().unwrap();
    let metrics = &bench.metrics;
    let allocated = Decision::Allocated {
        claim: claim.clone(),
        address,
    };
    metrics.decided(&allocated, now);
    let bound = Decision::Bound {
        claim: claim.clone(),
        uid: "u".into(),
        address,
        created,
    };
    metrics.decided(&bound, now);
    // A clock that is behind the server's.
    metrics.decided(&bound, created - Duration::from_secs(5));
    let released = Decision::Released {
        claim,
        uid: None,
        address,
    };
    metrics.decided(&released, now);
    metrics.decided(
        &Decision::Repaired {
            kind: ProblemKind::Leak,
            message: String::new(),
        },
        now,
    );
    let step = Step {
        took: Duration::from_micros(3),
        chose: true,
        failed: false,
    };
    metrics.stepped(step);
    metrics.stepped(Step {
        chose: false,
        failed: true,
        ..step
    });
    metrics.written(
        "create",
        "ipaddresses.ipam.metal3.io",
        Some(201),
        Duration::from_millis(4),
    );
    metrics.written(
        "create",
        "ipaddresses.ipam.metal3.io",
        None,
        Duration::from_secs(5),
    );
    metrics.requested("GET", "127.0.0.1:6444", Some(410));
    metrics.work_begins(Duration::from_millis(1));
    metrics.leading("blue", true);
    let in_flight = metrics.request_begins();
    let scrape = bench.scrape();
    for (series, value) in [
        (
            "metal3_ipam_allocations_total{claim_kind=\"IPClaim\",result=\"allocated\"}",
            1.0,
        ),
        (
            "metal3_ipam_claim_bind_seconds_count{claim_kind=\"IPClaim\"}",
            2.0,
        ),
        (
            "metal3_ipam_claim_bind_seconds_sum{claim_kind=\"IPClaim\"}",
            2.0,
        ),
        ("metal3_ipam_releases_total{claim_kind=\"IPClaim\"}", 1.0),
        ("metal3_ipam_consistency_repairs_total{kind=\"Leak\"}", 1.0),
        ("metal3_ipam_allocation_decision_seconds_count", 1.0),
        (
            "controller_runtime_reconcile_total{controller=\"ippool\",result=\"success\"}",
            1.0,
        ),
        (
            "controller_runtime_reconcile_errors_total{controller=\"ippool\"}",
            1.0,
        ),
        (
            "metal3_ipam_api_writes_total{code=\"201\",resource=\"ipaddresses.ipam.metal3.io\",verb=\"create\"}",
            1.0,
        ),
        (
            "metal3_ipam_api_writes_total{code=\"none\",resource=\"ipaddresses.ipam.metal3.io\",verb=\"create\"}",
            1.0,
        ),
        (
            "rest_client_requests_total{code=\"410\",host=\"127.0.0.1:6444\",method=\"GET\"}",
            1.0,
        ),
        (
            "controller_runtime_active_workers{controller=\"ippool\"}",
            1.0,
        ),
        ("leader_election_master_status{name=\"blue\"}", 1.0),
        ("metal3_ipam_writes_in_flight", 1.0),
    ] {
        assert_eq!(scrape.get(series), Some(&value), "{series}");
    }
    drop(in_flight);
    assert_eq!(bench.scrape()["metal3_ipam_writes_in_flight"], 0.0);
}

prop_compose! {
    fn any_snapshot()(
        name in "[a-z0-9.-]{1,12}",
        parts in any::<[u128; 3]>(),
        big in any::<bool>(),
        outside in any::<u64>(),
        waiting in any::<u32>(),
    ) -> Snapshot {
        // Small parts add up exactly; big ones saturate, as the pool's own numbers do.
        let [allocated, available, reserved] = parts.map(|n| if big { n } else { n % (1 << 50) });
        let capacity = allocated.saturating_add(available).saturating_add(reserved);
        Snapshot {
            capacity,
            allocated,
            available,
            reserved,
            out_of_range: outside,
            waiting: [("PoolExhausted", u64::from(waiting))].into(),
            ..snapshot(&name, 0, 0)
        }
    }
}

proptest! {
    #[test]
    fn values_are_numbers_never_negative_and_add_up(snapshots in prop::collection::vec(any_snapshot(), 0..8)) {
        let mut snapshots = snapshots;
        snapshots.sort_by(|a, b| a.key.cmp(&b.key));
        snapshots.dedup_by(|a, b| a.key == b.key);
        let bench = Bench::new(PoolMetrics::All);
        bench.pools(snapshots.clone());
        let scrape = bench.scrape();
        for (name, value) in &scrape {
            prop_assert!(value.is_finite() && *value >= 0.0, "{} is {}", name, value);
        }
        for pool in snapshots {
            let read = |what: &str| {
                scrape[&format!("metal3_ipam_pool_{what}_addresses{{pool_namespace=\"ns\",pool=\"{}\"}}", pool.key.name)]
            };
            let sum = read("allocated") + read("available") + read("reserved");
            if pool.capacity < 1 << 52 {
                prop_assert_eq!(sum, read("capacity"));
            } else {
                prop_assert!(read("capacity") <= sum * (1.0 + 1e-9));
            }
        }
    }
}
