//! The program under load, scraped by a real Prometheus: every expression of the dashboards and the alerts returns data.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::json;

use crate::scraper::{Prometheus, get, say, tools};
use crate::{alerts, lint, promql, tally};

/// Expressions, or selectors in the alerts, that may be without data here, and why.
const QUIET: [(&str, &str); 1] = [(
    r#"metal3_ipam_api_writes_total{code!~"2..|404|409",resource!="events"}"#,
    "no write fails here",
)];

/// What `metal3-ipam standalone` has none of: Prometheus takes the expressions, and has no data for them.
const WITHOUT_DATA: [(&str, &str); 2] = [
    (
        "controller_runtime_webhook_",
        "only the manager serves webhooks",
    ),
    (
        "metal3_ipam_bench_",
        "only the bench has rounds; its own proof tries these",
    ),
];

/// `metal3-ipam standalone`; ended when dropped.
struct Standalone {
    child: Child,
    metrics: String,
    client: Client,
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Standalone {
    async fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .args([
                "standalone",
                "--listen=127.0.0.1:0",
                "--diagnostics-address=127.0.0.1:0",
            ])
            .arg(format!("--data-dir={}", dir.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let metrics = loop {
            let line = lines
                .next()
                .expect("it says where the metrics are")
                .unwrap();
            if let Some(url) = line.strip_prefix("metrics: http://") {
                break url.strip_suffix("/metrics").unwrap().to_owned();
            }
        };
        // Whatever else it says is taken in, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let kubeconfig = Kubeconfig::read_from(dir.join("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options);
        let client = Client::try_from(config.await.unwrap()).unwrap();
        Self {
            child,
            metrics,
            client,
        }
    }

    async fn pool(&self, name: &str, ranges: serde_json::Value) {
        self.pool_in("default", name, ranges).await;
    }

    async fn namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let made = namespaces.create(&PostParams::default(), &namespace).await;
        made.unwrap();
    }

    async fn pool_in(&self, namespace: &str, name: &str, ranges: serde_json::Value) {
        let pools: Api<IPPool> = Api::namespaced(self.client.clone(), namespace);
        let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
            "spec": {"namePrefix": name, "pools": ranges}});
        let pool = serde_json::from_value(pool).unwrap();
        pools.create(&PostParams::default(), &pool).await.unwrap();
    }

    async fn claim(&self, name: &str, pool: &str) {
        let claims: Api<IPClaim> = Api::namespaced(self.client.clone(), "default");
        let claim = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": {"name": name},
            "spec": {"pool": {"name": pool}}});
        let claim = serde_json::from_value(claim).unwrap();
        claims.create(&PostParams::default(), &claim).await.unwrap();
    }

    async fn capi_claim(&self, name: &str, pool: &str) {
        let claims: Api<IPAddressClaim> = Api::namespaced(self.client.clone(), "default");
        let claim = json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim", "metadata": {"name": name},
            "spec": {"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}}});
        let claim = serde_json::from_value(claim).unwrap();
        claims.create(&PostParams::default(), &claim).await.unwrap();
    }

    /// Claims of both kinds come and go, for ever.
    async fn churn(&self) {
        let claims: Api<IPClaim> = Api::namespaced(self.client.clone(), "default");
        let capi: Api<IPAddressClaim> = Api::namespaced(self.client.clone(), "default");
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        for n in 0.. {
            pause.tick().await;
            self.claim(&format!("c{n}"), "churn").await;
            self.capi_claim(&format!("k{n}"), "churn").await;
            // Twenty live at a time, a few more each minute: the pool shrinks slowly.
            if n >= 20 && n % 10 != 0 {
                let gone = n - 20;
                let _ = claims
                    .delete(&format!("c{gone}"), &DeleteParams::default())
                    .await;
                let _ = capi
                    .delete(&format!("k{gone}"), &DeleteParams::default())
                    .await;
            }
        }
    }
}

/// The alerts that announce exhaustion fire, and end once claims have given their addresses back.
async fn fire_and_resolve(program: &Standalone, prometheus: &Prometheus) {
    let firing = |alert: &str, pool: &str| {
        format!(r#"ALERTS{{alertname="{alert}", alertstate="firing", pool="{pool}"}}"#)
    };
    let alerts = [
        firing("PoolExhausted", "full"),
        firing("ClaimsWaiting", "full"),
        firing("PoolNearlyFull", "nearly"),
        firing("PoolExhaustionPredicted", "nearly"),
    ];
    for alert in &alerts {
        prometheus.until(alert).await;
    }
    let claims: Api<IPClaim> = Api::namespaced(program.client.clone(), "default");
    let full = (0..6).map(|n| format!("full{n}"));
    for name in full.chain((0..9).map(|n| format!("nearly{n}"))) {
        claims
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }
    for alert in &alerts {
        prometheus.until(&format!("absent({alert})")).await;
    }
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests() {
    let Some(tools) = tools() else { return };
    tools.promtool(
        &[
            "check",
            "rules",
            "--lint=all",
            "--lint-fatal",
            "dashboards/alerts.yaml",
        ],
        b"",
    );
    tools.promtool(&["test", "rules", "dashboards/alerts_test.yaml"], b"");
    tools.promtool(&["check", "config", "deploy/demo/prometheus.yaml"], b"");
    tally::add("proofs with a real Prometheus", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_are_taken_in() {
    let Some(tools) = tools() else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = Standalone::start(&dir.path().join("data")).await;
    program
        .pool("p", json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]))
        .await;
    for n in 0..5 {
        program.claim(&format!("c{n}"), "p").await;
    }
    let prometheus = tools.start_native(&program.metrics, dir.path());
    // Of what is no native histogram these functions return nothing.
    for expression in [
        r#"histogram_count(metal3_ipam_claim_bind_seconds{claim_kind="IPClaim"}) == 5"#,
        r#"histogram_sum(metal3_ipam_claim_bind_seconds{claim_kind="IPClaim"}) < 60"#,
        r#"histogram_count(metal3_ipam_claim_bind_seconds{claim_kind="IPAddressClaim"}) == 0"#,
        r#"histogram_quantile(0.9, metal3_ipam_api_write_seconds{verb="create", resource="ipaddresses.ipam.metal3.io"}) > 0"#,
        // The others are what they are in text.
        "metal3_ipam_allocated_addresses == 5",
        r#"metal3_ipam_api_writes_total{verb="create", resource="ipaddresses.ipam.metal3.io", code="201"} == 5"#,
        r#"workqueue_work_duration_seconds_bucket{le="+Inf"} > 0"#,
    ] {
        prometheus.until(expression).await;
    }
    tally::add("proofs with a real Prometheus", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_returns_data_under_load() {
    let Some(tools) = tools() else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = Standalone::start(&dir.path().join("data")).await;
    program
        .pool("full", json!([{"start": "10.0.0.1", "end": "10.0.0.4"}]))
        .await;
    // Prometheus is told which namespace the pod is in: the pools' own is another label, so these stay apart.
    for namespace in ["second", "third"] {
        program.namespace(namespace).await;
        let ranges = json!([{"start": "10.0.0.1", "end": "10.0.0.4"}]);
        program.pool_in(namespace, "full", ranges).await;
    }
    program
        .pool("nearly", json!([{"start": "10.1.0.1", "end": "10.1.0.10"}]))
        .await;
    program
        .pool("churn", json!([{"subnet": "10.2.0.0/16"}]))
        .await;
    program.pool("six", json!([{"subnet": "fd00::/64"}])).await;
    let prometheus = tools.start(&program.metrics, dir.path());
    prometheus.until("metal3_ipam_build_info").await;
    for n in 0..6 {
        program.claim(&format!("full{n}"), "full").await;
    }
    for n in 0..9 {
        program.claim(&format!("nearly{n}"), "nearly").await;
    }
    program.claim("six", "six").await;
    let tried = tokio::select! {
        () = program.churn() => panic!("it goes on for ever"),
        tried = look(&prometheus) => tried,
    };
    fire_and_resolve(&program, &prometheus).await;
    let (status, text) = get(&program.metrics, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    tools.promtool(&["check", "metrics"], text.as_bytes());
    say(&format!(
        "{tried} expressions returned data on a real Prometheus"
    ));
    tally::add("proofs with a real Prometheus", 1);
    tally::add("expressions tried on a real Prometheus", tried);
}

/// `metal3-ipam bench`; ended when dropped.
struct Bench(Child);

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_is_seen_while_it_runs() {
    let Some(tools) = tools() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
        .args(["bench", "--claims=200", "--rounds=60000", "--mode=live"])
        .arg("--diagnostics-address=127.0.0.1:0")
        .arg(format!("--data-dir={}", dir.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let _bench = Bench(child);
    let mut lines = lines.map_while(Result::ok);
    let metrics = lines.find_map(|line| {
        let address = line.strip_prefix("metrics: http://")?;
        Some(address.strip_suffix("/metrics")?.to_owned())
    });
    let metrics = metrics.expect("it prints where the metrics are");
    std::thread::spawn(move || lines.for_each(drop));
    let prometheus = tools.start(&metrics, dir.path());
    let [.., (name, dashboard)] = crate::dashboards();
    assert_eq!(name, "benchmark");
    let mut tried = 0;
    for (_, expr) in lint::expressions(&dashboard) {
        let expr = promql::filled(&hasty(expr));
        // Rates of a round that has not ended are no number yet: wait until one is.
        prometheus.until(&format!("({expr}) >= 0")).await;
        tried += 1;
    }
    for side in ["ceiling", "controller"] {
        let bound = format!(r#"metal3_ipam_bench_claims_bound_total{{side="{side}"}} > 0"#);
        prometheus.until(&bound).await;
    }
    tally::add("proofs with a real Prometheus", 1);
    tally::add("expressions tried on a real Prometheus", tried);
}

/// Tries every expression; returns how many had data.
async fn look(prometheus: &Prometheus) -> u64 {
    // Rates over ten seconds need as many scrapes, and slopes a few.
    prometheus
        .until("count_over_time(metal3_ipam_build_info[2m]) >= 20")
        .await;
    prometheus
        .until(r#"metal3_ipam_releases_total{claim_kind="IPAddressClaim"} > 10"#)
        .await;
    let (mut tried, mut apart) = (0, 0);
    for (name, dashboard) in crate::dashboards() {
        for (panel, expr) in lint::expressions(&dashboard) {
            let expr = promql::filled(&hasty(expr));
            if WITHOUT_DATA.iter().any(|(metric, _)| expr.contains(metric)) {
                prometheus
                    .query(&expr)
                    .await
                    .unwrap_or_else(|e| panic!("{name}: {panel}: {expr}: {e}"));
                continue;
            }
            let series = prometheus
                .query(&expr)
                .await
                .unwrap_or_else(|e| panic!("{name}: {panel}: {expr}: {e}"));
            assert!(!series.is_empty(), "{name}: {panel}: {expr} has no data");
            let of_full = series.iter().filter(|s| s["metric"]["pool"] == "full");
            let of_full = of_full.map(|s| s["metric"]["pool_namespace"].as_str());
            let of_full: BTreeSet<Option<&str>> = of_full.collect();
            // Only pools that shrink have a time left.
            let may_lack = of_full.is_empty() || expr.contains("deriv(");
            assert!(
                may_lack || of_full.len() == 3,
                "{name}: {panel}: {expr} shows {of_full:?} of the three pools of one name"
            );
            apart += u64::from(!of_full.is_empty());
            assert!(
                !series.iter().any(|s| s["value"][1] == "NaN"),
                "{name}: {panel}: {expr} is no number: {series:?}"
            );
            tried += 1;
        }
    }
    assert!(apart >= 10, "{apart} expressions are of each pool");
    for rule in alerts::rules() {
        let expr = rule["expr"].as_str().unwrap();
        prometheus
            .query(expr)
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", rule["alert"]));
        // An alert is quiet most of the time; what it looks at is there.
        for found in promql::selectors(expr).unwrap() {
            let selector = found.text();
            let quiet = QUIET.iter().any(|(known, _)| *known == selector)
                || WITHOUT_DATA
                    .iter()
                    .any(|(metric, _)| selector.contains(metric));
            let series = prometheus.query(&selector).await.unwrap();
            assert!(
                quiet || !series.is_empty(),
                "{}: {selector} has no data",
                rule["alert"]
            );
            tried += 1;
        }
    }
    let alerts = prometheus.alerts().await;
    for alert in ["PoolExhausted", "PoolNearlyFull", "ClaimsWaiting"] {
        assert!(
            alerts.iter().any(|a| a == alert),
            "{alert} is not pending: {alerts:?}"
        );
    }
    for alert in [
        "NoLeader",
        "ControllerAbsent",
        "ControllerErrors",
        "AddressLeak",
        "ConsistencyProblem",
    ] {
        assert!(!alerts.iter().any(|a| a == alert), "{alert} is pending");
    }
    tried
}

/// The expression for a run of seconds rather than hours.
fn hasty(expr: &str) -> String {
    expr.replace("$__rate_interval", "10s")
        .replace("[6h:5m]", "[6h:1s]")
}
