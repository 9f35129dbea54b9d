//! What the pool's status shall be: counts, `indexes` and conditions. It is a view for people and tools; nothing reads it as
//! the truth (A3). When it is written, `status_writer.rs` decides.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

use crate::api::ClaimKey;

use super::case::Case;
use super::explain::{condition, with_condition};
use super::gate::Unready;
use super::machine::Pool;

/// Bounds of `indexes`: beyond them a pool object would outgrow what an API server stores.
pub(super) const MOST_ENTRIES: usize = 4096;
const MOST_BYTES: usize = 256 * 1024;
/// Lines of a bad spec that the condition repeats, and bytes of each.
const LINES: usize = 20;
const LINE: usize = 400;

/// Counts what `indexes` of a pool's status holds, which is left out where it has no room for all.
#[derive(Debug, Default)]
pub struct IndexesRoom {
    entries: usize,
    bytes: usize,
}

impl IndexesRoom {
    /// Adds the address of a claim whose name was not added before. Whether there was room.
    pub fn takes(&mut self, claim: &str, address: IpAddr) -> bool {
        self.entries += 1;
        // Quotes, colon, comma.
        self.bytes += claim.len() + address.to_string().len() + 6;
        self.entries <= MOST_ENTRIES && self.bytes <= MOST_BYTES
    }
}

/// One condition of the pool, before it is written.
#[derive(Debug, Clone)]
pub(super) struct NewCondition {
    pub(super) type_: &'static str,
    pub(super) status: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// A count as the status has it: it saturates.
fn count(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Pool {
    /// The `Ready` condition's reason when it does not hold.
    pub(super) fn unready(&self) -> Option<&'static str> {
        match self.ready() {
            Err(unready) => Some(unready.text()),
            Ok(pool) if pool.problems.is_empty() => None,
            Ok(_) => Some(Unready::InvalidSpec.text()),
        }
    }

    /// The spec's generation that is in force (A8): rises only when no create under an older one is unanswered.
    pub(super) fn observed_generation(&self) -> Option<i64> {
        let pool = self.ippool.record.as_ref()?;
        let old = self.unsettled.keys().next();
        if old.is_some_and(|old| *old < pool.generation) {
            return pool.status.observed_generation;
        }
        Some(pool.generation)
    }

    /// All but that of [`indexes_condition`].
    pub(super) fn conditions(&self) -> Vec<NewCondition> {
        let key = &self.key;
        let ready = match self.ready() {
            Ok(pool) if pool.problems.is_empty() => (true, "Ready", String::new()),
            Ok(pool) => (false, Unready::InvalidSpec.text(), lines(&pool.problems)),
            Err(Unready::Deleting) => (false, Unready::Deleting.text(), self.what_holds_it()),
            Err(Unready::InvalidSpec) => {
                let pool = self.ippool.record.as_ref();
                let why = pool.and_then(|p| p.spec.as_ref().err().cloned());
                let problems = pool.map_or(&[][..], |p| &p.problems);
                let why = why.as_ref().map_or(problems, std::slice::from_ref);
                (false, Unready::InvalidSpec.text(), lines(why))
            }
            Err(unready) => (false, unready.text(), self.unready_message(unready)),
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
        let consistent = match self.counts.problem_summary() {
            None => (true, "Consistent", String::new()),
            Some((kind, message)) => (false, kind.text(), message),
        };
        let all = [
            ("Ready", ready),
            ("Exhausted", exhausted),
            ("Paused", paused),
            ("Consistent", consistent),
        ];
        all.into_iter()
            .map(|(type_, (status, reason, message))| NewCondition {
                type_,
                status,
                reason,
                message,
            })
            .collect()
    }

    /// What a pool that is being deleted waits for (R5).
    fn what_holds_it(&self) -> String {
        let objects = self.addresses.iter().take(5);
        let names: Vec<String> = objects
            .map(|(key, record)| {
                let goes = if self.goes_by_itself(key, record) {
                    let twice = self.config.audit_interval;
                    format!(" (deleted already, goes by itself once that claim has been missing for {twice:#})")
                } else {
                    String::new()
                };
                format!("{key} of claim {}{goes}", record.claim)
            })
            .collect();
        let key = &self.key;
        if !names.is_empty() {
            let more = if self.addresses.len() > names.len() {
                " and others"
            } else {
                ""
            };
            return format!(
                "pool {key} is being deleted and waits until these are gone: {}{more}; delete the claims, and their objects go with them, and the objects whose claims do not exist",
                names.join(", ")
            );
        }
        if !self.unsettled.is_empty() {
            return format!("pool {key} is being deleted and waits for the answer to a create");
        }
        match &self.ippool.refusal {
            Some(words) => format!(
                "pool {key} is being deleted, and the API server refuses to take its finalizer off: {words}"
            ),
            None => format!("pool {key} is being deleted"),
        }
    }

    /// The one write that a paused pool gets (P1).
    pub(super) fn paused_status(&self) -> Option<Map<String, Value>> {
        let pool = self.ippool.record.as_ref()?;
        let new = self
            .conditions()
            .into_iter()
            .find(|v| v.type_ == "Paused")?;
        let (changed, conditions) = self.merged(vec![new], &pool.status.conditions);
        changed.then(|| Map::from_iter([("conditions".to_owned(), json!(conditions))]))
    }

    fn merged(
        &self,
        conditions: Vec<NewCondition>,
        stored: &[Condition],
    ) -> (bool, Vec<Condition>) {
        let generation = self.observed_generation().unwrap_or(0);
        let mut list = stored.to_vec();
        let mut changed = false;
        for new in conditions {
            let NewCondition {
                type_,
                status,
                reason,
                message,
            } = new;
            let before = list.iter().find(|c| c.type_ == type_);
            let new = condition(
                before, type_, status, reason, message, generation, self.wall,
            );
            let dropped = &self.ippool.status.dropped;
            changed |= match before {
                Some(before) => !dropped.are_alike(before, &new),
                None => !dropped.has("conditions"),
            };
            list = with_condition(&list, new);
        }
        (changed, list)
    }

    /// What differs from the stored status, as a merge patch; `None`: nothing that the server keeps. With it whether `indexes` are
    /// complete.
    pub(super) fn status_patch(&self) -> (Option<Map<String, Value>>, NewCondition) {
        let indexes = self.indexes();
        let completeness = indexes_condition(indexes.is_some());
        (
            self.patch_with(indexes.as_ref(), completeness.clone()),
            completeness,
        )
    }

    fn patch_with(
        &self,
        indexes: Option<&BTreeMap<&str, IpAddr>>,
        completeness: NewCondition,
    ) -> Option<Map<String, Value>> {
        let pool = self.ippool.record.as_ref()?;
        let stored = &pool.status;
        let mut patch = Map::new();
        match indexes {
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
        let mut set = |field: &str, value: Option<i64>, stored: Option<i64>| {
            if stored != value {
                patch.insert(field.to_owned(), value.into());
            }
        };
        let waiting = self.counts.waiting_in_vain();
        for (field, number, stored) in [
            ("capacity", numbers.capacity, stored.capacity),
            ("allocated", numbers.allocated, stored.allocated),
            ("available", numbers.available, stored.available),
            ("reserved", numbers.reserved, stored.reserved),
            ("outOfRange", numbers.outside.into(), stored.out_of_range),
            ("waitingClaims", waiting.into(), stored.waiting_claims),
        ] {
            set(field, Some(count(number)), stored);
        }
        let available = i64::try_from(numbers.available).ok();
        set("availableIPCount", available, stored.available_ip_count);
        set("utilization", numbers.utilization(), stored.utilization);
        match (overflow, stored.capacity_overflow) {
            (true, Some(true)) | (false, None) => {}
            (true, _) => {
                patch.insert("capacityOverflow".to_owned(), true.into());
            }
            (false, Some(_)) => {
                patch.insert("capacityOverflow".to_owned(), Value::Null);
            }
        }
        let dropped = &self.ippool.status.dropped;
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
        let mut conditions = self.conditions();
        conditions.push(completeness);
        let (changed, conditions) = self.merged(conditions, &stored.conditions);
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
        if self.counts.with_objects > 2 * MOST_ENTRIES as u64 {
            return None;
        }
        let mut indexes = BTreeMap::new();
        let mut room = IndexesRoom::default();
        // Metal3's kind comes first in the order of keys.
        for (key, case) in &self.cases {
            let Some(addr) = self
                .address_for_indexes(key, case)
                .filter(|_| !key.name.is_empty())
            else {
                continue;
            };
            if indexes.contains_key(&*key.name) {
                continue;
            }
            indexes.insert(&*key.name, addr);
            if !room.takes(&key.name, addr) {
                return None;
            }
        }
        Some(indexes)
    }

    /// The address that `indexes` have for a case: that of the published object; of a missing one the address that is held for it, which a new
    /// process may know from here alone (A2); else that of the oldest object.
    fn address_for_indexes(&self, key: &ClaimKey, case: &Case) -> Option<IpAddr> {
        let published = case.claim.as_deref().and_then(|c| c.published.as_ref());
        let objects = self.objects(key, case);
        let readable = objects.filter_map(|(k, o)| Some((k, o, o.address.as_ref().ok()?)));
        let first = readable
            .min_by_key(|(k, o, _)| (published != Some(&k.name), o.created, k.name.clone()));
        let (is_published, addr) = match first {
            Some((k, _, addr)) => (published == Some(&k.name), Some(*addr)),
            None => (false, None),
        };
        let missing = self.shown.address(key).filter(|_| !is_published);
        missing.or(addr)
    }
}

/// Whether `indexes` name every address, which is known when they are written.
fn indexes_condition(complete: bool) -> NewCondition {
    let (reason, message) = if complete {
        ("Complete", String::new())
    } else {
        let message = format!(
            "more than {MOST_ENTRIES} entries or {MOST_BYTES} bytes: indexes is left out; list the address objects"
        );
        ("TooLarge", message)
    };
    NewCondition {
        type_: "IndexesComplete",
        status: complete,
        reason,
        message,
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
