//! Which case is looked at next, and which claim waits for what. All sets are ordered: nothing here is ever scanned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;

use jiff::Timestamp;

use crate::api::ClaimKey;

use super::case::{Age, Case};
use super::next::Class;
use super::reason::Until;

/// The cases that are to be looked at, and the claims that wait (see the module).
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// To be looked at in this step.
    dirty: BTreeSet<ClaimKey>,
    /// Want to send something.
    turns: BTreeSet<(Class, Age)>,
    /// Wait for any free address.
    waiting_for_any: BTreeSet<Age>,
    /// Wait for one address.
    waiting_for_address: BTreeMap<IpAddr, BTreeSet<Age>>,
    /// Claims that were woken because this address is free. When one does not take it, the next is woken.
    offered: BTreeMap<ClaimKey, IpAddr>,
    timers: BTreeSet<(Timestamp, ClaimKey)>,
}

impl Queue {
    pub(super) fn mark(&mut self, key: &ClaimKey) {
        self.dirty.insert(key.clone());
    }

    pub(super) fn next_dirty(&mut self) -> Option<ClaimKey> {
        self.dirty.pop_first()
    }

    /// The next case whose turn it is: something begun before something new, the older before the younger. Claims that
    /// wait for any address take part when there is a free one.
    pub(super) fn next(&self, free: bool) -> Option<(Class, Age)> {
        let turn = self.turns.first().cloned();
        let waiting = self.waiting_for_any.first().filter(|_| free);
        let waiting = waiting.map(|age| (Class::New, age.clone()));
        match (turn, waiting) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn enqueue(&mut self, case: &mut Case, class: Class, age: Age) {
        self.dequeue(case);
        self.turns.insert((class, age.clone()));
        case.work_mut().turn = Some((class, age));
    }

    pub(super) fn dequeue(&mut self, case: &mut Case) {
        if let Some(place) = case.some_work().and_then(|w| w.turn.take()) {
            self.turns.remove(&place);
        }
    }

    pub(super) fn set_timer(&mut self, case: &mut Case, key: &ClaimKey, at: Option<Timestamp>) {
        if case.work().timer == at {
            return;
        }
        if let Some(old) = case.some_work().and_then(|w| w.timer.take()) {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, key.clone()));
            case.work_mut().timer = Some(at);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Marks the cases whose time has come.
    pub(super) fn mark_due(&mut self, now: Timestamp) {
        for (_, key) in self.timers.iter().take_while(|(at, _)| *at <= now) {
            self.dirty.insert(key.clone());
        }
    }

    /// The claim begins to wait.
    pub(super) fn wait(&mut self, until: Until, age: Age) {
        match until {
            Until::Free => {
                self.waiting_for_any.insert(age);
            }
            Until::Address(addr) => {
                self.waiting_for_address
                    .entry(addr)
                    .or_default()
                    .insert(age);
            }
            Until::Change => {}
        }
    }

    /// The claim waits for that no more.
    pub(super) fn unwait(&mut self, until: Until, age: &Age) {
        match until {
            Until::Free => {
                self.waiting_for_any.remove(age);
            }
            Until::Address(addr) => {
                if let Some(set) = self.waiting_for_address.get_mut(&addr) {
                    set.remove(age);
                    if set.is_empty() {
                        self.waiting_for_address.remove(&addr);
                    }
                }
            }
            Until::Change => {}
        }
    }

    /// Has every claim that waits for any address looked at again.
    pub(super) fn mark_waiting_for_any(&mut self) {
        for age in &self.waiting_for_any {
            self.dirty.insert(age.key());
        }
    }

    /// Has every claim that waits for this address looked at again.
    pub(super) fn mark_waiting_for(&mut self, addr: IpAddr) {
        for age in self.waiting_for_address.get(&addr).into_iter().flatten() {
            self.dirty.insert(age.key());
        }
    }

    /// Wakes the oldest claim that waits for this address; of those behind `after`, when an older one has declined.
    pub(super) fn offer(&mut self, addr: IpAddr, after: Option<&Age>) {
        let Some(set) = self.waiting_for_address.get(&addr) else {
            return;
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let Some(age) = set.range((from, Bound::Unbounded)).next() else {
            return;
        };
        let key = age.key();
        self.mark(&key);
        self.offered.insert(key, addr);
    }

    /// The claim decides about the address that it was offered.
    pub(super) fn take_offer(&mut self, key: &ClaimKey) -> Option<IpAddr> {
        self.offered.remove(key)
    }
}
