//! The manager as a process of its own, against a real server, ended at bad moments.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;

use crate::oracles::Recorder;
use crate::real::{control_plane, say};
use crate::world::{On, World, capi_is_bound, is_bound};

/// The manager, serving one namespace of the real server; ended when dropped.
struct Manager(Child);

impl Manager {
    /// One that leads at once, without a lease.
    async fn start(world: &World) -> Self {
        let plane = control_plane().await.expect("the scenario has looked");
        Self::with(world, &plane.shared.kubeconfig, &["--leader-elect=false"])
    }

    fn with(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .args([
                "manager",
                "--webhook-port=0",
                "--health-addr=0",
                "--diagnostics-address=0",
            ])
            .args(flags)
            .arg("--namespace")
            .arg(&world.namespace)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Sends a signal by name, such as `TERM`.
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.0.id().to_string())
            .status();
        assert!(sent.unwrap().success(), "kill -{signal}");
    }

    /// Waits for its end by itself; whether it ended well.
    async fn ended(mut self) -> bool {
        tokio::task::spawn_blocking(move || self.0.wait().unwrap().success())
            .await
            .unwrap()
    }

    /// `kill -9`.
    fn kill(mut self) {
        assert!(
            self.0.try_wait().unwrap().is_none(),
            "the manager runs until it is killed"
        );
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a3_kill_9_of_the_manager_in_the_middle_of_500_claims_ten_times() {
    if control_plane().await.is_none() {
        say(
            "SKIPPED on a real server: a1_a3_kill_9_of_the_manager_in_the_middle_of_500_claims_ten_times",
        );
        return;
    }
    let world = World::without_controller(On::Real).await;
    let recorder = Recorder::start(&world).await;
    for pool in 0..5 {
        world
            .pool(
                &format!("pool-{pool}"),
                json!({"pools": [{"subnet": format!("10.{pool}.0.0/24")}]}),
            )
            .await;
    }
    let addresses: Api<IPAddress> = world.api();
    for round in 0..10 {
        let manager = Manager::start(&world).await;
        let create = async {
            for n in (round * 50)..(round * 50 + 50) {
                let (name, pool) = (format!("claim-{n:03}"), format!("pool-{}", (n / 2) % 5));
                if n % 2 == 0 {
                    world.claim(&name, &pool).await;
                } else {
                    world.capi_claim(&name, &pool).await;
                }
            }
        };
        // Killed as soon as it is at work on this round: with finalizers, creates and status writes under way.
        let kill = async {
            let before = round * 25;
            world
                .until::<IPAddress>("the manager to be at work", |all| {
                    all.len() > before + round
                })
                .await;
            manager.kill();
        };
        tokio::join!(create, kill);
    }
    let last = Manager::start(&world).await;
    world
        .until::<IPClaim>("every IPClaim bound", |all| {
            all.len() == 250 && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim bound", |all| {
            all.len() == 250 && all.values().all(capi_is_bound)
        })
        .await;
    assert_eq!(
        addresses
            .list_metadata(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        250
    );
    assert_eq!(
        world
            .api::<CapiIPAddress>()
            .list_metadata(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        250
    );
    recorder
        .finish()
        .await
        .assert_clean("kill -9 of the manager");
    say(
        "Real: kill -9 of the manager, 10 times during 500 claims: all bound, no duplicate, nothing leaked",
    );
    drop(last);
    world.end().await;
}

/// Who holds the lease in the scenario's namespace, once it is someone else than `not`.
async fn leader_other_than(world: &World, not: &str) -> String {
    let holder = |all: &BTreeMap<String, Lease>| {
        let lease = all.get("controller-leader-election-ipam-capm3")?;
        lease
            .spec
            .as_ref()?
            .holder_identity
            .clone()
            .filter(|h| !h.is_empty() && h != not)
    };
    let leases = world
        .until::<Lease>("another leader", |all| holder(all).is_some())
        .await;
    holder(&leases).unwrap()
}

async fn claims_are_served(world: &World, from: usize, to: usize) {
    for n in from..to {
        world.claim(&format!("claim-{n:03}"), "p").await;
    }
    world
        .until::<IPClaim>("the claims bound", |all| {
            all.len() == to && all.values().all(is_bound)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_the_lease_goes_on_at_sigterm_kill_9_and_freeze() {
    if control_plane().await.is_none() {
        say("SKIPPED on a real server: p5_the_lease_goes_on_at_sigterm_kill_9_and_freeze");
        return;
    }
    let plane = control_plane().await.expect("looked");
    let world = World::without_controller(On::Real).await;
    let recorder = Recorder::start(&world).await;
    // The lease lies in the kubeconfig context's namespace (P5): the scenario's own, so that no other scenario leads here.
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&plane.shared.kubeconfig).unwrap()).unwrap();
    config["contexts"][0]["context"]["namespace"] = json!(world.namespace);
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    world
        .pool("p", json!({"pools": [{"subnet": "10.0.0.0/16"}]}))
        .await;

    let first = Manager::with(&world, &kubeconfig, &[]);
    let leader = leader_other_than(&world, "").await;
    let second = Manager::with(&world, &kubeconfig, &[]);
    claims_are_served(&world, 0, 20).await;

    let begun = Instant::now();
    first.signal("TERM");
    let leader = leader_other_than(&world, &leader).await;
    let at_term = begun.elapsed();
    assert!(first.ended().await, "SIGTERM is a good end");
    claims_are_served(&world, 20, 40).await;

    let third = Manager::with(&world, &kubeconfig, &[]);
    let begun = Instant::now();
    second.kill();
    let leader = leader_other_than(&world, &leader).await;
    claims_are_served(&world, 40, 60).await;
    let at_kill = begun.elapsed();

    // Frozen past its lease, then resumed: it writes nothing any more and ends.
    let fourth = Manager::with(&world, &kubeconfig, &[]);
    third.signal("STOP");
    leader_other_than(&world, &leader).await;
    claims_are_served(&world, 60, 80).await;
    third.signal("CONT");
    assert!(
        !third.ended().await,
        "a manager that lost its lease ends with an error"
    );
    claims_are_served(&world, 80, 100).await;
    recorder.finish().await.assert_clean("p5");
    say(&format!(
        "Real: the lease was taken over {at_term:.1?} after SIGTERM, claims were served {at_kill:.1?} after kill -9"
    ));
    drop(fourth);
    world.end().await;
}
