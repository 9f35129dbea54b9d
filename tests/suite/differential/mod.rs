//! The same random requests to the embedded server and to a real kube-apiserver: code, reason and object must be the same.
//!
//! ```text
//!   seed -> generate.rs (bodies, changes, spoil, patches, applies, deletes, reads, odd_requests) -> script.rs   steps with symbols in them
//!              ^ model.rs: what is there                                     |
//!              |                                     side.rs (embedded) <----+----> side.rs (real)
//!              |                                         symbols.rs, answer.rs: less UIDs, versions, times
//!              +------------------------------------ compare.rs, known.rs ---> report.rs, run.rs shortens
//! ```
//!
//! An episode is a script in a namespace of its own; its steps are sent to both servers at the same time, one after the other.
//! `DIFFERENTIAL_REQUESTS` and `DIFFERENTIAL_SEED` say how many and which, `DIFFERENTIAL_SEEDS` how many seeds from there on. Beside the fixed seed every run plays a new one
//! (survey.rs), whose differences are printed and counted and fail the run only with `DIFFERENTIAL_STRICT=1`. With `DIFFERENTIAL_SURVEY=1` a difference does not end an
//! episode, and one of each kind is told.

mod answer;
mod applies;
mod bodies;
mod changes;
mod compare;
mod deletes;
mod generate;
mod kinds;
mod known;
mod model;
mod odd_requests;
mod past;
mod patches;
mod proof;
mod quiet;
mod reads;
mod report;
mod run;
mod script;
mod side;
mod spoil;
mod survey;
mod symbols;
mod warm;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use metal3_ipam::standalone::{self, Server};

pub(crate) use self::known::level_decoder_texts;

use self::generate::Generator;
use self::run::{Divergence, Outcome, Servers, Stop};
use crate::control_plane::{self, say};

/// Requests of a run when nothing is said.
const REQUESTS: u64 = 2_400;
/// Seed when nothing is said.
const SEED: u64 = 5;
/// Requests of an episode.
const EPISODE: u64 = 150;
/// Episodes at a time.
const AT_ONCE: usize = 4;
/// Kinds of differences that are shortened before they are told.
const TOLD: usize = 8;

fn asked(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_answers_as_a_real_one_does() {
    let Some(plane) = control_plane::started().await else {
        say("SKIPPED: the differential test, for there is no real kube-apiserver to compare with");
        crate::tally::add("differential tests SKIPPED: no Go", 1);
        return;
    };
    let (requests, seed) = (
        asked("DIFFERENTIAL_REQUESTS", REQUESTS),
        asked("DIFFERENTIAL_SEED", SEED),
    );
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_owned();
    let server = Server::open(standalone::options_without_rules(data_dir))
        .await
        .unwrap();
    let servers = Servers {
        embedded: server.client(),
        real: metal3_ipam::controller::client(plane.shared.config.clone()).unwrap(),
    };
    let stop = if asked("DIFFERENTIAL_SURVEY", 0) == 0 {
        Stop::First
    } else {
        Stop::Parted
    };
    warm::up(servers.real.clone(), &format!("differential-{seed}-warm")).await;
    let mut told = Vec::new();
    for seed in seed..seed + asked("DIFFERENTIAL_SEEDS", 1) {
        let begun = Instant::now();
        let outcomes = play(&servers, seed, requests, stop, None).await;
        let compared = compared(&outcomes);
        say(&summary(seed, compared, &outcomes, begun.elapsed()));
        for difference in tell(&servers, seed, outcomes, stop).await {
            say(&difference);
            told.push(difference);
        }
        crate::tally::add("differential requests compared", compared);
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    if std::env::var_os("DIFFERENTIAL_SEED").is_none() {
        survey::run(&servers).await;
    }
    drop(servers);
    server.close().await;
}

/// Plays the episodes of a seed, several at a time; none is begun after `until`.
async fn play(
    servers: &Servers,
    seed: u64,
    requests: u64,
    stop: Stop,
    until: Option<Instant>,
) -> Vec<(u64, Outcome)> {
    let episodes = requests.div_ceil(EPISODE);
    let next = AtomicU64::new(0);
    let workers = (0..AT_ONCE).map(|_| async {
        let mut outcomes = Vec::new();
        loop {
            let episode = next.fetch_add(1, Ordering::Relaxed);
            if episode >= episodes || until.is_some_and(|until| Instant::now() >= until) {
                return outcomes;
            }
            let generator = Generator::new(seed, episode);
            let namespace = format!("differential-{seed}-{episode}");
            let outcome = run::episode(servers, &namespace, generator, EPISODE, stop).await;
            outcomes.push((episode, outcome));
        }
    });
    let mut outcomes: Vec<(u64, Outcome)> = join_all(workers).await.into_iter().flatten().collect();
    outcomes.sort_by_key(|(episode, _)| *episode);
    outcomes
}

fn compared(outcomes: &[(u64, Outcome)]) -> u64 {
    outcomes.iter().map(|(_, outcome)| outcome.compared).sum()
}

fn summary(seed: u64, compared: u64, outcomes: &[(u64, Outcome)], took: Duration) -> String {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for name in outcomes.iter().flat_map(|(_, outcome)| &outcome.met) {
        *met.entry(name).or_default() += 1;
    }
    let differing = outcomes.iter().filter(|(_, o)| !o.divergences.is_empty());
    format!(
        "differential: {compared} requests compared in {:.0} s, seed {seed}, {} episodes of {} met a difference that \
         docs/standalone.md does not name (met of those that it names: {met:?})",
        took.as_secs_f64(),
        differing.count(),
        outcomes.len(),
    )
}

/// One of each kind of difference, shortened.
async fn tell(
    servers: &Servers,
    seed: u64,
    outcomes: Vec<(u64, Outcome)>,
    stop: Stop,
) -> Vec<String> {
    let mut kinds: BTreeMap<String, Vec<(u64, Divergence)>> = BTreeMap::new();
    for (episode, outcome) in outcomes {
        for divergence in outcome.divergences {
            let same = kinds.entry(divergence.signature()).or_default();
            same.push((episode, divergence));
        }
    }
    let mut told = Vec::new();
    for (signature, same) in kinds {
        let count = same.len();
        let Some((episode, divergence)) = same
            .into_iter()
            .min_by_key(|(_, divergence)| divergence.script.len())
        else {
            continue;
        };
        let shorter = if told.len() < TOLD && stop == Stop::First {
            let namespace = format!("differential-{seed}-{episode}");
            run::shorten(servers, &namespace, divergence).await
        } else {
            divergence
        };
        let text = report::told(seed, episode, &shorter);
        told.push(format!("{count} times: {signature}\n{text}"));
    }
    told
}
