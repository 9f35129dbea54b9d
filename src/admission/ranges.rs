//! The ranges of a pool as a whole: all entries, all exclusions, and where entries overlap.

use serde_json::Value;

use super::entry::Entry;
use super::item::Spec;
use super::text::exclusion;
use super::verdict::Findings;
use crate::alloc::{Coverage, Range};
use crate::api::rules::{MAX_ENTRIES, MAX_EXCLUSIONS};

/// The entries and exclusions of a spec.
pub(super) struct Ranges<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) excluded: Vec<Range>,
    /// Whether all that this write brings could be read: rules about the whole would only echo what could not.
    pub(super) known: bool,
}

impl<'a> Ranges<'a> {
    pub(super) fn read(spec: Spec<'a>, out: &mut Findings) -> Self {
        let before = out.count();
        let entries = spec.list("pools", MAX_ENTRIES, out);
        let entries = entries.map(|item| Entry::read(item, out)).collect();
        let excluded = spec.list("excludedAddresses", MAX_EXCLUSIONS, out);
        let excluded = excluded
            .filter_map(|item| {
                if item.value.is_none() {
                    item.invalid(out, "must be an address, a range first-last or a subnet");
                }
                item.parsed(out, exclusion).ok()
            })
            .collect();
        Self {
            entries,
            excluded,
            known: out.count() == before,
        }
    }

    /// Those of a stored spec, as far as they are valid.
    pub(super) fn standing(spec: &'a Value) -> Self {
        Self::read(Spec::standing(spec), &mut Findings::default())
    }

    pub(super) fn spans(&self) -> Vec<Range> {
        self.entries.iter().filter_map(Entry::addresses).collect()
    }

    /// All addresses that the pool can hand out or hold for someone.
    pub(super) fn coverage(&self) -> Coverage {
        Coverage::of(&self.spans(), &self.excluded)
    }
}

/// An address in two entries is the first one's; it is counted once.
pub(super) fn warn_of_overlaps(entries: &[Entry<'_>], out: &mut Findings) {
    let mut in_order: Vec<(Range, usize)> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| Some((entry.addresses()?, index)))
        .collect();
    in_order.sort_unstable();
    let mut overlaps: Vec<(usize, usize)> = Vec::new();
    // Whoever overlaps an earlier range overlaps the one that reaches furthest, so one comparison each is enough.
    let mut furthest: Option<(Range, usize)> = None;
    for (range, index) in in_order {
        if let Some((far, other)) = furthest
            && far.overlaps(&range)
            && (entries[index].item.fresh || entries[other].item.fresh)
        {
            overlaps.push((index.max(other), index.min(other)));
        }
        if furthest
            .is_none_or(|(far, _)| far.family() != range.family() || far.last() < range.last())
        {
            furthest = Some((range, index));
        }
    }
    overlaps.sort_unstable();
    for (later, earlier) in overlaps {
        let ranges = (entries[later].addresses(), entries[earlier].addresses());
        if let (Some(late), Some(early)) = ranges {
            out.warn(
                entries[later].item.path,
                format_args!(
                    "{late} overlaps {} ({early}); common addresses count once, as that one's",
                    entries[earlier].item.path
                ),
            );
        }
    }
}
