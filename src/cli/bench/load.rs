//! A round's namespace, pools and claims: made, driven, checked for duplicates, and removed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::ceiling::Target;
use super::observer::{Observer, Step};
use super::site::Site;
use super::{Bench, Kinds};
use crate::api::{Address, ClaimKey, ClaimKind, PoolKey, WireObject};
use crate::controller::{Controller, Settings};

/// Objects that are made or deleted at once where that is not measured.
const HURRY: usize = 64;
/// Claims that are there at once in churn.
const CROWD: usize = 512;

/// Creates and deletes the pools and claims of one round.
pub(super) struct Load {
    client: Client,
    /// Where everything of the round is.
    pub(super) namespace: String,
    /// The pools, by number.
    pub(super) pools: Vec<Pool>,
    claims: u32,
    kinds: Kinds,
    creators: usize,
    /// Claims that are created a second, with `--rate`.
    rate: Option<u32>,
}

/// Who releases the claims of a load that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// A controller that is started for it.
    Here,
    /// Who serves the API server anyway.
    ByOthers,
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
    /// Makes the namespace and so many pools of so many addresses.
    pub(super) async fn prepare(
        site: &Site,
        bench: &Bench,
        (pools, each): (u32, u32),
    ) -> anyhow::Result<Self> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "bench-"}});
        let made = create(&site.client, "/api/v1/namespaces", &namespace).await?;
        let mut load = Self {
            client: site.client.clone(),
            namespace: made.metadata.name.to_string(),
            pools: Vec::new(),
            claims: bench.claims,
            kinds: bench.kind,
            creators: usize::from(bench.creators),
            rate: bench.rate,
        };
        ensure!(
            u64::from(each) * u64::from(pools) < 1 << 24,
            "{pools} pools of {each} addresses do not fit into 10.0.0.0/8; take fewer claims or pools"
        );
        let path = pools_of(&load.namespace);
        let make = |number: u32| {
            let (client, path, namespace) = (&load.client, &path, &load.namespace);
            async move {
                let first = Ipv4Addr::from_bits((10 << 24) + number * each);
                let name = format!("pool-{number}");
                let made = create(client, path, &pool(&name, first, each)).await?;
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
        let made = stream::iter((0..pools).map(make));
        load.pools = made.buffered(HURRY).try_collect().await?;
        Ok(load)
    }

    /// Creates all claims, so many at once as there are creators, and with `--rate` so many a second. Claims that are late,
    /// because no creator was free, come as soon as one is.
    pub(super) async fn create_claims(&self) -> anyhow::Result<()> {
        let ticks = self.rate.map(|rate| {
            let mut ticks = interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            ticks
        });
        let numbers = stream::unfold((0, ticks), async |(n, mut ticks)| {
            if n == self.claims {
                return None;
            }
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            Some((n, (n + 1, ticks)))
        });
        numbers
            .map(|n| self.create_claim(n))
            .buffer_unordered(self.creators)
            .try_collect()
            .await
    }

    /// Creates all claims and deletes each as soon as it is bound, until all are gone.
    pub(super) async fn churn(
        &self,
        observer: &mut Observer,
        mut show: impl FnMut(usize, usize),
    ) -> anyhow::Result<()> {
        let all = self.claims as usize;
        let mut creating = FuturesUnordered::new();
        let mut deleting = FuturesUnordered::new();
        let mut made = 0;
        while observer.ended() < all {
            while made < self.claims
                && creating.len() < self.creators
                && (made as usize) < observer.ended() + CROWD
            {
                creating.push(self.create_claim(made));
                made += 1;
            }
            tokio::select! {
                step = observer.next() => match step? {
                    Step::Bound(key) => deleting.push(self.delete_claim(key)),
                    Step::Gone(_) => show(observer.ended(), all - observer.ended()),
                    Step::Other => {}
                },
                Some(created) = creating.next() => created?,
                Some(deleted) = deleting.next() => deleted?,
            }
        }
        Ok(())
    }

    async fn create_claim(&self, n: u32) -> anyhow::Result<()> {
        let pool = &self.pools[n as usize % self.pools.len()].target.key.name;
        self.create_named(self.kinds.of(n), &claim_name(n), pool)
            .await
    }

    /// Creates one claim.
    pub(super) async fn create_named(
        &self,
        kind: ClaimKind,
        name: &str,
        pool: &str,
    ) -> anyhow::Result<()> {
        let (path, claim) = claim(&self.namespace, kind, name, pool);
        create(&self.client, &path, &claim).await.map(drop)
    }

    /// Where claims of a kind are created, and one that the server would take.
    pub(super) fn claim_to_try(&self, kind: ClaimKind) -> (String, Value) {
        claim(
            &self.namespace,
            kind,
            "to-try",
            &self.pools[0].target.key.name,
        )
    }

    /// Where pools are created, and one that the server would take.
    pub(super) fn pool_to_try(&self) -> (String, Value) {
        (
            pools_of(&self.namespace),
            pool("to-try", self.pools[0].first, 1),
        )
    }

    async fn delete_claim(&self, key: ClaimKey) -> anyhow::Result<()> {
        self.delete_named(key.kind, &key.name).await
    }

    /// Deletes one claim.
    pub(super) async fn delete_named(&self, kind: ClaimKind, name: &str) -> anyhow::Result<()> {
        let path = collection(&self.namespace, kind, claims_of(kind));
        delete(&self.client, &format!("{path}/{name}")).await
    }

    /// Whether the address objects that are there hold different addresses, and are enough.
    pub(super) async fn duplicates(&self, least: u32) -> anyhow::Result<usize> {
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
            objects >= least as usize,
            "{objects} address objects for {least} claims"
        );
        Ok(objects - held.len())
    }

    /// Removes everything: the claims, the pools when these are released, then the namespace.
    pub(super) async fn remove(self, release: Release) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let running = (release == Release::Here).then(|| {
            let settings = Settings {
                namespace: Some(self.namespace.clone()),
                ..Settings::default()
            };
            let controller = Controller::new(self.client.clone(), self.client.clone(), settings);
            tokio::spawn(controller.run(stop.clone()))
        });
        let mut observer = Observer::start(&self.client, &self.namespace);
        let mut claims = Vec::new();
        for kind in ClaimKind::ALL {
            let path = collection(&self.namespace, kind, claims_of(kind));
            let list: List = self
                .client
                .request(Request::get(&path).body(Vec::new())?)
                .await?;
            let names = list.items.into_iter().map(|object| object.metadata.name);
            claims.extend(names.map(|name| ClaimKey { kind, name }));
        }
        observer
            .until_known(u32::try_from(claims.len()).unwrap_or(u32::MAX))
            .await?;
        stream::iter(claims.into_iter().map(|key| self.delete_claim(key)))
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
        if let Some(running) = running {
            running.await.context("the controller broke off")??;
        }
        Ok(())
    }
}

/// Name of the n-th claim.
fn pools_of(namespace: &str) -> String {
    format!("/apis/ipam.metal3.io/v1alpha1/namespaces/{namespace}/ippools")
}

/// A pool of so many addresses.
fn pool(name: &str, first: Ipv4Addr, size: u32) -> Value {
    let last = Ipv4Addr::from_bits(first.to_bits() + size - 1);
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
        "spec": {"namePrefix": name, "prefix": 8, "allocateReservedIPAddresses": true,
                 "pools": [{"start": first, "end": last}]}})
}

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

pub(super) async fn create(
    client: &Client,
    path: &str,
    object: &Value,
) -> anyhow::Result<WireObject> {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(object)?)?;
    let made = client.request(request).await;
    made.with_context(|| format!("cannot create {} in {path}", object["metadata"]))
}

/// Deletes what may be gone already.
pub(super) async fn delete(client: &Client, path: &str) -> anyhow::Result<()> {
    let request = Request::delete(path).body(Vec::new())?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        // A claim that was being released, or what a cluster's user has deleted.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot delete {path}")),
    }
}
