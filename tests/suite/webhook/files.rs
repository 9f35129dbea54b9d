//! Compares `deploy/webhook` with the code and with upstream's names.

use std::collections::BTreeSet;

use metal3_ipam::webhook::{Act, HOOKS};
use serde_json::{Value, json};

use super::deployed;

fn webhooks(kind: &str) -> Vec<Value> {
    deployed()[kind]["webhooks"].as_array().unwrap().clone()
}

const KINDS: [&str; 2] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

#[test]
fn every_path_of_the_server_is_registered_under_its_kind_and_no_other() {
    let registered: BTreeSet<String> = KINDS
        .iter()
        .flat_map(|kind| webhooks(kind))
        .map(|w| {
            w["clientConfig"]["service"]["path"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let served: BTreeSet<String> = HOOKS.iter().map(|hook| hook.path.to_owned()).collect();
    assert_eq!(registered, served);
    for (kind, validates) in KINDS.iter().zip([true, false]) {
        for webhook in webhooks(kind) {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
            let hook = HOOKS.iter().find(|hook| hook.path == path).unwrap();
            assert_eq!(hook.act == Act::Validate, validates, "{path}");
            let rule = &webhook["rules"][0];
            assert_eq!(rule["apiGroups"], json!([hook.group]), "{path}");
            let plural = match hook.kind {
                "IPAddress" => "ipaddresses".to_owned(),
                other => format!("{}s", other.to_lowercase()),
            };
            assert_eq!(rule["resources"], json!([plural]), "{path}: no subresource");
        }
    }
}

#[test]
fn the_names_and_the_service_of_deploy_webhook_are_upstreams() {
    let by_kind = deployed();
    for (kind, name) in KINDS.iter().zip(["validating", "mutating"]) {
        let want = format!("ipam-{name}-webhook-configuration");
        assert_eq!(by_kind[*kind]["metadata"]["name"], json!(want));
    }
    for (kind, prefix) in KINDS.iter().zip(["validation", "default"]) {
        let names: Vec<Value> = webhooks(kind).iter().map(|w| w["name"].clone()).collect();
        for of in ["ippool", "ipclaim", "ipaddress"] {
            let name = json!(format!("{prefix}.{of}.ipam.metal3.io"));
            assert!(names.contains(&name), "{name}");
        }
        for webhook in webhooks(kind) {
            let service = &webhook["clientConfig"]["service"];
            assert_eq!(service["name"], "ipam-webhook-service");
        }
    }
}

#[test]
fn only_writes_of_pools_need_the_webhook_and_none_waits_long() {
    for kind in KINDS {
        for webhook in webhooks(kind) {
            let name = webhook["name"].as_str().unwrap();
            let (policy, seconds) = if name == "validation.ippool.ipam.metal3.io" {
                ("Fail", 3)
            } else {
                ("Ignore", 1)
            };
            assert_eq!(webhook["failurePolicy"], policy, "{name}");
            assert_eq!(webhook["timeoutSeconds"], seconds, "{name}");
            assert_eq!(webhook["sideEffects"], "None", "{name}");
            assert_eq!(webhook["matchPolicy"], "Equivalent", "{name}");
            assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]), "{name}");
            let conditions = webhook["matchConditions"].as_array().unwrap();
            let has = |name: &str| conditions.iter().any(|c| c["name"] == name);
            if kind == KINDS[0] {
                assert!(
                    has("not-by-the-manager") && has("not-being-deleted"),
                    "{name}"
                );
            }
        }
    }
}
