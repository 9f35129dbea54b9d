//! Events as they are written: in what form, how often, and what stops them (U4).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fixture::{Asked, Say, failure, key, server, until};
use crate::api::{ClaimKey, ClaimKind, PoolKey};
use crate::controller::clock::Clock;
use crate::controller::events::{EventContext, Recorder};
use crate::controller::failure::Failures;
use crate::controller::lease::Tenure;
use crate::controller::registry::Registry;
use crate::controller::router::Router;
use crate::controller::served::Served;
use crate::controller::view::Counts;
use crate::controller::writer::{Door, Writer};
use crate::observe::metrics::Metrics;
use crate::pool::{Decision, Reason};

struct Run {
    recorder: Arc<Recorder>,
    clock: Clock,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A recorder at work on a server.
fn run((client, asked): (Client, Arc<Mutex<Vec<Asked>>>)) -> Run {
    let metrics = Arc::new(Metrics::default());
    let counts = Arc::new(Counts::new(Arc::clone(&metrics), "lease"));
    let (served, registry) = (Arc::new(Served::new()), Arc::new(Registry::default()));
    let door = Door {
        client,
        served: Arc::clone(&served),
        counts: Arc::clone(&counts),
        tenure: Tenure::Always,
        absence_age: Duration::ZERO,
    };
    let writer = Arc::new(Writer::new(4, None, door));
    let hire = Box::new(|_: &Arc<Router>, _: &_, _: &_| {});
    let router = Arc::new(Router::new(Arc::clone(&registry), counts, None, hire));
    let (failures, stop) = (Arc::new(Failures::default()), CancellationToken::new());
    let writing = Arc::clone(&writer).run(router, Arc::clone(&failures), stop);
    failures.spawn("writer", writing);
    let recorder = Arc::new(Recorder::new(false, metrics));
    let clock = Clock::start();
    let context = EventContext {
        writer,
        registry,
        served,
        clock,
        instance: "here_1".to_owned(),
    };
    tokio::spawn(Arc::clone(&recorder).run(context));
    Run {
        recorder,
        clock,
        asked,
    }
}

impl Run {
    /// A claim cannot be served.
    fn fails(&self, claim: &str, message: &str) {
        self.fails_in(&key("p"), claim, message);
    }

    fn fails_in(&self, pool: &PoolKey, claim: &str, message: &str) {
        let decision = Decision::Waiting {
            claim: ClaimKey {
                kind: ClaimKind::Metal3,
                name: claim.into(),
            },
            uid: "u-1".into(),
            reason: Reason::RequestedAddressInvalid,
            message: message.to_owned(),
        };
        let moment = self.clock.moment();
        self.recorder.tell(pool, &decision, moment);
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn request(&self, n: usize) -> (String, Value) {
        let asked = &self.asked.lock().unwrap()[n];
        (asked.line.clone(), asked.body.clone())
    }
}

fn written(_: usize, _: &Asked) -> Say {
    Say::Status(201, json!({}))
}

#[tokio::test(start_paused = true)]
async fn u4_an_event_is_created_once_and_its_count_is_patched_ten_seconds_later() {
    let run = run(server(written));
    run.fails("c", "first");
    until("the Event", || run.requests() == 1).await;
    let (line, event) = run.request(0);
    assert_eq!(
        line,
        "POST /api/v1/namespaces/n/events?fieldManager=metal3-ipam"
    );
    let object = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "namespace": "n", "name": "c", "uid": "u-1"});
    assert_eq!(event["involvedObject"], object);
    for (field, value) in [
        ("reason", "RequestedAddressInvalid"),
        ("type", "Warning"),
        ("message", "first"),
        ("action", "AllocateIPAddress"),
        ("reportingComponent", "metal3-ipam"),
        ("reportingInstance", "here_1"),
    ] {
        assert_eq!(event[field], value, "{event}");
    }
    assert_eq!(event["count"], 1);

    let begun = Instant::now();
    run.fails("c", "second");
    run.fails("c", "third");
    until("the patch", || run.requests() == 2).await;
    assert!(begun.elapsed() >= Duration::from_secs(9));
    let (line, patch) = run.request(1);
    let name = event["metadata"]["name"].as_str().unwrap();
    let path = format!("PATCH /api/v1/namespaces/n/events/{name}?fieldManager=metal3-ipam");
    assert_eq!(line, path);
    assert_eq!(
        (&patch["count"], &patch["message"]),
        (&json!(3), &json!("third"))
    );
}

#[tokio::test(start_paused = true)]
async fn u4_an_event_that_the_server_has_forgotten_is_created_anew() {
    let run = run(server(|_, asked| {
        if asked.line.starts_with("PATCH") {
            failure(404, "NotFound", "c.1")
        } else {
            Say::Status(201, json!({}))
        }
    }));
    run.fails("c", "first");
    until("the Event", || run.requests() == 1).await;
    run.fails("c", "second");
    until("another", || run.requests() == 3).await;
    let (_, event) = run.request(2);
    assert_eq!(
        (&event["count"], &event["message"]),
        (&json!(2), &json!("second"))
    );
}

#[tokio::test(start_paused = true)]
async fn u4_without_the_right_nothing_is_asked_for_a_minute_and_nothing_is_lost() {
    let run = run(server(|n, _| {
        if n < 2 {
            failure(403, "Forbidden", "")
        } else {
            Say::Status(201, json!({}))
        }
    }));
    let begun = Instant::now();
    for n in 0..20 {
        run.fails(&format!("c{n}"), "why");
    }
    until("all of them", || run.requests() == 22).await;
    assert!(begun.elapsed() >= Duration::from_mins(2));
}

#[tokio::test(start_paused = true)]
async fn u4_a_namespace_in_which_events_are_refused_delays_no_other() {
    let run = run(server(|_, asked| {
        if asked.line.contains("/namespaces/closed/") {
            failure(403, "Forbidden", "")
        } else {
            Say::Status(201, json!({}))
        }
    }));
    let closed = PoolKey {
        namespace: "closed".into(),
        name: "p".into(),
    };
    let begun = Instant::now();
    for n in 0..5 {
        run.fails_in(&closed, &format!("c{n}"), "why");
    }
    until("the first to be refused", || run.requests() == 1).await;
    for n in 0..5 {
        run.fails(&format!("c{n}"), "why");
    }
    // More of the same are no reason to ask there again.
    for n in 5..10 {
        run.fails_in(&closed, &format!("c{n}"), "why");
    }
    until("all others", || run.requests() == 6).await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    let to_closed = |n: &usize| run.request(*n).0.contains("/namespaces/closed/");
    assert_eq!((0..6).filter(to_closed).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn u4_an_event_that_is_refused_delays_others_of_its_namespace_by_a_minute_at_most() {
    let run = run(server(|_, asked| {
        if asked.body["involvedObject"]["name"] == "c0" {
            failure(403, "Forbidden", "")
        } else {
            Say::Status(201, json!({}))
        }
    }));
    run.fails("c0", "why");
    run.fails("c1", "why");
    let stored = || (0..run.requests()).any(|n| run.request(n).1["involvedObject"]["name"] == "c1");
    let begun = Instant::now();
    until("the other one", stored).await;
    assert!(begun.elapsed() < Duration::from_mins(3));
}

#[tokio::test(start_paused = true)]
async fn u4_a_thousand_claims_that_fail_at_once_are_five_writes_a_second() {
    let run = run(server(written));
    let begun = Instant::now();
    for n in 0..1100 {
        run.fails(&format!("c{n}"), "why");
    }
    until("all of them", || run.requests() == 1000).await;
    let seconds = begun.elapsed().as_secs();
    assert!((190..=205).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn u4_a_lost_answer_is_asked_for_again_under_the_same_name() {
    let run = run(server(|n, _| match n {
        0 => Say::Error("connection reset".into()),
        _ => failure(409, "AlreadyExists", "c.1"),
    }));
    run.fails("c", "first");
    until("the second try", || run.requests() == 2).await;
    let name = |n| run.request(n).1["metadata"]["name"].clone();
    assert_eq!(name(0), name(1));
    // It counts as written.
    run.fails("c", "second");
    until("the patch", || run.requests() == 3).await;
    assert!(run.request(2).0.starts_with("PATCH "));
}
