//! `/healthz` and `/readyz` (`--health-addr`).
//!
//! Healthy: the process answers. Ready: whoever serves this says so; until then the answer is 503 with a line that says why.
//! Anyone who reaches the port may ask, so a connection gets one answer and little time, and a new one takes the
//! place of the oldest that has asked nothing.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full as Whole;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use crate::listen::{Full, Guest, Limits, Listener};

/// A connection lives from its first byte to its one answer.
const LIMITS: Limits = Limits {
    connections: 128,
    greeting: Duration::from_secs(10),
    life: Some(Duration::from_secs(10)),
    full: Full::CloseOldest,
    drain: Duration::ZERO,
};

/// A server of health that is bound and does not serve yet.
#[derive(Debug)]
pub struct Health(Listener);

impl Health {
    /// Binds the port; 0 picks a free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        Listener::bind(addr).await.map(Self)
    }

    /// Where it is bound.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Serves until `shutdown`. `ready` is asked per request: `Ok`, or what is missing.
    pub async fn serve(
        self,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) {
        let ready = Arc::new(ready);
        let talk = |stream, guest: Guest| {
            let ready = Arc::clone(&ready);
            async move {
                let service = service_fn(|request| {
                    guest.known();
                    let answer = answer(&request, &*ready);
                    async { Ok::<_, Infallible>(answer) }
                });
                // Who talks nonsense or too slowly is simply left.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .keep_alive(false)
                    .max_buf_size(16 << 10)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        };
        self.0.serve("health", LIMITS, talk, shutdown).await;
    }
}

fn answer<B>(
    request: &Request<B>,
    ready: &(impl Fn() -> Result<(), String> + ?Sized),
) -> Response<Whole<Bytes>> {
    let (status, text) = match request.uri().path().trim_end_matches('/') {
        _ if request.method() != Method::GET && request.method() != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned())
        }
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match ready() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(missing) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {missing}\n"),
            ),
        },
        _ => (
            StatusCode::NOT_FOUND,
            "only /healthz and /readyz\n".to_owned(),
        ),
    };
    let mut response = Response::new(Whole::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(addr: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream
            .write_all(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn ready_says_what_is_missing_until_nothing_is() {
        let health = Health::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = health.addr();
        let synced = Arc::new(AtomicBool::new(false));
        let shutdown = CancellationToken::new();
        let ready = {
            let synced = Arc::clone(&synced);
            move || {
                if synced.load(Ordering::SeqCst) {
                    Ok(())
                } else {
                    Err("ippools.ipam.metal3.io is not listed yet".to_owned())
                }
            }
        };
        let server = tokio::spawn(health.serve(ready, shutdown.clone()));

        let healthy = ask(addr, "GET /healthz").await;
        assert!(healthy.starts_with("HTTP/1.1 200 OK"), "{healthy}");
        let waiting = ask(addr, "GET /readyz").await;
        assert!(
            waiting.starts_with("HTTP/1.1 503 Service Unavailable"),
            "{waiting}"
        );
        assert!(waiting.ends_with("not ready: ippools.ipam.metal3.io is not listed yet\n"));
        synced.store(true, Ordering::SeqCst);
        assert!(ask(addr, "GET /readyz").await.starts_with("HTTP/1.1 200"));
        assert!(ask(addr, "GET /metrics").await.starts_with("HTTP/1.1 404"));
        assert!(ask(addr, "POST /readyz").await.starts_with("HTTP/1.1 405"));

        shutdown.cancel();
        server.await.unwrap();
        assert!(
            TcpStream::connect(addr).await.is_err(),
            "the port is free again"
        );
    }

    #[tokio::test]
    async fn thousands_that_say_nothing_keep_no_probe_out() {
        crate::listen::raise_open_files(6_000);
        let health = Health::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = health.addr();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(health.serve(|| Ok(()), shutdown.clone()));
        let mut silent = Vec::new();
        let start = std::time::Instant::now();
        while silent.len() < 2_000 {
            silent.push(TcpStream::connect(addr).await.unwrap());
            if silent.len() % 100 == 0 {
                let answer = tokio::time::timeout(Duration::from_secs(5), ask(addr, "GET /readyz"));
                let answer = answer.await.expect("an answer beside them");
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        }
        eprintln!(
            "20 answers beside 2,000 silent connections in {:?}",
            start.elapsed()
        );
        shutdown.cancel();
        server.await.unwrap();
    }
}
