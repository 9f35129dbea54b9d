//! `metal3-ipam forecast`: when pools run out.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::names;
use super::super::table::Columns;
use super::answer::Answer;
use super::outlook::{Outlook, span};
use super::pool::{keys, unclear};
use super::pools::NONE;
use super::target::{Output, Target};
use super::{Asked, Sight};
use crate::api::PoolKey;

/// Shows in how many days pools run out, the soonest first.
///
/// Computed from the creation times of the IPAddresses that exist, so neither Prometheus nor a running manager is needed. What these
/// times cannot tell is called not known. Nothing is written. Exit code 1: there is no such pool; 2: not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Forecast {
    /// The pool's name. Default: all pools.
    #[arg(value_name = "NAME", add = names::pools())]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How the answer is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Forecast {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Asked::of(&self.target).await?;
        let namespace = asked.namespace.as_deref();
        let answer = match &self.name {
            None => look(&asked.sight, None, namespace.is_none()),
            Some(name) => match &*keys(&asked.sight, namespace, name) {
                [key] => look(&asked.sight, Some(key), namespace.is_none()),
                keys => unclear(name, namespace, keys),
            },
        };
        asked.finish(&answer, self.output)
    }
}

/// One pool's line.
struct Line<'a> {
    key: &'a PoolKey,
    free: u128,
    outlook: Outlook,
}

impl Line<'_> {
    fn cells(&self) -> [String; 6] {
        [
            self.key.namespace.to_string(),
            self.key.name.to_string(),
            self.free.to_string(),
            self.outlook.short(),
            self.outlook.earliest().map(span).unwrap_or_default(),
            self.outlook.because(),
        ]
    }

    fn value(&self) -> Value {
        let mut value = self.outlook.value();
        value["namespace"] = json!(&*self.key.namespace);
        value["name"] = json!(&*self.key.name);
        value["free"] = json!(self.free.to_string());
        value
    }
}

/// The outlook of every pool that exists, or of one.
pub(super) fn look(sight: &Sight, only: Option<&PoolKey>, with_namespace: bool) -> Answer {
    let pools = sight.pools.iter();
    let mut lines: Vec<Line<'_>> = pools
        .filter(|fed| only.is_none_or(|key| *key == fed.key))
        .filter_map(|fed| {
            let snapshot = fed.pool.snapshot();
            snapshot.exists().then(|| Line {
                key: &fed.key,
                free: snapshot.available,
                outlook: Outlook::new(&fed.births, snapshot.available, sight.now),
            })
        })
        .collect();
    if let (Some(key), true) = (only, lines.is_empty()) {
        return unclear(&key.name, Some(&key.namespace), &[]);
    }
    lines.sort_by(|a, b| {
        let order = |line: &Line<'_>| line.outlook.order();
        order(a).total_cmp(&order(b)).then_with(|| a.key.cmp(b.key))
    });
    let headings = ["NAMESPACE", "NAME", "FREE", "LEFT", "EARLIEST", "BECAUSE"];
    let first = usize::from(!with_namespace);
    let mut rows = vec![headings[first..].iter().map(ToString::to_string).collect()];
    rows.extend(lines.iter().map(|line| line.cells()[first..].to_vec()));
    let text = if lines.is_empty() {
        format!("{NONE}\n")
    } else {
        Columns::default().lines(&rows)
    };
    let names = lines.iter();
    let names = names.map(|line| format!("ippool.ipam.metal3.io/{}", line.key.name));
    let names = names.collect();
    let pools: Vec<Value> = lines.iter().map(Line::value).collect();
    Answer::new(text, json!({"pools": pools}), names)
}
