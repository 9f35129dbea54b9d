//! What a run of the suite did, added up over all its tests: `make test` names a file, every test appends a line to it when it
//! has passed, and `tests/tally.rs` closes the run with the sums. Without the file nothing is counted.

use std::fs::OpenOptions;
use std::io::Write;

/// Name of the environment variable that `make test` sets.
const FILE: &str = "METAL3_IPAM_TALLY";

/// Adds to a count. `what` is one of the names that `tests/tally.rs` knows; it refuses any other.
pub(crate) fn add(what: &str, count: u64) {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let opened = OpenOptions::new().append(true).open(&file);
    let mut opened =
        opened.unwrap_or_else(|e| panic!("{FILE} names {}: {e}", file.to_string_lossy()));
    // One short write: lines of different tests do not mix.
    opened
        .write_all(format!("{count} {what}\n").as_bytes())
        .unwrap();
}
