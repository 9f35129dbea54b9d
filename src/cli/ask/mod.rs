//! Answers at the terminal, for any cluster: who has an address, why a claim waits, how full pools are. They only read.
//!
//! ```text
//!   target.rs   which cluster and namespace, and how the answer is printed
//!      v
//!   Sight       its objects, and each pool's own state machine fed with them (objects/)
//!      v        pure from here on: a Sight in, an Answer out
//!   pools.rs  pool.rs (map.rs)  who.rs (owners.rs)  why.rs (occurred.rs)  tree.rs  plan.rs  forecast.rs (outlook.rs)
//!      v
//!   answer.rs   text, JSON, YAML or names; exit code
//! ```
//! No rule is written here a second time: what a pool would do is asked of its state machine.

mod answer;
mod forecast;
mod map;
mod occurred;
mod outlook;
mod owners;
mod plan;
mod pool;
mod pools;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod who;
mod why;

use std::net::IpAddr;
use std::process::ExitCode;

use jiff::Timestamp;
use kube::Client;

pub(super) use self::forecast::Forecast;
pub(super) use self::outlook::Outlook;
pub(super) use self::plan::Plan;
pub(super) use self::pool::{Lists, Pool, Whole};
pub(super) use self::pools::{Line, NONE, Pools, Shape, bar};
pub(super) use self::target::{Output, Target};
pub(super) use self::tree::Tree;
pub(super) use self::who::Who;
pub(super) use self::why::Why;

use self::answer::Answer;
use super::objects::{Fed, Objects, Reader};
use super::place::Place;
use super::print;
use crate::api::{Address, AddressKey, Claim, ClaimKey, PoolKey, PoolObject};

/// What was read of a cluster, and each pool's state machine fed with it.
#[derive(Debug, Default)]
struct Sight {
    objects: Objects,
    /// By key, in order.
    pools: Vec<Fed>,
    now: Timestamp,
}

impl Sight {
    fn new(objects: Objects, now: Timestamp) -> Self {
        Self {
            pools: Fed::all(&objects, None, now),
            objects,
            now,
        }
    }

    fn pool(&self, key: &PoolKey) -> Option<&Fed> {
        let at = self.pools.binary_search_by(|fed| fed.key.cmp(key));
        at.ok().and_then(|at| self.pools.get(at))
    }

    fn pool_object(&self, key: &PoolKey) -> Option<&PoolObject> {
        let mut pools = self.objects.pools.iter();
        pools.find(|pool| pool.key() == *key)
    }

    fn claim(&self, namespace: &str, key: &ClaimKey) -> Option<&Claim> {
        let mut claims = self.objects.claims.iter();
        claims.find(|claim| *claim.meta.namespace == *namespace && claim.key() == *key)
    }

    fn address(&self, namespace: &str, key: &AddressKey) -> Option<&Address> {
        let mut addresses = self.objects.addresses.iter();
        addresses.find(|address| *address.meta.namespace == *namespace && address.key() == *key)
    }
}

/// A cluster that questions are asked about.
struct Asked {
    place: Place,
    client: Client,
    /// The namespace of the question; `None`: all.
    namespace: Option<String>,
    sight: Sight,
    /// What could not be read.
    unread: Vec<String>,
}

impl Asked {
    /// Reads the cluster; of all namespaces when the question is about all.
    async fn of(target: &Target) -> anyhow::Result<Self> {
        let (client, namespace) = reach(target).await?;
        let mut reader = Reader::new(&client);
        let objects = Objects::read(&mut reader, namespace.as_deref()).await;
        let unread = std::mem::take(&mut reader.unread);
        Ok(Self::new(target, client, namespace, objects, unread))
    }

    /// Reads what an address is about, or else everything.
    async fn at(target: &Target, address: IpAddr) -> anyhow::Result<Self> {
        let (client, namespace) = reach(target).await?;
        let mut reader = Reader::new(&client);
        let part = Objects::read_at(&mut reader, namespace.as_deref(), address).await;
        Ok(Self::of_part(target, &client, namespace.clone(), part, reader.unread).await)
    }

    /// Reads what a name is about, or else everything.
    async fn named(target: &Target, name: &str) -> anyhow::Result<Self> {
        let (client, namespace) = reach(target).await?;
        let mut reader = Reader::new(&client);
        let part = Objects::read_named(&mut reader, namespace.as_deref(), name).await;
        Ok(Self::of_part(target, &client, namespace.clone(), part, reader.unread).await)
    }

    /// Of what was read, if that tells enough and all of it could be read; else of everything.
    async fn of_part(
        target: &Target,
        client: &Client,
        namespace: Option<String>,
        part: Option<Objects>,
        unread: Vec<String>,
    ) -> Self {
        let mut reader = Reader::new(client);
        let objects = match part.filter(|_| unread.is_empty()) {
            Some(part) => part,
            None => Objects::read(&mut reader, namespace.as_deref()).await,
        };
        let unread = reader.unread;
        Self::new(target, client.clone(), namespace, objects, unread)
    }

    fn new(
        target: &Target,
        client: Client,
        namespace: Option<String>,
        objects: Objects,
        mut unread: Vec<String>,
    ) -> Self {
        let strange = objects.strange.iter();
        unread.extend(strange.map(|(object, why)| format!("{object}: {why}")));
        Self {
            place: target.place.clone(),
            client,
            namespace,
            sight: Sight::new(objects, Timestamp::now()),
            unread,
        }
    }

    /// Prints the answer. Exit code 0: answered; 1: there is no such object; 2: not everything could be read.
    fn finish(&self, answer: &Answer, output: Output) -> anyhow::Result<ExitCode> {
        let is_table = matches!(output, Output::Table | Output::Wide);
        print(&self.place.painted(answer.text(output)?, is_table))?;
        for what in &self.unread {
            tell!("metal3-ipam: not read, so the answer may lack something: {what}");
        }
        Ok(match (answer.is_found, self.unread.is_empty()) {
            (_, false) => ExitCode::from(2),
            (false, true) => ExitCode::from(1),
            (true, true) => ExitCode::SUCCESS,
        })
    }
}

/// The API server, and the namespace of the question; `None`: all.
pub(super) async fn reach(target: &Target) -> anyhow::Result<(Client, Option<String>)> {
    let cluster = target.place.reach().await?.with_pools()?;
    let namespace = target.namespace(&cluster.namespace);
    Ok((cluster.client, namespace))
}

/// `IPClaim` and `IPAddressClaim`, and the short names that kubectl has for them.
fn claim_kind(word: &str) -> Option<crate::api::ClaimKind> {
    use crate::api::ClaimKind::{Capi, Metal3};
    match word.to_ascii_lowercase().as_str() {
        "ipclaim" | "ipclaims" | "ipc" | "ipclaims.ipam.metal3.io" | "m3ipc" | "m3ipclaim" => {
            Some(Metal3)
        }
        "ipaddressclaim" | "ipaddressclaims" | "ipaddressclaims.ipam.cluster.x-k8s.io" => {
            Some(Capi)
        }
        _ => None,
    }
}

/// The entry of a pool as people count: its number in `spec.pools`, from 1.
fn entry_number(index: usize) -> usize {
    index + 1
}
