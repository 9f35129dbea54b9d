//! Guards, and the test that fails without each: a checker that never found anything has proved nothing.
//!
//! `make test` holds the list to the code, cheaply: every text still stands where it is to be taken away, every named test
//! exists. `make guards` takes the guards away, one at a time, in a copy of the tree, and expects of each that its test fails
//! and that its oracle says so; with `GUARD` only those whose name contains that.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use table::{Edit, GUARDS, Guard};

/// What of the tree a build of the tests reads.
const PARTS: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    "crates",
    "src",
    "tests",
    "crds",
    "benches",
    "deploy",
    "docs",
    "examples",
    "dashboards",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust sources under a folder.
fn sources(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The list cannot rot: what it takes away is there exactly once, and what is to fail is a test.
#[test]
fn every_guard_stands_and_its_test_exists() {
    let mut tests = Vec::new();
    sources(&root().join("crates"), &mut tests);
    sources(&root().join("src"), &mut tests);
    sources(&root().join("tests/suite"), &mut tests);
    for guard in GUARDS {
        for Edit { file, take, put } in guard.edits {
            let source = fs::read_to_string(root().join(file)).unwrap();
            let found = source.matches(take).count();
            let name = guard.name;
            assert_eq!(found, 1, "{name}: its text is {found} times in {file}");
            assert_ne!(take, put, "{name}");
        }
        let name = guard.test.rsplit("::").next().unwrap();
        let line = format!("fn {name}(");
        let is_test = tests.iter().any(|source| {
            source.match_indices(&line).any(|(at, _)| {
                let before = source[..at].trim_end();
                before.ends_with("async") || before.ends_with(']')
            })
        });
        assert!(is_test, "{}: there is no test {}", guard.name, guard.test);
        assert!(!guard.why.is_empty() && !guard.edits.is_empty());
    }
}

/// For every oracle something is missing that only it tells.
#[test]
fn every_oracle_finds_a_missing_guard() {
    for oracle in ["O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8"] {
        let finds = GUARDS.iter().any(|guard| guard.oracle == oracle);
        assert!(finds, "{oracle} finds no guard of the list");
    }
}

/// Makes `to` what `from` is; files that are alike are not touched, so that only what changed is built again.
fn mirror(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        let names = |folder: &Path| -> Vec<_> {
            let all = fs::read_dir(folder).unwrap();
            let names = all.map(|entry| entry.unwrap().file_name());
            // What npm installs is no part of a build.
            names.filter(|name| name != "node_modules").collect()
        };
        let wanted = names(from);
        for name in names(to) {
            let gone = to.join(&name);
            if !wanted.contains(&name) && gone.is_dir() {
                fs::remove_dir_all(gone).unwrap();
            } else if !wanted.contains(&name) {
                fs::remove_file(gone).unwrap();
            }
        }
        for name in wanted {
            mirror(&from.join(&name), &to.join(&name));
        }
    } else {
        let bytes = fs::read(from).unwrap();
        if fs::read(to).ok().as_ref() != Some(&bytes) {
            fs::write(to, bytes).unwrap();
        }
    }
}

/// Takes a guard away, builds, and runs its test. `Err` says what went otherwise than it should.
fn without(guard: &Guard, tree: &Path, build: &Path) -> Result<(), String> {
    for Edit { file, take, put } in guard.edits {
        let file = tree.join(file);
        let whole = fs::read_to_string(&file).unwrap();
        fs::write(&file, whole.replacen(take, put, 1)).unwrap();
    }
    let crates: &[&str] = match guard.test.strip_prefix("suite::") {
        Some(_) => &["--test", "suite"],
        None => &["--lib"],
    };
    let test = guard.test.strip_prefix("suite::").unwrap_or(guard.test);
    let ran = Command::new(env!("CARGO"))
        .args(["test", "--locked"])
        .args(crates)
        .args(["--", "--exact", test, "--nocapture"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", build)
        .env("FAULT_FIRST", "1")
        .env("FAULT_SCRIPT", guard.script)
        .envs((!guard.script.is_empty()).then_some(("FAULT_ALL", "1")))
        .env("RUST_BACKTRACE", "0")
        .env_remove("METAL3_IPAM_TALLY")
        .output()
        .unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    let words = if told.contains("test result: ok. 1 passed") {
        "its test passes without it"
    } else if !told.contains(&format!("test {test}")) || !told.contains("test result: FAILED") {
        "its test did not run"
    } else if !told.contains(guard.says) {
        "its test fails, but not for the reason that is expected"
    } else {
        return Ok(());
    };
    let kept = build.with_file_name(format!("{}.log", guard.name.replace(' ', "-")));
    fs::write(&kept, told).unwrap();
    Err(format!("{}: {words}; see {}", guard.name, kept.display()))
}

#[test]
#[ignore = "a build for each guard: `make guards`"]
fn without_each_guard_its_test_fails() {
    let only = std::env::var("GUARD").unwrap_or_default();
    let place: PathBuf = root().join("target/guards");
    let (tree, build) = (place.join("tree"), place.join("build"));
    fs::create_dir_all(&tree).unwrap();
    let mut wrong = Vec::new();
    for guard in GUARDS.iter().filter(|guard| guard.name.contains(&only)) {
        for part in PARTS.map(Path::new) {
            let from = root().join(part);
            if from.exists() {
                mirror(&from, &tree.join(part));
            }
        }
        // What one guard lacked the next mirror puts back.
        let found = without(guard, &tree, &build);
        println!(
            "{} {} ({}: {})",
            if found.is_ok() { "caught" } else { "MISSED" },
            guard.name,
            guard.oracle,
            guard.test
        );
        wrong.extend(found.err());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
