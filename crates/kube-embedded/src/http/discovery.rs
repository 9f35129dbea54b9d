//! Discovery: versions, groups and resources, not aggregated. The documents are made once, since they do not change while the
//! server runs.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::access_review;
use crate::kinds::{Resource, Resources};
use crate::product::Product;

/// The version of Kubernetes that this server behaves like. Clients read it.
const KUBERNETES: &str = "v1.36.0";

/// The discovery documents, by path without the leading slash.
pub(super) struct Discovery(BTreeMap<String, Bytes>);

impl Discovery {
    pub(super) fn of(resources: &Resources, product: &Product) -> Self {
        let mut documents = BTreeMap::new();
        let mut insert = |path: &str, document: &Value| {
            documents.insert(path.to_owned(), Bytes::from(document.to_string()));
        };
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut lists: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
        for resource in resources.all() {
            let versions = groups.entry(&resource.group).or_default();
            if !versions.contains(&resource.version.as_str()) {
                versions.push(&resource.version);
            }
            let list = lists
                .entry((&resource.group, &resource.version))
                .or_default();
            list.extend(entries(resource));
        }
        for review in access_review::REVIEWS {
            groups
                .entry(review.group)
                .or_insert_with(|| vec![review.version]);
            let list = lists.entry((review.group, review.version)).or_default();
            list.push(json!({
                "name": review.plural, "singularName": review.singular, "namespaced": false,
                "kind": review.kind, "verbs": ["create"],
            }));
        }

        insert(
            "api",
            &json!({"kind": "APIVersions", "versions": groups.remove("").unwrap_or_default(),
                "serverAddressByClientCIDRs": []}),
        );
        let mut list = Vec::new();
        for (group, versions) in &groups {
            let versions: Vec<Value> = versions
                .iter()
                .map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
                .collect();
            let document =
                json!({"name": group, "versions": versions, "preferredVersion": versions[0]});
            let mut alone = document.clone();
            alone["kind"] = "APIGroup".into();
            alone["apiVersion"] = "v1".into();
            insert(&format!("apis/{group}"), &alone);
            list.push(document);
        }
        insert(
            "apis",
            &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}),
        );
        for ((group, version), list) in lists {
            insert(
                &group_version_path(group, version),
                &json!({"kind": "APIResourceList", "apiVersion": "v1",
                    "groupVersion": if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
                    "resources": list}),
            );
        }
        insert("version", &version(product));
        let paths: Vec<String> = documents.keys().map(|path| format!("/{path}")).collect();
        documents.insert(String::new(), json!({"paths": paths}).to_string().into());
        Self(documents)
    }

    pub(super) fn get(&self, path: &str) -> Option<Bytes> {
        self.0.get(path).cloned()
    }
}

/// `api/v1` or `apis/GROUP/VERSION`.
pub(super) fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn entries(resource: &Resource) -> Vec<Value> {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs(),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = resource.short_names.clone().into();
    }
    if !resource.categories.is_empty() {
        entry["categories"] = resource.categories.clone().into();
    }
    let mut entries = vec![entry];
    if resource.status_subresource {
        entries.push(json!({
            "name": format!("{}/status", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ["get", "patch", "update"],
        }));
    }
    entries
}

fn version(product: &Product) -> Value {
    let numbers: Vec<&str> = KUBERNETES.trim_start_matches('v').split('.').collect();
    json!({
        "major": numbers[0],
        "minor": numbers[1],
        "gitVersion": format!("{KUBERNETES}+{}-{}", product.name, product.version),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_listed_where_clients_look() {
        let resources = crate::testing::resources();
        let discovery = Discovery::of(&resources, &crate::testing::product());
        let get = |path: &str| -> Value {
            let text = discovery.get(path).unwrap_or_else(|| panic!("{path}"));
            serde_json::from_slice(&text).unwrap()
        };
        assert_eq!(get("api")["versions"], json!(["v1"]));
        let groups = get("apis");
        for resource in resources.all() {
            let path = group_version_path(&resource.group, &resource.version);
            let list = get(&path);
            assert_eq!(list["groupVersion"], resource.api_version());
            let named = |name: &str| {
                let all = list["resources"].as_array().unwrap();
                all.iter().any(|entry| entry["name"] == *name)
            };
            assert!(named(&resource.plural));
            assert_eq!(
                named(&format!("{}/status", resource.plural)),
                resource.status_subresource
            );
            if !resource.group.is_empty() {
                let all = groups["groups"].as_array().unwrap();
                let group = all
                    .iter()
                    .find(|g| g["name"] == resource.group.as_str())
                    .unwrap();
                assert_eq!(
                    group["preferredVersion"]["version"],
                    resource.version.as_str()
                );
                assert_eq!(get(&format!("apis/{}", resource.group))["kind"], "APIGroup");
            }
        }
        assert_eq!(
            get("apis/authorization.k8s.io/v1")["resources"][0]["kind"],
            "SelfSubjectAccessReview"
        );
        assert_eq!(get("version")["minor"], "36");
        assert!(
            get("")["paths"]
                .as_array()
                .unwrap()
                .contains(&json!("/apis/example.com/v1alpha1"))
        );
        assert_eq!(discovery.get("apis/none"), None);
    }
}
