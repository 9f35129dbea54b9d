//! A table of text columns, as kubectl prints them: left-aligned, three spaces between.

/// Longest text of a cell, in characters; conditions carry messages of up to 32 KiB.
const MAX_CELL: usize = 160;

/// Renders rows under their headings. Empty cells show `-`; characters that would break the line or drive the terminal show
/// as spaces; the last column is not padded.
pub(super) fn render<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut all = vec![headings.map(str::to_owned).to_vec()];
    all.extend(rows.iter().map(|row| row.to_vec()));
    Columns::default().lines(&all)
}

/// Widths of columns, for tables that get further rows: a column grows with the widest cell so far and never shrinks.
#[derive(Debug, Default)]
pub(super) struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// The rows as lines, the headings a row among them. Every row of a table has the same number of cells.
    pub(super) fn lines(&mut self, rows: &[Vec<String>]) -> String {
        let clean = |row: &Vec<String>| row.iter().map(|text| cell(text)).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
        for row in &rows {
            self.widths.resize(row.len(), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for row in &rows {
            let start = out.len();
            for (width, cell) in self.widths.iter().zip(row) {
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
}

/// Others' text as a terminal may show it: on one line, and without what a terminal would obey.
pub(super) fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn cell(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut clean = on_one_line(&text.chars().take(MAX_CELL).collect::<String>());
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
    fn a_column_grows_with_later_rows_and_never_shrinks() {
        let mut columns = Columns::default();
        let of = |cells: [&str; 2]| row(cells).to_vec();
        assert_eq!(columns.lines(&[of(["NAME", "USE"])]), "NAME   USE\n");
        assert_eq!(columns.lines(&[of(["longer", "1"])]), "longer   1\n");
        assert_eq!(columns.lines(&[of(["a", "2"])]), "a        2\n");
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
