//! Closes a run of `make test`: what the suite did, added up, and that nothing of it was silently left out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;

/// What is counted, and the least that a run must have done of it: on any machine, and where there is Go.
const COUNTS: [(&str, u64, u64); 18] = [
    ("scenarios passed on the embedded server", 1, 1),
    ("scenarios passed on a real kube-apiserver", 0, 1),
    ("scenarios SKIPPED on a real kube-apiserver: no Go", 0, 0),
    ("scenarios passed with upstream's definitions", 0, 30),
    ("scenarios SKIPPED with upstream's definitions: no Go", 0, 0),
    ("scenarios LEFT OUT with upstream's definitions", 1, 1),
    ("steps of field ownership compared", 0, 1),
    ("steps of field ownership SKIPPED: no Go", 0, 0),
    ("fault scripts", 20, 20),
    ("crash points", 1000, 1000),
    ("faults injected", 5000, 5000),
    ("proofs with a real Prometheus", 0, 0),
    ("proofs SKIPPED: no Prometheus", 0, 0),
    ("expressions tried on a real Prometheus", 0, 0),
    ("violations of the oracles", 0, 0),
    ("differential requests compared", 0, 2_000),
    ("differential tests SKIPPED: no Go", 0, 0),
    ("tests of a full file system SKIPPED: no mount", 0, 0),
];

#[test]
fn the_suite_did_what_it_is_for() {
    let Some(file) = env::var_os("METAL3_IPAM_TALLY") else {
        println!("not counted: `make test` runs this after the suite, with METAL3_IPAM_TALLY set");
        return;
    };
    let mut sums: BTreeMap<&str, u64> = COUNTS.iter().map(|(what, ..)| (*what, 0)).collect();
    let lines = fs::read_to_string(file).unwrap();
    for line in lines.lines() {
        let (count, what) = line.split_once(' ').unwrap();
        let sum = sums
            .get_mut(what)
            .unwrap_or_else(|| panic!("nothing here knows the count {what:?}"));
        *sum += count.parse::<u64>().unwrap();
    }
    println!();
    for (what, ..) in COUNTS {
        println!("{:>8} {what}", sums[what]);
    }
    println!();
    let go = Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|o| o.status.success());
    for (what, least, least_with_go) in COUNTS {
        let least = if go { least_with_go } else { least };
        assert!(sums[what] >= least, "only {} {what}", sums[what]);
    }
    assert_eq!(sums["violations of the oracles"], 0);
    if go {
        assert_eq!(sums["scenarios SKIPPED on a real kube-apiserver: no Go"], 0);
    }
}
