//! Upstream's command line, and the effect of each flag.

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use metal3_ipam::api::capi::CapiIPAddress;
use metal3_ipam::api::metal3::IPClaim;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Manager;
use crate::harness::{On, World, is_bound, scenarios};

scenarios! {
    a13_u1_a_manager_with_upstreams_flags_serves_both_kinds_and_is_healthy,
    p4_a_manager_with_a_watch_filter_leaves_other_objects_alone,
}

/// Status line and body of one GET.
pub(super) async fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

/// Asks until it is answered so.
pub(crate) async fn answers(port: u16, path: &str, status: &str) {
    let asked = tokio::time::timeout(Duration::from_mins(1), async {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        loop {
            pause.tick().await;
            if get(port, path)
                .await
                .is_some_and(|(line, _)| line.contains(status))
            {
                return;
            }
        }
    });
    asked
        .await
        .unwrap_or_else(|_| panic!("{path} is never answered with {status}"));
}

/// Where the manager says, in its JSON log, that it serves these; it goes on being read, so that the manager never waits.
async fn told_ports<const N: usize>(log: ChildStderr, what: [&'static str; N]) -> [u16; N] {
    let read = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let ports = what.map(|what| {
            let line = lines.by_ref().find(|line| line.contains(what));
            let line = line.unwrap_or_else(|| panic!("the manager says that {what}"));
            let (_, rest) = line.split_once("127.0.0.1:").unwrap();
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits.unwrap().parse().unwrap()
        });
        std::thread::spawn(move || lines.for_each(drop));
        ports
    });
    read.await.unwrap()
}

async fn a13_u1_a_manager_with_upstreams_flags_serves_both_kinds_and_is_healthy(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let certificates = tempfile::tempdir().unwrap();
    // Everything that upstream's manager takes, with the values of its Deployment or its defaults.
    let mut manager = Manager::spawn(
        Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .stderr(Stdio::piped())
            .args([
                "manager",
                "--leader-elect=true",
                "--watch-filter=",
                "--sync-period=10m0s",
                // Upstream's is a port alone; of one machine only one test could have it.
                "--webhook-port=127.0.0.1:0",
                "--ippool-concurrency=10",
                "--kube-api-qps=200",
                "--kube-api-burst=300",
                "--tls-min-version=VersionTLS12",
                "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "--insecure-diagnostics=true",
                "--logging-format=json",
                "-v=2",
            ])
            // Ports that it picks.
            .arg("--health-addr=127.0.0.1:0")
            .arg("--diagnostics-address=127.0.0.1:0")
            .arg(format!(
                "--webhook-cert-dir={}",
                certificates.path().display()
            ))
            .arg(format!("--namespace={}", world.namespace))
            .arg(format!("--kubeconfig={}", door.kubeconfig.display())),
    );
    let log = manager.0.stderr.take().unwrap();
    let told = [
        "health is served",
        "the webhook is served",
        "diagnostics are served",
    ];
    let [port, _webhook, diagnostics] = told_ports(log, told).await;
    answers(port, "/healthz", "200").await;
    answers(port, "/readyz/synced", "200").await;
    // Upstream's manager does not start without a certificate; this one says that it is missing.
    answers(port, "/readyz/webhook", "503").await;
    answers(port, "/readyz", "503").await;
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str| certificates.path().join(name);
    std::fs::write(file("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(file("tls.crt"), pair.cert.pem()).unwrap();
    answers(port, "/readyz/webhook", "200").await;
    answers(port, "/readyz", "200").await;
    answers(diagnostics, "/metrics", "200").await;

    let pool = world
        .pool(
            "p",
            json!({"pools": [{"subnet": "10.0.0.0/24"}], "gateway": "10.0.0.1"}),
        )
        .await;
    world.claim("metal", "p").await;
    // One after the other: two kinds come by two watches, in no order between them.
    assert_eq!(world.address_of("metal").await, "10.0.0.2");
    let claim = world.capi_claim("capi", "p").await;
    // Waits for Ready=True with the reason AddressAllocated.
    assert_eq!(world.capi_address_of("capi").await, "10.0.0.3");
    let object = world
        .api::<CapiIPAddress>()
        .get("p-10-0-0-3")
        .await
        .unwrap();
    let owners: Value = serde_json::to_value(&object.metadata.owner_references).unwrap();
    assert_eq!(
        owners,
        json!([
            {"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim", "name": "capi",
             "uid": claim.metadata.uid, "controller": true, "blockOwnerDeletion": true},
            {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "name": "p",
             "uid": pool.metadata.uid, "controller": false, "blockOwnerDeletion": true},
        ])
    );
    assert_eq!(
        object.metadata.finalizers.as_deref(),
        Some(&["ipam.metal3.io/ipaddress".to_owned()][..])
    );
    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");
    world.end().await;
}

async fn p4_a_manager_with_a_watch_filter_leaves_other_objects_alone(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let _manager = Manager::start(
        &world,
        &door.kubeconfig,
        &["--leader-elect=false", "--watch-filter=blue"],
    );
    let labels = json!({"cluster.x-k8s.io/watch-filter": "blue"});
    world
        .create::<metal3_ipam::api::metal3::IPPool>(
            json!({"metadata": {"name": "p", "labels": labels},
            "spec": {"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/24"}]}}),
        )
        .await;
    // The older one would be served first.
    world.claim("another", "p").await;
    world
        .create::<IPClaim>(json!({"metadata": {"name": "ours", "labels": labels}, "spec": {"pool": {"name": "p"}}}))
        .await;
    assert_eq!(world.address_of("ours").await, "10.0.0.1");
    let another = world.api::<IPClaim>().get("another").await.unwrap();
    assert!(another.metadata.finalizers.is_none() && another.status.is_none());
    let label = json!({"metadata": {"labels": labels}});
    world
        .api::<IPClaim>()
        .patch("another", &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    world
        .until::<IPClaim>("the other one served too", |all| all.values().all(is_bound))
        .await;
    world.end().await;
}
