//! A proxy before an API server, for a program under test: it writes down every request in the order of arrival, and what it
//! was answered. It passes the caller's own token on, so the server judges the caller's rights and not the test's.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Once it is answered.
    pub(crate) status: Option<StatusCode>,
}

/// A proxy; it ends when dropped.
pub(crate) struct Proxy {
    addr: SocketAddr,
    asked: Log,
    task: JoinHandle<()>,
}

/// Every request so far, in the order of arrival.
type Log = Arc<watch::Sender<Vec<Asked>>>;

// === impl Asked ===

impl Asked {
    /// Whether it changes something of the kinds that are managed here (leases and dry runs are none of these).
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET && self.path.contains("/ip")
    }

    /// The verb, group and resource that rights are given for, such as `patch ipam.metal3.io ippools/status`.
    pub(crate) fn right(&self) -> Option<String> {
        let path = self.path.strip_prefix("/apis/")?;
        let mut parts = path.split('/');
        let (group, _version) = (parts.next()?, parts.next()?);
        let mut next = parts.next()?;
        if next == "namespaces" {
            parts.next()?;
            next = parts.next()?;
        }
        let (resource, name, subresource) = (next, parts.next(), parts.next());
        let verb = match (&self.method, name) {
            (&Method::GET, Some(_)) => "get",
            (&Method::GET, None) if self.query.contains("watch=1") => "watch",
            (&Method::GET, None) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            (other, _) => panic!("{other} {path}"),
        };
        let subresource = subresource.map(|s| format!("/{s}")).unwrap_or_default();
        Some(format!("{verb} {group} {resource}{subresource}"))
    }
}

// === impl Proxy ===

impl Proxy {
    /// A proxy before the server that this configuration leads to; its credentials are not used.
    pub(crate) async fn start(config: &Config) -> Self {
        let mut config = config.clone();
        config.auth_info = kube::config::AuthInfo::default();
        let server = metal3_ipam::controller::client(config).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Log::default();
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, log) = (server.clone(), Arc::clone(&log));
                connections.spawn(async move {
                    let pass = service_fn(move |request| {
                        let (server, log) = (server.clone(), Arc::clone(&log));
                        async move { Ok::<_, Infallible>(pass(&server, &log, request).await) }
                    });
                    // Ends with the caller, who may be killed at any moment.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), pass)
                        .await;
                });
            }
        });
        Self { addr, asked, task }
    }

    /// The `cluster` of a kubeconfig that leads here.
    pub(crate) fn cluster(&self) -> serde_json::Value {
        serde_json::json!({"server": format!("http://{}", self.addr)})
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Waits until the requests so far are as `holds` wants them.
    pub(crate) async fn until(&self, holds: impl Fn(&[Asked]) -> bool) {
        let mut asked = self.asked.subscribe();
        let holds = asked.wait_for(|asked| holds(asked));
        let waited = timeout(Duration::from_mins(2), holds).await;
        waited.expect("asked so in two minutes").unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    server: &Client,
    log: &watch::Sender<Vec<Asked>>,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut number = 0;
    log.send_modify(|log| {
        number = log.len();
        log.push(Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            status: None,
        });
    });
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(HOST);
    let answer = async {
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        let request = Request::from_parts(parts, Body::from(body.to_vec()));
        server.send(request).await.map_err(|e| e.to_string())
    };
    match answer.await {
        Ok(response) => {
            log.send_modify(|log| log[number].status = Some(response.status()));
            response
        }
        Err(e) => {
            let mut response = Response::new(Body::from(e.into_bytes()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}
