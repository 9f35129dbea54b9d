//! The webhook server as a kube-apiserver asks it, with upstream's six webhooks and with those of `deploy/webhook`; and what
//! holds when no server answers. The configurations name the server by URL instead of by Service, and the scenario's namespace.

pub(crate) mod closed;
mod down;
mod facts;
mod files;
mod own;
mod upstream;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, Resource};
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use metal3_ipam::webhook::{Certificates, Scope, Source, TlsOptions, Webhook, self_signed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::harness::{DEADLINE, World, claim_json};

/// A webhook server over a world's controller, ended when dropped.
pub(crate) struct Serving {
    pub(crate) addr: SocketAddr,
    pub(crate) ca_pem: String,
    _stop: DropGuard,
}

impl Serving {
    /// An authority whose certificate nobody serves.
    pub(crate) fn authority() -> String {
        self_signed(&["127.0.0.1".to_owned()]).unwrap().0
    }

    pub(crate) async fn start(world: &World) -> Self {
        let (ca_pem, pair) = self_signed(&["127.0.0.1".to_owned()]).unwrap();
        let certificates = Certificates::new(Source::Given, TlsOptions::default(), Arc::default());
        certificates.give(pair);
        let scope = Scope {
            namespace: Some(world.namespace.clone()),
            watch_filter: None,
        };
        let webhook = Webhook::bind((Ipv4Addr::LOCALHOST, 0).into())
            .await
            .unwrap();
        let (addr, stop) = (webhook.addr(), CancellationToken::new());
        let facts = Arc::new(world.facts());
        let metrics = world.view().metrics();
        tokio::spawn(webhook.serve(Arc::new(certificates), facts, scope, metrics, stop.clone()));
        Self {
            addr,
            ca_pem,
            _stop: stop.drop_guard(),
        }
    }
}

/// Webhook configurations for one namespace, in force until removed.
pub(crate) struct Registered {
    name: String,
    client: Client,
}

impl Registered {
    /// Creates the configurations; `addr` and `ca` replace what they say of a Service. Returns when they are in force, with a
    /// server that answers or without.
    pub(crate) async fn apply(
        world: &World,
        configurations: Vec<Value>,
        (addr, ca): (SocketAddr, &str),
        server: At,
    ) -> Self {
        let this = Self {
            name: format!("webhook-{}", world.namespace),
            client: world.client.clone(),
        };
        for mut configuration in configurations {
            let here = json!({"matchLabels": {"kubernetes.io/metadata.name": world.namespace}});
            lead_to(&mut configuration, &this.name, (addr, ca), &here);
            match configuration["kind"].as_str().unwrap() {
                "ValidatingWebhookConfiguration" => {
                    this.create::<ValidatingWebhookConfiguration>(configuration)
                        .await;
                }
                "MutatingWebhookConfiguration" => {
                    this.create::<MutatingWebhookConfiguration>(configuration)
                        .await;
                }
                other => panic!("{other} is no webhook configuration"),
            }
        }
        // A configuration is in force some time after it is stored, each by itself.
        until("the webhooks to be in force", async || {
            let claim = claim_json("probe", "none");
            let claim = try_create::<IPClaim>(world, claim, Dry::Run).await.unwrap();
            match (server, judged(world).await) {
                (At::Work, Judged::Warned) => claim.metadata.finalizers.is_some(),
                (At::Work, Judged::NotAsked | Judged::Failed(_))
                | (At::Rest, Judged::NotAsked | Judged::Warned) => false,
                (At::Rest, Judged::Failed(_)) => true,
            }
        })
        .await;
        this
    }

    async fn create<K>(&self, configuration: Value)
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let configuration: K = serde_json::from_value(configuration).unwrap();
        let api = Api::<K>::all(self.client.clone());
        api.create(&PostParams::default(), &configuration)
            .await
            .unwrap();
    }

    async fn remove(self) {
        let now = DeleteParams::default();
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        validating.delete(&self.name, &now).await.unwrap();
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        mutating.delete(&self.name, &now).await.unwrap();
    }
}

impl Registered {
    /// Removes the configurations and waits until nobody is asked any more.
    pub(crate) async fn remove_and_wait(self, world: &World) {
        self.remove().await;
        until("the webhooks to be gone", async || {
            let claim = try_create::<IPClaim>(world, claim_json("probe", "none"), Dry::Run).await;
            let is_left_alone = claim.is_ok_and(|claim| claim.metadata.finalizers.is_none());
            is_left_alone && judged(world).await == Judged::NotAsked
        })
        .await;
    }
}

/// Has the webhooks of a configuration lead to an address instead of a Service, for these namespaces.
fn lead_to(configuration: &mut Value, name: &str, to: (SocketAddr, &str), namespaces: &Value) {
    let (addr, ca) = to;
    configuration["metadata"] = json!({"name": name});
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let url = format!("https://{addr}{path}");
        webhook["clientConfig"] = json!({"url": url, "caBundle": STANDARD.encode(ca)});
        webhook["namespaceSelector"] = namespaces.clone();
    }
}

/// Whether somebody answers where the configurations lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Work,
    Rest,
}

/// What became of a pool that every definition takes and that the rules warn of.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    NotAsked,
    Warned,
    /// The webhook was asked, and the API server could do nothing with what came.
    Failed(String),
}

/// Whether the webhook of pools judges, seen by its warning: refusals come from definitions too.
async fn judged(world: &World) -> Judged {
    let entry = json!({"start": "10.0.0.1", "end": "10.0.0.9"});
    let (status, warnings, text) = post_pool(world, "probe", json!([entry, entry]), Dry::Run).await;
    match status.as_u16() {
        201 if warnings.iter().any(|w| w.contains("overlap")) => Judged::Warned,
        201 => Judged::NotAsked,
        _ => Judged::Failed(text),
    }
}

/// Creates a pool; status, warnings and body of the answer.
async fn post_pool(
    world: &World,
    name: &str,
    pools: Value,
    dry: Dry,
) -> (http::StatusCode, Vec<String>, String) {
    let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
        "spec": {"namePrefix": name, "pools": pools}});
    let dry = if dry == Dry::Run { "?dryRun=All" } else { "" };
    let namespace = &world.namespace;
    let path = format!("/apis/ipam.metal3.io/v1alpha1/namespaces/{namespace}/ippools{dry}");
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(kube::client::Body::from(serde_json::to_vec(&pool).unwrap()))
        .unwrap();
    let answer = world.client.send(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let warnings = head.headers.get_all("warning").iter();
    let warnings = warnings.map(|w| w.to_str().unwrap().to_owned());
    let body = http_body_util::BodyExt::collect(body).await.unwrap();
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    (head.status, warnings.collect(), text)
}

/// Whether something is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dry {
    Run,
    No,
}

/// Creates a pool, where the server lets it.
async fn try_pool(world: &World, name: &str, spec: Value, dry: Dry) -> Result<IPPool, kube::Error> {
    let mut whole = json!({"namePrefix": name});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": whole});
    try_create(world, pool, dry).await
}

/// Creates an object, where the server lets it.
async fn try_create<K>(world: &World, object: Value, dry: Dry) -> Result<K, kube::Error>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    let how = PostParams {
        dry_run: dry == Dry::Run,
        ..PostParams::default()
    };
    world.api().create(&how, &object).await
}

/// Code and message of a refusal by the server.
fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.message),
        other => panic!("not refused by the server: {other:?}"),
    }
}

/// Asks until it is so: what a server does in the background it does not announce.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    let asked = tokio::time::timeout(DEADLINE, async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        while !so().await {
            tick.tick().await;
        }
    });
    assert!(asked.await.is_ok(), "waited for {what}");
}

/// The configurations of `deploy/webhook`, by kind.
pub(crate) fn deployed() -> BTreeMap<String, Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/webhook");
    let read = |file: &str| -> Value {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    };
    let files = ["validating.yaml", "mutating.yaml"].map(read);
    let by_kind = files.map(|file| (file["kind"].as_str().unwrap().to_owned(), file));
    by_kind.into()
}
