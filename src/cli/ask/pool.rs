//! `metal3-ipam pool NAME`: one pool in full.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::names;
use super::super::objects::Fed;
use super::super::table::{self, on_one_line};
use super::answer::Answer;
use super::pools::bar;
use super::target::{Output, Target};
use super::{Asked, Sight, entry_number, map};
use crate::admission::covered;
use crate::api::metal3::{IPPoolSpec, PoolEntry};
use crate::api::{PoolKey, PoolObject};
use crate::pool::{EntryUse, Held, Named, Pool as Machine, Snapshot, utilization};

/// Lines of a list that are printed; `-o wide` and `-o json` have all.
const SHOWN: usize = 20;

/// Shows a pool: its entries, a map of its addresses, who has them, and which claims wait and why.
///
/// Nothing is written. Exit code 1: there is no such pool; 2: not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pool {
    /// The pool's name.
    #[arg(value_name = "NAME", add = names::pools())]
    name: String,
    #[command(flatten)]
    target: Target,
    /// How the answer is printed. wide: every holder and every waiting claim.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Pool {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Asked::of(&self.target).await?;
        let keys = keys(&asked.sight, asked.namespace.as_deref(), &self.name);
        let answer = match &*keys {
            [key] => look(&asked.sight, key),
            keys => unclear(&self.name, asked.namespace.as_deref(), keys),
        };
        asked.finish(&answer, self.output)
    }
}

/// Pools of this name.
pub(super) fn keys(sight: &Sight, namespace: Option<&str>, name: &str) -> Vec<PoolKey> {
    let pools = sight.pools.iter().map(|fed| &fed.key);
    let is_it = |key: &&PoolKey| {
        &*key.name == name && namespace.is_none_or(|namespace| *key.namespace == *namespace)
    };
    pools.filter(is_it).cloned().collect()
}

/// No pool has the name, or several have it.
pub(super) fn unclear(name: &str, namespace: Option<&str>, keys: &[PoolKey]) -> Answer {
    let text = match (keys, namespace) {
        ([], Some(namespace)) => format!(
            "no IPPool {name} in the namespace {namespace}; list the pools of all with metal3-ipam pools -A\n"
        ),
        ([], None) => format!("no IPPool {name}; list the pools with metal3-ipam pools -A\n"),
        (keys, _) => {
            let all: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!(
                "several IPPools are called {name}: {}; choose one with --namespace\n",
                all.join(", ")
            )
        }
    };
    Answer::missing(text, json!({"pool": null}))
}

/// Everything about a pool.
pub(super) fn look(sight: &Sight, key: &PoolKey) -> Answer {
    let Some(fed) = sight.pool(key) else {
        return unclear(&key.name, Some(&key.namespace), &[]);
    };
    Whole::new(fed, sight.pool_object(key)).answer()
}

/// How much of long lists is printed.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Lists {
    /// The first [`SHOWN`] lines.
    Cut,
    /// All of it.
    Whole,
}

/// A pool in full.
pub(in crate::cli) struct Whole<'a> {
    fed: &'a Fed,
    spec: Option<&'a IPPoolSpec>,
    snapshot: Snapshot,
    held: Vec<HeldLine>,
    /// Claim, why it waits, and since when.
    waiting: Vec<[String; 3]>,
}

impl<'a> Whole<'a> {
    pub(in crate::cli) fn new(fed: &'a Fed, object: Option<&'a PoolObject>) -> Self {
        let waiting = fed.pool.waiting_claims().map(|claim| {
            let since = claim.created.map(|at| at.to_string());
            [
                claim.key.to_string(),
                claim.reason.to_owned(),
                since.unwrap_or_default(),
            ]
        });
        Self {
            spec: object.and_then(|pool| pool.spec.as_ref().ok()),
            snapshot: fed.pool.snapshot(),
            held: held(&fed.pool),
            waiting: waiting.collect(),
            fed,
        }
    }

    /// For people.
    pub(in crate::cli) fn text(&self, lists: Lists) -> String {
        let (fed, snapshot) = (self.fed, &self.snapshot);
        let ready = self.unready().unwrap_or("Ready");
        let mut out = format!("IPPool {}: {ready}\n", fed.key);
        if let Some(why) = self.why_unready() {
            let _ = writeln!(out, "! {}", on_one_line(&why));
        }
        if snapshot.exists() {
            let _ = writeln!(
                out,
                "{}: {} of {} addresses in use, {} free, {} kept back, {} in use outside of its ranges; {}",
                bar(self.use_percent()),
                snapshot.allocated,
                snapshot.capacity,
                snapshot.available,
                snapshot.reserved,
                snapshot.out_of_range,
                snapshot.strategy
            );
        }
        let invalid = fed.invalid.iter().map(String::as_str);
        for line in invalid.chain(self.problems()) {
            let _ = writeln!(out, "! {line}");
        }
        if let Some(spec) = self.spec {
            let rows: Vec<_> = fed.pool.entries().iter().map(|e| entry(spec, e)).collect();
            let headings = ["ENTRY", "ADDRESSES", "USE", "IN USE", "FREE", "KEPT BACK"];
            let _ = write!(out, "\n{}", table::render(headings, &rows));
            let _ = write!(out, "\n{}", map::draw(&fed.pool, covered(spec).ranges()));
        }
        let rows: Vec<_> = self.held.iter().map(HeldLine::cells).collect();
        list(&mut out, lists, ["ADDRESS", "HELD BY", "OBJECT"], &rows);
        list(&mut out, lists, ["WAITING", "WHY", "SINCE"], &self.waiting);
        if !self.waiting.is_empty() {
            out.push_str(
                "\nmetal3-ipam why KIND/NAME tells what to do about a claim that waits.\n",
            );
        }
        out
    }

    /// `Paused`, whatever else holds, or the reason of the condition Ready.
    fn unready(&self) -> Option<&'static str> {
        let is_paused = self.fed.pool.is_paused();
        is_paused.then_some("Paused").or(self.snapshot.ready.err())
    }

    /// What its condition says of that; the lines of an invalid spec are listed anyway.
    fn why_unready(&self) -> Option<String> {
        let of_spec = self.snapshot.ready == Err("InvalidSpec");
        self.fed
            .pool
            .why_unready()
            .filter(|_| !of_spec && self.snapshot.exists())
    }

    fn answer(&self) -> Answer {
        let (fed, snapshot) = (self.fed, &self.snapshot);
        let waits = |[claim, reason, since]: &[String; 3]| json!({"claim": claim, "reason": reason, "since": since});
        let value = json!({
            "namespace": &*fed.key.namespace,
            "name": &*fed.key.name,
            "exists": snapshot.exists(),
            "ready": self.unready().unwrap_or("True"),
            "why": self.why_unready(),
            "utilizationPercent": self.use_percent(),
            "entries": fed.pool.entries().iter().map(entry_value).collect::<Vec<_>>(),
            "invalid": fed.invalid,
            "problems": self.problems().collect::<Vec<_>>(),
            "held": self.held.iter().map(HeldLine::value).collect::<Vec<_>>(),
            "waiting": self.waiting.iter().map(waits).collect::<Vec<_>>(),
        });
        let names = vec![format!("ippool.ipam.metal3.io/{}", fed.key.name)];
        Answer {
            wide: self.text(Lists::Whole),
            is_found: snapshot.exists(),
            ..Answer::new(self.text(Lists::Cut), value, names)
        }
    }

    fn use_percent(&self) -> Option<i64> {
        utilization(self.snapshot.capacity, self.snapshot.available)
    }

    fn problems(&self) -> impl Iterator<Item = &str> {
        self.fed.pool.problems().map(|(_, text)| text)
    }
}

/// A list under its headings; nothing when it is empty.
fn list(out: &mut String, lists: Lists, headings: [&str; 3], rows: &[[String; 3]]) {
    if rows.is_empty() {
        return;
    }
    let shown = match lists {
        Lists::Cut => rows.len().min(SHOWN),
        Lists::Whole => rows.len(),
    };
    let _ = write!(out, "\n{}", table::render(headings, &rows[..shown]));
    if shown < rows.len() {
        let _ = writeln!(out, "and {} more; -o wide shows all", rows.len() - shown);
    }
}

/// An address and who has it.
struct HeldLine {
    address: String,
    by: String,
    object: String,
}

impl HeldLine {
    fn cells(&self) -> [String; 3] {
        [self.address.clone(), self.by.clone(), self.object.clone()]
    }

    fn value(&self) -> Value {
        json!({"address": self.address, "by": self.by, "object": self.object})
    }
}

/// One line for each holder.
fn held(pool: &Machine) -> Vec<HeldLine> {
    let mut lines = Vec::new();
    for (address, holders) in pool.held_addresses() {
        for held in holders {
            let (by, object) = match held {
                Held::Object(key, Some(claim)) => {
                    let fate = match pool.named(&claim) {
                        Named::Living | Named::Unknown => "",
                        Named::Deleting => ", which is being deleted",
                        Named::Missing => ", which does not exist",
                    };
                    (format!("{claim}{fate}"), key.name.to_string())
                }
                Held::Object(key, None) => ("no claim".to_owned(), key.name.to_string()),
                Held::Next(claim) => (format!("{claim}, which gets it next"), String::new()),
                Held::Shown(claim) => (format!("{claim}, object missing"), String::new()),
                Held::NameTaken(key) => ("another pool, by its name".to_owned(), key.to_string()),
                Held::Gateway => ("a gateway".to_owned(), String::new()),
                Held::PreAllocated(name) => {
                    (format!("pre-allocated to the claim {name}"), String::new())
                }
            };
            lines.push(HeldLine {
                address: address.to_string(),
                by,
                object,
            });
        }
    }
    lines
}

fn entry(spec: &IPPoolSpec, entry: &EntryUse) -> [String; 6] {
    let counts = &entry.counts;
    let addresses = spec.pools.get(entry.index).map(range_text);
    [
        entry_number(entry.index).to_string(),
        addresses.unwrap_or_default(),
        bar(utilization(counts.capacity, counts.free)),
        counts.used.to_string(),
        counts.free.to_string(),
        counts.reserved.to_string(),
    ]
}

fn entry_value(entry: &EntryUse) -> Value {
    let counts = &entry.counts;
    json!({
        "entry": entry_number(entry.index),
        "capacity": counts.capacity.to_string(),
        "used": counts.used.to_string(),
        "free": counts.free.to_string(),
        "reserved": counts.reserved.to_string(),
    })
}

/// The addresses of an entry as its author wrote them.
pub(super) fn range_text(entry: &PoolEntry) -> String {
    let bounds = match (&entry.start, &entry.end) {
        (Some(start), Some(end)) => Some(format!("{}-{}", start.0, end.0)),
        (Some(start), None) => Some(format!("from {}", start.0)),
        (None, Some(end)) => Some(format!("to {}", end.0)),
        (None, None) => None,
    };
    let subnet = entry.subnet.as_ref().map(|subnet| subnet.0.clone());
    match (bounds, subnet) {
        (Some(bounds), Some(subnet)) => format!("{bounds} of {subnet}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::new(),
    }
}
