//! A cluster to install into, as its operator sees it: kubectl, and what a bare control plane lacks.
//!
//! Stood in for are the kubelet ([`Container`]), cert-manager (a certificate for the Service's names, and its authority where
//! the annotation asks for it), the network (the webhook's Service leads to this machine as an ExternalName; its name and
//! certificate stay), and the Prometheus operator's and cert-manager's definitions, which take any field.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use http::StatusCode;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::flowcontrol::v1::PriorityLevelConfiguration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Config, Resource};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::webhook::self_signed;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::kubelet::{Container, Pod};
use super::rendered::Rendered;
use crate::control_plane::{
    self, ApiServer, Versions, capi_definitions, kubeconfig_of, say, skipped,
};
use crate::harness::{World, capi_claim_json, claim_json};
use crate::kubectl::kubectl;
use crate::manager::{assert_none_refused, token};
use crate::proxy::Proxy;
use crate::tally;
use crate::webhook::until;

pub(super) const NAMESPACE: &str = "metal3-ipam-system";
pub(super) const DEPLOYMENT: &str = "ipam-controller-manager";
/// Claims of each of the two kinds.
const CLAIMS: usize = 100;

/// A cluster, as its operator sees it.
pub(super) struct Cluster {
    pub(super) server: ApiServer,
    pub(super) client: Client,
    pub(super) dir: TempDir,
}

pub(super) const SERVER_SIDE: [&str; 3] = ["apply", "--server-side", "--force-conflicts"];

/// Definitions of others that the manifests have objects of.
fn definitions_of_others() -> Vec<CustomResourceDefinition> {
    let kinds = [
        ("cert-manager.io", "Issuer", "issuers"),
        ("cert-manager.io", "Certificate", "certificates"),
        ("monitoring.coreos.com", "PodMonitor", "podmonitors"),
        ("monitoring.coreos.com", "PrometheusRule", "prometheusrules"),
    ];
    let definition = |(group, kind, plural): (&str, &str, &str)| {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        serde_json::from_value(json!({
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        }))
        .unwrap()
    };
    kinds.into_iter().map(definition).collect()
}

/// An authority and a certificate of it for these names, as cert-manager would make them; the authority in PEM.
fn certificate(names: &Value, folder: &Path) -> String {
    let names: Vec<String> = serde_json::from_value(names.clone()).unwrap();
    let (authority, pair) = self_signed(&names).unwrap();
    std::fs::write(folder.join("tls.key"), pair.key).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.certificate).unwrap();
    authority
}

impl Cluster {
    /// A server of the caller's own, with Cluster API's definitions and none of ours; says so where there is none.
    pub(super) async fn start(test: &str) -> Option<Self> {
        let definitions = match control_plane::started().await {
            Some(_) => capi_definitions(Versions::Stored),
            None => Vec::new(),
        };
        let server = control_plane::private(&definitions).await;
        if server.is_none() {
            skipped(test);
            tally::add("tests of what is installed SKIPPED: no kubectl or no Go", 1);
        }
        Some(Self::new(server?).await)
    }

    async fn new(server: ApiServer) -> Self {
        server.define(&definitions_of_others()).await;
        let client = Client::try_from(server.config.clone()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self {
            server,
            client,
            dir,
        }
    }

    /// Runs kubectl with this on its standard input; it must succeed.
    pub(super) fn kubectl(&self, args: &[&str], input: &str) -> String {
        let mut child = Command::new(kubectl())
            .env("KUBECONFIG", &self.server.kubeconfig)
            .env("KUBECACHEDIR", self.dir.path().join("cache"))
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "kubectl {args:?}: {err}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Applies what was rendered: the Namespace, without which nothing in it can be tried, then all as a dry run, then all.
    pub(super) fn take(&self, rendered: &Rendered, how: &[&str]) {
        let list = |items: Vec<&Value>| {
            json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
        };
        let strictly = |last: &[&str]| {
            [how, &["--validate=strict", "-f", "-"], last]
                .concat()
                .join(" ")
        };
        let apply = |line: &str, input: &str| {
            let args: Vec<&str> = line.split(' ').collect();
            self.kubectl(&args, input)
        };
        let namespace = rendered.of_kind("Namespace");
        if !namespace.is_empty() {
            apply(&strictly(&[]), &list(namespace));
        }
        let all = list(rendered.0.iter().collect());
        let dry = apply(&strictly(&["--dry-run=server"]), &all);
        assert_eq!(dry.lines().count(), rendered.0.len(), "{dry}");
        let done = apply(&strictly(&[]), &all);
        assert_eq!(done.lines().count(), rendered.0.len(), "{done}");
        tally::add(
            "objects of deploy/ applied under strict validation",
            rendered.0.len() as u64,
        );
    }

    /// Removes what was applied, but for the definitions and the Namespace, which the next overlay has too.
    pub(super) fn remove(&self, rendered: &Rendered) {
        let kept = ["CustomResourceDefinition", "Namespace"];
        let gone = rendered
            .0
            .iter()
            .filter(|o| !kept.contains(&o["kind"].as_str().unwrap()));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": gone.collect::<Vec<_>>()});
        self.kubectl(&["delete", "--wait=false", "-f", "-"], &list.to_string());
    }

    pub(super) async fn deployment(&self) -> Value {
        let api = Api::<Deployment>::namespaced(self.client.clone(), NAMESPACE);
        serde_json::to_value(api.get(DEPLOYMENT).await.unwrap()).unwrap()
    }

    /// Its status says that so many replicas run: the Deployment's controller, which a bare control plane lacks.
    pub(super) async fn runs(&self, pods: usize) {
        let api = Api::<Deployment>::namespaced(self.client.clone(), NAMESPACE);
        let generation = api.get(DEPLOYMENT).await.unwrap().metadata.generation;
        let status = json!({"status": {"observedGeneration": generation, "replicas": pods, "updatedReplicas": pods,
            "readyReplicas": pods, "availableReplicas": pods}});
        api.patch_status(DEPLOYMENT, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// One Deployment, and no webhook beside ours.
    pub(super) async fn is_the_only_one(&self) {
        let all = ListParams::default();
        let deployments = Api::<Deployment>::all(self.client.clone());
        assert_eq!(deployments.list(&all).await.unwrap().items.len(), 1);
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        assert_eq!(validating.list(&all).await.unwrap().items.len(), 1);
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        assert_eq!(mutating.list(&all).await.unwrap().items.len(), 1);
    }

    /// Starts what the Deployment says and lets it serve claims, the webhook asked on the way where there is one.
    pub(super) async fn serves(&self, overlay: &str, reader: Option<&str>) {
        let proxy = Proxy::start(&self.server.config).await;
        let pods = self.pods_by(&proxy.cluster()).await;
        // The one that was started last is the standby, which answers the webhook as well.
        let webhook = pods.last().unwrap().ports.get("ipam-webhook").copied();
        let world = self.world(overlay).await;
        if let Some(port) = webhook {
            self.lead_to(port).await;
            asked(&world).await;
        }
        if let Some(reader) = reader {
            self.scrapes(&pods[0], reader).await;
        }
        claims_are_served(&world, webhook.is_some()).await;
        for pod in pods {
            pod.end().await;
        }
        assert_none_refused(&proxy.asked());
        say(&format!(
            "Real: deploy/{overlay} is applied and serves {} claims with 0 of {} requests refused",
            2 * CLAIMS,
            proxy.asked().len()
        ));
    }

    /// The replicas that the Deployment says, ready, with the rights that it gives.
    pub(super) async fn pods(&self) -> Vec<Pod> {
        let text = std::fs::read_to_string(&self.server.kubeconfig).unwrap();
        let kubeconfig: Value = serde_json::from_str(&text).unwrap();
        self.pods_by(&kubeconfig["clusters"][0]["cluster"]).await
    }

    /// The same by this way to the server. Where the Deployment mounts a certificate, cert-manager has made it before.
    async fn pods_by(&self, cluster: &Value) -> Vec<Pod> {
        let container = Container::of(&self.deployment().await);
        let certificates = self.dir.path().join("certificates");
        std::fs::create_dir_all(&certificates).unwrap();
        if let Some(secret) = &container.certificate {
            let get = [
                "-n",
                NAMESPACE,
                "get",
                "certificates.cert-manager.io",
                "-o",
                "json",
            ];
            let made: Value = serde_json::from_str(&self.kubectl(&get, "")).unwrap();
            let wanted = &made["items"][0]["spec"];
            assert_eq!(wanted["secretName"], secret.as_str());
            let authority = certificate(&wanted["dnsNames"], &certificates);
            self.inject(&authority).await;
        }
        let token = token(&self.client, NAMESPACE, &container.account).await;
        let kubeconfig = self.dir.path().join("pods");
        std::fs::write(&kubeconfig, kubeconfig_of(cluster, &token, NAMESPACE)).unwrap();
        let start = |_| container.start(&kubeconfig, &certificates);
        let pods: Vec<Pod> = (0..container.replicas).map(start).collect();
        for pod in &pods {
            container.is_ready(pod).await;
        }
        pods
    }

    /// Where claims are made: in the namespace that is served, or in any.
    async fn world(&self, overlay: &str) -> World {
        if overlay == "namespaced" {
            let client = metal3_ipam::controller::client(self.server.config.clone());
            let mut world = World::on(client.unwrap());
            NAMESPACE.clone_into(&mut world.namespace);
            return world;
        }
        World::at(&self.server.config).await
    }

    /// Each webhook of both configurations, changed by this; both must be there.
    async fn change_webhooks(&self, change: impl Fn(&Value, &mut Value)) {
        change_webhooks(
            Api::<ValidatingWebhookConfiguration>::all(self.client.clone()),
            "ipam-validating-webhook-configuration",
            &change,
        )
        .await;
        change_webhooks(
            Api::<MutatingWebhookConfiguration>::all(self.client.clone()),
            "ipam-mutating-webhook-configuration",
            &change,
        )
        .await;
    }

    /// What cert-manager does where its annotation names our Certificate.
    async fn inject(&self, authority: &str) {
        use base64::Engine as _;
        let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
        self.change_webhooks(|metadata, webhook| {
            let from = &metadata["annotations"]["cert-manager.io/inject-ca-from"];
            assert_eq!(*from, format!("{NAMESPACE}/ipam-serving-cert"));
            webhook["clientConfig"]["caBundle"] = json!(bundle);
        })
        .await;
    }

    /// Lets the webhook's Service lead to this port of this machine: no pod network is here.
    async fn lead_to(&self, port: u16) {
        let service = json!({"spec": {"type": "ExternalName", "externalName": "localhost"}});
        let services = Api::<Service>::namespaced(self.client.clone(), NAMESPACE);
        let name = "ipam-webhook-service";
        services
            .patch(name, &PatchParams::default(), &Patch::Merge(service))
            .await
            .unwrap();
        // With --webhook-self-signed the leader writes the authority.
        until("every webhook to trust an authority", async || {
            let all = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
            let mutating = all
                .get("ipam-mutating-webhook-configuration")
                .await
                .unwrap();
            let all = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
            let validating = all
                .get("ipam-validating-webhook-configuration")
                .await
                .unwrap();
            let webhooks = [json!(mutating.webhooks), json!(validating.webhooks)];
            let mut webhooks = webhooks.iter().flat_map(|all| all.as_array().unwrap());
            webhooks.all(|w| !w["clientConfig"]["caBundle"].is_null())
        })
        .await;
        self.change_webhooks(|_, webhook| {
            webhook["clientConfig"]["service"]["port"] = json!(port);
        })
        .await;
    }

    /// The API server gives the manager's requests the priority levels of `deploy/flow-control`.
    pub(super) async fn has_seats_of_its_own(&self) {
        let level = async |name: &str| {
            let all = Api::<PriorityLevelConfiguration>::all(self.client.clone());
            all.get(name).await.unwrap().metadata.uid.unwrap()
        };
        let mut config = self.server.config.clone();
        config.auth_info = kube::config::AuthInfo {
            token: Some(token(&self.client, NAMESPACE, "ipam-manager").await.into()),
            ..Default::default()
        };
        let manager = Client::try_from(config).unwrap();
        for (path, name) in [
            (
                "/apis/ipam.metal3.io/v1alpha1/ippools",
                "metal3-ipam-system-manager",
            ),
            (
                "/apis/coordination.k8s.io/v1/namespaces/metal3-ipam-system/leases/controller-leader-election-ipam-capm3",
                "leader-election",
            ),
        ] {
            let wanted = level(name).await;
            // The API server reads new FlowSchemas by a watch.
            until(&format!("{path} to have the level {name}"), async || {
                let request = http::Request::get(path).body(kube::client::Body::empty());
                let answer = manager.send(request.unwrap()).await.unwrap();
                let header = answer.headers()["x-kubernetes-pf-prioritylevel-uid"].to_str();
                header.unwrap() == wanted
            })
            .await;
        }
    }

    /// The account that monitoring makes may read the metrics, and the manager's own may not.
    async fn scrapes(&self, pod: &Pod, reader: &str) {
        let metrics = async |account: &str| {
            let url = format!("https://127.0.0.1:{}", pod.ports["metrics"]);
            let mut config = Config::new(url.parse().unwrap());
            config.accept_invalid_certs = true;
            config.auth_info.token = Some(token(&self.client, NAMESPACE, account).await.into());
            let client = Client::try_from(config).unwrap();
            let request = http::Request::get("/metrics").body(kube::client::Body::empty());
            client.send(request.unwrap()).await.unwrap().status()
        };
        assert_eq!(metrics(reader).await, StatusCode::OK);
        assert_eq!(metrics("ipam-manager").await, StatusCode::FORBIDDEN);
    }
}

async fn change_webhooks<K>(api: Api<K>, name: &str, change: &impl Fn(&Value, &mut Value))
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    // The manager writes to it as well: a conflict is tried again.
    until("the webhooks to be changed", async || {
        let mut stored = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
        let metadata = stored["metadata"].clone();
        for webhook in stored["webhooks"].as_array_mut().unwrap() {
            change(&metadata, webhook);
        }
        let changed: K = serde_json::from_value(stored).unwrap();
        match api.replace(name, &PostParams::default(), &changed).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 409 => false,
            Err(e) => panic!("{name}: {e}"),
        }
    })
    .await;
}

/// Waits until the API server asks the webhook: it puts the finalizer into a claim.
async fn asked(world: &World) {
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let probe: IPClaim = serde_json::from_value(claim_json("probe", "none")).unwrap();
    until("the webhook to be asked", async || {
        let claim = world.api::<IPClaim>().create(&dry, &probe).await.unwrap();
        claim.metadata.finalizers.is_some()
    })
    .await;
}

/// Both kinds of claims on one pool are bound to addresses of their own, the pool does not lose them, and all is released.
async fn claims_are_served(world: &World, judged: bool) {
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.250"}]);
    world.pool("p", json!({"pools": range})).await;
    for number in 0..CLAIMS {
        let name = format!("c{number}");
        world.create::<IPClaim>(claim_json(&name, "p")).await;
        world
            .create::<IPAddressClaim>(capi_claim_json(&name, "p"))
            .await;
    }
    let bound = |c: &IPClaim| world.is_bound(c);
    world
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            all.len() == CLAIMS && all.values().all(bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim to be bound", |all| {
            all.len() == CLAIMS && all.values().all(crate::harness::capi_is_bound)
        })
        .await;
    let addresses = world.until::<IPAddress>("a list", |_| true).await;
    let objects = addresses.values().map(|a| a.spec.address.0.clone());
    let mut all: BTreeSet<String> = objects.collect();
    let capi = world
        .until::<metal3_ipam::api::capi::CapiIPAddress>("a list", |_| true)
        .await;
    all.extend(capi.values().map(|a| a.spec.address.clone()));
    assert_eq!(all.len(), 2 * CLAIMS, "each claim has its own address");

    let smaller = json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}});
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let shrunk = world.api::<IPPool>();
    let shrunk = shrunk.patch("p", &dry, &Patch::Merge(smaller)).await;
    match shrunk {
        Err(kube::Error::Api(status)) if judged => {
            assert!(status.message.contains("is in use"), "{}", status.message);
        }
        Ok(_) if !judged => {}
        other => panic!("a pool that would lose addresses in use: {other:?}"),
    }

    for number in 0..CLAIMS {
        let name = format!("c{number}");
        world.delete::<IPClaim>(&name).await;
        world.delete::<IPAddressClaim>(&name).await;
    }
    let gone = "every claim to be gone";
    world.until::<IPClaim>(gone, BTreeMap::is_empty).await;
    world
        .until::<IPAddressClaim>(gone, BTreeMap::is_empty)
        .await;
    world.delete_and_wait::<IPPool>("p").await;
}
