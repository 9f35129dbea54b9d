//! When a pool runs out, from the creation times of its address objects alone.
//!
//! What was released left no trace. So the times show growth only where nothing else explains them:
//!
//! ```text
//!   ▁▁█▁▁▁▁▁▁▁   a burst, then calm: the pool was filled, or its machines were replaced. What came after it counts.
//!   ▄▄▄▄▄▄▄▄▄▄   as many in every part: growth at this rate
//!   █  █  █  █   the same again and again: a staircase; the next steps are counted
//!   ▂▂▂▂▂▂▂▂▂█   as many in every part but the last: addresses that live briefly, and those that stay. These count.
//!   ▁▂▂▃▄▅▅▆▇█   anything else: not known
//! ```
//!
//! Always known is the earliest moment: in any time a pool grew by no more than the objects of that time that are still there.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::objects::Births;

/// Addresses that a rate is computed from, at least: fewer leave it open by more than a fifth.
const FEWEST: usize = 20;

/// The shortest time that a rate is computed from, in days.
const SHORTEST: f64 = 1.0;

/// Parts of the time in which addresses are counted.
const PARTS: usize = 20;

/// Parts at the end that hold short-lived addresses, at most.
const BRIEF: usize = 2;

/// Steps of a staircase, at least.
const STEPS: usize = 4;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// When a pool runs out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) enum Outlook {
    /// It has.
    Full,
    /// In so many days, at so many addresses a day.
    Left {
        days: f64,
        per_day: f64,
        /// The fewest days, at the pace of late.
        earliest: Option<f64>,
    },
    /// It does not grow: the last address is this old, in days, and half of the time seen has passed without one.
    Calm { days: f64 },
    /// It cannot be said.
    Unknown {
        why: Why,
        /// The fewest days, at the pace of late.
        earliest: Option<f64>,
    },
}

/// Why it cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Why {
    TooFew,
    TooShort,
    Uneven,
    Replaced,
    StepOverdue,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::TooFew => "too few addresses were handed out to tell",
            Self::TooShort => "the addresses are less than a day old",
            Self::Uneven => "more addresses lately: growth, or machines that were replaced",
            Self::Replaced => {
                "no address is as old as the pool: its machines may have been replaced"
            }
            Self::StepOverdue => "addresses came in even steps, and the next one is overdue",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::TooFew => "TooFewAddresses",
            Self::TooShort => "TooShortTime",
            Self::Uneven => "UnevenGrowth",
            Self::Replaced => "AddressesReplaced",
            Self::StepOverdue => "StepOverdue",
        }
    }
}

impl Outlook {
    /// Of a pool with so many free addresses.
    pub(in crate::cli) fn new(births: &Births, free: u128, now: Timestamp) -> Self {
        if free == 0 {
            return Self::Full;
        }
        let Some(first) = births.addresses.first() else {
            return Self::Unknown {
                why: Why::TooFew,
                earliest: None,
            };
        };
        let days = |later: Timestamp| later.duration_since(*first).as_secs_f64() / DAY;
        let times: Vec<f64> = births.addresses.iter().map(|at| days(*at)).collect();
        let age = births
            .pool
            .map_or(0.0, |at| now.duration_since(at).as_secs_f64() / DAY);
        Times {
            times: &times,
            end: days(now),
            age,
        }
        .outlook(rounded(free))
    }

    /// Days until the pool runs out, where they are known.
    pub(super) fn days(&self) -> Option<f64> {
        match self {
            Self::Full => Some(0.0),
            Self::Left { days, .. } => Some(*days),
            Self::Calm { .. } | Self::Unknown { .. } => None,
        }
    }

    /// The fewest days, at the pace of late; `None` where nothing tells.
    pub(super) fn earliest(&self) -> Option<f64> {
        match self {
            Self::Left { earliest, .. } | Self::Unknown { earliest, .. } => *earliest,
            Self::Full | Self::Calm { .. } => None,
        }
    }

    /// What comes first when the soonest comes first.
    pub(super) fn order(&self) -> f64 {
        let days = self.days().or_else(|| self.earliest());
        days.unwrap_or(f64::INFINITY)
    }

    /// In a few characters.
    pub(in crate::cli) fn short(&self) -> String {
        match self {
            Self::Full => "full".to_owned(),
            Self::Left { days, .. } => span(*days),
            Self::Calm { .. } => "no growth".to_owned(),
            Self::Unknown { .. } => "not known".to_owned(),
        }
    }

    /// Why it is so.
    pub(super) fn because(&self) -> String {
        match self {
            Self::Full => "no address is free".to_owned(),
            Self::Left { per_day, .. } => format!("{per_day:.1} addresses a day"),
            Self::Calm { days } => format!("no new address for {}", span(*days)),
            Self::Unknown { why, .. } => why.text().to_owned(),
        }
    }

    pub(super) fn value(&self) -> Value {
        let (state, reason) = match self {
            Self::Full => ("Full", None),
            Self::Left { .. } => ("Known", None),
            Self::Calm { .. } => ("NoGrowth", None),
            Self::Unknown { why, .. } => ("Unknown", Some(why.reason())),
        };
        let per_day = match self {
            Self::Left { per_day, .. } => Some(*per_day),
            _ => None,
        };
        json!({
            "state": state,
            "reason": reason,
            "because": self.because(),
            "daysLeft": self.days().map(tenths),
            "addressesPerDay": per_day.map(tenths),
            "earliestDays": self.earliest().map(tenths),
        })
    }
}

/// Days as people say them.
pub(super) fn span(days: f64) -> String {
    match days {
        days if days < 2.0 / 24.0 => format!("{:.0} min", (days * 24.0 * 60.0).floor()),
        days if days < 2.0 => format!("{:.0} h", (days * 24.0).floor()),
        days if days < 730.0 => format!("{:.0} d", days.floor()),
        days => format!("{:.0} years", (days / 365.25).floor()),
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers beyond 2^52 are rounded: they are divided by a rate of three digits"
)]
fn rounded(number: u128) -> f64 {
    number as f64
}

/// A count as a float; a pool has less than 2^52 address objects.
fn float(count: usize) -> f64 {
    rounded(count as u128)
}

/// Creation times in days after the first of them, in order.
struct Times<'a> {
    times: &'a [f64],
    /// Now.
    end: f64,
    /// Of the pool, in days.
    age: f64,
}

impl Times<'_> {
    fn outlook(&self, free: f64) -> Outlook {
        if self.end < SHORTEST {
            return Outlook::Unknown {
                why: Why::TooShort,
                earliest: None,
            };
        }
        let unknown = |why| Outlook::Unknown {
            why,
            earliest: self.earliest(free),
        };
        if let Some(outlook) = self.staircase(free) {
            return outlook.unwrap_or_else(unknown);
        }
        let last = self.times.last().copied().unwrap_or_default();
        let start = self.after_the_first_burst();
        if self.count(f64::midpoint(start, self.end), self.end) == 0 {
            return Outlook::Calm {
                days: self.end - last,
            };
        }
        if self.end - start < SHORTEST {
            return unknown(Why::TooShort);
        }
        if start == 0.0 && self.age > 1.5 * self.end {
            return unknown(Why::Replaced);
        }
        let Some(until) = self.even_until(start) else {
            return unknown(Why::Uneven);
        };
        let count = self.count(start, until);
        if count < FEWEST {
            return unknown(Why::TooFew);
        }
        let per_day = float(count) / (until - start);
        Outlook::Left {
            days: free / per_day,
            per_day,
            earliest: self.earliest(free),
        }
    }

    /// Addresses of a stretch of time, its end left out unless it is now.
    fn count(&self, from: f64, to: f64) -> usize {
        let before = |limit: f64| self.times.partition_point(|time| *time < limit);
        let end = if to >= self.end {
            self.times.len()
        } else {
            before(to)
        };
        end.saturating_sub(before(from))
    }

    /// The fewest days, at the pace of the last quarter: no more were added in it than what is still there of it.
    fn earliest(&self, free: f64) -> Option<f64> {
        let quarter = self.end / 4.0;
        let late = self.count(self.end - quarter, self.end);
        (late > 0 && quarter > 0.0).then(|| free * quarter / float(late))
    }

    /// When the burst ended that the times begin with; 0 without one.
    fn after_the_first_burst(&self) -> f64 {
        let part = self.end / float(PARTS);
        let edge = |n: usize| part * float(n);
        let counts: Vec<usize> = (0..PARTS)
            .map(|n| {
                self.count(
                    edge(n),
                    if n + 1 == PARTS {
                        self.end
                    } else {
                        edge(n + 1)
                    },
                )
            })
            .collect();
        let mut next = counts[1..=PARTS / 2].to_vec();
        next.sort_unstable();
        let usual = next[next.len() / 2];
        let is_burst = |count: &usize| *count > 3 * usual + 3;
        edge(
            counts[..PARTS / 2]
                .iter()
                .take_while(|c| is_burst(c))
                .count(),
        )
    }

    /// Until when as many came in every part: until now, or until short-lived ones begin.
    fn even_until(&self, start: f64) -> Option<f64> {
        let part = (self.end - start) / float(PARTS);
        (0..=BRIEF).find_map(|cut| {
            let until = if cut == 0 {
                self.end
            } else {
                self.end - part * float(cut)
            };
            self.is_even(start, until).then_some(until)
        })
    }

    /// Whether the quarters of a time have about as many as each other.
    fn is_even(&self, start: f64, until: f64) -> bool {
        let quarter = (until - start) / 4.0;
        let quarters: Vec<f64> = (0..4_u8)
            .map(|n| {
                let from = start + quarter * f64::from(n);
                let to = if n == 3 { until } else { from + quarter };
                float(self.count(from, to))
            })
            .collect();
        let mean = quarters.iter().sum::<f64>() / 4.0;
        let slack = 0.15 * mean + 2.0 * mean.sqrt();
        // A trend is seen sooner than a scatter.
        let trend = (quarters[3] + quarters[2] - quarters[1] - quarters[0]).abs();
        quarters.iter().all(|count| (count - mean).abs() <= slack)
            && trend <= 0.3 * mean + 2.0 * (4.0 * mean).sqrt()
    }

    /// The outlook of addresses that come in even steps; `None` when they do not.
    fn staircase(&self, free: f64) -> Option<Result<Outlook, Why>> {
        let gap = self.end / 40.0;
        let mut steps: Vec<(f64, usize)> = Vec::new();
        let mut before = f64::NEG_INFINITY;
        for time in self.times {
            match steps.last_mut() {
                Some((_, count)) if time - before <= gap => *count += 1,
                _ => steps.push((*time, 1)),
            }
            before = *time;
        }
        if steps.len() < STEPS {
            return None;
        }
        let pauses: Vec<f64> = steps.windows(2).map(|two| two[1].0 - two[0].0).collect();
        // The first one may have filled the pool.
        let sizes: Vec<f64> = steps[1..].iter().map(|step| float(step.1)).collect();
        let (period, period_varies) = spread(&pauses);
        let (size, size_varies) = spread(&sizes);
        if size < 2.0 || period_varies > 0.2 || size_varies > 0.3 {
            return None;
        }
        let (last, _) = steps[steps.len() - 1];
        if self.end - last > 1.5 * period {
            return Some(Err(Why::StepOverdue));
        }
        let days = last + (free / size).ceil() * period - self.end;
        Some(Ok(Outlook::Left {
            days: days.max(0.0),
            per_day: size / period,
            earliest: self.earliest(free),
        }))
    }
}

/// The mean, and the standard deviation as a share of it.
fn spread(numbers: &[f64]) -> (f64, f64) {
    let mean = numbers.iter().sum::<f64>() / float(numbers.len());
    let squares = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>();
    let deviation = (squares / float(numbers.len())).sqrt();
    (mean, deviation / mean)
}

#[cfg(test)]
mod tests {
    //! Made series: what a pool does is simulated beyond now, and the outlook compared with what then happens.

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// When it is now, in days after the pool's creation.
    const NOW: f64 = 60.0;

    /// What a pool's machines do.
    #[derive(Debug, Clone, Copy)]
    enum Course {
        /// Machines come one by one and stay.
        Growth,
        /// Machines come in equal lots and stay.
        Staircase,
        /// Machines come one by one; once all are replaced.
        Rollout,
        /// As many machines all the time, each replaced after a day or less; some addresses stay.
        Leak,
        /// As many machines all the time, and one by one they are replaced.
        Replacement,
    }

    /// One address: from when until when it is held.
    struct Held(f64, f64);

    fn exponential(rng: &mut StdRng, mean: f64) -> f64 {
        -mean * (1.0 - rng.random_range(0.0..1.0_f64)).ln()
    }

    /// Times at which something happens, at so many a day.
    fn arrivals(rng: &mut StdRng, from: f64, to: f64, per_day: f64) -> Vec<f64> {
        let mut at = from;
        std::iter::from_fn(|| {
            at += exponential(rng, 1.0 / per_day);
            (at < to).then_some(at)
        })
        .collect()
    }

    fn simulated(course: Course, rng: &mut StdRng) -> Vec<Held> {
        const FOR_EVER: f64 = f64::INFINITY;
        let to = NOW + 2_000.0;
        let stay = |at: f64| Held(at, FOR_EVER);
        let first = rng.random_range(20..80_u32);
        let mut held: Vec<Held> = (0..first).map(|n| stay(f64::from(n) * 0.001)).collect();
        let rate = rng.random_range(4.0..12.0);
        match course {
            Course::Growth => held.extend(arrivals(rng, 0.0, to, rate).into_iter().map(stay)),
            Course::Staircase => {
                let (size, period) = (rng.random_range(8..40_u32), rng.random_range(4.0..10.0));
                let mut at = period;
                while at < to {
                    let size = size + rng.random_range(0..=size / 8);
                    held.extend((0..size).map(|n| stay(at + f64::from(n) * 0.0005)));
                    at += period * rng.random_range(0.95..1.05);
                }
            }
            Course::Rollout => {
                held.extend(arrivals(rng, 0.0, to, rate).into_iter().map(stay));
                let (at, lasts) = (rng.random_range(15.0..35.0), rng.random_range(0.2..2.0));
                let mut again = Vec::new();
                for machine in held.iter_mut().filter(|machine| machine.0 < at) {
                    machine.1 = at + rng.random_range(0.0..lasts);
                    again.push(stay(machine.1));
                }
                held.extend(again);
            }
            Course::Leak => {
                held.clear();
                for mut born in arrivals(rng, -1.0, 0.0, 30.0) {
                    // Each machine is replaced again and again.
                    while born < to {
                        let dies = born + rng.random_range(0.2..1.0);
                        held.push(Held(born, dies));
                        born = dies;
                    }
                }
                held.extend(arrivals(rng, 0.0, to, rate).into_iter().map(stay));
            }
            Course::Replacement => {
                held.clear();
                for n in 0..200_u32 {
                    let mut born = -f64::from(n) * 0.2;
                    while born < to {
                        let dies = born + exponential(rng, 30.0);
                        held.push(Held(born, dies));
                        born = dies;
                    }
                }
            }
        }
        held
    }

    fn in_use(held: &[Held], at: f64) -> usize {
        held.iter().filter(|h| h.0 <= at && at < h.1).count()
    }

    fn moment(days: f64) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        start + jiff::SignedDuration::from_secs_f64(days * DAY)
    }

    /// Of a pool that is as old as the series.
    fn births(addresses: Vec<Timestamp>) -> Births {
        Births {
            pool: Some(moment(0.0)),
            addresses,
        }
    }

    /// The outlook of a pool whose machines take this course, and in how many days it is really full.
    fn tried(course: Course, seed: u64) -> (Outlook, Option<f64>) {
        let mut rng = StdRng::seed_from_u64(seed);
        let held = simulated(course, &mut rng);
        let used = in_use(&held, NOW);
        let free = rng.random_range(used / 2..used * 2).max(20);
        let mut created: Vec<Timestamp> = held
            .iter()
            .filter(|h| h.0 <= NOW && NOW < h.1)
            .map(|h| moment(h.0.max(0.0)))
            .collect();
        created.sort_unstable();
        let outlook = Outlook::new(&births(created), free as u128, moment(NOW));
        let mut changes: Vec<(f64, i64)> = held
            .iter()
            .flat_map(|h| [(h.0, 1), (h.1, -1)])
            .filter(|(at, _)| *at > NOW && at.is_finite())
            .collect();
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut left = i64::try_from(free).unwrap();
        let full = changes.into_iter().find(|(_, change)| {
            left -= change;
            left <= 0
        });
        (outlook, full.map(|(at, _)| at - NOW))
    }

    /// Of so many seeds: outlooks within a fifth of what happens, those that say nothing, and those that are wrong.
    fn judged(course: Course, seeds: u64) -> [usize; 3] {
        let mut verdicts = [0; 3];
        for seed in 0..seeds {
            let (outlook, truth) = tried(course, seed);
            let verdict = match (outlook.days(), truth) {
                (None, _) => 1,
                (Some(days), Some(truth)) if (days - truth).abs() <= 0.2 * truth => 0,
                (Some(_), _) => 2,
            };
            verdicts[verdict] += 1;
        }
        verdicts
    }

    #[test]
    fn nine_of_ten_outlooks_are_within_a_fifth_of_what_then_happens() {
        let courses = [
            Course::Growth,
            Course::Staircase,
            Course::Rollout,
            Course::Leak,
        ];
        let (mut right, mut wrong) = (0, 0);
        for course in courses {
            let [right_here, _, wrong_here] = judged(course, 25);
            assert!(right_here >= 20, "{course:?}: {right_here} of 25");
            right += right_here;
            wrong += wrong_here;
        }
        assert!(right >= 90, "{right} of 100 are right");
        assert!(wrong <= 4, "{wrong} of 100 are wrong and do not say so");
    }

    #[test]
    fn machines_that_are_replaced_one_by_one_are_not_taken_for_growth() {
        let [_, unknown, wrong] = judged(Course::Replacement, 50);
        assert!(wrong <= 3, "{wrong} of {}", unknown + wrong);
    }

    fn outlook(days: impl IntoIterator<Item = f64>, free: u128, now: f64) -> Outlook {
        let mut created: Vec<Timestamp> = days.into_iter().map(moment).collect();
        created.sort_unstable();
        Outlook::new(&births(created), free, moment(now))
    }

    #[test]
    fn an_address_a_day_lasts_as_many_days_as_addresses_are_free() {
        let daily = outlook((0..40).map(f64::from), 12, 40.0);
        let days = daily.days().unwrap();
        assert!((11.5..=12.5).contains(&days), "{daily:?}");
        assert_eq!(daily.value()["addressesPerDay"], 1.0);
        assert_eq!(daily.because(), "1.0 addresses a day");
    }

    #[test]
    fn a_staircase_lasts_until_the_step_that_no_longer_fits() {
        let steps = (0..6_u8).flat_map(|step| (0..10).map(move |_| f64::from(step) * 7.0));
        // Two steps fit into 25; the third one comes at day 56.
        let outlook = outlook(steps, 25, 36.0);
        assert!((outlook.days().unwrap() - 20.0).abs() < 0.01, "{outlook:?}");
    }

    #[test]
    fn what_cannot_be_known_says_so() {
        let why = |outlook: Outlook| outlook.value()["reason"].clone();
        let few = outlook([0.0, 1.0, 2.5, 4.0], 10, 5.0);
        assert_eq!(why(few), "TooFewAddresses");
        assert_eq!(few.value()["daysLeft"], Value::Null);
        let young = outlook((0..90).map(|n| f64::from(n) / 100.0), 10, 0.9);
        assert_eq!(why(young), "TooShortTime");
        assert_eq!(young.short(), "not known");
        let faster = outlook((0..400).map(|n| f64::from(n).sqrt() * 2.0), 80, 40.0);
        assert_eq!(why(faster), "UnevenGrowth");
        assert_eq!(faster.earliest().map(span).unwrap(), "4 d");
        let steps = (0..6_u8).flat_map(|step| (0..10).map(move |_| f64::from(step) * 7.0));
        assert_eq!(why(outlook(steps, 25, 50.0)), "StepOverdue");
        let since = (0..100).map(|n| 60.0 + f64::from(n) * 0.2);
        assert_eq!(why(outlook(since, 50, 80.0)), "AddressesReplaced");
        assert_eq!(why(outlook([], 50, 80.0)), "TooFewAddresses");
    }

    #[test]
    fn a_pool_at_rest_and_a_full_one_need_no_forecast() {
        let filled = outlook((0..100).map(|n| f64::from(n) / 100.0), 50, 30.0);
        assert_eq!(filled.short(), "no growth");
        assert_eq!(filled.because(), "no new address for 29 d");
        let full = outlook([0.0], 0, 30.0);
        assert_eq!((full, full.days()), (Outlook::Full, Some(0.0)));
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        for (days, text) in [
            (0.0, "0 min"),
            (0.05, "72 min"),
            (0.5, "12 h"),
            (1.99, "47 h"),
            (3.7, "3 d"),
            (800.0, "2 years"),
        ] {
            assert_eq!(span(days), text);
        }
    }
}
