//! What is remembered of every object: which incarnation, and to which pool it led. So that a changed reference and a missed
//! end become facts for the pool that must hear of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::api::{AddressKey, ClaimKey, ClaimKind, Meta, PoolKey, Uid};

use super::watched::Watched;

/// Name of an object: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

/// What is remembered of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Incarnation {
    pub(super) uid: Uid,
    /// Name of the pool (of the object's namespace) that it was routed to.
    pub(super) pool: Option<Arc<str>>,
    pub(super) source: Source,
    /// At which it was last seen; `None`: it is no number.
    pub(super) revision: Option<NonZeroU64>,
}

/// From where an object is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A list or a watch.
    Watch,
    /// The answer to our own create. A list may be older than that.
    Answer,
}

/// Everything that is known, by kind.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<Watched, HashMap<Name, Incarnation>>);

// === impl Incarnation ===

impl Incarnation {
    /// Whether this object was made while the name was held by the other one, which then must be gone: a name has one object.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let made_later = self.revision.zip(other.revision);
        self.uid != other.uid && made_later.is_some_and(|(this, other)| this > other)
    }
}

// === impl Name ===

impl Name {
    pub(super) fn of(meta: &Meta) -> Self {
        Self {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        }
    }

    /// A pool of the object's namespace.
    pub(super) fn pool(&self, pool: &Arc<str>) -> PoolKey {
        PoolKey {
            namespace: self.namespace.clone(),
            name: pool.clone(),
        }
    }

    pub(super) fn claim(&self, kind: ClaimKind) -> ClaimKey {
        ClaimKey {
            kind,
            name: self.name.clone(),
        }
    }

    pub(super) fn address(&self, kind: ClaimKind) -> AddressKey {
        AddressKey {
            kind,
            name: self.name.clone(),
        }
    }
}

// === impl Known ===

impl Known {
    pub(super) fn get(&self, kind: Watched, name: &Name) -> Option<&Incarnation> {
        self.0.get(&kind)?.get(name)
    }

    pub(super) fn put(&mut self, kind: Watched, name: Name, incarnation: Incarnation) {
        self.0.entry(kind).or_default().insert(name, incarnation);
    }

    pub(super) fn remove(&mut self, kind: Watched, name: &Name) -> Option<Incarnation> {
        self.0.get_mut(&kind)?.remove(name)
    }

    /// What is known of a kind and was in no page of a complete list of this revision, by name. An object that our own
    /// create made after the list is not missing from it.
    pub(super) fn missing(
        &self,
        kind: Watched,
        live: &HashSet<Name>,
        revision: Option<u64>,
    ) -> Vec<Name> {
        let newer = |known: &Incarnation| match known.source {
            Source::Watch => false,
            Source::Answer => known
                .revision
                .zip(revision)
                .is_none_or(|(made, listed)| made.get() > listed),
        };
        let of_kind = self.0.get(&kind).into_iter().flatten();
        let mut missing: Vec<Name> = of_kind
            .filter(|(name, known)| !live.contains(*name) && !newer(known))
            .map(|(name, _)| name.clone())
            .collect();
        missing.sort();
        missing
    }
}
