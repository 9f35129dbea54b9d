//! No server answers at the address that the configurations of `deploy/webhook` name: claims are bound and released all the same,
//! and pools are refused. With a server that answers, the rules apply.

use std::net::{Ipv4Addr, SocketAddr};

use kube::api::{Patch, PatchParams};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use super::{At, Dry, Registered, Serving, deployed, refusal, try_pool};
use crate::control_plane::{free_port, is_there};
use crate::harness::{On, World};
use crate::steps::range;
use crate::tally;

#[tokio::test(flavor = "multi_thread")]
async fn with_the_webhook_down_claims_are_bound_and_released_and_pools_are_refused() {
    if !is_there("with_the_webhook_down_claims_are_bound_and_released_and_pools_are_refused").await
    {
        return;
    }
    let mut world = World::without_controller(On::Real).await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    // What the conditions cost must not be what refuses.
    let entries: Vec<_> = (0..1_000u32)
        .map(|n| json!({"start": format!("10.{}.{}.1", 1 + n / 256, n % 256), "end": format!("10.{}.{}.9", 1 + n / 256, n % 256)}))
        .collect();
    world.pool("large", json!({"pools": entries})).await;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let files: Vec<_> = deployed().into_values().collect();
    let ca = Serving::authority();
    let registered = Registered::apply(&world, files, (nobody, &ca), At::Rest).await;

    // Finalizers and labels of the pools are written under the configurations.
    world.start_controller();
    world.claim("c", "p").await;
    world.capi_claim("d", "p").await;
    world.address_of("c").await;
    world.capi_address_of("d").await;
    world.claim("e", "large").await;
    world.address_of("e").await;
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    for pool in ["p", "large"] {
        world.patch::<IPPool>(pool, labels.clone()).await;
    }
    let (code, message) =
        refusal(try_pool(&world, "q", range("10.0.0.1", "10.0.0.9"), Dry::No).await);
    assert_eq!(code, 500, "{message}");
    assert!(
        message.contains("validation.ippool.ipam.metal3.io"),
        "{message}"
    );
    let grown = Patch::Merge(json!({"spec": range("10.0.0.1", "10.0.0.99")}));
    let api = world.api::<IPPool>();
    let (_, message) = refusal(api.patch("p", &PatchParams::default(), &grown).await);
    assert!(
        message.contains("validation.ippool.ipam.metal3.io"),
        "{message}"
    );

    world.delete_and_wait::<IPClaim>("c").await;
    world.delete_and_wait::<IPClaim>("e").await;
    world.delete_and_wait::<IPAddressClaim>("d").await;
    world.none::<IPAddress>().await;
    for pool in ["p", "large"] {
        world.delete_and_wait::<IPPool>(pool).await;
    }
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_webhooks_of_deploy_both_kinds_of_claims_get_their_finalizer_and_pools_are_judged()
{
    if !is_there(
        "with_the_webhooks_of_deploy_both_kinds_of_claims_get_their_finalizer_and_pools_are_judged",
    )
    .await
    {
        return;
    }
    let world = World::start(On::Real).await;
    let serving = Serving::start(&world).await;
    let files: Vec<_> = deployed().into_values().collect();
    let registered =
        Registered::apply(&world, files, (serving.addr, &serving.ca_pem), At::Work).await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let claim = world.claim("c", "p").await;
    assert_eq!(
        claim.metadata.finalizers.as_deref(),
        Some(&["ipclaim.ipam.metal3.io".to_owned()][..])
    );
    let claim = world.capi_claim("d", "p").await;
    assert_eq!(
        claim.metadata.finalizers.as_deref(),
        Some(&["ipam.metal3.io/ipaddressclaim".to_owned()][..])
    );
    world.address_of("c").await;
    world.capi_address_of("d").await;
    let shrunk = Patch::Merge(json!({"spec": range("10.0.0.8", "10.0.0.9")}));
    let api = world.api::<IPPool>();
    let (code, message) = refusal(api.patch("p", &PatchParams::default(), &shrunk).await);
    assert_eq!(code, 422, "{message}");
    for holder in ["(claim c)", "(claim d)"] {
        assert!(message.contains(holder), "{message}");
    }
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
