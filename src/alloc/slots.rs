//! A set of used numbers out of `0..=top`, for any `top` up to `u128::MAX`.
//!
//! ```text
//!   numbers  0 ............................................................. top
//!   chunks   [full][full][full][ some ][full][      none      ][ some ][  none  ]     65,536 numbers each
//!   stored   |-- one run ------|         run                                          `full`: maximal runs
//!                               Chunk                           Chunk                 `mixed`: neither full nor empty
//! ```
//! The lowest free number lies in the first chunk behind the run that begins at 0: one look-up, and the chunk does the
//! rest. Memory goes with what is mixed, never with `top`.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};

use super::chunk::{CHUNK, Chunk};

const CHUNK_BITS: u32 = CHUNK.trailing_zeros();

/// Tries at a random number before the exact way; below one free number in [`CROWDED`] there are none.
const TRIES: u32 = 16;
const CROWDED: u128 = 8;

/// See the module's comment.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// The highest number; None when there is no number at all.
    top: Option<u128>,
    used: u128,
    mixed: BTreeMap<u128, Chunk>,
    full: Runs,
}

impl Slots {
    /// All numbers of `0..=top` free.
    pub(super) fn new(top: Option<u128>) -> Self {
        Self {
            top,
            used: 0,
            mixed: BTreeMap::new(),
            full: Runs::default(),
        }
    }

    /// Whether no number is free.
    pub(super) fn is_full(&self) -> bool {
        self.top.is_none_or(|top| self.used > top)
    }

    pub(super) fn is_used(&self, number: u128) -> bool {
        let (chunk, slot) = split(number);
        match self.mixed.get(&chunk) {
            Some(mixed) => mixed.is_used(slot),
            None => self.full.contains(chunk),
        }
    }

    /// Marks a number, at most `top`, as used; false if it was.
    pub(super) fn take(&mut self, number: u128) -> bool {
        let (chunk, slot) = split(number);
        let full = match self.mixed.get_mut(&chunk) {
            Some(mixed) => {
                if !mixed.take(slot) {
                    return false;
                }
                mixed.is_full()
            }
            None if self.full.contains(chunk) => return false,
            None => self.begin(chunk, slot),
        };
        self.used += 1;
        if full {
            self.mixed.remove(&chunk);
            self.full.insert(chunk);
        }
        true
    }

    /// Marks a number, at most `top`, as free; false if it was.
    pub(super) fn release(&mut self, number: u128) -> bool {
        let (chunk, slot) = split(number);
        let empty = match self.mixed.get_mut(&chunk) {
            Some(mixed) => {
                if !mixed.release(slot) {
                    return false;
                }
                mixed.is_empty()
            }
            None if !self.full.remove(chunk) => return false,
            None => {
                let mixed = Chunk::with_one_free(self.size(chunk), slot);
                let empty = mixed.is_empty();
                self.mixed.insert(chunk, mixed);
                empty
            }
        };
        self.used -= 1;
        if empty {
            self.mixed.remove(&chunk);
        }
        true
    }

    /// The lowest free number.
    pub(super) fn first_free(&self) -> Option<u128> {
        if self.is_full() {
            return None;
        }
        let chunk = self.full.first_gap();
        let slot = self.mixed.get(&chunk).map_or(0, Chunk::first_free);
        Some(join(chunk, slot))
    }

    /// Marks the lowest free number as used.
    pub(super) fn take_first(&mut self) -> Option<u128> {
        if self.is_full() {
            return None;
        }
        let chunk = self.full.first_gap();
        let (slot, full) = match self.mixed.get_mut(&chunk) {
            Some(mixed) => {
                let slot = mixed.first_free();
                mixed.take(slot);
                (slot, mixed.is_full())
            }
            None => (0, self.begin(chunk, 0)),
        };
        self.used += 1;
        if full {
            self.mixed.remove(&chunk);
            self.full.insert(chunk);
        }
        Some(join(chunk, slot))
    }

    /// Marks a free number as used, each with the same chance.
    ///
    /// A number drawn from all of them that happens to be free is one drawn from the free ones; so is the n-th free
    /// number for a drawn n. The first way is cheap while much is free, the second has a bound: it walks over the mixed
    /// chunks, so it is kept for sets that are nearly full.
    pub(super) fn take_random(&mut self, rng: &mut impl Rng) -> Option<u128> {
        if self.is_full() {
            return None;
        }
        let top = self.top?;
        // One less than the count: all of IPv6 has 2^128 numbers.
        let free = top - self.used;
        if free >= top / CROWDED {
            for _ in 0..TRIES {
                let number = draw(rng, top);
                if self.take(number) {
                    return Some(number);
                }
            }
        }
        let number = self.nth_free(draw(rng, free));
        self.take(number);
        Some(number)
    }

    /// The free number that has `n` free numbers below it; there are more than `n`.
    pub(super) fn nth_free(&self, n: u128) -> u128 {
        let mut left = n;
        // The first chunk that has not been counted.
        let mut next = 0;
        let mut runs = self.full.iter().peekable();
        for (&chunk, mixed) in &self.mixed {
            if let Some(number) = untouched(&mut next, chunk, &mut runs, &mut left) {
                return number;
            }
            let free = u128::from(mixed.free());
            if left < free {
                return join(chunk, mixed.nth_free(left as u32));
            }
            left -= free;
            next = chunk + 1;
        }
        let behind = (u128::MAX >> CHUNK_BITS) + 1;
        untouched(&mut next, behind, &mut runs, &mut left)
            .expect("more than n numbers are free, and every chunk has been counted")
    }

    /// Stores the first used number of an empty chunk; true if that fills it.
    fn begin(&mut self, chunk: u128, slot: u16) -> bool {
        let mixed = Chunk::with_one_used(self.size(chunk), slot);
        let full = mixed.is_full();
        self.mixed.insert(chunk, mixed);
        full
    }

    /// How many numbers a chunk has: all, but for the last one.
    fn size(&self, chunk: u128) -> u32 {
        match self.top {
            Some(top) if top >> CHUNK_BITS == chunk => u32::from(top as u16) + 1,
            Some(_) | None => CHUNK,
        }
    }
}

/// Counts the empty chunks from `next` up to the mixed chunk `until`, stepping over full runs. Returns the number when
/// the one looked for is in them.
fn untouched(
    next: &mut u128,
    until: u128,
    runs: &mut std::iter::Peekable<impl Iterator<Item = (u128, u128)>>,
    left: &mut u128,
) -> Option<u128> {
    loop {
        let run = runs.next_if(|(first, _)| *first < until);
        let gap = run.map_or(until, |(first, _)| first) - *next;
        // 2^112 chunks of 2^16 are 2^128 numbers: compare in chunks.
        if *left >> CHUNK_BITS < gap {
            return Some((*next << CHUNK_BITS) + *left);
        }
        *left -= gap << CHUNK_BITS;
        match run {
            Some((_, last)) => *next = last + 1,
            None => return None,
        }
    }
}

fn draw(rng: &mut impl Rng, top: u128) -> u128 {
    // Almost every set is small enough for the cheaper draw.
    match u64::try_from(top) {
        Ok(top) => rng.random_range(0..=top).into(),
        Err(_) => rng.random_range(0..=top),
    }
}

fn split(number: u128) -> (u128, u16) {
    (number >> CHUNK_BITS, number as u16)
}

fn join(chunk: u128, slot: u16) -> u128 {
    chunk << CHUNK_BITS | u128::from(slot)
}

/// Chunk numbers as maximal runs: first to last.
#[derive(Clone, Debug, Default)]
struct Runs(BTreeMap<u128, u128>);

impl Runs {
    fn iter(&self) -> impl Iterator<Item = (u128, u128)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    fn contains(&self, chunk: u128) -> bool {
        self.run_of(chunk).is_some()
    }

    fn run_of(&self, chunk: u128) -> Option<(u128, u128)> {
        let (first, last) = self.0.range(..=chunk).next_back()?;
        (chunk <= *last).then_some((*first, *last))
    }

    /// The lowest chunk in no run.
    fn first_gap(&self) -> u128 {
        match self.0.first_key_value() {
            Some((0, last)) => last + 1,
            Some(_) | None => 0,
        }
    }

    /// The chunk is in no run.
    fn insert(&mut self, chunk: u128) {
        let last = self.0.remove(&(chunk + 1)).unwrap_or(chunk);
        if let Some((_, end)) = self.0.range_mut(..chunk).next_back()
            && *end + 1 == chunk
        {
            *end = last;
            return;
        }
        self.0.insert(chunk, last);
    }

    /// False if the chunk is in no run.
    fn remove(&mut self, chunk: u128) -> bool {
        let Some((first, last)) = self.run_of(chunk) else {
            return false;
        };
        if first == chunk {
            self.0.remove(&first);
        } else {
            self.0.insert(first, chunk - 1);
        }
        if chunk < last {
            self.0.insert(chunk + 1, last);
        }
        true
    }
}
