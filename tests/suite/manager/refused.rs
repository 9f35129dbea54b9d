//! Statuses that the server refuses: they are counted, and logged with the object and the server's words (U1).

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{interval, timeout};

use super::Manager;
use super::flags::get;
use crate::control_plane::free_port;
use crate::events::{any, event};
use crate::harness::{DEADLINE, On, World, scenarios};
use crate::proxy::{Proxy, Writes};
use crate::steps::range;

scenarios! {
    u1_refused_statuses_are_counted_and_logged_and_written_once_the_refusal_ends,
}

async fn u1_refused_statuses_are_counted_and_logged_and_written_once_the_refusal_ends(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let proxy = Proxy::answering(&door.config, Writes::StatusesRefused).await;
    let through = door.kubeconfig_to("refused", &proxy.cluster(), None);
    let port = free_port();
    let mut manager = Manager::spawn(
        Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
            .stderr(Stdio::piped())
            .args(["manager", "--webhook-port=0", "--health-addr=0"])
            .args(["--leader-elect=false", "--insecure-diagnostics=true"])
            .arg(format!("--diagnostics-address=127.0.0.1:{port}"))
            .arg(format!("--namespace={}", world.namespace))
            .arg(format!("--kubeconfig={}", through.display())),
    );
    let log = BufReader::new(manager.0.stderr.take().unwrap());
    let (read, mut lines) = unbounded_channel();
    std::thread::spawn(move || {
        let lines = log.lines().map_while(Result::ok);
        // It goes on being read, so that the manager never waits.
        lines.for_each(|line| drop(read.send(line)));
    });
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    world.claim("a", "p").await;
    world.capi_claim("b", "p").await;

    let mut expected = vec![
        ("ippools.ipam.metal3.io", "pool"),
        ("ipclaims.ipam.metal3.io", "IPClaim a"),
        ("ipaddressclaims.ipam.cluster.x-k8s.io", "IPAddressClaim b"),
    ];
    let counted = |resource: &str| {
        format!(
            "metal3_ipam_api_writes_refused_total{{reason=\"forbidden\",resource=\"{resource}\",verb=\"patch_status\"}} "
        )
    };
    let shown = timeout(DEADLINE, async {
        let mut pause = interval(Duration::from_millis(50));
        loop {
            pause.tick().await;
            let scraped = get(port, "/metrics").await;
            let (_, text) = scraped.unwrap_or_default();
            if expected
                .iter()
                .all(|(resource, _)| text.contains(&counted(resource)))
            {
                return;
            }
        }
    });
    shown.await.expect("each kind of status counted as refused");
    let logged = timeout(DEADLINE, async {
        while !expected.is_empty() {
            let line = lines.recv().await.expect("the manager goes on");
            let says = line.contains("WARN") && line.contains("a policy of the test says no");
            expected.retain(|(_, object)| !(says && line.contains(object)));
        }
    });
    logged
        .await
        .expect("each object logged with the server's words");

    let told = event(&world, "p", "StatusRefused", any).await;
    let message = told.message.unwrap_or_default();
    assert!(
        message.contains("a policy of the test says no"),
        "{message}"
    );

    proxy.let_writes_pass();
    world.address_of("a").await;
    world.capi_address_of("b").await;
    world.pool_counts("p", 2).await;
    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");
    world.end().await;
}
