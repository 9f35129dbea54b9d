//! `docs/pictures/top.svg`: the screen of `metal3-ipam top` as a picture, drawn from the text of it in `docs/answers.md`.
//!
//! The text is the only source, so that the two never differ. Colours follow from the text as the screen's own do (`cli/top/draw.rs`):
//! use, waiting claims, what is not ready, the selected pool. Each word has its place and its width in the picture, and bars are
//! drawn as boxes, so that it looks alike in every font.

use std::fmt::{self, Write};

use anyhow::Context;

/// Where the picture is.
pub(super) const PATH: &str = "docs/pictures/top.svg";
/// The command whose screen it is.
const COMMAND: &str = "metal3-ipam top -A";

/// Size of a character's cell, in pixels.
const CELL: (usize, usize) = (8, 18);
/// Distance of the text from the window's sides.
const MARGIN: usize = 16;
/// Height of the window's title.
const TITLE: usize = 34;

const BACKGROUND: &str = "#161b22";
const TITLE_BACKGROUND: &str = "#30363d";
const TEXT: &str = "#c9d1d9";
const DIM: &str = "#8b949e";
const RED: &str = "#ff7b72";
const YELLOW: &str = "#e3b341";
const GREEN: &str = "#56d364";

/// Colour and weight of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ink {
    colour: &'static str,
    is_bold: bool,
}

impl Ink {
    const fn plain(colour: &'static str) -> Self {
        Self {
            colour,
            is_bold: false,
        }
    }

    const fn bold(colour: &'static str) -> Self {
        Self {
            colour,
            is_bold: true,
        }
    }
}

/// Words of a line, each with the column of its first character.
fn words(line: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut before = ' ';
    for (column, c) in line.chars().enumerate() {
        match words.last_mut() {
            Some((_, word)) if before != ' ' && c != ' ' => word.push(c),
            _ if c != ' ' => words.push((column, c.to_string())),
            _ => {}
        }
        before = c;
    }
    words
}

/// The lines of the screen.
fn frame(page: &str) -> anyhow::Result<Vec<&str>> {
    let (_, after) = page
        .split_once(&format!("```console\n$ {COMMAND}\n"))
        .with_context(|| format!("docs/answers.md has no screen of {COMMAND}"))?;
    let (frame, _) = after.split_once("\n```").unwrap_or((after, ""));
    Ok(frame.lines().collect())
}

/// The colour of a word of a pool's line; `headings` are the words of the line of headings.
fn ink(headings: &[(usize, String)], line: &[(usize, String)], at: usize) -> Ink {
    let (column, word) = &line[at];
    let end = |(column, word): &(usize, String)| column + word.chars().count();
    // Numbers stand to the right of their column, under the heading's end; all else under its beginning.
    let heading = headings
        .iter()
        .find(|heading| heading.0 == *column || end(heading) == end(&line[at]));
    let is_bar = |word: &str| word.starts_with(['\u{2588}', '\u{2591}']);
    let percent = word.strip_suffix('%').or_else(|| {
        let next = line.get(at + 1).filter(|_| is_bar(word));
        next.and_then(|(_, word)| word.strip_suffix('%'))
    });
    if let Some(percent) = percent {
        return Ink::plain(match percent.parse() {
            Ok(0..80) => GREEN,
            Ok(80..100) => YELLOW,
            Ok(_) | Err(_) => RED,
        });
    }
    match heading.map(|(_, heading)| &**heading) {
        Some("WAITING") if word != "0" => Ink::bold(YELLOW),
        Some("READY") if word != "True" => Ink::bold(RED),
        Some(_) | None => Ink::plain(TEXT),
    }
}

/// The picture of the screen that `docs/answers.md` shows.
pub(super) fn svg(page: &str) -> anyhow::Result<String> {
    let lines = frame(page)?;
    let columns = lines.iter().map(|line| line.chars().count()).max();
    let width = columns.unwrap_or_default() * CELL.0 + 2 * MARGIN;
    let height = TITLE + lines.len() * CELL.1 + 2 * MARGIN;
    let heading = lines.iter().position(|line| line.contains("NAMESPACE"));
    let heading = heading.context("the screen has no headings")?;
    let headings = words(lines[heading]);

    let mut svg = String::new();
    begin(&mut svg, width, height)?;
    for (row, line) in lines.iter().enumerate() {
        let is_selected = line.starts_with('>');
        let top = TITLE + MARGIN + row * CELL.1;
        if is_selected {
            let width = width - 2 * MARGIN;
            rectangle(&mut svg, MARGIN, top, (width, CELL.1), TEXT)?;
        }
        let words = words(line);
        for (at, (column, word)) in words.iter().enumerate() {
            let ink = if row == 0 || row == heading {
                Ink::bold(TEXT)
            } else if row + 1 == lines.len() {
                Ink::plain(DIM)
            } else if row > heading {
                ink(&headings, &words, at)
            } else {
                Ink::plain(TEXT)
            };
            // The selected pool's line is reversed: what is written in the screen's colour is dark.
            let ink = match ink {
                Ink { colour: TEXT, .. } if is_selected => Ink {
                    colour: BACKGROUND,
                    ..ink
                },
                Ink { .. } if is_selected => Ink {
                    colour: darker(ink.colour),
                    ..ink
                },
                ink => ink,
            };
            put(&mut svg, MARGIN + column * CELL.0, top, word, ink)?;
        }
    }
    svg.push_str("</g>\n</svg>\n");
    Ok(svg)
}

/// A colour that can be read on the light ground of the selected line.
fn darker(colour: &'static str) -> &'static str {
    match colour {
        RED => "#a40e26",
        YELLOW => "#7d4e00",
        GREEN => "#116329",
        other => other,
    }
}

/// The window: its ground, its title and three knobs.
fn begin(svg: &mut String, width: usize, height: usize) -> fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"The screen of {COMMAND}\">
<!-- Generated by cargo xtask docs from the screen in docs/answers.md. -->
<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>
<path d=\"M0 {TITLE}V8a8 8 0 0 1 8-8H{}a8 8 0 0 1 8 8V{TITLE}z\" fill=\"{TITLE_BACKGROUND}\"/>",
        width - 16
    )?;
    for (number, colour) in [RED, YELLOW, GREEN].into_iter().enumerate() {
        let (x, y) = (MARGIN + 6 + number * 20, TITLE / 2);
        writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"6\" fill=\"{colour}\"/>"
        )?;
    }
    writeln!(
        svg,
        "<g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"13\">
<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{DIM}\">{COMMAND}</text>",
        width / 2,
        TITLE / 2 + 5
    )
}

fn rectangle(
    svg: &mut String,
    x: usize,
    y: usize,
    (width, height): (usize, usize),
    colour: &str,
) -> fmt::Result {
    writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{colour}\"/>"
    )
}

/// A word with the upper left corner of its first cell here; a bar as boxes, the used part in full colour.
fn put(svg: &mut String, x: usize, top: usize, word: &str, ink: Ink) -> fmt::Result {
    let Ink { colour, is_bold } = ink;
    let length = word.chars().count() * CELL.0;
    let full = word.chars().filter(|c| *c == '\u{2588}').count() * CELL.0;
    let empty = word.chars().filter(|c| *c == '\u{2591}').count() * CELL.0;
    if full + empty == length {
        let size = |width: usize| (width, CELL.1 - 6);
        if full > 0 {
            rectangle(svg, x, top + 3, size(full), colour)?;
        }
        if empty > 0 {
            let (width, height) = size(empty);
            writeln!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" fill=\"{colour}\" fill-opacity=\"0.25\"/>",
                x + full,
                top + 3
            )?;
        }
        return Ok(());
    }
    let weight = if is_bold { " font-weight=\"bold\"" } else { "" };
    let word = word.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{colour}\"{weight}>{}</text>",
        top + 13,
        word.replace('>', "&gt;")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n```console\n$ metal3-ipam top -A\n2 pools\n\
        \x20  NAMESPACE  NAME  USE              WAITING  READY\n\
        >  a          full  ██████████ 100%        3  True\n\
        \x20  a          gone  -                      0  NotFound\n\
        q quit\n```\n";

    #[test]
    fn every_word_of_the_screen_is_in_the_picture_and_bars_are_boxes() {
        let svg = svg(PAGE).unwrap();
        for word in [
            "2",
            "pools",
            "NAMESPACE",
            "full",
            "100%",
            "3",
            "NotFound",
            "&gt;",
        ] {
            assert!(svg.contains(&format!(">{word}</text>")), "{word}: {svg}");
        }
        assert!(!svg.contains('\u{2588}'), "{svg}");
        assert!(svg.contains(&format!(
            "width=\"80\" height=\"12\" fill=\"{}\"",
            darker(RED)
        )));
        let err = super::svg("no screen").unwrap_err();
        assert!(err.to_string().contains("metal3-ipam top -A"), "{err}");
    }

    #[test]
    fn colours_follow_from_the_text_as_those_of_the_screen_do() {
        let lines = frame(PAGE).unwrap();
        let headings = words(lines[1]);
        let inks = |line: &str| -> Vec<Ink> {
            let words = words(line);
            (0..words.len())
                .map(|at| ink(&headings, &words, at))
                .collect()
        };
        let plain = Ink::plain(TEXT);
        let red = Ink::plain(RED);
        assert_eq!(
            inks(lines[2])[1..],
            [plain, plain, red, red, Ink::bold(YELLOW), plain]
        );
        let gone = inks(lines[3]);
        assert_eq!(gone[gone.len() - 2..], [plain, Ink::bold(RED)]);
    }
}
