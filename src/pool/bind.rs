//! A living claim and the address objects that name it (A4): which one it is bound to, and what is missing until that shows.
//!
//! An object can end in several ways, and each has its word:
//!
//! | word | which objects | who decides it |
//! | --- | --- | --- |
//! | `Course::Goes` | those of a claim whose end was seen, and confirmed leaks | seen.rs, release.rs |
//! | `release_sent` | those whose DELETE, or whose write without our finalizer, this process has sent | perform.rs |
//! | `is_let_go` | deleted ones that only others' finalizers keep | record.rs |
//! | left over | `Course::Goes` or `release_sent`, and no status shows it: of an earlier claim of this name | `is_left_over` |
//! | `Rank::Surplus` | ours, with an address that another claim's object has the better right to | `rank` |

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::names::{METAL3_GROUP, is_object_name};
use crate::api::{AddressKey, ClaimKey, ClaimKind};

use super::case::Case;
use super::machine::Pool;
use super::next::{Assessment, Class, Next, Step};
use super::reason::{Final, Reason, Until, Waiting};
use super::record::{AddressRecord, ClaimRecord, Course};
use super::space::Holder;

/// What an object that names a claim is to it.
enum Rank {
    /// The claim may be bound to it.
    Candidate,
    /// Another claim's object has its address, and this one is ours: it is released.
    Surplus,
    /// Another claim's object has its address, and this one is someone's: the claim waits until one of them goes.
    Disputed(IpAddr),
    /// On its way out, or without an address.
    Nothing,
}

impl Pool {
    pub(super) fn object<'a>(
        &'a self,
        key: &ClaimKey,
        name: &Arc<str>,
    ) -> Option<(AddressKey, &'a AddressRecord)> {
        let key = key.object(name);
        let record = self.addresses.get(&key)?;
        Some((key, record))
    }

    pub(super) fn objects<'a>(
        &'a self,
        key: &'a ClaimKey,
        case: &'a Case,
    ) -> impl Iterator<Item = (AddressKey, &'a AddressRecord)> {
        case.objects
            .iter()
            .filter_map(move |name| self.object(key, name))
    }

    /// Whether the claim's status shows an object of its own.
    pub(super) fn is_bound(&self, key: &ClaimKey, case: &Case) -> bool {
        let published = case.claim.as_deref().and_then(|c| c.published.as_ref());
        published.is_some_and(|name| {
            case.objects.contains(name)
                && self
                    .object(key, name)
                    .is_some_and(|(_, o)| o.address.is_ok())
        })
    }

    /// Whether the object is in the status of the claim that it names, or may be by now.
    fn may_be_shown(&self, key: &AddressKey, object: &AddressRecord) -> bool {
        let claim = ClaimKey {
            kind: key.kind,
            name: object.claim.clone(),
        };
        let Some(case) = self.cases.get(&claim) else {
            return false;
        };
        let shows = |claim: &ClaimRecord| claim.published.as_ref() == Some(&key.name);
        case.work().showing() == Some(&key.name) || case.claim.as_deref().is_some_and(shows)
    }

    fn is_claim_there(&self, kind: ClaimKind, name: &Arc<str>) -> bool {
        let claim = ClaimKey {
            kind,
            name: name.clone(),
        };
        let case = self.cases.get(&claim);
        case.is_some_and(|case| case.claim.is_some())
    }

    /// Whether another claim's object has the better right to this object's address (by value): one that is published, else the
    /// older, of one second that whose claim exists, then by name. Two that are both published are a duplicate that stays as it is
    /// (A15). Age comes first: a claim that led to this pool before this process began may show the older one.
    fn is_outranked(&self, key: &AddressKey, object: &AddressRecord) -> bool {
        let Ok(addr) = object.address else {
            return false;
        };
        if self.may_be_shown(key, object) {
            return false;
        }
        // Another claim shows the address and its object is missing (A2): it has the address still.
        let shows = |holder: &Holder| match holder {
            Holder::Shown(claim) => (claim.kind, &claim.name) != (key.kind, &object.claim),
            Holder::Object(_)
            | Holder::Attempt(_)
            | Holder::NameTaken(_)
            | Holder::Gateway
            | Holder::PreAllocated(_) => false,
        };
        if self.space.of(addr).iter().any(shows) {
            return true;
        }
        let precedence = |key: &AddressKey, object: &AddressRecord| {
            let is_without_claim = !self.is_claim_there(key.kind, &object.claim);
            (object.created, is_without_claim, key.name.clone(), key.kind)
        };
        self.space.objects_at(addr).any(|other_key| {
            let Some(other) = self.addresses.get(other_key) else {
                return false;
            };
            let other_claim = (other_key.kind, &other.claim);
            other_claim != (key.kind, &object.claim)
                && (self.may_be_shown(other_key, other)
                    || precedence(other_key, other) < precedence(key, object))
        })
    }

    fn rank(&self, key: &AddressKey, object: &AddressRecord) -> Rank {
        let Ok(addr) = object.address else {
            return Rank::Nothing;
        };
        if object.release_sent {
            return Rank::Nothing;
        }
        if self.is_outranked(key, object) {
            return if object.is_ours(key.kind) {
                Rank::Surplus
            } else {
                Rank::Disputed(addr)
            };
        }
        if object.is_let_go(key.kind) && !self.may_be_shown(key, object) {
            return Rank::Nothing;
        }
        Rank::Candidate
    }

    /// Whether the object says what becomes of the claim that it names: the claim is bound to it, waits for its end or releases
    /// it.
    pub(super) fn is_of_use(&self, key: &AddressKey) -> bool {
        let object = self.addresses.get(key);
        object.is_some_and(|object| !matches!(self.rank(key, object), Rank::Nothing))
    }

    /// Whether the claim has an address object that it can be bound to, or had one that comes back.
    pub(super) fn has_address(&self, key: &ClaimKey, case: &Case) -> bool {
        let stays = |(name, object): (AddressKey, &AddressRecord)| {
            matches!(self.rank(&name, object), Rank::Candidate) && !self.is_left_over(&name, object)
        };
        self.objects(key, case).any(stays) || self.returning(key, case).is_some()
    }

    /// The next step to release the objects that an earlier claim of this name left behind.
    pub(super) fn release_left_over(&self, key: &ClaimKey, case: &Case) -> Option<Step> {
        let mut objects = self.objects(key, case);
        objects.find_map(|(name, object)| {
            let step = release_step(&name, object);
            step.filter(|_| self.is_left_over(&name, object))
        })
    }

    /// Whether an object that names the claim is of an earlier claim whose end was seen, or was released, and no status shows
    /// it. One that others delete stays the claim's (A4). Under a living claim the end of an earlier one is known only of an object that
    /// somebody has edited to name this claim.
    fn is_left_over(&self, name: &AddressKey, object: &AddressRecord) -> bool {
        let released = object.release_sent || object.course == Course::Goes;
        released && !self.may_be_shown(name, object)
    }

    pub(super) fn assess_living(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
    ) -> Assessment {
        let mut disputed = None;
        let mut best: Option<(AddressKey, &AddressRecord)> = None;
        for (object_key, object) in self.objects(key, case) {
            let going = object.release_sent && !object.is_let_go(key.kind);
            let rank = self.rank(&object_key, object);
            if going || matches!(rank, Rank::Surplus) {
                // What this claim can never be bound to is brought to its end first.
                if let Some(step) = release_step(&object_key, object) {
                    return self.still_waiting(key, case, Next::Do(Class::Going, step));
                }
            }
            match rank {
                Rank::Candidate => {
                    let precedence = |key: &AddressKey, object: &AddressRecord| {
                        let shown = claim.published.as_ref() == Some(&key.name);
                        (!shown, object.created, key.name.clone())
                    };
                    let is_better = |(best_key, best): &(AddressKey, &AddressRecord)| {
                        precedence(&object_key, object) < precedence(best_key, best)
                    };
                    if best.as_ref().is_none_or(is_better) {
                        best = Some((object_key, object));
                    }
                }
                Rank::Disputed(addr) => {
                    disputed.get_or_insert((object_key, addr));
                }
                Rank::Surplus | Rank::Nothing => {}
            }
        }
        // A2: where the object that it shows was seen to vanish, its address comes back before the claim is bound to another.
        let returns = |object: &AddressRecord| {
            let addr = case
                .work()
                .vanished
                .as_ref()
                .and_then(|_| self.returning(key, case));
            let addr = addr.filter(|addr| self.space.rival(*addr, key).is_none());
            addr.is_some_and(|addr| object.address.as_ref() != Ok(&addr))
        };
        if let Some((object_key, object)) = best.filter(|(_, object)| !returns(object)) {
            return self.assess_bound(key, case, claim, &object_key, object);
        }
        // What it had comes back first (R4).
        if let Some((object_key, addr)) = disputed.filter(|_| case.work().vanished.is_none()) {
            let waiting = Waiting {
                reason: Reason::AddressConflict,
                message: format!(
                    "{object_key} names this claim, but another claim has its address {addr}; delete one of the two objects"
                ),
                error: Some((super::explain::NOT_AVAILABLE.to_owned(), Final::Later)),
                until: Until::Address(addr),
            };
            return self.waiting(key, case, claim, waiting);
        }
        self.assess_wanting(key, case, claim)
    }

    /// What is missing until the claim shows this object: its finalizer, right owners, its status.
    fn assess_bound(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        object_key: &AddressKey,
        object: &AddressRecord,
    ) -> Assessment {
        let shown = claim.published.as_ref() == Some(&object_key.name);
        if !shown && let Some(asking) = self.gate(claim) {
            return self.kept_back(key, case, claim, asking);
        }
        let pinned = claim.finalizers.has(key.kind.claim_finalizer());
        if !pinned && claim.moving {
            // The mover took it off and is about to delete the claim.
            return self.still_waiting(key, case, Next::Rest);
        }
        if !pinned {
            return self.still_waiting(key, case, Next::Do(Class::Going, Step::AddFinalizer));
        }
        if let Some(owners) = self.right_owners(key, claim, object) {
            let step = Step::CorrectOwners(object_key.clone(), owners);
            return self.still_waiting(key, case, Next::Do(Class::Going, step));
        }
        let Ok(addr) = object.address else {
            return Assessment::rest();
        };
        let status = self.binding_status(key, claim, &object_key.name, addr);
        let Some(status) = status.filter(|status| self.is_due(key, claim, status)) else {
            return Assessment::rest();
        };
        if status.published.is_some()
            && let Some(unseen) = self.shown_and_unseen(key, case, claim)
        {
            let step = Step::ReadShown(unseen);
            return self.still_waiting(key, case, Next::Do(Class::Going, step));
        }
        // What only puts a condition or an error text right comes after claims that have no address yet.
        let class = if status.published.is_some() {
            Class::Going
        } else {
            Class::Status
        };
        let step = Step::Publish(addr, Box::new(status));
        self.still_waiting(key, case, Next::Do(class, step))
    }

    /// The object that the claim shows, when nothing is known of it: another leader may have made it, and the watch has not shown
    /// it yet.
    pub(super) fn shown_and_unseen(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
    ) -> Option<AddressKey> {
        // One that no object can have is asked for in vain.
        let name = claim
            .published
            .as_ref()
            .filter(|name| is_object_name(name))?;
        let work = case.work();
        let vanished = work.vanished.as_deref().map(|kept| &kept.name);
        let outlived = work.outlived.as_deref().map(|kept| &kept.name);
        if [vanished, outlived, work.shows_nothing.as_ref()].contains(&Some(name)) {
            return None;
        }
        let object = key.object(name);
        let is_known =
            self.addresses.contains_key(&object) || self.taken_names.contains_key(&object);
        (!is_known).then_some(object)
    }

    /// The owner references as they shall stand; `None` when they are right (P3: then nothing is written). Only the UID of
    /// a reference that names our claim or our pool is ever corrected.
    fn right_owners(
        &self,
        key: &ClaimKey,
        claim: &ClaimRecord,
        object: &AddressRecord,
    ) -> Option<Vec<OwnerReference>> {
        let pool = self.ippool.record.as_ref()?;
        if object.owners.are_of(&claim.uid, &pool.uid) {
            return None;
        }
        let group = |owner: &OwnerReference, group: &str| {
            owner.api_version.split('/').next() == Some(group)
        };
        let stored = object.owners.list(key, &self.key.name);
        let right = |owner: &OwnerReference| {
            if owner.kind == key.kind.claim()
                && group(owner, key.kind.group())
                && *owner.name == *key.name
            {
                Some(&claim.uid)
            } else if owner.kind == "IPPool"
                && group(owner, METAL3_GROUP)
                && *owner.name == *self.key.name
            {
                Some(&pool.uid)
            } else {
                None
            }
        };
        let wrong = |owner: &OwnerReference| right(owner).is_some_and(|uid| !uid.is(&owner.uid));
        if !stored.iter().any(wrong) {
            return None;
        }
        let mut owners: Vec<OwnerReference> = Vec::new();
        for owner in &*stored {
            let mut owner = owner.clone();
            if let Some(uid) = right(&owner) {
                owner.uid = uid.to_string();
            }
            // Two references to one claim, of two incarnations, become one.
            if !owners.iter().any(|o| o.uid == owner.uid) {
                owners.push(owner);
            }
        }
        Some(owners)
    }
}

/// The next step that brings an object to its end (R3); `None` once nothing of ours keeps it.
pub(super) fn release_step(key: &AddressKey, object: &AddressRecord) -> Option<Step> {
    if !object.deleting {
        Some(Step::Delete(key.clone()))
    } else if object.is_ours(key.kind) {
        Some(Step::RemoveAddressFinalizer(key.clone()))
    } else {
        None
    }
}
