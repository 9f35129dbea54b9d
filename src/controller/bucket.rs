//! The token bucket of `--kube-api-qps` and `--kube-api-burst`.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::settings::Rate;

/// Holds `burst` tokens at most and gains `qps` a second.
pub(super) struct Bucket {
    /// Time that one token takes to grow.
    interval: Duration,
    /// Time that a full bucket is worth.
    depth: Duration,
    /// The bucket is as full as the time since then; never earlier than `depth` ago.
    empty_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let interval = Duration::from_secs_f64(1.0 / f64::from(rate.qps.max(0.001)));
        let depth = interval.saturating_mul(rate.burst.max(1));
        let now = Instant::now();
        Self {
            interval,
            depth,
            empty_at: now.checked_sub(depth).unwrap_or(now),
        }
    }

    /// Takes one token, as soon as there is one.
    pub(super) async fn take(&mut self) {
        let now = Instant::now();
        let fullest = now.checked_sub(self.depth).unwrap_or(self.empty_at);
        self.empty_at = self.empty_at.max(fullest) + self.interval;
        sleep_until(self.empty_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate() {
        // A paused clock may stand near its own zero; a bucket needs a past to be full.
        tokio::time::advance(Duration::from_mins(1)).await;
        let mut bucket = Bucket::new(Rate {
            qps: 10.0,
            burst: 5,
        });
        let start = Instant::now();
        for _ in 0..5 {
            bucket.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            bucket.take().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_hours(1)).await;
        let later = Instant::now();
        for _ in 0..6 {
            bucket.take().await;
        }
        assert_eq!(later.elapsed(), Duration::from_millis(100));
    }
}
