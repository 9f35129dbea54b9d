//! The manager as a process of its own, against a real server, ended at bad moments.

use std::process::{Child, Command, Stdio};

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
    async fn start(world: &World) -> Self {
        let plane = control_plane().await.expect("the scenario has looked");
        let child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .args([
                "manager",
                "--leader-elect=false",
                "--webhook-port=0",
                "--health-addr=0",
                "--diagnostics-address=0",
            ])
            .arg("--namespace")
            .arg(&world.namespace)
            .arg("--kubeconfig")
            .arg(&plane.kubeconfig)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
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
