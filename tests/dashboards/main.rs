//! Dashboards and alerts as they lie in the tree: linted, and tried on a real Prometheus. `crates/xtask` generates the dashboards
//! and compares them with the tree.
//!
//! ```text
//!   lint.rs      the 17 rules of grafana/dashboard-linter, each shown to catch a violation
//!   together.rs  links between dashboards, repeated rows, and the types of panels that the preview draws
//!   alerts.rs    dashboards/alerts.yaml <-> docs/runbooks <-> dashboards/alerts_test.yaml, and docs/metrics.md
//!   objects.rs   deploy/monitoring/kube-state-metrics.yaml <-> the definitions
//!   scraper.rs  proof.rs  the program under load, scraped by Prometheus: every expression returns data
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod alerts;
mod lint;
mod objects;
mod promql;
mod proof;
mod scraper;
#[path = "../suite/tally.rs"]
mod tally;
mod together;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A path in the tree.
fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The dashboards, by the name of their file.
fn dashboards() -> [(&'static str, Value); 4] {
    ["fleet", "pools", "controller", "benchmark"].map(|name| {
        let path = format!("dashboards/{name}.json");
        let text = fs::read_to_string(tree(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let dashboard = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
        (name, dashboard)
    })
}
