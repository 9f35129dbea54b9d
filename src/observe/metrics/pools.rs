//! The series of each pool, made from its snapshot at scrape time: there from the pool's first moment, gone with the pool.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::family::Shape;
use crate::pool::Snapshot;

/// Most pools that `all` shows one by one: above, a scrape would carry more than 40,000 series.
pub(super) const MOST: usize = 5_000;

/// Which pools have series of their own (`--pool-metrics`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoolMetrics {
    /// Every pool, as long as there are 5,000 at most.
    #[default]
    All,
    /// Those that need a look first: with waiting claims, then by use; names without a pool come last.
    Top(usize),
    /// None.
    Off,
}

impl PoolMetrics {
    fn limit(self) -> usize {
        match self {
            Self::All => MOST,
            Self::Top(n) => n.min(MOST),
            Self::Off => 0,
        }
    }
}

impl FromStr for PoolMetrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("expected all, top=N or off, not {text:?}");
        match text {
            "all" => Ok(Self::All),
            "off" => Ok(Self::Off),
            _ => {
                let n = text.strip_prefix("top=").ok_or_else(wrong)?;
                let n: usize = n.parse().map_err(|_| wrong())?;
                Ok(Self::Top(n))
            }
        }
    }
}

impl fmt::Display for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Top(n) => write!(f, "top={n}"),
            Self::Off => f.write_str("off"),
        }
    }
}

const POOL: &[&str] = &["pool_namespace", "pool"];
/// The reason that every pool has a series for, so that sums over reasons exist while nothing waits.
const ALWAYS: &str = "PoolExhausted";

pub(super) const CAPACITY: Shape = Shape::gauge(
    "metal3_ipam_pool_capacity_addresses",
    POOL,
    "Addresses in the pool's ranges, excluded ones not counted.",
);
pub(super) const ALLOCATED: Shape = Shape::gauge(
    "metal3_ipam_pool_allocated_addresses",
    POOL,
    "Addresses in the pool's ranges that are held by address objects or by creates on their way.",
);
pub(super) const AVAILABLE: Shape = Shape::gauge(
    "metal3_ipam_pool_available_addresses",
    POOL,
    "Addresses that the pool's next claims can get.",
);
pub(super) const RESERVED: Shape = Shape::gauge(
    "metal3_ipam_pool_reserved_addresses",
    POOL,
    "Addresses in the pool's ranges that are kept back and not handed out: pre-allocations, gateways, network and broadcast addresses.",
);
pub(super) const OUT_OF_RANGE: Shape = Shape::gauge(
    "metal3_ipam_pool_out_of_range_addresses",
    POOL,
    "Addresses outside the pool's ranges that its address objects hold.",
);
pub(super) const UTILIZATION: Shape = Shape::gauge(
    "metal3_ipam_pool_utilization_ratio",
    POOL,
    "Share of the pool's addresses that its next claims cannot get, in use or kept back: 0 to 1. A pool without addresses has none.",
);
pub(super) const WAITING: Shape = Shape::gauge(
    "metal3_ipam_pool_waiting_claims",
    &["pool_namespace", "pool", "reason"],
    "Claims of the pool without an address, by the reason in their condition.",
);
pub(super) const INFO: Shape = Shape::gauge(
    "metal3_ipam_pool_info",
    &["pool_namespace", "pool", "cluster", "strategy", "family"],
    "Always 1. The pool's Cluster (empty for none), its allocation strategy and the address family of its ranges.",
);
pub(super) const OMITTED: Shape = Shape::gauge(
    "metal3_ipam_pools_omitted",
    &["state"],
    "Pools without series of their own because of --pool-metrics, by their state in metal3_ipam_pools. missing: names of pools that claims have and that do not exist.",
);

pub(super) const SHAPES: [Shape; 9] = [
    CAPACITY,
    ALLOCATED,
    AVAILABLE,
    RESERVED,
    OUT_OF_RANGE,
    UTILIZATION,
    WAITING,
    INFO,
    OMITTED,
];

/// Share of the pool's addresses that the next claims cannot get; 0 for a pool without any.
pub(super) fn used(snapshot: &Snapshot) -> f64 {
    if snapshot.capacity == 0 {
        return 0.0;
    }
    let taken = snapshot.capacity.saturating_sub(snapshot.available);
    taken as f64 / snapshot.capacity as f64
}

/// Shares from which a pool is in these states, as the dashboards colour them. The alert PoolNearlyFull begins later, and with
/// few addresses left only.
const WARNING: f64 = 0.75;
const CRITICAL: f64 = 0.95;
pub(super) const STATES: [&str; 5] = ["ok", "warning", "critical", "exhausted", "not_ready"];
/// The state of a name without a pool.
const MISSING: &str = "missing";

/// The state of a pool that exists.
pub(super) fn state(snapshot: &Snapshot) -> &'static str {
    if snapshot.ready.is_err() {
        return "not_ready";
    }
    if snapshot.available == 0 && snapshot.capacity > 0 {
        return "exhausted";
    }
    match used(snapshot) {
        used if used >= CRITICAL => "critical",
        used if used >= WARNING => "warning",
        _ => "ok",
    }
}

/// The families of the pools that `mode` shows.
pub(super) fn collect(snapshots: &[Arc<Snapshot>], mode: PoolMetrics) -> Vec<MetricFamily> {
    let limit = mode.limit();
    let mut shown: Vec<&Snapshot> = snapshots.iter().map(|s| &**s).collect();
    let mut omitted: BTreeMap<&str, u64> = STATES.map(|state| (state, 0)).into();
    omitted.insert(MISSING, 0);
    if shown.len() > limit {
        let need = |s: &&Snapshot| {
            let waiting: u64 = s.waiting.values().sum();
            // A claim can name any pool: such names take no place from a pool that exists.
            // Bits of a number that is not negative sort as the number does.
            let rank = (s.exists(), waiting, used(s).to_bits());
            (Reverse(rank), s.key.clone())
        };
        shown.sort_by_cached_key(need);
        // The first of each namespace, then the second of each, and so on: none takes the places of another.
        let mut before: BTreeMap<&str, usize> = BTreeMap::new();
        let mut placed: Vec<(bool, usize, &Snapshot)> = Vec::with_capacity(shown.len());
        for pool in shown {
            let place = before.entry(&pool.key.namespace).or_default();
            placed.push((!pool.exists(), *place, pool));
            *place += 1;
        }
        // Stable: within a place the order of need stays.
        placed.sort_by_key(|(missing, place, _)| (*missing, *place));
        shown = placed.into_iter().map(|(_, _, pool)| pool).collect();
        for pool in shown.drain(limit..) {
            let state = if pool.exists() { state(pool) } else { MISSING };
            *omitted.entry(state).or_default() += 1;
        }
    }

    let mut gauges: [Vec<_>; 5] = Default::default();
    for all in &mut gauges {
        all.reserve(shown.len());
    }
    let (mut waiting, mut info, mut utilization) = (Vec::new(), Vec::new(), Vec::new());
    for pool in shown {
        let (namespace, name) = (&*pool.key.namespace, &*pool.key.name);
        // Claims may name a pool that is not there.
        let always = pool.exists().then_some((ALWAYS, 0));
        let reasons = pool.waiting.iter().map(|(reason, n)| (*reason, *n));
        let missing = always.filter(|_| !pool.waiting.contains_key(ALWAYS));
        for (reason, n) in reasons.chain(missing) {
            waiting.push(WAITING.series(&[namespace, name, reason], n as f64));
        }
        if !pool.exists() {
            continue;
        }
        let values = [
            (CAPACITY, pool.capacity as f64),
            (ALLOCATED, pool.allocated as f64),
            (AVAILABLE, pool.available as f64),
            (RESERVED, pool.reserved as f64),
            (OUT_OF_RANGE, pool.out_of_range as f64),
        ];
        for (all, (shape, value)) in gauges.iter_mut().zip(values) {
            all.push(shape.series(&[namespace, name], value));
        }
        if pool.capacity > 0 {
            utilization.push(UTILIZATION.series(&[namespace, name], used(pool)));
        }
        let cluster = pool.cluster.as_deref().unwrap_or_default();
        info.push(INFO.series(&[namespace, name, cluster, pool.strategy, pool.family], 1.0));
    }
    let [capacity, allocated, available, reserved, outside] = gauges;
    let omitted = omitted.iter();
    let omitted = omitted.map(|(state, n)| OMITTED.series(&[state], *n as f64));
    vec![
        CAPACITY.family(capacity),
        ALLOCATED.family(allocated),
        AVAILABLE.family(available),
        RESERVED.family(reserved),
        OUT_OF_RANGE.family(outside),
        UTILIZATION.family(utilization),
        WAITING.family(waiting),
        INFO.family(info),
        OMITTED.family(omitted.collect()),
    ]
}
