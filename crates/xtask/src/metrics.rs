//! `docs/metrics.md`, from the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use metal3_ipam::api::metal3::IPPool;
use metal3_ipam::api::{PoolKey, names};
use metal3_ipam::observe::metrics::{self, BenchMetrics, Metrics, PoolMetrics, Sight};
use metal3_ipam::pool::Snapshot;
use metal3_ipam::standalone::{self, Server};
use prometheus::Registry;
use prometheus::proto::{MetricFamily, MetricType};

use crate::Files;

/// A registry in which every family has a series.
fn families() -> anyhow::Result<Vec<MetricFamily>> {
    let metrics = Metrics::new();
    metrics.requested("GET", "10.0.0.1:443", Some(200));
    metrics.written(
        "create",
        metrics::RESOURCES[2],
        Some(201),
        Duration::from_millis(5),
    );
    metrics.leading(names::LEASE_NAME, true);
    metrics.refused("patch_status", metrics::RESOURCES[0], "invalid");
    metrics.serves_webhook("/validate-ipam-metal3-io-v1alpha1-ippool");
    let pool = Arc::new(Snapshot {
        key: PoolKey {
            namespace: "metal3".into(),
            name: "provisioning".into(),
        },
        uid: Some("u".into()),
        of_another_manager: false,
        capacity: 254,
        allocated: 200,
        available: 50,
        reserved: 4,
        out_of_range: 0,
        waiting: BTreeMap::new(),
        claims: 200,
        in_flight: 0,
        status_waits: false,
        ready: Ok(()),
        cluster: None,
        strategy: "sequential",
        family: "IPv4",
        problems: BTreeMap::new(),
    });
    let look = Box::new(move || Sight {
        pools: Some(vec![Arc::clone(&pool)]),
        ..Sight::default()
    });
    let registry = Registry::new();
    metrics::register(&registry, &metrics, look, PoolMetrics::All)?;
    let bench = BenchMetrics::new(Vec::new());
    bench.begun("controller");
    bench.bound("controller", 1);
    bench.ended("controller", 100.0, &[Duration::from_millis(5)]);
    bench.share("controller", 0.9);
    bench.register(&registry)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(embedded(&registry))?;
    Ok(registry.gather())
}

/// Registers the metrics of an embedded server that has served a request and serves a watch.
async fn embedded(registry: &Registry) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let options = standalone::options(dir.path().to_owned());
    let server = Server::open(options).await?;
    server.register(registry)?;
    let pools = Api::<IPPool>::default_namespaced(server.client());
    pools.list(&ListParams::default()).await?;
    let watch = pools.watch(&WatchParams::default(), "0").await?;
    drop(watch);
    server.close().await;
    Ok(())
}

/// Headings, and the prefixes of the names under them. A name stands where its longest prefix does.
const PARTS: [(&str, &[&str]); 6] = [
    ("Of each pool", &["metal3_ipam_pool_"]),
    ("Over all pools, and of the controller", &["metal3_ipam_"]),
    (
        "Under the names that dashboards of other controllers read",
        &[
            "controller_runtime_",
            "certwatcher_",
            "workqueue_",
            "rest_client_",
            "leader_election_",
        ],
    ),
    ("Of the process", &["process_"]),
    (
        "Of the embedded API server (`metal3-ipam standalone`)",
        &[
            "apiserver_",
            "metal3_ipam_connections",
            "metal3_ipam_store_",
        ],
    ),
    ("Of `metal3-ipam bench`", &["metal3_ipam_bench_"]),
];

const HEAD: &str = "# Metrics

Generated from the registry by `cargo xtask dashboards`; a test compares the two.

`--diagnostics-address` (default `:8443`) serves `/metrics` over TLS to whom the API server allows (TokenReview, then
SubjectAccessReview on `GET /metrics`; `deploy/rbac/diagnostics`), or plain to anyone with `--insecure-diagnostics`.
`metal3-ipam standalone --diagnostics-address 127.0.0.1:8080` serves them plain, with those of its API server; their
labels `group`, `version` and `resource` are empty where a path leads to no resource that is served. `metal3-ipam bench
--diagnostics-address 127.0.0.1:8080` serves those of the controllers that it measures, and its own.

Text format 0.0.4, or protobuf for who prefers it in `Accept`, with gzip for who takes it. In protobuf three histograms
are native as well (exponential buckets, schema 3), for a Prometheus that takes them in
(`--enable-feature=native-histograms`; from Prometheus 3.9 on `scrape_native_histograms: true` in its configuration):
`metal3_ipam_claim_bind_seconds`, `metal3_ipam_api_write_seconds` and `controller_runtime_webhook_latency_seconds`. Set
`scrape_classic_histograms: true` beside it (from Prometheus 3 on `always_scrape_classic_histograms`), since the
dashboards and alerts ask for the classic buckets. Counters end in `_total`, gauges never; seconds and bytes. No label
carries an address, a claim or a machine. Series of a pool are there from its first moment and gone with it.
`--pool-metrics all|top=N|off` says which pools have series: `all` shows 5,000 at most, of each namespace in turn those
with waiting claims first, then the fullest, and last those that do not exist but are named by claims;
`metal3_ipam_pools_omitted` counts the others by state. Only a manager that leads has series of pools, and only of pools
that it serves: a standby has none, and of managers with different watch filters each has its own. While the lease
changes hands two may have them for the time of a scrape, so count each once: `sum(max by (pool_namespace, pool)
(...))`. In the ranges of a pool, allocated + available + reserved = capacity; values are floats, exact to 2^53. A
pool's namespace is `pool_namespace`, since scrapes in a cluster, those of the Prometheus operator and of Cluster API's
own job among them, set `namespace` to that of the scraped pod.
";

fn row(family: &MetricFamily) -> anyhow::Result<String> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => {
            bail!(
                "{} is a summary or has no type; docs/metrics.md has no word for it",
                family.name()
            )
        }
    };
    let labels = family
        .get_metric()
        .iter()
        .flat_map(prometheus::proto::Metric::get_label);
    let labels: BTreeSet<String> = labels.map(|l| format!("`{}`", l.name())).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    Ok(format!(
        "| `{}` | {kind} | {} | {} |\n",
        family.name(),
        labels.join(" "),
        family.help()
    ))
}

/// The heading under which a metric stands.
fn part_of(name: &str) -> Option<usize> {
    let longest = |prefixes: &[&str]| {
        let fitting = prefixes.iter().filter(|prefix| name.starts_with(**prefix));
        fitting.map(|prefix| prefix.len()).max()
    };
    let parts = PARTS.iter().enumerate();
    let fitting = parts.filter_map(|(n, (_, prefixes))| Some((longest(prefixes)?, n)));
    fitting.max().map(|(_, n)| n)
}

/// `docs/metrics.md`.
pub(crate) fn files() -> anyhow::Result<Files> {
    let mut parts: [Vec<MetricFamily>; PARTS.len()] = Default::default();
    for family in families()? {
        let part = part_of(family.name())
            .with_context(|| format!("{} has no heading in docs/metrics.md", family.name()))?;
        parts[part].push(family);
    }
    let mut page = HEAD.to_owned();
    for ((heading, _), families) in PARTS.iter().zip(parts) {
        write!(
            page,
            "\n## {heading}\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n"
        )?;
        for family in families {
            page += &row(&family)?;
        }
    }
    Ok(Files::from([("docs/metrics.md".to_owned(), page)]))
}
