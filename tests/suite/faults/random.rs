//! Several faults in one run, drawn from a seed, and the test that a seed repeats its run. `FAULT_SEED` and `FAULT_RUNS` set the
//! first seed and the number of runs; a failure names its script and seed, which repeat it.

use super::campaign::{SEED, Trial, campaign, clean};
use super::plan::Plan;
use super::run::{Leased, Report};
use super::script::Script;
use super::scripts;
use crate::control_plane::say;

/// Runs of each script in `make test`.
const RUNS: u64 = 12;

/// A number from the environment.
fn number(name: &str, without: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(without, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is to be a number, not {text:?}"))
    })
}

/// The run of this script and seed.
pub(super) fn drawn(script: &Script, clean: &Report, seed: u64) -> Trial {
    let mut trial = Trial::new(*script, Plan::draw(seed, clean.writes));
    trial.seed = seed;
    // Every fourth with leader election, so that a process ends with its lease too.
    if seed.is_multiple_of(4) {
        trial.leased = Leased::Yes;
    }
    trial
}

#[test]
fn plans_of_several_faults_drawn_from_a_seed() {
    let (first, runs) = (number("FAULT_SEED", SEED), number("FAULT_RUNS", RUNS));
    let sum = campaign(&scripts::all(), |script, clean| {
        (first..first + runs)
            .map(|seed| drawn(script, clean, seed))
            .collect()
    });
    say(&format!(
        "random plans: {} runs with {} faults and {} crashes, from seed {first}",
        sum.runs, sum.faults, sum.crashes
    ));
}

/// A run happens twice alike: every request, every answer, every event and the moment of each.
#[test]
fn a_seed_repeats_its_run() {
    for script in scripts::all() {
        let clean = clean(&script, SEED);
        let seed = 3 + clean.writes;
        let trial = drawn(&script, &clean, seed);
        let (first, second) = (trial.run(&clean), trial.run(&clean));
        assert_eq!(
            first.print, second.print,
            "{} with seed {seed}: the traces differ:\n{}\n---\n{}",
            script.name, first.tail, second.tail
        );
        let other = drawn(&script, &clean, seed + 1).run(&clean);
        assert_ne!(first.print, other.print, "{}", script.name);
    }
}
