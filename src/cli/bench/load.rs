//! A round's namespace, pools and claims: made, checked for duplicates, and removed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::observer::Observer;
use super::site::Site;
use super::{Bench, Kinds};
use crate::api::{Address, ClaimKind, PoolKey, WireObject};
use crate::controller::{Controller, Settings, Target};

/// Addresses that a pool has beyond those that its claims need.
const SPARE: u32 = 16;
/// Objects that are made or deleted at once where that is not measured.
const HURRY: usize = 64;

/// One round's objects.
pub(super) struct Load {
    client: Client,
    /// Where everything of the round is.
    pub(super) namespace: String,
    /// The pools, by number.
    pub(super) pools: Vec<Pool>,
    claims: u32,
    kinds: Kinds,
    creators: usize,
}

/// A pool, and where its range begins.
pub(super) struct Pool {
    pub(super) target: Target,
    pub(super) first: Ipv4Addr,
}

#[derive(Deserialize)]
struct List {
    items: Vec<WireObject>,
}

impl Load {
    /// Makes the namespace and the pools.
    pub(super) async fn prepare(site: &Site, bench: &Bench) -> anyhow::Result<Self> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "bench-"}});
        let made = create(&site.client, "/api/v1/namespaces", &namespace).await?;
        let mut load = Self {
            client: site.client.clone(),
            namespace: made.metadata.name.to_string(),
            pools: Vec::new(),
            claims: bench.claims,
            kinds: bench.kind,
            creators: usize::from(bench.creators),
        };
        let each = bench.claims.div_ceil(bench.pools) + SPARE;
        ensure!(
            u64::from(each) * u64::from(bench.pools) < 1 << 24,
            "{} pools of {each} addresses do not fit into 10.0.0.0/8; take fewer claims or pools",
            bench.pools
        );
        let path = format!(
            "/apis/ipam.metal3.io/v1alpha1/namespaces/{}/ippools",
            load.namespace
        );
        let make = |number: u32| {
            let (client, path, namespace) = (&load.client, &path, &load.namespace);
            async move {
                let first = Ipv4Addr::from_bits((10 << 24) + number * each);
                let last = Ipv4Addr::from_bits(first.to_bits() + each - 1);
                let name = format!("pool-{number}");
                let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
                    "spec": {"namePrefix": name, "prefix": 8, "allocateReservedIPAddresses": true,
                             "pools": [{"start": first, "end": last}]}});
                let made = create(client, path, &pool).await?;
                let target = Target {
                    key: PoolKey {
                        namespace: namespace.as_str().into(),
                        name: name.into(),
                    },
                    uid: made.metadata.uid,
                    prefix: Some(8),
                };
                anyhow::Ok(Pool { target, first })
            }
        };
        let made = stream::iter((0..bench.pools).map(make));
        load.pools = made.buffered(HURRY).try_collect().await?;
        Ok(load)
    }

    /// Creates all claims, so many at once as there are creators.
    pub(super) async fn create_claims(&self) -> anyhow::Result<()> {
        let create = |n: u32| async move {
            let pool = &self.pools[n as usize % self.pools.len()].target.key.name;
            let (path, claim) = claim(&self.namespace, self.kinds.of(n), &claim_name(n), pool);
            create(&self.client, &path, &claim).await.map(drop)
        };
        stream::iter((0..self.claims).map(create))
            .buffer_unordered(self.creators)
            .try_collect()
            .await
    }

    /// Addresses that more than one object of the round holds.
    pub(super) async fn duplicates(&self) -> anyhow::Result<usize> {
        let mut held = BTreeSet::new();
        let mut objects = 0;
        for kind in ClaimKind::ALL {
            let path = collection(&self.namespace, kind, "ipaddresses");
            let request = Request::get(&path).body(Vec::new())?;
            let list: List = self.client.request(request).await?;
            for object in list.items {
                let address = Address::read(kind, object);
                objects += 1;
                held.insert(address.address.map_err(anyhow::Error::msg)?);
            }
        }
        ensure!(
            objects >= self.claims as usize,
            "{objects} address objects for {} claims",
            self.claims
        );
        Ok(objects - held.len())
    }

    /// Removes everything: a controller releases the claims, then the namespace goes.
    pub(super) async fn remove(self, bench: &Bench) -> anyhow::Result<()> {
        let settings = Settings {
            namespace: Some(self.namespace.clone()),
            ..Settings::default()
        };
        let controller = Controller::new(self.client.clone(), self.client.clone(), settings);
        let stop = CancellationToken::new();
        let running = tokio::spawn(controller.run(stop.clone()));
        let mut observer = Observer::start(&self.client, &self.namespace);
        observer.until_known(self.claims).await?;
        let release = |n: u32| {
            let this = &self;
            async move {
                let path = collection(
                    &this.namespace,
                    bench.kind.of(n),
                    claims_of(bench.kind.of(n)),
                );
                delete(&this.client, &format!("{path}/{}", claim_name(n))).await
            }
        };
        stream::iter((0..self.claims).map(release))
            .buffer_unordered(HURRY)
            .try_collect::<()>()
            .await?;
        observer.until_none().await?;
        let pools = format!(
            "/apis/ipam.metal3.io/v1alpha1/namespaces/{}/ippools",
            self.namespace
        );
        for pool in &self.pools {
            delete(&self.client, &format!("{pools}/{}", pool.target.key.name)).await?;
        }
        delete(
            &self.client,
            &format!("/api/v1/namespaces/{}", self.namespace),
        )
        .await?;
        observer.until_no_pools().await?;
        stop.cancel();
        running.await.context("the controller broke off")??;
        Ok(())
    }
}

/// Name of the n-th claim.
fn claim_name(n: u32) -> String {
    format!("claim-{n:07}")
}

/// Plural of the claims of a family.
fn claims_of(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Metal3 => "ipclaims",
        ClaimKind::Capi => "ipaddressclaims",
    }
}

fn version_of(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Metal3 => "v1alpha1",
        ClaimKind::Capi => "v1beta2",
    }
}

fn collection(namespace: &str, kind: ClaimKind, plural: &str) -> String {
    let (group, version) = (kind.group(), version_of(kind));
    format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
}

/// Where a claim is created, and its JSON.
fn claim(namespace: &str, kind: ClaimKind, name: &str, pool: &str) -> (String, Value) {
    let spec = match kind {
        ClaimKind::Metal3 => json!({"pool": {"name": pool}}),
        ClaimKind::Capi => {
            json!({"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}})
        }
    };
    let claim = json!({
        "apiVersion": format!("{}/{}", kind.group(), version_of(kind)),
        "kind": kind.claim(),
        "metadata": {"name": name},
        "spec": spec,
    });
    (collection(namespace, kind, claims_of(kind)), claim)
}

async fn create(client: &Client, path: &str, object: &Value) -> anyhow::Result<WireObject> {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(object)?)?;
    let made = client.request(request).await;
    made.with_context(|| format!("cannot create {} in {path}", object["metadata"]))
}

async fn delete(client: &Client, path: &str) -> anyhow::Result<()> {
    let request = Request::delete(path).body(Vec::new())?;
    let deleted = client.request::<Value>(request).await;
    deleted
        .map(drop)
        .with_context(|| format!("cannot delete {path}"))
}
