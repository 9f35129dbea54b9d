//! What `metal3-ipam bench` shows of its rounds while it runs, by side: the bare writes, or the controller in one of its settings.

use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::defined::{BIND, CONSTANT, counter, gauge, histogram};

const BY_SIDE: &[&str] = &["side"];

/// Counts and figures of the rounds.
#[derive(Debug, Clone)]
pub struct BenchMetrics {
    bound: IntCounterVec,
    running: IntGaugeVec,
    bind: HistogramVec,
    rate: GaugeVec,
    share: GaugeVec,
}

impl BenchMetrics {
    /// All of them, at zero for these sides.
    ///
    /// # Panics
    /// When one of the names here is no name of a metric, which a test excludes.
    pub fn new<'a>(sides: impl IntoIterator<Item = &'a str>) -> Self {
        let figure =
            |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), BY_SIDE).expect(CONSTANT);
        let metrics = Self {
            bound: counter(
                "metal3_ipam_bench_claims_bound_total",
                "Claims that a side has bound (in churn: that came and went), counted as they are.",
                BY_SIDE,
            ),
            running: gauge(
                "metal3_ipam_bench_running",
                "Whether a round of the side runs (1) or not (0).",
                BY_SIDE,
            ),
            bind: histogram(
                "metal3_ipam_bench_bind_seconds",
                "Time until a claim was bound, from its creation (with a backlog: from the side's first write), in seconds. Counted at the end of the round.",
                BY_SIDE,
                &BIND,
            ),
            rate: figure(
                "metal3_ipam_bench_claims_per_second",
                "Claims bound a second, in the side's last round.",
            ),
            share: figure(
                "metal3_ipam_bench_share_of_ceiling",
                "The side's claims a second as a share of those of the bare writes, each in its last round.",
            ),
        };
        for side in sides.into_iter().map(|side| [side]) {
            metrics.bound.with_label_values(&side);
            metrics.running.with_label_values(&side);
            metrics.bind.with_label_values(&side);
        }
        metrics
    }

    /// Registers all of them.
    ///
    /// # Errors
    /// When the registry holds one of the names already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self {
            bound,
            running,
            bind,
            rate,
            share,
        } = self;
        registry.register(Box::new(bound.clone()))?;
        for figures in [rate, share] {
            registry.register(Box::new(figures.clone()))?;
        }
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(bind.clone()))
    }

    /// A round of this side begins.
    pub fn begun(&self, side: &str) {
        self.running.with_label_values(&[side]).set(1);
    }

    /// So many more claims are bound.
    pub fn bound(&self, side: &str, claims: u64) {
        self.bound.with_label_values(&[side]).inc_by(claims);
    }

    /// The round has ended: claims a second, and how long each claim took.
    pub fn ended(&self, side: &str, rate: f64, times: &[Duration]) {
        self.running.with_label_values(&[side]).set(0);
        self.rate.with_label_values(&[side]).set(rate);
        let bind = self.bind.with_label_values(&[side]);
        for time in times {
            bind.observe(time.as_secs_f64());
        }
    }

    /// The side's share of the bare writes' claims a second.
    pub fn share(&self, side: &str, share: f64) {
        self.share.with_label_values(&[side]).set(share);
    }
}
