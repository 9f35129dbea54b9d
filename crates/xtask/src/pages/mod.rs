//! The reference pages of the command line and of the kinds.

mod command_line;
mod kinds;

use crate::Files;

/// `docs/cli.md` and `docs/api.md`.
pub(crate) fn files() -> anyhow::Result<Files> {
    Ok(Files::from([
        ("docs/cli.md".to_owned(), command_line::page()?),
        ("docs/api.md".to_owned(), kinds::page()?),
    ]))
}

/// A text as one cell of a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// A text as a whole sentence: clap removes the last full stop of a comment.
fn sentence(text: &str) -> String {
    let text = cell(text);
    if text.is_empty() || text.ends_with('.') {
        text
    } else {
        format!("{text}.")
    }
}
