//! Terms: how often this process came to lead.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Number of times that this process came to lead. The watches may not have shown yet what the leader before wrote
/// last, so a new term begins with new lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Term(u64);

/// The current term. Tasks that wait for the next one are woken in the order of waiting, which tokio's `watch` leaves to
/// chance: two runs from one seed are to be alike.
#[derive(Debug, Default)]
pub(super) struct LeaderTerms {
    current: AtomicU64,
    changed: Notify,
}

impl LeaderTerms {
    pub(super) fn current(&self) -> Term {
        Term(self.current.load(Ordering::SeqCst))
    }

    /// Begins the next term.
    pub(super) fn begin(&self) {
        self.current.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Returns once the current term is a later one than this.
    pub(super) async fn after(&self, term: Term) {
        loop {
            let changed = self.changed.notified();
            if self.current() > term {
                return;
            }
            changed.await;
        }
    }
}
