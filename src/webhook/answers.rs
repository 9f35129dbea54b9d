//! Answers until their clients have read them, which some never do. Most have some hundred bytes. Longer ones take their bytes from
//! what all long ones together may have, until the connection has the last of them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to here an answer is short, in bytes. One without more than the verdict is.
pub(super) const SHORT: usize = 2 << 10;
/// Bytes of long answers at one time. A hundred of the longest, which have an error for each of 64 fields.
pub(super) const MOST: usize = 4 << 20;

/// What long answers take from.
#[derive(Debug)]
pub(super) struct Answers(Arc<Semaphore>);

/// The bytes of a long answer, which are given back when the last slice of them is dropped.
struct Kept {
    bytes: Box<[u8]>,
    _taken: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }

    /// The answer, to send it. `None` when it is long and there is no room for it.
    pub(super) fn keep(&self, answer: Vec<u8>) -> Option<Bytes> {
        let bytes = answer.into_boxed_slice();
        if bytes.len() <= SHORT {
            return Some(bytes.into());
        }
        let length = u32::try_from(bytes.len()).ok()?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(length).ok()?;
        Some(Bytes::from_owner(Kept {
            bytes,
            _taken: taken,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_has_its_room_until_the_last_of_it_is_gone() {
        let answers = Answers::new();
        let mut all = answers.keep(vec![b'x'; MOST]).unwrap();
        assert!(answers.keep(vec![b'x'; SHORT + 1]).is_none());
        assert!(answers.keep(vec![b'x'; SHORT]).is_some());
        let last = all.split_off(MOST - 1);
        drop(all);
        assert!(answers.keep(vec![b'x'; SHORT + 1]).is_none());
        drop(last);
        assert!(answers.keep(vec![b'x'; SHORT + 1]).is_some());
    }
}
