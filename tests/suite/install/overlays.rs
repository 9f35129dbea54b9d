//! Each overlay on a real control plane, as an operator installs it: applied with kubectl under strict validation, first as a dry
//! run; then the replicas run as the Deployment says, and 200 claims of both kinds are served with the rights that it gives.

use serde_json::{Value, json};

use super::cluster::{Cluster, DEPLOYMENT, NAMESPACE, SERVER_SIDE};
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

    cluster.kubectl(&["apply", "-f", "-"], &upstreams().to_string());
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
    for beside in ["guard", "claim-finalizers"] {
        cluster.take(&Rendered::of(beside), &SERVER_SIDE);
    }
    cluster.serves("cert-manager", None).await;
    for beside in ["guard", "claim-finalizers"] {
        cluster.remove(&Rendered::of(beside));
    }
    cluster.remove(&managed);

    cluster.take(&Rendered::of("namespaced"), &SERVER_SIDE);
    cluster.serves("namespaced", None).await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

/// What upstream leaves, as far as it decides whether ours can take its place: names, the selector, references to roles, and
/// webhooks that nobody answers.
pub(super) fn upstreams() -> Value {
    let meta = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let labels = json!({"cluster.x-k8s.io/provider": "ipam-metal3", "control-plane": "controller-manager", "controller-tools.k8s.io": "1.0"});
    let role = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let account =
        json!([{"kind": "ServiceAccount", "name": "ipam-manager", "namespace": NAMESPACE}]);
    let hook = |name: &str| {
        json!([{"name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "ipam-webhook-service", "namespace": NAMESPACE, "path": "/gone"}},
            "rules": [{"apiGroups": ["ipam.metal3.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE"], "resources": ["ippools"]}]}])
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("ipam-manager")},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("ipam-leader-election-rolebinding"),
            "roleRef": role("Role", "ipam-leader-election-role"), "subjects": account},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "ipam-manager-rolebinding"},
            "roleRef": role("ClusterRole", "ipam-manager-role"), "subjects": account},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta("ipam-webhook-service"),
            "spec": {"selector": {"cluster.x-k8s.io/provider": "ipam-metal3"}, "ports": [{"port": 443, "targetPort": "ipam-webhook"}]}},
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "ipam-mutating-webhook-configuration"}, "webhooks": hook("default.ippool.ipam.metal3.io")},
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "ipam-validating-webhook-configuration"}, "webhooks": hook("validation.ippool.ipam.metal3.io")},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(DEPLOYMENT), "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "manager", "image": "example.com/upstream:v1"}]}}}},
    ]})
}
