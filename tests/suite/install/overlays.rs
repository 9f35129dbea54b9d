//! Each overlay on a real control plane, as an operator installs it: applied with kubectl under strict validation, first as a dry
//! run; then the replicas run as the Deployment says, and 200 claims of both kinds are served with the rights that it gives.

use super::cluster::{Cluster, SERVER_SIDE};
use super::release_of_upstream;
use super::rendered::{Rendered, has_kubectl};
use crate::tally;

#[tokio::test(flavor = "multi_thread")]
async fn each_overlay_is_applied_and_serves_claims_with_its_rights() {
    let name = "each_overlay_is_applied_and_serves_claims_with_its_rights";
    if !has_kubectl(name) {
        return;
    }
    let Some(cluster) = Cluster::start(name).await else {
        return;
    };

    cluster.kubectl(
        &["apply", "-f", "-"],
        &release_of_upstream::installed().to_string(),
    );
    let before = cluster.deployment().await;
    let default = Rendered::of("default");
    cluster.take(&default, &["apply"]);
    let after = cluster.deployment().await;
    assert_eq!(
        before["metadata"]["uid"], after["metadata"]["uid"],
        "one Deployment, in upstream's place"
    );
    cluster.is_the_only_one().await;
    cluster.take(&Rendered::of("monitoring"), &SERVER_SIDE);
    cluster.serves("default", Some("ipam-metrics-reader")).await;
    cluster.remove(&Rendered::of("monitoring"));
    cluster.remove(&default);

    let managed = Rendered::of("cert-manager");
    cluster.take(&managed, &SERVER_SIDE);
    let beside = ["guard", "claim-finalizers", "flow-control"];
    for beside in beside {
        cluster.take(&Rendered::of(beside), &SERVER_SIDE);
    }
    cluster.has_seats_of_its_own().await;
    cluster.serves("cert-manager", None).await;
    for beside in beside {
        cluster.remove(&Rendered::of(beside));
    }
    cluster.remove(&managed);

    cluster.take(&Rendered::of("namespaced"), &SERVER_SIDE);
    cluster.serves("namespaced", None).await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
