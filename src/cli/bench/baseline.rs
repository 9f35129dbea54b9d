//! A run that was stored with `--save`, and what a new run is beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::compare::{self, Comparison, MOST_ROUNDS, Verdict};
use super::outcome::{SideFigures, Table};
use super::report::Spread;

/// Exit code when a row is slower.
pub(super) const SLOWER: u8 = 3;
/// Exit code when the runs cannot be compared, or some row has too few rounds for a verdict.
pub(super) const UNDECIDED: u8 = 4;

/// The parts of a stored run that are compared.
#[derive(Debug, Deserialize)]
pub(super) struct Baseline {
    #[serde(skip)]
    path: PathBuf,
    options: Value,
    /// By side, in the order of the rounds.
    shares: BTreeMap<String, Vec<f64>>,
    build: Value,
}

/// The rows of two runs side by side.
#[derive(Debug)]
pub(super) struct Compared {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    key: &'static str,
    before: Spread,
    now: Spread,
    comparison: Comparison,
}

impl Baseline {
    /// Reads what `--save` wrote.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path)
            .with_context(|| format!("cannot read the baseline {}", path.display()))?;
        let advice = || {
            format!(
                "{} is no stored run; make one with: metal3-ipam bench --save FILE",
                path.display()
            )
        };
        let baseline: Self = serde_json::from_slice(&text).with_context(advice)?;
        let mut shares = baseline.shares.values().flatten();
        let are_shares = shares.all(|share| share.is_finite() && *share > 0.0);
        ensure!(are_shares && !baseline.shares.is_empty(), advice());
        Ok(Self {
            path: path.to_owned(),
            ..baseline
        })
    }

    /// Why a run with these options and so many rounds cannot be compared with this one, if it cannot.
    pub(super) fn obstacle(&self, options: &Value, rounds: u16) -> Option<String> {
        let (there, here) = (fields(&self.options), fields(options));
        let names: BTreeSet<&str> = here.keys().chain(there.keys()).copied().collect();
        let shown = |of: &BTreeMap<&str, &Value>, name| {
            of.get(name)
                .map_or_else(|| "unknown".to_owned(), ToString::to_string)
        };
        let differing: Vec<String> = names
            .into_iter()
            .filter(|name| here.get(name) != there.get(name))
            .map(|name| {
                format!(
                    "{name} was {} and is {}",
                    shown(&there, name),
                    shown(&here, name)
                )
            })
            .collect();
        if !differing.is_empty() {
            return Some(differing.join("; "));
        }
        let counts = self.shares.values().map(Vec::len).chain([rounds.into()]);
        let (fewest, most) = (counts.clone().min()?, counts.max()?);
        let needed = compare::fewest_rounds(self.shares.len());
        (fewest < needed || most > MOST_ROUNDS).then(|| {
            format!(
                "one of the runs has {fewest} rounds and one {most}: each needs {needed} to {MOST_ROUNDS}"
            )
        })
    }

    /// Compares a run without an [`obstacle`](Self::obstacle).
    pub(super) fn compare(&self, sides: &[SideFigures]) -> Compared {
        let row = |side: &SideFigures| {
            let before = self.shares.get(side.key)?;
            let comparison = compare::compare(before, &side.shares, self.shares.len());
            Some(Row {
                name: side.name,
                key: side.key,
                before: Spread::of(before.iter().copied())?,
                now: Spread::of(side.shares.iter().copied())?,
                comparison,
            })
        };
        let word = |name: &str| self.build[name].as_str().unwrap_or_default();
        Compared {
            title: format!(
                "shares of the bare writes, compared with {} (version {}, revision {})",
                self.path.display(),
                word("version"),
                word("revision")
            ),
            rows: sides.iter().filter_map(row).collect(),
        }
    }
}

impl Compared {
    /// 0 unless a row is slower or has no verdict.
    pub(super) fn exit_code(&self) -> u8 {
        if self.any(Verdict::Slower) {
            SLOWER
        } else if self.any(Verdict::TooFewRounds) {
            UNDECIDED
        } else {
            0
        }
    }

    fn any(&self, verdict: Verdict) -> bool {
        self.rows
            .iter()
            .any(|row| row.comparison.verdict == verdict)
    }

    /// For people.
    pub(super) fn table(&self) -> Table {
        let cells = |row: &Row| {
            let interval = row.comparison.interval;
            let interval = interval.map_or(String::new(), |(low, high)| {
                format!(" ({low:.2}-{high:.2})")
            });
            [
                row.name.to_owned(),
                row.before.text(2),
                row.now.text(2),
                format!("{:.2}{interval}", row.comparison.ratio),
                row.comparison.verdict.name().to_owned(),
            ]
        };
        let rows: Vec<_> = self.rows.iter().map(cells).collect();
        let headings = ["WHO", "BEFORE", "NOW", "RATIO", "VERDICT"];
        Table::new(self.title.clone(), headings, &rows, self.advice())
    }

    /// What to do where a row has no verdict.
    fn advice(&self) -> String {
        let undecided = |row: &&Row| row.comparison.verdict == Verdict::TooFewRounds;
        let wanted = self.rows.iter().filter(undecided);
        let Some(most) = wanted
            .map(|row| row.comparison.rounds_wanted.unwrap_or(usize::MAX))
            .max()
        else {
            return String::new();
        };
        if most > MOST_ROUNDS {
            format!(
                "no verdict: with this noise more than {MOST_ROUNDS} rounds would be needed; end other programs, or take more --claims\n"
            )
        } else {
            format!(
                "no verdict: with this noise each run needs --rounds {most}, the baseline too\n"
            )
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let Comparison {
                ratio,
                interval,
                verdict,
                rounds_wanted,
            } = row.comparison;
            let row_json = json!({
                "ratio": ratio,
                "interval": interval.map(|(low, high)| json!({"low": low, "high": high})),
                "verdict": verdict.name(),
                "roundsWanted": rounds_wanted,
            });
            (row.key.to_owned(), row_json)
        });
        Value::Object(rows.collect())
    }
}

/// The fields of an object, by name.
fn fields(object: &Value) -> BTreeMap<&str, &Value> {
    let fields = object.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.as_str(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(claims: u32) -> Value {
        json!({"mode": "live", "claims": claims, "sides": ["ceiling", "controller"]})
    }

    /// A stored run of the controller, read from its file.
    fn stored(shares: &[f64]) -> Baseline {
        let figures = json!({"options": options(600), "shares": {"controller": shares}, "duplicates": 0,
            "build": {"version": "0.1.0", "revision": "abc"}});
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stored.json");
        fs::write(&file, figures.to_string()).unwrap();
        Baseline::read(&file).unwrap()
    }

    fn compared(before: &[f64], now: &[f64]) -> Compared {
        let side = SideFigures {
            name: "controller",
            key: "controller",
            shares: now.to_vec(),
            per_round: Vec::new(),
            times: Vec::new(),
        };
        stored(before).compare(&[side])
    }

    const SHARES: [f64; 5] = [0.77, 0.78, 0.783, 0.79, 0.80];

    #[test]
    fn each_verdict_has_its_exit_code() {
        for (factor, code, word) in [
            (1.0, 0, "within noise"),
            (1.2, 0, "faster"),
            (0.8, SLOWER, "slower"),
        ] {
            let compared = compared(&SHARES, &SHARES.map(|share| share * factor));
            assert_eq!(compared.exit_code(), code, "{factor}");
            let table = compared.table();
            let table = table.text();
            assert!(
                table.contains(word) && table.contains("revision abc"),
                "{table}"
            );
            assert!(!table.contains("no verdict"), "{table}");
            assert_eq!(compared.json()["controller"]["verdict"], word);
        }
        let noise = compared(&SHARES, &[0.5, 1.1, 0.6, 0.9, 0.8]);
        assert_eq!(noise.exit_code(), UNDECIDED);
        let wanted = noise.json()["controller"]["roundsWanted"].clone();
        let advice = format!("needs --rounds {wanted},");
        assert!(
            noise.table().text().contains(&advice),
            "{}",
            noise.table().text()
        );
        let wild = compared(&[0.1, 0.9, 0.2, 0.8, 0.5], &[0.5, 0.1, 0.9, 0.2, 0.8]);
        assert!(
            wild.table().text().contains("more than 150 rounds"),
            "{}",
            wild.table().text()
        );
    }

    #[test]
    fn runs_that_differ_in_more_than_the_build_are_not_compared() {
        let stored = stored(&SHARES);
        assert_eq!(stored.obstacle(&options(600), 5), None);
        let obstacle = stored.obstacle(&options(2000), 5);
        assert_eq!(obstacle.unwrap(), "claims was 600 and is 2000");
        let mut more = options(600);
        more["kind"] = json!("both");
        let obstacle = stored.obstacle(&more, 5);
        assert_eq!(obstacle.unwrap(), "kind was unknown and is \"both\"");
        for (rounds, says) in [
            (3, "has 3 rounds and one 5"),
            (151, "has 5 rounds and one 151"),
        ] {
            let obstacle = stored.obstacle(&options(600), rounds).unwrap();
            assert!(obstacle.contains(says), "{obstacle}");
        }
    }

    #[test]
    fn a_file_without_a_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("other.json");
        fs::write(&file, "{}").unwrap();
        for (path, says) in [
            (&file, "--save"),
            (&folder.path().join("none"), "cannot read"),
        ] {
            let refused = format!("{:#}", Baseline::read(path).unwrap_err());
            assert!(refused.contains(says), "{refused}");
        }
    }
}
