//! Whom a pool's ranges would hurt: holders of addresses that leave them, and other pools of the namespace.

use serde_json::Value;

use super::entry::Entry;
use super::live::{Holder, Live};
use super::ranges::Ranges;
use super::verdict::{Cause, Findings, shown};
use crate::alloc::{Coverage, Range};
use crate::api::PoolKey;

/// How many holders a refusal names.
const NAMED_HOLDERS: usize = 5;

/// Refuses to take addresses in use out of the ranges, be it by narrower entries or by exclusions. Addresses that were
/// outside before do not count: nothing is taken from them. Neither does an external object whose address is excluded: an
/// exclusion only keeps the pool from handing the address out.
pub(super) fn refuse_to_cut_off(
    old: &Value,
    ranges: &Ranges<'_>,
    pool: &PoolKey,
    live: &dyn Live,
    out: &mut Findings,
) {
    let (before, after) = (Ranges::standing(old).coverage(), ranges.coverage());
    if before.is_within(&after) {
        return;
    }
    let mut cut_off = live.holders(pool);
    cut_off.retain(|h| before.contains(h.address) && !after.contains(h.address));
    cut_off.sort_unstable_by(|a, b| (a.address, &a.by).cmp(&(b.address, &b.by)));
    let spans = Coverage::of(&ranges.spans(), &[]);
    let (mut excluded, outside): (Vec<Holder>, Vec<Holder>) =
        cut_off.into_iter().partition(|h| spans.contains(h.address));
    excluded.retain(|h| !h.is_external);
    let cases = [
        (
            "spec.pools",
            outside,
            "is in use but out of bounds of the pools given",
            "keep it in a range",
        ),
        (
            "spec.excludedAddresses",
            excluded,
            "is in use but would be excluded",
            "do not exclude it",
        ),
    ];
    for (path, holders, what, instead) in cases {
        let Some(first) = holders.first() else {
            continue;
        };
        let named: Vec<String> = holders
            .iter()
            .take(NAMED_HOLDERS)
            .map(|h| format!("{} by {}", h.address, shown(&h.by)))
            .collect();
        let more = match holders.len().saturating_sub(NAMED_HOLDERS) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let named = named.join(", ");
        let external = holders.iter().filter(|h| h.is_external).count();
        let gone = match external {
            0 => "its claim first",
            n if n == holders.len() => "that IPAddress first",
            _ => "its claim, or the IPAddress that has none, first",
        };
        out.error(
            path,
            Cause::Invalid,
            Some(&Value::from(first.address.to_string())),
            format_args!("{what}: {named}{more}; {instead} or delete {gone}"),
        );
    }
}

/// Each pool hands out its addresses without looking at others.
pub(super) fn warn_of_siblings(
    ranges: &Ranges<'_>,
    pool: &PoolKey,
    live: &dyn Live,
    out: &mut Findings,
) {
    let added: Vec<Range> = ranges
        .entries
        .iter()
        .filter(|entry| entry.item.fresh)
        .filter_map(Entry::addresses)
        .collect();
    if added.is_empty() {
        return;
    }
    let added = Coverage::of(&added, &ranges.excluded);
    let mut others = live.overlaps(pool, &added);
    others.sort_unstable();
    for (name, common) in others {
        let entry = ranges.entries.iter().find(|entry| {
            entry.item.fresh && entry.addresses().is_some_and(|r| r.contains(common))
        });
        let path = entry.map_or_else(|| "spec.pools".to_owned(), |e| e.item.path.to_string());
        out.warn(
            path,
            format_args!(
                "overlaps pool {} (both have {common}); each of them may hand out what both have",
                shown(&name)
            ),
        );
    }
}
