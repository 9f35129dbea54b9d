//! What pools hear of Clusters: those of a Cluster's namespace get its facts when these change, the end of its pause later
//! (`resume.rs`). Part of the router, and behind its lock.

use std::sync::Arc;

use crate::api::{ClusterFacts, Kind, WireObject};
use crate::pool::{By, Incarnation, Input, Name};

use super::router::{Router, State};

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
        let told = state.clusters.get(&name.namespace);
        let told = told.and_then(|of_namespace| of_namespace.get(&name.name));
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
            self.tell_cluster(&mut state, &name.namespace, paused);
            self.hold(&mut state, &name.namespace, facts, by);
        } else {
            state.resuming.forget(&name.namespace, &name.name);
            self.tell_cluster(&mut state, &name.namespace, facts);
        }
    }

    /// Tells the pools of a namespace what a Cluster is like now.
    pub(super) fn tell_cluster(
        &self,
        state: &mut State,
        namespace: &Arc<str>,
        facts: ClusterFacts,
    ) {
        let of_namespace = state.clusters.entry(namespace.clone()).or_default();
        let before = of_namespace.insert(facts.name.clone(), facts.clone());
        // A Cluster's status changes often; pools care for these facts only.
        if before.as_ref() != Some(&facts) {
            self.tell_namespace(state, namespace, &Input::ClusterSeen(facts));
        }
    }

    /// A Cluster has ended.
    pub(super) fn cluster_gone(&self, state: &mut State, name: &Name) {
        state.resuming.forget(&name.namespace, &name.name);
        if let Some(of_namespace) = state.clusters.get_mut(&name.namespace) {
            of_namespace.remove(&name.name);
            if of_namespace.is_empty() {
                state.clusters.remove(&name.namespace);
            }
        }
        let input = Input::ClusterGone {
            name: name.name.to_string(),
        };
        self.tell_namespace(state, &name.namespace, &input);
    }
}
