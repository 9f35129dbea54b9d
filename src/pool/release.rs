//! A claim that is being deleted: its objects first, then its own finalizer (R2, R3, R8). And objects without a claim:
//! external ones (A5), those whose claim's end was seen (R1), and leaks (R6).

use jiff::Timestamp;

use crate::api::{AddressKey, ClaimKey, ReferenceFault};

use super::bind::release_step;
use super::case::Case;
use super::config::LeakRepair;
use super::machine::Pool;
use super::next::{Class, Next, Step};
use super::record::{AddressRecord, ClaimRecord, Course};
use super::time::later;

impl Pool {
    pub(super) fn assess_release(&self, key: &ClaimKey, case: &Case, claim: &ClaimRecord) -> Next {
        let ours = key.kind.claim_finalizer();
        if claim.finalizers.has_foreign(ours) {
            return Next::Rest;
        }
        let bystander = claim.fault == Some(ReferenceFault::OtherProvider);
        if !bystander {
            for (object_key, object) in self.objects(key, case) {
                let Some(step) = release_step(&object_key, object) else {
                    continue;
                };
                return match self.grace_ends(claim) {
                    Some(end) => Next::Later(end),
                    None => Next::Do(Class::Going, step),
                };
            }
        }
        if claim.finalizers.has(ours) {
            Next::Do(Class::Going, Step::RemoveFinalizer)
        } else {
            Next::Rest
        }
    }

    /// When the grace period of a deleted claim ends, if that lies ahead (R3).
    fn grace_ends(&self, claim: &ClaimRecord) -> Option<Timestamp> {
        let pool = self.ippool.record.as_ref()?;
        if pool.deleting || self.is_terminating() {
            return None;
        }
        let end = self.when_wall_is(later(claim.deleted?, pool.terms.grace));
        (end > self.now).then_some(end)
    }

    /// Whether the server has said that the namespace is being deleted.
    pub(super) fn is_terminating(&self) -> bool {
        self.terminating_until.is_some_and(|until| until > self.now)
    }

    /// Objects that name a claim which does not exist.
    pub(super) fn assess_unclaimed(&self, key: &ClaimKey, case: &Case) -> Next {
        let going = |object: &AddressRecord| object.course == Course::Goes;
        let next = |wanted: &dyn Fn(&AddressRecord) -> bool| -> Option<Step> {
            self.objects(key, case)
                .filter(|(_, object)| wanted(object))
                .find_map(|(object_key, object): (AddressKey, _)| release_step(&object_key, object))
        };
        if let Some(step) = next(&going) {
            return if case.work().confirmed {
                Next::Do(Class::Going, step)
            } else {
                Next::Do(Class::Going, Step::Confirm)
            };
        }
        match self.leak_due(key, case, case.work().leak_seen.unwrap_or(self.now)) {
            Some(due) if due > self.now => Next::Later(due),
            Some(_) if self.leaks(key, case).any(|leak| self.may_repair(leak)) => {
                Next::Do(Class::Status, Step::Confirm)
            }
            Some(_) | None => Next::Rest,
        }
    }

    /// Objects of ours that no claim is there for, and that are not released.
    fn leaks<'a>(
        &'a self,
        key: &'a ClaimKey,
        case: &'a Case,
    ) -> impl Iterator<Item = &'a AddressRecord> {
        let ours = self.objects(key, case).map(|(_, object)| object);
        ours.filter(|object| object.is_ours_to_repair(key.kind) && object.course == Course::Stays)
    }

    /// Whether somebody has deleted this object, and our finalizer keeps it for a claim that does not exist: nobody has anything
    /// left to do.
    pub(super) fn goes_by_itself(&self, key: &AddressKey, object: &AddressRecord) -> bool {
        let claim = ClaimKey {
            kind: key.kind,
            name: object.claim.clone(),
        };
        let is_claimed = self
            .cases
            .get(&claim)
            .is_some_and(|case| case.claim.is_some());
        object.deleting && object.is_ours_to_repair(key.kind) && !is_claimed
    }

    /// Whether a leak may be released: where leaks are only reported, when somebody has deleted it.
    fn may_repair(&self, leak: &AddressRecord) -> bool {
        match self.config.leak_repair {
            LeakRepair::Auto => true,
            LeakRepair::Report => leak.deleting,
        }
    }

    /// When objects of ours without a claim are taken for leaks (R6), if there are any: two looks have agreed, and the youngest
    /// that nobody has deleted is old enough.
    fn leak_due(&self, key: &ClaimKey, case: &Case, since: Timestamp) -> Option<Timestamp> {
        self.leaks(key, case).next()?;
        let looked = later(since, self.config.audit_interval);
        let kept = self.leaks(key, case).filter(|leak| !leak.deleting);
        let Some(youngest) = kept.map(|leak| leak.created).max() else {
            return Some(looked);
        };
        let old_enough = self.when_wall_is(later(youngest, self.config.leak_min_age));
        Some(old_enough.max(looked))
    }

    /// The first look at objects of ours without a claim, and what comes of the second. A pause or a kind that is not
    /// listed ends the watch over them: it begins anew.
    pub(super) fn look_for_leaks(&mut self, key: &ClaimKey) {
        let sighted = !self.is_paused()
            && !self.is_of_another_manager()
            && self.kinds.is_synced()
            && self.is_served(key.kind);
        let Some(case) = self.cases.get(key) else {
            return;
        };
        let since = case.work().leak_seen.unwrap_or(self.now);
        let due = self
            .leak_due(key, case, since)
            .filter(|_| sighted && case.claim.is_none());
        // One that is being released is a leak until its last object is gone, once the API server has refused the release.
        let refusal = case.work().refusal.as_deref();
        let stays = sighted
            && case.claim.is_none()
            && (self.is_reported_leak(key) || refusal.is_some())
            && self.objects(key, case).any(|(_, object)| {
                object.is_ours_to_repair(key.kind) && !object.is_let_go(key.kind)
            });
        let is_leak = stays || due.is_some_and(|due| due <= self.now);
        let message = is_leak.then(|| {
            // Sorted as they are kept.
            let names: Vec<&str> = case.objects.iter().take(5).map(|name| &**name).collect();
            let why = refusal.map_or_else(String::new, |refused| format!(": {}", refused.words()));
            format!(
                "no {key} exists in pool {}, but {} is kept for it by our finalizer{why}",
                self.key,
                names.join(", ")
            )
        });
        match (self.cases.get_mut(key), due) {
            (Some(case), Some(_)) => case.work_mut().leak_seen = Some(since),
            (Some(case), None) => {
                if let Some(work) = case.some_work() {
                    work.leak_seen = None;
                }
            }
            (None, _) => {}
        }
        self.report_leak(key, message);
    }

    /// An uncached read has shown that there is no such claim: what is ours of it goes.
    pub(super) fn confirm_gone(&mut self, key: &ClaimKey) {
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        if case.claim.is_some() {
            return;
        }
        case.work_mut().confirmed = true;
        let names: Vec<_> = case.objects.iter().cloned().collect();
        for name in names {
            let kind = key.kind;
            let object = AddressKey { kind, name };
            let goes = self.addresses.get(&object).is_some_and(|found| {
                found.is_ours_to_repair(kind)
                    && (found.course == Course::Goes || self.may_repair(found))
            });
            if let Some(object) = self.addresses.get_mut(&object).filter(|_| goes) {
                object.course = Course::Goes;
            }
        }
        self.queue.mark(key);
    }
}
