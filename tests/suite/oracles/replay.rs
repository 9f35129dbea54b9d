//! The state after each single write, and the oracles that check it.

use std::collections::{BTreeMap, BTreeSet};

use metal3_ipam::api::{Address, Claim, ClaimKind, Uid};

/// One write, as the watch of its kind showed it.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Claim(Box<Claim>),
    ClaimGone(ClaimKind, String),
    Address(Box<Address>),
    AddressGone(ClaimKind, String),
}

/// What the replay found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// O1: an address of a pool bound to two claims. A living claim keeps the address that its status shows, whatever became of
    /// the object: its machine uses it.
    pub(crate) duplicates: Vec<String>,
    /// O1: two live objects for one address of a pool.
    pub(crate) twice: Vec<String>,
    /// O2: a bound claim that got another address.
    pub(crate) moved: Vec<String>,
    /// O2: a bound claim whose status or whose object went.
    pub(crate) unbound: Vec<String>,
    /// O3: address objects of ours, at the end, without a claim.
    pub(crate) leaked: Vec<String>,
    /// Events seen.
    pub(crate) events: usize,
}

/// What users do by hand in a scenario, which then is no finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByHand {
    /// Address objects for an address that has one already.
    Objects,
    /// Address objects taken away, or the status of claims written.
    Unbinding,
    /// Two claims bound to one address, as upstream leaves them.
    Duplicates,
}

impl Findings {
    /// Everything but what was done by hand.
    pub(crate) fn all(&self, by_hand: &[ByHand]) -> Vec<String> {
        let Self {
            duplicates,
            twice,
            moved,
            unbound,
            leaked,
            events: _,
        } = self;
        let told = [
            ("O1 bound twice", duplicates, Some(ByHand::Duplicates)),
            ("O1 two objects", twice, Some(ByHand::Objects)),
            ("O2 moved", moved, None),
            ("O2 unbound", unbound, Some(ByHand::Unbinding)),
            ("O3 leaked", leaked, None),
        ];
        told.into_iter()
            .filter(|(.., excuse)| !excuse.is_some_and(|e| by_hand.contains(&e)))
            .flat_map(|(what, lines, _)| lines.iter().map(move |line| format!("{what}: {line}")))
            .collect()
    }

    /// Panics unless nothing was found.
    pub(crate) fn assert_clean(&self, scenario: &str) {
        let all = self.all(&[]);
        assert!(all.is_empty(), "{scenario}: {all:#?}");
        assert!(
            self.events > 0,
            "{scenario}: the recorder saw nothing, so it proved nothing"
        );
    }
}

/// Kind, namespace and name.
type Key = (ClaimKind, String);
/// Namespace, pool and address.
type Place = (String, String, String);

/// Everything as it stands after a write.
#[derive(Default)]
struct State {
    claims: BTreeMap<Key, Claim>,
    objects: BTreeMap<Key, Address>,
    /// Live objects of each address.
    held: BTreeMap<Place, BTreeSet<Key>>,
    /// What a claim is bound to: the object, and its address once that was known, though the object may be gone since.
    bound_to: BTreeMap<Key, (Key, Option<Place>)>,
    bound: BTreeMap<Place, BTreeSet<Key>>,
    sharing: BTreeMap<Key, BTreeSet<Key>>,
    /// The address that a claim was bound to by an object of its own, by UID.
    first: BTreeMap<Uid, Place>,
    findings: Findings,
}

pub(crate) fn replay(mut events: Vec<(u64, Seen)>) -> Findings {
    events.sort_by_key(|(revision, _)| *revision);
    let mut state = State::default();
    state.findings.events = events.len();
    for (revision, seen) in events {
        match seen {
            Seen::Claim(claim) => state.claim(revision, &claim),
            Seen::ClaimGone(kind, name) => {
                state.claims.remove(&(kind, name.clone()));
                state.unbind(&(kind, name));
            }
            Seen::Address(object) => state.object(revision, *object),
            Seen::AddressGone(kind, name) => state.object_gone(revision, &(kind, name)),
        }
    }
    state.end()
}

fn full(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn place(object: &Address) -> Option<Place> {
    let address = object.address.as_ref().ok()?;
    Some((
        object.meta.namespace.to_string(),
        object.pool.to_string(),
        address.to_string(),
    ))
}

impl State {
    fn claim(&mut self, revision: u64, claim: &Claim) {
        let key = (claim.kind, full(&claim.meta.namespace, &claim.meta.name));
        let before = self.claims.insert(key.clone(), claim.clone());
        let same_life = before
            .as_ref()
            .is_some_and(|b| b.meta.uid == claim.meta.uid);
        let had = before.filter(|_| same_life).and_then(|b| b.published);
        if let Some(had) = had.filter(|had| claim.published.as_ref() != Some(had)) {
            self.findings.unbound.push(format!(
                "{key:?} at {revision}: from {had} to {:?}",
                claim.published
            ));
        }
        // A deleting claim whose object went before (R3) points at nothing, though the name may live again.
        let published = claim.published.as_ref();
        if published.is_some() && claim.meta.is_deleting() && !self.bound_to.contains_key(&key) {
            return;
        }
        let before = self.bound_to.get(&key).filter(|_| same_life).cloned();
        self.unbind(&key);
        if let Some(name) = published {
            let object = (claim.kind, full(&claim.meta.namespace, name));
            let before = before.filter(|(of, _)| *of == object && !claim.meta.is_deleting());
            self.bind(revision, &key, object, before.and_then(|(_, place)| place));
        }
    }

    /// `shown`: the address that the claim had by this object before.
    fn bind(&mut self, revision: u64, claim: &Key, object: Key, shown: Option<Place>) {
        let found = self.objects.get(&object);
        let place = found.and_then(place).or(shown);
        let sharing = self.sharing.entry(object.clone()).or_default();
        sharing.insert(claim.clone());
        let mut twice = sharing.len() > 1;
        if let Some(place) = &place {
            let holders = self.bound.entry(place.clone()).or_default();
            holders.insert(claim.clone());
            twice |= holders.len() > 1;
        }
        if twice {
            let holders = place.as_ref().and_then(|place| self.bound.get(place));
            let sharing = &self.sharing[&object];
            self.findings.duplicates.push(format!(
                "{object:?} at {revision}: {:?}",
                holders.unwrap_or(sharing)
            ));
        }
        let own = found.is_some_and(|o| full(&o.meta.namespace, &o.claim) == claim.1);
        if let Some(place) = place.as_ref().filter(|_| own) {
            let uid = self.claims[claim].meta.uid.clone();
            let first = self.first.entry(uid).or_insert_with(|| place.clone());
            if first != place {
                self.findings.moved.push(format!(
                    "{claim:?} at {revision}: from {first:?} to {place:?}"
                ));
            }
        }
        self.bound_to.insert(claim.clone(), (object, place));
    }

    fn unbind(&mut self, claim: &Key) {
        let Some((object, place)) = self.bound_to.remove(claim) else {
            return;
        };
        if let Some(sharing) = self.sharing.get_mut(&object) {
            sharing.remove(claim);
        }
        if let Some(holders) = place.and_then(|place| self.bound.get_mut(&place)) {
            holders.remove(claim);
        }
    }

    fn object(&mut self, revision: u64, object: Address) {
        let key = (object.kind, full(&object.meta.namespace, &object.meta.name));
        if let Some(at) = place(&object) {
            let holders = self.held.entry(at.clone()).or_default();
            if holders.insert(key.clone()) && holders.len() > 1 {
                self.findings
                    .twice
                    .push(format!("{at:?} at {revision}: {holders:?}"));
            }
        }
        self.objects.insert(key, object);
    }

    fn object_gone(&mut self, revision: u64, key: &Key) {
        if let Some(at) = self.objects.remove(key).as_ref().and_then(place)
            && let Some(holders) = self.held.get_mut(&at)
        {
            holders.remove(key);
        }
        for claim in self.sharing.get(key).cloned().unwrap_or_default() {
            let claim_of = self.claims.get(&claim);
            if claim_of.is_some_and(|c| !c.meta.is_deleting()) {
                self.findings.unbound.push(format!(
                    "{key:?} at {revision}: gone while bound to {claim:?}"
                ));
            } else {
                self.unbind(&claim);
            }
        }
    }

    fn end(mut self) -> Findings {
        for (key, object) in &self.objects {
            let claim = (object.kind, full(&object.meta.namespace, &object.claim));
            if object.has_our_finalizer() && !self.claims.contains_key(&claim) {
                self.findings.leaked.push(format!("{key:?} of {claim:?}"));
            }
        }
        self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(name: &str, uid: &str, published: Option<&str>) -> Seen {
        claim_of(ClaimKind::Metal3, name, uid, published)
    }

    fn claim_of(kind: ClaimKind, name: &str, uid: &str, published: Option<&str>) -> Seen {
        let meta = json!({"name": name, "namespace": "d", "uid": uid});
        let pool = json!({"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"});
        let (spec, address) = match kind {
            ClaimKind::Metal3 => (json!({"pool": {"name": "p"}}), "address"),
            ClaimKind::Capi => (json!({"poolRef": pool}), "addressRef"),
        };
        let status = published.map_or(json!({}), |p| json!({address: {"name": p}}));
        let object = json!({"metadata": meta, "spec": spec, "status": status});
        Seen::Claim(Box::new(Claim::read(
            kind,
            serde_json::from_value(object).unwrap(),
        )))
    }

    fn address(kind: ClaimKind, name: &str, ip: &str, claim: &str) -> Seen {
        let pool = json!({"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"});
        let object = match kind {
            ClaimKind::Metal3 => {
                json!({"metadata": {"name": name, "namespace": "d", "finalizers": [kind.address_finalizer()]},
                "spec": {"address": ip, "pool": {"name": "p"}, "claim": {"name": claim}}})
            }
            ClaimKind::Capi => {
                json!({"metadata": {"name": name, "namespace": "d", "finalizers": [kind.address_finalizer()]},
                "spec": {"address": ip, "poolRef": pool, "claimRef": {"name": claim}}})
            }
        };
        Seen::Address(Box::new(Address::read(
            kind,
            serde_json::from_value(object).unwrap(),
        )))
    }

    #[test]
    fn each_oracle_finds_its_violation() {
        use ClaimKind::{Capi, Metal3};
        let clean = replay(vec![
            (1, claim("a", "1", None)),
            (2, address(Metal3, "p-1", "10.0.0.1", "a")),
            (3, claim("a", "1", Some("p-1"))),
        ]);
        clean.assert_clean("clean");
        let twice = replay(vec![
            (1, claim("a", "1", Some("p-1"))),
            (2, claim("b", "2", Some("p-1"))),
        ]);
        assert_eq!(twice.duplicates.len(), 1);
        let both_kinds = replay(vec![
            (1, address(Metal3, "p-1", "10.0.0.1", "a")),
            (2, address(Capi, "p-1", "10.0.0.1", "a")),
        ]);
        assert_eq!(both_kinds.twice.len(), 1);
        let by_address = replay(vec![
            (1, address(Metal3, "p-1", "10.0.0.1", "a")),
            (2, address(Metal3, "q-1", "10.0.0.1", "b")),
            (3, claim("a", "1", Some("p-1"))),
            (4, claim("b", "2", Some("q-1"))),
        ]);
        assert_eq!(
            (by_address.twice.len(), by_address.duplicates.len()),
            (1, 1)
        );
        let moved = replay(vec![
            (1, address(Metal3, "p-1", "10.0.0.1", "a")),
            (2, address(Metal3, "p-2", "10.0.0.2", "a")),
            (3, claim("a", "1", Some("p-1"))),
            (4, claim("a", "1", Some("p-2"))),
        ]);
        assert_eq!((moved.moved.len(), moved.unbound.len()), (1, 1));
        let taken = replay(vec![
            (1, address(Metal3, "p-1", "10.0.0.1", "a")),
            (2, claim("a", "1", Some("p-1"))),
            (3, Seen::AddressGone(Metal3, "d/p-1".into())),
        ]);
        assert_eq!(taken.unbound.len(), 1);
        let gone_and_given_again = |kind| {
            replay(vec![
                (1, address(kind, "p-1", "10.0.0.1", "a")),
                (2, claim_of(kind, "a", "1", Some("p-1"))),
                (3, Seen::AddressGone(kind, "d/p-1".into())),
                (4, claim_of(kind, "a", "1", Some("p-1"))),
                (5, address(kind, "q-1", "10.0.0.1", "b")),
                (6, claim_of(kind, "b", "2", Some("q-1"))),
            ])
        };
        for kind in [Metal3, Capi] {
            let found = gone_and_given_again(kind);
            assert_eq!((found.unbound.len(), found.duplicates.len()), (1, 1));
        }
        let leaked = replay(vec![(1, address(Metal3, "p-1", "10.0.0.1", "a"))]);
        assert_eq!(leaked.leaked.len(), 1);
        let recreated = replay(vec![
            (1, claim("a", "1", Some("p-1"))),
            (2, Seen::ClaimGone(Metal3, "d/a".into())),
            (3, claim("a", "2", Some("p-2"))),
        ]);
        recreated.assert_clean("recreated");
    }
}
