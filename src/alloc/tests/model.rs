//! The allocator against one that looks at every address.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::alloc::{Allocator, Counts, Entry, Family, Location, Picked, Range, Take};

/// Where the universe of one case lies: its addresses are `base..base + SPAN` of each family.
const SPAN: u8 = 96;
const V4_BASES: [u32; 4] = [0, 0x0a00_0000, 0x0a00_ffd0, u32::MAX - SPAN as u32 + 1];
const V6_BASES: [u128; 4] = [0, 0xfd << 120, (1 << 64) - 40, u128::MAX - SPAN as u128 + 1];

#[derive(Clone, Copy, Debug)]
struct Spot {
    family: Family,
    offset: u8,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(Spot),
    Release(Spot),
    TakeFirst,
    TakeRandom,
    /// Release the n-th used address, if any.
    ReleaseUsed(prop::sample::Index),
}

#[derive(Clone, Debug)]
struct Case {
    base: usize,
    entries: Vec<(Spot, u8, Option<u8>)>,
    excluded: Vec<(Spot, u8)>,
    steps: Vec<Step>,
    seed: u64,
}

impl Case {
    fn addr(&self, spot: Spot) -> IpAddr {
        match spot.family {
            Family::V4 => Ipv4Addr::from_bits(V4_BASES[self.base] + u32::from(spot.offset)).into(),
            Family::V6 => Ipv6Addr::from_bits(V6_BASES[self.base] + u128::from(spot.offset)).into(),
        }
    }

    fn range(&self, first: Spot, more: u8) -> Range {
        let last = Spot {
            family: first.family,
            offset: first.offset.saturating_add(more).min(SPAN - 1),
        };
        Range::new(self.addr(first), self.addr(last)).unwrap()
    }

    fn universe(&self) -> Vec<IpAddr> {
        let of = |family| (0..SPAN).map(move |offset| Spot { family, offset });
        of(Family::V4)
            .chain(of(Family::V6))
            .map(|spot| self.addr(spot))
            .collect()
    }
}

/// Every address of the universe by itself.
struct Naive {
    universe: Vec<IpAddr>,
    entries: Vec<Entry>,
    excluded: Vec<Range>,
    used: BTreeSet<IpAddr>,
}

impl Naive {
    fn locate(&self, addr: IpAddr) -> Location {
        match self.entries.iter().find(|entry| entry.range.contains(addr)) {
            None => Location::Outside,
            Some(_) if self.excluded.iter().any(|range| range.contains(addr)) => Location::Excluded,
            Some(entry) => Location::Inside { entry: entry.index },
        }
    }

    /// By the words of A7: the first address of the block, and for IPv4 the last.
    fn is_reserved(&self, addr: IpAddr) -> bool {
        let owner = self.entries.iter().find(|entry| entry.range.contains(addr));
        let Some(prefix) = owner.and_then(|entry| entry.reserve) else {
            return false;
        };
        let block = ipnet::IpNet::new(addr, prefix).unwrap();
        match addr {
            IpAddr::V4(_) => prefix <= 30 && (addr == block.network() || addr == block.broadcast()),
            IpAddr::V6(_) => prefix <= 126 && addr == block.network(),
        }
    }

    fn take(&mut self, addr: IpAddr) -> Take {
        match self.locate(addr) {
            Location::Outside => Take::Outside,
            Location::Excluded => Take::Excluded,
            Location::Inside { .. } if self.used.insert(addr) => Take::Taken,
            Location::Inside { .. } => Take::AlreadyUsed,
        }
    }

    /// Free addresses of the first entry that has one, ascending.
    fn candidates(&self) -> (usize, Vec<IpAddr>) {
        for entry in &self.entries {
            let wanted = Location::Inside { entry: entry.index };
            let free: Vec<IpAddr> = self
                .universe
                .iter()
                .copied()
                .filter(|addr| {
                    self.locate(*addr) == wanted
                        && !self.used.contains(addr)
                        && !self.is_reserved(*addr)
                })
                .collect();
            if !free.is_empty() {
                return (entry.index, free);
            }
        }
        (0, Vec::new())
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for addr in &self.universe {
            if !matches!(self.locate(*addr), Location::Inside { .. }) {
                continue;
            }
            counts.capacity += 1;
            if self.used.contains(addr) {
                counts.used += 1;
            } else if self.is_reserved(*addr) {
                counts.reserved += 1;
            } else {
                counts.free += 1;
            }
        }
        counts
    }
}

fn spot() -> impl Strategy<Value = Spot> {
    (any::<bool>(), 0..SPAN).prop_map(|(v4, offset)| Spot {
        family: if v4 { Family::V4 } else { Family::V6 },
        offset,
    })
}

/// Prefixes whose blocks fit the universe several times, and the ones that reserve nothing.
fn reserve(family: Family) -> impl Strategy<Value = Option<u8>> {
    let width = family.width();
    prop_oneof![
        2 => Just(None),
        5 => (width - 6..=width).prop_map(Some),
        1 => (0..=width).prop_map(Some),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let entry = (spot(), 0..40_u8)
        .prop_flat_map(|(first, more)| (Just(first), Just(more), reserve(first.family)));
    let step = prop_oneof![
        3 => spot().prop_map(Step::Take),
        1 => spot().prop_map(Step::Release),
        6 => Just(Step::TakeFirst),
        4 => Just(Step::TakeRandom),
        4 => any::<prop::sample::Index>().prop_map(Step::ReleaseUsed),
    ];
    (
        0..V4_BASES.len(),
        prop::collection::vec(entry, 0..6),
        prop::collection::vec((spot(), prop_oneof![0..3_u8, 0..20_u8]), 0..8),
        prop::collection::vec(step, 0..120),
        any::<u64>(),
    )
        .prop_map(|(base, entries, excluded, steps, seed)| Case {
            base,
            entries,
            excluded,
            steps,
            seed,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// A6, A7: every answer, and all counts after every step.
    #[test]
    fn every_answer_is_that_of_the_naive_one(case in case()) {
        let entries: Vec<Entry> = case.entries.iter().enumerate().map(|(place, (first, more, reserve))| Entry {
            // Not the place in the list, so that the two cannot be mixed up.
            index: place * 10 + 3,
            range: case.range(*first, *more),
            reserve: *reserve,
        }).collect();
        let excluded: Vec<Range> = case.excluded.iter().map(|(first, more)| case.range(*first, *more)).collect();
        let mut pool = Allocator::new(&entries, &excluded);
        let mut naive = Naive { universe: case.universe(), entries, excluded, used: BTreeSet::new() };
        let mut rng = StdRng::seed_from_u64(case.seed);
        for addr in case.universe() {
            prop_assert_eq!(pool.locate(addr), naive.locate(addr), "{}", addr);
        }
        for step in &case.steps {
            match *step {
                Step::Take(spot) => {
                    let addr = case.addr(spot);
                    prop_assert_eq!(pool.take(addr), naive.take(addr));
                }
                Step::Release(spot) => {
                    let addr = case.addr(spot);
                    prop_assert_eq!(pool.release(addr), naive.used.remove(&addr));
                }
                Step::ReleaseUsed(index) => {
                    let used: Vec<IpAddr> = naive.used.iter().copied().collect();
                    if !used.is_empty() {
                        let addr = *index.get(&used);
                        prop_assert!(pool.release(addr));
                        naive.used.remove(&addr);
                    }
                }
                Step::TakeFirst => {
                    let (entry, free) = naive.candidates();
                    let expected = free.first().map(|addr| Picked { addr: *addr, entry });
                    prop_assert_eq!(pool.take_first(), expected);
                    naive.used.extend(free.first());
                }
                Step::TakeRandom => {
                    let (entry, free) = naive.candidates();
                    let picked = pool.take_random(&mut rng);
                    prop_assert_eq!(picked.is_some(), !free.is_empty());
                    if let Some(picked) = picked {
                        prop_assert!(free.contains(&picked.addr), "{:?}", picked);
                        prop_assert_eq!(picked.entry, entry);
                        naive.used.insert(picked.addr);
                    }
                }
            }
            prop_assert_eq!(pool.counts(), naive.counts());
            prop_assert_eq!(pool.is_full(), naive.candidates().1.is_empty());
        }
        for addr in case.universe() {
            prop_assert_eq!(pool.is_used(addr), naive.used.contains(&addr), "{}", addr);
        }
    }
}
