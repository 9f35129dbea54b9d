//! Answers to reads and writes of a claim.

use crate::api::{Claim, ClaimKey, Kind, ReferenceFault, ResourceVersion, Uid};

use super::answer::ClaimWrite;
use super::case::{Case, Refused, Tried};
use super::dropped::ClaimFields;
use super::input::{Object, Outcome, Reread, Scope, Take};
use super::machine::Pool;
use super::reason::Reason;
use super::request::{ClaimStatus, Decision};
use super::time::Failure;

/// What of a claim failed, for the log.
const WRITE: &str = "write";

impl Pool {
    pub(super) fn failed(&mut self, key: &ClaimKey, failure: Failure, what: &str, why: &str) {
        let now = self.now;
        if let Some(case) = self.cases.get_mut(key) {
            case.work_mut().backoff.fail(failure, now, &mut self.rng);
        }
        self.decided(Decision::Retrying {
            what: format!("{what} of {key}"),
            why: why.to_owned(),
        });
    }

    /// A read for a case did not bring what it was for.
    pub(super) fn read_failed(&mut self, key: &ClaimKey, what: &str, outcome: Outcome) {
        match outcome {
            Outcome::Refused { message, .. } => self.failed(key, Failure::Refused, what, &message),
            Outcome::Withdrawn => {}
            Outcome::NotSent { retry_after } => {
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Unknown { message } => self.failed(key, Failure::Lost, what, &message),
            Outcome::Stored(..)
            | Outcome::Gone
            | Outcome::Conflict(_)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => {
                self.failed(key, Failure::Lost, what, "the answer is of another kind");
            }
        }
    }

    /// An address object that has to be known before the claim is served cannot be read: the claim waits for that, and says so (U1).
    /// `what` is read, for the log.
    pub(super) fn unread(&mut self, key: &ClaimKey, tried: Tried, what: &str, outcome: Outcome) {
        let (refusal, unknown) = match &outcome {
            Outcome::Refused { message, .. } => (Some(message.clone()), None),
            Outcome::Unknown { message } => (None, Some(message.clone())),
            Outcome::NotSent { .. }
            | Outcome::Withdrawn
            | Outcome::Stored(..)
            | Outcome::Gone
            | Outcome::Conflict(_)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => (None, None),
        };
        self.read_failed(key, what, outcome);
        if let Some(message) = refusal {
            self.refused_write(key, tried, &message);
        }
        if let Some(message) = unknown {
            self.failed_write(key, tried, &message);
        }
    }

    pub(super) fn succeeded(&mut self, key: &ClaimKey) {
        if let Some(work) = self.cases.get_mut(key).and_then(Case::some_work) {
            work.refusal = None;
            work.backoff.reset();
        }
    }

    /// A write of this case was refused: its claim is to say so (U1).
    pub(super) fn refused_write(&mut self, key: &ClaimKey, tried: Tried, message: &str) {
        self.note_refusal(key, tried, message, true);
    }

    /// Nobody knows what became of a write of this case: when that goes on its claim is to say so (U1).
    pub(super) fn failed_write(&mut self, key: &ClaimKey, tried: Tried, message: &str) {
        if self.has_failed_often(key) {
            self.note_refusal(key, tried, message, false);
        }
    }

    pub(super) fn has_failed_often(&self, key: &ClaimKey) -> bool {
        let case = self.cases.get(key);
        case.is_some_and(|case| case.work().backoff.has_failed_often())
    }

    /// The status with the claim's address was refused, or has failed often. A condition would be refused too, so only an Event
    /// says so.
    fn refused_status(&mut self, key: &ClaimKey, message: &str, definite: bool) {
        let said = |pool: &Self| {
            let refusal = pool.cases.get(key)?.work().refusal.as_deref()?;
            Some(refusal.words())
        };
        let before = said(self);
        if definite {
            self.refused_write(key, Tried::ClaimStatus, message);
        } else {
            self.failed_write(key, Tried::ClaimStatus, message);
        }
        let now = said(self);
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        let uid = case.claim.as_deref().map(|claim| claim.uid.clone());
        if let Some(refused) = case
            .some_work()
            .and_then(|work| work.refusal.as_deref_mut())
        {
            refused.explained = true;
        }
        if let (Some(message), Some(uid)) = (now.filter(|now| Some(now) != before.as_ref()), uid) {
            self.decided(Decision::Waiting {
                claim: key.clone(),
                uid,
                reason: Reason::AllocationFailed,
                message,
            });
        }
    }

    fn note_refusal(&mut self, key: &ClaimKey, tried: Tried, message: &str, definite: bool) {
        // Each try may take another name: the same refusal is to read the same, so that it is written once.
        let name = self.attempt_name(key).map(|name| name.name);
        let message = name.map_or_else(
            || message.to_owned(),
            |name| message.replace(&*name, "(its name)"),
        );
        if let Some(case) = self.cases.get_mut(key) {
            case.work_mut().refusal = Some(Box::new(Refused {
                tried,
                message: message.chars().take(1024).collect(),
                is_definite: definite,
                explained: false,
            }));
        }
    }

    /// The claim's own object came or went with an answer to a patch of it.
    pub(super) fn answered_claim(
        &mut self,
        key: &ClaimKey,
        uid: &Uid,
        decided_on: Option<&ResourceVersion>,
        write: &ClaimWrite,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Stored(Object::Claim { claim, scope }, take) => {
                // A status that explains a refused write does not hasten the next try.
                let explains = self
                    .cases
                    .get(key)
                    .is_some_and(|c| c.work().refusal.is_some());
                if !(explains && matches!(write, ClaimWrite::Status(None))) {
                    self.succeeded(key);
                }
                let created = claim.meta.created();
                self.take_in(Object::Claim { claim, scope }, take);
                if let ClaimWrite::Status(Some(address)) = *write {
                    self.decided(Decision::Bound {
                        claim: key.clone(),
                        uid: uid.clone(),
                        address,
                        created,
                    });
                }
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                self.succeeded(key);
                self.claim_gone(key, uid);
            }
            Outcome::Conflict(Reread::Found(claim @ Object::Claim { .. }, take)) => {
                self.take_in(claim, take);
                if self.claim_version(key).as_ref() == decided_on {
                    self.failed(key, Failure::Lost, WRITE, "it changed meanwhile");
                }
            }
            Outcome::Refused { message, .. } => {
                self.failed(key, Failure::Refused, WRITE, &message);
                self.refused_claim(key, write, &message);
            }
            Outcome::Conflict(Reread::Unchanged { message }) => {
                self.failed(key, Failure::Lost, WRITE, &message);
                if self.has_failed_often(key) {
                    self.refused_claim(key, write, &message);
                }
            }
            Outcome::Withdrawn => {
                let work = self.cases.get_mut(key).and_then(Case::some_work);
                let refusal = work.and_then(|work| work.refusal.as_deref_mut());
                if let (Some(refusal), ClaimWrite::Status(None)) = (refusal, write) {
                    refusal.explained = false;
                }
            }
            Outcome::NotSent { retry_after } => {
                self.failed(key, Failure::NotSent(retry_after), WRITE, "it was not sent");
            }
            Outcome::Unknown { message } => {
                self.failed(key, Failure::Lost, WRITE, &message);
                match *write {
                    ClaimWrite::AddFinalizer => {
                        self.failed_write(key, Tried::AddFinalizer, &message);
                    }
                    ClaimWrite::Status(Some(_)) => self.refused_status(key, &message, false),
                    ClaimWrite::RemoveFinalizer | ClaimWrite::Status(None) => {}
                }
            }
            Outcome::Conflict(Reread::Unread | Reread::Found(..)) => {
                self.failed(key, Failure::Lost, WRITE, "it changed meanwhile");
            }
            // No patch of a claim is answered so.
            Outcome::Stored(..) | Outcome::Cluster(_) | Outcome::NameTaken => {
                self.failed(key, Failure::Lost, WRITE, "the answer is of another kind");
            }
        }
    }

    /// A write to a claim was refused: its claim or an Event is to say so (U1).
    fn refused_claim(&mut self, key: &ClaimKey, write: &ClaimWrite, message: &str) {
        match *write {
            ClaimWrite::AddFinalizer => {
                self.refused_write(key, Tried::AddFinalizer, message);
                if self.lost_create_at(key).is_none() {
                    // Nothing was created: another claim may have the address meanwhile (A12).
                    self.drop_attempt(key);
                }
            }
            ClaimWrite::RemoveFinalizer => {
                self.refused_write(key, Tried::RemoveFinalizer, message);
            }
            ClaimWrite::Status(Some(_)) => self.refused_status(key, message, true),
            ClaimWrite::Status(None) => {
                let kind = Kind::Claims(key.kind);
                self.status_refused(kind, &key.to_string(), message);
            }
        }
    }

    /// What the server has kept of a status that was written; `None` when it is not known whether it was written.
    pub(super) fn learn_claim(
        &mut self,
        key: &ClaimKey,
        sent: &ClaimStatus,
        stored: Option<&Claim>,
    ) {
        let fields = self.fields.entry(key.kind).or_default();
        let known =
            |fields: &ClaimFields| (fields.dropped.clone(), fields.are_known, fields.is_ip_known);
        let before = known(fields);
        let asked = fields.asked_by.take_if(|by| by == key).is_some();
        if let Some(stored) = stored {
            fields.dropped.learn_claim(sent, stored);
            fields.answered(sent);
        }
        if asked || before != known(fields) {
            self.mark_all();
        }
    }

    pub(super) fn claim_version(&self, key: &ClaimKey) -> Option<ResourceVersion> {
        let claim = self.cases.get(key)?.claim.as_deref()?;
        Some(claim.version.clone())
    }

    pub(super) fn answered_confirm(&mut self, key: &ClaimKey, outcome: Outcome) {
        match outcome {
            Outcome::Gone => self.confirm_gone(key),
            Outcome::Stored(Object::Claim { claim, scope }, take) => {
                self.confirm_claim(key, claim, scope, take);
            }
            other => self.read_failed(key, "read", other),
        }
    }

    /// There is such a claim after all; one that leads to another pool is none of ours.
    pub(super) fn confirm_claim(
        &mut self,
        key: &ClaimKey,
        claim: Box<Claim>,
        scope: Scope,
        take: Take,
    ) {
        let is_served = claim.fault.is_none_or(ReferenceFault::may_be_bound);
        if claim.pool_key() != self.key || !is_served {
            self.confirm_gone(key);
            return;
        }
        self.take_in(Object::Claim { claim, scope }, take);
        let known = self.cases.get(key).is_some_and(|c| c.claim.is_some());
        if !known {
            self.failed(
                key,
                Failure::Lost,
                "read",
                "watch and read contradict each other",
            );
        }
    }
}
