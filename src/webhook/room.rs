//! Places for so many requests at one time, which slow clients cannot keep for themselves. The API server sends a body at once;
//! so when all places are taken, those whose body has been coming in for a while give way, the oldest first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Time that every client has to send its body, even while others wait. Some MiB take a tenth of it between two machines.
const UNDISTURBED: Duration = Duration::from_millis(500);

/// So many places.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    readers: Arc<Readers>,
    next: AtomicU64,
}

/// Who has a place and whose body is not complete, in the order of coming.
#[derive(Debug, Default)]
struct Readers(Mutex<BTreeMap<u64, Reader>>);

#[derive(Debug)]
struct Reader {
    since: Instant,
    gives_way: CancellationToken,
}

/// One place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    readers: Arc<Readers>,
    gives_way: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

// === impl Room ===

impl Room {
    pub(super) fn of(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            readers: Arc::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Waits for a place; while there is none, the oldest readers give theirs up.
    pub(super) async fn enter(&self) -> Place {
        let permit = Arc::clone(&self.places).acquire_owned();
        tokio::pin!(permit);
        loop {
            let look = sleep_until(self.readers.disturbed_from());
            tokio::select! {
                biased;
                permit = &mut permit => {
                    let permit = permit.expect("the semaphore is never closed");
                    return self.place(permit);
                }
                () = look => self.readers.oldest_gives_way(),
            }
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let gives_way = CancellationToken::new();
        let reader = Reader {
            since: Instant::now(),
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

    fn oldest_gives_way(&self) {
        let mut readers = self.lock();
        let oldest = readers.first_entry();
        if let Some(oldest) = oldest.filter(|oldest| oldest.get().since.elapsed() >= UNDISTURBED) {
            oldest.remove().gives_way.cancel();
        }
    }
}

// === impl Place ===

impl Place {
    /// Returns when the place is wanted by somebody else.
    pub(super) async fn gives_way(&self) {
        self.gives_way.cancelled().await;
    }

    /// The body is complete: the place is kept until it is dropped.
    pub(super) fn is_complete(&self) {
        self.readers.lock().remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_complete();
    }
}
