//! Growing, jittered delays between tries of the watches and the lease. A pool's own retries are the pool's.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// First delay.
const FIRST: Duration = Duration::from_millis(100);
/// Longest delay.
const LONGEST: Duration = Duration::from_secs(10);

/// Delays of one task, repeatable from its seed.
#[derive(Debug)]
pub(super) struct Backoff {
    rng: StdRng,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            failures: 0,
        }
    }

    /// It went well: the next delay is the first one again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay before the next try: twice the last one up to 10 s, between half of it and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let full = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(self.rng.random_range(0.5..=1.0))
    }

    /// A value between `low` and `high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.rng.random_range(low..=high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_ten_seconds_and_repeat_from_the_seed() {
        let delays = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..40).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        let some = delays(7);
        assert_eq!(some, delays(7));
        assert_ne!(some, delays(8));
        assert!(some[0] >= FIRST / 2 && some[0] <= FIRST);
        assert!(some[39] >= LONGEST / 2 && some.iter().all(|d| *d <= LONGEST));
    }
}
