//! The server itself: few connections, little time each, no request without an answer. A client that may not ask is
//! answered once and loses the connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full as Whole, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::access::Access;
use super::profile;
use crate::observe::logs::{Dial, Level};
use crate::observe::metrics::{self, Natives};
use listen::{Full, Guest, Held, Lifetime, Limits, Listener};

/// Time for the head of a request, which also ends an idle connection, and for a body.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time for a TLS handshake and the first request that may be served.
const GREETING: Duration = Duration::from_secs(15);
/// Longest time for which a client may read nothing.
const UNREAD: Duration = Duration::from_mins(10);
/// A scraper that keeps its connection opens another when this one's life is over. A profile that has begun is finished and sent.
const LIFE: Lifetime = Lifetime {
    age: Duration::from_mins(10),
    grace: profile::LONGEST.saturating_add(PATIENCE),
};
const CONNECTIONS: usize = 128;
/// Longest body that is read: a number.
const BODY: usize = 64;

/// A server of diagnostics that is bound and does not serve yet.
#[derive(Debug)]
pub struct Diagnostics(Listener);

/// What the diagnostics server shows: metrics, and the log's level. CPU profiles are of the process and need nothing else.
#[derive(Debug, Clone)]
pub struct Served {
    /// Everything under `/metrics`.
    pub registry: Registry,
    /// Histograms that a scrape in protobuf gets in the native form too.
    pub natives: Natives,
    /// What `/debug/flags/v` turns.
    pub dial: Dial,
}

/// Which callers are answered.
#[derive(Debug)]
pub enum Guard {
    /// Anyone who reaches the port, for metrics only (`--insecure-diagnostics`).
    Open,
    /// Over TLS, for callers that the API server knows and allows.
    Reviewed {
        /// Certificate and versions.
        tls: Arc<rustls::ServerConfig>,
        /// The reviews.
        access: Box<Access>,
    },
}

impl Diagnostics {
    /// Binds the port; 0 picks a free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        Listener::bind(addr).await.map(Self)
    }

    /// The socket address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Answers scrapes, changes of the log's level and requests for CPU profiles until `shutdown`.
    pub async fn serve(self, served: Served, guard: Guard, shutdown: CancellationToken) {
        let (tls, full) = match &guard {
            Guard::Open => (None, Full::CloseOldest),
            Guard::Reviewed { tls, .. } => {
                (Some(TlsAcceptor::from(Arc::clone(tls))), Full::CloseNew)
            }
        };
        let limits = Limits {
            connections: CONNECTIONS,
            greeting: GREETING,
            life: Some(LIFE),
            unread: UNREAD,
            full,
            drain: Duration::ZERO,
        };
        let shared = Arc::new(Shared { served, guard });
        let talk = |stream, guest| {
            let (shared, tls) = (Arc::clone(&shared), tls.clone());
            async move {
                match tls {
                    None => shared.talk(stream, guest).await,
                    Some(tls) => {
                        // Who cannot say hello is simply left.
                        if let Ok(stream) = tls.accept(stream).await {
                            shared.talk(stream, guest).await;
                        }
                    }
                }
            }
        };
        self.0.serve("diagnostics", limits, talk, shutdown).await;
    }
}

/// What every connection shares.
struct Shared {
    served: Served,
    guard: Guard,
}

impl Shared {
    async fn talk(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin, guest: Guest) {
        let service = service_fn(|request| {
            let (shared, guest) = (Arc::clone(&self), guest.clone());
            async move {
                let busy = guest.busy();
                let response = shared.answer(request, &guest).await;
                Ok::<_, Infallible>(response.map(|body| Held::new(body, busy)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // A broken or slow client is dropped; an error of its connection is of no use to anyone.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = guest.ends() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>, guest: &Guest) -> Response<Whole<Bytes>> {
        let (parts, body) = request.into_parts();
        let protected = match &self.guard {
            Guard::Open => false,
            Guard::Reviewed { access, .. } => {
                // Before anything else, so that who may not ask learns nothing of what there is.
                if let Err((status, text)) = access.check(&parts, guest.site()).await {
                    let mut response = plain(status, text);
                    // Who may not ask does not keep the connection to ask again.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                    return response;
                }
                true
            }
        };
        guest.known();
        match parts.uri.path() {
            "/metrics" if parts.method == Method::GET || parts.method == Method::HEAD => {
                let form = Form::wanted(&parts.headers);
                self.metrics(form, takes_gzip(&parts.headers)).await
            }
            "/metrics" => only("GET, HEAD"),
            "/debug/pprof/profile" if protected && parts.method == Method::GET => {
                match profile::taken(parts.uri.query()).await {
                    Ok(profile) => of_type("application/octet-stream", profile),
                    Err(error) => plain(error.status(), format!("{error}\n")),
                }
            }
            "/debug/pprof/profile" if protected => only("GET"),
            "/debug/flags/v" if protected && parts.method == Method::PUT => self.turn(body).await,
            // As Kubernetes' own programs answer it.
            "/debug/flags/v" if protected => plain(
                StatusCode::NOT_ACCEPTABLE,
                "unsupported http method; PUT a number\n".to_owned(),
            ),
            _ => plain(StatusCode::NOT_FOUND, "only /metrics\n".to_owned()),
        }
    }

    /// Thousands of pools take a while to write down; no other task waits for that.
    async fn metrics(&self, form: Form, gzip: bool) -> Response<Whole<Bytes>> {
        let Served {
            registry, natives, ..
        } = self.served.clone();
        let write = move || {
            let scrape = match form {
                Form::Text => metrics::text(&registry).map_err(|e| e.to_string())?,
                Form::Protobuf => metrics::protobuf(&registry, &natives),
            };
            if gzip {
                metrics::gzipped(&scrape).map_err(|e| e.to_string())
            } else {
                Ok(scrape)
            }
        };
        let written = tokio::task::spawn_blocking(write).await;
        match written.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(body) => {
                let mut response = of_type(form.content_type(), body);
                let headers = response.headers_mut();
                headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
                if gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
            Err(e) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the metrics cannot be written: {e}\n"),
            ),
        }
    }

    /// `PUT /debug/flags/v` with a number as body: what `-v` would have been.
    async fn turn(&self, body: Incoming) -> Response<Whole<Bytes>> {
        let bad = |why: String| plain(StatusCode::BAD_REQUEST, why);
        let body = match timeout(PATIENCE, Limited::new(body, BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(e)) => return bad(format!("the body cannot be read: {e}\n")),
            Err(_) => return bad("the body did not come\n".to_owned()),
        };
        let text = String::from_utf8_lossy(&body);
        let Ok(v) = text.trim().parse::<u32>() else {
            return bad(format!(
                "expected a number from 0 as -v takes it, not {:?}\n",
                text.trim()
            ));
        };
        match self.served.dial.set(Level::of_verbosity(v)) {
            Ok(()) => {
                info!(v, "the log's level was changed");
                plain(
                    StatusCode::OK,
                    format!("successfully set the log's verbosity to {v}\n"),
                )
            }
            Err(e) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the log's level cannot be changed: {e}\n"),
            ),
        }
    }
}

/// In which form a scrape is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Protobuf,
}

impl Form {
    /// The one that the client likes best, as its `Accept` says; text where it likes both as well, or says nothing.
    fn wanted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        let (mut text, mut protobuf) = (0.0_f32, 0.0_f32);
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
            let parameter = |name: &str| {
                let mut all = parameters.iter();
                all.find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, value)| *value)
            };
            let weight = parameter("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            match kind.as_str() {
                "text/plain" | "text/*" | "*/*" => text = text.max(weight),
                "application/vnd.google.protobuf"
                    if parameter("proto") == Some("io.prometheus.client.MetricFamily")
                        && parameter("encoding") == Some("delimited") =>
                {
                    protobuf = protobuf.max(weight);
                }
                _ => {}
            }
        }
        if protobuf > text {
            Self::Protobuf
        } else {
            Self::Text
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Text => metrics::CONTENT_TYPE,
            Self::Protobuf => metrics::PROTOBUF,
        }
    }
}

/// Whether a client takes gzip, as its `Accept-Encoding` says.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        let is_refused = matches!(weight, Some(Ok(0.0)));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

fn of_type(kind: &'static str, body: impl Into<Bytes>) -> Response<Whole<Bytes>> {
    let mut response = Response::new(Whole::new(body.into()));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn plain(status: StatusCode, text: String) -> Response<Whole<Bytes>> {
    let mut response = of_type("text/plain; charset=utf-8", text);
    *response.status_mut() = status;
    response
}

/// The path takes these methods and no other.
fn only(methods: &'static str) -> Response<Whole<Bytes>> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, format!("only {methods}\n"));
    let allow = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, allow);
    response
}
