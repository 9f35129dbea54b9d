//! The endpoint over real sockets, with an API server that answers reviews as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::observe::logs::Dial;
use crate::observe::metrics::{self, Metrics, PoolMetrics};

/// Takes any certificate, as a scraper with `insecureSkipVerify` does.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// How the API server takes reviews.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reviews {
    Answered,
    Forbidden,
}

/// Knows the tokens `reader`, who may read metrics, `admin`, who may do anything, and `nobody`, who may nothing; counts.
fn server(reviews: Reviews, asked: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut object: Value = serde_json::from_slice(&body).unwrap();
            if reviews == Reviews::Forbidden {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
                    "message": "no right to create tokenreviews", "reason": "Forbidden", "code": 403});
                return Ok::<_, kube::Error>(answer(403, &status));
            }
            object["status"] = match path.as_str() {
                "/apis/authentication.k8s.io/v1/tokenreviews" => {
                    let token = object["spec"]["token"].as_str().unwrap();
                    match token {
                        "reader" | "admin" | "nobody" => json!({"authenticated": true,
                            "user": {"username": token, "uid": "1", "groups": ["system:authenticated"]}}),
                        _ => json!({"authenticated": false, "error": "unknown"}),
                    }
                }
                "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                    let spec = &object["spec"];
                    assert_eq!(spec["groups"], json!(["system:authenticated"]));
                    let asks = &spec["nonResourceAttributes"];
                    let reads = asks == &json!({"path": "/metrics", "verb": "get"});
                    let user = spec["user"].as_str().unwrap();
                    json!({"allowed": user == "admin" || user == "reader" && reads})
                }
                other => panic!("{other} is no review"),
            };
            Ok(answer(201, &object))
        }
    });
    Client::new(service, "default")
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(code).unwrap())
        .body(Body::from(serde_json::to_vec(body).unwrap()))
        .unwrap()
}

/// A server that runs until it is dropped.
struct Running {
    addr: std::net::SocketAddr,
    tls: bool,
    _stop: tokio_util::sync::DropGuard,
}

impl Running {
    async fn start(guard: Guard) -> Self {
        let registry = prometheus::Registry::new();
        let look = Box::new(metrics::Sight::default);
        let metrics = Metrics::new();
        metrics.written(
            "create",
            "ipaddresses.ipam.metal3.io",
            Some(201),
            Duration::from_millis(20),
        );
        metrics::register(&registry, &metrics, look, PoolMetrics::All).unwrap();
        let diagnostics = Diagnostics::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (addr, stop) = (diagnostics.addr(), CancellationToken::new());
        let tls = matches!(guard, Guard::Reviewed { .. });
        let served = Served {
            registry,
            natives: metrics.natives(),
            dial: Dial::deaf(),
        };
        tokio::spawn(diagnostics.serve(served, guard, stop.clone()));
        Self {
            addr,
            tls,
            _stop: stop.drop_guard(),
        }
    }

    async fn reviewed(reviews: Reviews) -> (Self, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let options = TlsOptions::read(Oldest::Tls13, "", "").unwrap().0;
        let tls = self_signed([127, 0, 0, 1].into(), &options).unwrap();
        let guard = Guard::Reviewed {
            tls: Arc::new(tls),
            access: Box::new(Access::new(server(reviews, Arc::clone(&asked)))),
        };
        (Self::start(guard).await, asked)
    }

    /// Status and body of one request.
    async fn ask(&self, line: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let (status, body) = self.exchange(line, token, body).await;
        (status, String::from_utf8(body).unwrap())
    }

    async fn exchange(&self, line: &str, token: Option<&str>, body: &str) -> (u16, Vec<u8>) {
        if self.tls {
            talk(self.connect().await, line, token, body).await
        } else {
            let stream = TcpStream::connect(self.addr).await.unwrap();
            talk(stream, line, token, body).await
        }
    }

    /// A connection after its TLS handshake.
    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        stream.unwrap()
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    line: &str,
    token: Option<&str>,
    body: &str,
) -> (u16, Vec<u8>) {
    let token = token.map_or_else(String::new, |t| format!("Authorization: Bearer {t}\r\n"));
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A peer that closes without TLS's own goodbye has still said everything.
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    let head = String::from_utf8(answer).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body)
}

#[tokio::test]
async fn insecure_diagnostics_are_the_metrics_and_nothing_else() {
    let server = Running::start(Guard::Open).await;
    let (status, body) = server.ask("GET /metrics", None, "").await;
    assert_eq!(status, 200);
    assert!(
        body.contains("\nmetal3_ipam_writes_in_flight 0\n"),
        "{body}"
    );
    assert_eq!(server.ask("POST /metrics", None, "").await.0, 405);
    for path in [
        "PUT /debug/flags/v",
        "GET /debug/flags/v",
        "GET /debug/pprof/profile",
        "GET /",
    ] {
        assert_eq!(server.ask(path, None, "4").await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_compressed_for_who_takes_gzip() {
    let server = Running::start(Guard::Open).await;
    for (accepts, is_compressed) in [
        ("gzip", true),
        ("deflate, GZIP;q=0.5", true),
        ("gzip;q=0", false),
        ("gzip; q=0.0, identity", false),
        ("identity", false),
    ] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: {accepts}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(end.unwrap() + 4);
        let head = String::from_utf8(answer).unwrap().to_lowercase();
        let says = head.contains("content-encoding: gzip");
        assert_eq!(says, is_compressed, "{accepts}: {head}");
        let mut text = String::new();
        if is_compressed {
            let mut gzip = flate2::read::GzDecoder::new(&*body);
            std::io::Read::read_to_string(&mut gzip, &mut text).unwrap();
        } else {
            text = String::from_utf8(body).unwrap();
        }
        assert!(
            text.contains("\nmetal3_ipam_writes_in_flight 0\n"),
            "{accepts}"
        );
    }
}

#[tokio::test]
async fn metrics_come_as_protobuf_for_who_likes_it_better_than_text() {
    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let server = Running::start(Guard::Open).await;
    for (accepts, is_protobuf) in [
        // As Prometheus asks with native histograms, and without them.
        (
            format!("{PROTOBUF};q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"),
            true,
        ),
        (
            format!("text/plain;version=0.0.4;q=0.6,{PROTOBUF};q=0.3"),
            false,
        ),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5".to_owned(),
            false,
        ),
        (PROTOBUF.to_owned(), true),
        (PROTOBUF.replace("delimited", "text"), false),
        ("*/*".to_owned(), false),
    ] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accepts}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        let says = answer.contains("content-type: application/vnd.google.protobuf");
        assert_eq!(says, is_protobuf, "{accepts}");
        assert!(answer.contains("metal3_ipam_writes_in_flight"), "{accepts}");
        let is_text = answer.contains("# help metal3_ipam_writes_in_flight");
        assert_eq!(is_text, !is_protobuf, "{accepts}");
    }
}

#[tokio::test]
async fn who_may_not_gets_nothing() {
    let (server, _) = Running::reviewed(Reviews::Answered).await;
    for (line, token, want) in [
        ("GET /metrics", None, 401),
        ("GET /metrics", Some("forged"), 401),
        ("GET /metrics", Some("nobody"), 403),
        ("GET /metrics", Some("reader"), 200),
        ("PUT /debug/flags/v", Some("reader"), 403),
        ("GET /nothing", Some("reader"), 403),
        ("GET /nothing", Some("admin"), 404),
        ("PUT /debug/flags/v", Some("admin"), 200),
        ("GET /debug/flags/v", Some("admin"), 406),
        ("GET /debug/pprof/profile?seconds=1", Some("reader"), 403),
        ("POST /debug/pprof/profile?seconds=1", Some("admin"), 405),
        ("GET /debug/pprof/profile?seconds=", Some("admin"), 400),
        ("GET /debug/pprof/profile?seconds=0", Some("admin"), 400),
        ("GET /debug/pprof/profile?seconds=301", Some("admin"), 400),
    ] {
        assert_eq!(
            server.ask(line, token, "1").await.0,
            want,
            "{line} as {token:?}"
        );
    }
    let (status, text) = server
        .ask("PUT /debug/flags/v", Some("admin"), "high")
        .await;
    assert_eq!(
        (status, text.contains("expected a number")),
        (400, true),
        "{text}"
    );
    let long = "1".repeat(1_000);
    assert_eq!(
        server
            .ask("PUT /debug/flags/v", Some("admin"), &long)
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn it_fails_closed_when_nobody_can_be_reviewed() {
    let (server, _) = Running::reviewed(Reviews::Forbidden).await;
    let (status, body) = server.ask("GET /metrics", Some("admin"), "").await;
    assert_eq!((status, body.as_str()), (500, "Authentication failed\n"));
    // No answer at all.
    let tls = self_signed([127, 0, 0, 1].into(), &TlsOptions::default()).unwrap();
    let dead = Client::new(
        tower::service_fn(|_: Request<Body>| async {
            Err::<Response<Body>, _>(std::io::Error::other("no route"))
        }),
        "default",
    );
    let server = Running::start(Guard::Reviewed {
        tls: Arc::new(tls),
        access: Box::new(Access::new(dead)),
    })
    .await;
    assert_eq!(server.ask("GET /metrics", Some("admin"), "").await.0, 500);
}

#[tokio::test(start_paused = true)]
async fn answers_are_remembered_for_a_while() {
    let asked = Arc::new(AtomicUsize::new(0));
    let access = Access::new(server(Reviews::Answered, Arc::clone(&asked)));
    let request = |token: &str| {
        let request = Request::get("/metrics").header("authorization", format!("Bearer {token}"));
        request.body(()).unwrap().into_parts().0
    };
    let check = async |token: &str| access.check(&request(token), [10, 0, 0, 1].into()).await;
    let seen = || asked.load(Ordering::SeqCst);
    for _ in 0..5 {
        check("reader").await.unwrap();
    }
    assert_eq!(seen(), 2, "one review of each kind");
    tokio::time::advance(Duration::from_secs(61)).await;
    check("reader").await.unwrap();
    assert_eq!(seen(), 3, "the token again, the right not yet");
    tokio::time::advance(Duration::from_mins(4)).await;
    check("reader").await.unwrap();
    assert_eq!(seen(), 5);
    check("nobody").await.unwrap_err();
    check("nobody").await.unwrap_err();
    assert_eq!(seen(), 7);
    tokio::time::advance(Duration::from_secs(31)).await;
    check("nobody").await.unwrap_err();
    assert_eq!(seen(), 8, "a refusal is forgotten sooner");
}

#[tokio::test]
async fn thousands_of_silent_strangers_keep_no_scraper_out() {
    rlimit::increase_nofile_limit(6_000).unwrap();
    for server in [
        Running::reviewed(Reviews::Answered).await.0,
        Running::start(Guard::Open).await,
    ] {
        let mut plain = Vec::new();
        let mut secret = Vec::new();
        let within = Duration::from_secs(5);
        while plain.len() + secret.len() < 2_000 {
            let some = async {
                for _ in 0..50 {
                    if server.tls {
                        secret.push(server.connect().await);
                    } else {
                        plain.push(TcpStream::connect(server.addr).await.unwrap());
                    }
                }
            };
            let some = tokio::time::timeout(within, some).await;
            some.expect("a place for a new connection");
        }
        let start = std::time::Instant::now();
        let asked = server.ask("GET /metrics", Some("reader"), "");
        let answer = tokio::time::timeout(within, asked).await;
        assert_eq!(answer.expect("an answer beside them").0, 200);
        eprintln!(
            "scraped beside 2,000 silent connections in {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn a_refused_client_loses_its_connection() {
    let (server, _) = Running::reviewed(Reviews::Answered).await;
    for (token, want) in [("forged", "HTTP/1.1 401"), ("nobody", "HTTP/1.1 403")] {
        let mut stream = server.connect().await;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let end = stream.read_to_string(&mut text);
        let end = tokio::time::timeout(Duration::from_secs(20), end).await;
        assert!(end.is_ok() && text.starts_with(want), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_guessed_are_not_all_reviewed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let access = Access::new(server(Reviews::Answered, Arc::clone(&asked)));
    let check = async |token: &str, host: u8| {
        let request = Request::get("/metrics").header("authorization", format!("Bearer {token}"));
        let parts = request.body(()).unwrap().into_parts().0;
        let checked = access.check(&parts, [10, 0, 0, host].into()).await;
        checked.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    };
    let mut codes = std::collections::BTreeMap::new();
    for n in 0..1_000 {
        *codes.entry(check(&n.to_string(), 1).await).or_insert(0) += 1;
    }
    assert_eq!(codes, [(401, 10), (429, 990)].into());
    assert_eq!(asked.load(Ordering::SeqCst), 10);
    assert_eq!(check("reader", 2).await, 200, "from elsewhere");
    assert_eq!(check("reader", 1).await, 200, "it is remembered");
    assert_eq!(check("admin", 1).await, 429);
}

/// A token without rights asks for one path after the other.
#[tokio::test(start_paused = true)]
async fn paths_that_are_guessed_are_not_all_reviewed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let access = Access::new(server(Reviews::Answered, Arc::clone(&asked)));
    let mut codes = std::collections::BTreeMap::new();
    for n in 0..1_000 {
        let request = Request::get(format!("/x{n}")).header("authorization", "Bearer nobody");
        let parts = request.body(()).unwrap().into_parts().0;
        let checked = access.check(&parts, [10, 0, 0, 1].into()).await;
        let code = checked.map_or_else(|(status, _)| status.as_u16(), |()| 200);
        *codes.entry(code).or_insert(0) += 1;
    }
    assert_eq!(codes, [(403, 50), (429, 950)].into());
    assert_eq!(asked.load(Ordering::SeqCst), 51, "the token and the paths");
}

/// Work with a name that a profile shows.
#[cfg(target_os = "linux")]
#[inline(never)]
fn work_that_the_profile_shows(stop: &std::sync::atomic::AtomicBool) {
    let mut number = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..10_000 {
            number = std::hint::black_box(number.wrapping_mul(31).rotate_left(7));
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_profile_names_the_functions_that_use_the_cpu() {
    use pprof::protos::{Message, Profile};
    use tokio::signal::unix::{SignalKind, signal};

    let (server, _) = Running::reviewed(Reviews::Answered).await;
    let line = "GET /debug/pprof/profile?seconds=1";
    // As the server does it: without another handler a late SIGPROF ends the process.
    let _late = signal(SignalKind::from_raw(27)).unwrap();
    profile::rehearse().unwrap();
    let elsewhere = profile::first_sample().unwrap();
    let stacks = elsewhere.report().build_unresolved().unwrap();
    assert_eq!(stacks.data.len(), 1, "the handler has run on this thread");
    let (status, text) = server.ask(line, Some("admin"), "").await;
    let busy = "a CPU profile of this process is being taken; try again when it is done\n";
    assert_eq!((status, &*text), (409, busy));
    drop(elsewhere);

    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let worker = std::thread::spawn(move || work_that_the_profile_shows(&stopped));
    let (status, body) = server.exchange(line, Some("admin"), "").await;
    stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let mut bytes = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(&*body);
    std::io::Read::read_to_end(&mut gzip, &mut bytes).unwrap();
    let profile = Profile::decode(&*bytes).unwrap();
    let text = |at: i64| &*profile.string_table[usize::try_from(at).unwrap()];
    let units: Vec<_> = profile.sample_type.iter().map(|t| text(t.unit)).collect();
    assert_eq!(units, ["count", "nanoseconds"]);
    let named = |location: &u64| {
        let location = profile.location.iter().find(|l| l.id == *location);
        let function = location.unwrap().line[0].function_id;
        let function = profile.function.iter().find(|f| f.id == function);
        text(function.unwrap().name).contains("work_that_the_profile_shows")
    };
    let samples = profile.sample.iter();
    let found = samples.filter(|sample| sample.location_id.iter().any(named));
    let count: i64 = found.map(|sample| sample.value[0]).sum();
    assert!(count > 0, "{} samples", profile.sample.len());
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_answered_though_the_life_of_its_connection_ends() {
    let (server, _) = Running::reviewed(Reviews::Answered).await;
    let mut stream = server.connect().await;
    let head = |line: &str, length: usize| {
        format!(
            "{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    // It is never idle for long, until ten seconds before the end of its life.
    for _ in 0..59 {
        stream
            .write_all(head("GET /none", 0).as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"only /metrics\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    stream
        .write_all(head("PUT /debug/flags/v", 1).as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    stream.write_all(b"3").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer:?}");
    assert!(answer.contains("connection: close"), "{answer:?}");
}
