//! Room for so many requests, or so much of them, at one time, which slow clients cannot keep for themselves. A good client sends
//! its body at once; so when there is no room left, those whose body has been coming in for a while give way, the oldest first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Time that every client has to send its body, even while others wait. Some MiB take a tenth of it between two machines.
const UNDISTURBED: Duration = Duration::from_millis(500);

/// Room of so many units.
#[derive(Debug)]
pub struct Room {
    units: Arc<Semaphore>,
    readers: Arc<Readers>,
    next: AtomicU64,
}

/// Who has a place and whose body is not complete, in the order of coming.
#[derive(Debug, Default)]
struct Readers(Mutex<BTreeMap<u64, Reader>>);

#[derive(Debug)]
struct Reader {
    since: Instant,
    units: u32,
    gives_way: CancellationToken,
}

/// A place of one unit or more, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    readers: Arc<Readers>,
    gives_way: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

// === impl Room ===

impl Room {
    /// Room of so many units.
    pub fn of(units: usize) -> Self {
        Self {
            units: Arc::new(Semaphore::new(units)),
            readers: Arc::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Waits for a place of so many units. While there is none, the oldest readers give up as much for this waiter; it comes back
    /// once their tasks have run, so the next ones are asked only when not enough has come back for a while.
    ///
    /// # Panics
    /// Never: nobody closes the semaphore.
    pub async fn enter(&self, units: u32) -> Place {
        let permit = Arc::clone(&self.units).acquire_many_owned(units);
        tokio::pin!(permit);
        let mut look = self.readers.disturbed_from();
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => {
                    let permit = permit.expect("the semaphore is never closed");
                    return self.place(permit);
                }
                () = sleep_until(look) => {
                    look = if self.readers.oldest_give_way(units) {
                        Instant::now() + UNDISTURBED
                    } else {
                        self.readers.disturbed_from()
                    };
                }
            }
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let gives_way = CancellationToken::new();
        let reader = Reader {
            since: Instant::now(),
            units: u32::try_from(permit.num_permits()).unwrap_or(u32::MAX),
            gives_way: gives_way.clone(),
        };
        self.readers.lock().insert(number, reader);
        Place {
            number,
            readers: Arc::clone(&self.readers),
            gives_way,
            _permit: permit,
        }
    }
}

// === impl Readers ===

impl Readers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From when on somebody may have to give way, as things stand.
    fn disturbed_from(&self) -> Instant {
        let oldest = self
            .lock()
            .first_key_value()
            .map(|(_, reader)| reader.since);
        oldest.unwrap_or_else(Instant::now) + UNDISTURBED
    }

    /// The oldest of those that have had their time give way, until they had so many units together. Whether there was one.
    fn oldest_give_way(&self, wanted: u32) -> bool {
        let mut readers = self.lock();
        let mut given: u32 = 0;
        while given < wanted {
            let oldest = readers.first_entry();
            let oldest = oldest.filter(|oldest| oldest.get().since.elapsed() >= UNDISTURBED);
            let Some(oldest) = oldest else { break };
            let reader = oldest.remove();
            reader.gives_way.cancel();
            given = given.saturating_add(reader.units);
        }
        given > 0
    }
}

// === impl Place ===

impl Place {
    /// Returns when the place is wanted by somebody else.
    pub async fn gives_way(&self) {
        self.gives_way.cancelled().await;
    }

    /// The body is complete: the place is kept until it is dropped.
    pub fn is_complete(&self) {
        self.readers.lock().remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_complete();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    const PLACES: usize = 8;

    /// A room whose places are all taken by readers that have had their time.
    async fn full() -> (Room, Vec<Place>) {
        let room = Room::of(PLACES);
        let readers = join_all((0..PLACES).map(|_| room.enter(1))).await;
        advance(UNDISTURBED + Duration::from_millis(100)).await;
        (room, readers)
    }

    fn given_way(readers: &[Place]) -> Vec<bool> {
        let gives_way = |place: &Place| place.gives_way.is_cancelled();
        readers.iter().map(gives_way).collect()
    }

    /// So many, the oldest ones.
    fn oldest(n: usize) -> Vec<bool> {
        (0..PLACES).map(|place| place < n).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_reader_gives_way_for_one_waiter() {
        let (room, mut readers) = full().await;
        let mut newcomer = Box::pin(room.enter(1));
        assert!((&mut newcomer).now_or_never().is_none());
        assert_eq!(given_way(&readers), oldest(1));
        // Its task has not run yet.
        tokio::select! {
            _ = &mut newcomer => panic!("no place is free"),
            () = sleep(UNDISTURBED / 2) => {}
        }
        assert_eq!(given_way(&readers), oldest(1));
        tokio::select! {
            _ = &mut newcomer => panic!("no place is free"),
            () = sleep(UNDISTURBED) => {}
        }
        assert_eq!(given_way(&readers), oldest(2), "nothing came back");
        drop(readers.remove(0));
        newcomer.await;
        assert_eq!(given_way(&readers), &oldest(2)[1..]);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_readers_give_way_as_a_waiter_needs() {
        let (room, readers) = full().await;
        let mut newcomer = Box::pin(room.enter(3));
        assert!((&mut newcomer).now_or_never().is_none());
        assert_eq!(given_way(&readers), oldest(3));
        drop(readers);
        newcomer.await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiter_has_a_reader_of_its_own_give_way() {
        let (room, readers) = full().await;
        let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(room.enter(1))).collect();
        for waiter in &mut waiters {
            assert!(waiter.now_or_never().is_none());
        }
        assert_eq!(given_way(&readers), oldest(3));
        drop(readers);
        join_all(waiters).await;
    }
}
