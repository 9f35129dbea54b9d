//! Answers. The object of a definite one is taken in like any object seen or gone, unless the watch has shown more of it; of
//! the others only what they say is certain is used. About a claim: answer_claim.rs, about an address object:
//! answer_address.rs.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::api::{ClaimKey, Kind, ResourceVersion, Uid};

use super::asked::{self, AskedMeta};
use super::case::{Case, Showing};
use super::input::{Object, Outcome, Refusal, Reread, Take};
use super::machine::{About, Flight, Pool, Purpose, Sent};
use super::request::{ClaimStatus, Decision, RequestId};
use super::time::{Failure, later};

/// While statuses of a kind are refused, an Event says so once in this time.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(1);

/// What was written to the pool object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PoolWrite {
    /// Its metadata, or the Cluster was read for it.
    Metadata,
    Status(About),
}

/// What was written to a claim.
pub(super) enum ClaimWrite {
    /// Our finalizer, put on.
    AddFinalizer,
    /// Our finalizer, taken off.
    RemoveFinalizer,
    /// Its status; with its address when that is what was written.
    Status(Option<IpAddr>),
}

impl Pool {
    pub(super) fn answered(&mut self, id: RequestId, outcome: Outcome) {
        let Some(Flight {
            purpose,
            decided_on,
        }) = self.flights.remove(&id)
        else {
            return;
        };
        let decided_on = decided_on.as_ref();
        match purpose {
            Purpose::Meta(uid, asked) => {
                self.ippool.flight = None;
                let outcome = self.judged(asked.as_deref(), outcome);
                self.answered_pool(&uid, decided_on, outcome, PoolWrite::Metadata);
            }
            Purpose::Status(uid, sent, about) => {
                self.ippool.flight = None;
                if let Outcome::Stored(Object::Pool { object, .. }, _) = &outcome {
                    let stored = serde_json::to_value(&object.status).unwrap_or_default();
                    self.ippool.status.dropped.learn_pool(&sent, &stored);
                }
                self.answered_pool(&uid, decided_on, outcome, PoolWrite::Status(about));
            }
            Purpose::Cluster(name) => {
                self.ippool.flight = None;
                self.answered_cluster(&name, outcome);
            }
            Purpose::Case(key, sent) => {
                let case = self.cases.get_mut(&key);
                if let Some(work) = case.and_then(Case::some_work) {
                    work.flight = None;
                }
                self.queue.mark(&key);
                match sent {
                    Sent::AddFinalizer(uid, asked) => {
                        let write = ClaimWrite::AddFinalizer;
                        let outcome = self.judged(asked.as_deref(), outcome);
                        self.answered_claim(&key, &uid, decided_on, &write, outcome);
                    }
                    Sent::RemoveFinalizer(uid, asked) => {
                        let write = ClaimWrite::RemoveFinalizer;
                        let outcome = self.judged(asked.as_deref(), outcome);
                        self.answered_claim(&key, &uid, decided_on, &write, outcome);
                    }
                    Sent::Status(uid, addr, status) => {
                        let stored = match &outcome {
                            Outcome::Stored(Object::Claim { claim, .. }, _) => Some(&**claim),
                            _ => None,
                        };
                        self.learn_claim(&key, &status, stored);
                        let in_doubt = self.settle_status_doubt(&key, decided_on, &outcome);
                        let outcome = self.judged_status(&status, outcome);
                        self.answered_claim(
                            &key,
                            &uid,
                            decided_on,
                            &ClaimWrite::Status(addr),
                            outcome,
                        );
                        if !in_doubt {
                            self.shows_no_other(&key);
                        }
                    }
                    Sent::Create => self.answered_create(&key, outcome),
                    Sent::ReadName(name) => self.answered_name(&key, &name, outcome),
                    Sent::ReadShown(name) => self.answered_shown(&key, &name, outcome),
                    Sent::Address(object, uid, asked) => {
                        let outcome = self.judged(asked.as_deref(), outcome);
                        self.answered_address(&key, (&object, &uid), decided_on, outcome);
                    }
                    Sent::Confirm => self.answered_confirm(&key, outcome),
                }
            }
        }
    }

    /// A write that was undone as it was stored counts as refused.
    fn judged(&mut self, asked: Option<&AskedMeta>, outcome: Outcome) -> Outcome {
        let Outcome::Stored(object, take) = outcome else {
            return outcome;
        };
        match asked.and_then(|asked| asked.undone_in(object.meta())) {
            None => Outcome::Stored(object, take),
            Some(message) => {
                self.take_in(object, take);
                Outcome::Refused {
                    refusal: Refusal::Other,
                    message,
                }
            }
        }
    }

    /// The same of the reference to the address object in a claim's status.
    fn judged_status(&mut self, asked: &ClaimStatus, outcome: Outcome) -> Outcome {
        match (outcome, &asked.published) {
            (Outcome::Stored(Object::Claim { claim, scope }, take), Some(published))
                if *published != claim.published =>
            {
                self.take_in(Object::Claim { claim, scope }, take);
                Outcome::Refused {
                    refusal: Refusal::Other,
                    message: asked::undone("status.address"),
                }
            }
            (outcome, _) => outcome,
        }
    }

    /// Notes what this answer says of writes of the claim's status whose outcome is not known here; returns whether there is one still, which
    /// may be carried out beside what is known. One that was not sent or was refused says nothing about an earlier one whose answer is
    /// lost. A version of the claim that is newer than the one that a write was decided on settles it.
    fn settle_status_doubt(
        &mut self,
        key: &ClaimKey,
        decided_on: Option<&ResourceVersion>,
        outcome: &Outcome,
    ) -> bool {
        let Some(case) = self.cases.get_mut(key) else {
            return false;
        };
        let known = case.claim.as_deref().map(|claim| claim.version.clone());
        let Some(showing) = case.some_work().and_then(|work| work.showing.as_mut()) else {
            return false;
        };
        let before = showing.doubt.take();
        let doubted = match outcome {
            // What is newer of the claim is on its way here, and says what it shows.
            Outcome::Stored(_, Take::LeaveOut)
            | Outcome::Conflict(Reread::Found(_, Take::LeaveOut))
            | Outcome::Unknown { .. } => decided_on.cloned(),
            Outcome::NotSent { .. }
            | Outcome::Withdrawn
            | Outcome::Refused { .. }
            | Outcome::Conflict(Reread::Unread | Reread::Unchanged { .. }) => before,
            Outcome::Stored(_, Take::In)
            | Outcome::Gone
            | Outcome::Conflict(Reread::Found(_, Take::In) | Reread::Gone)
            | Outcome::Cluster(_)
            | Outcome::NameTaken => None,
        };
        showing.doubt = doubted.filter(|version| Some(version) == known.as_ref());
        showing.doubt.is_some()
    }

    /// No write of the claim's status is under way any more: it shows what is known, and nothing else is held for it.
    pub(super) fn shows_no_other(&mut self, key: &ClaimKey) {
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        let shows = case.claim.as_deref().and_then(|c| c.published.clone());
        let Some(work) = case.some_work() else {
            return;
        };
        let Some(Showing { name: showing, .. }) = work.showing.take() else {
            return;
        };
        if shows.as_ref() != Some(&showing) {
            work.vanished.take_if(|kept| kept.name == showing);
            work.outlived.take_if(|kept| kept.name == showing);
            self.hold_shown(key);
            self.queue.mark(key);
        }
    }

    /// Takes in the object of an answer, if nothing newer of it is known.
    pub(super) fn take_in(&mut self, object: Object, take: Take) {
        match take {
            Take::In => self.seen(object),
            Take::LeaveOut => {}
        }
    }

    // --- the pool

    fn answered_pool(
        &mut self,
        uid: &Uid,
        decided_on: Option<&ResourceVersion>,
        outcome: Outcome,
        write: PoolWrite,
    ) {
        match (outcome, write) {
            (Outcome::Stored(pool @ Object::Pool { .. }, take), PoolWrite::Status(_)) => {
                self.ippool.status.backoff.reset();
                self.status_stored(pool, take);
            }
            (Outcome::Stored(pool @ Object::Pool { .. }, take), PoolWrite::Metadata) => {
                self.ippool.backoff.reset();
                self.ippool.refusal = None;
                self.take_in(pool, take);
            }
            (Outcome::Conflict(Reread::Found(pool @ Object::Pool { .. }, take)), write) => {
                self.take_in(pool, take);
                if self.ippool.record.as_ref().map(|p| &p.version) == decided_on {
                    self.pool_failed(write, Failure::Lost, "the pool changed meanwhile");
                }
                match write {
                    PoolWrite::Status(about) => self.ippool.status.not_written(about),
                    PoolWrite::Metadata => self.ippool.status.mark(),
                }
            }
            (Outcome::Gone | Outcome::Conflict(Reread::Gone), _) => self.pool_gone(uid),
            (
                Outcome::Refused { message, .. } | Outcome::Conflict(Reread::Unchanged { message }),
                PoolWrite::Status(_),
            ) => {
                self.pool_failed(write, Failure::Refused, &message);
                let what = format!("pool {}", self.key);
                self.status_refused(Kind::Pools, &what, &message);
            }
            (
                Outcome::Refused { message, .. } | Outcome::Conflict(Reread::Unchanged { message }),
                PoolWrite::Metadata,
            ) => self.pool_refused(&message),
            (Outcome::Withdrawn, PoolWrite::Status(about)) => self.ippool.status.withdrawn(about),
            (Outcome::Withdrawn, PoolWrite::Metadata) => {}
            (Outcome::NotSent { retry_after }, write) => {
                self.pool_failed(write, Failure::NotSent(retry_after), "it was not sent");
            }
            (Outcome::Unknown { message }, write) => {
                self.pool_failed(write, Failure::Lost, &message);
            }
            (
                Outcome::Conflict(Reread::Unread | Reread::Found(..))
                | Outcome::Stored(..)
                | Outcome::Cluster(_)
                | Outcome::NameTaken,
                write,
            ) => self.pool_failed(write, Failure::Lost, "the pool changed meanwhile"),
        }
    }

    /// A status that nothing waits for was refused. Once an hour: for as long the API server keeps the Event of it.
    pub(super) fn status_refused(&mut self, kind: Kind, what: &str, message: &str) {
        let told = self.refused_told.get(&kind);
        if told.is_some_and(|at| later(*at, TOLD_FOR) > self.now) {
            return;
        }
        self.refused_told.insert(kind, self.now);
        let message: String = message.chars().take(1024).collect();
        self.decided(Decision::StatusRefused {
            message: format!("the API server refuses the status of {what}: {message}"),
        });
    }

    /// A write of the pool's metadata was refused, or undone as it was stored.
    fn pool_refused(&mut self, message: &str) {
        self.pool_failed(PoolWrite::Metadata, Failure::Refused, message);
        self.ippool.refusal = Some(message.chars().take(1024).collect());
        self.ippool.status.mark();
    }

    fn pool_failed(&mut self, write: PoolWrite, failure: Failure, why: &str) {
        let now = self.now;
        let backoff = match write {
            PoolWrite::Status(about) => {
                self.ippool.status.not_written(about);
                &mut self.ippool.status.backoff
            }
            PoolWrite::Metadata => {
                if !self.ippool.backoff.has_failed() {
                    // Claims that wait for it say so now.
                    self.mark_all();
                }
                &mut self.ippool.backoff
            }
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
                        Arc::make_mut(known).deleting = true;
                        self.mark_all();
                    }
                }
                Some(known) if known.uid == facts.uid => {
                    // The write that follows decides whether the backoff ends.
                    self.ippool.checked = Some(facts.uid);
                }
                Some(_) | None => {
                    self.pool_failed(PoolWrite::Metadata, Failure::Lost, "the watch lags behind");
                }
            },
            Outcome::Cluster(None) | Outcome::Gone => {
                self.pool_failed(
                    PoolWrite::Metadata,
                    Failure::Lost,
                    "its Cluster does not exist",
                );
            }
            Outcome::Withdrawn => {}
            Outcome::NotSent { retry_after } => {
                self.pool_failed(
                    PoolWrite::Metadata,
                    Failure::NotSent(retry_after),
                    "it was not sent",
                );
            }
            Outcome::Refused { message, .. } => {
                self.pool_failed(PoolWrite::Metadata, Failure::Refused, &message);
            }
            Outcome::Unknown { message } => {
                self.pool_failed(PoolWrite::Metadata, Failure::Lost, &message);
            }
            Outcome::Stored(..) | Outcome::Conflict(_) | Outcome::NameTaken => {
                self.pool_failed(PoolWrite::Metadata, Failure::Lost, "no Cluster came back");
            }
        }
    }
}
