//! `dashboards/*.json`, and the alerts as an object of the Prometheus operator (`deploy/monitoring/prometheusrule.yaml`).
//!
//! ```text
//!   panel.rs        panels and variables of Grafana, placed from left to right
//!   series.rs       expressions that the next two share
//!   fleet.rs        the dashboard of all pools
//!   pools.rs        the dashboard of single pools
//!   controller.rs   the dashboard of the controller
//!   benchmark.rs    the dashboard of the bench
//! ```

mod benchmark;
mod controller;
mod fleet;
mod panel;
mod pools;
mod series;

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::Files;

const ALERTS: &str = "dashboards/alerts.yaml";

/// The dashboards, and the operator's rules made of `dashboards/alerts.yaml`.
pub(crate) fn files(root: &Path) -> anyhow::Result<Files> {
    let dashboards: [(&str, Value); 4] = [
        ("dashboards/fleet.json", fleet::dashboard()),
        ("dashboards/pools.json", pools::dashboard()),
        ("dashboards/controller.json", controller::dashboard()),
        ("dashboards/benchmark.json", benchmark::dashboard()),
    ];
    let mut files = Files::new();
    for (path, dashboard) in dashboards {
        let text = serde_json::to_string_pretty(&dashboard)?;
        files.insert(path.to_owned(), format!("{text}\n"));
    }
    let alerts = fs::read_to_string(root.join(ALERTS)).context(ALERTS)?;
    files.insert(
        "deploy/monitoring/prometheusrule.yaml".to_owned(),
        prometheus_rule(&alerts)?,
    );
    Ok(files)
}

/// The groups of a file of alerts as a PrometheusRule.
fn prometheus_rule(alerts: &str) -> anyhow::Result<String> {
    let (_, groups) = alerts
        .split_once("groups:\n")
        .with_context(|| format!("{ALERTS} has no line `groups:`"))?;
    let indented = groups.lines().map(|line| format!("  {line}\n"));
    Ok(format!(
        "# For the Prometheus operator. Generated from {ALERTS} by `cargo xtask dashboards`.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: metal3-ipam\n  namespace: metal3-ipam-system\n\
         spec:\n  groups:\n{}",
        indented.collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prometheus_rule_has_the_groups_of_the_alerts() {
        let alerts = "# A comment.\ngroups:\n- name: ipam\n  rules:\n  - alert: NoLeader\n";
        let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
        let rule = read(&prometheus_rule(alerts).unwrap());
        assert_eq!(rule["spec"]["groups"], read(alerts)["groups"]);
        assert_eq!(rule["spec"]["groups"][0]["name"], "ipam");
        assert!(prometheus_rule("rules: []").is_err());
    }
}
