//! Every event of every script's clean run meets a fault, one kind of fault after the other, and so do the lists.

use std::time::Duration;

use metal3_ipam::api::Kind;

use super::campaign::{Trial, campaign};
use super::plan::{EventFate, ListFate, Plan};
use super::run::Report;
use super::script::Script;
use super::scripts;
use crate::control_plane::say;

/// Watches that are cut, told twice, stalled and blind: the n-th event of a kind meets the n-th of these, each kind begins at
/// another. With `FAULT_ALL` every event meets all of them.
const EVENT_FATES: [EventFate; 12] = [
    EventFate::Dropped,
    EventFate::Twice,
    EventFate::Expired,
    EventFate::Replaced,
    EventFate::Again,
    EventFate::Closed,
    EventFate::Stalled(Duration::from_secs(3)),
    EventFate::Failed(410),
    EventFate::AfterBookmark,
    EventFate::Dropped,
    EventFate::Failed(500),
    EventFate::Stalled(Duration::from_secs(400)),
];

/// A fault at every event of every kind.
fn at_every_event(script: &Script, clean: &Report) -> Vec<Trial> {
    let each = if std::env::var_os("FAULT_ALL").is_some() {
        EVENT_FATES.len()
    } else {
        1
    };
    let kinds = clean.events.iter().enumerate();
    let all = kinds.flat_map(|(place, (kind, events))| {
        (1..=*events).flat_map(move |n| {
            let turn = usize::try_from(n).unwrap() + 5 * place;
            let fates = (turn..turn + each).map(|turn| &EVENT_FATES[turn % EVENT_FATES.len()]);
            fates.map(move |fate| Plan::event(*kind, n, fate.clone()))
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
        for fate in [
            ListFate::Stale(1),
            ListFate::Stale(3),
            ListFate::ExpiredMidway,
            ListFate::PageMissing,
        ] {
            let mut plan = Plan::event(*kind, events.div_ceil(2), EventFate::Expired);
            plan.lists.insert((*kind, 2), fate);
            let mut trial = Trial::new(*script, plan);
            trial.remembers = true;
            all.push(trial);
        }
    }
    for kind in Kind::ALL {
        let plan = Plan::list(kind, 1, ListFate::ExpiredMidway);
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
