//! What hostile reviews make the process hold. The container of the manager has 512 MiB.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use super::super::Scope;
use listen::bodies::SHORT;

use super::super::body::{LARGE_ONES, MOST, REQUESTS};
use super::super::json::LIGHT;
use super::harness::{NEW_CLAIM, POOL, Running, claim, of_claim, of_pool, pool, post};

/// Set for the process that measures itself: other tests of this process would count too.
const MEASURED: &str = "METAL3_IPAM_TEST_MEASURED";
/// MiB that hostile reviews may add: eight bodies of 8 MiB, two that are judged, and as much again for an allocator that
/// gives back late.
const BUDGET: u64 = 400;

/// MiB that this process has held at most, and that it holds now.
fn held() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib = line.split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() >> 10
    };
    (mib("VmHWM:"), mib("VmRSS:"))
}

/// A review with as many copies of `item`, each with its number in the place of `#`, as fit into a body of `size` bytes
/// where `MANY` stands.
fn filled(review: &Value, item: &str, size: usize) -> Bytes {
    let text = review.to_string();
    let (head, tail) = text.split_once("\"MANY\"").unwrap();
    let mut body = head.to_owned();
    for n in 0.. {
        let next = item.replace('#', &n.to_string());
        if body.len() + next.len() + 1 + tail.len() > size {
            break;
        }
        if n > 0 {
            body.push(',');
        }
        body.push_str(&next);
    }
    (body + tail).into()
}

/// A pool whose spec, or whose field at this path, holds `MANY` values.
fn of_many(field: &str, value: &str) -> Value {
    let mut pool = pool("10.0.0.1", "10.0.0.9");
    pool["spec"][field] = "VALUE".into();
    let review = of_pool(None, &pool).to_string();
    serde_json::from_str(&review.replace("\"VALUE\"", value)).unwrap()
}

async fn hostile_reviews() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    server
        .review(POOL, &of_pool(None, &pool("10.0.0.1", "10.0.0.9")))
        .await;
    let list = "[\"MANY\"]";
    let shapes = [
        (POOL, of_many("pools", list), "{}"),
        (POOL, of_many("pools", list), "{\"a\":1}"),
        (POOL, of_many("excludedAddresses", list), "\"#\""),
        (
            NEW_CLAIM,
            of_claim(&claim(&json!({"labels": ["MANY"]}))),
            "{\"#\":\"\"}",
        ),
    ];
    let (_, before) = held();
    for (path, review, item) in shapes {
        let body = filled(&review, item, MOST);
        let sent = (0..LARGE_ONES).map(|_| server.send(post(path, body.clone())));
        for (status, text) in join_all(sent).await {
            let is_bounded = text.len() < 64 << 10 && !status.is_server_error();
            assert!(is_bounded, "{status}: {text:.200}");
        }
        let (most, _) = held();
        println!("{item}: {} MiB", most - before);
        assert!(most - before <= BUDGET, "{item}: {} MiB", most - before);
    }

    // As many small ones as there are places: with many values first, then with so many that each is judged at once and
    // waits for a fact.
    let body = filled(&of_many("unknown", list), "{\"a\":1}", SHORT);
    let sent = (0..REQUESTS / 4).map(|_| server.send(post(POOL, body.clone())));
    for (status, text) in join_all(sent).await {
        assert_eq!(status, StatusCode::OK, "{text}");
    }
    server.facts.is_stuck.store(true, Ordering::SeqCst);
    let body = filled(&of_many("unknown", list), "\"#\"", LIGHT / 15);
    let mut senders = Vec::new();
    for _ in 0..REQUESTS / 64 {
        let stream = TokioIo::new(server.connect().await.unwrap());
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    let asked = || server.facts.asked.lock().unwrap().len();
    let others = asked();
    let mut waiting = Vec::new();
    for _ in 0..REQUESTS / senders.len() {
        for sender in &mut senders {
            let answer = sender.send_request(post(POOL, body.clone()));
            waiting.push(tokio::spawn(answer));
        }
    }
    while asked() < others + REQUESTS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (most, _) = held();
    assert!(most - before <= BUDGET, "small ones: {} MiB", most - before);
    drop(waiting);
    println!("small ones: {} MiB", most - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_reviews_stay_within_a_budget_of_memory() {
    if std::env::var_os(MEASURED).is_some() {
        return hostile_reviews().await;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(MEASURED, "yes")
        // The tests' allocator keeps what each thread has freed; that of the program does not.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&measured.stdout);
    let errors = String::from_utf8_lossy(&measured.stderr);
    println!("{text}");
    assert!(text.contains("1 passed"), "{text}{errors}");
}

#[test]
fn the_largest_legal_objects_are_read() {
    let at = |n: usize| format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
    let entries: Vec<Value> = (0..10_000)
        .map(|n| {
            json!({"start": at(n), "end": at(n), "subnet": "10.0.0.0/8", "prefix": 8, "gateway": "10.0.0.1",
                "dnsServers": vec!["10.0.0.1"; 10]})
        })
        .collect();
    let excluded: Vec<String> = (0..10_000).map(at).collect();
    let claims = |n| {
        (0..n)
            .map(|n| (format!("claim-{n}"), json!(at(n))))
            .collect()
    };
    let pre: serde_json::Map<String, Value> = claims(65_536);
    let indexes: serde_json::Map<String, Value> = claims(4_096);
    let mut large = pool("10.0.0.1", "10.0.0.9");
    large["spec"]["pools"] = entries.into();
    large["spec"]["excludedAddresses"] = excluded.into();
    large["spec"]["preAllocations"] = pre.into();
    large["status"] = json!({"indexes": indexes});
    let hook = super::super::Hook::at(POOL).unwrap();
    let fields: serde_json::Map<String, Value> = claims(100_000);
    large["metadata"]["managedFields"] = json!([{"manager": "m", "fieldsV1": fields}]);
    let review = of_pool(Some(&large), &large);
    let size = review.to_string().len();
    let read = super::super::review::read(
        hook,
        review.to_string().as_bytes(),
        super::super::json::MOST,
    );
    assert!(read.is_ok(), "{size}: {:?}", read.err());
}
