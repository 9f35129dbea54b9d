//! What pools hear of Clusters, when it changes; the end of a pause later (`resume.rs`). Part of the router, and behind its lock.
//!
//! | what | who hears it |
//! | --- | --- |
//! | a Cluster is paused | every pool of its namespace, before an object may name it |
//! | one that is not paused | the pools that it is named in: at once, and before the first object that names it |
//! | its pause ends, to the others | that there is no such Cluster, which is the same to them |
//!
//! A namespace may have a thousand Clusters and as many pools: a copy of each in each pool would be all of the memory.

use std::sync::Arc;

use crate::api::{ClusterFacts, Kind, PoolKey, WireObject};
use crate::pool::{By, Incarnation, Input, Name, Object};

use super::router::{Router, State};

/// The Clusters that the objects of a pool have named, sorted.
#[derive(Debug, Default)]
pub(super) struct NamedClusters(Vec<Arc<str>>);

impl NamedClusters {
    fn has(&self, name: &str) -> bool {
        self.0.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }

    fn add(&mut self, name: Arc<str>) {
        if let Err(place) = self.0.binary_search(&name) {
            // Most pools have one.
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, name);
        }
    }
}

/// The Cluster that an object names.
fn named_by(object: &Object) -> Option<&str> {
    let name = match object {
        Object::Pool { object, .. } => object.spec.as_ref().ok()?.cluster_name.as_deref(),
        Object::Claim { claim, .. } => claim.cluster.as_deref(),
        Object::Address { .. } => None,
    };
    name.filter(|name| !name.is_empty())
}

impl Router {
    /// A Cluster as a list or an event shows it.
    pub(super) fn cluster_seen(
        &self,
        name: &Name,
        object: &WireObject,
        facts: ClusterFacts,
        by: By,
    ) {
        let mut state = self.state();
        let seen = Incarnation::of(&object.metadata, None);
        if state.known.see(Kind::Clusters, name, seen, by).is_err() {
            return;
        }
        let told = state.told(&name.namespace, &name.name);
        // A list after a gap of the watch, or of a kind that has come: a Cluster that is new in it may have been paused meanwhile.
        let is_late = by == By::List && state.addresses_begun;
        let was_paused = match told {
            Some(told) if told.uid == facts.uid => told.paused,
            Some(told) => told.paused || is_late,
            None => is_late,
        };
        if was_paused && !facts.paused {
            let paused = ClusterFacts {
                paused: true,
                ..facts.clone()
            };
            self.tell_cluster(&mut state, &name.namespace, Arc::new(paused));
            self.hold(&mut state, &name.namespace, facts, by);
        } else {
            state.resuming.forget(&name.namespace, &name.name);
            self.tell_cluster(&mut state, &name.namespace, Arc::new(facts));
        }
    }

    /// Tells the pools of a namespace what a Cluster is like now.
    pub(super) fn tell_cluster(
        &self,
        state: &mut State,
        namespace: &Arc<str>,
        facts: Arc<ClusterFacts>,
    ) {
        let before = state.told(namespace, &facts.name);
        // A Cluster's status changes often; pools care for these facts only.
        if before == Some(&facts) {
            return;
        }
        let was_paused = before.is_some_and(|before| before.paused);
        for (pool, named) in state.workers_in(namespace) {
            if facts.paused || named.has(&facts.name) {
                self.tell(pool, Input::ClusterSeen(facts.clone()));
            } else if was_paused {
                self.tell(pool, gone(&facts.name));
            }
        }
        let of_namespace = state.clusters.entry(namespace.clone()).or_default();
        of_namespace.insert(facts.name.clone(), facts);
    }

    /// A Cluster has ended.
    pub(super) fn cluster_gone(&self, state: &mut State, name: &Name) {
        state.resuming.forget(&name.namespace, &name.name);
        let Some(of_namespace) = state.clusters.get_mut(&name.namespace) else {
            return;
        };
        let before = of_namespace.remove(&name.name);
        if of_namespace.is_empty() {
            state.clusters.remove(&name.namespace);
        }
        let was_paused = before.is_some_and(|before| before.paused);
        for (pool, named) in state.workers_in(&name.namespace) {
            if was_paused || named.has(&name.name) {
                self.tell(pool, gone(&name.name));
            }
        }
    }

    /// A pool with a worker is about to get an object. If no object of the pool has named this object's Cluster before, the pool is
    /// told of that Cluster first.
    pub(super) fn tell_named(&self, state: &mut State, pool: &PoolKey, object: &Object) {
        let Some(name) = named_by(object) else {
            return;
        };
        let Some(named) = state.hired.get(pool) else {
            return;
        };
        if named.has(name) {
            return;
        }
        let name = state.intern(&Arc::from(name));
        let told = state.told(&pool.namespace, &name).cloned();
        if let Some(named) = state.hired.get_mut(pool) {
            named.add(name);
        }
        let facts = told.filter(|facts| !facts.paused);
        if let (Some(facts), Some(handle)) = (facts, self.registry.get(pool)) {
            handle.mailbox.put_first(facts);
        }
    }
}

fn gone(name: &Arc<str>) -> Input {
    Input::ClusterGone { name: name.clone() }
}

impl State {
    /// A Cluster as the pools know it.
    fn told(&self, namespace: &str, name: &str) -> Option<&Arc<ClusterFacts>> {
        self.clusters.get(namespace)?.get(name)
    }

    /// The Clusters that a new worker is told of before its first object, and the one that this object names.
    pub(super) fn clusters_for(
        &mut self,
        pool: &PoolKey,
        first: &Input,
    ) -> (Vec<Input>, NamedClusters) {
        let mut named = NamedClusters::default();
        if let Input::Seen(object) = first
            && let Some(name) = named_by(object)
        {
            named.add(self.intern(&Arc::from(name)));
        }
        let of_namespace = self.clusters.get(&pool.namespace);
        let all = of_namespace.into_iter().flat_map(|all| all.values());
        let concern = all.filter(|facts| facts.paused || named.has(&facts.name));
        let told = concern.cloned().map(Input::ClusterSeen).collect();
        (told, named)
    }
}
