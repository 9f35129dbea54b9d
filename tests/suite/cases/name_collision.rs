//! Two pools, two prefixes, two addresses and one object name: `prov` with fd00:1::5 and `prov-fd00` with 1::5. The second
//! claim waits, its condition names the object in its way, and it is served when that object is gone.

use kube::ResourceExt;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use crate::harness::{On, World, published, scenarios};

scenarios! {
    a1_a12_u1_one_object_name_for_two_addresses_is_reported_and_served_when_it_is_free,
    a1_a12_one_object_name_for_two_addresses_when_all_claims_compete_at_the_start,
    a12_a11_the_second_claim_waits_in_the_other_order_too,
}

async fn pools(world: &World, reserved: bool) {
    let pool = async |name: &str, prefix: &str, start: &str, end: &str| {
        let mut spec =
            json!({"namePrefix": prefix, "prefix": 64, "pools": [{"start": start, "end": end}]});
        if reserved && name == "long" {
            spec["preAllocations"] = json!({"c": "1::5"});
        }
        world.pool(name, spec).await;
    };
    pool("short", "prov", "fd00:1::5", "fd00:1::5").await;
    pool("long", "prov-fd00", "1::5", "1::6").await;
}

async fn one_waits_and_is_served(world: &World) {
    assert_eq!(world.address_of("a").await, "fd00:1::5");
    assert_eq!(
        published(&world.get("a").await).as_deref(),
        Some("prov-fd00-1--5")
    );
    assert_eq!(world.address_of("b").await, "1::6");
    let (_, message) = world.waits_saying("c", "prov-fd00-1--5").await;
    assert!(message.contains("1::5"), "{message}");
    let object: IPAddress = world.get("prov-fd00-1--5").await;
    assert_eq!(object.spec.pool.name.as_deref(), Some("short"));
    assert_eq!(object.spec.claim.name.as_deref(), Some("a"));
    world
        .until::<IPPool>("1::5 not to be free", |all| {
            let status = all["long"].status.as_ref();
            status.is_some_and(|s| s.available == Some(0))
        })
        .await;
    world.counts_add_up("long").await;
    world.delete_and_wait::<IPClaim>("a").await;
    assert_eq!(world.address_of("c").await, "1::5");
    assert_eq!(world.address_of("b").await, "1::6");
    let now: IPAddress = world.get("prov-fd00-1--5").await;
    assert_ne!(
        now.uid(),
        object.uid(),
        "the other's object is gone, not adopted"
    );
}

async fn a1_a12_u1_one_object_name_for_two_addresses_is_reported_and_served_when_it_is_free(
    on: On,
) {
    let world = World::start(on).await;
    pools(&world, true).await;
    world.claim("a", "short").await;
    world.address_of("a").await;
    world.claim("b", "long").await;
    world.claim("c", "long").await;
    one_waits_and_is_served(&world).await;
    world.end().await;
}

async fn a1_a12_one_object_name_for_two_addresses_when_all_claims_compete_at_the_start(on: On) {
    let mut world = World::without_controller(on).await;
    pools(&world, true).await;
    for (claim, pool) in [("a", "short"), ("b", "long"), ("c", "long")] {
        world.claim(claim, pool).await;
    }
    world.start_controller();
    // Either of the two may have the name.
    assert_eq!(world.address_of("b").await, "1::6");
    let claims = world
        .until::<IPClaim>("one of the two bound", |all| {
            ["a", "c"].iter().any(|name| world.is_bound(&all[*name]))
        })
        .await;
    let (first, then, address) = if world.is_bound(&claims["a"]) {
        ("a", "c", "1::5")
    } else {
        ("c", "a", "fd00:1::5")
    };
    if then == "c" {
        world.waits_saying(then, "prov-fd00-1--5").await;
    } else {
        world.waits_for(then, "PoolExhausted").await;
    }
    world.delete_and_wait::<IPClaim>(first).await;
    assert_eq!(world.address_of(then).await, address);
    world.end().await;
}

async fn a12_a11_the_second_claim_waits_in_the_other_order_too(on: On) {
    let world = World::start(on).await;
    pools(&world, false).await;
    world.claim("b", "long").await;
    assert_eq!(world.address_of("b").await, "1::5");
    world.claim("a", "short").await;
    world.waits_for("a", "PoolExhausted").await;
    world.delete_and_wait::<IPClaim>("b").await;
    assert_eq!(world.address_of("a").await, "fd00:1::5");
    world.end().await;
}
