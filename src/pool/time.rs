//! Moments and waiting times. The clock itself is outside: every moment here was handed in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;

/// The time of one step, twice (`docs/design.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What timers and pauses go by. Never runs backwards; comparable only with itself.
    pub now: Timestamp,
    /// What the system's clock shows: for what is compared with times of the API server, and for what people read. It may jump.
    pub wall: Timestamp,
}

impl From<Timestamp> for Moment {
    /// A system's clock that has not been set since the start.
    fn from(now: Timestamp) -> Self {
        Self { now, wall: now }
    }
}

/// A moment after another; at the end of time it stays there.
pub(super) fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Why a request is sent again, which decides how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A definite no: 1 s to 60 s.
    Refused,
    /// The answer is lost or the object changed meanwhile: 100 ms to 30 s.
    Lost,
    /// It was not sent: when the server allows it, else 100 ms to 5 s.
    NotSent(Option<Duration>),
}

/// Delay before the next try after so many failures: doubled from `first` up to `longest` (of one unit, as the result), half of
/// it random, so that many do not come back at once.
pub fn delay(failures: u16, first: u64, longest: u64, rng: &mut StdRng) -> u64 {
    let full = first.saturating_mul(1 << failures.min(16)).min(longest);
    rng.random_range(full / 2..=full)
}

/// Backoff of one claim or of the pool's own requests. One claim's backoff delays no other (A12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Backoff {
    failures: u16,
    is_refused: bool,
    until: Option<Timestamp>,
}

impl Backoff {
    /// Nothing has failed.
    pub(super) const NONE: Self = Self {
        failures: 0,
        is_refused: false,
        until: None,
    };

    /// The time before which nothing is tried again; `None` once it has passed.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| *until > now)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Whether so much has failed in a row, for some seconds, that people are to know.
    pub(super) fn has_failed_often(&self) -> bool {
        self.failures >= 6
    }

    /// Whether the last try got a definite no.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    pub(super) fn reset(&mut self) {
        *self = Self::NONE;
    }

    /// The next try may come at once. When that fails as well, the pause after it is longer still.
    pub(super) fn ends_pause(&mut self) {
        self.until = None;
    }

    /// Sets the time of the next try, longer after every failure.
    pub(super) fn fail(&mut self, failure: Failure, now: Timestamp, rng: &mut StdRng) {
        let (first, longest): (u64, u64) = match failure {
            Failure::Refused => (1_000, 60_000),
            Failure::Lost => (100, 30_000),
            Failure::NotSent(None) => (100, 5_000),
            Failure::NotSent(Some(asked)) => {
                let asked = asked.as_millis().clamp(1, 600_000) as u64;
                (asked, asked)
            }
        };
        let wait = match failure {
            // Never earlier than the server asked.
            Failure::NotSent(Some(_)) => first + rng.random_range(0..=first / 4),
            Failure::Refused | Failure::Lost | Failure::NotSent(None) => {
                delay(self.failures, first, longest, rng)
            }
        };
        let wait = i64::try_from(wait).unwrap_or(i64::MAX);
        self.failures = self.failures.saturating_add(1);
        self.is_refused = failure == Failure::Refused;
        self.until = Some(later(now, SignedDuration::from_millis(wait)));
    }
}
