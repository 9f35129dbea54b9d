//! The distribution that criterion does not give: p50, p99 and worst.
//!
//! Two views. A batch of 64 operations amortises the clock but hides a single slow operation among them; timing each
//! operation shows it, and adds 25 to 50 ns to each. The machine's other work is in `worst`.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::chosen::Chosen;
use crate::chunks::Slots;
use crate::patterns::{BATCH, Case, Pattern, Space};
use crate::roarings::{Freed, Hint, Rank};
use crate::sets::{Naive, SummaryTree};
use crate::subject::Subject;

const BATCHES: usize = 1_000_000;
/// Batches of singly timed operations: a million operations.
const SINGLES: usize = BATCHES / BATCH;
/// The other structures stop after this time: some would take hours.
const PATIENCE: Duration = Duration::from_secs(2);

const DENSE: Space = Space::Dense(1 << 24);

/// Prints the table.
pub(crate) fn table() {
    println!("\nns per operation: batches of {BATCH} | each operation by itself, clock included");
    println!("16 M offsets");
    heading();
    for pattern in Pattern::ALL {
        row::<Chosen>(pattern, DENSE, None);
        row::<Slots>(pattern, DENSE, Some(PATIENCE));
        row::<SummaryTree>(pattern, DENSE, Some(PATIENCE));
        row::<Freed>(pattern, DENSE, Some(PATIENCE));
        row::<Hint>(pattern, DENSE, Some(PATIENCE));
        row::<Rank>(pattern, DENSE, Some(PATIENCE));
        row::<Naive>(pattern, DENSE, Some(PATIENCE));
    }
    for (label, space) in Space::OTHERS {
        println!("{label}");
        heading();
        for pattern in Pattern::ALL
            .into_iter()
            .filter(|pattern| pattern.fits(space))
        {
            row::<Chosen>(pattern, space, None);
        }
    }
}

fn heading() {
    println!(
        "{:<20} {:<16} {:>8} | {:>7} {:>7} {:>8} | {:>7} {:>7} {:>8}",
        "pattern", "structure", "batches", "p50", "p99", "worst", "p50", "p99", "worst"
    );
}

fn row<S: Subject>(pattern: Pattern, space: Space, patience: Option<Duration>) {
    if S::hopeless(pattern, space) {
        println!(
            "{:<20} {:<16} skipped: a batch takes seconds",
            pattern.name(),
            S::NAME
        );
        return;
    }
    let mut case: Case<S> = Case::prepare(pattern, space);
    let begin = Instant::now();
    let patient = |share: u32| patience.is_none_or(|patience| begin.elapsed() < patience * share);
    let mut batches = Vec::with_capacity(BATCHES);
    while batches.len() < BATCHES && patient(1) {
        batches.push(case.batch().as_nanos() as u32);
    }
    let mut singles = Vec::with_capacity(SINGLES * BATCH);
    while singles.len() < SINGLES * BATCH && patient(2) {
        case.singles(&mut singles);
    }
    batches.sort_unstable();
    singles.sort_unstable();
    let [p50, p99, worst] = points(&batches).map(|ns| ns / BATCH as u32);
    let [single_p50, single_p99, single_worst] = points(&singles);
    println!(
        "{:<20} {:<16} {:>8} | {p50:>7} {p99:>7} {worst:>8} | {single_p50:>7} {single_p99:>7} {single_worst:>8}",
        pattern.name(),
        S::NAME,
        batches.len(),
    );
    std::io::stdout().flush().unwrap();
}

/// The middle, the value that 99 of 100 do not exceed, and the highest of ascending values.
fn points(sorted: &[u32]) -> [u32; 3] {
    let last = sorted.len() - 1;
    [sorted[last / 2], sorted[last * 99 / 100], sorted[last]]
}
