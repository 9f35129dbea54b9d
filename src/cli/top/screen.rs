//! What the screen shows of a view, and what keys change in it. No I/O: `draw.rs` puts it into cells, `run.rs` brings the keys.

use std::cmp::Ordering;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::store::{Entry, View};
use crate::api::PoolKey;

/// Characters by which Left and Right move an open pool's text.
const ASIDE: usize = 16;

/// Orders of the pools, in that of the key `s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// As `metal3-ipam pools` has them: the worst first.
    #[default]
    Need,
    /// The most used first.
    Use,
    /// Those with the most waiting claims first.
    Waiting,
    /// Those whose claims become bound fastest first.
    Rate,
    /// By namespace and name.
    Name,
}

impl Sort {
    /// The order's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Need => "need",
            Self::Use => "use",
            Self::Waiting => "waiting",
            Self::Rate => "rate",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Need => Self::Use,
            Self::Use => Self::Waiting,
            Self::Waiting => Self::Rate,
            Self::Rate => Self::Name,
            Self::Name => Self::Need,
        }
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        let (one, other) = (&a.line, &b.line);
        let first = match self {
            Self::Need => one.by_need(other),
            Self::Use => other.use_percent().cmp(&one.use_percent()),
            Self::Waiting => other.waiting.cmp(&one.waiting),
            Self::Rate => b.rate.short.total_cmp(&a.rate.short),
            Self::Name => Ordering::Equal,
        };
        first.then_with(|| one.snapshot.key.cmp(&other.snapshot.key))
    }
}

/// What the keys go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Focus {
    /// The pools, or the one that is open.
    #[default]
    Pools,
    /// The filter, which is being typed.
    Filter,
    /// The list of keys.
    Help,
}

/// Whether changes of the cluster are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pace {
    #[default]
    Live,
    /// What is shown stays as it is; the watches go on.
    Paused,
}

/// A pool that is shown in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) key: PoolKey,
    pub(super) lines: Vec<String>,
    /// Lines above the first that is shown.
    pub(super) scroll: usize,
    /// Characters before the first that is shown of each line.
    pub(super) aside: usize,
}

/// What is to be done after a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing but to draw.
    Stay,
    /// Show this pool in full.
    Open(PoolKey),
    Quit,
}

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) sort: Sort,
    /// Part of `namespace/name` of the pools that are shown.
    pub(super) filter: String,
    pub(super) focus: Focus,
    pub(super) pace: Pace,
    pub(super) opened: Option<Opened>,
    /// `None`: the first one, whichever that is.
    selected: Option<PoolKey>,
    /// The place at which the selected one was, for when it is gone.
    place: usize,
    /// Rows above the first that is shown.
    top: usize,
}

/// A move of the selection or of the text.
#[derive(Debug, Clone, Copy)]
enum Step {
    Up(usize),
    Down(usize),
    First,
    Last,
}

impl Step {
    fn of(code: KeyCode, page: usize) -> Option<Self> {
        Some(match code {
            KeyCode::Up | KeyCode::Char('k') => Self::Up(1),
            KeyCode::Down | KeyCode::Char('j') => Self::Down(1),
            KeyCode::PageUp => Self::Up(page.max(1)),
            KeyCode::PageDown | KeyCode::Char(' ') => Self::Down(page.max(1)),
            KeyCode::Home | KeyCode::Char('g') => Self::First,
            KeyCode::End | KeyCode::Char('G') => Self::Last,
            _ => return None,
        })
    }

    /// The place after the move, of `last + 1` places.
    fn from(self, place: usize, last: usize) -> usize {
        match self {
            Self::Up(by) => place.saturating_sub(by),
            Self::Down(by) => place.saturating_add(by).min(last),
            Self::First => 0,
            Self::Last => last,
        }
    }
}

impl Screen {
    /// The pools that are shown, in their order.
    pub(super) fn shown<'a>(&self, view: &'a View) -> Vec<&'a Entry> {
        let filter = self.filter.to_lowercase();
        let fits = |entry: &&Entry| entry.line.snapshot.key.to_string().contains(&filter);
        let mut shown: Vec<&Entry> = view.entries.iter().filter(fits).collect();
        shown.sort_by(|a, b| self.sort.compare(a, b));
        shown
    }

    /// The place of the selected pool among those shown: its own wherever it moves, or, when it is gone, where it was.
    pub(super) fn place(&self, shown: &[&Entry]) -> usize {
        let Some(selected) = &self.selected else {
            return 0;
        };
        let is_it = |entry: &&Entry| entry.line.snapshot.key == *selected;
        let place = shown.iter().position(is_it).unwrap_or(self.place);
        place.min(shown.len().saturating_sub(1))
    }

    /// The first row to show when `rows` fit, so that the selected one is among them.
    pub(super) fn first_row(&self, place: usize, count: usize, rows: usize) -> usize {
        let rows = rows.max(1);
        let least = (place + 1).saturating_sub(rows);
        self.top
            .clamp(least, place)
            .min(count.saturating_sub(rows).max(least))
    }

    /// Takes a key. `page`: lines that are shown at once.
    pub(super) fn on_key(&mut self, key: KeyEvent, view: &View, page: usize) -> Act {
        if key.kind == KeyEventKind::Release {
            return Act::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            let quits = matches!(key.code, KeyCode::Char('c' | 'C'));
            return if quits { Act::Quit } else { Act::Stay };
        }
        match self.focus {
            Focus::Filter => self.typed(key.code),
            Focus::Help => self.focus = Focus::Pools,
            Focus::Pools => return self.on_command(key.code, view, page),
        }
        Act::Stay
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(c) => self.filter.push(c),
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Enter => self.focus = Focus::Pools,
            KeyCode::Esc => {
                self.filter.clear();
                self.focus = Focus::Pools;
            }
            _ => {}
        }
    }

    fn on_command(&mut self, code: KeyCode, view: &View, page: usize) -> Act {
        match code {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Char('?' | 'h') => self.focus = Focus::Help,
            KeyCode::Char('p') => {
                self.pace = match self.pace {
                    Pace::Live => Pace::Paused,
                    Pace::Paused => Pace::Live,
                }
            }
            code => match &mut self.opened {
                Some(opened) => match code {
                    KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace => self.opened = None,
                    KeyCode::Left => opened.aside = opened.aside.saturating_sub(ASIDE),
                    KeyCode::Right => opened.aside = (opened.aside + ASIDE).min(opened.width()),
                    code => {
                        if let Some(step) = Step::of(code, page) {
                            let last = opened.lines.len().saturating_sub(page.max(1));
                            opened.scroll = step.from(opened.scroll, last);
                        }
                    }
                },
                None => return self.on_list(code, view, page),
            },
        }
        Act::Stay
    }

    fn on_list(&mut self, code: KeyCode, view: &View, page: usize) -> Act {
        match code {
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('/') => self.focus = Focus::Filter,
            KeyCode::Esc => self.filter.clear(),
            code => {
                let shown = self.shown(view);
                let place = self.place(&shown);
                if code == KeyCode::Enter {
                    if let Some(entry) = shown.get(place) {
                        let key = entry.line.snapshot.key.clone();
                        self.select(place, &shown, page);
                        return Act::Open(key);
                    }
                } else if let Some(step) = Step::of(code, page) {
                    let place = step.from(place, shown.len().saturating_sub(1));
                    self.select(place, &shown, page);
                    if matches!(step, Step::First) {
                        self.selected = None;
                    }
                }
            }
        }
        Act::Stay
    }

    fn select(&mut self, place: usize, shown: &[&Entry], page: usize) {
        self.place = place;
        self.selected = shown.get(place).map(|e| e.line.snapshot.key.clone());
        self.top = self.first_row(place, shown.len(), page);
    }

    /// Shows a pool in full, or what is known of it by now. A view of another pool begins at its first line.
    pub(super) fn open(&mut self, key: PoolKey, text: &str) {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (scroll, aside) = match &self.opened {
            Some(opened) if opened.key == key => (opened.scroll, opened.aside),
            Some(_) | None => (0, 0),
        };
        self.opened = Some(Opened {
            key,
            lines,
            scroll,
            aside,
        });
    }
}

impl Opened {
    /// Characters of the longest line.
    fn width(&self) -> usize {
        let widths = self.lines.iter().map(|line| line.chars().count());
        widths.max().unwrap_or_default()
    }
}
