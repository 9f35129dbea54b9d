//! An address on its way to a claim: held from the moment it is chosen until its object is seen or certainly not made (R7).

use std::net::IpAddr;

use jiff::Timestamp;

use crate::api::ClaimKey;

use super::case::{Attempt, AttemptState};
use super::machine::Pool;
use super::next::{Class, Next, Step};
use super::space::Holder;

impl Pool {
    fn attempt(&mut self, key: &ClaimKey) -> Option<&mut Attempt> {
        self.cases.get_mut(key)?.some_work()?.attempt.as_deref_mut()
    }

    /// Holds an address for a claim: this one, or one that the pool's strategy chooses.
    pub(super) fn choose(&mut self, key: &ClaimKey, wanted: Option<IpAddr>) {
        self.drop_attempt(key);
        let returns = self
            .cases
            .get(key)
            .is_some_and(|c| c.work().vanished.is_some());
        let obstacle = |addr| {
            if returns {
                self.space.rival(addr, key)
            } else {
                self.space.obstacle(addr, key)
            }
        };
        let chosen = match wanted {
            Some(addr) if obstacle(addr).is_none() => {
                self.space.hold(addr, Holder::Attempt(key.clone()));
                Some(addr)
            }
            Some(_) => None,
            None => self.space.choose(key, &mut self.rng),
        };
        if let (Some(address), Some(case)) = (chosen, self.cases.get_mut(key)) {
            case.work_mut().attempt = Some(Box::new(Attempt {
                address,
                state: AttemptState::Planned,
                sent: None,
                generation: 0,
            }));
        }
        if let Some(offered) = self.queue.take_offer(key)
            && chosen != Some(offered)
        {
            self.offer_to_next(key, offered);
        }
        self.queue.mark(key);
    }

    /// Ends an attempt, whatever came of it; its hold on the address ends with it.
    pub(super) fn drop_attempt(&mut self, key: &ClaimKey) {
        self.set_attempt(key, AttemptState::Planned);
        let attempt = self
            .cases
            .get_mut(key)
            .and_then(|c| c.some_work()?.attempt.take());
        if let Some(attempt) = attempt {
            self.unhold(attempt.address, &Holder::Attempt(key.clone()));
            self.queue.mark(key);
        }
    }

    /// Moves an attempt on, and keeps count of those that may be carried out without our knowing.
    pub(super) fn set_attempt(&mut self, key: &ClaimKey, state: AttemptState) {
        let current = self.ippool.record.as_ref().map_or(0, |p| p.generation);
        let Some(attempt) = self.attempt(key) else {
            return;
        };
        let planned = AttemptState::Planned;
        let (before, after) = (attempt.state == planned, state == planned);
        attempt.state = state;
        if before && !after {
            attempt.generation = current;
            *self.unsettled.entry(current).or_default() += 1;
        } else if !before && after {
            attempt.sent = None;
            let generation = attempt.generation;
            if let Some(count) = self.unsettled.get_mut(&generation) {
                *count -= 1;
                if *count == 0 {
                    self.unsettled.remove(&generation);
                }
            }
        }
    }

    /// When the answer to the last create that may have been carried out was lost, if one was.
    pub(super) fn lost_create_at(&mut self, key: &ClaimKey) -> Option<Timestamp> {
        match self.attempt(key)?.state {
            AttemptState::Sent { lost_at } => lost_at,
            AttemptState::Unanswered { lost_at } | AttemptState::Barred { lost_at } => {
                Some(lost_at)
            }
            AttemptState::Planned | AttemptState::Reading { .. } => None,
        }
    }

    /// Drops an address that was chosen and never asked for, once the claim is not about to get it any more.
    pub(super) fn tidy_attempt(&mut self, key: &ClaimKey, next: &Next) {
        let Some(case) = self.cases.get(key) else {
            return;
        };
        let Some(attempt) = case.work().attempt.as_deref() else {
            return;
        };
        let living = case.claim.as_deref().is_some_and(|c| c.deleted.is_none());
        let bound = self.is_bound(key, case);
        let waits = case.work().backoff.until(self.now).is_some() && case.work().refusal.is_none();
        let resting = case.work().flight.is_some() || waits;
        let wanted = match next {
            Next::Do(_, Step::Choose(_) | Step::AddFinalizer | Step::Create) => true,
            Next::Do(_, _) | Next::Rest | Next::Later(_) => resting,
        };
        if attempt.state == AttemptState::Planned && !(living && wanted && !bound) {
            self.drop_attempt(key);
        }
    }

    /// A claim that was offered a free address does not take it: it is offered to the next one.
    pub(super) fn decline_offer(&mut self, key: &ClaimKey, next: &Next) {
        if matches!(next, Next::Do(Class::New, Step::Choose(_))) {
            return;
        }
        if let Some(addr) = self.queue.take_offer(key) {
            self.offer_to_next(key, addr);
        }
    }

    fn offer_to_next(&mut self, key: &ClaimKey, addr: IpAddr) {
        if self.space.of(addr).iter().any(Holder::is_live) {
            return;
        }
        if let Some(age) = self.cases.get(key).map(|case| case.age(key)) {
            self.queue.offer(addr, Some(&age));
        }
    }
}
