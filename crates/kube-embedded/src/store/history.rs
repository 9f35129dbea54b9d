//! What happened lately, for watches: one bounded log per kind. A watch is a place in the log, not a queue of its own, so
//! a slow watcher costs nothing and is told `410` once the log has moved on past it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::Limits;

/// One write, as watches hear of it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Its revision.
    pub(crate) revision: u64,
    /// The object's key.
    pub(crate) key: Arc<str>,
    /// What happened.
    pub(crate) kind: EventKind,
    /// The object afterwards; of a removed one its last state, with the removal's revision.
    pub(crate) object: Bytes,
    /// The object before, where a selector may tell the two apart.
    pub(crate) prior: Option<Bytes>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    Created,
    Updated,
    Removed,
}

/// The logs of all kinds.
pub(super) struct Histories {
    logs: Vec<Log>,
    limits: Limits,
    /// Every event up to here is in its log.
    published: AtomicU64,
    collect: watch::Sender<Wakes>,
    emptying: watch::Sender<Emptying>,
}

/// How often the garbage collector was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wakes {
    /// There is new work: an owner that is new to it, or a new dependent of one that it knows.
    pub(crate) work: u64,
    /// An owner that it waits for has a dependent less.
    pub(crate) progress: u64,
}

/// The containers (namespaces) that are being deleted: the work list of the namespace controller. The writer keeps it with
/// each commit, so that nothing depends on who asked for the write still being there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Emptying {
    /// By key: the id of the container's UID.
    pub(crate) containers: BTreeMap<Arc<str>, u128>,
    /// How often something in one of them went.
    pub(crate) progress: u64,
}

/// What a commit did to a container.
#[derive(Debug)]
pub(super) enum Contained {
    /// It is being deleted.
    Deleting(Arc<str>, u128),
    /// It is gone.
    Gone(Arc<str>),
    /// Something in it is gone.
    Less(Arc<str>),
}

struct Log {
    events: Mutex<Window>,
    /// Revision of the newest event; what watches wait for.
    newest: watch::Sender<u64>,
}

struct Window {
    events: VecDeque<Event>,
    bytes: usize,
    /// Events up to here are forgotten.
    floor: u64,
}

/// A watch's place in one kind's log.
pub(crate) struct Tail {
    histories: Arc<Histories>,
    kind: usize,
    /// Everything up to here was handed out.
    at: u64,
    newest: watch::Receiver<u64>,
}

/// What a [`Tail`] finds.
#[derive(Debug)]
pub(crate) enum Next {
    /// These, in order; not empty.
    Events(Vec<Event>),
    /// Nothing yet.
    Nothing,
    /// Events were forgotten that this tail has not seen; the log goes back to this revision.
    TooOld(u64),
}

/// Most events that are taken from a log at once, so that its lock is held shortly.
const BATCH: usize = 256;

// === impl Histories ===

impl Histories {
    pub(super) fn new(kinds: usize, revision: u64, limits: Limits) -> Self {
        let logs = (0..kinds)
            .map(|_| Log {
                events: Mutex::new(Window {
                    events: VecDeque::new(),
                    bytes: 0,
                    floor: revision,
                }),
                newest: watch::Sender::new(revision),
            })
            .collect();
        Self {
            logs,
            limits,
            published: AtomicU64::new(revision),
            collect: watch::Sender::new(Wakes::default()),
            emptying: watch::Sender::new(Emptying::default()),
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(super) fn collect_wakes(&self) -> watch::Receiver<Wakes> {
        self.collect.subscribe()
    }

    pub(super) fn emptying(&self) -> watch::Receiver<Emptying> {
        self.emptying.subscribe()
    }

    /// Takes in what one commit did to containers. Those who wait are woken when one of them is new to the list, or has less
    /// in it.
    pub(super) fn contained(&self, changes: Vec<Contained>) {
        if changes.is_empty() {
            return;
        }
        self.emptying.send_if_modified(|emptying| {
            let mut woken = false;
            for change in changes {
                match change {
                    Contained::Deleting(key, id) => {
                        woken |= emptying.containers.insert(key, id) != Some(id);
                    }
                    Contained::Gone(key) => {
                        emptying.containers.remove(&key);
                    }
                    Contained::Less(key) if emptying.containers.contains_key(&key) => {
                        emptying.progress += 1;
                        woken = true;
                    }
                    Contained::Less(_) => {}
                }
            }
            woken
        });
    }

    /// Called by the writer alone, with the events of one commit in order.
    pub(super) fn publish(&self, events: Vec<(usize, Event)>, revision: u64, collect: Wakes) {
        let mut touched = vec![false; self.logs.len()];
        for (kind, event) in events {
            let log = &self.logs[kind];
            let mut window = log.events.lock().unwrap_or_else(PoisonError::into_inner);
            window.bytes += event.size();
            window.events.push_back(event);
            while window.events.len() > self.limits.history_events
                || window.bytes > self.limits.history_bytes
            {
                let Some(oldest) = window.events.pop_front() else {
                    break;
                };
                window.bytes -= oldest.size();
                window.floor = oldest.revision;
            }
            touched[kind] = true;
        }
        self.published.store(revision, Ordering::Release);
        for (log, _) in self
            .logs
            .iter()
            .zip(touched)
            .filter(|(_, touched)| *touched)
        {
            log.newest.send_replace(revision);
        }
        if collect != Wakes::default() {
            self.collect.send_modify(|wakes| {
                wakes.work += collect.work;
                wakes.progress += collect.progress;
            });
        }
    }
}

impl Event {
    fn size(&self) -> usize {
        self.object.len() + self.prior.as_ref().map_or(0, Bytes::len) + self.key.len() + 128
    }
}

// === impl Tail ===

impl Tail {
    pub(super) fn new(histories: Arc<Histories>, kind: usize, revision: u64) -> Self {
        let newest = histories.logs[kind].newest.subscribe();
        Self {
            histories,
            kind,
            at: revision,
            newest,
        }
    }

    /// Takes what there is.
    pub(crate) fn next(&mut self) -> Next {
        // Read before the log: whatever is published meanwhile is seen at the next call, never skipped.
        let published = self.histories.revision();
        self.newest.mark_unchanged();
        let window = self.histories.logs[self.kind]
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.at < window.floor {
            return Next::TooOld(window.floor);
        }
        let from = window
            .events
            .partition_point(|event| event.revision <= self.at);
        let events: Vec<Event> = window.events.range(from..).take(BATCH).cloned().collect();
        if let Some(last) = events.last() {
            self.at = last.revision;
            Next::Events(events)
        } else {
            self.at = self.at.max(published);
            Next::Nothing
        }
    }

    /// The revision up to which this tail has handed everything out.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Waits until there may be something.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in `histories`, which this tail holds: it cannot be gone.
        let _ = self.newest.changed().await;
    }
}
