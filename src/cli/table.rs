//! A table of text columns, as kubectl prints them: left-aligned, three spaces between.

/// Longest text of a cell, in characters; conditions carry messages of up to 32 KiB.
const MAX_CELL: usize = 160;

/// Renders rows under their headings. Empty cells show `-`; characters that would break the line or drive the terminal show
/// as spaces; the last column is not padded.
pub(super) fn render<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
    lines(&headings, &rows)
}

/// As [`render`], where the columns are chosen as it runs. Every row has as many cells as there are headings.
pub(super) fn lines(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings.iter().map(|h| (*h).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|c| cell(c)).collect())
        .collect();
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(&headings).chain(&rows) {
        let start = out.len();
        for (width, cell) in widths.iter().zip(row) {
            let padding = width - cell.chars().count() + 3;
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', padding));
        }
        let end = start + out[start..].trim_end().len();
        out.truncate(end);
        out.push('\n');
    }
    out
}

fn cell(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut clean: String = text
        .chars()
        .take(MAX_CELL)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX_CELL).is_some() {
        clean.pop();
        clean.push('\u{2026}');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [row(["a", "", "x y"]), row(["longer", "\u{e4}\u{f6}", ""])];
        assert_eq!(
            render(["ONE", "TWO", "THREE"], &rows),
            "ONE      TWO   THREE\n\
             a        -     x y\n\
             longer   \u{e4}\u{f6}    -\n"
        );
        assert_eq!(render(["ONE", "TWO"], &[]), "ONE   TWO\n");
    }

    #[test]
    fn a_cell_can_neither_break_the_line_nor_drive_the_terminal_nor_grow() {
        let long = "m".repeat(40_000);
        let text = render(["A"], &[row(["a\n\u{1b}[31mb\r"]), row([&long])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "a  [31mb");
        assert_eq!(lines[2], format!("{}\u{2026}", "m".repeat(MAX_CELL - 1)));
        assert_eq!(lines.len(), 3);
    }
}
