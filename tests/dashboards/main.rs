//! Dashboards, alerts and the reference of metrics: made here, held to what is in the tree, and tried on a real Prometheus.
//!
//! ```text
//!   panel.rs  the bricks      pools.rs  controller.rs   the two dashboards   -> dashboards/*.json
//!   lint.rs   the 17 rules of grafana/dashboard-linter, each shown to catch a violation
//!   alerts.rs dashboards/alerts.yaml <-> docs/runbooks <-> dashboards/alerts_test.yaml <-> deploy/monitoring
//!   reference.rs  the registry -> docs/metrics.md
//!   scraper.rs  proof.rs  the program under load, scraped by Prometheus: every expression returns data
//! ```
//! `make dashboards` writes what is generated.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod alerts;
mod controller;
mod lint;
mod panel;
mod pools;
mod promql;
mod proof;
mod reference;
mod scraper;
#[path = "../suite/tally.rs"]
mod tally;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A path in the tree.
fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Holds a file to what it is generated from, or writes it (`WRITE_DASHBOARDS=1`).
fn generated(path: &str, text: &str) {
    if std::env::var_os("WRITE_DASHBOARDS").is_some() {
        fs::write(tree(path), text).unwrap();
        return;
    }
    let found = fs::read_to_string(tree(path)).unwrap_or_default();
    assert!(
        found == text,
        "{path} is not what it is generated from; run: make dashboards"
    );
}

/// Both dashboards, by the name of their file.
fn dashboards() -> [(&'static str, Value); 2] {
    [
        ("pools", pools::dashboard()),
        ("controller", controller::dashboard()),
    ]
}

#[test]
fn the_dashboards_are_as_they_are_made_here() {
    for (name, dashboard) in dashboards() {
        let text = serde_json::to_string_pretty(&dashboard).unwrap();
        generated(&format!("dashboards/{name}.json"), &format!("{text}\n"));
    }
}
