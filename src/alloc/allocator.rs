//! The addresses of one pool: which are used, and which is next.

use std::net::IpAddr;

use rand::Rng;

use super::coverage::Coverage;
use super::cut::{Piece, cut};
use super::pattern::Pattern;
use super::range::{Family, Range, number};
use super::slots::Slots;

/// One entry of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The caller's number for it, handed back in [`Picked`] and [`Location`]. The order of entries is that of the slice
    /// they are in, not of this number.
    pub index: usize,
    /// Its addresses.
    pub range: Range,
    /// Prefix length whose network and broadcast address (IPv4, at most 30) or subnet-router anycast address (IPv6, at
    /// most 126) automatic allocation skips in every block of that size (A7). None skips nothing.
    pub reserve: Option<u8>,
}

/// Where an address lies in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the entry with this `index`; of several, in the first one written.
    Inside {
        /// [`Entry::index`].
        entry: usize,
    },
    /// In an entry, but never handed out.
    Excluded,
    /// In no entry.
    Outside,
}

/// The result of [`Allocator::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It was free and is used now.
    Taken,
    /// It was used before.
    AlreadyUsed,
    /// It is never handed out.
    Excluded,
    /// It is in no entry.
    Outside,
}

/// An address that automatic allocation chose and marked as used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The address.
    pub addr: IpAddr,
    /// [`Entry::index`] of its entry.
    pub entry: usize,
}

/// How many addresses a pool has. `capacity = used + free + reserved`, exactly, unless the entries hold all 2^128
/// addresses of IPv6 or more: then `capacity` stays at `u128::MAX`, and `free` is too low by what does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses of all entries, each once, without the excluded ones.
    pub capacity: u128,
    /// Addresses marked as used.
    pub used: u128,
    /// Addresses that automatic allocation could hand out now.
    pub free: u128,
    /// Addresses that automatic allocation skips ([`Entry::reserve`]) and that are not used.
    pub reserved: u128,
}

/// See the module's comment for the structure and its cost.
#[derive(Clone, Debug)]
pub struct Allocator {
    /// Disjoint, ascending: a binary search finds the one of an address.
    segments: Vec<Segment>,
    /// One per entry, in the order written.
    entries: Vec<Numbering>,
    /// Places of entries without a free address: its first free number is the entry to allocate from.
    full: Slots,
    counts: Counts,
}

/// A run of addresses of one entry.
#[derive(Clone, Copy, Debug)]
struct Segment {
    range: Range,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Excluded,
    /// The segment's first usable and first reserved address have these numbers in the entry at `place`.
    Inside {
        place: usize,
        usable: u128,
        reserved: u128,
    },
}

/// The addresses of one entry, without excluded ones, numbered through in ascending order. Usable and reserved addresses
/// are numbered apart, so that neither numbering has gaps.
#[derive(Clone, Debug)]
struct Numbering {
    index: usize,
    family: Family,
    pattern: Pattern,
    /// Its segments, ascending: first usable number and first address.
    starts: Vec<(u128, u128)>,
    usable: Slots,
    reserved: Slots,
}

/// Where an address was found: in which segment, or outside of all.
enum Slot {
    Usable { place: usize, number: u128 },
    Reserved { place: usize, number: u128 },
    Excluded,
    Outside,
}

// === impl Allocator ===

impl Allocator {
    /// Cuts the entries into disjoint segments in the order written (an address of two entries belongs to the first),
    /// minus `excluded`. All addresses are free. Exclusions may overlap and may lie outside every entry.
    pub fn new(entries: &[Entry], excluded: &[Range]) -> Self {
        let mut counter: Vec<Counter> = entries.iter().map(Counter::new).collect();
        let segments = cut(entries.iter().map(|entry| entry.range), excluded)
            .into_iter()
            .map(|piece| Segment {
                range: piece.range,
                kind: if piece.excluded {
                    Kind::Excluded
                } else {
                    counter[piece.place].number(&piece)
                },
            })
            .collect();
        let mut counts = Counts::default();
        let mut full = Slots::new(last_of(entries.len() as u128));
        let entries: Vec<Numbering> = counter
            .into_iter()
            .enumerate()
            .map(|(place, counter)| {
                counts.free = counts.free.saturating_add(counter.usable.count());
                counts.reserved = counts.reserved.saturating_add(counter.reserved.count());
                let numbering = counter.finish();
                if numbering.usable.is_full() {
                    full.take(place as u128);
                }
                numbering
            })
            .collect();
        counts.capacity = counts.free.saturating_add(counts.reserved);
        Self {
            segments,
            entries,
            full,
            counts,
        }
    }

    /// Where the address lies; O(log segments).
    pub fn locate(&self, addr: IpAddr) -> Location {
        match self.segment(addr).map(|segment| segment.kind) {
            Some(Kind::Inside { place, .. }) => Location::Inside {
                entry: self.entries[place].index,
            },
            Some(Kind::Excluded) => Location::Excluded,
            None => Location::Outside,
        }
    }

    /// The lowest address of the entries, excluded ones aside, that is also one of `other`.
    pub fn meets(&self, other: &Coverage) -> Option<IpAddr> {
        let is_inside = |segment: &Segment| matches!(segment.kind, Kind::Inside { .. });
        other.meets_ranges(&self.segments, |segment| segment.range, is_inside)
    }

    /// Marks this address as used, also one that automatic allocation skips.
    pub fn take(&mut self, addr: IpAddr) -> Take {
        let taken = match self.slot(addr) {
            Slot::Usable { place, number } => self.take_usable(place, number),
            Slot::Reserved { place, number } => {
                let taken = self.entries[place].reserved.take(number);
                if taken {
                    self.counts.reserved -= 1;
                    self.counts.used += 1;
                }
                taken
            }
            Slot::Excluded => return Take::Excluded,
            Slot::Outside => return Take::Outside,
        };
        if taken {
            Take::Taken
        } else {
            Take::AlreadyUsed
        }
    }

    /// Frees this address; true if it was used.
    pub fn release(&mut self, addr: IpAddr) -> bool {
        match self.slot(addr) {
            Slot::Usable { place, number } => {
                let usable = &mut self.entries[place].usable;
                let was_full = usable.is_full();
                if !usable.release(number) {
                    return false;
                }
                if was_full {
                    self.full.release(place as u128);
                }
                self.counts.free += 1;
            }
            Slot::Reserved { place, number } => {
                if !self.entries[place].reserved.release(number) {
                    return false;
                }
                self.counts.reserved += 1;
            }
            Slot::Excluded | Slot::Outside => return false,
        }
        self.counts.used -= 1;
        true
    }

    /// Whether the address is in the pool and used.
    pub fn is_used(&self, addr: IpAddr) -> bool {
        match self.slot(addr) {
            Slot::Usable { place, number } => self.entries[place].usable.is_used(number),
            Slot::Reserved { place, number } => self.entries[place].reserved.is_used(number),
            Slot::Excluded | Slot::Outside => false,
        }
    }

    /// Takes the lowest free address of the first entry that has one (A6, sequential).
    pub fn take_first(&mut self) -> Option<Picked> {
        self.pick(Slots::take_first)
    }

    /// Takes one of the free addresses of the first entry that has one, each with the same chance (A6, random).
    pub fn take_random(&mut self, rng: &mut impl Rng) -> Option<Picked> {
        self.pick(|usable| usable.take_random(rng))
    }

    /// How many addresses are there, used and free; O(1).
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many addresses each entry has, used and free, by [`Entry::index`] and in the order written; addresses that an entry
    /// shares with an earlier one are counted there.
    pub fn counts_by_entry(&self) -> impl Iterator<Item = (usize, Counts)> {
        self.entries.iter().map(|entry| {
            let (usable, reserved) = (&entry.usable, &entry.reserved);
            let counts = Counts {
                capacity: usable.count().saturating_add(reserved.count()),
                used: usable.used().saturating_add(reserved.used()),
                free: usable.count().saturating_sub(usable.used()),
                reserved: reserved.count().saturating_sub(reserved.used()),
            };
            (entry.index, counts)
        })
    }

    /// Whether automatic allocation could hand this address out.
    pub fn is_free(&self, addr: IpAddr) -> bool {
        match self.slot(addr) {
            Slot::Usable { place, number } => !self.entries[place].usable.is_used(number),
            Slot::Reserved { .. } | Slot::Excluded | Slot::Outside => false,
        }
    }

    /// Whether automatic allocation would find nothing; O(1).
    pub fn is_full(&self) -> bool {
        self.full.is_full()
    }

    fn pick(&mut self, choose: impl FnOnce(&mut Slots) -> Option<u128>) -> Option<Picked> {
        let place = self.full.first_free()? as usize;
        let number = choose(&mut self.entries[place].usable)?;
        self.count_taken(place);
        let entry = &self.entries[place];
        Some(Picked {
            addr: entry.address(number),
            entry: entry.index,
        })
    }

    fn take_usable(&mut self, place: usize, number: u128) -> bool {
        let taken = self.entries[place].usable.take(number);
        if taken {
            self.count_taken(place);
        }
        taken
    }

    /// Keeps the counts and the full entries in step after a usable address of this entry was taken.
    fn count_taken(&mut self, place: usize) {
        self.counts.free -= 1;
        self.counts.used += 1;
        if self.entries[place].usable.is_full() {
            self.full.take(place as u128);
        }
    }

    fn segment(&self, addr: IpAddr) -> Option<&Segment> {
        let key = (Family::of(addr), number(addr));
        let behind = self
            .segments
            .partition_point(|segment| (segment.range.family(), segment.range.low()) <= key);
        let segment = &self.segments[behind.checked_sub(1)?];
        segment.range.contains(addr).then_some(segment)
    }

    fn slot(&self, addr: IpAddr) -> Slot {
        let Some(segment) = self.segment(addr) else {
            return Slot::Outside;
        };
        match segment.kind {
            Kind::Excluded => Slot::Excluded,
            Kind::Inside {
                place,
                usable,
                reserved,
            } => {
                let pattern = self.entries[place].pattern;
                let (first, wanted) = (segment.range.low(), number(addr));
                let usable_before = pattern.usable_below(wanted) - pattern.usable_below(first);
                if pattern.reserves(wanted) {
                    let number = reserved + (wanted - first - usable_before);
                    Slot::Reserved { place, number }
                } else {
                    let number = usable + usable_before;
                    Slot::Usable { place, number }
                }
            }
        }
    }
}

// === impl Numbering ===

impl Numbering {
    /// The usable address with this number.
    fn address(&self, number: u128) -> IpAddr {
        // Of segments that begin with one number, all but the last have no usable address.
        let behind = self.starts.partition_point(|(usable, _)| *usable <= number);
        let (usable, first) = self.starts[behind - 1];
        let rank = self.pattern.usable_below(first) + (number - usable);
        self.family.address(self.pattern.nth_usable(rank))
    }
}

// === impl Counter ===

/// Numbers the pieces of one entry, which come in ascending order.
struct Counter {
    index: usize,
    family: Family,
    pattern: Pattern,
    starts: Vec<(u128, u128)>,
    usable: Total,
    reserved: Total,
}

impl Counter {
    fn new(entry: &Entry) -> Self {
        let family = entry.range.family();
        Self {
            index: entry.index,
            family,
            pattern: Pattern::new(family, entry.reserve),
            starts: Vec::new(),
            usable: Total::default(),
            reserved: Total::default(),
        }
    }

    fn number(&mut self, piece: &Piece) -> Kind {
        let (first, last) = (piece.range.low(), piece.range.high());
        // Counts up to the last address and looks at that one by itself: with it, all of IPv6 would not fit.
        let below = self.pattern.usable_below(last) - self.pattern.usable_below(first);
        let kind = Kind::Inside {
            place: piece.place,
            usable: self.usable.next,
            reserved: self.reserved.next,
        };
        self.starts.push((self.usable.next, first));
        let last_is_reserved = self.pattern.reserves(last);
        self.usable.add(below, !last_is_reserved);
        self.reserved.add(last - first - below, last_is_reserved);
        kind
    }

    fn finish(self) -> Numbering {
        Numbering {
            index: self.index,
            family: self.family,
            pattern: self.pattern,
            starts: self.starts,
            usable: Slots::new(self.usable.top),
            reserved: Slots::new(self.reserved.top),
        }
    }
}

/// A count that may reach 2^128, as the last number given out and the next one.
#[derive(Default)]
struct Total {
    top: Option<u128>,
    /// Wraps to 0 only when all 2^128 numbers are given out, and then no piece is left to number.
    next: u128,
}

impl Total {
    fn add(&mut self, some: u128, and_one: bool) {
        let next = self.next + some;
        self.top = if and_one { Some(next) } else { last_of(next) };
        self.next = next.wrapping_add(u128::from(and_one));
    }

    /// Number of addresses; it saturates at the greatest number.
    fn count(&self) -> u128 {
        self.top.map_or(0, |top| top.saturating_add(1))
    }
}

fn last_of(count: u128) -> Option<u128> {
    count.checked_sub(1)
}
