//! What a run came to: printed as a table or as JSON, stored, and compared with a run that was stored before.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Bench;
use super::baseline::Compared;
use super::machine::{self, Machine};
use super::side::Who;
use super::site::Sites;
use crate::cli::table;

/// The figures of all rounds, whatever the mode.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For people.
    pub(super) table: Table,
    /// For programs: times in seconds, memory in bytes.
    pub(super) figures: Value,
    pub(super) sides: Vec<SideFigures>,
    /// What [`SideFigures::per_round`] is.
    pub(super) per_round: &'static str,
    /// What [`SideFigures::times`] are.
    pub(super) times: &'static str,
    /// Addresses given twice.
    pub(super) duplicates: usize,
}

/// A table with a line above it and lines below it.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    title: String,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: String,
    #[serde(skip)]
    text: String,
}

/// The figures of one side, for comparisons and pictures.
#[derive(Debug)]
pub(super) struct SideFigures {
    pub(super) name: &'static str,
    /// As the JSON names the side.
    pub(super) key: &'static str,
    /// The speed of the side as shares of that of the bare writes in the same round, in the order of the rounds. Empty for the bare
    /// writes themselves.
    pub(super) shares: Vec<f64>,
    /// One figure for each round.
    pub(super) per_round: Vec<f64>,
    /// Percentiles 0 to 100 of the claims' times, over all rounds.
    pub(super) times: Vec<Duration>,
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
        "rate": bench.rate,
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

impl Table {
    pub(super) fn new<const N: usize>(
        title: String,
        headings: [&str; N],
        rows: &[[String; N]],
        notes: String,
    ) -> Self {
        Self {
            text: format!("{title}\n{}{notes}", table::render(headings, rows)),
            title,
            headings: headings.map(str::to_owned).into(),
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            notes,
        }
    }

    /// As it is printed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line above it.
    pub(super) fn title(&self) -> &str {
        &self.title
    }
}

impl Outcome {
    /// Adds to the figures what a later comparison needs, and what a reader needs to judge them.
    pub(super) fn describe(&mut self, options: Value, load_before: f64) {
        let line = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let sides = self.sides.iter().filter(|side| !side.shares.is_empty());
        let shares: Map<String, Value> = sides
            .map(|side| (side.key.to_owned(), json!(side.shares)))
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
        let compared = compared.map_or(String::new(), |c| format!("\n{}", c.table().text()));
        self.table.text + &compared
    }
}
