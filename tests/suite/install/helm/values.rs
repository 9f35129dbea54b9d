//! Values that the other cases leave at their defaults.

use serde_json::json;

use super::super::cluster::NAMESPACE;
use super::{ANOTHER_PORT, CHANGED, Helm, args};

/// The NetworkPolicy and the PodMonitor name the container's port, which has to be the manager's.
#[tokio::test]
async fn the_metrics_have_one_port_in_the_manager_and_the_container() {
    let name = "the_metrics_have_one_port_in_the_manager_and_the_container";
    let Some(helm) = Helm::new(name).await else {
        return;
    };
    let rendered = helm.render(&ANOTHER_PORT);
    let args = args(&rendered);
    assert_eq!(args[0], "--diagnostics-address=:9090");
    assert_eq!(
        *args.last().unwrap(),
        "--diagnostics-address=127.0.0.1:9090"
    );
    let pod = &rendered.one("Deployment")["spec"]["template"]["spec"];
    let metrics = json!({"containerPort": 9090, "name": "metrics", "protocol": "TCP"});
    assert_eq!(pod["containers"][0]["ports"][1], metrics);
}

#[tokio::test]
async fn each_value_of_the_chart_reaches_its_object() {
    let Some(helm) = Helm::new("each_value_of_the_chart_reaches_its_object").await else {
        return;
    };
    let rendered = helm.render(&CHANGED);
    assert!(rendered.of_kind("CustomResourceDefinition").is_empty());
    assert!(rendered.of_kind("ClusterRoleBinding").is_empty());
    let deployment = &rendered.one("Deployment")["spec"];
    assert_eq!(deployment["replicas"], 3);
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(
        pod["nodeSelector"],
        json!({"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "disk": "ssd"})
    );
    assert!(pod["affinity"]["nodeAffinity"].is_object());
    let image = pod["containers"][0]["image"].as_str().unwrap();
    assert!(image.starts_with("ghcr.io/metal3-ipam/metal3-ipam@sha256:aaaa"));
    let limits = json!({"cpu": 1, "memory": "512Mi"});
    assert_eq!(pod["containers"][0]["resources"]["limits"], limits);
    let wanted = [
        "--namespace=team-a",
        "--webhook-port=0",
        "--watch-filter=blue",
        "--in-flight=8",
    ];
    assert_eq!(args(&rendered)[4..], wanted);
    let served = |name: &str| {
        let all = [rendered.of_kind("Role"), rendered.of_kind("RoleBinding")].concat();
        let one = all.into_iter().find(|o| o["metadata"]["name"] == name);
        one.unwrap()
    };
    let binding = served("ipam-manager-rolebinding");
    assert_eq!(binding["metadata"]["namespace"], "team-a");
    assert_eq!(binding["subjects"][0]["namespace"], NAMESPACE);
    let namespace = |name| served(name)["metadata"]["namespace"].clone();
    assert_eq!(namespace("ipam-manager-role"), "team-a");
    assert_eq!(namespace("ipam-leader-election-role"), NAMESPACE);
    let budget = rendered.one("PodDisruptionBudget");
    assert_eq!(budget["spec"]["maxUnavailable"], "50%");
    let metrics = &rendered.one("NetworkPolicy")["spec"]["ingress"][1];
    let peers = json!([{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]);
    assert_eq!(metrics["from"], peers);

    for policy in rendered.of_kind("ValidatingAdmissionPolicy") {
        let variables = policy["spec"]["variables"].as_array().unwrap();
        for variable in variables {
            let list = || -> Vec<String> {
                serde_json::from_str(variable["expression"].as_str().unwrap()).unwrap()
            };
            match variable["name"].as_str().unwrap() {
                "users" => assert_eq!(list()[3..], ["oidc:jane"]),
                "groups" => assert_eq!(list(), ["admins", "it's"]),
                _ => {}
            }
        }
    }
    let place = json!({"matchLabels": {"kubernetes.io/metadata.name": "team-a"}});
    let filter = json!({"matchLabels": {"cluster.x-k8s.io/watch-filter": "blue"}});
    for binding in rendered.of_kind("ValidatingAdmissionPolicyBinding") {
        let want = json!({"namespaceSelector": place});
        assert_eq!(binding["spec"]["matchResources"], want);
    }
    let bindings = rendered.of_kind("MutatingAdmissionPolicyBinding");
    assert_eq!(bindings.len(), 2);
    for binding in bindings {
        let want = json!({"namespaceSelector": place, "objectSelector": filter});
        assert_eq!(binding["spec"]["matchResources"], want);
    }

    let monitor = rendered.one("PodMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["scheme"], "http");
    assert!(endpoint["authorization"].is_null() && endpoint["tlsConfig"].is_null());
    assert!(rendered.of_kind("ConfigMap")[0]["metadata"]["labels"]["board"] == "1");
    let groups = rendered.one("PrometheusRule")["spec"]["groups"].as_array();
    let rules: Vec<_> = groups
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(
        !rules
            .iter()
            .any(|r| r["alert"] == "AddressLeak" || r["alert"] == "ClaimsWaiting")
    );
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        let page = format!("https://wiki.example.com/ipam/{name}.md");
        assert_eq!(rule["annotations"]["runbook_url"], page);
    }
    let nearly: Vec<_> = rules
        .iter()
        .filter(|rule| rule["alert"] == "PoolNearlyFull")
        .map(|rule| {
            (
                rule["expr"].as_str().unwrap(),
                &rule["annotations"]["description"],
            )
        })
        .collect();
    let wanted = [
        (">= 0.95", "< 100)", "95 %", "100"),
        (">= 0.99", "< 1500)", "99 %", "1,500"),
    ];
    assert_eq!(nearly.len(), wanted.len());
    for ((expr, description), (ratio, less, percent, number)) in nearly.iter().zip(wanted) {
        assert!(expr.contains(ratio) && expr.contains(less), "{expr}");
        let want = format!(
            "{percent} or more is in use or kept back, and fewer than {number} addresses are left."
        );
        assert_eq!(**description, want);
    }
}
