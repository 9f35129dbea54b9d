//! Texts by which a pool's ranges are found in an ordered index, so that only pools that may overlap are read.
//!
//! Two CIDR blocks are apart, or one is within the other. As text, a block is the bits of its prefix, and one within it begins
//! with that text: the blocks that meet a block are found under its own text, and at each shorter beginning of it.

use std::net::IpAddr;

use crate::alloc::{Family, Range};

/// Ranges of a pool that are found one by one. A pool with more of them is found as one range per family, from its lowest
/// address to its highest one.
const MOST_RANGES: usize = 64;

/// Characters of a text that tell the family.
const FAMILY: usize = 2;

/// The blocks that cover these ranges, which are in order and apart: one or two for each, less than twice as large as it is.
pub(super) fn blocks(ranges: &[Range]) -> Vec<String> {
    if ranges.len() <= MOST_RANGES {
        ranges.iter().flat_map(of_range).collect()
    } else {
        hulls(ranges).iter().flat_map(of_range).collect()
    }
}

/// The texts of the blocks that this one is within.
pub(super) fn around(block: &str) -> impl Iterator<Item = &str> {
    (FAMILY..block.len()).map(|end| &block[..end])
}

fn hulls(ranges: &[Range]) -> Vec<Range> {
    let of = |family| {
        let mut of = ranges.iter().filter(|range| range.family() == family);
        let first = of.next()?;
        let last = of.next_back().unwrap_or(first);
        Range::new(first.first(), last.last()).ok()
    };
    let families = [Family::V4, Family::V6];
    families.into_iter().filter_map(of).collect()
}

/// The one block around a range would be far larger than a range that lies on both sides of a boundary: it is cut there.
fn of_range(range: &Range) -> Vec<String> {
    let (first, last) = (bits(range.first()), bits(range.last()));
    let same = |text: &str, bit: char| text.chars().take_while(|c| *c == bit).count();
    let common = first.bytes().zip(last.bytes());
    let common = common.take_while(|(a, b)| a == b).count();
    let (low, high) = (&first[common..], &last[common..]);
    if same(low, '0') == low.len() && same(high, '1') == high.len() {
        return vec![first[..common].to_owned()];
    }
    // What is below the boundary begins with 0 there and ends with ones, what is above begins with 1 and then zeros.
    let (below, above) = (1 + same(&low[1..], '1'), 1 + same(&high[1..], '0'));
    vec![
        first[..common + below].to_owned(),
        last[..common + above].to_owned(),
    ]
}

fn bits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("4/{:032b}", v4.to_bits()),
        IpAddr::V6(v6) => format!("6/{:0128b}", v6.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alloc::Coverage;

    fn range(first: &str, last: &str) -> Range {
        Range::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_range_is_cut_at_its_highest_boundary() {
        let of = |first, last| blocks(&[range(first, last)]);
        assert_eq!(of("0.0.0.0", "255.255.255.255"), ["4/"]);
        assert_eq!(of("128.0.0.0", "191.255.255.255"), ["4/10"]);
        assert_eq!(of("127.255.255.255", "128.0.0.0").len(), 2);
        let both = of("127.255.255.254", "128.0.0.0");
        let (below, above) = (format!("4/0{}", "1".repeat(30)), format!("4/1{:031}", 0));
        assert_eq!(both, [below, above]);
        assert_eq!(of("::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ["6/0"]);
        assert_eq!(of("fd00::1", "fd00::1")[0].len(), FAMILY + 128);
    }

    #[test]
    fn many_ranges_are_found_as_one_per_family() {
        let v4 = (0..=MOST_RANGES).map(|n| format!("10.0.{n}.1"));
        let v6 = (0..=MOST_RANGES).map(|n| format!("fd00::{n:x}:1"));
        let ranges: Vec<Range> = v4.chain(v6).map(|at| range(&at, &at)).collect();
        let hulls = [
            range("10.0.0.1", "10.0.64.1"),
            range("fd00::0:1", "fd00::40:1"),
        ];
        assert_eq!(blocks(&ranges), blocks(&hulls));
        assert_eq!(blocks(&ranges[..MOST_RANGES]).len(), MOST_RANGES);
    }

    fn any_ranges() -> impl Strategy<Value = Vec<Range>> {
        // Close together, so that some meet and some touch.
        let one = (any::<bool>(), 0..200_u32, 0..8_u32).prop_map(|(v6, at, more)| {
            let (first, last) = (0x7fff_ff80 + at, 0x7fff_ff80 + at + more);
            let address = |n: u32| -> IpAddr {
                if v6 {
                    IpAddr::V6(u128::from(n).into())
                } else {
                    IpAddr::V4(n.into())
                }
            };
            Range::new(address(first), address(last)).unwrap()
        });
        prop::collection::vec(one, 1..4)
    }

    proptest! {
        #[test]
        fn whoever_meets_is_found(one in any_ranges(), other in any_ranges()) {
            let [one, other] = [one, other].map(|ranges| Coverage::of(&ranges, &[]));
            let meets = one.meets(&other).is_some();
            let stored = blocks(other.ranges());
            let found = blocks(one.ranges()).iter().any(|block| {
                stored.iter().any(|other| other.starts_with(block) || around(block).any(|text| text == other))
            });
            prop_assert!(found || !meets);
        }
    }
}
