//! The scripts, by subject.

mod basic;
mod by_hand;
mod clusters;
mod ends;
mod pools;
mod requested;
mod steps;

use super::script::Script;

/// All of them, or with `FAULT_SCRIPT` those whose name contains that.
pub(crate) fn all() -> Vec<Script> {
    let only = std::env::var("FAULT_SCRIPT").unwrap_or_default();
    let mut scripts = [
        basic::SCRIPTS,
        pools::SCRIPTS,
        requested::SCRIPTS,
        clusters::SCRIPTS,
        by_hand::SCRIPTS,
        ends::SCRIPTS,
    ]
    .concat();
    scripts.retain(|script| script.name.contains(&only));
    scripts
}
