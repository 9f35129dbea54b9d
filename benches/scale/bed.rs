//! An embedded server in a folder of its own, and controllers on it.

use std::time::Instant;

use futures::{StreamExt, stream};
use http::Request;
use kube::Client;
use metal3_ipam::api::PoolKey;
use metal3_ipam::controller::{Controller, ControllerError, Settings, View};
use metal3_ipam::standalone::{self, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Claims that are created at once.
const CREATORS: usize = 64;

pub(super) struct Bed {
    dir: TempDir,
    pub(super) server: Server,
    pub(super) client: Client,
    /// Where the next pool's range begins.
    next: std::sync::atomic::AtomicU32,
}

/// A controller at work.
pub(super) struct Running {
    view: View,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControllerError>>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::open(TempDir::new().unwrap()).await
    }

    async fn open(dir: TempDir) -> Self {
        let data_dir = dir.path().join("data");
        let server = Server::open(standalone::options(data_dir)).await.unwrap();
        let client = server.client();
        Self {
            dir,
            server,
            client,
            next: (10 << 24).into(),
        }
    }

    pub(super) fn run(&self) -> Running {
        let (reads, writes) = (self.server.client(), self.server.client());
        let controller = Controller::new(reads, writes, Settings::default());
        let view = controller.view();
        let stop = CancellationToken::new();
        let task = tokio::spawn(controller.run(stop.clone()));
        Running { view, stop, task }
    }

    /// Ends the controller and the server, and opens the server again.
    pub(super) async fn restart(self, running: Running) -> Self {
        running.stop.cancel();
        running.task.await.unwrap().unwrap();
        drop((running.view, self.client));
        self.server.close().await;
        Self::open(self.dir).await
    }

    pub(super) async fn end(self, running: Running) {
        running.stop.cancel();
        running.task.await.unwrap().unwrap();
        drop((running.view, self.client));
        self.server.close().await;
    }

    /// A pool of so many addresses.
    pub(super) async fn pool(&self, name: &str, addresses: u32) {
        let first = self
            .next
            .fetch_add(addresses, std::sync::atomic::Ordering::Relaxed);
        let address = |bits| std::net::Ipv4Addr::from_bits(bits);
        let range =
            json!({"start": address(first), "end": address(first + addresses - 1), "prefix": 8});
        self.pool_of(name, &[range]).await;
    }

    /// So many pools of so many addresses each.
    pub(super) async fn pools(&self, names: &[String], addresses: u32) {
        stream::iter(names)
            .for_each_concurrent(CREATORS, |name| self.pool(name, addresses))
            .await;
    }

    /// A pool of these ranges.
    pub(super) async fn pool_of(&self, name: &str, ranges: &[Value]) {
        let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
            "spec": {"namePrefix": name, "allocateReservedIPAddresses": true, "pools": ranges}});
        self.create("ipam.metal3.io/v1alpha1", "ippools", &pool)
            .await;
    }

    /// So many claims of a pool, of both kinds in turn.
    pub(super) async fn claims(&self, pool: &str, name: &str, claims: u32) {
        self.spread_claims(&[pool], name, claims).await;
    }

    pub(super) async fn spread_claims(&self, pools: &[&str], name: &str, claims: u32) {
        stream::iter(0..claims)
            .for_each_concurrent(CREATORS, |n| async move {
                let pool = pools[n as usize % pools.len()];
                let metadata = json!({"name": format!("{name}-{n}")});
                if (n / u32::try_from(pools.len()).unwrap()).is_multiple_of(2) {
                    let claim = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": metadata,
                        "spec": {"pool": {"name": pool}}});
                    self.create("ipam.metal3.io/v1alpha1", "ipclaims", &claim).await;
                } else {
                    let claim = json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim", "metadata": metadata,
                        "spec": {"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}}});
                    self.create("ipam.cluster.x-k8s.io/v1beta2", "ipaddressclaims", &claim).await;
                }
            })
            .await;
    }

    /// Creates claims, spread over pools, and waits until all are bound: claims bound a second. `bound` counts on.
    pub(super) async fn rate(
        &self,
        running: &Running,
        pools: &[&str],
        name: &str,
        claims: u32,
        bound: &mut u32,
    ) -> f64 {
        let begun = Instant::now();
        let name = format!("{name}-{}", pools[0]);
        *bound += claims;
        tokio::join!(
            self.spread_claims(pools, &name, claims),
            self.until_bound(running, *bound)
        );
        f64::from(claims) / begun.elapsed().as_secs_f64()
    }

    async fn create(&self, version: &str, plural: &str, object: &Value) {
        let request = Request::post(format!("/apis/{version}/namespaces/default/{plural}"))
            .header("content-type", "application/json")
            .body(serde_json::to_vec(object).unwrap())
            .unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    /// Claims that this controller has bound.
    #[expect(clippy::unused_self, reason = "reads as the other questions do")]
    pub(super) fn bound(&self, running: &Running) -> u32 {
        let bound: u64 = running.view.counters().bound.values().sum();
        u32::try_from(bound).unwrap()
    }

    pub(super) async fn until_bound(&self, running: &Running, claims: u32) {
        let mut changes = running.view.changes();
        while self.bound(running) < claims {
            running.view.changed(&mut changes).await;
        }
    }

    /// Waits until so many claims of a pool have their addresses and nothing of it is under way.
    pub(super) async fn until_pool_has(&self, running: &Running, pool: &str, claims: u128) {
        let key = PoolKey {
            namespace: "default".into(),
            name: pool.into(),
        };
        let mut changes = running.view.changes();
        let has = || {
            let snapshot = running.view.snapshot(&key);
            snapshot.is_some_and(|s| s.allocated >= claims && s.in_flight == 0)
        };
        while !has() {
            running.view.changed(&mut changes).await;
        }
    }
}

/// Resident memory of this process in bytes (Linux; 0 elsewhere).
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
