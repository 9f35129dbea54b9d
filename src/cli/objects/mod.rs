//! A cluster's pools, claims, address objects and Clusters, read once and page by page, for the subcommands that answer
//! questions about them.
//!
//! ```text
//!   part.rs     only what an address or a name is about, where the server can select it
//!   reader.rs   lists, page by page with the manager's own requests; what cannot be read is remembered
//!      v        the kinds beside each other
//!   Objects     of the neutral types of `api`
//!      v
//!      │        writers.rs: who else wrote the objects, by their managedFields (check)
//!   fed.rs      each pool's own state machine, given its objects as the manager would be; nothing that it asks for is sent
//!   beside.rs   pools beside each other, specs beside what is held
//! ```

mod beside;
mod fed;
mod part;
mod reader;
#[cfg(test)]
mod tests;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::beside::{Beside, Overlap};
pub(super) use self::fed::{Births, Fed, Parts};
pub(super) use self::reader::{Reader, words};
pub(super) use self::writers::Foreign;
use crate::api::{
    Address, Claim, ClaimKind, ClusterFacts, Kind, PoolObject, ReferenceFault, WireObject, names,
    names_our_pool,
};
use crate::controller::Unreadable;
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
    /// Address objects that are not looked at, whose names are taken: of other providers' pools, and beside a part of a cluster those
    /// with names that its pools would use.
    pub(super) namesakes: Vec<Address>,
    /// Each with its namespace.
    pub(super) clusters: Vec<(String, Arc<ClusterFacts>)>,
    pub(super) kinds: Kinds,
    /// Kinds that are there and could not be read.
    pub(super) unread: Vec<Kind>,
    /// Objects that cannot be understood, with why.
    pub(super) strange: Vec<(String, String)>,
    /// Address objects whose labels carry `clusterctl move` along: kind, namespace and name.
    pub(super) moved: BTreeSet<(ClaimKind, String, String)>,
    /// Who else has written in them; empty unless the reader was asked to look.
    pub(super) foreign: Vec<Foreign>,
    /// Texts of addresses that are not written in their canonical form, by kind, namespace and name of the address object.
    pub(super) spelled: BTreeMap<(ClaimKind, String, String), String>,
}

impl Objects {
    /// Whether nothing of ours was found.
    pub(super) fn are_none(&self) -> bool {
        self.pools.is_empty()
            && self.claims.is_empty()
            && self.addresses.is_empty()
            && self.strange.is_empty()
    }

    /// Reads all of them, the kinds beside each other; what could not be read is in the reader.
    pub(super) async fn read(reader: &mut Reader<'_>, namespace: Option<&str>) -> Self {
        let [metal3, capi] = ClaimKind::ALL;
        let kinds = [
            Kind::Pools,
            Kind::Clusters,
            Kind::Claims(metal3),
            Kind::Addresses(metal3),
            Kind::Claims(capi),
            Kind::Addresses(capi),
        ];
        Self::of(reader, namespace, kinds.map(|kind| (kind, None))).await
    }

    /// Reads kinds beside each other, each as a task with at most one page in memory. With a selector, those that it selects.
    async fn of<const N: usize>(
        reader: &mut Reader<'_>,
        namespace: Option<&str>,
        kinds: [(Kind, Option<String>); N],
    ) -> Self {
        let tasks = kinds.map(|(kind, selector)| {
            let client = reader.client.clone();
            let namespace = namespace.map(str::to_owned);
            let writers = reader.looks_for_writers;
            let take = move |objects: &mut Self, page, body: &[u8]| {
                objects.add_page(kind, page);
                if writers {
                    objects.add_writers(kind, body);
                }
            };
            let read = async move {
                reader::each_page(&client, kind, namespace.as_deref(), selector, take).await
            };
            (kind, AbortOnDropHandle::new(tokio::spawn(read)))
        });
        let mut objects = Self::default();
        for (kind, task) in tasks {
            let list = match task.await {
                Ok(list) => list,
                Err(panic) => Err(format!("{kind}: the task that read it ended: {panic}")),
            };
            let list = list.unwrap_or_else(|why| {
                reader.unread.push(why);
                objects.unread.push(kind);
                None
            });
            objects.kinds[kind] = match list {
                Some(_) => KindState::Listed,
                None => KindState::Absent,
            };
            objects.append(list.unwrap_or_default());
        }
        objects
    }

    /// Whether an object that is not in here does not exist: its kind was read, and it is none of those that cannot be understood.
    pub(super) fn is_missing(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        let called = format!("{} {namespace}/{name}", word(kind));
        !self.unread.contains(&kind) && self.strange.iter().all(|(object, _)| *object != called)
    }

    /// Takes in what was read of another kind. Lists are moved, not copied, where nothing was read of their sort before.
    fn append(&mut self, other: Self) {
        fn join<T>(all: &mut Vec<T>, mut more: Vec<T>) {
            if all.is_empty() {
                *all = more;
            } else {
                all.append(&mut more);
            }
        }
        let Self {
            pools,
            claims,
            addresses,
            namesakes,
            clusters,
            kinds: _,
            mut unread,
            strange,
            mut moved,
            foreign,
            mut spelled,
        } = other;
        join(&mut self.pools, pools);
        join(&mut self.claims, claims);
        join(&mut self.addresses, addresses);
        join(&mut self.namesakes, namesakes);
        join(&mut self.clusters, clusters);
        join(&mut self.strange, strange);
        join(&mut self.foreign, foreign);
        self.unread.append(&mut unread);
        self.moved.append(&mut moved);
        self.spelled.append(&mut spelled);
    }

    /// Takes in the objects of a page; those that cannot be understood are remembered.
    fn add_page(&mut self, kind: Kind, page: Vec<Result<WireObject, Unreadable>>) {
        for object in page {
            match object {
                Ok(object) => self.add(kind, object),
                Err(unreadable) => {
                    let name = match &unreadable.name {
                        Some(name) if name.namespace.is_empty() => name.name.to_string(),
                        Some(name) => format!("{}/{}", name.namespace, name.name),
                        None => "?".to_owned(),
                    };
                    let name = format!("{} {name}", word(kind));
                    self.strange.push((name, unreadable.error));
                }
            }
        }
    }

    /// Takes in who else has written in the objects of a page; after those, which name what cannot be read of them.
    pub(super) fn add_writers(&mut self, kind: Kind, body: &[u8]) {
        for object in writers::of_page(kind, body) {
            match object {
                Ok(foreign) => self.foreign.extend(foreign),
                Err((object, why)) => {
                    if self.strange.iter().all(|(known, _)| *known != object) {
                        self.strange.push((object, why));
                    }
                }
            }
        }
    }

    fn add(&mut self, kind: Kind, object: WireObject) {
        match kind {
            Kind::Pools => self.pools.push(PoolObject::read(object)),
            Kind::Claims(kind) => self.add_claim(kind, object),
            Kind::Addresses(kind) => self.add_address(kind, object),
            Kind::Clusters => {
                let facts = Arc::new(ClusterFacts::read("", &object));
                let namespace = object.metadata.namespace.to_string();
                self.clusters.push((namespace, facts));
            }
        }
    }

    /// Takes in a claim, unless another provider serves it.
    fn add_claim(&mut self, kind: ClaimKind, claim: WireObject) {
        let claim = Claim::read(kind, claim);
        if claim.fault != Some(ReferenceFault::OtherProvider) {
            self.claims.push(claim);
        }
    }

    /// Takes in an address object; of one of another provider's pool only that its name is taken.
    pub(super) fn add_address(&mut self, kind: ClaimKind, address: WireObject) {
        if !names_our_pool(kind, &address.spec) {
            self.namesakes.push(Address::read(kind, address));
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
