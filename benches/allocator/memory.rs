//! Bytes per offset at 16 M offsets: what the resident memory of a process of its own grows by.

use std::process::Command;

use crate::chosen::Chosen;
use crate::chunks::Slots;
use crate::patterns::Space;
use crate::roarings::{Freed, Hint};
use crate::sets::{Naive, SummaryTree};
use crate::subject::Subject;

const SIZE: u64 = 1 << 24;

const STRUCTURES: [&str; 6] = [
    Chosen::NAME,
    Slots::NAME,
    SummaryTree::NAME,
    Freed::NAME,
    Hint::NAME,
    Naive::NAME,
];
const STATES: [&str; 6] = [
    "filled in order",
    "1 % free",
    "4 % free",
    "every second free",
    "1 % used",
    "1 in 16 k used",
];

/// Prints the table.
pub(crate) fn table() {
    if resident().is_none() {
        println!("memory: skipped, this system has no /proc/self/statm");
        return;
    }
    println!("\nbytes per offset, 16 M offsets");
    print!("{:<20}", "");
    for structure in STRUCTURES {
        print!("{structure:>18}");
    }
    println!();
    for state in STATES {
        print!("{state:<20}");
        for structure in STRUCTURES {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["memory", structure, state])
                .output()
                .unwrap();
            assert!(child.status.success(), "{child:?}");
            print!("{:>18}", String::from_utf8(child.stdout).unwrap().trim());
        }
        println!();
    }
}

/// Brings one structure into one state and prints its bytes per offset.
pub(crate) fn child(structure: &str, state: &str) {
    match structure {
        Chosen::NAME => measure::<Chosen>(state),
        Slots::NAME => measure::<Slots>(state),
        SummaryTree::NAME => measure::<SummaryTree>(state),
        Freed::NAME => measure::<Freed>(state),
        Hint::NAME => measure::<Hint>(state),
        Naive::NAME => measure::<Naive>(state),
        other => panic!("no structure {other}"),
    }
}

fn measure<S: Subject>(state: &str) {
    let before = resident().unwrap();
    let mut subject = S::new(Space::Dense(SIZE));
    // A full period over all offsets: spread evenly, in an order that is far from ascending.
    let spread = |n: u64| n * 0x009e_3779 % SIZE;
    let mut used = |count: u64| {
        for n in 0..count {
            subject.take(spread(n));
        }
    };
    match state {
        "1 % used" => used(SIZE / 100),
        "1 in 16 k used" => used(SIZE >> 14),
        filled => {
            for offset in 0..SIZE {
                subject.take(offset);
            }
            match filled {
                "filled in order" => {}
                "1 % free" => (0..SIZE / 100).for_each(|n| {
                    subject.release(spread(n));
                }),
                "4 % free" => (0..SIZE / 25).for_each(|n| {
                    subject.release(spread(n));
                }),
                "every second free" => (0..SIZE).step_by(2).for_each(|n| {
                    subject.release(n);
                }),
                other => panic!("no state {other}"),
            }
        }
    }
    let bytes = resident().unwrap().saturating_sub(before);
    // Used once more, so that it is not dropped before it is measured.
    subject.take_first();
    println!("{:.3}", bytes as f64 / SIZE as f64);
}

/// Resident bytes of this process.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
