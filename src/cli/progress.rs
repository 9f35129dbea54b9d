//! One line on how far the claims are: rewritten in place on a terminal, a new line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between two lines where lines stay.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Shows progress on standard error. What is on standard output stays clean.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    shown: Option<(Instant, String)>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            shown: None,
        }
    }

    /// Shows the numbers, if they are news.
    pub(super) fn show(&mut self, bound: usize, waiting: usize) {
        if let Some(text) = self.next(Instant::now(), bound, waiting) {
            // A terminal that has gone is no reason to stop.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// Takes the line away, if it is one that is rewritten.
    pub(super) fn clear(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            let _ = std::io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }

    fn next(&mut self, now: Instant, bound: usize, waiting: usize) -> Option<String> {
        let line = format!("bound {bound}/{}, waiting {waiting}", bound + waiting);
        if let Some((at, last)) = &self.shown
            && (*last == line || !self.terminal && now.duration_since(*at) < BETWEEN_LINES)
        {
            return None;
        }
        let text = if self.terminal {
            format!("\r\x1b[K{line}")
        } else {
            format!("{line}\n")
        };
        self.shown = Some((now, line));
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_one_line_others_a_line_a_second() {
        let start = Instant::now();
        let mut terminal = Progress {
            terminal: true,
            shown: None,
        };
        assert_eq!(
            terminal.next(start, 1, 3).unwrap(),
            "\r\x1b[Kbound 1/4, waiting 3"
        );
        assert_eq!(terminal.next(start, 1, 3), None);
        assert_eq!(
            terminal.next(start, 2, 2).unwrap(),
            "\r\x1b[Kbound 2/4, waiting 2"
        );
        let mut file = Progress {
            terminal: false,
            shown: None,
        };
        assert_eq!(file.next(start, 1, 3).unwrap(), "bound 1/4, waiting 3\n");
        assert_eq!(file.next(start, 2, 2), None);
        let later = start + BETWEEN_LINES;
        assert_eq!(file.next(later, 2, 2).unwrap(), "bound 2/4, waiting 2\n");
        assert_eq!(file.next(later + BETWEEN_LINES, 2, 2), None);
    }
}
