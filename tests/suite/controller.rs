//! The controller's shell on the embedded server, through a layer that can fail in every way that a server and a network can:
//! discovery that hides a group, answers lost before and after the commit, watches that end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::client::Body;
use kube::{Client, ResourceExt};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::api::{ClaimKind, Kind};
use metal3_ipam::controller::{Controller, ControllerError, LeaseSettings, Settings, Verb, View};
use metal3_ipam::pool::KindState;
use metal3_ipam::standalone::{self, Server};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::BoxError;

/// Longest time that anything here may take before it counts as never.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the layer does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Passes.
    Pass,
    /// Never reaches the server; answered with this code.
    Refused(u16),
    /// Carried out, then answered with 500.
    Hidden,
    /// Carried out, then the connection breaks.
    Lost,
    /// Carried out; the answer's body is cut.
    Cut,
    /// Never reaches the server: connection refused.
    Unconnected,
}

/// The fate of the n-th write.
type Plan = Box<dyn Fn(u64, &Method, &str) -> Fate + Send + Sync>;

/// A layer between a controller and the server.
struct Between {
    hidden: AtomicBool,
    writes: AtomicU64,
    plan: Plan,
    /// Watches end after this many bytes frames.
    cut_watches_after: Option<usize>,
    expired: AtomicBool,
    watches: Mutex<BTreeMap<String, u64>>,
}

/// The body of an answer, whole or cut.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(Into::into).boxed_unsync()
}

fn passed(response: Response<Body>) -> Response<Answer> {
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

fn status(code: u16, message: &str) -> Response<Answer> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message });
    let mut response = Response::new(whole(serde_json::to_vec(&body).unwrap()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

impl Between {
    fn new(plan: impl Fn(u64, &Method, &str) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            hidden: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            plan: Box::new(plan),
            cut_watches_after: None,
            expired: AtomicBool::new(false),
            watches: Mutex::default(),
        }
    }

    fn client(self: &Arc<Self>, server: &Server) -> Client {
        let (between, inner) = (Arc::clone(self), server.client());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (between, inner) = (Arc::clone(&between), inner.clone());
            async move { between.pass(inner, request).await }
        });
        Client::new(service, "default")
    }

    async fn pass(
        &self,
        inner: Client,
        request: Request<Body>,
    ) -> Result<Response<Answer>, BoxError> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if request.method() == Method::GET {
            if query.contains("watch=1") {
                *self.watches.lock().unwrap().entry(path).or_default() += 1;
                if self.expired.load(Ordering::SeqCst) {
                    return Ok(status(410, "too old resource version"));
                }
                let response = inner.send(request).await?;
                return Ok(match self.cut_watches_after {
                    Some(frames) => response.map(|body| cut(body, frames)),
                    None => passed(response),
                });
            }
            if path == "/apis" && self.hidden.load(Ordering::SeqCst) {
                let response = inner.send(request).await?;
                let mut groups: Value =
                    serde_json::from_slice(&response.into_body().collect_bytes().await?)?;
                let all = groups["groups"].as_array_mut().unwrap();
                all.retain(|g| !g["name"].as_str().unwrap().contains("cluster.x-k8s.io"));
                return Ok(Response::new(whole(serde_json::to_vec(&groups)?)));
            }
            return Ok(passed(inner.send(request).await?));
        }
        let n = self.writes.fetch_add(1, Ordering::SeqCst);
        match (self.plan)(n, request.method(), &path) {
            Fate::Pass => Ok(passed(inner.send(request).await?)),
            Fate::Refused(code) => {
                let mut response = status(code, "refused by the test");
                if code == 429 {
                    response.headers_mut().insert("retry-after", 1.into());
                }
                Ok(response)
            }
            Fate::Hidden => {
                inner.send(request).await?;
                Ok(status(500, "the answer is hidden by the test"))
            }
            Fate::Lost => {
                inner.send(request).await?;
                Err("connection reset by the test".into())
            }
            Fate::Cut => {
                let response = inner.send(request).await?;
                let (parts, body) = response.into_parts();
                let bytes = body.collect_bytes().await?;
                let half = bytes.slice(..bytes.len() / 2);
                Ok(Response::from_parts(parts, whole(half)))
            }
            Fate::Unconnected => {
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
            }
        }
    }
}

/// A body that ends after so many frames.
fn cut(body: Body, frames: usize) -> Answer {
    let frames = body.into_data_stream().take(frames);
    let frames = frames.map(|bytes| bytes.map(hyper::body::Frame::data));
    StreamBody::new(frames).map_err(Into::into).boxed_unsync()
}

struct Site {
    server: Server,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = standalone::options(dir.path().to_owned());
        let server = Server::open(options).await.unwrap();
        Self {
            client: server.client(),
            server,
            _dir: dir,
        }
    }

    fn start(&self, between: &Arc<Between>, settings: Settings) -> Run {
        let (watches, writes) = (between.client(&self.server), between.client(&self.server));
        let controller = Controller::new(watches, writes, settings);
        let (view, stop) = (controller.view(), CancellationToken::new());
        let task = tokio::spawn(controller.run(stop.clone()));
        Run { view, stop, task }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn pool(&self, name: &str, third: u8) {
        let pool: IPPool = serde_json::from_value(json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": { "name": name },
            "spec": { "namePrefix": name, "pools": [{ "start": format!("10.0.{third}.1"), "end": format!("10.0.{}.250", third + 3) }] },
        }))
        .unwrap();
        self.api()
            .create(&PostParams::default(), &pool)
            .await
            .unwrap();
    }

    /// Claims of both kinds, half of each.
    async fn claims(&self, pool: &str, from: u32, n: u32) {
        let (metal3, capi): (Api<IPClaim>, Api<IPAddressClaim>) = (self.api(), self.api());
        let create = (from..from + n).map(async |i| {
            let name = format!("{pool}-{i}");
            if i % 2 == 0 {
                metal3
                    .create(&PostParams::default(), &metal3_claim(&name, pool))
                    .await
                    .unwrap();
            } else {
                capi.create(&PostParams::default(), &capi_claim(&name, pool))
                    .await
                    .unwrap();
            }
        });
        futures::future::join_all(create).await;
    }

    /// Address by claim, of bound claims; panics when one is given out twice.
    async fn bound(&self) -> BTreeMap<String, String> {
        let all = ListParams::default();
        // Claims first: what they point at was there before.
        let metal3 = self.api::<IPClaim>().list(&all).await.unwrap();
        let capi = self.api::<IPAddressClaim>().list(&all).await.unwrap();
        let mut addresses: BTreeMap<String, String> = BTreeMap::new();
        for a in self.api::<IPAddress>().list(&all).await.unwrap() {
            addresses.insert(format!("m/{}", a.name_any()), a.spec.address.0);
        }
        for a in self.api::<CapiIPAddress>().list(&all).await.unwrap() {
            addresses.insert(format!("c/{}", a.name_any()), a.spec.address);
        }
        let mut bound = BTreeMap::new();
        for c in metal3 {
            let name = c.name_any();
            if let Some(of) = c.status.and_then(|s| s.address).and_then(|a| a.name) {
                bound.insert(
                    format!("IPClaim {name}"),
                    addresses[&format!("m/{of}")].clone(),
                );
            }
        }
        for c in capi {
            let name = c.name_any();
            if let Some(of) = c.status.and_then(|s| s.address_ref) {
                let address = addresses[&format!("c/{}", of.name)].clone();
                bound.insert(format!("IPAddressClaim {name}"), address);
            }
        }
        let distinct: BTreeSet<&String> = bound.values().collect();
        assert_eq!(
            distinct.len(),
            bound.len(),
            "an address is bound twice (A1)"
        );
        bound
    }
}

fn metal3_claim(name: &str, pool: &str) -> IPClaim {
    serde_json::from_value(json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": { "name": name },
        "spec": { "pool": { "name": pool } },
    }))
    .unwrap()
}

fn capi_claim(name: &str, pool: &str) -> IPAddressClaim {
    serde_json::from_value(json!({
        "apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim", "metadata": { "name": name },
        "spec": { "poolRef": { "apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool } },
    }))
    .unwrap()
}

struct Run {
    view: View,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControllerError>>,
}

impl Run {
    async fn until(&self, what: &str, so: impl Fn(&View) -> bool) {
        let mut changes = self.view.changes();
        let wait = async {
            while !so(&self.view) {
                self.view.changed(&mut changes).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        let (snapshots, counters) = (self.view.snapshots(), self.view.counters());
        assert!(waited.is_ok(), "never: {what}; {snapshots:?} {counters:?}");
    }

    async fn bound(&self, n: u64) {
        self.until(&format!("{n} bound"), |view| {
            view.counters().bound.values().sum::<u64>() >= n
        })
        .await;
    }

    /// As the objects say it: an answer that was lost leaves no line in the counters.
    async fn bound_on(&self, site: &Site, n: usize) {
        let mut changes = self.view.changes();
        let wait = async {
            while site.bound().await.len() < n {
                self.view.changed(&mut changes).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        let snapshots = self.view.snapshots();
        assert!(waited.is_ok(), "never: {n} bound; {snapshots:?}");
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Claims of both kinds, in at most three writes each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_both_kinds_are_bound_in_three_writes_each() {
    let site = Site::open().await;
    let between = Arc::new(Between::new(|_, _, _| Fate::Pass));
    let run = site.start(&between, Settings::default());
    site.pool("p", 0).await;
    site.claims("p", 0, 200).await;
    run.bound(200).await;
    assert_eq!(site.bound().await.len(), 200);
    let counters = run.view.counters();
    let of_pools: u64 = counters
        .requests
        .iter()
        .filter(|((_, kind, _), _)| *kind == Kind::Pools)
        .map(|(_, n)| n)
        .sum();
    let writes = counters.writes() - of_pools;
    assert!(
        writes <= 600,
        "{writes} writes for 200 claims: {counters:?}"
    );
    let lost: u64 = counters
        .requests
        .iter()
        .filter(|((verb, _, outcome), _)| *verb != Verb::Get && *outcome == "conflict")
        .map(|(_, n)| n)
        .sum();
    assert!(
        lost <= 5,
        "{lost} conflicts without anyone else at work: {counters:?}"
    );
    // A2, R3: everything goes, and the addresses are free again.
    let all = ListParams::default();
    let background = DeleteParams::background();
    site.api::<IPClaim>()
        .delete_collection(&background, &all)
        .await
        .unwrap();
    site.api::<IPAddressClaim>()
        .delete_collection(&background, &all)
        .await
        .unwrap();
    run.until("released", |view| {
        view.counters().released.values().sum::<u64>() >= 200
            && view
                .snapshots()
                .iter()
                .all(|s| s.allocated == 0 && s.claims == 0)
    })
    .await;
    assert!(
        site.api::<IPAddress>()
            .list(&all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        site.api::<CapiIPAddress>()
            .list(&all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    run.end().await;
}

/// A3: no Cluster API at start; it is picked up without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_cluster_api_is_picked_up_when_it_is_installed_later() {
    let site = Site::open().await;
    let between = Arc::new(Between::new(|_, _, _| Fate::Pass));
    between.hidden.store(true, Ordering::SeqCst);
    let settings = Settings {
        discovery_interval: Duration::from_millis(50),
        ..Settings::default()
    };
    let run = site.start(&between, settings);
    site.pool("p", 0).await;
    site.claims("p", 0, 10).await;
    run.bound(5).await;
    assert!(run.view.is_synced());
    assert_eq!(
        run.view.kinds()[Kind::Claims(ClaimKind::Capi)],
        KindState::Absent
    );
    assert_eq!(run.view.kinds()[Kind::Clusters], KindState::Absent);
    between.hidden.store(false, Ordering::SeqCst);
    run.bound(10).await;
    assert_eq!(
        run.view.kinds()[Kind::Claims(ClaimKind::Capi)],
        KindState::Listed
    );
    assert_eq!(site.bound().await.len(), 10);
    run.end().await;
}

/// F1, F2, F5, F7, F8: whatever happens to a write, every claim is bound, and no address twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_answers_of_every_kind() {
    let fates = [
        Fate::Refused(500),
        Fate::Hidden,
        Fate::Lost,
        Fate::Cut,
        Fate::Unconnected,
        Fate::Refused(503),
        Fate::Refused(429),
        Fate::Refused(409),
    ];
    let site = Site::open().await;
    // Every third write fails for a while, each time in another way; then the server is well again.
    let between = Arc::new(Between::new(move |n, _, _| match n {
        0..400 if n % 3 == 0 => fates[usize::try_from(n / 3).unwrap() % fates.len()],
        _ => Fate::Pass,
    }));
    let run = site.start(&between, Settings::default());
    site.pool("p", 0).await;
    site.pool("q", 8).await;
    site.claims("p", 0, 60).await;
    site.claims("q", 0, 60).await;
    run.bound_on(&site, 120).await;
    let all = ListParams::default();
    let objects = site
        .api::<IPAddress>()
        .list(&all)
        .await
        .unwrap()
        .items
        .len()
        + site
            .api::<CapiIPAddress>()
            .list(&all)
            .await
            .unwrap()
            .items
            .len();
    assert_eq!(objects, 120, "no create was repeated under another name");
    run.end().await;
}

/// W7, W8: watches that end after every few events, then a history that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_watches_that_end_lose_nothing() {
    let site = Site::open().await;
    let mut between = Between::new(|_, _, _| Fate::Pass);
    between.cut_watches_after = Some(3);
    let between = Arc::new(between);
    let run = site.start(&between, Settings::default());
    site.pool("p", 0).await;
    site.claims("p", 0, 50).await;
    run.bound(50).await;
    between.expired.store(true, Ordering::SeqCst);
    site.claims("p", 50, 50).await;
    run.bound(60).await;
    between.expired.store(false, Ordering::SeqCst);
    run.bound(100).await;
    assert_eq!(site.bound().await.len(), 100);
    let restarts: u64 = run.view.counters().restarts.values().sum();
    assert!(restarts > 6, "{restarts}");
    run.end().await;
}

/// A crash and a restart: the next one goes on where the first was, whatever it was doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_controller_continues_after_its_predecessor_was_killed() {
    let site = Site::open().await;
    site.pool("p", 0).await;
    site.claims("p", 0, 100).await;
    for n in [1, 5, 20, 60] {
        // From its n-th write on nothing of it reaches the server: as if killed.
        let between = Arc::new(Between::new(move |i, _, _| {
            if i < n { Fate::Pass } else { Fate::Unconnected }
        }));
        let run = site.start(&between, Settings::default());
        run.until("dead", |_| between.writes.load(Ordering::SeqCst) > n)
            .await;
        run.task.abort();
    }
    let between = Arc::new(Between::new(|_, _, _| Fate::Pass));
    let run = site.start(&between, Settings::default());
    run.bound_on(&site, 100).await;
    assert_eq!(site.bound().await.len(), 100);
    run.end().await;
}

/// P5: one leads, the other waits with warm caches and goes on the moment that the first gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_standby_leads_when_the_lease_is_given_up() {
    let site = Site::open().await;
    let lease = |identity: &str| Settings {
        lease: Some(LeaseSettings {
            identity: identity.to_owned(),
            retry_period: Duration::from_millis(100),
            ..LeaseSettings::new("default")
        }),
        ..Settings::default()
    };
    let between = Arc::new(Between::new(|_, _, _| Fate::Pass));
    let first = site.start(&between, lease("first"));
    first.until("leading", View::is_leading).await;
    let other = Arc::new(Between::new(|_, _, _| Fate::Pass));
    let second = site.start(&other, lease("second"));
    second.until("synced", View::is_synced).await;
    site.pool("p", 0).await;
    site.claims("p", 0, 20).await;
    first.bound(20).await;
    assert!(!second.view.is_leading());
    assert_eq!(second.view.counters().writes(), 0);
    first.end().await;
    second.until("leading", View::is_leading).await;
    site.claims("p", 20, 20).await;
    second.bound(20).await;
    assert_eq!(site.bound().await.len(), 40);
    second.end().await;
}
