//! Which addresses a pool covers: its ranges without what is excluded, as disjoint ranges in order.
//!
//! Made by sorting, asked by one pass over two such lists or by halving: n ranges cost n log n, whatever their sizes.

use std::net::IpAddr;

use crate::alloc::{Family, Range};

/// Disjoint ranges that do not touch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Coverage(Vec<Range>);

impl Coverage {
    /// What `ranges` cover without `excluded`; either may overlap itself and be in any order.
    pub(super) fn of(ranges: Vec<Range>, excluded: Vec<Range>) -> Self {
        Self(without(&merge(ranges), &merge(excluded)))
    }

    pub(super) fn into_ranges(self) -> Vec<Range> {
        self.0
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let next = self.0.partition_point(|r| beyond(r) < place(address));
        self.0.get(next).is_some_and(|r| r.contains(address))
    }

    /// Whether every address of it is one of `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|range| {
            let next = other
                .0
                .partition_point(|r| beyond(r) < place(range.first()));
            // Ranges of `other` do not touch, so that one of them must hold the whole of this one.
            other
                .0
                .get(next)
                .is_some_and(|r| r.contains(range.first()) && r.contains(range.last()))
        })
    }

    /// The lowest address that both cover.
    pub(super) fn meets(&self, other: &Self) -> Option<IpAddr> {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            if a.overlaps(b) {
                return Some(a.first().max(b.first()));
            }
            if beyond(a) < beyond(b) {
                ours.next();
            } else {
                theirs.next();
            }
        }
        None
    }
}

/// Where an address stands in the order of all addresses of both families.
fn place(address: IpAddr) -> (Family, u128) {
    (Family::of(address), number(address))
}

fn beyond(range: &Range) -> (Family, u128) {
    place(range.last())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address `by` after (before, when negative) this one; none beyond the ends of the family.
fn shifted(address: IpAddr, by: i8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => Some(IpAddr::V4(
            v4.to_bits().checked_add_signed(by.into())?.into(),
        )),
        IpAddr::V6(v6) => Some(IpAddr::V6(
            v6.to_bits().checked_add_signed(by.into())?.into(),
        )),
    }
}

fn range(first: IpAddr, last: IpAddr) -> Range {
    Range::new(first, last).expect("both ends come from one family, in order")
}

/// Sorted, overlapping and adjacent ones joined.
fn merge(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match merged.last_mut() {
            Some(last) if last.overlaps(&next) || shifted(last.last(), 1) == Some(next.first()) => {
                *last = range(last.first(), last.last().max(next.last()));
            }
            Some(_) | None => merged.push(next),
        }
    }
    merged
}

/// `ranges` with `holes` cut out; both merged.
fn without(ranges: &[Range], holes: &[Range]) -> Vec<Range> {
    let mut kept = Vec::with_capacity(ranges.len());
    let mut holes = holes.iter().peekable();
    for whole in ranges {
        while holes
            .next_if(|h| beyond(h) < place(whole.first()))
            .is_some()
        {}
        let mut rest = Some(*whole);
        while let (Some(part), Some(hole)) = (rest, holes.peek()) {
            if !hole.overlaps(&part) {
                break;
            }
            if let Some(before) = shifted(hole.first(), -1).filter(|b| *b >= part.first()) {
                kept.push(range(part.first(), before));
            }
            rest = shifted(hole.last(), 1)
                .filter(|after| *after <= part.last())
                .map(|after| range(after, part.last()));
            if rest.is_some() {
                holes.next();
            }
        }
        kept.extend(rest);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn addr(n: u8, v6: bool) -> IpAddr {
        // The very top of each family, so that the last address is among them.
        if v6 {
            IpAddr::V6(Ipv6Addr::from_bits(u128::MAX - 63 + u128::from(n)))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(u32::MAX - 63 + u32::from(n)))
        }
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let one = (0u8..64, 0u8..64, any::<bool>())
            .prop_map(|(a, b, v6)| range(addr(a.min(b), v6), addr(a.max(b), v6)));
        proptest::collection::vec(one, 0..6)
    }

    fn every() -> impl Iterator<Item = IpAddr> {
        (0..128u8).map(|n| addr(n % 64, n >= 64))
    }

    proptest! {
        #[test]
        fn a_coverage_is_a_set_of_addresses(a in ranges(), x in ranges(), b in ranges(), y in ranges()) {
            let naive = |ranges: &[Range], holes: &[Range], at: IpAddr| {
                ranges.iter().any(|r| r.contains(at)) && !holes.iter().any(|h| h.contains(at))
            };
            let (one, two) = (Coverage::of(a.clone(), x.clone()), Coverage::of(b.clone(), y.clone()));
            for at in every() {
                prop_assert_eq!(one.contains(at), naive(&a, &x, at), "{} in {:?}", at, one);
            }
            let within = every().all(|at| !naive(&a, &x, at) || naive(&b, &y, at));
            prop_assert_eq!(one.is_within(&two), within, "{:?} {:?}", one, two);
            let meets = every().find(|at| naive(&a, &x, *at) && naive(&b, &y, *at));
            prop_assert_eq!(one.meets(&two), meets, "{:?} {:?}", one, two);
        }
    }
}
