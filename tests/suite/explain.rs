//! Scenarios of `docs/spec.md` sections 5 and 6: what users see, and bad input that passed admission.

use kube::api::{Patch, PatchParams};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPClaim, IPPool};
use metal3_ipam::controller::Settings;
use serde_json::json;

use crate::harness::{On, World, scenarios};

scenarios! {
    u1_u2_exhaustion_is_explained_at_once_and_becomes_an_error_after_a_while,
    section_6_an_exhausted_pool_reports_it_and_recovers,
}

async fn u1_u2_exhaustion_is_explained_at_once_and_becomes_an_error_after_a_while(on: On) {
    let mut world = World::without_controller(on).await;
    let mut settings = Settings::default();
    settings.pool.exhausted_error_after = jiff::SignedDuration::from_secs(1);
    world.start_controller_with(settings);
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}),
        )
        .await;
    world.claim("a", "p").await;
    world.address_of("a").await;
    world.claim("b", "p").await;
    world.capi_claim("c", "p").await;
    let message = world.waits_for("b", "PoolExhausted").await;
    assert!(
        message.contains(&format!("{}/p", world.namespace))
            && message.contains("add a range or delete claims"),
        "{message}"
    );
    let claims = world
        .until::<IPClaim>("the error text", |all| {
            all["b"]
                .status
                .as_ref()
                .is_some_and(|s| s.error_message.is_some())
        })
        .await;
    assert_eq!(
        claims["b"]
            .status
            .as_ref()
            .unwrap()
            .error_message
            .as_deref(),
        Some("Exhausted IP Pools")
    );
    let capi = world
        .until::<IPAddressClaim>("the contract's reason", |all| {
            all["c"]
                .status
                .iter()
                .flat_map(|s| &s.conditions)
                .any(|c| c.type_ == "Ready" && c.status == "False")
        })
        .await;
    let ready = capi["c"]
        .status
        .iter()
        .flat_map(|s| &s.conditions)
        .find(|c| c.type_ == "Ready")
        .unwrap()
        .clone();
    assert_eq!(ready.reason, "PoolExhausted");
    // A claim with an error text is still served, and the text goes (U2).
    world.delete::<IPClaim>("a").await;
    assert_eq!(world.address_of("b").await, "10.0.0.1");
    assert_eq!(
        world
            .api::<IPClaim>()
            .get("b")
            .await
            .unwrap()
            .status
            .unwrap()
            .error_message,
        None
    );
    world.end().await;
}

async fn section_6_an_exhausted_pool_reports_it_and_recovers(on: On) {
    let world = World::start(on).await;
    world.pool("p", json!({"pools": []})).await;
    world.claim("a", "p").await;
    world.waits_for("a", "PoolExhausted").await;
    world
        .until::<IPPool>("Exhausted=True", |all| {
            all["p"].status.as_ref().is_some_and(|s| {
                s.waiting_claims == Some(1)
                    && s.conditions
                        .iter()
                        .any(|c| c.type_ == "Exhausted" && c.status == "True")
            })
        })
        .await;
    let grown = json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.4"}]}});
    world
        .api::<IPPool>()
        .patch("p", &PatchParams::default(), &Patch::Merge(grown))
        .await
        .unwrap();
    world.address_of("a").await;
    world
        .until::<IPPool>("Exhausted=False and nobody waiting", |all| {
            all["p"].status.as_ref().is_some_and(|s| {
                s.waiting_claims == Some(0)
                    && s.conditions
                        .iter()
                        .any(|c| c.type_ == "Exhausted" && c.status == "False")
            })
        })
        .await;
    world.end().await;
}
