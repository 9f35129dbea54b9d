//! The rules of this project as the embedded server asks them.

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{InMemory, in_memory};
use crate::api::metal3::{IPAddress, IPPool};

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
    assert!(refused.contains("default/p-1"), "{refused}");
    // 10.0.0.9 is another address than 10.0.0.90, and holds nothing up.
    let other = address("p-2", "10.0.0.9");
    addresses.create(&by, &other).await.unwrap();
    let gone = DeleteParams::default();
    addresses.delete("p-1", &gone).await.unwrap();
    shrink().await.unwrap();
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
