//! Pools beside each other, and what stands outside of any one pool's judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::objects::{Beside, Overlap};
use super::read::Survey;
use super::{Finding, Level};
use crate::api::{Address, PoolKey, PoolObject};
use crate::pool::{IndexesRoom, Scope};

/// Of the pools that a manager with this `--watch-filter` serves; others matter where they meet one of these.
pub(super) fn findings(survey: &Survey, watch_filter: Option<&str>) -> Vec<Finding> {
    let serves = |pool: &PoolObject| Scope::of(&pool.meta, watch_filter) == Scope::Ours;
    let beside = Beside::new(&survey.objects);
    let mut findings = overlaps(&beside, serves);
    findings.extend(collisions(&beside, serves));
    for pool in survey.objects.pools.iter().filter(|pool| serves(pool)) {
        let addresses = beside.held(&pool.key());
        findings.extend(promised_to_others(&beside, pool));
        findings.extend(gateways(&beside, pool));
        if !fit_into_indexes(addresses) {
            let text = format!(
                "{} addresses are held, more than status.indexes has room for: it is left out, and the condition IndexesComplete says so",
                addresses.len()
            );
            let action =
                "read the IPAddress objects where a tool reads status.indexes of this pool";
            findings.push(note("LargePool", &name(pool), text, action));
        }
    }
    let others: BTreeSet<PoolKey> = survey
        .objects
        .pools
        .iter()
        .filter(|pool| !serves(pool))
        .map(PoolObject::key)
        .collect();
    findings.extend(left_behind(survey, &others));
    findings
}

/// Whether the pool's status will list all of these objects by their claims.
fn fit_into_indexes(addresses: &[&Address]) -> bool {
    let readable = addresses.iter().filter_map(|object| {
        let address = object.address.as_ref().ok()?;
        Some((&*object.claim, *address))
    });
    let by_claim: BTreeMap<&str, IpAddr> = readable.collect();
    let mut room = IndexesRoom::default();
    by_claim
        .into_iter()
        .all(|(claim, address)| room.takes(claim, address))
}

fn note(check: &'static str, object: &str, text: String, action: &str) -> Finding {
    Finding::new(Level::Notes, check, object, text, action)
}

fn warn(check: &'static str, object: String, text: String, action: &str) -> Finding {
    Finding::new(Level::Warns, check, object, text, action)
}

fn name(pool: &PoolObject) -> String {
    format!("IPPool {}", pool.key())
}

/// Pools whose ranges meet, over all namespaces, where the manager serves one of them.
fn overlaps(beside: &Beside<'_>, serves: impl Fn(&PoolObject) -> bool) -> Vec<Finding> {
    let overlaps = beside.overlaps(serves).into_iter();
    let finding = |overlap: Overlap<'_>| {
        let action = "take the addresses out of one of them, unless these are separate networks: pools know nothing of each other";
        let text = overlap.to_string();
        warn("OverlappingPools", name(overlap.pool), text, action)
    };
    overlaps.map(finding).collect()
}

/// Address objects whose name another pool of the namespace would give to the same address.
fn collisions(beside: &Beside<'_>, serves: impl Fn(&PoolObject) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (object, address, pool) in beside.collisions() {
        if serves(pool) {
            let pool = name(pool);
            let text = format!(
                "has the name that {pool} needs for {address}, which it can therefore not hand out"
            );
            let action = "give the two pools different name prefixes or ranges";
            findings.push(warn("NameCollision", display(object), text, action));
        }
    }
    findings
}

fn display(address: &Address) -> String {
    let (group, meta) = (address.kind.group(), &address.meta);
    format!("IPAddress.{group} {}/{}", meta.namespace, meta.name)
}

/// Addresses that are promised to one claim and held by another one.
fn promised_to_others(beside: &Beside<'_>, pool: &PoolObject) -> Vec<Finding> {
    let finding = |(claim, ip, holder): (&str, IpAddr, &Address)| {
        let text = format!(
            "promises {ip} to the claim {claim:?}, and {} of the claim {:?} holds it",
            display(holder),
            holder.claim
        );
        let action = "delete the claim that holds it, or promise another address; until then the promised claim waits";
        warn("PreAllocationHeld", name(pool), text, action)
    };
    let promised = beside.promised_to_others(pool);
    promised.into_iter().map(finding).collect()
}

/// Held addresses that are gateways: upstream hands them out, we do not (A7).
fn gateways(beside: &Beside<'_>, pool: &PoolObject) -> Vec<Finding> {
    let finding = |(address, ip): (&Address, IpAddr)| {
        let text = format!("holds {ip}, which is a gateway of {}", name(pool));
        let action = "check that the machine and the router do not share the address; once released it is not handed out again";
        warn("GatewayHeld", display(address), text, action)
    };
    beside.gateways(pool).into_iter().map(finding).collect()
}

/// Address objects that `clusterctl move` would leave behind, but for those of other managers' pools: it takes along what an
/// owner leads to or a label asks for.
fn left_behind(survey: &Survey, others: &BTreeSet<PoolKey>) -> Vec<Finding> {
    let claims = survey.objects.claim_names();
    let mut findings = Vec::new();
    for address in &survey.objects.addresses {
        let meta = &address.meta;
        let of_claim =
            claims.contains(&(address.kind, meta.namespace.clone(), address.claim.clone()));
        let key = (
            address.kind,
            meta.namespace.to_string(),
            meta.name.to_string(),
        );
        if others.contains(&address.pool_key()) || survey.objects.moved.contains(&key) {
            continue;
        }
        let owned = meta
            .owner_references
            .iter()
            .any(|owner| owner.kind == address.kind.claim() && *owner.name == *address.claim);
        let object = display(address);
        if of_claim && !owned {
            let text = format!(
                "has no owner reference to its claim {:?}, as after a restore: clusterctl move leaves it behind, and the claim gets another address on the other side",
                address.claim
            );
            let action = "label it clusterctl.cluster.x-k8s.io/move= if the cluster is to be moved";
            findings.push(Finding::new(Level::Warns, "NoOwner", object, text, action));
        } else if !of_claim && !address.has_our_finalizer() {
            let text = "was made by hand for no claim: clusterctl move leaves it behind, and its address is free on the other side".to_owned();
            let action = "label it clusterctl.cluster.x-k8s.io/move= if the cluster is to be moved";
            findings.push(note("ExternalAddress", &object, text, action));
        }
    }
    findings
}
