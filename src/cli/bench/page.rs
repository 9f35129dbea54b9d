//! `--report`: a run as one HTML page that needs nothing else.

use std::fs;
use std::path::Path;

use anyhow::Context;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

use super::baseline::Compared;
use super::outcome::{Outcome, Table};
use super::picture::{self, Curves, Dots, Series};

/// Escapes what it inserts: the name ends in `.html`.
const TEMPLATE: (&str, &str) = ("page.html", include_str!("page.html"));

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    facts: Vec<Fact>,
    tables: Vec<&'a Table>,
    dots_title: &'a str,
    dots: Dots,
    curves_title: &'a str,
    curves: Curves,
}

/// A line on the machine, the program or the run.
#[derive(Serialize)]
struct Fact {
    name: &'static str,
    value: String,
}

/// Writes the page to a file.
pub(super) fn write(
    path: &Path,
    outcome: &Outcome,
    compared: Option<&Compared>,
) -> anyhow::Result<()> {
    let page = render(outcome, compared)?;
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn render(outcome: &Outcome, compared: Option<&Compared>) -> anyhow::Result<String> {
    let compared = compared.map(Compared::table);
    let mut tables = vec![&outcome.table];
    tables.extend(compared.as_ref());
    let sides = outcome.sides.iter();
    let per_round = sides.clone().map(|side| Series {
        name: side.name,
        figures: &side.per_round,
    });
    let times = sides.map(|side| Series {
        name: side.name,
        figures: &side.times,
    });
    let page = Page {
        title: outcome.table.title(),
        facts: facts(&outcome.figures),
        tables,
        dots_title: outcome.per_round,
        dots: picture::dots(&per_round.collect::<Vec<_>>()),
        curves_title: outcome.times,
        curves: picture::curves(&times.collect::<Vec<_>>()),
    };
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let (name, text) = TEMPLATE;
    templates.add_template(name, text)?;
    Ok(templates.get_template(name)?.render(Serde(page))?)
}

/// What a reader needs to judge the figures.
fn facts(figures: &Value) -> Vec<Fact> {
    let text = |pointer: &str| match figures.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let bytes = figures
        .pointer("/machine/memoryBytes")
        .and_then(Value::as_f64);
    let gib = bytes.unwrap_or(0.0) / f64::from(1 << 30);
    let words = figures["commandLine"].as_array().into_iter().flatten();
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    let facts = [
        (
            "machine",
            format!(
                "{} cores, {gib:.1} GiB of memory, {}",
                text("/machine/cores"),
                text("/machine/system")
            ),
        ),
        (
            "load of the last minute",
            format!(
                "{} before the run, {} after it",
                text("/machine/loadBefore"),
                text("/machine/loadAfter")
            ),
        ),
        (
            "program",
            format!(
                "version {}, revision {}, {} build",
                text("/build/version"),
                text("/build/revision"),
                text("/build/profile")
            ),
        ),
        ("server", text("/server")),
        ("command line", words.join(" ")),
    ];
    let fact = |(name, value)| Fact { name, value };
    facts.into_iter().map(fact).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::outcome::SideFigures;
    use super::*;

    fn outcome(name: &'static str) -> Outcome {
        let side = |name| SideFigures {
            name,
            key: "controller",
            shares: Vec::new(),
            per_round: vec![100.0, 120.0],
            times: vec![Duration::from_millis(3), Duration::from_millis(40)],
        };
        Outcome {
            table: Table::new(
                "600 claims on <https://there>".to_owned(),
                ["WHO"],
                &[["a & b".to_owned()]],
                "duplicates: 0\n".to_owned(),
            ),
            figures: json!({
                "server": "<script>alert(1)</script>",
                "commandLine": ["metal3-ipam", "bench", "--context", "\"><img src=x>"],
                "machine": {"cores": 2, "memoryBytes": 4_u64 << 30, "system": "Linux", "loadBefore": 0.5, "loadAfter": 1.5},
                "build": {"version": "0.1.0", "revision": "abc", "profile": "release"},
            }),
            per_round: "claims/s, one dot a round",
            times: "times",
            sides: vec![side("bare writes"), side(name)],
            duplicates: 0,
        }
    }

    #[test]
    fn a_page_shows_machine_program_figures_and_pictures() {
        let page = render(&outcome("controller"), None).unwrap();
        for shown in [
            "2 cores, 4.0 GiB of memory, Linux",
            "0.5 before the run, 1.5 after it",
            "version 0.1.0, revision abc, release build",
            "metal3-ipam bench --context",
            "duplicates: 0",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        assert_eq!(page.matches("<circle").count(), 4);
        assert_eq!(page.matches("<polyline").count(), 2);
        for outside in ["src=\"", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(outside), "{outside} leads out of the page");
        }
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let page = render(&outcome("<b>controller</b>"), None).unwrap();
        for escaped in ["a &amp; b", "&lt;b&gt;controller", "&lt;script&gt;"] {
            assert!(page.contains(escaped), "{escaped}: {page}");
        }
        for raw in ["<script", "<img", "<b>", "<https"] {
            assert!(!page.contains(raw), "{raw}: {page}");
        }
    }
}
