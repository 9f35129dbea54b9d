//! One scrape of many pools: `cargo bench --bench scrape`. The bound is 200 ms for 5,000 pools; what it takes is told as the
//! time of one scrape, text included.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use metal3_ipam::api::PoolKey;
use metal3_ipam::observe::metrics::{self, Metrics, PoolMetrics, Sight};
use metal3_ipam::pool::Snapshot;
use prometheus::Registry;

/// A pool as it looks in a fleet: some use, now and then someone who waits.
fn snapshot(n: u64) -> Arc<Snapshot> {
    let capacity = 254;
    let allocated = u128::from(n % 255).min(250);
    let waiting = if n.is_multiple_of(50) { 3 } else { 0 };
    Arc::new(Snapshot {
        key: PoolKey {
            namespace: format!("site-{}", n / 20).into(),
            name: format!("provisioning-{n}").into(),
        },
        uid: Some("u".into()),
        of_another_manager: false,
        capacity,
        allocated,
        available: capacity - allocated - 4,
        reserved: 4,
        out_of_range: 0,
        waiting: BTreeMap::from([("PoolExhausted", waiting)]),
        claims: n % 255,
        in_flight: 0,
        status_waits: false,
        ready: Ok(()),
        cluster: Some(format!("cluster-{n}")),
        strategy: "sequential",
        family: "IPv4",
        problems: BTreeMap::new(),
    })
}

fn scrape(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape");
    group.sample_size(20);
    for (pools, mode) in [
        (500, PoolMetrics::All),
        (5_000, PoolMetrics::All),
        (50_000, PoolMetrics::All),
        (50_000, PoolMetrics::Top(100)),
    ] {
        let snapshots: Vec<_> = (0..pools).map(snapshot).collect();
        let look = Box::new(move || Sight {
            pools: Some(snapshots.clone()),
            ..Sight::default()
        });
        let registry = Registry::new();
        metrics::register(&registry, &Metrics::new(), look, mode).expect("an empty registry");
        let id = BenchmarkId::new(mode.to_string(), pools);
        group.bench_function(id, |b| {
            b.iter(|| black_box(metrics::text(&registry).expect("text")));
        });
        let id = BenchmarkId::new(format!("{mode}, gzip"), pools);
        group.bench_function(id, |b| {
            b.iter(|| {
                let text = metrics::text(&registry).expect("text");
                black_box(metrics::gzipped(&text).expect("memory"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scrape);
criterion_main!(benches);
