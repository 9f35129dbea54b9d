//! A map of a pool's addresses in the terminal: one sign for each where there are few, one for as many as fit beyond.

use std::net::IpAddr;

use crate::alloc::{Family, Range};
use crate::pool::{Held, Pool};

/// Addresses that are shown one by one at most: a /20.
const SINGLY: u128 = 4096;
/// Signs in a line.
const LINE: u128 = 64;
/// Lines of a map whose signs stand for several addresses.
const LINES: u128 = 16;
/// From nothing to all.
const LEVELS: [char; 9] = [
    '\u{b7}', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
    '\u{2588}',
];

/// The map, with what its signs mean; empty where the pool has no addresses.
pub(super) fn draw(pool: &Pool, ranges: &[Range]) -> String {
    let total = ranges
        .iter()
        .fold(0_u128, |sum, range| sum.saturating_add(range.len()));
    if total == 0 {
        return String::new();
    }
    let many = ranges.len() as u128 > LINES;
    let each = if total <= SINGLY && (!many || total <= LINE * LINES) {
        1
    } else {
        total.div_ceil(LINE * LINES)
    };
    if each == 1 {
        let lines: String = if many {
            let addresses = ranges.iter().flat_map(addresses);
            let signs: Vec<char> = addresses.map(|address| sign(pool, address)).collect();
            joined(ranges, &signs, 1)
        } else {
            ranges.iter().map(|range| singly(pool, range)).collect()
        };
        return format!(
            "{lines}{} in use  r kept back  p pre-allocated  ! held twice  {} free{}\n",
            LEVELS[8],
            LEVELS[0],
            joining(many)
        );
    }
    let held: Vec<IpAddr> = pool
        .held_addresses()
        .filter(|(_, holders)| holders.iter().any(is_in_use))
        .map(|(address, _)| address)
        .collect();
    let lines: String = if many {
        joined(ranges, &levels_of_all(&held, ranges, total, each), each)
    } else {
        let lines = ranges.iter().map(|range| grouped(&held, range, each));
        lines.collect()
    };
    let levels: String = LEVELS.iter().collect();
    format!(
        "{lines}each sign stands for {each} addresses; {levels} from none to all of them in use{}\n",
        joining(many)
    )
}

/// What to know of a map of many ranges.
fn joining(many: bool) -> &'static str {
    if many {
        "; the ranges follow one another without a gap"
    } else {
        ""
    }
}

fn is_in_use(held: &Held) -> bool {
    matches!(held, Held::Object(..) | Held::Next(_) | Held::Shown(_))
}

fn addresses(range: &Range) -> impl Iterator<Item = IpAddr> {
    (0..range.len()).map(|offset| nth(range, offset))
}

/// A range with a sign for each address.
fn singly(pool: &Pool, range: &Range) -> String {
    let signs: Vec<char> = addresses(range)
        .map(|address| sign(pool, address))
        .collect();
    lines(range, &signs, 1)
}

fn sign(pool: &Pool, address: IpAddr) -> char {
    let standing = pool.standing(address);
    let holders = &standing.holders;
    let objects = holders
        .iter()
        .filter(|held| matches!(held, Held::Object(..)));
    if objects.count() > 1 {
        '!'
    } else if holders.iter().any(is_in_use) {
        LEVELS[8]
    } else if holders
        .iter()
        .any(|held| matches!(held, Held::PreAllocated(_)))
    {
        'p'
    } else if standing.is_free {
        LEVELS[0]
    } else {
        'r'
    }
}

/// A range with a sign for so many addresses each; `held` is in order.
fn grouped(held: &[IpAddr], range: &Range, each: u128) -> String {
    let signs: Vec<char> = (0..range.len().div_ceil(each))
        .map(|group| {
            let first = group * each;
            let last = (first + (each - 1)).min(range.len() - 1);
            let (low, high) = (nth(range, first), nth(range, last));
            let from = held.partition_point(|address| *address < low);
            let to = held.partition_point(|address| *address <= high);
            level((to - from) as u128, last - first + 1)
        })
        .collect();
    lines(range, &signs, each)
}

/// The levels of all ranges, one behind the other, with a sign for so many addresses each; `held` is in order, as the ranges are.
fn levels_of_all(held: &[IpAddr], ranges: &[Range], total: u128, each: u128) -> Vec<char> {
    let groups = total.div_ceil(each);
    let mut used = vec![0_u128; groups as usize];
    let last = used.len() - 1;
    let mut before: u128 = 0;
    for range in ranges {
        let from = held.partition_point(|address| *address < range.first());
        let to = held.partition_point(|address| *address <= range.last());
        for address in &held[from..to] {
            let index = before.saturating_add(offset(range, *address));
            let group = ((index / each) as usize).min(last);
            used[group] += 1;
        }
        before = before.saturating_add(range.len());
    }
    let size = |group: u128| {
        if group == groups - 1 {
            total - group * each
        } else {
            each
        }
    };
    let used = (0..groups).zip(used);
    used.map(|(group, used)| level(used, size(group))).collect()
}

/// Lines of signs over all ranges, one behind the other, each with its first address.
fn joined(ranges: &[Range], signs: &[char], each: u128) -> String {
    let mut ranges = ranges.iter();
    let mut range = ranges.next();
    // Addresses of the ranges before this one.
    let mut before: u128 = 0;
    let mut lines = String::new();
    for (number, signs) in signs.chunks(LINE as usize).enumerate() {
        let index = number as u128 * LINE * each;
        while let Some(passed) = range.filter(|range| before.saturating_add(range.len()) <= index) {
            before = before.saturating_add(passed.len());
            range = ranges.next();
        }
        let Some(range) = range else { break };
        lines += &line(range, nth(range, index - before), signs);
    }
    lines
}

/// The sign of so many of so many; one that is in use is seen, and one that is free too.
fn level(used: u128, of: u128) -> char {
    let most = LEVELS.len() as u128 - 1;
    let step = match used {
        0 => 0,
        used if used >= of => most,
        used => (used.saturating_mul(most) / of).clamp(1, most - 1),
    };
    LEVELS[step as usize]
}

/// Lines of signs, each with its first address.
fn lines(range: &Range, signs: &[char], each: u128) -> String {
    let one = |(number, signs): (usize, &[char])| {
        line(range, nth(range, number as u128 * LINE * each), signs)
    };
    signs.chunks(LINE as usize).enumerate().map(one).collect()
}

fn line(range: &Range, first: IpAddr, signs: &[char]) -> String {
    let width = match range.family() {
        Family::V4 => 15,
        Family::V6 => 39,
    };
    let (first, signs) = (first.to_string(), signs.iter().collect::<String>());
    format!("{first:<width$} {signs}\n")
}

/// How far into a range an address of it lies.
fn offset(range: &Range, address: IpAddr) -> u128 {
    match (range.first(), address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => (u32::from(address) - u32::from(first)).into(),
        (IpAddr::V6(first), IpAddr::V6(address)) => u128::from(address) - u128::from(first),
        _ => 0,
    }
}

/// The address at an offset into a range.
fn nth(range: &Range, offset: u128) -> IpAddr {
    match range.first() {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + offset as u32).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + offset).into()),
    }
}
