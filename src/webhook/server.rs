//! The server itself: TLS, HTTP/1.1 or HTTP/2, one AdmissionReview a request. Anyone who reaches the port may ask (the API
//! server shows no client certificate unless an administrator gives it one), so everything is bounded: connections, time,
//! requests at one time, and memory.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full as Whole;
use hyper::body::Incoming;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::answers::Answers;
use super::body::{Places, Read};
use super::certificates::Certificates;
use super::facts::Facts;
use super::hooks::{HOOKS, Hook};
use super::json;
use super::review::{self, Asked, Scope, Unread};
use crate::observe::metrics::Metrics;
use listen::bodies::SHORT;
use listen::{Full, Guest, Heads, Held, Http, Limits, Listener, Stream};

/// An API server keeps one connection of HTTP/2 to each address of a Service.
const LIMITS: Limits = Limits {
    connections: 256,
    greeting: Duration::from_secs(10),
    life: None,
    unread: Duration::from_mins(1),
    full: Full::CloseOldest,
    drain: Duration::from_secs(3),
};
const HEADS: Heads = Heads {
    bytes: 32 << 10,
    streams: 100,
    time: Duration::from_secs(90),
};

/// Bytes of the sentence that answers a request which is no review.
const SENTENCE: usize = 1 << 10;

/// A webhook server that is bound and does not serve yet.
#[derive(Debug)]
pub struct Webhook(Listener);

/// What all requests to the server share.
struct Shared {
    certificates: Arc<Certificates>,
    facts: Arc<dyn Facts>,
    scope: Scope,
    metrics: Arc<Metrics>,
    places: Places,
    answers: Answers,
    http: Http,
}

impl Webhook {
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

    /// Serves until `shutdown`, then lets requests in progress end.
    pub async fn serve(
        self,
        certificates: Arc<Certificates>,
        facts: Arc<dyn Facts>,
        scope: Scope,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) {
        for hook in &HOOKS {
            metrics.serves_webhook(hook.path);
        }
        let shared = Arc::new(Shared {
            certificates,
            facts,
            scope,
            metrics,
            places: Places::new(),
            answers: Answers::new(),
            http: Http::new("webhook", HEADS, shutdown.clone()),
        });
        let talk = |stream, guest| talk(Arc::clone(&shared), stream, guest);
        self.0.serve("webhook", LIMITS, talk, shutdown).await;
    }
}

/// Serves one connection until it ends.
async fn talk(shared: Arc<Shared>, stream: Stream, guest: Guest) {
    let certificates = Arc::clone(&shared.certificates);
    // Files are read: not on a thread that others wait for.
    let config = tokio::task::spawn_blocking(move || certificates.current()).await;
    // Without a certificate there is nothing to say; what is missing is in the log.
    let Ok(Ok(config)) = config else { return };
    let stream = match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%error, "a TLS handshake with the webhook server failed");
            return;
        }
    };
    let http = shared.http.clone();
    let answer = move |request| {
        let (shared, guest) = (Arc::clone(&shared), guest.clone());
        async move {
            guest.known();
            let busy = guest.busy();
            let response = shared.answer(request).await;
            response.map(|body| Held::new(body, busy))
        }
    };
    http.talk(stream, answer).await;
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Whole<Bytes>> {
        // Other paths are no series: anyone can make them up. A client that gives up has this future dropped, which counts too.
        let hook = Hook::at(request.uri().path());
        let reviewed = hook.map(|hook| self.metrics.review_begins(hook.path));
        let response = self.respond(request).await;
        if let Some(reviewed) = reviewed {
            reviewed.answered(response.status().as_u16());
        }
        response
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Whole<Bytes>> {
        match self.review(request).await {
            Ok(answer) => {
                let mut response = Response::new(Whole::from(answer));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err((status, mut text)) => {
                // It repeats what came in, and waits for the client to read it.
                text.truncate(text.floor_char_boundary(SENTENCE));
                debug!(%status, text, "a request to the webhook server was not answered");
                let mut response = Response::new(Whole::from(format!("{text}\n")));
                *response.status_mut() = status;
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, plain);
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    let post = HeaderValue::from_static("POST");
                    response.headers_mut().insert(ALLOW, post);
                }
                response
            }
        }
    }

    /// The answer in JSON, or a status and a sentence.
    async fn review(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Bytes, (StatusCode, String)> {
        let Some(hook) = Hook::at(request.uri().path()) else {
            let text = "no webhook has this path; the paths are those of config/webhook of metal3-io/ip-address-manager";
            return Err((StatusCode::NOT_FOUND, text.to_owned()));
        };
        if request.method() != Method::POST {
            let text = "only POST, with an AdmissionReview as its body".to_owned();
            return Err((StatusCode::METHOD_NOT_ALLOWED, text));
        }
        if !is_json(&request) {
            let text = "the Content-Type must be application/json".to_owned();
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let read = self.places.read(request.into_body()).await?;
        if read.bytes.len() <= SHORT {
            match review::read(hook, &read.bytes, json::LIGHT) {
                Ok(asked) => return self.judge(hook, asked, read).await,
                // Many values in little text: it waits for its turn with the long ones.
                Err(Unread::TooLarge) => {}
                Err(wrong @ Unread::Wrong(_)) => return Err(refused(wrong)),
            }
        }
        let turn = self.places.turn().await;
        // The rules take a while over megabytes; no other task waits for that.
        let this = Arc::clone(&self);
        let (handle, work) = (Handle::current(), async move {
            let asked = review::read(hook, &read.bytes, json::MOST).map_err(refused)?;
            let answer = this.judge(hook, asked, read).await;
            drop(turn);
            answer
        });
        match tokio::task::spawn_blocking(move || handle.block_on(work)).await {
            Ok(answer) => answer,
            Err(_) => Err((
                StatusCode::INTERNAL_SERVER_ERROR,
                "the review broke off; this is a fault of metal3-ipam".to_owned(),
            )),
        }
    }

    async fn judge(
        &self,
        hook: &Hook,
        asked: Asked,
        read: Read,
    ) -> Result<Bytes, (StatusCode, String)> {
        let Read { bytes, places } = read;
        drop(bytes);
        let answer = asked.answer(hook, &self.scope, &*self.facts).await;
        drop(places);
        if let Some(whole) = self.answers.keep(written(&answer)?) {
            return Ok(whole);
        }
        // Others do not read theirs. This one gets its verdict all the same.
        written(&review::verdict_alone(answer)).map(Bytes::from)
    }
}

fn written(answer: &AdmissionReview<DynamicObject>) -> Result<Vec<u8>, (StatusCode, String)> {
    serde_json::to_vec(answer).map_err(|e| {
        let text = format!("the answer cannot be written: {e}");
        (StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}

/// The status and the sentence for a body that is not judged.
fn refused(why: Unread) -> (StatusCode, String) {
    match why {
        Unread::Wrong(why) => (StatusCode::BAD_REQUEST, why),
        Unread::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the objects of the review have so many JSON values that they would take more than {} MiB of memory; no \
                 object within the bounds of its definition does: shorten its lists and maps",
                json::MOST >> 20
            ),
        ),
    }
}

fn is_json<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/json")
}
