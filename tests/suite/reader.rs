//! Who asks the program about a cluster needs no more than to get, list and watch.

use std::path::Path;
use std::process::Stdio;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::control_plane::is_there;
use crate::harness::{DEADLINE, On, World};
use crate::manager::token;
use crate::tally;

/// Every question, with what its answer has to say.
const QUESTIONS: [(&str, i32, &str); 14] = [
    ("pools", 0, "full"),
    ("pools -o json", 0, "\"capacity\": 1"),
    ("pool full", 0, "IPClaim only"),
    ("who 10.0.0.1", 0, "IPClaim only"),
    ("who only", 0, "10.0.0.1"),
    ("who 10.9.9.9", 1, "in no pool"),
    ("why ipclaim/waits", 0, "PoolExhausted"),
    (
        "why waits",
        0,
        "event not read: Events: events is forbidden",
    ),
    ("tree fleet", 0, "Cluster"),
    ("plan full --add 1", 1, "It does not fit"),
    ("forecast", 0, "full"),
    ("forecast full -o yaml", 0, "state: Full"),
    ("check --confirm-after 0s", 1, "PoolNearlyFull"),
    ("check --confirm-after 0s -o json", 1, "\"notRead\": []"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_get_list_and_watch_suffices_for_every_answer() {
    if !is_there("a_role_of_get_list_and_watch_suffices_for_every_answer").await {
        return;
    }
    let world = World::start(On::Real).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.1"}]);
    world.cluster("fleet", false).await;
    let spec = json!({"pools": range, "clusterName": "fleet"});
    world.pool("full", spec).await;
    world.claim("only", "full").await;
    world.address_of("only").await;
    world.claim("waits", "full").await;
    world.waits_for("waits", "PoolExhausted").await;

    let meta = json!({"name": "reader"});
    let account = json!({"metadata": meta});
    world.create::<ServiceAccount>(account).await;
    let rule = |group: &str, resources: &[&str]| {
        let verbs = ["get", "list", "watch"];
        json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
    };
    let role = json!({"metadata": meta, "rules": [
        rule("ipam.metal3.io", &["ippools", "ipclaims", "ipaddresses"]),
        rule("ipam.cluster.x-k8s.io", &["ipaddressclaims", "ipaddresses"]),
        rule("cluster.x-k8s.io", &["clusters"]),
    ]});
    world.create::<Role>(role).await;
    let binding = json!({
        "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": world.namespace}],
    });
    world.create::<RoleBinding>(binding).await;
    let token = token(&world.client, &world.namespace, "reader").await;
    let door = world.door().await;
    let cluster =
        json!({"server": door.config.cluster_url.to_string(), "insecure-skip-tls-verify": true});
    let kubeconfig = door.kubeconfig_to("reader", &cluster, Some(&token));

    for (question, code, answer) in QUESTIONS {
        let output = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .args(question.split_whitespace())
            .args(["-n", &world.namespace, "--kubeconfig"])
            .arg(&kubeconfig)
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        let asked = format!("{question}: {told}{why}");
        assert_eq!(output.status.code(), Some(code), "{asked}");
        assert!(told.contains(answer), "{asked}");
        assert!(!why.contains("not read"), "{asked}");
    }
    watches(&kubeconfig, &world.namespace).await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
    world.end().await;
}

/// `pools -w` shows the pool, and ends with 0 when it is asked to.
async fn watches(kubeconfig: &Path, namespace: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
        .args(["pools", "-w", "-n", namespace, "--kubeconfig"])
        .arg(kubeconfig)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let shown = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("full") {
                return true;
            }
        }
        false
    };
    assert!(
        timeout(DEADLINE, shown).await.unwrap(),
        "the pool is not shown"
    );
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(sent.unwrap().success());
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap();
    let output = output.unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*why), (Some(0), ""));
}
