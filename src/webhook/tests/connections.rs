//! Clients that send nonsense, too much, too slowly or nothing, and what is counted.

use super::harness::{CLAIM, POOL, Running, claim, of_claim, of_pool, pool, post};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use listen::bodies::SHORT;

use super::super::body::{LARGE_ONES, MOST, PATIENCE, Places, REQUESTS};
use super::super::*;
use crate::observe::metrics::{self, PoolMetrics, Sight};

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
        (
            with("/request/uid", json!("u".repeat(129))),
            "the request's uid has 129 bytes, and 128 at most are taken",
        ),
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
    let slow = (0..LARGE_ONES).map(|_| places.read(begun(SHORT + 1)));
    for read in futures::future::join_all(slow).await {
        assert_eq!(read.unwrap_err().0, StatusCode::REQUEST_TIMEOUT);
    }
    assert_eq!(start.elapsed(), PATIENCE, "they were given up together");
    let whole = || Full::new(Bytes::from(vec![b' '; SHORT + 1]));
    let read = places.read(whole()).await.unwrap();
    assert!(read.places.1.is_some());
    drop(read);

    // Whoever is slow gives way to the next ones, however many they are.
    let slow = (0..100).map(|_| places.read(begun(SHORT + 1)));
    let start = tokio::time::Instant::now();
    let reviewed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let read = places.read(whole()).await.unwrap();
        assert!(read.places.1.is_some());
        start.elapsed()
    };
    let (slow, reviewed) = tokio::join!(futures::future::join_all(slow), reviewed);
    assert!(reviewed < Duration::from_secs(8), "{reviewed:?}");
    let given_way = |read: &Result<_, (StatusCode, String)>| {
        read.as_ref()
            .is_err_and(|(status, _)| *status == StatusCode::TOO_MANY_REQUESTS)
    };
    assert!(slow.iter().filter(|read| given_way(read)).count() >= 92);
}

/// Requests over HTTP/2 that never send their body, more than there are places.
#[tokio::test]
async fn requests_without_their_bodies_keep_no_review_out() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let stream = TokioIo::new(server.connect().await.unwrap());
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        for _ in 0..REQUESTS / 2 {
            let never = futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
            let request = post(POOL, "").map(|_| StreamBody::new(never));
            held.push(tokio::spawn(sender.clone().send_request(request)));
        }
    }
    // Their heads have come in once some of them have had to give way.
    let good = pool("10.0.0.1", "10.0.0.9");
    for _ in 0..4 {
        let asked = std::time::Instant::now();
        let answer = server.review(POOL, &of_pool(None, &good)).await;
        assert_eq!(answer["allowed"], true);
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{:?}",
            asked.elapsed()
        );
    }
    drop(held);
}

/// An API server sends everything over one connection, whose window is that of four streams: what waits there for its place
/// would keep the rest out.
#[tokio::test]
async fn long_bodies_on_their_way_keep_no_other_review_of_their_connection_out() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let stream = TokioIo::new(server.connect().await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let (first, announced) = (2 * SHORT, 4 * SHORT);
    let mut long = Vec::new();
    for _ in 0..2 * LARGE_ONES {
        let first = futures::stream::once(async move {
            Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b' '; first])))
        });
        let never = futures::stream::pending();
        let body = futures::StreamExt::chain(first, never);
        let body = http_body_util::Either::Left(StreamBody::new(Box::pin(body)));
        let mut request = post(POOL, "").map(|_| body);
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, announced.into());
        long.push(sender.send_request(request));
    }
    let good = of_pool(None, &pool("10.0.0.1", "10.0.0.9")).to_string();
    for _ in 0..4 {
        let good = post(POOL, good.clone()).map(http_body_util::Either::Right);
        let answer = sender.send_request(good).await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    for answer in long {
        let answer = answer.now_or_never();
        assert!(answer.is_none(), "it had to give way: {answer:?}");
    }
}

/// Requests whose answers are long and are never read.
#[tokio::test]
async fn answers_that_nobody_reads_have_a_bound_and_cost_others_no_verdict() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let mut bad = pool("10.0.0.1", "10.0.0.9");
    let wrong = json!({"start": "x".repeat(100), "end": "y".repeat(100)});
    bad["spec"]["pools"] = vec![wrong; 70].into();
    let review = of_pool(None, &bad);
    let whole = server.review(POOL, &review).await;
    let length = whole.to_string().len();
    assert!(length > 10 * answers::SHORT, "{length}");
    let mut unread = Vec::new();
    while unread.len() * length <= answers::MOST {
        let stream = TokioIo::new(server.connect().await.unwrap());
        let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let client = client.initial_stream_window_size(0);
        let (mut sender, connection) = client.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..90 {
            let answer = sender.send_request(post(POOL, review.to_string())).await;
            unread.push((answer.unwrap(), sender.clone()));
        }
    }
    let short = server.review(POOL, &review).await;
    assert!(short.to_string().len() <= answers::SHORT, "{short}");
    for same in ["/uid", "/allowed", "/status/code", "/status/reason"] {
        assert_eq!(short.pointer(same), whole.pointer(same), "{same}");
    }
    let message = |answer: &Value| answer["status"]["message"].as_str().unwrap().to_owned();
    let begun = message(&short);
    assert!(
        message(&whole).starts_with(begun.trim_end_matches("...")),
        "{begun}"
    );
    drop(unread);
    while server.review(POOL, &review).await != whole {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    let text = scrape(&server);
    let name = "controller_runtime_webhook";
    for line in [
        format!("{name}_requests_total{{code=\"200\",webhook=\"{POOL}\"}} 2"),
        format!("{name}_requests_total{{code=\"400\",webhook=\"{POOL}\"}} 1"),
        format!("{name}_requests_total{{code=\"200\",webhook=\"{CLAIM}\"}} 0"),
        format!("{name}_requests_total{{code=\"none\",webhook=\"{POOL}\"}} 0"),
        format!("{name}_latency_seconds_count{{webhook=\"{POOL}\"}} 3"),
        format!("{name}_requests_in_flight{{webhook=\"{POOL}\"}} 0"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(!text.contains("made-up"));
}

/// What Prometheus reads of a server.
fn scrape(server: &Running) -> String {
    let registry = prometheus::Registry::new();
    let look = Box::new(Sight::default);
    metrics::register(&registry, &server.metrics, look, PoolMetrics::Off).unwrap();
    String::from_utf8(metrics::text(&registry).unwrap()).unwrap()
}

#[tokio::test]
async fn a_review_that_the_api_server_gives_up_is_counted_with_its_time_and_without_a_status() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    server.facts.is_stuck.store(true, Ordering::SeqCst);
    let body = of_pool(None, &pool("10.0.0.1", "10.0.0.9")).to_string();
    // Its stream is reset, as when the API server's timeout has passed; the connection of another one is lost.
    let stream = TokioIo::new(server.connect().await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let reaches = async |n: usize| {
        while server.facts.asked.lock().unwrap().len() < n {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = sender.send_request(post(POOL, body.clone())) => panic!("it is not answered"),
        () = reaches(1) => {}
    }
    let counts = async |n: usize| {
        let name = "controller_runtime_webhook";
        let lines = [
            format!("{name}_requests_total{{code=\"none\",webhook=\"{POOL}\"}} {n}\n"),
            format!("{name}_latency_seconds_count{{webhook=\"{POOL}\"}} {n}\n"),
            format!("{name}_requests_in_flight{{webhook=\"{POOL}\"}} 0\n"),
        ];
        while !lines.iter().all(|line| scrape(&server).contains(line)) {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(20);
    let counted = tokio::time::timeout(patience, counts(1));
    counted.await.expect("the reset stream counts");
    let stream = TokioIo::new(server.connect().await.unwrap());
    let handshake = hyper::client::conn::http1::handshake(stream);
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let asked = tokio::spawn(sender.send_request(post(POOL, body)));
    reaches(2).await;
    connection.abort();
    let counted = tokio::time::timeout(patience, counts(2));
    counted.await.expect("the lost connection counts");
    assert!(asked.await.unwrap().is_err());
}

// === certificates ===
