//! Objects that users and other programs create, edit and delete by hand.

use std::collections::BTreeMap;

use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;

use super::steps::{
    address_json, all_bound, capi_address_json, nothing_left, patch, patch_status, pool_says,
    range, so_many_held, wanting,
};
use crate::faults::script::Script;
use crate::harness::World;
use crate::oracles::ByHand;

pub(super) const SCRIPTS: &[Script] = &[
    Script::new("an address object before its claim", &["A4"], "Users make the address objects first; the claims are bound to them, and the objects go with the claims.", |w| {
        Box::pin(before_its_claim(w))
    }),
    Script::new("external addresses", &["A5", "A11"], "An address object that belongs to no claim holds its address until its owner deletes it.", |w| Box::pin(external(w))),
    Script::new("forged status", &["U3", "A2"], "Status is forged to another claim's address and to none at all, and is corrected.", |w| Box::pin(forged(w)))
        .by_hand(&[ByHand::Unbinding, ByHand::Duplicates]),
    Script::new("squatted names", &["A12", "A11"], "The name of an address object is taken by another pool's object: the next address is given, and this one when the name is free.", |w| Box::pin(squatted(w))),
    Script::new("duplicates at the start", &["A15", "A2", "A1"], "Two claims are bound to one address when the manager starts: both keep it, it is reported, nobody else gets it.", |w| Box::pin(one_of_them_goes(w))).found(|w| Box::pin(duplicates(w)))
        .by_hand(&[ByHand::Objects, ByHand::Duplicates]),
    Script::new("an address object taken away", &["R4", "A2"], "A bound claim's address object is deleted and stripped of its finalizer, and is put back with the same address.", |w| Box::pin(taken_away(w)))
        .by_hand(&[ByHand::Unbinding]),
    Script::new("an address object moved away", &["A1", "A2", "R4"], "clusterctl move takes address objects away and dies: their claims live on, nobody else gets their addresses, and the objects are made again later.", |w| {
        Box::pin(moved_away(w))
    })
    .by_hand(&[ByHand::Unbinding])
    .racing(),
    Script::new("a leak", &["R6", "A1"], "Address objects whose claims are gone are found by the audit and released, not before.", |w| Box::pin(audited(w))).found(|w| Box::pin(leaks(w))).racing(),
];

async fn before_its_claim(world: &World) {
    range(world, "p", 1, 9).await;
    let made = address_json("my-own-name", "p", "10.0.0.4", "a");
    let _: IPAddress = world.create(made).await;
    let made = capi_address_json("my-own-name", "p", "10.0.0.5", "a");
    let _: CapiIPAddress = world.create(made).await;
    so_many_held(world, "p", 2).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.4");
    world.capi_claim("a", "p").await;
    assert_eq!(world.capi_address_of("a").await, "10.0.0.5");
    world.delete_and_wait::<IPClaim>("a").await;
    world
        .until::<IPAddress>("it to go with its claim", BTreeMap::is_empty)
        .await;
}

async fn external(world: &World) {
    range(world, "p", 1, 2).await;
    let made = address_json("theirs", "p", "10.0.0.1", "nobody");
    let _: IPAddress = world.create(made).await;
    pool_says(world, "p", "Ready", "True").await;
    so_many_held(world, "p", 1).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.2");
    world.capi_claim("b", "p").await;
    let exhausted = |c: &IPAddressClaim| {
        let mut conditions = c.status.iter().flat_map(|s| &s.conditions);
        conditions.any(|c| c.reason == "PoolExhausted")
    };
    world
        .until::<IPAddressClaim>("it to wait", |all| all.get("b").is_some_and(exhausted))
        .await;
    world.delete::<IPAddress>("theirs").await;
    assert_eq!(world.capi_address_of("b").await, "10.0.0.1");
}

async fn forged(world: &World) {
    range(world, "p", 1, 9).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.claim("b", "p").await;
    assert_eq!(world.address_of("b").await, "10.0.0.2");
    let another = json!({"status": {"address": {"name": "p-10-0-0-1"}, "errorMessage": "forged"}});
    patch_status::<IPClaim>(world, "b", another).await;
    world
        .until::<IPClaim>("it to be corrected", |all| {
            let address = all["b"].status.as_ref().and_then(|s| s.address.as_ref());
            address.and_then(|a| a.name.as_deref()) == Some("p-10-0-0-2")
        })
        .await;
    let nowhere = json!({"status": {"address": {"name": "p-10-0-0-9"}}});
    patch_status::<IPClaim>(world, "a", nowhere).await;
    world
        .until::<IPClaim>("it to be corrected", |all| {
            let address = all["a"].status.as_ref().and_then(|s| s.address.as_ref());
            address.and_then(|a| a.name.as_deref()) == Some("p-10-0-0-1")
        })
        .await;
    all_bound(world).await;
}

async fn squatted(world: &World) {
    // The name that p wants is another pool's object.
    let squatter = address_json("p-10-0-0-1", "other", "10.7.7.7", "someone");
    let _: IPAddress = world.create(squatter).await;
    range(world, "p", 1, 2).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.2");
    world.claim("b", "p").await;
    world.waits_for("b", "PoolExhausted").await;
    world.delete::<IPAddress>("p-10-0-0-1").await;
    assert_eq!(world.address_of("b").await, "10.0.0.1");
}

async fn duplicates(world: &World) {
    // As upstream leaves them: both bound.
    range(world, "p", 1, 2).await;
    for (name, object) in [("a", "p-10-0-0-1"), ("b", "p-10-0-0-1-b")] {
        let mut made = address_json(object, "p", "10.0.0.1", name);
        made["metadata"]["finalizers"] = json!(["ipaddress.ipam.metal3.io"]);
        let _: IPAddress = world.create(made).await;
        world.claim(name, "p").await;
        patch_status::<IPClaim>(
            world,
            name,
            json!({"status": {"address": {"name": object}}}),
        )
        .await;
    }
}

async fn one_of_them_goes(world: &World) {
    pool_says(world, "p", "Consistent", "False").await;
    world.claim("c", "p").await;
    assert_eq!(world.address_of("c").await, "10.0.0.2");
    world.delete_and_wait::<IPClaim>("a").await;
    pool_says(world, "p", "Consistent", "True").await;
    all_bound(world).await;
}

async fn taken_away(world: &World) {
    range(world, "p", 1, 9).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.delete::<IPAddress>("p-10-0-0-1").await;
    world.claim("b", "p").await;
    assert_eq!(world.address_of("b").await, "10.0.0.2");
    let stripped = json!({"metadata": {"finalizers": null}});
    patch::<IPAddress>(world, "p-10-0-0-1", stripped).await;
    world
        .until::<IPAddress>("it to be put back", |all| {
            all.get("p-10-0-0-1")
                .is_some_and(|o| o.metadata.deletion_timestamp.is_none())
        })
        .await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.delete_and_wait::<IPClaim>("a").await;
    world
        .until::<IPAddress>("it to go with its claim", |all| all.len() == 1)
        .await;
}

async fn moved_away(world: &World) {
    range(world, "p", 1, 4).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.capi_claim("b", "p").await;
    assert_eq!(world.capi_address_of("b").await, "10.0.0.2");
    let mark =
        json!({"metadata": {"annotations": {"clusterctl.cluster.x-k8s.io/delete-for-move": ""}}});
    let strip = json!({"metadata": {"finalizers": null}});
    for step in [&mark, &strip] {
        patch::<IPAddress>(world, "p-10-0-0-1", step.clone()).await;
        patch::<CapiIPAddress>(world, "p-10-0-0-2", step.clone()).await;
    }
    world.delete::<IPAddress>("p-10-0-0-1").await;
    world.delete::<CapiIPAddress>("p-10-0-0-2").await;
    wanting(world, "asks", "p", "10.0.0.1").await;
    world.claim("c", "p").await;
    world.capi_claim("d", "p").await;
    let free = [
        world.address_of("c").await,
        world.capi_address_of("d").await,
    ];
    for address in free {
        assert!(["10.0.0.3", "10.0.0.4"].contains(&&*address), "{address}");
    }
    world
        .until::<IPAddress>("a's object to be made again", |all| {
            all.contains_key("p-10-0-0-1")
        })
        .await;
    world
        .until::<CapiIPAddress>("b's object to be made again", |all| {
            all.contains_key("p-10-0-0-2")
        })
        .await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    assert_eq!(world.capi_address_of("b").await, "10.0.0.2");
    world.delete_and_wait::<IPClaim>("a").await;
    assert_eq!(world.address_of("asks").await, "10.0.0.1");
    world.delete_and_wait::<IPAddressClaim>("b").await;
    world
        .until::<CapiIPAddress>("b's object to go with it", |all| all.len() == 1)
        .await;
    all_bound(world).await;
}

/// R6: an address object of ours without a claim, as a crash of upstream leaves it.
async fn leaks(world: &World) {
    range(world, "p", 1, 2).await;
    let mut made = address_json("p-10-0-0-1", "p", "10.0.0.1", "gone");
    made["metadata"]["finalizers"] = json!(["ipaddress.ipam.metal3.io"]);
    let _: IPAddress = world.create(made).await;
    let mut made = capi_address_json("p-10-0-0-2", "p", "10.0.0.2", "gone");
    made["metadata"]["finalizers"] = json!(["ipam.metal3.io/ipaddress"]);
    let _: CapiIPAddress = world.create(made).await;
}

async fn audited(world: &World) {
    world.claim("a", "p").await;
    world.address_of("a").await;
    world
        .until::<CapiIPAddress>("the audit to release the other too", BTreeMap::is_empty)
        .await;
    world.delete::<IPClaim>("a").await;
    nothing_left(world).await;
}
