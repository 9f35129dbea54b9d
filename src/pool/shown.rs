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

use crate::api::ip::{parse_ip, parse_stored_ip};
use crate::api::names::{DELETE_FOR_MOVE_ANNOTATION, address_name};
use crate::api::{AddressKey, ClaimKey, ClaimKind, ReferenceFault};

use super::case::Case;
use super::machine::Pool;
use super::next::Assessment;
use super::reason::{Reason, Until, Waiting};
use super::record::ClaimRecord;
use super::space::Holder;
use super::time::later;

/// Claims whose status shows an object that is not one of their own, or one that was edited; nearly always there are no such claims.
#[derive(Debug, Default)]
pub(super) struct ShownElsewhere {
    /// What the claim shows as far as is known, then what it may show by now.
    by_claim: BTreeMap<ClaimKey, AllShown>,
    by_name: BTreeMap<AddressKey, BTreeSet<ClaimKey>>,
}

type AllShown = SmallVec<[Shown; 1]>;

/// An object that such a claim's status shows.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    object: AddressKey,
    state: ShownState,
}

/// What became of that object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ShownState {
    /// It does not exist. Its address, where that is known, is held for the claim.
    Missing(Option<IpAddr>),
    /// It exists and is another claim's, or the claim is about to go: nothing is held for it.
    NotIts,
    /// It is the claim's, and its address was edited. The one that its name has is held for the claim.
    Edited(IpAddr),
}

impl Shown {
    /// The address that is held for it.
    fn held(&self) -> Option<IpAddr> {
        match self.state {
            ShownState::Missing(address) => address,
            ShownState::NotIts => None,
            ShownState::Edited(named) => Some(named),
        }
    }
}

impl ShownElsewhere {
    /// The address that is held for a claim; of two the one that its status is known to show.
    pub(super) fn address(&self, claim: &ClaimKey) -> Option<IpAddr> {
        self.of(claim).iter().find_map(Shown::held)
    }

    fn of(&self, claim: &ClaimKey) -> &[Shown] {
        self.by_claim.get(claim).map_or(&[], SmallVec::as_slice)
    }

    /// Every address that is held for a claim.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let all = self.by_claim.values().flatten();
        all.filter_map(Shown::held)
    }

    fn set(&mut self, claim: &ClaimKey, shown: AllShown) {
        for before in self.by_claim.remove(claim).into_iter().flatten() {
            if let Some(claims) = self.by_name.get_mut(&before.object) {
                claims.remove(claim);
                if claims.is_empty() {
                    self.by_name.remove(&before.object);
                }
            }
        }
        for shown in &shown {
            let claims = self.by_name.entry(shown.object.clone()).or_default();
            claims.insert(claim.clone());
        }
        if !shown.is_empty() {
            self.by_claim.insert(claim.clone(), shown);
        }
    }
}

impl Pool {
    /// Holds the addresses of what the claim shows now, and gives up what was held for it before.
    pub(super) fn hold_shown(&mut self, key: &ClaimKey) {
        let case = self.cases.get(key);
        if case.is_some_and(|case| case.objects.len() > 1) {
            // Of several objects the pool's status shows the one that the claim shows.
            self.ippool.status.indexes_changed();
        }
        let now = case.map_or_else(AllShown::new, |case| self.shown_elsewhere(key, case));
        let known = self.shown.of(key);
        if now.as_slice() == known {
            return;
        }
        let addresses =
            |all: &[Shown]| -> BTreeSet<IpAddr> { all.iter().filter_map(Shown::held).collect() };
        let (before, after) = (addresses(known), addresses(&now));
        self.shown.set(key, now);
        if before == after {
            return;
        }
        self.ippool.status.indexes_changed();
        for addr in after.difference(&before) {
            self.space.hold(*addr, Holder::Shown(key.clone()));
            self.holders_changed(*addr);
        }
        for addr in before.difference(&after) {
            self.unhold(*addr, &Holder::Shown(key.clone()));
        }
    }

    /// The same for the claims that show an object which has come or gone and is not one of their own.
    pub(super) fn hold_shown_object(&mut self, object: &AddressKey) {
        let claims = self.shown.by_name.get(object);
        for claim in claims.cloned().unwrap_or_default() {
            self.hold_shown(&claim);
        }
    }

    /// The same for every claim: the pool's prefix, its object or the state of a kind changed.
    pub(super) fn hold_all_shown(&mut self) {
        let keys: Vec<ClaimKey> = self.cases.keys().cloned().collect();
        for key in keys {
            self.hold_shown(&key);
        }
    }

    /// Nothing before every kind is listed: the pool hands out no address then.
    fn shown_elsewhere(&self, key: &ClaimKey, case: &Case) -> AllShown {
        if self.kinds.is_synced() {
            self.shown_beside(key, case)
        } else {
            AllShown::new()
        }
    }

    /// Addresses that claims show and that are not held for them yet, since not every kind is listed. So it is on a manager that
    /// does not lead.
    pub(super) fn shown_unheld(&self) -> Vec<(ClaimKey, IpAddr)> {
        if self.kinds.is_synced() {
            return Vec::new();
        }
        let of_case = |(key, case): (&ClaimKey, &Case)| {
            let shown = self.shown_beside(key, case);
            let held: SmallVec<[IpAddr; 1]> = shown.iter().filter_map(Shown::held).collect();
            let key = key.clone();
            held.into_iter().map(move |addr| (key.clone(), addr))
        };
        self.cases.iter().flat_map(of_case).collect()
    }

    /// Address objects that the claim's status names, or may name by now, and that are missing, another claim's, or edited.
    fn shown_beside(&self, key: &ClaimKey, case: &Case) -> AllShown {
        let Some(claim) = case.claim.as_deref() else {
            return AllShown::new();
        };
        if !claim.fault.is_none_or(ReferenceFault::may_be_bound) {
            return AllShown::new();
        }
        let (shows, showing) = (claim.published.as_ref(), case.work().showing());
        let showing = showing.filter(|name| shows != Some(*name));
        let names = shows.into_iter().chain(showing);
        names
            .filter_map(|name| self.shown_by(key, case, claim, name))
            .collect()
    }

    /// One of them; `None` for an object of the claim's own that has the address it had.
    fn shown_by(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        name: &Arc<str>,
    ) -> Option<Shown> {
        let object = key.object(name);
        if case.objects.contains(name) {
            // Its own. Somebody may have edited the address in it: the machine uses the one that it had.
            let named = self.address_before_edit(&object)?;
            return Some(Shown {
                object,
                state: ShownState::Edited(named),
            });
        }
        // A deleting claim keeps its address as long as somebody else's finalizer keeps the claim (R2).
        let keeps =
            claim.deleted.is_none() || claim.finalizers.has_foreign(key.kind.claim_finalizer());
        if !keeps || self.addresses.contains_key(&object) {
            return Some(Shown {
                object,
                state: ShownState::NotIts,
            });
        }
        let work = case.work();
        let vanished = work.vanished.as_deref().map(|v| (&v.name, v.address));
        let outlived = work.outlived.as_deref().map(|o| (&o.name, o.address));
        let mut seen = vanished.into_iter().chain(outlived);
        let address = seen
            .find_map(|(seen, address)| (seen == name).then_some(address))
            .or_else(|| self.address_of_name(name))
            .or_else(|| self.address_in_indexes(key));
        Some(Shown {
            object,
            state: ShownState::Missing(address),
        })
    }

    /// The address that an existing object had by its name, when it has another one now.
    fn address_before_edit(&self, object: &AddressKey) -> Option<IpAddr> {
        let now = self.addresses.get(object)?.address.as_ref().ok()?;
        self.address_of_name(&object.name)
            .filter(|named| named != now)
    }

    /// The address in the name of an address object as this pool names them (A14), or as upstream names one by the text of an IPv4
    /// address inside IPv6, which some range of IPv6 could have too.
    fn address_of_name(&self, name: &str) -> Option<IpAddr> {
        let prefix = &self.ippool.record.as_ref()?.terms.name_prefix;
        let digits = name.strip_prefix(&**prefix)?.strip_prefix('-')?;
        let v4 = || parse_ip(&digits.replace('-', "."));
        let v6 = || parse_ip(&digits.replace('-', ":"));
        let plain = v4().or_else(|_| v6()).ok();
        let plain = plain.filter(|addr| address_name(prefix, *addr) == name);
        if plain.is_some_and(|addr| self.space.entry_of(addr).is_some()) {
            return plain;
        }
        mapped_in_name(digits).or(plain)
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
        let addr = parse_stored_ip(&text.0).ok()?;
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
        let mut shown = self.shown.of(key).iter();
        let (name, addr) = shown.find_map(|shown| match shown.state {
            ShownState::Missing(address) => Some((&shown.object.name, address?)),
            ShownState::NotIts | ShownState::Edited(_) => None,
        })?;
        let gettable = match case.work().vanished.as_deref() {
            // It gets the address of that one back, and no other.
            Some(vanished) => vanished.name == *name,
            None => self.space.entry_of(addr).is_some() && self.space.obstacle(addr, key).is_none(),
        };
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
        let seen = vanished.or(work.outlived.as_deref().map(|outlived| &outlived.name));
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
        if let Some(until) = until {
            assessment.look_again_at(until);
        }
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
        let shows = claim.published.as_ref();
        if claim.deleted.is_some() || shows.is_some_and(|name| case.objects.contains(name)) {
            return None;
        }
        let held = self.shown.address(key).map_or_else(String::new, |addr| {
            format!("; {addr} stays held for this claim")
        });
        if let Some(name) = shows.filter(|_| claim.moving) {
            let message = format!(
                "the address object {name} is gone and this claim is marked for clusterctl move{held}; when no move goes on, remove the annotation {DELETE_FOR_MOVE_ANNOTATION} from the claim and the object is made again"
            );
            return Some((message, None));
        }
        // Whatever the status shows by now.
        let vanished = case.work().vanished.as_deref()?;
        let until = later(vanished.moved?, self.config.move_patience);
        if until <= self.now {
            return None;
        }
        let at = later(self.wall, until.duration_since(self.now));
        // Whole minutes, so that the words stay as they are while the two clocks drift.
        let shown = Timestamp::from_second(at.as_second() / 60 * 60 + 60).unwrap_or(at);
        let message = format!(
            "the address object {} was taken away by clusterctl move{held}; it is made again by {shown} if this claim exists then",
            vanished.name
        );
        Some((message, Some(until)))
    }

    /// Reports a claim whose address object was moved away, as long as it is not made again, or was edited.
    pub(super) fn report_shown(&mut self, key: &ClaimKey) {
        let edited = self.shown.of(key).iter().find_map(|shown| {
            let ShownState::Edited(named) = shown.state else {
                return None;
            };
            let object = &shown.object;
            let now = self.addresses.get(object)?.address.as_ref().ok()?;
            Some(format!(
                "{key}: {object} was edited from {named} to {now}; both stay held, set spec.address back to {named}"
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

/// The IPv4 address of a name's end that was made of `::ffff:10.0.0.5` or `::ffff:a00:5`.
fn mapped_in_name(digits: &str) -> Option<IpAddr> {
    let inside = digits.strip_prefix("--ffff-")?;
    let decimal = || parse_ip(&inside.replace('-', ".")).ok();
    let hexadecimal = || parse_stored_ip(&digits.replace('-', ":")).ok();
    let address = decimal().or_else(hexadecimal);
    address.filter(IpAddr::is_ipv4)
}
