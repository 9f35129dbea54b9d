//! Every alert has a runbook and a unit test, every metric that it names exists.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::{lint, promql, tree};

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(tree(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every rule of `dashboards/alerts.yaml`.
pub(crate) fn rules() -> Vec<Value> {
    let file = yaml("dashboards/alerts.yaml");
    let groups = file["groups"].as_array().unwrap().clone();
    groups
        .iter()
        .flat_map(|g| g["rules"].as_array().unwrap().clone())
        .collect()
}

fn names() -> BTreeSet<String> {
    rules()
        .iter()
        .map(|r| r["alert"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let url = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(url, format!("docs/runbooks/{name}.md"));
        let page = fs::read_to_string(tree(url)).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert!(page.starts_with(&format!("# {name}\n")), "{url}");
        for part in [
            "## What it means",
            "## Who is affected",
            "## What to look at",
            "## Causes",
            "## What to do",
            "## When to escalate",
        ] {
            assert!(page.contains(part), "{url} lacks {part:?}");
        }
        for text in ["summary", "description"] {
            assert!(!rule["annotations"][text].as_str().unwrap().is_empty());
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(
            ["warning", "critical"].contains(&severity),
            "{name}: {severity}"
        );
        assert!(
            rule["for"].is_string(),
            "{name} has no time that it must hold for"
        );
    }
    let pages = fs::read_dir(tree("docs/runbooks")).unwrap();
    let pages = pages.map(|p| {
        p.unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(pages.collect::<BTreeSet<_>>(), names());
}

#[test]
fn every_alert_is_tested_to_fire_and_to_keep_still() {
    let tests = yaml("dashboards/alerts_test.yaml");
    let mut fires = BTreeSet::new();
    for test in tests["tests"].as_array().unwrap() {
        for case in test["alert_rule_test"].as_array().unwrap() {
            let name = case["alertname"].as_str().unwrap();
            for alert in case["exp_alerts"].as_array().unwrap() {
                let severity = alert["exp_labels"]["severity"].as_str().unwrap();
                fires.insert((name.to_owned(), severity.to_owned()));
            }
        }
    }
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let rules = rules();
    let all: BTreeSet<_> = rules
        .iter()
        .map(|r| (text(&r["alert"]), text(&r["labels"]["severity"])))
        .collect();
    assert_eq!(fires, all);
}

/// Names of the metrics that `docs/metrics.md` lists, which is generated from the registry.
fn metrics() -> BTreeSet<String> {
    let page = fs::read_to_string(tree("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split('`').next());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 50, "only {} metrics were read", names.len());
    names
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let mut known = BTreeSet::new();
    for name in metrics() {
        for suffix in ["", "_bucket", "_sum", "_count"] {
            known.insert(format!("{name}{suffix}"));
        }
    }
    let dashboards = crate::dashboards();
    let mut asked: Vec<(String, String)> = Vec::new();
    for (name, dashboard) in &dashboards {
        asked.extend(
            lint::expressions(dashboard)
                .into_iter()
                .map(|(panel, expr)| (format!("{name}: {panel}"), expr.to_owned())),
        );
    }
    for rule in rules() {
        asked.push((
            rule["alert"].to_string(),
            rule["expr"].as_str().unwrap().to_owned(),
        ));
    }
    for (place, expr) in asked {
        let found = promql::selectors(&expr).unwrap_or_else(|e| panic!("{place}: {expr}: {e}"));
        for selector in found {
            let name = &selector.name;
            assert!(
                known.contains(name),
                "{place} asks for {name}, which docs/metrics.md does not list"
            );
        }
    }
}
