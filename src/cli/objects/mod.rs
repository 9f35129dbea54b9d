//! A cluster's pools, claims, address objects and Clusters, read once and page by page, for the subcommands that answer
//! questions about them.
//!
//! ```text
//!   reader.rs   lists, page by page; what cannot be read is remembered
//!      v
//!   Objects     of the neutral types of `api`
//!      v
//!   fed.rs      each pool's own state machine, given its objects as the manager would be; nothing that it asks for is sent
//!   beside.rs   pools beside each other, specs beside what is held
//! ```

mod beside;
mod fed;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

pub(super) use self::beside::Beside;
pub(super) use self::fed::{Births, Fed, Parts};
pub(super) use self::reader::{Reader, words};
use crate::api::{
    Address, Claim, ClaimKey, ClaimKind, ClusterFacts, Kind, PoolObject, ReferenceFault,
    WireObject, names, names_our_pool,
};
use crate::pool::{KindState, Kinds};

/// What begins the labels by which `clusterctl move` takes an object along.
const MOVE_LABEL: &str = "clusterctl.cluster.x-k8s.io/move";

/// The objects of this program's kinds in a cluster, or in one namespace of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub(super) pools: Vec<PoolObject>,
    /// Of our pools; other providers' IPAddressClaims are left out.
    pub(super) claims: Vec<Claim>,
    pub(super) addresses: Vec<Address>,
    /// Each with its namespace.
    pub(super) clusters: Vec<(String, ClusterFacts)>,
    pub(super) kinds: Kinds,
    /// Objects that cannot be understood, with why.
    pub(super) strange: Vec<(String, String)>,
    /// Address objects whose labels carry `clusterctl move` along: kind, namespace and name.
    pub(super) moved: BTreeSet<(ClaimKind, String, String)>,
    /// Texts of addresses that are not written in their canonical form, by kind, namespace and name of the address object.
    pub(super) spelled: BTreeMap<(ClaimKind, String, String), String>,
}

impl Objects {
    /// Reads all of them; what could not be read is in the reader.
    pub(super) async fn read(reader: &mut Reader<'_>, namespace: Option<&str>) -> Self {
        let mut objects = Self::default();
        objects.read_pools(reader, namespace).await;
        for kind in ClaimKind::ALL {
            let claims = objects.of(reader, Kind::Claims(kind), namespace, None);
            for claim in claims.await {
                objects.add_claim(kind, claim);
            }
            let addresses = objects.of(reader, Kind::Addresses(kind), namespace, None);
            for address in addresses.await {
                objects.add_address(kind, address);
            }
        }
        objects
    }

    /// Reads the address objects that have an address, written as usual, their claims, and all pools and Clusters. Of the kinds
    /// whose definition does not let the server select by address, all address objects.
    pub(super) async fn read_at(
        reader: &mut Reader<'_>,
        namespace: Option<&str>,
        address: IpAddr,
    ) -> Self {
        let mut objects = Self::default();
        objects.read_pools(reader, namespace).await;
        let selector = format!("spec.address={address}");
        for kind in ClaimKind::ALL {
            let (claims, addresses) = (Kind::Claims(kind), Kind::Addresses(kind));
            let found = objects.of(reader, addresses, namespace, Some(&selector));
            for object in found.await {
                objects.add_address(kind, object);
            }
            objects.kinds[claims] = objects.kinds[addresses];
        }
        objects
            .addresses
            .retain(|object| object.address == Ok(address));
        let named: BTreeSet<(Arc<str>, ClaimKey)> = objects
            .addresses
            .iter()
            .map(|object| (object.meta.namespace.clone(), object.claim_key()))
            .filter(|(_, claim)| !claim.name.is_empty())
            .collect();
        for (namespace, claim) in named {
            let kind = Kind::Claims(claim.kind);
            let object = reader.object(kind, &namespace, &claim.name).await;
            if let Some(object) = object.and_then(|object| objects.understood(kind, object)) {
                objects.add_claim(claim.kind, object);
            }
        }
        objects
    }

    async fn read_pools(&mut self, reader: &mut Reader<'_>, namespace: Option<&str>) {
        for pool in self.of(reader, Kind::Pools, namespace, None).await {
            self.pools.push(PoolObject::read(pool));
        }
        for cluster in self.of(reader, Kind::Clusters, namespace, None).await {
            let facts = ClusterFacts::read("", &cluster);
            let namespace = cluster.metadata.namespace.to_string();
            self.clusters.push((namespace, facts));
        }
    }

    /// Takes in a claim, unless another provider serves it.
    fn add_claim(&mut self, kind: ClaimKind, claim: WireObject) {
        let claim = Claim::read(kind, claim);
        if claim.fault != Some(ReferenceFault::OtherProvider) {
            self.claims.push(claim);
        }
    }

    /// Takes in an address object, unless it is of another provider's pool.
    pub(super) fn add_address(&mut self, kind: ClaimKind, address: WireObject) {
        if !names_our_pool(kind, &address.spec) {
            return;
        }
        let meta = &address.metadata;
        if meta
            .labels
            .keys()
            .any(|label| label.starts_with(MOVE_LABEL))
        {
            let (namespace, name) = (meta.namespace.to_string(), meta.name.to_string());
            self.moved.insert((kind, namespace, name));
        }
        let text = address.spec["address"].as_str().map(str::to_owned);
        let address = Address::read(kind, address);
        if let (Ok(ip), Some(text)) = (&address.address, text)
            && ip.to_string() != text
        {
            let meta = &address.meta;
            let key = (kind, meta.namespace.to_string(), meta.name.to_string());
            self.spelled.insert(key, text);
        }
        self.addresses.push(address);
    }

    /// The objects of a kind, of those that the selector selects; those that cannot be understood are remembered.
    async fn of(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Vec<WireObject> {
        let read = |value: Value| read(kind, value);
        let list = reader.kind(kind, namespace, selector, read).await;
        self.kinds[kind] = match list {
            Some(_) => KindState::Listed,
            None => KindState::Absent,
        };
        let mut objects = Vec::new();
        for object in list.unwrap_or_default() {
            match object {
                Ok(object) => objects.push(object),
                Err(strange) => self.strange.push(strange),
            }
        }
        objects
    }

    /// The object; one that cannot be understood is remembered.
    fn understood(&mut self, kind: Kind, object: Value) -> Option<WireObject> {
        read(kind, object)
            .map_err(|strange| self.strange.push(strange))
            .ok()
    }

    /// Claims by kind, namespace and name.
    pub(super) fn claim_names(&self) -> BTreeSet<(ClaimKind, Arc<str>, Arc<str>)> {
        let key = |claim: &Claim| {
            (
                claim.kind,
                claim.meta.namespace.clone(),
                claim.meta.name.clone(),
            )
        };
        self.claims.iter().map(key).collect()
    }
}

/// What keeps a manager from writing to a claim (P1), of a pool, by a Cluster or by itself.
pub(super) fn pause_of(
    claim: &Claim,
    pool: Option<&PoolObject>,
    is_paused: impl Fn(&str) -> bool,
) -> Option<String> {
    let of_pool = pool.and_then(|pool| pool.spec.as_ref().ok()?.cluster_name.as_deref());
    let of_claim = claim.cluster.as_deref();
    let clusters = [of_claim, of_pool].into_iter().flatten();
    let cluster = clusters.into_iter().find(|name| is_paused(name));
    if claim.meta.has_annotation(names::PAUSED_ANNOTATION) {
        Some("the claim".to_owned())
    } else if let Some(cluster) = cluster {
        Some(format!("Cluster {cluster}"))
    } else {
        let pool = pool.filter(|pool| pool.meta.has_annotation(names::PAUSED_ANNOTATION));
        pool.map(|pool| format!("pool {}", pool.key()))
    }
}

/// The reason that a claim's condition has; of an IPAddressClaim the finer one that opens the message, where there is one (U1).
pub(super) fn fine_reason(kind: ClaimKind, ready: &Condition) -> &str {
    let first = ready.message.split_once(": ").map(|(first, _)| first);
    let is_reason = |word: &&str| word.bytes().all(|b| b.is_ascii_alphabetic());
    let finer = first.filter(|_| kind == ClaimKind::Capi).filter(is_reason);
    finer.unwrap_or(&ready.reason)
}

/// An object of a kind, or its name and why it cannot be understood.
fn read(kind: Kind, value: Value) -> Result<WireObject, (String, String)> {
    let name = object_name(word(kind), &value);
    serde_json::from_value(value).map_err(|error| (name, error.to_string()))
}

/// What one object of a kind is called.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Pools => "IPPool",
        Kind::Claims(kind) => kind.claim(),
        Kind::Addresses(_) => "IPAddress",
        Kind::Clusters => "Cluster",
    }
}

/// `Kind namespace/name`.
pub(super) fn object_name(kind: &str, object: &Value) -> String {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or("?");
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
