//! Who else has written where only the manager writes: the status of pools and claims, and address objects.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::objects::Foreign;
use super::catalog;
use super::finding::{Finding, Level, Subject};
use super::view::View;
use crate::api::{Kind, PoolKey};

/// Objects that one finding names.
const NAMED: usize = 5;

/// N9: one finding for each pool, kind and writer. An address object may be made by hand (A5) or by a restore; a status that others
/// write shows what nobody serves.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    type Written = (Subject, Option<Timestamp>);
    let mut written: BTreeMap<(PoolKey, &str, &str), Vec<Written>> = BTreeMap::new();
    for foreign in &view.objects.foreign {
        if let Some((pool, subject)) = object(view, foreign) {
            let key = (pool, foreign.kind.resource(), &*foreign.manager);
            let of_key = written.entry(key).or_default();
            of_key.push((subject, foreign.at));
        }
    }
    let finding = |((pool, kind, manager), mut objects): ((PoolKey, &str, &str), Vec<Written>)| {
        objects.sort_by(|(a, _), (b, _)| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
        let more = objects.len() - 1;
        let mut objects = objects.into_iter();
        let (subject, at) = objects.next()?;
        let is_address = subject.kind.starts_with("IPAddress.");
        let (level, what) = if is_address {
            (Level::Note, "was written")
        } else {
            (Level::Warning, "has a status that was written")
        };
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        let mut text = format!("{what} by {manager:?}{at}");
        if more > 0 {
            text = format!("{text} (and {more} more {kind} of IPPool {pool})");
        }
        let others = objects.map(|(subject, _)| subject).take(NAMED - 1);
        Some(Finding::new(catalog::FOREIGN, level, subject, text).with(others))
    };
    written.into_iter().filter_map(finding).collect()
}

/// The object and its pool.
fn object(view: &View<'_>, foreign: &Foreign) -> Option<(PoolKey, Subject)> {
    let (namespace, name) = (&*foreign.namespace, &*foreign.name);
    match foreign.kind {
        Kind::Pools => {
            let key = PoolKey {
                namespace: namespace.into(),
                name: name.into(),
            };
            let pool = view.pool(&key)?;
            Some((key, pool.into()))
        }
        Kind::Claims(kind) => {
            let claim = view.claim(kind, namespace, name)?;
            Some((claim.pool_key(), claim.into()))
        }
        Kind::Addresses(kind) => {
            let address = view.address(kind, namespace, name)?;
            Some((address.pool_key(), address.into()))
        }
        Kind::Clusters => None,
    }
}
