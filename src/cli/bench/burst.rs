//! What a burst in one pool costs the claims of another: while the controller binds the burst, single claims come in a pool that
//! it serves as well, and in a namespace where a bare client sends the same three writes for each. Their times are compared.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::load::{Load, Release};
use super::observer::{Observer, Step};
use super::outcome::{Outcome, SideFigures, Table};
use super::report::{Spread, percentiles, quantile};
use super::side::{Side, Who};
use super::site::Site;
use super::{Bench, SPARE};

/// Time between two single claims on each side.
const BETWEEN: Duration = Duration::from_millis(20);
/// What their names begin with.
const SINGLE: &str = "single-";
/// Most of them.
const SINGLES: u32 = 100_000;

/// Times from creation to binding, sorted.
struct Times {
    bare: Vec<Duration>,
    controller: Vec<Duration>,
}

/// Runs all rounds.
pub(super) async fn run(site: &Site, bench: &Bench) -> anyhow::Result<Outcome> {
    let mut rounds = Vec::new();
    let mut duplicates = 0;
    for n in 1..=bench.rounds {
        let (times, twice) = round(site, bench).await?;
        duplicates += twice;
        tell!(
            "{n}/{} single claims during the burst: p99 {:.0} ms bare, {:.0} ms by the controller",
            bench.rounds,
            millis(&times.bare, 0.99),
            millis(&times.controller, 0.99)
        );
        rounds.push(times);
    }
    // A longer time is a lower speed.
    let speeds = ratios(&rounds).map(f64::recip).collect();
    let side = |who: Who, of: fn(&Times) -> &Vec<Duration>, shares| SideFigures {
        name: who.name(),
        key: who.key(),
        shares,
        per_round: rounds.iter().map(|r| millis(of(r), 0.99)).collect(),
        times: percentiles(rounds.iter().map(of)),
    };
    let sides = vec![
        side(Who::Ceiling, |r| &r.bare, Vec::new()),
        side(Who::Controller, |r| &r.controller, speeds),
    ];
    Ok(Outcome {
        table: as_table(site, bench, &rounds, duplicates),
        figures: as_json(site, bench, &rounds, duplicates),
        sides,
        per_round: "P99 of the single claims in milliseconds, one dot a round",
        times: "Single claims that are bound, by the time from their creation",
        duplicates,
    })
}

async fn round(site: &Site, bench: &Bench) -> anyhow::Result<(Times, usize)> {
    // The burst's pool and the other one; and a namespace that the controller knows nothing of.
    let served = Load::prepare(site, bench, (2, bench.claims + SPARE)).await?;
    let bare = Load::prepare(site, bench, (1, SINGLES)).await?;
    let mut in_served = Observer::start(&site.client, &served.namespace);
    let mut in_bare = Observer::start(&site.client, &bare.namespace);
    let controller = Side::controller(site, Who::Controller, &served, bench);
    let mut sides = [
        Side::start(site, controller, &served, bench).await?,
        Side::start(site, None, &bare, bench).await?,
    ];
    let [controller, ceiling] = &mut sides;
    let driving = drive(bench, (&served, &mut in_served), (&bare, &mut in_bare));
    tokio::select! {
        done = driving => done?,
        failed = controller.failed() => return Err(failed),
        failed = ceiling.failed() => return Err(failed),
    }
    for side in sides {
        side.stop().await?;
    }
    let times = Times {
        bare: in_bare.bound_in(SINGLE),
        controller: in_served.bound_in(SINGLE),
    };
    let duplicates = in_served.duplicates() + in_bare.duplicates();
    served.remove(Release::Here).await?;
    bare.remove(Release::Here).await?;
    Ok((times, duplicates))
}

/// Creates the burst and, as long as it is not bound, single claims on both sides. Returns when everything is bound.
async fn drive(
    bench: &Bench,
    (served, in_served): (&Load, &mut Observer),
    (bare, in_bare): (&Load, &mut Observer),
) -> anyhow::Result<()> {
    let burst_pool = &served.pools[0].target.key.name;
    let other_pool = &served.pools[1].target.key.name;
    let bare_pool = &bare.pools[0].target.key.name;
    let mut burst = stream::iter((0..bench.claims).map(|n| async move {
        let name = format!("claim-{n:07}");
        served
            .create_named(bench.kind.of(n), &name, burst_pool)
            .await
    }))
    .buffer_unordered(usize::from(bench.creators));
    let mut creating = FuturesUnordered::new();
    let (mut single, mut of_burst) = (0, 0);
    let mut ticks = interval(BETWEEN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (there, bound) = in_served.counts();
        let (others, others_bound) = in_bare.counts();
        let is_over = of_burst == bench.claims;
        if is_over && creating.is_empty() && bound == there && others_bound == others {
            return Ok(());
        }
        tokio::select! {
            step = in_served.next() => {
                if let Step::Bound(key) = step?
                    && !key.name.starts_with(SINGLE)
                {
                    of_burst += 1;
                }
            }
            step = in_bare.next() => drop(step?),
            Some(created) = burst.next() => created?,
            Some(created) = creating.next() => {
                let created: anyhow::Result<()> = created;
                created?;
            }
            _ = ticks.tick(), if !is_over && single < SINGLES => {
                let (kind, name) = (bench.kind.of(single), format!("{SINGLE}{single:07}"));
                single += 1;
                creating.push(async move {
                    tokio::try_join!(
                        served.create_named(kind, &name, other_pool),
                        bare.create_named(kind, &name, bare_pool),
                    )
                    .map(drop)
                });
            }
        }
    }
}

fn millis(sorted: &[Duration], share: f64) -> f64 {
    quantile(sorted, share).as_secs_f64() * 1e3
}

/// How much longer the controller takes, round by round.
fn ratios(rounds: &[Times]) -> impl Iterator<Item = f64> {
    let millis = |of| millis(of, 0.99).max(1e-3);
    rounds
        .iter()
        .map(move |r| millis(&r.controller) / millis(&r.bare))
}

fn as_table(site: &Site, bench: &Bench, rounds: &[Times], duplicates: usize) -> Table {
    let row = |name: &str, of: fn(&Times) -> &Vec<Duration>, ratio: String| {
        let cell = |share| {
            let spread = Spread::of(rounds.iter().map(|r| millis(of(r), share)));
            spread.map_or(String::new(), |s| s.text(0))
        };
        let claims: usize = rounds.iter().map(|r| of(r).len()).sum();
        [
            name.to_owned(),
            claims.to_string(),
            cell(0.5),
            cell(0.99),
            cell(1.0),
            ratio,
        ]
    };
    let ratio = Spread::of(ratios(rounds)).map_or(String::new(), |s| s.text(2));
    Table::new(
        format!(
            "single claims while {} others come in another pool, {} rounds, on {}",
            bench.claims,
            rounds.len(),
            site.described(),
        ),
        ["WHO", "CLAIMS", "P50 MS", "P99 MS", "MAX MS", "P99 RATIO"],
        &[
            row("bare writes", |r| &r.bare, "1".to_owned()),
            row("controller", |r| &r.controller, ratio),
        ],
        format!("duplicates: {duplicates}\n"),
    )
}

fn as_json(site: &Site, bench: &Bench, rounds: &[Times], duplicates: usize) -> Value {
    let side = |of: fn(&Times) -> &Vec<Duration>| {
        let seconds = |share| {
            let each = rounds.iter().map(|r| quantile(of(r), share).as_secs_f64());
            Spread::of(each).map(Spread::json)
        };
        json!({"bindSeconds": {"p50": seconds(0.5), "p99": seconds(0.99), "max": seconds(1.0)}})
    };
    json!({
        "server": site.described(),
        "mode": "burst",
        "claims": bench.claims,
        "rounds": rounds.len(),
        "ceiling": side(|r| &r.bare),
        "controller": side(|r| &r.controller),
        "p99Ratio": Spread::of(ratios(rounds)).map(Spread::json),
        "duplicates": duplicates,
    })
}
