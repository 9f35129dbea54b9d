//! Colours of tables at a terminal. A colour repeats what the text says, and never says more.

use std::env::var_os;
use std::io::{IsTerminal, stdout};

use crossterm::style::{Color, Stylize};

/// Percent of use from which a bar warns, and from which it alarms.
const HIGH: u32 = 85;
const HIGHEST: u32 = 95;

/// Whether a person wants colours: standard output is a terminal that has some, and `NO_COLOR` is not set.
pub(super) fn is_wanted() -> bool {
    let is_off = var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = var_os("TERM").is_none_or(|term| term == "dumb");
    !is_off && !is_dumb && stdout().is_terminal()
}

/// The table with its bars and the words that begin its lines in colour.
pub(super) fn table(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let word_ends = line.find(char::is_whitespace).unwrap_or(line.len());
    let (word, rest) = line.split_at(word_ends);
    let word = match word {
        "Error" | "Blocks" | "Failed" | "!" => word.with(Color::Red).to_string(),
        "Warning" | "Warns" | "Left" | "New" => word.with(Color::Yellow).to_string(),
        "Repaired" => word.with(Color::Green).to_string(),
        _ => return bar(line),
    };
    word + &bar(rest)
}

/// A line with its first bar in the colour of its percentage.
fn bar(line: &str) -> String {
    let is_block = |c: char| c == '\u{2588}' || c == '\u{2591}';
    let Some(start) = line.find(is_block) else {
        return line.to_owned();
    };
    let (before, rest) = line.split_at(start);
    let end = rest.find(|c| !is_block(c)).unwrap_or(rest.len());
    let (blocks, after) = rest.split_at(end);
    let percent = after.trim_start().split_once('%');
    let percent = percent.and_then(|(number, _)| number.parse::<u32>().ok());
    match percent {
        None => line.to_owned(),
        Some(percent) => {
            let color = match percent {
                HIGHEST.. => Color::Red,
                HIGH.. => Color::Yellow,
                _ => Color::Green,
            };
            format!("{before}{}{after}", blocks.with(color))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text without escape sequences.
    fn bare(text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |all, part| {
            all + part.split_once('m').map_or("", |(_, rest)| rest)
        })
    }

    #[test]
    fn bars_have_the_colour_of_their_percentage_and_no_text_is_lost() {
        let text = "NAME   USE               FREE\n\
                    a      ██████████ 100%   0\n\
                    b      █████████░  86%   9\n\
                    c      █░░░░░░░░░   2%   88\n\
                    map    █·█·              1\n";
        let painted = table(text);
        assert_eq!(bare(&painted), text);
        let lines: Vec<&str> = painted.lines().collect();
        for (place, color) in [(1, Color::Red), (2, Color::Yellow), (3, Color::Green)] {
            let sequence = "x".with(color).to_string();
            let (begin, _) = sequence.split_once('x').unwrap();
            assert!(lines[place].contains(begin), "{}", lines[place]);
        }
        assert!(!lines[0].contains('\u{1b}') && !lines[4].contains('\u{1b}'));
    }

    #[test]
    fn levels_are_coloured_where_they_begin_a_line() {
        let text = "Error     E1\nWarning   N1\nNote   N4\nan Error within\n! wrong\n";
        let painted = table(text);
        assert_eq!(bare(&painted), text);
        let coloured: Vec<bool> = painted.lines().map(|l| l.contains('\u{1b}')).collect();
        assert_eq!(coloured, [true, true, false, false, true]);
    }
}
