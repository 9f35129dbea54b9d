//! What the dashboards owe each other, and the preview that draws them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::{lint, tree};

/// Every `/d/UID` in the texts of a dashboard.
fn links(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let uid = text
                .strip_prefix("/d/")
                .and_then(|rest| rest.split('?').next());
            found.extend(uid.map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| links(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn every_link_leads_to_another_dashboard() {
    let all = crate::dashboards();
    let uids: BTreeSet<_> = all
        .iter()
        .map(|(_, d)| d["uid"].as_str().unwrap())
        .collect();
    assert_eq!(uids.len(), all.len());
    for (name, dashboard) in &all {
        let mut found = BTreeSet::new();
        links(dashboard, &mut found);
        assert!(found.len() >= 2, "{name} leads to {found:?}");
        let unknown: Vec<_> = found
            .iter()
            .filter(|uid| !uids.contains(uid.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{name} leads to {unknown:?}");
    }
}

/// A fleet of 5,000 pools would be as many rows.
#[test]
fn rows_are_repeated_for_chosen_values_and_never_for_all() {
    let mut repeated = 0;
    for (name, dashboard) in crate::dashboards() {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let Some(of) = panel["repeat"].as_str() else {
                continue;
            };
            let variable = variables.iter().find(|v| v["name"] == of).unwrap();
            assert_eq!(variable["includeAll"], false, "{name}: {}", panel["title"]);
            repeated += 1;
        }
    }
    assert_eq!(repeated, 1);
}

#[test]
fn the_preview_draws_every_type_of_panel() {
    let source = fs::read_to_string(tree("dashboards/preview/src/panels.jsx")).unwrap();
    let (_, known) = source.split_once("export const PANELS = {").unwrap();
    for (name, dashboard) in crate::dashboards() {
        for panel in lint::panels(&dashboard) {
            let kind = panel["type"].as_str().unwrap();
            let is_known = [format!(" {kind}:"), format!("'{kind}':")]
                .iter()
                .any(|k| known.contains(k));
            assert!(
                is_known,
                "{name}: {}: the preview knows no {kind}",
                panel["title"]
            );
        }
    }
}
