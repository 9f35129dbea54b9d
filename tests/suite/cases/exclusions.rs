//! Exclusions that are added and removed under living claims: an address in use stays its claim's, an excluded one is never
//! allocated.

use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, published, scenarios};
use crate::steps::range;

use super::refusal;

scenarios! {
    a2_a7_a11_an_address_in_use_is_excluded_and_the_exclusion_lifted,
}

fn excluded(list: &Value) -> Value {
    json!({"spec": {"excludedAddresses": list}})
}

async fn a2_a7_a11_an_address_in_use_is_excluded_and_the_exclusion_lifted(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.5.0.10", "10.5.0.12")).await;
    for (name, address) in [("a", "10.5.0.10"), ("b", "10.5.0.11")] {
        world.claim(name, "p").await;
        assert_eq!(world.address_of(name).await, address);
    }
    let object = published(&world.get("b").await).unwrap();
    world.pool_counts("p", 2).await;
    let both = excluded(&json!(["10.5.0.10", "10.5.0.12"]));
    let admission = on == On::Embedded;
    if admission {
        let (code, message) = refusal(world.try_patch_pool("p", both.clone()).await);
        assert_eq!(code, 422, "{message}");
        assert!(
            message.contains("10.5.0.10") && message.contains("(claim a)"),
            "{message}"
        );
        world.delete_and_wait::<IPClaim>("a").await;
        world.patch::<IPPool>("p", both).await;
        world.pool_is_seen("p").await;
        world.claim("c", "p").await;
        world.waits_for("c", "PoolExhausted").await;
    } else {
        world.patch::<IPPool>("p", both).await;
        world.pool_is_seen("p").await;
        world.claim("c", "p").await;
        world.waits_for("c", "PoolExhausted").await;
        assert_eq!(world.address_of("a").await, "10.5.0.10");
        world.delete_and_wait::<IPClaim>("a").await;
        world.looked_at_everything(&Value::Null).await;
        world.waits_for("c", "PoolExhausted").await;
    }
    world.counts_add_up("p").await;
    world
        .patch::<IPPool>("p", excluded(&json!(["10.5.0.12"])))
        .await;
    assert_eq!(world.address_of("c").await, "10.5.0.10");
    world.counts_add_up("p").await;
    let held = excluded(&json!(["10.5.0.11", "10.5.0.12"]));
    if admission {
        world.pool_counts("p", 2).await;
        let (code, message) = refusal(world.try_patch_pool("p", held).await);
        assert_eq!(code, 422, "{message}");
    } else {
        world.patch::<IPPool>("p", held).await;
        world
            .patch::<IPPool>("p", excluded(&json!(["10.5.0.12"])))
            .await;
    }
    world.claim("d", "p").await;
    world.waits_for("d", "PoolExhausted").await;
    assert_eq!(world.address_of("b").await, "10.5.0.11");
    assert_eq!(published(&world.get("b").await), Some(object));
    world.counts_add_up("p").await;
    world.patch::<IPPool>("p", excluded(&Value::Null)).await;
    assert_eq!(world.address_of("d").await, "10.5.0.12");
    world.counts_add_up("p").await;
    world.end().await;
}
