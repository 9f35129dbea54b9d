//! `kill -9` of the standalone process: every answered write is stored after the restart, and every claim is bound.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures::future::join_all;
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use crate::control_plane::say;
use crate::harness::{capi_claim_json, capi_is_bound, claim_json, is_bound, until};

/// The standalone program as a process of its own, ended when dropped.
pub(crate) struct Process {
    child: Child,
    /// Client over TLS with the kubeconfig that the process wrote.
    pub(crate) client: Client,
}

impl Process {
    /// Starts it in this folder and waits until it says that it serves.
    pub(crate) async fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let says = tokio::task::spawn_blocking(move || {
            let found = lines
                .by_ref()
                .map_while(Result::ok)
                .find(|line| line.contains("KUBECONFIG="));
            // Keep reading, so that the process never blocks on a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            found
        });
        says.await
            .unwrap()
            .expect("the process says where its kubeconfig is");
        let kubeconfig = Kubeconfig::read_from(dir.join("kubeconfig")).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Self {
            child,
            client: Client::try_from(config).unwrap(),
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_middle_of_a_thousand_claims_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path()).await;
    let pools: Api<IPPool> = Api::namespaced(process.client.clone(), "default");
    for pool in 0..10 {
        let name = format!("pool-{pool}");
        let spec = json!({"namePrefix": name, "pools": [{"subnet": format!("10.{pool}.0.0/24")}]});
        let pool: IPPool = serde_json::from_value(json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": spec})).unwrap();
        pools.create(&PostParams::default(), &pool).await.unwrap();
    }
    let (answered, mut rounds) = (std::sync::Mutex::new(BTreeSet::new()), 0);
    while answered.lock().unwrap().len() < 1000 {
        rounds += 1;
        let client = process.client.clone();
        let until_kill = answered.lock().unwrap().len() + 300;
        let writers = join_all((0..8).map(|writer| {
            let (client, answered) = (client.clone(), &answered);
            async move {
                for n in (writer..1000).step_by(8) {
                    if answered.lock().unwrap().contains(&n) {
                        continue;
                    }
                    if create(&client, n).await.is_err() {
                        return; // killed in mid-burst: nobody knows about this one; it is asked for again
                    }
                    answered.lock().unwrap().insert(n);
                }
            }
        }));
        let kill = async {
            // The kill comes as soon as 300 more are answered: with writes, binds and commits under way.
            let claims: Api<IPClaim> = Api::namespaced(client.clone(), "default");
            while answered.lock().unwrap().len() < until_kill.min(1000) {
                let _ = claims.list_metadata(&ListParams::default().limit(1)).await;
            }
            process.kill();
        };
        tokio::join!(writers, kill);
        process = Process::start(dir.path()).await;
    }
    let claims = until(
        Api::<IPClaim>::namespaced(process.client.clone(), "default"),
        "every IPClaim bound",
        |all| all.len() == 500 && all.values().all(is_bound),
    )
    .await;
    let capi = until(
        Api::<IPAddressClaim>::namespaced(process.client.clone(), "default"),
        "every IPAddressClaim bound",
        |all| all.len() == 500 && all.values().all(capi_is_bound),
    )
    .await;
    let objects = until(
        Api::<IPAddress>::namespaced(process.client.clone(), "default"),
        "an object each, no more",
        |all| all.len() == 500,
    )
    .await;
    let capi_objects = until(
        Api::<CapiIPAddress>::namespaced(process.client.clone(), "default"),
        "an object each, no more",
        |all| all.len() == 500,
    )
    .await;
    let distinct: BTreeSet<&str> = objects
        .values()
        .map(|o| &*o.spec.address)
        .chain(capi_objects.values().map(|o| o.spec.address.as_str()))
        .collect();
    assert_eq!(distinct.len(), 1000, "no address twice");
    for object in objects.values() {
        assert!(
            claims.contains_key(object.spec.claim.name.as_ref().unwrap()),
            "every object leads to a claim"
        );
    }
    for object in capi_objects.values() {
        assert!(
            capi.contains_key(&object.spec.claim_ref.name),
            "every object leads to a claim"
        );
    }
    say(&format!(
        "kill -9: {rounds} kills during 1,000 claims; all bound, no duplicate, nothing leaked"
    ));
}

/// Creates claim number `n`; that it exists already (from before a kill) is as good.
async fn create(client: &Client, n: usize) -> Result<(), kube::Error> {
    let (name, pool) = (format!("claim-{n:04}"), format!("pool-{}", (n / 2) % 10));
    let created = if n.is_multiple_of(2) {
        let claim: IPClaim = serde_json::from_value(claim_json(&name, &pool)).unwrap();
        Api::<IPClaim>::namespaced(client.clone(), "default")
            .create(&PostParams::default(), &claim)
            .await
            .map(drop)
    } else {
        let claim: IPAddressClaim = serde_json::from_value(capi_claim_json(&name, &pool)).unwrap();
        Api::<IPAddressClaim>::namespaced(client.clone(), "default")
            .create(&PostParams::default(), &claim)
            .await
            .map(drop)
    };
    match created {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other,
    }
}
