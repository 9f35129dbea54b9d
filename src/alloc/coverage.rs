//! Which addresses ranges cover, without what is excluded: disjoint ranges in order.
//!
//! Made by sorting, asked by halving: n ranges cost n log n, whatever their sizes. Two lists are compared by skipping in each
//! what ends below the other's next range, so that a short list and a long one cost what the short one does, times a log.

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
        self.meets_ranges(&other.0, |range| *range, |_| true)
    }

    /// As [`Self::meets`], with whatever has disjoint ranges in order. Those that do not count have addresses of no interest.
    pub(super) fn meets_ranges<T>(
        &self,
        others: &[T],
        range: impl Fn(&T) -> Range,
        counts: impl Fn(&T) -> bool,
    ) -> Option<IpAddr> {
        meet(&self.0, |range| *range, others, range, counts)
    }
}

/// The lowest address that two lists of disjoint ranges in order have in common, of those of the second one that count.
fn meet<A, B>(
    mut ours: &[A],
    of_ours: impl Fn(&A) -> Range,
    mut theirs: &[B],
    of_theirs: impl Fn(&B) -> Range,
    counts: impl Fn(&B) -> bool,
) -> Option<IpAddr> {
    while let (Some(first), Some(other)) = (ours.first(), theirs.first()) {
        let (a, b) = (of_ours(first), of_theirs(other));
        if a.overlaps(&b) && counts(other) {
            return Some(a.first().max(b.first()));
        }
        // The one that ends first can meet nothing more.
        if end(&a) < end(&b) {
            ours = above(&ours[1..], |range| end(&of_ours(range)) < begin(&b));
        } else {
            theirs = above(&theirs[1..], |range| end(&of_theirs(range)) < begin(&a));
        }
    }
    None
}

/// `ranges` without those at its beginning that are below something. The step doubles until it is too long, and then the place
/// is found by halving: the log of what is skipped.
fn above<T>(ranges: &[T], is_below: impl Fn(&T) -> bool) -> &[T] {
    let mut step = 1;
    while ranges.get(step - 1).is_some_and(&is_below) {
        step *= 2;
    }
    // The first half of the last step is below, and what the step led to is not, or does not exist.
    let (from, to) = (step / 2, ranges.len().min(step));
    let skipped = from + ranges[from..to].partition_point(is_below);
    &ranges[skipped..]
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

    /// A pool of 10,000 entries is compared with each pool of its namespace: no question steps through both of them.
    #[test]
    fn a_short_list_and_a_long_one_cost_the_log_of_the_long_one() {
        let at = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let of = |n: u32| Range::single(at(n));
        let long: Vec<Range> = (0..10_000).map(|n| of(10 * n)).collect();
        let looks = std::cell::Cell::new(0);
        let cost = |ours: &[Range], theirs: &[Range]| {
            looks.set(0);
            let of = |range: &Range| {
                looks.set(looks.get() + 1);
                *range
            };
            (meet(ours, of, theirs, of, |_| true), looks.get())
        };
        for (short, common) in [
            (99_985, None),
            (99_990, Some(at(99_990))),
            (55, None),
            (200_000, None),
        ] {
            for (ours, theirs) in [(&[of(short)][..], &long[..]), (&long[..], &[of(short)][..])] {
                let (found, looks) = cost(ours, theirs);
                assert_eq!(found, common, "{short}");
                assert!(looks < 60, "{looks} looks for {short}");
            }
        }
        // Two long ones without a common address cost each range once, and a log where one skips.
        let beside: Vec<Range> = (0..10_000).map(|n| of(10 * n + 5)).collect();
        assert!(cost(&long, &beside).1 < 100_000);
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
