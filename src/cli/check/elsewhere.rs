//! Two clusters beside each other: pools that both have, as after a `clusterctl move` that did not end.

use std::collections::BTreeMap;

use super::catalog;
use super::finding::{Finding, Level, Subject};
use super::view::View;
use crate::api::{Address, PoolObject};

/// Addresses that a message names.
const NAMED: usize = 5;

/// N10: pools of one namespace and name in both clusters that have addresses in common. While one of them is at rest, a move is
/// under way; else both hand out the same addresses.
pub(super) fn findings(view: &View<'_>, other: &View<'_>) -> Vec<Finding> {
    let (here, there) = (view.beside.ranges(), other.beside.ranges());
    let mut findings = Vec::new();
    for pool in &view.objects.pools {
        let key = pool.key();
        let Some(twin) = other.pool(&key) else {
            continue;
        };
        if let (Some(ours), Some(theirs)) = (here.get(&key), there.get(&key))
            && ours.meets(theirs).is_some()
        {
            findings.push(both(view, other, pool, twin));
            findings.extend(held_twice(view, other, pool));
        }
    }
    findings
}

fn both(view: &View<'_>, other: &View<'_>, pool: &PoolObject, twin: &PoolObject) -> Finding {
    let rests =
        |view: &View<'_>, pool: &PoolObject| view.is_pool_at_rest(pool) || pool.meta.is_deleting();
    let (level, how) = match (rests(view, pool), rests(other, twin)) {
        (false, false) => (
            Level::Warning,
            "at rest in neither, so that both hand out its addresses",
        ),
        (true, false) => (Level::Note, "at rest here"),
        (false, true) => (Level::Note, "at rest in the other"),
        (true, true) => (Level::Note, "at rest in both"),
    };
    let text = format!(
        "exists in the other cluster too, with UID {}; {how}",
        twin.meta.uid
    );
    Finding::new(catalog::ELSEWHERE, level, pool, text)
}

/// Addresses of the pool that claims of different names hold in the two clusters.
fn held_twice(view: &View<'_>, other: &View<'_>, pool: &PoolObject) -> Option<Finding> {
    let key = pool.key();
    let there: BTreeMap<_, &Address> = other
        .beside
        .held(&key)
        .iter()
        .filter_map(|address| Some((address.address.as_ref().ok()?, *address)))
        .collect();
    let mut twice: Vec<String> = Vec::new();
    for address in view.beside.held(&key) {
        let twin = address.address.as_ref().ok().and_then(|ip| there.get(ip));
        if let (Ok(ip), Some(twin)) = (&address.address, twin)
            && (twin.kind, &twin.claim) != (address.kind, &address.claim)
        {
            twice.push(format!(
                "{ip} by {} (claim {:?}), there by {} (claim {:?})",
                Subject::from(*address),
                address.claim,
                Subject::from(*twin),
                twin.claim
            ));
        }
    }
    if twice.is_empty() {
        return None;
    }
    let more = twice.len().saturating_sub(NAMED);
    twice.truncate(NAMED);
    if more > 0 {
        twice.push(format!("and {more} more"));
    }
    let text = format!("different claims hold here {}", twice.join("; "));
    Some(Finding::new(catalog::ELSEWHERE, Level::Error, pool, text))
}
