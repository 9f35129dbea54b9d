//! What the cluster has, read page by page.

use std::collections::BTreeSet;

use anyhow::Context;
use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::super::objects::{Objects, Reader, words};
use super::rights::{managers, rights};
use super::{Finding, Level};
use crate::api::names;

/// What preflight has read of the cluster.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Of Kubernetes.
    pub(super) version: String,
    pub(super) objects: Objects,
    /// CustomResourceDefinitions of the groups that matter, webhook configurations of both sorts, and the Leases and Deployments
    /// that may be a manager's; as they are stored.
    pub(super) definitions: Vec<Value>,
    pub(super) webhooks: Vec<Value>,
    pub(super) leases: Vec<Value>,
    pub(super) deployments: Vec<Value>,
    /// clusterctl's records of the providers of the name `metal3` for IPAM that it has installed.
    pub(super) providers: Vec<Value>,
    /// `namespace/name` of every Service.
    pub(super) services: Option<BTreeSet<String>>,
    /// `namespace/name` of the manager's ServiceAccount and the rights that it lacks, each with what that means; `None` when it does
    /// not exist.
    pub(super) account: (String, Option<Vec<(Level, String)>>),
    /// What could not be read, with the server's message.
    pub(super) unread: Vec<String>,
}

impl Survey {
    pub(super) async fn read(
        client: &Client,
        version: String,
        namespace: Option<&str>,
        account: (&str, &str),
    ) -> anyhow::Result<Self> {
        let mut reader = Reader::new(client);
        let mut survey = Self {
            version,
            objects: Objects::read(&mut reader, namespace).await,
            ..Self::default()
        };
        reader.expect_namespace(namespace, &survey.objects).await;
        survey.read_environment(&mut reader).await;
        survey.account = (
            format!("{}/{}", account.0, account.1),
            read_rights(&mut reader, account, namespace, &survey.deployments).await?,
        );
        survey.unread = reader.unread;
        Ok(survey)
    }

    async fn read_environment(&mut self, reader: &mut Reader<'_>) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let definitions = reader.list(path, "CustomResourceDefinitions").await;
        self.definitions = definitions.unwrap_or_default();
        let ours = [
            names::METAL3_GROUP,
            names::CAPI_IPAM_GROUP,
            names::CAPI_GROUP,
        ];
        self.definitions
            .retain(|crd| ours.contains(&crd["spec"]["group"].as_str().unwrap_or_default()));
        for sort in ["validating", "mutating"] {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{sort}webhookconfigurations");
            let found = reader
                .list(&path, &format!("{sort} webhook configurations"))
                .await;
            for mut configuration in found.unwrap_or_default() {
                configuration["kind"] = match sort {
                    "validating" => json!("ValidatingWebhookConfiguration"),
                    _ => json!("MutatingWebhookConfiguration"),
                };
                self.webhooks.push(configuration);
            }
        }
        let leases = reader
            .list("/apis/coordination.k8s.io/v1/leases", "Leases")
            .await;
        self.leases = leases.unwrap_or_default();
        self.leases
            .retain(|lease| lease["metadata"]["name"] == names::LEASE_NAME);
        let deployments = reader
            .list("/apis/apps/v1/deployments", "Deployments")
            .await;
        self.deployments = deployments.unwrap_or_default();
        let path = "/apis/clusterctl.cluster.x-k8s.io/v1alpha3/providers";
        let providers = reader.list(path, "Providers of clusterctl").await;
        self.providers = providers.unwrap_or_default();
        self.providers.retain(|provider| {
            provider["type"] == "IPAMProvider" && provider["providerName"] == "metal3"
        });
        let services = reader.list("/api/v1/services", "Services").await;
        let name = |service: &Value| {
            let meta = &service["metadata"];
            Some(format!(
                "{}/{}",
                meta["namespace"].as_str()?,
                meta["name"].as_str()?
            ))
        };
        self.services = services.map(|services| services.iter().filter_map(name).collect());
    }

    /// Objects that cannot be read.
    pub(super) fn unreadable(&self) -> Vec<Finding> {
        let finding = |(object, why): &(String, String)| {
            let action = "mend or delete the object; until then whatever it holds is not known";
            Finding::new(Level::Blocks, "Unreadable", object, why, action)
        };
        self.objects.strange.iter().map(finding).collect()
    }
}

/// The rights that the ServiceAccount lacks, by the API server's own judgement; `None` when there is no such account.
async fn read_rights(
    reader: &mut Reader<'_>,
    (namespace, name): (&str, &str),
    within: Option<&str>,
    deployments: &[Value],
) -> anyhow::Result<Option<Vec<(Level, String)>>> {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}");
    let account: kube::Result<Value> = reader
        .client
        .request(Request::get(path).body(Vec::new())?)
        .await;
    match account {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => {
            let what = format!("the ServiceAccount {namespace}/{name}: {}", words(error));
            reader.unread.push(what);
            return Ok(None);
        }
    }
    let mut lacking = Vec::new();
    let (managers, untold) = managers(deployments, (namespace, name));
    if managers.is_empty() && !untold.is_empty() {
        reader.unread.extend(untold);
        return Ok(Some(Vec::new()));
    }
    reader.unread.extend(untold);
    let rights = rights(namespace, within, &managers);
    for right in rights.context("the roles of deploy/rbac")? {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": format!("system:serviceaccount:{namespace}:{name}"),
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
            "resourceAttributes": {"group": right.group, "resource": right.resource, "subresource": right.subresource,
                "verb": right.verb, "name": right.name, "namespace": right.namespace},
        }});
        let request = Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())?;
        match reader.client.request::<Value>(request).await {
            Ok(answer) if answer["status"]["allowed"] == true => {}
            Ok(_) => lacking.push((right.level, right.to_string())),
            Err(error) => {
                let what = format!("the rights of {namespace}/{name}: {}", words(error));
                reader.unread.push(what);
                break;
            }
        }
    }
    Ok(Some(lacking))
}
