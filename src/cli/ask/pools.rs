//! `metal3-ipam pools`: how full pools are, worst first.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::objects::Fed;
use super::super::table;
use super::answer::Answer;
use super::outlook::Outlook;
use super::target::{Output, Target};
use super::{Asked, Sight};
use crate::api::PoolKey;
use crate::pool::{Snapshot, utilization};

/// Characters of a bar.
const BAR: usize = 10;

/// Shows how full pools are and how many claims wait for them, the worst first.
///
/// Nothing is written. Exit code 2: not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pools {
    #[command(flatten)]
    target: Target,
    /// How the answer is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Pools {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Asked::of(&self.target).await?;
        let answer = look(&asked.sight, asked.namespace.is_none());
        asked.finish(&answer, self.output)
    }
}

/// One pool's line.
struct Line<'a> {
    fed: &'a Fed,
    snapshot: Snapshot,
    outlook: Outlook,
    /// Claims that wait and are not being served.
    waiting: u64,
}

impl<'a> Line<'a> {
    fn new(fed: &'a Fed, outlook: impl Fn(&PoolKey, u128) -> Outlook) -> Self {
        let snapshot = fed.pool.snapshot();
        let waiting = snapshot.waiting.iter();
        let waiting = waiting.filter(|(reason, _)| **reason != "Pending");
        let waiting = waiting.map(|(_, claims)| claims).sum();
        Self {
            fed,
            outlook: outlook(&fed.key, snapshot.available),
            snapshot,
            waiting,
        }
    }

    /// Share of the addresses that the next claims cannot get.
    fn use_percent(&self) -> Option<i64> {
        utilization(self.snapshot.capacity, self.snapshot.available)
    }

    fn ready(&self) -> String {
        match self.snapshot.ready {
            Ok(()) => "True".to_owned(),
            Err(reason) => reason.to_owned(),
        }
    }

    fn cells(&self) -> [String; 9] {
        let Snapshot {
            key,
            available,
            strategy,
            family,
            ..
        } = &self.snapshot;
        let exists = self.snapshot.exists();
        let of_pool = |text: String| if exists { text } else { String::new() };
        [
            key.namespace.to_string(),
            key.name.to_string(),
            of_pool(bar(self.use_percent())),
            of_pool(available.to_string()),
            self.waiting.to_string(),
            of_pool(self.outlook.short()),
            of_pool((*strategy).to_owned()),
            of_pool((*family).to_owned()),
            self.ready(),
        ]
    }

    fn more(&self) -> [String; 5] {
        let s = &self.snapshot;
        let cluster = s.cluster.clone().unwrap_or_default();
        [
            s.capacity.to_string(),
            s.allocated.to_string(),
            s.reserved.to_string(),
            s.out_of_range.to_string(),
            cluster,
        ]
    }

    fn value(&self) -> Value {
        let s = &self.snapshot;
        // Beyond 2^64 JSON's numbers are no longer exact.
        let number = |n: u128| match u64::try_from(n) {
            Ok(n) => json!(n),
            Err(_) => json!(n.to_string()),
        };
        json!({
            "namespace": &*s.key.namespace,
            "name": &*s.key.name,
            "exists": s.exists(),
            "capacity": number(s.capacity),
            "allocated": number(s.allocated),
            "available": number(s.available),
            "reserved": number(s.reserved),
            "outOfRange": s.out_of_range,
            "utilizationPercent": self.use_percent(),
            "waiting": s.waiting,
            "outlook": s.exists().then(|| self.outlook.value()),
            "strategy": s.strategy,
            "family": s.family,
            "cluster": s.cluster,
            "ready": self.ready(),
        })
    }
}

/// Every pool, and every name of a pool that a claim or an address gives and no pool has: worst first.
pub(super) fn look(sight: &Sight, with_namespace: bool) -> Answer {
    let mut lines: Vec<Line<'_>> = sight
        .pools
        .iter()
        .map(|fed| Line::new(fed, |key, free| sight.outlook(key, free)))
        .collect();
    lines.sort_by_key(|line| {
        let exists = line.snapshot.exists();
        let is_full = exists && line.snapshot.available == 0;
        let by_need = (line.waiting, is_full, line.use_percent());
        (std::cmp::Reverse(by_need), line.fed.key.clone())
    });
    let headings = [
        "NAMESPACE",
        "NAME",
        "USE",
        "FREE",
        "WAITING",
        "LEFT",
        "STRATEGY",
        "FAMILY",
        "READY",
    ];
    let more = ["CAPACITY", "ALLOCATED", "RESERVED", "OUTSIDE", "CLUSTER"];
    let first = usize::from(!with_namespace);
    let rows = |wide: bool| {
        let row = |line: &Line<'_>| {
            let mut cells = line.cells()[first..].to_vec();
            if wide {
                cells.extend(line.more());
            }
            cells
        };
        let mut names: Vec<&str> = headings[first..].to_vec();
        if wide {
            names.extend(more);
        }
        table::lines(&names, &lines.iter().map(row).collect::<Vec<_>>())
    };
    let text = |wide| {
        if lines.is_empty() {
            return "No IPPools found. Look at all namespaces with -A.\n".to_owned();
        }
        rows(wide)
    };
    Answer {
        wide: text(true),
        ..Answer::new(
            text(false),
            json!({"pools": lines.iter().map(Line::value).collect::<Vec<_>>()}),
            lines
                .iter()
                .filter(|line| line.snapshot.exists())
                .map(|line| format!("ippool.ipam.metal3.io/{}", line.fed.key.name))
                .collect(),
        )
    }
}

/// A bar of the use, with its figure.
pub(super) fn bar(percent: Option<i64>) -> String {
    let Some(percent) = percent else {
        return "no addresses".to_owned();
    };
    let tenths = usize::try_from(percent).unwrap_or_default() * BAR;
    let full = tenths.div_ceil(100).min(BAR);
    format!(
        "{}{} {percent:>3}%",
        "\u{2588}".repeat(full),
        "\u{2591}".repeat(BAR - full)
    )
}
