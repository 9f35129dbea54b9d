//! The figures of all rounds: medians, shares within pairs, a table for people and JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::table;
use super::observer::Times;
use super::side::Who;
use super::usage::Usage;
use crate::controller::Sent;

/// What one round came to.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) who: Who,
    pub(super) times: Times,
    /// What the controller sent.
    pub(super) sent: Option<Sent>,
    pub(super) usage: Usage,
    pub(super) duplicates: usize,
    pub(super) claims: u32,
}

/// All rounds of a run.
#[derive(Debug)]
pub(super) struct Report {
    site: String,
    claims: u32,
    pools: u32,
    rounds: Vec<Round>,
}

/// Median, least and most.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            median,
            least,
            most,
        })
    }

    fn text(self, digits: usize) -> String {
        let Self {
            median,
            least,
            most,
        } = self;
        format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
    }

    fn json(self) -> Value {
        json!({"median": self.median, "least": self.least, "most": self.most})
    }
}

impl Round {
    /// Claims bound a second.
    fn rate(&self) -> f64 {
        f64::from(self.claims) / self.times.whole.as_secs_f64().max(1e-9)
    }

    /// CPU seconds for 1,000 claims.
    fn cpu(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1000.0 / f64::from(self.claims)
    }

    /// Time within which this share of the claims was bound.
    fn quantile(&self, share: f64) -> Duration {
        let each = &self.times.each;
        let last = each.len().saturating_sub(1);
        let index = (last as f64 * share).ceil();
        // An index of a list in memory, never negative.
        #[expect(clippy::cast_sign_loss, reason = "a share of a length is not negative")]
        let index = index as usize;
        each.get(index.min(last)).copied().unwrap_or_default()
    }

    /// One line when it is done.
    pub(super) fn line(&self, pair: u32, pairs: u32) -> String {
        format!(
            "{pair}/{pairs} {:<11}: {:.0} claims/s, p99 {:.0} ms",
            self.who.name(),
            self.rate(),
            self.quantile(0.99).as_secs_f64() * 1e3
        )
    }
}

impl Report {
    pub(super) fn new(site: String, claims: u32, pools: u32) -> Self {
        Self {
            site,
            claims,
            pools,
            rounds: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Addresses given twice, over all rounds.
    pub(super) fn duplicates(&self) -> usize {
        self.rounds.iter().map(|r| r.duplicates).sum()
    }

    fn of(&self, who: Who) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |r| r.who == who)
    }

    /// The controller's rate as a share of the ceiling's, pair by pair.
    fn share(&self) -> Option<Spread> {
        let pairs = self.of(Who::Ceiling).zip(self.of(Who::Controller));
        Spread::of(pairs.map(|(ceiling, ours)| ours.rate() / ceiling.rate()))
    }

    fn row(&self, who: Who) -> [String; 9] {
        let all = |figure: fn(&Round) -> f64| Spread::of(self.of(who).map(figure));
        let text =
            |spread: Option<Spread>, digits| spread.map_or(String::new(), |s| s.text(digits));
        let millis = |share: f64| {
            let spread = Spread::of(self.of(who).map(|r| r.quantile(share).as_secs_f64() * 1e3));
            spread.map_or(String::new(), |s| format!("{:.0}", s.median))
        };
        let share = match who {
            Who::Ceiling => "1".to_owned(),
            Who::Controller => text(self.share(), 2),
        };
        let (writes, reads) = match who {
            Who::Ceiling => ("3.00".to_owned(), "0.00".to_owned()),
            Who::Controller => (
                text(
                    Spread::of(self.per_claim(|s| s.claim_writes + s.pool_writes)),
                    2,
                ),
                text(Spread::of(self.per_claim(|s| s.reads)), 2),
            ),
        };
        [
            who.name().to_owned(),
            text(all(Round::rate), 0),
            share,
            millis(0.5),
            millis(0.99),
            millis(1.0),
            writes,
            reads,
            text(all(Round::cpu), 2),
        ]
    }

    fn per_claim(&self, count: fn(&Sent) -> u64) -> Vec<f64> {
        let sent = self.of(Who::Controller).filter_map(|r| r.sent);
        sent.map(|s| count(&s) as f64 / f64::from(self.claims))
            .collect()
    }

    /// For people: medians, with least and most in brackets.
    pub(super) fn table(&self) -> String {
        let headings = [
            "WHO",
            "CLAIMS/S",
            "SHARE",
            "P50 MS",
            "P99 MS",
            "MAX MS",
            "WRITES/CLAIM",
            "READS/CLAIM",
            "CPU S/1000",
        ];
        let rows = [Who::Ceiling, Who::Controller].map(|who| self.row(who));
        let resident = self.of(Who::Controller).map(|r| r.usage.resident).max();
        format!(
            "{} claims in {} pools, {} pairs of rounds, on {}\n{}duplicates: {}; resident memory of this process: {:.0} MiB\n",
            self.claims,
            self.pools,
            self.of(Who::Ceiling).count(),
            self.site,
            table::render(headings, &rows),
            self.duplicates(),
            resident.unwrap_or_default() as f64 / f64::from(1 << 20),
        )
    }

    /// For programs: times in seconds, memory in bytes.
    pub(super) fn json(&self) -> String {
        let side = |who: Who| {
            let all =
                |figure: fn(&Round) -> f64| Spread::of(self.of(who).map(figure)).map(Spread::json);
            let quantile = |share: f64| {
                Spread::of(self.of(who).map(|r| r.quantile(share).as_secs_f64())).map(Spread::json)
            };
            json!({
                "claimsPerSecond": all(Round::rate),
                "bindSeconds": {"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0)},
                "cpuSecondsPer1000Claims": all(Round::cpu),
                "residentBytes": self.of(who).map(|r| r.usage.resident).max(),
            })
        };
        let whole = json!({
            "server": self.site,
            "claims": self.claims,
            "pools": self.pools,
            "pairs": self.of(Who::Ceiling).count(),
            "ceiling": side(Who::Ceiling),
            "controller": side(Who::Controller),
            "shareOfCeiling": self.share().map(Spread::json),
            "writesPerClaim": Spread::of(self.per_claim(|s| s.claim_writes + s.pool_writes)).map(Spread::json),
            "readsPerClaim": Spread::of(self.per_claim(|s| s.reads)).map(Spread::json),
            "duplicates": self.duplicates(),
        });
        format!("{whole:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(who: Who, millis: u64) -> Round {
        let each = (1..=100).map(|n| Duration::from_millis(n * millis / 100));
        Round {
            who,
            times: Times {
                whole: Duration::from_millis(millis),
                each: each.collect(),
            },
            sent: None,
            usage: Usage::default(),
            duplicates: 0,
            claims: 100,
        }
    }

    #[test]
    fn shares_are_taken_within_pairs() {
        let mut report = Report::new("here".to_owned(), 100, 1);
        for (who, millis) in [
            (Who::Ceiling, 1000),
            (Who::Controller, 2000),
            (Who::Controller, 500),
            (Who::Ceiling, 400),
        ] {
            report.add(round(who, millis));
        }
        let share = report.share().unwrap();
        assert!(
            (share.least - 0.5).abs() < 1e-9 && (share.most - 0.8).abs() < 1e-9,
            "{share:?}"
        );
        assert!(
            report.table().contains("0.65 (0.50-0.80)"),
            "{}",
            report.table()
        );
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["pairs"], 2);
        assert_eq!(json["duplicates"], 0);
    }

    #[test]
    fn quantiles_and_medians() {
        let round = round(Who::Ceiling, 1000);
        assert_eq!(round.quantile(0.5), Duration::from_millis(510));
        assert_eq!(round.quantile(1.0), Duration::from_secs(1));
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]).unwrap().text(1),
            "2.0 (1.0-3.0)"
        );
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().text(1), "2.5 (1.0-4.0)");
        assert_eq!(Spread::of([]), None);
    }
}
