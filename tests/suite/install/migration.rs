//! The commands of `docs/migration.md`, in their order, on a cluster in which clusterctl has installed upstream: there and back.
//!
//! Stood in for are the kubelet and the Deployment's controller: after a step that changes the Deployment, its replicas run as
//! processes, and its status says so.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::clusterctl::Clusterctl;
use super::kubelet::Pod;
use super::release_of_upstream;
use super::rendered::has_kubectl;
use super::shell::{Shell, commands};
use crate::control_plane::{clusterctl, say};
use crate::tally;
use crate::upstream;
use crate::webhook::until;

const PAGE: &str = "docs/migration.md";
/// Bound claims of each kind.
const BOUND: u16 = 250;
/// Claims of each kind that upstream left waiting.
const WAITING: u16 = 5;
const WRITERS: usize = 32;
const NS: &str = "metal";

/// The checks that found something, with their levels, and the exit code. No write to an address object is announced.
fn preflight(shell: &Shell) -> (BTreeMap<String, String>, i32) {
    let (json, code) = shell.run("metal3-ipam preflight --output json");
    let report: Value = serde_json::from_str(&json).unwrap();
    let of_addresses = [
        "metadata of address objects",
        "deletions of address objects",
    ];
    for what in of_addresses {
        assert_eq!(report["firstWrites"].get(what), None, "{report:#}");
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    (
        findings
            .map(|f| (text(&f["check"]), text(&f["level"])))
            .collect(),
        code,
    )
}

fn api(client: &Client, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(client.clone(), NS, &ApiResource::from_gvk(&kind))
}

/// Creates an object of a cluster, with its status where it has one.
async fn put(client: &Client, object: Value) -> DynamicObject {
    let (group, version) = object["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    let api = api(client, group, version, object["kind"].as_str().unwrap());
    let status = object.get("status").cloned();
    let made: DynamicObject = serde_json::from_value(object).unwrap();
    let made = api.create(&PostParams::default(), &made).await.unwrap();
    if let Some(status) = status {
        let name = made.metadata.name.as_deref().unwrap();
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    made
}

fn owner(of: &DynamicObject) -> Value {
    let types = of.types.as_ref().unwrap();
    json!({"apiVersion": types.api_version, "kind": types.kind, "name": of.metadata.name, "uid": of.metadata.uid})
}

fn metal3(kind: &str, name: &str, finalizers: &[&str], spec: &Value) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "finalizers": finalizers}, "spec": spec})
}

fn capi(kind: &str, name: &str, finalizers: &[&str], spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["poolRef"] = json!({"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "prov"});
    json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": kind,
        "metadata": {"name": name, "finalizers": finalizers}, "spec": spec})
}

/// A claim that upstream bound to the n-th address, and its address object.
async fn bound(client: &Client, pool: &DynamicObject, metal: bool, n: u16) {
    let address = format!("10.0.{}.{}", n >> 8, n & 0xff);
    let object = format!("prov-{}", address.replace('.', "-"));
    let name = format!("bound-{n}");
    let claim = if metal {
        let mut claim = metal3(
            "IPClaim",
            &name,
            &["ipclaim.ipam.metal3.io"],
            &json!({"pool": {"name": "prov"}}),
        );
        claim["status"] = json!({"address": {"name": object, "namespace": NS}});
        claim
    } else {
        let mut claim = capi(
            "IPAddressClaim",
            &name,
            &["ipam.metal3.io/ipaddressclaim"],
            &json!({}),
        );
        claim["status"] = json!({"addressRef": {"name": object}});
        claim
    };
    let claim = put(client, claim).await;
    let mut made = if metal {
        metal3(
            "IPAddress",
            &object,
            &["ipaddress.ipam.metal3.io"],
            &json!({"address": address, "prefix": 16, "pool": {"name": "prov", "namespace": NS}, "claim": {"name": name, "namespace": NS}}),
        )
    } else {
        capi(
            "IPAddress",
            &object,
            &["ipam.metal3.io/ipaddress"],
            &json!({"address": address, "prefix": 16, "claimRef": {"name": name}}),
        )
    };
    made["metadata"]["ownerReferences"] = json!([owner(pool), owner(&claim)]);
    put(client, made).await;
}

/// What upstream leaves, with trouble of every sort.
async fn plant(client: &Client) {
    let pool = |name: &str, spec: Value| metal3("IPPool", name, &[], &spec);
    let entry = json!({"start": "10.0.0.1", "end": "10.0.255.254", "gateway": "10.0.0.9"});
    let spec =
        json!({"namePrefix": "prov", "pools": [entry], "preAllocations": {"promised": "10.0.0.7"}});
    let prov = put(client, pool("prov", spec)).await;
    let meets =
        json!({"namePrefix": "other", "pools": [{"start": "10.0.255.1", "end": "10.1.0.9"}]});
    put(client, pool("other", meets)).await;
    let each = stream::iter((0..2 * BOUND).map(|n| (n % 2 == 0, n + 1)));
    each.for_each_concurrent(WRITERS, |(metal, n)| bound(client, &prov, metal, n))
        .await;
    for n in 0..WAITING {
        let mut claim = metal3(
            "IPClaim",
            &format!("waits-{n}"),
            &["ipclaim.ipam.metal3.io"],
            &json!({"pool": {"name": "prov"}}),
        );
        claim["status"] = json!({"errorMessage": "Exhausted IP Pools"});
        put(client, claim).await;
        put(
            client,
            capi("IPAddressClaim", &format!("waits-{n}"), &[], &json!({})),
        )
        .await;
    }
    let address = |name: &str, address: &str, claim: &str, finalizers: &[&str]| {
        let mut object = metal3(
            "IPAddress",
            name,
            finalizers,
            &json!({"address": address, "pool": {"name": "prov"}, "claim": {"name": claim}}),
        );
        object["metadata"]["ownerReferences"] = json!([owner(&prov)]);
        object
    };
    let ours = ["ipaddress.ipam.metal3.io"];
    put(client, address("prov-10-0-9-1", "10.0.9.1", "gone", &ours)).await;
    put(client, address("router", "10.0.9.2", "by-hand", &[])).await;
    // The address of a claim of Cluster API's kind, which upstream gave to a second claim.
    let mut twice = metal3(
        "IPClaim",
        "twice",
        &["ipclaim.ipam.metal3.io"],
        &json!({"pool": {"name": "prov"}}),
    );
    twice["status"] = json!({"address": {"name": "prov-10-0-0-2", "namespace": NS}});
    let twice = put(client, twice).await;
    let mut object = address("prov-10-0-0-2", "10.0.0.2", "twice", &ours);
    object["metadata"]["ownerReferences"] = json!([owner(&prov), owner(&twice)]);
    put(client, object).await;
}

/// Every object of a kind: `read` of it by its name.
async fn all<T>(
    client: &Client,
    kind: [&str; 3],
    read: impl Fn(&DynamicObject) -> T,
) -> BTreeMap<String, T> {
    let api = api(client, kind[0], kind[1], kind[2]);
    let listed = api.list(&ListParams::default()).await.unwrap();
    let name = |object: &DynamicObject| object.metadata.name.clone().unwrap();
    listed
        .items
        .iter()
        .map(|object| (name(object), read(object)))
        .collect()
}

const METAL3_ADDRESS: [&str; 3] = ["ipam.metal3.io", "v1alpha1", "IPAddress"];
const CAPI_ADDRESS: [&str; 3] = ["ipam.cluster.x-k8s.io", "v1beta2", "IPAddress"];
const METAL3_CLAIM: [&str; 3] = ["ipam.metal3.io", "v1alpha1", "IPClaim"];
const CAPI_CLAIM: [&str; 3] = ["ipam.cluster.x-k8s.io", "v1beta2", "IPAddressClaim"];
const POOL: [&str; 3] = ["ipam.metal3.io", "v1alpha1", "IPPool"];

/// The version of every address object that upstream left, of both kinds.
async fn addresses(client: &Client) -> BTreeMap<String, String> {
    let version = |object: &DynamicObject| object.metadata.resource_version.clone().unwrap();
    let mut versions = BTreeMap::new();
    for kind in [METAL3_ADDRESS, CAPI_ADDRESS] {
        let of_kind = all(client, kind, version).await;
        versions.extend(
            of_kind
                .into_iter()
                .map(|(name, v)| (format!("{}/{name}", kind[0]), v)),
        );
    }
    versions
}

/// Which address object each claim shows, of both kinds.
async fn shown(client: &Client) -> BTreeMap<String, Option<String>> {
    let reference = |field: &'static str| {
        move |claim: &DynamicObject| {
            let name = &claim.data["status"][field]["name"];
            name.as_str().map(str::to_owned)
        }
    };
    let mut shown = BTreeMap::new();
    for (kind, field) in [(METAL3_CLAIM, "address"), (CAPI_CLAIM, "addressRef")] {
        let of_kind = all(client, kind, reference(field)).await;
        shown.extend(
            of_kind
                .into_iter()
                .map(|(name, v)| (format!("{}/{name}", kind[0]), v)),
        );
    }
    shown
}

/// What upstream's release installs is there as it is released, and nothing of ours is in it.
async fn is_as_released(cluster: &Cluster) {
    let deployment = cluster.deployment().await;
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 1, "the release names no number");
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];
    let image = format!(
        "quay.io/metal3-io/ip-address-manager:{}",
        release_of_upstream::VERSION
    );
    assert_eq!(container["image"], image);
    let args = [
        "--webhook-port=9443",
        "--diagnostics-address=:8443",
        "--insecure-diagnostics=false",
    ];
    assert_eq!(container["args"], json!(args));
    for field in ["nodeSelector", "topologySpreadConstraints"] {
        assert_eq!(pod.get(field), None, "{field} is ours");
    }
    assert_eq!(container.get("startupProbe"), None);
    for kind in ["validating", "mutating"] {
        let name = format!("{kind}webhookconfiguration/ipam-{kind}-webhook-configuration");
        let made: Value =
            serde_json::from_str(&cluster.kubectl(&["get", &name, "-o", "json"], "")).unwrap();
        let webhooks = made["webhooks"].as_array().unwrap();
        assert_eq!(webhooks.len(), 3, "{made}");
        for webhook in webhooks {
            assert_eq!(webhook["failurePolicy"], "Fail", "{webhook}");
            assert_eq!(webhook.get("matchConditions"), None, "{webhook}");
        }
    }
    let ours = "poddisruptionbudgets,networkpolicies,clusterroles,secrets,roles";
    let left = cluster.kubectl(
        &[
            "get",
            ours,
            "-A",
            "-l",
            "cluster.x-k8s.io/provider=ipam-metal3",
            "-o",
            "name",
        ],
        "",
    );
    let left: Vec<&str> = left.lines().collect();
    let theirs = [
        "clusterrole.rbac.authorization.k8s.io/ipam-manager-role",
        "role.rbac.authorization.k8s.io/ipam-leader-election-role",
    ];
    assert_eq!(left, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_migration_page_lead_there_and_back() {
    let name = "the_commands_of_the_migration_page_lead_there_and_back";
    if !has_kubectl(name) {
        return;
    }
    let Some(cluster) = Cluster::start(name).await else {
        return;
    };
    let program = clusterctl().await.expect("the server was built with Go");
    let client = &cluster.client;
    let folder = cluster.dir.path();
    let clusterctl = Clusterctl::new(program, &cluster, release_of_upstream::VERSION);
    release_of_upstream::write(&clusterctl.folder(release_of_upstream::VERSION));
    clusterctl.put_into(&folder.join("bin"));
    let shell = Shell::on(&cluster.server.kubeconfig, folder);
    shell.run("kubectl create namespace metal");
    // Its webhooks, which nobody answers here, come after its objects.
    cluster.server.define(&upstream::definitions()).await;
    plant(client).await;
    clusterctl.init(release_of_upstream::VERSION);
    let (before, shown_before) = (addresses(client).await, shown(client).await);

    let (found, code) = preflight(&shell);
    let wanted = [
        ("ClusterctlOwns", "Warns"),
        ("Conversion", "Notes"),
        ("DuplicateAddress", "Blocks"),
        ("ExternalAddress", "Notes"),
        ("GatewayHeld", "Warns"),
        ("MissingRights", "Blocks"),
        ("OverlappingPools", "Warns"),
        ("PreAllocationHeld", "Warns"),
        ("UpstreamRuns", "Blocks"),
    ];
    let wanted: BTreeMap<_, _> = wanted
        .map(|(check, level)| (check.to_owned(), level.to_owned()))
        .into();
    // A leak is one only an hour after it was made.
    assert_eq!((&found, code), (&wanted, 1));

    let mut pods: Vec<Pod> = Vec::new();
    for line in commands(PAGE, "There") {
        if line.contains(" get ippools") {
            let all_bound = async || shown(client).await.values().all(Option::is_some);
            until("every claim to be bound", all_bound).await;
        }
        let (out, _) = shell.run(&line);
        if line.contains("apply -k") {
            pods = cluster.pods().await;
            cluster.runs(pods.len()).await;
        } else if line.contains("get ippools") {
            assert!(out.contains("AVAILABLE") && out.contains("prov"), "{out}");
        }
    }
    let (found, _) = preflight(&shell);
    assert_eq!(
        found.get("DuplicateAddress").map(String::as_str),
        Some("Blocks")
    );
    for gone in ["UpstreamRuns", "MissingRights", "ClusterctlOwns"] {
        assert!(!found.contains_key(gone), "{found:?}");
    }
    let plan = clusterctl.run("upgrade plan");
    assert!(!plan.contains("ipam-metal3"), "clusterctl owns it: {plan}");

    let (after, shown_after) = (addresses(client).await, shown(client).await);
    for (object, version) in &before {
        assert_eq!(after.get(object), Some(version), "{object} was written to");
    }
    assert_eq!(after.len(), before.len() + 2 * usize::from(WAITING));
    for (claim, object) in &shown_before {
        if object.is_some() {
            assert_eq!(&shown_after[claim], object, "{claim} moved");
        }
    }
    let error = |claim: &DynamicObject| claim.data["status"].get("errorMessage").cloned();
    let errors = all(client, METAL3_CLAIM, error).await;
    assert!(errors.values().all(Option::is_none), "{errors:?}");
    let consistent = |pool: &DynamicObject| pool.data["status"]["conditions"].to_string();
    let conditions = all(client, POOL, consistent).await;
    assert!(
        conditions["prov"].contains("DuplicateAddress"),
        "{conditions:?}"
    );

    for pod in pods {
        pod.end().await;
    }
    for line in commands(PAGE, "Back") {
        shell.run(&line);
    }
    is_as_released(&cluster).await;
    assert_eq!(
        addresses(client).await,
        after,
        "the way back wrote to address objects"
    );
    assert_eq!(shown(client).await, shown_after);
    let status = |pool: &DynamicObject| {
        pool.data["status"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let fields = async || {
        let fields = all(client, POOL, status).await;
        fields["prov"]
            .iter()
            .all(|field| ["indexes", "lastUpdated"].contains(&field.as_str()))
    };
    until("pools to have upstream's fields only", fields).await;
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    let rules = crds.get("ippools.ipam.metal3.io").await.unwrap();
    assert!(
        !serde_json::to_string(&rules.spec)
            .unwrap()
            .contains("x-kubernetes-validations")
    );
    tally::add("scenarios passed on a real kube-apiserver", 1);
    say(&format!(
        "Real: {} claims of upstream taken over and given back by the commands of docs/migration.md, {} address objects unwritten",
        shown_before.len(),
        before.len()
    ));
}
