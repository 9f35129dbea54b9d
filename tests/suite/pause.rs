//! Scenarios of `docs/spec.md` section 4, by the id of the rule.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use metal3_ipam::api::capi::Cluster;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::world::{On, World, claim_json, is_bound, scenarios};

scenarios! {
    p1_every_form_of_pause_stops_allocation_and_its_end_resumes_it,
    p1_a_paused_claim_is_left_alone_by_itself,
    p2_a_pool_waits_for_its_cluster_and_starts_the_moment_it_appears,
    p2_a_deleted_claim_whose_cluster_is_gone_is_released,
    p3_after_a_move_every_claim_has_its_old_address_without_a_write_to_any_address_object,
    p3_wiped_status_is_rebuilt_to_the_same_addresses,
    p4_the_watch_filter_leaves_others_objects_alone_but_holds_their_addresses,
}

async fn patch<K>(world: &World, name: &str, patch: Value)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    world
        .api::<K>()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

fn condition(pool: &IPPool, type_: &str) -> Option<(String, String)> {
    let condition = pool
        .status
        .iter()
        .flat_map(|s| &s.conditions)
        .find(|c| c.type_ == type_)?;
    Some((condition.status.clone(), condition.reason.clone()))
}

async fn p1_every_form_of_pause_stops_allocation_and_its_end_resumes_it(on: On) {
    let world = World::start(on).await;
    world.cluster("c", false).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}], "clusterName": "c"}),
        )
        .await;
    world.claim("before", "p").await;
    world.address_of("before").await;
    let pause: [(&str, Value, Value); 3] = [
        (
            "cluster",
            json!({"spec": {"paused": true}}),
            json!({"spec": {"paused": false}}),
        ),
        (
            "cluster",
            json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": "true"}}}),
            json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": null}}}),
        ),
        (
            "pool",
            json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": "true"}}}),
            json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": null}}}),
        ),
    ];
    for (round, (what, on, off)) in pause.into_iter().enumerate() {
        match what {
            "cluster" => patch::<Cluster>(&world, "c", on).await,
            _ => patch::<IPPool>(&world, "p", on).await,
        }
        world
            .until::<IPPool>("the pool to say that it is paused", |all| {
                condition(&all["p"], "Paused").is_some_and(|(s, _)| s == "True")
            })
            .await;
        let claim = world.claim(&format!("during-{round}"), "p").await;
        // A claim of another pool passes through everything behind this one: when it is bound, this one was looked at.
        let probe = format!("probe-{round}");
        world
            .pool(
                &probe,
                json!({"pools": [{"start": "10.1.0.1", "end": "10.1.0.9"}]}),
            )
            .await;
        world.claim(&probe, &probe).await;
        world.address_of(&probe).await;
        let now = world.api::<IPClaim>().get(&claim.name_any()).await.unwrap();
        assert_eq!(
            now.resource_version(),
            claim.resource_version(),
            "nothing is written to a claim of a paused pool"
        );
        match what {
            "cluster" => patch::<Cluster>(&world, "c", off).await,
            _ => patch::<IPPool>(&world, "p", off).await,
        }
        world.address_of(&claim.name_any()).await;
        world
            .until::<IPPool>("the pool to say that it goes on", |all| {
                condition(&all["p"], "Paused").is_none_or(|(s, _)| s == "False")
            })
            .await;
    }
    world.end().await;
}

async fn p1_a_paused_claim_is_left_alone_by_itself(on: On) {
    let world = World::start(on).await;
    world.cluster("stopped", true).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}]}),
        )
        .await;
    let mut by_annotation = claim_json("a", "p");
    by_annotation["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": ""});
    let a: IPClaim = world.create(by_annotation).await;
    let mut by_label = claim_json("b", "p");
    by_label["metadata"]["labels"] = json!({"cluster.x-k8s.io/cluster-name": "stopped"});
    let b: IPClaim = world.create(by_label).await;
    let mut missing = claim_json("m", "p");
    missing["metadata"]["labels"] = json!({"cluster.x-k8s.io/cluster-name": "no-such"});
    let _: IPClaim = world.create(missing).await;
    world.address_of("m").await; // in an IPClaim's label a missing Cluster is ignored, as upstream
    for claim in [&a, &b] {
        let now = world.api::<IPClaim>().get(&claim.name_any()).await.unwrap();
        assert_eq!(now.resource_version(), claim.resource_version());
    }
    patch::<IPClaim>(&world, "a", json!({"metadata": {"annotations": null}})).await;
    world.address_of("a").await;
    patch::<Cluster>(&world, "stopped", json!({"spec": {"paused": false}})).await;
    world.address_of("b").await;
    world.end().await;
}

async fn p2_a_pool_waits_for_its_cluster_and_starts_the_moment_it_appears(on: On) {
    let world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}], "clusterName": "late"}),
        )
        .await;
    world.claim("a", "p").await;
    world.waits_for("a", "PoolNotReady").await;
    world
        .until::<IPPool>("the pool to say why", |all| {
            condition(&all["p"], "Ready").is_some_and(|(s, _)| s == "False")
        })
        .await;
    let cluster = world.cluster("late", false).await;
    world.address_of("a").await;
    let pool = world.api::<IPPool>().get("p").await.unwrap();
    assert_eq!(
        pool.labels()
            .get("cluster.x-k8s.io/cluster-name")
            .map(String::as_str),
        Some("late")
    );
    assert_eq!(
        pool.labels()
            .get("cluster.x-k8s.io/provider")
            .map(String::as_str),
        Some("ipam-metal3")
    );
    let owner = pool
        .owner_references()
        .iter()
        .find(|o| o.kind == "Cluster")
        .expect("an owner reference to the Cluster");
    assert_eq!(
        (owner.uid.clone(), owner.controller.unwrap_or(false)),
        (cluster.uid().unwrap(), false)
    );
    world.end().await;
}

async fn p2_a_deleted_claim_whose_cluster_is_gone_is_released(on: On) {
    let world = World::start(on).await;
    world.cluster("c", false).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}]}),
        )
        .await;
    let mut claim = claim_json("a", "p");
    claim["metadata"]["labels"] = json!({"cluster.x-k8s.io/cluster-name": "c"});
    let _: IPClaim = world.create(claim).await;
    world.address_of("a").await;
    world.delete_and_wait::<Cluster>("c").await;
    world.delete_and_wait::<IPClaim>("a").await;
    world
        .until::<IPAddress>("its object to go", BTreeMap::is_empty)
        .await;
    world.end().await;
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
    patch::<Cluster>(&source, "c", json!({"spec": {"paused": true}})).await;

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
    patch::<Cluster>(&target, "c", json!({"spec": {"paused": false}})).await;
    let bound = target
        .until::<IPClaim>("all claims bound on the target", |all| {
            all.len() == 20 && all.values().all(is_bound)
        })
        .await;
    for (name, claim) in &bound {
        assert_eq!(
            crate::world::published(claim),
            crate::world::published(&claims[name]),
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

async fn p3_wiped_status_is_rebuilt_to_the_same_addresses(on: On) {
    let mut world = World::start(on).await;
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}]}),
        )
        .await;
    for n in 0..20 {
        world.claim(&format!("c{n:02}"), "p").await;
    }
    let before = world
        .until::<IPClaim>("20 claims bound", |all| {
            all.len() == 20 && all.values().all(is_bound)
        })
        .await;
    let objects = world
        .until::<IPAddress>("20 objects", |all| all.len() == 20)
        .await;
    world.stop_controller().await;
    for name in before.keys() {
        let wipe = Patch::Merge(json!({"status": null}));
        world
            .api::<IPClaim>()
            .patch_status(name, &PatchParams::default(), &wipe)
            .await
            .unwrap();
    }
    world
        .api::<IPPool>()
        .patch_status(
            "p",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": null})),
        )
        .await
        .unwrap();
    world.start_controller();
    let after = world
        .until::<IPClaim>("20 claims bound again", |all| all.values().all(is_bound))
        .await;
    for (name, claim) in &after {
        assert_eq!(
            crate::world::published(claim),
            crate::world::published(&before[name])
        );
    }
    let now = world
        .until::<IPAddress>("the objects", |all| all.len() == 20)
        .await;
    for (name, object) in &now {
        assert_eq!(
            object.resource_version(),
            objects[name].resource_version(),
            "{name} was not written to"
        );
    }
    world.end().await;
}

async fn p4_the_watch_filter_leaves_others_objects_alone_but_holds_their_addresses(on: On) {
    let mut world = World::without_controller(on).await;
    world.start_controller_with(metal3_ipam::controller::Settings {
        watch_filter: Some("mine".into()),
        ..Default::default()
    });
    let mut pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p", "labels": {"cluster.x-k8s.io/watch-filter": "mine"}},
        "spec": {"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}});
    let _: IPPool = world.create(pool.clone()).await;
    pool["metadata"] = json!({"name": "other"});
    let other: IPPool = world.create(pool).await;
    let _: IPAddress = world
        .create(json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": "p-10-0-0-1"},
            "spec": {"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "theirs"}}}))
        .await;
    let unlabelled = world.claim("unlabelled", "p").await;
    let mut mine = claim_json("mine", "p");
    mine["metadata"]["labels"] = json!({"cluster.x-k8s.io/watch-filter": "mine"});
    let _: IPClaim = world.create(mine).await;
    assert_eq!(world.address_of("mine").await, "10.0.0.2");
    assert_eq!(
        world
            .api::<IPClaim>()
            .get("unlabelled")
            .await
            .unwrap()
            .resource_version(),
        unlabelled.resource_version()
    );
    assert_eq!(
        world
            .api::<IPPool>()
            .get("other")
            .await
            .unwrap()
            .resource_version(),
        other.resource_version()
    );
    world.end().await;
}
