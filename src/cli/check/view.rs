//! The objects by name, and what is paused or in the middle of a `clusterctl move`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;

use super::super::objects::{Beside, Fed, Objects};
use super::Ages;
use crate::api::{Address, Claim, ClaimKind, Kind, Meta, PoolKey, PoolObject, names};
use crate::pool::{Effect, Input, Request};

/// Kind, namespace and name of a claim or an address object.
type Key = (ClaimKind, Arc<str>, Arc<str>);

/// After this time each pool's state machine has asked for all that it would write.
const LATER: SignedDuration = SignedDuration::from_mins(1);

/// Everything that the checks look at.
pub(super) struct View<'a> {
    pub(super) objects: &'a Objects,
    pub(super) beside: Beside<'a>,
    pub(super) fed: Vec<Fed>,
    pub(super) ages: Ages,
    pools: BTreeMap<PoolKey, &'a PoolObject>,
    claims: BTreeMap<Key, &'a Claim>,
    addresses: BTreeMap<Key, &'a Address>,
    /// Address objects by the claim that they name.
    of_claims: BTreeMap<Key, Vec<&'a Address>>,
    /// Namespace and name of every Cluster that is paused.
    paused: BTreeSet<(&'a str, &'a str)>,
    /// Namespaces from which `clusterctl move` deletes.
    emptied: BTreeSet<&'a str>,
    /// Claims that their pools would give an address now.
    next: BTreeSet<Key>,
}

impl<'a> View<'a> {
    pub(super) fn new(objects: &'a Objects, ages: Ages) -> Self {
        let key = |kind: ClaimKind, meta: &Meta| (kind, meta.namespace.clone(), meta.name.clone());
        let mut of_claims: BTreeMap<Key, Vec<&Address>> = BTreeMap::new();
        for address in &objects.addresses {
            let namespace = address.meta.namespace.clone();
            let claim = (address.kind, namespace, address.claim.clone());
            of_claims.entry(claim).or_default().push(address);
        }
        let metas = objects.pools.iter().map(|pool| &pool.meta);
        let metas = metas.chain(objects.claims.iter().map(|claim| &claim.meta));
        let metas = metas.chain(objects.addresses.iter().map(|address| &address.meta));
        let moving = metas.filter(|meta| meta.has_annotation(names::DELETE_FOR_MOVE_ANNOTATION));
        let paused = objects.clusters.iter().filter(|(_, facts)| facts.paused);
        let mut fed = Fed::all(objects, None, ages.now);
        for pool in &mut fed {
            let then = ages.now.saturating_add(LATER).unwrap_or(ages.now);
            pool.effects.extend(pool.pool.step(Input::Tick, then));
        }
        let next = fed.iter().flat_map(next).collect();
        let claims = objects.claims.iter();
        let addresses = objects.addresses.iter();
        Self {
            objects,
            beside: Beside::new(objects),
            fed,
            ages,
            pools: objects
                .pools
                .iter()
                .map(|pool| (pool.key(), pool))
                .collect(),
            claims: claims.map(|c| (key(c.kind, &c.meta), c)).collect(),
            addresses: addresses.map(|a| (key(a.kind, &a.meta), a)).collect(),
            of_claims,
            paused: paused.map(|(ns, facts)| (&**ns, &*facts.name)).collect(),
            emptied: moving.map(|meta| &*meta.namespace).collect(),
            next,
        }
    }

    /// Whether the object of this name in the namespace of that one certainly does not exist.
    pub(super) fn is_missing(&self, kind: Kind, beside: &Meta, name: &str) -> bool {
        self.objects.is_missing(kind, &beside.namespace, name)
    }

    /// Whether every kind was read. Else a pool's counts and what it would do next are not known.
    pub(super) fn is_whole(&self) -> bool {
        self.objects.unread.is_empty()
    }

    pub(super) fn pool(&self, key: &PoolKey) -> Option<&'a PoolObject> {
        self.pools.get(key).copied()
    }

    /// The claim of this kind and name.
    pub(super) fn claim(&self, kind: ClaimKind, namespace: &str, name: &str) -> Option<&'a Claim> {
        self.claims
            .get(&(kind, namespace.into(), name.into()))
            .copied()
    }

    /// The address object of this kind and name.
    pub(super) fn address(
        &self,
        kind: ClaimKind,
        namespace: &str,
        name: &str,
    ) -> Option<&'a Address> {
        self.addresses
            .get(&(kind, namespace.into(), name.into()))
            .copied()
    }

    /// The claim that an address object names, in whatever pool.
    pub(super) fn claim_of(&self, address: &Address) -> Option<&'a Claim> {
        let (namespace, name) = (address.meta.namespace.clone(), address.claim.clone());
        let claim = self.claims.get(&(address.kind, namespace, name));
        claim.copied()
    }

    /// The address object that a claim's status names.
    pub(super) fn published(&self, claim: &Claim) -> Option<&'a Address> {
        let name = claim.published.clone()?;
        let address = self
            .addresses
            .get(&(claim.kind, claim.meta.namespace.clone(), name));
        address.copied()
    }

    /// The address objects that name a claim, in its pool.
    pub(super) fn of_claim(&self, claim: &Claim) -> Vec<&'a Address> {
        let key = (
            claim.kind,
            claim.meta.namespace.clone(),
            claim.meta.name.clone(),
        );
        let all = self.of_claims.get(&key).into_iter().flatten();
        all.filter(|address| address.pool == claim.pool)
            .copied()
            .collect()
    }

    /// Claims with their address objects, as the address objects name them.
    pub(super) fn claimed(&self) -> impl Iterator<Item = (&'a Claim, Vec<&'a Address>)> {
        let claims = self.objects.claims.iter();
        claims.map(|claim| (claim, self.of_claim(claim)))
    }

    /// Whether the claim's pool would give it an address now.
    pub(super) fn is_next(&self, claim: &Claim) -> bool {
        let (namespace, name) = (claim.meta.namespace.clone(), claim.meta.name.clone());
        self.next.contains(&(claim.kind, namespace, name))
    }

    /// Whether an object is older than what counts as under way.
    pub(super) fn is_settled(&self, meta: &Meta) -> bool {
        self.ages.past(meta.created(), self.ages.settled)
    }

    /// Whether nothing is written to a pool, since it is paused or about to be moved.
    pub(super) fn is_pool_at_rest(&self, pool: &PoolObject) -> bool {
        self.is_at_rest(&[&pool.meta], &[cluster_of(Some(pool))])
    }

    /// The same of a claim.
    pub(super) fn is_claim_at_rest(&self, claim: &Claim) -> bool {
        let pool = self.pool(&claim.pool_key());
        let metas: Vec<&Meta> = pool.map(|pool| &pool.meta).into_iter().collect();
        let metas = [metas, vec![&claim.meta]].concat();
        self.is_at_rest(&metas, &[cluster_of(pool), claim.cluster.as_deref()])
    }

    /// The same of an address object.
    pub(super) fn is_address_at_rest(&self, address: &Address) -> bool {
        let (pool, claim) = (self.pool(&address.pool_key()), self.claim_of(address));
        let of_pool = pool.map(|pool| &pool.meta).into_iter();
        let of_claim = claim.map(|claim| &claim.meta).into_iter();
        let metas: Vec<&Meta> = of_pool.chain(of_claim).chain([&address.meta]).collect();
        let label = address.meta.labels.get(names::CLUSTER_NAME_LABEL);
        let label = label.map(String::as_str);
        let of_claim = claim.and_then(|claim| claim.cluster.as_deref());
        self.is_at_rest(&metas, &[cluster_of(pool), of_claim, label])
    }

    /// Of objects of one namespace. Where they name no Cluster, any paused one of the namespace may be theirs.
    fn is_at_rest(&self, metas: &[&Meta], clusters: &[Option<&str>]) -> bool {
        let namespace = metas.first().map_or("", |meta| &*meta.namespace);
        let mut named = clusters.iter().flatten().peekable();
        let of_paused = if named.peek().is_some() {
            named.any(|cluster| self.paused.contains(&(namespace, *cluster)))
        } else {
            self.paused.iter().any(|(of, _)| *of == namespace)
        };
        let mut metas = metas.iter();
        of_paused
            || metas.any(|meta| meta.has_annotation(names::PAUSED_ANNOTATION))
            || self.emptied.contains(namespace)
    }
}

/// The claims for which a pool asks for an address object, or for our finalizer before that (R1).
fn next(fed: &Fed) -> Vec<Key> {
    let is_free = fed.pool.snapshot().available > 0;
    let claim = |effect: &Effect| match effect {
        Effect::Request(_, Request::CreateAddress(new)) => Some((new.kind, new.claim.clone())),
        Effect::Request(_, Request::ClaimFinalizers { key, .. }) if is_free => {
            Some((key.kind, key.name.clone()))
        }
        _ => None,
    };
    let claims = fed.effects.iter().filter_map(claim);
    let namespace = &fed.key.namespace;
    claims
        .map(|(kind, name)| (kind, namespace.clone(), name))
        .collect()
}

fn cluster_of(pool: Option<&PoolObject>) -> Option<&str> {
    let spec = pool?.spec.as_ref().ok()?;
    spec.cluster_name.as_deref()
}
