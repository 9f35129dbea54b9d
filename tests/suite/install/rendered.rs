//! The overlays as kubectl renders them, and checks of them that need no server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::control_plane::say;
use crate::kubectl::kubectl;
use crate::tally;

const PROVIDER: &str = "cluster.x-k8s.io/provider";
const NAMESPACE: &str = "metal3-ipam-system";

/// Objects that kubectl renders from a folder.
pub(super) struct Rendered(pub(super) Vec<Value>);

/// Whether there is a kubectl; says so where there is none.
pub(super) fn has_kubectl(name: &str) -> bool {
    let version = Command::new(kubectl())
        .args(["version", "--client"])
        .output();
    let has = version.is_ok_and(|o| o.status.success());
    if !has {
        say(&format!("SKIPPED: no kubectl: {name}"));
        tally::add("tests of what is installed SKIPPED: no kubectl or no Go", 1);
    }
    has
}

impl Rendered {
    /// Of a folder of `deploy/`.
    pub(super) fn of(overlay: &str) -> Self {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        Self::at(&deploy.join(overlay))
    }

    /// Objects of a text.
    pub(super) fn read(text: &str) -> Self {
        Self(serde_saphyr::from_multiple(text).unwrap())
    }

    fn at(folder: &Path) -> Self {
        let rendered = Command::new(kubectl())
            .arg("kustomize")
            .arg(folder)
            .output()
            .unwrap();
        let (out, err) = (rendered.stdout, String::from_utf8_lossy(&rendered.stderr));
        assert!(rendered.status.success(), "{}: {err}", folder.display());
        assert!(err.is_empty(), "{}: {err}", folder.display());
        Self::read(&String::from_utf8(out).unwrap())
    }

    pub(super) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|o| o["kind"] == kind).collect()
    }

    /// The only object of a kind.
    pub(super) fn one(&self, kind: &str) -> &Value {
        let all = self.of_kind(kind);
        assert_eq!(all.len(), 1, "{kind}");
        all[0]
    }

    /// The user name of the Deployment's ServiceAccount.
    fn user(&self) -> String {
        let deployment = self.one("Deployment");
        let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
        let account = account.as_str().unwrap();
        let exists = self
            .of_kind("ServiceAccount")
            .iter()
            .any(|a| a["metadata"]["name"] == account);
        assert!(exists, "no ServiceAccount {account}");
        let namespace = deployment["metadata"]["namespace"].as_str().unwrap();
        format!("system:serviceaccount:{namespace}:{account}")
    }

    /// `Kind name` of every object.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let name = |o: &Value| {
            let (kind, name) = (&o["kind"], &o["metadata"]["name"]);
            format!("{} {}", kind.as_str().unwrap(), name.as_str().unwrap())
        };
        self.0.iter().map(name).collect()
    }
}

/// What upstream's manifests install (rendered from its `config/default`): what has another name is not replaced.
const UPSTREAM: [&str; 12] = [
    "Namespace metal3-ipam-system",
    "CustomResourceDefinition ippools.ipam.metal3.io",
    "CustomResourceDefinition ipclaims.ipam.metal3.io",
    "CustomResourceDefinition ipaddresses.ipam.metal3.io",
    "ServiceAccount ipam-manager",
    "Role ipam-leader-election-role",
    "RoleBinding ipam-leader-election-rolebinding",
    "ClusterRole ipam-manager-role",
    "ClusterRoleBinding ipam-manager-rolebinding",
    "Service ipam-webhook-service",
    "MutatingWebhookConfiguration ipam-mutating-webhook-configuration",
    "ValidatingWebhookConfiguration ipam-validating-webhook-configuration",
];

#[test]
fn whole_overlays_replace_what_upstream_installs() {
    if !has_kubectl("whole_overlays_replace_what_upstream_installs") {
        return;
    }
    for overlay in ["default", "cert-manager", "clusterctl"] {
        let rendered = Rendered::of(overlay);
        let names = rendered.names();
        for name in UPSTREAM {
            assert!(names.contains(name), "{overlay}: no {name}");
        }
        let deployment = rendered.one("Deployment");
        assert_eq!(deployment["metadata"]["name"], "ipam-controller-manager");
        let labels = json!({PROVIDER: "ipam-metal3", "control-plane": "controller-manager", "controller-tools.k8s.io": "1.0"});
        assert_eq!(
            deployment["spec"]["selector"]["matchLabels"], labels,
            "a Deployment's selector cannot be changed: it is upstream's"
        );
        assert_eq!(
            deployment["spec"]["template"]["metadata"]["labels"], labels,
            "{overlay}"
        );
        let containers = &deployment["spec"]["template"]["spec"]["containers"];
        let ports = containers[0]["ports"].as_array().unwrap();
        let ports: BTreeSet<_> = ports
            .iter()
            .map(|p| (p["name"].as_str().unwrap(), p["containerPort"].as_u64()))
            .collect();
        let want = [("healthz", 9440), ("ipam-webhook", 9443), ("metrics", 8443)];
        assert_eq!(ports, want.map(|(name, port)| (name, Some(port))).into());
        let bindings = rendered.of_kind("ClusterRoleBinding");
        for binding in [bindings, rendered.of_kind("RoleBinding")].concat() {
            let (name, role) = (&binding["metadata"]["name"], &binding["roleRef"]["name"]);
            let role = role.as_str().unwrap().strip_suffix("role").unwrap();
            let want = format!("{role}rolebinding");
            assert_eq!(*name, want, "a binding's roleRef cannot be changed");
        }
    }
    let certificate = "Certificate ipam-serving-cert";
    let names = Rendered::of("cert-manager").names();
    assert!(names.contains(certificate) && names.contains("Issuer ipam-selfsigned-issuer"));
    tally::add("folders of deploy/ rendered", 4);
}

#[test]
fn every_object_has_the_providers_label_and_is_in_the_namespace() {
    if !has_kubectl("every_object_has_the_providers_label_and_is_in_the_namespace") {
        return;
    }
    for overlay in [
        "default",
        "cert-manager",
        "namespaced",
        "filtered",
        "clusterctl",
        "monitoring",
        "uninstall",
    ] {
        for object in Rendered::of(overlay).0 {
            let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
            let label = &object["metadata"]["labels"][PROVIDER];
            assert_eq!(*label, "ipam-metal3", "{overlay}: {kind} {name}");
            let namespace = &object["metadata"]["namespace"];
            assert!(
                namespace.is_null() || *namespace == NAMESPACE,
                "{overlay}: {kind} {name} in {namespace}"
            );
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], NAMESPACE, "{overlay}: {kind} {name}");
            }
        }
    }
    tally::add("folders of deploy/ rendered", 7);
}

/// `kubectl delete -k` of a definition deletes every object of it, and that of the Namespace all that is in it.
#[test]
fn what_is_to_be_deleted_is_all_but_the_definitions_and_the_namespace() {
    if !has_kubectl("what_is_to_be_deleted_is_all_but_the_definitions_and_the_namespace") {
        return;
    }
    let rendered = Rendered::of("uninstall");
    let mut wanted = Rendered::of("default").names();
    wanted.retain(|name| {
        !name.starts_with("CustomResourceDefinition ") && !name.starts_with("Namespace ")
    });
    assert_eq!(rendered.names(), wanted);
    let first: Vec<_> = rendered.0.iter().take(2).map(|o| &o["kind"]).collect();
    let webhooks = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ];
    assert_eq!(first, webhooks, "without a manager they refuse pools");
    // The rest of what deploy/cert-manager installs has its own command.
    let mut managed = Rendered::of("cert-manager").names();
    managed.retain(|name| !name.starts_with("Certificate ") && !name.starts_with("Issuer "));
    managed.retain(|name| {
        !name.starts_with("CustomResourceDefinition ") && !name.starts_with("Namespace ")
    });
    assert!(managed.is_subset(&wanted), "{managed:?}");
    for beside in [
        "filtered",
        "monitoring",
        "guard",
        "claim-finalizers",
        "flow-control",
    ] {
        let rendered = Rendered::of(beside);
        for kind in ["CustomResourceDefinition", "Namespace"] {
            assert!(rendered.of_kind(kind).is_empty(), "{beside} has a {kind}");
        }
    }
    tally::add("folders of deploy/ rendered", 8);
}

/// The API server does not ask about the manager's own writes, and the guard does not deny them.
#[test]
fn webhooks_and_policies_exempt_the_deployments_account() {
    if !has_kubectl("webhooks_and_policies_exempt_the_deployments_account") {
        return;
    }
    for overlay in ["default", "cert-manager"] {
        let rendered = Rendered::of(overlay);
        let want = format!("request.userInfo.username != \"{}\"", rendered.user());
        let webhooks = &rendered.one("ValidatingWebhookConfiguration")["webhooks"];
        for webhook in webhooks.as_array().unwrap() {
            let conditions = webhook["matchConditions"].as_array().unwrap();
            let condition = conditions
                .iter()
                .find(|c| c["name"] == "not-by-the-manager")
                .unwrap();
            assert_eq!(condition["expression"], want, "{overlay}");
        }
    }
    let user = Rendered::of("default").user();
    for policy in Rendered::of("guard").of_kind("ValidatingAdmissionPolicy") {
        let variables = policy["spec"]["variables"].as_array().unwrap();
        for users in variables.iter().filter(|v| v["name"] == "users") {
            let text = users["expression"].as_str().unwrap();
            assert!(text.contains(&format!("\"{user}\"")), "{text}");
        }
    }
    tally::add("folders of deploy/ rendered", 3);
}

/// The definitions' contract labels name a version that the definition has, and the image is that of this version.
#[test]
fn every_version_that_is_named_exists() {
    if !has_kubectl("every_version_that_is_named_exists") {
        return;
    }
    let rendered = Rendered::of("clusterctl");
    for definition in rendered.of_kind("CustomResourceDefinition") {
        let labels = definition["metadata"]["labels"].as_object().unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let contracts: Vec<_> = labels
            .iter()
            .filter(|(label, _)| label.starts_with("cluster.x-k8s.io/v1"))
            .collect();
        assert!(!contracts.is_empty());
        for (label, version) in contracts {
            let has = versions.iter().any(|v| v["name"] == *version);
            assert!(has, "{label}: {version} is no version of the definition");
        }
    }
    let pod = &rendered.one("Deployment")["spec"]["template"]["spec"];
    let image = concat!(
        "ghcr.io/metal3-ipam/metal3-ipam:v",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(pod["containers"][0]["image"], image);
    tally::add("folders of deploy/ rendered", 1);
}

/// A path from one folder to another, as kustomize wants it.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let up = from.components().skip(1).map(|_| "..");
    up.collect::<PathBuf>().join(to.strip_prefix("/").unwrap())
}

#[test]
fn a_manager_of_one_namespace_has_no_right_outside_of_it() {
    if !has_kubectl("a_manager_of_one_namespace_has_no_right_outside_of_it") {
        return;
    }
    let rendered = Rendered::of("namespaced");
    for kind in [
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        assert_eq!(rendered.of_kind(kind).len(), 0, "{kind}");
    }
    // Moved to another namespace by one line of kustomize, nothing is left behind.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let from = dir.path().canonicalize().unwrap();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/namespaced");
    let resource = relative(&from, &deploy.canonicalize().unwrap());
    let text = json!({"namespace": "team-a", "resources": [resource]}).to_string();
    std::fs::write(dir.path().join("kustomization.yaml"), text).unwrap();
    let moved = Rendered::at(dir.path());
    assert_eq!(moved.0.len(), rendered.0.len());
    let text = json!(moved.0).to_string();
    assert!(!text.contains(NAMESPACE), "{text}");
    tally::add("folders of deploy/ rendered", 2);
}

/// Its Lease is its own, and neither manager's Service, PodDisruptionBudget or selector takes the other's pods.
#[test]
fn a_further_manager_shares_no_lease_and_no_pod_with_the_first() {
    if !has_kubectl("a_further_manager_shares_no_lease_and_no_pod_with_the_first") {
        return;
    }
    let (first, further) = (Rendered::of("default"), Rendered::of("filtered"));
    let common = first.names();
    let common: Vec<_> = common.intersection(&further.names()).cloned().collect();
    assert!(common.is_empty(), "{common:?}");
    let lease = |rendered: &Rendered| {
        let roles = rendered.of_kind("Role");
        let role = roles.iter().find(|role| {
            let name = role["metadata"]["name"].as_str().unwrap();
            name.starts_with("ipam-leader-election-role")
        });
        role.unwrap()["rules"][1]["resourceNames"][0].clone()
    };
    let template = |rendered: &Rendered| rendered.one("Deployment")["spec"]["template"].clone();
    let (pods, other) = (template(&further), template(&first));
    let account = |template: &Value| template["spec"]["serviceAccountName"].clone();
    assert_eq!(account(&pods), account(&other));
    let args = &pods["spec"]["containers"][0]["args"];
    let own = lease(&further);
    let flag = format!("--leader-elect-lease-name={}", own.as_str().unwrap());
    assert!(args.as_array().unwrap().contains(&json!(flag)), "{args}");
    assert_ne!(own, lease(&first));
    for (rendered, own, others) in [(&first, &other, &pods), (&further, &pods, &other)] {
        for object in &rendered.0 {
            let spec = &object["spec"];
            let selector = match object["kind"].as_str().unwrap() {
                "Deployment" | "PodDisruptionBudget" => &spec["selector"]["matchLabels"],
                "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
                "Service" => &spec["selector"],
                _ => continue,
            };
            let selects = |template: &Value| {
                let labels = &template["metadata"]["labels"];
                let mut wanted = selector.as_object().unwrap().iter();
                wanted.all(|(label, value)| labels[label] == *value)
            };
            assert!(selects(own) && !selects(others), "{object}");
        }
    }
    tally::add("folders of deploy/ rendered", 2);
}

/// Pod Security `restricted` takes the pod, and the rest of what a cluster's operator asks of one.
#[test]
fn the_pod_is_restricted_and_there_are_two() {
    if !has_kubectl("the_pod_is_restricted_and_there_are_two") {
        return;
    }
    for overlay in ["default", "cert-manager", "namespaced", "clusterctl"] {
        let rendered = Rendered::of(overlay);
        let namespace = &rendered.one("Namespace")["metadata"]["labels"];
        for mode in ["enforce", "audit", "warn"] {
            let label = format!("pod-security.kubernetes.io/{mode}");
            assert_eq!(namespace[label], "restricted", "{overlay}");
        }
        let spec = &rendered.one("Deployment")["spec"];
        assert_eq!(spec["replicas"], 2, "{overlay}");
        let pod = &spec["template"]["spec"];
        let want = json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}});
        assert_eq!(pod["securityContext"], want, "{overlay}");
        let container = &pod["containers"][0];
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
        assert_eq!(container["name"], "manager", "clusterctl looks for it");
        let want = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false, "readOnlyRootFilesystem": true});
        assert_eq!(container["securityContext"], want, "{overlay}");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "healthz", "{overlay}");
        }
        let labels = spec["template"]["metadata"]["labels"].as_object().unwrap();
        let selects = |selector: &Value| {
            let selector = selector.as_object().unwrap();
            !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
        };
        let budget = rendered.one("PodDisruptionBudget");
        assert!(selects(&budget["spec"]["selector"]["matchLabels"]));
        let policy = rendered.one("NetworkPolicy");
        assert!(selects(&policy["spec"]["podSelector"]["matchLabels"]));
        let spread = &pod["topologySpreadConstraints"][0];
        assert!(selects(&spread["labelSelector"]["matchLabels"]));
        if let Some(service) = rendered.of_kind("Service").first() {
            assert!(selects(&service["spec"]["selector"]));
        }
    }
    tally::add("folders of deploy/ rendered", 4);
}

/// clusterctl replaces the metrics' address, and no port of the NetworkPolicy with it.
#[test]
fn what_clusterctl_installs_lets_metrics_in_at_any_port() {
    if !has_kubectl("what_clusterctl_installs_lets_metrics_in_at_any_port") {
        return;
    }
    let rendered = Rendered::of("clusterctl");
    let container = &rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let args = container["args"].as_array().unwrap();
    let has_variable = |arg: &&Value| {
        arg.as_str()
            .unwrap()
            .starts_with("--diagnostics-address=${")
    };
    assert_eq!(args.iter().filter(has_variable).count(), 1, "{args:?}");
    let rules = &rendered.one("NetworkPolicy")["spec"]["ingress"];
    let any_port = |rule: &&Value| **rule == json!({});
    let rules = rules.as_array().unwrap();
    assert_eq!(rules.iter().filter(any_port).count(), 1, "{rules:?}");
    tally::add("folders of deploy/ rendered", 1);
}

/// In a cluster of several architectures a pod elsewhere could not start.
#[test]
fn the_pods_run_on_nodes_for_which_the_image_is_built() {
    if !has_kubectl("the_pods_run_on_nodes_for_which_the_image_is_built") {
        return;
    }
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image");
    let read = |file: &str| std::fs::read_to_string(image.join(file)).unwrap();
    let word_after = |text: &str, before: &str| {
        let rest = text.split_once(before).expect(before).1;
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let layout = read("layout.sh");
    let os = word_after(&layout, "--os ");
    assert_eq!(word_after(&layout, "--architecture "), "\"$arch\"");
    // The manifests name the first architecture; install.md says what to change for another.
    let common = read("common.sh");
    let built_for = [("x86_64", "amd64"), ("aarch64", "arm64")];
    for (machine, arch) in built_for {
        assert!(common.contains(&format!("machine={machine} arch={arch} ;;")));
    }
    let (_, arch) = built_for[0];
    let want = json!({"kubernetes.io/arch": arch, "kubernetes.io/os": os});
    let overlays = [
        "default",
        "cert-manager",
        "namespaced",
        "filtered",
        "clusterctl",
    ];
    for overlay in overlays {
        let rendered = Rendered::of(overlay);
        let pod = &rendered.one("Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["nodeSelector"], want, "{overlay}");
    }
    tally::add("folders of deploy/ rendered", overlays.len() as u64);
}

#[test]
fn every_folder_of_deploy_is_rendered_alone_with_final_names() {
    if !has_kubectl("every_folder_of_deploy_is_rendered_alone_with_final_names") {
        return;
    }
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let mut folders = vec![deploy];
    let mut rendered = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("kustomization.yaml") {
                for object in Rendered::at(&folder).0 {
                    let namespace = &object["metadata"]["namespace"];
                    let place = folder.display();
                    assert!(
                        namespace.is_null() || *namespace == NAMESPACE,
                        "{place}: an object in the namespace {namespace}"
                    );
                }
                rendered += 1;
            }
        }
    }
    tally::add("folders of deploy/ rendered", rendered);
}
