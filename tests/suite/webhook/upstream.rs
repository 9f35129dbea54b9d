//! Upstream's six webhooks, as its own configurations register them, on a real kube-apiserver.

use futures::future::join_all;
use kube::api::{Patch, PatchParams};
use metal3_ipam::api::Kind;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::View;
use serde_json::{Value, json};

use super::{At, Dry, Registered, Serving, post_pool, refusal, try_create, try_pool};
use crate::control_plane::is_there;
use crate::harness::{On, World, claim_json, is_bound};
use crate::steps::{address_json, asking_for, range, until_view};
use crate::tally;

/// The shape of upstream's configurations: every webhook must answer, v1beta1 is offered too, no condition.
fn configurations() -> Vec<Value> {
    let webhooks = |act: &str, name: &str| -> Vec<Value> {
        [("ipaddress", "ipaddresses"), ("ipclaim", "ipclaims"), ("ippool", "ippools")]
            .iter()
            .map(|(kind, plural)| {
                json!({
                    "name": format!("{name}.{kind}.ipam.metal3.io"),
                    "admissionReviewVersions": ["v1", "v1beta1"],
                    "clientConfig": {"service": {"path": format!("/{act}-ipam-metal3-io-v1alpha1-{kind}")}},
                    "failurePolicy": "Fail", "matchPolicy": "Equivalent", "sideEffects": "None",
                    "rules": [{"apiGroups": ["ipam.metal3.io"], "apiVersions": ["v1alpha1"],
                        "operations": ["CREATE", "UPDATE"], "resources": [plural]}],
                })
            })
            .collect()
    };
    vec![
        json!({"kind": "ValidatingWebhookConfiguration", "webhooks": webhooks("validate", "validation")}),
        json!({"kind": "MutatingWebhookConfiguration", "webhooks": webhooks("mutate", "default")}),
    ]
}

async fn registered() -> (World, Serving, Registered) {
    registered_on(On::Real).await
}

async fn registered_on(on: On) -> (World, Serving, Registered) {
    let world = World::start(on).await;
    let serving = Serving::start(&world).await;
    let to = (serving.addr, serving.ca_pem.as_str());
    let registered = Registered::apply(&world, configurations(), to, At::Work).await;
    (world, serving, registered)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_upstreams_webhooks_what_is_bad_is_refused_with_the_field_and_what_is_good_passes() {
    if !is_there(
        "with_upstreams_webhooks_what_is_bad_is_refused_with_the_field_and_what_is_good_passes",
    )
    .await
    {
        return;
    }
    let (world, _serving, registered) = registered().await;
    // The definitions may refuse some of it before the webhook is asked.
    for (spec, field) in [
        (range("10.0.0.9", "10.0.0.1"), "spec.pools[0]"),
        (
            json!({"pools": [{"start": "010.0.0.1", "end": "10.0.0.9"}]}),
            "spec.pools[0]",
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24"}], "preAllocations": {"c": "10.9.0.1"}}),
            "spec.preAllocations",
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24"}], "excludedAddresses": ["10.0.0.9-10.0.0.1"]}),
            "spec.excludedAddresses[0]",
        ),
    ] {
        let (code, message) = refusal(try_pool(&world, "bad", spec.clone(), Dry::No).await);
        assert_eq!(code, 422, "{message}");
        let names = message.contains(field) && message.contains("\"bad\" is invalid");
        assert!(names, "{spec}: {message}");
    }
    world.pool("p", range("10.0.0.1", "10.0.0.20")).await;

    let bad_claim = asking_for(claim_json("bad", "p"), "10.0.0.300");
    let (code, message) = refusal(try_create::<IPClaim>(&world, bad_claim, Dry::No).await);
    assert_eq!(code, 422, "{message}");
    assert!(
        message.contains("metadata.annotations[ipAddress]")
            && message.contains("admission webhook \"validation.ipclaim.ipam.metal3.io\""),
        "{message}"
    );
    let bad_address = address_json("x", "p", "c", "10.0.0.300");
    let (code, message) = refusal(try_create::<IPAddress>(&world, bad_address, Dry::No).await);
    assert_eq!(code, 422, "{message}");
    assert!(message.contains("spec.address"), "{message}");

    // A claim has its finalizer from its first moment.
    let dry: IPClaim = try_create(&world, claim_json("c", "p"), Dry::Run)
        .await
        .unwrap();
    let finalizers = dry.metadata.finalizers.unwrap_or_default();
    assert_eq!(finalizers, ["ipclaim.ipam.metal3.io"]);
    let made = world.claim("c", "p").await;
    assert_eq!(made.metadata.finalizers, Some(finalizers));
    assert_eq!(world.address_of("c").await, "10.0.0.1");
    let moved = Patch::Merge(json!({"spec": {"pool": {"name": "other"}}}));
    let api = world.api::<IPClaim>();
    let (_, message) = refusal(api.patch("c", &PatchParams::default(), &moved).await);
    assert!(message.contains("spec.pool"), "{message}");
    world.delete_and_wait::<IPClaim>("c").await;
    world.delete_and_wait::<IPPool>("p").await;
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_upstreams_webhooks_a_shrink_under_use_is_refused_and_an_overlap_is_a_warning() {
    if !is_there(
        "with_upstreams_webhooks_a_shrink_under_use_is_refused_and_an_overlap_is_a_warning",
    )
    .await
    {
        return;
    }
    let (world, _serving, registered) = registered().await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let _: IPClaim = world
        .create(asking_for(claim_json("c", "p"), "10.0.0.9"))
        .await;
    assert_eq!(world.address_of("c").await, "10.0.0.9");
    let shrink = |end: &str| json!({"spec": range("10.0.0.1", end)});
    let patch = async |patch: Value| {
        let api = world.api::<IPPool>();
        let merge = Patch::Merge(patch);
        api.patch("p", &PatchParams::default(), &merge).await
    };
    let (code, message) = refusal(patch(shrink("10.0.0.8")).await);
    assert_eq!(code, 422, "{message}");
    let holder = format!(
        "10.0.0.9 by IPAddress {}/p-10-0-0-9 (claim c)",
        world.namespace
    );
    assert!(
        message.contains("spec.pools") && message.contains(&holder),
        "{message}"
    );
    // Where nobody is cut off it passes; and with the claim gone it passes too.
    patch(json!({"spec": {"pools": [{"start": "10.0.0.5", "end": "10.0.0.9"}]}}))
        .await
        .unwrap();
    world.delete_and_wait::<IPClaim>("c").await;
    world.none::<IPAddress>().await;
    super::until(
        "the controller to know that the address is free",
        async || patch(shrink("10.0.0.8")).await.is_ok(),
    )
    .await;

    let pools = json!([{"start": "10.0.0.7", "end": "10.0.0.30"}]);
    let (status, warnings, text) = post_pool(&world, "q", pools, Dry::No).await;
    assert_eq!(status, 201, "{text}");
    assert!(
        warnings.iter().any(|w| w.contains("overlaps pool p")),
        "{warnings:?}"
    );
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_upstreams_webhooks_a_claim_costs_two_writes() {
    const CLAIMS: usize = 100;
    if !is_there("with_upstreams_webhooks_a_claim_costs_two_writes").await {
        return;
    }
    let (world, _serving, registered) = registered().await;
    world
        .pool("p", json!({"pools": [{"subnet": "10.0.0.0/16"}]}))
        .await;
    let names: Vec<String> = (0..CLAIMS).map(|n| format!("c-{n:03}")).collect();
    join_all(names.iter().map(|name| world.claim(name, "p"))).await;
    world
        .until::<IPClaim>("every claim bound", |all| {
            all.len() == CLAIMS && all.values().all(is_bound)
        })
        .await;
    let writes = |view: &View| -> u64 {
        let requests = view.counters().requests;
        let of_claims = requests
            .iter()
            .filter(|((verb, kind, _), _)| verb.is_write() && *kind != Kind::Pools);
        of_claims.map(|(_, n)| n).sum()
    };
    // The watch may show a claim as bound before the answer to that write is counted.
    let claims = CLAIMS as u64;
    until_view(world.view(), "two writes a claim", |view| {
        writes(view) >= 2 * claims && view.is_idle()
    })
    .await;
    let writes = writes(world.view());
    assert!(
        writes <= 2 * claims + claims / 10,
        "two writes a claim, and a conflict now and then: {writes} for {CLAIMS}"
    );
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_upstreams_definitions_too_the_webhook_refuses_what_they_take() {
    if !is_there("with_upstreams_definitions_too_the_webhook_refuses_what_they_take").await {
        return;
    }
    let (world, _serving, registered) = registered_on(On::Upstream).await;
    for (spec, field) in [
        (range("10.0.0.9", "10.0.0.1"), "spec.pools[0].end"),
        (
            json!({"pools": [{"start": "10.0.0.1", "end": "fd00::1"}]}),
            "spec.pools[0].end",
        ),
        (json!({"pools": [{}]}), "spec.pools[0]"),
        (
            json!({"pools": [{"subnet": "0.0.0.0/0"}]}),
            "spec.pools[0].subnet",
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24", "gateway": "fd00::1"}]}),
            "spec.pools[0].gateway",
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24"}], "preAllocations": {"c": "10.9.0.1"}}),
            "spec.preAllocations[c]",
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24"}], "preAllocations": {"c": "10.0.0.1", "d": "10.0.0.1"}}),
            "spec.preAllocations[d]",
        ),
    ] {
        let (code, message) = refusal(try_pool(&world, "bad", spec.clone(), Dry::No).await);
        assert_eq!(code, 422, "{message}");
        let by = "admission webhook \"validation.ippool.ipam.metal3.io\" denied the request: IPPool.ipam.metal3.io \"bad\" is invalid";
        assert!(
            message.contains(by) && message.contains(field),
            "{spec}: {message}"
        );
    }
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let claim = world.claim("c", "p").await;
    assert_eq!(
        claim.metadata.finalizers.as_deref(),
        Some(&["ipclaim.ipam.metal3.io".to_owned()][..])
    );
    world.address_of("c").await;
    let address = json!({"spec": {"address": "10.0.0.2"}});
    let edited = world
        .api::<IPAddress>()
        .patch(
            "p-10-0-0-1",
            &PatchParams::default(),
            &Patch::Merge(address),
        )
        .await;
    let (_, message) = refusal(edited);
    assert!(
        message.contains("admission webhook \"validation.ipaddress.ipam.metal3.io\" denied")
            && message.contains("spec.address"),
        "{message}"
    );
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed with upstream's definitions", 1);
}
