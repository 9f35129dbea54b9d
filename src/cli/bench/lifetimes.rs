//! From which revision to which each address object lived, so that an address given twice is found whenever it was.
//!
//! The two kinds of address objects come by two watches, in no order between them. Their revisions are of one sequence
//! (Kubernetes promises that of one server's objects), so lifetimes are compared at the end instead.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::api::{Address, ClaimKind, Uid};

/// From when to when each address object lived, to find addresses that were given out twice.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    living: HashMap<Uid, Life>,
    ended: Vec<(At, u64, u64)>,
}

/// An address object that has not ended yet.
#[derive(Debug)]
struct Life {
    kind: ClaimKind,
    at: At,
    from: u64,
}

/// A pool's address.
type At = (Arc<str>, IpAddr);

impl Lifetimes {
    /// The watch shows an address object in this version.
    pub(super) fn seen(&mut self, object: &Address) {
        if let (Ok(address), Some(revision)) = (&object.address, revision(object)) {
            let life = Life {
                kind: object.kind,
                at: (object.pool.clone(), *address),
                from: revision,
            };
            self.living.entry(object.meta.uid.clone()).or_insert(life);
        }
    }

    /// These are all there are of a kind, after a watch that broke off. When the others ended is not known: they count as far as
    /// they are known to have lived, which is the revision that they were first seen in.
    pub(super) fn listed(&mut self, kind: ClaimKind, objects: &[Address]) {
        let there: HashSet<&Uid> = objects.iter().map(|o| &o.meta.uid).collect();
        let gone = self
            .living
            .extract_if(|uid, life| life.kind == kind && !there.contains(uid));
        self.ended
            .extend(gone.map(|(_, life)| (life.at, life.from, life.from)));
        for object in objects {
            self.seen(object);
        }
    }

    /// It is gone; the version is that of its end.
    pub(super) fn gone(&mut self, object: &Address) {
        if let (Some(life), Some(until)) = (self.living.remove(&object.meta.uid), revision(object))
        {
            self.ended.push((life.at, life.from, until));
        }
    }

    /// Objects that came while another one held their address.
    pub(super) fn duplicates(&self) -> usize {
        let mut of: BTreeMap<&At, Vec<(u64, u64)>> = BTreeMap::new();
        for (at, from, until) in &self.ended {
            of.entry(at).or_default().push((*from, *until));
        }
        for life in self.living.values() {
            of.entry(&life.at).or_default().push((life.from, u64::MAX));
        }
        let mut duplicates = 0;
        for lives in of.values_mut() {
            lives.sort_unstable();
            let mut held_until = 0;
            for (from, until) in lives {
                duplicates += usize::from(*from < held_until);
                held_until = held_until.max(*until);
            }
        }
        duplicates
    }
}

fn revision(object: &Address) -> Option<u64> {
    object.meta.resource_version.number().map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WireObject;
    use serde_json::json;

    fn object(kind: ClaimKind, uid: &str, revision: u64, address: &str) -> Address {
        let spec = match kind {
            ClaimKind::Metal3 => {
                json!({"address": address, "pool": {"name": "p"}, "claim": {"name": uid}})
            }
            ClaimKind::Capi => {
                json!({"address": address, "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"},
                "claimRef": {"name": uid}})
            }
        };
        let object = json!({"metadata": {"name": uid, "namespace": "n", "uid": uid, "resourceVersion": revision.to_string()},
            "spec": spec});
        Address::read(kind, serde_json::from_value::<WireObject>(object).unwrap())
    }

    #[test]
    fn only_lives_that_overlap_are_duplicates() {
        let mut lives = Lifetimes::default();
        lives.seen(&object(ClaimKind::Metal3, "a", 10, "10.0.0.1"));
        // The successor's watch may be ahead of the watch that shows the end of the pool before it.
        lives.seen(&object(ClaimKind::Capi, "b", 21, "10.0.0.1"));
        lives.seen(&object(ClaimKind::Metal3, "a", 15, "10.0.0.1"));
        lives.gone(&object(ClaimKind::Metal3, "a", 20, "10.0.0.1"));
        lives.seen(&object(ClaimKind::Capi, "c", 12, "10.0.0.2"));
        assert_eq!(lives.duplicates(), 0);
        lives.seen(&object(ClaimKind::Metal3, "d", 30, "10.0.0.1"));
        assert_eq!(lives.duplicates(), 1, "while b lives");
        lives.gone(&object(ClaimKind::Capi, "b", 40, "10.0.0.1"));
        assert_eq!(lives.duplicates(), 1, "though b is gone by now");
        lives.listed(ClaimKind::Metal3, &[]);
        lives.seen(&object(ClaimKind::Capi, "e", 50, "10.0.0.1"));
        assert_eq!(lives.duplicates(), 1, "d has ended, unseen");
    }
}
