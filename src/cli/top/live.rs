//! The watches, what they have shown, and when the lines are made anew.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;

use super::super::ask::Line;
use super::store::Store;
use super::watch::Follow;

/// Least time between two rebuilds.
const INTERVAL: Duration = Duration::from_secs(1);
/// A rebuild that takes long is followed by so many times its own length of rest, so that keys and watches have their turn.
const REST: u32 = 4;
/// Changes that are taken in one go.
const BATCH: usize = 1000;

/// A cluster that is watched.
pub(super) struct Live {
    follow: Follow,
    pub(super) store: Store,
    began: Instant,
    /// When the lines are to be made anew.
    pub(super) due: Instant,
}

impl Live {
    pub(super) fn start(client: &Client, namespace: Option<&str>) -> Self {
        let now = Instant::now();
        Self {
            follow: Follow::start(client, namespace),
            store: Store::default(),
            began: now,
            due: now,
        }
    }

    /// Waits for changes and takes them in. Safe to drop and call again.
    pub(super) async fn changes(&mut self) -> anyhow::Result<()> {
        let change = self.follow.next().await?;
        let at = self.at();
        let was_complete = self.store.is_complete();
        self.store.take(change, at);
        for _ in 1..BATCH {
            let Some(change) = self.follow.waiting() else {
                break;
            };
            self.store.take(change, at);
        }
        if self.store.is_complete() && !was_complete {
            self.due = Instant::now();
        }
        Ok(())
    }

    /// Makes the lines of the pools anew that have changed, and returns them. Before every kind is listed there are none.
    pub(super) fn rebuild(&mut self) -> Vec<Arc<Line>> {
        let began = Instant::now();
        let changed = if self.store.is_complete() {
            self.store.rebuild(Timestamp::now())
        } else {
            Vec::new()
        };
        self.due = Instant::now() + INTERVAL.max(began.elapsed() * REST);
        changed
    }

    /// Time since the watches began.
    pub(super) fn at(&self) -> Duration {
        self.began.elapsed()
    }
}
