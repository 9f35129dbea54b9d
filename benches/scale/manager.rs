//! Memory of the manager alone: a process of its own with the flags of `deploy/manager`, on the embedded server of this process.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Request;
use serde_json::Value;

use super::bed::Bed;

/// Pools that the claims are spread over.
const POOLS: u32 = 10;
/// Time between two looks at the pools.
const LOOK: Duration = Duration::from_millis(100);

/// The manager; ended when dropped.
struct Manager(Child);

impl Manager {
    fn start(kubeconfig: &std::path::Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .args(["manager", "--health-addr=127.0.0.1:0", "--webhook-port=0"])
            .args([
                "--diagnostics-address=127.0.0.1:0",
                "--insecure-diagnostics",
            ])
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// Resident memory in MiB: the most so far, and now (Linux).
    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let mib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kib.unwrap_or_default() / 1024.0
        };
        format!(
            "{:.0} MiB at most, {:.0} MiB now",
            mib("VmHWM:"),
            mib("VmRSS:")
        )
    }

    /// SIGTERM; it gives the lease up.
    fn end(mut self) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success(), "kill -TERM");
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns once the pools' statuses count so many addresses.
async fn until_allocated(bed: &Bed, wanted: u64) {
    loop {
        let path = "/apis/ipam.metal3.io/v1alpha1/namespaces/default/ippools";
        let request = Request::get(path).body(Vec::new()).unwrap();
        let pools: Value = bed.client.request(request).await.unwrap();
        let pools = pools["items"].as_array().unwrap().iter();
        let allocated = pools.filter_map(|pool| pool["status"]["allocated"].as_u64());
        if allocated.sum::<u64>() >= wanted {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Binds so many claims of both kinds as fast as they come, then starts the manager anew on all of them.
pub(super) async fn memory(claims: u32, rest: Duration) {
    let bed = Bed::new().await;
    let listening = bed
        .server
        .listen("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let kubeconfig = bed.server.write_kubeconfig(listening.addr).unwrap();
    let names: Vec<String> = (0..POOLS).map(|n| format!("pool-{n}")).collect();
    for name in &names {
        // With room for one more, which is asked for after the start.
        bed.pool(name, claims.div_ceil(POOLS) + 1).await;
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();

    let manager = Manager::start(&kubeconfig);
    let begun = Instant::now();
    bed.spread_claims(&all, "claim", claims).await;
    until_allocated(&bed, claims.into()).await;
    let rate = f64::from(claims) / begun.elapsed().as_secs_f64();
    let burst = manager.memory();
    tokio::time::sleep(rest).await;
    println!(
        "manager: {claims} claims bound at {rate:.0} claims/s: {burst}; {rest:?} later {}",
        manager.memory()
    );
    manager.end();

    let manager = Manager::start(&kubeconfig);
    bed.spread_claims(&["pool-0"], "first", 1).await;
    until_allocated(&bed, u64::from(claims) + 1).await;
    let started = manager.memory();
    tokio::time::sleep(rest).await;
    println!(
        "manager: started on {claims} claims and bound one more: {started}; {rest:?} later {}",
        manager.memory()
    );
    manager.end();
    listening.stop().await;
}
