//! Every event of every script's clean run gets a fault, one kind of fault after the other, and so does every list.

use std::time::Duration;

use metal3_ipam::api::Kind;

use super::campaign::{Trial, campaign};
use super::plan::{EventFault, ListFault, Plan};
use super::run::Report;
use super::script::Script;
use super::scripts;
use crate::control_plane::say;

/// Watches that end, repeat, stall and lose events: the n-th event of a kind gets the n-th of these faults; each kind begins at
/// another one. With `FAULT_ALL` every event meets all of them.
const EVENT_FAULTS: [EventFault; 12] = [
    EventFault::Dropped,
    EventFault::Twice,
    EventFault::Expired,
    EventFault::Replaced,
    EventFault::Again,
    EventFault::Closed,
    EventFault::Stalled(Duration::from_secs(3)),
    EventFault::Failed(410),
    EventFault::AfterBookmark,
    EventFault::Dropped,
    EventFault::Failed(500),
    EventFault::Stalled(Duration::from_secs(400)),
];

/// A fault at every event of every kind.
fn at_every_event(script: &Script, clean: &Report) -> Vec<Trial> {
    let each = if std::env::var_os("FAULT_ALL").is_some() {
        EVENT_FAULTS.len()
    } else {
        1
    };
    let kinds = clean.events.iter().enumerate();
    let all = kinds.flat_map(|(place, (kind, events))| {
        (1..=*events).flat_map(move |n| {
            let turn = usize::try_from(n).unwrap() + 5 * place;
            let faults = (turn..turn + each).map(|turn| &EVENT_FAULTS[turn % EVENT_FAULTS.len()]);
            faults.map(move |fault| Plan::event(*kind, n, fault.clone()))
        })
    });
    all.map(|plan| Trial::new(*script, plan)).collect()
}

#[test]
fn w2_to_w8_w11_to_w13_every_event_meets_a_fault() {
    let sum = campaign(&scripts::all(), at_every_event);
    assert!(sum.faults >= sum.runs, "every run had its fault");
    say(&format!(
        "W2 to W8, W11 to W13: {} events met a fault, a run each",
        sum.runs
    ));
}

/// In mid-script the history of a kind is gone, and the list that follows is an old one (W1), breaks off (W9) or has a page
/// missing (W10).
fn at_every_list(script: &Script, clean: &Report) -> Vec<Trial> {
    let mut all = Vec::new();
    for (kind, events) in &clean.events {
        for fault in [
            ListFault::Stale(1),
            ListFault::Stale(3),
            ListFault::ExpiredMidway,
            ListFault::PageMissing,
        ] {
            let mut plan = Plan::event(*kind, events.div_ceil(2), EventFault::Expired);
            plan.lists.insert((*kind, 2), fault);
            let mut trial = Trial::new(*script, plan);
            trial.remembers = true;
            all.push(trial);
        }
    }
    for kind in Kind::ALL {
        let plan = Plan::list(kind, 1, ListFault::ExpiredMidway);
        all.push(Trial::new(*script, plan));
    }
    all
}

#[test]
fn w1_w9_w10_lists_that_are_old_or_break_off() {
    let sum = campaign(&scripts::all(), at_every_list);
    assert!(sum.faults >= sum.runs, "every run had its fault");
    assert!(sum.old_lists > 0, "no list was an old one");
    say(&format!(
        "W1, W9, W10: {} lists met a fault, a run each; {} were older than the last event of their kind",
        sum.runs, sum.old_lists
    ));
}
