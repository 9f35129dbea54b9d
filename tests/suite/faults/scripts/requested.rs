//! Claims with a pre-allocated or requested address.

use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::json;

use super::steps::{entry, in_force, patch, range, wanting};
use crate::faults::script::Script;
use crate::harness::World;

pub(super) const SCRIPTS: &[Script] = &[
    Script::new(
        "pre-allocations",
        &["A8", "A10"],
        "Promised addresses wait for the claim of their name, of whichever kind comes first.",
        |w| Box::pin(promised(w)),
    ),
    Script::new(
        "requested addresses",
        &["A9", "A11", "U1"],
        "Claims ask for an address of their own choice, wait for it, or change their mind.",
        |w| Box::pin(requested(w)),
    ),
    Script::new(
        "a pre-allocation under use",
        &["A8", "A2"],
        "An address is promised to one claim while another has it: the bound one keeps it, the promised one waits.",
        |w| Box::pin(promised_late(w)),
    ),
];

async fn promised(world: &World) {
    let promises = json!({"a": "10.0.0.1", "b": "10.0.0.3"});
    world
        .pool(
            "p",
            json!({"pools": [entry(1, 4)], "preAllocations": promises}),
        )
        .await;
    world.claim("x", "p").await;
    assert_eq!(world.address_of("x").await, "10.0.0.2");
    world.capi_claim("b", "p").await;
    assert_eq!(world.capi_address_of("b").await, "10.0.0.3");
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    // First come; the other kind's claim of the name waits.
    world.claim("b", "p").await;
    world.waits_for("b", "PreAllocationConflict").await;
    world.delete_and_wait::<IPAddressClaim>("b").await;
    assert_eq!(world.address_of("b").await, "10.0.0.3");
    patch::<IPPool>(world, "p", json!({"spec": {"preAllocations": {"a": null}}})).await;
    in_force(world, "p").await;
    world.delete_and_wait::<IPClaim>("a").await;
    world.claim("y", "p").await;
    assert_eq!(world.address_of("y").await, "10.0.0.1");
}

async fn requested(world: &World) {
    range(world, "p", 1, 9).await;
    wanting(world, "five", "p", "10.0.0.5").await;
    assert_eq!(world.address_of("five").await, "10.0.0.5");
    wanting(world, "also-five", "p", "10.0.0.5").await;
    world
        .waits_for("also-five", "RequestedAddressUnavailable")
        .await;
    wanting(world, "far", "p", "10.9.9.9").await;
    world.waits_for("far", "RequestedAddressOutOfRange").await;
    let annotation = json!({"metadata": {"annotations": {"ipAddress": "10.0.0.7"}}});
    patch::<IPClaim>(world, "far", annotation).await;
    assert_eq!(world.address_of("far").await, "10.0.0.7");
    // From then on no clock wakes it.
    let gave_up = |c: &IPClaim| {
        let text = c.status.as_ref().and_then(|s| s.error_message.as_deref());
        text == Some("Requested IP not available")
    };
    world
        .until::<IPClaim>("also-five to say so to its machine", |all| {
            all.get("also-five").is_some_and(gave_up)
        })
        .await;
    world.delete_and_wait::<IPClaim>("five").await;
    assert_eq!(world.address_of("also-five").await, "10.0.0.5");
}

async fn promised_late(world: &World) {
    range(world, "p", 1, 3).await;
    world.claim("a", "p").await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    let promise = json!({"spec": {"preAllocations": {"b": "10.0.0.1"}}});
    patch::<IPPool>(world, "p", promise).await;
    in_force(world, "p").await;
    world.claim("b", "p").await;
    world.waits_for("b", "PreAllocationConflict").await;
    world.delete_and_wait::<IPClaim>("a").await;
    assert_eq!(world.address_of("b").await, "10.0.0.1");
}
