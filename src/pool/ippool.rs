//! The pool object itself: what is known of it, and its metadata (P2, R1, R5).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::metal3::{IPPoolSpec, IPPoolStatus};
use crate::api::names::{
    CAPI_GROUP, CLUSTER_NAME_LABEL, DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION, POOL_FINALIZER,
    PROVIDER_LABEL, PROVIDER_NAME,
};
use crate::api::{AddressKey, ClusterFacts, Kind, PoolObject, ResourceVersion, Uid};

use super::asked::AskedMeta;
use super::case::{AttemptState, Case, Outlived};
use super::input::{KindState, Scope};
use super::machine::{About, Pool, Purpose};
use super::request::{Effect, Request, RequestId};
use super::space::Holder;
use super::status_writer::StatusWriter;
use super::terms::Terms;
use super::time::Backoff;

/// What is kept of the IPPool object.
#[derive(Debug)]
pub(super) struct PoolRecord {
    pub(super) uid: Uid,
    pub(super) version: ResourceVersion,
    pub(super) generation: i64,
    pub(super) deleting: bool,
    /// The pause annotation.
    pub(super) paused: bool,
    /// The annotation of `clusterctl move`.
    moving: bool,
    finalizers: Vec<String>,
    labels: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    pub(super) scope: Scope,
    pub(super) spec: Result<IPPoolSpec, String>,
    pub(super) status: IPPoolStatus,
    /// What admission finds wrong with the spec.
    pub(super) problems: Vec<String>,
    pub(super) terms: Terms,
}

/// What the pool's metadata lacks.
enum MetaStep {
    /// An uncached read of the Cluster that is to become its owner.
    ReadCluster(Arc<str>),
    Write(MetaChange),
}

/// A write of the pool's metadata.
struct MetaChange {
    finalizers: Vec<String>,
    /// Labels to set, and with `None` to remove.
    labels: BTreeMap<String, Option<String>>,
    /// `None`: they stay as they are.
    owner_references: Option<Vec<OwnerReference>>,
}

/// The IPPool object, and the requests about it.
#[derive(Debug, Default)]
pub(super) struct IPPoolState {
    pub(super) record: Option<PoolRecord>,
    /// The request about the pool object that has no answer yet; there is one at a time.
    pub(super) flight: Option<PoolFlight>,
    pub(super) backoff: Backoff,
    /// The server's message when it refused the last write of the metadata.
    pub(super) refusal: Option<String>,
    /// UID of the Cluster that an uncached read has just shown, good for one write (P2).
    pub(super) checked: Option<Uid>,
    pub(super) status: StatusWriter,
}

/// A request about the pool object that has no answer yet. What it is for stands in [`Pool::flights`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolFlight {
    id: RequestId,
    /// It is withdrawn, if it has not left.
    is_withdrawn: bool,
}

impl IPPoolState {
    /// When the pool's own requests want to be looked at again.
    pub(super) fn next_timer(&self, now: Timestamp, shortest: SignedDuration) -> Option<Timestamp> {
        let times = [
            self.backoff.until(now),
            self.status.next_timer(now, shortest),
        ];
        times.into_iter().flatten().min()
    }

    /// The last object that names the pool is gone (R5).
    pub(super) fn unblocked(&mut self) {
        self.backoff.reset();
    }
}

impl PoolRecord {
    fn has_finalizer(&self) -> bool {
        self.finalizers.iter().any(|f| f == POOL_FINALIZER)
    }

    /// Whether nothing of the metadata differs that decides about claims or about the pool's own metadata.
    fn has_same_metadata(&self, other: &Self) -> bool {
        let flags = |pool: &Self| (pool.deleting, pool.paused, pool.moving, pool.scope);
        flags(self) == flags(other)
            && self.finalizers == other.finalizers
            && self.labels == other.labels
            && self.owners == other.owners
    }

    /// Number of ranges and pre-allocations in the spec.
    pub(super) fn entries(&self) -> usize {
        self.spec
            .as_ref()
            .map_or(0, |spec| spec.pools.len() + spec.pre_allocations.len())
    }

    /// Whether `clusterctl move` has marked the pool and taken its finalizer off, and is about to delete it: it gets none back.
    pub(super) fn is_moving(&self) -> bool {
        self.moving && !self.has_finalizer()
    }

    /// The Cluster that the pool belonged to before `clusterName` was taken out of its spec, or names another (P2). The two
    /// labels together are a controller's writing; a cluster-name label alone is a user's, and so are owner references beside
    /// it.
    fn left_cluster(&self) -> Option<&str> {
        let provider = self.labels.get(PROVIDER_LABEL).map(String::as_str);
        if self.spec.is_err() || provider != Some(PROVIDER_NAME) {
            return None;
        }
        let before = self.labels.get(CLUSTER_NAME_LABEL).map(String::as_str);
        before.filter(|before| self.terms.cluster.as_deref() != Some(before))
    }
}

impl MetaChange {
    /// Everything as it is stored.
    fn none(pool: &PoolRecord) -> Self {
        Self {
            finalizers: pool.finalizers.clone(),
            labels: BTreeMap::new(),
            owner_references: None,
        }
    }

    /// Takes the labels off, and the reference to the Cluster of this name, whose end would take the pool with it.
    fn leave_cluster(&mut self, pool: &PoolRecord, name: &str) {
        self.labels.insert(CLUSTER_NAME_LABEL.to_owned(), None);
        self.labels.insert(PROVIDER_LABEL.to_owned(), None);
        let is_its = |owner: &OwnerReference| is_cluster(owner) && owner.name == name;
        if pool.owners.iter().any(is_its) {
            let kept = pool.owners.iter().filter(|owner| !is_its(owner));
            self.owner_references = Some(kept.cloned().collect());
        }
    }

    /// Sets the labels and the reference to this Cluster, instead of any other Cluster's.
    fn join_cluster(&mut self, pool: &PoolRecord, name: &str, cluster: &ClusterFacts) {
        let mut set = |label: &str, value: &str| {
            self.labels.insert(label.to_owned(), Some(value.to_owned()));
        };
        set(CLUSTER_NAME_LABEL, name);
        set(PROVIDER_LABEL, PROVIDER_NAME);
        let others = pool.owners.iter().filter(|owner| !is_cluster(owner));
        let mut owners: Vec<OwnerReference> = others.cloned().collect();
        owners.push(OwnerReference {
            api_version: cluster.api_version.to_string(),
            kind: "Cluster".to_owned(),
            name: cluster.name.to_string(),
            uid: cluster.uid.to_string(),
            block_owner_deletion: None,
            controller: None,
        });
        self.owner_references = Some(owners);
    }
}

fn is_cluster(owner: &OwnerReference) -> bool {
    owner.kind == "Cluster" && owner.api_version.split('/').next() == Some(CAPI_GROUP)
}

impl Pool {
    pub(super) fn pool_seen(&mut self, object: PoolObject, problems: Vec<String>, scope: Scope) {
        let meta = object.meta;
        let mut before = match &self.ippool.record {
            Some(known) if known.uid == meta.uid => self.ippool.record.take(),
            Some(known) => {
                let uid = known.uid.clone();
                self.pool_gone(&uid);
                None
            }
            None => None,
        };
        let is_first = before.is_none();
        let same_spec = before.as_ref().is_some_and(|b| b.spec == object.spec);
        let terms = before.as_mut().map(|b| std::mem::take(&mut b.terms));
        let record = PoolRecord {
            deleting: meta.is_deleting(),
            paused: meta.has_annotation(PAUSED_ANNOTATION),
            moving: meta.has_annotation(DELETE_FOR_MOVE_ANNOTATION),
            uid: meta.uid,
            version: meta.resource_version,
            generation: meta.generation,
            finalizers: meta.finalizers,
            labels: meta.labels,
            owners: meta.owner_references,
            scope,
            status: object.status,
            problems,
            terms: terms.unwrap_or_default(),
            spec: object.spec,
        };
        let same_metadata = before.is_some_and(|before| before.has_same_metadata(&record));
        if !(same_metadata && same_spec) {
            self.ippool.backoff.reset();
            self.mark_all();
        }
        if is_first {
            self.ippool.refusal = None;
            self.ippool.status.reset();
            self.terminating_until = None;
        }
        self.ippool.status.mark();
        self.ippool.record = Some(record);
        if !same_spec {
            self.take_terms();
        }
    }

    pub(super) fn pool_gone(&mut self, uid: &Uid) {
        if self.ippool.record.as_ref().is_none_or(|p| p.uid != *uid) {
            return;
        }
        self.ippool.record = None;
        self.ippool.checked = None;
        // What was to be put back (R4) is of the pool that is gone; a pool of its name gives the claim its address again (A2).
        for case in self.cases.values_mut() {
            if let Some(work) = case.some_work()
                && let Some(vanished) = work.vanished.take()
            {
                work.outlived = Some(Box::new(Outlived {
                    name: vanished.name,
                    address: vanished.address,
                }));
            }
        }
        self.free_all_names();
        self.space.rebuild(&Terms::default());
        self.hold_all_shown();
        self.mark_all();
    }

    /// The names that others have are asked for no more: whether the pool needs them shows at its next creates.
    fn free_all_names(&mut self) {
        let names: Vec<AddressKey> = self.taken_names.keys().cloned().collect();
        for name in names {
            self.free_name(&name);
        }
        self.mark_all();
    }

    /// The spec changed: the bitmap is rebuilt from the holders, and what was chosen but not asked for is chosen anew.
    fn take_terms(&mut self) {
        let planned: Vec<_> = self
            .cases
            .iter()
            .filter_map(|(key, case)| Some((key, case.work().attempt.as_deref()?)))
            .filter(|(_, attempt)| attempt.state == AttemptState::Planned)
            .map(|(key, attempt)| (key.clone(), attempt.address))
            .collect();
        for (key, addr) in planned {
            self.space.unhold(addr, &Holder::Attempt(key.clone()));
            if let Some(work) = self.cases.get_mut(&key).and_then(Case::some_work) {
                work.attempt = None;
                // Its finalizer may be on its way; nothing is lost by that.
                work.backoff.reset();
            }
        }
        let Some(pool) = &mut self.ippool.record else {
            return;
        };
        let prefix = pool.terms.name_prefix.clone();
        if let Ok(spec) = &pool.spec {
            pool.terms = Terms::read(spec);
        }
        if pool.terms.name_prefix != prefix {
            self.free_all_names();
        }
        if let Some(pool) = &self.ippool.record {
            self.space.rebuild(&pool.terms);
        }
        self.hold_all_shown();
    }

    /// Whether the pool's finalizer is stored, and with a Cluster its labels and owner reference (R1, P2).
    pub(super) fn is_meta_stored(&self) -> bool {
        let Some(pool) = &self.ippool.record else {
            return false;
        };
        let possible = |_: &&Arc<str>| !pool.terms.is_cluster_impossible;
        let Some(name) = pool.terms.cluster.as_ref().filter(possible) else {
            return pool.has_finalizer();
        };
        let label = |label: &str, value: &str| pool.labels.get(label).is_some_and(|v| v == value);
        let uid = self.cluster(name).map(|c| c.uid.clone());
        let mut clusters = pool.owners.iter().filter(|o| is_cluster(o)).peekable();
        pool.has_finalizer()
            && label(CLUSTER_NAME_LABEL, name)
            && label(PROVIDER_LABEL, PROVIDER_NAME)
            && clusters.peek().is_some()
            && clusters.all(|o| *o.name == **name && uid.as_ref().is_none_or(|uid| uid.is(&o.uid)))
    }

    /// Whether the pool names its Cluster in a version that is not the one in use any more. Nothing waits for that, but once the
    /// old version is not served the garbage collector could not find the Cluster by it.
    fn is_owner_outdated(&self) -> bool {
        let Some(pool) = &self.ippool.record else {
            return false;
        };
        let cluster = pool.terms.cluster.as_deref();
        cluster
            .filter(|_| !pool.terms.is_cluster_impossible)
            .and_then(|name| self.cluster(name))
            .is_some_and(|cluster| {
                let of_it = |o: &&OwnerReference| is_cluster(o) && cluster.uid.is(&o.uid);
                let mut owners = pool.owners.iter().filter(of_it);
                owners.any(|o| *o.api_version != *cluster.api_version)
            })
    }

    /// Sends what the pool's metadata lacks, or takes back what is in its way or may not leave any more; true if something was sent.
    pub(super) fn write_metadata(&mut self) -> bool {
        if self.is_paused() || self.is_of_another_manager() {
            let says_so = matches!(
                self.pool_flight(),
                Some(Purpose::Status(_, _, About::Pause))
            );
            if !(says_so && self.is_paused()) {
                self.withdraw_for_pool();
            }
            return false;
        }
        let Some(step) = self.metadata_step() else {
            return false;
        };
        if self.ippool.flight.is_some() {
            self.withdraw_for_pool();
            return false;
        }
        self.send_metadata(step);
        true
    }

    /// What the pool's metadata lacks, if nothing is in its way but counts, which may wait long to be sent.
    fn metadata_step(&self) -> Option<MetaStep> {
        let has_place =
            self.ippool.flight.is_none() || self.counts_fly() && !self.ippool.backoff.has_failed();
        let may_write = self.kinds.is_synced()
            && self.kinds[Kind::Pools] == KindState::Listed
            && has_place
            && self.ippool.backoff.until(self.now).is_none();
        let pool = self.ippool.record.as_ref().filter(|_| may_write)?;
        if pool.deleting {
            self.release_pool(pool).map(MetaStep::Write)
        } else {
            self.keep_pool(pool)
        }
    }

    fn send_metadata(&mut self, step: MetaStep) {
        let Some(pool) = &self.ippool.record else {
            return;
        };
        let (purpose, request) = match step {
            MetaStep::ReadCluster(name) => (
                Purpose::Cluster(name.clone()),
                Request::ReadCluster { name },
            ),
            MetaStep::Write(change) => {
                let uid = pool.uid.clone();
                let request = Request::PoolMeta {
                    uid: uid.clone(),
                    resource_version: pool.version.clone(),
                    finalizers: change.finalizers,
                    labels: change.labels,
                    owner_references: change.owner_references,
                    entries: pool.entries(),
                };
                // The read of a Cluster was good for this write.
                self.ippool.checked = None;
                let asked = AskedMeta::of(&request);
                (Purpose::Meta(uid, asked), request)
            }
        };
        self.send_for_pool(purpose, request);
    }

    /// A deleting pool gives up our finalizer once nothing is held in it (R5).
    fn release_pool(&self, pool: &PoolRecord) -> Option<MetaChange> {
        let is_free = self.addresses.is_empty() && self.unsettled.is_empty();
        if !(pool.has_finalizer() && is_free) || self.missing_kind().is_some() {
            return None;
        }
        let mut change = MetaChange::none(pool);
        change.finalizers.retain(|f| f != POOL_FINALIZER);
        Some(change)
    }

    /// A living pool gets our finalizer (R1), and the labels and the owner reference of its Cluster (P2). It leaves a Cluster that its
    /// spec does not name any more at once, whether the other one is there or not.
    fn keep_pool(&self, pool: &PoolRecord) -> Option<MetaStep> {
        if pool.is_moving() {
            return None;
        }
        let left = pool.left_cluster();
        if self.is_meta_stored() && left.is_none() && !self.is_owner_outdated() {
            return None;
        }
        let mut change = MetaChange::none(pool);
        if !pool.has_finalizer() {
            change.finalizers.push(POOL_FINALIZER.to_owned());
        }
        if let Some(name) = left {
            change.leave_cluster(pool, name);
        }
        let possible = |_: &&Arc<str>| !pool.terms.is_cluster_impossible;
        let Some(name) = pool.terms.cluster.as_ref().filter(possible) else {
            return Some(MetaStep::Write(change));
        };
        match self.cluster(name).filter(|cluster| !cluster.deleting) {
            None => left.map(|_| MetaStep::Write(change)),
            // Not by what a watch has shown: the Cluster may be gone by now, and the garbage collector would take the pool.
            Some(cluster) if self.ippool.checked.as_ref() != Some(&cluster.uid) => {
                Some(MetaStep::ReadCluster(name.clone()))
            }
            Some(cluster) => {
                change.join_cluster(pool, name, cluster);
                Some(MetaStep::Write(change))
            }
        }
    }

    pub(super) fn send_for_pool(&mut self, purpose: Purpose, request: Request) {
        self.ippool.flight = Some(PoolFlight {
            id: self.next_id(),
            is_withdrawn: false,
        });
        self.send(purpose, request);
    }

    /// What the pool's own request is for, while it has no answer.
    fn pool_flight(&self) -> Option<&Purpose> {
        let flight = self.flights.get(&self.ippool.flight?.id)?;
        Some(&flight.purpose)
    }

    /// Whether the pool's own request is a write of counts alone. With many pools it may wait long to be sent.
    pub(super) fn counts_fly(&self) -> bool {
        matches!(
            self.pool_flight(),
            Some(Purpose::Status(_, _, About::Counts))
        )
    }

    /// Withdraws the pool's own request, unless it has left.
    pub(super) fn withdraw_for_pool(&mut self) {
        if let Some(flight) = &mut self.ippool.flight
            && !flight.is_withdrawn
        {
            flight.is_withdrawn = true;
            let id = flight.id;
            self.effect(Effect::Withdraw(id));
        }
    }
}
