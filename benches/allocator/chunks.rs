//! The structure that the allocator had before it took `roaring`: chunks of 65,536 offsets in three forms of our own (the used
//! ones, the free ones, bits with a summary of their full words), and the runs of full chunks. Kept to see what `roaring` costs.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::patterns::Space;
use crate::subject::Subject;

impl Subject for Slots {
    const NAME: &str = "own chunks";

    fn new(space: Space) -> Self {
        Self::with_top(Some(u128::from(space.size() - 1)))
    }

    fn take_first(&mut self) -> Option<u64> {
        self.first().map(|offset| offset as u64)
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        self.random(rng).map(|offset| offset as u64)
    }

    fn take(&mut self, offset: u64) -> bool {
        self.insert(offset.into())
    }

    fn release(&mut self, offset: u64) -> bool {
        self.remove(offset.into())
    }
}

const CHUNK_BITS: u32 = CHUNK.trailing_zeros();

/// Tries at a random number before the exact way; below one free number in [`CROWDED`] there are none.
const TRIES: u32 = 16;
const CROWDED: u128 = 8;

/// Chunks in forms of our own.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// The highest number; None when there is no number at all.
    top: Option<u128>,
    used: u128,
    mixed: BTreeMap<u128, Chunk>,
    full: Runs,
}

impl Slots {
    /// All numbers of `0..=top` free.
    fn with_top(top: Option<u128>) -> Self {
        Self {
            top,
            used: 0,
            mixed: BTreeMap::new(),
            full: Runs::default(),
        }
    }

    /// Whether no number is free.
    fn is_full(&self) -> bool {
        self.top.is_none_or(|top| self.used > top)
    }

    /// Marks a number, at most `top`, as used; false if it was.
    fn insert(&mut self, number: u128) -> bool {
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
    fn remove(&mut self, number: u128) -> bool {
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

    /// Marks the lowest free number as used.
    fn first(&mut self) -> Option<u128> {
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
    fn random(&mut self, rng: &mut impl Rng) -> Option<u128> {
        if self.is_full() {
            return None;
        }
        let top = self.top?;
        // One less than the count: all of IPv6 has 2^128 numbers.
        let free = top - self.used;
        if free >= top / CROWDED {
            for _ in 0..TRIES {
                let number = draw(rng, top);
                if self.insert(number) {
                    return Some(number);
                }
            }
        }
        let number = self.nth_free(draw(rng, free));
        self.insert(number);
        Some(number)
    }

    /// The free number that has `n` free numbers below it; there are more than `n`.
    fn nth_free(&self, n: u128) -> u128 {
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

/// Slots of a whole chunk; the last chunk of a set may have fewer.
const CHUNK: u32 = 1 << 16;

/// Above this many slots a list becomes bits.
const LIST_MAX: usize = 1024;

/// Below this many slots bits become a list.
const LIST_AGAIN: u32 = 512;

/// Words per group. A group's count of free slots lets a search skip 4,096 slots at a time.
const GROUP: usize = 64;

/// A chunk that is neither empty nor full while it is stored; both are forms of [`super::slots::Slots`] itself.
#[derive(Clone, Debug)]
struct Chunk {
    /// Slots of this chunk, 1 to [`CHUNK`].
    size: u32,
    free: u32,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// The used slots, ascending.
    FewUsed(Vec<u16>),
    /// The free slots, descending: the lowest is the one most often taken, and popping it moves nothing.
    FewFree(Vec<u16>),
    Bits(Box<Bits>),
}

#[derive(Clone, Debug)]
struct Bits {
    /// One bit per slot, set when used. Bits beyond the chunk's size are set as well, so no search finds them.
    words: [u64; 1024],
    /// One bit per word of the group, set when the word has no free slot.
    full_words: [u64; 16],
    /// Free slots per group.
    free: [u16; 16],
}

impl Chunk {
    /// A chunk with one used slot.
    fn with_one_used(size: u32, slot: u16) -> Self {
        Self {
            size,
            free: size - 1,
            form: Form::FewUsed(vec![slot]),
        }
    }

    /// A chunk with one free slot.
    fn with_one_free(size: u32, slot: u16) -> Self {
        Self {
            size,
            free: 1,
            form: Form::FewFree(vec![slot]),
        }
    }

    fn free(&self) -> u32 {
        self.free
    }

    fn is_full(&self) -> bool {
        self.free == 0
    }

    fn is_empty(&self) -> bool {
        self.free == self.size
    }

    /// Marks a slot as used; false if it was.
    fn take(&mut self, slot: u16) -> bool {
        let changed = match &mut self.form {
            Form::FewUsed(used) => match used.binary_search(&slot) {
                Ok(_) => false,
                Err(at) => {
                    used.insert(at, slot);
                    true
                }
            },
            Form::FewFree(free) => match descending(free, slot) {
                Ok(at) => {
                    free.remove(at);
                    true
                }
                Err(_) => false,
            },
            Form::Bits(bits) => bits.take(slot),
        };
        if changed {
            self.free -= 1;
            self.settle();
        }
        changed
    }

    /// Marks a slot as free; false if it was.
    fn release(&mut self, slot: u16) -> bool {
        let changed = match &mut self.form {
            Form::FewUsed(used) => match used.binary_search(&slot) {
                Ok(at) => {
                    used.remove(at);
                    true
                }
                Err(_) => false,
            },
            Form::FewFree(free) => match descending(free, slot) {
                Ok(_) => false,
                Err(at) => {
                    free.insert(at, slot);
                    true
                }
            },
            Form::Bits(bits) => bits.release(slot),
        };
        if changed {
            self.free += 1;
            self.settle();
        }
        changed
    }

    /// The lowest free slot. The chunk is not full.
    fn first_free(&self) -> u16 {
        self.nth_free(0)
    }

    /// The free slot that has `n` free slots below it; `n` is less than [`Self::free`].
    fn nth_free(&self, n: u32) -> u16 {
        debug_assert!(n < self.free);
        match &self.form {
            Form::FewUsed(used) => {
                // used[i] has used[i] - i free slots below it, which never falls: the answer lies behind every used
                // slot with at most n of them.
                let (mut low, mut high) = (0, used.len());
                while low < high {
                    let middle = low.midpoint(high);
                    if u32::from(used[middle]) - middle as u32 <= n {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                (n + low as u32) as u16
            }
            Form::FewFree(free) => free[free.len() - 1 - n as usize],
            Form::Bits(bits) => bits.nth_free(n),
        }
    }

    /// Changes the form when the other one has become the smaller one by far.
    fn settle(&mut self) {
        let used = self.size - self.free;
        match &self.form {
            Form::FewUsed(list) | Form::FewFree(list) if list.len() <= LIST_MAX => {}
            Form::FewUsed(list) => {
                let mut bits = Bits::all_free(self.size);
                for slot in list {
                    bits.take(*slot);
                }
                self.form = Form::Bits(bits);
            }
            Form::FewFree(list) => {
                let mut bits = Bits::all_used();
                for slot in list {
                    bits.release(*slot);
                }
                self.form = Form::Bits(bits);
            }
            Form::Bits(bits) if used < LIST_AGAIN => {
                let list = bits.used_slots(self.size);
                self.form = Form::FewUsed(list);
            }
            Form::Bits(bits) if self.free < LIST_AGAIN => {
                let mut list = bits.free_slots();
                list.reverse();
                self.form = Form::FewFree(list);
            }
            Form::Bits(_) => {}
        }
    }
}

fn descending(list: &[u16], slot: u16) -> Result<usize, usize> {
    list.binary_search_by(|probe| slot.cmp(probe))
}

impl Bits {
    fn all_used() -> Box<Self> {
        Box::new(Self {
            words: [u64::MAX; 1024],
            full_words: [u64::MAX; 16],
            free: [0; 16],
        })
    }

    fn all_free(size: u32) -> Box<Self> {
        let mut bits = Self::all_used();
        for slot in (0..size).step_by(64) {
            let word = slot as usize / 64;
            let slots = (size - slot).min(64);
            bits.words[word] = u64::MAX.checked_shl(slots).unwrap_or(0);
            bits.full_words[word / GROUP] &= !(1 << (word % GROUP));
            bits.free[word / GROUP] += slots as u16;
        }
        bits
    }

    fn take(&mut self, slot: u16) -> bool {
        let word = usize::from(slot) / 64;
        if self.words[word] & bit(slot) != 0 {
            return false;
        }
        self.words[word] |= bit(slot);
        if self.words[word] == u64::MAX {
            self.full_words[word / GROUP] |= 1 << (word % GROUP);
        }
        self.free[word / GROUP] -= 1;
        true
    }

    fn release(&mut self, slot: u16) -> bool {
        let word = usize::from(slot) / 64;
        if self.words[word] & bit(slot) == 0 {
            return false;
        }
        self.words[word] &= !bit(slot);
        self.full_words[word / GROUP] &= !(1 << (word % GROUP));
        self.free[word / GROUP] += 1;
        true
    }

    /// At most 16 groups, 64 words of one group and 64 bits of one word are looked at.
    fn nth_free(&self, n: u32) -> u16 {
        let mut left = n;
        let mut group = 0;
        while left >= u32::from(self.free[group]) {
            left -= u32::from(self.free[group]);
            group += 1;
        }
        let mut open = !self.full_words[group];
        loop {
            let word = group * GROUP + open.trailing_zeros() as usize;
            let mut free = !self.words[word];
            // The first free slot, the common question, needs no count.
            if left > 0 {
                let here = free.count_ones();
                if left >= here {
                    left -= here;
                    open &= open - 1;
                    continue;
                }
                for _ in 0..left {
                    free &= free - 1;
                }
            }
            return (word * 64) as u16 + free.trailing_zeros() as u16;
        }
    }

    fn used_slots(&self, size: u32) -> Vec<u16> {
        self.slots(|word| word)
            .take_while(|slot| u32::from(*slot) < size)
            .collect()
    }

    fn free_slots(&self) -> Vec<u16> {
        self.slots(|word| !word).collect()
    }

    fn slots(&self, wanted: impl Fn(u64) -> u64) -> impl Iterator<Item = u16> {
        self.words.iter().enumerate().flat_map(move |(at, word)| {
            let mut rest = wanted(*word);
            std::iter::from_fn(move || {
                let slot = (rest != 0).then(|| (at * 64) as u16 + rest.trailing_zeros() as u16);
                rest &= rest.wrapping_sub(1);
                slot
            })
        })
    }
}

fn bit(slot: u16) -> u64 {
    1 << (slot % 64)
}
