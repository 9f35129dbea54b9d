//! `metal3-ipam bench` from outside: what it prints adds up, and it leaves nothing behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use k8s_openapi::api::admissionregistration::v1::MutatingAdmissionPolicy;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;
use tempfile::TempDir;

use super::control_plane::{self, skipped};
use super::kill::Process;
use super::tally;

/// Runs it in a folder and reads its figures.
async fn bench(folder: &Path, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"));
    command.args(["bench", "--json", "--data-dir"]).arg(folder);
    command.args(more).stdin(Stdio::null());
    let run = move || command.output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{more:?}: {told}");
    let figures = serde_json::from_slice(&output.stdout);
    figures.unwrap_or_else(|e| panic!("{more:?}: {e}: {told}"))
}

/// A median of the controller, or of someone else.
fn median(figures: &Value, of: &str) -> f64 {
    let pointer = format!("/{}/median", of.replace('.', "/"));
    let found = figures.pointer(&pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no {of} in {figures}"))
}

#[tokio::test]
async fn every_mode_adds_up_on_an_embedded_server() {
    let dir = TempDir::new().unwrap();
    let claims = ["--claims", "90", "--rounds", "2", "--pools", "3"];
    for (mode, writes) in [("backlog", 3.0), ("live", 3.0), ("churn", 6.0)] {
        let figures = bench(dir.path(), &[&claims[..], &["--mode", mode]].concat()).await;
        assert_eq!(figures["duplicates"], 0, "{figures}");
        assert_eq!(figures["rounds"], 2, "{figures}");
        for of in ["ceiling", "controller"] {
            assert!(
                median(&figures, &format!("{of}.claimsPerSecond")) > 0.0,
                "{figures}"
            );
        }
        // And a few of the pools: their finalizers and their status.
        let written = median(&figures, "controller.writesPerClaim");
        assert!(
            (writes..writes + 0.5).contains(&written),
            "{mode}: {figures}"
        );
        let share = median(&figures, "controller.shareOfCeiling");
        assert!(share > 0.0, "{figures}");
        assert!(
            median(&figures, "controller.readsPerClaim").abs() < 0.1,
            "{figures}"
        );
    }
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "the embedded server's folder is removed");
}

/// It ends in the falling half of a wave, while claims are being released.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_leaves_nothing_behind_when_its_time_is_up() {
    let dir = TempDir::new().unwrap();
    let process = Process::start(dir.path()).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"));
    command.args([
        "bench",
        "--claims",
        "200",
        "--duration",
        "9s",
        "--wave",
        "12s",
    ]);
    command
        .arg("--kubeconfig")
        .arg(dir.path().join("kubeconfig"));
    command.stdin(Stdio::null());
    let run = move || command.output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let namespaces: Api<Namespace> = Api::all(process.client.clone());
    let left = namespaces.list(&ListParams::default()).await.unwrap();
    let mut left = left.items.iter().filter_map(|n| n.metadata.name.as_deref());
    assert_eq!(left.find(|name| name.starts_with("bench-")), None);
}

/// Two runs of one build: the same options are compared, others are not, and neither is an error of the program.
#[tokio::test]
async fn a_run_is_compared_with_a_stored_one() {
    let dir = TempDir::new().unwrap();
    let stored = dir.path().join("stored.json");
    let stored = stored.to_str().unwrap();
    let claims = ["--claims", "30", "--rounds", "4"];
    bench(dir.path(), &[&claims[..], &["--save", stored]].concat()).await;
    let compare = |claims: [&str; 4]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"));
        command.args(["bench", "--json", "--baseline", stored]);
        command.args(claims).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let output = compare(claims).await.unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = &figures["comparison"]["controller"]["verdict"];
    let code = match verdict.as_str().unwrap() {
        "faster" | "within noise" => 0,
        "slower" => 3,
        "too few rounds" => 4,
        other => panic!("{other}"),
    };
    assert_eq!(output.status.code(), Some(code), "{figures}");
    let output = compare(["--claims", "31", "--rounds", "4"]).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("claims was 30 and is 31"), "{said}");
    assert!(output.stdout.is_empty(), "nothing is measured");
}

#[tokio::test]
async fn a_burst_in_one_pool_is_measured_from_another() {
    let dir = TempDir::new().unwrap();
    let figures = bench(
        dir.path(),
        &["--mode", "burst", "--claims", "300", "--rounds", "1"],
    )
    .await;
    assert_eq!(figures["duplicates"], 0, "{figures}");
    assert!(median(&figures, "p99Ratio") > 0.0, "{figures}");
}

/// What people apply is taken by a real server, word by word, and no policy is left without its binding.
#[tokio::test(flavor = "multi_thread")]
async fn the_rules_manifests_are_taken_by_a_real_server() {
    let Some(plane) = control_plane::started().await else {
        skipped("the_rules_manifests_are_taken_by_a_real_server");
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/claim-finalizers");
    let client = Client::try_from(plane.shared.config.clone()).unwrap();
    let mut names = BTreeMap::new();
    for (file, plural) in [
        ("policies.yaml", "mutatingadmissionpolicies"),
        ("bindings.yaml", "mutatingadmissionpolicybindings"),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let policy = match file {
                "policies.yaml" => &object["metadata"]["name"],
                _ => &object["spec"]["policyName"],
            };
            *names.entry(policy.to_string()).or_insert(0) += 1;
            let path = format!(
                "/apis/admissionregistration.k8s.io/v1/{plural}?dryRun=All&fieldValidation=Strict"
            );
            let request = http::Request::post(path)
                .header("content-type", "application/json")
                .body(serde_json::to_vec(&object).unwrap());
            let taken = client.request::<Value>(request.unwrap()).await;
            taken.unwrap_or_else(|e| panic!("{file}: {e}"));
        }
    }
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.values().all(|count| *count == 2), "{names:?}");
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

/// A claim costs two writes where the API server puts in its finalizer.
#[tokio::test(flavor = "multi_thread")]
async fn the_rule_saves_a_write_on_a_real_server() {
    let Some(plane) = control_plane::started().await else {
        skipped("the_rule_saves_a_write_on_a_real_server");
        return;
    };
    let dir = TempDir::new().unwrap();
    let kubeconfig = plane.shared.kubeconfig.to_str().unwrap();
    let figures = bench(
        dir.path(),
        &[
            "--kubeconfig",
            kubeconfig,
            "--claims",
            "60",
            "--rounds",
            "1",
            "--rule",
            "--with-embedded",
        ],
    )
    .await;
    assert_eq!(figures["duplicates"], 0, "{figures}");
    let writes = |of: &str| median(&figures, &format!("{of}.writesPerClaim"));
    assert!((3.0..3.5).contains(&writes("controller")), "{figures}");
    assert!((2.0..2.5).contains(&writes("withRule")), "{figures}");
    let two_writes = median(&figures, "ceilingWithRule.shareOfCeiling");
    assert!(two_writes > 0.0, "{figures}");
    assert!((3.0..3.5).contains(&writes("embedded")), "{figures}");
    let client = Client::try_from(plane.shared.config.clone()).unwrap();
    let policies: Api<MutatingAdmissionPolicy> = Api::all(client.clone());
    let left = policies.list(&ListParams::default()).await.unwrap();
    let left: Vec<_> = left
        .items
        .iter()
        .filter_map(|p| p.metadata.name.as_ref())
        .filter(|name| name.starts_with("bench-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let namespaces: Api<Namespace> = Api::all(client);
    for namespace in namespaces.list(&ListParams::default()).await.unwrap() {
        let is_left = namespace.metadata.name.unwrap().starts_with("bench-")
            && namespace.metadata.deletion_timestamp.is_none();
        assert!(!is_left);
    }
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
