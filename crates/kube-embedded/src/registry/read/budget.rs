//! A bound for the bytes of lists that are read or being sent, over all clients of the network. A list is a copy of its objects until
//! the client has read it, and a client may read slowly.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is taken from a budget at a time, in bytes. A list that is smaller takes nothing.
const UNIT: usize = 1 << 20;

/// The bytes that all long lists together may have. Clones share them.
#[derive(Debug, Clone)]
pub struct ListBudget(Arc<Semaphore>);

/// What one list has taken. It is given back when this is dropped.
#[derive(Debug, Default)]
pub struct Held {
    taken: Option<OwnedSemaphorePermit>,
    /// Bytes that were read since a unit was taken last.
    rest: usize,
}

impl ListBudget {
    /// A budget of so many bytes, in whole MiB.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Takes bytes for a list; false: there are no more.
    pub(super) fn take(&self, held: &mut Held, bytes: usize) -> bool {
        held.rest += bytes;
        while held.rest >= UNIT {
            let Ok(unit) = Arc::clone(&self.0).try_acquire_owned() else {
                return false;
            };
            match &mut held.taken {
                Some(taken) => taken.merge(unit),
                None => held.taken = Some(unit),
            }
            held.rest -= UNIT;
        }
        true
    }
}
