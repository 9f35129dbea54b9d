//! The server from outside, over TLS, with certificates in a folder; what lives in the cluster is what the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::body::{MOST, PATIENCE, Places, SMALL};
use super::*;
use crate::admission::Holder;
use crate::api::{ClaimKind, PoolKey};
use crate::observe::metrics::{self, Metrics, PoolMetrics, Sight};

const POOL: &str = "/validate-ipam-metal3-io-v1alpha1-ippool";
const CLAIM: &str = "/validate-ipam-metal3-io-v1alpha1-ipclaim";
const NEW_CLAIM: &str = "/mutate-ipam-metal3-io-v1alpha1-ipclaim";

// === certificates ===

/// An authority, and what its certificates are trusted by.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A pair for 127.0.0.1, and the certificate as the client sees it.
    fn pair(&self) -> (Pair, CertificateDer<'static>) {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        };
        (pair, certificate.der().clone())
    }

    fn client(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// Puts a pair into a folder as the kubelet does: a folder for each version, and one link that is exchanged.
fn put(folder: &Path, version: usize, pair: &Pair) {
    let of_version = folder.join(format!("..{version}"));
    fs::create_dir(&of_version).unwrap();
    fs::write(of_version.join("tls.crt"), &pair.certificate).unwrap();
    fs::write(of_version.join("tls.key"), &pair.key).unwrap();
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        let link = folder.join(file);
        if !link.is_symlink() {
            symlink(format!("..data/{file}"), link).unwrap();
        }
    }
}

// === the server ===

/// What is known, by question; every other question is answered with nothing. Counts what is asked.
#[derive(Default)]
struct Told {
    known: BTreeMap<Question, Answer>,
    asked: Mutex<Vec<Question>>,
}

impl Facts for Told {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        self.asked.lock().unwrap().push(question.clone());
        let answer = self.known.get(&question).cloned();
        let nothing = match question {
            Question::Holders(_) | Question::HoldersOf(..) => Answer::Holders(Vec::new()),
            Question::OtherPools(_) => Answer::Pools(Vec::new()),
            Question::ClaimPoolRef { .. } => Answer::PoolRef(None),
        };
        async move { answer.unwrap_or(nothing) }.boxed()
    }
}

struct Running {
    addr: SocketAddr,
    authority: Authority,
    facts: Arc<Told>,
    metrics: Arc<Metrics>,
    _stop: DropGuard,
}

impl Running {
    async fn start(known: BTreeMap<Question, Answer>, scope: Scope) -> Self {
        let authority = Authority::new();
        let certificates = Certificates::new(Source::Given, TlsOptions::default());
        certificates.give(authority.pair().0);
        Self::with(authority, certificates.into(), known, scope).await
    }

    async fn with(
        authority: Authority,
        certificates: Arc<Certificates>,
        known: BTreeMap<Question, Answer>,
        scope: Scope,
    ) -> Self {
        let webhook = Webhook::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (addr, stop) = (webhook.addr(), CancellationToken::new());
        let facts = Arc::new(Told {
            known,
            asked: Mutex::default(),
        });
        let asked: Arc<dyn Facts> = facts.clone();
        let metrics = Arc::new(Metrics::new());
        let counted = Arc::clone(&metrics);
        tokio::spawn(webhook.serve(certificates, asked, scope, counted, stop.clone()));
        Self {
            addr,
            authority,
            facts,
            metrics,
            _stop: stop.drop_guard(),
        }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.addr, self.authority.client()).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, String) {
        let stream = self.connect().await.unwrap();
        send(stream, request).await.unwrap()
    }

    /// Sends a review; the response of the review that comes back.
    async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, text) = self.send(post(path, review.to_string())).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], "u");
        answer["response"].clone()
    }
}

async fn connect(addr: SocketAddr, tls: TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    tls.connect(name, stream).await
}

/// One request over HTTP/2, as a kube-apiserver sends it.
async fn send(
    stream: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), hyper::Error> {
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status, String::from_utf8(body.to_vec()).unwrap()))
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://127.0.0.1{path}?timeout=3s"))
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

// === reviews ===

/// A review of a write; an update where there is an `old`.
fn review(group: &str, kind: &str, old: Option<&Value>, new: &Value) -> Value {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let gvk = json!({"group": group, "version": "v1alpha1", "kind": kind});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": gvk, "resource": {"group": group, "version": "v1alpha1", "resource": "x"},
        "name": "p", "namespace": "n", "operation": operation, "userInfo": {"username": "admin"},
        "object": new, "oldObject": old, "dryRun": false}})
}

fn of_pool(old: Option<&Value>, new: &Value) -> Value {
    review("ipam.metal3.io", "IPPool", old, new)
}

fn pool(start: &str, end: &str) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p", "namespace": "n"},
        "spec": {"namePrefix": "p", "pools": [{"start": start, "end": end}]}})
}

fn claim(metadata: &Value) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": metadata,
        "spec": {"pool": {"name": "p"}}})
}

fn of_claim(new: &Value) -> Value {
    review("ipam.metal3.io", "IPClaim", None, new)
}

fn key() -> PoolKey {
    PoolKey {
        namespace: "n".into(),
        name: "p".into(),
    }
}

fn known(question: Question, answer: Answer) -> BTreeMap<Question, Answer> {
    BTreeMap::from([(question, answer)])
}

// === what it says ===

#[tokio::test]
async fn a_bad_pool_is_refused_with_each_field_and_a_good_one_passes() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let good = server
        .review(POOL, &of_pool(None, &pool("10.0.0.1", "10.0.0.9")))
        .await;
    assert_eq!(good["allowed"], true, "{good}");
    assert_eq!(good["warnings"], Value::Null);

    let mut bad = pool("10.0.0.9", "10.0.0.1");
    bad["spec"]["gateway"] = "010.0.0.1".into();
    let answer = server.review(POOL, &of_pool(None, &bad)).await;
    assert_eq!(answer["allowed"], false);
    let status = &answer["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(422), &json!("Invalid"))
    );
    assert_eq!(status["status"], "Failure");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("IPPool.ipam.metal3.io \"p\" is invalid: [spec."),
        "{message}"
    );
    let details = &status["details"];
    assert_eq!(
        (&details["name"], &details["kind"]),
        (&json!("p"), &json!("IPPool"))
    );
    let causes = details["causes"].as_array().unwrap();
    let fields: Vec<_> = causes
        .iter()
        .map(|c| c["field"].as_str().unwrap())
        .collect();
    assert!(
        fields.contains(&"spec.pools[0].end") && fields.contains(&"spec.gateway"),
        "{fields:?}"
    );
    for field in fields {
        assert!(message.contains(field), "{message}");
    }
    assert_eq!(causes[0]["reason"], "FieldValueInvalid");
}

#[tokio::test]
async fn the_name_of_an_object_that_has_none_yet_is_the_beginning_of_it() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let mut bad = pool("10.0.0.9", "10.0.0.1");
    bad["metadata"] = json!({"generateName": "rack-", "namespace": "n"});
    let answer = server.review(POOL, &of_pool(None, &bad)).await;
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("IPPool.ipam.metal3.io \"rack-\" is invalid: "),
        "{message}"
    );
}

#[tokio::test]
async fn deletes_and_subresources_are_allowed_whatever_they_hold() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let bad = pool("10.0.0.9", "10.0.0.1");
    for (pointer, value) in [
        ("/request/operation", "DELETE"),
        ("/request/operation", "CONNECT"),
        ("/request/subResource", "status"),
    ] {
        let mut review = of_pool(None, &bad);
        review["request"]["subResource"] = Value::Null;
        *review.pointer_mut(pointer).unwrap() = value.into();
        let answer = server.review(POOL, &review).await;
        assert_eq!(answer["allowed"], true, "{value}: {answer}");
    }
    let mut deleting = bad;
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let answer = server
        .review(POOL, &of_pool(Some(&deleting), &deleting))
        .await;
    assert_eq!(answer["allowed"], true, "{answer}");
}

#[tokio::test]
async fn a_shrink_names_the_holders_and_what_overlaps_is_a_warning() {
    let holder = Holder {
        address: [10, 0, 0, 9].into(),
        by: "IPAddress n/p-10-0-0-9 (claim c)".to_owned(),
    };
    let other = pool("10.0.0.3", "10.0.0.30")["spec"].clone();
    let other = vec![("other".to_owned(), serde_json::from_value(other).unwrap())];
    let mut facts = known(Question::Holders(key()), Answer::Holders(vec![holder]));
    facts.insert(Question::OtherPools(key()), Answer::Pools(other));
    let server = Running::start(facts, Scope::default()).await;

    let (before, after) = (pool("10.0.0.1", "10.0.0.9"), pool("10.0.0.1", "10.0.0.8"));
    let answer = server.review(POOL, &of_pool(Some(&before), &after)).await;
    assert_eq!(answer["allowed"], false);
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("10.0.0.9 by IPAddress n/p-10-0-0-9 (claim c)"),
        "{message}"
    );
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.contains("overlaps pool other"), "{warning}");
    // Each fact once, however often the rules run.
    assert_eq!(server.facts.asked.lock().unwrap().len(), 2);

    let answer = server.review(POOL, &of_pool(None, &before)).await;
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["warnings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_shrink_waits_for_the_lists_and_nothing_else_does() {
    let not_yet = Answer::NotYet("ipaddresses.ipam.metal3.io is not listed yet".to_owned());
    let facts = known(Question::Holders(key()), not_yet);
    let server = Running::start(facts, Scope::default()).await;
    let (before, after) = (pool("10.0.0.1", "10.0.0.9"), pool("10.0.0.1", "10.0.0.8"));
    let answer = server.review(POOL, &of_pool(Some(&before), &after)).await;
    assert_eq!(answer["allowed"], false);
    let status = &answer["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(503), &json!("ServiceUnavailable"))
    );
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("is not listed yet); try again in a moment"),
        "{message}"
    );
    let grown = pool("10.0.0.1", "10.0.0.99");
    let answer = server.review(POOL, &of_pool(Some(&before), &grown)).await;
    assert_eq!(answer["allowed"], true, "{answer}");
}

#[tokio::test]
async fn a_shrink_in_a_namespace_that_is_not_served_passes_with_a_warning() {
    let not_seen = Answer::NotSeen("this manager serves namespace m only".to_owned());
    let server = Running::start(known(Question::Holders(key()), not_seen), Scope::default()).await;
    let (before, after) = (pool("10.0.0.1", "10.0.0.9"), pool("10.0.0.1", "10.0.0.8"));
    let answer = server.review(POOL, &of_pool(Some(&before), &after)).await;
    assert_eq!(answer["allowed"], true);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(
        warning.ends_with("this manager serves namespace m only"),
        "{warning}"
    );
}

// === finalizers ===

/// The claim after the patch of the answer, and whether there was one.
fn patched(claim: &Value, answer: &Value) -> Option<Value> {
    assert_eq!(answer["allowed"], true, "{answer}");
    if answer["patch"].is_null() {
        return None;
    }
    // Go reads bytes from an array of numbers as well as from base64.
    let bytes: Vec<u8> = serde_json::from_value(answer["patch"].clone()).unwrap();
    assert_eq!(answer["patchType"], "JSONPatch");
    let mut claim = claim.clone();
    let patch: json_patch::Patch = serde_json::from_slice(&bytes).unwrap();
    json_patch::patch(&mut claim, &patch).unwrap();
    Some(claim)
}

#[tokio::test]
async fn a_new_claim_gets_its_finalizer_where_this_manager_serves_it() {
    let ours = "ipclaim.ipam.metal3.io";
    let scope = Scope {
        namespace: Some("n".to_owned()),
        watch_filter: Some("blue".to_owned()),
    };
    let blue = json!({"cluster.x-k8s.io/watch-filter": "blue"});
    let server = Running::start(BTreeMap::new(), scope).await;
    for (metadata, want) in [
        (json!({"name": "c", "labels": blue}), Some(json!([ours]))),
        (
            json!({"generateName": "c-", "labels": blue}),
            Some(json!([ours])),
        ),
        (
            json!({"name": "c", "labels": blue, "finalizers": ["x/y"]}),
            Some(json!(["x/y", ours])),
        ),
        (
            json!({"name": "c", "labels": blue, "finalizers": [ours]}),
            None,
        ),
        (
            json!({"name": "c", "labels": blue, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            None,
        ),
        (
            json!({"name": "c", "labels": {"cluster.x-k8s.io/watch-filter": "red"}}),
            None,
        ),
        (json!({"name": "c"}), None),
    ] {
        let claim = claim(&metadata);
        let answer = server.review(NEW_CLAIM, &of_claim(&claim)).await;
        let finalizers = patched(&claim, &answer).map(|c| c["metadata"]["finalizers"].clone());
        assert_eq!(finalizers, want, "{claim}");
    }
    let claim = claim(&json!({"name": "c", "labels": blue}));
    let mut elsewhere = of_claim(&claim);
    elsewhere["request"]["namespace"] = "m".into();
    assert_eq!(
        patched(&claim, &server.review(NEW_CLAIM, &elsewhere).await),
        None
    );
    let update = review("ipam.metal3.io", "IPClaim", Some(&claim), &claim);
    assert_eq!(
        patched(&claim, &server.review(NEW_CLAIM, &update).await),
        None
    );
}

#[tokio::test]
async fn an_ip_address_claim_gets_its_finalizer_when_it_asks_a_pool_of_ours() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let path = "/mutate-ipam-cluster-x-k8s-io-ipaddressclaim";
    for (group, want) in [("ipam.metal3.io", true), ("ipam.example.com", false)] {
        let reference = json!({"apiGroup": group, "kind": "IPPool", "name": "p"});
        let claim = json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim",
            "metadata": {"name": "c"}, "spec": {"poolRef": reference}});
        let asked = review("ipam.cluster.x-k8s.io", "IPAddressClaim", None, &claim);
        let got = patched(&claim, &server.review(path, &asked).await);
        let finalizers = got.map(|c| c["metadata"]["finalizers"].clone());
        assert_eq!(
            finalizers,
            want.then(|| json!([ClaimKind::Capi.claim_finalizer()]))
        );
    }
}

#[tokio::test]
async fn every_path_of_upstreams_configurations_answers_about_its_kind() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    for act in ["validate", "mutate"] {
        for (kind, spec) in [
            ("IPPool", pool("10.0.0.1", "10.0.0.9")["spec"].clone()),
            ("IPClaim", json!({"pool": {"name": "p"}})),
            (
                "IPAddress",
                json!({"pool": {"name": "p"}, "claim": {"name": "c"}, "address": "10.0.0.1"}),
            ),
        ] {
            let path = format!("/{act}-ipam-metal3-io-v1alpha1-{}", kind.to_lowercase());
            let object = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
            let answer = server
                .review(&path, &review("ipam.metal3.io", kind, None, &object))
                .await;
            assert_eq!(answer["allowed"], true, "{path}: {answer}");
        }
    }
}

// === what it does not answer ===

#[tokio::test]
async fn garbage_gets_a_sentence() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let good = of_pool(None, &pool("10.0.0.1", "10.0.0.9"));
    let with = |pointer: &str, value: Value| {
        let mut review = good.clone();
        *review.pointer_mut(pointer).unwrap() = value;
        review.to_string()
    };
    let deep = with("/request/object/spec", "DEEP".into());
    let deep = deep.replace(
        "\"DEEP\"",
        &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    );
    let update = with("/request/operation", "UPDATE".into());
    let bodies = [
        (String::new(), "is no AdmissionReview"),
        ("null".to_owned(), "is no AdmissionReview"),
        ("[]".to_owned(), "is no AdmissionReview"),
        ("{}".to_owned(), "is no AdmissionReview"),
        (good.to_string()[..100].to_owned(), "is no AdmissionReview"),
        (deep, "recursion limit exceeded"),
        (
            with("/request/object", Value::Null),
            "the request has no object",
        ),
        (with("/request/object", json!([])), "is no AdmissionReview"),
        (with("/request/object", json!("x")), "is no AdmissionReview"),
        (
            with("/request/operation", "PATCH".into()),
            "is no AdmissionReview",
        ),
        (update, "the update has no oldObject"),
        (with("/request", Value::Null), "has no request"),
        (
            with("/request/kind/kind", "IPClaim".into()),
            "is about IPClaim.ipam.metal3.io",
        ),
        (
            with("/request/kind/group", "example.com".into()),
            "is about IPPool.example.com",
        ),
        (
            with("/request/kind/kind", "x".repeat(10_000).into()),
            "xxx...",
        ),
        (
            with("/apiVersion", "admission.k8s.io/v1beta1".into()),
            "put v1 first",
        ),
        (with("/kind", "Pod".into()), "the body is Pod"),
    ];
    for (body, sentence) in bodies {
        let (status, text) = server.send(post(POOL, body.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.200}: {text}");
        assert!(
            text.contains(sentence) && text.len() < 1_000,
            "{body:.200}: {text:.1000}"
        );
    }

    let mut get = post(POOL, good.to_string());
    *get.method_mut() = Method::GET;
    assert_eq!(server.send(get).await.0, StatusCode::METHOD_NOT_ALLOWED);
    for kind in ["application/yaml", "text/plain", ""] {
        let mut other = post(POOL, good.to_string());
        other
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
        assert_eq!(
            server.send(other).await.0,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{kind}"
        );
    }
    for path in ["/", "/validate", "/validate-ipam-metal3-io-v1alpha2-ippool"] {
        assert_eq!(
            server.send(post(path, good.to_string())).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let answer = server.review(POOL, &good).await;
    assert_eq!(answer["allowed"], true, "it goes on");
}

#[tokio::test]
async fn an_object_as_large_as_any_is_judged_and_a_larger_body_is_not_read() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let mut large = pool("10.0.0.1", "10.0.0.9");
    let note = "x".repeat(3 << 20);
    large["metadata"]["annotations"] = json!({"note": note});
    let answer = server.review(POOL, &of_pool(Some(&large), &large)).await;
    assert_eq!(answer["allowed"], true);
    let (status, text) = server.send(post(POOL, vec![b' '; MOST + 1])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up_and_gives_its_place_back() {
    let places = Places::new();
    let begun = |size: usize| {
        let first = futures::stream::once(async move {
            Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b' '; size])))
        });
        StreamBody::new(Box::pin(futures::StreamExt::chain(
            first,
            futures::stream::pending(),
        )))
    };
    let start = tokio::time::Instant::now();
    let slow = (0..100).map(|_| places.read(begun(SMALL + 1)));
    for read in futures::future::join_all(slow).await {
        assert_eq!(read.unwrap_err().0, StatusCode::REQUEST_TIMEOUT);
    }
    assert_eq!(start.elapsed(), PATIENCE, "they were given up together");
    let whole = Full::new(Bytes::from(vec![b' '; SMALL + 1]));
    let read = places.read(whole).await.unwrap();
    assert!(read.place.is_some());
}

#[tokio::test]
async fn clients_that_say_nothing_keep_no_api_server_out() {
    rlimit::increase_nofile_limit(3_000).unwrap();
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let answer = server
        .review(CLAIM, &of_claim(&claim(&json!({"name": "c"}))))
        .await;
    assert_eq!(answer["allowed"], true);
}

#[tokio::test]
async fn http_1_is_spoken_too() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let stream = server.connect().await.unwrap();
    // Of ALPN only h2 was offered; a client that speaks HTTP/1.1 all the same is heard.
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let body = of_claim(&claim(&json!({"name": "c"}))).to_string();
    let answer = sender.send_request(post(CLAIM, body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_by_path_and_status_and_other_paths_make_no_series() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let good = of_pool(None, &pool("10.0.0.1", "10.0.0.9"));
    let bad = of_pool(None, &pool("10.0.0.9", "10.0.0.1"));
    for review in [&good, &bad] {
        server.review(POOL, review).await;
    }
    server.send(post(POOL, "garbage")).await;
    server.send(post("/made-up", good.to_string())).await;
    let registry = prometheus::Registry::new();
    metrics::register(
        &registry,
        &server.metrics,
        Box::new(Sight::default),
        PoolMetrics::Off,
    )
    .unwrap();
    let text = String::from_utf8(metrics::text(&registry).unwrap()).unwrap();
    let name = "controller_runtime_webhook";
    for line in [
        format!("{name}_requests_total{{code=\"200\",webhook=\"{POOL}\"}} 2"),
        format!("{name}_requests_total{{code=\"400\",webhook=\"{POOL}\"}} 1"),
        format!("{name}_requests_total{{code=\"200\",webhook=\"{CLAIM}\"}} 0"),
        format!("{name}_latency_seconds_count{{webhook=\"{POOL}\"}} 3"),
        format!("{name}_requests_in_flight{{webhook=\"{POOL}\"}} 0"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(!text.contains("made-up"));
}

// === certificates ===

#[tokio::test]
async fn without_certificate_it_is_not_ready_and_serves_once_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::Folder(folder.path().join("certs"));
    let certificates = Arc::new(Certificates::new(source, TlsOptions::default()));
    let server = Running::with(
        Authority::new(),
        Arc::clone(&certificates),
        BTreeMap::new(),
        Scope::default(),
    )
    .await;
    let why = certificates.ready().unwrap_err();
    assert!(
        why.contains("tls.crt cannot be read") && why.contains("--webhook-cert-dir"),
        "{why}"
    );
    assert!(server.connect().await.is_err());

    let folder = folder.path().join("certs");
    fs::create_dir(&folder).unwrap();
    let (good, served) = server.authority.pair();
    put(&folder, 1, &good);
    assert_eq!(certificates.ready(), Ok(()));
    let stream = server.connect().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);

    // What does not fit together, what is garbage, and what is gone: the last good pair goes on.
    let (other, _) = server.authority.pair();
    let key = other.key.clone();
    put(
        &folder,
        2,
        &Pair {
            key,
            ..good.clone()
        },
    );
    for version in 3..5 {
        let stream = server.connect().await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
        let key = b"garbage".to_vec();
        put(
            &folder,
            version,
            &Pair {
                key,
                ..good.clone()
            },
        );
    }
    fs::remove_file(folder.join("..data")).unwrap();
    let stream = server.connect().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
    assert_eq!(certificates.ready(), Ok(()));
    let (next, served) = server.authority.pair();
    put(&folder, 9, &next);
    let stream = server.connect().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
}

/// What came of reviews beside the rotations.
#[derive(Default)]
struct Reviews {
    /// Begun.
    begun: AtomicU64,
    answered: AtomicU64,
    /// What went wrong, in words.
    failed: Mutex<Vec<String>>,
    /// Certificates that new connections met.
    met: Mutex<BTreeSet<Vec<u8>>>,
    /// Rung after each answer.
    progress: tokio::sync::Notify,
}

impl Reviews {
    /// One review over a connection that it opens, as only such a one meets a new certificate.
    async fn over_a_new_connection(&self, addr: SocketAddr, tls: TlsConnector, body: Bytes) {
        let answer = async {
            let stream = connect(addr, tls).await.map_err(|e| e.to_string())?;
            let certificates = stream.get_ref().1.peer_certificates().unwrap();
            let certificate = certificates[0].to_vec();
            let answer = send(stream, post(CLAIM, body)).await;
            self.met.lock().unwrap().insert(certificate);
            answer.map_err(|e| e.to_string())
        };
        self.came(answer.await);
    }

    /// One review over a connection that lasts, as an API server keeps one.
    async fn over_a_kept_connection(&self, mut kept: SendRequest<Full<Bytes>>, body: Bytes) {
        let answer = async {
            let answer = kept.send_request(post(CLAIM, body)).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((head.status, String::from_utf8_lossy(&body).into_owned()))
        };
        self.came(answer.await.map_err(|e| e.to_string()));
    }

    fn came(&self, answer: Result<(StatusCode, String), String>) {
        match answer {
            Ok((StatusCode::OK, _)) => {
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok((status, text)) => self.failed.lock().unwrap().push(format!("{status} {text}")),
            Err(why) => self.failed.lock().unwrap().push(why),
        }
        self.progress.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_rotations_under_200_reviews_a_second_and_none_fails() {
    const ROTATIONS: usize = 100;
    /// Reviews that begin between two rotations, at least; and so many that one of them must have met the new certificate.
    const BETWEEN: u64 = 20;
    const MOST: u64 = 100 * BETWEEN;
    const A_SECOND: u32 = 200;
    /// Reviews at one time: a slow machine reaches a lower rate instead of a longer queue.
    const AT_ONCE: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (first, mut certificate) = authority.pair();
    put(folder.path(), 0, &first);
    let source = Source::Folder(folder.path().to_owned());
    let certificates = Arc::new(Certificates::new(source, TlsOptions::default()));
    let server = Running::with(authority, certificates, BTreeMap::new(), Scope::default()).await;

    let (reviews, stop) = (Arc::new(Reviews::default()), CancellationToken::new());
    let (addr, tls) = (server.addr, server.authority.client());
    let stream = TokioIo::new(server.connect().await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (kept, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let asking = tokio::spawn({
        let (reviews, stop) = (Arc::clone(&reviews), stop.clone());
        async move {
            let body = Bytes::from(of_claim(&claim(&json!({"name": "c"}))).to_string());
            let mut tick = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
            let (places, tasks) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
            while !stop.is_cancelled() {
                tick.tick().await;
                let place = Arc::clone(&places).acquire_owned().await.unwrap();
                let (reviews, body) = (Arc::clone(&reviews), body.clone());
                let (tls, kept) = (tls.clone(), kept.clone());
                let even = reviews
                    .begun
                    .fetch_add(1, Ordering::SeqCst)
                    .is_multiple_of(2);
                tasks.spawn(async move {
                    if even {
                        reviews.over_a_new_connection(addr, tls, body).await;
                    } else {
                        reviews.over_a_kept_connection(kept, body).await;
                    }
                    drop(place);
                });
            }
            tasks.close();
            tasks.wait().await;
        }
    });
    let begun = std::time::Instant::now();
    for version in 0..=ROTATIONS {
        if version > 0 {
            let (pair, next) = server.authority.pair();
            put(folder.path(), version, &pair);
            certificate = next;
        }
        let before = reviews.begun.load(Ordering::SeqCst);
        let mut since = 0;
        while since < BETWEEN || !reviews.met.lock().unwrap().contains(certificate.as_ref()) {
            assert!(since < MOST, "no review meets certificate {version}");
            let progress = reviews.progress.notified();
            let waited = tokio::time::timeout(Duration::from_secs(30), progress).await;
            let failed = reviews.failed.lock().unwrap().clone();
            assert!(waited.is_ok(), "no review is answered any more: {failed:?}");
            since = reviews.begun.load(Ordering::SeqCst) - before;
        }
    }
    let took = begun.elapsed();
    stop.cancel();
    asking.await.unwrap();

    let answered = reviews.answered.load(Ordering::SeqCst);
    let failed = reviews.failed.lock().unwrap().clone();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = answered as f64 / took.as_secs_f64();
    println!(
        "{ROTATIONS} rotations, {answered} reviews, {} failed, {rate:.0} reviews/s (wanted {A_SECOND})",
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    let met = reviews.met.lock().unwrap().len();
    assert_eq!(met, ROTATIONS + 1, "each certificate was met by a review");
    assert_eq!(answered, reviews.begun.load(Ordering::SeqCst));
}
