//! The objects of `deploy/rbac`, created on a server for one scenario.

use std::path::Path;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::harness::World;

/// For which namespaces the manager has rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `deploy/rbac/cluster`: all.
    Cluster,
    /// `deploy/rbac/namespaced`: its own.
    Namespaced,
}

/// Whether a right, such as `patch ipam.metal3.io ippools/status`, is given.
pub(super) type Given<'a> = &'a dyn Fn(&str) -> bool;

impl Form {
    /// Folders with what the manager's account gets.
    pub(super) fn folders(self) -> [&'static str; 2] {
        match self {
            Self::Cluster => ["common", "cluster"],
            Self::Namespaced => ["common", "namespaced"],
        }
    }
}

/// The objects of a file under `deploy`, in this namespace.
pub(super) fn deployed(file: &str, namespace: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("metal3-ipam-system", namespace);
    serde_saphyr::from_multiple(&text).unwrap()
}

/// The objects of a folder under `deploy/rbac` that its kustomization names, without those of other folders.
pub(super) fn folder(name: &str, namespace: &str) -> Vec<Value> {
    let kustomization = &deployed(&format!("rbac/{name}/kustomization.yaml"), namespace)[0];
    let files = kustomization["resources"].as_array().unwrap();
    let files = files.iter().map(|file| file.as_str().unwrap());
    files
        .filter(|file| !file.starts_with("../"))
        .flat_map(|file| deployed(&format!("rbac/{name}/{file}"), namespace))
        .collect()
}

/// Creates the account with the rights of this form that are given, and returns a token of it.
pub(super) async fn deploy(world: &World, form: Form, given: Given<'_>) -> String {
    for name in form.folders() {
        create_namespaced(world, name, given).await;
        create_cluster_wide(world, name, given).await;
    }
    token_of(world, "ipam-manager").await
}

/// Creates what a folder holds that is of the scenario's namespace.
pub(super) async fn create_namespaced(world: &World, name: &str, given: Given<'_>) {
    for mut object in folder(name, &world.namespace) {
        match object["kind"].as_str().unwrap() {
            "ServiceAccount" => _ = world.create::<ServiceAccount>(object).await,
            "Role" => {
                keep(&mut object, given);
                world.create::<Role>(object).await;
            }
            "RoleBinding" => _ = world.create::<RoleBinding>(object).await,
            "ClusterRole" | "ClusterRoleBinding" => {}
            other => panic!("{name} holds a {other}"),
        }
    }
}

/// Creates what a folder holds that is of no namespace, under names that no other run has. Returns the names of the roles.
pub(super) async fn create_cluster_wide(
    world: &World,
    name: &str,
    given: Given<'_>,
) -> Vec<String> {
    let own = |name: &str| format!("{}-{name}", world.namespace);
    let mut roles = Vec::new();
    for mut object in folder(name, &world.namespace) {
        let named = own(object["metadata"]["name"].as_str().unwrap());
        object["metadata"]["name"] = json!(named);
        match object["kind"].as_str().unwrap() {
            "ClusterRole" => {
                keep(&mut object, given);
                let api = Api::<ClusterRole>::all(world.client.clone());
                let role = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &role).await.unwrap();
                roles.push(named);
            }
            "ClusterRoleBinding" => {
                object["roleRef"]["name"] = json!(own(object["roleRef"]["name"].as_str().unwrap()));
                bind(world, object).await;
            }
            "ServiceAccount" | "Role" | "RoleBinding" => {}
            other => panic!("{name} holds a {other}"),
        }
    }
    roles
}

pub(super) async fn bind(world: &World, binding: Value) {
    let api = Api::<ClusterRoleBinding>::all(world.client.clone());
    let binding = serde_json::from_value(binding).unwrap();
    api.create(&PostParams::default(), &binding).await.unwrap();
}

/// Takes the rights out of a role that are not given.
fn keep(role: &mut Value, given: Given<'_>) {
    let words = |rule: &Value, field: &str| {
        let words = rule[field].as_array().cloned().unwrap_or_default();
        let words = words.iter().map(|w| w.as_str().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        if rule.get("nonResourceURLs").is_some() {
            rules.push(rule.clone());
        }
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                let mut rule = rule.clone();
                let mut verbs = words(&rule, "verbs");
                verbs.retain(|verb| given(&format!("{verb} {group} {resource}")));
                rule["apiGroups"] = json!([group]);
                rule["resources"] = json!([resource]);
                rule["verbs"] = json!(verbs);
                if !verbs.is_empty() {
                    rules.push(rule);
                }
            }
        }
    }
    role["rules"] = json!(rules);
}

/// A token of a service account in the scenario's namespace.
pub(super) async fn token_of(world: &World, account: &str) -> String {
    token(&world.client, &world.namespace, account).await
}

/// A token of a service account, as the kubelet asks for one.
pub(crate) async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&asked).unwrap())
        .unwrap();
    let made: TokenRequest = client.request(request).await.unwrap();
    made.status.unwrap().token.unwrap()
}
