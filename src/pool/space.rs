//! Who holds which address (A15). An address has a *set* of holders; the allocator's bit says whether that set is empty, so
//! that one of two holders can go without the address being handed out under the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rand::rngs::StdRng;
use smallvec::SmallVec;

use crate::alloc::{Allocator, Coverage, Location};
use crate::api::metal3::AllocationStrategy;
use crate::api::{AddressKey, ClaimKey, ClaimKind};

use super::terms::Terms;

/// One reason why an address is not free for every claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A live address object of this pool.
    Object(AddressKey),
    /// A claim that is about to get it: chosen, or its create is unanswered.
    Attempt(ClaimKey),
    /// A living claim whose status shows it, while its object is missing (A2).
    Shown(ClaimKey),
    /// The name of its address object is taken by this object, which our claims cannot use (A12): of another pool, of another
    /// claim, or of no use to its own. Claims of the other kind, whose objects' names are others, can have the address.
    NameTaken(AddressKey),
    /// A gateway: only a claim that requests it gets it (A7).
    Gateway,
    /// Pre-allocated to claims of this name (A8).
    PreAllocated(Arc<str>),
}

impl Holder {
    /// Whether the address is in use, not merely kept back.
    pub(super) fn is_live(&self) -> bool {
        match self {
            Self::Object(_) | Self::Attempt(_) | Self::Shown(_) | Self::NameTaken(_) => true,
            Self::Gateway | Self::PreAllocated(_) => false,
        }
    }

    /// Whether this claim cannot have the address, however much it has a right to it.
    fn excludes(&self, claim: &ClaimKey) -> bool {
        match self {
            Self::Object(_) => true,
            Self::NameTaken(object) => object.kind == claim.kind,
            Self::Attempt(other) | Self::Shown(other) => other != claim,
            Self::PreAllocated(_) | Self::Gateway => false,
        }
    }
}

/// The addresses of a pool.
#[derive(Debug)]
pub(super) struct Space {
    allocator: Allocator,
    holders: BTreeMap<IpAddr, SmallVec<[Holder; 1]>>,
    /// Addresses with a live holder, inside and outside the ranges.
    inside: u64,
    outside: u64,
    /// Addresses that more than one object holds (A15).
    duplicates: BTreeSet<IpAddr>,
    /// Addresses of the ranges that only taken names of the other kind hold, by the kind of claim that can have them: the two
    /// kinds of address objects share no names (A12).
    free_for_one_kind: BTreeMap<ClaimKind, BTreeSet<IpAddr>>,
    strategy: AllocationStrategy,
    /// Few addresses were left at the last look.
    is_nearly_full: bool,
}

/// Numbers of a pool: `allocated + available + reserved = capacity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    pub(super) capacity: u128,
    pub(super) allocated: u128,
    pub(super) available: u128,
    pub(super) reserved: u128,
    pub(super) outside: u64,
}

/// Share of so many addresses that the next claims cannot get, in percent and rounded down: 100 when none is available. `None`
/// where there are no addresses.
pub fn utilization(capacity: u128, available: u128) -> Option<i64> {
    let taken = capacity.saturating_sub(available);
    // Of numbers beyond any count the last digits change nothing.
    let scale = if capacity > u128::MAX / 100 { 100 } else { 1 };
    let percent = (taken / scale * 100).checked_div(capacity / scale)?;
    i64::try_from(percent).ok()
}

/// Whether few of so many addresses are left for the next claims: at most 15 % and fewer than 1,000, as the alert PoolNearlyFull
/// has it. None left is few as well; no address at all is not.
pub fn is_nearly_full(capacity: u128, available: u128) -> bool {
    are_few(capacity, available, 15, 1000)
}

fn are_few(capacity: u128, available: u128, percent: u128, most: u128) -> bool {
    // Fewer than `most` are multiplied, so that no product overflows.
    capacity > 0 && available < most && available * 100 <= capacity.saturating_mul(percent)
}

impl Numbers {
    /// Share of the addresses that the next claims cannot get (see [`utilization`]).
    pub(super) fn utilization(&self) -> Option<i64> {
        utilization(self.capacity, self.available)
    }

    /// Whether the pool is nearly full. It was so `before`: then until 20 % or 1,200 are free, so that claims that come and go do
    /// not report it again and again. One that is full stays what it was: to recover from that is no news of this kind.
    fn is_nearly_full(&self, before: bool) -> bool {
        if before {
            return are_few(self.capacity, self.available, 20, 1200);
        }
        self.available > 0 && is_nearly_full(self.capacity, self.available)
    }
}

impl Space {
    pub(super) fn new() -> Self {
        Self {
            allocator: Allocator::new(&[], &[]),
            holders: BTreeMap::new(),
            inside: 0,
            outside: 0,
            duplicates: BTreeSet::new(),
            free_for_one_kind: BTreeMap::new(),
            strategy: AllocationStrategy::Sequential,
            is_nearly_full: false,
        }
    }

    /// Takes over new terms: O(holders), once per change of the spec. What holds an address holds it still.
    pub(super) fn rebuild(&mut self, terms: &Terms) {
        self.allocator = Allocator::new(&terms.entries, &terms.excluded);
        self.strategy = terms.strategy;
        self.holders.retain(|_, set| {
            set.retain(|holder| holder.is_live());
            !set.is_empty()
        });
        (self.inside, self.outside) = (0, 0);
        for addr in self.holders.keys() {
            self.allocator.take(*addr);
            *live_count(&self.allocator, &mut self.inside, &mut self.outside, *addr) += 1;
        }
        for gateway in &terms.gateways {
            self.hold(*gateway, Holder::Gateway);
        }
        for (name, pre_allocation) in &terms.pre_allocations {
            if let Some(address) = pre_allocation.address {
                self.hold(address, Holder::PreAllocated(name.clone()));
            }
        }
        self.free_for_one_kind.clear();
        let held: Vec<IpAddr> = self.holders.keys().copied().collect();
        for addr in held {
            self.note_other_kind(addr);
        }
    }

    /// Notes whether few addresses are left; returns whether that is new since the last call.
    pub(super) fn note_nearly_full(&mut self) -> bool {
        let before = self.is_nearly_full;
        self.is_nearly_full = self.numbers().is_nearly_full(before);
        self.is_nearly_full && !before
    }

    /// The lowest address that the ranges have in common with these.
    pub(super) fn meets(&self, ranges: &Coverage) -> Option<IpAddr> {
        self.allocator.meets(ranges)
    }

    /// Adds a holder.
    pub(super) fn hold(&mut self, addr: IpAddr, holder: Holder) {
        self.allocator.take(addr);
        self.add(addr, holder);
    }

    fn add(&mut self, addr: IpAddr, holder: Holder) {
        let set = self.holders.entry(addr).or_default();
        // Sorted, so that what is said of them does not depend on the order in which they came.
        let Err(place) = set.binary_search(&holder) else {
            return;
        };
        let first_live = holder.is_live() && !set.iter().any(Holder::is_live);
        set.insert(place, holder);
        if objects(set) > 1 {
            self.duplicates.insert(addr);
        }
        if first_live {
            *live_count(&self.allocator, &mut self.inside, &mut self.outside, addr) += 1;
        }
        self.note_other_kind(addr);
    }

    /// The holders of an address have changed: notes which kind of claim can have it.
    fn note_other_kind(&mut self, addr: IpAddr) {
        for (kind, other) in [
            (ClaimKind::Metal3, ClaimKind::Capi),
            (ClaimKind::Capi, ClaimKind::Metal3),
        ] {
            let of_other = |h: &Holder| matches!(h, Holder::NameTaken(key) if key.kind == other);
            let holders = self.holders.get(&addr).map_or(&[][..], SmallVec::as_slice);
            if !holders.is_empty() && holders.iter().all(of_other) && self.entry_of(addr).is_some()
            {
                self.free_for_one_kind.entry(kind).or_default().insert(addr);
            } else if let Some(set) = self.free_for_one_kind.get_mut(&kind) {
                set.remove(&addr);
            }
        }
    }

    /// The lowest address that claims of this kind can have although it counts as used: taken names of the other kind alone
    /// hold it.
    pub(super) fn free_for(&self, kind: ClaimKind) -> Option<IpAddr> {
        self.free_for_one_kind.get(&kind)?.first().copied()
    }

    /// Whether claims of one kind can have this address although it counts as used.
    pub(super) fn is_free_for_one_kind(&self, addr: IpAddr) -> bool {
        self.free_for_one_kind
            .values()
            .any(|set| set.contains(&addr))
    }

    /// Removes a holder; the address is free when it was the last one. True if the holder was there.
    pub(super) fn unhold(&mut self, addr: IpAddr, holder: &Holder) -> bool {
        let Some(set) = self.holders.get_mut(&addr) else {
            return false;
        };
        let Some(place) = set.iter().position(|h| h == holder) else {
            return false;
        };
        set.remove(place);
        let none_live = !set.iter().any(Holder::is_live);
        if objects(set) < 2 {
            self.duplicates.remove(&addr);
        }
        if set.is_empty() {
            self.holders.remove(&addr);
            self.allocator.release(addr);
        }
        if holder.is_live() && none_live {
            *live_count(&self.allocator, &mut self.inside, &mut self.outside, addr) -= 1;
        }
        self.note_other_kind(addr);
        true
    }

    /// Chooses a free address for a claim (A6) and holds it.
    pub(super) fn choose(&mut self, claim: &ClaimKey, rng: &mut StdRng) -> Option<IpAddr> {
        let picked = match self.strategy {
            AllocationStrategy::Sequential => self.allocator.take_first(),
            AllocationStrategy::Random => self.allocator.take_random(rng),
        }?;
        debug_assert!(self.of(picked.addr).is_empty(), "a held address was free");
        self.add(picked.addr, Holder::Attempt(claim.clone()));
        Some(picked.addr)
    }

    /// The holder that keeps this claim from having this very address. Of several claims that it is pre-allocated to the first gets
    /// it: a pool that was stored without the rules has such.
    pub(super) fn obstacle(&self, addr: IpAddr, claim: &ClaimKey) -> Option<&Holder> {
        let holders = self.of(addr).iter();
        let mut promises = holders.clone().filter_map(|holder| match holder {
            Holder::PreAllocated(name) => Some(name),
            _ => None,
        });
        let is_promised = promises.any(|name| *name == claim.name);
        holders.into_iter().find(|holder| match holder {
            Holder::PreAllocated(_) => !is_promised,
            other => other.excludes(claim),
        })
    }

    /// Who has taken the address of this claim's vanished object (R4). A pre-allocation made since does not count: the
    /// claim had the address first (A8).
    pub(super) fn rival(&self, addr: IpAddr, claim: &ClaimKey) -> Option<&Holder> {
        self.of(addr).iter().find(|holder| holder.excludes(claim))
    }

    /// Holders of an address.
    pub(super) fn of(&self, addr: IpAddr) -> &[Holder] {
        self.holders.get(&addr).map_or(&[], SmallVec::as_slice)
    }

    /// Objects that hold an address.
    pub(super) fn objects_at(&self, addr: IpAddr) -> impl Iterator<Item = &AddressKey> {
        self.of(addr).iter().filter_map(|holder| match holder {
            Holder::Object(key) => Some(key),
            Holder::Attempt(_)
            | Holder::Shown(_)
            | Holder::NameTaken(_)
            | Holder::Gateway
            | Holder::PreAllocated(_) => None,
        })
    }

    /// Every address and its holders, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = (IpAddr, &[Holder])> {
        self.holders.iter().map(|(a, set)| (*a, set.as_slice()))
    }

    /// Addresses that more than one object holds.
    pub(super) fn duplicates(&self) -> &BTreeSet<IpAddr> {
        &self.duplicates
    }

    /// The allocator as it stands, to ask what it would do.
    pub(super) fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    /// Where an address lies.
    pub(super) fn locate(&self, addr: IpAddr) -> Location {
        self.allocator.locate(addr)
    }

    /// The entry that an address is of.
    pub(super) fn entry_of(&self, addr: IpAddr) -> Option<usize> {
        match self.allocator.locate(addr) {
            Location::Inside { entry } => Some(entry),
            Location::Excluded | Location::Outside => None,
        }
    }

    /// Addresses of each entry that are kept back for somebody, and that nobody has. O(holders).
    pub(super) fn kept_back_by_entry(&self) -> BTreeMap<usize, u128> {
        let mut kept = BTreeMap::new();
        for (addr, set) in &self.holders {
            if let Some(entry) = self.entry_of(*addr)
                && !set.iter().any(Holder::is_live)
            {
                *kept.entry(entry).or_default() += 1;
            }
        }
        kept
    }

    /// Whether automatic allocation would find nothing.
    pub(super) fn is_full(&self) -> bool {
        self.allocator.is_full()
    }

    /// The pool's counts. O(1).
    pub(super) fn numbers(&self) -> Numbers {
        let counts = self.allocator.counts();
        let inside = u128::from(self.inside);
        Numbers {
            capacity: counts.capacity,
            allocated: inside,
            available: counts.free,
            reserved: counts
                .reserved
                .saturating_add(counts.used.saturating_sub(inside)),
            outside: self.outside,
        }
    }
}

fn objects(set: &[Holder]) -> usize {
    set.iter()
        .filter(|h| matches!(h, Holder::Object(_)))
        .count()
}

fn live_count<'a>(
    allocator: &Allocator,
    inside: &'a mut u64,
    outside: &'a mut u64,
    addr: IpAddr,
) -> &'a mut u64 {
    match allocator.locate(addr) {
        Location::Inside { .. } => inside,
        Location::Excluded | Location::Outside => outside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilization_is_in_percent_and_full_only_when_nothing_is_left() {
        for (capacity, available, percent) in [
            (0, 0, None),
            (3, 3, Some(0)),
            (3, 2, Some(33)),
            (1000, 1, Some(99)),
            (1000, 0, Some(100)),
            (u128::MAX, u128::MAX, Some(0)),
            (u128::MAX, u128::MAX / 100 * 25, Some(75)),
            (u128::MAX, 0, Some(100)),
        ] {
            let numbers = Numbers {
                capacity,
                available,
                ..Numbers::default()
            };
            assert_eq!(numbers.utilization(), percent, "{available} of {capacity}");
        }
    }
}
