//! The part of a cluster that a question about one address or one name is about: of 100,000 claims the server sends a handful of
//! objects, which makes seconds of difference (docs/answers.md).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Objects, Reader};
use crate::api::{Address, Claim, ClaimKey, ClaimKind, Kind, names};

/// Claims and addresses that are asked for one by one. Where there are more, everything is read.
const FEW: usize = 8;

/// Address objects by a selector. Of a kind whose definition does not let the server select, all are read, once.
struct Selecting<'r, 'c> {
    reader: &'r mut Reader<'c>,
    namespace: Option<&'r str>,
    whole: BTreeMap<ClaimKind, Vec<Address>>,
    strange: Vec<(String, String)>,
}

impl Objects {
    /// Reads the address objects that have an address, written as usual, their claims, and all pools and Clusters. Of the kinds
    /// whose definition does not let the server select by address, all address objects.
    pub(in crate::cli) async fn read_at(
        reader: &mut Reader<'_>,
        namespace: Option<&str>,
        address: IpAddr,
    ) -> Self {
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
        objects.add_claims(reader).await;
        objects
    }

    /// Reads the claims and address objects of a name, all that is about their addresses, and all pools and Clusters.
    ///
    /// `None`: that does not tell what the name has. Nothing has it, so that it may be an owner's, or a claim has no address object,
    /// so that all others decide about it.
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
        let claims = objects.claims.iter().map(Claim::key);
        let named = objects.addresses.iter().map(Address::claim_key);
        let claims: BTreeSet<ClaimKey> = claims
            .chain(named.filter(|claim| !claim.name.is_empty()))
            .collect();
        if claims.is_empty() || claims.len() > FEW {
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
        let bound: BTreeSet<_> = objects.addresses.iter().map(claim_of).collect();
        let mut asked = objects.claims.iter();
        if !asked.all(|claim| bound.contains(&(claim.meta.namespace.clone(), claim.key()))) {
            return None;
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
        objects.add_claims(reader).await;
        Some(objects)
    }

    /// Takes in address objects that are not there yet.
    fn add_new(&mut self, found: Vec<Address>) {
        let name = |a: &Address| (a.meta.namespace.clone(), a.key());
        let mut known: BTreeSet<_> = self.addresses.iter().map(name).collect();
        let found = found.into_iter();
        self.addresses
            .extend(found.filter(|address| known.insert(name(address))));
    }

    /// Reads the claims that the address objects name, each by its name, except those that are there.
    async fn add_claims(&mut self, reader: &mut Reader<'_>) {
        let named = self.addresses.iter().map(claim_of);
        let named: BTreeSet<_> = named.filter(|(_, claim)| !claim.name.is_empty()).collect();
        let known = self.claims.iter();
        let known: BTreeSet<_> = known.map(|c| (c.meta.namespace.clone(), c.key())).collect();
        for (namespace, claim) in named.difference(&known) {
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

/// Namespace and key of the claim that an address object names.
fn claim_of(address: &Address) -> (Arc<str>, ClaimKey) {
    (address.meta.namespace.clone(), address.claim_key())
}
