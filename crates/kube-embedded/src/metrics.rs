//! Metrics of the server, with the names of kube-apiserver's metrics where it has the same ones.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::kinds::Resource;
use crate::product::Product;
use listen::{Closed, Connections};

/// From 1 ms to 60 s, for requests.
const REQUEST: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// From 100 us to 10 s, for commits.
const COMMIT: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 10.0,
];

const CONSTANT: &str = "names and labels are constants, and a test registers them all";

/// Labels of a request.
const ASKED: [&str; 5] = ["verb", "group", "version", "resource", "subresource"];

/// The metrics. They are counted also while they are not registered.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    long: IntGaugeVec,
    scraped: Scraped,
    commits: Histogram,
}

/// The labels of a request.
#[derive(Debug)]
pub(super) struct Asked {
    verb: &'static str,
    /// `None` for a resource that is not served, since clients can invent any number of paths.
    resource: Option<Arc<Resource>>,
    subresource: &'static str,
}

/// A watch that is open; the gauge falls when it is dropped.
#[derive(Debug)]
pub(super) struct Open(IntGauge);

/// Metrics that are read at a scrape.
#[derive(Debug, Clone)]
struct Scraped {
    connections: Arc<Connections>,
    /// The store's file; `None` in memory.
    file: Option<PathBuf>,
    open: IntGaugeVec,
    closed: IntCounterVec,
    size: IntGauge,
    /// Held during a scrape.
    turn: Arc<Mutex<()>>,
}

/// The histogram of commits, which the store observes.
pub(super) fn commit_seconds(product: &Product) -> Histogram {
    let opts = HistogramOpts::new(
        product.metric("store_commit_seconds"),
        "Time of one commit of the embedded server's store, which many writes share, until it is on the disk, in seconds.",
    );
    Histogram::with_opts(opts.buckets(COMMIT.to_vec())).expect(CONSTANT)
}

// === impl Metrics ===

impl Metrics {
    /// Metrics of a product's store in this file, with the store's histogram of commits.
    pub(super) fn new(product: &Product, file: Option<PathBuf>, commits: Histogram) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect(CONSTANT)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels).expect(CONSTANT)
        };
        let seconds = HistogramOpts::new(
            "apiserver_request_duration_seconds",
            "Time from the head of a request to the embedded server to the head of its answer, in seconds; watches are left out.",
        );
        let mut labels = ASKED.to_vec();
        labels.push("code");
        let scraped = Scraped {
            connections: Arc::default(),
            file,
            open: gauge(
                &product.metric("connections"),
                "Connections to the embedded server, by state: unauthenticated (no request with the token yet), idle, busy (a request or a watch in progress).",
                &["state"],
            ),
            closed: counter(
                &product.metric("connections_closed_total"),
                "Connections that the embedded server closed, by reason: full (its place was needed), overdue (no request with the token in time), unread (its client read nothing of what was sent to it for a minute).",
                &["reason"],
            ),
            size: IntGauge::new(
                "apiserver_storage_size_bytes",
                "Size of the embedded server's store on the disk, in bytes; 0 in memory.",
            )
            .expect(CONSTANT),
            turn: Arc::default(),
        };
        Self {
            requests: counter(
                "apiserver_request_total",
                "Requests to the embedded server, those of the controller in the same process too, by HTTP status; resource is empty for what is no resource.",
                &labels,
            ),
            seconds: HistogramVec::new(seconds.buckets(REQUEST.to_vec()), &ASKED).expect(CONSTANT),
            long: gauge(
                "apiserver_longrunning_requests",
                "Watches of the embedded server that are open, those of the controller in the same process too.",
                &["verb", "group", "version", "resource"],
            ),
            scraped,
            commits,
        }
    }

    /// The counters of connections, for a listener.
    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.scraped.connections
    }

    /// Registers the metrics.
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.seconds.clone()))?;
        registry.register(Box::new(self.long.clone()))?;
        registry.register(Box::new(self.commits.clone()))?;
        registry.register(Box::new(self.scraped.clone()))
    }

    /// Counts an answered request.
    pub(super) fn answered(&self, asked: &Asked, status: StatusCode, took: Duration) {
        let [verb, group, version, resource, subresource] = asked.labels();
        self.requests
            .with_label_values(&[verb, group, version, resource, subresource, status.as_str()])
            .inc();
        if verb != WATCH {
            self.seconds
                .with_label_values(&asked.labels())
                .observe(took.as_secs_f64());
        }
    }

    /// Counts a watch that begins.
    pub(super) fn watch_opens(&self, resource: &Resource) -> Open {
        let labels = [WATCH, &resource.group, &resource.version, &resource.plural];
        let open = self.long.with_label_values(&labels);
        open.inc();
        Open(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl Asked ===

const WATCH: &str = "WATCH";

impl Asked {
    /// The labels of a request for this resource, or for one of its objects.
    pub(super) fn new(
        parts: &Parts,
        resource: Option<Arc<Resource>>,
        has_name: bool,
        subresource: Option<&str>,
    ) -> Self {
        let is_apply = || {
            let content = parts.headers.get(CONTENT_TYPE);
            content.is_some_and(|c| c.as_bytes().starts_with(b"application/apply-patch"))
        };
        let is_watch = || {
            let query = parts.uri.query().unwrap_or_default();
            query
                .split('&')
                .any(|part| matches!(part, "watch=1" | "watch=true"))
        };
        let verb = match parts.method {
            Method::GET if resource.is_some() && is_watch() => WATCH,
            Method::GET if resource.is_some() && !has_name => "LIST",
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH if is_apply() => "APPLY",
            Method::PATCH => "PATCH",
            Method::DELETE if !has_name => "DELETECOLLECTION",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        Self {
            verb,
            resource,
            subresource: match subresource {
                Some("status") => "status",
                _ => "",
            },
        }
    }

    fn labels(&self) -> [&str; 5] {
        let (group, version, resource) = match &self.resource {
            Some(resource) => (&*resource.group, &*resource.version, &*resource.plural),
            None => ("", "", ""),
        };
        [self.verb, group, version, resource, self.subresource]
    }
}

// === impl Scraped ===

impl Collector for Scraped {
    fn desc(&self) -> Vec<&Desc> {
        [self.open.desc(), self.closed.desc(), self.size.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.connections.open();
        for (state, count) in [
            ("unauthenticated", counted.strangers),
            ("idle", counted.idle),
            ("busy", counted.busy),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.open.with_label_values(&[state]).set(count);
        }
        for why in Closed::ALL {
            let closed = self.closed.with_label_values(&[why.name()]);
            closed.inc_by(self.connections.closed(why).saturating_sub(closed.get()));
        }
        let size = self.file.as_ref().and_then(|file| file.metadata().ok());
        let size = size.map_or(0, |file| file.len());
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
        [
            self.open.collect(),
            self.closed.collect(),
            self.size.collect(),
        ]
        .concat()
    }
}
