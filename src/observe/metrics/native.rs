//! Native histograms: the observations of a classic histogram once more, in exponential buckets. A quantile of them is right
//! to some 4 % wherever it lies, and a series takes the place of a dozen.
//!
//! The crate `prometheus` has none, and the text format cannot carry them: they go out in the protobuf format
//! (`protobuf.rs`), beside the classic buckets, to a Prometheus that asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each power of two has 2^3 buckets: the next bound is 9 % higher.
pub(super) const SCHEMA: i32 = 3;
/// What is smaller counts as nothing: less than any time that is measured here.
pub(super) const ZERO: f64 = 1e-9;
/// Bounds of the buckets' numbers, some 10^-9 and 10^9, so that a wrong clock cannot make thousands of them.
const LOWEST: i32 = -240;
const HIGHEST: i32 = 240;

/// The native histograms of a process, by name and labels. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Natives(Arc<Mutex<BTreeMap<&'static str, Vec<Series>>>>);

#[derive(Debug)]
struct Series {
    /// Values of the labels, by their names.
    labels: Vec<(&'static str, String)>,
    native: Native,
}

/// The observations of one series.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Native {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Observations below [`ZERO`].
    pub(super) zero: u64,
    /// Observations by bucket: number `n` ends at 2^(n / 2^schema).
    pub(super) buckets: BTreeMap<i32, u64>,
}

impl Natives {
    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<Series>>> {
        // Whole at every moment, also after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a value for the series of these labels.
    pub(super) fn observe(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let mut all = self.all();
        let of_name = all.entry(name).or_default();
        let is_this = |series: &Series| {
            let pairs = series
                .labels
                .iter()
                .map(|(label, value)| (*label, &**value));
            pairs.eq(labels.iter().copied())
        };
        let place = of_name.iter().position(is_this).unwrap_or_else(|| {
            let owned = labels
                .iter()
                .map(|(label, value)| (*label, (*value).to_owned()));
            of_name.push(Series {
                labels: owned.collect(),
                native: Native::default(),
            });
            of_name.len() - 1
        });
        of_name[place].native.observe(value);
    }

    /// What was counted for this series, if it has a native histogram. The labels may come in any order.
    pub(super) fn of<'a>(
        &self,
        name: &str,
        labels: &(impl Iterator<Item = (&'a str, &'a str)> + Clone),
    ) -> Option<Native> {
        let all = self.all();
        let series = all.get(name)?.iter().find(|series| {
            series.labels.len() == labels.clone().count()
                && labels.clone().all(|(label, value)| {
                    let mut pairs = series.labels.iter();
                    pairs.any(|(l, v)| *l == label && v == value)
                })
        })?;
        Some(series.native.clone())
    }
}

impl Native {
    fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if value <= ZERO || value.is_nan() {
            self.zero += 1;
            return;
        }
        *self.buckets.entry(number(value)).or_default() += 1;
    }
}

/// The bucket of a value above nothing.
fn number(value: f64) -> i32 {
    let exact = value.log2() * f64::from(1 << SCHEMA);
    // A bound belongs to the bucket that ends there, and its logarithm may be a hair above a whole number.
    let number = (exact - 1e-9).ceil();
    (number as i32).clamp(LOWEST, HIGHEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_whose_bounds_are_around_it() {
        let bound = |number: i32| f64::from(number) / f64::from(1 << SCHEMA);
        for value in [
            1e-8, 0.000_3, 0.01, 0.5, 0.75, 1.0, 1.05, 2.0, 3.0, 17.0, 600.0,
        ] {
            let number = number(value);
            let (below, above) = (bound(number - 1).exp2(), bound(number).exp2());
            assert!(
                below < value && value <= above * 1.000_001,
                "{value}: {below} to {above}"
            );
        }
        assert_eq!([number(1.0), number(2.0), number(0.5)], [0, 8, -8]);
        assert_eq!(number(f64::MAX), HIGHEST);
        assert_eq!(number(f64::MIN_POSITIVE), LOWEST);
    }

    #[test]
    fn series_are_told_apart_by_their_labels() {
        let natives = Natives::default();
        natives.observe("a_seconds", &[("verb", "create"), ("resource", "x")], 0.5);
        natives.observe("a_seconds", &[("verb", "delete"), ("resource", "x")], 1.0);
        natives.observe("a_seconds", &[("verb", "create"), ("resource", "x")], 0.0);
        let of = |labels: &[(&'static str, &'static str)]| {
            natives.of("a_seconds", &labels.iter().copied())
        };
        let created = of(&[("resource", "x"), ("verb", "create")]).unwrap();
        assert_eq!((created.count, created.zero), (2, 1));
        assert_eq!(created.buckets, BTreeMap::from([(-8, 1)]));
        assert_eq!(of(&[("resource", "x")]), None);
        assert_eq!(natives.of("b_seconds", &std::iter::empty()), None);
    }
}
