//! Whether one build is slower than another, from the shares of the ceiling that each reached in the rounds of one run. No I/O.
//!
//! The distribution-free confidence interval of Hodges and Lehmann, which is the Mann-Whitney test turned around: every share of
//! one run is divided by every share of the other. The median of these ratios is the estimate, and the k-th of both ends bound
//! it, with k from the exact distribution of the rank statistic. It holds for as few as four rounds and whatever the
//! distribution of the noise, so that a round during which something else took the cores costs precision only. A Welch test
//! needs nearly normal noise, and a bootstrap of five rounds promises more than it keeps.
//!
//! Cost: `O(n² m²)` for n and m rounds, which [`MOST_ROUNDS`] bounds.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::report::Spread;

/// Probability that any row of a comparison of one build with itself is called faster or slower.
const ERROR: f64 = 0.05;
/// The slow-down that is to be found, as the ratio of the shares.
const SLOWED: f64 = 0.9;
/// Simulated comparisons for each number of rounds, and in how many of them that slow-down may be missed. One in 20 is promised;
/// one in 25 leaves room for the chance of the simulation itself.
const TRIALS: usize = 400;
const MISSED: usize = TRIALS / 25;
/// Numbers of rounds that are tried until one is enough.
const LADDER: [usize; 14] = [
    5,
    6,
    8,
    10,
    12,
    15,
    20,
    25,
    30,
    40,
    60,
    80,
    100,
    MOST_ROUNDS,
];
/// Most rounds of a run that is compared.
pub(super) const MOST_ROUNDS: usize = 150;

/// What is said of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Faster,
    Slower,
    /// Neither is shown, and a slow-down of a tenth is excluded.
    WithinNoise,
    /// Nothing is shown, and a slow-down of a tenth may hide in the noise.
    TooFewRounds,
}

impl Verdict {
    /// As the table and the JSON name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::WithinNoise => "within noise",
            Self::TooFewRounds => "too few rounds",
        }
    }
}

/// One row of two runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    /// How many times the earlier share the later one is: 0.9 is a tenth slower.
    pub(super) ratio: f64,
    /// Where that ratio lies. `None` where the rounds are too few for any interval.
    pub(super) interval: Option<(f64, f64)>,
    pub(super) verdict: Verdict,
    /// Rounds that each run should have, where there is no verdict; `None` also where [`MOST_ROUNDS`] are too few.
    pub(super) rounds_wanted: Option<usize>,
}

/// Compares the shares of two runs. `rows` is how many rows are compared at once: the error is divided by it.
pub(super) fn compare(before: &[f64], after: &[f64], rows: usize) -> Comparison {
    let ratios = ratios(before, after);
    let interval = rank(before.len(), after.len(), rows).and_then(|rank| bounds(&ratios, rank));
    let verdict = verdict(interval);
    let rounds_wanted = match verdict {
        Verdict::TooFewRounds => rounds_wanted(before, after, rows),
        Verdict::Faster | Verdict::Slower | Verdict::WithinNoise => None,
    };
    Comparison {
        ratio: median(&ratios),
        interval,
        verdict,
        rounds_wanted,
    }
}

/// The fewest rounds of each run with which `rows` rows can get a verdict at all.
pub(super) fn fewest_rounds(rows: usize) -> usize {
    let enough = |n: &usize| rank(*n, *n, rows).is_some();
    (1..=MOST_ROUNDS).find(enough).unwrap_or(MOST_ROUNDS)
}

/// How many rounds each run needs so that a build that is a tenth slower is called so in 19 of 20 comparisons, with the noise of
/// these two; twice as many as they have, where that should have been enough. Simulated: rounds are drawn from those measured,
/// each as its ratio to the median of its run.
fn rounds_wanted(before: &[f64], after: &[f64], rows: usize) -> Option<usize> {
    let noise = [residuals(before), residuals(after)].concat();
    let least = 2 * before.len().min(after.len());
    LADDER
        .into_iter()
        .filter(|rounds| *rounds >= least)
        .find(|rounds| is_enough(&noise, *rounds, rows))
}

/// Shares as multiples of their median.
fn residuals(shares: &[f64]) -> Vec<f64> {
    let median = median(shares);
    shares.iter().map(|share| share / median).collect()
}

fn median(figures: &[f64]) -> f64 {
    Spread::of(figures.iter().copied()).map_or(f64::NAN, |spread| spread.median)
}

/// Whether so many rounds with this noise show a slow-down of a tenth nearly always.
fn is_enough(noise: &[f64], rounds: usize, rows: usize) -> bool {
    let Some(rank) = rank(rounds, rounds, rows) else {
        return false;
    };
    let mut rng = StdRng::seed_from_u64(1);
    let mut missed = 0;
    for _ in 0..TRIALS {
        let before = drawn(&mut rng, noise, rounds, 1.0);
        let after = drawn(&mut rng, noise, rounds, SLOWED);
        missed += usize::from(verdict(bounds(&ratios(&before, &after), rank)) != Verdict::Slower);
        if missed > MISSED {
            return false;
        }
    }
    true
}

/// The rounds of a simulated run.
fn drawn(rng: &mut StdRng, noise: &[f64], rounds: usize, share: f64) -> Vec<f64> {
    let draw = |_| share * noise[rng.random_range(0..noise.len())];
    (0..rounds).map(draw).collect()
}

/// Every share of one run over every share of the other, sorted.
fn ratios(before: &[f64], after: &[f64]) -> Vec<f64> {
    let pairs = after
        .iter()
        .flat_map(|after| before.iter().map(move |before| after / before));
    let mut ratios: Vec<f64> = pairs.collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// The ratios at this rank from either end, counted from one.
fn bounds(sorted: &[f64], rank: usize) -> Option<(f64, f64)> {
    let high = sorted.len().checked_sub(rank)?;
    Some((*sorted.get(rank - 1)?, *sorted.get(high)?))
}

fn verdict(interval: Option<(f64, f64)>) -> Verdict {
    match interval {
        Some((_, high)) if high < 1.0 => Verdict::Slower,
        Some((low, _)) if low > 1.0 => Verdict::Faster,
        Some((low, _)) if low > SLOWED => Verdict::WithinNoise,
        Some(_) | None => Verdict::TooFewRounds,
    }
}

/// Which of the sorted ratios, counted from either end, bounds the interval that misses the true ratio seldom enough. `None` when
/// no interval does.
fn rank(before: usize, after: usize, rows: usize) -> Option<usize> {
    let error = ERROR / rows as f64;
    let mut below = 0.0;
    let outside = statistic(before, after).into_iter().take_while(|chance| {
        below += chance;
        below <= error / 2.0
    });
    Some(outside.count()).filter(|rank| *rank > 0)
}

/// Exact distribution of the Mann-Whitney statistic: the chance of each number of pairs in which the first is greater.
fn statistic(first: usize, second: usize) -> Vec<f64> {
    let mut by_second: Vec<Vec<f64>> = vec![vec![1.0]; second + 1];
    for n in 1..=first {
        for m in 1..=second {
            // The greatest of all is of the first sample, and greater than all m of the second, or it is of the second.
            let (of_first, of_second) = (n as f64 / (n + m) as f64, m as f64 / (n + m) as f64);
            let mut chances = vec![0.0; n * m + 1];
            for (pairs, chance) in by_second[m].iter().enumerate() {
                chances[pairs + m] += of_first * chance;
            }
            for (pairs, chance) in by_second[m - 1].iter().enumerate() {
                chances[pairs] += of_second * chance;
            }
            by_second[m] = chances;
        }
    }
    by_second.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of 64 rounds of `metal3-ipam bench --claims 600`, a debug build on two shared cores, each over the median of its run:
    /// every fourth of the sorted ones.
    const USUAL: [f64; 16] = [
        0.71, 0.87, 0.90, 0.92, 0.95, 0.96, 0.97, 0.99, 1.01, 1.03, 1.04, 1.05, 1.08, 1.12, 1.16,
        1.22,
    ];
    /// Six rounds of the same in a row without a disturbance.
    const QUIET: [f64; 6] = [0.978, 0.994, 0.999, 1.001, 1.007, 1.018];

    /// How often two simulated runs get each verdict, of 1,000: faster, slower, within noise, too few rounds.
    fn verdicts(noise: &[f64], rounds: usize, rows: usize, changed: f64) -> [usize; 4] {
        let mut rng = StdRng::seed_from_u64(20);
        let mut counts = [0; 4];
        let rank = rank(rounds, rounds, rows).unwrap();
        for _ in 0..1000 {
            let before = drawn(&mut rng, noise, rounds, 0.9);
            let after = drawn(&mut rng, noise, rounds, 0.9 * changed);
            let place = match verdict(bounds(&ratios(&before, &after), rank)) {
                Verdict::Faster => 0,
                Verdict::Slower => 1,
                Verdict::WithinNoise => 2,
                Verdict::TooFewRounds => 3,
            };
            counts[place] += 1;
        }
        counts
    }

    fn wanted(noise: &[f64], rows: usize) -> usize {
        let enough = LADDER.iter().find(|n| is_enough(noise, **n, rows));
        *enough.unwrap()
    }

    #[test]
    fn a_tenth_slower_is_found_and_an_unchanged_build_is_left_alone() {
        for (name, noise, rows, rounds, at_most) in [
            ("quiet", &QUIET[..], 1, 5, 50),
            ("quiet", &QUIET[..], 5, 5, 20),
            ("usual", &USUAL[..], 1, 40, 50),
        ] {
            assert_eq!(wanted(noise, rows), rounds, "{name}, {rows} rows");
            let [_, found, missed, _] = verdicts(noise, rounds, rows, 0.9);
            assert!(found >= 950 && missed <= 50, "{name}, {rows} rows: {found}");
            let [faster, slower, within, _] = verdicts(noise, rounds, rows, 1.0);
            assert!(
                faster + slower <= at_most,
                "{name}, {rows} rows: {faster} {slower}"
            );
            assert!(within >= 900, "{name}, {rows} rows: {within}");
            let [faster, _, _, _] = verdicts(noise, rounds, rows, 1.1);
            assert!(faster >= 900, "{name}, {rows} rows: {faster}");
        }
    }

    #[test]
    fn too_few_rounds_get_no_verdict_that_the_noise_may_have_made() {
        let [faster, slower, within, too_few] = verdicts(&USUAL, 5, 1, 0.9);
        assert!(faster + within <= 50, "{faster} {within}");
        assert!(too_few > slower, "{too_few} {slower}");
        let before = &USUAL[..5];
        let after = [1.1, 0.8, 0.7, 1.2, 0.9];
        let compared = compare(before, &after, 1);
        assert_eq!(compared.verdict, Verdict::TooFewRounds);
        assert!(
            compared.rounds_wanted.is_some_and(|n| n >= 10),
            "{compared:?}"
        );
        let [one, other] = [[1.0; 3], [0.5; 3]].map(|shares| compare(&shares, &shares, 1));
        assert_eq!((one.interval, other.verdict), (None, Verdict::TooFewRounds));
    }

    /// Critical values from the tables of the two-sided test at 5 %, and one more: ranks count from one.
    #[test]
    fn ranks_are_those_of_the_mann_whitney_test() {
        for (before, after, critical) in
            [(4, 4, 0), (5, 5, 2), (5, 8, 6), (10, 10, 23), (20, 20, 127)]
        {
            assert_eq!(
                rank(before, after, 1),
                Some(critical + 1),
                "{before} {after}"
            );
        }
        assert_eq!(rank(3, 3, 1), None);
        assert_eq!([1, 2, 5].map(fewest_rounds), [4, 5, 5]);
        let all: f64 = statistic(7, 9).iter().sum();
        assert!((all - 1.0).abs() < 1e-12);
    }
}
