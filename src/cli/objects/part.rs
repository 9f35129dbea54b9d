//! The part of a cluster that a question about one address or one name is about: of 100,000 claims the server sends a handful of
//! objects, which makes seconds of difference (docs/answers.md).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Fed, Objects, Reader};
use crate::admission::covered;
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, Kind, PoolKey, PoolObject, names,
};

/// Claims, addresses and pools that are asked for one by one. Where there are more, everything is read.
const FEW: usize = 8;

/// Address objects by a selector. Of a kind whose definition does not let the server select, all are read, once.
struct Selecting<'r, 'c> {
    reader: &'r mut Reader<'c>,
    namespace: Option<&'r str>,
    whole: BTreeMap<ClaimKind, Vec<Address>>,
    strange: Vec<(String, String)>,
}

impl Objects {
    /// Reads what an address is about, and all pools and Clusters: the address objects that have it, written as usual, and their
    /// claims; and all of the pools that cover it and have no such object, since a claim of theirs may be about to get it.
    ///
    /// `None`: that does not tell who has it, so that everything has to be read.
    pub(in crate::cli) async fn read_at(
        reader: &mut Reader<'_>,
        namespace: Option<&str>,
        address: IpAddr,
    ) -> Option<Self> {
        let selector = at(address);
        let [metal3, capi] = ClaimKind::ALL;
        let kinds = [
            (Kind::Pools, None),
            (Kind::Clusters, None),
            (Kind::Addresses(metal3), Some(selector.clone())),
            (Kind::Addresses(capi), Some(selector)),
        ];
        let mut objects = Self::of(reader, namespace, kinds).await;
        for kind in ClaimKind::ALL {
            objects.kinds[Kind::Claims(kind)] = objects.kinds[Kind::Addresses(kind)];
        }
        objects
            .addresses
            .retain(|object| object.address == Ok(address));
        let covers = |pool: &&PoolObject| {
            let spec = pool.spec.as_ref();
            spec.is_ok_and(|spec| covered(spec).contains(address))
        };
        let holders: BTreeSet<PoolKey> = objects.addresses.iter().map(Address::pool_key).collect();
        // In a pool that is inconsistent another object may have the address too, in a spelling that the server does not find.
        let is_inconsistent = |pool: &PoolObject| {
            let mut conditions = pool.status.conditions.iter();
            conditions.any(|c| c.type_ == "Consistent" && c.status == "False")
        };
        let to_read = |pool: &&PoolObject| !holders.contains(&pool.key()) || is_inconsistent(pool);
        let pools = objects.pools.iter().filter(covers).filter(to_read);
        let pools: BTreeSet<PoolKey> = pools.map(PoolObject::key).collect();
        if holders.is_empty() && pools.is_empty() {
            return None;
        }
        objects
            .addresses
            .retain(|object| !pools.contains(&object.pool_key()));
        objects.add_pools(reader, &pools).await?;
        objects.add_claims(reader).await;
        objects.add_namesakes(reader).await?;
        Some(objects)
    }

    /// Reads what a name is about, and all pools and Clusters: the claims and address objects that have it, else the claims of the
    /// owner that has it; all that is about their addresses; and all of the pools of those that wait.
    ///
    /// `None`: that does not tell what the name has, so that everything has to be read.
    pub(in crate::cli) async fn read_named(
        reader: &mut Reader<'_>,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<Self> {
        if !names::is_object_name(name) {
            return None;
        }
        let by_name = format!("metadata.name={name}");
        let [metal3, capi] = ClaimKind::ALL;
        let kinds = [
            (Kind::Pools, None),
            (Kind::Clusters, None),
            (Kind::Claims(metal3), Some(by_name.clone())),
            (Kind::Addresses(metal3), Some(by_name.clone())),
            (Kind::Claims(capi), Some(by_name.clone())),
            (Kind::Addresses(capi), Some(by_name)),
        ];
        let mut objects = Self::of(reader, namespace, kinds).await;
        if objects.claims.is_empty() && objects.addresses.is_empty() {
            let kinds = ClaimKind::ALL.map(|kind| (Kind::Claims(kind), None));
            let all = Self::of(reader, namespace, kinds).await;
            let mut owned = all.claims;
            owned.retain(|claim| claim.meta.owner_references.iter().any(|o| o.name == name));
            objects.claims = owned;
            objects.strange.extend(all.strange);
        }
        let of_addresses = objects.addresses.iter().map(Address::claim_key);
        let of_addresses = of_addresses.filter(|claim| !claim.name.is_empty());
        let claims = objects.claims.iter().map(Claim::key);
        let mut claims: BTreeSet<ClaimKey> = claims.chain(of_addresses).collect();
        if claims.is_empty() {
            // Address objects may name a claim that is gone.
            claims.extend(ClaimKind::ALL.map(|kind| ClaimKey {
                kind,
                name: name.into(),
            }));
        }
        if claims.len() > FEW {
            return None;
        }
        let mut selecting = Selecting::new(reader, namespace);
        for claim in &claims {
            let is_its = |object: &Address| object.claim_key() == *claim;
            let found = selecting
                .addresses(claim.kind, of_claim(claim), is_its)
                .await;
            objects.add_new(found);
        }
        let held = objects.addresses.iter();
        let held: BTreeSet<IpAddr> = held.filter_map(|a| a.address.clone().ok()).collect();
        if held.len() > FEW {
            return None;
        }
        for address in held {
            let has_it = |object: &Address| object.address == Ok(address);
            for kind in ClaimKind::ALL {
                let found = selecting.addresses(kind, at(address), has_it).await;
                objects.add_new(found);
            }
        }
        objects.strange.append(&mut selecting.strange);
        let bound: BTreeSet<_> = objects.addresses.iter().map(claim_of).collect();
        let waits = |claim: &&Claim| !bound.contains(&named(claim));
        let waiting = objects.claims.iter().filter(waits).map(Claim::pool_key);
        let waiting: BTreeSet<PoolKey> = waiting.collect();
        objects.add_pools(reader, &waiting).await?;
        objects.add_claims(reader).await;
        objects.add_namesakes(reader).await?;
        Some(objects)
    }

    /// Reads all claims and address objects of pools; `None` when these are too many.
    async fn add_pools(
        &mut self,
        reader: &mut Reader<'_>,
        pools: &BTreeSet<PoolKey>,
    ) -> Option<()> {
        if pools.len() > FEW {
            return None;
        }
        let [metal3, capi] = ClaimKind::ALL;
        for pool in pools {
            let selector = Some(format!("spec.pool.name={}", pool.name));
            let kinds = kinds_of(metal3).map(|kind| (kind, selector.clone()));
            let part = Self::of(reader, Some(&pool.namespace), kinds).await;
            self.add_part(part, kinds_of(metal3), pools);
        }
        // Cluster API's definitions do not let the server select by pool.
        let namespaces: BTreeSet<&Arc<str>> = pools.iter().map(|pool| &pool.namespace).collect();
        for namespace in namespaces {
            let kinds = kinds_of(capi).map(|kind| (kind, None));
            let part = Self::of(reader, Some(namespace), kinds).await;
            self.add_part(part, kinds_of(capi), pools);
        }
        Some(())
    }

    /// Takes in what was read of these kinds and is of these pools.
    fn add_part(&mut self, part: Self, kinds: [Kind; 2], pools: &BTreeSet<PoolKey>) {
        for kind in kinds {
            self.kinds[kind] = part.kinds[kind];
        }
        let known: BTreeSet<_> = self.claims.iter().map(named).collect();
        let is_new =
            |claim: &Claim| pools.contains(&claim.pool_key()) && !known.contains(&named(claim));
        self.claims.extend(part.claims.into_iter().filter(is_new));
        let addresses = part.addresses.into_iter();
        self.add_new(
            addresses
                .filter(|a| pools.contains(&a.pool_key()))
                .collect(),
        );
        self.strange.extend(part.strange);
    }

    /// Takes in address objects that are not there yet.
    fn add_new(&mut self, found: Vec<Address>) {
        let name = |a: &Address| (a.meta.namespace.clone(), a.key());
        let mut known: BTreeSet<_> = self.addresses.iter().map(name).collect();
        let found = found.into_iter();
        self.addresses
            .extend(found.filter(|address| known.insert(name(address))));
    }

    /// Reads the objects that have the names which the pools would give next (A12); `None` when these are too many.
    async fn add_namesakes(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let mut asked = BTreeSet::new();
        loop {
            let fed = Fed::all(self, None, Timestamp::now());
            let names = fed.iter().flat_map(|fed| {
                let of_pool = |name| (fed.key.clone(), name);
                fed.creates().map(of_pool)
            });
            let new: BTreeSet<(PoolKey, AddressKey)> =
                names.filter(|name| !asked.contains(name)).collect();
            if new.is_empty() {
                return Some(());
            }
            if asked.len() + new.len() > FEW {
                return None;
            }
            for (pool, name) in &new {
                let kind = Kind::Addresses(name.kind);
                let object = reader.object(kind, &pool.namespace, &name.name).await;
                let Some(object) = object.and_then(|object| self.understood(kind, object)) else {
                    continue;
                };
                let address = Address::read(name.kind, object);
                if address.pool_key() == *pool {
                    // It was made or edited since the pool's were read.
                    self.add_new(vec![address]);
                } else {
                    self.namesakes.push(address);
                }
            }
            asked.extend(new);
        }
    }

    /// Reads the claims that the address objects name, each by its name, except those that are there.
    async fn add_claims(&mut self, reader: &mut Reader<'_>) {
        let asked = self.addresses.iter().map(claim_of);
        let asked: BTreeSet<_> = asked.filter(|(_, claim)| !claim.name.is_empty()).collect();
        let known: BTreeSet<_> = self.claims.iter().map(named).collect();
        for (namespace, claim) in asked.difference(&known) {
            let kind = Kind::Claims(claim.kind);
            let object = reader.object(kind, namespace, &claim.name).await;
            if let Some(object) = object.and_then(|object| self.understood(kind, object)) {
                self.add_claim(claim.kind, object);
            }
        }
    }
}

impl<'r, 'c> Selecting<'r, 'c> {
    fn new(reader: &'r mut Reader<'c>, namespace: Option<&'r str>) -> Self {
        Self {
            reader,
            namespace,
            whole: BTreeMap::new(),
            strange: Vec::new(),
        }
    }

    async fn addresses(
        &mut self,
        kind: ClaimKind,
        selector: String,
        is_wanted: impl Fn(&Address) -> bool,
    ) -> Vec<Address> {
        if !self.whole.contains_key(&kind) {
            let kinds = [(Kind::Addresses(kind), Some(selector))];
            let read = Objects::of(self.reader, self.namespace, kinds).await;
            self.strange.extend(read.strange);
            if read.addresses.iter().all(&is_wanted) {
                return read.addresses;
            }
            self.whole.insert(kind, read.addresses);
        }
        let whole = self.whole.get(&kind).into_iter().flatten();
        whole.filter(|object| is_wanted(object)).cloned().collect()
    }
}

/// The field selector of an address, written as usual.
fn at(address: IpAddr) -> String {
    format!("spec.address={address}")
}

/// The field selector of the address objects of a claim. Our definition has the field, Cluster API's has not.
fn of_claim(claim: &ClaimKey) -> String {
    let field = match claim.kind {
        ClaimKind::Metal3 => "claim",
        ClaimKind::Capi => "claimRef",
    };
    format!("spec.{field}.name={}", claim.name)
}

/// Claims of a kind, and their address objects.
fn kinds_of(kind: ClaimKind) -> [Kind; 2] {
    [Kind::Claims(kind), Kind::Addresses(kind)]
}

/// Namespace and key of a claim.
fn named(claim: &Claim) -> (Arc<str>, ClaimKey) {
    (claim.meta.namespace.clone(), claim.key())
}

/// Namespace and key of the claim that an address object names.
fn claim_of(address: &Address) -> (Arc<str>, ClaimKey) {
    (address.meta.namespace.clone(), address.claim_key())
}
