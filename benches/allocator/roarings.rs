//! Roaring bitmaps of the used offsets, with three ways to the first free one.

use rand::RngExt;
use rand::rngs::StdRng;
use roaring::RoaringBitmap;

use crate::patterns::Space;
use crate::subject::Subject;

const TRIES: u32 = 16;

/// The lowest free offset by binary search over the used set's ranks.
pub(crate) struct Rank {
    used: RoaringBitmap,
    size: u64,
}

impl Rank {
    /// The free offset with `n` free ones below it.
    fn nth_free(&self, n: u64) -> u64 {
        let (mut low, mut high) = (0, self.size - 1);
        while low < high {
            let middle = low.midpoint(high);
            if middle + 1 - self.used.rank(middle as u32) > n {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn random_free(&self, rng: &mut StdRng) -> Option<u64> {
        let free = self.size - self.used.len();
        if free == 0 {
            return None;
        }
        for _ in 0..TRIES {
            let offset = rng.random_range(0..self.size);
            if !self.used.contains(offset as u32) {
                return Some(offset);
            }
        }
        Some(self.nth_free(rng.random_range(0..free)))
    }
}

impl Subject for Rank {
    const NAME: &str = "roaring + rank";

    fn new(space: Space) -> Self {
        Self {
            used: RoaringBitmap::new(),
            size: space.size(),
        }
    }

    fn take_first(&mut self) -> Option<u64> {
        let offset = (self.used.len() < self.size).then(|| self.nth_free(0))?;
        self.used.insert(offset as u32);
        Some(offset)
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        let offset = self.random_free(rng)?;
        self.used.insert(offset as u32);
        Some(offset)
    }

    fn take(&mut self, offset: u64) -> bool {
        self.used.insert(offset as u32)
    }

    fn release(&mut self, offset: u64) -> bool {
        self.used.remove(offset as u32)
    }
}

/// A hint below which everything is used, and a scan over the runs from there.
pub(crate) struct Hint {
    set: Rank,
    hint: u64,
}

impl Subject for Hint {
    const NAME: &str = "roaring + hint";

    fn new(space: Space) -> Self {
        Self {
            set: Rank::new(space),
            hint: 0,
        }
    }

    fn take_first(&mut self) -> Option<u64> {
        if self.set.used.len() == self.set.size {
            return None;
        }
        let mut offset = self.hint;
        let mut runs = self.set.used.range(offset as u32..);
        while let Some(run) = runs.next_range() {
            if u64::from(*run.start()) > offset {
                break;
            }
            offset = u64::from(*run.end()) + 1;
        }
        self.set.used.insert(offset as u32);
        self.hint = offset + 1;
        Some(offset)
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        self.set.take_random(rng)
    }

    fn take(&mut self, offset: u64) -> bool {
        self.set.take(offset)
    }

    fn release(&mut self, offset: u64) -> bool {
        self.hint = self.hint.min(offset);
        self.set.release(offset)
    }
}

/// Free offsets below a frontier in a second roaring bitmap; above it the used set alone counts.
pub(crate) struct Freed {
    set: Rank,
    freed: RoaringBitmap,
    frontier: u64,
}

impl Freed {
    /// Moves the frontier over what is used.
    fn advance(&mut self) {
        while self.frontier < self.set.size && self.set.used.contains(self.frontier as u32) {
            self.frontier += 1;
        }
    }
}

impl Subject for Freed {
    const NAME: &str = "roaring + freed";

    fn new(space: Space) -> Self {
        Self {
            set: Rank::new(space),
            freed: RoaringBitmap::new(),
            frontier: 0,
        }
    }

    fn take_first(&mut self) -> Option<u64> {
        if let Some(offset) = self.freed.min() {
            self.freed.remove(offset);
            self.set.used.insert(offset);
            return Some(offset.into());
        }
        if self.frontier == self.set.size {
            return None;
        }
        let offset = self.frontier;
        self.set.used.insert(offset as u32);
        self.advance();
        Some(offset)
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        let offset = if self.frontier == self.set.size {
            // All free offsets are in one set: its n-th is as good as any.
            let free = u32::try_from(self.freed.len()).unwrap();
            let n = (free > 0).then(|| rng.random_range(0..free))?;
            self.freed.select(n).unwrap().into()
        } else {
            self.set.random_free(rng)?
        };
        self.take(offset);
        Some(offset)
    }

    fn take(&mut self, offset: u64) -> bool {
        let taken = self.set.used.insert(offset as u32);
        if taken {
            self.freed.remove(offset as u32);
            self.advance();
        }
        taken
    }

    fn release(&mut self, offset: u64) -> bool {
        let released = self.set.used.remove(offset as u32);
        if released && offset < self.frontier {
            self.freed.insert(offset as u32);
        }
        released
    }
}
