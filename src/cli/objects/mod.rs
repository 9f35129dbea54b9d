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
use std::sync::Arc;

use serde_json::Value;

pub(super) use self::beside::Beside;
pub(super) use self::fed::Fed;
pub(super) use self::reader::{Reader, words};
use crate::api::{
    Address, Claim, ClaimKind, ClusterFacts, Kind, PoolObject, ReferenceFault, WireObject, names,
    names_our_pool,
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
        for pool in objects.of(reader, Kind::Pools, "IPPool", namespace).await {
            objects.pools.push(PoolObject::read(pool));
        }
        for kind in ClaimKind::ALL {
            let claims = Kind::Claims(kind);
            for claim in objects.of(reader, claims, kind.claim(), namespace).await {
                let claim = Claim::read(kind, claim);
                if claim.fault != Some(ReferenceFault::OtherProvider) {
                    objects.claims.push(claim);
                }
            }
            let addresses = Kind::Addresses(kind);
            for address in objects.of(reader, addresses, "IPAddress", namespace).await {
                objects.add_address(kind, address);
            }
        }
        let clusters = objects.of(reader, Kind::Clusters, "Cluster", namespace);
        for cluster in clusters.await {
            let facts = ClusterFacts::read("", &cluster);
            let namespace = cluster.metadata.namespace.to_string();
            objects.clusters.push((namespace, facts));
        }
        objects
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

    /// The objects of a kind; those that cannot be understood are remembered.
    async fn of(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        word: &str,
        namespace: Option<&str>,
    ) -> Vec<WireObject> {
        let read = |value: Value| {
            let name = object_name(word, &value);
            serde_json::from_value(value).map_err(|error| (name, error.to_string()))
        };
        let list = reader.kind(kind, namespace, read).await;
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

/// `Kind namespace/name`.
pub(super) fn object_name(kind: &str, object: &Value) -> String {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or("?");
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
