//! A proxy before an API server, for a program under test: it records every request in the order of arrival, and its answer. It
//! passes the caller's token on, so the server applies the caller's rights and not the test's.

use std::convert::Infallible;
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::BoxError;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    /// What the server answered; `None` until then, and where the proxy answered.
    pub(crate) status: Option<StatusCode>,
}

/// What a role gives rights to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// With a subresource, if it is of one: `ippools/status`.
    pub(crate) resource: String,
    /// Of one object: its name.
    pub(crate) name: Option<String>,
}

/// What is done to writes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Nothing.
    Pass,
    /// The first patch of each resource (and of its status) of the kinds that are managed here is answered 409, as where
    /// somebody else wrote the object first.
    FirstConflicts,
    /// Creates of address objects wait until [`Proxy::let_writes_pass`].
    CreatesWait,
    /// Every status is refused until [`Proxy::let_writes_pass`], as by a policy.
    StatusesRefused,
}

/// What is done to watches on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watches {
    /// Nothing.
    Pass,
    /// After so many chunks of events, each ends as one does whose revision the server has forgotten (410).
    ExpireAfter(usize),
    /// Those of paths with this text show no event at all, as from a server that is far behind.
    Silent(&'static str),
    /// The same of those of paths with the first text, and of those with the second until [`Proxy::end_gap`]: these then end as those
    /// do whose revision the server has forgotten.
    Gap(&'static str, &'static str),
}

/// A proxy; it ends when dropped.
pub(crate) struct Proxy {
    addr: SocketAddr,
    asked: Log,
    /// Whether writes pass that were held back so far.
    open: Arc<watch::Sender<bool>>,
    /// New requests of paths with this text get no answer at all.
    silent: Arc<watch::Sender<Option<&'static str>>>,
    /// Whether the gap in watches is over.
    gap_over: Arc<watch::Sender<bool>>,
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

    /// The right that it takes; `None` for what is no resource, such as discovery.
    pub(crate) fn right(&self) -> Option<Right> {
        let (group, path) = if let Some(path) = self.path.strip_prefix("/api/") {
            ("", path)
        } else {
            self.path.strip_prefix("/apis/")?.split_once('/')?
        };
        let (_version, path) = path.split_once('/')?;
        let mut parts = path.split('/');
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
        // A watch of one object is allowed by its name too.
        let selected = self.query.split('&');
        let mut selected =
            selected.filter_map(|p| p.strip_prefix("fieldSelector=metadata.name%3D"));
        Some(Right {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: match subresource {
                Some(subresource) => format!("{resource}/{subresource}"),
                None => resource.to_owned(),
            },
            name: name.or_else(|| selected.next()).map(str::to_owned),
        })
    }
}

// === impl Right ===

impl Right {
    /// Verb, group and resource, such as `patch ipam.metal3.io ippools/status`.
    pub(crate) fn words(&self) -> String {
        format!("{} {} {}", self.verb, self.group, self.resource)
    }
}

impl Display for Right {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())?;
        match &self.name {
            Some(name) => write!(f, " {name:?}"),
            None => Ok(()),
        }
    }
}

// === impl Proxy ===

impl Proxy {
    /// A proxy before the server that this configuration leads to; its credentials are not used.
    pub(crate) async fn start(config: &Config) -> Self {
        Self::treating(config, Watches::Pass, Writes::Pass).await
    }

    /// One that does this to watches.
    pub(crate) async fn with(config: &Config, watches: Watches) -> Self {
        Self::treating(config, watches, Writes::Pass).await
    }

    /// One that does this to writes.
    pub(crate) async fn answering(config: &Config, writes: Writes) -> Self {
        Self::treating(config, Watches::Pass, writes).await
    }

    async fn treating(config: &Config, watches: Watches, writes: Writes) -> Self {
        let mut config = config.clone();
        config.auth_info = kube::config::AuthInfo::default();
        let way = Way {
            server: metal3_ipam::controller::client(config).unwrap(),
            asked: Log::default(),
            open: Arc::new(
                watch::channel(matches!(writes, Writes::Pass | Writes::FirstConflicts)).0,
            ),
            silent: Arc::default(),
            gap_over: Arc::default(),
            watches,
            writes,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (asked, open) = (Arc::clone(&way.asked), Arc::clone(&way.open));
        let (silent, gap_over) = (Arc::clone(&way.silent), Arc::clone(&way.gap_over));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let way = way.clone();
                connections.spawn(async move {
                    let pass = service_fn(move |request| {
                        let way = way.clone();
                        async move { Ok::<_, Infallible>(way.pass(request).await) }
                    });
                    // Ends with the caller, who may be killed at any moment.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), pass)
                        .await;
                });
            }
        });
        Self {
            addr,
            asked,
            open,
            silent,
            gap_over,
            task,
        }
    }

    /// Writes that were held back go to the server from now on.
    pub(crate) fn let_writes_pass(&self) {
        self.open.send_replace(true);
    }

    /// From now on requests get no answer, as from a server that hangs.
    pub(crate) fn fall_silent(&self) {
        self.fall_silent_at("/");
    }

    /// The same of requests of paths with this text alone.
    pub(crate) fn fall_silent_at(&self, path: &'static str) {
        self.silent.send_replace(Some(path));
    }

    /// From now on watches show events that did not until now; they begin anew, with a list.
    pub(crate) fn end_gap(&self) {
        self.gap_over.send_replace(true);
    }

    /// The `cluster` of a kubeconfig that leads here.
    pub(crate) fn cluster(&self) -> serde_json::Value {
        json!({"server": format!("http://{}", self.addr)})
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

/// The way of a request through the proxy.
#[derive(Clone)]
struct Way {
    server: Client,
    asked: Log,
    open: Arc<watch::Sender<bool>>,
    silent: Arc<watch::Sender<Option<&'static str>>>,
    gap_over: Arc<watch::Sender<bool>>,
    watches: Watches,
    writes: Writes,
}

impl Way {
    async fn pass(self, request: Request<Incoming>) -> Response<Answer> {
        let asked = Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            status: None,
        };
        let is_watch = asked.query.contains("watch=1");
        let path = asked.path.clone();
        let is_write = asked.is_write();
        let is_status = is_write && asked.path.ends_with("/status");
        let method = asked.method.clone();
        let mut number = 0;
        let mut is_first = false;
        self.asked.send_modify(|log| {
            number = log.len();
            let right = |a: &Asked| a.right().map(|right| right.words());
            is_first = log.iter().all(|before| right(before) != right(&asked));
            log.push(asked);
        });
        if self.silent.borrow().is_some_and(|part| path.contains(part)) {
            std::future::pending::<()>().await;
        }
        match self.writes {
            Writes::FirstConflicts if is_first && is_write && method == Method::PATCH => {
                return status(
                    409,
                    "Conflict",
                    "somebody else wrote it first, says the test",
                );
            }
            Writes::StatusesRefused if is_status && !*self.open.borrow() => {
                return status(403, "Forbidden", "a policy of the test says no");
            }
            Writes::CreatesWait if is_write && method == Method::POST => {
                let mut open = self.open.subscribe();
                let _ = open.wait_for(|open| *open).await;
            }
            Writes::Pass
            | Writes::FirstConflicts
            | Writes::CreatesWait
            | Writes::StatusesRefused => {}
        }
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(HOST);
        let answer = async {
            let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
            let request = Request::from_parts(parts, Body::from(body.to_vec()));
            self.server.send(request).await.map_err(|e| e.to_string())
        };
        match answer.await {
            Ok(response) => {
                let status = response.status();
                self.asked
                    .send_modify(|log| log[number].status = Some(status));
                match self.watches {
                    Watches::ExpireAfter(chunks) if is_watch => {
                        response.map(|body| expiring(body, chunks))
                    }
                    Watches::Silent(of) | Watches::Gap(of, _) if is_watch && path.contains(of) => {
                        response.map(silent)
                    }
                    Watches::Gap(_, of)
                        if is_watch && path.contains(of) && !*self.gap_over.borrow() =>
                    {
                        response.map(|_| expiring_with(self.gap_over.subscribe()))
                    }
                    Watches::ExpireAfter(_)
                    | Watches::Silent(_)
                    | Watches::Gap(..)
                    | Watches::Pass => response.map(|body| body.map_err(Into::into).boxed_unsync()),
                }
            }
            Err(e) => {
                let body = Full::new(Bytes::from(e)).map_err(Into::into);
                let mut response = Response::new(body.boxed_unsync());
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }
}

/// A refusal.
fn status(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message});
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// What a watch says whose revision the server has forgotten.
fn expired() -> Bytes {
    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": 410, "reason": "Expired", "message": "too old resource version, says the test"}});
    Bytes::from(format!("{expired}\n"))
}

/// A watch that shows nothing and ends with 410 when the gap is over.
fn expiring_with(mut gap_over: watch::Receiver<bool>) -> Answer {
    let frames = stream::once(async move {
        let _ = gap_over.wait_for(|over| *over).await;
        Ok::<_, BoxError>(Frame::data(expired()))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A watch that ends with 410 after so many chunks.
fn expiring(body: Body, chunks: usize) -> Answer {
    let events = body.into_data_stream().take(chunks);
    let frames = events.chain(stream::once(async { Ok(expired()) }));
    let frames = frames.map(|bytes| bytes.map(Frame::data).map_err(BoxError::from));
    StreamBody::new(frames).boxed_unsync()
}

/// A watch that shows nothing until the server ends it.
fn silent(body: Body) -> Answer {
    let frames = body.into_data_stream();
    let nothing = frames.filter_map(|_| std::future::ready(None::<Result<Frame<Bytes>, BoxError>>));
    StreamBody::new(nothing).boxed_unsync()
}
