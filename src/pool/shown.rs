//! Addresses that living claims show while their address objects are missing, or show another address by now (A1, A2). The
//! machine behind such a claim uses its address still, so the address stays held until the object is back (R4), the claim's
//! status shows something else (U3), or the claim goes.
//!
//! Whatever took the object away, and whatever marks it or the claim carried, makes no difference to the hold: it follows from
//! the claim's status alone. So it is the same after a restart, when the object is not remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::api::ip::parse_ip;
use crate::api::names::{DELETE_FOR_MOVE_ANNOTATION, address_name};
use crate::api::{AddressKey, ClaimKey, ClaimKind, ReferenceFault};

use super::case::Case;
use super::machine::Pool;
use super::next::{Assessment, Next};
use super::reason::{Reason, Until, Waiting};
use super::record::ClaimRecord;
use super::space::Holder;
use super::time::later;

/// Claims whose status shows an object that is not one of their own, or one that was edited; nearly always there are no such claims.
#[derive(Debug, Default)]
pub(super) struct MissingObjects {
    /// What the claim shows as far as is known, then what it may show by now.
    by_claim: BTreeMap<ClaimKey, Missing>,
    by_name: BTreeMap<AddressKey, BTreeSet<ClaimKey>>,
}

type Missing = SmallVec<[MissingObject; 1]>;

/// An object that such a claim's status shows.
#[derive(Debug, Clone, PartialEq)]
struct MissingObject {
    object: AddressKey,
    /// The address that is held for it: of an object that is missing, or the former one of an object that was edited.
    address: Option<IpAddr>,
}

impl MissingObjects {
    /// The address that is held for a claim; of two the one that its status is known to show.
    pub(super) fn address(&self, claim: &ClaimKey) -> Option<IpAddr> {
        self.of(claim).iter().find_map(|object| object.address)
    }

    fn of(&self, claim: &ClaimKey) -> &[MissingObject] {
        self.by_claim.get(claim).map_or(&[], SmallVec::as_slice)
    }

    /// Every address that is held for a claim.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let all = self.by_claim.values().flatten();
        all.filter_map(|missing_object| missing_object.address)
    }

    fn set(&mut self, claim: &ClaimKey, missing: Missing) {
        for before in self.by_claim.remove(claim).into_iter().flatten() {
            if let Some(claims) = self.by_name.get_mut(&before.object) {
                claims.remove(claim);
                if claims.is_empty() {
                    self.by_name.remove(&before.object);
                }
            }
        }
        for object in &missing {
            let claims = self.by_name.entry(object.object.clone()).or_default();
            claims.insert(claim.clone());
        }
        if !missing.is_empty() {
            self.by_claim.insert(claim.clone(), missing);
        }
    }
}

impl Pool {
    /// Takes over what the claim shows now: holds the address of a missing object, and gives up what was held before.
    pub(super) fn settle_shown(&mut self, key: &ClaimKey) {
        let case = self.cases.get(key);
        if case.is_some_and(|case| case.objects.len() > 1) {
            // Of several objects the pool's status shows the one that the claim shows.
            self.ippool.status.indexes_changed();
        }
        let now = case.map_or_else(Missing::new, |case| self.missing_objects(key, case));
        let known = self.missing.of(key);
        if now.as_slice() == known {
            return;
        }
        let addresses = |objects: &[MissingObject]| -> BTreeSet<IpAddr> {
            objects.iter().filter_map(|object| object.address).collect()
        };
        let (before, after) = (addresses(known), addresses(&now));
        self.missing.set(key, now);
        if before == after {
            return;
        }
        self.ippool.status.indexes_changed();
        for addr in after.difference(&before) {
            self.space.hold(*addr, Holder::Shown(key.clone()));
            self.holders_changed(*addr);
        }
        for addr in before.difference(&after) {
            self.let_go(*addr, &Holder::Shown(key.clone()));
        }
    }

    /// The same for the claims that show an object which has come or gone and is not one of their own.
    pub(super) fn settle_missing(&mut self, object: &AddressKey) {
        let claims = self.missing.by_name.get(object);
        for claim in claims.cloned().unwrap_or_default() {
            self.settle_shown(&claim);
        }
    }

    /// The same for every claim: the pool's prefix, its object or the state of a kind changed.
    pub(super) fn settle_all_shown(&mut self) {
        let keys: Vec<ClaimKey> = self.cases.keys().cloned().collect();
        for key in keys {
            self.settle_shown(&key);
        }
    }

    /// Address objects that the claim's status names, or may name by now, and that are missing, another claim's, or edited. None
    /// before every kind is listed: the pool hands out no address then.
    fn missing_objects(&self, key: &ClaimKey, case: &Case) -> Missing {
        let Some(claim) = case.claim.as_deref() else {
            return Missing::new();
        };
        let is_served = claim.fault.is_none_or(ReferenceFault::may_be_bound);
        if !is_served || !self.kinds.is_synced() {
            return Missing::new();
        }
        let (shows, showing) = (claim.published.as_ref(), case.work().showing.as_ref());
        let showing = showing.filter(|name| shows != Some(*name));
        let names = shows.into_iter().chain(showing);
        names
            .filter_map(|name| self.missing_object(key, case, claim, name))
            .collect()
    }

    fn missing_object(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        name: &Arc<str>,
    ) -> Option<MissingObject> {
        let object = AddressKey {
            kind: key.kind,
            name: name.clone(),
        };
        if case.objects.contains(name) {
            // Its own. Somebody may have edited the address in it: the machine uses the one that it had.
            let address = self.address_before_edit(&object);
            return address.map(|_| MissingObject { object, address });
        }
        // A deleting claim keeps its address as long as somebody else's finalizer keeps the claim (R2).
        let keeps =
            claim.deleted.is_none() || claim.finalizers.has_foreign(key.kind.claim_finalizer());
        let missing = keeps && !self.addresses.contains_key(&object);
        let kept = case
            .work()
            .vanished
            .as_deref()
            .filter(|kept| kept.name == *name);
        let address = || {
            kept.map(|kept| kept.address)
                .or_else(|| self.address_of_name(name))
                .or_else(|| self.address_in_indexes(key))
        };
        let address = if missing { address() } else { None };
        Some(MissingObject { object, address })
    }

    /// The address that an existing object had by its name, when it has another one now.
    fn address_before_edit(&self, object: &AddressKey) -> Option<IpAddr> {
        let now = self.addresses.get(object)?.address.as_ref().ok()?;
        self.address_of_name(&object.name)
            .filter(|named| named != now)
    }

    /// The address in the name of an address object as this pool names them (A14).
    fn address_of_name(&self, name: &str) -> Option<IpAddr> {
        let prefix = &self.ippool.record.as_ref()?.terms.name_prefix;
        let digits = name.strip_prefix(&**prefix)?.strip_prefix('-')?;
        let v4 = || parse_ip(&digits.replace('-', "."));
        let v6 = || parse_ip(&digits.replace('-', ":"));
        let addr = v4().or_else(|_| v6()).ok()?;
        (address_name(prefix, addr) == name).then_some(addr)
    }

    /// What the pool's stored `indexes` say of a claim whose object somebody else had named. They are no truth (A3), and
    /// decide nothing here but that an address is not given to anyone else.
    fn address_in_indexes(&self, key: &ClaimKey) -> Option<IpAddr> {
        let twin = ClaimKey {
            kind: ClaimKind::Metal3,
            name: key.name.clone(),
        };
        // One entry serves two claims of one name; it is the IPClaim's (A10).
        if key.kind == ClaimKind::Capi && self.cases.contains_key(&twin) {
            return None;
        }
        let text = self
            .ippool
            .record
            .as_ref()?
            .status
            .indexes
            .get(&*key.name)?;
        let addr = parse_ip(&text.0).ok()?;
        let is_twins = |object: &AddressKey| {
            let claim = self.addresses.get(object).map(|record| &record.claim);
            object.kind != key.kind && claim == Some(&key.name)
        };
        // The entry is of the other kind's claim: its object has the address.
        let of_twin = self.space.objects_at(addr).any(is_twins);
        (!of_twin).then_some(addr)
    }

    /// The address of a missing object that the claim can have back. A status can be forged, so where this process has not
    /// seen the object itself it has to be an address that the claim could get anyway.
    pub(super) fn returning(&self, key: &ClaimKey, case: &Case) -> Option<IpAddr> {
        let pool = self.ippool.record.as_ref()?;
        let mut missing = self.missing.of(key).iter();
        let is_missing = |object: &&MissingObject| !self.addresses.contains_key(&object.object);
        let addr = missing.find(is_missing)?.address?;
        let gettable = case.work().vanished.is_some()
            || (self.space.entry_of(addr).is_some() && self.space.obstacle(addr, key).is_none());
        (!pool.deleting && gettable).then_some(addr)
    }

    /// Whether the claim shows an object that this process has seen, and the pool is going or gone: a pool of that name that
    /// comes again gives the claim the same address (A2).
    pub(super) fn outlives_pool(&self, case: &Case, claim: &ClaimRecord) -> bool {
        let lives = self
            .ippool
            .record
            .as_ref()
            .is_some_and(|pool| !pool.deleting);
        let work = case.work();
        let vanished = work.vanished.as_deref().map(|vanished| &vanished.name);
        let seen = vanished.or(work.outlived.as_ref());
        !lives && seen.is_some() && seen == claim.published.as_ref()
    }

    /// `clusterctl move` took the claim's object along, or is about to take the claim: nothing is made again yet (R4).
    pub(super) fn assess_moved(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
    ) -> Option<Assessment> {
        let (message, until) = self.moved_away(key, case, claim)?;
        let waiting = Waiting {
            reason: Reason::AddressMissing,
            message,
            error: None,
            until: Until::Change,
        };
        let mut assessment = self.waiting(key, case, claim, waiting);
        assessment.next = match (assessment.next, until) {
            (Next::Rest, Some(until)) => Next::Later(until),
            (Next::Later(at), Some(until)) => Next::Later(at.min(until)),
            (next, _) => next,
        };
        Some(assessment)
    }

    /// The mover has taken the claim's finalizer off: it gets none back, and so no address (R1).
    pub(super) fn about_to_move() -> Waiting {
        Waiting {
            reason: Reason::PoolNotReady,
            message: format!(
                "this claim is marked for clusterctl move; when no move goes on, remove the annotation {DELETE_FOR_MOVE_ANNOTATION} from it"
            ),
            error: None,
            until: Until::Change,
        }
    }

    /// Why a living claim's object is not made again, and until when.
    fn moved_away(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
    ) -> Option<(String, Option<Timestamp>)> {
        let name = claim.published.as_deref()?;
        if claim.deleted.is_some() || case.objects.iter().any(|object| **object == *name) {
            return None;
        }
        let held = self.missing.address(key).map_or_else(String::new, |addr| {
            format!("; {addr} stays held for this claim")
        });
        if claim.moving {
            let message = format!(
                "the address object {name} is gone and this claim is marked for clusterctl move{held}; when no move goes on, remove the annotation {DELETE_FOR_MOVE_ANNOTATION} from the claim and the object is made again"
            );
            return Some((message, None));
        }
        let until = later(
            case.work().vanished.as_deref()?.moved?,
            self.config.audit_interval,
        );
        if until <= self.now {
            return None;
        }
        let at = later(self.wall, until.duration_since(self.now));
        // Whole minutes, so that the words stay as they are while the two clocks drift.
        let shown = Timestamp::from_second(at.as_second() / 60 * 60 + 60).unwrap_or(at);
        let message = format!(
            "the address object {name} was taken away by clusterctl move{held}; it is made again by {shown} if this claim exists then"
        );
        Some((message, Some(until)))
    }

    /// Reports a claim whose address object was moved away, as long as it is not made again, or was edited.
    pub(super) fn check_missing(&mut self, key: &ClaimKey) {
        let edited = self.missing.of(key).iter().find_map(|missing_object| {
            let named = self.address_before_edit(&missing_object.object)?;
            let now = self.addresses.get(&missing_object.object)?.address.as_ref().ok()?;
            Some(format!(
                "{key}: {} was edited from {named} to {now}; both stay held, set spec.address back to {named}",
                missing_object.object
            ))
        });
        self.report_edited(key, edited);
        let case = self.cases.get(key);
        let message = case.and_then(|case| {
            let (message, _) = self.moved_away(key, case, case.claim.as_deref()?)?;
            Some(format!("{key}: {message}"))
        });
        self.report_missing(key, message);
    }
}
