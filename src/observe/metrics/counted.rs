//! What is counted as it happens: a few atomics a step, so that counting costs next to nothing beside the requests.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::native::Natives;
use crate::pool::Decision;

/// Histograms that are native too: those that a user waits for.
pub(super) const BIND_SECONDS: &str = "metal3_ipam_claim_bind_seconds";
pub(super) const WRITE_SECONDS: &str = "metal3_ipam_api_write_seconds";
pub(super) const REVIEW_SECONDS: &str = "controller_runtime_webhook_latency_seconds";
pub(super) const NATIVE: [&str; 3] = [BIND_SECONDS, WRITE_SECONDS, REVIEW_SECONDS];

/// The name that dashboards for kubebuilder's controllers find us by: a pool worker's step is a "reconcile", the mailboxes
/// together are the "workqueue".
pub(super) const CONTROLLER: &str = "ippool";

/// Every metric that is counted. It counts whether it is registered or not.
pub struct Metrics {
    pub(super) allocations: IntCounterVec,
    pub(super) releases: IntCounterVec,
    pub(super) bind: HistogramVec,
    pub(super) decision: Histogram,
    pub(super) writes: IntCounterVec,
    pub(super) write_seconds: HistogramVec,
    pub(super) refused: IntCounterVec,
    pub(super) in_flight: IntGauge,
    pub(super) watch_events: IntCounterVec,
    pub(super) watch_restarts: IntCounterVec,
    pub(super) repairs: IntCounterVec,
    pub(super) secret_repairs: IntCounterVec,
    pub(super) events_dropped: IntCounter,
    pub(super) build: IntGaugeVec,
    pub(super) reconciles: IntCounterVec,
    pub(super) reconcile_errors: IntCounterVec,
    pub(super) reconcile_seconds: Histogram,
    pub(super) most_workers: IntGaugeVec,
    pub(super) active_workers: IntGauge,
    pub(super) adds: IntCounter,
    pub(super) queued: Histogram,
    pub(super) worked: Histogram,
    pub(super) retries: IntCounter,
    pub(super) requests: IntCounterVec,
    pub(super) leading: IntGaugeVec,
    pub(super) reviews: IntCounterVec,
    pub(super) review_seconds: HistogramVec,
    pub(super) reviews_in_flight: IntGaugeVec,
    pub(super) certificates_read: IntCounter,
    pub(super) certificates_unread: IntCounter,
    pub(super) panics: IntCounterVec,
    pub(super) vectors: Vectors,
    pub(super) natives: Natives,
    /// The two results of a step, looked up once.
    pub(super) succeeded: IntCounter,
    pub(super) failed: IntCounter,
}

/// Families whose one series is held above.
#[derive(Clone)]
pub(super) struct Vectors {
    pub(super) reconcile_seconds: HistogramVec,
    pub(super) active_workers: IntGaugeVec,
    pub(super) adds: IntCounterVec,
    pub(super) queued: HistogramVec,
    pub(super) worked: HistogramVec,
    pub(super) retries: IntCounterVec,
}

/// A write on its way; the gauge falls when it is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

/// A request to the webhook server. It is counted when it is dropped: with its status, or with none where nobody waited for the
/// answer any more (the API server's timeout passed, it reset the stream, or the connection was lost).
#[derive(Debug)]
pub struct Reviewed {
    begun: Instant,
    in_flight: IntGauge,
    seconds: Histogram,
    natives: Natives,
    answers: IntCounterVec,
    path: &'static str,
    code: Option<u16>,
}

/// What was wrong with the Secret of the webhook's own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRepair {
    /// There was none any more.
    Missing,
    /// Its parts did not belong together.
    Damaged,
    /// It was whole, and of another authority.
    Foreign,
}

impl SecretRepair {
    pub(super) const ALL: [Self; 3] = [Self::Missing, Self::Damaged, Self::Foreign];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
        }
    }
}

/// What a step of a pool's worker did, for its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How long it took.
    pub took: Duration,
    /// Whether it chose an address.
    pub chose: bool,
    /// Whether something has to be tried again.
    pub failed: bool,
}

impl Metrics {
    /// The native histograms beside the classic ones.
    pub fn natives(&self) -> Natives {
        self.natives.clone()
    }

    /// A decision of a pool, at this moment.
    pub fn decided(&self, decision: &Decision, now: Timestamp) {
        match decision {
            Decision::Allocated { claim, .. } => {
                let labels = [claim.kind.claim(), "allocated"];
                self.allocations.with_label_values(&labels).inc();
            }
            Decision::Waiting { claim, .. } => {
                let labels = [claim.kind.claim(), "waiting"];
                self.allocations.with_label_values(&labels).inc();
            }
            Decision::Bound { claim, created, .. } => {
                // Clocks of two machines: never below nothing.
                let took = now.duration_since(*created).as_secs_f64().max(0.0);
                let kind = claim.kind.claim();
                self.bind.with_label_values(&[kind]).observe(took);
                self.natives
                    .observe(BIND_SECONDS, &[("claim_kind", kind)], took);
            }
            Decision::Released { claim, .. } => {
                self.releases.with_label_values(&[claim.kind.claim()]).inc();
            }
            Decision::Repaired { kind, .. } => self.repairs.with_label_values(&[kind.text()]).inc(),
            Decision::Retrying { .. } => self.retries.inc(),
            Decision::Pool { .. }
            | Decision::NearlyFull { .. }
            | Decision::Problem { .. }
            | Decision::StatusRefused { .. } => {}
        }
    }

    /// The webhook server serves this path: its series begin.
    pub fn serves_webhook(&self, path: &'static str) {
        for code in ["200", "400", "500", "none"] {
            self.reviews.with_label_values(&[path, code]);
        }
        self.review_seconds.with_label_values(&[path]);
        self.reviews_in_flight.with_label_values(&[path]);
    }

    /// A request to a path of the webhook server begins.
    pub fn review_begins(&self, path: &'static str) -> Reviewed {
        let in_flight = self.reviews_in_flight.with_label_values(&[path]);
        in_flight.inc();
        Reviewed {
            begun: Instant::now(),
            in_flight,
            seconds: self.review_seconds.with_label_values(&[path]),
            natives: self.natives.clone(),
            answers: self.reviews.clone(),
            path,
            code: None,
        }
    }

    /// The Secret of the webhook's own certificate was put right.
    pub fn repaired_secret(&self, repair: SecretRepair) {
        self.secret_repairs
            .with_label_values(&[repair.label()])
            .inc();
    }

    /// The webhook's certificate was looked up, and `Ok` when there was one that can be served.
    pub fn read_certificate<T, E>(&self, found: &Result<T, E>) {
        self.certificates_read.inc();
        if found.is_err() {
            self.certificates_unread.inc();
        }
    }

    /// There was no place for an Event, or the API server refuses it.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// Counts one step of a pool's worker.
    pub fn stepped(&self, step: Step) {
        let seconds = step.took.as_secs_f64();
        self.reconcile_seconds.observe(seconds);
        if step.chose {
            self.decision.observe(seconds);
        }
        if step.failed {
            self.failed.inc();
            self.reconcile_errors.with_label_values(&[CONTROLLER]).inc();
        } else {
            self.succeeded.inc();
        }
    }

    /// A worker begins to work off its mailbox, in which something lay for so long.
    pub fn work_begins(&self, waited: Duration) {
        self.adds.inc();
        self.queued.observe(waited.as_secs_f64());
        self.active_workers.inc();
    }

    /// Counts that a worker has emptied its mailbox, which took so long.
    pub fn work_ends(&self, took: Duration) {
        self.worked.observe(took.as_secs_f64());
        self.active_workers.dec();
    }

    /// Counts a request of a pool as in flight until the returned value is dropped.
    pub fn request_begins(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A write was answered, or given up without an answer (`code` is `None`).
    pub fn written(&self, verb: &'static str, resource: &str, code: Option<u16>, took: Duration) {
        with_code(code, |code| {
            let labels = [verb, resource, code];
            self.writes.with_label_values(&labels).inc();
        });
        let took = took.as_secs_f64();
        self.write_seconds
            .with_label_values(&[verb, resource])
            .observe(took);
        let labels = [("verb", verb), ("resource", resource)];
        self.natives.observe(WRITE_SECONDS, &labels, took);
    }

    /// A write was refused, for this reason.
    pub fn refused(&self, verb: &'static str, resource: &str, reason: &'static str) {
        let labels = [verb, resource, reason];
        self.refused.with_label_values(&labels).inc();
    }

    /// Any request to the API server was answered, or not.
    pub fn requested(&self, method: &str, host: &str, code: Option<u16>) {
        with_code(code, |code| {
            self.requests.with_label_values(&[code, method, host]).inc();
        });
    }

    /// Counts an event of a watch, by kind and type.
    pub fn watch_event(&self, kind: &str, event: &str) {
        self.watch_events.with_label_values(&[kind, event]).inc();
    }

    /// Counts that a watch was begun anew, by kind and reason.
    pub fn watch_restarted(&self, kind: &str, reason: &str) {
        self.watch_restarts.with_label_values(&[kind, reason]).inc();
    }

    /// Whether this process may write; `lease` is the name of its Lease.
    pub fn leading(&self, lease: &str, leading: bool) {
        let gauge = self.leading.with_label_values(&[lease]);
        gauge.set(i64::from(leading));
    }
}

/// The label of an HTTP status.
fn with_code(code: Option<u16>, count: impl FnOnce(&str)) {
    match code {
        Some(200) => count("200"),
        Some(201) => count("201"),
        Some(code) => count(&code.to_string()),
        None => count("none"),
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Reviewed {
    /// It is answered with this HTTP status.
    pub fn answered(mut self, code: u16) {
        self.code = Some(code);
    }
}

impl Drop for Reviewed {
    fn drop(&mut self) {
        self.in_flight.dec();
        with_code(self.code, |code| {
            self.answers.with_label_values(&[self.path, code]).inc();
        });
        let took = self.begun.elapsed().as_secs_f64();
        self.seconds.observe(took);
        self.natives
            .observe(REVIEW_SECONDS, &[("webhook", self.path)], took);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
