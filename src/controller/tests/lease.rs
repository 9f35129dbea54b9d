//! client-go's protocol, on a server that keeps one Lease.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fixture::{Say, failure, server};
use crate::controller::clock::Clock;
use crate::controller::lease::{Contender, Entry, LeaseError};
use crate::controller::settings::LeaseSettings;

/// One Lease with optimistic updates.
#[derive(Clone, Default)]
pub(super) struct Keeper {
    pub(super) lease: Arc<Mutex<Option<Value>>>,
    /// What is answered instead, when set.
    pub(super) instead: Arc<Mutex<Option<(u16, &'static str)>>>,
    /// Events that the next watch tells before it ends; without them a watch is refused.
    events: Arc<Mutex<Vec<Value>>>,
}

impl Keeper {
    pub(super) fn client(&self) -> Client {
        let keeper = self.clone();
        let (client, _) = server(move |n, asked| {
            if let Some((code, reason)) = *keeper.instead.lock().unwrap() {
                return failure(code, reason, "lease");
            }
            if asked.line.contains("watch=1") {
                let events = std::mem::take(&mut *keeper.events.lock().unwrap());
                return if events.is_empty() {
                    failure(403, "Forbidden", "lease")
                } else {
                    Say::Lines(events)
                };
            }
            let mut lease = keeper.lease.lock().unwrap();
            let method = asked.line.split(' ').next().unwrap();
            match (method, lease.as_mut()) {
                ("GET" | "PUT", None) => failure(404, "NotFound", "lease"),
                ("GET", Some(lease)) => Say::Status(200, lease.clone()),
                ("POST", Some(_)) => failure(409, "AlreadyExists", "lease"),
                ("PUT", Some(old))
                    if old["metadata"]["resourceVersion"]
                        != asked.body["metadata"]["resourceVersion"] =>
                {
                    failure(409, "Conflict", "lease")
                }
                ("POST" | "PUT", _) => {
                    let mut new = asked.body.clone();
                    let version = lease
                        .as_ref()
                        .and_then(|l| {
                            l["metadata"]["resourceVersion"]
                                .as_str()?
                                .parse::<u64>()
                                .ok()
                        })
                        .unwrap_or(n as u64 * 1000);
                    new["metadata"]["resourceVersion"] = json!((version + 1).to_string());
                    *lease = Some(new.clone());
                    Say::Status(if method == "POST" { 201 } else { 200 }, new)
                }
                other => panic!("{other:?}"),
            }
        });
        client
    }

    fn spec(&self) -> Value {
        self.lease.lock().unwrap().as_ref().unwrap()["spec"].clone()
    }
}

type Renewed = watch::Receiver<Option<Instant>>;

fn contender(keeper: &Keeper, identity: &str) -> (Contender, Renewed) {
    contender_by(keeper.client(), identity)
}

fn contender_by(client: Client, identity: &str) -> (Contender, Renewed) {
    let settings = LeaseSettings {
        identity: identity.into(),
        ..LeaseSettings::new("n")
    };
    let (tx, rx) = watch::channel(None);
    let contender = Contender::new(client, settings, Clock::start(), 1, Arc::new(tx));
    (contender, rx)
}

#[tokio::test(start_paused = true)]
async fn p5_the_first_creates_it_renews_it_and_the_next_waits_until_it_runs_out() {
    let keeper = Keeper::default();
    let (mut first, renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    let spec = keeper.spec();
    assert_eq!(spec["holderIdentity"], "first");
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(spec["leaseTransitions"], 0);
    assert!(renewed.borrow().is_some());

    let acquired = spec["acquireTime"].clone();
    let held = tokio::time::timeout(Duration::from_mins(1), first.hold()).await;
    assert!(held.is_err(), "it is renewed for ever");
    let spec = keeper.spec();
    assert_eq!(spec["acquireTime"], acquired);
    assert_ne!(spec["renewTime"], acquired);

    // The first one dies without a word.
    drop(first);
    let start = Instant::now();
    let (mut second, _renewed) = contender(&keeper, "second");
    second.acquire().await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(21),
        "{:?}",
        start.elapsed()
    );
    let spec = keeper.spec();
    assert_eq!(spec["holderIdentity"], "second");
    assert_eq!(spec["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn p5_given_up_it_is_free_at_once() {
    let keeper = Keeper::default();
    let (mut first, renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    first.release().await;
    assert!(renewed.borrow().is_none());
    let spec = keeper.spec();
    assert_eq!(spec["holderIdentity"], "");
    assert_eq!(spec["leaseDurationSeconds"], 1);
    let start = Instant::now();
    let (mut second, _renewed) = contender(&keeper, "second");
    second.acquire().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(keeper.spec()["leaseTransitions"], 1);
    // Not ours any more: giving it up must not touch it.
    first.release().await;
    assert_eq!(keeper.spec()["holderIdentity"], "second");
}

/// A way to the server on which the answer takes its time after the request was carried out.
fn slow(client: Client, answer: Duration) -> Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let client = client.clone();
        async move {
            let reply = client.send(request).await;
            tokio::time::sleep(answer).await;
            reply
        }
    });
    Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn p5_a_manager_that_is_stopped_at_any_moment_leaves_no_lease_held() {
    // From before the first request to the middle of the second renewal, in steps that fall into every phase of each.
    for round in 0..500 {
        let keeper = Keeper::default();
        if round % 2 == 1 {
            // Somebody has given it up before.
            let (mut before, _) = contender(&keeper, "before");
            before.acquire().await.unwrap();
            before.release().await;
        }
        let client = slow(keeper.client(), Duration::from_millis(300));
        let (mut stopped, renewed) = contender_by(client, "stopped");
        let leads = async {
            if stopped.enter().await == Entry::Late {
                stopped.acquire().await.unwrap();
            }
            stopped.hold().await
        };
        let phase = Duration::from_millis(round * 11);
        assert!(tokio::time::timeout(phase, leads).await.is_err());
        stopped.release().await;
        assert!(renewed.borrow().is_none());
        let lease = keeper.lease.lock().unwrap().clone();
        let holder = lease.map_or(json!(""), |lease| lease["spec"]["holderIdentity"].clone());
        assert_eq!(holder, "", "round {round}, stopped after {phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p5_a_standby_hears_by_its_watch_that_the_lease_is_given_up() {
    let keeper = Keeper::default();
    let (mut first, _renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    let held = keeper.lease.lock().unwrap().clone().unwrap();
    first.release().await;
    let given_up = keeper.lease.lock().unwrap().replace(held.clone()).unwrap();
    *keeper.events.lock().unwrap() = vec![
        json!({ "type": "MODIFIED", "object": held }),
        json!({ "type": "MODIFIED", "object": given_up }),
    ];
    // Its first look still finds it held; when the watch tells, the server has the newer one.
    let (mut second, _renewed) = contender(&keeper, "second");
    assert_eq!(second.enter().await, Entry::Late);
    *keeper.lease.lock().unwrap() = Some(given_up);
    let start = Instant::now();
    second.acquire().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(keeper.spec()["holderIdentity"], "second");
}

#[tokio::test(start_paused = true)]
async fn p5_a_renewal_told_by_the_watch_counts_from_then_on() {
    let keeper = Keeper::default();
    let (mut first, _renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    let (mut second, _renewed) = contender(&keeper, "second");
    assert_eq!(second.enter().await, Entry::Late);
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Renewed once, and then never again.
    assert_eq!(first.enter().await, Entry::Early);
    let renewed = keeper.lease.lock().unwrap().clone().unwrap();
    *keeper.events.lock().unwrap() = vec![json!({ "type": "MODIFIED", "object": renewed })];
    let start = Instant::now();
    second.acquire().await.unwrap();
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(15), "{waited:?}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_for_ten_seconds_is_lost() {
    let keeper = Keeper::default();
    let (mut first, renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    let last = renewed.borrow().unwrap();
    *keeper.instead.lock().unwrap() = Some((500, "InternalError"));
    let lost = first.hold().await;
    assert_eq!(last.elapsed(), Duration::from_secs(10));
    assert!(renewed.borrow().is_none());
    let text = lost.to_string();
    assert!(matches!(lost, LeaseError::Lost { .. }));
    assert!(
        text.contains("n/controller-leader-election-ipam-capm3 was lost: InternalError"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_does_not_lose_it() {
    let keeper = Keeper::default();
    let (mut first, _renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    let instead = Arc::clone(&keeper.instead);
    tokio::spawn(async move {
        *instead.lock().unwrap() = Some((503, "ServiceUnavailable"));
        tokio::time::sleep(Duration::from_secs(8)).await;
        *instead.lock().unwrap() = None;
    });
    let held = tokio::time::timeout(Duration::from_mins(1), first.hold()).await;
    assert!(held.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_someone_took_is_lost_at_once() {
    let keeper = Keeper::default();
    let (mut first, renewed) = contender(&keeper, "first");
    first.acquire().await.unwrap();
    {
        let mut lease = keeper.lease.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["resourceVersion"] = json!("999999");
    }
    let start = Instant::now();
    let lost = first.hold().await.to_string();
    assert!(start.elapsed() <= Duration::from_secs(2));
    assert!(lost.contains("thief holds it"), "{lost}");
    assert!(renewed.borrow().is_none());
}

/// Whoever wants to force a failover deletes it, and its holder writes until it notices.
#[tokio::test(start_paused = true)]
async fn p5_a_lease_that_is_deleted_is_its_holders_until_its_time_is_over() {
    let keeper = Keeper::default();
    let (mut first, _renewed) = contender(&keeper, "first");
    let (mut second, _renewed) = contender(&keeper, "second");
    first.acquire().await.unwrap();
    assert_eq!(second.enter().await, Entry::Late);
    let deleted = keeper.lease.lock().unwrap().take().unwrap();
    assert_eq!(second.enter().await, Entry::Late, "the first leads");
    // It notices, and makes it anew.
    assert_eq!(first.enter().await, Entry::Early);
    assert_eq!(second.enter().await, Entry::Late);
    // Or it is gone.
    *keeper.lease.lock().unwrap() = None;
    *keeper.events.lock().unwrap() = vec![json!({ "type": "DELETED", "object": deleted })];
    let start = Instant::now();
    second.acquire().await.unwrap();
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(15), "{waited:?}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    assert_eq!(keeper.spec()["holderIdentity"], "second");
}

/// An API server that has just started does not know all roles.
#[tokio::test(start_paused = true)]
async fn p5_a_right_that_is_missing_for_a_moment_ends_nothing() {
    let keeper = Keeper::default();
    *keeper.instead.lock().unwrap() = Some((403, "Forbidden"));
    let (mut first, _renewed) = contender(&keeper, "first");
    assert_eq!(first.enter().await, Entry::Late);
    let there = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        *keeper.instead.lock().unwrap() = None;
    };
    let (acquired, ()) = tokio::join!(first.acquire(), there);
    acquired.unwrap();
    assert_eq!(keeper.spec()["holderIdentity"], "first");
}

#[tokio::test(start_paused = true)]
async fn p5_a_missing_right_names_the_rule() {
    let keeper = Keeper::default();
    *keeper.instead.lock().unwrap() = Some((403, "Forbidden"));
    let (mut first, _renewed) = contender(&keeper, "first");
    let error = first.acquire().await.unwrap_err().to_string();
    assert!(
        error.contains(
            "Grant get, watch, create and update on leases of coordination.k8s.io in namespace n"
        ),
        "{error}"
    );
}
