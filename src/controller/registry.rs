//! The pools that have a worker now. The router alone writes it; metrics, views and the webhook's facts read it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dashmap::DashMap;

use crate::api::PoolKey;
use crate::pool::Snapshot;

use super::mailbox::Mailbox;

/// How to reach one pool's worker.
#[derive(Debug, Clone, Default)]
pub(super) struct PoolHandle {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) board: Arc<Board>,
}

/// Where a worker shows its newest snapshot; readers take it from here and never reach into the pool.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Option<Arc<Snapshot>>>);

impl Board {
    pub(super) fn read(&self) -> Option<Arc<Snapshot>> {
        self.0.lock().expect(super::LOCK).clone()
    }

    /// Shows a snapshot; `false` when it is the one that is shown already.
    pub(super) fn show(&self, snapshot: Snapshot) -> bool {
        let mut shown = self.0.lock().expect(super::LOCK);
        if shown.as_deref() == Some(&snapshot) {
            return false;
        }
        *shown = Some(Arc::new(snapshot));
        true
    }
}

/// What the pools have to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Pools with a worker.
    pub(super) workers: usize,
    /// Pools with something to take in or a request on its way.
    pub(super) busy: usize,
    /// Pools with something to take in.
    pub(super) queued: usize,
    /// Objects and answers that pools have not taken yet, over all pools.
    pub(super) backlog: usize,
    /// For how long workers have worked on what they have in hand: all together, and the longest.
    pub(super) unfinished: Duration,
    pub(super) longest: Duration,
}

/// Every pool's handle.
#[derive(Debug, Default)]
pub(super) struct Registry(DashMap<PoolKey, PoolHandle>);

impl Registry {
    pub(super) fn get(&self, pool: &PoolKey) -> Option<PoolHandle> {
        self.0.get(pool).map(|h| h.clone())
    }

    pub(super) fn insert(&self, pool: PoolKey, handle: PoolHandle) {
        self.0.insert(pool, handle);
    }

    /// Forgets the worker with this mailbox; a successor stays.
    pub(super) fn remove(&self, pool: &PoolKey, mailbox: &Arc<Mailbox>) -> bool {
        let ours = |_: &PoolKey, h: &PoolHandle| Arc::ptr_eq(&h.mailbox, mailbox);
        self.0.remove_if(pool, ours).is_some()
    }

    pub(super) fn snapshot(&self, pool: &PoolKey) -> Option<Arc<Snapshot>> {
        self.0.get(pool)?.board.read()
    }

    /// The newest snapshot of every pool, by key.
    pub(super) fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        let mut all: Vec<_> = self.0.iter().filter_map(|h| h.board.read()).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// What the mailboxes hold and the writer carries.
    pub(super) fn load(&self) -> Load {
        let mut load = Load::default();
        for handle in &self.0 {
            let depth = handle.mailbox.depth();
            load.workers += 1;
            load.backlog += depth;
            load.queued += usize::from(depth > 0);
            load.busy += usize::from(!handle.mailbox.is_idle());
            let batch = handle.mailbox.batch_lasts().unwrap_or_default();
            load.unfinished += batch;
            load.longest = load.longest.max(batch);
        }
        load
    }

    /// Inputs that the pools have not taken yet.
    pub(super) fn backlog(&self) -> usize {
        self.0.iter().map(|h| h.mailbox.depth()).sum()
    }

    /// Whether every mailbox is empty, no request is unanswered and no status of a pool waits to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.0.iter().all(|h| {
            h.mailbox.is_idle()
                && h.board
                    .read()
                    .is_some_and(|s| s.in_flight == 0 && !s.status_waits)
        })
    }
}
