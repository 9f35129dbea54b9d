//! Recent events for watches: one bounded log per kind. A watch is a position in the log and has no queue, so a slow watch costs
//! nothing, and ends with 410 when the events after its position were dropped.
//!
//! A client lists, which takes it a while, and then watches from the revision of its list. Under load a log of the usual length
//! would have dropped that position by then, and the client would list again, for as long as the load lasts. So the events after a
//! long list are held for a minute, up to a larger bound.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Limits;

/// One write, for watches.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Its revision.
    pub(crate) revision: u64,
    /// The object's key.
    pub(crate) key: Arc<str>,
    /// What happened.
    pub(crate) kind: EventKind,
    /// The object after the write. For a removed object: its last state, with the revision of the removal.
    pub(crate) object: Bytes,
    /// The object before, when a selector may match only one of the two states.
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
    /// Every event up to this revision is in its log.
    published: AtomicU64,
    lists: Mutex<Lists>,
    collect: watch::Sender<Wakes>,
    emptying: watch::Sender<Emptying>,
}

/// Counters of the garbage collector's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wakes {
    /// Increases with new work: an owner that is new on its work list, or a new dependent of one.
    pub(crate) work: u64,
    /// Increases when an owner on its work list loses a dependent.
    pub(crate) progress: u64,
}

/// The containers (namespaces) that are being deleted: the work list of the namespace controller. The writer updates it with
/// each commit, so that it does not depend on the client of the write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Emptying {
    /// The ids of the containers' UIDs, by key.
    pub(crate) containers: BTreeMap<Arc<str>, u128>,
    /// Increases when an object in one of them is removed.
    pub(crate) progress: u64,
}

/// What a commit did to a container.
#[derive(Debug)]
pub(super) enum Contained {
    /// It is being deleted.
    Deleting(Arc<str>, u128),
    /// It was removed.
    Gone(Arc<str>),
    /// An object in it was removed.
    Less(Arc<str>),
}

/// Long lists that were read a short time ago: their revisions, and until when events after these are held.
#[derive(Default)]
struct Lists(VecDeque<(u64, Instant)>);

struct Log {
    events: Mutex<Window>,
    /// Revision of the newest event. Watches wait for its change.
    newest: watch::Sender<u64>,
}

struct Window {
    events: VecDeque<Event>,
    bytes: usize,
    /// Events up to this revision were dropped.
    floor: u64,
}

/// The position of a watch in one kind's log.
pub(crate) struct Tail {
    histories: Arc<Histories>,
    kind: usize,
    /// Events up to this revision were returned.
    at: u64,
    newest: watch::Receiver<u64>,
}

/// What [`Tail::next`] returns.
#[derive(Debug)]
pub(crate) enum Next {
    /// Events in order; not empty.
    Events(Vec<Event>),
    /// No new event.
    Nothing,
    /// Events after the position were dropped; the log begins after this revision.
    TooOld(u64),
}

/// How long the events after a long list are held.
const HELD: Duration = Duration::from_mins(1);
/// Most revisions for which events are held. Beyond these the oldest is forgotten.
const LISTS: usize = 64;
/// Most events that are read from a log at once, so that its lock is held for a short time.
const BATCH: usize = 256;
/// Bytes of objects after which no further event is read at once: a watch that is not read keeps them.
const BATCH_BYTES: usize = 256 << 10;

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
            lists: Mutex::default(),
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

    /// Updates the work list by one commit. Wakes the namespace controller when a container is new or lost an object.
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

    /// Holds the events after the revision of a long list that was just read.
    pub(super) fn hold_after(&self, revision: u64) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.add(revision, Instant::now());
    }

    /// Adds the events of one commit, in order. Only the writer calls it.
    pub(super) fn publish(&self, events: Vec<(usize, Event)>, revision: u64, collect: Wakes) {
        let held_after = {
            let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            lists.oldest(Instant::now())
        };
        let mut touched = vec![false; self.logs.len()];
        for (kind, event) in events {
            let log = &self.logs[kind];
            let mut window = log.events.lock().unwrap_or_else(PoisonError::into_inner);
            window.bytes += event.size();
            window.events.push_back(event);
            window.trim(self.limits, held_after);
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

impl Lists {
    fn add(&mut self, revision: u64, now: Instant) {
        self.0.retain(|(listed, _)| *listed != revision);
        if self.0.len() == LISTS {
            self.0.pop_front();
        }
        self.0.push_back((revision, now + HELD));
    }

    /// The oldest revision after which events are held.
    fn oldest(&mut self, now: Instant) -> Option<u64> {
        self.0.retain(|(_, until)| *until > now);
        self.0.iter().map(|(revision, _)| *revision).min()
    }
}

impl Window {
    /// Drops the oldest events beyond the bounds. Those after `held_after` have a larger bound.
    fn trim(&mut self, limits: Limits, held_after: Option<u64>) {
        while let Some(oldest) = self.events.front() {
            let is_held = held_after.is_some_and(|revision| oldest.revision > revision);
            let is_too_long = if is_held {
                self.bytes > limits.held_bytes
            } else {
                self.events.len() > limits.history_events || self.bytes > limits.history_bytes
            };
            if !is_too_long {
                return;
            }
            self.bytes -= oldest.size();
            self.floor = oldest.revision;
            self.events.pop_front();
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

    /// Returns the next events.
    pub(crate) fn next(&mut self) -> Next {
        // Read before the log, so that an event that is published meanwhile is returned by the next call, and not skipped.
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
        let mut bytes = 0;
        let batch = window.events.range(from..).take(BATCH).take_while(|event| {
            let has_room = bytes < BATCH_BYTES;
            bytes += event.size();
            has_room
        });
        let events: Vec<Event> = batch.cloned().collect();
        if let Some(last) = events.last() {
            self.at = last.revision;
            Next::Events(events)
        } else {
            self.at = self.at.max(published);
            Next::Nothing
        }
    }

    /// The revision up to which events were returned.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Waits until there may be a new event.
    pub(crate) async fn changed(&mut self) {
        // The sender is in `histories`, which this tail holds, so it is not dropped.
        let _ = self.newest.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_held_for_a_minute_after_a_list_was_read_last() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut lists = Lists::default();
        assert_eq!(lists.oldest(at(0)), None);
        lists.add(7, at(0));
        lists.add(9, at(10));
        assert_eq!(lists.oldest(at(59)), Some(7));
        // Another page of it.
        lists.add(7, at(59));
        assert_eq!(lists.oldest(at(118)), Some(7));
        assert_eq!(lists.oldest(at(119)), None);
        for revision in 0..2 * LISTS as u64 {
            lists.add(revision, at(200));
        }
        assert_eq!(lists.oldest(at(201)), Some(LISTS as u64));
    }
}
