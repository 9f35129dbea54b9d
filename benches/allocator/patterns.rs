//! The patterns of use, the same for every structure.
//!
//! A case brings a structure into its state and then runs batches of 64 operations. Which offsets a batch releases or
//! asks for is looked up before its clock starts, what it got is noted after: memory of the bench itself is not timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::subject::Subject;

/// Operations in a batch.
pub(crate) const BATCH: usize = 64;
const PAIRS: usize = BATCH / 2;

/// The offsets of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// One IPv4 entry with this many addresses.
    Dense(u64),
    /// An IPv6 /64 in which 100,000 addresses are used.
    Wide,
    /// 10,000 entries with 64 addresses each.
    Scattered,
}

impl Space {
    /// Those that only the chosen structure is measured on; a /24 to compare the /64 with.
    pub(crate) const OTHERS: [(&str, Self); 3] = [
        ("a /24", Self::Dense(256)),
        ("IPv6 /64", Self::Wide),
        ("10,000 entries", Self::Scattered),
    ];

    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Dense(size) => size,
            Self::Wide => u64::MAX,
            Self::Scattered => 640_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Take first from empty to full.
    Fill,
    /// Release any, take first, at 99 % (in a /64: at 100,000).
    Churn,
    /// All used but the last: take first, release it.
    Last,
    /// Every second one free: take first until full, then release those again.
    Second,
    /// Release any, take random, at 50 %.
    Half,
    /// Release any, take random, at 99 % (in a /64: at 100,000).
    Crowded,
    /// Take a given free one, release any, at 99 % (in a /64: at 100,000).
    Wanted,
    /// Take first with nothing free.
    Full,
    /// Take all, given in random order, from empty.
    Rebuild,
    /// Exactly 4,096 of each 65,536 free, where a roaring container changes its form: release one, take it again.
    Edge,
}

impl Pattern {
    pub(crate) const ALL: [Self; 10] = [
        Self::Fill,
        Self::Churn,
        Self::Last,
        Self::Second,
        Self::Half,
        Self::Crowded,
        Self::Wanted,
        Self::Full,
        Self::Rebuild,
        Self::Edge,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Churn => "churn 99 %",
            Self::Last => "all but the last",
            Self::Second => "every second free",
            Self::Half => "random 50 %",
            Self::Crowded => "random 99 %",
            Self::Wanted => "requested 99 %",
            Self::Full => "refused, full",
            Self::Rebuild => "rebuild, shuffled",
            Self::Edge => "4,096 free of 64 k",
        }
    }

    /// Whether the pattern makes sense there.
    pub(crate) fn fits(self, space: Space) -> bool {
        match space {
            Space::Dense(size) => self != Self::Edge || size >= 1 << 16,
            Space::Wide => matches!(self, Self::Churn | Self::Crowded | Self::Wanted),
            Space::Scattered => self != Self::Edge,
        }
    }
}

/// A structure in the state that a pattern asks for.
pub(crate) struct Case<S> {
    pattern: Pattern,
    space: Space,
    subject: S,
    rng: StdRng,
    /// Used offsets that the pattern may release, in random order. `Fill` and `Rebuild`: see `next`.
    held: Vec<u64>,
    /// Free offsets that the pattern may ask for, in random order.
    free: Vec<u64>,
    /// Position in `held`, where a pattern goes through it in order.
    next: usize,
    /// `Second`: whether the next batches release.
    releasing: bool,
}

impl<S: Subject> Case<S> {
    pub(crate) fn prepare(pattern: Pattern, space: Space) -> Self {
        let mut case = Self {
            pattern,
            space,
            subject: S::new(space),
            rng: StdRng::seed_from_u64(1),
            held: Vec::new(),
            free: Vec::new(),
            next: 0,
            releasing: false,
        };
        match space {
            Space::Dense(_) | Space::Scattered => case.prepare_bounded(),
            Space::Wide => case.prepare_wide(),
        }
        case
    }

    fn prepare_bounded(&mut self) {
        let size = self.space.size();
        let shuffled = |rng: &mut StdRng| {
            let mut offsets: Vec<u64> = (0..size).collect();
            offsets.shuffle(rng);
            offsets
        };
        match self.pattern {
            Pattern::Fill => {}
            Pattern::Rebuild => self.held = shuffled(&mut self.rng),
            Pattern::Churn | Pattern::Crowded | Pattern::Wanted => {
                self.held = shuffled(&mut self.rng);
                self.fill_and_free(size - size.div_ceil(100));
            }
            Pattern::Half => {
                self.held = shuffled(&mut self.rng);
                self.fill_and_free(size / 2);
            }
            Pattern::Last => self.fill_and_free_where(|offset| offset == size - 1),
            Pattern::Second => {
                self.fill_and_free_where(|offset| offset % 2 == 0);
                self.held = (0..size).step_by(2).collect();
            }
            Pattern::Full => self.fill_and_free_where(|_| false),
            Pattern::Edge => {
                self.fill_and_free_where(|offset| offset % 16 == 0);
                self.held = (0..size).filter(|offset| offset % 16 != 0).collect();
                self.held.shuffle(&mut self.rng);
            }
        }
    }

    /// Fills in order and frees again what `held` has beyond `used`.
    fn fill_and_free(&mut self, used: u64) {
        self.fill_and_free_where(|_| false);
        self.free = self.held.split_off(used as usize);
        for offset in &self.free {
            self.subject.release(*offset);
        }
    }

    fn fill_and_free_where(&mut self, is_free: impl Fn(u64) -> bool) {
        for offset in 0..self.space.size() {
            self.subject.take(offset);
        }
        for offset in (0..self.space.size()).filter(|offset| is_free(*offset)) {
            self.subject.release(offset);
        }
    }

    fn prepare_wide(&mut self) {
        for _ in 0..100_000 {
            let taken = match self.pattern {
                Pattern::Churn => self.subject.take_first(),
                Pattern::Crowded | Pattern::Wanted => self.subject.take_random(&mut self.rng),
                other => unreachable!("{} does not fit a /64", other.name()),
            };
            self.held.push(taken.unwrap());
            self.free.push(self.rng.random());
        }
        self.held.shuffle(&mut self.rng);
    }

    /// Runs 64 operations and says how long they took together.
    pub(crate) fn batch(&mut self) -> Duration {
        self.run(&mut Whole)
    }

    /// Runs 64 operations and notes the nanoseconds of each, those of reading the clock included.
    pub(crate) fn singles(&mut self, times: &mut Vec<u32>) {
        self.run(&mut Single(times));
    }

    fn run<C: Clock>(&mut self, clock: &mut C) -> Duration {
        match self.pattern {
            Pattern::Fill => self.fill(clock),
            Pattern::Rebuild => self.rebuild(clock),
            Pattern::Churn => self.replace(clock, |subject, _| subject.take_first()),
            Pattern::Half | Pattern::Crowded => self.replace(clock, S::take_random),
            Pattern::Last => self.last(clock),
            Pattern::Second => self.second(clock),
            Pattern::Wanted => self.wanted(clock),
            Pattern::Full => self.refused(clock),
            Pattern::Edge => self.edge(clock),
        }
    }

    fn fill(&mut self, clock: &mut impl Clock) -> Duration {
        if (self.next + BATCH) as u64 > self.space.size() {
            self.subject = S::new(self.space);
            self.next = 0;
        }
        self.next += BATCH;
        clock.time(|_| {
            black_box(self.subject.take_first());
        })
    }

    fn rebuild(&mut self, clock: &mut impl Clock) -> Duration {
        if self.next + BATCH > self.held.len() {
            self.subject = S::new(self.space);
            self.next = 0;
        }
        let wanted = &self.held[self.next..];
        self.next += BATCH;
        clock.time(|at| {
            black_box(self.subject.take(wanted[at]));
        })
    }

    /// Positions in `held` of offsets to release, all different. Spread over a list in random order: as good as drawn one
    /// by one.
    fn places(&mut self) -> [usize; PAIRS] {
        let count = self.held.len();
        let first = self.rng.random_range(0..count);
        let step = count / PAIRS;
        std::array::from_fn(|pair| (first + pair * step) % count)
    }

    fn replace(
        &mut self,
        clock: &mut impl Clock,
        take: impl Fn(&mut S, &mut StdRng) -> Option<u64>,
    ) -> Duration {
        let places = self.places();
        let mut offsets = places.map(|place| self.held[place]);
        let time = clock.time(|at| {
            let offset = &mut offsets[at / 2];
            if at % 2 == 0 {
                self.subject.release(*offset);
            } else {
                *offset = take(&mut self.subject, &mut self.rng).unwrap();
            }
        });
        for (place, offset) in places.into_iter().zip(offsets) {
            self.held[place] = offset;
        }
        time
    }

    fn last(&mut self, clock: &mut impl Clock) -> Duration {
        let mut taken = 0;
        clock.time(|at| {
            if at % 2 == 0 {
                taken = self.subject.take_first().unwrap();
            } else {
                self.subject.release(taken);
            }
        })
    }

    fn second(&mut self, clock: &mut impl Clock) -> Duration {
        if self.next + BATCH > self.held.len() {
            self.releasing = !self.releasing;
            self.next = 0;
        }
        let offsets = &self.held[self.next..];
        self.next += BATCH;
        clock.time(|at| {
            if self.releasing {
                self.subject.release(offsets[at]);
            } else {
                assert_eq!(self.subject.take_first(), Some(offsets[at]));
            }
        })
    }

    fn wanted(&mut self, clock: &mut impl Clock) -> Duration {
        let places = self.places();
        let from = self.rng.random_range(0..self.free.len());
        // A small space has fewer free offsets than pairs: then a later pair asks for what an earlier one released.
        let pairs: [(u64, u64); PAIRS] = std::array::from_fn(|pair| {
            let from = (from + pair) % self.free.len();
            let (wanted, old) = (self.free[from], self.held[places[pair]]);
            (self.free[from], self.held[places[pair]]) = (old, wanted);
            (wanted, old)
        });
        clock.time(|at| {
            let (wanted, old) = pairs[at / 2];
            if at % 2 == 0 {
                black_box(self.subject.take(wanted));
            } else {
                self.subject.release(old);
            }
        })
    }

    fn refused(&mut self, clock: &mut impl Clock) -> Duration {
        clock.time(|_| assert_eq!(black_box(self.subject.take_first()), None))
    }

    fn edge(&mut self, clock: &mut impl Clock) -> Duration {
        let offsets = self.places().map(|place| self.held[place]);
        clock.time(|at| {
            if at % 2 == 0 {
                self.subject.release(offsets[at / 2]);
            } else {
                self.subject.take(offsets[at / 2]);
            }
        })
    }
}

/// How a batch of 64 operations is timed.
trait Clock {
    fn time(&mut self, operation: impl FnMut(usize)) -> Duration;
}

/// Two readings of the clock for the batch.
struct Whole;

impl Clock for Whole {
    fn time(&mut self, operation: impl FnMut(usize)) -> Duration {
        let start = Instant::now();
        (0..BATCH).for_each(operation);
        start.elapsed()
    }
}

/// Two readings for each operation.
struct Single<'a>(&'a mut Vec<u32>);

impl Clock for Single<'_> {
    fn time(&mut self, mut operation: impl FnMut(usize)) -> Duration {
        for at in 0..BATCH {
            let start = Instant::now();
            operation(at);
            self.0.push(start.elapsed().as_nanos() as u32);
        }
        Duration::ZERO
    }
}
