//! Stores of prepared changes, and the screens that are drawn of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::layout::Rect;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::super::ask::{Line, Output};
use super::draw::{self, Paint};
use super::print::Printer;
use super::screen::{Act, Focus, Pace, Screen, Sort};
use super::store::{Store, View};
use super::watch::{Change, Follow, Odd};
use crate::api::{ClaimKind, Kind, PoolKey, WireObject};
use crate::pool::Name;

const CLAIMS: Kind = Kind::Claims(ClaimKind::Metal3);
const ADDRESSES: Kind = Kind::Addresses(ClaimKind::Metal3);

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wire(name: &str, spec: &Value, status: &Value) -> WireObject {
    let [metal3, capi] = ClaimKind::ALL.map(ClaimKind::claim_finalizer);
    let finalizers = ["ippool.ipam.metal3.io", metal3, capi];
    let meta = json!({"namespace": "a", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1",
        "generation": 1, "creationTimestamp": "2026-11-01T12:00:00Z", "finalizers": finalizers});
    let object = json!({"metadata": meta, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

/// A pool of addresses 10.0.NET.1 to 10.0.NET.COUNT.
fn pool(name: &str, net: u8, count: u8) -> WireObject {
    let range = json!({"start": format!("10.0.{net}.1"), "end": format!("10.0.{net}.{count}")});
    let spec = json!({"namePrefix": name, "pools": [range]});
    wire(name, &spec, &Value::Null)
}

fn claim(name: &str, pool: &str) -> WireObject {
    wire(name, &json!({"pool": {"name": pool}}), &json!({}))
}

fn bound(name: &str, pool: &str) -> WireObject {
    let status = json!({"address": {"name": format!("{pool}-{name}")}});
    wire(name, &json!({"pool": {"name": pool}}), &status)
}

fn address(claim: &str, pool: &str, address: &str) -> WireObject {
    let spec = json!({"address": address, "pool": {"name": pool}, "claim": {"name": claim}});
    wire(&format!("{pool}-{claim}"), &spec, &Value::Null)
}

fn name(name: &str) -> Name {
    Name {
        namespace: "a".into(),
        name: name.into(),
    }
}

fn key(name: &str) -> PoolKey {
    PoolKey {
        namespace: "a".into(),
        name: name.into(),
    }
}

fn seen(kind: Kind, object: WireObject) -> Change {
    Change::Seen(kind, Box::new(object))
}

/// Gives the store a whole list.
fn list(store: &mut Store, kind: Kind, objects: Vec<WireObject>) {
    store.take(Change::Listing(kind), at(0));
    for object in objects {
        store.take(Change::Page(kind, vec![Ok(object)]), at(0));
    }
    store.take(Change::Listed(kind), at(0));
}

/// Three pools: `full` of one address, which has a holder and a claim that waits; `half` of ten, one in use; `free` of ten.
fn prepared() -> Store {
    let mut store = Store::default();
    list(
        &mut store,
        Kind::Pools,
        vec![pool("full", 1, 1), pool("half", 2, 10), pool("free", 3, 10)],
    );
    let claims = vec![
        bound("one", "full"),
        claim("late", "full"),
        bound("two", "half"),
    ];
    list(&mut store, CLAIMS, claims);
    let addresses = vec![
        address("one", "full", "10.0.1.1"),
        address("two", "half", "10.0.2.1"),
    ];
    list(&mut store, ADDRESSES, addresses);
    for kind in [
        Kind::Clusters,
        Kind::Claims(ClaimKind::Capi),
        Kind::Addresses(ClaimKind::Capi),
    ] {
        assert!(!store.is_complete());
        store.take(Change::Absent(kind), at(0));
    }
    assert!(store.is_complete());
    store
}

/// Names of the pools whose lines are new, with free addresses and waiting claims.
fn rebuilt(store: &mut Store) -> Vec<String> {
    let shown = |line: &Arc<Line>| {
        let s = &line.snapshot;
        let gone = if s.exists() { "" } else { " missing" };
        format!("{} {} {}{gone}", s.key.name, s.available, line.waiting)
    };
    store.rebuild(now()).iter().map(shown).collect()
}

fn view(store: &mut Store) -> View {
    store.rebuild(now());
    store.view(at(0))
}

#[test]
fn a_change_is_shown_in_the_lines_of_its_pools_alone() {
    let mut store = prepared();
    assert_eq!(rebuilt(&mut store), ["free 10 0", "full 0 1", "half 9 0"]);
    assert_eq!(rebuilt(&mut store), [""; 0]);
    store.take(seen(CLAIMS, claim("three", "half")), at(1));
    assert!(store.is_marked(&key("half")) && !store.is_marked(&key("free")));
    // It gets an address next, which is no longer free, and does not count as waiting.
    assert_eq!(rebuilt(&mut store), ["half 8 0"]);
    store.take(seen(CLAIMS, claim("three", "half")), at(2));
    assert_eq!(rebuilt(&mut store), [""; 0], "nothing new in it");
    store.take(Change::Gone(CLAIMS, name("late")), at(3));
    assert_eq!(rebuilt(&mut store), ["full 0 0"]);
    store.take(Change::Gone(CLAIMS, name("never-seen")), at(3));
    assert_eq!(rebuilt(&mut store), [""; 0]);
}

#[test]
fn when_a_pool_runs_out_follows_the_time_though_nothing_changes() {
    let mut store = prepared();
    let begun: Timestamp = "2026-11-01T18:00:00Z".parse().unwrap();
    let mut left = |now: Timestamp| -> Vec<String> {
        let lines = store.rebuild(now);
        let shown =
            |line: &Arc<Line>| format!("{} {}", line.snapshot.key.name, line.outlook.short());
        lines.iter().map(shown).collect()
    };
    assert_eq!(
        left(begun),
        ["free not known", "full full", "half not known"]
    );
    assert_eq!(left(begun + SignedDuration::from_secs(59)), [""; 0]);
    assert_eq!(left(now()), ["half no growth"]);
}

#[test]
fn an_object_that_leads_to_another_pool_leaves_the_one_before() {
    let mut store = prepared();
    rebuilt(&mut store);
    store.take(seen(CLAIMS, claim("late", "free")), at(1));
    assert_eq!(rebuilt(&mut store), ["free 9 0", "full 0 0"]);
    store.take(seen(CLAIMS, claim("late", "nowhere")), at(2));
    assert_eq!(rebuilt(&mut store), ["free 10 0", "nowhere 0 1 missing"]);
    store.take(Change::Gone(CLAIMS, name("late")), at(3));
    assert_eq!(rebuilt(&mut store), ["nowhere 0 0 missing"]);
    assert_eq!(store.view(at(3)).entries.len(), 3, "nothing names it now");
    let mut moved = address("two", "free", "10.0.3.7");
    moved.metadata.name = "half-two".into();
    store.take(seen(ADDRESSES, moved), at(4));
    let lines = rebuilt(&mut store);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("free 9"), "{lines:?}");
}

#[test]
fn a_list_ends_what_is_not_in_it() {
    let mut store = prepared();
    rebuilt(&mut store);
    list(
        &mut store,
        Kind::Pools,
        vec![pool("full", 1, 1), pool("half", 2, 12)],
    );
    assert_eq!(rebuilt(&mut store), ["free 0 0 missing", "half 11 0"]);
    list(
        &mut store,
        ADDRESSES,
        vec![address("two", "half", "10.0.2.1")],
    );
    list(&mut store, CLAIMS, vec![bound("two", "half")]);
    assert_eq!(rebuilt(&mut store), ["full 1 0"]);
    // A list that broke off and began anew counts from its last beginning.
    store.take(Change::Listing(Kind::Pools), at(1));
    store.take(
        Change::Page(Kind::Pools, vec![Ok(pool("full", 1, 1))]),
        at(1),
    );
    list(&mut store, Kind::Pools, vec![pool("half", 2, 12)]);
    assert_eq!(rebuilt(&mut store), ["full 0 0 missing"]);
    // Something without a name that can be read may be any object.
    store.take(Change::Listing(Kind::Pools), at(2));
    let odd = Odd {
        name: None,
        error: "no object".to_owned(),
    };
    store.take(Change::Page(Kind::Pools, vec![Err(odd)]), at(2));
    store.take(Change::Listed(Kind::Pools), at(2));
    assert_eq!(rebuilt(&mut store), [""; 0]);
    store.take(Change::Absent(Kind::Pools), at(3));
    store.take(Change::Absent(CLAIMS), at(3));
    store.take(Change::Absent(ADDRESSES), at(3));
    assert_eq!(rebuilt(&mut store), ["half 0 0 missing"]);
}

#[test]
fn claims_of_other_providers_are_left_out() {
    let mut store = prepared();
    let capi = Kind::Claims(ClaimKind::Capi);
    for kind in [capi, Kind::Addresses(ClaimKind::Capi)] {
        list(&mut store, kind, Vec::new());
    }
    rebuilt(&mut store);
    let reference =
        |group: &str| json!({"poolRef": {"apiGroup": group, "kind": "IPPool", "name": "free"}});
    let other = wire("c", &reference("example.com"), &json!({}));
    store.take(seen(capi, other.clone()), at(1));
    let addresses = Kind::Addresses(ClaimKind::Capi);
    store.take(seen(addresses, other.clone()), at(1));
    assert_eq!(rebuilt(&mut store), [""; 0]);
    assert_eq!(store.view(at(1)).entries.len(), 3);
    let ours = wire("c", &reference("ipam.metal3.io"), &json!({}));
    store.take(seen(capi, ours), at(1));
    assert_eq!(rebuilt(&mut store), ["free 9 0"]);
    store.take(seen(capi, other), at(1));
    assert_eq!(rebuilt(&mut store), ["free 10 0"]);
}

#[test]
fn a_paused_cluster_is_shown_in_the_pools_of_its_namespace() {
    let mut store = prepared();
    let mut owned = pool("free", 3, 10);
    owned.spec["clusterName"] = json!("prod");
    store.take(seen(Kind::Pools, owned), at(0));
    let cluster = |paused: bool| wire("prod", &json!({"paused": paused}), &Value::Null);
    list(&mut store, Kind::Clusters, vec![cluster(false)]);
    store.take(seen(CLAIMS, claim("new", "free")), at(0));
    rebuilt(&mut store);
    store.take(seen(Kind::Clusters, cluster(false)), at(1));
    assert!(!store.is_marked(&key("free")), "the Cluster is as it was");
    store.take(seen(Kind::Clusters, cluster(true)), at(1));
    assert_eq!(rebuilt(&mut store), ["free 10 1"]);
    store.take(Change::Gone(Kind::Clusters, name("prod")), at(2));
    assert!(store.is_marked(&key("free")));
}

#[test]
fn claims_that_become_bound_are_counted_once_and_those_of_the_first_list_never() {
    let mut store = prepared();
    let shown = |store: &mut Store, seconds| {
        store.rebuild(now());
        let view = store.view(at(seconds));
        format!("{} {:.1}", view.bound, view.rate.short * 10.0)
    };
    assert_eq!(shown(&mut store, 9), "2 0.0");
    store.take(seen(CLAIMS, claim("three", "half")), at(9));
    store.take(seen(CLAIMS, bound("three", "half")), at(9));
    store.take(seen(CLAIMS, bound("three", "half")), at(9));
    store.take(seen(CLAIMS, bound("two", "half")), at(9));
    assert_eq!(shown(&mut store, 9), "3 1.0");
    // Of a list after the first one, what was not bound before counts.
    let again = vec![
        bound("one", "full"),
        bound("late", "full"),
        bound("two", "half"),
    ];
    list(&mut store, CLAIMS, again);
    store.take(Change::Gone(CLAIMS, name("one")), at(9));
    let mut reborn = bound("two", "half");
    reborn.metadata.uid = "other".to_owned().into();
    store.take(seen(CLAIMS, reborn), at(9));
    assert_eq!(shown(&mut store, 9), "2 3.0", "the list came at second 0");
    assert_eq!(shown(&mut store, 19), "2 0.0");
    let half = &store.view(at(9)).entries[2];
    assert_eq!(half.line.snapshot.key, key("half"));
    assert_eq!((half.bound, half.rate.short * 10.0), (1, 2.0));
}

#[test]
fn what_cannot_be_read_is_noted_with_its_age() {
    let mut store = Store::default();
    let trouble = |kind, why: &str| Change::Trouble(kind, Some(why.to_owned()));
    for kind in Kind::ALL {
        store.take(trouble(kind, "no way"), at(1));
    }
    assert!(store.is_complete(), "there is nothing to wait for");
    let notes = |store: &Store, seconds| -> Vec<String> {
        let notes = store.view(at(seconds)).notes;
        notes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(notes(&store, 3), ["6 kinds: no way. Not shown"]);
    let mut store = prepared();
    store.take(trouble(CLAIMS, "forbidden"), at(10));
    store.take(trouble(CLAIMS, "still forbidden"), at(12));
    let expected = "ipclaims.ipam.metal3.io: still forbidden. Shown as it was 5 s ago";
    assert_eq!(notes(&store, 15), [expected]);
    store.take(Change::Trouble(CLAIMS, None), at(16));
    let odd = Odd {
        name: Some(name("half")),
        error: "too deep".to_owned(),
    };
    store.take(Change::Odd(Kind::Pools, odd), at(17));
    let expected = "ippools.ipam.metal3.io a/half: too deep. Not shown";
    assert_eq!(notes(&store, 17), [expected]);
    store.take(seen(Kind::Pools, pool("half", 2, 10)), at(18));
    assert_eq!(notes(&store, 18), [""; 0]);
}

#[test]
fn a_line_is_printed_again_only_when_it_looks_different() {
    let mut store = prepared();
    let mut table = Printer::new(Output::Table, true);
    let mut objects = Printer::new(Output::Json, true);
    let mut names = Printer::new(Output::Name, true);
    let first = store.rebuild(now());
    assert_eq!(
        table.text(first.clone()).unwrap(),
        "NAMESPACE   NAME   USE               FREE   WAITING   LEFT        STRATEGY     FAMILY   READY\n\
         a           full   ██████████ 100%   0      1         full        sequential   IPv4     True\n\
         a           half   █░░░░░░░░░  10%   9      0         no growth   sequential   IPv4     True\n\
         a           free   ░░░░░░░░░░   0%   10     0         not known   sequential   IPv4     True\n"
    );
    let lines = objects.text(first.clone()).unwrap();
    let values: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(values.len(), 3);
    assert_eq!(values[0]["waiting"], json!({"PoolExhausted": 1}));
    assert!(
        names
            .text(first.clone())
            .unwrap()
            .starts_with("ippool.ipam.metal3.io/full\n")
    );
    assert_eq!(table.text(first).unwrap(), "");
    store.take(Change::Gone(Kind::Pools, name("free")), at(1));
    let gone = store.rebuild(now());
    let expected = "a           free   -                 -      0         -           -            -        NotFound\n";
    assert_eq!(table.text(gone.clone()).unwrap(), expected);
    assert_eq!(names.text(gone).unwrap(), "");
}

fn press(screen: &mut Screen, view: &View, codes: &[KeyCode]) -> Act {
    let mut act = Act::Stay;
    for code in codes {
        act = screen.on_key(KeyEvent::new(*code, KeyModifiers::NONE), view, 2);
    }
    act
}

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

fn lines(screen: &Screen, view: &View, size: (u16, u16)) -> Vec<String> {
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
    let page = include_str!("../../../docs/answers.md");
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

/// An API server of IPPools and IPClaims, of which it lets nobody read the claims. Its first watch of pools shows `second` and is
/// then too old; the list after that has `third`. Later watches break off at once.
fn answer(request: &Request<Body>, watches: &AtomicUsize) -> (u16, Vec<u8>) {
    let query = request.uri().query().unwrap_or_default();
    let pools = |names: &[&str]| {
        let items: Vec<_> = names.iter().map(|name| pool(name, 1, 9)).collect();
        json!({"metadata": {"resourceVersion": "7"}, "items": items})
    };
    let body = match (request.uri().path(), query.contains("watch=1")) {
        ("/apis", _) => {
            json!({"groups": [{"name": "ipam.metal3.io", "versions": [{"version": "v1alpha1"}]}]})
        }
        ("/apis/ipam.metal3.io/v1alpha1", _) => {
            json!({"resources": [{"name": "ippools"}, {"name": "ipclaims"}, {"name": "ipaddresses"}]})
        }
        ("/apis/ipam.metal3.io/v1alpha1/ippools", false) => match watches.load(Ordering::SeqCst) {
            0 => pools(&["first"]),
            _ => pools(&["third"]),
        },
        ("/apis/ipam.metal3.io/v1alpha1/ippools", true) => {
            if watches.fetch_add(1, Ordering::SeqCst) > 0 {
                return (200, b"{\"type\": \"ADD".to_vec());
            }
            let added = json!({"type": "ADDED", "object": pool("second", 2, 9)});
            let too_old = json!({"type": "ERROR", "object": {"code": 410, "message": "too old"}});
            return (200, format!("{added}\n{too_old}\n").into_bytes());
        }
        ("/apis/ipam.metal3.io/v1alpha1/ipaddresses", _) => pools(&[]),
        (path, _) => {
            let message = format!("{path} is forbidden");
            return (403, json!({"message": message}).to_string().into_bytes());
        }
    };
    (200, body.to_string().into_bytes())
}

#[tokio::test(start_paused = true)]
async fn watches_go_on_after_every_failure_and_say_what_cannot_be_read() {
    let watches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&watches);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (status, body) = answer(&request, &counted);
        let answer = Response::builder().status(status).body(Body::from(body));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    let mut follow = Follow::start(&Client::new(service, "default"), None);
    let mut store = Store::default();
    let mut seen = Vec::new();
    while watches.load(Ordering::SeqCst) < 5 || !store.is_complete() {
        let change = follow.next().await.unwrap();
        store.take(change, at(0));
        if store.is_complete() {
            let lines = store.rebuild(now());
            let names = lines.iter().map(|line| line.snapshot.key.name.to_string());
            seen.extend(names.filter(|name| name == "third"));
        }
    }
    let view = store.view(at(0));
    assert_eq!(view.pools, 1, "the last list counts");
    assert_eq!(seen, ["third"]);
    let notes: Vec<String> = view.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(|note| note.contains(
            "ipclaims.ipam.metal3.io: a right to list and watch is missing: \
             /apis/ipam.metal3.io/v1alpha1/ipclaims is forbidden; grant both to this user. Not shown"
        )),
        "{notes:?}"
    );
}
