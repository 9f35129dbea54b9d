//! Answers. The object of a definite one is taken in like any object seen or gone, unless the watch has shown more of it; of
//! the others only what they say is certain is used.

use std::net::IpAddr;

use jiff::SignedDuration;

use crate::api::{Address, AddressKey, Claim, ClaimKey, Uid};

use super::case::{AttemptState, Refused};
use super::input::{Freshness, Object, Outcome, Refusal, Reread, Scope};
use super::machine::{Pool, Purpose, Sent};
use super::record::Course;
use super::request::{ClaimStatus, Decision, Effect, RequestId};
use super::space::Holder;
use super::time::{Backoff, Failure, later};

/// Time for which nothing is created in a namespace that refused a create because it is being deleted.
const TERMINATING: SignedDuration = SignedDuration::from_mins(1);

/// What was written to a claim.
enum ClaimWrite {
    /// Its finalizers; the text follows "the API server refused" in a message.
    Finalizer(&'static str),
    /// Its status; with its address when that is what was written.
    Status(Option<IpAddr>),
}

impl Pool {
    pub(super) fn answered(&mut self, id: RequestId, outcome: Outcome) {
        let Some(purpose) = self.flights.remove(&id) else {
            return;
        };
        match purpose {
            Purpose::Meta(uid) => {
                self.ippool.flight = None;
                self.answered_pool(&uid, outcome, false);
            }
            Purpose::Status(uid, sent) => {
                self.ippool.flight = None;
                if let Outcome::Stored(Object::Pool { object, .. }, _) = &outcome {
                    let stored = serde_json::to_value(&object.status).unwrap_or_default();
                    self.ippool.status.dropped.learn_pool(&sent, &stored);
                }
                self.answered_pool(&uid, outcome, true);
            }
            Purpose::Cluster(name) => {
                self.ippool.flight = None;
                self.answered_cluster(&name, outcome);
            }
            Purpose::Case(key, sent) => {
                if let Some(case) = self.cases.get_mut(&key) {
                    case.flight = None;
                }
                self.queue.mark(&key);
                match sent {
                    Sent::AddFinalizer(uid) => self.answered_claim(
                        &key,
                        &uid,
                        &ClaimWrite::Finalizer("our finalizer on this claim"),
                        outcome,
                    ),
                    Sent::RemoveFinalizer(uid) => self.answered_claim(
                        &key,
                        &uid,
                        &ClaimWrite::Finalizer("to take our finalizer off this claim"),
                        outcome,
                    ),
                    Sent::Status(uid, addr, status) => {
                        let stored = match &outcome {
                            Outcome::Stored(Object::Claim { claim, .. }, _) => Some(&**claim),
                            _ => None,
                        };
                        self.learn_claim(&key, &status, stored);
                        let lost = matches!(outcome, Outcome::Unknown { .. });
                        self.answered_claim(&key, &uid, &ClaimWrite::Status(addr), outcome);
                        if let Some(case) = self.cases.get_mut(&key)
                            && !lost
                        {
                            case.showing = None;
                        }
                    }
                    Sent::Create => self.answered_create(&key, outcome),
                    Sent::ReadName(name) => self.answered_name(&key, &name, outcome),
                    Sent::Address(object, uid) => {
                        self.answered_address(&key, &object, &uid, outcome);
                    }
                    Sent::Confirm => self.answered_confirm(&key, outcome),
                }
            }
        }
    }

    /// Takes in the object of an answer, if nothing newer of it is known.
    fn take_in(&mut self, object: Object, freshness: Freshness) {
        match freshness {
            Freshness::Newest => self.seen(object),
            Freshness::Outdated => {}
        }
    }

    // --- the pool

    fn answered_pool(&mut self, uid: &Uid, outcome: Outcome, status: bool) {
        let version = self.ippool.record.as_ref().map(|p| p.version.clone());
        match outcome {
            Outcome::Stored(pool @ Object::Pool { .. }, freshness) => {
                self.pool_backoff(status).reset();
                if !status {
                    self.ippool.refusal = None;
                }
                self.take_in(pool, freshness);
            }
            Outcome::Conflict(Reread::Found(pool @ Object::Pool { .. }, freshness)) => {
                self.take_in(pool, freshness);
                if self.ippool.record.as_ref().map(|p| p.version.clone()) == version {
                    self.pool_failed(status, Failure::Lost, "the pool changed meanwhile");
                }
                self.ippool.status.dirty = true;
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => self.pool_gone(uid),
            Outcome::Refused { message, .. } => {
                self.pool_failed(status, Failure::Refused, &message);
                if !status {
                    self.ippool.refusal = Some(message.chars().take(1024).collect());
                    self.ippool.status.dirty = true;
                }
            }
            Outcome::NotSent { retry_after } => {
                self.pool_failed(status, Failure::NotSent(retry_after), "it was not sent");
            }
            Outcome::Unknown { message } => self.pool_failed(status, Failure::Lost, &message),
            Outcome::Conflict(Reread::Unread | Reread::Found(..))
            | Outcome::Stored(..)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => {
                self.pool_failed(status, Failure::Lost, "the pool changed meanwhile");
            }
        }
    }

    fn pool_backoff(&mut self, status: bool) -> &mut Backoff {
        if status {
            &mut self.ippool.status.backoff
        } else {
            &mut self.ippool.backoff
        }
    }

    fn pool_failed(&mut self, status: bool, failure: Failure, why: &str) {
        let now = self.now;
        if !status && !self.ippool.backoff.has_failed() {
            // Claims that wait for it say so now.
            self.mark_all();
        }
        let ippool = &mut self.ippool;
        let backoff = if status {
            ippool.status.dirty = true;
            &mut ippool.status.backoff
        } else {
            &mut ippool.backoff
        };
        backoff.fail(failure, now, &mut self.rng);
        self.decided(Decision::Retrying {
            what: format!("write pool {}", self.key),
            why: why.to_owned(),
        });
    }

    fn answered_cluster(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            // What is known comes from the watch: the answer may be older, but for what never turns back.
            Outcome::Cluster(Some(facts)) => match self.clusters.get_mut(name) {
                Some(known) if known.uid == facts.uid && facts.deleting => {
                    if !known.deleting {
                        known.deleting = true;
                        self.mark_all();
                    }
                }
                Some(known) if known.uid == facts.uid => {
                    self.ippool.backoff.reset();
                    self.ippool.checked = Some(facts.uid);
                }
                Some(_) | None => self.pool_failed(false, Failure::Lost, "the watch lags behind"),
            },
            Outcome::Cluster(None) | Outcome::Gone => {
                self.pool_failed(false, Failure::Lost, "its Cluster does not exist");
            }
            Outcome::NotSent { retry_after } => {
                self.pool_failed(false, Failure::NotSent(retry_after), "it was not sent");
            }
            Outcome::Refused { message, .. } => {
                self.pool_failed(false, Failure::Refused, &message);
            }
            Outcome::Unknown { message } => self.pool_failed(false, Failure::Lost, &message),
            Outcome::Stored(..) | Outcome::Conflict(_) | Outcome::NameTaken => {
                self.pool_failed(false, Failure::Lost, "no Cluster came back");
            }
        }
    }

    // --- a claim

    fn failed(&mut self, key: &ClaimKey, failure: Failure, what: &str, why: &str) {
        let now = self.now;
        if let Some(case) = self.cases.get_mut(key) {
            case.backoff.fail(failure, now, &mut self.rng);
        }
        self.decided(Decision::Retrying {
            what: format!("{what} of {key}"),
            why: why.to_owned(),
        });
    }

    fn succeeded(&mut self, key: &ClaimKey) {
        if let Some(case) = self.cases.get_mut(key) {
            case.refusal = None;
            case.backoff.reset();
        }
    }

    /// A write of this case was refused: its claim is to say so (U1).
    fn refused_write(&mut self, key: &ClaimKey, what: &'static str, message: &str) {
        if let Some(case) = self.cases.get_mut(key) {
            case.refusal = Some(Box::new(Refused {
                what,
                message: message.chars().take(1024).collect(),
                explained: false,
            }));
        }
    }

    /// The claim's own object came or went with an answer to a patch of it.
    fn answered_claim(&mut self, key: &ClaimKey, uid: &Uid, write: &ClaimWrite, outcome: Outcome) {
        let what = "write";
        match outcome {
            Outcome::Stored(Object::Claim { claim, scope }, freshness) => {
                // A status that explains a refused write does not hasten the next try.
                let explains = self.cases.get(key).is_some_and(|c| c.refusal.is_some());
                if !(explains && matches!(write, ClaimWrite::Status(None))) {
                    self.succeeded(key);
                }
                let created = claim.meta.created();
                self.take_in(Object::Claim { claim, scope }, freshness);
                if let ClaimWrite::Status(Some(address)) = *write {
                    self.decided(Decision::Bound {
                        claim: key.clone(),
                        address,
                        created,
                    });
                }
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                self.succeeded(key);
                self.claim_gone(key, uid);
            }
            Outcome::Conflict(Reread::Found(claim @ Object::Claim { .. }, freshness)) => {
                let version = self.claim_version(key);
                self.take_in(claim, freshness);
                if self.claim_version(key) == version {
                    self.failed(key, Failure::Lost, what, "it changed meanwhile");
                }
            }
            Outcome::Refused { message, .. } => {
                self.failed(key, Failure::Refused, what, &message);
                if let ClaimWrite::Finalizer(what) = *write {
                    self.refused_write(key, what, &message);
                    if self.doubt(key).is_none() {
                        // Nothing was created: another claim may have the address meanwhile (A12).
                        self.drop_attempt(key);
                    }
                }
            }
            Outcome::NotSent { retry_after } => {
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Unknown { message } => self.failed(key, Failure::Lost, what, &message),
            Outcome::Conflict(Reread::Unread | Reread::Found(..))
            | Outcome::Stored(..)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => self.failed(key, Failure::Lost, what, "it changed meanwhile"),
        }
    }

    /// What the server has kept of a status that was written; `None` when it is not known whether it was written.
    fn learn_claim(&mut self, key: &ClaimKey, sent: &ClaimStatus, stored: Option<&Claim>) {
        let fields = self.fields.entry(key.kind).or_default();
        let before = (fields.dropped.clone(), fields.are_known);
        let asked = fields.asked_by.take_if(|by| by == key).is_some();
        if let Some(stored) = stored {
            fields.dropped.learn_claim(sent, stored);
            fields.are_known |= sent.conditions.is_some();
        }
        if asked || before != (fields.dropped.clone(), fields.are_known) {
            self.mark_all();
        }
    }

    fn claim_version(&self, key: &ClaimKey) -> Option<std::sync::Arc<str>> {
        let claim = self.cases.get(key)?.claim.as_deref()?;
        Some(claim.version.clone())
    }

    fn answered_confirm(&mut self, key: &ClaimKey, outcome: Outcome) {
        let what = "read";
        match outcome {
            Outcome::Gone => self.confirm_gone(key),
            Outcome::Stored(Object::Claim { claim, scope }, freshness) => {
                self.confirm_claim(key, claim, scope, freshness);
            }
            Outcome::Refused { message, .. } => self.failed(key, Failure::Refused, what, &message),
            Outcome::NotSent { retry_after } => {
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Unknown { message } => self.failed(key, Failure::Lost, what, &message),
            Outcome::Stored(..)
            | Outcome::Conflict(_)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => self.failed(key, Failure::Lost, what, "no claim came back"),
        }
    }

    /// There is such a claim after all; one that leads to another pool is none of ours.
    fn confirm_claim(
        &mut self,
        key: &ClaimKey,
        claim: Box<Claim>,
        scope: Scope,
        freshness: Freshness,
    ) {
        if claim.pool_key() != self.key || claim.fault.is_some() {
            self.confirm_gone(key);
            return;
        }
        self.take_in(Object::Claim { claim, scope }, freshness);
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

    // --- a create

    fn answered_create(&mut self, key: &ClaimKey, outcome: Outcome) {
        let what = "create the address object";
        let doubt = self.doubt(key);
        // Back to where it was before this create was sent.
        let undone = doubt.map_or(AttemptState::Planned, |since| AttemptState::Unanswered {
            since,
        });
        match outcome {
            Outcome::Stored(Object::Address { address, scope }, freshness) => {
                self.succeeded(key);
                self.created(key, address, scope, freshness);
            }
            Outcome::NameTaken => {
                self.succeeded(key);
                if let Some(name) = self.attempt_name(key) {
                    self.effect(Effect::WatchName(name));
                }
                self.set_attempt(key, AttemptState::Taken { freed: false });
            }
            Outcome::Unknown { message } => {
                let since = self.now;
                self.set_attempt(key, AttemptState::Unanswered { since });
                self.failed(key, Failure::Lost, what, &message);
            }
            Outcome::NotSent { retry_after } => {
                self.set_attempt(key, undone);
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Refused { refusal, message } => {
                self.failed(key, Failure::Refused, what, &message);
                self.create_refused(key, refusal, &message);
            }
            Outcome::Gone => {
                let message = "the namespace does not exist".to_owned();
                self.failed(key, Failure::Refused, what, &message);
                self.create_refused(key, Refusal::Other, &message);
            }
            Outcome::Stored(..) | Outcome::Conflict(_) | Outcome::Cluster(_) => {
                self.set_attempt(key, undone);
                self.failed(key, Failure::Lost, what, "no address object came back");
            }
        }
    }

    /// The object exists: it holds the address from now on, not the attempt.
    fn created(
        &mut self,
        key: &ClaimKey,
        address: Box<Address>,
        scope: Scope,
        freshness: Freshness,
    ) {
        if let Ok(address) = address.address {
            self.decided(Decision::Allocated {
                claim: key.clone(),
                address,
            });
        }
        let object = address.key();
        self.take_in(Object::Address { address, scope }, freshness);
        if let Some(case) = self.cases.get_mut(key) {
            case.vanished = None;
            case.refusal = None;
            if case.claim.is_none()
                && let Some(record) = self.addresses.get_mut(&object)
            {
                // The claim vanished while its create was under way (R1). kube-apiserver lets that happen to a claim with
                // our finalizer: a DELETE that has found no finalizer yet removes what it finds at the end.
                record.course = Course::Goes;
                case.confirmed = false;
            }
        }
        self.drop_attempt(key);
    }

    fn create_refused(&mut self, key: &ClaimKey, refusal: Refusal, message: &str) {
        match refusal {
            Refusal::NamespaceTerminating => {
                let first = !self.is_terminating();
                self.terminating_until = Some(later(self.now, TERMINATING));
                if first {
                    self.mark_all();
                }
            }
            Refusal::Forbidden | Refusal::Invalid | Refusal::Other => {
                self.refused_write(key, "the address object", message);
            }
        }
        if let Some(since) = self.doubt(key) {
            // An earlier one may have been carried out: that it is refused now says nothing about it.
            self.set_attempt(key, AttemptState::Barred { since });
        } else if self.cases.get(key).is_some_and(|c| c.vanished.is_some()) {
            self.set_attempt(key, AttemptState::Planned);
        } else {
            // Somebody else may have more luck with the address meanwhile.
            self.drop_attempt(key);
        }
    }

    /// Whose object has the name that we asked for (A12).
    fn answered_name(&mut self, key: &ClaimKey, name: &AddressKey, outcome: Outcome) {
        let what = "read the address object";
        match outcome {
            Outcome::Stored(Object::Address { address, scope }, freshness) => {
                self.succeeded(key);
                self.name_read(key, name, address, scope, freshness);
            }
            Outcome::Gone => {
                self.succeeded(key);
                self.effect(Effect::ForgetName(name.clone()));
                self.set_attempt(key, AttemptState::Planned);
            }
            Outcome::Refused { message, .. } => self.failed(key, Failure::Refused, what, &message),
            Outcome::NotSent { retry_after } => {
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Unknown { message } => self.failed(key, Failure::Lost, what, &message),
            Outcome::Stored(..)
            | Outcome::Conflict(_)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => self.failed(key, Failure::Lost, what, "no object came back"),
        }
    }

    fn name_read(
        &mut self,
        key: &ClaimKey,
        name: &AddressKey,
        address: Box<Address>,
        scope: Scope,
        freshness: Freshness,
    ) {
        let attempt = self.cases.get(key).and_then(|c| c.attempt.as_deref());
        let Some((addr, state)) = attempt.map(|a| (a.address, a.state)) else {
            return;
        };
        if state == (AttemptState::Taken { freed: true }) {
            // It went while it was read; asked again.
            self.set_attempt(key, AttemptState::Taken { freed: false });
            return;
        }
        let here = address.pool_key() == self.key;
        if here && address.claim == key.name {
            self.effect(Effect::ForgetName(name.clone()));
            self.created(key, address, scope, freshness);
            return;
        }
        self.take_in(Object::Address { address, scope }, freshness);
        self.foreign.insert(name.clone(), addr);
        self.space.hold(addr, Holder::Foreign(name.clone()));
        self.report_foreign(name, Some(addr));
        self.drop_attempt(key);
    }

    // --- an address object

    fn answered_address(
        &mut self,
        key: &ClaimKey,
        object: &AddressKey,
        uid: &Uid,
        outcome: Outcome,
    ) {
        let what = "write the address object";
        match outcome {
            Outcome::Stored(address @ Object::Address { .. }, freshness) => {
                self.succeeded(key);
                self.take_in(address, freshness);
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                self.succeeded(key);
                self.address_gone(object, uid);
                self.name_freed(object);
            }
            Outcome::Conflict(Reread::Found(address @ Object::Address { .. }, freshness)) => {
                let version = self.addresses.get(object).map(|a| a.version.clone());
                self.take_in(address, freshness);
                self.spare(object, uid);
                if self.addresses.get(object).map(|a| a.version.clone()) == version {
                    self.failed(key, Failure::Lost, what, "it changed meanwhile");
                }
            }
            Outcome::Refused { message, .. } => {
                self.spare(object, uid);
                self.failed(key, Failure::Refused, what, &message);
                self.refused_write(key, "a write of the address object", &message);
            }
            Outcome::NotSent { retry_after } => {
                self.spare(object, uid);
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Unknown { message } => self.failed(key, Failure::Lost, what, &message),
            Outcome::Conflict(Reread::Unread | Reread::Found(..))
            | Outcome::Stored(..)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => self.failed(key, Failure::Lost, what, "it changed meanwhile"),
        }
    }

    /// The DELETE certainly did nothing: the object may be bound again.
    fn spare(&mut self, object: &AddressKey, uid: &Uid) {
        if let Some(record) = self.addresses.get_mut(object)
            && record.uid == *uid
            && !record.deleting
        {
            record.delete_sent = false;
        }
    }
}
