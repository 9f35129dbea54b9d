//! Which cluster a question is about, and how the answer is printed.

use clap::{Args, ValueEnum};

use super::super::names;
use super::super::place::Place;

/// Which cluster and namespace.
#[derive(Debug, Args)]
pub(in crate::cli) struct Target {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// The namespace to look at. Default: that of the context.
    #[arg(long, short = 'n', value_name = "NAMESPACE", add = names::namespaces())]
    namespace: Option<String>,
    /// Look at all namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl Target {
    /// The namespace of the question; `None`: all.
    pub(super) fn namespace(&self, of_context: &str) -> Option<String> {
        if self.all_namespaces {
            return None;
        }
        Some(self.namespace.as_deref().unwrap_or(of_context).to_owned())
    }

    /// As if `-A` were given, unless a namespace is: for questions that are about the whole cluster.
    pub(super) fn everywhere(mut self) -> Self {
        self.all_namespaces = self.namespace.is_none();
        self
    }
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Output {
    /// For people.
    Table,
    /// For people, with more columns.
    Wide,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
    /// Only which objects, as kind.group/name, one a line.
    Name,
}
