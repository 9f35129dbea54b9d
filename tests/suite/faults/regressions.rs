//! Runs that found a fault once, kept as they were.

use metal3_ipam::api::ClaimKind;
use metal3_ipam::api::Kind;

use super::campaign::{Trial, campaign};
use super::plan::{EventFault, ListFault, Plan, RequestFault};
use super::random::drawn;
use super::run::Report;
use super::script::Script;
use super::scripts;

/// By script, events of address objects after which the watch cannot go on; the list that follows is from two writes before
/// (W1). It shows an object that is gone, whose address then stays held, so that the next claim gets another.
const OLD_LISTS: [(&str, u64); 2] = [("one after the other", 4), ("pre-allocations", 6)];

fn an_old_list(after: u64) -> Plan {
    let addresses = Kind::Addresses(ClaimKind::Metal3);
    let mut plan = Plan::event(addresses, after, EventFault::Expired);
    plan.lists.insert((addresses, 2), ListFault::Stale(2));
    plan
}

/// The pool's first status was refused as too large, and the end was not that of the run without it (F10).
fn a_status_that_is_too_large() -> Plan {
    Plan::write(2, RequestFault::Refused(413))
}

type Draw = fn() -> Plan;

/// By script, other plans.
const PLANS: [(&str, Draw); 1] = [("pause and its end", a_status_that_is_too_large)];

/// By script, the seeds of plans that are drawn.
const SEEDS: [(&str, u64); 1] = [
    // The watch showed a wiped status before the write of it was answered.
    ("status wiped", 7),
];

/// What was kept of a script.
fn kept(script: &Script, clean: &Report) -> Vec<Trial> {
    fn of<T: Copy>(script: &Script, kept: &[(&str, T)]) -> Vec<T> {
        let here = kept.iter().filter(|(name, _)| *name == script.name);
        here.map(|(_, kept)| *kept).collect()
    }
    let lists = of(script, &OLD_LISTS).into_iter().map(an_old_list);
    let plans = of(script, &PLANS).into_iter().map(|plan| plan());
    let planned = lists.chain(plans).map(|plan| {
        let mut trial = Trial::new(*script, plan);
        trial.remembers = true;
        trial
    });
    let seeds = of(script, &SEEDS).into_iter();
    planned
        .chain(seeds.map(|seed| drawn(script, clean, seed)))
        .collect()
}

#[test]
fn every_run_that_found_a_bug_once_passes() {
    let names: Vec<&str> = OLD_LISTS
        .iter()
        .map(|(name, _)| *name)
        .chain(PLANS.iter().map(|(name, _)| *name))
        .chain(SEEDS.iter().map(|(name, _)| *name))
        .collect();
    let mut scripts = scripts::all();
    scripts.retain(|script| names.contains(&script.name));
    let sum = campaign(&scripts, kept);
    assert!(sum.runs >= scripts.len() as u64, "each of them ran");
    // A plan that no longer meets what it is about would find nothing, whatever is wrong.
    let played = |name: &str| scripts.iter().any(|script| script.name == name);
    let lists = OLD_LISTS.iter().filter(|(name, _)| played(name)).count();
    assert_eq!(sum.old_lists, lists as u64, "each old list was one");
}
