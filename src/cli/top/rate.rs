//! How many claims become bound in a second. Times are those since the screen began.

use std::collections::VecDeque;
use std::time::Duration;

/// Seconds of the short and of the long average.
const SHORT: u64 = 10;
const LONG: u64 = 60;

/// Counts of the last minute, by second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The second and its count; those in which nothing happened are left out.
    seconds: VecDeque<(u64, u32)>,
}

/// Claims per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Averages {
    /// Over 10 s.
    pub(super) short: f64,
    /// Over 60 s.
    pub(super) long: f64,
}

impl Rate {
    pub(super) fn add(&mut self, at: Duration) {
        let second = at.as_secs();
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            Some(_) | None => self.seconds.push_back((second, 1)),
        }
        while self.seconds.front().is_some_and(|(s, _)| s + LONG < second) {
            self.seconds.pop_front();
        }
    }

    /// The averages at a time. At the beginning they are over the time that has passed.
    pub(super) fn averages(&self, at: Duration) -> Averages {
        let now = at.as_secs();
        let over = |window: u64| {
            let counts = self.seconds.iter().rev();
            let counts = counts.take_while(|(second, _)| second + window > now);
            let sum: u64 = counts.map(|(_, count)| u64::from(*count)).sum();
            sum as f64 / window.min(now + 1) as f64
        };
        Averages {
            short: over(SHORT),
            long: over(LONG),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn shown(rate: &Rate, seconds: u64) -> String {
        let Averages { short, long } = rate.averages(at(seconds));
        format!("{short:.2} {long:.2}")
    }

    #[test]
    fn a_rate_is_over_the_last_seconds_and_falls_to_nothing() {
        let mut rate = Rate::default();
        assert_eq!(shown(&rate, 0), "0.00 0.00");
        for _ in 0..20 {
            rate.add(at(1));
        }
        assert_eq!(shown(&rate, 1), "10.00 10.00", "two seconds have passed");
        assert_eq!(shown(&rate, 10), "2.00 1.82");
        assert_eq!(shown(&rate, 11), "0.00 1.67");
        rate.add(at(59));
        assert_eq!(shown(&rate, 60), "0.10 0.35");
        assert_eq!(shown(&rate, 61), "0.10 0.02");
        rate.add(at(200));
        assert_eq!(rate.seconds.len(), 1);
        assert_eq!(shown(&rate, 300), "0.00 0.00");
    }
}
