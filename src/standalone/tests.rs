//! The rules of this project as the embedded server asks them.

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{InMemory, in_memory};
use crate::api::capi::CapiIPAddress;
use crate::api::metal3::{IPAddress, IPClaim, IPPool};

mod definitions;

fn pool(name: &str, pools: &Value) -> IPPool {
    let pool = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
        "spec": {"namePrefix": "p", "pools": pools},
    });
    serde_json::from_value(pool).unwrap()
}

fn address(name: &str, address: &str) -> IPAddress {
    let object = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": address, "pool": {"name": "pool"}, "claim": {"name": "c"}},
    });
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn the_rules_of_admission_hold_on_every_write() {
    let server = InMemory::open(in_memory()).await.unwrap();
    let pools: Api<IPPool> = Api::default_namespaced(server.client());
    let addresses: Api<IPAddress> = Api::default_namespaced(server.client());
    let by = PostParams::default();
    let wide = json!([{"start": "10.0.0.1", "end": "10.0.0.99"}]);
    pools.create(&by, &pool("pool", &wide)).await.unwrap();
    let upside_down = json!([{"start": "10.0.0.9", "end": "10.0.0.1"}]);
    let refused = pools.create(&by, &pool("b", &upside_down)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("spec.pools[0].end"), "{refused}");

    let held = address("p-1", "10.0.0.90");
    addresses.create(&by, &held).await.unwrap();
    // Section 6: ranges do not shrink below an address in use, by live objects.
    let shrink = json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.50"}]}});
    let shrink = async || {
        let patch = Patch::Merge(&shrink);
        pools.patch("pool", &PatchParams::default(), &patch).await
    };
    let refused = shrink().await.unwrap_err().to_string();
    let external = "default/p-1, whose claim c does not exist";
    assert!(refused.contains(external), "{refused}");
    // An exclusion takes nothing from an address object whose claim does not exist, and something from a claim.
    let exclude = async |excluded: Value| {
        let patch = Patch::Merge(json!({"spec": {"excludedAddresses": excluded}}));
        pools.patch("pool", &PatchParams::default(), &patch).await
    };
    exclude(json!(["10.0.0.90"])).await.unwrap();
    exclude(json!(null)).await.unwrap();
    let claims: Api<IPClaim> = Api::default_namespaced(server.client());
    let claim = json!({"metadata": {"name": "c"}, "spec": {"pool": {"name": "pool"}}});
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&by, &claim).await.unwrap();
    let refused = exclude(json!(["10.0.0.90"])).await.unwrap_err().to_string();
    assert!(
        refused.contains("p-1 (claim c); do not exclude it"),
        "{refused}"
    );
    // 10.0.0.9 is another address than 10.0.0.90, and holds nothing up.
    let other = address("p-2", "10.0.0.9");
    addresses.create(&by, &other).await.unwrap();
    let gone = DeleteParams::default();
    addresses.delete("p-1", &gone).await.unwrap();
    // An address of another provider's pool of the same name is none of this one's.
    let others: Api<CapiIPAddress> = Api::default_namespaced(server.client());
    let foreign = json!({"metadata": {"name": "foreign"}, "spec": {"address": "10.0.0.90", "prefix": 24, "claimRef": {"name": "c"},
        "poolRef": {"apiGroup": "ipam.other.io", "kind": "InClusterIPPool", "name": "pool"}}});
    let foreign = serde_json::from_value(foreign).unwrap();
    others.create(&by, &foreign).await.unwrap();
    shrink().await.unwrap();
    server.close().await;
}

/// The pools that the warnings of a created pool say it overlaps.
async fn overlaps(client: &kube::Client, name: &str, pools: &Value) -> Vec<String> {
    let body = serde_json::to_vec(&pool(name, pools)).unwrap();
    let path = "/apis/ipam.metal3.io/v1alpha1/namespaces/default/ippools";
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(body.into()).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 201, "{name}");
    let texts = response.headers().get_all("warning").iter();
    let pool = |text: &http::HeaderValue| {
        let (_, rest) = text.to_str().unwrap().split_once("overlaps pool ")?;
        Some(rest.split_once(';')?.0.replace(['\\', '"'], ""))
    };
    texts.filter_map(pool).collect()
}

#[tokio::test]
async fn a_new_pool_is_warned_of_each_pool_that_has_its_addresses_and_of_no_other() {
    let dir = tempfile::tempdir().unwrap();
    // Pools that were written before the rules, which then look for them by texts that they never made.
    let server = super::Server::open(super::options_without_rules(dir.path()));
    let server = server.await.unwrap();
    let client = server.client();
    let one = |first: &str, last: &str| json!([{"start": first, "end": last}]);
    for (name, pools) in [
        ("around", one("10.0.0.0", "10.255.255.255")),
        ("astride", one("127.255.255.0", "128.0.0.9")),
        (
            "two",
            json!([{"start": "10.9.0.1", "end": "10.9.0.9"}, {"subnet": "fd00::/64"}]),
        ),
        ("beside", one("10.9.1.0", "10.9.1.255")),
    ] {
        assert_eq!(overlaps(&client, name, &pools).await, [""; 0]);
    }
    drop(client);
    server.close().await;

    let server = super::Server::open(super::options(dir.path()))
        .await
        .unwrap();
    let client = server.client();
    let named = async |name: &str, pools: &Value| overlaps(&client, name, pools).await;
    let new = one("10.9.0.5", "10.9.0.255");
    assert_eq!(
        named("a", &new).await,
        ["around (both have 10.9.0.5)", "two (both have 10.9.0.5)"]
    );
    let new = one("127.255.255.255", "127.255.255.255");
    assert_eq!(
        named("b", &new).await,
        ["astride (both have 127.255.255.255)"]
    );
    let new = json!([{"subnet": "fd00::1:0/112"}, {"start": "192.168.0.1", "end": "192.168.0.9"}]);
    assert_eq!(named("c", &new).await, ["two (both have fd00::1:1)"]);
    assert_eq!(
        named("d", &one("192.168.0.10", "192.168.0.99")).await,
        [""; 0]
    );
    // A pool is found by what it has now.
    let pools: Api<IPPool> = Api::default_namespaced(client.clone());
    let moved = json!({"spec": {"pools": [{"start": "192.168.1.1", "end": "192.168.1.9"}]}});
    let by = PatchParams::default();
    pools.patch("d", &by, &Patch::Merge(&moved)).await.unwrap();
    assert_eq!(
        named("e", &one("192.168.0.10", "192.168.0.99")).await,
        [""; 0]
    );
    assert_eq!(
        named("f", &one("192.168.1.9", "192.168.1.99")).await,
        ["d (both have 192.168.1.9)"]
    );
    let gone = DeleteParams::default();
    pools.delete("d", &gone).await.unwrap();
    assert_eq!(
        named("g", &one("192.168.1.1", "192.168.1.8")).await,
        [""; 0]
    );
    server.close().await;
}

#[tokio::test]
async fn without_the_rules_a_server_takes_what_a_definition_cannot_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let server = super::Server::open(super::options_without_rules(dir.path()));
    let server = server.await.unwrap();
    let pools: Api<IPPool> = Api::default_namespaced(server.client());
    let overlap = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
    for name in ["a", "b"] {
        let made = pools
            .create(&PostParams::default(), &pool(name, &overlap))
            .await;
        made.unwrap();
    }
    let addresses: Api<IPAddress> = Api::default_namespaced(server.client());
    let held = address("p-1", "10.0.0.9");
    addresses
        .create(&PostParams::default(), &held)
        .await
        .unwrap();
    let shrink = json!({"spec": {"pools": [{"start": "10.0.0.1", "end": "10.0.0.5"}]}});
    let (by, shrink) = (PatchParams::default(), Patch::Merge(&shrink));
    pools.patch("a", &by, &shrink).await.unwrap();
    server.close().await;
}
