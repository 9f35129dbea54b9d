//! The metrics of pools, from their first moment to their end.

use std::collections::BTreeMap;
use std::time::Duration;

use metal3_ipam::api::metal3::{IPClaim, IPPool};
use metal3_ipam::controller::{LeaseSettings, Settings, View};
use metal3_ipam::observe::metrics::{self, PoolMetrics};
use prometheus::Registry;
use serde_json::json;

use crate::harness::{On, World, claim_json, scenarios};
use crate::steps::{WATCH_FILTER, until_view};

scenarios! {
    u5_a_pool_has_series_from_its_first_moment_to_its_end,
    u5_p4_p5_managers_that_share_a_server_show_each_pool_once,
}

/// A registry over a running controller.
struct Scraper<'a> {
    registry: Registry,
    view: &'a View,
    namespace: &'a str,
}

impl<'a> Scraper<'a> {
    fn new(world: &'a World) -> Self {
        let (registry, view) = (Registry::new(), world.view());
        let look = view.clone();
        let look = Box::new(move || look.sight());
        metrics::register(&registry, &view.metrics(), look, PoolMetrics::All).unwrap();
        Self {
            registry,
            view,
            namespace: &world.namespace,
        }
    }

    /// Series of this pool of the scenario, by metric and reason.
    fn scrape(&self, pool: &str) -> BTreeMap<String, f64> {
        let mut series = BTreeMap::new();
        for family in self.registry.gather() {
            for metric in family.get_metric() {
                let label = |name: &str| {
                    let mut all = metric.get_label().iter();
                    all.find(|l| l.name() == name).map(|l| l.value().to_owned())
                };
                if label("pool").as_deref() != Some(pool)
                    || label("pool_namespace").as_deref() != Some(self.namespace)
                {
                    continue;
                }
                let what = family.name().trim_start_matches("metal3_ipam_pool_");
                let what = what.trim_end_matches("_addresses");
                let what = label("reason").map_or(what.to_owned(), |r| format!("{what} {r}"));
                series.insert(what, metric.get_gauge().get_value());
            }
        }
        series
    }

    /// Waits until the series of a pool are so, and always holds what must hold at every moment.
    async fn until(&self, pool: &str, what: &str, holds: impl Fn(&BTreeMap<String, f64>) -> bool) {
        let mut changes = self.view.changes();
        let waited = tokio::time::timeout(Duration::from_mins(2), async {
            loop {
                let series = self.scrape(pool);
                if let Some(capacity) = series.get("capacity") {
                    let parts = ["allocated", "available", "reserved"].map(|p| series[p]);
                    let sum: f64 = parts.iter().sum();
                    assert!((sum - capacity).abs() < 0.5, "{series:?} does not add up");
                }
                assert!(series.values().all(|v| *v >= 0.0), "{series:?}");
                if holds(&series) {
                    return;
                }
                self.view.changed(&mut changes).await;
            }
        });
        let waited = waited.await;
        waited.unwrap_or_else(|_| panic!("{what}: {:?}", self.scrape(pool)));
    }
}

async fn u5_a_pool_has_series_from_its_first_moment_to_its_end(on: On) {
    let world = World::start(on).await;
    let scraper = Scraper::new(&world);
    let is = |name: &'static str, value: f64| {
        move |series: &BTreeMap<String, f64>| {
            series.get(name).is_some_and(|v| (v - value).abs() < 0.5)
        }
    };
    // Someone waits for a pool that is not there yet.
    world.claim("early", "p").await;
    scraper
        .until(
            "p",
            "one waits for the pool",
            is("waiting_claims PoolNotFound", 1.0),
        )
        .await;
    let spec = json!({"pools": [{"subnet": "10.0.0.0/29"}], "gateway": "10.0.0.1", "preAllocations": {"kept": "10.0.0.5"}});
    world.pool("p", spec).await;
    // 1 to 7, of which the gateway, the broadcast address and the pre-allocated one are kept back.
    scraper
        .until("p", "the pool is told of", is("capacity", 7.0))
        .await;
    scraper
        .until("p", "what is kept back", is("reserved", 3.0))
        .await;
    scraper
        .until("p", "the early claim has its address", is("allocated", 1.0))
        .await;
    scraper
        .until("p", "nobody waits", is("waiting_claims PoolExhausted", 0.0))
        .await;
    for name in ["a", "b", "c", "d", "kept"] {
        world.claim(name, "p").await;
    }
    scraper
        .until("p", "five are allocated", is("allocated", 5.0))
        .await;
    scraper
        .until("p", "none is left", is("available", 0.0))
        .await;
    scraper
        .until("p", "one waits", is("waiting_claims PoolExhausted", 1.0))
        .await;
    for name in ["early", "a", "b", "c", "d", "kept"] {
        world.delete::<IPClaim>(name).await;
    }
    scraper
        .until("p", "all are free again", is("allocated", 0.0))
        .await;
    world.delete_and_wait::<IPPool>("p").await;
    scraper
        .until(
            "p",
            "nothing is told of a pool that is gone",
            BTreeMap::is_empty,
        )
        .await;
    world.end().await;
}

/// Waiting claims by pool and reason as the dashboards add them up: over the managers the greatest, then a sum.
fn waiting(managers: &[&View]) -> BTreeMap<(String, &'static str), u64> {
    let mut greatest: BTreeMap<_, u64> = BTreeMap::new();
    for pool in managers.iter().filter_map(|m| m.sight().pools).flatten() {
        for (reason, n) in &pool.waiting {
            let series = greatest
                .entry((pool.key.name.to_string(), *reason))
                .or_default();
            *series = (*n).max(*series);
        }
    }
    greatest.retain(|_, n| *n > 0);
    greatest
}

async fn u5_p4_p5_managers_that_share_a_server_show_each_pool_once(on: On) {
    let mut world = World::without_controller(on).await;
    let manager = |colour: &str| Settings {
        watch_filter: Some(colour.to_owned()),
        lease: Some(LeaseSettings {
            name: colour.to_owned(),
            ..LeaseSettings::new(world.namespace.clone())
        }),
        ..Settings::default()
    };
    let (red, standby, blue) = (manager("red"), manager("red"), manager("blue"));
    world.start_controller_with(red);
    until_view(world.view(), "that red leads", View::is_leading).await;
    let standby = world.another_controller(standby);
    let blue = world.another_controller(blue);
    until_view(&blue.view, "that blue leads", View::is_leading).await;

    let labelled = |colour: &str, mut object: serde_json::Value| {
        object["metadata"]["labels"] = json!({WATCH_FILTER: colour});
        object
    };
    for colour in ["red", "blue"] {
        let pool = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1",
            "kind": "IPPool",
            "metadata": {"name": colour},
            "spec": {"namePrefix": colour, "pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]}
        });
        let _: IPPool = world.create(labelled(colour, pool)).await;
        for n in 0..4 {
            let claim = claim_json(&format!("{colour}-{n}"), colour);
            let _: IPClaim = world.create(labelled(colour, claim)).await;
        }
        let lost = claim_json(&format!("{colour}-lost"), &format!("no-{colour}"));
        let _: IPClaim = world.create(labelled(colour, lost)).await;
    }
    let managers = [world.view(), &standby.view, &blue.view];
    let is = |pool: &str, reason, n| ((pool.to_owned(), reason), n);
    let expected = BTreeMap::from([
        is("red", "PoolExhausted", 2),
        is("blue", "PoolExhausted", 2),
        is("no-red", "PoolNotFound", 1),
        is("no-blue", "PoolNotFound", 1),
    ]);
    // Each knows all ten claims, whosever they are.
    for view in managers {
        until_view(view, "that it knows every object", |view| {
            let claims: u64 = view.snapshots().iter().map(|pool| pool.claims).sum();
            claims == 10 && view.is_synced()
        })
        .await;
    }
    for view in [world.view(), &blue.view] {
        until_view(view, "each pool shown once", |_| {
            waiting(&managers) == expected
        })
        .await;
    }
    let shown: Vec<_> = managers
        .map(|m| m.sight().pools.map(|pools| pools.len()))
        .into();
    assert_eq!(shown, [Some(3), None, Some(3)]);
    standby.end().await;
    blue.end().await;
    world.end().await;
}
