//! When the pool's status is written: when it differs from what is stored, at most once per `status_interval`. With `indexes`
//! the interval grows once per thousand entries, since every write carries the whole object to every watcher.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::Kind;

use super::dropped::Dropped;
use super::gate::Unready;
use super::input::KindState;
use super::machine::{Pool, Purpose};
use super::pool_status::MOST_ENTRIES;
use super::request::{Decision, Request};
use super::space::Numbers;
use super::time::{Backoff, later};

/// The interval grows up to this many times.
const SLOWEST: i32 = 30;

/// What the pool looks like, to see cheaply whether a status may have to be written.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fingerprint {
    numbers: Numbers,
    waiting: u64,
    epoch: u64,
    problems: u64,
    generation: Option<i64>,
    ready: Option<&'static str>,
    paused: bool,
    full: bool,
}

/// When the pool's status is written, and what the server keeps of it.
#[derive(Debug, Default)]
pub(super) struct StatusWriter {
    pub(super) backoff: Backoff,
    /// The stored status may differ from what it should be.
    pub(super) dirty: bool,
    /// Rises with every change of `indexes`.
    epoch: u64,
    /// Fields that the server does not keep.
    pub(super) dropped: Dropped,
    look: Fingerprint,
    /// More than counts changed: it is written as soon as the shortest interval allows.
    is_urgent: bool,
    /// When it was written last.
    written_at: Option<Timestamp>,
    /// Least time to the next write, and when it is urgent.
    interval: SignedDuration,
    shortest: SignedDuration,
    /// Conditions that were reported, or that were stored when the pool was first seen.
    told: BTreeMap<&'static str, (bool, &'static str)>,
}

impl StatusWriter {
    pub(super) fn reset(&mut self) {
        *self = Self {
            epoch: self.epoch,
            dropped: std::mem::take(&mut self.dropped),
            ..Self::default()
        };
    }

    /// What `indexes` shows has changed.
    pub(super) fn indexes_changed(&mut self) {
        self.epoch += 1;
    }

    pub(super) fn next_timer(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = |at: &Timestamp| *at > now;
        let times = [self.open_at().filter(ahead), self.backoff.until(now)];
        times.into_iter().flatten().min().filter(|_| self.dirty)
    }

    /// When it may be written next.
    fn open_at(&self) -> Option<Timestamp> {
        let written = self.written_at?;
        let interval = if self.is_urgent {
            self.shortest
        } else {
            self.interval
        };
        Some(later(written, interval))
    }
}

impl Pool {
    /// Looks whether the status may have to be written, and reports conditions that changed.
    pub(super) fn check_pool_status(&mut self) {
        let Some(pool) = &self.ippool.record else {
            return;
        };
        let look = Fingerprint {
            numbers: self.space.numbers(),
            waiting: self.counts.waiting().values().sum(),
            epoch: self.ippool.status.epoch,
            problems: self.counts.epoch,
            generation: self.observed_generation(),
            ready: self.unready(),
            paused: self.is_paused(),
            full: self.space.is_full(),
        };
        let first = self.ippool.status.told.is_empty();
        if look == self.ippool.status.look && !first {
            return;
        }
        if !self.kinds.is_synced() {
            return;
        }
        let stored = first.then(|| pool.status.conditions.clone());
        let before = std::mem::replace(&mut self.ippool.status.look, look);
        self.ippool.status.dirty = true;
        let look = &self.ippool.status.look;
        let is_observed = before.generation == look.generation;
        let quiet = !first
            && (before.ready, before.paused, before.full, before.problems)
                == (look.ready, look.paused, look.full, look.problems);
        self.ippool.status.is_urgent |= !(quiet && is_observed);
        if quiet {
            return;
        }
        for new in self.conditions(true) {
            let said = (new.status, new.reason);
            let stands = stored.iter().flatten().any(|c| {
                c.type_ == new.type_
                    && c.reason == new.reason
                    && c.status == if new.status { "True" } else { "False" }
            });
            let told = self.ippool.status.told.insert(new.type_, said);
            if told != Some(said) && !stands {
                self.decided(Decision::Pool {
                    condition: new.type_,
                    status: new.status,
                    reason: new.reason,
                    message: new.message,
                });
            }
        }
    }

    /// Writes the status if it is time and it differs.
    pub(super) fn write_status(&mut self) {
        let writer = &self.ippool.status;
        let due = writer.dirty
            && writer.open_at().is_none_or(|at| at <= self.now)
            && writer.backoff.until(self.now).is_none();
        let writable = self.kinds.is_synced()
            && self.kinds[Kind::Pools] == KindState::Listed
            && self.ippool.flight.is_none()
            && !self.is_of_another_manager();
        let Some(pool) = self.ippool.record.as_ref().filter(|_| due && writable) else {
            return;
        };
        // Its metadata is about to be stored: one write less if the status waits for that.
        let storing = self
            .ready()
            .is_err_and(|unready| unready == Unready::NotStored);
        if storing && !self.ippool.backoff.has_failed() && !self.is_paused() {
            return;
        }
        let (uid, version, entries) = (pool.uid.clone(), pool.version.clone(), pool.entries());
        let status = if self.is_paused() {
            self.paused_status()
        } else {
            self.status_patch()
        };
        let Some(status) = status else {
            self.ippool.status.dirty = false;
            return;
        };
        let purpose = Purpose::Status(uid.clone(), Box::new(status.clone()));
        self.send_for_pool(
            purpose,
            Request::PoolStatus {
                uid,
                resource_version: version,
                status: Value::Object(status),
                entries,
            },
        );
        let shown = usize::try_from(self.counts.bound).unwrap_or(usize::MAX);
        let slower = if shown > MOST_ENTRIES {
            1
        } else {
            i32::try_from(1 + shown / 1000).unwrap_or(SLOWEST)
        };
        let slower = slower.max(i32::try_from(1 + entries / 1000).unwrap_or(SLOWEST));
        let shortest = self.config.status_interval;
        let writer = &mut self.ippool.status;
        writer.written_at = Some(self.now);
        (writer.interval, writer.shortest) = (shortest * slower.min(SLOWEST), shortest);
        writer.is_urgent = false;
        writer.dirty = false;
    }
}
