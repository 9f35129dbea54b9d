//! Addresses that living claims show while their address objects are missing, or show another address by now (A1, A2). The machine behind such a claim uses
//! its address still, so the address stays held until the object is back (R4), the claim's status shows something else (U3),
//! or the claim goes.
//!
//! Whatever took the object away, and whatever marks it or the claim carried, makes no difference to the hold: it follows from
//! the claim's status alone. So it is the same after a restart, when nobody remembers the object.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::api::ip::parse_ip;
use crate::api::names::{DELETE_FOR_MOVE_ANNOTATION, address_name};
use crate::api::{AddressKey, ClaimKey, ClaimKind};

use super::case::{Assessment, Case, Reason, Until, Verdict, Waiting};
use super::machine::Pool;
use super::record::ClaimRecord;
use super::space::Holder;
use super::time::later;

/// Claims whose status shows an object that is not one of their own, or one that was edited; nearly always there are no such claims.
#[derive(Debug, Default)]
pub(super) struct Strays {
    by_claim: BTreeMap<ClaimKey, Stray>,
    by_name: BTreeMap<AddressKey, BTreeSet<ClaimKey>>,
}

/// What such a claim shows.
#[derive(Debug, Clone, PartialEq)]
struct Stray {
    object: AddressKey,
    /// The address that is held for it: of an object that is missing, or the former one of an object that was edited.
    address: Option<IpAddr>,
}

impl Strays {
    /// The address that is held for a claim.
    pub(super) fn address(&self, claim: &ClaimKey) -> Option<IpAddr> {
        self.by_claim.get(claim)?.address
    }

    /// Every address that is held for a claim.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_claim.values().filter_map(|stray| stray.address)
    }

    fn set(&mut self, claim: &ClaimKey, stray: Option<Stray>) {
        if let Some(before) = self.by_claim.remove(claim)
            && let Some(claims) = self.by_name.get_mut(&before.object)
        {
            claims.remove(claim);
            if claims.is_empty() {
                self.by_name.remove(&before.object);
            }
        }
        if let Some(stray) = stray {
            let claims = self.by_name.entry(stray.object.clone()).or_default();
            claims.insert(claim.clone());
            self.by_claim.insert(claim.clone(), stray);
        }
    }
}

impl Pool {
    /// Takes over what the claim shows now: holds the address of a missing object, and gives up what was held before.
    pub(super) fn settle_shown(&mut self, key: &ClaimKey) {
        let case = self.cases.get(key);
        let now = case.and_then(|case| self.stray(key, case));
        let known = self.strays.by_claim.get(key);
        if now.as_ref() == known {
            return;
        }
        let before = known.and_then(|stray| stray.address);
        let after = now.as_ref().and_then(|stray| stray.address);
        self.strays.set(key, now);
        if before == after {
            return;
        }
        self.head.indexes_changed(&key.name);
        if let Some(addr) = after {
            self.space.hold(addr, Holder::Shown(key.clone()));
            self.holders_changed(addr);
        }
        if let Some(addr) = before {
            self.let_go(addr, &Holder::Shown(key.clone()));
        }
    }

    /// The same for the claims that show an object which has come or gone and is not one of their own.
    pub(super) fn settle_strays(&mut self, object: &AddressKey) {
        let claims = self.strays.by_name.get(object);
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

    /// What the claim shows, when that is not one of its own objects as they were made. Before every kind is listed nobody knows, and nothing is
    /// given out.
    fn stray(&self, key: &ClaimKey, case: &Case) -> Option<Stray> {
        let claim = case.claim.as_deref()?;
        let name = claim.published.as_ref()?;
        if claim.fault.is_some() || !self.kinds.is_synced() {
            return None;
        }
        let object = AddressKey {
            kind: key.kind,
            name: name.clone(),
        };
        if case.objects.contains(name) {
            // Its own. Somebody may have edited the address in it: the machine uses the one that it had.
            let address = self.address_before_edit(&object);
            return address.map(|_| Stray { object, address });
        }
        // A deleting claim keeps its address as long as somebody else's finalizer keeps the claim (R2).
        let keeps =
            claim.deleted.is_none() || claim.finalizers.has_foreign(key.kind.claim_finalizer());
        let missing = keeps && !self.addresses.contains_key(&object);
        let kept = case.kept.as_deref().filter(|kept| kept.name == *name);
        let address = || {
            kept.map(|kept| kept.address)
                .or_else(|| self.address_of_name(name))
                .or_else(|| self.address_in_indexes(key))
        };
        let address = if missing { address() } else { None };
        Some(Stray { object, address })
    }

    /// The address that an existing object had by its name, when it has another one now.
    fn address_before_edit(&self, object: &AddressKey) -> Option<IpAddr> {
        let now = self.addresses.get(object)?.address.as_ref().ok()?;
        self.address_of_name(&object.name)
            .filter(|named| named != now)
    }

    /// The address in the name of an address object as this pool names them (A14).
    fn address_of_name(&self, name: &str) -> Option<IpAddr> {
        let prefix = &self.head.object.as_ref()?.terms.name_prefix;
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
        let text = self.head.object.as_ref()?.status.indexes.get(&*key.name)?;
        parse_ip(&text.0).ok()
    }

    /// The address of a missing object that the claim can have back. A status can be forged, so where this process has not
    /// seen the object itself it has to be an address that the claim could get anyway.
    pub(super) fn returning(&self, key: &ClaimKey, case: &Case) -> Option<IpAddr> {
        let pool = self.head.object.as_ref()?;
        let stray = self.strays.by_claim.get(key)?;
        let addr = stray
            .address
            .filter(|_| !self.addresses.contains_key(&stray.object))?;
        let gettable = case.kept.is_some()
            || (self.space.entry_of(addr).is_some() && self.space.obstacle(addr, key).is_none());
        (!pool.deleting && gettable).then_some(addr)
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
        assessment.verdict = match (assessment.verdict, until) {
            (Verdict::Rest, Some(until)) => Verdict::Later(until),
            (Verdict::Later(at), Some(until)) => Verdict::Later(at.min(until)),
            (verdict, _) => verdict,
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
        let held = self.strays.address(key).map_or_else(String::new, |addr| {
            format!("; {addr} stays held for this claim")
        });
        if claim.moving {
            let message = format!(
                "the address object {name} is gone and this claim is marked for clusterctl move{held}; when no move goes on, remove the annotation {DELETE_FOR_MOVE_ANNOTATION} from the claim and the object is made again"
            );
            return Some((message, None));
        }
        let until = later(case.kept.as_deref()?.moved?, self.config.audit_interval);
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
    pub(super) fn weigh_missing(&mut self, key: &ClaimKey) {
        let edited = self.strays.by_claim.get(key).and_then(|stray| {
            let named = self.address_before_edit(&stray.object)?;
            let now = self.addresses.get(&stray.object)?.address.as_ref().ok()?;
            Some(format!(
                "{key}: {} was edited from {named} to {now}; both stay held, set spec.address back to {named}",
                stray.object
            ))
        });
        self.problem_edited(key, edited);
        let case = self.cases.get(key);
        let message = case.and_then(|case| {
            let (message, _) = self.moved_away(key, case, case.claim.as_deref()?)?;
            Some(format!("{key}: {message}"))
        });
        self.problem_missing(key, message);
    }
}
