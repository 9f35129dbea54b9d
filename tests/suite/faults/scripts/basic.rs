//! Claims are created and deleted.

use std::collections::BTreeMap;

use futures::future::join_all;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::json;

use super::steps::{all_bound, nothing_left, range};
use crate::faults::script::Script;
use crate::harness::World;

pub(super) const SCRIPTS: &[Script] = &[
    Script::new("burst of both kinds", &["A1", "A6", "A10", "A13"], "Eight claims of both kinds arrive at once and share one pool without one address twice.", |w| Box::pin(burst(w))).racing(),
    Script::new("one after the other", &["A6", "A7", "R3"], "A freed address is the first to be handed out again, once its object is gone.", |w| Box::pin(one_by_one(w))),
    Script::new("deleted and made again", &["A1", "R1", "R3"], "Claims of the same names come again and again with new UIDs, and get no leftovers of their forerunners.", |w| Box::pin(made_again(w))).racing(),
    Script::new("made and deleted at once", &["R1", "R3", "R7"], "Claims that are deleted before they are served leave nothing behind.", |w| Box::pin(quick(w))),
    Script::new("a successor in a full pool", &["A11", "R3"], "In a pool of one address a deleted claim's successor waits already, and gets the address when it is free.", |w| Box::pin(successors(w))),
    Script::new("claims before their pool", &["A11", "U1"], "Claims that came before their pool say so, and are served the moment it appears.", |w| Box::pin(early(w))).racing(),
];

async fn burst(world: &World) {
    range(world, "p", 1, 20).await;
    for n in 0..4 {
        world.claim(&format!("m-{n}"), "p").await;
        world.capi_claim(&format!("c-{n}"), "p").await;
    }
    all_bound(world).await;
}

async fn one_by_one(world: &World) {
    world
        .pool("p", json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}], "prefix": 24, "gateway": "10.0.0.254"}))
        .await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    world.capi_claim("b", "p").await;
    assert_eq!(world.capi_address_of("b").await, "10.0.0.2");
    world.delete_and_wait::<IPClaim>("a").await;
    world
        .until::<IPAddress>("its object to go", BTreeMap::is_empty)
        .await;
    world.claim("c", "p").await;
    assert_eq!(world.address_of("c").await, "10.0.0.1");
    world.delete_and_wait::<IPAddressClaim>("b").await;
    world
        .until::<CapiIPAddress>("its object to go", BTreeMap::is_empty)
        .await;
}

/// W13 by its nature: the same names, new UIDs.
async fn made_again(world: &World) {
    range(world, "p", 1, 20).await;
    for round in 0..3 {
        for n in 0..2 {
            world.claim(&format!("m-{n}"), "p").await;
            world.capi_claim(&format!("c-{n}"), "p").await;
        }
        all_bound(world).await;
        if round == 2 {
            break;
        }
        join_all((0..2).map(async |n| {
            world.delete_and_wait::<IPClaim>(&format!("m-{n}")).await;
            world
                .delete_and_wait::<IPAddressClaim>(&format!("c-{n}"))
                .await;
        }))
        .await;
    }
}

async fn quick(world: &World) {
    range(world, "p", 1, 20).await;
    for n in 0..4 {
        let name = format!("quick-{n}");
        world.claim(&name, "p").await;
        world.delete::<IPClaim>(&name).await;
        world.capi_claim(&name, "p").await;
        world.delete::<IPAddressClaim>(&name).await;
    }
    nothing_left(world).await;
    world.claim("next", "p").await;
    // O7 checks that it is the first one again.
    world.address_of("next").await;
}

async fn successors(world: &World) {
    range(world, "p", 1, 1).await;
    world.claim("round-0", "p").await;
    world.address_of("round-0").await;
    for round in 1..4 {
        world.claim(&format!("round-{round}"), "p").await;
        world
            .delete::<IPClaim>(&format!("round-{}", round - 1))
            .await;
        assert_eq!(
            world.address_of(&format!("round-{round}")).await,
            "10.0.0.1"
        );
    }
    world
        .until::<IPClaim>("the last one alone", |all| all.len() == 1)
        .await;
}

async fn early(world: &World) {
    for n in 0..3 {
        world.claim(&format!("m-{n}"), "p").await;
        world.capi_claim(&format!("c-{n}"), "p").await;
    }
    world.waits_for("m-0", "PoolNotFound").await;
    range(world, "p", 1, 6).await;
    all_bound(world).await;
}
