//! Objects seen and gone, by the watch or by an answer.

use std::net::IpAddr;
use std::sync::Arc;

use crate::api::{Address, AddressKey, Claim, ClaimKey, ClusterFacts, Uid};

use super::case::{AttemptState, Case, Vanished};
use super::input::{Object, Scope};
use super::machine::{Pool, Purpose, Sent};
use super::record::{AddressRecord, ClaimRecord, Course};
use super::request::{Decision, Effect};
use super::space::Holder;
use super::terms::Values;

impl Pool {
    pub(super) fn cluster_seen(&mut self, facts: Arc<ClusterFacts>) {
        let known = self.clusters.get(&facts.name);
        if known == Some(&facts) {
            return;
        }
        let is_new = known.is_none_or(|known| known.uid != facts.uid);
        if is_new && self.is_of_cluster(&facts.name) {
            // What was refused for want of it, or because of the one before, is tried at once (P2).
            self.ippool.backoff.reset();
        }
        let name = facts.name.clone();
        self.clusters.insert(name.clone(), facts);
        self.mark_of_cluster(&name);
    }

    pub(super) fn cluster_gone(&mut self, name: &str) {
        if self.clusters.remove(name).is_some() {
            self.mark_of_cluster(name);
        }
    }

    fn is_of_cluster(&self, name: &str) -> bool {
        let pool = self.ippool.record.as_ref();
        pool.is_some_and(|pool| pool.terms.cluster.as_deref() == Some(name))
    }

    /// The Cluster changed: who names it looks again. A namespace may have thousands of Clusters, whose statuses change often.
    fn mark_of_cluster(&mut self, name: &str) {
        if self.is_of_cluster(name) {
            self.mark_all();
            return;
        }
        for (key, case) in &self.cases {
            let claim = case.claim.as_deref();
            if claim.is_some_and(|claim| claim.cluster.as_deref() == Some(name)) {
                self.queue.mark(key);
            }
        }
    }

    /// An object that leads to this pool, in a version that is newer than what is known of it.
    pub(super) fn seen(&mut self, object: Object) {
        match object {
            Object::Pool {
                object,
                problems,
                scope,
            } => self.pool_seen(*object, problems, scope),
            Object::Claim { claim, scope } => self.claim_seen(*claim, scope),
            Object::Address { address, scope } => self.address_seen(*address, scope),
        }
    }

    fn claim_seen(&mut self, claim: Claim, scope: Scope) {
        let key = claim.key();
        let known = self.cases.get(&key).and_then(|c| c.claim.as_deref());
        let known = known.map(|known| known.uid.clone());
        let fresh = known.as_ref() != Some(&claim.meta.uid);
        if let Some(uid) = known.filter(|_| fresh) {
            self.claim_gone(&key, &uid);
        }
        self.fields.entry(key.kind).or_default().see(&claim);
        let case = self.cases.entry(key.clone()).or_default();
        let mut record = ClaimRecord::new(claim, scope);
        if let Some(name) = &mut record.published {
            // The records share one copy of the name.
            let object = key.object(name);
            if let Some((known, _)) = self.addresses.get_key_value(&object) {
                *name = known.name.clone();
            }
        }
        let before = case.claim.take();
        if let Some(work) = case.some_work() {
            work.claim_changed(before.as_deref(), &record, fresh);
        }
        if fresh {
            for name in &case.objects {
                let object = key.object(name);
                if let Some(object) = self.addresses.get_mut(&object) {
                    object.course = Course::Stays;
                }
            }
        }
        let case = self.cases.entry(key.clone()).or_default();
        if fresh {
            self.counts.claims += 1;
            // A queue's places are by age, which is another now; what was taken out has the place in it.
            self.queue.dequeue(case);
        }
        case.claim = Some(Box::new(record));
        let mut of_write = case.some_work().filter(|work| work.flight.is_none());
        let doubt = of_write
            .as_mut()
            .and_then(|work| work.showing.as_mut()?.doubt.take());
        if doubt.is_some() {
            // Newer than what the write was decided on: it says what the status shows.
            self.shows_no_other(&key);
        }
        if fresh {
            self.check_several(&key);
        }
        self.hold_shown(&key);
        self.rivals_changed(&key);
        self.queue.mark(&key);
    }

    /// The claim is gone: what was bound to it goes too, once an uncached read confirms that there is none (R1).
    pub(super) fn claim_gone(&mut self, key: &ClaimKey, uid: &Uid) {
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        if case.claim.as_ref().is_none_or(|c| c.uid != *uid) {
            return;
        }
        self.note_wait(key, None);
        let Some(case) = self.cases.get_mut(key) else {
            return;
        };
        self.queue.dequeue(case);
        let Some(claim) = case.claim.take() else {
            return;
        };
        let (published, ours) = (claim.published, claim.scope == Scope::Ours);
        self.counts.claims -= 1;
        if let Some(work) = case.some_work() {
            work.vanished = None;
            work.outlived = None;
            work.refusal = None;
            work.showing = None;
            work.shows_nothing = None;
            work.backoff.reset();
            work.confirmed = false;
        }
        for name in &case.objects {
            let object = key.object(name);
            if let Some(object) = self.addresses.get_mut(&object) {
                let was_its = object.is_ours(key.kind) || published.as_ref() == Some(name);
                object.course = if was_its && ours {
                    Course::Goes
                } else {
                    Course::Stays
                };
            }
        }
        self.check_several(key);
        self.hold_shown(key);
        self.report_shown(key);
        self.rivals_changed(key);
        self.queue.mark(key);
    }

    fn address_seen(&mut self, address: Address, scope: Scope) {
        let key = address.key();
        let mut course = (Course::Stays, false);
        if let Some(known) = self.addresses.get(&key) {
            if known.uid == address.meta.uid {
                course = (known.course, known.release_sent);
                let claim = ClaimKey {
                    kind: key.kind,
                    name: known.claim.clone(),
                };
                if known.version != address.meta.resource_version
                    && let Some(case) = self.cases.get_mut(&claim)
                    && case.work().refusal.is_some()
                {
                    // Somebody changed it: the server may take what it refused before.
                    case.work_mut().backoff.reset();
                }
            } else {
                let uid = known.uid.clone();
                self.address_gone(&key, &uid);
            }
        }
        let mut record = Box::new(AddressRecord::new(address, scope));
        (record.course, record.release_sent) = course;
        let mut claim = ClaimKey {
            kind: key.kind,
            name: record.claim.clone(),
        };
        if let Some((known, _)) = self.cases.get_key_value(&claim) {
            // The records share one copy of the name.
            record.claim = known.name.clone();
            claim = known.clone();
        }
        let known = self.addresses.get(&key);
        let moved = known.is_none_or(|k| k.address != record.address || k.claim != record.claim);
        if moved {
            if known.is_some() {
                self.unlink(&key);
            }
            self.addresses.insert(key.clone(), record);
            self.link(&key, &claim);
            if self.taken_names.contains_key(&key) && self.is_of_use(&key) {
                // It had no address, and now it has one: what it holds is that.
                self.name_freed(&key);
            }
            // It was edited and did not vanish: nothing is to be put back.
            if let Some(work) = self.cases.get_mut(&claim).and_then(Case::some_work) {
                work.vanished.take_if(|kept| kept.name == key.name);
                work.outlived.take_if(|kept| kept.name == key.name);
            }
        } else {
            self.addresses.insert(key, record);
        }
        self.queue.mark(&claim);
    }

    pub(super) fn address_gone(&mut self, key: &AddressKey, uid: &Uid) {
        if self.addresses.get(key).is_some_and(|a| a.uid == *uid) {
            self.unlink(key);
        }
    }

    /// Puts a new object into its case and its address.
    fn link(&mut self, key: &AddressKey, claim: &ClaimKey) {
        let case = self.cases.entry(claim.clone()).or_default();
        if case.objects.is_empty() {
            self.counts.with_objects += 1;
        }
        // Sorted, so that nothing depends on the order in which they came.
        let place = case.objects.partition_point(|name| *name < key.name);
        case.objects.insert(place, key.name.clone());
        self.ippool.status.indexes_changed();
        let Some(record) = self.addresses.get(key) else {
            return;
        };
        match record.address {
            Ok(addr) => {
                self.space.hold(addr, Holder::Object(key.clone()));
                self.holders_changed(addr);
            }
            Err(_) => self.report_unreadable(key),
        }
        self.hold_shown(claim);
        self.hold_shown_object(key);
        self.check_several(claim);
    }

    /// Takes an object out of its case and its address, and forgets it.
    fn unlink(&mut self, key: &AddressKey) {
        let Some(record) = self.addresses.remove(key) else {
            return;
        };
        let claim = ClaimKey {
            kind: key.kind,
            name: record.claim.clone(),
        };
        self.remember_vanished(&claim, key, &record);
        if let Some(case) = self.cases.get_mut(&claim) {
            case.objects.retain(|name| *name != key.name);
            if case.objects.is_empty() {
                self.counts.with_objects -= 1;
            }
        }
        self.ippool.status.indexes_changed();
        // Before the object lets go of it, so that the address is never without a holder.
        self.hold_shown(&claim);
        self.hold_shown_object(key);
        match record.address {
            Ok(address) => {
                self.unhold(address, &Holder::Object(key.clone()));
                if record.release_sent {
                    let living = self.cases.get(&claim).and_then(|c| c.claim.as_ref());
                    let uid = living.map(|c| c.uid.clone());
                    self.decided(Decision::Released {
                        claim: claim.clone(),
                        uid,
                        address,
                    });
                }
            }
            Err(_) => self.clear_unreadable(key),
        }
        self.check_several(&claim);
        self.queue.mark(&claim);
        if self.addresses.is_empty() {
            self.ippool.unblocked();
        }
    }

    /// R4: the object that a living claim shows, or may show by now, vanishes. Its address is held on, so that nobody else gets it before the
    /// object is back.
    fn remember_vanished(&mut self, claim: &ClaimKey, key: &AddressKey, record: &AddressRecord) {
        let Ok(addr) = record.address else { return };
        let Some(case) = self.cases.get_mut(claim) else {
            return;
        };
        let keeps = |c: &&ClaimRecord| {
            c.deleted.is_none() || c.finalizers.has_foreign(claim.kind.claim_finalizer())
        };
        let Some(living) = case.claim.as_deref().filter(keeps) else {
            return;
        };
        // A write that shows it may be on its way, and cannot be called back.
        let shows = living.published.as_ref() == Some(&key.name)
            || case.work().showing() == Some(&key.name);
        if !shows || record.release_sent {
            return;
        }
        case.work_mut().vanished = Some(Box::new(Vanished {
            name: key.name.clone(),
            address: addr,
            values: Values {
                prefix: record.prefix,
                gateway: record.gateway,
                dns_servers: record.dns_servers.to_vec(),
            },
            moved: record.moving.then_some(self.now),
        }));
    }

    /// No object that our claims cannot use has this name any more.
    pub(super) fn free_name(&mut self, key: &AddressKey) {
        if let Some(addr) = self.taken_names.remove(key) {
            self.effect(Effect::ForgetName(key.clone()));
            self.unhold(addr, &Holder::NameTaken(key.clone()));
            self.report_taken_name(key, None);
        }
    }

    /// An object has left this name, or has become one that its claim can use.
    pub(super) fn name_freed(&mut self, key: &AddressKey) {
        self.free_name(key);
        // The name may be just being read: then the answer shows what was there before.
        let reading = self
            .flights
            .values()
            .find_map(|flight| match &flight.purpose {
                Purpose::Case(claim, Sent::ReadName(name)) if name == key => Some(claim.clone()),
                Purpose::Case(..)
                | Purpose::Meta(..)
                | Purpose::Status(..)
                | Purpose::Cluster(_) => None,
            });
        if let Some(attempt) = reading
            .and_then(|claim| self.cases.get_mut(&claim))
            .and_then(|case| case.some_work()?.attempt.as_deref_mut())
            && let AttemptState::Reading { freed, .. } = &mut attempt.state
        {
            *freed = true;
        }
    }

    /// Removes a holder and wakes who waits for that address. Who waits for any address is woken by the queue itself.
    pub(super) fn unhold(&mut self, addr: IpAddr, holder: &Holder) {
        if self.space.unhold(addr, holder) {
            self.holders_changed(addr);
            self.queue.offer(addr, None);
            if self.space.is_free_for_one_kind(addr) {
                self.queue.mark_waiting_for_any();
            }
        }
    }

    /// The holders of an address changed: claims whose objects share it may see a conflict begin or end (A4), and those that
    /// wait for it say who holds it.
    pub(super) fn holders_changed(&mut self, addr: IpAddr) {
        let objects: Vec<AddressKey> = self.space.objects_at(addr).cloned().collect();
        for key in objects {
            if let Some(record) = self.addresses.get(&key) {
                self.queue.mark(&ClaimKey {
                    kind: key.kind,
                    name: record.claim.clone(),
                });
            }
        }
        self.queue.mark_waiting_for(addr);
        self.check_duplicate(addr);
    }

    /// What a claim's status shows has changed: claims whose objects share its address look again (A4).
    fn rivals_changed(&mut self, key: &ClaimKey) {
        if self.space.duplicates().is_empty() {
            return;
        }
        let case = self.cases.get(key);
        let names = case.map(|c| c.objects.clone()).unwrap_or_default();
        for name in names {
            let object = key.object(&name);
            let addr = self.addresses.get(&object).map(|a| a.address.clone());
            if let Some(Ok(addr)) = addr
                && self.space.duplicates().contains(&addr)
            {
                self.holders_changed(addr);
            }
        }
    }
}
