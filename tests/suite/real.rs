//! A real control plane: etcd, kube-apiserver and kube-controller-manager (garbage collector and namespace controller), linked
//! from their Go modules by `tests/kube`, with Cluster API's real definitions from `tests/capi`.
//!
//! Built once into the user's cache folder, started once per test process, by whoever needs it first. The three processes end
//! when their standard input does, so nothing outlives the test process, however it ends; etcd takes the folder with it.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::{Client, Config};
use metal3_ipam::api::crds;
use tokio::sync::OnceCell;
use tokio::time::{interval, timeout};

/// The version that `tests/kube/go.mod` names; without it the server calls itself v0.0.0-master.
const VERSION: &str = "v1.36.3";
const TOKEN: &str = "metal3-ipam-tests";

/// The running control plane of this test process.
pub(crate) struct ControlPlane {
    /// How to reach it, as an administrator.
    pub(crate) config: Config,
    /// The same, as a file for programs.
    pub(crate) kubeconfig: PathBuf,
    /// As long as these are open the processes run.
    lifelines: Vec<ChildStdin>,
}

static PLANE: OnceCell<Option<ControlPlane>> = OnceCell::const_new();

/// The control plane, built and started on first use; `None` where there is no Go to build it with, which is said loudly.
pub(crate) async fn control_plane() -> Option<&'static ControlPlane> {
    let start = || async {
        let go = Command::new("go")
            .arg("version")
            .output()
            .ok()
            .filter(|o| o.status.success());
        let Some(go) = go else {
            say(
                "SKIPPED: no Go on the path, so no real kube-apiserver: every scenario runs on the embedded server only.",
            );
            return None;
        };
        let binary = tokio::task::spawn_blocking(move || build(&go.stdout))
            .await
            .unwrap();
        Some(ControlPlane::start(&binary).await)
    };
    PLANE.get_or_init(start).await.as_ref()
}

/// One loud line on standard error, past the capture of a passing test's output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n{line}\n");
}

fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// Path of the built binary in the cache, named by what it is built from.
fn build(go_version: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    go_version.hash(&mut hasher);
    for file in ["go.mod", "go.sum", "main.go"] {
        fs::read(module("kube").join(file))
            .unwrap()
            .hash(&mut hasher);
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .expect("a home folder to cache the control plane in")
        .join("metal3-ipam");
    let binary = cache.join(format!("controlplane-{:016x}", hasher.finish()));
    if binary.exists() {
        return binary;
    }
    fs::create_dir_all(&cache).unwrap();
    say(&format!(
        "Building a real kube-apiserver {VERSION} into the cache; this takes 6 to 8 minutes on 2 cores, once."
    ));
    let unfinished = cache.join(format!("controlplane-{}.unfinished", std::process::id()));
    let ldflags = format!("-s -w -X k8s.io/component-base/version.gitVersion={VERSION}");
    let built = Command::new("go")
        .args([
            "build",
            "-trimpath",
            "-mod=readonly",
            "-ldflags",
            &ldflags,
            "-o",
        ])
        .arg(&unfinished)
        .arg(".")
        .current_dir(module("kube"))
        .status()
        .unwrap();
    assert!(built.success(), "go build of tests/kube failed");
    fs::rename(&unfinished, &binary).unwrap();
    binary
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl ControlPlane {
    async fn start(binary: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap().keep();
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(dir.join("sa.key"), key.serialize_pem()).unwrap();
        fs::write(dir.join("sa.pub"), key.public_key_pem()).unwrap();
        fs::write(
            dir.join("tokens.csv"),
            format!("{TOKEN},admin,admin,\"system:masters\"\n"),
        )
        .unwrap();
        let (etcd, port) = (format!("http://127.0.0.1:{}", free_port()), free_port());
        let at = |file: &str| dir.join(file).to_str().unwrap().to_owned();
        let mut plane = Self {
            config: Config::new(format!("https://127.0.0.1:{port}").parse().unwrap()),
            kubeconfig: dir.join("kubeconfig"),
            lifelines: Vec::new(),
        };
        plane.config.accept_invalid_certs = true;
        plane.config.auth_info.token = Some(TOKEN.to_owned().into());
        plane.spawn(
            binary,
            &dir,
            "etcd",
            &[
                at(""),
                etcd.clone(),
                format!("http://127.0.0.1:{}", free_port()),
            ],
        );
        plane.spawn(
            binary,
            &dir,
            "kube-apiserver",
            &[
                format!("--etcd-servers={etcd}"),
                format!("--cert-dir={}", at("certs")),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".into(),
                "--service-cluster-ip-range=10.0.0.0/24".into(),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                format!("--service-account-key-file={}", at("sa.pub")),
                format!("--service-account-signing-key-file={}", at("sa.key")),
                format!("--token-auth-file={}", at("tokens.csv")),
                "--authorization-mode=RBAC".into(),
                "--disable-admission-plugins=ServiceAccount".into(),
            ],
        );
        let client = Client::try_from(plane.config.clone()).unwrap();
        until_answered(&client, "/readyz").await;
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::write(dir.join("kubeconfig"), kubeconfig.to_string()).unwrap();
        plane.spawn(
            binary,
            &dir,
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", at("kubeconfig")),
                "--controllers=garbage-collector-controller,namespace-controller".into(),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
            ],
        );
        plane.install(client).await;
        plane
    }

    fn spawn(&mut self, binary: &Path, dir: &Path, command: &str, args: &[String]) {
        let log = fs::File::create(dir.join(format!("{command}.log"))).unwrap();
        #[expect(
            clippy::zombie_processes,
            reason = "it lives as long as this process, and ends with its standard input"
        )]
        let mut child = Command::new(binary)
            .arg(command)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.lifelines.push(child.stdin.take().unwrap());
    }

    /// Our definitions and Cluster API's real ones, served.
    async fn install(&self, client: Client) {
        let mut definitions = crds::metal3_crds();
        definitions.extend(capi_definitions());
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in &definitions {
            api.create(&PostParams::default(), definition)
                .await
                .unwrap();
        }
        for definition in &definitions {
            let version = definition.spec.versions.iter().find(|v| v.storage).unwrap();
            let (group, plural) = (&definition.spec.group, &definition.spec.names.plural);
            until_answered(
                &client,
                &format!("/apis/{group}/{}/{plural}?limit=1", version.name),
            )
            .await;
        }
    }
}

/// IPAddressClaim, IPAddress and Cluster as Cluster API defines them, in the version that it stores.
fn capi_definitions() -> Vec<CustomResourceDefinition> {
    let listed = Command::new("go")
        .args(["mod", "download", "-json", "sigs.k8s.io/cluster-api"])
        .current_dir(module("capi"))
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "go mod download: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let folder = Path::new(listed["Dir"].as_str().unwrap()).join("core/config/crd/bases");
    [
        "ipam.cluster.x-k8s.io_ipaddressclaims",
        "ipam.cluster.x-k8s.io_ipaddresses",
        "cluster.x-k8s.io_clusters",
    ]
    .into_iter()
    .map(|name| {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let mut definition: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        definition.spec.versions.retain(|v| v.storage);
        definition.status = None;
        definition
    })
    .collect()
}

/// Asks until the server answers this path with 2xx: what it starts in the background it cannot announce.
async fn until_answered(client: &Client, path: &str) {
    let mut last = None;
    let answered = timeout(Duration::from_mins(2), async {
        let mut tick = interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            match client.request_text(request).await {
                Ok(_) => return,
                Err(e) => last = Some(e),
            }
        }
    });
    let answered = answered.await;
    assert!(
        answered.is_ok(),
        "the real control plane does not answer {path}: {last:?}"
    );
}
