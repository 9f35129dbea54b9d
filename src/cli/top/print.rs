//! `metal3-ipam pools -w`: the lines of the pools, and each again when it has changed.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::time::sleep_until;

use super::super::ask::{Line, NONE, Output, Shape, Target, reach};
use super::super::table::Columns;
use super::super::{Reader, signals, write_out};
use super::live::Live;
use crate::api::PoolKey;

/// Prints until it is interrupted, or until nobody reads any more.
pub(in crate::cli) async fn print_pools(
    target: &Target,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (client, namespace) = reach(target).await?;
    let stop = signals::shutdown()?;
    let mut live = Live::start(&client, namespace.as_deref());
    let mut printer = Printer::new(output, namespace.is_none());
    let mut noted = BTreeSet::new();
    loop {
        let due = live.due;
        tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            changed = live.changes() => {
                changed?;
                continue;
            }
            () = sleep_until(due) => {}
        }
        let changed = live.rebuild();
        let notes = live.store.notes(live.at());
        let notes: BTreeSet<String> = notes.into_iter().map(|note| note.text).collect();
        for note in notes.difference(&noted) {
            tell!("metal3-ipam: not read, so lines may lack something: {note}");
        }
        for note in noted.difference(&notes) {
            tell!("metal3-ipam: no longer so: {note}");
        }
        noted = notes;
        if live.store.is_complete() && write_out(&printer.text(changed)?)? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Makes text of lines, without those that look as they did before.
#[derive(Debug)]
pub(super) struct Printer {
    output: Output,
    shape: Shape,
    columns: Columns,
    /// How each pool was printed last.
    last: HashMap<PoolKey, String>,
    has_begun: bool,
}

impl Printer {
    pub(super) fn new(output: Output, with_namespace: bool) -> Self {
        Self {
            output,
            shape: Shape {
                with_namespace,
                wide: output == Output::Wide,
            },
            columns: Columns::default(),
            last: HashMap::new(),
            has_begun: false,
        }
    }

    /// The text of these lines, the worst first; at first the headings too.
    pub(super) fn text(&mut self, mut lines: Vec<Arc<Line>>) -> anyhow::Result<String> {
        lines.sort_by(|a, b| a.by_need(b));
        let mut rows = Vec::new();
        let mut text = String::new();
        if !self.has_begun && matches!(self.output, Output::Table | Output::Wide) {
            if lines.is_empty() {
                tell!("{NONE}");
            }
            rows.push(self.shape.headings());
        }
        self.has_begun = true;
        for line in lines {
            let value = line.value();
            let row = self.shape.row(&line);
            let shown = match self.output {
                Output::Table | Output::Wide => row.join("\t"),
                Output::Json | Output::Yaml | Output::Name => value.to_string(),
            };
            let key = &line.snapshot.key;
            if self.last.get(key) == Some(&shown) {
                continue;
            }
            match self.output {
                Output::Table | Output::Wide => rows.push(row),
                Output::Json => _ = writeln!(text, "{value}"),
                Output::Yaml => _ = write!(text, "---\n{}", serde_saphyr::to_string(&value)?),
                Output::Name if line.snapshot.exists() => _ = writeln!(text, "{}", line.object()),
                Output::Name => {}
            }
            self.last.insert(key.clone(), shown);
        }
        text.push_str(&self.columns.lines(&rows));
        Ok(text)
    }
}
