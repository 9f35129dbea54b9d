//! `metal3-ipam tree`: pools, claims and addresses of a Cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::names;
use super::answer::Answer;
use super::target::{Output, Target};
use super::{Asked, Sight};
use crate::api::{Address, Claim, ClaimKey, PoolKey, PoolObject};
use crate::pool::{Snapshot, utilization};

/// Shows the pools, claims and addresses of a Cluster as a tree.
///
/// A claim belongs to the Cluster that it names itself, else to its pool's. Nothing is written. Exit code 1: nothing belongs to
/// such a Cluster; 2: not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Tree {
    /// Name of the Cluster.
    #[arg(value_name = "CLUSTER", add = names::clusters())]
    cluster: String,
    #[command(flatten)]
    target: Target,
    /// How the answer is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Tree {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Asked::of(&self.target).await?;
        let answer = look(&asked.sight, asked.namespace.as_deref(), &self.cluster);
        asked.finish(&answer, self.output)
    }
}

/// A line of the tree, and what hangs below it.
struct Branch {
    text: String,
    value: Value,
    below: Vec<Branch>,
}

/// Address objects by the namespace and the key of the claim that they name.
type Addresses<'a> = BTreeMap<(&'a str, ClaimKey), Vec<&'a Address>>;

/// The tree of a Cluster; one for each namespace that has a Cluster of the name.
pub(super) fn look(sight: &Sight, namespace: Option<&str>, cluster: &str) -> Answer {
    let mut pools: BTreeMap<PoolKey, Vec<&Claim>> = BTreeMap::new();
    let within = |of: &str| namespace.is_none_or(|namespace| namespace == of);
    // Pools that name the Cluster; a claim that names none belongs to its pool's.
    let of_cluster = |pool: &&PoolObject| {
        let spec = pool.spec.as_ref();
        spec.is_ok_and(|spec| spec.cluster_name.as_deref() == Some(cluster))
    };
    let of_cluster = sight.objects.pools.iter().filter(of_cluster);
    let of_cluster: BTreeSet<PoolKey> = of_cluster.map(PoolObject::key).collect();
    for key in &of_cluster {
        if within(&key.namespace) {
            pools.entry(key.clone()).or_default();
        }
    }
    for claim in &sight.objects.claims {
        let key = claim.pool_key();
        let of_pool = of_cluster.contains(&key).then_some(cluster);
        let of = claim.cluster.as_deref().or(of_pool);
        if within(&key.namespace) && of == Some(cluster) {
            pools.entry(key).or_default().push(claim);
        }
    }
    let mut addresses: Addresses<'_> = BTreeMap::new();
    for address in &sight.objects.addresses {
        let claim = (&*address.meta.namespace, address.claim_key());
        addresses.entry(claim).or_default().push(address);
    }
    let clusters = sight.objects.clusters.iter();
    let clusters = clusters.filter(|(of, facts)| within(of) && &*facts.name == cluster);
    let mut roots: BTreeMap<&str, Option<bool>> = clusters
        .map(|(of, facts)| (of.as_str(), Some(facts.paused)))
        .collect();
    for key in pools.keys() {
        roots.entry(&key.namespace).or_insert(None);
    }
    if roots.is_empty() {
        let text = format!(
            "no Cluster {cluster}, and no pool or claim names it{}\n",
            namespace.map_or(String::new(), |n| format!(
                " in the namespace {n}; look everywhere with -A"
            ))
        );
        return Answer::missing(text, json!({"clusters": []}));
    }
    let trees: Vec<Branch> = roots
        .iter()
        .map(|(namespace, paused)| {
            let state = match paused {
                Some(true) => " (paused)",
                Some(false) => "",
                None => " (there is no such Cluster)",
            };
            let of_root = pools
                .iter()
                .filter(|(key, _)| &*key.namespace == *namespace);
            let below: Vec<Branch> = of_root
                .map(|(key, claims)| pool(sight, &addresses, key, claims))
                .collect();
            Branch {
                text: format!("Cluster {namespace}/{cluster}{state}"),
                value: json!({
                    "namespace": namespace,
                    "cluster": cluster,
                    "exists": paused.is_some(),
                    "paused": paused.unwrap_or(false),
                    "pools": below.iter().map(|branch| &branch.value).collect::<Vec<_>>(),
                }),
                below,
            }
        })
        .collect();
    let mut text = String::new();
    for tree in &trees {
        let _ = writeln!(text, "{}", tree.text);
        draw(&mut text, "", &tree.below);
    }
    let value = json!({"clusters": trees.iter().map(|tree| &tree.value).collect::<Vec<_>>()});
    let names = pools
        .keys()
        .map(|key| format!("ippool.ipam.metal3.io/{}", key.name));
    Answer::new(text, value, names.collect())
}

fn pool(sight: &Sight, addresses: &Addresses<'_>, key: &PoolKey, claims: &[&Claim]) -> Branch {
    let snapshot = sight.pool(key).map(|fed| fed.pool.snapshot());
    let exists = snapshot.as_ref().is_some_and(Snapshot::exists);
    let numbers = match &snapshot {
        Some(s) if exists => match utilization(s.capacity, s.available) {
            Some(percent) => format!("{percent}% used, {} free", s.available),
            None => "no addresses".to_owned(),
        },
        Some(_) | None => "there is no such pool".to_owned(),
    };
    let below: Vec<Branch> = claims
        .iter()
        .map(|of| claim(sight, addresses, of))
        .collect();
    Branch {
        text: format!("IPPool {} ({numbers})", key.name),
        value: json!({
            "pool": &*key.name,
            "exists": exists,
            "claims": below.iter().map(|branch| &branch.value).collect::<Vec<_>>(),
        }),
        below,
    }
}

fn claim(sight: &Sight, addresses: &Addresses<'_>, claim: &Claim) -> Branch {
    let key = claim.key();
    let objects = addresses.get(&(&*claim.meta.namespace, key.clone()));
    let objects = objects.into_iter().flatten();
    let below: Vec<Branch> = objects
        .map(|object| {
            let address = match &object.address {
                Ok(address) => address.to_string(),
                Err(text) => format!("{text:?}, which is no address"),
            };
            Branch {
                text: format!("{address} ({})", object.key()),
                value: json!({"address": address, "object": &*object.meta.name}),
                below: Vec::new(),
            }
        })
        .collect();
    let waits = sight.pool(&claim.pool_key());
    let waits = waits.and_then(|fed| fed.pool.waits_for(&key));
    let state = match waits {
        _ if claim.meta.is_deleting() => " (being deleted)".to_owned(),
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    Branch {
        text: format!("{key}{state}"),
        value: json!({
            "kind": claim.kind.claim(),
            "claim": &*claim.meta.name,
            "waits": waits,
            "addresses": below.iter().map(|branch| &branch.value).collect::<Vec<_>>(),
        }),
        below,
    }
}

fn draw(out: &mut String, indent: &str, branches: &[Branch]) {
    for (number, branch) in branches.iter().enumerate() {
        let is_last = number + 1 == branches.len();
        let (corner, below) = if is_last {
            ("\u{2514}\u{2500} ", "   ")
        } else {
            ("\u{251c}\u{2500} ", "\u{2502}  ")
        };
        let _ = writeln!(out, "{indent}{corner}{}", branch.text);
        draw(out, &format!("{indent}{below}"), &branch.below);
    }
}
