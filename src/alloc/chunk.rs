//! 65,536 neighbouring slots, in whichever of three forms is small.
//!
//! ```text
//!   used slots   0 ......... 512 ... 1,024 ............ all-1,024 ... all-512 ......... all
//!                [ list of used slots  ]                   [ list of free slots ]
//!                           [ bits: 8 KiB, the word that has a free slot in two steps ]
//! ```
//! A list turns into bits above 1,024 slots and bits into a list below 512. The gap between the two is why no pattern
//! makes a chunk change its form back and forth: at least 512 operations pay for each change.

/// Slots of a whole chunk; the last chunk of a set may have fewer.
pub(super) const CHUNK: u32 = 1 << 16;

/// Above this many slots a list becomes bits.
const LIST_MAX: usize = 1024;

/// Below this many slots bits become a list.
const LIST_AGAIN: u32 = 512;

/// Words per group. A group's count of free slots lets a search skip 4,096 slots at a time.
const GROUP: usize = 64;

/// A chunk that is neither empty nor full while it is stored; both are forms of [`super::slots::Slots`] itself.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
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
    pub(super) fn with_one_used(size: u32, slot: u16) -> Self {
        Self {
            size,
            free: size - 1,
            form: Form::FewUsed(vec![slot]),
        }
    }

    /// A chunk with one free slot.
    pub(super) fn with_one_free(size: u32, slot: u16) -> Self {
        Self {
            size,
            free: 1,
            form: Form::FewFree(vec![slot]),
        }
    }

    pub(super) fn free(&self) -> u32 {
        self.free
    }

    pub(super) fn is_full(&self) -> bool {
        self.free == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free == self.size
    }

    pub(super) fn is_used(&self, slot: u16) -> bool {
        match &self.form {
            Form::FewUsed(used) => used.binary_search(&slot).is_ok(),
            Form::FewFree(free) => descending(free, slot).is_err(),
            Form::Bits(bits) => bits.is_used(slot),
        }
    }

    /// Marks a slot as used; false if it was.
    pub(super) fn take(&mut self, slot: u16) -> bool {
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
    pub(super) fn release(&mut self, slot: u16) -> bool {
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
    pub(super) fn first_free(&self) -> u16 {
        self.nth_free(0)
    }

    /// The free slot that has `n` free slots below it; `n` is less than [`Self::free`].
    pub(super) fn nth_free(&self, n: u32) -> u16 {
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

    fn is_used(&self, slot: u16) -> bool {
        self.words[usize::from(slot) / 64] & bit(slot) != 0
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
