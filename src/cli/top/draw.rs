//! Puts the screen into cells. Every size is drawn, down to one cell; a narrow screen leaves columns out.

use std::fmt::Write;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};

use super::super::ask::bar;
use super::rate::Averages;
use super::screen::{Focus, Pace, Screen};
use super::store::{Entry, View};

/// Use from which a pool is shown as nearly full, in percent.
const NEARLY_FULL: i64 = 80;
/// Lines above the pools: totals, waiting claims, state of the screen. A low screen shows fewer.
const HEAD_LINES: u16 = 3;
/// Most lines that notes take.
const NOTE_LINES: u16 = 3;

/// Whether colours are used. They are never the only sign of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Colours,
    /// `NO_COLOR` is set.
    Plain,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }
}

/// A column: its heading, whether numbers stand in it, and its place among those that a narrow screen leaves out, first 1; 0
/// stays.
struct Column {
    heading: &'static str,
    is_number: bool,
    left_out: u8,
}

const fn column(heading: &'static str, is_number: bool, left_out: u8) -> Column {
    Column {
        heading,
        is_number,
        left_out,
    }
}

const COLUMNS: [Column; 9] = [
    column("NAMESPACE", false, 6),
    column("NAME", false, 0),
    column("USE", false, 5),
    column("FREE", true, 4),
    column("WAITING", true, 0),
    column("RATE", true, 3),
    column("LEFT", false, 2),
    column("STRATEGY", false, 1),
    column("READY", false, 7),
];

/// The keys and what they do.
const HELP: &str = "\
Up, Down, k, j      select a pool, or scroll the open one
PgUp, PgDn, Space   by a screen
Home, End, g, G     to the first or the last
Left, Right         move the text of the open pool, where its lines are longer than the screen
Enter               open the pool: its entries, addresses, holders and waiting claims
Esc                 close it; without an open pool: show all pools again
s                   next order: need, use, waiting, rate, name
/                   show only pools with this in namespace/name; Enter keeps it, Esc drops it
p                   pause: the screen stays as it is, the watches go on
?                   this list; any key closes it
q, Ctrl-C           quit

USE is the share of the addresses that the next claims cannot get. WAITING counts claims
that have no address and are not being served. RATE is how many claims became bound per
second, over 10 s. LEFT is when the pool runs out; metal3-ipam forecast says why. The order
need is that of metal3-ipam pools: waiting claims, full pools, use.
Nothing is written to the cluster.";

/// Parts of the screen.
struct Areas {
    head: Rect,
    body: Rect,
    foot: Rect,
}

fn areas(area: Rect, view: &View) -> Areas {
    let notes = u16::try_from(note(view).chars().count()).unwrap_or(u16::MAX);
    let lines = notes.div_ceil(area.width.max(1)).max(1);
    let foot = lines.min(NOTE_LINES).min((area.height / 4).max(1));
    let head = HEAD_LINES.min((area.height / 3).max(1));
    let [head, body, foot] = Layout::vertical([
        Constraint::Max(head),
        Constraint::Fill(1),
        Constraint::Max(foot),
    ])
    .areas(area);
    Areas { head, body, foot }
}

/// Lines of pools, or of the open pool, that are shown at once.
pub(super) fn page(area: Rect, view: &View, screen: &Screen) -> usize {
    let headings = u16::from(screen.opened.is_none());
    usize::from(areas(area, view).body.height.saturating_sub(headings))
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, view: &View, paint: Paint) {
    let areas = areas(frame.area(), view);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let lines = [
        Text::styled(totals(view), bold),
        Text::raw(waiting(view)),
        Text::raw(state(screen, view)),
    ];
    frame.render_widget(Paragraph::new(lines.to_vec()), areas.head);
    match (screen.focus, &screen.opened) {
        (Focus::Help, _) => {
            frame.render_widget(Paragraph::new(HELP), areas.body);
        }
        (Focus::Pools | Focus::Filter, Some(opened)) => {
            let height = usize::from(areas.body.height);
            let last = opened.lines.len().saturating_sub(height.max(1));
            let from = opened.scroll.min(last);
            let lines = opened.lines.iter().skip(from).take(height);
            let seen = |line: &String| line.chars().skip(opened.aside).collect::<String>();
            let lines: Vec<Text<'_>> = lines.map(|line| Text::raw(seen(line))).collect();
            frame.render_widget(Paragraph::new(lines), areas.body);
        }
        (Focus::Pools | Focus::Filter, None) => pools(frame, areas.body, screen, view, paint),
    }
    frame.render_widget(foot(screen, view, paint), areas.foot);
}

/// How many pools and claims there are.
fn totals(view: &View) -> String {
    if !view.is_complete {
        return format!("metal3-ipam: reading the cluster, {} objects", view.objects);
    }
    format!(
        "{} pools  {} of {} claims bound  {}",
        view.pools,
        view.bound,
        view.claims,
        rates(view.rate)
    )
}

/// How many claims wait, and why.
fn waiting(view: &View) -> String {
    let waiting: u64 = view.waiting.values().sum();
    let mut text = format!("{waiting} waiting");
    for (number, (reason, claims)) in view.waiting.iter().enumerate() {
        let before = if number == 0 { ": " } else { ", " };
        let _ = write!(text, "{before}{claims} {reason}");
    }
    text
}

fn rates(rate: Averages) -> String {
    format!("{:.1} bound/s (10 s), {:.1} (60 s)", rate.short, rate.long)
}

/// What is shown of them.
fn state(screen: &Screen, view: &View) -> String {
    let mut parts = Vec::new();
    if screen.pace == Pace::Paused {
        parts.push("PAUSED (p goes on)".to_owned());
    }
    if let Some(opened) = &screen.opened {
        parts.push(format!("pool {}", opened.key));
        let mut entries = view.entries.iter();
        if let Some(entry) = entries.find(|entry| entry.line.snapshot.key == opened.key) {
            let (bound, claims) = (entry.bound, entry.line.snapshot.claims);
            parts.push(format!("{bound} of {claims} claims bound"));
            parts.push(rates(entry.rate));
        }
        return parts.join("  ");
    }
    parts.push(format!("by {}", screen.sort.name()));
    match (screen.focus, &*screen.filter) {
        (Focus::Filter, filter) => parts.push(format!("filter: {filter}_")),
        (Focus::Pools | Focus::Help, "") => {}
        (Focus::Pools | Focus::Help, filter) => {
            let shown = screen.shown(view).len();
            parts.push(format!("filter: {filter} ({shown} shown)"));
        }
    }
    parts.join("  ")
}

/// What could not be read; empty when everything was.
fn note(view: &View) -> String {
    match &*view.notes {
        [] => String::new(),
        [first] => format!("! {first}"),
        [first, more @ ..] => format!("! {first} (and {} more)", more.len()),
    }
}

fn foot(screen: &Screen, view: &View, paint: Paint) -> Paragraph<'static> {
    let note = note(view);
    if !note.is_empty() {
        let style = paint.of(Color::Red).add_modifier(Modifier::BOLD);
        return Paragraph::new(Text::styled(note, style)).wrap(Wrap { trim: true });
    }
    let keys = match (screen.focus, &screen.opened) {
        (Focus::Help, _) => "any key closes this list",
        (Focus::Filter, _) => "Enter keep  Esc drop",
        (Focus::Pools, Some(_)) => "Arrows scroll  Esc close  p pause  ? help  q quit",
        (Focus::Pools, None) => {
            "Up/Down select  Enter open  s order  / filter  p pause  ? help  q quit"
        }
    };
    Paragraph::new(Text::styled(keys, paint.of(Color::DarkGray)))
}

fn cells(entry: &Entry) -> [String; 9] {
    let line = &entry.line;
    let s = &line.snapshot;
    let of_pool = |text: String| if s.exists() { text } else { "-".to_owned() };
    [
        s.key.namespace.to_string(),
        s.key.name.to_string(),
        of_pool(bar(line.use_percent())),
        of_pool(s.available.to_string()),
        line.waiting.to_string(),
        format!("{:.1}", entry.rate.short),
        of_pool(line.outlook.short()),
        of_pool(s.strategy.to_owned()),
        line.ready(),
    ]
}

fn style(entry: &Entry, column: usize, paint: Paint) -> Style {
    let line = &entry.line;
    match COLUMNS[column].heading {
        "USE" if line.snapshot.available == 0 => paint.of(Color::Red),
        "USE" if line.use_percent() >= Some(NEARLY_FULL) => paint.of(Color::Yellow),
        "USE" => paint.of(Color::Green),
        "WAITING" if line.waiting > 0 => paint.of(Color::Yellow).add_modifier(Modifier::BOLD),
        "READY" if line.snapshot.ready.is_err() => {
            paint.of(Color::Red).add_modifier(Modifier::BOLD)
        }
        _ => Style::new(),
    }
}

fn pools(frame: &mut Frame<'_>, area: Rect, screen: &Screen, view: &View, paint: Paint) {
    let shown = screen.shown(view);
    if shown.is_empty() {
        let text = match (view.is_complete, view.entries.is_empty()) {
            (false, _) => "",
            (true, true) => super::super::ask::NONE,
            (true, false) => "No pool fits the filter. Esc shows all.",
        };
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let height = usize::from(area.height.saturating_sub(1));
    let place = screen.place(&shown);
    let first = screen.first_row(place, shown.len(), height);
    let rows = shown.iter().enumerate().skip(first).take(height);
    let rows: Vec<(bool, &Entry, [String; 9])> = rows
        .map(|(at, entry)| (at == place, *entry, cells(entry)))
        .collect();
    let width = |column: usize| {
        let heading = COLUMNS[column].heading.chars().count();
        let cells = rows
            .iter()
            .map(|(_, _, cells)| cells[column].chars().count());
        u16::try_from(cells.fold(heading, usize::max)).unwrap_or(u16::MAX)
    };
    let widths: [u16; 9] = std::array::from_fn(width);
    let columns = fitting(&widths, area.width);
    let pad = |column: usize, text: &str| {
        let width = usize::from(widths[column]);
        if COLUMNS[column].is_number {
            format!("{text:>width$}")
        } else {
            text.to_owned()
        }
    };
    let headings = columns.iter().map(|c| pad(*c, COLUMNS[*c].heading));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let header = Row::new(std::iter::once(String::new()).chain(headings)).style(bold);
    let table = rows.iter().map(|(is_selected, entry, cells)| {
        let sign = if *is_selected { ">" } else { "" };
        let cell = |c: &usize| {
            let span = Span::styled(pad(*c, &cells[*c]), style(entry, *c, paint));
            Cell::from(span)
        };
        let row = Row::new(std::iter::once(Cell::from(sign)).chain(columns.iter().map(cell)));
        if *is_selected {
            row.style(Style::new().add_modifier(Modifier::REVERSED))
        } else {
            row
        }
    });
    let widths = columns.iter().map(|c| Constraint::Length(widths[*c]));
    let widths = std::iter::once(Constraint::Length(1)).chain(widths);
    let table = Table::new(table, widths).header(header).column_spacing(2);
    frame.render_widget(table, area);
}

/// The columns that fit into this width, a sign before them and two spaces between.
fn fitting(widths: &[u16; 9], width: u16) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..COLUMNS.len()).collect();
    let needed = |columns: &[usize]| {
        let widths = columns.iter().map(|c| u32::from(widths[*c]) + 2);
        1 + widths.sum::<u32>()
    };
    for next in 1..=7 {
        if needed(&columns) <= u32::from(width) {
            break;
        }
        columns.retain(|c| COLUMNS[*c].left_out != next);
    }
    columns
}
