//! A disk that fills up under the embedded server, from outside: the program ends with a plain message and exit code 1, and every
//! answered write is stored when it is started again.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use metal3_ipam::standalone::{self, Server};
use serde_json::json;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_metal3-ipam");

/// The server, started by a shell that first prepares its disk. Ended when the test ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with `data` as its folder, and reads where the kubeconfig is from its first lines.
fn start(shell: &[&str], prepare: &str, data: &Path) -> Option<(Serving, String)> {
    let script =
        format!("{prepare} && exec \"$0\" standalone --data-dir \"$1\" --listen 127.0.0.1:0");
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", &script, PROGRAM])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let serving = Serving(child);
    let served = lines.next()?.unwrap();
    assert!(served.starts_with("Serving at https://"), "{served}");
    lines.next()?.unwrap();
    Some((serving, served))
}

/// Writes until the disk is full. Returns how many objects the server said are stored.
async fn fill(kubeconfig: &str) -> usize {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    let maps: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config).unwrap());
    let filler = "x".repeat(200_000);
    for n in 0..1_000 {
        let map = json!({"metadata": {"name": format!("m{n:03}")}, "data": {"filler": filler}});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        if maps.create(&PostParams::default(), &map).await.is_err() {
            return n;
        }
    }
    panic!("200 MB fit on a disk of 8 MB");
}

/// Its exit code, and what it said.
fn end(mut serving: Serving) -> (Option<i32>, String) {
    let mut said = String::new();
    let mut errors = serving.0.stderr.take().unwrap();
    errors.read_to_string(&mut said).unwrap();
    (serving.0.wait().unwrap().code(), said)
}

/// A limit on the size of files is a full disk that needs no rights.
#[tokio::test]
async fn a_disk_without_room_ends_the_server_and_answered_writes_stay() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    // 8 MiB; without the signal, writes beyond it fail as on a full disk.
    let prepare = "trap '' XFSZ && ulimit -f 8192";
    let (serving, _) = start(&["bash"], prepare, &data).unwrap();
    let kubeconfig = std::fs::read_to_string(data.join("kubeconfig")).unwrap();
    let stored = fill(&kubeconfig).await;
    let (code, said) = end(serving);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the server ends because it cannot go on: the store failed"),
        "{said}"
    );
    assert!(
        said.contains("Free space or mend the disk, then start it again"),
        "{said}"
    );

    let server = Server::open(standalone::options(data)).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let found = maps.list(&ListParams::default()).await.unwrap().items.len();
    assert!(
        stored > 3 && (found == stored || found == stored + 1),
        "{stored} answered, {found} there"
    );
    server.close().await;
}

#[tokio::test]
async fn a_full_file_system_ends_the_server() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    // Seen by this one process only, and gone with it. The kubeconfig is copied out once it is written.
    let mount = format!("mount -t tmpfs -o size=8m none '{}'", data.display());
    let unshare = ["unshare", "--mount", "--map-root-user", "sh"];
    let can = Command::new(unshare[0])
        .args(&unshare[1..])
        .args(["-c", &mount])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: no tmpfs can be mounted here, so the test of a full file system does not run"
        );
        crate::tally::add("tests of a full file system SKIPPED: no mount", 1);
        return;
    }
    let copy = format!(
        "{mount} && (until cp '{}' '{}.new' 2>/dev/null && mv '{1}.new' '{1}'; do sleep 0.05; done &)",
        data.join("kubeconfig").display(),
        kubeconfig.display(),
    );
    let (serving, _) = start(&unshare, &copy, &data).unwrap();
    let text = loop {
        match std::fs::read_to_string(&kubeconfig) {
            Ok(text) => break text,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let stored = fill(&text).await;
    let (code, said) = end(serving);
    assert!(stored > 3, "{stored}");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the store failed"), "{said}");
}
