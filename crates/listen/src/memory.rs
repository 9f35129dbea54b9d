//! What JSON takes of memory once it is parsed: a body of some MiB can hold millions of values, each of which takes ten times its
//! text and more. Who parses a body says of each value what it is, and stops when the memory that there is for it is used up.

use std::cell::Cell;
use std::fmt;

/// A value in a list that grows by doubling.
pub const VALUE: usize = 64;
/// The first item of a list, beside its own value: there is room for four.
pub const LIST: usize = 96;
/// What the allocator adds to a text.
pub const TEXT: usize = 16;
/// The first node of a map, in which so many entries fit, and an entry of the other ones, which are half empty.
pub const NODE: usize = 640;
const IN_NODE: usize = 11;
const ENTRY: usize = 128;

/// Bytes of memory that may still be taken.
#[derive(Debug)]
pub struct Memory(Cell<Option<usize>>);

/// The memory is used up.
#[derive(Debug, Clone, Copy)]
pub struct UsedUp;

// === impl Memory ===

impl Memory {
    /// So many bytes.
    pub fn of(bytes: usize) -> Self {
        Self(Cell::new(Some(bytes)))
    }

    /// Whether more was asked than there was.
    pub fn is_used_up(&self) -> bool {
        self.0.get().is_none()
    }

    /// Takes what every value takes.
    ///
    /// # Errors
    /// When there is not as much.
    pub fn value(&self) -> Result<(), UsedUp> {
        self.take(VALUE)
    }

    /// Takes what a text takes beside its value.
    ///
    /// # Errors
    /// When there is not as much.
    pub fn text(&self, length: usize) -> Result<(), UsedUp> {
        self.take(TEXT + length)
    }

    /// Takes what an item takes, beside its value, in a list that has so many before it.
    ///
    /// # Errors
    /// When there is not as much.
    pub fn item(&self, before: usize) -> Result<(), UsedUp> {
        self.take(if before == 0 { LIST } else { 0 })
    }

    /// Takes what an entry takes, beside its value, in a map that has so many others.
    ///
    /// # Errors
    /// When there is not as much.
    pub fn entry(&self, key: &str, others: usize) -> Result<(), UsedUp> {
        self.text(key.len())?;
        self.take(match others {
            0 => NODE,
            1..IN_NODE => 0,
            IN_NODE.. => ENTRY,
        })
    }

    fn take(&self, bytes: usize) -> Result<(), UsedUp> {
        let left = self.0.get().and_then(|left| left.checked_sub(bytes));
        self.0.set(left);
        left.map(drop).ok_or(UsedUp)
    }
}

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it takes too much memory")
    }
}
