//! What the cluster has, read page by page.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::environment::rights;
use super::{Finding, Level};
use crate::api::Kind;
use crate::api::{Address, Claim, ClaimKind, ClusterFacts, PoolObject, WireObject, names};
use crate::controller::version_of;
use crate::pool::{KindState, Kinds};

/// Objects on a page.
const PAGE: usize = 500;

/// What preflight has read of the cluster.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Of Kubernetes.
    pub(super) version: String,
    pub(super) pools: Vec<PoolObject>,
    pub(super) claims: Vec<Claim>,
    pub(super) addresses: Vec<Address>,
    pub(super) clusters: Vec<(String, ClusterFacts)>,
    pub(super) kinds: Kinds,
    /// CustomResourceDefinitions of the groups that matter, webhook configurations of both sorts, and the Leases and Deployments
    /// that may be a manager's; as they are stored.
    pub(super) definitions: Vec<Value>,
    pub(super) webhooks: Vec<Value>,
    pub(super) leases: Vec<Value>,
    pub(super) deployments: Vec<Value>,
    /// `namespace/name` of every Service.
    pub(super) services: BTreeSet<String>,
    /// `namespace/name` of the manager's ServiceAccount and the rights that it lacks; `None` when it does not exist.
    pub(super) account: (String, Option<Vec<String>>),
    /// What could not be read, with the server's message.
    pub(super) unread: Vec<String>,
    /// Objects that cannot be understood, with why.
    pub(super) strange: Vec<(String, String)>,
    /// Labels of address objects that carry `clusterctl move` along, by namespace and name of the object; of its kind too.
    pub(super) moved: BTreeSet<(ClaimKind, String, String)>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    items: Vec<Value>,
}

#[derive(Deserialize, Default)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    more: String,
}

/// Reads lists, and remembers which it could not.
struct Reader<'a> {
    client: &'a Client,
    unread: Vec<String>,
}

impl Reader<'_> {
    /// All objects at a path. `None`: there is no such kind, or it could not be read, which is remembered.
    async fn list(&mut self, path: &str, what: &str) -> Option<Vec<Value>> {
        let mut objects = Vec::new();
        let mut more = String::new();
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &PAGE.to_string());
            if !more.is_empty() {
                query.append_pair("continue", &more);
            }
            let request = Request::get(format!("{path}?{}", query.finish())).body(Vec::new());
            let page: kube::Result<List> = match request {
                Ok(request) => self.client.request(request).await,
                Err(error) => Err(kube::Error::HttpError(error)),
            };
            match page {
                Ok(page) => {
                    objects.extend(page.items);
                    if page.metadata.more.is_empty() {
                        return Some(objects);
                    }
                    more = page.metadata.more;
                }
                Err(kube::Error::Api(status)) if status.code == 404 && more.is_empty() => {
                    return None;
                }
                // The list grew old while it was read: anew, from the first page.
                Err(kube::Error::Api(status)) if status.code == 410 && !more.is_empty() => {
                    objects.clear();
                    more.clear();
                }
                Err(error) => {
                    self.unread.push(format!("{what}: {}", words(error)));
                    return None;
                }
            }
        }
    }

    /// All objects of a kind, in the version that the manager would read. `None`: there is no such kind in such a version, or it
    /// could not be read, which is remembered.
    async fn kind(&mut self, kind: Kind, namespace: Option<&str>) -> Option<Vec<Value>> {
        let version = match version_of(self.client, kind).await {
            Ok(version) => version?,
            Err(why) => {
                self.unread.push(format!("the version of {kind}: {why}"));
                return None;
            }
        };
        let (group, plural) = (kind.group(), kind.plural());
        let path = match namespace {
            Some(namespace) => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("/apis/{group}/{version}/{plural}"),
        };
        self.list(&path, &kind.to_string()).await
    }
}

/// The server's message, or why there was no answer.
fn words(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => format!("{:#}", anyhow::Error::from(other)),
    }
}

impl Survey {
    pub(super) async fn read(
        client: &Client,
        version: String,
        namespace: Option<&str>,
        account: (&str, &str),
    ) -> anyhow::Result<Self> {
        let mut reader = Reader {
            client,
            unread: Vec::new(),
        };
        let mut survey = Self {
            version,
            ..Self::default()
        };
        survey.read_objects(&mut reader, namespace).await;
        survey.read_environment(&mut reader).await;
        survey.account = (
            format!("{}/{}", account.0, account.1),
            read_rights(&mut reader, account, namespace).await?,
        );
        survey.unread = reader.unread;
        Ok(survey)
    }

    async fn read_objects(&mut self, reader: &mut Reader<'_>, namespace: Option<&str>) {
        let state = |list: &Option<Vec<Value>>| match list {
            Some(_) => KindState::Listed,
            None => KindState::Absent,
        };
        let pools = reader.kind(Kind::Pools, namespace).await;
        self.kinds[Kind::Pools] = state(&pools);
        for pool in self.objects("IPPool", pools) {
            self.pools.push(PoolObject::read(pool));
        }
        for kind in ClaimKind::ALL {
            let claims = reader.kind(Kind::Claims(kind), namespace).await;
            let addresses = reader.kind(Kind::Addresses(kind), namespace).await;
            self.kinds[Kind::Claims(kind)] = state(&claims);
            self.kinds[Kind::Addresses(kind)] = state(&addresses);
            for claim in self.objects(kind.claim(), claims) {
                let claim = Claim::read(kind, claim);
                // Another provider's.
                if claim.fault != Some(crate::api::ReferenceFault::OtherProvider) {
                    self.claims.push(claim);
                }
            }
            for address in self.objects("IPAddress", addresses) {
                if !crate::api::names_our_pool(kind, &address.spec) {
                    continue;
                }
                let meta = &address.metadata;
                if meta
                    .labels
                    .keys()
                    .any(|label| label.starts_with("clusterctl.cluster.x-k8s.io/move"))
                {
                    self.moved
                        .insert((kind, meta.namespace.to_string(), meta.name.to_string()));
                }
                self.addresses.push(Address::read(kind, address));
            }
        }
        let list = reader.kind(Kind::Clusters, namespace).await;
        self.kinds[Kind::Clusters] = state(&list);
        for cluster in self.objects("Cluster", list) {
            let facts = ClusterFacts::read("", &cluster);
            self.clusters
                .push((cluster.metadata.namespace.to_string(), facts));
        }
    }

    /// The objects of a list; those that cannot be understood are remembered.
    fn objects(&mut self, kind: &str, list: Option<Vec<Value>>) -> Vec<WireObject> {
        let mut read = Vec::new();
        for value in list.unwrap_or_default() {
            let name = object_name(kind, &value);
            match serde_json::from_value(value) {
                Ok(object) => read.push(object),
                Err(error) => self.strange.push((name, error.to_string())),
            }
        }
        read
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
        let services = reader.list("/api/v1/services", "Services").await;
        let name = |service: &Value| {
            let meta = &service["metadata"];
            Some(format!(
                "{}/{}",
                meta["namespace"].as_str()?,
                meta["name"].as_str()?
            ))
        };
        self.services = services
            .unwrap_or_default()
            .iter()
            .filter_map(name)
            .collect();
    }

    /// Objects that cannot be read.
    pub(super) fn unreadable(&self) -> Vec<Finding> {
        let finding = |(object, why): &(String, String)| {
            let action = "mend or delete the object; until then whatever it holds is not known";
            Finding::new(Level::Blocks, "Unreadable", object, why, action)
        };
        self.strange.iter().map(finding).collect()
    }

    /// Claims by kind, namespace and name.
    pub(super) fn claim_names(&self) -> BTreeSet<(ClaimKind, Arc<str>, Arc<str>)> {
        let key = |claim: &Claim| {
            (
                claim.kind,
                claim.meta.namespace.clone(),
                claim.meta.name.clone(),
            )
        };
        self.claims.iter().map(key).collect()
    }
}

/// `Kind namespace/name`.
pub(super) fn object_name(kind: &str, object: &Value) -> String {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or("?");
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// The rights that the ServiceAccount lacks, by the API server's own judgement; `None` when there is no such account.
async fn read_rights(
    reader: &mut Reader<'_>,
    (namespace, name): (&str, &str),
    within: Option<&str>,
) -> anyhow::Result<Option<Vec<String>>> {
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
    for right in rights().context("the roles of deploy/rbac")? {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": format!("system:serviceaccount:{namespace}:{name}"),
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
            "resourceAttributes": {"group": right.group, "resource": right.resource, "subresource": right.subresource,
                "verb": right.verb, "namespace": right.namespace(namespace, within)},
        }});
        let request = Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())?;
        match reader.client.request::<Value>(request).await {
            Ok(answer) if answer["status"]["allowed"] == true => {}
            Ok(_) => lacking.push(right.to_string()),
            Err(error) => {
                let what = format!("the rights of {namespace}/{name}: {}", words(error));
                reader.unread.push(what);
                break;
            }
        }
    }
    Ok(Some(lacking))
}
