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
    if total <= SINGLY {
        let lines: String = ranges.iter().map(|range| singly(pool, range)).collect();
        return format!(
            "{lines}{} in use  r kept back  p pre-allocated  ! held twice  {} free\n",
            LEVELS[8], LEVELS[0]
        );
    }
    let each = total.div_ceil(LINE * LINES);
    let held: Vec<IpAddr> = pool
        .held_addresses()
        .filter(|(_, holders)| holders.iter().any(is_in_use))
        .map(|(address, _)| address)
        .collect();
    let lines: String = ranges
        .iter()
        .map(|range| grouped(&held, range, each))
        .collect();
    let levels: String = LEVELS.iter().collect();
    format!(
        "{lines}each sign stands for {each} addresses; {levels} from none to all of them in use\n"
    )
}

fn is_in_use(held: &Held) -> bool {
    matches!(held, Held::Object(..) | Held::Next(_) | Held::Shown(_))
}

/// A range with a sign for each address.
fn singly(pool: &Pool, range: &Range) -> String {
    let addresses = (0..range.len()).map(|offset| nth(range, offset));
    let signs: Vec<char> = addresses.map(|address| sign(pool, address)).collect();
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
    let width = match range.family() {
        Family::V4 => 15,
        Family::V6 => 39,
    };
    let line = |(number, signs): (usize, &[char])| {
        let first = nth(range, number as u128 * LINE * each).to_string();
        format!("{first:<width$} {}\n", signs.iter().collect::<String>())
    };
    signs.chunks(LINE as usize).enumerate().map(line).collect()
}

/// The address at an offset into a range.
fn nth(range: &Range, offset: u128) -> IpAddr {
    match range.first() {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + offset as u32).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + offset).into()),
    }
}
