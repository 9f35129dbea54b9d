//! More steps of scenarios: changes of objects, reads of their conditions, and a probe that returns when the controller has
//! processed everything written so far.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{Controller, Settings, View};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{DEADLINE, World, capi_claim_json, claim_json};

/// The annotation of a pause, set and taken off.
pub(crate) const PAUSED: &str = "cluster.x-k8s.io/paused";
/// The label of `--watch-filter`, which names the manager of an object (P4).
pub(crate) const WATCH_FILTER: &str = "cluster.x-k8s.io/watch-filter";
/// The label that names an object's Cluster.
pub(crate) const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// Our finalizers on address objects.
pub(crate) const ADDRESS_FINALIZER: &str = "ipaddress.ipam.metal3.io";
/// The same on Cluster API's.
pub(crate) const CAPI_ADDRESS_FINALIZER: &str = "ipam.metal3.io/ipaddress";

/// The spec of a pool with one range.
pub(crate) fn range(start: &str, end: &str) -> Value {
    json!({"pools": [{"start": start, "end": end}]})
}

/// JSON of an IPAddress of Metal3, as a user writes one.
pub(crate) fn address_json(name: &str, pool: &str, claim: &str, address: &str) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": address, "pool": {"name": pool}, "claim": {"name": claim}}})
}

/// JSON of an IPAddress of Cluster API, as a user writes one.
pub(crate) fn capi_address_json(name: &str, pool: &str, claim: &str, address: &str) -> Value {
    json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": address, "prefix": 24, "claimRef": {"name": claim},
            "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}}})
}

/// A claim that asks for one address.
pub(crate) fn asking_for(mut claim: Value, address: &str) -> Value {
    claim["metadata"]["annotations"] = json!({"ipAddress": address});
    claim
}

/// The condition of this type in a pool's status.
pub(crate) fn pool_condition<'a>(pool: &'a IPPool, type_: &str) -> Option<&'a Condition> {
    let status = pool.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == type_)
}

/// The `Ready` condition of an IPAddressClaim.
pub(crate) fn capi_ready(claim: &IPAddressClaim) -> Option<&Condition> {
    let status = claim.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == "Ready")
}

/// Name of the address object in an IPAddressClaim's status.
pub(crate) fn capi_published(claim: &IPAddressClaim) -> Option<String> {
    Some(claim.status.as_ref()?.address_ref.as_ref()?.name.clone())
}

/// Waits until a controller shows what is looked for.
pub(crate) async fn until_view(view: &View, what: &str, holds: impl Fn(&View) -> bool) {
    let mut changes = view.changes();
    let shown = async {
        while !holds(view) {
            view.changed(&mut changes).await;
        }
    };
    let shown = tokio::time::timeout(DEADLINE, shown).await;
    assert!(shown.is_ok(), "waited for the controller to show {what}");
}

/// A second controller on the server of a world.
pub(crate) struct Another {
    stop: CancellationToken,
    run: JoinHandle<()>,
    /// What it shows.
    pub(crate) view: View,
}

impl Another {
    /// Stops it and waits for its end.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.run.await.expect("the controller did not panic");
    }
}

impl World {
    /// Merges a patch into an object.
    pub(crate) async fn patch<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Merges a patch into an object's status.
    pub(crate) async fn patch_status<K>(&self, name: &str, status: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<K>()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap()
    }

    /// An object as it stands.
    pub(crate) async fn get<K>(&self, name: &str) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.api::<K>().get(name).await.unwrap()
    }

    /// Deletes an object in one of the ways of propagation.
    pub(crate) async fn delete_with<K>(&self, name: &str, how: &DeleteParams)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.api::<K>().delete(name, how).await.unwrap();
    }

    /// Waits until there is no object of this kind.
    pub(crate) async fn none<K>(&self)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let what = format!("every {} to be gone", K::kind(&()));
        self.until::<K>(&what, BTreeMap::is_empty).await;
    }

    /// Waits until this IPAddressClaim waits for this reason, and returns the message.
    pub(crate) async fn capi_waits_for(&self, claim: &str, reason: &str) -> String {
        let what = format!("IPAddressClaim {claim} to wait for {reason}");
        let waits = |c: &IPAddressClaim| {
            capi_ready(c).is_some_and(|r| r.status == "False" && r.reason == reason)
        };
        let claims = self
            .until::<IPAddressClaim>(&what, |all| all.get(claim).is_some_and(waits))
            .await;
        capi_ready(&claims[claim]).unwrap().message.clone()
    }

    /// Waits until the pool shows a condition with this status and reason, and returns the message; an empty one where the
    /// server's definition keeps none.
    pub(crate) async fn pool_says(&self, pool: &str, type_: &str, as_: (&str, &str)) -> String {
        let what = format!("pool {pool} to say {type_}={} for {}", as_.0, as_.1);
        if !self.keeps_conditions() {
            match (type_, as_) {
                ("Ready", ("False", reason)) => {
                    self.until_snapshot(pool, &what, |s| s.ready == Err(reason))
                        .await;
                }
                // Nothing shows a pause: it has been seen once all that was written before has been.
                ("Paused", _) => self.looked_at_everything(&Value::Null).await,
                _ => panic!("nothing here tells of {type_}={} for {}", as_.0, as_.1),
            }
            return String::new();
        }
        let says =
            |p: &IPPool| pool_condition(p, type_).is_some_and(|c| (&*c.status, &*c.reason) == as_);
        let pools = self
            .until::<IPPool>(&what, |all| all.get(pool).is_some_and(says))
            .await;
        pool_condition(&pools[pool], type_).unwrap().message.clone()
    }

    /// Waits until the pool's status is about its newest spec, every condition included.
    pub(crate) async fn until_observed(&self, pool: &str) -> IPPool {
        let observed = |p: &IPPool| {
            let generation = p.metadata.generation;
            p.status.as_ref().is_some_and(|s| {
                let of_it = |c: &Condition| c.observed_generation == generation;
                s.observed_generation == generation
                    && pool_condition(p, "Ready").is_some()
                    && s.conditions.iter().all(of_it)
            })
        };
        let what = format!("pool {pool} and all its conditions to be about its newest spec");
        let mut pools = self
            .until::<IPPool>(&what, |all| all.get(pool).is_some_and(observed))
            .await;
        pools.remove(pool).unwrap()
    }

    /// Waits until the controller has seen the newest change of a pool, its deletion included. What is created afterwards meets
    /// that change: without this wait its own watch may be the faster one.
    pub(crate) async fn pool_is_seen(&self, pool: &str) {
        if self.keeps_conditions() {
            self.until_observed(pool).await;
        } else {
            self.looked_at_everything(&Value::Null).await;
        }
    }

    /// Returns when the garbage collector knows the owners of all pools as they stand: it has its own watches, and orphans only
    /// the dependents that it knows of. A pool of an owner that does not exist is deleted once it is seen.
    pub(crate) async fn garbage_collector_knows_the_pools(&self) {
        const NAME: &str = "of-nobody";
        let owner = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": NAME, "uid": "00000000-0000-0000-0000-000000000000"});
        let mut spec = range("10.200.1.1", "10.200.1.1");
        spec["namePrefix"] = json!(NAME);
        let _: IPPool = self
            .create(json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": NAME, "ownerReferences": [owner]}, "spec": spec}))
            .await;
        self.until::<IPPool>("the garbage collector to know the pools", |all| {
            !all.contains_key(NAME)
        })
        .await;
    }

    /// Waits until this many addresses of the pool are counted as given out.
    pub(crate) async fn pool_counts(&self, pool: &str, allocated: i64) -> IPPool {
        let what = format!("pool {pool} to count {allocated} addresses");
        if !self.keeps_conditions() {
            let counted = u128::try_from(allocated).unwrap();
            self.until_snapshot(pool, &what, |s| s.allocated == counted)
                .await;
            return self.get(pool).await;
        }
        let mut pools = self
            .until::<IPPool>(&what, |all| {
                let status = all.get(pool).and_then(|p| p.status.as_ref());
                status.is_some_and(|s| s.allocated == Some(allocated))
            })
            .await;
        pools.remove(pool).unwrap()
    }

    /// Another controller on this server, for the scenario's namespace.
    pub(crate) fn another_controller(&self, mut settings: Settings) -> Another {
        settings.namespace = Some(self.namespace.clone());
        let client = self.of_controllers();
        let controller = Controller::new(client.clone(), client, settings);
        let (view, stop) = (controller.view(), CancellationToken::new());
        let stopped = stop.clone();
        let run = tokio::spawn(async move { controller.run(stopped).await.unwrap() });
        Another { stop, run, view }
    }

    /// Returns when the controller has seen all that was written before this call, and has done what there was to do: a pool
    /// that needs one new object of every watched kind is served, and each kind's watch sends events in the order of writes. Leaves
    /// nothing behind.
    pub(crate) async fn looked_at_everything(&self, labels: &Value) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("probe-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let labelled = |mut object: Value| {
            object["metadata"]["labels"] = labels.clone();
            object
        };
        // Both addresses are seen to be held by others: the claims are served once both watches of address objects have shown
        // that those are gone.
        let (one, two) = (format!("{name}-one"), format!("{name}-two"));
        let _: IPAddress = self
            .create(address_json(&one, &name, "nobody", "10.200.0.1"))
            .await;
        let _: CapiIPAddress = self
            .create(capi_address_json(&two, &name, "nobody", "10.200.0.2"))
            .await;
        let mut spec = range("10.200.0.1", "10.200.0.2");
        spec["namePrefix"] = json!(name);
        spec["clusterName"] = json!(name);
        let _: IPPool = self
            .create(labelled(json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": spec})))
            .await;
        let _: Cluster = self.cluster(&name, false).await;
        self.pool_counts(&name, 2).await;
        let _: IPClaim = self.create(labelled(claim_json(&name, &name))).await;
        let _: IPAddressClaim = self.create(labelled(capi_claim_json(&name, &name))).await;
        self.delete::<IPAddress>(&one).await;
        self.delete::<CapiIPAddress>(&two).await;
        self.address_of(&name).await;
        self.capi_address_of(&name).await;
        self.delete_and_wait::<IPClaim>(&name).await;
        self.delete_and_wait::<IPAddressClaim>(&name).await;
        self.delete_and_wait::<IPPool>(&name).await;
        self.delete_and_wait::<Cluster>(&name).await;
    }

    /// Names and versions of everything in the namespace that the controller may write to.
    pub(crate) async fn versions(&self) -> Vec<String> {
        async fn of<K>(world: &World) -> Vec<String>
        where
            K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
                + Clone
                + DeserializeOwned
                + Debug,
        {
            let listed = world.api::<K>().list(&ListParams::default()).await.unwrap();
            let told = listed.items.iter().map(|k| {
                let version = k.resource_version().unwrap();
                format!("{} {} at {version}", K::plural(&()), k.name_any())
            });
            told.collect()
        }
        let mut all = of::<IPPool>(self).await;
        all.extend(of::<IPClaim>(self).await);
        all.extend(of::<IPAddressClaim>(self).await);
        all.extend(of::<IPAddress>(self).await);
        all.extend(of::<CapiIPAddress>(self).await);
        all
    }
}
