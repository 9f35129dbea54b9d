//! What time it is, for the pools.
//!
//! Two times, since no single one serves both purposes. Timers and pauses go by the monotonic time, which never jumps. What is
//! compared with times of the API server, or stored for people (grace periods, ages, conditions), goes by the system's clock,
//! which is followed: NTP sets it, and it goes on while a machine is suspended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::pool::Moment;

/// The monotonic time and the system's clock (see the module).
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// What the system's clock showed at the start; from there the monotonic time is counted.
    begun: Timestamp,
    start: Instant,
    /// The system's clock. `None`: it goes with tokio's time, which a test can pause.
    system: Option<fn() -> Timestamp>,
}

impl Clock {
    /// The system's clock, followed.
    pub fn system() -> Self {
        Self::following(Timestamp::now)
    }

    /// A clock that follows this one, whatever it shows.
    pub fn following(system: fn() -> Timestamp) -> Self {
        Self {
            system: Some(system),
            ..Self::at_start(system())
        }
    }

    /// The system's clock as it stands now, carried on by tokio's time.
    pub fn start() -> Self {
        Self::at_start(Timestamp::now())
    }

    /// A clock that shows this time now and goes on with tokio's time.
    pub fn at_start(begun: Timestamp) -> Self {
        Self {
            begun,
            start: Instant::now(),
            system: None,
        }
    }

    /// The time that timers go by. Never runs backwards.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(Instant::now().duration_since(self.start))
            .unwrap_or(SignedDuration::MAX);
        self.begun.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// What the system's clock shows.
    pub fn wall(&self) -> Timestamp {
        self.system.map_or_else(|| self.now(), |system| system())
    }

    /// Both times, for one step of a pool.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.now(),
            wall: self.wall(),
        }
    }

    /// Returns when the system's clock was set: it has gone by another length than the monotonic time since this was called.
    pub(super) async fn jumps(&self) {
        let ahead = || self.wall().duration_since(self.now());
        let before = ahead();
        loop {
            tokio::time::sleep(LOOK).await;
            if (ahead() - before).abs() > SLACK {
                return;
            }
        }
    }

    /// The moment at which [`Self::now`] is `time` or later. Times beyond a day are cut to it: waking early is harmless.
    pub(super) fn instant(&self, time: Timestamp) -> Instant {
        let ahead = time.duration_since(self.begun);
        let ahead = Duration::try_from(ahead).unwrap_or_default();
        let latest = Instant::now() + Duration::from_hours(24);
        self.start
            .checked_add(ahead)
            .map_or(latest, |i| i.min(latest))
    }
}

/// How often the two times are compared.
const LOOK: Duration = Duration::from_secs(1);
/// The difference that counts as a jump: slewing by NTP stays below it for minutes. Above `CLOCK_SET` in pool/machine.rs.
const SLACK: SignedDuration = SignedDuration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_tokios_time() {
        let clock = Clock::start();
        let wake = clock.now() + SignedDuration::from_secs(3);
        tokio::time::sleep_until(clock.instant(wake)).await;
        assert_eq!(clock.now(), wake);
        assert_eq!(clock.wall(), wake);
        assert!(clock.instant(clock.now() - SignedDuration::from_secs(60)) <= Instant::now());
        assert!(clock.instant(Timestamp::MAX) > Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn the_systems_clock_is_followed_where_it_jumps_and_timers_are_not() {
        static SHOWN: AtomicI64 = AtomicI64::new(1_700_000_000);
        let clock = Clock::following(|| {
            Timestamp::from_second(SHOWN.load(Ordering::SeqCst)).unwrap_or_default()
        });
        let (now, wall) = (clock.now(), clock.wall());
        for hours in [-1, 2] {
            let jump = clock.jumps();
            SHOWN.fetch_add(hours * 3600, Ordering::SeqCst);
            jump.await;
            assert!(clock.now().duration_since(now) < SignedDuration::from_secs(5));
        }
        assert_eq!(clock.wall(), wall + SignedDuration::from_hours(1));
    }
}
