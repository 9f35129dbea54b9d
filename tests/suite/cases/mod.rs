//! Faults that users of other projects reported, as scenarios of this one: one kind of fault in each file.

mod apply_set;
mod cluster_name;
mod deep_cluster;
mod exclusions;
mod late_definitions;
mod move_marks;
mod name_collision;
mod nulls;
mod object_gone;
mod observed_generation;
mod policy;
mod ranges;
mod reservations;
mod restored;
mod split_pool;

use kube::api::{Patch, PatchParams};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::Value;

use crate::harness::{World, ready};

/// Adds a label or an annotation to a claim's JSON and the like.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

/// Message of a refusal by the server.
fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.message),
        other => panic!("not refused by the server: {other:?}"),
    }
}

impl World {
    /// Merges a patch into a pool, where the server lets it.
    async fn try_patch_pool(&self, name: &str, patch: Value) -> Result<IPPool, kube::Error> {
        self.api()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    /// Waits until this IPClaim is not Ready and its message contains a part; returns reason and message.
    async fn waits_saying(&self, claim: &str, part: &str) -> (String, String) {
        let what = format!("IPClaim {claim} to say {part:?}");
        let says =
            |c: &IPClaim| ready(c).is_some_and(|(s, _, text)| s == "False" && text.contains(part));
        let claims = self
            .until::<IPClaim>(&what, |all| all.get(claim).is_some_and(says))
            .await;
        let (_, reason, message) = ready(&claims[claim]).unwrap();
        (reason, message)
    }

    /// No address stands in two objects, and the pool's counts add up.
    async fn counts_add_up(&self, pool: &str) {
        let pools = self
            .until::<IPPool>("counts that add up", |all| {
                let status = all.get(pool).and_then(|p| p.status.as_ref());
                status.is_some_and(|s| {
                    let parts = [s.allocated, s.available, s.reserved].map(|n| n.unwrap_or(0));
                    parts.iter().sum::<i64>() == s.capacity.unwrap_or(0)
                        && parts.iter().all(|n| *n >= 0)
                })
            })
            .await;
        drop(pools);
        let objects = self.until::<IPAddress>("a list", |_| true).await;
        let distinct: std::collections::BTreeSet<&str> =
            objects.values().map(|o| &*o.spec.address).collect();
        assert_eq!(distinct.len(), objects.len(), "two objects of one address");
    }
}
