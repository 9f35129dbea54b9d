//! What the compared structures have in common: offsets `0..size`, used or free.

use rand::rngs::StdRng;

use crate::patterns::{Pattern, Space};

/// One structure. Sizes are at most 2^24, but for [`Space`]s that only the chosen structure is measured on.
pub(crate) trait Subject: Sized {
    /// As printed.
    const NAME: &str;

    /// All offsets free.
    fn new(space: Space) -> Self;

    /// Marks the lowest free offset as used.
    fn take_first(&mut self) -> Option<u64>;

    /// Marks a uniformly chosen free offset as used.
    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64>;

    /// Marks this offset as used; false if it was.
    fn take(&mut self, offset: u64) -> bool;

    /// Marks this offset as free; false if it was.
    fn release(&mut self, offset: u64) -> bool;

    /// Whether one batch, or preparing the case, would take seconds.
    fn hopeless(_pattern: Pattern, _space: Space) -> bool {
        false
    }
}
