//! Sizes from one address to all of IPv6, and sets of used numbers large enough to change their form.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{entries, ip, plain, range};
use crate::alloc::slots::Slots;
use crate::alloc::{Allocator, Counts, Entry, Family, Location, Range, Take, resolve};

const TOP: &str = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

#[test]
fn all_of_ipv6_is_a_pool_like_any_other() {
    let mut pool = plain(&[range("::", TOP), range("0.0.0.0", "255.255.255.255")]);
    assert_eq!(pool.counts().capacity, u128::MAX);
    assert_eq!(pool.take_first().unwrap().addr, ip("::"));
    assert_eq!(pool.take(ip(TOP)), Take::Taken);
    assert_eq!(pool.take(ip(TOP)), Take::AlreadyUsed);
    assert_eq!(pool.take(ip("255.255.255.255")), Take::Taken);
    assert!(pool.is_used(ip(TOP)) && !pool.is_used(ip("::1")));
    let mut rng = StdRng::seed_from_u64(3);
    let picked: BTreeSet<IpAddr> = (0..100)
        .map(|_| pool.take_random(&mut rng).unwrap().addr)
        .collect();
    assert_eq!(picked.len(), 100);
    assert_eq!(pool.counts().used, 103);
    assert!(pool.release(ip(TOP)) && !pool.release(ip(TOP)));
    assert!(!pool.is_full());
}

#[test]
fn all_of_ipv6_with_reserved_addresses() {
    for (prefix, reserved) in [(0, 1), (64, 1 << 64), (126, 1 << 126)] {
        let entry = Entry {
            index: 0,
            range: range("::", TOP),
            reserve: Some(prefix),
        };
        let mut pool = Allocator::new(&[entry], &[]);
        let Counts { capacity, free, .. } = pool.counts();
        assert_eq!(pool.counts().reserved, reserved, "/{prefix}");
        assert_eq!(free, 0_u128.wrapping_sub(reserved), "/{prefix}");
        assert_eq!(capacity, u128::MAX, "/{prefix}");
        assert_eq!(pool.take_first().unwrap().addr, ip("::1"), "/{prefix}");
        assert_eq!(pool.take(ip("::")), Take::Taken, "/{prefix}");
        assert_eq!(pool.take(ip(TOP)), Take::Taken, "/{prefix}");
        assert!(pool.is_used(ip(TOP)) && pool.is_used(ip("::")));
    }
}

/// A requested address may be a reserved one (A7); automatic allocation never is.
#[test]
fn reserved_addresses_of_a_large_prefix_are_never_listed() {
    let entry = Entry {
        index: 0,
        range: Range::of_net(&"2001:db8::/32".parse().unwrap()),
        reserve: Some(64),
    };
    let mut pool = Allocator::new(&[entry], &[]);
    assert_eq!(pool.counts().reserved, 1 << 32);
    assert_eq!(pool.counts().free, (1 << 96) - (1 << 32));
    assert_eq!(pool.take(ip("2001:db8:0:1::")), Take::Taken);
    assert_eq!(pool.counts().reserved, (1 << 32) - 1);
    assert_eq!(pool.counts().used, 1);
    assert_eq!(pool.take_first().unwrap().addr, ip("2001:db8::1"));
    assert!(pool.release(ip("2001:db8:0:1::")));
    assert_eq!(pool.counts().reserved, 1 << 32);
}

#[test]
fn an_entry_of_reserved_addresses_only_is_full() {
    let entry = Entry {
        index: 5,
        range: range("10.0.0.255", "10.0.1.0"),
        reserve: Some(24),
    };
    let mut pool = Allocator::new(&[entry], &[]);
    assert!(pool.is_full());
    assert_eq!(pool.take_first(), None);
    assert_eq!(pool.counts().reserved, 2);
    assert_eq!(pool.take(ip("10.0.1.0")), Take::Taken);
    assert_eq!(pool.locate(ip("10.0.1.0")), Location::Inside { entry: 5 });
    assert!(pool.release(ip("10.0.1.0")));
    assert!(
        pool.is_full(),
        "a released reserved address is none to allocate"
    );
}

#[test]
fn an_unbounded_entry_allocates_from_its_start() {
    let unbounded = resolve(Some(ip("fd00::fffe")), None, None)
        .unwrap()
        .unwrap();
    let mut pool = plain(&[unbounded]);
    let picked: Vec<_> = (0..3).map(|_| pool.take_first().unwrap().addr).collect();
    assert_eq!(
        picked,
        [ip("fd00::fffe"), ip("fd00::ffff"), ip("fd00::1:0")]
    );
    assert_eq!(pool.take(Family::V6.unicast_top()), Take::Taken);
    assert_eq!(pool.locate(ip("ff00::")), Location::Outside);
}

#[test]
fn scattered_addresses_of_a_64_are_kept_apart() {
    let mut pool = plain(&[range("fd00::", "fd00::ffff:ffff:ffff:ffff")]);
    let mut rng = StdRng::seed_from_u64(2);
    let base = 0xfd00_u128 << 112;
    let wanted: BTreeSet<u64> = (0..2000).map(|_| rng.random()).collect();
    let addr = |host: u64| IpAddr::from(Ipv6Addr::from_bits(base + u128::from(host)));
    assert!(
        wanted
            .iter()
            .all(|host| pool.take(addr(*host)) == Take::Taken)
    );
    assert!(wanted.iter().all(|host| pool.is_used(addr(*host))));
    assert_eq!(pool.counts().used, wanted.len() as u128);
    assert!(wanted.iter().all(|host| pool.release(addr(*host))));
    assert_eq!(pool.counts().used, 0);
}

#[test]
fn entries_are_used_up_in_the_order_written() {
    let mut pool = plain(&[
        range("10.0.0.9", "10.0.0.10"),
        range("fd00::1", "fd00::1"),
        range("10.0.0.1", "10.0.0.1"),
    ]);
    let order: Vec<_> = std::iter::from_fn(|| pool.take_first())
        .map(|picked| picked.entry)
        .collect();
    assert_eq!(order, [0, 0, 1, 2]);
    assert!(pool.is_full());
    pool.release(ip("10.0.0.1"));
    pool.release(ip("fd00::1"));
    assert_eq!(pool.take_first().unwrap().entry, 1);
    assert_eq!(pool.take_first().unwrap().entry, 2);
}

#[test]
fn ten_thousand_entries_and_exclusions() {
    // Entry i covers all before it, so that every cut has to see through the earlier ones.
    let nested: Vec<Range> = (0..10_000_u128)
        .map(|i| {
            let addr = |n: u128| Ipv6Addr::from_bits((0xfd << 120) + n).into();
            Range::new(addr(100_000 - 3 * i), addr(100_000 + 3 * i)).unwrap()
        })
        .collect();
    let holes: Vec<Range> = (0..10_000_u128)
        .map(|i| Range::single(Ipv6Addr::from_bits((0xfd << 120) + 100_000 + 3 * i).into()))
        .collect();
    let mut pool = Allocator::new(&entries(&nested), &holes);
    assert_eq!(pool.counts().capacity, 6 * 9_999 + 1 - 10_000);
    // Entry 0 is one excluded address.
    let first = pool.take_first().unwrap();
    assert_eq!(
        (first.entry, first.addr),
        (1, "fd00::1:869d".parse::<IpAddr>().unwrap())
    );
    let mut last = 0;
    while let Some(picked) = pool.take_first() {
        assert!(picked.entry >= last);
        last = picked.entry;
    }
    assert_eq!(last, 9_999);
    assert_eq!(pool.counts().free, 0);
}

#[test]
fn the_nth_free_number_of_any_mix_of_chunks() {
    // Empty, full, full, bits, few free, empty, few used, full, a short one.
    let top = (8 << 16) + 9;
    let is_free = |number: u32| match number >> 16 {
        1 | 2 | 7 => false,
        3 => number.is_multiple_of(3),
        4 => number % 1_000 == 5,
        6 => number % 1_000 != 5,
        8 => number.is_multiple_of(2),
        _ => true,
    };
    let mut slots = Slots::new(Some(top.into()));
    for number in (0..=top).filter(|number| !is_free(*number)) {
        slots.take(number.into());
    }
    for (n, number) in (0..=top).filter(|number| is_free(*number)).enumerate() {
        assert_eq!(slots.nth_free(n as u128), u128::from(number));
    }
}

/// Enough numbers for every form of a chunk, and the ways between the forms.
#[derive(Clone, Copy, Debug)]
enum Burst {
    TakeFirst(u32),
    TakeRandom(u32),
    /// Take every `step`-th number of a stretch.
    Take(Stretch),
    /// Release every `step`-th number of a stretch.
    Release(Stretch),
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: u32,
    count: u32,
    step: u8,
}

fn stretch() -> impl Strategy<Value = Stretch> {
    // Mostly where the low numbers and the borders of chunks are: there the stretches meet each other.
    let from = prop_oneof![
        3 => 0..8_000_u32,
        2 => 60_000..70_000_u32,
        1 => 125_000..135_000_u32,
        1 => 0..200_000_u32,
    ];
    let whole_chunks = (0..3_u32, 1..3_u32).prop_map(|(chunk, chunks)| Stretch {
        from: chunk << 16,
        count: chunks << 16,
        step: 1,
    });
    let some = (from, 0..6_000_u32, 1..20_u8).prop_map(|(from, count, step)| Stretch {
        from,
        count,
        step,
    });
    prop_oneof![3 => some, 1 => whole_chunks]
}

fn burst() -> impl Strategy<Value = Burst> {
    prop_oneof![
        2 => (0..9_000_u32).prop_map(Burst::TakeFirst),
        1 => (60_000..80_000_u32).prop_map(Burst::TakeFirst),
        1 => (0..3_000_u32).prop_map(Burst::TakeRandom),
        3 => stretch().prop_map(Burst::Take),
        3 => stretch().prop_map(Burst::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20) })]

    #[test]
    fn used_numbers_are_those_of_a_plain_set(
        top in prop_oneof![Just(200_000_u32), Just(131_071), Just(131_072), 0..200_000_u32],
        bursts in prop::collection::vec(burst(), 1..20),
        seed: u64,
    ) {
        let mut slots = Slots::new(Some(top.into()));
        let mut free: BTreeSet<u32> = (0..=top).collect();
        let mut rng = StdRng::seed_from_u64(seed);
        for burst in bursts {
            match burst {
                Burst::TakeFirst(count) => for _ in 0..count {
                    prop_assert_eq!(slots.first_free(), free.first().map(|n| u128::from(*n)));
                    prop_assert_eq!(slots.take_first(), free.pop_first().map(u128::from));
                },
                Burst::TakeRandom(count) => for _ in 0..count {
                    match slots.take_random(&mut rng) {
                        Some(number) => prop_assert!(free.remove(&(number as u32)), "{}", number),
                        None => prop_assert!(free.is_empty()),
                    }
                },
                Burst::Take(Stretch { from, count, step }) => {
                    for number in (from..=top).step_by(step.into()).take(count as usize) {
                        prop_assert_eq!(slots.take(number.into()), free.remove(&number));
                    }
                }
                Burst::Release(Stretch { from, count, step }) => {
                    for number in (from..=top).step_by(step.into()).take(count as usize) {
                        prop_assert_eq!(slots.release(number.into()), free.insert(number));
                    }
                }
            }
            prop_assert_eq!(slots.is_full(), free.is_empty());
            for number in (0..=top).step_by(7) {
                prop_assert_eq!(slots.is_used(number.into()), !free.contains(&number), "{}", number);
            }
        }
    }
}
