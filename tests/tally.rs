//! Ends a run of `make test`: adds up what the suite did, and fails when a part did too little without a reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that is counted.
struct Count {
    what: &'static str,
    /// The least that a run must have done of it.
    least: u64,
    /// The count of what was skipped for want of a tool: not zero, it excuses less.
    unless: Option<&'static str>,
}

/// Done by every run.
const fn always(what: &'static str, least: u64) -> Count {
    Count {
        what,
        least,
        unless: None,
    }
}

/// Done where a tool is there.
const fn with_tool(what: &'static str, least: u64, unless: &'static str) -> Count {
    Count {
        what,
        least,
        unless: Some(unless),
    }
}

const NO_REAL: &str = "scenarios SKIPPED on a real kube-apiserver: no Go";
const NO_UPSTREAM: &str = "scenarios SKIPPED with upstream's definitions: no Go";
const NO_FIELDS: &str = "steps of field ownership SKIPPED: no Go";
const NO_DIFFERENTIAL: &str = "differential tests SKIPPED: no Go";
const NO_KUBECTL: &str = "kubectl sessions SKIPPED: no kubectl";
const NO_TMUX: &str = "terminal sessions SKIPPED: no tmux";
const NO_KUBECTL_TO_RENDER: &str = "tests of what is installed SKIPPED: no kubectl or no Go";
const NO_HELM: &str = "tests of the Helm chart SKIPPED: no Go";
const NO_PROMETHEUS: &str = "proofs SKIPPED: no Prometheus";
const NO_MOUNT: &str = "tests of a full file system SKIPPED: no mount";
const NO_SYSTEMD: &str = "checks of the systemd unit SKIPPED: no systemd-analyze";
const NO_DENY: &str = "checks of licences and sources SKIPPED: no cargo-deny";

/// What is counted, in the order in which it is shown. The floors lie a little under what a run does, so that a part that no
/// longer runs is missed; they rise with the suite.
const COUNTS: [Count; 40] = [
    always("scenarios passed on the embedded server", 90),
    with_tool("scenarios passed on a real kube-apiserver", 100, NO_REAL),
    always(NO_REAL, 0),
    with_tool("scenarios passed with the webhook down", 33, NO_REAL),
    with_tool(
        "scenarios passed with upstream's definitions",
        30,
        NO_UPSTREAM,
    ),
    always(NO_UPSTREAM, 0),
    always("scenarios LEFT OUT with upstream's definitions", 1),
    with_tool("steps of field ownership compared", 100, NO_FIELDS),
    always(NO_FIELDS, 0),
    with_tool("rights of deploy/rbac used", 80, NO_REAL),
    with_tool("moves by a real clusterctl", 3, NO_REAL),
    with_tool("writes tried under deploy/guard", 28, NO_REAL),
    with_tool("inputs tried under the layers of admission", 400, NO_REAL),
    with_tool("objects stored before the rules", 60, NO_REAL),
    with_tool("kubectl sessions on the embedded server", 1, NO_KUBECTL),
    always(NO_KUBECTL, 0),
    with_tool("terminal sessions of top", 2, NO_TMUX),
    always(NO_TMUX, 0),
    with_tool("folders of deploy/ rendered", 30, NO_KUBECTL_TO_RENDER),
    with_tool(
        "objects of deploy/ applied under strict validation",
        80,
        NO_KUBECTL_TO_RENDER,
    ),
    always(NO_KUBECTL_TO_RENDER, 0),
    with_tool("renderings of the Helm chart", 25, NO_HELM),
    always(NO_HELM, 0),
    always("fault scripts", 20),
    always("crash points", 1000),
    always("faults injected", 5000),
    with_tool("proofs with a real Prometheus", 3, NO_PROMETHEUS),
    always(NO_PROMETHEUS, 0),
    with_tool("expressions tried on a real Prometheus", 20, NO_PROMETHEUS),
    always("rounds of a repair beside the manager", 200),
    always("violations of the oracles", 0),
    with_tool("differential requests compared", 2_000, NO_DIFFERENTIAL),
    with_tool("differential requests of a new seed", 100, NO_DIFFERENTIAL),
    always("differences that a new seed found", 0),
    always(NO_DIFFERENTIAL, 0),
    always(NO_MOUNT, 0),
    with_tool("checks of the systemd unit", 1, NO_SYSTEMD),
    always(NO_SYSTEMD, 0),
    with_tool("checks of licences and sources", 1, NO_DENY),
    always(NO_DENY, 0),
];

#[test]
fn the_suite_did_its_least() {
    let Some(file) = env::var_os("METAL3_IPAM_TALLY") else {
        println!("not counted: `make test` runs this after the suite, with METAL3_IPAM_TALLY set");
        return;
    };
    let mut sums: BTreeMap<&str, u64> = COUNTS.iter().map(|count| (count.what, 0)).collect();
    let lines = fs::read_to_string(file).unwrap();
    for line in lines.lines() {
        let (count, what) = line.split_once(' ').unwrap();
        let sum = sums
            .get_mut(what)
            .unwrap_or_else(|| panic!("nothing here knows the count {what:?}"));
        *sum += count.parse::<u64>().unwrap();
    }
    println!();
    for Count { what, .. } in &COUNTS {
        println!("{:>8} {what}", sums[what]);
    }
    println!();
    let go = Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|o| o.status.success());
    for Count {
        what,
        least,
        unless,
    } in &COUNTS
    {
        let excused = unless.is_some_and(|skipped| sums[skipped] > 0);
        assert!(
            excused || sums[what] >= *least,
            "only {} {what}",
            sums[what]
        );
    }
    assert_eq!(sums["violations of the oracles"], 0);
    if go {
        for skipped in [NO_REAL, NO_UPSTREAM, NO_FIELDS, NO_DIFFERENTIAL, NO_HELM] {
            assert_eq!(sums[skipped], 0, "{skipped}, though there is Go");
        }
    }
}

/// Every file of Rust in a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A count that is missing above would otherwise show at the end of a whole run.
#[test]
fn every_count_that_a_test_adds_to_is_known() {
    let mut files = Vec::new();
    for folder in ["tests/suite", "tests/dashboards"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut files,
        );
    }
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for added in text.split("tally::add(").skip(1) {
            let Some(what) = added.trim_start().strip_prefix('"') else {
                continue;
            };
            let what = what.split('"').next().unwrap();
            let is_known = COUNTS.iter().any(|count| count.what == what);
            assert!(is_known, "{}: {what:?}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
