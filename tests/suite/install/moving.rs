//! A real `clusterctl move` between two real API servers with a manager on both: every claim keeps its name and address, and
//! the target's manager writes to no address object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::crds::metal3_crds;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::control_plane::{self, ApiServer, Versions, capi_definitions, clusterctl, say, skipped};
use crate::harness::{On, World, capi_claim_json, claim_json, published};
use crate::proxy::{Asked, Proxy};
use crate::steps::{address_json, capi_published, range};
use crate::tally;

/// Claims of each kind that have an address.
const CLAIMS: usize = 50;
const POOLS: [&str; 3] = ["p0", "p1", "p2"];
/// By which clusterctl knows the kinds that it moves.
const LABEL: &str = "clusterctl.cluster.x-k8s.io";

/// Two servers.
struct Two {
    program: PathBuf,
    from: PathBuf,
    target: ApiServer,
    home: TempDir,
}

impl Two {
    async fn start(test: &str) -> Option<Self> {
        let mut definitions = metal3_crds();
        if control_plane::started().await.is_some() {
            definitions.extend(capi_definitions(Versions::Stored));
        }
        let Some(target) = control_plane::private(&definitions).await else {
            skipped(test);
            return None;
        };
        let source = &control_plane::started().await?.shared;
        for server in [source, &target] {
            label(&client(server.config.clone()).unwrap()).await;
        }
        Some(Self {
            program: clusterctl().await.expect("the server was built with Go"),
            from: source.kubeconfig.clone(),
            target,
            home: tempfile::tempdir().unwrap(),
        })
    }

    fn command(&self, args: &[&str], world: &World) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("move")
            .args(args)
            .args(["--namespace", &world.namespace])
            .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true")
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path())
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn from(&self) -> String {
        format!("--kubeconfig={}", self.from.display())
    }

    fn to(&self) -> String {
        format!("--to-kubeconfig={}", self.target.kubeconfig.display())
    }

    /// A whole move; it must succeed.
    async fn run(&self, args: &[&str], world: &World) {
        let ended = self.command(args, world).output().await.unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "clusterctl move {args:?}: {err}");
    }

    /// A move that goes on.
    fn begin(&self, world: &World) -> Child {
        let mut command = self.command(&[&self.from(), &self.to()], world);
        let log = std::fs::File::create(self.log()).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        command.spawn().unwrap()
    }

    /// What the move that goes on says.
    fn log(&self) -> PathBuf {
        self.home.path().join("move.log")
    }

    /// The namespace of the same name on the target, with a manager whose requests are recorded.
    async fn target_of(&self, source: &World) -> (World, Proxy) {
        let proxy = Proxy::start(&self.target.config).await;
        let mut config = self.target.config.clone();
        let server = proxy.cluster()["server"].as_str().unwrap().parse();
        config.cluster_url = server.unwrap();
        let client = client(config).unwrap();
        let namespace = json!({"metadata": {"name": source.namespace}});
        let namespace: Namespace = serde_json::from_value(namespace).unwrap();
        let all = Api::<Namespace>::all(client.clone());
        all.create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        let mut target = World::on(client);
        target.namespace.clone_from(&source.namespace);
        target.start_controller();
        (target, proxy)
    }
}

/// Cluster API's installation does this by its manifests.
async fn label(client: &Client) {
    let all = Api::<CustomResourceDefinition>::all(client.clone());
    for definition in all.list(&ListParams::default()).await.unwrap() {
        if definition.spec.group.ends_with("cluster.x-k8s.io") {
            let patch =
                json!({"metadata": {"labels": {LABEL: "", "cluster.x-k8s.io/v1beta2": "v1beta2"}}});
            let name = definition.name_any();
            all.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .unwrap();
        }
    }
}

/// A Cluster that may be moved, with pools, claims of both kinds, one that waits, one with a pre-allocation, and an address that
/// somebody made by hand.
async fn fill(source: &World) {
    // Its spec must not be empty when clusterctl takes the pause away.
    source.cluster("c", false).await;
    let endpoint = json!({"spec": {"controlPlaneEndpoint": {"host": "127.0.0.1", "port": 6443}}});
    let _: Cluster = source.patch("c", endpoint).await;
    let ready = json!({"type": "ControlPlaneInitialized", "status": "True", "reason": "Initialized", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"initialization": {"infrastructureProvisioned": true, "controlPlaneInitialized": true},
        "conditions": [ready]});
    let cluster: Cluster = source.patch_status("c", status).await;
    let owner = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": "c",
        "uid": cluster.meta().uid});
    for (n, pool) in POOLS.iter().enumerate() {
        let mut spec = range(&format!("10.{n}.0.1"), &format!("10.{n}.0.99"));
        spec["clusterName"] = json!("c");
        if n == 0 {
            spec["preAllocations"] = json!({"promised": "10.0.0.77"});
        }
        source.pool(pool, spec).await;
    }
    let mut full = range("10.9.0.1", "10.9.0.1");
    full["clusterName"] = json!("c");
    source.pool("full", full).await;
    let owned = |mut claim: Value| {
        claim["metadata"]["ownerReferences"] = json!([owner]);
        claim
    };
    for n in 0..CLAIMS {
        let pool = POOLS[n % POOLS.len()];
        let _: IPClaim = source
            .create(owned(claim_json(&format!("m{n:02}"), pool)))
            .await;
        let _: IPAddressClaim = source
            .create(owned(capi_claim_json(&format!("c{n:02}"), pool)))
            .await;
    }
    let _: IPClaim = source.create(owned(claim_json("promised", "p0"))).await;
    let _: IPClaim = source.create(owned(claim_json("only", "full"))).await;
    source.address_of("only").await;
    let _: IPClaim = source.create(owned(claim_json("waits", "full"))).await;
    let mut external = address_json("router", "p1", "router", "10.1.0.55");
    external["metadata"]["labels"] = json!({format!("{LABEL}/move"): ""});
    let _: IPAddress = source.create(external).await;
}

/// Name and address of the object that a claim shows, by the claim.
type Shown = BTreeMap<String, Option<(String, String)>>;

/// What every claim of both kinds shows, with the address behind it; `None` for one that waits.
async fn shown(world: &World) -> Shown {
    let addresses = world.until::<IPAddress>("a list", |_| true).await;
    let capi = world.until::<CapiIPAddress>("a list", |_| true).await;
    let mut shown = BTreeMap::new();
    for (name, claim) in world.until::<IPClaim>("a list", |_| true).await {
        let of = |object: String| {
            let address = addresses.get(&object)?.spec.address.to_string();
            Some((object, address))
        };
        shown.insert(format!("IPClaim {name}"), published(&claim).and_then(of));
    }
    for (name, claim) in world.until::<IPAddressClaim>("a list", |_| true).await {
        let of = |object: String| {
            let address = capi.get(&object)?.spec.address.clone();
            Some((object, address))
        };
        shown.insert(
            format!("IPAddressClaim {name}"),
            capi_published(&claim).and_then(of),
        );
    }
    shown
}

/// Waits until every claim but the one that waits shows its address.
async fn all_bound(world: &World) -> Shown {
    let bound = |name: &str, is: bool| is || name == "waits";
    let whole = |n: usize| n >= CLAIMS;
    world
        .until::<IPClaim>("every IPClaim to be bound", |all| {
            let each = |(name, claim): (&String, &IPClaim)| bound(name, published(claim).is_some());
            whole(all.len()) && all.iter().all(each)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim to be bound", |all| {
            whole(all.len()) && all.values().all(|claim| capi_published(claim).is_some())
        })
        .await;
    shown(world).await
}

/// What has to hold after a move; the source keeps its objects where it went by files.
async fn moved(before: &Shown, (source, target, proxy): (World, World, Proxy), is_empty: bool) {
    assert_eq!(
        &all_bound(&target).await,
        before,
        "every claim keeps its address"
    );
    let of_addresses = |asked: &Asked| asked.is_write() && asked.path.contains("/ipaddresses");
    let written = proxy.asked().into_iter().filter(of_addresses);
    let written: Vec<_> = written.map(|asked| (asked.method, asked.path)).collect();
    assert_eq!(
        written,
        [],
        "the target's manager writes to no address object"
    );
    let metal3 = target.until::<IPAddress>("a list", |_| true).await.len();
    let capi = target
        .until::<CapiIPAddress>("a list", |_| true)
        .await
        .len();
    assert_eq!(metal3 + capi, 2 * CLAIMS + 3);
    assert!(before["IPClaim waits"].is_none());
    target.claim("next", "p1").await;
    let next = target.address_of("next").await;
    assert!(
        before
            .values()
            .flatten()
            .all(|(_, address)| *address != next)
            && next != "10.1.0.55",
        "{next} is free"
    );
    if is_empty {
        source.none::<IPAddress>().await;
        source.none::<CapiIPAddress>().await;
        source.none::<IPClaim>().await;
        source.none::<IPAddressClaim>().await;
        source.none::<IPPool>().await;
    }
    target.end().await;
    source.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_clusterctl_moves_claims_with_their_addresses() {
    let Some(two) = Two::start("p3_clusterctl_moves_claims_with_their_addresses").await else {
        return;
    };
    // The target's manager begins anew again and again meanwhile.
    let (before, (source, mut target, proxy)) = ready(&two).await;
    let mut moving = two.begin(&source);
    let mut starts = 0;
    let ended = loop {
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(700), moving.wait()).await {
            break ended.unwrap();
        }
        target.stop_controller().await;
        target.start_controller();
        starts += 1;
    };
    let log = std::fs::read_to_string(two.log()).unwrap();
    assert!(
        ended.success() && starts > 0,
        "{ended}, {starts} starts: {log}"
    );
    moved(&before, (source, target, proxy), true).await;

    // Broken off when half of the claims are there, and done again.
    let (before, (source, target, proxy)) = ready(&two).await;
    let mut moving = two.begin(&source);
    target
        .until::<IPClaim>("half of the claims to be moved", |all| {
            all.len() > CLAIMS / 2
        })
        .await;
    moving.kill().await.unwrap();
    // clusterctl moves no paused Cluster; the operator takes the pause of the broken move away.
    let unpaused = json!({"spec": {"paused": false}});
    let _: Cluster = source.patch("c", unpaused).await;
    two.run(&[&two.from(), &two.to()], &source).await;
    moved(&before, (source, target, proxy), true).await;

    // By way of files; the source keeps its objects, paused.
    let (before, (source, target, proxy)) = ready(&two).await;
    let files = tempfile::tempdir().unwrap();
    let folder = |flag: &str, path: &Path| format!("--{flag}-directory={}", path.display());
    two.run(&[&two.from(), &folder("to", files.path())], &source)
        .await;
    two.run(&[&two.to(), &folder("from", files.path())], &source)
        .await;
    moved(&before, (source, target, proxy), false).await;

    tally::add("moves by a real clusterctl", 3);
    say(&format!(
        "Real: clusterctl moved {} claims three times, with the target's manager restarted {starts} times, broken off and repeated, and by files",
        2 * CLAIMS + 3
    ));
}

/// A source with everything bound, its target, and what the claims show.
async fn ready(two: &Two) -> (Shown, (World, World, Proxy)) {
    let source = World::start(On::Real).await;
    fill(&source).await;
    let before = all_bound(&source).await;
    let owned = |pool: &IPPool| {
        pool.owner_references()
            .iter()
            .any(|owner| owner.kind == "Cluster")
    };
    source
        .until::<IPPool>("every pool to be the Cluster's", |all| {
            all.values().all(owned)
        })
        .await;
    let (target, proxy) = two.target_of(&source).await;
    (before, (source, target, proxy))
}
