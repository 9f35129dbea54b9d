//! What a release of metal3-io/ip-address-manager installs: the objects that `kubectl kustomize config/default` of its source
//! renders, which its file `ipam-components.yaml` has. There is no `replicas`, the webhooks have no conditions, and clusterctl
//! replaces the variables in the Deployment's args.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::cluster::{DEPLOYMENT, NAMESPACE};
use crate::upstream;

/// One that docs/migration.md names.
pub(super) const VERSION: &str = "v1.13.2";

const INJECTED: &str = "cert-manager.io/inject-ca-from";

fn labels() -> Value {
    json!({"cluster.x-k8s.io/provider": "ipam-metal3", "control-plane": "controller-manager", "controller-tools.k8s.io": "1.0"})
}

fn object(api: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}});
    let cluster_wide = ["Namespace", "ClusterRole", "ClusterRoleBinding"].contains(&kind)
        || kind.ends_with("WebhookConfiguration");
    if !cluster_wide {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    object["metadata"]["labels"] = json!({"cluster.x-k8s.io/provider": "ipam-metal3"});
    let Value::Object(more) = more else {
        panic!("fields of {kind} {name}");
    };
    object.as_object_mut().unwrap().extend(more);
    object
}

fn rights() -> [Value; 2] {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let all = [
        "create", "delete", "get", "list", "patch", "update", "watch",
    ];
    let status = ["get", "patch", "update"];
    let events = ["create", "get", "list", "patch", "update", "watch"];
    let rules = [
        rule("", &["events"], &events),
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        rule(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
        ),
        rule("cluster.x-k8s.io", &["clusters"], &["get", "list", "watch"]),
        rule("cluster.x-k8s.io", &["clusters/status"], &["get"]),
        rule(
            "ipam.cluster.x-k8s.io",
            &["ipaddressclaims", "ipaddresses"],
            &all,
        ),
        rule(
            "ipam.cluster.x-k8s.io",
            &["ipaddressclaims/status", "ipaddresses/status"],
            &status,
        ),
        rule(
            "ipam.metal3.io",
            &["ipaddresses", "ipclaims", "ippools"],
            &all,
        ),
        rule(
            "ipam.metal3.io",
            &["ipaddresses/status", "ipclaims/status", "ippools/status"],
            &status,
        ),
    ];
    [json!(rules), json!([rule("", &["events"], &["create"])])]
}

fn webhooks(kind: &str, verb: &str, path: &str) -> Value {
    let name = format!("ipam-{kind}-webhook-configuration");
    let webhook = |of: &str| {
        json!({"name": format!("{verb}.{of}.ipam.metal3.io"), "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": {"service": {"name": "ipam-webhook-service", "namespace": NAMESPACE,
                "path": format!("/{path}-ipam-metal3-io-v1alpha1-{of}")}},
            "failurePolicy": "Fail", "matchPolicy": "Equivalent", "sideEffects": "None",
            "rules": [{"apiGroups": ["ipam.metal3.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                "resources": [if of == "ipaddress" { "ipaddresses".to_owned() } else { format!("{of}s") }]}]})
    };
    let all = ["ipaddress", "ipclaim", "ippool"].map(webhook);
    let kind = match kind {
        "mutating" => "MutatingWebhookConfiguration",
        _ => "ValidatingWebhookConfiguration",
    };
    let mut made = object(
        "admissionregistration.k8s.io/v1",
        kind,
        &name,
        json!({"webhooks": all}),
    );
    made["metadata"]["annotations"] = json!({INJECTED: format!("{NAMESPACE}/ipam-serving-cert")});
    made
}

fn deployment() -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "healthz"}});
    let port =
        |port: u16, name: &str| json!({"containerPort": port, "name": name, "protocol": "TCP"});
    let container = json!({
        "name": "manager",
        "image": format!("quay.io/metal3-io/ip-address-manager:{VERSION}"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/manager"],
        "args": ["--webhook-port=9443", "--diagnostics-address=${IPAM_DIAGNOSTICS_ADDRESS:=:8443}",
            "--insecure-diagnostics=${IPAM_INSECURE_DIAGNOSTICS:=false}"],
        "ports": [port(9443, "ipam-webhook"), port(9440, "healthz"), port(8443, "metrics")],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false,
            "runAsGroup": 65532, "runAsUser": 65532},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"mountPath": "/tmp/k8s-webhook-server/serving-certs", "name": "cert", "readOnly": true}],
    });
    let pod = json!({
        "containers": [container],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "serviceAccountName": "ipam-manager",
        "terminationGracePeriodSeconds": 10,
        "tolerations": [{"effect": "NoSchedule", "key": "node-role.kubernetes.io/control-plane"}],
        "volumes": [{"name": "cert", "secret": {"defaultMode": 420, "secretName": "ipam-webhook-service-cert"}}],
    });
    let spec = json!({"selector": {"matchLabels": labels()}, "template": {"metadata": {"labels": labels()}, "spec": pod}});
    let mut made = object("apps/v1", "Deployment", DEPLOYMENT, json!({"spec": spec}));
    made["metadata"]["labels"] = labels();
    made
}

/// All but the definitions.
fn objects() -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let role = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let account =
        json!([{"kind": "ServiceAccount", "name": "ipam-manager", "namespace": NAMESPACE}]);
    let [rules, of_lease] = rights();
    let names = ["svc", "svc.cluster.local"]
        .map(|domain| format!("ipam-webhook-service.{NAMESPACE}.{domain}"));
    vec![
        object("v1", "Namespace", NAMESPACE, json!({})),
        object("v1", "ServiceAccount", "ipam-manager", json!({})),
        object(
            rbac,
            "Role",
            "ipam-leader-election-role",
            json!({"rules": of_lease}),
        ),
        object(
            rbac,
            "ClusterRole",
            "ipam-manager-role",
            json!({"rules": rules}),
        ),
        object(
            rbac,
            "RoleBinding",
            "ipam-leader-election-rolebinding",
            json!({"roleRef": role("Role", "ipam-leader-election-role"), "subjects": account}),
        ),
        object(
            rbac,
            "ClusterRoleBinding",
            "ipam-manager-rolebinding",
            json!({"roleRef": role("ClusterRole", "ipam-manager-role"), "subjects": account}),
        ),
        object(
            "v1",
            "Service",
            "ipam-webhook-service",
            json!({"spec": {
            "selector": {"cluster.x-k8s.io/provider": "ipam-metal3"}, "ports": [{"port": 443, "targetPort": "ipam-webhook"}]}}),
        ),
        deployment(),
        object(
            "cert-manager.io/v1",
            "Certificate",
            "ipam-serving-cert",
            json!({"spec": {"dnsNames": names,
            "issuerRef": {"kind": "Issuer", "name": "ipam-selfsigned-issuer"}, "secretName": "ipam-webhook-service-cert"}}),
        ),
        object(
            "cert-manager.io/v1",
            "Issuer",
            "ipam-selfsigned-issuer",
            json!({"spec": {"selfSigned": {}}}),
        ),
        webhooks("mutating", "default", "mutate"),
        webhooks("validating", "validation", "validate"),
    ]
}

/// The definitions, which name the webhook as their converter.
fn definitions() -> Vec<Value> {
    let of_release = |definition| {
        let mut definition = serde_json::to_value(definition).unwrap();
        definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
        definition["kind"] = json!("CustomResourceDefinition");
        definition["metadata"]["labels"] = json!({"cluster.x-k8s.io/provider": "ipam-metal3", "cluster.x-k8s.io/v1beta1": "v1beta1"});
        definition["metadata"]["annotations"] =
            json!({INJECTED: format!("{NAMESPACE}/ipam-serving-cert")});
        let service =
            json!({"name": "ipam-webhook-service", "namespace": NAMESPACE, "path": "/convert"});
        definition["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
            "clientConfig": {"service": service}, "conversionReviewVersions": ["v1", "v1beta1"]}});
        definition
    };
    upstream::definitions()
        .into_iter()
        .map(of_release)
        .collect()
}

/// All but the definitions as a List, with the defaults of the variables: what clusterctl has installed, without its labels.
pub(super) fn installed() -> Value {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects()}).to_string();
    let text = text.replace("${IPAM_DIAGNOSTICS_ADDRESS:=:8443}", ":8443");
    let text = text.replace("${IPAM_INSECURE_DIAGNOSTICS:=false}", "false");
    serde_json::from_str(&text).unwrap()
}

/// Writes the files of the release into a folder, for clusterctl.
pub(super) fn write(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let documents: Vec<String> = definitions()
        .iter()
        .chain(&objects())
        .map(Value::to_string)
        .collect();
    fs::write(
        folder.join("ipam-components.yaml"),
        documents.join("\n---\n"),
    )
    .unwrap();
    let metadata = json!({"apiVersion": "clusterctl.cluster.x-k8s.io/v1alpha3", "kind": "Metadata",
        "releaseSeries": [{"major": 1, "minor": 13, "contract": "v1beta2"}]});
    fs::write(folder.join("metadata.yaml"), metadata.to_string()).unwrap();
}
