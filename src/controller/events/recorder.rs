//! Takes in what the pools decide, and writes the Events, one after the other.
//!
//! They are written as `v1` Events: the same objects as those of `events.k8s.io/v1`, whose message and count an update may change,
//! so that one object of a series shows its newest message. The embedded server has them in this form only.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use crate::api::{Kind, PoolKey};
use crate::observe::metrics::Metrics;
use crate::pool::{Decision, Moment};

use super::super::bucket::Bucket;
use super::super::clock::Clock;
use super::super::registry::Registry;
use super::super::served::Served;
use super::super::settings::Rate;
use super::super::status::{Status, words};
use super::super::transport::{Call, Fault, Reply, escape};
use super::super::wire::FIELD_MANAGER;
use super::super::writer::Writer;
use super::book::{Book, Noted, Series, SeriesKey};
use super::occurrence::{self, About};

/// Writes of Events, over all series.
pub(super) const RATE: Rate = Rate {
    qps: 5.0,
    burst: 25,
};
/// How long no Event is written after the server has refused one, for want of a right or of the kind.
const PAUSE: Duration = Duration::from_mins(1);

/// What keeps the Events of a run (see the module).
pub(in super::super) struct Recorder {
    book: Mutex<Book>,
    told: Notify,
    /// `--claim-events`.
    claim_events: bool,
    metrics: Arc<Metrics>,
}

/// What writing needs.
pub(in super::super) struct EventContext {
    pub(in super::super) writer: Arc<Writer>,
    pub(in super::super) registry: Arc<Registry>,
    pub(in super::super) served: Arc<Served>,
    pub(in super::super) clock: Clock,
    /// Who we are, as in the lease.
    pub(in super::super) instance: String,
}

/// What a write of an Event has shown.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Stored,
    /// There is no such Event.
    Gone,
    /// It was not sent, or nobody knows: it can be sent again.
    Unknown,
    /// This one is refused.
    Refused(String),
    /// All of its namespace are, or all.
    NoRight(String),
}

impl Recorder {
    pub(in super::super) fn new(claim_events: bool, metrics: Arc<Metrics>) -> Self {
        Self {
            book: Mutex::default(),
            told: Notify::new(),
            claim_events,
            metrics,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect(super::super::LOCK)
    }

    /// Takes in a decision of a pool. Never waits.
    pub(in super::super) fn tell(&self, pool: &PoolKey, decision: &Decision, at: Moment) {
        for occurrence in occurrence::of(pool, decision, self.claim_events) {
            let noted = self.book().note(occurrence, at);
            match noted {
                Noted::New => self.told.notify_one(),
                Noted::Counted => {}
                Noted::Displaced => {
                    self.metrics.event_dropped();
                    self.told.notify_one();
                }
                Noted::Dropped => self.metrics.event_dropped(),
            }
        }
    }

    /// Writes the Events, one after the other, until the run ends.
    pub(in super::super) async fn run(self: Arc<Self>, context: EventContext) {
        let mut bucket = Bucket::new(RATE);
        // Where the last Event was refused, unless one was stored since; and where the one was that the log tells of.
        let mut refused_in: Option<String> = None;
        let mut warned_of: Option<String> = None;
        loop {
            let told = self.told.notified();
            let next = self.book().next();
            match next {
                None => {
                    told.await;
                    continue;
                }
                Some(at) if at > context.clock.now() => {
                    tokio::select! {
                        () = sleep_until(context.clock.instant(at)) => {}
                        () = told => {}
                    }
                    continue;
                }
                Some(_) => {}
            }
            bucket.take().await;
            let Some((key, series)) = self.book().due(context.clock.now()) else {
                continue;
            };
            let Some(call) = context.call(&key, &series) else {
                // Its pool is gone, or its kind.
                self.book().forget(&key);
                continue;
            };
            let verb = if series.is_stored() {
                "patch"
            } else {
                "create"
            };
            let shown = context.write(call, verb).await;
            let at = context.clock.moment();
            match shown {
                Shown::Stored => {
                    self.book().stored(&key, series.count, at.now);
                    refused_in = None;
                    warned_of.take_if(|namespace| namespace == key.about.namespace());
                }
                Shown::Gone => self.book().gone(&key, at),
                Shown::Unknown => self.book().failed(&key, at.now),
                Shown::Refused(why) => {
                    debug!(
                        event = key.reason,
                        object = key.about.name(),
                        why,
                        "an Event is refused"
                    );
                    self.book().forget(&key);
                    self.metrics.event_dropped();
                }
                Shown::NoRight(why) => {
                    let namespace = key.about.namespace();
                    if warned_of.is_none() {
                        warn!(
                            why,
                            "Events are refused; give the manager the verbs create and patch on events, as deploy/rbac does"
                        );
                    }
                    warned_of.get_or_insert_with(|| namespace.to_owned());
                    self.book().rest(namespace, at.now);
                    // One namespace may have a policy of its own. When two refuse, all do.
                    if refused_in
                        .as_deref()
                        .is_some_and(|before| before != namespace)
                    {
                        tokio::time::sleep(PAUSE).await;
                    }
                    refused_in = Some(namespace.to_owned());
                }
            }
        }
    }
}

impl EventContext {
    /// The request that writes a series; `None` when what it is of is gone.
    fn call(&self, key: &SeriesKey, series: &Series) -> Option<Call> {
        let namespace = escape(key.about.namespace());
        let mut target = format!("/api/v1/namespaces/{namespace}/events");
        let (last, count) = (second(series.last), series.count);
        let (method, content_type, body) = if series.is_stored() {
            target.push('/');
            target.extend(escape(&series.name));
            let patch = json!({"count": count, "lastTimestamp": last, "message": series.message});
            let merge = "application/merge-patch+json";
            (Method::PATCH, merge, serde_json::to_vec(&patch))
        } else {
            let event = Event {
                metadata: ObjectMeta {
                    name: Some(String::from(&*series.name)),
                    namespace: Some(key.about.namespace().to_owned()),
                    ..ObjectMeta::default()
                },
                involved_object: self.reference(&key.about)?,
                reason: Some(key.reason.to_owned()),
                message: Some(series.message.clone()),
                type_: Some(series.weight.to_string()),
                action: Some(series.action.to_owned()),
                count: Some(count),
                first_timestamp: Some(second(series.first)),
                last_timestamp: Some(last),
                source: Some(EventSource {
                    component: Some(FIELD_MANAGER.to_owned()),
                    host: None,
                }),
                reporting_component: Some(FIELD_MANAGER.to_owned()),
                reporting_instance: Some(self.instance.clone()),
                ..Event::default()
            };
            let json = "application/json";
            (Method::POST, json, serde_json::to_vec(&event))
        };
        target.push_str("?fieldManager=");
        target.push_str(FIELD_MANAGER);
        Some(Call {
            method,
            target,
            content_type: Some(content_type),
            body: body.expect("an Event has text keys only"),
        })
    }

    fn reference(&self, about: &About) -> Option<ObjectReference> {
        let (kind, of_kind, uid) = match about {
            About::Pool(key) => {
                let uid = self.registry.snapshot(key)?.uid.clone()?;
                (Kind::Pools, "IPPool", uid)
            }
            About::Claim(_, key, uid) => (Kind::Claims(key.kind), key.kind.claim(), uid.clone()),
        };
        let version = self.served.version(kind)?;
        Some(ObjectReference {
            api_version: Some(format!("{}/{version}", kind.group())),
            kind: Some(of_kind.to_owned()),
            namespace: Some(about.namespace().to_owned()),
            name: Some(about.name().to_owned()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        })
    }

    async fn write(&self, call: Call, verb: &'static str) -> Shown {
        match self.writer.write_event(call, verb).await {
            Some(Ok(reply)) => shown(verb, &reply),
            Some(Err(Fault::NotConnected(_) | Fault::Lost(_) | Fault::TooLong(_))) | None => {
                Shown::Unknown
            }
        }
    }
}

/// What an answer to a write of an Event shows.
fn shown(verb: &str, reply: &Reply) -> Shown {
    let status = || Status::of(&reply.body);
    let why = || words(&reply.body);
    match (verb, reply.status) {
        // A create whose answer was lost was carried out: no other Event has the name.
        (_, 200..=299) | ("create", 409) => Shown::Stored,
        ("patch", 404) => Shown::Gone,
        // The namespace ends, or is gone.
        (_, 403) if status().is_terminating() => Shown::Refused(why()),
        ("create", 404) if status().object().is_some() => Shown::Refused(why()),
        (_, 401 | 403 | 404 | 405) => Shown::NoRight(why()),
        (_, 408 | 409 | 429 | 500..) => Shown::Unknown,
        _ => Shown::Refused(why()),
    }
}

/// As Kubernetes writes times of Events: whole seconds.
fn second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
