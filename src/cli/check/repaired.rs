//! What came of a repair: table, JSON, YAML; exit code.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::table;
use super::Form;
use super::repair::{Fate, Outcome};

/// What came of a repair, and how it is printed.
pub(super) struct Repaired {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) dry_run: bool,
    pub(super) earlier: Timestamp,
    pub(super) now: Timestamp,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

impl Repaired {
    /// 0: nothing is left; 1: errors are left; 2: a write failed, or not everything could be read.
    pub(super) fn exit_code(&self) -> u8 {
        let any = |is: fn(&Fate) -> bool| self.outcomes.iter().any(|o| is(&o.fate));
        if !self.unread.is_empty() || any(|fate| matches!(fate, Fate::Failed(_))) {
            2
        } else {
            u8::from(any(|fate| !matches!(fate, Fate::Written)))
        }
    }

    pub(super) fn text(&self, output: Form) -> anyhow::Result<String> {
        output.text(|| self.table(), || self.value())
    }

    fn table(&self) -> String {
        let mut out = String::new();
        let row = |outcome: &Outcome| {
            [
                outcome.result().to_owned(),
                outcome.finding.check.code.to_owned(),
                outcome.finding.subject.to_string(),
                outcome.finding.message.clone(),
            ]
        };
        if !self.outcomes.is_empty() {
            let rows: Vec<_> = self.outcomes.iter().map(row).collect();
            let table = table::render(["RESULT", "CODE", "OBJECT", "WHAT"], &rows);
            let details: BTreeSet<_> = self.outcomes.iter().map(Outcome::explained).collect();
            let lines = details.iter().map(|line| table::on_one_line(line));
            let lines = lines.map(|line| format!("  {}\n", line.trim_end()));
            out = format!("{table}\nRepairs\n{}\n", lines.collect::<String>());
        }
        for what in &self.unread {
            out.extend(["Not read: ", what, "\n"]);
        }
        let count = |is: fn(&Fate) -> bool| self.outcomes.iter().filter(|o| is(&o.fate)).count();
        let left = count(|fate| matches!(fate, Fate::Left | Fate::New));
        let failed = count(|fate| matches!(fate, Fate::Failed(_)));
        let planned = count(|fate| matches!(fate, Fate::Planned));
        let written = count(|fate| matches!(fate, Fate::Written));
        let done = if self.dry_run {
            format!("{planned} would be repaired")
        } else {
            let rest = match planned {
                0 => String::new(),
                n => format!(", {n} not begun"),
            };
            format!("{written} repaired, {failed} failed{rest}")
        };
        format!("{out}{} errors: {done}, {left} left\n", self.outcomes.len())
    }

    fn value(&self) -> Value {
        let outcomes = self.outcomes.iter().map(|outcome| {
            json!({
                "result": outcome.result(),
                "code": outcome.finding.check.code,
                "check": outcome.finding.check.name,
                "object": outcome.finding.subject,
                "others": outcome.finding.others,
                "message": outcome.finding.message,
                "repair": outcome.detail(),
            })
        });
        json!({
            "from": self.earlier.to_string(),
            "time": self.now.to_string(),
            "dryRun": self.dry_run,
            "errors": outcomes.collect::<Vec<_>>(),
            "notRead": self.unread,
            "exitCode": self.exit_code(),
        })
    }
}
