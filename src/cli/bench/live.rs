//! What `--diagnostics-address` serves while rounds come and go: one set of metrics for the controllers of all rounds, and the pools of
//! the controller that runs now.

use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use tokio::sync::watch;

use super::side::Who;
use crate::controller::View;
use crate::observe::diagnostics::Served;
use crate::observe::logs::Dial;
use crate::observe::metrics::{self, BenchMetrics, Metrics, PoolMetrics};

/// The metrics of a run.
pub(super) struct Live {
    /// Where the controller of each round counts.
    pub(super) metrics: Arc<Metrics>,
    pub(super) rounds: BenchMetrics,
    view: watch::Sender<Option<View>>,
}

impl Live {
    /// Of a run in which these take part.
    pub(super) fn new(sides: &[Who]) -> Self {
        Self {
            metrics: Arc::default(),
            rounds: BenchMetrics::new(sides.iter().map(|who| who.key())),
            view: watch::Sender::new(None),
        }
    }

    /// From now on the pools of this controller are shown.
    pub(super) fn show(&self, view: View) {
        self.view.send_replace(Some(view));
    }

    /// What a scrape gets.
    pub(super) fn served(&self, dial: Dial) -> anyhow::Result<Served> {
        let registry = Registry::new();
        let view = self.view.subscribe();
        let look = move || view.borrow().as_ref().map(View::sight).unwrap_or_default();
        let context = "registering the metrics";
        metrics::register(&registry, &self.metrics, Box::new(look), PoolMetrics::All)
            .context(context)?;
        self.rounds.register(&registry).context(context)?;
        Ok(Served {
            registry,
            natives: self.metrics.natives(),
            dial,
        })
    }
}
