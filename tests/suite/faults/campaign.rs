//! Many runs over a few threads: every script without faults first, then each trial, compared with that. A failure is printed
//! with what repeats it.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::plan::{NoFaults, Plan};
use super::run::{Leased, Report, RunSetup};
use super::script::Script;
use crate::tally;

/// Threads of one campaign. Every run has a thread of its own; cargo runs several campaigns at once.
const THREADS: usize = 2;
/// Failures that are printed.
const SHOWN: usize = 100;
/// Lines of a trace that are printed.
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

    /// Runs it; violations of the oracles are in the report, O7 included.
    pub(crate) fn run(&self, clean: &Report) -> Report {
        let mut setup = RunSetup::new(&self.script, self.seed, self.plan.clone());
        setup.leased = self.leased;
        setup.remembers = self.remembers;
        setup.patience = self.plan.lasts();
        let mut report = setup.run();
        let differences = report.differences(&self.script, clean);
        report.violations.extend(differences);
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

/// The run of a script without faults, which must violate nothing.
pub(crate) fn clean(script: &Script, seed: u64) -> Report {
    let report = RunSetup::new(script, seed, NoFaults).run();
    assert!(
        report.violations.is_empty(),
        "{} without any fault: {:#?}\n{}",
        script.name,
        report.violations,
        report.tail
    );
    report
}

/// Runs every script's trials, which are made from its clean run. Panics when one violates an oracle.
pub(crate) fn campaign(
    scripts: &[Script],
    trials: impl Fn(&Script, &Report) -> Vec<Trial> + Sync,
) -> Sum {
    let next = AtomicUsize::new(0);
    // `make guards` needs the first failure only.
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
                            failures.push(failure(&trial, &report));
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
        failures[..failures.len().min(SHOWN)].join("\n")
    );
    sum
}

/// All that is needed to repeat and to understand a failure.
pub(crate) fn failure(trial: &Trial, report: &Report) -> String {
    let lines: Vec<&str> = report.tail.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let mut text = String::new();
    let _ = writeln!(
        text,
        "script {:?} ({}: {}), seed {}, with\n{}",
        trial.script.name,
        trial.script.rules.join(" "),
        trial.script.summary,
        trial.seed,
        trial.plan
    );
    let _ = writeln!(text, "violates {:#?}\n{tail}", report.violations);
    text
}
