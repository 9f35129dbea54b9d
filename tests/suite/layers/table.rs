//! The table of `docs/admission.md`, between two marks.

use std::fmt::Write as _;
use std::path::Path;

use super::rows::Row;
use super::{Answers, STATES, State};
use crate::dry::Write;

const BEGIN: &str = "<!-- begin: tests/suite/layers -->\n";
const END: &str = "<!-- end -->\n";
/// Longest text in a cell, in characters.
const MOST: usize = 160;

/// Compares the page with the answers. Where it differs, the page as it has to be is left for `cargo xtask admission`.
pub(super) fn compare(page: &str, rows: &[Row], columns: &[Answers], namespace: &str) {
    let found = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let (before, rest) = found
        .split_once(BEGIN)
        .expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let want = format!(
        "{before}{BEGIN}{}{END}{after}",
        table(rows, columns, namespace)
    );
    if found != want {
        let expected = Path::new(env!("CARGO_TARGET_TMPDIR")).join(page);
        std::fs::create_dir_all(expected.parent().unwrap()).unwrap();
        std::fs::write(&expected, &want).unwrap();
        panic!(
            "{page} does not say what the server answers; compare it with {}; `cargo xtask admission` writes it",
            expected.display()
        );
    }
}

fn table(rows: &[Row], columns: &[Answers], namespace: &str) -> String {
    let mut text = String::from(
        "| write | definitions alone | with the guard | with the webhook | webhook down | what the first that refuses says |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (n, row) in rows.iter().enumerate() {
        let answers: Vec<_> = columns.iter().map(|column| column[n].as_deref()).collect();
        let cells: Vec<&str> = STATES
            .into_iter()
            .zip(&answers)
            .map(|(state, answer)| cell(state, *answer, answers[0]))
            .collect();
        let said = answers
            .iter()
            .flatten()
            .find(|said| !said.contains("failed calling webhook"))
            .map_or(String::new(), |said| shown(said, namespace));
        writeln!(
            text,
            "| {} {} | {} | {said} |",
            kind(&row.write),
            escaped(row.what),
            cells.join(" | ")
        )
        .unwrap();
    }
    text
}

fn kind(write: &Write) -> String {
    match write {
        Write::Create(object) => object["kind"].as_str().unwrap().to_owned() + ":",
        Write::Patch(_, kind, ..) | Write::Status(_, kind, ..) => format!("change of {kind}:"),
        Write::Delete(_, kind, _) => format!("end of {kind}:"),
    }
}

/// Who refuses, in a word.
fn cell(state: State, answer: Option<&str>, by_definitions: Option<&str>) -> &'static str {
    match (state, answer) {
        (_, None) => "stored",
        (_, Some(_)) if by_definitions.is_some() => "refused",
        (State::WebhookDown, Some(_)) => "try again",
        (State::Definitions, Some(_)) => "refused",
        (State::Guard, Some(_)) => "guard",
        (State::Webhook, Some(_)) => "webhook",
    }
}

/// The message without what every message says, in one line of a table.
fn shown(said: &str, namespace: &str) -> String {
    let rest = match said.split_once(" is invalid: ") {
        Some((_, rest)) => rest,
        None => said
            .split_once("denied request: ")
            .map_or(said, |(_, rest)| rest),
    };
    let rest = rest.replace(namespace, "NAMESPACE");
    // The server lists what is wrong in an order that changes from one time to the next, so the table has the first by the
    // alphabet, and not a pattern's text, from which nobody learns anything.
    let mut parts: Vec<String> = rest
        .trim_start_matches('[')
        .trim_end_matches(']')
        .replace(", <nil>: ", ", spec.<nil>")
        .split(", spec.")
        .map(|part| part.strip_prefix("spec.").unwrap_or(part))
        .filter(|part| !part.starts_with("<nil>"))
        .map(|part| {
            let is_whole = ["spec:", "metadata", "IP"]
                .iter()
                .any(|begin| part.starts_with(begin));
            if is_whole {
                part.to_owned()
            } else {
                format!("spec.{part}")
            }
        })
        .collect();
    parts.sort_unstable_by_key(|part| (part.contains("should match '"), part.clone()));
    let line = parts.swap_remove(0);
    let line = if line.chars().count() > MOST {
        line.chars().take(MOST).chain("...".chars()).collect()
    } else {
        line
    };
    format!(
        "`{}`",
        line.replace('|', "\\|")
            .replace('`', "'")
            .replace('\n', " ")
    )
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
