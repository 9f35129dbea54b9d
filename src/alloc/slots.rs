//! A set of used numbers out of `0..=top`, for any `top` up to `u128::MAX`: `roaring` bitmaps, and the runs of full chunks.
//!
//! ```text
//!   numbers  0 ............................................................. top
//!   windows  |---------- one RoaringBitmap for each 2^32 numbers ----------|    almost every set has one
//!   chunks   [full][full][full][ some ][full][      none      ][ some ][  none  ]     65,536 numbers, a container each
//!   stored   |-- one run ------|         run                                          `full`: maximal runs
//!                               bitmap                          bitmap                `windows`, counted in `mixed`
//! ```
//! The lowest free number lies in the first chunk behind the run that begins at 0: one look-up, and then one container is
//! halved until its first free number is left. Memory goes with what is mixed, never with `top`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use roaring::RoaringBitmap;

/// Numbers of a whole chunk, which are those of a container of `roaring`; the last chunk of a set may have fewer.
const CHUNK: u32 = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 16;
/// Numbers of a window, which are those of a bitmap.
const WINDOW_BITS: u32 = 32;

/// Tries at a random number before the exact way; below one free number in [`CROWDED`] there are none.
const TRIES: u32 = 16;
const CROWDED: u128 = 8;
/// Free numbers of a chunk that are skipped one stretch after the other.
const NEAR: u32 = 64;

/// The used numbers of a range (see the module).
#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// The highest number; None when there is no number at all.
    top: Option<u128>,
    used: u128,
    /// The used numbers of chunks that are neither full nor empty. No bitmap is empty.
    windows: BTreeMap<u128, RoaringBitmap>,
    /// These chunks, and how many numbers of each are used.
    mixed: BTreeMap<u128, u32>,
    full: Runs,
}

impl Slots {
    /// A range of the numbers `0..=top`, all of them free; `None` has no number at all.
    pub(super) fn new(top: Option<u128>) -> Self {
        Self {
            top,
            used: 0,
            windows: BTreeMap::new(),
            mixed: BTreeMap::new(),
            full: Runs::default(),
        }
    }

    /// Whether no number is free.
    pub(super) fn is_full(&self) -> bool {
        self.top.is_none_or(|top| self.used > top)
    }

    /// How many numbers are used.
    pub(super) fn used(&self) -> u128 {
        self.used
    }

    /// How many numbers there are; it saturates.
    pub(super) fn count(&self) -> u128 {
        self.top.map_or(0, |top| top.saturating_add(1))
    }

    pub(super) fn is_used(&self, number: u128) -> bool {
        let (window, offset) = split(number);
        let bitmap = self.windows.get(&window);
        bitmap.is_some_and(|bitmap| bitmap.contains(offset)) || self.full.contains(chunk(number))
    }

    /// Marks a number, at most `top`, as used; false if it was.
    pub(super) fn take(&mut self, number: u128) -> bool {
        let (window, offset) = split(number);
        let chunk = chunk(number);
        let size = self.size(chunk);
        let taken = match self.mixed.get_mut(&chunk) {
            Some(used) => {
                let bitmap = self.windows.get_mut(&window);
                if !bitmap.is_some_and(|bitmap| bitmap.insert(offset)) {
                    return false;
                }
                *used += 1;
                *used
            }
            None if self.full.contains(chunk) => return false,
            None if size == 1 => 1,
            None => {
                self.mixed.insert(chunk, 1);
                self.windows.entry(window).or_default().insert(offset);
                1
            }
        };
        self.used += 1;
        if taken == size {
            self.forget(chunk);
            self.full.insert(chunk);
        }
        true
    }

    /// Marks a number, at most `top`, as free; false if it was.
    pub(super) fn release(&mut self, number: u128) -> bool {
        let (window, offset) = split(number);
        let chunk = chunk(number);
        let size = self.size(chunk);
        let left = match self.mixed.get_mut(&chunk) {
            Some(used) => {
                let bitmap = self.windows.get_mut(&window);
                if !bitmap.is_some_and(|bitmap| bitmap.remove(offset)) {
                    return false;
                }
                *used -= 1;
                *used
            }
            None if !self.full.remove(chunk) => return false,
            None if size == 1 => 0,
            None => {
                // `roaring` keeps a range as runs, and would keep them when there are many: bits have a bound.
                let mut all = RoaringBitmap::new();
                all.insert_range(offsets(chunk, size));
                all.remove_run_compression();
                all.remove(offset);
                *self.windows.entry(window).or_default() |= all;
                self.mixed.insert(chunk, size - 1);
                size - 1
            }
        };
        self.used -= 1;
        if left == 0 {
            self.forget(chunk);
        }
        true
    }

    /// The lowest free number.
    pub(super) fn first_free(&self) -> Option<u128> {
        if self.is_full() {
            return None;
        }
        let chunk = self.full.first_gap();
        let is_mixed = self.mixed.contains_key(&chunk);
        Some(if is_mixed {
            self.nth_free_of(chunk, 0)
        } else {
            chunk << CHUNK_BITS
        })
    }

    /// Marks the lowest free number as used.
    pub(super) fn take_first(&mut self) -> Option<u128> {
        let number = self.first_free()?;
        self.take(number);
        Some(number)
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
        for (&chunk, used) in &self.mixed {
            if let Some(number) = untouched(&mut next, chunk, &mut runs, &mut left) {
                return number;
            }
            let free = u128::from(self.size(chunk) - used);
            if left < free {
                return self.nth_free_of(chunk, left as u32);
            }
            left -= free;
            next = chunk + 1;
        }
        let behind = (u128::MAX >> CHUNK_BITS) + 1;
        untouched(&mut next, behind, &mut runs, &mut left)
            .expect("more than n numbers are free, and every chunk has been counted")
    }

    /// The free number of a mixed chunk that has `n` free numbers of it below it; there are more than `n`.
    ///
    /// Free numbers are skipped one stretch after the other, from a place that is near: `roaring` counts what is used below
    /// a number by looking at each word once, so such places are guessed, by turns as if the free numbers were spread evenly
    /// and in the middle, which bounds the number of guesses whatever lies where.
    fn nth_free_of(&self, chunk: u128, n: u32) -> u128 {
        let base = chunk << CHUNK_BITS;
        let Some(bitmap) = self.windows.get(&(base >> WINDOW_BITS)) else {
            return base + u128::from(n);
        };
        let first = base as u32;
        let size = self.size(chunk);
        // The wanted number is in `low..high` of the chunk, which have these free ones below them.
        let (mut low, mut below_low) = (0, 0);
        let (mut high, mut below_high) =
            (size, size - self.mixed.get(&chunk).copied().unwrap_or(0));
        let mut evenly = true;
        while n - below_low > NEAR && high - low > NEAR {
            let share = u64::from(n - below_low) * u64::from(high - low);
            let guess = if evenly {
                low + (share / u64::from(below_high - below_low)) as u32
            } else {
                low.midpoint(high)
            };
            let guess = guess.clamp(low + 1, high - 1);
            evenly = !evenly;
            let below = guess - bitmap.range_cardinality(first..first + guess) as u32;
            if below <= n {
                (low, below_low) = (guess, below);
            } else {
                (high, below_high) = (guess, below);
            }
        }
        let mut left = n - below_low;
        let mut next = first + low;
        let mut runs = bitmap.range(next..=first + (size - 1));
        while let Some(run) = runs.next_range() {
            let free = *run.start() - next;
            if left < free || *run.end() == u32::MAX {
                break;
            }
            left -= free;
            next = *run.end() + 1;
        }
        base + u128::from(next - first + left)
    }

    /// Takes a chunk out of those that are mixed, and its numbers out of their bitmap.
    fn forget(&mut self, chunk: u128) {
        if self.mixed.remove(&chunk).is_none() {
            return;
        }
        let window = chunk >> (WINDOW_BITS - CHUNK_BITS);
        if let Some(bitmap) = self.windows.get_mut(&window) {
            bitmap.remove_range(offsets(chunk, CHUNK));
            if bitmap.is_empty() {
                self.windows.remove(&window);
            }
        }
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

/// A number's window, and its offset in there.
fn split(number: u128) -> (u128, u32) {
    (number >> WINDOW_BITS, number as u32)
}

fn chunk(number: u128) -> u128 {
    number >> CHUNK_BITS
}

/// The offsets of a chunk of this size in its window.
fn offsets(chunk: u128, size: u32) -> RangeInclusive<u32> {
    let first = (chunk << CHUNK_BITS) as u32;
    first..=first + (size - 1)
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

    /// Adds a chunk, which must be in no run yet.
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

    /// Takes a chunk out; `false` when it was in no run.
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
