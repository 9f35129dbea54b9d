//! `deploy/guard` on a real kube-apiserver: what a tenant with every right on our kinds still cannot write, and what the
//! manager, the garbage collector and an administrator can.

mod attacks;

use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use metal3_ipam::api::metal3::IPClaim;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control_plane;
use crate::harness::{World, claim_json};
use crate::webhook::until;

/// The policies in force in one namespace.
pub(crate) struct Guard {
    client: Client,
    namespace: String,
    names: Vec<String>,
}

/// Who a tenant is: one user, with every right on our kinds in every namespace.
pub(crate) struct Tenant {
    pub(crate) client: Client,
    pub(crate) user: String,
    admin: Client,
}

/// The objects of a file of `deploy/guard`.
fn deployed(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/guard")
        .join(file);
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

impl Guard {
    /// Puts the policies in force in the world's namespace alone, under names of its own, and waits until they are.
    pub(crate) async fn apply(world: &World) -> Self {
        let namespace = world.namespace.clone();
        let own = |name: &Value| format!("{namespace}.{}", name.as_str().unwrap());
        let mut names = Vec::new();
        for mut policy in deployed("policies.yaml") {
            let name = own(&policy["metadata"]["name"]);
            policy["metadata"]["name"] = json!(name);
            names.push(name);
            create(
                &Api::<ValidatingAdmissionPolicy>::all(world.client.clone()),
                policy,
            )
            .await;
        }
        for mut binding in deployed("bindings.yaml") {
            for part in ["/metadata/name", "/spec/policyName"] {
                let part = binding.pointer_mut(part).unwrap();
                *part = json!(own(part));
            }
            binding["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
            let api = Api::<ValidatingAdmissionPolicyBinding>::all(world.client.clone());
            create(&api, binding).await;
        }
        let this = Self {
            client: world.client.clone(),
            namespace,
            names,
        };
        this.in_force(world).await;
        this
    }

    /// Waits until the policies judge, which is some moments after they are stored.
    async fn in_force(&self, world: &World) {
        let mut mistake = claim_json("probe", "none");
        mistake["metadata"]["annotations"] = json!({"ipAddress": "abc"});
        let mistake: IPClaim = serde_json::from_value(mistake).unwrap();
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        until("the policies to be in force", async || {
            world.api().create(&dry, &mistake).await.is_err()
        })
        .await;
    }

    /// Lets addresses made by hand through in the namespace.
    pub(crate) async fn allow_external(&self) {
        let label =
            json!({"metadata": {"labels": {"ipam.metal3.io/external-addresses": "allowed"}}});
        let api = Api::<Namespace>::all(self.client.clone());
        api.patch(
            &self.namespace,
            &PatchParams::default(),
            &Patch::Merge(label),
        )
        .await
        .unwrap();
    }

    pub(crate) async fn remove(self) {
        let now = DeleteParams::default();
        for name in &self.names {
            let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(self.client.clone());
            bindings.delete(name, &now).await.unwrap();
            let policies = Api::<ValidatingAdmissionPolicy>::all(self.client.clone());
            policies.delete(name, &now).await.unwrap();
        }
    }
}

impl Tenant {
    pub(crate) async fn of(world: &World) -> Self {
        let user = format!("tenant-of-{}", world.namespace);
        let admin = world.client.clone();
        let role = json!({"metadata": {"name": user}, "rules": [
            {"apiGroups": ["ipam.metal3.io", "ipam.cluster.x-k8s.io"], "resources": ["*"], "verbs": ["*"]}]});
        create(&Api::<ClusterRole>::all(admin.clone()), role).await;
        let binding = json!({"metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
            "subjects": [{"kind": "User", "name": user}]});
        create(&Api::<ClusterRoleBinding>::all(admin.clone()), binding).await;
        let plane = control_plane::started().await.unwrap();
        let mut config = plane.shared.config.clone();
        config.auth_info.impersonate = Some(user.clone());
        Self {
            client: Client::try_from(config).unwrap(),
            user,
            admin,
        }
    }

    pub(crate) async fn remove(self) {
        let now = DeleteParams::default();
        let bindings = Api::<ClusterRoleBinding>::all(self.admin.clone());
        bindings.delete(&self.user, &now).await.unwrap();
        let roles = Api::<ClusterRole>::all(self.admin);
        roles.delete(&self.user, &now).await.unwrap();
    }
}

#[test]
fn the_policies_name_the_same_users_and_groups() {
    let lists = |policy: &Value| -> Vec<Value> {
        let variables = policy["spec"]["variables"].as_array().unwrap();
        let who =
            |v: &&Value| ["users", "groups", "mayWrite"].contains(&v["name"].as_str().unwrap());
        variables.iter().filter(who).cloned().collect()
    };
    let policies = deployed("policies.yaml");
    let guarded: Vec<_> = policies
        .iter()
        .map(lists)
        .filter(|who| !who.is_empty())
        .collect();
    assert_eq!(guarded.len(), 3);
    assert!(
        guarded
            .iter()
            .all(|who| *who == guarded[0] && who.len() == 3)
    );
}
