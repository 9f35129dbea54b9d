//! kubectl against the embedded server, over TLS with the kubeconfig that the server writes. No controller runs: where kubectl
//! waits for a condition, the test sets it.

mod apply;
mod verbs;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use metal3_ipam::standalone::{self, Listening, Server};
use tempfile::TempDir;

use crate::control_plane::say;
use crate::tally;

const POOL1: &str = "ippool pool1 -n lab";

const POOL: &str = "
apiVersion: ipam.metal3.io/v1alpha1
kind: IPPool
metadata: {name: pool1, namespace: lab}
spec:
  namePrefix: test1-prov
  prefix: 24
  gateway: 192.168.0.1
  pools:
  - {start: 192.168.0.10, end: 192.168.0.30}
";
const CLAIM: &str = "
apiVersion: ipam.metal3.io/v1alpha1
kind: IPClaim
metadata: {name: claim1, namespace: lab}
spec: {pool: {name: pool1}}
";
/// The kubectl to test with: the one that `KUBECTL` names, else the one on the path.
pub(crate) fn kubectl() -> OsString {
    std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into())
}

/// Longest time that one kubectl may take before the test is called failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server and what a user of it has: a kubeconfig.
struct Lab {
    server: Server,
    listening: Listening,
    kubeconfig: PathBuf,
    dir: TempDir,
}

/// What a kubectl said and how it ended.
struct Said {
    out: String,
    err: String,
    ok: bool,
}

impl Lab {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let server = Server::open(standalone::options(data_dir)).await.unwrap();
        let listening = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let kubeconfig = server.write_kubeconfig(listening.addr).unwrap();
        Self {
            server,
            listening,
            kubeconfig,
            dir,
        }
    }

    async fn close(self) {
        self.listening.stop().await;
        self.server.close().await;
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(kubectl());
        command
            .env("KUBECONFIG", &self.kubeconfig)
            // kubectl keeps what it discovered, by address; another test's server may have had this port.
            .env("KUBECACHEDIR", self.dir.path().join("cache"))
            .env("HOME", self.dir.path())
            .env_remove("NO_PROXY")
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .arg("--request-timeout=30s")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs kubectl to its end, `input` on its standard input.
    fn run(&self, args: &[&str], input: &str) -> Said {
        Self::end(self.command(args), args, input)
    }

    fn end(command: Command, args: &[&str], input: &str) -> Said {
        let mut running = Running::start(command);
        let mut stdin = running.child.stdin.take().expect("it was piped");
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let (mut out, mut err) = (String::new(), String::new());
        loop {
            match running.lines.recv_timeout(PATIENCE) {
                Ok(Line::Out(line)) => out.extend([&line, "\n"]),
                Ok(Line::Err(line)) => err.extend([&line, "\n"]),
                // Both ends are closed: nothing more will come.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("kubectl {args:?} does not end: {out}{err}")
                }
            }
        }
        // A line's end is not kept apart from the text's.
        out.truncate(out.trim_end_matches('\n').len());
        let ok = running.child.wait().unwrap().success();
        Said { out, err, ok }
    }

    /// Runs kubectl, which must succeed without complaint, and returns what it printed.
    fn ok(&self, args: &str) -> String {
        self.ok_with(&words(args), "")
    }

    fn ok_with(&self, args: &[&str], input: &str) -> String {
        let said = self.run(args, input);
        assert!(said.ok, "kubectl {args:?}: {}{}", said.out, said.err);
        assert!(
            !said.err.contains("Warning:"),
            "kubectl {args:?}: {}",
            said.err
        );
        said.out
    }

    fn fails(&self, args: &str) -> String {
        let said = self.run(&words(args), "");
        assert!(!said.ok, "kubectl {args} succeeded: {}", said.out);
        said.err
    }
}

fn words(args: &str) -> Vec<&str> {
    args.split(' ').collect()
}

/// Asserts that each of the texts stands in what was printed.
fn has(printed: &str, texts: &[&str]) {
    for text in texts {
        assert!(printed.contains(text), "{text:?} is missing in:\n{printed}");
    }
}

/// The columns of a table's line.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|cells| cells.contains(&name))
        .unwrap_or_else(|| panic!("no line with {name} in:\n{table}"))
}

/// What a kubectl prints, as it prints it.
enum Line {
    Out(String),
    Err(String),
}

/// A kubectl at work: what it prints, and its end at the latest with the test's.
struct Running {
    child: Child,
    lines: Receiver<Line>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("kubectl was found a moment ago");
        let (sender, lines) = mpsc::channel();
        let out = child.stdout.take().expect("it was piped");
        forward(out, sender.clone(), Line::Out);
        let err = child.stderr.take().expect("it was piped");
        forward(err, sender, Line::Err);
        Self { child, lines }
    }

    fn following(lab: &Lab, args: &str) -> Self {
        Self::start(lab.command(&words(args)))
    }

    /// Waits for its end, which must be a good one.
    fn ends_well(&mut self) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(Line::Out(_) | Line::Err(_)) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("kubectl does not end"),
            }
        }
        assert!(self.child.wait().unwrap().success());
    }

    /// The next line that has these texts.
    fn line(&self, texts: &[&str]) -> String {
        let mut before = String::new();
        loop {
            let next = self.lines.recv_timeout(PATIENCE);
            let Ok(Line::Out(line) | Line::Err(line)) = next else {
                panic!("no line with {texts:?} in:\n{before}");
            };
            if texts.iter().all(|text| line.contains(text)) {
                return line;
            }
            before.extend([&line, "\n"]);
        }
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<Line>, as_line: fn(String) -> Line) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(as_line(line)).is_err() {
                break;
            }
        }
    });
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether kubectl can be run here. Where it cannot, that is said, and the test counts as skipped, not as passed.
pub(crate) fn kubectl_is_here(test: &str) -> bool {
    let found = Command::new(kubectl())
        .args(["version", "--client"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        say(&format!("SKIPPED: {test}: kubectl is not on the path"));
        tally::add("kubectl sessions SKIPPED: no kubectl", 1);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_on_the_embedded_server() {
    if !kubectl_is_here("kubectl_works_on_the_embedded_server") {
        return;
    }
    let lab = Lab::open().await;
    let lab = tokio::task::spawn_blocking(move || {
        discover(&lab);
        write(&lab);
        follow(&lab);
        remove(&lab);
        apply::server_side(&lab);
        apply::beside_other_verbs(&lab);
        apply::migrated(&lab);
        verbs::other_verbs(&lab);
        built_in_kinds(&lab);
        refusals(&lab);
        lab
    })
    .await
    .unwrap();
    lab.close().await;
    tally::add("kubectl sessions on the embedded server", 1);
}

fn discover(lab: &Lab) {
    let resources = lab.ok("api-resources");
    has(
        &resources,
        &[
            "ippools",
            "ipclaims",
            "ipaddressclaims",
            "namespaces",
            "leases",
            "events",
        ],
    );
    assert!(row(&resources, "ippools").contains(&"IPPool"));
    has(
        &lab.ok("api-versions"),
        &[
            "ipam.metal3.io/v1alpha1",
            "ipam.cluster.x-k8s.io/v1beta2",
            "v1",
        ],
    );
    has(&lab.ok("version"), &["v1.36"]);
    has(
        &lab.ok("get crd"),
        &[
            "ippools.ipam.metal3.io",
            "clusters.cluster.x-k8s.io",
            "CREATED AT",
        ],
    );
    has(
        &lab.ok("explain ippool.spec"),
        &[
            "namePrefix",
            "-required-",
            "The ranges, consumed in the order written",
        ],
    );
    has(
        &lab.ok("explain ippool.spec.pools.gateway"),
        &["FIELD: gateway <string>"],
    );
    has(
        &lab.ok("explain ipaddressclaims.spec"),
        &["KIND:       IPAddressClaim", "poolRef"],
    );
    has(
        &lab.ok("explain ippool.metadata.labels"),
        &["Labels, for selecting objects"],
    );
    has(&lab.ok("auth whoami"), &["system:masters"]);
    has(&lab.ok("auth can-i delete ippools"), &["yes"]);
}

fn write(lab: &Lab) {
    has(&lab.ok("create namespace lab"), &["namespace/lab created"]);
    let both = format!("{POOL}---{CLAIM}");
    let applied = lab.ok_with(&["apply", "-f", "-"], &both);
    has(
        &applied,
        &[
            "ippool.ipam.metal3.io/pool1 created",
            "ipclaim.ipam.metal3.io/claim1 created",
        ],
    );
    has(
        &lab.ok_with(&["apply", "-f", "-"], &both),
        &["pool1 unchanged", "claim1 unchanged"],
    );
    has(&lab.ok_with(&["diff", "-f", "-"], &both), &[]);
    let changed = POOL.replace("192.168.0.30", "192.168.0.40");
    has(
        &lab.ok_with(&["apply", "-f", "-"], &changed),
        &["pool1 configured"],
    );
    let end = "jsonpath={.spec.pools[0].end}";
    assert_eq!(
        lab.ok_with(&["get", "ippool", "pool1", "-n", "lab", "-o", end], ""),
        "192.168.0.40"
    );

    let tables = lab.ok("get ippools,ipclaims -A");
    has(
        &tables,
        &[
            "NAMESPACE",
            "ippool.ipam.metal3.io/pool1",
            "ipclaim.ipam.metal3.io/claim1",
            "CAPACITY",
        ],
    );
    assert_eq!(
        row(&tables, "ipclaim.ipam.metal3.io/claim1")[..3],
        ["lab", "ipclaim.ipam.metal3.io/claim1", "pool1"]
    );
    has(&lab.ok("get ippool pool1 -n lab -o wide"), &["pool1"]);
    has(
        &lab.ok("get m3ipp -n lab -o name"),
        &["ippool.ipam.metal3.io/pool1"],
    );
    has(
        &lab.ok("get cluster-api -n lab"),
        &[
            "ippool.ipam.metal3.io/pool1",
            "ipclaim.ipam.metal3.io/claim1",
        ],
    );
    has(
        &lab.ok("get ippool pool1 -n lab -o yaml"),
        &["namePrefix: test1-prov", "uid:"],
    );
    let described = lab.ok("describe ippool pool1 -n lab");
    has(
        &described,
        &["Name Prefix:", "192.168.0.40", "Events:", "<none>"],
    );

    let merge = r#"--patch={"spec":{"preAllocations":{"claim9":"192.168.0.12"}}}"#;
    has(
        &lab.ok_with(
            &[
                "patch",
                "ippool",
                "pool1",
                "-n",
                "lab",
                "--type=merge",
                merge,
            ],
            "",
        ),
        &["pool1 patched"],
    );
    let json = r#"--patch=[{"op":"replace","path":"/spec/gateway","value":"192.168.0.2"}]"#;
    has(
        &lab.ok_with(
            &["patch", "ippool", "pool1", "-n", "lab", "--type=json", json],
            "",
        ),
        &["pool1 patched"],
    );
    let spec = lab.ok_with(
        &[
            "get",
            "ippool",
            "pool1",
            "-n",
            "lab",
            "-o",
            "jsonpath={.spec}",
        ],
        "",
    );
    has(&spec, &["claim9", r#""gateway":"192.168.0.2""#]);

    has(
        &lab.ok("label ippool pool1 -n lab rack=a"),
        &["pool1 labeled"],
    );
    has(
        &lab.ok("annotate ippool pool1 -n lab note=hello"),
        &["pool1 annotated"],
    );
    has(&lab.ok("get ippools -A -l rack=a"), &["pool1"]);
    has(
        &lab.run(&words("get ippools -A -l rack=b"), "").err,
        &["No resources found"],
    );
    has(
        &lab.ok("get ippools -A --field-selector=metadata.name=pool1"),
        &["pool1"],
    );

    edit(lab);
    let replaced = lab.ok("get ipclaim claim1 -n lab -o json");
    has(
        &lab.ok_with(&["replace", "-f", "-"], &replaced),
        &["claim1 replaced"],
    );
}

fn edit(lab: &Lab) {
    edit_with(
        lab,
        "s/192.168.0.2$/192.168.0.3/",
        &words("ippool pool1 -n lab"),
    );
    let gateway = "jsonpath={.spec.gateway}";
    assert_eq!(
        lab.ok_with(&["get", "ippool", "pool1", "-n", "lab", "-o", gateway], ""),
        "192.168.0.3"
    );
}

/// A field of the first pool, as text.
fn field(lab: &Lab, path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    let mut args = words("get -o");
    args.push(&path);
    args.extend(words(POOL1));
    lab.ok_with(&args, "")
}

/// Edits an object as a user does, by this sed script.
fn edit_with(lab: &Lab, sed: &str, object: &[&str]) {
    let script = lab.dir.path().join("edit.sh");
    fs::write(&script, format!("#!/bin/sh\nsed -i '{sed}' \"$1\"\n")).unwrap();
    make_executable(&script);
    let args = [&["edit"], object].concat();
    let mut command = lab.command(&args);
    command.env("KUBE_EDITOR", &script);
    let said = Lab::end(command, &args, "");
    assert!(said.ok, "{}{}", said.out, said.err);
    has(&said.out, &[" edited"]);
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

const READY: &str = r#"--patch={"status":{"address":{"name":"test1-prov-192-168-0-10"},"conditions":[{"type":"Ready","status":"True",
"reason":"AddressAllocated","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;

fn follow(lab: &Lab) {
    let watching = Running::following(lab, "get ipclaims -n lab -w");
    watching.line(&["claim1", "pool1"]);
    let waiting = Running::following(
        lab,
        "wait --for=condition=Ready ipclaim/claim1 -n lab --timeout=50s",
    );
    let patch = [
        "patch",
        "ipclaim",
        "claim1",
        "-n",
        "lab",
        "--subresource=status",
        "--type=merge",
        READY,
    ];
    has(&lab.ok_with(&patch, ""), &["claim1 patched"]);
    watching.line(&["claim1", "test1-prov-192-168-0-10", "True"]);
    waiting.line(&["claim1 condition met"]);
    has(
        &lab.ok("wait --for=condition=Ready ipclaim/claim1 -n lab --timeout=50s"),
        &["condition met"],
    );
    let table = lab.ok("get ipc -n lab");
    assert_eq!(
        row(&table, "claim1")[..4],
        ["claim1", "pool1", "test1-prov-192-168-0-10", "True"]
    );
    let none = lab.fails("wait --for=condition=Exhausted ippool/pool1 -n lab --timeout=1s");
    has(&none, &["timed out"]);
}

fn remove(lab: &Lab) {
    let hold = r#"--patch={"metadata":{"finalizers":["example.com/hold"]}}"#;
    lab.ok_with(
        &[
            "patch",
            "ipclaim",
            "claim1",
            "-n",
            "lab",
            "--type=merge",
            hold,
        ],
        "",
    );
    let mut deleting = Running::following(lab, "delete ipclaim claim1 -n lab");
    deleting.line(&["claim1", "deleted"]);
    let stamp = "jsonpath={.metadata.deletionTimestamp}";
    assert!(
        !lab.ok_with(&["get", "ipclaim", "claim1", "-n", "lab", "-o", stamp], "")
            .is_empty()
    );
    let free = r#"--patch={"metadata":{"finalizers":null}}"#;
    lab.ok_with(
        &[
            "patch",
            "ipclaim",
            "claim1",
            "-n",
            "lab",
            "--type=merge",
            free,
        ],
        "",
    );
    deleting.ends_well();
    has(
        &lab.fails("get ipclaim claim1 -n lab"),
        &[r#"ipclaims.ipam.metal3.io "claim1" not found"#],
    );
    lab.ok_with(&["create", "-f", "-"], CLAIM);
    has(
        &lab.ok("delete ipclaims --all -n lab"),
        &["claim1", "deleted"],
    );
    has(
        &lab.ok("delete ippool pool1 -n lab --cascade=foreground"),
        &["pool1", "deleted"],
    );
}

fn built_in_kinds(lab: &Lab) {
    lab.ok("create configmap settings -n lab --from-literal=a=1 --from-literal=b=2");
    assert_eq!(
        row(&lab.ok("get cm -n lab"), "settings")[..2],
        ["settings", "2"]
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, namespace: lab}\ndata: {k: v}\n";
    has(
        &lab.ok_with(&["apply", "-f", "-"], map),
        &["configmap/applied created"],
    );
    let changed = map.replace("k: v", "k: w");
    has(
        &lab.ok_with(&["apply", "-f", "-"], &changed),
        &["configmap/applied configured"],
    );
    has(&lab.ok("describe cm applied -n lab"), &["k:", "w"]);
    lab.ok("create secret generic hidden -n lab --from-literal=a=1");
    assert_eq!(
        row(&lab.ok("get secrets -n lab"), "hidden")[..3],
        ["hidden", "Opaque", "1"]
    );
    lab.ok("label namespace lab site=north");
    assert_eq!(row(&lab.ok("get ns"), "lab")[..2], ["lab", "Active"]);
    has(&lab.ok("describe ns lab"), &["site=north", "Active"]);

    let event = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"e1","namespace":"lab"},"type":"Warning","reason":"PoolExhausted",
        "message":"no free address","involvedObject":{"kind":"IPPool","name":"pool1","namespace":"lab"},"lastTimestamp":"2026-01-01T00:00:00Z"}"#;
    lab.ok_with(&["create", "-f", "-"], event);
    let events = lab.ok("get events -n lab");
    assert_eq!(
        row(&events, "PoolExhausted")[1..4],
        ["Warning", "PoolExhausted", "ippool/pool1"]
    );
    let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l1, namespace: lab}\nspec: {holderIdentity: me, leaseDurationSeconds: 15}\n";
    lab.ok_with(&["apply", "-f", "-"], lease);
    assert_eq!(
        row(&lab.ok("get leases -A"), "l1")[..3],
        ["lab", "l1", "me"]
    );
    has(&lab.ok("delete namespace lab"), &["deleted"]);
    has(&lab.fails("get ns lab"), &[r#"namespaces "lab" not found"#]);
    has(
        &lab.run(&words("get cm,leases -n lab"), "").err,
        &["No resources found"],
    );
}

fn refusals(lab: &Lab) {
    let odd = POOL
        .replace("namespace: lab", "namespace: default")
        .replace("gateway:", "gatway:");
    let said = lab.run(&["apply", "-f", "-"], &odd);
    assert!(!said.ok, "{}", said.out);
    has(&said.err, &[r#"unknown field "spec.gatway""#]);
    let said = lab.run(&["apply", "--validate=warn", "-f", "-"], &odd);
    assert!(said.ok, "{}", said.err);
    has(&said.err, &[r#"Warning: unknown field "spec.gatway""#]);
    let elsewhere = lab.run(
        &["apply", "-f", "-"],
        &POOL.replace("namespace: lab", "namespace: nowhere"),
    );
    has(&elsewhere.err, &[r#"namespaces "nowhere" not found"#]);
    has(
        &lab.fails("get pods"),
        &["the server doesn't have a resource type \"pods\""],
    );
    has(&lab.fails("--token=wrong get ippools"), &["Unauthorized"]);
}
