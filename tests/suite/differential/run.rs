//! Runs scripts on both servers in step, and shortens one that shows a difference.

use futures::future::join;
use kube::Client;

use super::answer::Answer;
use super::compare::{Difference, compare};
use super::generate::Generator;
use super::known;
use super::script::{Step, What};
use super::side::Side;

/// The two servers.
#[derive(Clone)]
pub(super) struct Servers {
    pub(super) embedded: Client,
    pub(super) real: Client,
}

/// One script under way, in a namespace of its own.
struct Run {
    embedded: Side,
    real: Side,
}

/// A step at which the servers differ.
#[derive(Debug, Clone)]
pub(super) struct Divergence {
    /// What was sent, the last being the one.
    pub(super) script: Vec<Step>,
    pub(super) differences: Vec<Difference>,
    pub(super) embedded: Answer,
    pub(super) real: Answer,
}

/// What an episode came to.
#[derive(Debug, Default, Clone)]
pub(super) struct Outcome {
    /// Requests whose answers were compared.
    pub(super) compared: u64,
    /// How often each known difference was met.
    pub(super) met: Vec<&'static str>,
    pub(super) divergences: Vec<Divergence>,
}

impl Run {
    async fn begin(servers: &Servers, namespace: &str) -> Self {
        let mut run = Self {
            embedded: Side::new(servers.embedded.clone(), namespace),
            real: Side::new(servers.real.clone(), namespace),
        };
        join(run.embedded.prepare(), run.real.prepare()).await;
        run
    }

    /// Does a step on both, and tells what differs beyond what is known.
    async fn step(&mut self, step: &Step) -> (Answer, Answer, Vec<Difference>, Vec<&'static str>) {
        let (embedded, real) = join(self.embedded.run(step), self.real.run(step)).await;
        let (left, right, met) = known::level(step, &embedded, &real);
        let differences = compare(&left, &right);
        (embedded, real, differences, met)
    }
}

/// When an episode ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the first difference.
    First,
    /// At the first after which the servers' objects are not the same any more.
    Parted,
}

/// Sends so many random requests.
pub(super) async fn episode(
    servers: &Servers,
    namespace: &str,
    mut generator: Generator,
    requests: u64,
    stop: Stop,
) -> Outcome {
    let mut run = Run::begin(servers, namespace).await;
    let mut outcome = Outcome::default();
    let mut script = Vec::new();
    loop {
        let is_last = outcome.compared >= requests;
        if is_last {
            generator.model.is_restless = true;
        }
        let step = generator.step();
        script.push(step.clone());
        let (embedded, real, differences, met) = run.step(&step).await;
        outcome.compared += step.requests();
        outcome.met.extend(met);
        if !differences.is_empty() {
            let parted = (embedded.code < 300) != (real.code < 300) || embedded.code == 0;
            outcome.divergences.push(Divergence {
                script: script.clone(),
                differences,
                embedded: embedded.clone(),
                real,
            });
            if parted || stop == Stop::First {
                break;
            }
        }
        if is_last {
            break;
        }
        generator.model.learn(&step, &embedded);
    }
    outcome
}

/// Runs a script as it stands; what differs at its last step, when nothing did before.
pub(super) async fn play(
    servers: &Servers,
    namespace: &str,
    script: &[Step],
) -> Option<Divergence> {
    let mut run = Run::begin(servers, namespace).await;
    let mut found = None;
    for (n, step) in script.iter().enumerate() {
        let (embedded, real, differences, _) = run.step(step).await;
        if !differences.is_empty() {
            let script = script[..=n].to_vec();
            found = Some(Divergence {
                script,
                differences,
                embedded,
                real,
            });
            break;
        }
    }
    found
}

/// How many shortened scripts are tried.
const TRIES: usize = 80;

/// The shortest script that was found to show the same difference.
pub(super) async fn shorten(
    servers: &Servers,
    namespace: &str,
    divergence: Divergence,
) -> Divergence {
    let mut best = divergence;
    let mut tries = 0;
    // What has nothing to do with the objects of the last step goes first, all at once; then one by one, from the end.
    let mut candidates = vec![about_the_last(&best.script)];
    loop {
        while let Some(candidate) = candidates.pop() {
            if tries >= TRIES || candidate.len() >= best.script.len() {
                continue;
            }
            tries += 1;
            let namespace = format!("{namespace}-s{tries}");
            if let Some(found) = play(servers, &namespace, &candidate).await
                && same(&found, &best)
            {
                best = found;
            }
        }
        // One more step left out than before, where that has not been tried.
        let before = best.script.len();
        let mut at = before.saturating_sub(1);
        while at > 0 && tries < TRIES {
            at -= 1;
            if at >= best.script.len() {
                continue;
            }
            let mut candidate = best.script.clone();
            candidate.remove(at);
            tries += 1;
            let namespace = format!("{namespace}-s{tries}");
            if let Some(found) = play(servers, &namespace, &candidate).await
                && same(&found, &best)
            {
                best = found;
            }
        }
        if tries >= TRIES || best.script.len() == before {
            return best;
        }
    }
}

impl Divergence {
    /// What kind of difference it is: that of two of one kind, one is worth telling.
    pub(super) fn signature(&self) -> String {
        let request = self.script.last().and_then(Step::request);
        let about = request.map_or("state".to_owned(), |request| {
            let custom = request.path.contains("/apis/ipam") || request.path.contains("/clusters");
            let sub = request.path.ends_with("/status");
            let form = request.content_type.unwrap_or_default();
            format!(
                "{} {} {} {form}",
                request.method,
                if custom { "custom" } else { "built-in" },
                if sub { "status" } else { "" },
            )
        });
        let aspects: Vec<String> = self
            .differences
            .iter()
            .map(|d| format!("{:?} {}", d.aspect, d.path))
            .collect();
        format!(
            "{about}: {} / {} {} | {} {}",
            aspects.join(", "),
            self.embedded.code,
            super::report::shortened(self.embedded.message(), 160),
            self.real.code,
            super::report::shortened(self.real.message(), 160),
        )
    }
}

/// Whether the two show the same thing: the same aspects at the same places of the same request.
fn same(a: &Divergence, b: &Divergence) -> bool {
    let what = |d: &Divergence| -> Vec<_> {
        let places = d.differences.iter().map(|d| (d.aspect, d.path.clone()));
        places.collect()
    };
    let last = |d: &Divergence| d.script.last().map(|step| step.id);
    last(a) == last(b) && what(a) == what(b)
}

fn about_the_last(script: &[Step]) -> Vec<Step> {
    let Some((last, before)) = script.split_last() else {
        return Vec::new();
    };
    let words: Vec<String> = match &last.what {
        What::Request(request) | What::Watch { open: request, .. } => {
            vec![request.path.trim_end_matches("/status").to_owned()]
        }
        What::Settle { .. } => return script.to_vec(),
    };
    let mut kept: Vec<Step> = before
        .iter()
        .filter(|step| words.iter().any(|word| step.touches(word)))
        .cloned()
        .collect();
    kept.push(last.clone());
    kept
}
