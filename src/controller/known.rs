//! What is remembered of every object: which incarnation, and to which pool it led. So that a changed reference and a missed
//! end become facts for the pool that must hear of them.

use std::collections::{BTreeMap, HashMap, HashSet};
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
}

/// From where an object is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A list or a watch.
    Watch,
    /// The answer to our own create, at this revision (`None`: it is no number). A list may be older than that.
    Answer(Option<u64>),
}

/// Everything that is known, by kind.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<Watched, HashMap<Name, Incarnation>>);

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

    /// Unless something is known of it already: what a watch told is newer than any answer.
    pub(super) fn put_new(&mut self, kind: Watched, name: Name, incarnation: Incarnation) {
        let of_kind = self.0.entry(kind).or_default();
        of_kind.entry(name).or_insert(incarnation);
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
            Source::Answer(made) => made
                .zip(revision)
                .is_none_or(|(made, listed)| made > listed),
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
