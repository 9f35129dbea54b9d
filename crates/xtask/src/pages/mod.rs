//! The reference pages of the command line and of the kinds, and the picture of a screen.

mod command_line;
mod kinds;
mod picture;

use std::fs;
use std::path::Path;

use crate::Files;

/// `docs/cli.md`, `docs/api.md` and the picture of `docs/answers.md`.
pub(crate) fn files(root: &Path) -> anyhow::Result<Files> {
    let answers = fs::read_to_string(root.join("docs/answers.md"))?;
    Ok(Files::from([
        ("docs/cli.md".to_owned(), wrapped(&command_line::page()?)),
        ("docs/api.md".to_owned(), wrapped(&kinds::page()?)),
        (picture::PATH.to_owned(), picture::svg(&answers)?),
    ]))
}

/// Where a line of text is broken, in characters.
const WIDTH: usize = 120;

/// The page with its long lines broken between words. Rows of tables stay as they are.
fn wrapped(page: &str) -> String {
    let mut out = String::new();
    for line in page.lines() {
        let mut column = 0;
        for (n, word) in line.split(' ').enumerate() {
            let width = word.chars().count();
            if n > 0 {
                let fits = line.starts_with('|') || column + 1 + width <= WIDTH;
                out.push(if fits { ' ' } else { '\n' });
                column = if fits { column + 1 } else { 0 };
            }
            out.push_str(word);
            column += width;
        }
        out.push('\n');
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_rows_of_tables_are_not() {
        let word = "w".repeat(59);
        let page = format!("# A\n\n{word} {word} b c\n| {word} {word} {word} |\n");
        let broken = format!("# A\n\n{word} {word}\nb c\n| {word} {word} {word} |\n");
        assert_eq!(wrapped(&page), broken);
        assert_eq!(wrapped(&broken), broken);
    }
}
