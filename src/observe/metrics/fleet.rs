//! What a scrape reads of the running controller: of this process, and of its pools while it leads, all together and, through
//! `pools.rs`, each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::Shape;
use super::pools::{self, PoolMetrics};
use super::{Look, RESOURCES, Sight};
use crate::pool::{KindState, ProblemKind, Snapshot};

const POOLS: Shape = Shape::gauge(
    "metal3_ipam_pools",
    &["state"],
    "Pools by state: not_ready (its Ready condition does not hold), exhausted (nothing left), critical (95 % used or more), warning (75 % or more), ok.",
);
const ADDRESSES: [Shape; 3] = [
    Shape::gauge(
        "metal3_ipam_capacity_addresses",
        &[],
        "Addresses in the ranges of all pools.",
    ),
    Shape::gauge(
        "metal3_ipam_allocated_addresses",
        &[],
        "Addresses in the ranges of all pools that are held.",
    ),
    Shape::gauge(
        "metal3_ipam_available_addresses",
        &[],
        "Addresses that the next claims can get, over all pools.",
    ),
];
const WAITING: Shape = Shape::gauge(
    "metal3_ipam_waiting_claims",
    &[],
    "Claims without an address, over all pools.",
);
const PROBLEMS: Shape = Shape::gauge(
    "metal3_ipam_consistency_problems",
    &["kind"],
    "Contradictions among stored objects that stand now, by kind: reported, never repaired by moving an address.",
);
const SYNCED: Shape = Shape::gauge(
    "metal3_ipam_cache_synced",
    &["kind"],
    "Whether the kind is listed completely and watched, or known to be absent (1), or not (0).",
);
const WORKERS: Shape = Shape::gauge(
    "metal3_ipam_worker_pools",
    &["state"],
    "Pools with a worker, by what it does: busy (something to take in, or a request on its way), idle.",
);
const MAILBOX: Shape = Shape::gauge(
    "metal3_ipam_mailbox_depth",
    &[],
    "Things that the pools have yet to be told: objects and answers, over all mailboxes.",
);
const QUEUE: Shape = Shape::gauge(
    "workqueue_depth",
    &["name", "controller", "priority"],
    "Pools with something to take in. All have the priority 0: they take turns.",
);
const UNFINISHED: Shape = Shape::gauge(
    "workqueue_unfinished_work_seconds",
    &["name", "controller"],
    "Time that workers have spent so far on what they have in hand, all together, in seconds. It grows where one hangs.",
);
const LONGEST: Shape = Shape::gauge(
    "workqueue_longest_running_processor_seconds",
    &["name", "controller"],
    "The longest time that a worker has spent so far on what it has in hand, in seconds.",
);

/// The collector of everything that is read at scrape time.
pub(super) struct Fleet {
    look: Look,
    mode: PoolMetrics,
    descs: Vec<Desc>,
}

impl Fleet {
    pub(super) fn new(look: Look, mode: PoolMetrics) -> Self {
        let fixed = [
            POOLS, WAITING, PROBLEMS, SYNCED, WORKERS, MAILBOX, QUEUE, UNFINISHED, LONGEST,
        ];
        let shapes = fixed.iter().chain(&ADDRESSES).chain(&pools::SHAPES);
        let descs = shapes.map(Shape::desc).collect();
        Self { look, mode, descs }
    }
}

impl Collector for Fleet {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sight = (self.look)();
        let mut families = of_process(&sight);
        if let Some(pools) = &sight.pools {
            families.extend(over_all(pools));
            families.extend(pools::collect(pools, self.mode));
        }
        families
    }
}

/// Sums over the pools.
fn over_all(pools: &[Arc<Snapshot>]) -> Vec<MetricFamily> {
    let mut states: BTreeMap<&str, u64> = pools::STATES.map(|state| (state, 0)).into();
    let mut problems: BTreeMap<&str, u64> = ProblemKind::ALL.map(|kind| (kind.text(), 0)).into();
    let mut waiting: u64 = 0;
    // Ends of a number's range: a sum of IPv6 pools may pass 2^128.
    let mut sums = [0u128; 3];
    for pool in pools {
        waiting = waiting.saturating_add(pool.waiting.values().sum());
        for (kind, n) in &pool.problems {
            *problems.entry(kind.text()).or_default() += n;
        }
        if !pool.exists() {
            continue;
        }
        *states.entry(pools::state(pool)).or_default() += 1;
        for (sum, n) in sums
            .iter_mut()
            .zip([pool.capacity, pool.allocated, pool.available])
        {
            *sum = sum.saturating_add(n);
        }
    }
    let by = |shape: &Shape, counts: BTreeMap<&str, u64>| {
        let series = counts
            .iter()
            .map(|(label, n)| shape.series(&[label], *n as f64));
        shape.family(series.collect())
    };
    let mut families = vec![
        by(&POOLS, states),
        one(&WAITING, waiting as f64),
        by(&PROBLEMS, problems),
    ];
    families.extend(
        ADDRESSES
            .iter()
            .zip(sums)
            .map(|(shape, sum)| one(shape, sum as f64)),
    );
    families
}

/// What this process watches and does.
fn of_process(sight: &Sight) -> Vec<MetricFamily> {
    let synced = RESOURCES.iter().map(|kind| {
        let state = sight.kinds.iter().find(|(name, _)| name == kind);
        let value = match state.map(|(_, state)| state) {
            Some(KindState::Listed | KindState::Absent) => 1.0,
            Some(KindState::Pending | KindState::Unavailable) | None => 0.0,
        };
        SYNCED.series(&[kind], value)
    });
    let idle = sight.workers.saturating_sub(sight.busy);
    let workers = [("busy", sight.busy), ("idle", idle)];
    let workers = workers.map(|(state, n)| WORKERS.series(&[state], n as f64));
    let name = super::counted::CONTROLLER;
    let of_queue = |shape: &Shape, time: Duration| {
        shape.family(vec![shape.series(&[name, name], time.as_secs_f64())])
    };
    vec![
        SYNCED.family(synced.collect()),
        WORKERS.family(workers.to_vec()),
        one(&MAILBOX, sight.backlog as f64),
        QUEUE.family(vec![QUEUE.series(&[name, name, "0"], sight.queued as f64)]),
        of_queue(&UNFINISHED, sight.unfinished),
        of_queue(&LONGEST, sight.longest),
    ]
}

fn one(shape: &Shape, value: f64) -> MetricFamily {
    shape.family(vec![shape.series(&[], value)])
}
