//! What Helm makes of the chart: with its defaults the objects of `deploy/default`, with other values those of the other folders;
//! and on a real control plane an installation in the place of another manager, an upgrade and an end. Helm is built from its Go
//! module.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use metal3_ipam::api::metal3::IPClaim;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::chart::chart;
use super::cluster::{Cluster, NAMESPACE, SERVER_SIDE};
use super::overlays::upstreams;
use super::rendered::{Rendered, has_kubectl};
use crate::real::{helm, say};
use crate::tally;
use crate::webhook::until;
use crate::world::claim_json;

const RELEASE: &str = "metal3-ipam";

/// Helm, with folders for what it keeps.
struct Helm {
    program: PathBuf,
    dir: TempDir,
    kubeconfig: Option<PathBuf>,
}

/// What somebody installs.
struct Case {
    what: &'static str,
    release: &'static str,
    namespace: &'static str,
    set: &'static [&'static str],
}

const DEFAULTS: Case = Case {
    what: "defaults",
    release: RELEASE,
    namespace: NAMESPACE,
    set: &[],
};
const NAMESPACED: Case = Case {
    what: "one namespace",
    set: &["namespaces={metal3-ipam-system}", "webhook.mode=none"],
    ..DEFAULTS
};
const OBSERVED: Case = Case {
    what: "cert-manager, monitoring and dashboards",
    set: &[
        "webhook.mode=certManager",
        "monitoring.enabled=true",
        "dashboards.enabled=true",
    ],
    ..DEFAULTS
};
const GUARDED: Case = Case {
    what: "no webhook, the guard and the finalizers of claims",
    set: &[
        "webhook.mode=none",
        "guard.enabled=true",
        "claimFinalizers.enabled=true",
    ],
    ..DEFAULTS
};
const ELSEWHERE: Case = Case {
    what: "another namespace and name",
    release: "ipam",
    namespace: "elsewhere",
    set: &["guard.enabled=true", "monitoring.enabled=true"],
};
/// Values that the others leave at their defaults.
const CHANGED: Case = Case {
    what: "other values",
    set: &[
        "image.digest=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "image.pullSecrets={registry}",
        "replicas=3",
        "namespaces={team-a}",
        "watchFilter=blue",
        "crds.install=false",
        "webhook.mode=none",
        "guard.enabled=true",
        "guard.users={oidc:jane}",
        "guard.groups={admins,it's}",
        "claimFinalizers.enabled=true",
        "monitoring.enabled=true",
        "monitoring.labels.release=prometheus",
        "monitoring.alerts.disabled={AddressLeak,ClaimsWaiting}",
        "monitoring.alerts.poolNearlyFull.warningPercent=95",
        "monitoring.alerts.poolNearlyFull.warningAddresses=100",
        "monitoring.alerts.poolNearlyFull.criticalPercent=99",
        "monitoring.alerts.poolNearlyFull.criticalAddresses=1500",
        "dashboards.enabled=true",
        "dashboards.label=board",
        "resources.limits.cpu=1",
        "nodeSelector.disk=ssd",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key=zone",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator=Exists",
        "priorityClassName=high",
        "extraArgs={--in-flight=8}",
        "podDisruptionBudget.maxUnavailable=50%",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    ],
    ..DEFAULTS
};
const CASES: [&Case; 6] = [
    &DEFAULTS,
    &NAMESPACED,
    &OBSERVED,
    &GUARDED,
    &ELSEWHERE,
    &CHANGED,
];

impl Helm {
    /// Says so where there is none.
    async fn new(test: &str) -> Option<Self> {
        let Some(program) = helm().await else {
            say(&format!("SKIPPED: no Go to build Helm with: {test}"));
            tally::add("tests of the Helm chart SKIPPED: no Go", 1);
            return None;
        };
        Some(Self {
            program,
            dir: tempfile::tempdir().unwrap(),
            kubeconfig: None,
        })
    }

    /// Standard output, or standard error where it fails.
    fn tries(&self, args: &[&str]) -> Result<String, String> {
        let folder = self.dir.path();
        let none = folder.join("none");
        let ended = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(&none))
            .env("HELM_CACHE_HOME", folder.join("cache"))
            .env("HELM_CONFIG_HOME", folder.join("config"))
            .env("HELM_DATA_HOME", folder.join("data"))
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .unwrap();
        if ended.status.success() {
            Ok(String::from_utf8(ended.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&ended.stderr).into_owned())
        }
    }

    /// Runs it on the chart; it must succeed.
    fn run(&self, command: &[&str], case: &Case, more: &[&str]) -> String {
        let folder = chart("");
        let mut args = command.to_vec();
        args.extend([folder.to_str().unwrap(), "--namespace", case.namespace]);
        args.extend(case.set.iter().flat_map(|value| ["--set", value]));
        args.extend(more);
        let said = self.tries(&args);
        said.unwrap_or_else(|e| panic!("{}: helm {args:?}: {e}", case.what))
    }

    fn render(&self, case: &Case) -> Rendered {
        tally::add("renderings of the Helm chart", 1);
        let text = self.run(&["template", case.release], case, &[]);
        let mut rendered = Rendered::read(&text);
        rendered.0.retain(|object| !object.is_null());
        rendered
    }
}

/// 128.0 becomes 128: kubectl writes numbers so, and they are equal.
fn shorten_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let short = number.as_f64().unwrap().to_string();
            *value = serde_json::from_str(&short).unwrap();
        }
        Value::Array(list) => list.iter_mut().for_each(shorten_numbers),
        Value::Object(fields) => fields.values_mut().for_each(shorten_numbers),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Objects in the order of their names, without the Namespace, which Helm makes, and what keeps the definitions.
fn comparable(rendered: Rendered) -> Vec<Value> {
    let mut objects = rendered.0;
    objects.retain(|object| object["kind"] != "Namespace");
    for object in &mut objects {
        shorten_numbers(object);
        if object["kind"] == "CustomResourceDefinition" {
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
        }
    }
    let name = |object: &Value| {
        let of = |path| object.pointer(path).map(Value::to_string);
        [of("/kind"), of("/metadata/name")]
    };
    objects.sort_by_key(name);
    objects
}

fn assert_equal(chart: Rendered, folders: &[&str]) {
    let wanted = folders.iter().flat_map(|folder| Rendered::of(folder).0);
    let wanted = Rendered(wanted.collect());
    let (found, wanted) = (comparable(chart), comparable(wanted));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "not as in {folders:?}");
    }
    assert_eq!(found.len(), wanted.len(), "objects of {folders:?}");
}

fn args(rendered: &Rendered) -> Vec<&str> {
    let container = &rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let args = container["args"].as_array().unwrap().iter();
    args.map(|arg| arg.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_chart_renders_the_objects_of_the_folders_of_deploy() {
    let name = "the_chart_renders_the_objects_of_the_folders_of_deploy";
    let Some(helm) = Helm::new(name).await else {
        return;
    };
    if !has_kubectl(name) {
        return;
    }
    let rendered = helm.render(&DEFAULTS);
    let definitions = rendered.of_kind("CustomResourceDefinition");
    assert_eq!(definitions.len(), 3);
    for definition in definitions {
        let want = json!({"helm.sh/resource-policy": "keep"});
        assert_eq!(definition["metadata"]["annotations"], want);
    }
    assert_equal(rendered, &["default"]);

    let mut observed = helm.render(&OBSERVED);
    let is_board = |object: &Value| object["kind"] == "ConfigMap";
    let boards: Vec<Value> = observed.0.iter().filter(|o| is_board(o)).cloned().collect();
    observed.0.retain(|object| !is_board(object));
    assert_equal(observed, &["cert-manager", "monitoring"]);
    for name in ["controller", "pools"] {
        let called = format!("metal3-ipam-dashboard-{name}");
        let mut boards = boards.iter();
        let board = boards.find(|b| b["metadata"]["name"] == called).unwrap();
        assert_eq!(board["metadata"]["labels"]["grafana_dashboard"], "1");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dashboards/{name}.json"));
        let file = std::fs::read_to_string(file).unwrap();
        let want = json!({format!("metal3-ipam-{name}.json"): file});
        assert!(board["data"] == want, "{called} holds another text");
    }
    assert_eq!(boards.len(), 2);

    // The chart names the namespace, which the kustomization takes from the pod.
    let mut namespaced = helm.render(&NAMESPACED);
    let deployment = namespaced.0.iter_mut().find(|o| o["kind"] == "Deployment");
    let container = &mut deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][4], format!("--namespace={NAMESPACE}"));
    container["args"][4] = json!("--namespace=$(POD_NAMESPACE)");
    container["env"] = json!([{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]);
    assert_equal(namespaced, &["namespaced"]);

    let mut guarded = helm.render(&GUARDED);
    assert!(args(&guarded).contains(&"--webhook-port=0"));
    guarded.0.retain(|object| {
        let kind = object["kind"].as_str().unwrap();
        kind.contains("AdmissionPolicy") || kind.contains("Webhook")
    });
    assert_equal(guarded, &["guard", "claim-finalizers"]);
}

#[tokio::test]
async fn in_another_namespace_every_text_of_the_chart_names_that_one() {
    let name = "in_another_namespace_every_text_of_the_chart_names_that_one";
    let Some(helm) = Helm::new(name).await else {
        return;
    };
    let here = Case {
        what: "the same in the default namespace",
        namespace: NAMESPACE,
        ..ELSEWHERE
    };
    let (elsewhere, here) = (helm.render(&ELSEWHERE), helm.render(&here));
    let text = json!(elsewhere.0).to_string();
    assert!(!text.contains(NAMESPACE), "{text}");
    assert_eq!(
        text,
        json!(here.0).to_string().replace(NAMESPACE, "elsewhere")
    );
    let user = "system:serviceaccount:elsewhere:ipam-manager";
    let exempt = json!({"name": "not-by-the-manager", "expression": format!("request.userInfo.username != \"{user}\"")});
    let webhooks = &elsewhere.one("ValidatingWebhookConfiguration")["webhooks"];
    assert_eq!(webhooks[0]["matchConditions"][0], exempt);
    let policies = elsewhere.of_kind("ValidatingAdmissionPolicy");
    assert_eq!(policies.len(), 4);
    let names = |policy: &&&Value| policy.to_string().contains(&format!("\\\"{user}\\\""));
    assert_eq!(policies.iter().filter(names).count(), 3);
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
        json!({"kubernetes.io/os": "linux", "disk": "ssd"})
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

/// Values, and what Helm says of them.
const WRONG: [(&[&str], &str); 19] = [
    (
        &["replicas=two"],
        "at '/replicas': got string, want integer",
    ),
    (&["replicas=-1"], "at '/replicas': minimum: got -1, want 0"),
    (
        &["webhok.mode=none"],
        "additional properties 'webhok' not allowed",
    ),
    (
        &["webhook.mode=self"],
        "at '/webhook/mode': value must be one of 'selfSigned', 'certManager', 'none'",
    ),
    (&["image.tag=1"], "at '/image/tag': got number, want string"),
    (
        &["image.digest=sha256:1"],
        "at '/image/digest': 'sha256:1' does not match pattern",
    ),
    (
        &["image.pullPolicy=Sometimes"],
        "at '/image/pullPolicy': value must be one of",
    ),
    (
        &["namespaces={A_b}"],
        "at '/namespaces/0': 'A_b' does not match pattern",
    ),
    (
        &["namespaces=team-a"],
        "at '/namespaces': got string, want array",
    ),
    (
        &["watchFilter=a b"],
        "at '/watchFilter': 'a b' does not match pattern",
    ),
    (
        &["monitoring.alerts.disabled={Nope}"],
        "at '/monitoring/alerts/disabled/0': value must be one of 'PoolExhausted'",
    ),
    (
        &["monitoring.alerts.poolNearlyFull.warningPercent=101"],
        "warningPercent': maximum: got 101, want 100",
    ),
    (
        &["extraArgs={namespace=a}"],
        "at '/extraArgs/0': 'namespace=a' does not match pattern",
    ),
    (
        &["podDisruptionBudget.maxUnavailable=all"],
        "maxUnavailable': 'all' does not match pattern",
    ),
    (
        &["resources.limit.cpu=1"],
        "at '/resources': additional properties 'limit' not allowed",
    ),
    (
        &["guard.enabled=perhaps"],
        "at '/guard/enabled': got string, want boolean",
    ),
    (
        &["networkPolicy.metricsFrom[0].pods=1"],
        "at '/networkPolicy/metricsFrom/0': additional properties 'pods' not allowed",
    ),
    (
        &["namespaces={a,b}", "webhook.mode=none"],
        "namespaces: a manager serves one namespace or all; install one release for each namespace",
    ),
    (&["namespaces={a}"], "set webhook.mode=none"),
];

#[tokio::test]
async fn the_chart_is_linted_and_refuses_wrong_values() {
    let Some(helm) = Helm::new("the_chart_is_linted_and_refuses_wrong_values").await else {
        return;
    };
    for case in CASES {
        let said = helm.run(&["lint", "--strict"], case, &[]);
        assert!(!said.contains("WARNING"), "{}: {said}", case.what);
    }
    let folder = chart("");
    let render = ["template", RELEASE, folder.to_str().unwrap()];
    for (set, want) in WRONG {
        let mut args = render.to_vec();
        args.extend(set.iter().flat_map(|value| ["--set", value]));
        let said = helm.tries(&args).expect_err(&format!("{set:?} is wrong"));
        assert!(said.contains(want), "{set:?}: {said}");
    }
    let old = [
        &render[..],
        &[
            "--kube-version=1.35.0",
            "--set=claimFinalizers.enabled=true",
        ],
    ]
    .concat();
    let said = helm.tries(&old).unwrap_err();
    assert!(said.contains("needs Kubernetes 1.36 or later"), "{said}");
    tally::add(
        "renderings of the Helm chart",
        CASES.len() as u64 + WRONG.len() as u64 + 1,
    );
}

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
    cluster.kubectl(&["apply", "-f", "-"], &upstreams().to_string());
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
    for (replicas, how) in [(3, "--server-side=true"), (1, "--server-side=false")] {
        let set = format!("replicas={replicas}");
        helm.run(&["upgrade", RELEASE], &DEFAULTS, &["--set", &set, how]);
        assert_eq!(cluster.deployment().await["spec"]["replicas"], replicas);
        assert_eq!(
            certificates(&cluster).await,
            written,
            "after an upgrade with {how}"
        );
    }
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
