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
use crate::api::{Kind, PoolObject, ResourceVersion, Uid};

use super::asked::AskedMeta;
use super::case::{AttemptState, Case};
use super::input::{KindState, Scope};
use super::machine::{Pool, Purpose};
use super::request::{Request, RequestId};
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

/// The IPPool object, and the requests about it.
#[derive(Debug, Default)]
pub(super) struct IPPoolState {
    pub(super) record: Option<PoolRecord>,
    /// One request about the pool object at a time.
    pub(super) flight: Option<RequestId>,
    pub(super) backoff: Backoff,
    /// The server's message when it refused the last write of the metadata.
    pub(super) refusal: Option<String>,
    /// UID of the Cluster that an uncached read has just shown, good for one write (P2).
    pub(super) checked: Option<Uid>,
    pub(super) status: StatusWriter,
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

fn is_cluster(owner: &OwnerReference) -> bool {
    owner.kind == "Cluster" && owner.api_version.split('/').next() == Some(CAPI_GROUP)
}

impl Pool {
    pub(super) fn pool_seen(&mut self, object: PoolObject, problems: Vec<String>, scope: Scope) {
        let meta = object.meta;
        let before = match &self.ippool.record {
            Some(known) if known.uid == meta.uid => self.ippool.record.take(),
            Some(known) => {
                let uid = known.uid.clone();
                self.pool_gone(&uid);
                None
            }
            None => None,
        };
        let deleting = meta.is_deleting();
        let same_spec = before.as_ref().is_some_and(|b| b.spec == object.spec);
        let standing = |terms| PoolRecord {
            paused: meta.has_annotation(PAUSED_ANNOTATION),
            moving: meta.has_annotation(DELETE_FOR_MOVE_ANNOTATION),
            deleting,
            uid: meta.uid,
            version: meta.resource_version,
            generation: meta.generation,
            finalizers: meta.finalizers,
            labels: meta.labels,
            owners: meta.owner_references,
            scope,
            status: object.status,
            problems,
            terms,
            spec: object.spec,
        };
        let (is_first, changed, standing) = match before {
            Some(before) => {
                let was = (
                    before.uid.clone(),
                    before.deleting,
                    (before.paused, before.moving),
                    before.scope,
                    before.finalizers.clone(),
                    before.labels.clone(),
                    before.owners.clone(),
                );
                let standing = standing(before.terms);
                let is = (
                    standing.uid.clone(),
                    standing.deleting,
                    (standing.paused, standing.moving),
                    standing.scope,
                    standing.finalizers.clone(),
                    standing.labels.clone(),
                    standing.owners.clone(),
                );
                (false, was != is, standing)
            }
            None => (true, true, standing(Terms::default())),
        };
        if changed || !same_spec {
            self.ippool.backoff.reset();
            self.mark_all();
        }
        if is_first {
            self.ippool.refusal = None;
            self.ippool.status.reset();
            self.terminating_until = None;
        }
        self.ippool.status.mark();
        self.ippool.record = Some(standing);
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
                work.outlived = Some(vanished.name);
            }
        }
        self.space.rebuild(&Terms::default());
        self.settle_all_shown();
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
            self.space.let_go(addr, &Holder::Attempt(key.clone()));
            if let Some(work) = self.cases.get_mut(&key).and_then(Case::some_work) {
                work.attempt = None;
                // Its finalizer may be on its way; nothing is lost by that.
                work.backoff.reset();
            }
        }
        let Some(pool) = &mut self.ippool.record else {
            return;
        };
        if let Ok(spec) = &pool.spec {
            pool.terms = Terms::read(spec);
        }
        self.space.rebuild(&pool.terms);
        self.settle_all_shown();
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

    /// Sends what the pool's metadata lacks; true if something was sent.
    pub(super) fn write_metadata(&mut self) -> bool {
        let writable = self.kinds.is_synced()
            && self.kinds[Kind::Pools] == KindState::Listed
            && self.ippool.flight.is_none()
            && self.ippool.backoff.until(self.now).is_none()
            && !self.is_paused()
            && !self.is_of_another_manager();
        let Some(pool) = self.ippool.record.as_ref().filter(|_| writable) else {
            return false;
        };
        if pool.deleting {
            // R5.
            let free = self.addresses.is_empty() && self.unsettled.is_empty();
            if !(pool.has_finalizer() && free) || self.missing_kind().is_some() {
                return false;
            }
            let mut finalizers = pool.finalizers.clone();
            finalizers.retain(|f| f != POOL_FINALIZER);
            let request = Request::PoolMeta {
                uid: pool.uid.clone(),
                resource_version: pool.version.clone(),
                finalizers,
                labels: BTreeMap::new(),
                owner_references: None,
                entries: pool.entries(),
            };
            let uid = pool.uid.clone();
            let asked = AskedMeta::of(&request);
            self.send_for_pool(Purpose::Meta(uid, asked), request);
            return true;
        }
        let (left, entries) = (pool.left_cluster(), pool.entries());
        if pool.is_moving() {
            return false;
        }
        if self.is_meta_stored() && left.is_none() && !self.is_owner_outdated() {
            return false;
        }
        let mut finalizers = pool.finalizers.clone();
        if !pool.has_finalizer() {
            finalizers.push(POOL_FINALIZER.to_owned());
        }
        let mut labels = BTreeMap::new();
        let mut owner_references = None;
        let resource_version = pool.version.clone();
        let uid = pool.uid.clone();
        if let Some(name) = left {
            // Else the Cluster's end would take the pool with it.
            labels.insert(CLUSTER_NAME_LABEL.to_owned(), None);
            labels.insert(PROVIDER_LABEL.to_owned(), None);
            let of_it = |o: &OwnerReference| is_cluster(o) && o.name == name;
            owner_references = pool.owners.iter().any(of_it).then(|| {
                let kept = pool.owners.iter().filter(|o| !of_it(o));
                kept.cloned().collect()
            });
        }
        let possible = |_: &Arc<str>| !pool.terms.is_cluster_impossible;
        let name = pool.terms.cluster.clone().filter(possible);
        let cluster = name.as_ref().and_then(|name| self.cluster(name));
        let cluster = cluster.filter(|cluster| !cluster.deleting);
        if name.is_some() && cluster.is_none() && left.is_none() {
            return false;
        }
        // The one that it has left goes at once, whether the other is there or not.
        if let Some((name, cluster)) = name.zip(cluster) {
            if self.ippool.checked.as_ref() != Some(&cluster.uid) {
                let purpose = Purpose::Cluster(name.clone());
                self.send_for_pool(purpose, Request::ReadCluster { name });
                return true;
            }
            labels.insert(CLUSTER_NAME_LABEL.to_owned(), Some(name.to_string()));
            labels.insert(PROVIDER_LABEL.to_owned(), Some(PROVIDER_NAME.to_owned()));
            let mut owners = pool.owners.clone();
            owners.retain(|o| !is_cluster(o));
            owners.push(OwnerReference {
                api_version: cluster.api_version.to_string(),
                kind: "Cluster".to_owned(),
                name: cluster.name.to_string(),
                uid: cluster.uid.to_string(),
                block_owner_deletion: None,
                controller: None,
            });
            owner_references = Some(owners);
            self.ippool.checked = None;
        }
        let request = Request::PoolMeta {
            uid: uid.clone(),
            resource_version,
            finalizers,
            labels,
            owner_references,
            entries,
        };
        let asked = AskedMeta::of(&request);
        self.send_for_pool(Purpose::Meta(uid, asked), request);
        true
    }

    pub(super) fn send_for_pool(&mut self, purpose: Purpose, request: Request) {
        self.ippool.flight = Some(self.next_id());
        self.send(purpose, request);
    }
}
