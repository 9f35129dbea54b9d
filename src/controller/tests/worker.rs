//! The worker with a scripted machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixture::{claim_spec, key, object, server, told, wire};
use crate::api::Kind;
use crate::api::{AddressKey, ClaimKind, PoolKey};
use crate::controller::run::Make;
use crate::controller::worker::Machine;
use crate::controller::{Controller, Settings, View};
use crate::observe::metrics::{self, Look, Metrics, PoolMetrics, Sight};
use crate::pool::{
    By, Decision, Effect, Fact, Input, Moment, Object, Question, Request, RequestId, Snapshot,
};

pub(super) fn blank(key: &PoolKey) -> Snapshot {
    Snapshot {
        key: key.clone(),
        uid: None,
        of_another_manager: false,
        capacity: 0,
        allocated: 0,
        available: 0,
        reserved: 0,
        out_of_range: 0,
        waiting: BTreeMap::new(),
        claims: 0,
        in_flight: 0,
        status_waits: false,
        ready: Ok(()),
        cluster: None,
        strategy: "sequential",
        family: "none",
        problems: BTreeMap::new(),
    }
}

/// Notes what it is told, and does what the test's closure says.
struct Scripted<F> {
    key: PoolKey,
    log: Arc<Mutex<Vec<(Timestamp, String)>>>,
    act: F,
    steps: u64,
    empty: bool,
}

/// What a scripted machine does with an input: effects, and whether it is empty afterwards.
type Acted = (Vec<Effect>, bool);

impl<F: FnMut(&Input, Timestamp) -> Acted + Send> Machine for Scripted<F> {
    fn step(&mut self, input: Input, at: Moment) -> Vec<Effect> {
        let now = at.now;
        self.log.lock().unwrap().push((now, told(&input)));
        self.steps += 1;
        let (effects, empty) = (self.act)(&input, now);
        self.empty = empty;
        effects
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            claims: self.steps,
            ..blank(&self.key)
        }
    }

    fn fact(&self, _: &Question) -> Fact {
        Fact::InUse(Vec::new())
    }

    fn is_empty(&self) -> bool {
        self.empty
    }
}

type Log = Arc<Mutex<Vec<(Timestamp, String)>>>;

/// A controller whose watches never answer, with machines that do what `act` says.
fn ring<F>(client: kube::Client, act: F) -> (Controller, View, Log)
where
    F: FnMut(&Input, Timestamp) -> Acted + Clone + Send + Sync + 'static,
{
    ring_with(Settings::default(), client, act)
}

fn ring_with<F>(settings: Settings, client: kube::Client, act: F) -> (Controller, View, Log)
where
    F: FnMut(&Input, Timestamp) -> Acted + Clone + Send + Sync + 'static,
{
    let log = Log::default();
    let (silent, _) = server(|_, _| super::fixture::Say::Nothing);
    let make: Make = {
        let log = Arc::clone(&log);
        Box::new(move |key, _| {
            Box::new(Scripted {
                key,
                log: Arc::clone(&log),
                act: act.clone(),
                steps: 0,
                empty: false,
            })
        })
    };
    let controller = Controller::with_machines(silent, client, settings, make);
    let view = controller.view();
    (controller, view, log)
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(|(_, l)| l.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn it_ticks_when_the_pool_asked_for_it_and_a_later_wish_replaces_the_earlier() {
    let (client, _) = server(|_, _| super::fixture::Say::Nothing);
    let (controller, view, log) = ring(client, |input: &Input, now| match input {
        Input::Seen(Object::Claim { claim, .. }) if &*claim.meta.name == "a" => (
            vec![Effect::WakeAt(now + SignedDuration::from_secs(60))],
            false,
        ),
        Input::Seen(Object::Claim { .. }) => (
            vec![Effect::WakeAt(now + SignedDuration::from_secs(5))],
            false,
        ),
        _ => (Vec::new(), false),
    });
    let router = controller.router_for_tests();
    let stop = CancellationToken::new();
    let run = tokio::spawn(controller.run(stop.clone()));
    let mut changes = view.changes();
    let (a, b) = (
        wire("a", "1", 1, claim_spec("x")),
        wire("b", "2", 2, claim_spec("x")),
    );
    let kind = Kind::Claims(ClaimKind::Metal3);
    router.seen(kind, "v1alpha1", By::Event, a);
    router.seen(kind, "v1alpha1", By::Event, b);
    while !lines(&log).contains(&"tick".to_owned()) {
        view.changed(&mut changes).await;
    }
    let log = log.lock().unwrap().clone();
    let at = |what: &str| log.iter().find(|(_, l)| l.starts_with(what)).unwrap().0;
    assert_eq!(
        at("tick").duration_since(at("claim IPClaim b")),
        SignedDuration::from_secs(5)
    );
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(log.iter().filter(|(_, l)| l == "tick").count(), 1);
    stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_comes_back_to_the_pool_that_asked_and_names_are_watched_first() {
    let name = AddressKey {
        kind: ClaimKind::Metal3,
        name: "a".into(),
    };
    let (client, _) =
        server(|_, _| super::fixture::Say::Status(200, object("a", "u", 7, json!({}))));
    let asks = name.clone();
    let (controller, view, log) = ring(client, move |input: &Input, _| match input {
        Input::Seen(Object::Claim { .. }) => (
            vec![
                Effect::Request(RequestId(4), Request::ReadAddress { key: asks.clone() }),
                Effect::WatchName(asks.clone()),
            ],
            false,
        ),
        _ => (Vec::new(), false),
    });
    let router = controller.router_for_tests();
    let stop = CancellationToken::new();
    let run = tokio::spawn(controller.run(stop.clone()));
    let mut changes = view.changes();
    let kind = Kind::Claims(ClaimKind::Metal3);
    router.seen(
        kind,
        "v1alpha1",
        By::Event,
        wire("c", "1", 1, claim_spec("x")),
    );
    while !lines(&log).iter().any(|l| l.starts_with("answer 4 Stored")) {
        view.changed(&mut changes).await;
    }
    let addresses = Kind::Addresses(ClaimKind::Metal3);
    let spec = super::fixture::address_spec("other");
    router.seen(addresses, "v1alpha1", By::Event, wire("a", "9", 9, spec));
    while !lines(&log).contains(&"address a 9".to_owned()) {
        view.changed(&mut changes).await;
    }
    assert_eq!(view.snapshots()[0].key, key("other"));
    // The object that had the name before is gone, since another one has it.
    assert!(lines(&log).contains(&"freed a".to_owned()));
    stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_empty_pools_worker_leaves_and_comes_back_when_it_is_needed() {
    let (client, _) = server(|_, _| super::fixture::Say::Nothing);
    let (controller, view, _) = ring(client, |input: &Input, _| {
        (Vec::new(), matches!(input, Input::ClaimGone { .. }))
    });
    let router = controller.router_for_tests();
    let stop = CancellationToken::new();
    let run = tokio::spawn(controller.run(stop.clone()));
    let mut changes = view.changes();
    let kind = Kind::Claims(ClaimKind::Metal3);
    for uid in ["1", "2"] {
        router.seen(
            kind,
            "v1alpha1",
            By::Event,
            wire("c", uid, 1, claim_spec("x")),
        );
        while view.snapshot(&key("x")).is_none() {
            view.changed(&mut changes).await;
        }
        let name = crate::pool::Name {
            namespace: "n".into(),
            name: "c".into(),
        };
        router.gone(kind, &name, &uid.into(), &"1".into());
        while view.snapshot(&key("x")).is_some() {
            view.changed(&mut changes).await;
        }
    }
    stop.cancel();
    run.await.unwrap().unwrap();
}

/// Requests that wait as the run ends are not sent, and nobody tries them again.
#[tokio::test]
async fn nothing_is_said_to_be_tried_again_once_the_run_ends() {
    let (registry, metrics) = (Registry::new(), Arc::new(Metrics::default()));
    let none: Look = Box::new(Sight::default);
    metrics::register(&registry, &metrics, none, PoolMetrics::All).unwrap();
    let (client, _) = server(|_, _| super::fixture::Say::Nothing);
    let fails = || {
        Effect::Decided(Decision::Retrying {
            what: "write pool n/x".into(),
            why: "it was not sent".into(),
        })
    };
    let settings = Settings {
        in_flight: 1,
        drain: Duration::from_millis(1),
        metrics: Arc::clone(&metrics),
        ..Settings::default()
    };
    let (controller, view, log) =
        ring_with(settings, client, move |input: &Input, _| match input {
            Input::Seen(Object::Claim { .. }) => {
                let read = Request::ReadClaim {
                    key: crate::api::ClaimKey {
                        kind: ClaimKind::Metal3,
                        name: "c".into(),
                    },
                };
                let asked = (1..=3).map(|n| Effect::Request(RequestId(n), read.clone()));
                (asked.chain([fails()]).collect(), false)
            }
            Input::Answer { .. } => (vec![fails()], false),
            _ => (Vec::new(), false),
        });
    let router = controller.router_for_tests();
    let stop = CancellationToken::new();
    let run = tokio::spawn(controller.run(stop.clone()));
    let mut changes = view.changes();
    let kind = Kind::Claims(ClaimKind::Metal3);
    let claim = wire("c", "1", 1, claim_spec("x"));
    router.seen(kind, "v1alpha1", By::Event, claim);
    while !lines(&log).iter().any(|l| l.starts_with("claim")) {
        view.changed(&mut changes).await;
    }
    stop.cancel();
    run.await.unwrap().unwrap();
    let unsent = lines(&log);
    let unsent = unsent.iter().filter(|l| l.starts_with("answer"));
    assert!(unsent.count() >= 2, "{:?}", lines(&log));
    let text = String::from_utf8(metrics::text(&registry).unwrap()).unwrap();
    let mut retries = text
        .lines()
        .filter(|l| l.starts_with("workqueue_retries_total{"));
    let retries = retries.next().unwrap();
    assert!(retries.ends_with(" 1"), "{retries}");
}

#[tokio::test]
async fn a_pool_that_panics_ends_the_run_by_its_name() {
    let (client, _) = server(|_, _| super::fixture::Say::Nothing);
    let (controller, _, _) = ring(client, |input: &Input, _| match input {
        Input::Seen(Object::Claim { .. }) => panic!("impossible state"),
        _ => (Vec::new(), false),
    });
    let router = controller.router_for_tests();
    let run = tokio::spawn(controller.run(CancellationToken::new()));
    let kind = Kind::Claims(ClaimKind::Metal3);
    router.seen(
        kind,
        "v1alpha1",
        By::Event,
        wire("c", "1", 1, claim_spec("x")),
    );
    let error = run.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("worker of pool n/x"), "{error}");
    assert!(error.contains("impossible state"), "{error}");
}
