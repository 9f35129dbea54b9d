//! A pool's `status.observedGeneration` beside a create that the server has not answered (A8).

use http::Method;
use metal3_ipam::api::metal3::IPPool;
use serde_json::json;

use super::Manager;
use crate::harness::{On, World, scenarios};
use crate::proxy::{Proxy, Writes};
use crate::steps::range;

scenarios! {
    a8_a_spec_is_observed_when_no_create_under_an_older_one_is_unanswered,
}

async fn a8_a_spec_is_observed_when_no_create_under_an_older_one_is_unanswered(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let proxy = Proxy::answering(&door.config, Writes::CreatesWait).await;
    let through = door.kubeconfig_to("observed", &proxy.cluster(), None);
    let _manager = Manager::start(&world, &through, &["--leader-elect=false"]);
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let before = world.until_observed("p").await.metadata.generation;
    world.claim("a", "p").await;
    let creates = |a: &crate::proxy::Asked| a.method == Method::POST && a.is_write();
    proxy.until(|asked| asked.iter().any(creates)).await;

    // The claim has the first address, so this reservation counts only from the answer on.
    let mut spec = range("10.0.0.1", "10.0.0.20");
    spec["preAllocations"] = json!({"named": "10.0.0.1"});
    let edited = world.patch::<IPPool>("p", json!({"spec": spec})).await;
    assert_ne!(edited.metadata.generation, before);
    let pools = world
        .until::<IPPool>("the new range counted", |all| {
            let status = all["p"].status.as_ref();
            status.is_some_and(|s| s.capacity == Some(20))
        })
        .await;
    let status = pools["p"].status.as_ref().unwrap();
    assert_eq!(status.observed_generation, before);

    proxy.let_writes_pass();
    let observed = world.until_observed("p").await;
    assert_eq!(observed.metadata.generation, edited.metadata.generation);
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.claim("named", "p").await;
    world.waits_for("named", "PreAllocationConflict").await;
    world.end().await;
}
