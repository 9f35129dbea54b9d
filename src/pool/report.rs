//! The pool's status: counts, `indexes` and conditions. A view for people and tools, never read as truth (A3). Written when
//! it differs from what is stored, at most once per `status_interval`; with `indexes` the interval grows by itself once per
//! thousand entries, since every write carries the whole object to every watcher.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

use crate::api::{AddressKey, ClaimKey, ClaimKind, Kind};

use super::case::Case;
use super::dropped::Dropped;
use super::explain::{condition, with_condition};
use super::gate::Shut;
use super::input::KindState;
use super::machine::{Pool, Purpose};
use super::request::{Decision, Request};
use super::space::Numbers;
use super::time::{Backoff, later};

/// Bounds of `indexes`: beyond them a pool object would outgrow what an API server stores.
const MOST_ENTRIES: usize = 4096;
const MOST_BYTES: usize = 256 * 1024;
/// The interval grows up to this many times.
const SLOWEST: i32 = 30;
/// Lines of a bad spec that the condition repeats, and bytes of each.
const LINES: usize = 20;
const LINE: usize = 400;

/// What the pool looks like, to see cheaply whether a status may have to be written.
#[derive(Debug, Clone, PartialEq, Default)]
struct Look {
    numbers: Numbers,
    waiting: u64,
    epoch: u64,
    problems: u64,
    generation: Option<i64>,
    ready: Option<&'static str>,
    paused: bool,
    full: bool,
}

/// The pool status' own affairs.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) backoff: Backoff,
    /// The stored status may differ from what it should be.
    pub(super) dirty: bool,
    /// Rises with every change of `indexes`.
    pub(super) epoch: u64,
    /// Fields that the server does not keep.
    pub(super) dropped: Dropped,
    look: Look,
    /// More than counts changed: it is written as soon as the shortest interval allows.
    is_urgent: bool,
    /// When it was written last.
    written_at: Option<Timestamp>,
    /// Least time to the next write, and when it is urgent.
    interval: SignedDuration,
    shortest: SignedDuration,
    /// Conditions that were told of, or that stood when the pool was first seen.
    told: BTreeMap<&'static str, (bool, &'static str)>,
}

impl Desk {
    pub(super) fn reset(&mut self) {
        *self = Self {
            epoch: self.epoch,
            dropped: std::mem::take(&mut self.dropped),
            ..Self::default()
        };
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

/// One condition of the pool, before it is written.
struct Verdict {
    type_: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

/// A count as the status has it: it saturates.
fn count(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Pool {
    /// The `Ready` condition's reason when it does not hold.
    pub(super) fn unready(&self) -> Option<&'static str> {
        match self.open() {
            Err(shut) => Some(shut.text()),
            Ok(pool) if pool.problems.is_empty() => None,
            Ok(_) => Some(Shut::Unreadable.text()),
        }
    }

    /// Looks whether the status may have to be written, and tells of conditions that changed.
    pub(super) fn weigh_pool(&mut self) {
        let Some(pool) = &self.head.object else {
            return;
        };
        let look = Look {
            numbers: self.space.numbers(),
            waiting: self.tally.waiting().values().sum(),
            epoch: self.head.desk.epoch,
            problems: self.tally.epoch,
            generation: self.observed_generation(),
            ready: self.unready(),
            paused: self.is_paused(),
            full: self.space.is_full(),
        };
        let first = self.head.desk.told.is_empty();
        if look == self.head.desk.look && !first {
            return;
        }
        if !self.kinds.is_synced() {
            return;
        }
        let stored = first.then(|| pool.status.conditions.clone());
        let before = std::mem::replace(&mut self.head.desk.look, look);
        self.head.desk.dirty = true;
        let look = &self.head.desk.look;
        let is_observed = before.generation == look.generation;
        let quiet = !first
            && (before.ready, before.paused, before.full, before.problems)
                == (look.ready, look.paused, look.full, look.problems);
        self.head.desk.is_urgent |= !(quiet && is_observed);
        if quiet {
            return;
        }
        for verdict in self.verdicts(true) {
            let said = (verdict.status, verdict.reason);
            let stands = stored.iter().flatten().any(|c| {
                c.type_ == verdict.type_
                    && c.reason == verdict.reason
                    && c.status == if verdict.status { "True" } else { "False" }
            });
            let told = self.head.desk.told.insert(verdict.type_, said);
            if told != Some(said) && !stands {
                self.decided(Decision::Pool {
                    condition: verdict.type_,
                    status: verdict.status,
                    reason: verdict.reason,
                    message: verdict.message,
                });
            }
        }
    }

    /// The spec's generation that is in force (A8): rises only when no create under an older one is unanswered.
    fn observed_generation(&self) -> Option<i64> {
        let pool = self.head.object.as_ref()?;
        let old = self.unsettled.keys().next();
        if old.is_some_and(|old| *old < pool.generation) {
            return pool.status.observed_generation;
        }
        Some(pool.generation)
    }

    fn verdicts(&self, complete: bool) -> Vec<Verdict> {
        let key = &self.key;
        let ready = match self.open() {
            Ok(pool) if pool.problems.is_empty() => (true, "Ready", String::new()),
            Ok(pool) => (false, Shut::Unreadable.text(), lines(&pool.problems)),
            Err(Shut::Deleting) => (false, Shut::Deleting.text(), self.what_holds_it()),
            Err(Shut::Unreadable) => {
                let pool = self.head.object.as_ref();
                let why = pool.and_then(|p| p.spec.as_ref().err().cloned());
                let problems = pool.map_or(&[][..], |p| &p.problems);
                let why = why.as_ref().map_or(problems, std::slice::from_ref);
                (false, Shut::Unreadable.text(), lines(why))
            }
            Err(shut) => (false, shut.text(), self.shut_message(shut)),
        };
        let exhausted = if self.space.is_full() {
            let reason = if self.has_no_ranges() {
                "NoRanges"
            } else {
                "NoFreeAddress"
            };
            (true, reason, self.exhausted().message)
        } else {
            (false, "FreeAddresses", String::new())
        };
        let paused = if self.is_paused() {
            let message = format!("pool {key} or its Cluster is paused: nothing of it is written");
            (true, "Paused", message)
        } else {
            (false, "NotPaused", String::new())
        };
        let consistent = match self.tally.problem_summary() {
            None => (true, "Consistent", String::new()),
            Some((kind, message)) => (false, kind, message),
        };
        let indexes = if complete {
            (true, "Complete", String::new())
        } else {
            let message = format!(
                "more than {MOST_ENTRIES} entries or {MOST_BYTES} bytes: indexes is left out; list the address objects"
            );
            (false, "TooLarge", message)
        };
        let all = [
            ("Ready", ready),
            ("Exhausted", exhausted),
            ("Paused", paused),
            ("Consistent", consistent),
            ("IndexesComplete", indexes),
        ];
        all.into_iter()
            .map(|(type_, (status, reason, message))| Verdict {
                type_,
                status,
                reason,
                message,
            })
            .collect()
    }

    /// What a pool that is being deleted waits for (R5).
    fn what_holds_it(&self) -> String {
        let names: Vec<String> = self
            .addresses
            .keys()
            .take(5)
            .map(ToString::to_string)
            .collect();
        let key = &self.key;
        if !names.is_empty() {
            let more = if self.addresses.len() > names.len() {
                " and others"
            } else {
                ""
            };
            return format!(
                "pool {key} is being deleted and waits until these are gone: {}{more}",
                names.join(", ")
            );
        }
        if self.unsettled.is_empty() {
            format!("pool {key} is being deleted")
        } else {
            format!("pool {key} is being deleted and waits for the answer to a create")
        }
    }

    /// Writes the status if it is time and it differs.
    pub(super) fn tend_status(&mut self) {
        let desk = &self.head.desk;
        let due = desk.dirty
            && desk.open_at().is_none_or(|at| at <= self.now)
            && desk.backoff.until(self.now).is_none();
        let writable = self.kinds.is_synced()
            && self.kinds[Kind::Pools] == KindState::Listed
            && self.head.flight.is_none()
            && !self.is_anothers();
        let Some(pool) = self.head.object.as_ref().filter(|_| due && writable) else {
            return;
        };
        // Its metadata is about to be stored: one write less if the status waits for that.
        let storing = self.open().is_err_and(|shut| shut == Shut::NotStored);
        if storing && !self.head.backoff.has_failed() && !self.is_paused() {
            return;
        }
        let (uid, version, entries) = (pool.uid.clone(), pool.version.clone(), pool.entries());
        let status = if self.is_paused() {
            self.paused_status()
        } else {
            self.status_patch()
        };
        let Some(status) = status else {
            self.head.desk.dirty = false;
            return;
        };
        let purpose = Purpose::Status(uid.clone(), Box::new(status.clone()));
        self.send_head(
            purpose,
            Request::PoolStatus {
                uid,
                resource_version: version,
                status: Value::Object(status),
                entries,
            },
        );
        let shown = usize::try_from(self.tally.bound).unwrap_or(usize::MAX);
        let slower = if shown > MOST_ENTRIES {
            1
        } else {
            i32::try_from(1 + shown / 1000).unwrap_or(SLOWEST)
        };
        let slower = slower.max(i32::try_from(1 + entries / 1000).unwrap_or(SLOWEST));
        let shortest = self.config.status_interval;
        let desk = &mut self.head.desk;
        desk.written_at = Some(self.now);
        (desk.interval, desk.shortest) = (shortest * slower.min(SLOWEST), shortest);
        desk.is_urgent = false;
        desk.dirty = false;
    }

    /// The one write that a paused pool gets (P1).
    fn paused_status(&self) -> Option<Map<String, Value>> {
        let pool = self.head.object.as_ref()?;
        let verdict = self
            .verdicts(true)
            .into_iter()
            .find(|v| v.type_ == "Paused")?;
        let (changed, conditions) = self.merged(vec![verdict], &pool.status.conditions);
        changed.then(|| Map::from_iter([("conditions".to_owned(), json!(conditions))]))
    }

    fn merged(&self, verdicts: Vec<Verdict>, stored: &[Condition]) -> (bool, Vec<Condition>) {
        let generation = self.observed_generation().unwrap_or(0);
        let mut list = stored.to_vec();
        let mut changed = false;
        for verdict in verdicts {
            let Verdict {
                type_,
                status,
                reason,
                message,
            } = verdict;
            let before = list.iter().find(|c| c.type_ == type_);
            let new = condition(
                before, type_, status, reason, message, generation, self.wall,
            );
            let dropped = &self.head.desk.dropped;
            changed |= match before {
                Some(before) => !dropped.are_alike(before, &new),
                None => !dropped.has("conditions"),
            };
            list = with_condition(&list, new);
        }
        (changed, list)
    }

    /// What differs from the stored status, as a merge patch; `None`: nothing that the server keeps.
    fn status_patch(&self) -> Option<Map<String, Value>> {
        let pool = self.head.object.as_ref()?;
        let stored = &pool.status;
        let mut patch = Map::new();
        let indexes = self.indexes();
        match &indexes {
            Some(indexes) => {
                let mut changed = Map::new();
                for (name, addr) in indexes {
                    let text = addr.to_string();
                    if stored.indexes.get(&**name).is_none_or(|old| old.0 != text) {
                        changed.insert((*name).to_owned(), Value::String(text));
                    }
                }
                for name in stored.indexes.keys() {
                    if !indexes.contains_key(&**name) {
                        changed.insert(name.clone(), Value::Null);
                    }
                }
                if !changed.is_empty() {
                    patch.insert("indexes".to_owned(), Value::Object(changed));
                }
            }
            None if stored.indexes.is_empty() => {}
            None => {
                patch.insert("indexes".to_owned(), Value::Null);
            }
        }
        let numbers = self.space.numbers();
        let all = [numbers.capacity, numbers.available, numbers.reserved];
        let overflow = all.iter().any(|n| i64::try_from(*n).is_err());
        let mut set = |field: &str, value: i64, stored: Option<i64>| {
            if stored != Some(value) {
                patch.insert(field.to_owned(), value.into());
            }
        };
        set("capacity", count(numbers.capacity), stored.capacity);
        set("allocated", count(numbers.allocated), stored.allocated);
        set("available", count(numbers.available), stored.available);
        set("reserved", count(numbers.reserved), stored.reserved);
        set(
            "outOfRange",
            count(numbers.outside.into()),
            stored.out_of_range,
        );
        let waiting = self.tally.waiting().values().sum::<u64>();
        set(
            "waitingClaims",
            count(waiting.into()),
            stored.waiting_claims,
        );
        match (overflow, stored.capacity_overflow) {
            (true, Some(true)) | (false, None) => {}
            (true, _) => {
                patch.insert("capacityOverflow".to_owned(), true.into());
            }
            (false, Some(_)) => {
                patch.insert("capacityOverflow".to_owned(), Value::Null);
            }
        }
        let dropped = &self.head.desk.dropped;
        let is_kept = |patch: &Map<String, Value>| patch.keys().any(|field| !dropped.has(field));
        if is_kept(&patch) {
            let now = Timestamp::from_second(self.wall.as_second()).unwrap_or(self.wall);
            patch.insert("lastUpdated".to_owned(), now.to_string().into());
        }
        if let Some(generation) = self.observed_generation()
            && stored.observed_generation != Some(generation)
        {
            patch.insert("observedGeneration".to_owned(), generation.into());
        }
        let (changed, conditions) =
            self.merged(self.verdicts(indexes.is_some()), &stored.conditions);
        if changed {
            patch.insert("conditions".to_owned(), json!(conditions));
        }
        if !is_kept(&patch) {
            return None;
        }
        if dropped.has("conditions") {
            // Sent along, in case that the server keeps them by now.
            patch.insert("conditions".to_owned(), json!(conditions));
        }
        Some(patch)
    }

    /// Claim names and their addresses, external objects' too as upstream has it; `None` beyond the bounds. An IPClaim's
    /// address goes before that of an IPAddressClaim of the same name (A10). O(cases), once per status write.
    fn indexes(&self) -> Option<BTreeMap<&str, IpAddr>> {
        if self.tally.bound > 2 * MOST_ENTRIES as u64 {
            return None;
        }
        let mut indexes = BTreeMap::new();
        let mut bytes = 0;
        // Metal3's kind comes first in the order of keys.
        for (key, case) in &self.cases {
            let Some(addr) = self.shown(key, case).filter(|_| !key.name.is_empty()) else {
                continue;
            };
            if indexes.contains_key(&*key.name) {
                continue;
            }
            // Quotes, colon, comma.
            bytes += key.name.len() + addr.to_string().len() + 6;
            indexes.insert(&*key.name, addr);
            if indexes.len() > MOST_ENTRIES || bytes > MOST_BYTES {
                return None;
            }
        }
        Some(indexes)
    }

    /// The address that a case shows: of several objects the published one, else the oldest; of a missing one the address that
    /// is held for it.
    fn shown(&self, key: &ClaimKey, case: &Case) -> Option<IpAddr> {
        let published = case.claim.as_deref().and_then(|c| c.published.as_ref());
        let objects = self.objects(key, case);
        let readable = objects.filter_map(|(k, o)| Some((k, o, o.address.as_ref().ok()?)));
        readable
            .min_by_key(|(k, o, _)| (published != Some(&k.name), o.created, k.name.clone()))
            .map(|(_, _, addr)| *addr)
            .or_else(|| self.strays.address(key))
    }

    /// Live objects that hold addresses, in words; for admission.
    pub fn holders(&self) -> Vec<(IpAddr, String)> {
        let word = |key: &AddressKey| {
            let claim = self
                .addresses
                .get(key)
                .map(|a| &*a.claim)
                .unwrap_or_default();
            let kind = match key.kind {
                ClaimKind::Metal3 => "IPAddress",
                ClaimKind::Capi => "IPAddress.ipam.cluster.x-k8s.io",
            };
            format!("{kind} {}/{} (claim {claim})", self.key.namespace, key.name)
        };
        let all = self.space.all();
        all.flat_map(|(addr, _)| {
            self.space
                .objects_at(addr)
                .map(move |key| (addr, word(key)))
        })
        .collect()
    }
}

/// What is wrong with a spec, bounded.
fn lines(problems: &[String]) -> String {
    let mut lines: Vec<String> = problems
        .iter()
        .take(LINES)
        .map(|line| line.chars().take(LINE).collect())
        .collect();
    if problems.len() > LINES {
        lines.push("and more".to_owned());
    }
    lines.join("; ")
}
