//! A living claim without an object: what keeps it waiting, or which address it is to get (A6 to A9).

use std::net::IpAddr;

use crate::alloc::Location;
use crate::api::ClaimKey;
use crate::api::ip::parse_ip;

use super::case::{AttemptState, Case};
use super::explain::NOT_AVAILABLE;
use super::machine::Pool;
use super::next::{Assessment, Class, Next, Step};
use super::reason::{Final, Reason, Until, Waiting, echo};
use super::record::ClaimRecord;
use super::space::Holder;
use super::terms::PreAllocation;

impl Pool {
    pub(super) fn assess_wanting(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
    ) -> Assessment {
        if let Some(assessment) = self.assess_moved(key, case, claim) {
            return assessment;
        }
        if let Some(asking) = self.gate(claim) {
            return self.kept_back(key, case, claim, asking);
        }
        if claim.moving && !claim.finalizers.has(key.kind.claim_finalizer()) {
            return self.waiting(key, case, claim, Self::about_to_move());
        }
        if let Some(until) = self.terminating_until.filter(|until| *until > self.now) {
            let waiting = Waiting {
                reason: Reason::PoolNotReady,
                message: format!("namespace {} is being deleted", self.key.namespace),
                error: None,
                until: Until::Change,
            };
            let mut assessment = self.waiting(key, case, claim, waiting);
            assessment.look_again_at(until);
            return assessment;
        }
        let planned = case
            .work()
            .attempt
            .as_deref()
            .filter(|a| a.state == AttemptState::Planned)
            .map(|a| a.address);
        let wanted = match self.wanted(key, case, claim, planned) {
            Ok(wanted) => wanted,
            Err(waiting) => return self.waiting(key, case, claim, waiting),
        };
        let next = if planned.is_some() && planned == wanted {
            let step = if claim.finalizers.has(key.kind.claim_finalizer()) {
                Step::Create
            } else {
                Step::AddFinalizer
            };
            Next::Do(Class::Going, step)
        } else {
            Next::Do(Class::New, Step::Choose(wanted))
        };
        self.still_waiting(key, case, next)
    }

    /// The address that the claim is to get, `None` for any, or why it gets none now. One that is planned for it already
    /// stands while nothing speaks against it.
    fn wanted(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        planned: Option<IpAddr>,
    ) -> Result<Option<IpAddr>, Waiting> {
        if let Some(kept) = case.work().vanished.as_deref() {
            let conflict = |holder| Waiting {
                reason: Reason::AddressConflict,
                message: format!(
                    "the address object of this claim is gone, or names another pool or claim now, and its address {} is held by {}; delete that holder, or correct what it names",
                    kept.address,
                    self.describe(holder)
                ),
                error: Some((NOT_AVAILABLE.to_owned(), Final::Later)),
                until: Until::Address(kept.address),
            };
            let rival = self.space.rival(kept.address, key);
            return rival.map_or(Ok(Some(kept.address)), |h| Err(conflict(h)));
        }
        // A2: the object is gone since before this process began.
        if let Some(addr) = self.returning(key, case) {
            return Ok(Some(addr));
        }
        let pre_allocation = self
            .ippool
            .record
            .as_ref()
            .and_then(|pool| pool.terms.pre_allocations.get(&key.name));
        if let Some(text) = claim.requested.as_deref() {
            return self.requested(key, text, pre_allocation.copied()).map(Some);
        }
        if let Some(pre_allocation) = pre_allocation {
            return self.pre_allocated(key, pre_allocation.address).map(Some);
        }
        if let Some(addr) = planned
            && self.space.obstacle(addr, key).is_none()
            && !self.space.of(addr).contains(&Holder::Gateway)
            && self.space.entry_of(addr).is_some()
        {
            return Ok(Some(addr));
        }
        if planned.is_none() && self.space.is_full() {
            let of_other_kind = self.space.free_for(key.kind);
            return of_other_kind.map_or_else(|| Err(self.exhausted()), |addr| Ok(Some(addr)));
        }
        Ok(None)
    }

    pub(super) fn exhausted(&self) -> Waiting {
        Waiting {
            reason: Reason::Exhausted,
            message: match self.taken_names.iter().next() {
                None if self.has_no_ranges() && self.has_entries() => format!(
                    "pool {} has no address: no entry of its spec.pools holds one; see its condition Ready and change spec.pools",
                    self.key
                ),
                None if self.has_no_ranges() => format!(
                    "pool {} has no ranges; add entries to its spec.pools",
                    self.key
                ),
                None => format!(
                    "pool {} has no free address; add a range or delete claims",
                    self.key
                ),
                Some((object, addr)) => format!(
                    "pool {} has no free address: {addr} cannot be given out while {object} of another pool or claim has the name that it needs; add a range or delete claims",
                    self.key
                ),
            },
            error: Some(("Exhausted IP Pools".to_owned(), Final::Later)),
            until: Until::Free,
        }
    }

    /// Whether the spec has entries, with addresses or without.
    fn has_entries(&self) -> bool {
        let pool = self.ippool.record.as_ref();
        pool.is_some_and(|pool| pool.terms.has_entries())
    }

    /// Whether the spec names no range at all: a pool that is filled later.
    pub(super) fn has_no_ranges(&self) -> bool {
        let pool = self.ippool.record.as_ref();
        pool.is_some_and(|pool| pool.terms.entries.is_empty())
    }

    /// The address that the annotation of a claim asks for, or why the claim cannot have it now (A9).
    fn requested(
        &self,
        key: &ClaimKey,
        text: &str,
        pre_allocation: Option<PreAllocation>,
    ) -> Result<IpAddr, Waiting> {
        let waiting = |reason, message, error: String, final_, until| Waiting {
            reason,
            message,
            error: Some((error, final_)),
            until,
        };
        let Ok(addr) = parse_ip(text) else {
            let error = format!(
                "Invalid ipAddress annotation \"{}\": not a valid IP address",
                echo(text)
            );
            return Err(waiting(
                Reason::RequestedAddressInvalid,
                format!("{error}; write one such as 192.168.0.10 or fd00::10"),
                error,
                Final::Now,
                Until::Change,
            ));
        };
        if let Some(pre_allocation) = pre_allocation
            && pre_allocation.address != Some(addr)
        {
            let promised = pre_allocation
                .address
                .map_or_else(|| "no address".to_owned(), |p| p.to_string());
            return Err(waiting(
                Reason::PreAllocationConflict,
                format!(
                    "the annotation asks for {addr}, but pool {} pre-allocates {promised} to this claim; make them equal or remove one",
                    self.key
                ),
                "PreAllocation and requested ip address are conflicting".to_owned(),
                Final::Now,
                Until::Change,
            ));
        }
        match self.space.locate(addr) {
            Location::Inside { .. } => {}
            location @ (Location::Outside | Location::Excluded) => {
                let how = match location {
                    Location::Excluded => "excluded from",
                    Location::Inside { .. } | Location::Outside => "outside the ranges of",
                };
                return Err(waiting(
                    Reason::RequestedAddressOutOfRange,
                    format!("the requested address {addr} is {how} pool {}", self.key),
                    "Requested IP out of bounds of the pool".to_owned(),
                    Final::Now,
                    Until::Change,
                ));
            }
        }
        match self.space.obstacle(addr, key) {
            None => Ok(addr),
            Some(holder) => Err(waiting(
                Reason::RequestedAddressUnavailable,
                format!(
                    "the requested address {addr} is held by {}; it is given to this claim when it is freed",
                    self.describe(holder)
                ),
                NOT_AVAILABLE.to_owned(),
                Final::Later,
                Until::Address(addr),
            )),
        }
    }

    /// The address that is pre-allocated to a claim, or why the claim cannot have it now (A8).
    fn pre_allocated(
        &self,
        key: &ClaimKey,
        pre_allocation: Option<IpAddr>,
    ) -> Result<IpAddr, Waiting> {
        let inside = |addr: &IpAddr| self.space.entry_of(*addr).is_some();
        let Some(addr) = pre_allocation.filter(inside) else {
            return Err(Waiting {
                reason: Reason::AllocationFailed,
                message: format!(
                    "the address that pool {} pre-allocates to this claim is outside its ranges or excluded",
                    self.key
                ),
                error: Some(("Pre-allocated IP out of bounds".to_owned(), Final::Now)),
                until: Until::Change,
            });
        };
        match self.space.obstacle(addr, key) {
            None => Ok(addr),
            Some(holder) => Err(Waiting {
                reason: Reason::PreAllocationConflict,
                message: format!(
                    "{addr} is pre-allocated to this claim, but held by {}; it is given to this claim when it is freed",
                    self.describe(holder)
                ),
                error: Some((NOT_AVAILABLE.to_owned(), Final::Later)),
                until: Until::Address(addr),
            }),
        }
    }

    /// A holder, for a message.
    pub(super) fn describe(&self, holder: &Holder) -> String {
        match holder {
            Holder::Object(key) => match self.addresses.get(key) {
                Some(object) if !object.claim.is_empty() => {
                    format!("{key} (claim {})", object.claim)
                }
                Some(_) | None => key.to_string(),
            },
            Holder::Attempt(claim) | Holder::Shown(claim) => claim.to_string(),
            Holder::NameTaken(key) => {
                format!("{key}, which has the name that its address object needs")
            }
            Holder::Gateway => "a gateway".to_owned(),
            Holder::PreAllocated(name) => format!("the pre-allocation of claim {name}"),
        }
    }
}
