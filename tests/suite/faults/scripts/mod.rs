//! The scripts, by what they are about.

mod basic;
mod by_hand;
mod clusters;
mod ends;
mod pools;
mod wishes;
mod words;

use super::script::Script;

/// All of them.
pub(crate) fn all() -> Vec<Script> {
    [
        basic::SCRIPTS,
        pools::SCRIPTS,
        wishes::SCRIPTS,
        clusters::SCRIPTS,
        by_hand::SCRIPTS,
        ends::SCRIPTS,
    ]
    .concat()
}
