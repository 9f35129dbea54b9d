//! A webhook server on a port of 127.0.0.1, and reviews to send to it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::*;
use crate::api::PoolKey;
use crate::observe::metrics::Metrics;

pub(super) const POOL: &str = "/validate-ipam-metal3-io-v1alpha1-ippool";
pub(super) const CLAIM: &str = "/validate-ipam-metal3-io-v1alpha1-ipclaim";
pub(super) const NEW_CLAIM: &str = "/mutate-ipam-metal3-io-v1alpha1-ipclaim";

// === certificates ===

/// An authority, and what its certificates are trusted by.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
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
    pub(super) fn pair(&self) -> (Pair, CertificateDer<'static>) {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        };
        (pair, certificate.der().clone())
    }

    pub(super) fn client(&self) -> TlsConnector {
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
pub(super) fn put(folder: &Path, version: usize, pair: &Pair) {
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
pub(super) struct Told {
    pub(super) known: BTreeMap<Question, Answer>,
    pub(super) asked: Mutex<Vec<Question>>,
    /// Whether no question is answered any more.
    pub(super) is_stuck: AtomicBool,
}

impl Facts for Told {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        self.asked.lock().unwrap().push(question.clone());
        if self.is_stuck.load(Ordering::SeqCst) {
            return futures::future::pending().boxed();
        }
        let answer = self.known.get(&question).cloned();
        let nothing = match question {
            Question::Holders(_) | Question::HoldersOf(..) => Answer::Holders(Vec::new()),
            Question::Overlaps(..) => Answer::Overlaps(Vec::new()),
            Question::ClaimPoolRef { .. } => Answer::PoolRef(None),
        };
        async move { answer.unwrap_or(nothing) }.boxed()
    }
}

pub(super) struct Running {
    pub(super) addr: SocketAddr,
    pub(super) authority: Authority,
    pub(super) facts: Arc<Told>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) _stop: DropGuard,
}

impl Running {
    pub(super) async fn start(known: BTreeMap<Question, Answer>, scope: Scope) -> Self {
        let authority = Authority::new();
        let certificates = Certificates::new(Source::Given, TlsOptions::default(), Arc::default());
        certificates.give(authority.pair().0);
        Self::with(authority, certificates.into(), known, scope).await
    }

    pub(super) async fn with(
        authority: Authority,
        certificates: Arc<Certificates>,
        known: BTreeMap<Question, Answer>,
        scope: Scope,
    ) -> Self {
        let webhook = Webhook::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (addr, stop) = (webhook.addr(), CancellationToken::new());
        let facts = Arc::new(Told {
            known,
            ..Told::default()
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

    pub(super) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.addr, self.authority.client()).await
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, String) {
        let stream = self.connect().await.unwrap();
        send(stream, request).await.unwrap()
    }

    /// Sends a review; the response of the review that comes back.
    pub(super) async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, text) = self.send(post(path, review.to_string())).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], "u");
        answer["response"].clone()
    }
}

pub(super) async fn connect(
    addr: SocketAddr,
    tls: TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    tls.connect(name, stream).await
}

/// One request over HTTP/2, as a kube-apiserver sends it.
pub(super) async fn send(
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

pub(super) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://127.0.0.1{path}?timeout=3s"))
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

// === reviews ===

/// A review of a write; an update where there is an `old`.
pub(super) fn review(group: &str, kind: &str, old: Option<&Value>, new: &Value) -> Value {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let gvk = json!({"group": group, "version": "v1alpha1", "kind": kind});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": gvk, "resource": {"group": group, "version": "v1alpha1", "resource": "x"},
        "name": "p", "namespace": "n", "operation": operation, "userInfo": {"username": "admin"},
        "object": new, "oldObject": old, "dryRun": false}})
}

pub(super) fn of_pool(old: Option<&Value>, new: &Value) -> Value {
    review("ipam.metal3.io", "IPPool", old, new)
}

pub(super) fn pool(start: &str, end: &str) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p", "namespace": "n"},
        "spec": {"namePrefix": "p", "pools": [{"start": start, "end": end}]}})
}

pub(super) fn claim(metadata: &Value) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": metadata,
        "spec": {"pool": {"name": "p"}}})
}

pub(super) fn of_claim(new: &Value) -> Value {
    review("ipam.metal3.io", "IPClaim", None, new)
}

pub(super) fn key() -> PoolKey {
    PoolKey {
        namespace: "n".into(),
        name: "p".into(),
    }
}

pub(super) fn known(question: Question, answer: Answer) -> BTreeMap<Question, Answer> {
    BTreeMap::from([(question, answer)])
}

// === what it says ===
