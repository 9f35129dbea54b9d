//! `/healthz` and `/readyz` (`--health-addr`), and `/readyz/NAME` for each check alone.
//!
//! Healthy: the process answers. Ready: every check passes; until then the answer is 503 with a line that says why.
//! `/healthz/ping` and `/readyz/ping` are there as in controller-runtime: the process answers.
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

use listen::{Full, Guest, Lifetime, Limits, Listener};

/// A connection lives from its first byte to its one answer.
const LIMITS: Limits = Limits {
    connections: 128,
    greeting: Duration::from_secs(10),
    life: Some(Lifetime {
        age: Duration::from_secs(10),
        grace: Duration::from_secs(1),
    }),
    unread: Duration::from_secs(10),
    full: Full::CloseOldest,
    drain: Duration::ZERO,
};

/// One condition that `/readyz` asks for.
pub struct Check {
    /// The last part of its path.
    pub name: &'static str,
    /// Asked per request: `Ok`, or what is missing.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

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

    /// The socket address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Answers `/healthz` and `/readyz` until `shutdown`. There is no `/livez`: like controller-runtime, liveness is `/healthz`.
    pub async fn serve(self, checks: Vec<Check>, shutdown: CancellationToken) {
        let checks = Arc::new(checks);
        let talk = |stream, guest: Guest| {
            let checks = Arc::clone(&checks);
            async move {
                let service = service_fn(|request| {
                    guest.known();
                    let answer = answer(&request, &checks);
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

impl Check {
    /// A check of this name; `ready` returns why it fails.
    pub fn new(
        name: &'static str,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let ready = Box::new(ready);
        Self { name, ready }
    }
}

fn answer<B>(request: &Request<B>, checks: &[Check]) -> Response<Whole<Bytes>> {
    let ok = || (StatusCode::OK, "ok\n".to_owned());
    let ready = |checks: &[Check]| {
        let missing = checks.iter().filter_map(|check| (check.ready)().err());
        let missing: Vec<String> = missing.collect();
        if missing.is_empty() {
            return ok();
        }
        let text = format!("not ready: {}\n", missing.join("; "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    };
    let path = request.uri().path().trim_end_matches('/');
    let alone = path.strip_prefix("/readyz/");
    let alone = alone.and_then(|name| checks.iter().find(|check| check.name == name));
    let (status, text) = match (path, alone) {
        _ if request.method() != Method::GET && request.method() != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned())
        }
        ("/healthz" | "/healthz/ping" | "/readyz/ping", _) => ok(),
        ("/readyz", _) => ready(checks),
        (_, Some(check)) => ready(std::slice::from_ref(check)),
        (_, None) => {
            let mut text = "only /healthz, /readyz, /healthz/ping, /readyz/ping".to_owned();
            for check in checks {
                text.push_str(", /readyz/");
                text.push_str(check.name);
            }
            text.push('\n');
            (StatusCode::NOT_FOUND, text)
        }
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
        let checks = vec![
            Check::new("synced", ready),
            Check::new("webhook", || Err("no certificate".to_owned())),
        ];
        let server = tokio::spawn(health.serve(checks, shutdown.clone()));

        let healthy = ask(addr, "GET /healthz").await;
        assert!(healthy.starts_with("HTTP/1.1 200 OK"), "{healthy}");
        let waiting = ask(addr, "GET /readyz").await;
        assert!(
            waiting.starts_with("HTTP/1.1 503 Service Unavailable"),
            "{waiting}"
        );
        let both = "not ready: ippools.ipam.metal3.io is not listed yet; no certificate\n";
        assert!(waiting.ends_with(both), "{waiting}");
        synced.store(true, Ordering::SeqCst);
        for (path, want) in [
            ("/readyz", "503"),
            ("/readyz/synced", "200"),
            ("/readyz/synced/", "200"),
            ("/readyz/webhook", "503"),
            ("/readyz/ping", "200"),
            ("/healthz/ping", "200"),
            ("/readyz/other", "404"),
            ("/healthz/webhook", "404"),
            ("/livez", "404"),
        ] {
            let answer = ask(addr, &format!("GET {path}")).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {want} ")),
                "{path}: {answer}"
            );
        }
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
        rlimit::increase_nofile_limit(6_000).unwrap();
        let health = Health::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = health.addr();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(health.serve(Vec::new(), shutdown.clone()));
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
