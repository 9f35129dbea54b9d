//! Who is looked at next, and who waits for what. All sets are ordered: nothing here is ever scanned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;

use jiff::Timestamp;

use crate::api::ClaimKey;

use super::case::{Age, Case, Class, Until};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// To be looked at in this step.
    dirty: BTreeSet<ClaimKey>,
    /// Want to send something.
    parked: BTreeSet<(Class, Age)>,
    /// Wait for any free address.
    starved: BTreeSet<Age>,
    /// Wait for one address.
    wishful: BTreeMap<IpAddr, BTreeSet<Age>>,
    /// Woken because that address is free; when they leave it, the next one is woken.
    called: BTreeMap<ClaimKey, IpAddr>,
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
    /// starve take part when `free` says that there is something to eat.
    pub(super) fn next(&self, free: bool) -> Option<(Class, Age)> {
        let parked = self.parked.first().cloned();
        let starved = self.starved.first().filter(|_| free);
        let starved = starved.map(|age| (Class::New, age.clone()));
        match (parked, starved) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn park(&mut self, case: &mut Case, class: Class, age: Age) {
        self.unpark(case);
        self.parked.insert((class, age.clone()));
        case.parked = Some((class, age));
    }

    pub(super) fn unpark(&mut self, case: &mut Case) {
        if let Some(place) = case.parked.take() {
            self.parked.remove(&place);
        }
    }

    pub(super) fn set_timer(&mut self, case: &mut Case, key: &ClaimKey, at: Option<Timestamp>) {
        if case.timer == at {
            return;
        }
        if let Some(old) = case.timer.take() {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, key.clone()));
            case.timer = Some(at);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Marks the cases whose time has come.
    pub(super) fn ring(&mut self, now: Timestamp) {
        for (_, key) in self.timers.iter().take_while(|(at, _)| *at <= now) {
            self.dirty.insert(key.clone());
        }
    }

    /// The claim begins to wait.
    pub(super) fn wait(&mut self, until: Until, age: Age) {
        match until {
            Until::Free => {
                self.starved.insert(age);
            }
            Until::Address(addr) => {
                self.wishful.entry(addr).or_default().insert(age);
            }
            Until::Change => {}
        }
    }

    /// The claim waits for that no more.
    pub(super) fn unwait(&mut self, until: Until, age: &Age) {
        match until {
            Until::Free => {
                self.starved.remove(age);
            }
            Until::Address(addr) => {
                if let Some(set) = self.wishful.get_mut(&addr) {
                    set.remove(age);
                    if set.is_empty() {
                        self.wishful.remove(&addr);
                    }
                }
            }
            Until::Change => {}
        }
    }

    /// Has every claim that waits for any address looked at again.
    pub(super) fn mark_starved(&mut self) {
        for age in &self.starved {
            self.dirty.insert(age.key());
        }
    }

    /// Has every claim that waits for this address looked at again.
    pub(super) fn mark_waiting(&mut self, addr: IpAddr) {
        for age in self.wishful.get(&addr).into_iter().flatten() {
            self.dirty.insert(age.key());
        }
    }

    /// Wakes the oldest claim that waits for this address; of those behind `after`, when an older one has declined.
    pub(super) fn call(&mut self, addr: IpAddr, after: Option<&Age>) {
        let Some(set) = self.wishful.get(&addr) else {
            return;
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let Some(age) = set.range((from, Bound::Unbounded)).next() else {
            return;
        };
        let key = age.key();
        self.mark(&key);
        self.called.insert(key, addr);
    }

    /// The claim was called to this address and has decided.
    pub(super) fn answer_call(&mut self, key: &ClaimKey) -> Option<IpAddr> {
        self.called.remove(key)
    }
}
