//! A table of text columns, as kubectl prints them: left-aligned, three spaces between.

/// Longest text of a cell, in characters: the cells below it are padded to it.
const MAX_CELL: usize = 160;
/// The same of a row's last cell, where messages stand. They name objects and carry what the API server says, up to 32 KiB.
const MAX_LAST_CELL: usize = 4_096;

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
        let rows: Vec<Vec<String>> = rows.iter().map(|row| cells(row)).collect();
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

fn cells(row: &[String]) -> Vec<String> {
    let last = row.len().saturating_sub(1);
    let cells = row.iter().enumerate();
    let bound = |n| if n == last { MAX_LAST_CELL } else { MAX_CELL };
    cells.map(|(n, text)| cell(text, bound(n))).collect()
}

fn cell(text: &str, bound: usize) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut clean = on_one_line(&text.chars().take(bound).collect::<String>());
    if text.chars().nth(bound).is_some() {
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
        let rows = [row(["a\n\u{1b}[31mb\r", "x"]), row([&long, &long])];
        let text = render(["A", "B"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("a  [31mb  "), "{}", lines[1]);
        let cut = |bound: usize| format!("{}\u{2026}", "m".repeat(bound - 1));
        assert_eq!(
            lines[2],
            format!("{}   {}", cut(MAX_CELL), cut(MAX_LAST_CELL))
        );
        assert_eq!(lines.len(), 3);
    }
}
