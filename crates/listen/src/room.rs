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

/// Who has a place or waits for one.
#[derive(Debug)]
struct Readers {
    /// Units of the room.
    room: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whose body is not complete, in the order of coming.
    readers: BTreeMap<u64, Reader>,
    /// Who was asked to give way and has not done so: when, and how many units it has.
    asked: BTreeMap<u64, (Instant, usize)>,
    /// Units of all places.
    taken: usize,
    /// Units for which somebody waits.
    wanted: usize,
}

#[derive(Debug)]
struct Reader {
    since: Instant,
    units: usize,
    gives_way: CancellationToken,
}

/// Somebody waits for so many units.
struct Waiter<'r> {
    readers: &'r Readers,
    units: usize,
}

/// A place of one unit or more, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    readers: Arc<Readers>,
    gives_way: CancellationToken,
    permit: OwnedSemaphorePermit,
}

// === impl Room ===

impl Room {
    /// Room of so many units.
    pub fn of(units: usize) -> Self {
        Self {
            units: Arc::new(Semaphore::new(units)),
            readers: Arc::new(Readers {
                room: units,
                state: Mutex::default(),
            }),
            next: AtomicU64::new(0),
        }
    }

    /// Waits for a place of so many units. While there is none, the oldest readers give up what is missing for all waiters; it
    /// comes back once their tasks have run, so the next ones are asked only when not enough has come back for a while.
    ///
    /// # Panics
    /// Never: nobody closes the semaphore.
    pub async fn enter(&self, units: u32) -> Place {
        let permit = Arc::clone(&self.units).acquire_many_owned(units);
        tokio::pin!(permit);
        let mut waiter = self.readers.wait(units as usize);
        let mut look = self.readers.disturbed_from();
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => {
                    let permit = permit.expect("the semaphore is never closed");
                    return self.place(permit, &mut waiter);
                }
                () = sleep_until(look) => {
                    look = if self.readers.oldest_give_way() {
                        Instant::now() + UNDISTURBED
                    } else {
                        self.readers.disturbed_from()
                    };
                }
            }
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit, waiter: &mut Waiter<'_>) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let gives_way = CancellationToken::new();
        let units = std::mem::take(&mut waiter.units);
        let reader = Reader {
            since: Instant::now(),
            units,
            gives_way: gives_way.clone(),
        };
        let mut state = self.readers.lock();
        state.wanted -= units;
        state.taken += units;
        state.readers.insert(number, reader);
        drop(state);
        Place {
            number,
            readers: Arc::clone(&self.readers),
            gives_way,
            permit,
        }
    }
}

// === impl Readers ===

impl Readers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, units: usize) -> Waiter<'_> {
        self.lock().wanted += units;
        Waiter {
            readers: self,
            units,
        }
    }

    /// From when on somebody may have to give way, as things stand.
    fn disturbed_from(&self) -> Instant {
        let state = self.lock();
        let oldest = state.readers.first_key_value();
        oldest.map_or_else(Instant::now, |(_, reader)| reader.since) + UNDISTURBED
    }

    /// The oldest of those that have had their time give way, until they have together what all waiters miss. What was asked for
    /// a moment ago comes back yet. Whether enough was asked for, or one at least.
    fn oldest_give_way(&self) -> bool {
        let mut state = self.lock();
        let free = self.room.saturating_sub(state.taken);
        let recent =
            |(at, units): &(Instant, usize)| (at.elapsed() < UNDISTURBED).then_some(*units);
        let coming: usize = state.asked.values().filter_map(recent).sum();
        let missing = state.wanted.saturating_sub(free + coming);
        let mut given = 0;
        while given < missing {
            let oldest = state.readers.first_entry();
            let oldest = oldest.filter(|oldest| oldest.get().since.elapsed() >= UNDISTURBED);
            let Some(oldest) = oldest else { break };
            let (number, reader) = oldest.remove_entry();
            reader.gives_way.cancel();
            given += reader.units;
            state.asked.insert(number, (Instant::now(), reader.units));
        }
        missing == 0 || given > 0
    }
}

// === impl State ===

impl State {
    /// The place need not give way any more.
    fn forget(&mut self, number: u64) {
        self.readers.remove(&number);
        self.asked.remove(&number);
    }
}

// === impl Waiter ===

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.readers.lock().wanted -= self.units;
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
        self.readers.lock().forget(self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.readers.lock();
        state.forget(self.number);
        state.taken -= self.permit.num_permits();
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
    async fn readers_give_way_only_for_what_is_missing() {
        let (room, mut readers) = full().await;
        drop(readers.drain(6..));
        // Two are free.
        let mut newcomer = Box::pin(room.enter(4));
        assert!((&mut newcomer).now_or_never().is_none());
        assert_eq!(given_way(&readers), &oldest(2)[..6]);
        // One of them goes. For the other, which stays, one more is asked.
        drop(readers.remove(0));
        tokio::select! {
            _ = &mut newcomer => panic!("one place is missing"),
            () = sleep(UNDISTURBED + UNDISTURBED / 2) => {}
        }
        assert_eq!(given_way(&readers), &oldest(2)[..5]);
        // Who goes away wants nothing any more.
        drop(newcomer);
        let mut other = Box::pin(room.enter(3));
        assert_eq!(readers.len(), 5);
        let _place = (&mut other).now_or_never().unwrap();
        let mut last = Box::pin(room.enter(1));
        assert!((&mut last).now_or_never().is_none());
        assert_eq!(given_way(&readers), &oldest(2)[..5], "it was asked before");
        drop(readers.remove(0));
        last.await;
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
