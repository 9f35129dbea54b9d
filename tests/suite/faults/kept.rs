//! Runs that found something once, kept as they were.

use metal3_ipam::controller::Watched;

use super::campaign::{SEED, Trial, campaign};
use super::plan::{EventFate, Fate, ListFate, Plan};
use super::random::drawn;
use super::scripts;

/// A list from before the pool's last change came after it: an address that had been promised was taken for free (W1).
fn an_old_list_of_pools() -> Plan {
    let mut plan = Plan::event(Watched::Pools, 3, EventFate::Expired);
    plan.lists.insert((Watched::Pools, 2), ListFate::Stale(1));
    plan
}

/// The pool's first status was refused as too large, and the end was not that of the run without it (F10).
fn a_status_that_is_too_large() -> Plan {
    Plan::write(2, Fate::Refused(413))
}

type Draw = fn() -> Plan;

/// By script.
const PLANS: [(&str, Draw); 2] = [
    ("pre-allocations", an_old_list_of_pools),
    ("pause and its end", a_status_that_is_too_large),
];

/// By script, the seeds of plans that are drawn.
const SEEDS: [(&str, u64); 1] = [
    // The watch told of a wiped status before the write of it was answered.
    ("status wiped", 7),
];

#[test]
fn what_found_a_bug_once_finds_none_now() {
    let kept = |name: &str| {
        let here = |kept: &&str| **kept == *name;
        let plans = PLANS.iter().map(|(kept, _)| kept).any(here);
        plans || SEEDS.iter().map(|(kept, _)| kept).any(here)
    };
    let mut scripts = scripts::all();
    scripts.retain(|script| kept(script.name));
    let sum = campaign(&scripts, |script, clean| {
        let plans = PLANS.iter().filter(|(name, _)| *name == script.name);
        let plans = plans.map(|(_, plan)| {
            let mut trial = Trial::new(*script, plan());
            trial.seed = SEED;
            trial.remembers = true;
            trial
        });
        let seeds = SEEDS.iter().filter(|(name, _)| *name == script.name);
        plans
            .chain(seeds.map(|(_, seed)| drawn(script, clean, *seed)))
            .collect()
    });
    assert!(sum.runs >= scripts.len() as u64, "each of them ran");
}
