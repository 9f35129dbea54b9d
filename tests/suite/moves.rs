//! Scenarios of rule P3: status lost, UIDs new, and every claim has its old address without a write to any address object.

use std::collections::BTreeMap;

use kube::ResourceExt;
use metal3_ipam::api::ClaimKind;
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::Watched;
use serde_json::{Value, json};

use crate::words::{capi_published, range};
use crate::world::{On, World, capi_is_bound, is_bound, published, scenarios};

scenarios! {
    p3_after_a_move_every_claim_has_its_old_address_without_a_write_to_any_address_object,
    p3_a2_a3_wiped_status_is_rebuilt_to_the_same_addresses_without_a_write_to_any_address_object,
}

/// What `clusterctl move` carries over: UIDs, versions, status and managedFields are the target's own business.
fn moved(object: &impl serde::Serialize) -> Value {
    let mut object = serde_json::to_value(object).unwrap();
    object.as_object_mut().unwrap().remove("status");
    let meta = object["metadata"].as_object_mut().unwrap();
    for key in [
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        meta.remove(key);
    }
    object
}

fn reown(object: &mut Value, kind: &str, uid: &str) {
    let Some(owners) = object["metadata"]
        .get_mut("ownerReferences")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    for owner in owners {
        if owner["kind"] == kind {
            owner["uid"] = json!(uid);
        }
    }
}

async fn p3_after_a_move_every_claim_has_its_old_address_without_a_write_to_any_address_object(
    on: On,
) {
    let source = World::start(on).await;
    source.cluster("c", false).await;
    source
        .pool("p", json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}], "clusterName": "c", "preAllocations": {"c03": "10.0.0.50"}}))
        .await;
    for n in 0..20 {
        source.claim(&format!("c{n:02}"), "p").await;
    }
    source
        .until::<IPClaim>("20 claims bound", |all| {
            all.len() == 20 && all.values().all(is_bound)
        })
        .await;
    source
        .patch::<Cluster>("c", json!({"spec": {"paused": true}}))
        .await;

    // The target's controller is there from the start and sees claims long before their addresses, as in a real move.
    let target = World::start(on).await;
    let cluster: Cluster = target
        .create(moved(&source.api::<Cluster>().get("c").await.unwrap()))
        .await;
    let mut pool = moved(&source.api::<IPPool>().get("p").await.unwrap());
    reown(&mut pool, "Cluster", &cluster.uid().unwrap());
    let pool: IPPool = target.create(pool).await;
    let claims = source
        .until::<IPClaim>("the claims", |all| all.len() == 20)
        .await;
    let mut uids = BTreeMap::new();
    for (name, claim) in &claims {
        let new: IPClaim = target.create(moved(claim)).await;
        uids.insert(name.clone(), new.uid().unwrap());
    }
    let objects = source
        .until::<IPAddress>("the objects", |all| all.len() == 20)
        .await;
    let mut versions = BTreeMap::new();
    for (name, object) in &objects {
        let mut new = moved(object);
        reown(&mut new, "IPPool", &pool.uid().unwrap());
        reown(
            &mut new,
            "IPClaim",
            &uids[object.spec.claim.name.as_ref().unwrap()],
        );
        let new: IPAddress = target.create(new).await;
        versions.insert(name.clone(), new.resource_version());
    }
    target
        .patch::<Cluster>("c", json!({"spec": {"paused": false}}))
        .await;
    let bound = target
        .until::<IPClaim>("all claims bound on the target", |all| {
            all.len() == 20 && all.values().all(is_bound)
        })
        .await;
    for (name, claim) in &bound {
        assert_eq!(
            published(claim),
            published(&claims[name]),
            "{name} keeps its address"
        );
    }
    let after = target.until::<IPAddress>("the objects", |_| true).await;
    let now: BTreeMap<_, _> = after
        .iter()
        .map(|(name, o)| (name.clone(), o.resource_version()))
        .collect();
    assert_eq!(
        now, versions,
        "no write to any address object, none created, none gone"
    );
    target.claim("next", "p").await;
    assert_eq!(target.address_of("next").await, source_next(&objects));
    target.end().await;
    source.end().await;
}

/// The lowest address of the pool that no object has and no claim has reserved.
fn source_next(objects: &BTreeMap<String, IPAddress>) -> String {
    let used: std::collections::BTreeSet<&str> =
        objects.values().map(|o| &*o.spec.address).collect();
    (1..99)
        .map(|n| format!("10.0.0.{n}"))
        .find(|a| !used.contains(a.as_str()))
        .unwrap()
}

async fn p3_a2_a3_wiped_status_is_rebuilt_to_the_same_addresses_without_a_write_to_any_address_object(
    on: On,
) {
    let mut world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.99")).await;
    for n in 0..20 {
        world.claim(&format!("c{n:02}"), "p").await;
        world.capi_claim(&format!("c{n:02}"), "p").await;
    }
    let all_bound = async |world: &World| {
        let claims = world
            .until::<IPClaim>("20 IPClaims bound", |all| {
                all.len() == 20 && all.values().all(is_bound)
            })
            .await;
        let capi_claims = world
            .until::<IPAddressClaim>("20 IPAddressClaims bound", |all| {
                all.len() == 20 && all.values().all(capi_is_bound)
            })
            .await;
        let name = |(claim, object): (&String, Option<String>)| (claim.clone(), object.unwrap());
        let shown: Vec<_> = claims
            .iter()
            .map(|(n, c)| name((n, published(c))))
            .collect();
        let capi_shown = capi_claims
            .iter()
            .map(|(n, c)| name((n, capi_published(c))));
        (shown, capi_shown.collect::<Vec<_>>())
    };
    let before = all_bound(&world).await;
    let objects = versions_of_addresses(&world).await;
    assert_eq!(objects.len(), 40);
    world.pool_counts("p", 40).await;
    world.stop_controller().await;
    for (name, _) in &before.0 {
        world.patch_status::<IPClaim>(name, Value::Null).await;
        world
            .patch_status::<IPAddressClaim>(name, Value::Null)
            .await;
    }
    let pool: IPPool = world.patch_status("p", Value::Null).await;
    assert!(
        pool.status
            .is_none_or(|s| s.indexes.is_empty() && s.allocated.is_none())
    );
    world.start_controller();
    assert_eq!(all_bound(&world).await, before);
    let pool = world.pool_counts("p", 40).await;
    assert_eq!(
        pool.status.unwrap().indexes.len(),
        20,
        "one key for both kinds of a name (A10)"
    );
    assert_eq!(versions_of_addresses(&world).await, objects);
    let counters = world.view().counters();
    let written = |kind: Watched| -> u64 {
        let of_kind = counters
            .requests
            .iter()
            .filter(|((verb, of, _), _)| verb.is_write() && *of == kind);
        of_kind.map(|(_, count)| count).sum()
    };
    for kind in [ClaimKind::Metal3, ClaimKind::Capi] {
        assert_eq!(
            written(Watched::Addresses(kind)),
            0,
            "the controller says the same"
        );
        assert!(written(Watched::Claims(kind)) >= 20, "its counters count");
    }
    world.end().await;
}

/// Every address object with its version.
async fn versions_of_addresses(world: &World) -> Vec<(String, Option<String>)> {
    let objects = world.until::<IPAddress>("a list", |_| true).await;
    let capi_objects = world.until::<CapiIPAddress>("a list", |_| true).await;
    let mut all: Vec<_> = objects
        .into_iter()
        .map(|(n, o)| (n, o.resource_version()))
        .collect();
    all.extend(
        capi_objects
            .into_iter()
            .map(|(n, o)| (n, o.resource_version())),
    );
    all
}
