//! What is to be done for a case, read off everything known. Changes nothing.
//!
//! ```text
//!   in flight, backoff, kinds, pause       wait
//!   an unanswered create                   is settled first, whatever became of the claim (R7)
//!   claim gone                             its objects: external, going, or a leak         release.rs
//!   claim deleting                         object off, finalizer off                       release.rs
//!   claim living, has an object            bound to it                                     bind.rs
//!   claim living, has none                 an address is chosen for it                     want.rs
//! ```

use jiff::{SignedDuration, Timestamp};

use crate::api::{ClaimKey, ReferenceFault};

use super::case::{AttemptState, Case, Refused};
use super::input::Scope;
use super::machine::Pool;
use super::next::{Asking, Assessment, Class, Next, Step};
use super::reason::{Final, Reason, Until, WaitState, Waiting};
use super::record::ClaimRecord;
use super::request::ClaimStatus;
use super::time::later;

/// Time after its lost answer in which a create may still be carried out. The server was asked to give up after 4 s
/// (`WRITE_SECONDS` in controller/wire.rs), and counts them from when it has the request; the rest is for the way there, on which a
/// proxy may hold a request whose connection to us is broken already. It is waited only where sending again is refused.
const LATEST_LANDING: SignedDuration = SignedDuration::from_secs(30);

impl Pool {
    pub(super) fn assess(&self, key: &ClaimKey) -> Assessment {
        let Some(case) = self.cases.get(key) else {
            return Assessment::rest();
        };
        let claim = case.claim.as_deref();
        let asks = claim.is_some_and(|claim| self.asks(key, case, claim));
        let alone = self.leaves_case_alone(case);
        let idle = |next| Assessment {
            asking: asks.then(|| {
                Asking::Counted(if alone {
                    WaitState::LeftAlone
                } else {
                    case.wait_state()
                })
            }),
            next,
        };
        if alone
            || !self.kinds.is_synced()
            || !self.is_served(key.kind)
            || case.work().flight.is_some()
        {
            return idle(Next::Rest);
        }
        if let Some(until) = case.work().backoff.until(self.now) {
            return match (claim, case.work().refusal.as_deref()) {
                (Some(claim), Some(refused)) if asks => {
                    self.refused(key, case, claim, refused, until)
                }
                (Some(claim), Some(refused)) if claim.deleted.is_some() && !is_bystander(claim) => {
                    self.release_refused(key, claim, refused, until).into()
                }
                (Some(_) | None, Some(_) | None) => idle(Next::Later(until)),
            };
        }
        if let Some(next) = self.settling(case) {
            return idle(next);
        }
        match claim {
            None => self.assess_unclaimed(key, case).into(),
            Some(claim) if claim.deleted.is_some() => self.assess_release(key, case, claim).into(),
            Some(claim) => self.assess_asking(key, case, claim),
        }
    }

    /// Whether the claim waits for an address of this pool. One of another manager's (P4) that names no pool of ours is that
    /// manager's to show.
    fn asks(&self, key: &ClaimKey, case: &Case, claim: &ClaimRecord) -> bool {
        let elsewhere = claim.scope == Scope::Another && self.ippool.record.is_none();
        claim.deleted.is_none() && !elsewhere && !is_bystander(claim) && !self.is_bound(key, case)
    }

    /// A living claim: one that the pool cannot serve says why, unless it has its address already, which it keeps (A2, A4).
    pub(super) fn assess_asking(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
    ) -> Assessment {
        match claim.fault {
            Some(ReferenceFault::OtherProvider) => Assessment::rest(),
            Some(fault) if !(fault.may_be_bound() && self.has_address(key, case)) => {
                match self.release_left_over(key, case) {
                    Some(step) => self.still_waiting(key, case, Next::Do(Class::Going, step)),
                    None => self.waiting(key, case, claim, Self::fault(fault)),
                }
            }
            Some(_) | None => self.assess_living(key, case, claim),
        }
    }

    /// The next step to a definite answer to a create (R7).
    fn settling(&self, case: &Case) -> Option<Next> {
        let step = match case.work().attempt.as_deref()?.state {
            AttemptState::Planned | AttemptState::Sent { .. } => return None,
            AttemptState::Unanswered { .. } if !self.is_of_another_manager() => Step::Create,
            AttemptState::Unanswered { lost_at } | AttemptState::Barred { lost_at } => {
                let safe = later(lost_at, LATEST_LANDING);
                if safe > self.now {
                    return Some(Next::Later(safe));
                }
                Step::ReadName
            }
            AttemptState::Reading { .. } => Step::ReadName,
        };
        Some(Next::Do(Class::Going, step))
    }

    /// The server refuses a write that this claim needs to get its address; the claim says so while it waits for the next try.
    fn refused(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        refused: &Refused,
        until: Timestamp,
    ) -> Assessment {
        let waiting = Waiting {
            reason: Reason::AllocationFailed,
            message: refused.words(),
            error: None,
            until: Until::Change,
        };
        let mut assessment = self.waiting(key, case, claim, waiting);
        if refused.explained || !matches!(assessment.next, Next::Do(..)) {
            assessment.next = Next::Later(until);
        }
        assessment
    }

    /// The server refuses a write that releases the address; the claim says so while it waits for the next try.
    fn release_refused(
        &self,
        key: &ClaimKey,
        claim: &ClaimRecord,
        refused: &Refused,
        until: Timestamp,
    ) -> Next {
        let reason = Reason::ReleaseFailed;
        let (word, message) = reason.in_condition(key.kind, refused.words());
        let status = ClaimStatus {
            conditions: self.conditions_with(claim, false, word, message),
            ..ClaimStatus::default()
        };
        if refused.explained || !self.is_due(key, claim, &status) {
            return Next::Later(until);
        }
        Next::Do(Class::Status, Step::Explain(reason, Box::new(status)))
    }

    pub(super) fn fault(fault: ReferenceFault) -> Waiting {
        let what = match fault {
            ReferenceFault::NoName => "spec.pool.name is empty; name a pool",
            ReferenceFault::BadName => {
                "spec.pool.name is no name that a pool can have; name a pool"
            }
            ReferenceFault::OtherNamespace => {
                "spec.pool.namespace is another namespace; a claim can ask a pool of its own namespace only"
            }
            ReferenceFault::OtherKind => "spec.pool is no IPPool of ipam.metal3.io; name one",
            ReferenceFault::OtherProvider => "spec.poolRef is another provider's pool",
        };
        Waiting {
            reason: Reason::AllocationFailed,
            message: what.to_owned(),
            error: Some((what.to_owned(), Final::Now)),
            until: Until::Change,
        }
    }
}

/// Whether the claim is of another provider's pool, and here only because it carries our finalizer (R8).
fn is_bystander(claim: &ClaimRecord) -> bool {
    claim.fault == Some(ReferenceFault::OtherProvider)
}
