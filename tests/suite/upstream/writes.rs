//! With upstream's definitions the server drops much of what is written. What it drops costs at most one more write for each
//! object, also after a restart: a pool and its claims come to rest.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};
use metal3_ipam::api::ClaimKind;
use metal3_ipam::api::Kind;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::json;

use crate::control_plane;
use crate::harness::{On, World};
use crate::steps::range;
use crate::tally;

/// The pool's status was rewritten once a second for ever: so long without a write is rest.
const REST: Duration = Duration::from_secs(5);

impl World {
    /// Waits until a pool is not written any more. With conditions and counts its status itself shows that it is complete.
    pub(crate) async fn until_pool_rests(&self, pool: &str) {
        let now: IPPool = self.get(pool).await;
        until_at_rest(self, pool, now.resource_version().unwrap()).await;
    }
}

/// Follows a pool from a revision until it has not been written for [`REST`]. Returns how often it was written, and its last
/// revision.
async fn until_at_rest(world: &World, name: &str, mut from: String) -> (usize, String) {
    let mut writes = 0;
    let pools = world.api::<IPPool>();
    let mut events = pools
        .watch(
            &WatchParams::default().fields(&format!("metadata.name={name}")),
            &from,
        )
        .await
        .unwrap()
        .boxed();
    while let Ok(event) = tokio::time::timeout(REST, events.try_next()).await {
        match event.unwrap().expect("the watch lasts") {
            WatchEvent::Added(pool) | WatchEvent::Modified(pool) => {
                writes += 1;
                from = pool.resource_version().unwrap();
            }
            other => panic!("the pool is only written: {other:?}"),
        }
        assert!(writes < 30, "the pool is written for ever");
    }
    (writes, from)
}

/// Writes of the running controller to this kind, whatever came of them.
fn written(world: &World, kind: Kind) -> u64 {
    let counters = world.view().counters();
    let of_kind = counters
        .requests
        .iter()
        .filter(|((verb, of, _), _)| verb.is_write() && *of == kind);
    of_kind.map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_and_its_claims_come_to_rest() {
    if control_plane::started().await.is_none() {
        control_plane::say(
            "SKIPPED with upstream's definitions: a_pool_and_its_claims_come_to_rest",
        );
        tally::add("scenarios SKIPPED with upstream's definitions: no Go", 1);
        return;
    }
    let mut world = World::start(On::Upstream).await;
    let start = world.revision().await;
    world.pool("p", range("10.0.0.1", "10.0.0.8")).await;
    for n in 0..8 {
        world.claim(&format!("c{n}"), "p").await;
    }
    for n in 0..8 {
        world.address_of(&format!("c{n}")).await;
    }
    let (_, from) = until_at_rest(&world, "p", start).await;
    let pool: IPPool = world.get("p").await;
    assert_eq!(pool.status.unwrap().indexes.len(), 8);
    let claims = Kind::Claims(ClaimKind::Metal3);
    assert_eq!(
        written(&world, claims),
        16,
        "the finalizer and the status of each claim"
    );

    // A claim that waits changes nothing that upstream's definition keeps of the pool; its error text is one write.
    world.claim("waits", "p").await;
    world.waits_for("waits", "PoolExhausted").await;
    world
        .until::<IPClaim>("the error text", |all| {
            let status = all["waits"].status.as_ref();
            status.is_some_and(|s| s.error_message.is_some())
        })
        .await;
    let (writes, from) = until_at_rest(&world, "p", from).await;
    assert!(writes <= 1, "{writes} writes of the pool");
    let more = written(&world, claims) - 16;
    assert!(more <= 3, "{more} writes of the claim that waits");

    // A controller that starts anew does not know what the server has dropped: it learns it with one write for each object.
    world.stop_controller().await;
    world.start_controller();
    let (writes, from) = until_at_rest(&world, "p", from).await;
    assert!(writes <= 1, "{writes} writes of the pool after a restart");
    let again = written(&world, claims);
    assert!(again <= 9, "{again} writes of 9 claims after a restart");
    world
        .patch::<IPPool>("p", json!({"metadata": {"labels": {"touched": "yes"}}}))
        .await;
    let (writes, _) = until_at_rest(&world, "p", from).await;
    assert!(writes <= 2, "{writes} writes of the pool after an edit");
    assert_eq!(written(&world, claims), again);
    world.end().await;
    tally::add("scenarios passed with upstream's definitions", 1);
}
