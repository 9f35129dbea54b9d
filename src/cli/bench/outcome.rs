//! What a run came to: printed as a table or as JSON, stored, and compared with a run that was stored before.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::Bench;
use super::baseline::Compared;
use super::machine::{self, Machine};
use super::side::Who;
use super::site::Sites;

/// The figures of all rounds, whatever the mode.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For people: one line on what was measured, the table, and lines below it.
    pub(super) text: String,
    /// For programs: times in seconds, memory in bytes.
    pub(super) figures: Value,
    /// The sides that have a share.
    pub(super) shares: Vec<Shares>,
    /// Addresses given twice.
    pub(super) duplicates: usize,
}

/// The speed of a side as shares of that of the bare writes in the same round, in the order of the rounds.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) name: &'static str,
    /// As the JSON names the side.
    pub(super) key: &'static str,
    pub(super) each: Vec<f64>,
}

/// What a run is made with, by name: two runs are compared when all of it is equal.
pub(super) fn options(bench: &Bench, sites: &Sites) -> Value {
    let sides = bench.participants().into_iter().map(Who::key);
    json!({
        "server": sites.main.version,
        "mode": as_written(&bench.mode),
        "claims": bench.claims,
        "pools": bench.pools,
        "kind": as_written(&bench.kind),
        "inFlight": bench.in_flight,
        "creators": bench.creators,
        "sides": sides.collect::<Vec<_>>(),
        "cores": Machine::here().cores,
        "profile": machine::profile(),
    })
}

/// A value of a flag as it is written on the command line.
pub(super) fn as_written(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or(String::new(), |value| value.get_name().to_owned())
}

impl Outcome {
    /// Adds to the figures what a later comparison needs, and what a reader needs to judge them.
    pub(super) fn describe(&mut self, options: Value, load_before: f64) {
        let line = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let shares = self.shares.iter();
        let shares: Map<String, Value> = shares
            .map(|side| (side.key.to_owned(), json!(side.each)))
            .collect();
        let figures = &mut self.figures;
        figures["shares"] = Value::Object(shares);
        figures["options"] = options;
        figures["build"] = machine::build();
        figures["machine"] = Machine::here().json(load_before, machine::load());
        figures["commandLine"] = json!(line.collect::<Vec<_>>());
    }

    /// Stores the figures.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!("{:#}\n", self.figures);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What to print.
    pub(super) fn printed(mut self, json: bool, compared: Option<&Compared>) -> String {
        if json {
            if let Some(compared) = compared {
                self.figures["comparison"] = compared.json();
            }
            return format!("{:#}\n", self.figures);
        }
        let compared = compared.map_or(String::new(), |c| format!("\n{}", c.table()));
        self.text + &compared
    }
}
