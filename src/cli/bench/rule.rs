//! The claims' finalizers put in by the API server as claims are created: the policies of `deploy/claim-finalizers`, for one
//! namespace and as long as a round lasts.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::load::{Load, create, delete};
use crate::api::ClaimKind;

/// What is deployed, for all namespaces.
const POLICIES: &str = include_str!("../../../deploy/claim-finalizers/policies.yaml");

const PATH: &str = "/apis/admissionregistration.k8s.io/v1";
const KINDS: [&str; 2] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// The server takes policies up some time after they are stored, and does not report when.
const LOOKS: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_mins(1);

/// The admission policies of `deploy/claim-finalizers`, in force until they are removed.
pub(super) struct Rule {
    client: Client,
    names: Vec<String>,
}

impl Rule {
    /// Stores the policies for the load's namespace and waits until they work.
    pub(super) async fn install(client: &Client, load: &Load) -> anyhow::Result<Self> {
        let mut rule = Self {
            client: client.clone(),
            names: Vec::new(),
        };
        for mut policy in serde_saphyr::from_multiple::<Value>(POLICIES)? {
            let name = format!(
                "{}.{}",
                load.namespace,
                policy["metadata"]["name"].as_str().unwrap_or_default()
            );
            policy["metadata"]["name"] = name.as_str().into();
            let binding = json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingAdmissionPolicyBinding",
                "metadata": {"name": name},
                "spec": {"policyName": name, "matchResources": {"namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": load.namespace}}}},
            });
            for (plural, object) in KINDS.iter().zip([&policy, &binding]) {
                create(client, &format!("{PATH}/{plural}"), object)
                    .await
                    .context("--rule needs Kubernetes 1.36 or later and the right to create admission policies")?;
            }
            rule.names.push(name);
        }
        for kind in ClaimKind::ALL {
            rule.until_in_force(load, kind).await?;
        }
        Ok(rule)
    }

    async fn until_in_force(&self, load: &Load, kind: ClaimKind) -> anyhow::Result<()> {
        let since = Instant::now();
        let (path, claim) = load.claim_to_try(kind);
        while since.elapsed() < PATIENCE {
            let request = Request::post(format!("{path}?dryRun=All"))
                .header("content-type", "application/json")
                .body(serde_json::to_vec(&claim)?)?;
            let made: Value = self.client.request(request).await?;
            if made["metadata"]["finalizers"] == json!([kind.claim_finalizer()]) {
                return Ok(());
            }
            tokio::time::sleep(LOOKS).await;
        }
        bail!("the API server has not taken up the policies within {PATIENCE:?}")
    }

    /// Removes the policies.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        for name in &self.names {
            for plural in KINDS {
                delete(&self.client, &format!("{PATH}/{plural}/{name}")).await?;
            }
        }
        Ok(())
    }
}
