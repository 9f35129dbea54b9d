//! The commands of `docs/install.md` that take the manager away: objects stay, the next installation serves on, and what is
//! removed for good leaves nothing behind. The kubelet's part, ending the pods, is done here.

use std::collections::BTreeSet;

use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use super::cluster::{Cluster, NAMESPACE};
use super::kubelet::Pod;
use super::rendered::{Rendered, has_kubectl};
use super::shell::{Shell, commands};
use crate::harness::{World, capi_is_bound, is_bound};
use crate::steps::range;
use crate::tally;

const PAGE: &str = "docs/install.md";

async fn installed(cluster: &Cluster, shell: &Shell) -> Vec<Pod> {
    shell.run("kubectl apply -k deploy/default");
    cluster.pods().await
}

async fn end(pods: &mut Vec<Pod>) {
    for pod in pods.drain(..) {
        pod.end().await;
    }
}

/// Claims of both kinds are bound, all of them.
async fn all_are_bound(world: &World, metal3: usize, capi: usize) {
    world
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            all.len() == metal3 && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim to be bound", |all| {
            all.len() == capi && all.values().all(capi_is_bound)
        })
        .await;
}

/// Names of what an installation has, without what has to stay.
fn left(shell: &Shell) -> BTreeSet<String> {
    let stays = ["CustomResourceDefinition", "Namespace"];
    let rendered = Rendered::of("default");
    let kinds = rendered.0.iter().map(|o| o["kind"].as_str().unwrap());
    let kinds: BTreeSet<&str> = kinds.filter(|kind| !stays.contains(kind)).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(",");
    let get = format!("kubectl get {kinds} -A -l cluster.x-k8s.io/provider=ipam-metal3 -o name");
    shell.run(&get).0.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_taken_away_and_all_objects_stay_until_they_are_removed_for_good() {
    let name = "the_manager_is_taken_away_and_all_objects_stay_until_they_are_removed_for_good";
    if !has_kubectl(name) {
        return;
    }
    let Some(cluster) = Cluster::start(name).await else {
        return;
    };
    let shell = Shell::on(&cluster.server.kubeconfig, cluster.dir.path());
    // No network leads to the webhook here: the pool comes before it.
    shell.run("kubectl apply -k deploy/crd");
    shell.run("kubectl wait --for=condition=Established --timeout=1m -f crds");
    let world = World::at(&cluster.server.config).await;
    world.pool("p", range("10.0.0.1", "10.0.0.3")).await;
    let mut pods = installed(&cluster, &shell).await;
    for claim in ["kept", "leaving"] {
        world.claim(claim, "p").await;
    }
    world.capi_claim("kept", "p").await;
    all_are_bound(&world, 2, 1).await;
    let (kept, freed) = (
        world.address_of("kept").await,
        world.address_of("leaving").await,
    );
    let kept_capi = world.capi_address_of("kept").await;
    assert!(!left(&shell).is_empty());

    end(&mut pods).await;
    for line in commands(PAGE, "To take it away") {
        shell.run(&line);
    }
    assert_eq!(left(&shell), BTreeSet::new());
    shell.run(&format!("kubectl get namespace {NAMESPACE}"));
    let stays = |uid: Option<&_>| assert_eq!(uid, None, "is being deleted");
    stays(
        world
            .get::<IPPool>("p")
            .await
            .metadata
            .deletion_timestamp
            .as_ref(),
    );
    for claim in world.until::<IPClaim>("a list", |_| true).await.values() {
        stays(claim.metadata.deletion_timestamp.as_ref());
    }
    for claim in world
        .until::<IPAddressClaim>("a list", |_| true)
        .await
        .values()
    {
        stays(claim.metadata.deletion_timestamp.as_ref());
    }
    let addresses = world
        .until::<IPAddress>("a list", |all| all.len() == 2)
        .await;
    for address in addresses.values() {
        stays(address.metadata.deletion_timestamp.as_ref());
    }
    let addresses = world
        .until::<CapiIPAddress>("a list", |all| all.len() == 1)
        .await;
    for address in addresses.values() {
        stays(address.metadata.deletion_timestamp.as_ref());
    }
    // A deletion waits for a manager, and no webhook refuses a pool.
    world.delete::<IPClaim>("leaving").await;
    let more = json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}], "gateway": "10.0.0.9"}});
    world.patch::<IPPool>("p", more).await;
    let leaving = world.get::<IPClaim>("leaving").await;
    assert!(leaving.metadata.deletion_timestamp.is_some() && is_bound(&leaving));

    let mut pods = installed(&cluster, &shell).await;
    world
        .until::<IPClaim>("the deletion to go on", |all| !all.contains_key("leaving"))
        .await;
    world.claim("new", "p").await;
    all_are_bound(&world, 2, 1).await;
    assert_eq!(world.address_of("new").await, freed);
    assert_eq!(world.address_of("kept").await, kept);
    assert_eq!(world.capi_address_of("kept").await, kept_capi);

    for line in commands(PAGE, "To remove everything for good") {
        if line.contains("delete --ignore-not-found -k deploy/uninstall") {
            end(&mut pods).await;
        }
        // Nothing empties a Namespace on a bare control plane.
        if line.contains("delete namespace") {
            continue;
        }
        let (out, _) = shell.run(&line);
        if line.starts_with("kubectl get ipaddresses") {
            assert_eq!(out, "", "{line}");
        }
    }
    assert!(pods.is_empty(), "the page takes the manager away");
    assert_eq!(left(&shell), BTreeSet::new());
    let (definitions, _) = shell.run("kubectl get customresourcedefinitions -o name");
    assert!(!definitions.contains("ipam.metal3.io"), "{definitions}");
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
