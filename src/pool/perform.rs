//! One step of a case becomes a request.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::api::names::{address_name, is_object_name};
use crate::api::{AddressKey, ClaimKey, ResourceVersion};

use super::asked::AskedMeta;
use super::case::{AttemptState, Case, ReadWhy, Showing};
use super::machine::{Pool, Purpose, Sent};
use super::next::Step;
use super::reason::Reason;
use super::request::{ClaimStatus, Decision, Effect, NewAddress, Request};

impl Pool {
    pub(super) fn perform(&mut self, key: &ClaimKey, step: Step) {
        match step {
            Step::Choose(wanted) => self.choose(key, wanted),
            Step::AddFinalizer => self.send_finalizers(key, true),
            Step::RemoveFinalizer => self.send_finalizers(key, false),
            Step::Create => self.send_create(key),
            Step::ReadName => self.send_read_name(key),
            Step::ReadShown(name) => {
                let purpose = Purpose::Case(key.clone(), Sent::ReadShown(name.clone()));
                self.send(purpose, Request::ReadAddress { key: name });
            }
            Step::Publish(addr, status) => {
                // A condition that is put right, say after its kind changed its version, binds nothing anew.
                let bound = status.published.is_some().then_some(addr);
                self.send_status(key, bound, *status);
            }
            Step::Explain(reason, status) => {
                if let Some(refused) = self
                    .cases
                    .get_mut(key)
                    .and_then(|case| case.some_work()?.refusal.as_deref_mut())
                {
                    refused.explained = true;
                }
                if reason != Reason::ReleaseFailed {
                    self.tell_wait(key, reason, &status);
                }
                self.send_status(key, None, *status);
            }
            Step::CorrectOwners(object, owners) => {
                self.send_address(key, &object, |resource_version, record| {
                    Request::AddressMeta {
                        key: object.clone(),
                        uid: record.uid.clone(),
                        resource_version,
                        finalizers: None,
                        owner_references: Some(owners),
                    }
                });
            }
            Step::Delete(object) => {
                if let Some(record) = self.addresses.get_mut(&object) {
                    record.release_sent = true;
                }
                self.send_address(key, &object, |resource_version, record| {
                    Request::DeleteAddress {
                        key: object.clone(),
                        uid: record.uid.clone(),
                        resource_version,
                    }
                });
            }
            Step::RemoveAddressFinalizer(object) => {
                let ours = object.kind.address_finalizer();
                if let Some(record) = self.addresses.get_mut(&object) {
                    record.release_sent = true;
                }
                self.send_address(key, &object, |resource_version, record| {
                    Request::AddressMeta {
                        key: object.clone(),
                        uid: record.uid.clone(),
                        resource_version,
                        finalizers: Some(record.finalizers.without(ours)),
                        owner_references: None,
                    }
                });
            }
            Step::Confirm if !is_object_name(&key.name) => self.confirm_gone(key),
            Step::Confirm => {
                let request = Request::ReadClaim { key: key.clone() };
                self.send(Purpose::Case(key.clone(), Sent::Confirm), request);
            }
        }
    }

    /// Tells why a claim waits, once: not again where its status is refused and tried anew.
    fn tell_wait(&mut self, key: &ClaimKey, reason: Reason, status: &ClaimStatus) {
        let mut conditions = status.conditions.iter().flatten();
        let Some(ready) = conditions.find(|c| c.type_ == "Ready") else {
            return;
        };
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        let Some(uid) = case.claim.as_ref().map(|claim| claim.uid.clone()) else {
            return;
        };
        if let Some(wait) = case.some_work().and_then(|work| work.wait.as_deref_mut()) {
            let mut hasher = DefaultHasher::new();
            (&uid, &ready.message).hash(&mut hasher);
            let now = Some(hasher.finish());
            if std::mem::replace(&mut wait.told, now) == now {
                return;
            }
        }
        self.decided(Decision::Waiting {
            claim: key.clone(),
            uid,
            reason,
            message: ready.message.clone(),
        });
    }

    fn send_finalizers(&mut self, key: &ClaimKey, on: bool) {
        let Some(claim) = self.cases.get(key).and_then(|c| c.claim.as_deref()) else {
            return;
        };
        let ours = key.kind.claim_finalizer();
        let request = Request::ClaimFinalizers {
            key: key.clone(),
            uid: claim.uid.clone(),
            resource_version: claim.version.clone(),
            finalizers: if on {
                claim.finalizers.with(ours)
            } else {
                claim.finalizers.without(ours)
            },
        };
        let asked = AskedMeta::of(&request);
        let sent = if on {
            Sent::AddFinalizer(claim.uid.clone(), asked)
        } else {
            Sent::RemoveFinalizer(claim.uid.clone(), asked)
        };
        self.send(Purpose::Case(key.clone(), sent), request);
    }

    fn send_status(&mut self, key: &ClaimKey, addr: Option<std::net::IpAddr>, status: ClaimStatus) {
        let Some(claim) = self.cases.get(key).and_then(|c| c.claim.as_deref()) else {
            return;
        };
        let fields = self.fields.entry(key.kind).or_default();
        if status.is_explanation() && !fields.knows(&status) {
            fields.asked_by = Some(key.clone());
        }
        let mut status = status;
        if status.conditions.is_some() {
            status.old_conditions = claim.old_conditions.to_vec();
        }
        let showing = status.published.clone().flatten();
        let sent = Sent::Status(claim.uid.clone(), addr, Box::new(status.clone()));
        let request = Request::ClaimStatus {
            key: key.clone(),
            uid: claim.uid.clone(),
            resource_version: claim.version.clone(),
            status,
        };
        if let (Some(name), Some(case)) = (showing, self.cases.get_mut(key)) {
            let work = case.work_mut();
            // That of an earlier write stays: it may have been carried out.
            let doubt = work.showing.take().and_then(|showing| showing.doubt);
            work.showing = Some(Showing { name, doubt });
        }
        self.send(Purpose::Case(key.clone(), sent), request);
    }

    fn send_address(
        &mut self,
        key: &ClaimKey,
        object: &AddressKey,
        request: impl FnOnce(ResourceVersion, &super::record::AddressRecord) -> Request,
    ) {
        let Some(record) = self.addresses.get(object) else {
            return;
        };
        let request = request(record.version.clone(), record);
        let asked = AskedMeta::of(&request);
        let sent = Sent::Address(object.clone(), record.uid.clone(), asked);
        self.send(Purpose::Case(key.clone(), sent), request);
    }

    /// The name that the attempt's object has or gets.
    pub(super) fn attempt_name(&self, key: &ClaimKey) -> Option<AddressKey> {
        let case = self.cases.get(key)?;
        let attempt = case.work().attempt.as_deref()?;
        let name = match (attempt.sent.as_deref(), case.work().vanished.as_deref()) {
            (Some(sent), _) => sent.name.clone(),
            (None, Some(kept)) => kept.name.clone(),
            (None, None) => {
                let terms = &self.ippool.record.as_ref()?.terms;
                address_name(&terms.name_prefix, attempt.address).into()
            }
        };
        Some(key.object(&name))
    }

    fn new_address(&self, key: &ClaimKey) -> Option<NewAddress> {
        let case = self.cases.get(key)?;
        let attempt = case.work().attempt.as_deref()?;
        if let Some(sent) = &attempt.sent {
            return Some((**sent).clone());
        }
        let claim = case.claim.as_deref()?;
        let pool = self.ippool.record.as_ref()?;
        let address = attempt.address;
        let values = match case.work().vanished.as_deref() {
            Some(kept) => kept.values.clone(),
            None => pool.terms.values(self.space.entry_of(address), address),
        };
        Some(NewAddress {
            kind: key.kind,
            name: self.attempt_name(key)?.name,
            labels: claim.labels(),
            claim: key.name.clone(),
            claim_uid: claim.uid.clone(),
            pool_uid: pool.uid.clone(),
            address,
            prefix: values.prefix,
            gateway: values.gateway,
            dns_servers: values.dns_servers,
        })
    }

    fn send_create(&mut self, key: &ClaimKey) {
        let Some(new) = self.new_address(key) else {
            return;
        };
        let lost_at = self.lost_create_at(key);
        self.set_attempt(key, AttemptState::Sent { lost_at });
        if let Some(work) = self.cases.get_mut(key).and_then(Case::some_work) {
            work.refusal = None;
            if let Some(attempt) = work.attempt.as_deref_mut() {
                attempt.sent = Some(Box::new(new.clone()));
            }
        }
        let purpose = Purpose::Case(key.clone(), Sent::Create);
        self.send(purpose, Request::CreateAddress(Box::new(new)));
    }

    fn send_read_name(&mut self, key: &ClaimKey) {
        let Some(name) = self.attempt_name(key) else {
            return;
        };
        let state = self
            .cases
            .get(key)
            .and_then(|c| c.work().attempt.as_deref())
            .map(|a| a.state);
        let why = match state {
            Some(AttemptState::Reading { why, .. }) => why,
            Some(
                AttemptState::Planned
                | AttemptState::Sent { .. }
                | AttemptState::Unanswered { .. }
                | AttemptState::Barred { .. },
            )
            | None => {
                self.effect(Effect::WatchName(name.clone()));
                ReadWhy::AnswerLost
            }
        };
        self.set_attempt(key, AttemptState::Reading { why, freed: false });
        let purpose = Purpose::Case(key.clone(), Sent::ReadName(name.clone()));
        self.send(purpose, Request::ReadAddress { key: name });
    }
}
