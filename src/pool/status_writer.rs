//! When the pool's status is written: only when it differs from what is stored.
//!
//! A changed condition, a generation that is in force and the first status are written at once, `status_interval` after the
//! write before at the earliest. Counts and `indexes` wait for one interval after their first change, so that a claim that is
//! bound meanwhile costs one write and not two. While they go on changing, the interval doubles up to eight times that; it falls
//! back once they rest. It is longer by as much as `indexes`, or ranges and pre-allocations, have thousands of entries, since every
//! write carries the whole object to every watcher.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use crate::api::Kind;

use super::dropped::Dropped;
use super::gate::Unready;
use super::input::{KindState, Object, Take};
use super::machine::{About, Pool, Purpose};
use super::pool_status::{MOST_ENTRIES, NewCondition};
use super::request::{Decision, Request};
use super::space::Numbers;
use super::time::{Backoff, later};

/// The interval grows up to this many times with the larger of `indexes` and the spec.
const SLOWEST: i32 = 30;
/// While counts go on changing the interval doubles up to this many times.
const LONGEST_PACE: i32 = 8;

/// What the pool looks like, to see cheaply whether a status may have to be written.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fingerprint {
    numbers: Numbers,
    waiting: u64,
    indexes_epoch: u64,
    problems_epoch: u64,
    generation: Option<i64>,
    unready: Option<&'static str>,
    paused: bool,
    full: bool,
}

/// When the pool's status is written, and what the server keeps of it.
#[derive(Debug, Default)]
pub(super) struct StatusWriter {
    pub(super) backoff: Backoff,
    /// The stored status may differ from what it should be.
    dirty: bool,
    /// Rises with every change of `indexes`.
    indexes_epoch: u64,
    /// Fields that the server does not keep.
    pub(super) dropped: Dropped,
    look: Fingerprint,
    /// More than counts changed: it is written as soon as the shortest interval allows.
    is_urgent: bool,
    rhythm: Rhythm,
    /// That before the last write, in case it is withdrawn.
    before: Rhythm,
    /// Times the shortest interval that they wait for because the object is large.
    size: i32,
    /// Conditions that were reported, or that were stored when the pool was first seen.
    reported: BTreeMap<&'static str, (bool, &'static str)>,
}

/// When the status was written, from which follows when it may be written again.
#[derive(Debug, Clone, Copy, Default)]
struct Rhythm {
    /// When it was written last.
    written_at: Option<Timestamp>,
    /// When counts alone were written last.
    counted_at: Option<Timestamp>,
    /// Since when the stored status may differ from what it should be.
    dirty_since: Option<Timestamp>,
    /// Times the shortest interval that counts wait for: doubled while they go on changing.
    pace: i32,
}

impl Fingerprint {
    /// Whether more than counts differs.
    fn asks_for_other_conditions(&self, other: &Self) -> bool {
        let of = |look: &Self| (look.unready, look.paused, look.full, look.problems_epoch);
        of(self) != of(other)
    }
}

impl StatusWriter {
    pub(super) fn reset(&mut self) {
        *self = Self {
            indexes_epoch: self.indexes_epoch,
            dropped: std::mem::take(&mut self.dropped),
            ..Self::default()
        };
    }

    /// What `indexes` shows has changed.
    pub(super) fn indexes_changed(&mut self) {
        self.indexes_epoch += 1;
    }

    /// The stored status may differ from what it should be.
    pub(super) fn mark(&mut self) {
        self.dirty = true;
    }

    /// A write was certainly not carried out, or its answer is lost.
    pub(super) fn not_written(&mut self, about: About) {
        self.dirty = true;
        self.is_urgent |= about != About::Counts;
    }

    /// The last write was withdrawn, and puts off none after it.
    pub(super) fn withdrawn(&mut self, about: About) {
        self.not_written(about);
        self.rhythm = self.before;
    }

    pub(super) fn next_timer(&self, now: Timestamp, shortest: SignedDuration) -> Option<Timestamp> {
        let ahead = |at: &Timestamp| *at > now;
        let open = self.open_at(shortest).filter(ahead);
        let times = [open, self.backoff.until(now)];
        times.into_iter().flatten().min().filter(|_| self.dirty)
    }

    /// The time before which it is not written; `None`: it is written at once.
    fn open_at(&self, shortest: SignedDuration) -> Option<Timestamp> {
        if self.is_urgent {
            return Some(later(self.rhythm.written_at?, shortest));
        }
        Some(later(self.rhythm.dirty_since?, self.interval(shortest)))
    }

    /// Time that counts wait for after their first change.
    fn interval(&self, shortest: SignedDuration) -> SignedDuration {
        shortest * self.rhythm.pace.max(self.size).max(1)
    }

    /// It does not differ from what is stored.
    fn rests(&mut self) {
        self.dirty = false;
        self.rhythm.dirty_since = None;
        self.is_urgent = false;
    }

    /// It has begun to differ from what is stored, or may have. Counts that change again soon after they were written wait longer.
    fn begins_to_differ(&mut self, now: Timestamp, shortest: SignedDuration) {
        let rested_at = |at| later(at, self.interval(shortest));
        self.rhythm.pace = match self.rhythm.counted_at {
            Some(at) if now <= rested_at(at) => (2 * self.rhythm.pace).min(LONGEST_PACE),
            Some(_) | None => 1,
        };
        self.rhythm.dirty_since = Some(now);
    }

    /// It is written now.
    fn writes(&mut self, now: Timestamp, size: i32, about: About) {
        self.before = self.rhythm;
        if about == About::Counts {
            self.rhythm.counted_at = Some(now);
        }
        self.size = size;
        self.rhythm.written_at = Some(now);
        self.is_urgent = false;
        self.dirty = false;
        self.rhythm.dirty_since = None;
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
            waiting: self.counts.waiting_in_vain(),
            indexes_epoch: self.ippool.status.indexes_epoch,
            problems_epoch: self.counts.epoch,
            generation: self.observed_generation(),
            unready: self.unready(),
            paused: self.is_paused(),
            full: self.space.is_full(),
        };
        let first = self.ippool.status.reported.is_empty();
        if look == self.ippool.status.look && !first {
            return;
        }
        if !self.kinds.is_synced() {
            return;
        }
        let stored = first.then(|| pool.status.conditions.clone());
        let before = std::mem::replace(&mut self.ippool.status.look, look);
        self.ippool.status.mark();
        self.check_nearly_full(first);
        let look = &self.ippool.status.look;
        let conditions_changed = first || before.asks_for_other_conditions(look);
        self.ippool.status.is_urgent |= conditions_changed || before.generation != look.generation;
        if conditions_changed {
            self.report_conditions(&stored.unwrap_or_default());
        }
    }

    /// Reports each condition that is not as it was reported last, or as it was stored when the pool was first seen.
    fn report_conditions(&mut self, stored: &[Condition]) {
        for new in self.conditions() {
            self.report_condition(new, stored);
        }
    }

    fn report_condition(&mut self, new: NewCondition, stored: &[Condition]) {
        let is = (new.status, new.reason);
        let stored = stored.iter().find(|c| c.type_ == new.type_);
        let stored = stored.map(|c| (c.status == "True", &*c.reason));
        let reported = self.ippool.status.reported.insert(new.type_, is);
        if reported != Some(is) && stored != Some(is) {
            self.decided(Decision::Pool {
                condition: new.type_,
                before: reported.or(stored).map(|(status, _)| status),
                status: new.status,
                reason: new.reason,
                message: new.message,
            });
        }
    }

    /// Reports that few addresses are left, once until there are more again. At a start it is nothing new.
    fn check_nearly_full(&mut self, first: bool) {
        if self.space.note_nearly_full() && !first {
            let numbers = self.space.numbers();
            let message = format!(
                "pool {} has {} free addresses left of {}; {} are in use and {} kept back; add a range or delete claims that nobody needs",
                self.key, numbers.available, numbers.capacity, numbers.allocated, numbers.reserved
            );
            self.decided(Decision::NearlyFull { message });
        }
    }

    /// Whether the status may differ from what is stored, and this manager is to write it.
    fn status_is_due(&self) -> bool {
        self.ippool.status.dirty
            && self.ippool.record.is_some()
            && self.kinds.is_synced()
            && self.kinds[Kind::Pools] == KindState::Listed
            && !self.is_of_another_manager()
    }

    /// Whether the status is to be written and nothing but time or the answer to a request is in its way.
    pub(super) fn status_waits(&self) -> bool {
        self.status_is_due() && !self.ippool.status.backoff.is_refused()
    }

    /// Takes in the pool that a write of its status gave. Its status is the one that was written, without the fields that the
    /// server does not keep: it alone asks for no other write.
    pub(super) fn status_stored(&mut self, pool: Object, take: Take) {
        let uid = |pool: &Self| pool.ippool.record.as_ref().map(|p| p.uid.clone());
        let (before, marked) = (uid(self), self.ippool.status.dirty);
        self.take_in(pool, take);
        if uid(self) == before {
            self.ippool.status.dirty = marked;
        }
    }

    /// Writes the status if it is time and it differs.
    pub(super) fn write_status(&mut self) {
        let shortest = self.config.status_interval;
        let writer = &mut self.ippool.status;
        if writer.dirty && writer.rhythm.dirty_since.is_none() {
            writer.begins_to_differ(self.now, shortest);
        }
        let is_time = writer.open_at(shortest).is_none_or(|at| at <= self.now);
        let is_urgent = writer.is_urgent;
        let may_try = writer.backoff.until(self.now).is_none() && self.status_is_due();
        if may_try && is_urgent && self.counts_fly() {
            self.withdraw_for_pool();
        }
        let due = may_try && is_time && self.ippool.flight.is_none();
        let Some(pool) = self.ippool.record.as_ref().filter(|_| due) else {
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
            let stored = pool.status.conditions.clone();
            let (status, completeness) = self.status_patch();
            self.report_condition(completeness, &stored);
            status
        };
        let Some(status) = status else {
            self.ippool.status.rests();
            return;
        };
        let about = match is_urgent {
            _ if self.is_paused() => About::Pause,
            true => About::Conditions,
            false => About::Counts,
        };
        let purpose = Purpose::Status(uid.clone(), Box::new(status.clone()), about);
        self.send_for_pool(
            purpose,
            Request::PoolStatus {
                uid,
                resource_version: version,
                status: Value::Object(status),
                entries,
                counts_only: !is_urgent,
            },
        );
        let (now, size) = (self.now, self.size_factor(entries));
        self.ippool.status.writes(now, size, about);
    }

    /// How many times the shortest interval counts wait because the object is large: 1, and one more for each thousand of its
    /// `indexes` (which are left out beyond [`MOST_ENTRIES`]) or of the entries of its spec.
    fn size_factor(&self, entries: usize) -> i32 {
        let indexes = usize::try_from(self.counts.with_objects).unwrap_or(usize::MAX);
        let indexes = if indexes > MOST_ENTRIES { 0 } else { indexes };
        let thousands = indexes.max(entries) / 1000;
        i32::try_from(1 + thousands).map_or(SLOWEST, |factor| factor.min(SLOWEST))
    }
}
