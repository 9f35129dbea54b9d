//! A chart writes `key:` without a value, which is null: both servers accept or refuse the same nulls, and none stops the
//! controller.

use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, scenarios};

use super::{refusal, with};

scenarios! {
    section_6_nulls_of_a_chart_are_absent_or_refused_by_name,
}

async fn send(
    world: &World,
    method: &str,
    path: &str,
    content: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let path = format!(
        "/apis/ipam.metal3.io/v1alpha1/namespaces/{}/{path}",
        world.namespace
    );
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .body(serde_json::to_vec(body).unwrap())
        .unwrap();
    world.client.request(request).await
}

fn pool() -> Value {
    json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "p", "labels": null, "annotations": null},
        "spec": {
            "namePrefix": "p", "clusterName": null, "gateway": null, "allocationStrategy": null, "prefix": 24,
            "pools": [{"start": "10.21.0.10", "end": "10.21.0.12", "subnet": null, "gateway": null}],
        },
    })
}

async fn section_6_nulls_of_a_chart_are_absent_or_refused_by_name(on: On) {
    let world = World::start(on).await;
    let mut body = pool();
    // Fields that the definition does not let be null and that have no default: absent.
    for field in [
        "/spec/dnsServers",
        "/spec/preAllocations",
        "/spec/excludedAddresses",
        "/spec/pools/0/dnsServers",
    ] {
        body = with(body, field, Value::Null);
        let tried = send(
            &world,
            "POST",
            "ippools?dryRun=All",
            "application/json",
            &body,
        )
        .await;
        assert_eq!(tried.unwrap().pointer(field), None, "{field}");
    }
    // A required one is missed by its name.
    let nameless = with(pool(), "/spec/namePrefix", Value::Null);
    let (code, message) = refusal(
        send(
            &world,
            "POST",
            "ippools?dryRun=All",
            "application/json",
            &nameless,
        )
        .await,
    );
    assert_eq!(code, 422, "{message}");
    assert!(message.contains("spec.namePrefix"), "{message}");
    let made = send(&world, "POST", "ippools", "application/json", &pool())
        .await
        .unwrap();
    assert_eq!(made["spec"]["allocationStrategy"], "sequential");
    let claim = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
        "metadata": {"name": "m1", "annotations": null}, "spec": {"pool": {"name": "p"}}});
    send(&world, "POST", "ipclaims", "application/json", &claim)
        .await
        .unwrap();
    assert_eq!(world.address_of("m1").await, "10.21.0.10");
    world.pool_counts("p", 1).await;
    world.until_observed("p").await;
    // Server-side apply keeps a null that a create drops: refused by name. Without nulls the second time changes nothing.
    let apply = async |pool: &Value| {
        for (path, object) in [("ippools/p", pool), ("ipclaims/m1", &claim)] {
            let path = format!("{path}?fieldManager=helm&force=true");
            let content = "application/apply-patch+yaml";
            send(&world, "PATCH", &path, content, object).await?;
        }
        Ok::<_, kube::Error>(())
    };
    let (code, message) = refusal(apply(&body).await);
    assert_eq!(code, 422, "{message}");
    for field in [
        "spec.clusterName",
        "spec.gateway",
        "spec.excludedAddresses",
        "spec.preAllocations",
        "spec.pools[0].dnsServers",
        "spec.pools[0].subnet",
    ] {
        assert!(message.contains(field), "{field} in {message}");
    }
    let mut without = pool();
    for part in ["/spec", "/spec/pools/0"] {
        let part = without.pointer_mut(part).unwrap().as_object_mut().unwrap();
        part.retain(|field, value| !value.is_null() || field == "allocationStrategy");
    }
    apply(&without).await.unwrap();
    let pool_then: IPPool = world.get("p").await;
    let claim_then: IPClaim = world.get("m1").await;
    apply(&without).await.unwrap();
    let pool_now: IPPool = world.get("p").await;
    let claim_now: IPClaim = world.get("m1").await;
    assert_eq!(pool_now.spec, pool_then.spec);
    // For a null in the metadata a real server stores the same object once more.
    let without_version = |mut claim: IPClaim| {
        claim.metadata.resource_version = None;
        serde_json::to_value(claim).unwrap()
    };
    assert_eq!(without_version(claim_now), without_version(claim_then));
    assert_eq!(pool_now.metadata.generation, pool_then.metadata.generation);
    // A merge patch's null takes a key away.
    let gone = json!({"spec": {"gateway": null, "preAllocations": null}});
    world.patch::<IPPool>("p", gone).await;
    let none = world
        .try_patch_pool("p", json!({"spec": {"pools": null}}))
        .await;
    if on == On::Embedded {
        let (code, message) = refusal(none);
        assert_eq!(code, 422, "{message}");
        assert!(
            message.contains("10.21.0.10") && message.contains("m1"),
            "{message}"
        );
    } else {
        none.unwrap();
    }
    assert_eq!(world.address_of("m1").await, "10.21.0.10");
    world.looked_at_everything(&Value::Null).await;
    world.end().await;
}
