//! What time it is, for the pools.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The wall clock as it stood at the start, carried on by tokio's: so it never jumps, and stands still where a test has
/// paused the time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    /// The system's clock as it stands now.
    pub fn start() -> Self {
        Self::at_start(Timestamp::now())
    }

    /// A clock that shows this time now.
    pub fn at_start(wall: Timestamp) -> Self {
        Self {
            wall,
            start: Instant::now(),
        }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Timestamp {
        let elapsed = SignedDuration::try_from(instant.duration_since(self.start))
            .unwrap_or(SignedDuration::MAX);
        self.wall.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The moment at which [`Self::now`] is `time` or later. Times beyond a day are cut to it: waking early is harmless.
    pub(super) fn instant(&self, time: Timestamp) -> Instant {
        let ahead = time.duration_since(self.wall);
        let ahead = Duration::try_from(ahead).unwrap_or_default();
        let latest = Instant::now() + Duration::from_hours(24);
        self.start
            .checked_add(ahead)
            .map_or(latest, |i| i.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_tokios_time() {
        let clock = Clock::start();
        let wake = clock.now() + SignedDuration::from_secs(3);
        tokio::time::sleep_until(clock.instant(wake)).await;
        assert_eq!(clock.now(), wake);
        assert!(clock.instant(clock.now() - SignedDuration::from_secs(60)) <= Instant::now());
        assert!(clock.instant(Timestamp::MAX) > Instant::now());
    }
}
