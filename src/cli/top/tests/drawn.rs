//! What is on the screen.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::super::draw::{self, Paint};
use super::*;

const SIZES: [(u16, u16); 7] = [
    (1, 1),
    (2, 3),
    (20, 5),
    (40, 10),
    (80, 24),
    (100, 30),
    (200, 60),
];

fn drawn(
    screen: &Screen,
    view: &View,
    (width, height): (u16, u16),
    paint: Paint,
) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw::draw(frame, screen, view, paint))
        .unwrap();
    terminal
}

pub(super) fn lines(screen: &Screen, view: &View, size: (u16, u16)) -> Vec<String> {
    let terminal = drawn(screen, view, size, Paint::Plain);
    let cells = terminal.backend().buffer().content();
    let rows = cells.chunks(usize::from(size.0));
    let text = |row: &[Cell]| row.iter().map(Cell::symbol).collect::<String>();
    rows.map(|row| text(row).trim_end().to_owned()).collect()
}

#[test]
fn a_usual_screen_shows_totals_pools_and_keys() {
    let mut store = prepared();
    let view = view(&mut store);
    let mut screen = Screen::default();
    press(&mut screen, &view, &[KeyCode::Down]);
    let shown = lines(&screen, &view, (100, 9));
    assert_eq!(
        shown,
        [
            "3 pools  2 of 3 claims bound  0.0 bound/s (10 s), 0.0 (60 s)",
            "1 waiting: 1 PoolExhausted",
            "by need",
            "   NAMESPACE  NAME  USE              FREE  WAITING  RATE  LEFT       STRATEGY    READY",
            "   a          full  ██████████ 100%     0        1   0.0  full       sequential  True",
            ">  a          half  █░░░░░░░░░  10%     9        0   0.0  no growth  sequential  True",
            "   a          free  ░░░░░░░░░░   0%    10        0   0.0  not known  sequential  True",
            "",
            "Up/Down select  Enter open  s order  / filter  p pause  ? help  q quit",
        ]
    );
    let narrow = lines(&screen, &view, (40, 9));
    assert_eq!(narrow[3], "   NAMESPACE  NAME  WAITING  READY");
    assert_eq!(lines(&screen, &view, (16, 9))[5], ">  half        0");
    assert_eq!(
        lines(&screen, &view, (100, 5))[3],
        ">  a          half  █░░░░░░░░░  10%     9        0   0.0  no growth  sequential  True"
    );
}

#[test]
fn the_frame_in_the_pages_has_the_headings_and_the_keys_of_the_screen() {
    let page = include_str!("../../../../docs/answers.md");
    let mut store = Store::default();
    for kind in Kind::ALL {
        store.take(Change::Listed(kind), at(0));
    }
    list(&mut store, Kind::Pools, vec![pool("provisioning", 1, 1)]);
    let view = view(&mut store);
    let shown = lines(&Screen::default(), &view, (100, 14));
    let words = |line: &str| -> Vec<String> {
        let is_word = |word: &&str| !word.starts_with(|c: char| c.is_ascii_digit());
        let words = line.split_whitespace().filter(is_word);
        words.map(str::to_owned).collect()
    };
    for line in [&shown[0], &shown[3], &shown[13]] {
        let is_it = |of_page: &str| words(of_page) == words(line);
        assert!(page.lines().any(is_it), "the page lacks {line:?}");
    }
}

#[test]
fn every_state_is_drawn_at_every_size() {
    let mut store = prepared();
    let whole = view(&mut store);
    store.take(
        Change::Trouble(CLAIMS, Some("forbidden ".repeat(50))),
        at(1),
    );
    let troubled = store.view(at(9));
    let text = store.text(&key("half"), now()).unwrap();
    for size in SIZES {
        for view in [&View::default(), &whole, &troubled] {
            let mut screen = Screen::default();
            drawn(&screen, view, size, Paint::Colours);
            for code in [
                KeyCode::End,
                KeyCode::Char('?'),
                KeyCode::Esc,
                KeyCode::Char('/'),
                KeyCode::Char('x'),
            ] {
                let area = Rect::new(0, 0, size.0, size.1);
                let page = draw::page(area, view, &screen);
                screen.on_key(KeyEvent::new(code, KeyModifiers::NONE), view, page);
                drawn(&screen, view, size, Paint::Colours);
            }
            press(&mut screen, view, &[KeyCode::Esc]);
            screen.open(key("half"), &text);
            press(&mut screen, view, &[KeyCode::End, KeyCode::Char('p')]);
            drawn(&screen, view, size, Paint::Colours);
        }
    }
    let shown = lines(&Screen::default(), &troubled, (80, 24));
    let last = shown[21..].join(" ");
    assert!(
        last.starts_with("! ipclaims.ipam.metal3.io: forbidden"),
        "{last}"
    );
    assert!(
        lines(&Screen::default(), &View::default(), (80, 24))[0]
            .starts_with("metal3-ipam: reading")
    );
}

#[test]
fn help_filter_pause_and_an_open_pool_are_on_the_screen() {
    let mut store = prepared();
    let view = view(&mut store);
    let mut screen = Screen::default();
    press(&mut screen, &view, &['p', '/', 'h', 'a'].map(KeyCode::Char));
    let shown = lines(&screen, &view, (100, 24));
    assert_eq!(shown[2], "PAUSED (p goes on)  by need  filter: ha_");
    assert_eq!(shown[4].split_whitespace().nth(2), Some("half"));
    press(&mut screen, &view, &[KeyCode::Enter, KeyCode::Char('?')]);
    let shown = lines(&screen, &view, (100, 24));
    assert!(shown[3].starts_with("Up, Down, k, j "), "{shown:?}");
    assert!(
        shown
            .iter()
            .any(|line| line == "Nothing is written to the cluster.")
    );
    press(&mut screen, &view, &[KeyCode::Esc, KeyCode::Char('p')]);
    screen.open(key("half"), &store.text(&key("half"), now()).unwrap());
    let shown = lines(&screen, &view, (100, 24));
    assert_eq!(
        shown[2],
        "pool a/half  1 of 1 claims bound  0.0 bound/s (10 s), 0.0 (60 s)"
    );
    assert_eq!(shown[3], "IPPool a/half: Ready");
    assert!(
        shown
            .iter()
            .any(|line| line.starts_with("10.0.2.1   IPClaim two")),
        "{shown:?}"
    );
}

#[test]
fn text_of_an_object_cannot_drive_the_terminal() {
    let mut store = prepared();
    let mut odd = pool("half", 2, 10);
    odd.spec["pools"][0]["start"] = json!("\u{1b}[31mred\u{7}");
    store.take(seen(Kind::Pools, odd), at(1));
    let trouble = Some("\u{1b}]0;title\u{7}".to_owned());
    store.take(Change::Trouble(CLAIMS, trouble), at(1));
    let view = view(&mut store);
    let mut screen = Screen::default();
    let text = store.text(&key("half"), now()).unwrap();
    assert!(text.contains("[31mred"), "{text}");
    screen.open(key("half"), &text);
    for size in SIZES {
        for line in lines(&screen, &view, size) {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}

#[test]
fn without_colours_every_cell_has_the_terminals_own() {
    let mut store = prepared();
    let view = view(&mut store);
    let coloured = |paint| {
        let terminal = drawn(&Screen::default(), &view, (100, 24), paint);
        let cells = terminal.backend().buffer().content().iter();
        cells
            .filter(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
            .count()
    };
    assert!(coloured(Paint::Colours) > 30);
    assert_eq!(coloured(Paint::Plain), 0);
}
