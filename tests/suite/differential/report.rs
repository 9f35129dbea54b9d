//! What is printed when the servers differ.

use std::fmt::Write as _;

use super::answer::{Answer, Body};
use super::run::Divergence;

/// A text, cut in the middle when it is longer than this.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let half = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (head, tail) = (half(most * 2 / 3), half(text.len() - most / 3));
    format!(
        "{} ... {} bytes ... {}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

/// Most steps that are printed of a script that could not be shortened.
const STEPS: usize = 12;

/// A divergence, with what leads to it.
pub(super) fn told(seed: u64, episode: u64, divergence: &Divergence) -> String {
    let mut out = format!(
        "the servers differ (DIFFERENTIAL_SEED={seed}, episode {episode}); in a new namespace send:\n"
    );
    let skipped = divergence.script.len().saturating_sub(STEPS);
    if skipped > 0 {
        let _ = writeln!(out, "  ({skipped} steps before)");
    }
    for step in &divergence.script[skipped..] {
        let _ = writeln!(out, "  {step}");
    }
    out.push_str("and they differ in\n");
    for difference in &divergence.differences {
        let _ = writeln!(out, "    {difference}");
    }
    let _ = writeln!(out, "  embedded answered {}", answer(&divergence.embedded));
    let _ = writeln!(out, "  real answered     {}", answer(&divergence.real));
    out
}

fn answer(answer: &Answer) -> String {
    let body = match &answer.body {
        Body::Json(json) => json.to_string(),
        Body::Text(text) => format!("{text:?}"),
        Body::Events(events) => {
            let events = events
                .iter()
                .map(|(kind, object)| format!("{kind} {object}"));
            listed(events)
        }
        Body::State(state) => listed(state.iter().map(ToString::to_string)),
    };
    format!(
        "{} {} {:?} {}",
        answer.code,
        answer.content_type,
        answer.warnings,
        shortened(&body, 3000)
    )
}

/// Each on a line of its own.
fn listed(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |mut out, line| {
        let _ = write!(out, "\n      {line}");
        out
    })
}
