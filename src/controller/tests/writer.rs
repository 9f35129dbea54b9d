//! Requests on their way out: fair, bounded, leased, and each with exactly one answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use kube::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fixture::{Asked, Say, failure, key, object, server, told, until};
use crate::api::{AddressKey, ClaimKey, ClaimKind, Kind};
use crate::controller::failure::Failures;
use crate::controller::lease::Tenure;
use crate::controller::mailbox::Mailbox;
use crate::controller::registry::Registry;
use crate::controller::router::Router;
use crate::controller::served::Served;
use crate::controller::settings::Rate;
use crate::controller::transport::Call;
use crate::controller::view::Counts;
use crate::controller::wire::Verb;
use crate::controller::writer::{Door, Writer};
use crate::pool::{Input, KindState, Outcome, Request, RequestId, Reread};

struct Harness {
    writer: Arc<Writer>,
    counts: Arc<Counts>,
    router: Arc<Router>,
    failures: Arc<Failures>,
    stop: CancellationToken,
}

fn harness(client: Client, in_flight: usize, rate: Option<Rate>, tenure: Tenure) -> Harness {
    let counts = Arc::new(Counts::new(Arc::default(), "lease"));
    let door = Door {
        client,
        served: Arc::new(Served::new()),
        counts: Arc::clone(&counts),
        tenure,
        absence_age: Duration::ZERO,
    };
    let writer = Arc::new(Writer::new(in_flight, rate, door));
    let router = Arc::new(Router::new(
        Arc::new(Registry::default()),
        Arc::clone(&counts),
        None,
        Box::new(|_, _, _| {}),
    ));
    let (failures, stop) = (Arc::new(Failures::default()), CancellationToken::new());
    failures.spawn(
        "writer",
        Arc::clone(&writer).run(Arc::clone(&router), Arc::clone(&failures), stop.clone()),
    );
    Harness {
        writer,
        counts,
        router,
        failures,
        stop,
    }
}

impl Harness {
    fn submit(&self, pool: &str, mailbox: &Arc<Mailbox>, id: u64, request: Request) {
        let decided_on = self.router.state().kinds.changes();
        self.writer.submit(
            &key(pool),
            request,
            decided_on,
            mailbox.reserve(RequestId(id)),
        );
    }
}

fn patch(name: &str) -> Request {
    Request::ClaimFinalizers {
        key: ClaimKey {
            kind: ClaimKind::Metal3,
            name: name.into(),
        },
        uid: "u".into(),
        resource_version: "1".into(),
        finalizers: vec!["ipclaim.ipam.metal3.io".into()],
    }
}

fn pool_status() -> Request {
    status_of(false)
}

fn status_of(counts_only: bool) -> Request {
    Request::PoolStatus {
        uid: "u".into(),
        resource_version: "1".into(),
        status: json!({}),
        entries: 0,
        counts_only,
    }
}

fn named(line: &str) -> String {
    let path = line.split(['?', ' ']).nth(1).unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

fn stored(asked: &Asked) -> Say {
    Say::Status(200, object(&named(&asked.line), "u", 7, json!({})))
}

async fn answers(mailbox: &Mailbox, n: usize) -> Vec<(u64, Outcome)> {
    let mut out = Vec::new();
    while out.len() < n {
        mailbox.filled().await;
        match mailbox.take_input() {
            Some(Input::Answer { id, outcome }) => out.push((id.0, outcome)),
            Some(other) => panic!("{}", told(&other)),
            None => {}
        }
    }
    out
}

#[tokio::test]
async fn pools_take_turns_however_much_one_asks() {
    let (client, asked) = server(|_, asked| stored(asked));
    let harness = harness(client, 1, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    // All of these are in the queue before the writer runs: the test's thread is the only one.
    for i in 0..1000 {
        harness.submit("big", &mailbox, i, patch(&format!("b{i}")));
    }
    for i in 0..3 {
        harness.submit("small", &mailbox, 2000 + i, patch(&format!("s{i}")));
    }
    assert_eq!(answers(&mailbox, 1003).await.len(), 1003);
    let order: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|a| named(&a.line))
        .collect();
    assert_eq!(order[..7], ["b0", "s0", "b1", "s1", "b2", "s2", "b3"]);
}

#[tokio::test]
async fn p1_what_waits_to_be_sent_when_a_pause_is_seen_is_not_sent() {
    let mailbox = Arc::new(Mailbox::default());
    let of_server = Arc::clone(&mailbox);
    let (client, asked) = server(move |n, asked| {
        if n == 1 {
            // The pause is seen while the second request is under way.
            for id in 0..5 {
                of_server.withdraw(RequestId(id));
            }
        }
        stored(asked)
    });
    let harness = harness(client, 1, None, Tenure::Always);
    for i in 0..5 {
        harness.submit("p", &mailbox, i, patch(&format!("c{i}")));
    }
    harness.submit("p", &mailbox, 9, pool_status());
    let answers = answers(&mailbox, 6).await;
    let unsent = |(_, outcome): &&(u64, Outcome)| matches!(outcome, Outcome::Withdrawn);
    assert_eq!(answers.iter().filter(unsent).count(), 3);
    let asked = asked.lock().unwrap();
    let names: Vec<String> = asked.iter().map(|asked| named(&asked.line)).collect();
    assert_eq!(names, ["c0", "c1", "status"], "the status says so");
}

/// Neither waits a withdrawn request for its turn, nor does its place in the turns cost another pool its own.
#[tokio::test]
async fn a_request_that_is_withdrawn_is_answered_at_once_and_not_sent() {
    let (client, asked) = server(|n, asked| match n {
        0 => Say::Nothing,
        _ => stored(asked),
    });
    let harness = harness(client, 1, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    let other = Arc::new(Mailbox::default());
    harness.submit("held", &other, 0, patch("held"));
    until("the place is taken", || asked.lock().unwrap().len() == 1).await;
    for (id, request) in [(1, patch("c")), (2, pool_status()), (3, status_of(true))] {
        harness.submit("p", &mailbox, id, request);
    }
    for id in [1, 2, 3, 0, 77] {
        harness.writer.withdraw(&key("p"), RequestId(id));
    }
    let withdrawn = answers(&mailbox, 3).await;
    assert!(
        withdrawn
            .iter()
            .all(|(_, o)| matches!(o, Outcome::Withdrawn))
    );
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_request_was_withdrawn_its_pool_and_others_have_their_turns() {
    let (client, asked) = server(|_, asked| stored(asked));
    let harness = harness(client, 1, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    // All of this happens before the writer runs: the test's thread is the only one.
    harness.submit("p", &mailbox, 1, patch("p1"));
    harness.writer.withdraw(&key("p"), RequestId(1));
    for id in 2..4 {
        harness.submit("p", &mailbox, id, patch(&format!("p{id}")));
        harness.submit("q", &mailbox, 10 + id, patch(&format!("q{id}")));
    }
    harness.submit("r", &mailbox, 20, patch("r"));
    harness.writer.withdraw(&key("r"), RequestId(20));
    assert_eq!(answers(&mailbox, 6).await.len(), 6);
    let asked = asked.lock().unwrap();
    let names: Vec<String> = asked.iter().map(|asked| named(&asked.line)).collect();
    assert_eq!(names, ["p2", "q2", "p3", "q3"]);
}

#[tokio::test]
async fn how_pools_stand_is_told_after_what_claims_wait_for_and_now_and_then_before() {
    let (client, asked) = server(|_, asked| stored(asked));
    let harness = harness(client, 1, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    for i in 0..20 {
        let status = pool_status();
        harness.submit(&format!("pool-{i}"), &mailbox, 1000 + i, status);
    }
    for i in 0..40 {
        harness.submit("busy", &mailbox, i, patch(&format!("c{i}")));
    }
    assert_eq!(answers(&mailbox, 60).await.len(), 60);
    let asked = asked.lock().unwrap();
    let statuses = asked.iter().enumerate();
    let statuses: Vec<usize> = statuses
        .filter(|(_, a)| a.line.contains("/ippools/"))
        .map(|(place, _)| place)
        .collect();
    assert_eq!(statuses[..3], [15, 31, 42], "then nothing else is left");
    assert_eq!(statuses.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn counts_are_few_while_claims_are_served_and_go_at_once_when_none_are() {
    let now = Arc::new(Mutex::new(Vec::new()));
    let answer = Arc::new(tokio::sync::Semaphore::new(0));
    let service = {
        let (now, answer) = (Arc::clone(&now), Arc::clone(&answer));
        tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (now, answer) = (Arc::clone(&now), Arc::clone(&answer));
            async move {
                // /apis/group/version/namespaces/n/resource/name
                let name = request.uri().path().split('/').nth(7).unwrap().to_owned();
                now.lock().unwrap().push(name.clone());
                let is_claim = request.uri().path().contains("/ipclaims/");
                if is_claim || name.starts_with("held") {
                    answer.acquire().await.unwrap().forget();
                }
                let body = object(&name, "u", 7, json!({})).to_string();
                let body = http_body_util::Full::new(bytes::Bytes::from(body));
                Ok::<_, tower::BoxError>(http::Response::new(body))
            }
        })
    };
    let harness = harness(Client::new(service, "default"), 64, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    let sent = |of: &str| {
        let sent = now.lock().unwrap();
        sent.iter().filter(|name| name.starts_with(of)).count()
    };
    let claims = |numbers: std::ops::Range<u64>| {
        for i in numbers {
            harness.submit("busy", &mailbox, 1000 + i, patch(&format!("claim-{i}")));
        }
    };
    claims(0..1);
    until("the first claim's request is sent", || sent("claim") == 1).await;
    for i in 0..20 {
        harness.submit(&format!("held-{i:02}"), &mailbox, i, status_of(true));
    }
    harness.submit("sudden", &mailbox, 2000, pool_status());
    until("a status that says more does not wait", || {
        sent("sudden") == 1
    })
    .await;
    // One in 60 ms, while the claim has no answer.
    until("the first counts are sent", || sent("held") == 1).await;
    let since = Instant::now();
    until("more counts are sent", || sent("held") == 5).await;
    let took = since.elapsed().as_millis();
    assert!((230..=300).contains(&took), "{took} ms");
    // One in 32 requests.
    claims(1..33);
    until("claims' requests are sent", || sent("claim") == 33).await;
    assert_eq!(sent("held"), 6);
    // All claims are answered: half a second later counts go as there are places.
    answer.add_permits(1);
    until("only the claims wait for an answer, in their order", || {
        answer.available_permits() == 0
    })
    .await;
    answer.add_permits(40);
    let since = Instant::now();
    until("the others are sent", || sent("held") == 20).await;
    assert!(since.elapsed().as_millis() <= 560, "{:?}", since.elapsed());
    answer.add_permits(13);
    assert_eq!(answers(&mailbox, 54).await.len(), 54);
}

#[tokio::test]
async fn in_flight_is_bounded_over_all_pools() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let service = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                let name = named(&format!("PATCH {}", request.uri()));
                let body = object(&name, "u", 7, json!({})).to_string();
                Ok::<_, tower::BoxError>(http::Response::new(http_body_util::Full::new(
                    bytes::Bytes::from(body),
                )))
            }
        })
    };
    let harness = harness(Client::new(service, "default"), 8, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    for i in 0..200 {
        harness.submit(&format!("p{}", i % 5), &mailbox, i, patch("c"));
    }
    assert_eq!(answers(&mailbox, 200).await.len(), 200);
    assert_eq!(most.load(Ordering::SeqCst), 8);
    let counters = harness.counts_of();
    let key = (Verb::Patch, Kind::Claims(ClaimKind::Metal3), "stored");
    assert_eq!(counters.requests.get(&key), Some(&200));
    assert_eq!(counters.writes(), 200);
}

impl Harness {
    fn counts_of(&self) -> crate::controller::Counters {
        crate::controller::View {
            registry: Arc::new(Registry::default()),
            counts: Arc::clone(&self.counts),
        }
        .counters()
    }
}

#[tokio::test]
async fn a_conflict_about_an_unchanged_object_is_anothers_refusal() {
    let (client, _) = server(|n, asked| match n {
        0 => failure(409, "Conflict", "c"),
        _ => Say::Status(200, object(&named(&asked.line), "u", 1, json!({}))),
    });
    let harness = harness(client, 4, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    harness.submit("x", &mailbox, 1, patch("c"));
    let got = answers(&mailbox, 1).await;
    let Outcome::Conflict(Reread::Unchanged { message }) = &got[0].1 else {
        panic!("{got:?}");
    };
    assert!(message.ends_with("(409)"), "{message}");
}

#[tokio::test]
async fn a_conflict_is_answered_with_the_newest_object() {
    let (client, asked) = server(|n, asked| match n {
        0 => failure(409, "Conflict", "c"),
        _ => stored(asked),
    });
    let harness = harness(client, 4, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    harness.submit("x", &mailbox, 1, patch("c"));
    let got = answers(&mailbox, 1).await;
    assert!(
        matches!(&got[0].1, Outcome::Conflict(Reread::Found(..))),
        "{got:?}"
    );
    let lines: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|a| a.line.clone())
        .collect();
    let path = "/apis/ipam.metal3.io/v1alpha1/namespaces/n/ipclaims/c";
    assert_eq!(
        lines,
        [
            format!("PATCH {path}?timeout=4s&fieldManager=metal3-ipam"),
            format!("GET {path}")
        ]
    );
}

/// As client-go has it: who was asked to wait waits with its place in flight, so that an overloaded server is met by fewer.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_asked_to_wait_keeps_its_place_in_flight_for_that_time() {
    let (client, asked) = server(|_, asked| match named(&asked.line).as_str() {
        "fine" => stored(asked),
        "overloaded" => Say::Later(503, 3),
        _ => Say::Later(429, 3),
    });
    let harness = harness(client, 4, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    let start = Instant::now();
    for i in 0..3 {
        harness.submit(
            "x",
            &mailbox,
            i,
            patch(if i == 0 { "overloaded" } else { "busy" }),
        );
    }
    // Their pools are answered at once, and one place is left.
    assert_eq!(answers(&mailbox, 3).await.len(), 3);
    for i in 3..100 {
        harness.submit("x", &mailbox, i, patch("fine"));
    }
    assert_eq!(answers(&mailbox, 97).await.len(), 97);
    assert_eq!(start.elapsed(), Duration::ZERO, "one place serves them all");
    for i in 100..200 {
        harness.submit("x", &mailbox, i, patch("busy"));
    }
    answers(&mailbox, 1).await;
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    assert_eq!(asked.lock().unwrap().len(), 101, "no place is left");
    answers(&mailbox, 7).await;
    assert_eq!(start.elapsed(), Duration::from_secs(6));

    // The end of the run does not wait for them.
    harness.stop.cancel();
    harness.writer.drained().await;
    assert_eq!(start.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn r7_every_request_has_one_answer_also_without_one_from_the_server() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let script = Mutex::new(Some(refused));
    let (client, _) = server(move |_, asked| match named(&asked.line).as_str() {
        "silent" => Say::Nothing,
        "closed" => Say::Error(script.lock().unwrap().take().unwrap().into()),
        "reset" => Say::Error("connection reset".into()),
        "busy" => Say::Later(429, 7),
        "cut" => Say::Text(200, "{\"metadata\":{\"na"),
        _ => stored(asked),
    });
    let harness = harness(client, 64, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    let names = ["silent", "closed", "reset", "busy", "cut", "fine"];
    for (i, name) in names.into_iter().enumerate() {
        harness.submit("x", &mailbox, i as u64, patch(name));
    }
    let start = Instant::now();
    let mut got = answers(&mailbox, names.len()).await;
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(5),
        "the silent one is given up"
    );
    got.sort_by_key(|(id, _)| *id);
    let shown: Vec<String> = got
        .iter()
        .map(|(id, outcome)| {
            let text = format!("{outcome:?}");
            let text = text.split([' ', '(']).next().unwrap_or_default().to_owned();
            format!("{} {text}", names[usize::try_from(*id).unwrap()])
        })
        .collect();
    assert_eq!(
        shown,
        [
            "silent Unknown",
            "closed NotSent",
            "reset Unknown",
            "busy NotSent",
            "cut Unknown",
            "fine Stored"
        ]
    );
    let retry_after = Some(Duration::from_secs(7));
    assert!(matches!(&got[3].1, Outcome::NotSent { retry_after: r } if *r == retry_after));
    assert!(!harness.writer.is_all_definite());
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(harness.writer.is_all_definite());
}

#[tokio::test]
async fn u4_an_event_goes_when_nothing_else_wants_to_and_one_in_64_requests_may_be_one() {
    let (client, asked) = server(|_, asked| stored(asked));
    let harness = harness(client, 1, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    // All of these are in the queue before the writer runs: the test's thread is the only one.
    for i in 0..150 {
        harness.submit("x", &mailbox, i, patch("c"));
    }
    let event = || Call {
        method: Method::POST,
        content_type: Some("application/json"),
        ..Call::get("/events".to_owned())
    };
    let write = || harness.writer.write_event(event(), "create");
    let (_, a, b, c) = tokio::join!(answers(&mailbox, 150), write(), write(), write());
    assert!([a, b, c].iter().all(|answer| matches!(answer, Some(Ok(_)))));
    let places: Vec<usize> = {
        let asked = asked.lock().unwrap();
        let places = asked.iter().enumerate();
        let places = places.filter(|(_, a)| a.line.ends_with("/events"));
        places.map(|(n, _)| n).collect()
    };
    assert_eq!(places, [63, 127, 152]);

    harness.stop.cancel();
    harness.writer.drained().await;
    assert_eq!(write().await, None, "the run has ended");
}

#[tokio::test]
async fn at_the_end_what_waits_is_not_sent_and_what_flies_is_answered() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let service = {
        let gate = Arc::clone(&gate);
        tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                let name = named(&format!("PATCH {}", request.uri()));
                let body = object(&name, "u", 7, json!({})).to_string();
                Ok::<_, tower::BoxError>(http::Response::new(http_body_util::Full::new(
                    bytes::Bytes::from(body),
                )))
            }
        })
    };
    let harness = harness(Client::new(service, "default"), 2, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    for i in 0..5 {
        harness.submit("x", &mailbox, i, patch("c"));
    }
    harness.submit("y", &mailbox, 20, pool_status());
    harness.submit("z", &mailbox, 21, status_of(true));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    harness.stop.cancel();
    let waiting = answers(&mailbox, 5);
    let waiting = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    let waiting = waiting.expect("every lane is emptied");
    assert!(
        waiting
            .iter()
            .all(|(_, o)| matches!(o, Outcome::NotSent { retry_after: None })),
        "{waiting:?}"
    );
    harness.submit("x", &mailbox, 9, patch("c"));
    assert!(matches!(
        answers(&mailbox, 1).await[..],
        [(9, Outcome::NotSent { .. })]
    ));
    gate.add_permits(2);
    let flying = answers(&mailbox, 2).await;
    assert!(flying.iter().all(|(_, o)| matches!(o, Outcome::Stored(..))));
    harness.writer.drained().await;
    harness.failures.ended().await;
    assert_eq!(harness.failures.first(), None);
}

#[tokio::test(start_paused = true)]
async fn o8_no_write_starts_that_could_outlast_the_lease() {
    let (client, asked) = server(|_, asked| stored(asked));
    let (renewed, tenure) = {
        let (tx, rx) = watch::channel(None);
        let tenure = Tenure::Leased {
            renewed: rx,
            duration: Duration::from_secs(15),
        };
        (tx, tenure)
    };
    let harness = harness(client, 4, None, tenure);
    let mailbox = Arc::new(Mailbox::default());
    let try_one = async |request: Request| {
        harness.submit("x", &mailbox, 1, request);
        answers(&mailbox, 1).await.remove(0).1
    };
    assert!(matches!(try_one(patch("c")).await, Outcome::NotSent { .. }));
    renewed.send_replace(Some(Instant::now()));
    assert!(matches!(try_one(patch("c")).await, Outcome::Stored(..)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(matches!(try_one(patch("c")).await, Outcome::Stored(..)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(matches!(try_one(patch("c")).await, Outcome::NotSent { .. }));
    // A read can do no harm.
    let read = Request::ReadAddress {
        key: AddressKey {
            kind: ClaimKind::Metal3,
            name: "a".into(),
        },
    };
    assert!(matches!(try_one(read).await, Outcome::Stored(..)));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let (client, _) = server(|_, asked| stored(asked));
    tokio::time::advance(Duration::from_mins(1)).await;
    let rate = Rate {
        qps: 20.0,
        burst: 10,
    };
    let harness = harness(client, 64, Some(rate), Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    let start = Instant::now();
    for i in 0..30 {
        harness.submit("x", &mailbox, i, patch("c"));
    }
    answers(&mailbox, 30).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

/// Discovery is asked whether Cluster API is still absent; when the process ends nobody answers that any more.
#[tokio::test(start_paused = true)]
async fn a_create_that_waits_for_discovery_is_not_waited_for_at_the_end() {
    let (client, asked) = server(|_, asked| stored(asked));
    let harness = harness(client, 1, None, Tenure::Always);
    let kinds = [
        Kind::Addresses(ClaimKind::Capi),
        Kind::Claims(ClaimKind::Capi),
    ];
    for kind in kinds {
        harness.router.kind_is(kind, KindState::Absent);
    }
    let mailbox = Arc::new(Mailbox::default());
    let new = super::wire::new(ClaimKind::Metal3);
    harness.submit("x", &mailbox, 1, Request::CreateAddress(Box::new(new)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let end = Instant::now();
    harness.stop.cancel();
    let (_, outcome) = answers(&mailbox, 1).await.remove(0);
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
    harness.writer.drained().await;
    assert_eq!(end.elapsed(), Duration::ZERO);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_for_ten_seconds_at_most() {
    let (client, _) = server(|n, asked| {
        if n == 0 {
            Say::Later(503, 3600)
        } else {
            stored(asked)
        }
    });
    let harness = harness(client, 1, None, Tenure::Always);
    let mailbox = Arc::new(Mailbox::default());
    let start = Instant::now();
    for i in 0..2 {
        harness.submit("x", &mailbox, i, patch("c"));
    }
    answers(&mailbox, 2).await;
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}
