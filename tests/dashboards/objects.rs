//! `deploy/monitoring/kube-state-metrics.yaml` names fields that the definitions have.

use std::fs;

use metal3_ipam::api::crds::metal3_crds;
use serde_json::Value;

use crate::tree;

/// Fields of every object, which no definition lists.
const METADATA: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "annotations",
    "labels",
    "ownerReferences",
];
const OWNER: [&str; 4] = ["kind", "name", "uid", "apiVersion"];

/// The schema of a kind, whole.
fn schema(kind: &str) -> Value {
    let definition = metal3_crds().into_iter();
    let mut definition = definition.filter(|crd| crd.spec.names.kind == kind);
    let definition = definition
        .next()
        .unwrap_or_else(|| panic!("no kind {kind}"));
    let version = definition.spec.versions.into_iter().next().unwrap();
    serde_json::to_value(version.schema.unwrap().open_api_v3_schema).unwrap()
}

/// The fields that a path names, as text.
fn path(value: &Value) -> Vec<&str> {
    let fields = value.as_array().into_iter().flatten();
    fields.map(|field| field.as_str().unwrap()).collect()
}

/// Whether an object of this schema can have a field at the path.
fn has(schema: &Value, path: &[&str]) -> bool {
    match path {
        ["metadata", "ownerReferences", rest @ ..] => {
            rest.is_empty() || (rest.len() == 1 && OWNER.contains(&rest[0]))
        }
        ["metadata", field, rest @ ..] => {
            METADATA.contains(field)
                && rest.len() <= usize::from(["annotations", "labels"].contains(field))
        }
        _ => {
            let mut at = schema;
            for field in path {
                let of_item = at.pointer("/items").unwrap_or(at);
                let Some(next) = of_item.pointer(&format!("/properties/{field}")) else {
                    return false;
                };
                at = next;
            }
            true
        }
    }
}

/// Every path of a metric, from the object's root.
fn paths(metric: &Value) -> Vec<Vec<&str>> {
    let each = metric["each"].as_object().unwrap();
    let kind = each.iter().find(|(field, _)| *field != "type").unwrap().1;
    let base = path(&kind["path"]);
    let of_labels = kind["labelsFromPath"].as_object().into_iter().flatten();
    let relative = of_labels
        .map(|(_, value)| value)
        .chain([&kind["valueFrom"]]);
    let mut all: Vec<_> = relative
        .map(|value| [base.clone(), path(value)].concat())
        .collect();
    all.push(base);
    all.retain(|path| !path.is_empty());
    all
}

#[test]
fn kube_state_metrics_reads_fields_that_the_definitions_have() {
    let text = fs::read_to_string(tree("deploy/monitoring/kube-state-metrics.yaml")).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let resources = config["spec"]["resources"].as_array().unwrap();
    let mut kinds = Vec::new();
    for resource in resources {
        let kind = resource["groupVersionKind"]["kind"].as_str().unwrap();
        kinds.push(kind);
        let schema = schema(kind);
        for metric in resource["metrics"].as_array().unwrap() {
            assert!(
                metric["help"]
                    .as_str()
                    .is_some_and(|help| help.ends_with('.')),
                "{kind}: {metric}"
            );
            for path in paths(metric) {
                assert!(
                    has(&schema, &path),
                    "{kind} has no field {}",
                    path.join(".")
                );
            }
        }
    }
    assert_eq!(kinds, ["IPPool", "IPClaim", "IPAddress"]);
}

#[test]
fn a_field_that_is_not_there_is_found() {
    let schema = schema("IPPool");
    assert!(has(
        &schema,
        &["status", "conditions", "lastTransitionTime"]
    ));
    for wrong in [
        ["status", "capacty"].as_slice(),
        &["metadata", "nmae"],
        &["status", "conditions", "since"],
        &["metadata", "name", "first"],
    ] {
        assert!(!has(&schema, wrong), "{wrong:?}");
    }
}
