//! The figures of all rounds: medians, shares within a round, a table for people and JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::ceiling::Sent;
use super::hooks::Reviews;
use super::observer::Times;
use super::outcome::{Outcome, SideFigures, Table, as_written};
use super::side::Who;
use super::usage::Usage;
use super::{Bench, Mode};

/// The figures of one side in one round.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) who: Who,
    pub(super) times: Times,
    /// What the controller sent.
    pub(super) sent: Option<Sent>,
    pub(super) usage: Usage,
    pub(super) duplicates: usize,
    pub(super) claims: u32,
    /// What the API server asked the webhooks.
    pub(super) reviews: Option<Reviews>,
}

/// All rounds of a run.
#[derive(Debug)]
pub(super) struct Report {
    site: String,
    claims: u32,
    pools: u32,
    mode: Mode,
    participants: Vec<Who>,
    rounds: Vec<Round>,
}

/// Median, least and most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
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

    pub(super) fn text(self, digits: usize) -> String {
        let Self {
            median,
            least,
            most,
        } = self;
        format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
    }

    pub(super) fn json(self) -> Value {
        json!({"median": self.median, "least": self.least, "most": self.most})
    }
}

/// The least of these sorted times within which this share of them lies.
pub(super) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_sign_loss, reason = "a share of a length is not negative")]
    let index = (last as f64 * share).ceil() as usize;
    sorted.get(index.min(last)).copied().unwrap_or_default()
}

/// Percentiles 0 to 100 of the times of several rounds.
pub(super) fn percentiles<'a>(rounds: impl Iterator<Item = &'a Vec<Duration>>) -> Vec<Duration> {
    let mut all: Vec<Duration> = rounds.flatten().copied().collect();
    all.sort_unstable();
    let percents = 0..=100_u8;
    percents
        .map(|percent| quantile(&all, f64::from(percent) / 100.0))
        .collect()
}

impl Round {
    /// Claims bound a second.
    pub(super) fn rate(&self) -> f64 {
        f64::from(self.claims) / self.times.whole.as_secs_f64().max(1e-9)
    }

    /// CPU seconds for 1,000 claims.
    fn cpu(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1000.0 / f64::from(self.claims)
    }

    fn quantile(&self, share: f64) -> Duration {
        quantile(&self.times.each, share)
    }

    /// One line when it is done.
    pub(super) fn line(&self, round: u32, rounds: u32) -> String {
        format!(
            "{round}/{rounds} {:<15}: {:.0} claims/s, p99 {:.0} ms{}",
            self.who.name(),
            self.rate(),
            self.quantile(0.99).as_secs_f64() * 1e3,
            self.reviews
                .map_or(String::new(), |reviews| format!("; {}", reviews.text()))
        )
    }
}

impl Report {
    pub(super) fn new(site: String, bench: &Bench, participants: Vec<Who>) -> Self {
        Self {
            site,
            claims: bench.claims,
            pools: bench.pools,
            mode: bench.mode,
            participants,
            rounds: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// The figures as they are printed, stored and compared.
    pub(super) fn outcome(&self) -> Outcome {
        let side = |who: &Who| SideFigures {
            name: who.name(),
            key: who.key(),
            shares: match who {
                Who::Ceiling => Vec::new(),
                Who::RuledCeiling
                | Who::Controller
                | Who::Ruled
                | Who::Checked
                | Who::Hooked
                | Who::Embedded => self.shares(Who::Ceiling, *who).collect(),
            },
            per_round: self.of(*who).map(Round::rate).collect(),
            times: percentiles(self.of(*who).map(|round| &round.times.each)),
        };
        Outcome {
            table: self.table(),
            figures: self.json(),
            sides: self.participants.iter().map(side).collect(),
            per_round: "Claims a second, one dot a round",
            times: match self.mode {
                Mode::Backlog => "Claims that are bound, by the time from the side's first write",
                Mode::Live | Mode::Churn | Mode::Burst => {
                    "Claims that are bound, by the time from their creation"
                }
            },
            duplicates: self.duplicates(),
        }
    }

    /// Addresses given twice, over all rounds.
    fn duplicates(&self) -> usize {
        self.rounds.iter().map(|r| r.duplicates).sum()
    }

    fn of(&self, who: Who) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |r| r.who == who)
    }

    /// A side's rate as a share of the ceiling's, round by round.
    fn share(&self, who: Who) -> Option<Spread> {
        self.share_of(Who::Ceiling, who)
    }

    /// A side's rate as a share of another's, round by round.
    fn share_of(&self, other: Who, who: Who) -> Option<Spread> {
        Spread::of(self.shares(other, who))
    }

    /// A side's rate as a share of another's, in the order of the rounds.
    pub(super) fn shares(&self, other: Who, who: Who) -> impl Iterator<Item = f64> {
        let pairs = self.of(other).zip(self.of(who));
        pairs.map(|(other, ours)| ours.rate() / other.rate())
    }

    /// Reviews of all rounds of a side.
    fn reviews(&self, who: Who) -> Option<Reviews> {
        self.of(who)
            .filter_map(|round| round.reviews)
            .reduce(|all, round| Reviews {
                asked: all.asked + round.asked,
                in_time: all.in_time + round.in_time,
            })
    }

    /// A line for each who had webhooks: what is left of the controller's rate, and how long the API server waited.
    fn hooked(&self) -> String {
        let line = |who: &Who| {
            let (share, reviews) = (self.share_of(Who::Controller, *who)?, self.reviews(*who)?);
            Some(format!(
                "{}: {} of the controller's claims/s; {}\n",
                who.name(),
                share.text(2),
                reviews.text()
            ))
        };
        self.participants.iter().filter_map(line).collect()
    }

    fn row(&self, who: Who) -> [String; 9] {
        let all = |figure: fn(&Round) -> f64| Spread::of(self.of(who).map(figure));
        let text =
            |spread: Option<Spread>, digits| spread.map_or(String::new(), |s| s.text(digits));
        let millis = |share: f64| {
            let spread = Spread::of(self.of(who).map(|r| r.quantile(share).as_secs_f64() * 1e3));
            spread.map_or(String::new(), |s| format!("{:.0}", s.median))
        };
        let share = || text(self.share(who), 2);
        let none = || "0.00".to_owned();
        let (share, writes, reads) = match (who, self.mode) {
            (Who::Ceiling, Mode::Churn) => ("1".into(), "6.00".into(), none()),
            (Who::Ceiling, _) => ("1".into(), "3.00".into(), none()),
            (Who::RuledCeiling, Mode::Churn) => (share(), "5.00".into(), none()),
            (Who::RuledCeiling, _) => (share(), "2.00".into(), none()),
            (Who::Controller | Who::Ruled | Who::Checked | Who::Hooked | Who::Embedded, _) => (
                share(),
                text(Spread::of(self.per_claim(who, writes)), 2),
                text(Spread::of(self.per_claim(who, |s| s.reads)), 2),
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

    fn per_claim(&self, who: Who, count: fn(&Sent) -> u64) -> Vec<f64> {
        let sent = self.of(who).filter_map(|r| r.sent);
        sent.map(|s| count(&s) as f64 / f64::from(self.claims))
            .collect()
    }

    /// For people: medians, with least and most in brackets.
    fn table(&self) -> Table {
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
        let rows: Vec<_> = self.participants.iter().map(|who| self.row(*who)).collect();
        let resident = self.of(Who::Controller).map(|r| r.usage.resident).max();
        let title = format!(
            "{} claims in {} pools, {}, {} rounds, on {}",
            self.claims,
            self.pools,
            as_written(&self.mode),
            self.of(Who::Ceiling).count(),
            self.site,
        );
        let notes = format!(
            "{}duplicates: {}; resident memory of this process: {:.0} MiB\n",
            self.hooked(),
            self.duplicates(),
            resident.unwrap_or_default() as f64 / f64::from(1 << 20),
        );
        Table::new(title, headings, &rows, notes)
    }

    /// For programs: times in seconds, memory in bytes.
    fn json(&self) -> Value {
        let side = |who: Who| {
            let all =
                |figure: fn(&Round) -> f64| Spread::of(self.of(who).map(figure)).map(Spread::json);
            let quantile = |share: f64| {
                Spread::of(self.of(who).map(|r| r.quantile(share).as_secs_f64())).map(Spread::json)
            };
            json!({
                "claimsPerSecond": all(Round::rate),
                "shareOfCeiling": self.share(who).map(Spread::json),
                "bindSeconds": {"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0)},
                "writesPerClaim": Spread::of(self.per_claim(who, writes)).map(Spread::json),
                "readsPerClaim": Spread::of(self.per_claim(who, |s| s.reads)).map(Spread::json),
                "cpuSecondsPer1000Claims": all(Round::cpu),
                "shareOfController": self.share_of(Who::Controller, who).map(Spread::json),
                "reviews": self.reviews(who).map(|r| json!({"asked": r.asked, "within5Milliseconds": r.in_time})),
                "residentBytes": self.of(who).map(|r| r.usage.resident).max(),
            })
        };
        let mut whole = json!({
            "server": self.site,
            "mode": as_written(&self.mode),
            "claims": self.claims,
            "pools": self.pools,
            "rounds": self.of(Who::Ceiling).count(),
            "duplicates": self.duplicates(),
        });
        for who in &self.participants {
            whole[who.key()] = side(*who);
        }
        whole
    }
}

/// Every write: for claims, address objects and pools.
fn writes(sent: &Sent) -> u64 {
    sent.claim_writes + sent.pool_writes
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
            reviews: None,
        }
    }

    #[test]
    fn shares_are_taken_within_rounds() {
        let mut report = Report {
            site: "here".to_owned(),
            claims: 100,
            pools: 1,
            mode: Mode::Backlog,
            participants: vec![Who::Ceiling, Who::Controller],
            rounds: Vec::new(),
        };
        for (who, millis) in [
            (Who::Ceiling, 1000),
            (Who::Controller, 2000),
            (Who::Controller, 500),
            (Who::Ceiling, 400),
        ] {
            report.add(round(who, millis));
        }
        let share = report.share(Who::Controller).unwrap();
        assert!(
            (share.least - 0.5).abs() < 1e-9 && (share.most - 0.8).abs() < 1e-9,
            "{share:?}"
        );
        assert!(
            report.table().text().contains("0.65 (0.50-0.80)"),
            "{}",
            report.table().text()
        );
        let outcome = report.outcome();
        assert_eq!(outcome.figures["rounds"], 2);
        assert_eq!(outcome.figures["duplicates"], 0);
        let [bare, controller] = outcome.sides.try_into().unwrap();
        assert_eq!((bare.shares.len(), controller.shares.len()), (0, 2));
        assert_eq!(bare.per_round, [100.0, 250.0]);
        let (least, most) = (controller.times[0], controller.times[100]);
        assert_eq!([least, most], [5, 2000].map(Duration::from_millis));
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
