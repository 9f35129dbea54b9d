//! How old the knowledge is that the server does not have a kind (A3).
//!
//! Cluster API may be installed at any moment, and address objects moved in right after. A kind that is absent is looked for
//! from time to time only, so before an address object is created discovery is asked anew, unless its last answer is young.
//! While claims come, that is one request for each absent kind in [`Settings::absence_age`](super::Settings::absence_age), for all
//! creates together; while none come, or where every kind is installed, there is none.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api::Kind;

/// When discovery found kinds absent, and how new an answer the waiting creates need.
#[derive(Debug, Default)]
pub(super) struct Absences {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When the last request began that found the kind absent.
    asked: BTreeMap<Kind, Instant>,
    /// A request that began before this is too old for a create that waits.
    wanted: BTreeMap<Kind, Instant>,
}

impl Absences {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(super::LOCK)
    }

    /// A request that began at `asked` found the kind absent.
    pub(super) fn confirm(&self, kind: Kind, asked: Instant) {
        self.state().asked.insert(kind, asked);
    }

    /// Whether the kind was found absent by a request that did not begin before `since`. If not, its watch is asked to look.
    pub(super) fn is_confirmed(&self, kind: Kind, since: Instant) -> bool {
        let mut state = self.state();
        if state.asked.get(&kind).is_some_and(|asked| *asked >= since) {
            return true;
        }
        let wanted = state.wanted.entry(kind).or_insert(since);
        *wanted = since.max(*wanted);
        drop(state);
        self.wanted.notify_waiters();
        false
    }

    /// Returns once a request about the kind that began at `asked` is too old for a create that waits.
    pub(super) async fn outdated(&self, kind: Kind, asked: Instant) {
        loop {
            let wanted = self.wanted.notified();
            if self
                .state()
                .wanted
                .get(&kind)
                .is_some_and(|since| *since > asked)
            {
                return;
            }
            wanted.await;
        }
    }
}
