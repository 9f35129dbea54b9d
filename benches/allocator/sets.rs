//! Sets without compression: the fastest that is possible, and the slowest that is reasonable.

use std::collections::HashSet;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::patterns::{Pattern, Space};
use crate::subject::Subject;

/// A bit per offset, above it a bit per full word, and so on up: each level has a 64th of the words. It costs all its
/// memory from the start, so it is no candidate for IPv6; it shows what is possible.
pub(crate) struct SummaryTree {
    levels: Vec<Vec<u64>>,
    size: u64,
    used: u64,
}

impl Subject for SummaryTree {
    const NAME: &str = "summary tree";

    fn new(space: Space) -> Self {
        let size = space.size();
        let mut levels = Vec::new();
        let mut bits = size;
        loop {
            let words = bits.div_ceil(64);
            let mut level = vec![0; words as usize];
            if !bits.is_multiple_of(64) {
                // What lies beyond the end counts as used.
                *level.last_mut().unwrap() = u64::MAX << (bits % 64);
            }
            levels.push(level);
            if words == 1 {
                break;
            }
            bits = words;
        }
        Self {
            levels,
            size,
            used: 0,
        }
    }

    fn take_first(&mut self) -> Option<u64> {
        if self.used == self.size {
            return None;
        }
        let offset = self.levels.iter().rev().fold(0, |at, level| {
            at * 64 + u64::from(level[at as usize].trailing_ones())
        });
        self.take(offset);
        Some(offset)
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        if self.used == self.size {
            return None;
        }
        // It counts nothing per part, so it has only this way: 100 tries on average at 99 %.
        loop {
            let offset = rng.random_range(0..self.size);
            if self.take(offset) {
                return Some(offset);
            }
        }
    }

    fn take(&mut self, offset: u64) -> bool {
        if self.levels[0][offset as usize / 64] & 1 << (offset % 64) != 0 {
            return false;
        }
        let mut at = offset;
        for level in &mut self.levels {
            let word = &mut level[at as usize / 64];
            *word |= 1 << (at % 64);
            if *word != u64::MAX {
                break;
            }
            at /= 64;
        }
        self.used += 1;
        true
    }

    fn release(&mut self, offset: u64) -> bool {
        if self.levels[0][offset as usize / 64] & 1 << (offset % 64) == 0 {
            return false;
        }
        let mut at = offset;
        for level in &mut self.levels {
            let word = &mut level[at as usize / 64];
            let was_full = *word == u64::MAX;
            *word &= !(1 << (at % 64));
            if !was_full {
                break;
            }
            at /= 64;
        }
        self.used -= 1;
        true
    }
}

/// A hash set of the used offsets, scanned from the start.
pub(crate) struct Naive {
    used: HashSet<u64>,
    size: u64,
}

impl Subject for Naive {
    const NAME: &str = "naive scan";

    fn new(space: Space) -> Self {
        Self {
            used: HashSet::new(),
            size: space.size(),
        }
    }

    fn take_first(&mut self) -> Option<u64> {
        let offset = (0..self.size).find(|offset| !self.used.contains(offset))?;
        self.used.insert(offset);
        Some(offset)
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        if self.used.len() as u64 == self.size {
            return None;
        }
        loop {
            let offset = rng.random_range(0..self.size);
            if self.used.insert(offset) {
                return Some(offset);
            }
        }
    }

    fn take(&mut self, offset: u64) -> bool {
        self.used.insert(offset)
    }

    fn release(&mut self, offset: u64) -> bool {
        self.used.remove(&offset)
    }

    fn hopeless(pattern: Pattern, space: Space) -> bool {
        let scans = match pattern {
            Pattern::Fill | Pattern::Churn | Pattern::Last | Pattern::Second | Pattern::Full => {
                true
            }
            Pattern::Half
            | Pattern::Crowded
            | Pattern::Wanted
            | Pattern::Rebuild
            | Pattern::Edge => false,
        };
        // 0.05 ms for each scan at 64 k, 64 of them in a batch.
        scans && space.size() > 1 << 16
    }
}
