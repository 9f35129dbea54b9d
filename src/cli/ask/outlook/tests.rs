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
