//! The binary as people start it: `metal3-ipam` with arguments, from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use futures::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use metal3_ipam::standalone::{self, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{World, until};
use crate::steps::range;

const PROGRAM: &str = env!("CARGO_BIN_EXE_metal3-ipam");

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    path.to_str().unwrap().to_owned()
}

/// Runs to the end.
fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// `standalone` in a folder on a free port, with more arguments.
fn standalone<'a>(folder: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec![
        "standalone",
        "--data-dir",
        folder.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ];
    args.extend(more);
    args
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A process that serves; killed when the test ends however it ends.
struct Serving {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Serving {
    /// Starts it, and waits until it says where it serves.
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end: exit code, what it still wrote, and what it complained of.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut rest, mut errors) = (String::new(), String::new());
        self.out.read_to_string(&mut rest).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        (self.child.wait().unwrap().code(), rest, errors)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A1, A6, A8, A9, A5, A7: the README's first command.
#[test]
fn the_quickstart_ends_in_its_table() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    let output = run(&standalone(
        &folder,
        &["--apply", &example("quickstart.yaml"), "--once"],
    ));
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let mut lines = out.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("Serving at https://127.0.0.1:"),
        "{out}"
    );
    let kubeconfig = folder.join("kubeconfig");
    assert_eq!(
        lines.next().unwrap(),
        format!("export KUBECONFIG={}", kubeconfig.display())
    );
    let table: Vec<&str> = lines.collect();
    assert_eq!(
        table,
        [
            "CLAIM                                 KIND             POOL    ADDRESS         PREFIX   GATEWAY       STATE",
            "claim1                                IPClaim          pool1   192.168.0.12    25       192.168.0.1   Bound",
            "claim2-fixed                          IPClaim          pool1   192.168.1.200   24       192.168.1.1   Bound",
            "test1-controlplane-template-0-pool1   IPClaim          pool1   192.168.0.10    25       192.168.0.1   Bound",
            "test1-worker-0-pool1                  IPAddressClaim   pool1   192.168.0.11    25       192.168.0.1   Bound",
            "test1-worker-1-pool1                  IPAddressClaim   pool1   192.168.0.13    25       192.168.0.1   Bound",
        ],
        "{err}"
    );
    let shown = std::fs::read_to_string(example("quickstart.yaml")).unwrap();
    for line in table {
        assert!(
            shown.contains(&format!("#   {line}\n")),
            "the example's own words differ: {line}"
        );
    }
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(kubeconfig), 0o600);
    assert_eq!(mode(folder), 0o700);
}

/// A11, U1: the table says why a claim has no address; it gets one when the pool grows, and bound claims keep theirs (A2).
#[test]
fn an_exhausted_pool_has_a_reason_and_recovers_by_itself() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    let output = run(&standalone(
        folder,
        &["--apply", &example("exhaustion.yaml"), "--once"],
    ));
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(
        out.contains("claim-a   IPClaim   small   10.20.0.10   24       10.20.0.1   Bound\n"),
        "{out}"
    );
    assert!(
        out.contains("claim-b   IPClaim   small   10.20.0.11   24       10.20.0.1   Bound\n"),
        "{out}"
    );
    assert!(out.contains("claim-c   IPClaim   small   -            -        -           PoolExhausted: pool default/small"), "{out}");
    assert!(
        err.contains("1 of 3 claims have no address:\n  IPClaim default/claim-c: PoolExhausted: "),
        "{err}"
    );

    let output = run(&standalone(
        folder,
        &["--apply", &example("exhaustion-recovery.yaml"), "--once"],
    ));
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(err.contains("applied: 0 created, 1 updated\n"), "{err}");
    for (claim, address) in [
        ("claim-a", "10.20.0.10"),
        ("claim-b", "10.20.0.11"),
        ("claim-c", "10.20.0.12"),
    ] {
        assert!(
            out.contains(&format!(
                "{claim}   IPClaim   small   {address}   24       10.20.0.1   Bound\n"
            )),
            "{out}"
        );
    }
}

/// Reads what `docs/backup.md` has for a backup of objects only: the kinds that it names, less the fields that it takes out.
async fn objects_only(folder: &Path) -> Value {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backup.md");
    let page = std::fs::read_to_string(page).unwrap();
    let between = |from: &str, to: &str| {
        let rest = page.split_once(from).expect(from).1;
        rest.split_once(to).expect(to).0.to_owned()
    };
    let kinds = between("$ kubectl get clusters", " -A -o json");
    let fields = between(".items[].metadata[", "]");
    let fields: Vec<String> = serde_json::from_str(&format!("[{fields}]")).unwrap();
    let server = Server::open(standalone::options(folder.to_owned()))
        .await
        .unwrap();
    let mut items = Vec::new();
    for kind in format!("clusters{kinds}").split(',') {
        let path = match kind {
            "clusters.cluster.x-k8s.io" => "cluster.x-k8s.io/v1beta2/clusters",
            "ippools" => "ipam.metal3.io/v1alpha1/ippools",
            "ipclaims" => "ipam.metal3.io/v1alpha1/ipclaims",
            "ipaddresses.ipam.metal3.io" => "ipam.metal3.io/v1alpha1/ipaddresses",
            "ipaddressclaims" => "ipam.cluster.x-k8s.io/v1beta2/ipaddressclaims",
            "ipaddresses.ipam.cluster.x-k8s.io" => "ipam.cluster.x-k8s.io/v1beta2/ipaddresses",
            other => panic!("{other} is no kind that the page should name"),
        };
        let request = http::Request::get(format!("/apis/{path}"));
        let list: Value = server
            .client()
            .request(request.body(Vec::new()).unwrap())
            .await
            .unwrap();
        for item in list["items"].as_array().unwrap() {
            let mut item = item.clone();
            item["apiVersion"] = list["apiVersion"].clone();
            item["kind"] = list["kind"]
                .as_str()
                .unwrap()
                .trim_end_matches("List")
                .into();
            item.as_object_mut().unwrap().remove("status");
            let metadata = item["metadata"].as_object_mut().unwrap();
            metadata.retain(|field, _| !fields.contains(field));
            items.push(item);
        }
    }
    server.close().await;
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// A2, A4: the objects without UIDs, owners and status are enough for each claim to have its address again, a random one too.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_objects_only_gives_every_claim_its_address_again() {
    let dir = TempDir::new().unwrap();
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
    let [quickstart, random] = ["quickstart.yaml", "random.yaml"].map(example);
    let before = run(&standalone(
        &old,
        &["--apply", &quickstart, "--apply", &random, "--once"],
    ));
    assert_eq!(before.status.code(), Some(0), "{}", stderr(&before));
    let objects = objects_only(&old).await;
    assert!(objects["items"].as_array().unwrap().len() > 16, "{objects}");
    let file = dir.path().join("objects.json");
    std::fs::write(&file, objects.to_string()).unwrap();
    let after = run(&standalone(
        &new,
        &["--apply", file.to_str().unwrap(), "--once"],
    ));
    assert_eq!(after.status.code(), Some(0), "{}", stderr(&after));
    let table = |output: &Output| {
        let out = stdout(output);
        let table: Vec<String> = out.lines().skip(2).map(str::to_owned).collect();
        table
    };
    assert_eq!(table(&before), table(&after), "{}", stderr(&after));
    let counted = |objects: &Value| objects["items"].as_array().unwrap().len();
    assert_eq!(
        counted(&objects),
        counted(&objects_only(&new).await),
        "no object came or went"
    );
}

/// A11, P2: the output names what was missing, and a condition of the last run does not count as an answer of this one.
#[test]
fn a_restart_with_the_missing_objects_binds_the_waiting_claims() {
    let dir = TempDir::new().unwrap();
    let (folder, file) = (dir.path().join("data"), dir.path().join("file.yaml"));
    let apply = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = run(&standalone(
            &folder,
            &["--apply", file.to_str().unwrap(), "--once"],
        ));
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (code, said) = apply(
        "{apiVersion: ipam.metal3.io/v1alpha1, kind: IPClaim, metadata: {name: a, namespace: lab}, spec: {pool: {name: p}}}",
    );
    assert!(
        code == Some(1) && said.contains("IPClaim lab/a: PoolNotFound: "),
        "{said}"
    );
    let (code, said) = apply(
        "{apiVersion: ipam.metal3.io/v1alpha1, kind: IPPool, metadata: {name: p, namespace: lab}, \
         spec: {namePrefix: p, clusterName: c, pools: [{start: 10.0.0.1, end: 10.0.0.9}]}}",
    );
    assert!(
        code == Some(1) && said.contains("IPClaim lab/a: PoolNotReady: "),
        "{said}"
    );
    let (code, said) = apply(
        "{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: c, namespace: lab}, spec: {paused: true}}",
    );
    assert!(
        code == Some(1) && said.contains("IPClaim lab/a: Paused: Cluster c is paused"),
        "{said}"
    );
    let (code, said) = apply(
        "{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: c, namespace: lab}, spec: {paused: false}}",
    );
    assert!(
        code == Some(0)
            && said.contains("a       IPClaim   p      10.0.0.1   -        -         Bound\n"),
        "{said}"
    );
}

/// A6, A7 over an IPv6 /64, in order and at random.
#[test]
fn the_other_examples_do_what_they_say() {
    let dir = TempDir::new().unwrap();
    let files = [example("dual-stack.yaml"), example("random.yaml")];
    let output = run(&standalone(
        dir.path(),
        &["--apply", &files[0], "--apply", &files[1], "--once"],
    ));
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let row = |claim: &str| -> Vec<&str> {
        let row = out.lines().find(|l| l.starts_with(&format!("{claim} ")));
        row.unwrap_or_else(|| panic!("no {claim} in {out}"))
            .split_whitespace()
            .collect()
    };
    assert_eq!(
        row("node-0-v4")[3..],
        ["10.10.0.10", "24", "10.10.0.1", "Bound"]
    );
    assert_eq!(
        row("node-1-v4")[3..],
        ["10.10.0.11", "24", "10.10.0.1", "Bound"]
    );
    assert_eq!(
        row("node-0-v6")[3..],
        ["fd00:10::2", "64", "fd00:10::1", "Bound"]
    );
    assert_eq!(
        row("node-1-v6")[3..],
        ["fd00:10::3", "64", "fd00:10::1", "Bound"]
    );
    for claim in ["random-a", "random-b", "random-c"] {
        let address: std::net::Ipv6Addr = row(claim)[3].parse().unwrap();
        assert_eq!(address.segments()[..4], [0xfd00, 0x20, 0, 0], "{address}");
        assert_ne!(address.segments()[4] >> 8, 0, "{address} is excluded");
        assert_eq!(row(claim)[4..], ["64", "fd00:20::1", "Bound"]);
    }
}

#[test]
fn standalone_serves_until_a_signal_and_shares_neither_folder_nor_port() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("it's here");
    let mut serving = Serving::start(&standalone(&folder, &[]));
    let at = serving.line();
    let address = at
        .strip_prefix("Serving at https://")
        .unwrap_or_else(|| panic!("{at}"))
        .to_owned();
    let export = serving.line();
    assert_eq!(
        export,
        format!(
            r"export KUBECONFIG='{}/it'\''s here/kubeconfig'",
            dir.path().display()
        )
    );
    // An empty server has an empty table.
    assert_eq!(
        serving.line(),
        "CLAIM   KIND   POOL   ADDRESS   PREFIX   GATEWAY   STATE"
    );

    let output = run(&standalone(&folder, &["--once"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("in use by another process"),
        "{}",
        stderr(&output)
    );

    let other = dir.path().join("other");
    let output = run(&[
        "standalone",
        "--data-dir",
        other.to_str().unwrap(),
        "--listen",
        &address,
        "--once",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let err = stderr(&output);
    assert!(
        err.contains("cannot listen; choose another address with --listen")
            && err.contains(&address),
        "{err}"
    );

    serving.signal("-TERM");
    let (code, rest, errors) = serving.end();
    assert_eq!((code, rest.as_str(), errors.as_str()), (Some(0), "", ""));
    // The folder is free again.
    let output = run(&standalone(&folder, &["--once"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// Whoever reads the log may go away before the program does: `2>&1 | head`.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let dir = TempDir::new().unwrap();
    let mut serving = Serving::start(&standalone(dir.path(), &["-v", "1"]));
    serving.line();
    drop(serving.child.stderr.take());
    let kubeconfig = Kubeconfig::read_from(dir.path().join("kubeconfig")).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let world = World::on(Client::try_from(config.unwrap()).unwrap());
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    serving.signal("-TERM");
    let mut rest = String::new();
    serving.out.read_to_string(&mut rest).unwrap();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0), "{rest}");
}

#[test]
fn a_complaint_that_nobody_reads_changes_no_exit_code() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(PROGRAM)
        .args(["who", "x", "--kubeconfig", "/nonexistent"])
        .stderr(writer)
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}

#[test]
fn a_check_of_a_cluster_that_cannot_be_reached_does_not_say_that_it_is_sound() {
    let output = run(&["check", "--kubeconfig", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("/nonexistent"), "{output:?}");
}

/// An API server that has no definitions, and its kubeconfig in a folder.
fn server_without_definitions(dir: &Path) -> PathBuf {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut asked = String::new();
            stream.read_line(&mut asked).unwrap();
            let mut header = String::new();
            while stream.read_line(&mut header).unwrap() > 2 {
                header.clear();
            }
            let fields = [
                "major",
                "minor",
                "gitCommit",
                "gitTreeState",
                "buildDate",
                "goVersion",
                "compiler",
                "platform",
            ];
            let (status, body) = if asked.starts_with("GET /version ") {
                let mut version: Value = fields
                    .map(|f| (f.to_owned(), json!("1")))
                    .into_iter()
                    .collect();
                version["gitVersion"] = json!("v1.36.0");
                ("200 OK", version)
            } else if asked.starts_with("GET /apis ") || asked.starts_with("GET /apis?") {
                (
                    "200 OK",
                    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
                )
            } else {
                let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404,
                                  "reason": "NotFound", "message": "the server could not find the requested resource"});
                ("404 Not Found", body)
            };
            let body = body.to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    let file = dir.join("config");
    let config = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         users: [{{name: u, user: {{token: t}}}}], clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]}}"
    );
    std::fs::write(&file, config).unwrap();
    file
}

/// Somebody deleted the definitions, and with them every pool and claim; or it is the wrong cluster.
#[test]
fn a_check_or_repair_of_a_cluster_without_the_definitions_says_so_and_not_that_it_is_sound() {
    let dir = TempDir::new().unwrap();
    let config = server_without_definitions(dir.path());
    let kubeconfig = ["--kubeconfig", config.to_str().unwrap()];
    let report = dir.path().join("report.json");
    let stored =
        json!({"cluster": "u", "time": "2026-11-28T12:00:00Z", "namespace": null, "findings": []});
    std::fs::write(&report, stored.to_string()).unwrap();
    let repair = ["repair", "--from", report.to_str().unwrap()];
    for command in [&["check"][..], &repair] {
        let output = run(&[command, &kubeconfig].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let err = stderr(&output);
        assert!(
            err.contains("has no IPPools; install the definitions first"),
            "{err}"
        );
    }
}

#[test]
fn a_mistake_in_any_file_is_reported_before_any_object_is_created() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    let bad = dir.path().join("bad.yaml");
    std::fs::write(
        &bad,
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\nkind: [\n",
    )
    .unwrap();
    let files = [example("quickstart.yaml"), bad.to_str().unwrap().to_owned()];
    let output = run(&standalone(
        &folder,
        &["--apply", &files[0], "--apply", &files[1], "--once"],
    ));
    assert_eq!(output.status.code(), Some(1));
    let err = stderr(&output);
    assert!(
        err.starts_with(&format!(
            "metal3-ipam: {}, document 2: this is no YAML: ",
            bad.display()
        )),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(!folder.exists());

    std::fs::write(&bad, "apiVersion: ipam.metal3.io/v1alpha1\nkind: IPClaim\nmetadata: {name: x}\nspec: {pol: {name: p}}\n").unwrap();
    let output = run(&standalone(&folder, &["--apply", &files[1], "--once"]));
    assert_eq!(output.status.code(), Some(1));
    let err = stderr(&output);
    assert!(
        err.starts_with(&format!(
            "metal3-ipam: {}, document 1 (line 1): IPClaim x: ",
            bad.display()
        )),
        "{err}"
    );
    assert!(err.contains("pol"), "{err}");

    let output = run(&standalone(
        &folder,
        &["--apply", "/no/such/file", "--once"],
    ));
    assert!(
        stderr(&output).contains("cannot open /no/such/file: No such file"),
        "{}",
        stderr(&output)
    );

    // What should have made the objects has failed, as far as anyone can tell.
    let empty = folder.join("empty.yaml");
    std::fs::write(&empty, "# nothing\n---\n").unwrap();
    for file in [empty.to_str().unwrap(), "-"] {
        let output = run(&standalone(&folder, &["--apply", file, "--once"]));
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("holds no object to apply"), "{said}");
    }
}

#[test]
fn a_folder_without_its_objects_is_not_begun_anew() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    let once = || run(&standalone(&folder, &["--once"]));
    assert_eq!(once().status.code(), Some(0));
    let store = folder.join("store.redb");
    std::fs::write(&store, vec![7; 5000]).unwrap();
    let said = stderr(&once());
    assert!(
        said.contains("restore the folder from a backup (docs/backup.md)"),
        "{said}"
    );
    std::fs::remove_file(&store).unwrap();
    let lost = once();
    assert_eq!(lost.status.code(), Some(1));
    let said = stderr(&lost);
    assert!(
        said.contains("restore that from a backup, or delete"),
        "{said}"
    );
}

#[test]
fn crds_prints_the_definitions_of_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let read = |names: &[&str]| -> String {
        names
            .iter()
            .map(|n| std::fs::read_to_string(root.join(n)).unwrap())
            .collect()
    };
    let metal3 = read(&[
        "ipam.metal3.io_ippools.yaml",
        "ipam.metal3.io_ipclaims.yaml",
        "ipam.metal3.io_ipaddresses.yaml",
    ]);
    let capi = read(&[
        "capi/cluster.x-k8s.io_clusters.yaml",
        "capi/ipam.cluster.x-k8s.io_ipaddressclaims.yaml",
        "capi/ipam.cluster.x-k8s.io_ipaddresses.yaml",
    ]);
    assert_eq!(stdout(&run(&["crds"])), metal3);
    assert_eq!(stdout(&run(&["crds", "--with-capi"])), metal3 + &capi);
}

#[test]
fn the_version_is_printed_by_the_flag_and_by_the_command() {
    let want = concat!("metal3-ipam ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(stdout(&run(&["version"])), want);
    assert_eq!(stdout(&run(&["--version"])), want);
}

#[test]
fn a_manager_without_a_server_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    let manager = |args: &[&str]| {
        let output = Command::new(PROGRAM)
            .arg("manager")
            .args(args)
            .env("HOME", dir.path())
            .env_remove("KUBECONFIG")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let err = stderr(&output);
        err.lines().last().unwrap_or_default().to_owned()
    };
    let err = manager(&[]);
    assert!(
        err.starts_with(
            "metal3-ipam: no kubeconfig found; name one with --kubeconfig or $KUBECONFIG"
        ),
        "{err}"
    );
    let err = manager(&["--kubeconfig", "/no/such/file"]);
    assert!(
        err.starts_with("metal3-ipam: cannot use the kubeconfig /no/such/file: "),
        "{err}"
    );
    let file = dir.path().join("config");
    // Nothing listens at port 1 of this machine.
    std::fs::write(
        &file,
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], \
         users: [{name: u, user: {token: t}}], clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]}",
    )
    .unwrap();
    let err = manager(&["--kubeconfig", file.to_str().unwrap()]);
    assert!(
        err.starts_with(
            "metal3-ipam: cannot reach the API server at https://127.0.0.1:1/; check that it runs"
        ),
        "{err}"
    );
}

/// The README's own way: `$KUBECONFIG` leads to the server of `standalone`, whose controller serves the claims.
#[test]
fn a1_a_manager_beside_standalone_stands_by_and_a_bench_is_refused() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    for _ in 0..2 {
        let mut serving = Serving::start(&standalone(&folder, &[]));
        let line = serving.line();
        assert!(line.starts_with("Serving at "), "{line}");
        let kubeconfig = serving.line();
        let kubeconfig = kubeconfig.strip_prefix("export KUBECONFIG=").unwrap();
        let mut manager = Serving::start(&[
            "manager",
            "--kubeconfig",
            kubeconfig,
            "--health-addr=0",
            "--diagnostics-address=0",
            "--webhook-port=0",
        ]);
        let log = BufReader::new(manager.child.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        let stands_by = lines.find(|line| line.contains("standing by") || line.contains("leading"));
        let stands_by = stands_by.expect("it says what it does");
        assert!(
            stands_by.contains("standing by") && stands_by.contains("metal3-ipam standalone"),
            "{stands_by}"
        );
        let bench = run(&["bench", "--kubeconfig", kubeconfig, "--claims", "5"]);
        assert_eq!(bench.status.code(), Some(1));
        let said = stderr(&bench);
        assert!(
            said.contains("metal3-ipam standalone") && said.contains("leave out --kubeconfig"),
            "{said}"
        );
        delete_the_lease(kubeconfig);
        // Killed at its end, without a chance to give anything up.
        drop(serving);
    }
}

/// One that is mistyped would look sound for ever.
#[test]
fn a_namespace_that_does_not_exist_is_not_found_sound() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    let mut serving = Serving::start(&standalone(&folder, &[]));
    serving.line();
    let kubeconfig = serving.line();
    let kubeconfig = kubeconfig.strip_prefix("export KUBECONFIG=").unwrap();
    for command in [&["check", "--confirm-after", "0s"][..], &["preflight"]] {
        let of = |namespace: &str| {
            let more = ["--kubeconfig", kubeconfig, "-n", namespace];
            let output = run(&[command, &more].concat());
            (output.status.code(), stdout(&output))
        };
        let (code, text) = of("nowhere");
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains("namespace nowhere: it does not exist"),
            "{text}"
        );
        let (_, text) = of("default");
        assert!(!text.contains("it does not exist"), "{text}");
    }
}

/// Deletes the managers' Lease, and returns once it is there again.
fn delete_the_lease(kubeconfig: &str) {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options);
        let client = Client::try_from(config.await.unwrap()).unwrap();
        let leases: Api<Lease> = Api::default_namespaced(client);
        let name = "controller-leader-election-ipam-capm3";
        leases.delete(name, &DeleteParams::default()).await.unwrap();
        until(leases, "the Lease to be held again", |leases| {
            let spec = leases.get(name).and_then(|lease| lease.spec.as_ref());
            let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
            holder == Some("metal3-ipam standalone")
        })
        .await;
    });
}

/// The binary as a manager, under upstream's name for it and with upstream's flags, over TLS against a server in this process.
#[tokio::test(flavor = "multi_thread")]
async fn a_manager_serves_claims_over_tls_and_gives_up_its_lease() {
    let dir = TempDir::new().unwrap();
    let server = Server::open(standalone::options(dir.path().join("data")))
        .await
        .unwrap();
    let listening = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let kubeconfig = server.write_kubeconfig(listening.addr).unwrap();
    let client = server.client();
    let program = dir.path().join("manager");
    std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
    let mut manager = Command::new(&program)
        .args([
            "--leader-elect",
            "-v=0",
            "--sync-period=10m0s",
            "--health-addr=127.0.0.1:0",
            "--webhook-port=0",
        ])
        .args([
            "--diagnostics-address=0",
            "--insecure-diagnostics",
            "--logtostderr=true",
            "--logging-format=json",
        ])
        .env("KUBECONFIG", &kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let manager = Serving {
        out: BufReader::new(manager.stdout.take().unwrap()),
        child: manager,
    };

    let pools: Api<IPPool> = Api::default_namespaced(client.clone());
    let claims: Api<IPClaim> = Api::default_namespaced(client.clone());
    let spec = json!({ "namePrefix": "p", "pools": [{ "start": "10.0.0.1", "end": "10.0.0.9" }], "prefix": 24 });
    let pool = object("IPPool", "pool", &spec);
    let claim = object("IPClaim", "claim", &json!({ "pool": { "name": "pool" } }));
    pools
        .create(
            &PostParams::default(),
            &serde_json::from_value(pool).unwrap(),
        )
        .await
        .unwrap();
    let made = claims
        .create(
            &PostParams::default(),
            &serde_json::from_value(claim).unwrap(),
        )
        .await
        .unwrap();

    let since = made.metadata.resource_version.unwrap();
    let mut events = std::pin::pin!(claims.watch(&WatchParams::default(), &since).await.unwrap());
    let address = loop {
        if let WatchEvent::Modified(claim) =
            events.try_next().await.unwrap().expect("the watch goes on")
            && let Some(address) = claim.status.and_then(|s| s.address)
        {
            break address;
        }
    };
    assert_eq!(address.name.as_deref(), Some("p-10-0-0-1"));

    manager.signal("-TERM");
    let (code, out, log) = tokio::task::spawn_blocking(move || manager.end())
        .await
        .unwrap();
    assert_eq!((code, out.as_str()), (Some(0), ""), "{log}");
    let messages: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    for flag in ["--sync-period", "--logtostderr"] {
        let told = messages
            .iter()
            .filter(|m| m.starts_with(&format!("{flag} has no effect: ")))
            .count();
        assert_eq!(told, 1, "{flag} in {messages:#?}");
    }
    assert!(
        messages.iter().any(|m| m == "health is served"),
        "{messages:#?}"
    );
    let leases: Api<Lease> = Api::default_namespaced(client);
    let lease = leases
        .get("controller-leader-election-ipam-capm3")
        .await
        .unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
    listening.stop().await;
    server.close().await;
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "ipam.metal3.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// The first Ctrl-C ends it also while it waits for standard input.
#[test]
fn an_interrupt_ends_the_wait_for_standard_input() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    let mut child = Command::new(PROGRAM)
        .args(standalone(&folder, &["--apply", "-"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    // Its standard input stays open.
    let _stdin = child.stdin.take();
    let serving = Serving { child, out };
    // Until it listens for the signal (bit 2 of the mask), which would end it anyhow.
    let status = format!("/proc/{}/status", serving.child.id());
    loop {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
        if u64::from_str_radix(caught.unwrap(), 16).unwrap() & 2 != 0 {
            break;
        }
        std::thread::yield_now();
    }
    serving.signal("-INT");
    let (code, _, said) = serving.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("stopped before the files to apply were read"),
        "{said}"
    );
    assert!(!folder.exists(), "nothing is left behind");
}

#[test]
fn waiting_for_claims_can_have_an_end() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data");
    let output = run(&standalone(&folder, &["--once", "--timeout", "1h"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let file = dir.path().join("waiting.yaml");
    // Its pool is paused by nobody, so it is not known to wait for good.
    std::fs::write(&file, "apiVersion: ipam.metal3.io/v1alpha1\nkind: IPClaim\nmetadata: {name: a}\nspec: {pool: {name: none}}\n").unwrap();
    let more = [
        "--once",
        "--timeout",
        "1ns",
        "--apply",
        file.to_str().unwrap(),
    ];
    let output = run(&standalone(&folder, &more));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("not all claims were settled within 1ns"),
        "{}",
        stderr(&output)
    );
}
