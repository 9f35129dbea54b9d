//! Cuts entries, which may overlap, into disjoint pieces: an address of several entries belongs to the first one (A6).
//!
//! Both steps sort or merge, so 10,000 entries and as many exclusions cost n log n, however they overlap.

use std::collections::BTreeMap;

use super::coverage::merge;
use super::range::{Family, Range};

/// A part of the entry at `place` (in the order written) that no earlier entry has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) range: Range,
    pub(super) place: usize,
    pub(super) excluded: bool,
}

/// The pieces of all ranges, ascending. Together they are the ranges' union.
pub(super) fn cut(ranges: impl Iterator<Item = Range>, excluded: &[Range]) -> Vec<Piece> {
    let mut covered = Covered::default();
    let mut pieces = Vec::new();
    for (place, range) in ranges.enumerate() {
        covered.add(range, |range| {
            pieces.push(Piece {
                range,
                place,
                excluded: false,
            });
        });
    }
    pieces.sort_unstable_by_key(|piece| piece.range);
    let excluded = merge(excluded);
    if excluded.is_empty() {
        return pieces;
    }
    split(&pieces, &excluded)
}

/// What earlier entries have, as ranges that do not touch each other: each is merged away at most once.
#[derive(Default)]
struct Covered(BTreeMap<(Family, u128), u128>);

impl Covered {
    /// Adds a range; `new` gets each part of it that was not covered.
    fn add(&mut self, range: Range, mut new: impl FnMut(Range)) {
        let family = range.family();
        let (mut first, mut last) = (range.low(), range.high());
        // Where the part begins that has not been looked at; None behind the family's last address.
        let mut from = Some(first);
        let before = self.0.range(..(family, first)).next_back();
        let begin = match before {
            Some((&(of, start), &end)) if of == family && end >= first => start,
            Some(_) | None => first,
        };
        let mut merged = Vec::new();
        for (&(_, start), &end) in self.0.range((family, begin)..=(family, last)) {
            if let Some(at) = from
                && at < start
            {
                new(Range::of_numbers(family, at, start - 1));
            }
            from = end.checked_add(1);
            merged.push((start, end));
        }
        if let Some(at) = from
            && at <= last
        {
            new(Range::of_numbers(family, at, last));
        }
        for (start, end) in merged {
            self.0.remove(&(family, start));
            first = first.min(start);
            last = last.max(end);
        }
        self.0.insert((family, first), last);
    }
}

/// Splits pieces at the exclusions' borders; both lists are ascending and disjoint.
fn split(pieces: &[Piece], excluded: &[Range]) -> Vec<Piece> {
    let mut parts = Vec::with_capacity(pieces.len() + 2 * excluded.len());
    let mut next = 0;
    for piece in pieces {
        let family = piece.range.family();
        let mut part = |first: u128, last: u128, excluded: bool| {
            parts.push(Piece {
                range: Range::of_numbers(family, first, last),
                place: piece.place,
                excluded,
            });
        };
        while next < excluded.len()
            && (excluded[next].family(), excluded[next].high()) < (family, piece.range.low())
        {
            next += 1;
        }
        let mut from = Some(piece.range.low());
        // An exclusion may reach into the next piece: `next` itself stays with it.
        for hole in excluded[next..]
            .iter()
            .take_while(|hole| hole.overlaps(&piece.range))
        {
            let (low, high) = (
                hole.low().max(piece.range.low()),
                hole.high().min(piece.range.high()),
            );
            if let Some(at) = from
                && at < low
            {
                part(at, low - 1, false);
            }
            part(low, high, true);
            from = high.checked_add(1);
        }
        if let Some(at) = from
            && at <= piece.range.high()
        {
            part(at, piece.range.high(), false);
        }
    }
    parts
}
