//! How much is reviewed: each token, and each path that its user asks for, costs the API server a request with the manager's
//! own rights, and anyone who reaches the port can send new ones. The bounds are by address, so that one who guesses takes
//! nothing from a scraper elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time after which it may begin one more.
const EVERY: Duration = Duration::from_secs(1);
/// Reviews of one address at one time.
const AT_ONCE: u32 = 2;
/// Reviews at one time, of all addresses.
const AT_ONCE_OF_ALL: u32 = 16;
/// Addresses that are remembered. Beyond them a new address has to wait until another has been quiet.
const ADDRESSES: usize = 1_024;

/// The reviews of the last seconds.
pub(super) struct Rate {
    /// Reviews that an address may begin at once after a quiet time.
    burst: u32,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    by_address: HashMap<IpAddr, Asker>,
    in_progress: u32,
}

struct Asker {
    /// When all reviews that it began are paid for.
    paid: Instant,
    in_progress: u32,
}

/// A review in progress; dropped when it is over.
pub(super) struct Review<'a> {
    rate: &'a Rate,
    from: IpAddr,
}

impl Rate {
    /// With bursts of so many reviews.
    pub(super) fn of(burst: u32) -> Self {
        Self {
            burst,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every entry is whole at every moment, also after a panic elsewhere.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a review for a client at this address; `None` when it has to wait.
    pub(super) fn begin(&self, from: IpAddr) -> Option<Review<'_>> {
        let now = Instant::now();
        let mut seen = self.seen();
        if seen.in_progress >= AT_ONCE_OF_ALL {
            return None;
        }
        if seen.by_address.len() >= ADDRESSES {
            seen.by_address
                .retain(|_, asker| asker.paid > now || asker.in_progress > 0);
        }
        if seen.by_address.len() >= ADDRESSES && !seen.by_address.contains_key(&from) {
            return None;
        }
        let asker = seen.by_address.entry(from).or_insert(Asker {
            paid: now,
            in_progress: 0,
        });
        let paid = asker.paid.max(now) + EVERY;
        if paid > now + EVERY * self.burst || asker.in_progress >= AT_ONCE {
            return None;
        }
        asker.paid = paid;
        asker.in_progress += 1;
        seen.in_progress += 1;
        Some(Review { rate: self, from })
    }
}

impl Drop for Review<'_> {
    fn drop(&mut self) {
        let mut seen = self.rate.seen();
        seen.in_progress -= 1;
        if let Some(asker) = seen.by_address.get_mut(&self.from) {
            asker.in_progress -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_has_a_burst_then_a_rate_and_takes_nothing_from_others() {
        let rate = Rate::of(10);
        let [one, two] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        let began = |from| {
            let mut count = 0;
            while rate.begin(from).is_some() {
                count += 1;
            }
            count
        };
        assert_eq!(began(one), 10);
        assert_eq!(began(two), 10);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(began(one), 3);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(began(one), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_in_progress_at_one_time() {
        let rate = Rate::of(10);
        let one = IpAddr::from([10, 0, 0, 1]);
        let held = [rate.begin(one), rate.begin(one)];
        assert!(held.iter().all(Option::is_some) && rate.begin(one).is_none());
        drop(held);
        assert!(rate.begin(one).is_some());
        let many: Vec<_> = (0..20)
            .map(|n| rate.begin(IpAddr::from([10, 0, 1, n])))
            .collect();
        assert_eq!(many.iter().flatten().count(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let rate = Rate::of(10);
        let address = |n: u16| IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
        let began = (0..2_000).filter(|n| rate.begin(address(*n)).is_some());
        assert_eq!(began.count(), ADDRESSES);
        tokio::time::advance(EVERY * 2).await;
        assert!(rate.begin(address(5_000)).is_some());
        assert_eq!(rate.seen().by_address.len(), 1);
    }
}
