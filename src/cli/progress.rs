//! One line on how far a run is: on a terminal with a bar and rewritten in place, elsewhere a new line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between two lines where lines stay.
const BETWEEN_LINES: Duration = Duration::from_secs(1);
/// Time between two states of the line on a terminal: each costs the terminal and this process some CPU.
const BETWEEN_STATES: Duration = Duration::from_millis(50);
/// Characters of the bar. The line is to fit into 80.
const BAR: usize = 24;

/// Shows progress on standard error. What is on standard output stays clean.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    /// What becomes of what is counted, such as `bound`.
    becomes: &'static str,
    /// What the line begins with.
    about: String,
    shown: Option<(Instant, String)>,
}

impl Progress {
    /// `becomes`: what becomes of what is counted, such as `bound`.
    pub(super) fn new(becomes: &'static str) -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            becomes,
            about: String::new(),
            shown: None,
        }
    }

    /// Says what the numbers that follow are about.
    pub(super) fn begin(&mut self, about: String) {
        self.about = about;
    }

    /// Shows the numbers, if they are news.
    pub(super) fn show(&mut self, done: usize, waiting: usize) {
        if let Some(text) = self.next(Instant::now(), done, waiting) {
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

    fn next(&mut self, now: Instant, done: usize, waiting: usize) -> Option<String> {
        let (all, becomes) = (done + waiting, self.becomes);
        let about = match self.about.as_str() {
            "" => String::new(),
            about => format!("{about}: "),
        };
        let (line, between) = if self.terminal {
            let full = (BAR * done).checked_div(all).unwrap_or(0);
            let (full, empty) = ("#".repeat(full), ".".repeat(BAR - full));
            let line = format!("{about}[{full}{empty}] {done}/{all} {becomes}");
            (line, BETWEEN_STATES)
        } else {
            let line = format!("{about}{becomes} {done}/{all}, waiting {waiting}");
            (line, BETWEEN_LINES)
        };
        if let Some((at, last)) = &self.shown
            && (*last == line || now.duration_since(*at) < between)
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
    fn a_terminal_gets_a_bar_and_others_a_line_a_second() {
        let start = Instant::now();
        let progress = |terminal| Progress {
            terminal,
            becomes: "bound",
            about: String::new(),
            shown: None,
        };
        let mut terminal = progress(true);
        assert_eq!(
            terminal.next(start, 1, 3).unwrap(),
            "\r\x1b[K[######..................] 1/4 bound"
        );
        assert_eq!(terminal.next(start, 2, 2), None, "it is too early");
        let later = start + BETWEEN_STATES;
        assert_eq!(terminal.next(later, 1, 3), None, "it is not new");
        assert_eq!(
            terminal.next(later, 4, 0).unwrap(),
            "\r\x1b[K[########################] 4/4 bound"
        );
        terminal.begin("round 10/10, with webhooks".to_owned());
        let longest = terminal.next(later + BETWEEN_STATES, 1_000_000, 0).unwrap();
        assert!(longest.len() <= 80, "{longest:?}");
        assert!(longest.starts_with("\r\x1b[Kround 10/10, with webhooks: [#"));
        let mut file = progress(false);
        assert_eq!(file.next(start, 1, 3).unwrap(), "bound 1/4, waiting 3\n");
        assert_eq!(file.next(start, 2, 2), None);
        let later = start + BETWEEN_LINES;
        assert_eq!(file.next(later, 2, 2).unwrap(), "bound 2/4, waiting 2\n");
        assert_eq!(file.next(later + BETWEEN_LINES, 2, 2), None);
        assert_eq!(
            progress(true)
                .next(start, 0, 0)
                .unwrap()
                .matches('#')
                .count(),
            0
        );
    }
}
