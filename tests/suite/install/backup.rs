//! The commands of `docs/backup.md`: the objects of a namespace are saved on one real kube-apiserver and put into another, empty
//! one, in the worst order.

use std::collections::BTreeMap;

use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::kubelet::Pod;
use super::rendered::has_kubectl;
use super::shell::{Shell, commands};
use crate::control_plane::{self, say};
use crate::harness::{On, World, capi_is_bound, is_bound};
use crate::steps::range;
use crate::tally;
use crate::webhook::until;

const PAGE: &str = "docs/backup.md";
/// Bound claims of each kind; the pool has no address more.
const BOUND: usize = 20;

/// Which address object each claim shows, of both kinds.
fn shown(shell: &Shell, namespace: &str) -> BTreeMap<String, Option<String>> {
    let get = format!("kubectl -n {namespace} get ipclaims,ipaddressclaims -o json");
    let list: Value = serde_json::from_str(&shell.run(&get).0).unwrap();
    let claims = list["items"].as_array().unwrap().iter();
    let claims = claims.map(|claim| {
        let text = |path: &str| claim.pointer(path).and_then(Value::as_str);
        let name = text("/metadata/name").unwrap();
        let shown = text("/status/address/name").or(text("/status/addressRef/name"));
        (
            format!("{} {name}", text("/kind").unwrap()),
            shown.map(str::to_owned),
        )
    });
    claims.collect()
}

/// Names of the pools that are paused.
fn paused_pools(shell: &Shell, namespace: &str) -> Vec<String> {
    let get = format!("kubectl -n {namespace} get ippools -o json");
    let list: Value = serde_json::from_str(&shell.run(&get).0).unwrap();
    let pools = list["items"].as_array().unwrap().iter();
    let paused = pools.filter(|pool| {
        let annotations = &pool["metadata"]["annotations"];
        annotations.get("cluster.x-k8s.io/paused").is_some()
    });
    let name = |pool: &Value| pool["metadata"]["name"].as_str().unwrap().to_owned();
    paused.map(name).collect()
}

/// The documents of a file, the last one first: claims and their addresses come in another order than they were made in.
fn reverse(file: &std::path::Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut documents: Vec<Value> = documents.map(Result::unwrap).collect();
    for object in &documents {
        let metadata = object["metadata"].as_object().unwrap();
        for field in ["uid", "resourceVersion", "ownerReferences"] {
            assert!(!metadata.contains_key(field), "{field} is saved: {object}");
        }
    }
    documents.reverse();
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    std::fs::write(file, texts.join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_kubectl_has_saved_come_back_with_their_addresses() {
    let name = "objects_that_kubectl_has_saved_come_back_with_their_addresses";
    if !has_kubectl(name) {
        return;
    }
    let Some(target) = Cluster::start(name).await else {
        return;
    };
    let source = &control_plane::started().await.unwrap().shared;
    let folder = target.dir.path();
    let mut world = World::without_controller(On::Real).await;
    let namespace = world.namespace.clone();
    let here = |line: String| line.replace("NAMESPACE", &namespace);

    world.start_controller();
    let last = format!("10.0.0.{}", 2 * BOUND);
    world.pool("p", range("10.0.0.1", &last)).await;
    for n in 0..BOUND {
        world.claim(&format!("c{n}"), "p").await;
        world.capi_claim(&format!("c{n}"), "p").await;
    }
    world
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim to be bound", |all| {
            all.values().all(capi_is_bound)
        })
        .await;
    world.claim("late", "p").await;
    world.waits_for("late", "PoolExhausted").await;

    // On purpose, by who runs it: neither part may end that.
    world.pool("resting", range("10.1.0.1", "10.1.0.9")).await;
    let paused = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": ""}}});
    world.patch::<IPPool>("resting", paused).await;

    // Deleted, and kept by somebody else's finalizer.
    world.claim("going", "resting").await;
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    world.patch::<IPClaim>("going", held).await;
    world.delete::<IPClaim>("going").await;

    let shell = Shell::on(&source.kubeconfig, folder);
    for line in commands(PAGE, "To save a namespace with kubectl") {
        shell.run(&here(line));
    }
    assert_eq!(paused_pools(&shell, &namespace), ["resting"]);
    let before = shown(&shell, &namespace);
    assert_eq!(before.len(), 2 * BOUND + 2);
    reverse(&folder.join("backup.json"));

    let shell = Shell::on(&target.server.kubeconfig, folder);
    let mut pods: Vec<Pod> = Vec::new();
    for line in commands(PAGE, "To put it into an empty cluster") {
        let (out, code) = shell.run(&here(line.clone()));
        if line.starts_with("metal3-ipam preflight") {
            let clean = code == 0 && !out.contains("NoOwner") && !out.contains("Blocks");
            assert!(clean, "{out}");
        } else if line.starts_with("kubectl create -f") {
            let (out, _) = shell.run(&here("metal3-ipam preflight -n NAMESPACE".to_owned()));
            assert!(out.contains("NoOwner"), "{out}");
        } else if line.contains("apply -k deploy/default") {
            pods = target.pods().await;
            target.runs(pods.len()).await;
        }
    }
    until("each claim to show the address that it had", async || {
        shown(&shell, &namespace) == before
    })
    .await;
    assert_eq!(paused_pools(&shell, &namespace), ["resting"]);
    let going = format!("kubectl -n {namespace} get ipclaim going -o json");
    let (going, _) = shell.run(&going);
    assert!(going.contains("deletionTimestamp"), "it lives: {going}");
    // What is held is known: the claim that waited gets the first address that is released.
    let freed = before["IPClaim c0"].clone();
    shell.run(&format!("kubectl -n {namespace} delete ipclaim c0"));
    until("the claim that waited to be served", async || {
        shown(&shell, &namespace).get("IPClaim late") == Some(&freed)
    })
    .await;
    for pod in pods {
        pod.end().await;
    }
    let free = json!({"metadata": {"finalizers": null}});
    world.patch::<IPClaim>("going", free).await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
    say(&format!(
        "Real: {} claims saved with kubectl have their addresses in another cluster",
        before.len()
    ));
}
