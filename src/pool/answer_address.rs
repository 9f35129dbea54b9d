//! Answers to reads and writes of an address object, its create among them (R7, A12).

use std::net::IpAddr;

use jiff::SignedDuration;

use crate::api::{Address, AddressKey, ClaimKey, ResourceVersion, Uid};

use super::case::{AttemptState, Case, ReadWhy, Tried};
use super::input::{Object, Outcome, Refusal, Reread, Scope, Take};
use super::machine::Pool;
use super::record::Course;
use super::request::{Decision, Effect};
use super::space::Holder;
use super::time::{Failure, later};

/// Time for which nothing is created in a namespace that refused a create because it is being deleted.
const TERMINATING: SignedDuration = SignedDuration::from_mins(1);

impl Pool {
    pub(super) fn answered_create(&mut self, key: &ClaimKey, outcome: Outcome) {
        let what = "create the address object";
        // Back to where it was before this create was sent.
        let undone = match self.lost_create_at(key) {
            Some(lost_at) => AttemptState::Unanswered { lost_at },
            None => AttemptState::Planned,
        };
        match outcome {
            Outcome::Stored(Object::Address { address, scope }, take) => {
                match self.stored_otherwise(key, &address) {
                    None => {
                        self.succeeded(key);
                        self.created(key, address, scope, take);
                    }
                    Some(message) => {
                        let object = address.key();
                        self.take_in(Object::Address { address, scope }, take);
                        self.goes_with_its_claim(key, &object);
                        self.failed(key, Failure::Refused, what, &message);
                        self.create_refused(key, Refusal::Other, &message);
                    }
                }
            }
            Outcome::NameTaken => {
                if let Some(name) = self.attempt_name(key) {
                    self.read_of_name(key, name, ReadWhy::NameTaken);
                }
            }
            Outcome::Unknown { message } => {
                let lost_at = self.now;
                self.set_attempt(key, AttemptState::Unanswered { lost_at });
                self.failed(key, Failure::Lost, what, &message);
                self.failed_write(key, Tried::CreateAddress, &message);
            }
            Outcome::Withdrawn => self.set_attempt(key, undone),
            Outcome::NotSent { retry_after } => {
                self.set_attempt(key, undone);
                self.failed(key, Failure::NotSent(retry_after), what, "it was not sent");
            }
            Outcome::Refused {
                refusal: Refusal::Conflict,
                message,
            } => {
                self.set_attempt(key, undone);
                self.failed(key, Failure::Lost, what, &message);
                if self.has_failed_often(key) {
                    self.create_refused(key, Refusal::Conflict, &message);
                }
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

    /// What a created object stands for is another thing than what was sent, such as a mutating webhook makes of it (U1).
    fn stored_otherwise(&self, key: &ClaimKey, stored: &Address) -> Option<String> {
        let attempt = self.cases.get(key)?.work().attempt.as_deref()?;
        let what = if stored.pool_key() != self.key {
            "pool"
        } else if stored.claim != key.name {
            "claim"
        } else if stored.address.as_ref() != Ok(&attempt.address) {
            "address"
        } else {
            return None;
        };
        Some(format!(
            "it stored {} with another {what}; a mutating webhook or policy of the cluster changes it, exempt this manager from it",
            stored.key()
        ))
    }

    /// The object exists: it holds the address from now on, not the attempt.
    pub(super) fn created(
        &mut self,
        key: &ClaimKey,
        address: Box<Address>,
        scope: Scope,
        take: Take,
    ) {
        let (object, given) = (address.key(), address.address.clone().ok());
        self.take_in(Object::Address { address, scope }, take);
        if take == Take::LeaveOut && !self.addresses.contains_key(&object) {
            self.read_of_name(key, object, ReadWhy::NewerOnItsWay);
            return;
        }
        self.made(key, &object, given);
    }

    /// The object of the attempt's name is to be read. Until then the attempt holds the address.
    fn read_of_name(&mut self, key: &ClaimKey, object: AddressKey, why: ReadWhy) {
        self.effect(Effect::WatchName(object));
        self.set_attempt(key, AttemptState::Reading { why, freed: false });
    }

    /// The object of the attempt was taken in, with the address that it was stored with.
    fn made(&mut self, key: &ClaimKey, object: &AddressKey, given: Option<IpAddr>) {
        if let Some(address) = given {
            self.decided(Decision::Allocated {
                claim: key.clone(),
                address,
            });
        }
        if let Some(case) = self.cases.get_mut(key) {
            let work = case.work_mut();
            // An answer that is older than what is known may be of an object that has vanished since.
            if self.addresses.contains_key(object) {
                work.vanished = None;
            }
            work.refusal = None;
        }
        self.goes_with_its_claim(key, object);
        self.drop_attempt(key);
    }

    /// The claim vanished while its create was under way (R1). kube-apiserver lets that happen to a claim with our finalizer: a
    /// DELETE that has found no finalizer yet removes what it finds at the end.
    fn goes_with_its_claim(&mut self, key: &ClaimKey, object: &AddressKey) {
        let Some(case) = self.cases.get_mut(key).filter(|case| case.claim.is_none()) else {
            return;
        };
        if let Some(record) = self.addresses.get_mut(object)
            && record.claim == key.name
        {
            record.course = Course::Goes;
            case.work_mut().confirmed = false;
        }
    }

    pub(super) fn create_refused(&mut self, key: &ClaimKey, refusal: Refusal, message: &str) {
        match refusal {
            Refusal::NamespaceTerminating => {
                let first = !self.is_terminating();
                self.terminating_until = Some(later(self.now, TERMINATING));
                if first {
                    self.mark_all();
                }
            }
            Refusal::Forbidden | Refusal::Invalid | Refusal::Conflict | Refusal::Other => {
                self.refused_write(key, Tried::CreateAddress, message);
            }
        }
        if let Some(lost_at) = self.lost_create_at(key) {
            // An earlier one may have been carried out: that it is refused now says nothing about it.
            self.set_attempt(key, AttemptState::Barred { lost_at });
        } else if self
            .cases
            .get(key)
            .is_some_and(|c| c.work().vanished.is_some())
        {
            self.set_attempt(key, AttemptState::Planned);
        } else {
            // Somebody else may have more luck with the address meanwhile.
            self.drop_attempt(key);
        }
    }

    /// Whose object has the name that we asked for (A12), or whether one was made (R7).
    pub(super) fn answered_name(&mut self, key: &ClaimKey, name: &AddressKey, outcome: Outcome) {
        match outcome {
            Outcome::Stored(Object::Address { address, scope }, take) => {
                self.name_read(key, name, address, scope, take);
            }
            Outcome::Gone => {
                let what = "create the address object";
                let state = self
                    .cases
                    .get(key)
                    .and_then(|c| c.work().attempt.as_deref());
                let why = match state.map(|attempt| attempt.state) {
                    Some(AttemptState::Reading { why, .. }) => Some(why),
                    Some(_) | None => None,
                };
                self.effect(Effect::ForgetName(name.clone()));
                self.set_attempt(key, AttemptState::Planned);
                match why {
                    // It was certainly not made.
                    Some(ReadWhy::AnswerLost) | None => self.succeeded(key),
                    Some(ReadWhy::NewerOnItsWay) => {
                        self.failed(key, Failure::Lost, what, "it was made, and went at once");
                    }
                    // It went meanwhile; or something in the server only says that it is there.
                    Some(ReadWhy::NameTaken) => {
                        let message = "its name was taken, and no object has it";
                        self.failed(key, Failure::Lost, what, message);
                        self.failed_write(key, Tried::CreateAddress, message);
                    }
                }
            }
            other => self.unread(key, Tried::ReadName, "read the address object", other),
        }
    }

    pub(super) fn name_read(
        &mut self,
        key: &ClaimKey,
        name: &AddressKey,
        address: Box<Address>,
        scope: Scope,
        take: Take,
    ) {
        let attempt = self
            .cases
            .get(key)
            .and_then(|c| c.work().attempt.as_deref());
        let Some((addr, state)) = attempt.map(|a| (a.address, a.state)) else {
            return;
        };
        if let AttemptState::Reading { why, freed: true } = state {
            // It went while it was read; asked again.
            self.set_attempt(key, AttemptState::Reading { why, freed: false });
            return;
        }
        let here = address.pool_key() == self.key;
        let names_claim = here && address.claim == key.name;
        let given = address.address.clone().ok();
        let holds_it = here && given == Some(addr);
        self.take_in(Object::Address { address, scope }, take);
        if names_claim && take == Take::LeaveOut && !self.addresses.contains_key(name) {
            self.read_of_name(key, name.clone(), ReadWhy::NewerOnItsWay);
            return;
        }
        if names_claim && self.is_of_use(name) {
            self.effect(Effect::ForgetName(name.clone()));
            self.succeeded(key);
            self.made(key, name, given);
            return;
        }
        if let Some(work) = self.cases.get_mut(key).and_then(Case::some_work) {
            work.refusal = None;
        }
        if holds_it {
            // The object holds the address from now on; what is newer of it is on its way here.
            if self.addresses.contains_key(name) {
                self.effect(Effect::ForgetName(name.clone()));
                self.drop_attempt(key);
            }
            return;
        }
        self.taken_names.insert(name.clone(), addr);
        self.space.hold(addr, Holder::NameTaken(name.clone()));
        self.report_taken_name(name, Some(addr));
        self.drop_attempt(key);
    }

    /// Whether the claim's status leads to an object of its own (A2).
    pub(super) fn answered_shown(&mut self, key: &ClaimKey, name: &AddressKey, outcome: Outcome) {
        let what = "read the address object that its status shows";
        match outcome {
            Outcome::Stored(Object::Address { address, scope }, take) => {
                let names_claim = address.pool_key() == self.key && address.claim == key.name;
                self.take_in(Object::Address { address, scope }, take);
                if !names_claim {
                    self.shows_nothing(key, name);
                } else if self.addresses.contains_key(name) {
                    self.succeeded(key);
                } else {
                    let why = "what is newer of it is on its way";
                    self.failed(key, Failure::Lost, what, why);
                }
            }
            Outcome::Gone => self.shows_nothing(key, name),
            other => self.unread(key, Tried::ReadShown, what, other),
        }
    }

    fn shows_nothing(&mut self, key: &ClaimKey, name: &AddressKey) {
        if let Some(case) = self.cases.get_mut(key) {
            let work = case.work_mut();
            work.shows_nothing = Some(name.name.clone());
            work.refusal = None;
        }
    }

    pub(super) fn answered_address(
        &mut self,
        key: &ClaimKey,
        (object, uid): (&AddressKey, &Uid),
        decided_on: Option<&ResourceVersion>,
        outcome: Outcome,
    ) {
        let what = "change or delete the address object";
        match outcome {
            Outcome::Stored(address @ Object::Address { .. }, take) => {
                self.came_closer(key);
                self.take_in(address, take);
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                self.came_closer(key);
                self.address_gone(object, uid);
                self.name_freed(object);
            }
            Outcome::Conflict(Reread::Found(address @ Object::Address { .. }, take)) => {
                self.take_in(address, take);
                self.spare(object, uid);
                if self.addresses.get(object).map(|a| &a.version) == decided_on {
                    self.failed(key, Failure::Lost, what, "it changed meanwhile");
                }
            }
            Outcome::Refused { message, .. } => {
                self.spare(object, uid);
                self.failed(key, Failure::Refused, what, &message);
                self.refused_write(key, Tried::WriteAddress, &message);
            }
            Outcome::Conflict(Reread::Unchanged { message }) => {
                self.spare(object, uid);
                self.failed(key, Failure::Lost, what, &message);
                if self.has_failed_often(key) {
                    self.refused_write(key, Tried::WriteAddress, &message);
                }
            }
            Outcome::Withdrawn => self.spare(object, uid),
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

    /// A write of an address object was carried out. Of a claim that has none yet it only took one away that it cannot use: what
    /// failed before may fail again, as where a webhook gives every new object one address.
    fn came_closer(&mut self, key: &ClaimKey) {
        let asks = |case: &Case| {
            let claim = case.claim.as_deref();
            claim.is_some_and(|claim| claim.deleted.is_none()) && !self.is_bound(key, case)
        };
        if !self.cases.get(key).is_some_and(asks) {
            self.succeeded(key);
        } else if let Some(work) = self.cases.get_mut(key).and_then(Case::some_work) {
            work.refusal = None;
            work.backoff.ends_pause();
        }
    }

    /// The DELETE certainly did nothing: the object may be bound again.
    pub(super) fn spare(&mut self, object: &AddressKey, uid: &Uid) {
        if let Some(record) = self.addresses.get_mut(object)
            && record.uid == *uid
            && !record.deleting
        {
            record.release_sent = false;
        }
    }
}
