//! Tests of the room as the other rooms use it, through its public items.

mod model;
mod random;
mod ranges;
mod sizes;

use std::net::IpAddr;

use super::{Allocator, Entry, Range};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn range(first: &str, last: &str) -> Range {
    Range::new(ip(first), ip(last)).unwrap()
}

/// Entries numbered 0, 1, ... that skip nothing.
fn entries(ranges: &[Range]) -> Vec<Entry> {
    let plain = |(index, range): (usize, &Range)| Entry {
        index,
        range: *range,
        reserve: None,
    };
    ranges.iter().enumerate().map(plain).collect()
}

fn plain(ranges: &[Range]) -> Allocator {
    Allocator::new(&entries(ranges), &[])
}
