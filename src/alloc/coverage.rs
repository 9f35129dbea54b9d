//! Which addresses ranges cover, without what is excluded: disjoint ranges in order.
//!
//! Made by sorting, asked by one pass over two such lists or by halving: n ranges cost n log n, whatever their sizes.

use std::net::IpAddr;

use super::range::{Family, Range, number};

/// Disjoint ranges that do not touch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coverage(Vec<Range>);

impl Coverage {
    /// What `ranges` cover without `excluded`; either may overlap itself and be in any order.
    pub fn of(ranges: &[Range], excluded: &[Range]) -> Self {
        Self(without(&merge(ranges), &merge(excluded)))
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// Whether it has this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let at = (Family::of(address), number(address));
        let next = self.0.partition_point(|range| end(range) < at);
        self.0.get(next).is_some_and(|r| r.contains(address))
    }

    /// Whether every address of it is one of `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        // Ranges of `other` do not touch, so that one of them must hold the whole of each of these.
        self.0.iter().all(|range| {
            let next = other.0.partition_point(|r| end(r) < begin(range));
            let next = other.0.get(next);
            next.is_some_and(|r| begin(r) <= begin(range) && end(range) <= end(r))
        })
    }

    /// The lowest address that both cover.
    pub fn meets(&self, other: &Self) -> Option<IpAddr> {
        self.meets_ranges(other.0.iter())
    }

    /// As [`Self::meets`], with disjoint ranges in order.
    pub(super) fn meets_ranges<'a>(
        &self,
        other: impl Iterator<Item = &'a Range>,
    ) -> Option<IpAddr> {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.peekable());
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            if a.overlaps(b) {
                return Some(a.first().max(b.first()));
            }
            if end(a) < end(b) {
                ours.next();
            } else {
                theirs.next();
            }
        }
        None
    }
}

/// Where a range begins in the order of all addresses of both families.
fn begin(range: &Range) -> (Family, u128) {
    (range.family(), range.low())
}

fn end(range: &Range) -> (Family, u128) {
    (range.family(), range.high())
}

/// Sorts ranges, and joins those that overlap or touch.
pub(super) fn merge(ranges: &[Range]) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(sorted.len());
    for next in sorted {
        let touches = |last: &Range| {
            let behind = last.high().checked_add(1);
            last.family() == next.family() && behind.is_none_or(|behind| next.low() <= behind)
        };
        match merged.last_mut() {
            Some(last) if touches(last) => {
                let high = last.high().max(next.high());
                *last = Range::of_numbers(last.family(), last.low(), high);
            }
            Some(_) | None => merged.push(next),
        }
    }
    merged
}

/// `ranges` with `holes` cut out; both merged.
fn without(ranges: &[Range], holes: &[Range]) -> Vec<Range> {
    let mut kept = Vec::with_capacity(ranges.len());
    let mut next = 0;
    for whole in ranges {
        while next < holes.len() && end(&holes[next]) < begin(whole) {
            next += 1;
        }
        let mut keep = |low, high| kept.push(Range::of_numbers(whole.family(), low, high));
        // Where the part begins that no hole has cut yet; none behind the family's last address.
        let mut from = Some(whole.low());
        // A hole may reach into the next range: `next` itself stays with it.
        for hole in holes[next..].iter().take_while(|h| h.overlaps(whole)) {
            if let Some(at) = from
                && at < hole.low()
            {
                keep(at, hole.low() - 1);
            }
            from = hole.high().checked_add(1);
        }
        if let Some(at) = from
            && at <= whole.high()
        {
            keep(at, whole.high());
        }
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
            .prop_map(|(a, b, v6)| Range::new(addr(a.min(b), v6), addr(a.max(b), v6)).unwrap());
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
            let (one, two) = (Coverage::of(&a, &x), Coverage::of(&b, &y));
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
