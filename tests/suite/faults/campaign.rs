//! Many runs: every script without faults first, then each case against that, over a few threads; what fails is told so that
//! it can be repeated.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::plan::{Calm, Plan};
use super::run::{Case, Leased, Report};
use super::script::Script;
use crate::tally;

/// Threads of one campaign. Every run has a thread of its own; cargo runs several campaigns at once.
const THREADS: usize = 2;
/// Failures that are told.
const TOLD: usize = 100;
/// Lines of a trace that are told.
const LINES: usize = 120;
/// The seed of all runs that have nothing to draw.
pub(crate) const SEED: u64 = 1;

/// A run to be made.
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) script: Script,
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) leased: Leased,
    pub(crate) remembers: bool,
}

impl Trial {
    pub(crate) fn new(script: Script, plan: Plan) -> Self {
        Self {
            script,
            seed: SEED,
            plan,
            leased: Leased::No,
            remembers: false,
        }
    }

    /// Runs it; what is against the oracles is in the report, O7 included.
    pub(crate) fn run(&self, clean: &Report) -> Report {
        let mut case = Case::new(&self.script, self.seed, self.plan.clone());
        case.leased = self.leased;
        case.remembers = self.remembers;
        case.patience = self.plan.lasts();
        let mut report = case.run();
        let unlike = report.unlike(&self.script, clean);
        report.violations.extend(unlike);
        report
    }
}

/// What a campaign did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) runs: u64,
    pub(crate) faults: u64,
    pub(crate) crashes: u64,
    /// Lists that were older than the last event of their kind (W1).
    pub(crate) old_lists: u64,
}

/// The run of a script without faults, which must be flawless.
pub(crate) fn clean(script: &Script, seed: u64) -> Report {
    let report = Case::new(script, seed, Calm).run();
    assert!(
        report.violations.is_empty(),
        "{} without any fault: {:#?}\n{}",
        script.name,
        report.violations,
        report.tail
    );
    report
}

/// Makes for every script its trials, from its clean run, and makes them. Panics when one is against an oracle.
pub(crate) fn campaign(
    scripts: &[Script],
    trials: impl Fn(&Script, &Report) -> Vec<Trial> + Sync,
) -> Sum {
    let next = AtomicUsize::new(0);
    // A missing guard is found by its first failure.
    let first_only = std::env::var_os("FAULT_FIRST").is_some();
    let sum = Mutex::new((Sum::default(), Vec::<String>::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(script) = scripts.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let clean = clean(script, SEED);
                    for trial in trials(script, &clean) {
                        let report = trial.run(&clean);
                        let (sum, failures) = &mut *sum.lock().unwrap();
                        sum.runs += 1;
                        sum.faults += report.faults;
                        sum.crashes += report.crashes;
                        sum.old_lists += report.old_lists;
                        if !report.violations.is_empty() {
                            failures.push(told(&trial, &report));
                            if first_only {
                                next.store(scripts.len(), Ordering::SeqCst);
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    let (sum, failures) = sum.into_inner().unwrap();
    tally::add("faults injected", sum.faults);
    tally::add("violations of the oracles", failures.len() as u64);
    assert!(
        failures.is_empty(),
        "{} of {} runs failed:\n{}",
        failures.len(),
        sum.runs,
        failures[..failures.len().min(TOLD)].join("\n")
    );
    sum
}

/// All that is needed to repeat and to understand a run.
pub(crate) fn told(trial: &Trial, report: &Report) -> String {
    let lines: Vec<&str> = report.tail.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let mut text = String::new();
    let _ = writeln!(
        text,
        "script {:?} ({}: {}), seed {}, with\n{}",
        trial.script.name,
        trial.script.rules.join(" "),
        trial.script.tells,
        trial.seed,
        trial.plan
    );
    let _ = writeln!(text, "violates {:#?}\n{tail}", report.violations);
    text
}
