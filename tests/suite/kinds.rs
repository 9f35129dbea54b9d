//! Cluster API's kinds are absent, appear, change their version, disappear and appear again, while claims are bound (A3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt};
use metal3_ipam::api::ClaimKind;
use metal3_ipam::api::Kind;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::crds;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{Settings, Verb, View};
use metal3_ipam::pool::KindState;
use serde_json::{Value, json};

use crate::capi_visibility::{CapiVisibility, Shown};
use crate::control_plane::{self, Versions, capi_definitions, skipped};
use crate::harness::{
    DEADLINE, On, World, capi_claim_json, capi_is_bound, is_bound, published, scenarios,
};
use crate::oracles::Recorder;
use crate::steps::{capi_address_json, capi_published, range, until_view};
use crate::tally;

scenarios! {
    a3_an_address_that_came_with_a_new_kind_is_held_before_the_next_is_given_out,
    a3_cluster_apis_kinds_come_and_go_and_come_back_and_nothing_is_freed,
    a3_a_change_of_cluster_apis_version_moves_no_bound_claim,
}

/// Asks quickly whether a kind is there by now.
fn quick() -> Settings {
    Settings {
        discovery_interval: Duration::from_millis(100),
        ..Settings::default()
    }
}

/// A server whose controller sees Cluster API's kinds as `shown` says, and a handle that changes that.
async fn seeing(
    on: On,
    shown: Shown,
    settings: Settings,
) -> (World, std::sync::Arc<CapiVisibility>) {
    let mut world = World::without_controller(on).await;
    let server = world.client.clone();
    let (client, visibility) = CapiVisibility::over(server.clone(), shown);
    world.client = client;
    world.start_controller_with(settings);
    world.client = server;
    (world, visibility)
}

async fn claims_are(world: &World, what: &str, state: KindState) {
    until_view(world.view(), what, |view| {
        let kinds = view.kinds();
        [
            Kind::Claims(ClaimKind::Capi),
            Kind::Addresses(ClaimKind::Capi),
        ]
        .iter()
        .all(|kind| kinds[*kind] == state)
    })
    .await;
}

/// What every claim shows.
async fn shown_of(world: &World) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let claims = world.until::<IPClaim>("a list", |_| true).await;
    let capi_claims = world.until::<IPAddressClaim>("a list", |_| true).await;
    let shown = claims
        .iter()
        .filter_map(|(n, c)| Some((n.clone(), published(c)?)));
    let capi_shown = capi_claims.iter();
    let capi_shown = capi_shown.filter_map(|(n, c)| Some((n.clone(), capi_published(c)?)));
    (shown.collect(), capi_shown.collect())
}

async fn a3_cluster_apis_kinds_come_and_go_and_come_back_and_nothing_is_freed(on: On) {
    let (world, visibility) = seeing(on, Shown::Nothing, quick()).await;
    let recorder = Recorder::start(&world).await;
    world.pool("p", range("10.0.0.1", "10.0.0.4")).await;
    world.claim("first", "p").await;
    world.address_of("first").await;
    claims_are(&world, "that there is no Cluster API", KindState::Absent).await;
    world.capi_claim("early", "p").await;
    let early: IPAddressClaim = world.get("early").await;
    assert!(early.finalizers().is_empty(), "nobody sees it");

    visibility.show(Shown::V1Beta2);
    assert_eq!(world.capi_address_of("early").await, "10.0.0.2");
    world.capi_claim("second", "p").await;
    assert_eq!(world.capi_address_of("second").await, "10.0.0.3");
    world.pool_counts("p", 3).await;
    world.pool("other", range("10.1.0.1", "10.1.0.4")).await;
    let before = world.versions().await;

    // It goes: nothing of it is freed, its pool gives nothing out, and a pool that has none of it does not care.
    visibility.show(Shown::Nothing);
    let message = world
        .pool_says("p", "Ready", ("False", "KindUnavailable"))
        .await;
    assert!(
        message.contains("nothing is given out or freed"),
        "{message}"
    );
    claims_are(&world, "that it is gone", KindState::Unavailable).await;
    world.claim("waits", "p").await;
    world.waits_for("waits", "PoolNotReady").await;
    world.claim("elsewhere", "other").await;
    world.address_of("elsewhere").await;
    // Deleted while nobody can see it.
    world.delete::<IPAddressClaim>("second").await;
    let after = world.versions().await;
    let of_capi =
        |line: &&String| line.contains("ipaddressclaims early") || line.contains("-10-0-0-2");
    let (before, after): (Vec<_>, Vec<_>) = (
        before.iter().filter(of_capi).collect(),
        after.iter().filter(of_capi).collect(),
    );
    assert_eq!((before.len(), before), (2, after));

    visibility.show(Shown::V1Beta2);
    world
        .until::<IPAddressClaim>("what was deleted meanwhile to go", |all| all.len() == 1)
        .await;
    world.address_of("waits").await;
    world.pool_says("p", "Ready", ("True", "Ready")).await;
    assert_eq!(world.capi_address_of("early").await, "10.0.0.2");
    recorder
        .finish()
        .await
        .assert_clean("kinds that come and go");
    world.end().await;
}

/// Cluster API is installed, and objects that hold addresses are moved in, before the leader has looked for it again.
async fn a3_an_address_that_came_with_a_new_kind_is_held_before_the_next_is_given_out(on: On) {
    let never = Duration::from_hours(1);
    let settings = Settings {
        discovery_interval: never,
        absence_age: Duration::ZERO,
        ..Settings::default()
    };
    let (world, visibility) = seeing(on, Shown::Nothing, settings).await;
    let recorder = Recorder::start(&world).await;
    world.pool("p", range("10.0.0.1", "10.0.0.4")).await;
    world.claim("first", "p").await;
    world.address_of("first").await;
    claims_are(&world, "that there is no Cluster API", KindState::Absent).await;
    world.capi_claim("moved", "p").await;
    let address = capi_address_json("p-10-0-0-2", "p", "moved", "10.0.0.2");
    let _: CapiIPAddress = world.create(address).await;

    visibility.show(Shown::V1Beta2);
    world.claim("late", "p").await;
    assert_eq!(world.address_of("late").await, "10.0.0.3");
    assert_eq!(world.capi_address_of("moved").await, "10.0.0.2");
    recorder.finish().await.assert_clean("a kind that is new");
    world.end().await;
}

async fn a3_a_change_of_cluster_apis_version_moves_no_bound_claim(on: On) {
    let (world, visibility) = seeing(on, Shown::V1Beta1, quick()).await;
    let recorder = Recorder::start(&world).await;
    world.cluster("c", false).await;
    let mut spec = range("10.0.0.1", "10.0.0.99");
    spec["clusterName"] = json!("c");
    world.pool("p", spec).await;
    let mut made = 0;
    // There and back: an upgrade of Cluster API, and one that is taken back.
    for shown in [Shown::V1Beta1, Shown::V1Beta2, Shown::V1Beta1] {
        let before = shown_of(&world).await;
        visibility.show(shown);
        for _ in 0..10 {
            world.claim(&format!("claim-{made:02}"), "p").await;
            world.capi_claim(&format!("claim-{made:02}"), "p").await;
            made += 1;
        }
        world
            .until::<IPClaim>("every IPClaim bound", |all| {
                all.len() == made && all.values().all(is_bound)
            })
            .await;
        world
            .until::<IPAddressClaim>("every IPAddressClaim bound", |all| {
                all.len() == made && all.values().all(capi_is_bound)
            })
            .await;
        let after = shown_of(&world).await;
        for (claim, object) in &before.0 {
            assert_eq!(after.0.get(claim), Some(object), "{claim} after {shown:?}");
        }
        for (claim, object) in &before.1 {
            assert_eq!(after.1.get(claim), Some(object), "{claim} after {shown:?}");
        }
        let version = if shown == Shown::V1Beta1 {
            "v1beta1"
        } else {
            "v1beta2"
        };
        let belongs = format!("cluster.x-k8s.io/{version}");
        world
            .until::<IPPool>("the owner reference in the version that is served", |all| {
                let owners = all["p"].owner_references();
                owners.len() == 1 && owners[0].api_version == belongs
            })
            .await;
    }
    until_view(world.view(), "every request to be answered", View::is_idle).await;
    let counters = world.view().counters();
    let created = (Verb::Create, Kind::Addresses(ClaimKind::Capi), "stored");
    let made_for_them = counters.requests.get(&created);
    assert_eq!(made_for_them, Some(&(made as u64)), "one for each claim");
    for n in 0..made {
        world.delete::<IPClaim>(&format!("claim-{n:02}")).await;
        world
            .delete::<IPAddressClaim>(&format!("claim-{n:02}"))
            .await;
    }
    world.none::<IPClaim>().await;
    world.none::<IPAddressClaim>().await;
    world.none::<IPAddress>().await;
    world.none::<CapiIPAddress>().await;
    recorder.finish().await.assert_clean("a change of version");
    world.end().await;
}

/// Which versions of Cluster API's definitions are served, and which one is stored.
fn served(served: &[&str], stored: &str) -> Vec<CustomResourceDefinition> {
    let mut definitions = capi_definitions(Versions::Both);
    for definition in &mut definitions {
        for version in &mut definition.spec.versions {
            version.served = served.contains(&&*version.name);
            version.storage = version.name == stored;
        }
    }
    definitions
}

async fn change_to(client: &Client, definitions: &[CustomResourceDefinition]) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        let versions = json!({"spec": {"versions": definition.spec.versions}});
        api.patch(
            &definition.name_any(),
            &PatchParams::default(),
            &Patch::Merge(versions),
        )
        .await
        .unwrap();
    }
}

fn capi_api(world: &World, version: &str, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("ipam.cluster.x-k8s.io", version, kind);
    Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::from_gvk(&kind),
    )
}

/// Creates claims in this version, waits until that many in all are bound, and returns what they show.
async fn bind(
    world: &World,
    version: &str,
    names: &[&str],
    bound: usize,
) -> BTreeMap<String, String> {
    let claims = capi_api(world, version, "IPAddressClaim");
    for name in names {
        let mut claim = capi_claim_json(name, "p");
        claim["apiVersion"] = json!(format!("ipam.cluster.x-k8s.io/{version}"));
        let claim: DynamicObject = serde_json::from_value(claim).unwrap();
        claims.create(&PostParams::default(), &claim).await.unwrap();
    }
    let mut changes = world.view().changes();
    let all = async {
        loop {
            let listed = claims.list(&ListParams::default()).await.unwrap();
            let shown: BTreeMap<_, _> = listed.items.iter().filter_map(shows).collect();
            if shown.len() == bound {
                return shown;
            }
            // Whatever is written to a claim changes what the controller shows of its pool.
            world.view().changed(&mut changes).await;
        }
    };
    let all = tokio::time::timeout(DEADLINE, all).await;
    all.unwrap_or_else(|_| panic!("waited for {bound} claims to be bound in {version}"))
}

/// Name of a claim that says that it is bound, in whatever version, and of its object. The old kind of condition has no reason
/// where it holds, and here nobody makes one up when it is read in the other version.
fn shows(claim: &DynamicObject) -> Option<(String, String)> {
    let status = claim.data.get("status")?;
    let conditions = status
        .pointer("/v1beta2/conditions")
        .unwrap_or(&status["conditions"]);
    let mut ready = conditions
        .as_array()?
        .iter()
        .filter(|c| c["type"] == "Ready");
    let ready = ready.next()?;
    let bound = ready["status"] == "True"
        && [&Value::Null, &json!("AddressAllocated")].contains(&&ready["reason"]);
    let object = status["addressRef"]["name"].as_str()?;
    bound.then(|| (claim.name_any(), object.to_owned()))
}

/// The same with a real server's definitions: of one version, of both, of the other, of none, and back.
#[tokio::test(flavor = "multi_thread")]
async fn a3_real_definitions_change_their_versions_while_claims_are_bound() {
    let Some(server) = control_plane::private(&crds::metal3_crds()).await else {
        skipped("a3_real_definitions_change_their_versions_while_claims_are_bound");
        return;
    };
    let mut world = World::at(&server.config).await;
    world.start_controller_with(quick());
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    world.claim("first", "p").await;
    world.address_of("first").await;
    claims_are(&world, "that there is no Cluster API", KindState::Absent).await;

    let old = served(&["v1beta1"], "v1beta1");
    server.define(&old).await;
    let shown = bind(&world, "v1beta1", &["a", "b"], 2).await;
    assert_eq!(shown.len(), 2);

    // An upgrade: both, with the new one stored; then the new one alone.
    change_to(&world.client, &served(&["v1beta1", "v1beta2"], "v1beta2")).await;
    server
        .until_served(&served(&["v1beta2"], "v1beta2")[0])
        .await;
    let more = bind(&world, "v1beta2", &["c", "d"], 4).await;
    assert!(
        shown
            .iter()
            .all(|(claim, object)| more.get(claim) == Some(object))
    );
    change_to(&world.client, &served(&["v1beta2"], "v1beta2")).await;
    let all = bind(&world, "v1beta2", &["e", "f"], 6).await;
    assert!(
        more.iter()
            .all(|(claim, object)| all.get(claim) == Some(object))
    );
    assert_eq!(all.len(), 6);

    // None is served: what is known stays held.
    change_to(&world.client, &served(&[], "v1beta2")).await;
    world
        .pool_says("p", "Ready", ("False", "KindUnavailable"))
        .await;
    world.claim("waits", "p").await;
    world.waits_for("waits", "PoolNotReady").await;

    // And back to the old one.
    let old = served(&["v1beta1"], "v1beta2");
    change_to(&world.client, &old).await;
    server.until_served(&old[0]).await;
    world.address_of("waits").await;
    let back = bind(&world, "v1beta1", &["g"], 7).await;
    assert!(
        all.iter()
            .all(|(claim, object)| back.get(claim) == Some(object))
    );
    let addresses = capi_api(&world, "v1beta1", "IPAddress");
    let listed = addresses.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), 7, "one each, none twice");
    let addresses_of = |object: &DynamicObject| object.data["spec"]["address"].to_string();
    let distinct: BTreeSet<String> = listed.items.iter().map(addresses_of).collect();
    assert_eq!(distinct.len(), 7);
    let claims = capi_api(&world, "v1beta1", "IPAddressClaim");
    for name in back.keys() {
        claims
            .delete(name, &kube::api::DeleteParams::default())
            .await
            .unwrap();
    }
    until_view(world.view(), "seven released", |view| {
        view.counters().released.get(&ClaimKind::Capi) == Some(&7)
    })
    .await;
    world.pool_counts("p", 2).await;
    assert!(
        addresses
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
