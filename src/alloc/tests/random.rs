//! A6, random: every free address has the same chance.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{ip, plain, range};
use crate::alloc::{Allocator, Entry, Range};

/// Draws from the same pool again and again, and compares how often each address came with how often it should have.
fn assert_uniform(pool: &mut Allocator, free: usize, draws: usize) {
    let mut rng = StdRng::seed_from_u64(7);
    let mut seen: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for _ in 0..draws {
        let picked = pool.take_random(&mut rng).unwrap();
        *seen.entry(picked.addr).or_default() += 1;
        assert!(pool.release(picked.addr));
    }
    assert_eq!(seen.len(), free, "each free address was drawn");
    let expected = draws as f64 / free as f64;
    let chi_square: f64 = seen
        .values()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    // With free - 1 degrees of freedom: six standard deviations on either side.
    let (mean, deviation) = (free as f64 - 1.0, (2.0 * free as f64).sqrt());
    assert!(
        (chi_square - mean).abs() < 6.0 * deviation,
        "chi square {chi_square}, expected around {mean}"
    );
}

#[test]
fn uniform_while_much_is_free() {
    let mut pool = plain(&[range("10.0.0.0", "10.0.1.255")]);
    for last in (0..=255).step_by(2) {
        pool.take(ip(&format!("10.0.0.{last}")));
    }
    assert_uniform(&mut pool, 384, 40_000);
}

#[test]
fn uniform_when_nearly_full_over_many_chunks() {
    // Five chunks: full, with bits, with a few free ones at its end, full, and a short last one.
    let mut pool = plain(&[range("10.0.0.0", "10.4.0.9")]);
    for number in 0..4 * 65_536_u32 + 10 {
        let free = match number >> 16 {
            1 => number % 32 == 0,
            2 => number % 65_536 > 65_500,
            0 | 3 => false,
            _ => number % 2 == 1,
        };
        if !free {
            pool.take((std::net::Ipv4Addr::from_bits(0x0a00_0000 + number)).into());
        }
    }
    assert_uniform(&mut pool, 2048 + 35 + 5, 200_000);
}

#[test]
fn uniform_over_segments_and_reserved_addresses() {
    let reserve = |range: Range| Entry {
        index: 0,
        range,
        reserve: Some(28),
    };
    let mut pool = Allocator::new(
        &[reserve(range("10.0.0.3", "10.0.0.60"))],
        &[
            range("10.0.0.9", "10.0.0.20"),
            range("10.0.0.40", "10.0.0.40"),
        ],
    );
    // 58 addresses, 13 excluded; reserved: .31 .32 .47 .48
    assert_eq!(pool.counts().free, 41);
    assert_uniform(&mut pool, 41, 20_000);
}

#[test]
fn one_seed_gives_one_order() {
    let draw = || {
        let mut pool = plain(&[range("fd00::", "fd00::ffff:ffff:ffff:ffff")]);
        let mut rng = StdRng::seed_from_u64(1);
        let addrs: Vec<_> = (0..100).map(|_| pool.take_random(&mut rng)).collect();
        addrs
    };
    assert_eq!(draw(), draw());
}
