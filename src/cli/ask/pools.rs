//! `metal3-ipam pools`: how full pools are, worst first.

use std::cmp::Ordering;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::objects::Fed;
use super::super::table::Columns;
use super::super::top;
use super::answer::Answer;
use super::outlook::Outlook;
use super::target::{Output, Target};
use super::{Asked, Sight};
use crate::pool::{Snapshot, utilization};

/// Characters of a bar.
const BAR: usize = 10;

/// Headings of the table.
const HEADINGS: [&str; 9] = [
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
/// Headings of the further columns of `-o wide`.
const MORE: [&str; 5] = ["CAPACITY", "ALLOCATED", "RESERVED", "OUTSIDE", "CLUSTER"];
/// There is no line.
pub(in crate::cli) const NONE: &str = "No IPPools found. Look at all namespaces with -A.";

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
    /// Go on: print the line of a pool again whenever it has changed, at most once a second, until it is interrupted. With
    /// `-o json` each line is one object.
    #[arg(long, short)]
    watch: bool,
}

impl Pools {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.watch {
            return top::print_pools(&self.target, self.output).await;
        }
        let asked = Asked::of(&self.target).await?;
        let answer = look(&asked.sight, asked.namespace.is_none());
        asked.finish(&answer, self.output)
    }
}

/// One pool's line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Line {
    pub(in crate::cli) snapshot: Snapshot,
    pub(in crate::cli) is_paused: bool,
    /// Claims that wait and are not being served.
    pub(in crate::cli) waiting: u64,
    /// When it runs out.
    pub(in crate::cli) outlook: Outlook,
}

impl Line {
    pub(in crate::cli) fn new(fed: &Fed, now: Timestamp) -> Self {
        let snapshot = fed.pool.snapshot();
        let mut line = Self {
            outlook: Outlook::new(&fed.births, snapshot.available, now),
            snapshot,
            is_paused: fed.pool.is_paused(),
            waiting: 0,
        };
        line.waiting = line.waiting_by_reason().map(|(_, claims)| claims).sum();
        line
    }

    /// Why claims wait, and how many; those that are being served left out.
    pub(in crate::cli) fn waiting_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let waiting = self.snapshot.waiting.iter();
        let waiting = waiting.filter(|(reason, _)| **reason != "Pending");
        waiting.map(|(reason, claims)| (*reason, *claims))
    }

    /// The order of lines, the worst first: waiting claims, then full pools, then the most used.
    pub(in crate::cli) fn by_need(&self, other: &Self) -> Ordering {
        let need = |line: &Self| {
            let is_full = line.snapshot.exists() && line.snapshot.available == 0;
            (line.waiting, is_full, line.use_percent())
        };
        let by_need = need(other).cmp(&need(self));
        by_need.then_with(|| self.snapshot.key.cmp(&other.snapshot.key))
    }

    /// Share of the addresses that the next claims cannot get.
    pub(in crate::cli) fn use_percent(&self) -> Option<i64> {
        utilization(self.snapshot.capacity, self.snapshot.available)
    }

    /// `Paused`, whatever else holds; the reason of the condition Ready; or `True`.
    pub(in crate::cli) fn ready(&self) -> String {
        match self.snapshot.ready {
            _ if self.is_paused => "Paused".to_owned(),
            Ok(()) => "True".to_owned(),
            Err(reason) => reason.to_owned(),
        }
    }

    /// Under [`HEADINGS`].
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

    /// Under [`MORE`].
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

    /// As kubectl names it.
    pub(in crate::cli) fn object(&self) -> String {
        format!("ippool.ipam.metal3.io/{}", self.snapshot.key.name)
    }

    pub(in crate::cli) fn value(&self) -> Value {
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

/// Which columns the table has.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Shape {
    /// The question is about all namespaces.
    pub(in crate::cli) with_namespace: bool,
    /// `-o wide`.
    pub(in crate::cli) wide: bool,
}

impl Shape {
    pub(in crate::cli) fn headings(self) -> Vec<String> {
        let more = if self.wide { &MORE[..] } else { &[] };
        let headings = self.own(&HEADINGS).iter().chain(more);
        headings.map(|heading| (*heading).to_owned()).collect()
    }

    pub(in crate::cli) fn row(self, line: &Line) -> Vec<String> {
        let mut row = self.own(&line.cells()).to_vec();
        if self.wide {
            row.extend(line.more());
        }
        row
    }

    fn own<T>(self, cells: &[T]) -> &[T] {
        &cells[usize::from(!self.with_namespace)..]
    }
}

/// Every pool, and every name of a pool that a claim or an address gives and no pool has: worst first.
pub(super) fn look(sight: &Sight, with_namespace: bool) -> Answer {
    let lines = sight.pools.iter();
    let mut lines: Vec<Line> = lines.map(|fed| Line::new(fed, sight.now)).collect();
    lines.sort_by(Line::by_need);
    let rows = |wide: bool| {
        let shape = Shape {
            with_namespace,
            wide,
        };
        let mut rows = vec![shape.headings()];
        rows.extend(lines.iter().map(|line| shape.row(line)));
        Columns::default().lines(&rows)
    };
    let text = |wide| {
        if lines.is_empty() {
            return format!("{NONE}\n");
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
                .map(Line::object)
                .collect(),
        )
    }
}

/// A bar of the use, with its figure.
pub(in crate::cli) fn bar(percent: Option<i64>) -> String {
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
