//! Every write of every script gets every fault: F1 and F2 (with F7 and F8), and the process dies at it in all three positions
//! (F3, F4, F5). Where a fault comes in several ways, the writes get them in turn; with `FAULT_ALL` each gets all.

use super::campaign::{Trial, campaign};
use super::plan::{Loss, Plan, RequestFault, When};
use super::run::Report;
use super::script::Script;
use super::scripts;
use crate::control_plane::say;
use crate::tally;

/// Each of these at each of the clean run's writes.
fn at_every_write(
    faults: &'static [RequestFault],
) -> impl Fn(&Script, &Report) -> Vec<Trial> + Sync {
    move |script, clean| {
        let writes = 1..=clean.writes;
        let each = writes.flat_map(|n| {
            faults
                .iter()
                .map(move |fault| Plan::write(n, fault.clone()))
        });
        each.map(|plan| Trial::new(*script, plan)).collect()
    }
}

/// At each write one of these, at the next write the next one; every script begins at another.
fn in_turn(faults: &'static [RequestFault]) -> impl Fn(&Script, &Report) -> Vec<Trial> + Sync {
    move |script, clean| {
        if std::env::var_os("FAULT_ALL").is_some() {
            return at_every_write(faults)(script, clean);
        }
        let begin = script.name.len();
        let each = (1..=clean.writes).map(|n| {
            let turn = usize::try_from(n).unwrap() + begin;
            Trial::new(*script, Plan::write(n, faults[turn % faults.len()].clone()))
        });
        each.collect()
    }
}

#[test]
fn f3_f4_f5_the_process_dies_at_every_write_in_all_three_positions() {
    const FATES: &[RequestFault] = &[
        RequestFault::Crash(When::Sending),
        RequestFault::Crash(When::Answer),
        RequestFault::Crash(When::Memory),
    ];
    let scripts = scripts::all();
    let sum = campaign(&scripts, at_every_write(FATES));
    assert_eq!(sum.crashes, sum.runs, "every run had its crash");
    tally::add("crash points", sum.crashes);
    tally::add("fault scripts", scripts.len() as u64);
    say(&format!(
        "F3, F4, F5: {} crash points over {} scripts",
        sum.crashes,
        scripts.len()
    ));
}

#[test]
fn f1_every_write_is_refused_once() {
    const FATES: &[RequestFault] = &[
        RequestFault::Refused(409),
        RequestFault::Refused(429),
        RequestFault::Refused(500),
        RequestFault::Refused(503),
        RequestFault::Unconnected,
    ];
    let sum = campaign(&scripts::all(), in_turn(FATES));
    assert_eq!(sum.faults, sum.runs, "every run had its fault");
    say(&format!("F1: {} writes refused, a run each", sum.faults));
}

#[test]
fn f2_f7_f8_the_answer_of_every_write_is_lost_once() {
    const FATES: &[RequestFault] = &[
        RequestFault::Lost(Loss::Error),
        RequestFault::Lost(Loss::Reset),
        RequestFault::Lost(Loss::Timeout),
        RequestFault::Lost(Loss::Cut),
    ];
    let sum = campaign(&scripts::all(), in_turn(FATES));
    assert_eq!(sum.faults, sum.runs, "every run had its fault");
    say(&format!("F2, F8: {} answers lost, a run each", sum.faults));
}

/// F10, F11: refusals that say it shall not be so. They pass here, as a fixed role or a fixed webhook would let them.
#[test]
fn f10_f11_every_write_is_forbidden_once() {
    const FATES: &[RequestFault] = &[
        RequestFault::Refused(401),
        RequestFault::Refused(403),
        RequestFault::Refused(413),
    ];
    let sum = campaign(&scripts::all(), in_turn(FATES));
    assert_eq!(sum.faults, sum.runs, "every run had its fault");
    say(&format!(
        "F10, F11: {} writes forbidden, a run each",
        sum.faults
    ));
}
