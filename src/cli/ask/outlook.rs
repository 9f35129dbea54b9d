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

#[cfg(test)]
mod tests;

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
