//! Growing, jittered delays between tries of the watches and the lease. A pool's own retries are the pool's.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::pool::delay;

/// First delay, in milliseconds.
const FIRST: u64 = 100;
/// Longest delay, in milliseconds.
const LONGEST: u64 = 10_000;

/// Delays of one task, repeatable from its seed.
#[derive(Debug)]
pub(super) struct Backoff {
    rng: StdRng,
    failures: u16,
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

    /// The delay before the next try ([`delay`]).
    pub(super) fn next(&mut self) -> Duration {
        let next = delay(self.failures, FIRST, LONGEST, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(next)
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
        let (first, longest) = (Duration::from_millis(FIRST), Duration::from_millis(LONGEST));
        assert!(some[0] >= first / 2 && some[0] <= first);
        assert!(some[39] >= longest / 2 && some.iter().all(|d| *d <= longest));
    }
}
