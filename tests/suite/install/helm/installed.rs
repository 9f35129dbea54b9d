//! The chart on a real control plane.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use metal3_ipam::api::metal3::IPClaim;
use serde_json::{Value, json};

use super::super::cluster::{Cluster, NAMESPACE, SERVER_SIDE};
use super::super::release_of_upstream;
use super::super::rendered::has_kubectl;
use super::{CASES, DEFAULTS, Helm, RELEASE};
use crate::harness::claim_json;
use crate::tally;
use crate::webhook::until;

/// Secrets and trusted authorities of the webhook, which the manager wrote.
async fn certificates(cluster: &Cluster) -> Value {
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), NAMESPACE);
    let secret = secrets.get_opt("webhook-own-certificate").await.unwrap();
    let webhooks = ["validating", "mutating"].map(|kind| {
        let resource = format!("{kind}webhookconfiguration/ipam-{kind}-webhook-configuration");
        let path = "jsonpath={.webhooks[*].clientConfig.caBundle}";
        cluster.kubectl(&["get", &resource, "-o", path], "")
    });
    json!([secret.map(|secret| secret.data), webhooks])
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_in_anothers_place_upgrades_and_keeps_what_is_not_its_own() {
    let name = "helm_installs_in_anothers_place_upgrades_and_keeps_what_is_not_its_own";
    let Some(mut helm) = Helm::new(name).await else {
        return;
    };
    if !has_kubectl(name) {
        return;
    }
    let Some(cluster) = Cluster::start(name).await else {
        return;
    };
    helm.kubeconfig = Some(cluster.server.kubeconfig.clone());

    // What upstream leaves, but for what the guide has deleted before.
    cluster.kubectl(
        &["apply", "-f", "-"],
        &release_of_upstream::installed().to_string(),
    );
    let gone = "-n metal3-ipam-system delete deployment/ipam-controller-manager \
        validatingwebhookconfiguration/ipam-validating-webhook-configuration \
        mutatingwebhookconfiguration/ipam-mutating-webhook-configuration";
    cluster.kubectl(&gone.split_whitespace().collect::<Vec<_>>(), "");
    let taken = [
        "--take-ownership",
        "--force-conflicts",
        "--create-namespace",
    ];
    helm.run(&["install", RELEASE], &DEFAULTS, &taken);
    cluster.is_the_only_one().await;

    for namespace in ["elsewhere", "team-a"] {
        cluster.kubectl(&["create", "namespace", namespace], "");
    }
    for case in CASES {
        let rendered = helm.render(case);
        let dry = [
            &SERVER_SIDE[..],
            &["--dry-run=server", "--validate=strict", "-f", "-"],
        ]
        .concat();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": rendered.0});
        let said = cluster.kubectl(&dry, &list.to_string());
        assert_eq!(
            said.lines().count(),
            rendered.0.len(),
            "{}: {said}",
            case.what
        );
        tally::add(
            "objects of deploy/ applied under strict validation",
            rendered.0.len() as u64,
        );
    }

    let pods = cluster.pods().await;
    until("the manager to have written its certificates", async || {
        let written = certificates(&cluster).await;
        let mut bundles = written[1].as_array().unwrap().iter();
        !written[0].is_null() && bundles.all(|bundle| bundle != "")
    })
    .await;
    let written = certificates(&cluster).await;
    // Claims are accepted where nobody answers the webhook.
    let claims = Api::<IPClaim>::namespaced(cluster.client.clone(), "team-a");
    let claim = serde_json::from_value(claim_json("kept", "none")).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    for (replicas, port, how) in [
        (3, 9090, "--server-side=true"),
        (1, 9091, "--server-side=false"),
    ] {
        let set = format!("replicas={replicas},metricsPort={port}");
        helm.run(&["upgrade", RELEASE], &DEFAULTS, &["--set", &set, how]);
        let spec = &cluster.deployment().await["spec"];
        assert_eq!(spec["replicas"], replicas);
        let container = &spec["template"]["spec"]["containers"][0];
        let ports = container["ports"].as_array().unwrap().iter();
        let metrics: Vec<_> = ports.filter(|port| port["name"] == "metrics").collect();
        assert_eq!(metrics.len(), 1, "{metrics:?}");
        assert_eq!(metrics[0]["containerPort"], port);
        assert_eq!(
            certificates(&cluster).await,
            written,
            "after an upgrade with {how}"
        );
    }
    // The way back of docs/upgrade.md: an older chart without definitions leaves the newer ones.
    let without = ["--set", "crds.install=false"];
    helm.run(&["upgrade", RELEASE], &DEFAULTS, &without);
    let kept = claims.get("kept").await;
    kept.expect("the definitions are kept where the chart has none, and so are claims");
    let again = ["--reset-then-reuse-values", "--set", "crds.install=true"];
    helm.run(&["upgrade", RELEASE], &DEFAULTS, &again);
    // The manager was stopped by hand: what docs/install.md has for applying it again starts it.
    let stop = "-n metal3-ipam-system scale deployment/ipam-controller-manager --replicas=0";
    cluster.kubectl(&stop.split_whitespace().collect::<Vec<_>>(), "");
    let pages = std::fs::read_to_string("docs/install.md").unwrap();
    let row = pages
        .lines()
        .find(|line| line.starts_with("| Helm | `helm upgrade"));
    let how: Vec<&str> = row
        .unwrap()
        .split(['`', ' '])
        .filter(|word| word.starts_with("--"))
        .collect();
    assert_eq!(how.len(), 3, "{how:?}");
    helm.run(&["upgrade", RELEASE], &DEFAULTS, &how);
    assert_eq!(cluster.deployment().await["spec"]["replicas"], 2);
    assert_eq!(certificates(&cluster).await, written);
    for pod in pods {
        pod.end().await;
    }

    let uninstalled = helm.tries(&["uninstall", RELEASE, "--namespace", NAMESPACE]);
    let said = uninstalled.unwrap();
    assert!(
        said.contains("ippools.ipam.metal3.io"),
        "what is kept: {said}"
    );
    let kept = claims.get("kept").await;
    kept.expect("the definitions are kept, and so are claims");
    let left = cluster.kubectl(
        &[
            "get",
            "deployments,validatingwebhookconfigurations,clusterroles",
            "-A",
            "-o",
            "name",
        ],
        "",
    );
    assert!(!left.contains("ipam-"), "{left}");
    // The definitions are taken by the next release.
    helm.run(&["install", RELEASE], &DEFAULTS, &[]);
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
