//! Counts that every change keeps up to date, so that no reader walks over the claims; and the problems with the pool's
//! objects (A15).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::api::{AddressKey, ClaimKey};

use super::machine::Pool;
use super::next::Asking;
use super::problem::ProblemKind;
use super::reason::{Until, Wait, WaitState};
use super::request::Decision;
use super::space::Holder;

/// Holders that a message names.
const NAMED: usize = 5;

/// Numbers of claims and problems (see the module).
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) claims: u64,
    /// Cases with an address object.
    pub(super) with_objects: u64,
    waiting: BTreeMap<&'static str, u64>,
    problems: BTreeMap<(ProblemKind, String), String>,
    kinds: BTreeMap<ProblemKind, u64>,
    /// Rises with every change of the problems.
    pub(super) epoch: u64,
}

impl Counts {
    pub(super) fn waiting(&self) -> &BTreeMap<&'static str, u64> {
        &self.waiting
    }

    /// Claims that wait for a reason of their condition; those that are just being served are not among them.
    pub(super) fn waiting_in_vain(&self) -> u64 {
        let pending = self.waiting.get(WaitState::BeingServed.text());
        self.waiting.values().sum::<u64>() - pending.copied().unwrap_or(0)
    }

    pub(super) fn problem_kinds(&self) -> &BTreeMap<ProblemKind, u64> {
        &self.kinds
    }

    /// Kind of the most urgent problem, and the messages of the first few: one of each kind, then others.
    pub(super) fn problem_summary(&self) -> Option<(ProblemKind, String)> {
        let kind = self.problems.keys().next()?.0;
        let of_kind = |kind: &ProblemKind| self.problems.range((*kind, String::new())..).next();
        let firsts: Vec<_> = self.kinds.keys().filter_map(of_kind).collect();
        let is_first = |problem: &(_, _)| firsts.iter().any(|(key, _)| *key == problem.0);
        let others = self.problems.iter().filter(|problem| !is_first(problem));
        let all = firsts.iter().copied().chain(others);
        let named = all.take(NAMED.max(firsts.len()));
        let mut lines: Vec<&str> = named.map(|(_, message)| &**message).collect();
        if self.problems.len() > lines.len() {
            lines.push("and others");
        }
        Some((kind, lines.join("; ")))
    }

    fn count<K: Ord + Copy>(map: &mut BTreeMap<K, u64>, key: K, up: bool) {
        let count = map.entry(key).or_default();
        if up {
            *count += 1;
        } else {
            *count = count.saturating_sub(1);
            if *count == 0 {
                map.remove(&key);
            }
        }
    }
}

impl Pool {
    /// Takes over why a claim has no address: counts it, and puts it where what it waits for wakes it.
    pub(super) fn note_wait(&mut self, key: &ClaimKey, asking: Option<&Asking>) {
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        let age = case.age(key);
        let before = case.work().wait.as_deref().map(|w| (w.state, w.until));
        let after = asking.map(|asking| (asking.state(), asking.until()));
        if before == after {
            return;
        }
        let (since, told) = match (case.some_work().and_then(|w| w.wait.take()), after) {
            (Some(wait), Some((state, _))) if wait.state == state => (wait.since, wait.told),
            (Some(_) | None, _) => (self.now, None),
        };
        if let Some((state, until)) = before {
            self.queue.unwait(until, &age);
            Counts::count(&mut self.counts.waiting, state.text(), false);
        }
        if let Some((state, until)) = after {
            case.work_mut().wait = Some(Box::new(Wait {
                state,
                until,
                since,
                told,
            }));
            if until != Until::Change {
                self.queue.wait(until, age);
            }
            Counts::count(&mut self.counts.waiting, state.text(), true);
        }
    }

    /// Every consistency problem: its kind and its message.
    pub fn problems(&self) -> impl Iterator<Item = (ProblemKind, &str)> {
        self.counts
            .problems
            .iter()
            .map(|((kind, _), message)| (*kind, &**message))
    }

    /// Sets or removes one problem; tells when it appears and when it goes, not when its message changes.
    fn set_problem(&mut self, kind: ProblemKind, subject: String, message: Option<String>) {
        let key = (kind, subject);
        if self.counts.problems.get(&key) == message.as_ref() {
            return;
        }
        self.counts.epoch += 1;
        match message {
            Some(message) => {
                let before = self.counts.problems.insert(key, message.clone());
                if before.is_none() {
                    Counts::count(&mut self.counts.kinds, kind, true);
                    self.decided(Decision::Problem { kind, message });
                }
            }
            None => {
                if let Some(message) = self.counts.problems.remove(&key) {
                    Counts::count(&mut self.counts.kinds, kind, false);
                    self.decided(Decision::Repaired { kind, message });
                }
            }
        }
    }

    pub(super) fn check_duplicate(&mut self, addr: IpAddr) {
        let known = (ProblemKind::DuplicateAddress, addr.to_string());
        let duplicate = self.space.duplicates().contains(&addr);
        if !duplicate && !self.counts.problems.contains_key(&known) {
            return;
        }
        let message = duplicate.then(|| {
            let holders = self.space.of(addr).iter();
            let holders = holders.filter(|h| matches!(h, Holder::Object(_)));
            // Sorted, so that a restart writes the same message.
            let mut holders: Vec<String> = holders.map(|h| self.describe(h)).collect();
            holders.sort();
            holders.truncate(NAMED);
            let holders = holders.join(" and ");
            format!("{addr} is held by {holders}: delete the claims or objects whose machines do not use it")
        });
        self.set_problem(ProblemKind::DuplicateAddress, known.1, message);
    }

    pub(super) fn check_several(&mut self, claim: &ClaimKey) {
        let Some(case) = self.cases.get(claim) else {
            return;
        };
        let several = case.objects.len() > 1 && case.claim.is_some();
        let message = several.then(|| {
            let mut names: Vec<&str> = case.objects.iter().map(|n| &**n).collect();
            names.sort_unstable();
            names.truncate(NAMED);
            let names = names.join(", ");
            format!(
                "{claim} is named by several objects, {names}: delete those that its status does not show; one that is deleted already goes \
                 once others' finalizers are off it"
            )
        });
        if message.is_some()
            || self
                .counts
                .kinds
                .contains_key(&ProblemKind::SeveralAddresses)
        {
            self.set_problem(ProblemKind::SeveralAddresses, claim.to_string(), message);
        }
    }

    pub(super) fn report_taken_name(&mut self, key: &AddressKey, addr: Option<IpAddr>) {
        // The message of claims that wait for any address names the first.
        if self
            .taken_names
            .keys()
            .next()
            .is_none_or(|first| key <= first)
        {
            self.queue.mark_waiting_for_any();
        }
        let message = addr.map(|addr| {
            format!("{addr} cannot be given out while {key}, which is not of its claim, has the name: delete that object or its claim")
        });
        self.set_problem(ProblemKind::NameTaken, key.to_string(), message);
    }

    pub(super) fn report_unreadable(&mut self, key: &AddressKey) {
        let text = self.addresses.get(key).map(|a| a.address.clone());
        if let Some(Err(text)) = text {
            let message = format!(
                "{key} has no address, {text:?} is none: correct spec.address or delete it"
            );
            self.set_problem(ProblemKind::InvalidAddress, key.to_string(), Some(message));
        }
    }

    pub(super) fn clear_unreadable(&mut self, key: &AddressKey) {
        self.set_problem(ProblemKind::InvalidAddress, key.to_string(), None);
    }

    pub(super) fn report_edited(&mut self, claim: &ClaimKey, message: Option<String>) {
        if message.is_some() || self.counts.kinds.contains_key(&ProblemKind::AddressChanged) {
            self.set_problem(ProblemKind::AddressChanged, claim.to_string(), message);
        }
    }

    pub(super) fn report_missing(&mut self, claim: &ClaimKey, message: Option<String>) {
        if message.is_some() || self.counts.kinds.contains_key(&ProblemKind::AddressMissing) {
            self.set_problem(ProblemKind::AddressMissing, claim.to_string(), message);
        }
    }

    /// Whether objects of this claim are reported as a leak now.
    pub(super) fn is_reported_leak(&self, claim: &ClaimKey) -> bool {
        self.counts.kinds.contains_key(&ProblemKind::Leak)
            && self
                .counts
                .problems
                .contains_key(&(ProblemKind::Leak, claim.to_string()))
    }

    pub(super) fn report_leak(&mut self, claim: &ClaimKey, message: Option<String>) {
        if message.is_some() || self.counts.kinds.contains_key(&ProblemKind::Leak) {
            self.set_problem(ProblemKind::Leak, claim.to_string(), message);
        }
    }
}
