//! Names, help, labels and buckets of every metric that is counted.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::RESOURCES;
use crate::api::ClaimKind;
use crate::pool::ProblemKind;

use super::counted::{
    BIND_SECONDS, CONTROLLER, Metrics, REVIEW_SECONDS, SecretRepair, Vectors, WRITE_SECONDS,
};
use super::native::Natives;

/// From 10 ms to 10 min, for what a user waits for.
pub(super) const BIND: [f64; 16] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
/// From 100 ns to 10 ms, for what happens in memory.
const MEMORY: [f64; 11] = [
    1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 5e-5, 1e-4, 1e-3, 1e-2,
];
/// From 1 ms to 10 s, for requests and waits.
const REQUEST: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

pub(super) const CONSTANT: &str = "names and labels are constants, and a test registers them all";

pub(super) fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(CONSTANT)
}

pub(super) fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect(CONSTANT)
}

pub(super) fn histogram(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    HistogramVec::new(opts, labels).expect(CONSTANT)
}

impl Metrics {
    /// All of them, at zero: every series whose labels are known beforehand exists from here on.
    ///
    /// # Panics
    /// When one of the names here is no name of a metric, which a test excludes.
    pub fn new() -> Self {
        let by_controller: &[&str] = &["controller"];
        let by_queue: &[&str] = &["name", "controller"];
        let reconciles = counter(
            "controller_runtime_reconcile_total",
            "Steps of pool workers, by result.",
            &["controller", "result"],
        );
        let vectors = Vectors {
            reconcile_seconds: histogram(
                "controller_runtime_reconcile_time_seconds",
                "Time of one step of a pool worker, in seconds. A step is memory only; requests are api_write_seconds.",
                by_controller,
                &MEMORY,
            ),
            active_workers: gauge(
                "controller_runtime_active_workers",
                "Pool workers that work off their mailbox at this moment.",
                by_controller,
            ),
            adds: counter(
                "workqueue_adds_total",
                "Times that a pool without work got some.",
                by_queue,
            ),
            queued: histogram(
                "workqueue_queue_duration_seconds",
                "Time that a pool with work waited for its worker, in seconds.",
                by_queue,
                &REQUEST,
            ),
            worked: histogram(
                "workqueue_work_duration_seconds",
                "Time that a worker took for what its pool had to take in, in seconds.",
                by_queue,
                &REQUEST,
            ),
            retries: counter(
                "workqueue_retries_total",
                "Requests that were refused or whose answer was lost, and that are tried again.",
                by_queue,
            ),
        };
        let queue = &[CONTROLLER, CONTROLLER];
        let metrics = Self {
            allocations: counter(
                "metal3_ipam_allocations_total",
                "Decisions on claims that ask for an address, by result: allocated (its address object exists), waiting (it has to wait, or for another reason than before).",
                &["claim_kind", "result"],
            ),
            releases: counter(
                "metal3_ipam_releases_total",
                "Addresses that became free because their claim was deleted.",
                &["claim_kind"],
            ),
            bind: histogram(
                BIND_SECONDS,
                "Time from a claim's creation to its status with the address, in seconds. Creation times are whole seconds.",
                &["claim_kind"],
                &BIND,
            ),
            decision: histogram(
                "metal3_ipam_allocation_decision_seconds",
                "Time of a step that chose an address, in memory, in seconds.",
                &[],
                &MEMORY,
            )
            .with_label_values::<&str>(&[]),
            writes: counter(
                "metal3_ipam_api_writes_total",
                "Writes sent to the API server, by HTTP status; none where no answer came.",
                &["verb", "resource", "code"],
            ),
            write_seconds: histogram(
                WRITE_SECONDS,
                "Time from sending a write to its answer, in seconds.",
                &["verb", "resource"],
                &REQUEST,
            ),
            refused: counter(
                "metal3_ipam_api_writes_refused_total",
                "Writes that the API server refused, those of a status too, by reason: forbidden, namespace_terminating, invalid, conflict, other. The log has the object and the server's words.",
                &["verb", "resource", "reason"],
            ),
            in_flight: IntGauge::new(
                "metal3_ipam_writes_in_flight",
                "Requests of pools that were sent and are not answered yet.",
            )
            .expect(CONSTANT),
            watch_events: counter(
                "metal3_ipam_watch_events_total",
                "Events that watches told of.",
                &["kind", "event"],
            ),
            watch_restarts: counter(
                "metal3_ipam_watch_restarts_total",
                "Watches begun again, by reason: ended (in an orderly way), expired, failed, not_found, new_term.",
                &["kind", "reason"],
            ),
            repairs: counter(
                "metal3_ipam_consistency_repairs_total",
                "Contradictions among stored objects that are gone.",
                &["kind"],
            ),
            secret_repairs: counter(
                "metal3_ipam_webhook_secret_repairs_total",
                "Times that this replica put the Secret of the webhook's own certificate right, by reason: missing, damaged, foreign (signed by another authority).",
                &["reason"],
            ),
            events_dropped: IntCounter::new(
                "metal3_ipam_events_dropped_total",
                "Occurrences without an Event, because 1,000 Events waited to be written or the API server refused this one.",
            )
            .expect(CONSTANT),
            build: gauge(
                "metal3_ipam_build_info",
                "Always 1. The version of the program, and the revision that it was built from.",
                &["version", "revision"],
            ),
            succeeded: reconciles.with_label_values(&[CONTROLLER, "success"]),
            failed: reconciles.with_label_values(&[CONTROLLER, "error"]),
            reconciles,
            reconcile_errors: counter(
                "controller_runtime_reconcile_errors_total",
                "Steps of pool workers after which something has to be tried again.",
                by_controller,
            ),
            reconcile_seconds: vectors.reconcile_seconds.with_label_values(&[CONTROLLER]),
            most_workers: gauge(
                "controller_runtime_max_concurrent_reconciles",
                "Threads that pool workers share.",
                by_controller,
            ),
            active_workers: vectors.active_workers.with_label_values(&[CONTROLLER]),
            adds: vectors.adds.with_label_values(queue),
            queued: vectors.queued.with_label_values(queue),
            worked: vectors.worked.with_label_values(queue),
            retries: vectors.retries.with_label_values(queue),
            requests: counter(
                "rest_client_requests_total",
                "Requests to the API server, watches too, by HTTP status; none where no answer came.",
                &["code", "method", "host"],
            ),
            leading: gauge(
                "leader_election_master_status",
                "Whether this process may write: it holds the lease, or none is asked for (1), or it stands by (0).",
                &["name"],
            ),
            reviews: counter(
                "controller_runtime_webhook_requests_total",
                "Requests to the webhook server, by path and HTTP status; a refusal is an answer with status 200, and none is a request that the API server gave up before its answer.",
                &["webhook", "code"],
            ),
            review_seconds: histogram(
                REVIEW_SECONDS,
                "Time from the head of a request to the webhook server to its answer, or until the API server gave it up, in seconds.",
                &["webhook"],
                &REQUEST,
            ),
            reviews_in_flight: gauge(
                "controller_runtime_webhook_requests_in_flight",
                "Requests to the webhook server that are not answered yet.",
                &["webhook"],
            ),
            certificates_read: IntCounter::new(
                "certwatcher_read_certificate_total",
                "Times that the webhook's certificate was looked up: once for each connection, and for each look at the readiness.",
            )
            .expect(CONSTANT),
            certificates_unread: IntCounter::new(
                "certwatcher_read_certificate_errors_total",
                "Times that there was none, or one that cannot be served; the last good one is served on.",
            )
            .expect(CONSTANT),
            panics: counter(
                "controller_runtime_reconcile_panics_total",
                "Steps of pool workers that panicked. Always 0: a panic ends the process, and the next one starts with a clean state.",
                by_controller,
            ),
            vectors,
            natives: Natives::default(),
        };
        metrics.begin();
        metrics
    }

    /// Makes the series that exist from the start.
    fn begin(&self) {
        for kind in [ClaimKind::Metal3, ClaimKind::Capi].map(ClaimKind::claim) {
            for result in ["allocated", "waiting"] {
                self.allocations.with_label_values(&[kind, result]);
            }
            self.releases.with_label_values(&[kind]);
            self.bind.with_label_values(&[kind]);
        }
        for kind in RESOURCES {
            for event in [
                "added",
                "modified",
                "deleted",
                "bookmark",
                "error",
                "unreadable",
            ] {
                self.watch_events.with_label_values(&[kind, event]);
            }
            for reason in ["ended", "expired", "failed", "not_found", "new_term"] {
                self.watch_restarts.with_label_values(&[kind, reason]);
            }
        }
        // What every claim's life is made of; other codes come with their first answer.
        let [pools, claims, addresses, capi_claims, capi_addresses, _] = RESOURCES;
        for (verb, resource, code) in [
            ("patch", pools, "200"),
            ("patch_status", pools, "200"),
            ("patch", claims, "200"),
            ("patch_status", claims, "200"),
            ("create", addresses, "201"),
            ("delete", addresses, "200"),
            ("patch", capi_claims, "200"),
            ("patch_status", capi_claims, "200"),
            ("create", capi_addresses, "201"),
            ("delete", capi_addresses, "200"),
        ] {
            self.writes.with_label_values(&[verb, resource, code]);
            self.write_seconds.with_label_values(&[verb, resource]);
        }
        for kind in ProblemKind::ALL {
            self.repairs.with_label_values(&[kind.text()]);
        }
        for repair in SecretRepair::ALL {
            self.secret_repairs.with_label_values(&[repair.label()]);
        }
        let revision = option_env!("METAL3_IPAM_REVISION").unwrap_or("unknown");
        self.build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
            .set(1);
        self.reconcile_errors.with_label_values(&[CONTROLLER]);
        self.panics.with_label_values(&[CONTROLLER]);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.most_workers
            .with_label_values(&[CONTROLLER])
            .set(i64::try_from(threads).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self {
            allocations,
            releases,
            bind,
            decision,
            writes,
            write_seconds,
            refused,
            in_flight,
            watch_events,
            watch_restarts,
            repairs,
            secret_repairs,
            events_dropped,
            build,
            reconciles,
            reconcile_errors,
            reconcile_seconds: _,
            most_workers,
            active_workers: _,
            adds: _,
            queued: _,
            worked: _,
            retries: _,
            requests,
            leading,
            reviews,
            review_seconds,
            reviews_in_flight,
            certificates_read,
            certificates_unread,
            panics,
            vectors,
            natives: _,
            succeeded: _,
            failed: _,
        } = self;
        for counters in [
            allocations,
            releases,
            writes,
            refused,
            watch_events,
            watch_restarts,
            repairs,
            secret_repairs,
            reconciles,
            reconcile_errors,
            &vectors.adds,
            &vectors.retries,
            requests,
            reviews,
            panics,
        ] {
            registry.register(Box::new(counters.clone()))?;
        }
        for histograms in [
            bind,
            write_seconds,
            &vectors.reconcile_seconds,
            &vectors.queued,
            &vectors.worked,
            review_seconds,
        ] {
            registry.register(Box::new(histograms.clone()))?;
        }
        for gauges in [
            build,
            most_workers,
            &vectors.active_workers,
            leading,
            reviews_in_flight,
        ] {
            registry.register(Box::new(gauges.clone()))?;
        }
        for counter in [events_dropped, certificates_read, certificates_unread] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(decision.clone()))?;
        registry.register(Box::new(in_flight.clone()))
    }
}
