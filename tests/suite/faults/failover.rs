//! A process ends and the next one leads: writes of the old one land under the new one (F6), and nothing is begun without a
//! lease (O8).

use std::time::Duration;

use super::campaign::{Trial, campaign};
use super::plan::{Plan, RequestFault};
use super::run::{Leased, Report};
use super::script::Script;
use super::scripts;
use crate::control_plane::say;

/// Writes of the new leader before the late one lands, in turn.
const LANDINGS: [u64; 4] = [0, 1, 3, 8];
/// Longest time that a request is under way, each way, where the lease is to run out in the middle of a script.
const SLOW: Duration = Duration::from_millis(1800);

fn leased(script: Script, plan: Plan) -> Trial {
    let mut trial = Trial::new(script, plan);
    trial.leased = Leased::Yes;
    trial
}

/// A late create's object may be a second one of its claim, which keeps both (A4). Here no address is to spare for that, and
/// who waits would wait on.
const FULL: &str = "the random strategy";

/// A late write may land before the new leader's first one, after it, or well into its work.
fn late_at_every_write(script: &Script, clean: &Report) -> Vec<Trial> {
    let writes = 1..=clean.writes;
    let each = writes.map(|n| {
        let mut plan = Plan::write(n, RequestFault::Held);
        plan.landing = LANDINGS[usize::try_from(n + n / 3).unwrap() % LANDINGS.len()];
        leased(*script, plan)
    });
    each.collect()
}

#[test]
fn f6_every_write_lands_late_under_a_new_leader() {
    let mut scripts = scripts::all();
    scripts.retain(|script| script.name != FULL);
    let sum = campaign(&scripts, late_at_every_write);
    assert_eq!(sum.crashes, sum.runs, "every run had its new leader");
    say(&format!(
        "F6: {} writes landed under a new leader, a run each",
        sum.runs
    ));
}

/// The renewals of the lease get through no more, while everything else does.
fn cut_off(script: &Script, clean: &Report) -> Vec<Trial> {
    let from = [1, clean.writes.div_ceil(2)];
    let each = from.into_iter().map(|n| {
        let plan = Plan {
            cut_off: Some(n),
            delays: Some((n, SLOW)),
            ..Plan::default()
        };
        leased(*script, plan)
    });
    each.collect()
}

#[test]
fn o8_a_leader_that_cannot_renew_begins_no_write_after_its_lease() {
    let scripts = scripts::all();
    let sum = campaign(&scripts, cut_off);
    assert!(
        sum.crashes >= scripts.len() as u64,
        "only {} leaders lost their lease",
        sum.crashes
    );
    say(&format!(
        "O8: {} leaders lost their lease in {} runs",
        sum.crashes, sum.runs
    ));
}
