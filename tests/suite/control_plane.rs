//! A real control plane: etcd, kube-apiserver and kube-controller-manager (garbage collector and namespace controller), linked
//! from their Go modules by `tests/kube`, with Cluster API's real definitions from `tests/capi`.
//!
//! Built once into the user's cache folder, and started once per test process, by the first test that needs it. The three
//! processes end when their standard input does, so nothing outlives the test process, however it ends; etcd deletes the folder.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Config};
use metal3_ipam::api::crds;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::{interval, timeout};

use crate::{tally, upstream};

/// The version that `tests/kube/go.mod` names; without it the server calls itself v0.0.0-master.
const VERSION: &str = "v1.36.3";
/// The administrator's.
pub(crate) const TOKEN: &str = "metal3-ipam-tests";

/// The running control plane of this test process.
pub(crate) struct ControlPlane {
    /// The server that scenarios share, each in a namespace of its own.
    pub(crate) shared: ApiServer,
    upstream: OnceCell<ApiServer>,
    site: Site,
    _etcd: Process,
}

/// What every server of this run is started from.
struct Site {
    binary: PathBuf,
    dir: PathBuf,
    etcd: String,
}

/// A kube-apiserver with a kube-controller-manager on it; ended when dropped.
pub(crate) struct ApiServer {
    /// How to reach it, as an administrator.
    pub(crate) config: Config,
    /// The same, as a file for programs.
    pub(crate) kubeconfig: PathBuf,
    client: Client,
    binary: PathBuf,
    args: Vec<String>,
    // Before the server, so that it is not left asking a dead one.
    _controllers: Process,
    process: Process,
    /// Of a private one: the next is started when this one has ended.
    _turn: Option<SemaphorePermit<'static>>,
}

/// One process, which runs as long as its standard input is open.
pub(crate) struct Process {
    child: Child,
    lifeline: Option<ChildStdin>,
}

static PLANE: OnceCell<Option<ControlPlane>> = OnceCell::const_new();

/// The control plane, built and started on first use; `None` where there is no Go to build it with, which is said loudly.
pub(crate) async fn started() -> Option<&'static ControlPlane> {
    let start = || async {
        let Some(go) = go_version() else {
            say(
                "SKIPPED: no Go on the path, so no real kube-apiserver: every scenario runs on the embedded server only.",
            );
            return None;
        };
        let built = tokio::task::spawn_blocking(move || Program::control_plane().built(&go));
        let binary = built.await.unwrap();
        Some(ControlPlane::start(binary).await)
    };
    PLANE.get_or_init(start).await.as_ref()
}

/// Whether there is a real server for this test; where there is none the test is [`skipped`].
pub(crate) async fn is_there(test: &str) -> bool {
    let there = started().await.is_some();
    if !there {
        skipped(test);
    }
    there
}

/// Says and counts that a test is skipped because there is no real server.
pub(crate) fn skipped(test: &str) {
    say(&format!("SKIPPED on a real server: {test}"));
    tally::add("scenarios SKIPPED on a real kube-apiserver: no Go", 1);
}

/// A kube-apiserver of the caller's own, for what concerns a whole cluster: definitions that change, a server that ends. One
/// at a time, for each costs 400 MB. `None` without Go.
pub(crate) async fn private(definitions: &[CustomResourceDefinition]) -> Option<ApiServer> {
    static ONE: Semaphore = Semaphore::const_new(1);
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let plane = started().await?;
    let turn = ONE.acquire().await.unwrap();
    let name = format!("private-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Some(ApiServer::start(&plane.site, &name, definitions, Some(turn)).await)
}

/// One loud line on standard error, past the capture of a passing test's output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n{line}\n");
}

/// Folder of a Go module of `tests/`.
fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// A Go program of `tests/`.
struct Program {
    /// Its folder there.
    folder: &'static str,
    name: &'static str,
    /// What is said while it is built.
    what: &'static str,
    ldflags: String,
}

impl Program {
    fn control_plane() -> Self {
        Self {
            folder: "kube",
            name: "controlplane",
            what: "Building a real kube-apiserver into the cache; this takes 6 to 8 minutes on 2 cores, once.",
            ldflags: format!("-s -w -X k8s.io/component-base/version.gitVersion={VERSION}"),
        }
    }

    fn clusterctl() -> Self {
        Self {
            folder: "capi",
            name: "clusterctl",
            what: "Building clusterctl into the cache; this takes 1 to 3 minutes on 2 cores, once.",
            ldflags: "-s -w".to_owned(),
        }
    }

    fn helm() -> Self {
        Self {
            folder: "helm",
            name: "helm",
            what: "Building Helm into the cache; this takes 1 to 3 minutes on 2 cores, once.",
            ldflags: "-s -w".to_owned(),
        }
    }

    /// Path of the built binary in the cache, named by what it is built from.
    fn built(&self, go_version: &[u8]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        go_version.hash(&mut hasher);
        for file in ["go.mod", "go.sum", "main.go"] {
            fs::read(module(self.folder).join(file))
                .unwrap()
                .hash(&mut hasher);
        }
        let cache = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .expect("a home folder to cache Go programs in")
            .join("metal3-ipam");
        let binary = cache.join(format!("{}-{:016x}", self.name, hasher.finish()));
        if binary.exists() {
            return binary;
        }
        fs::create_dir_all(&cache).unwrap();
        say(self.what);
        let unfinished = cache.join(format!("{}-{}.unfinished", self.name, std::process::id()));
        let built = Command::new("go")
            .args(["build", "-trimpath", "-mod=readonly", "-ldflags"])
            .arg(&self.ldflags)
            .arg("-o")
            .arg(&unfinished)
            .arg(".")
            .current_dir(module(self.folder))
            .status()
            .unwrap();
        assert!(built.success(), "go build of tests/{} failed", self.folder);
        fs::rename(&unfinished, &binary).unwrap();
        binary
    }
}

/// What `go version` says; `None` where there is no Go.
fn go_version() -> Option<Vec<u8>> {
    let said = Command::new("go").arg("version").output().ok()?;
    said.status.success().then_some(said.stdout)
}

/// clusterctl, built on first use; `None` where there is no Go.
pub(crate) async fn clusterctl() -> Option<PathBuf> {
    let go = go_version()?;
    let built = tokio::task::spawn_blocking(move || Program::clusterctl().built(&go));
    Some(built.await.unwrap())
}

/// Helm, built on first use; `None` where there is no Go.
pub(crate) async fn helm() -> Option<PathBuf> {
    static BUILT: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let build = || async {
        let go = go_version()?;
        let built = tokio::task::spawn_blocking(move || Program::helm().built(&go));
        Some(built.await.unwrap())
    };
    BUILT.get_or_init(build).await.clone()
}

/// A port that is free, and that this process gets once. It lies below those that the kernel gives to outgoing connections (from
/// 32768 on by default): of these the scenarios open thousands, and one could take the port before the server has it.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 16_000;
    const COUNT: u32 = 16_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Two runs at one time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let next = || {
        let number = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        u16::try_from(FIRST + number % COUNT).unwrap()
    };
    let mut ports = std::iter::repeat_with(next).take(COUNT as usize);
    ports.find(is_free).expect("a free port")
}

impl ControlPlane {
    /// etcd in a folder of its own, then the kube-apiserver that all scenarios share.
    async fn start(binary: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap().keep();
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(dir.join("sa.key"), key.serialize_pem()).unwrap();
        fs::write(dir.join("sa.pub"), key.public_key_pem()).unwrap();
        let tokens = format!("{TOKEN},admin,admin,\"system:masters\"\n");
        fs::write(dir.join("tokens.csv"), tokens).unwrap();
        let etcd = format!("http://127.0.0.1:{}", free_port());
        let peers = format!("http://127.0.0.1:{}", free_port());
        let folder = format!("{}/", dir.display());
        let storage = Process::start(&binary, &dir, "etcd", &[folder, etcd.clone(), peers]);
        let site = Site { binary, dir, etcd };
        let mut definitions = crds::metal3_crds();
        definitions.extend(capi_definitions(Versions::Stored));
        let shared = ApiServer::start(&site, "shared", &definitions, None).await;
        Self {
            shared,
            upstream: OnceCell::new(),
            site,
            _etcd: storage,
        }
    }

    /// A server with upstream's definitions of the Metal3 kinds, and Cluster API's own; started on first use and then shared as
    /// the other one is.
    pub(crate) async fn upstream(&self) -> &ApiServer {
        let start = || async {
            let mut definitions = upstream::definitions();
            definitions.extend(capi_definitions(Versions::Stored));
            ApiServer::start(&self.site, "upstream", &definitions, None).await
        };
        self.upstream.get_or_init(start).await
    }

    /// A contender for a lease that is written with client-go, as upstream's manager is.
    pub(crate) fn contender(&self, kubeconfig: &Path, lease: [&str; 2], identity: &str) -> Process {
        let [namespace, name] = lease.map(str::to_owned);
        let kubeconfig = kubeconfig.display().to_string();
        let args = [kubeconfig, namespace, name, identity.to_owned()];
        Process::start(&self.site.binary, &self.site.dir, "elect", &args)
    }
}

impl Process {
    fn start(binary: &Path, logs: &Path, command: &str, args: &[String]) -> Self {
        let log = fs::File::options();
        let log = log
            .clone()
            .create(true)
            .append(true)
            .open(logs.join(format!("{command}.log")));
        let log = log.unwrap();
        let mut child = Command::new(binary)
            .arg(command)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let lifeline = child.stdin.take();
        Self { child, lifeline }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    /// Not run for those of the shared server, which a static holds: they end with the test process.
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.child.wait();
    }
}

impl ApiServer {
    /// A kube-apiserver with these definitions, its keys in etcd under a prefix of its own.
    async fn start(
        site: &Site,
        name: &str,
        definitions: &[CustomResourceDefinition],
        turn: Option<SemaphorePermit<'static>>,
    ) -> Self {
        let port = free_port();
        let dir = site.dir.join(name);
        fs::create_dir(&dir).unwrap();
        let kubeconfig = dir.join("kubeconfig");
        let server = format!("https://127.0.0.1:{port}");
        let mut config = Config::new(server.parse().unwrap());
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(TOKEN.to_owned().into());
        let cluster = json!({"server": server, "insecure-skip-tls-verify": true});
        fs::write(&kubeconfig, kubeconfig_of(&cluster, TOKEN, "default")).unwrap();
        let in_site = |file: &str| site.dir.join(file).display().to_string();
        let args = vec![
            format!("--etcd-servers={}", site.etcd),
            format!("--etcd-prefix=/{name}"),
            format!("--cert-dir={}", dir.join("certs").display()),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", in_site("sa.pub")),
            format!("--service-account-signing-key-file={}", in_site("sa.key")),
            format!("--token-auth-file={}", in_site("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
        ];
        let process = Process::start(&site.binary, &dir, "kube-apiserver", &args);
        let client = Client::try_from(config.clone()).unwrap();
        until_answered(&client, "/readyz").await;
        let controllers = Process::start(
            &site.binary,
            &dir,
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", kubeconfig.display()),
                "--controllers=garbage-collector-controller,namespace-controller".into(),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
            ],
        );
        let server = Self {
            config,
            kubeconfig,
            client,
            binary: site.binary.clone(),
            args,
            _controllers: controllers,
            process,
            _turn: turn,
        };
        server.define(definitions).await;
        server
    }

    /// Creates these definitions and waits until each is served in the versions that it names.
    pub(crate) async fn define(&self, definitions: &[CustomResourceDefinition]) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for definition in definitions {
            let made = api.create(&PostParams::default(), definition).await;
            made.unwrap();
        }
        for definition in definitions {
            self.until_served(definition).await;
        }
    }

    /// Waits until a definition is served in the versions that it names.
    pub(crate) async fn until_served(&self, definition: &CustomResourceDefinition) {
        let (group, plural) = (&definition.spec.group, &definition.spec.names.plural);
        for version in definition.spec.versions.iter().filter(|v| v.served) {
            let path = format!("/apis/{group}/{}/{plural}?limit=1", version.name);
            until_answered(&self.client, &path).await;
        }
    }

    /// `kill -9` of the server, and the same one again, on the same port with the same objects. Returns once it answers.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        let logs = self.kubeconfig.parent().unwrap();
        self.process = Process::start(&self.binary, logs, "kube-apiserver", &self.args);
        until_answered(&self.client, "/readyz").await;
        // It is ready before it has loaded its custom kinds.
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for definition in api.list(&ListParams::default()).await.unwrap() {
            self.until_served(&definition).await;
        }
    }
}

/// A kubeconfig for one server and one token, in a file's text.
pub(crate) fn kubeconfig_of(cluster: &Value, token: &str, namespace: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    })
    .to_string()
}

/// Versions of Cluster API's kinds that a definition serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// v1beta2, the one that is stored.
    Stored,
    /// v1beta1 and v1beta2, with nothing but the version's name converted between them.
    Both,
}

/// The folder of Cluster API's module.
pub(crate) fn capi_source() -> PathBuf {
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
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    PathBuf::from(listed["Dir"].as_str().unwrap())
}

/// IPAddressClaim, IPAddress and Cluster as Cluster API defines them, in these versions. Its conversion is a webhook of
/// Cluster API's own, which is not here; with one version there is nothing to convert.
pub(crate) fn capi_definitions(versions: Versions) -> Vec<CustomResourceDefinition> {
    let folder = capi_source().join("core/config/crd/bases");
    [
        "ipam.cluster.x-k8s.io_ipaddressclaims",
        "ipam.cluster.x-k8s.io_ipaddresses",
        "cluster.x-k8s.io_clusters",
    ]
    .into_iter()
    .map(|name| {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let mut definition: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        let count = match versions {
            Versions::Stored => {
                definition.spec.versions.retain(|v| v.storage);
                1
            }
            Versions::Both => {
                definition
                    .spec
                    .versions
                    .retain(|v| v.name.starts_with("v1beta"));
                2
            }
        };
        assert_eq!(definition.spec.versions.len(), count, "{name}");
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
