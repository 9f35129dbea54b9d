//! The answer to a question, in every form that it is printed in.

use serde_json::Value;

use super::target::Output;

/// What a subcommand found.
#[derive(Debug)]
pub(super) struct Answer {
    /// For people.
    pub(super) table: String,
    /// For people, with more columns; the same where there are no more.
    pub(super) wide: String,
    /// For programs.
    pub(super) value: Value,
    /// The objects that it is about, as `kind.group/name`.
    pub(super) names: Vec<String>,
    /// Whether there is what was asked for.
    pub(super) is_found: bool,
}

impl Answer {
    /// An answer that has one form for people.
    pub(super) fn new(table: String, value: Value, names: Vec<String>) -> Self {
        Self {
            wide: table.clone(),
            table,
            value,
            names,
            is_found: true,
        }
    }

    /// There is no such thing: why, and what to do.
    pub(super) fn missing(text: String, value: Value) -> Self {
        Self {
            is_found: false,
            ..Self::new(text, value, Vec::new())
        }
    }

    pub(super) fn text(&self, output: Output) -> anyhow::Result<String> {
        Ok(match output {
            Output::Table => self.table.clone(),
            Output::Wide => self.wide.clone(),
            Output::Json => format!("{:#}\n", self.value),
            Output::Yaml => serde_saphyr::to_string(&self.value)?,
            Output::Name => self.names.iter().flat_map(|name| [name, "\n"]).collect(),
        })
    }
}
