//! What keys do.

use super::super::screen::{Focus, Pace, Sort};
use super::drawn::lines;
use super::*;

fn selected(screen: &Screen, view: &View) -> String {
    let shown = screen.shown(view);
    let entry = shown[screen.place(&shown)];
    entry.line.snapshot.key.name.to_string()
}

#[test]
fn keys_move_the_selection_which_stays_with_its_pool() {
    let mut store = prepared();
    let all = view(&mut store);
    let mut screen = Screen::default();
    assert_eq!(selected(&screen, &all), "full");
    for (code, expected) in [
        (KeyCode::Down, "half"),
        (KeyCode::Char('j'), "free"),
        (KeyCode::Down, "free"),
        (KeyCode::Char('k'), "half"),
        (KeyCode::Home, "full"),
        (KeyCode::Up, "full"),
        (KeyCode::PageDown, "free"),
        (KeyCode::PageUp, "full"),
        (KeyCode::End, "free"),
    ] {
        press(&mut screen, &all, &[code]);
        assert_eq!(selected(&screen, &all), expected, "{code:?}");
    }
    press(&mut screen, &all, &[KeyCode::Char('k')]);
    store.take(seen(CLAIMS, claim("lost", "aaa")), at(1));
    let more = view(&mut store);
    assert_eq!(selected(&screen, &more), "half", "another came before it");
    store.take(Change::Gone(Kind::Pools, name("half")), at(2));
    store.take(Change::Gone(CLAIMS, name("two")), at(2));
    store.take(Change::Gone(ADDRESSES, name("half-two")), at(2));
    let fewer = view(&mut store);
    assert_eq!(
        selected(&screen, &fewer),
        "aaa",
        "its place when it was selected"
    );
    let none = View::default();
    assert_eq!(
        press(&mut screen, &none, &[KeyCode::Enter, KeyCode::Down]),
        Act::Stay
    );
}

#[test]
fn keys_order_filter_pause_and_quit() {
    let mut store = prepared();
    let view = view(&mut store);
    let mut screen = Screen::default();
    let names = |screen: &Screen| -> Vec<String> {
        let shown = screen.shown(&view);
        shown
            .iter()
            .map(|e| e.line.snapshot.key.name.to_string())
            .collect()
    };
    for (sort, expected) in [
        (Sort::Use, ["full", "half", "free"]),
        (Sort::Waiting, ["full", "free", "half"]),
        (Sort::Rate, ["free", "full", "half"]),
        (Sort::Name, ["free", "full", "half"]),
        (Sort::Need, ["full", "half", "free"]),
    ] {
        press(&mut screen, &view, &[KeyCode::Char('s')]);
        assert_eq!(
            (screen.sort, names(&screen)),
            (sort, expected.map(str::to_owned).to_vec())
        );
    }
    let typed = ['/', 'F', 'q', 's'].map(KeyCode::Char);
    assert_eq!(press(&mut screen, &view, &typed), Act::Stay);
    assert_eq!((&*screen.filter, names(&screen).len()), ("Fqs", 0));
    press(
        &mut screen,
        &view,
        &[KeyCode::Backspace, KeyCode::Backspace],
    );
    press(&mut screen, &view, &[KeyCode::Enter]);
    assert_eq!(
        (screen.focus, names(&screen)),
        (
            Focus::Pools,
            vec!["full".to_owned(), "half".to_owned(), "free".to_owned()]
        )
    );
    press(&mut screen, &view, &['/', 'r', 'e'].map(KeyCode::Char));
    assert_eq!(names(&screen), ["free"]);
    press(&mut screen, &view, &[KeyCode::Esc]);
    assert_eq!((screen.focus, &*screen.filter), (Focus::Pools, ""));
    press(&mut screen, &view, &[KeyCode::Char('p')]);
    assert_eq!(screen.pace, Pace::Paused);
    press(&mut screen, &view, &[KeyCode::Char('p')]);
    assert_eq!(screen.pace, Pace::Live);
    press(&mut screen, &view, &[KeyCode::Char('?')]);
    assert_eq!(press(&mut screen, &view, &[KeyCode::Char('q')]), Act::Stay);
    assert_eq!(press(&mut screen, &view, &[KeyCode::Char('q')]), Act::Quit);
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    press(&mut screen, &view, &[KeyCode::Char('/')]);
    assert_eq!(screen.on_key(control('x'), &view, 2), Act::Stay);
    assert_eq!(screen.on_key(control('c'), &view, 2), Act::Quit);
}

#[test]
fn an_open_pool_scrolls_and_closes() {
    let mut store = prepared();
    let view = view(&mut store);
    let mut screen = Screen::default();
    let act = press(&mut screen, &view, &[KeyCode::Down, KeyCode::Enter]);
    assert_eq!(act, Act::Open(key("half")));
    let text = store.text(&key("half"), now()).unwrap();
    assert!(text.starts_with("IPPool a/half: Ready\n"), "{text}");
    screen.open(key("half"), &text);
    let count = text.lines().count();
    let scrolled = |screen: &Screen| screen.opened.as_ref().unwrap().scroll;
    press(&mut screen, &view, &[KeyCode::Down, KeyCode::PageDown]);
    assert_eq!(scrolled(&screen), 3);
    screen.open(key("half"), &text);
    assert_eq!(scrolled(&screen), 3, "new text of the same pool");
    press(&mut screen, &view, &[KeyCode::End]);
    assert_eq!(scrolled(&screen), count - 2);
    press(&mut screen, &view, &[KeyCode::Home, KeyCode::Right]);
    assert_eq!(scrolled(&screen), 0);
    assert!(lines(&screen, &view, (80, 24))[4].starts_with(" 1 of 10 addresses in use"));
    press(&mut screen, &view, &[KeyCode::Right; 99]);
    assert_eq!(lines(&screen, &view, (80, 24))[4], "");
    press(&mut screen, &view, &[KeyCode::Left; 99]);
    assert_eq!(lines(&screen, &view, (80, 24))[3], "IPPool a/half: Ready");
    press(&mut screen, &view, &[KeyCode::Esc]);
    assert_eq!(screen.opened, None);
    assert_eq!(selected(&screen, &view), "half");
    assert_eq!(store.text(&key("none"), now()), None);
}
