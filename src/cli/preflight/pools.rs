//! Pools beside each other, and what stands outside of any one pool's judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::read::Survey;
use super::{Finding, Level};
use crate::admission::covered;
use crate::alloc::{Family, Range};
use crate::api::{Address, PoolKey, PoolObject, names};
use crate::pool::Scope;

/// Addresses beyond which a pool's status no longer lists them all.
const MOST_INDEXES: usize = 4096;

/// Of the pools that a manager with this `--watch-filter` serves; others matter where they meet one of these.
pub(super) fn findings(survey: &Survey, watch_filter: Option<&str>) -> Vec<Finding> {
    let serves = |pool: &PoolObject| Scope::of(&pool.meta, watch_filter) == Scope::Ours;
    let ranges: Vec<Vec<Range>> = survey.objects.pools.iter().map(ranges_of).collect();
    let mut held: BTreeMap<PoolKey, Vec<&Address>> = BTreeMap::new();
    for address in &survey.objects.addresses {
        held.entry(address.pool_key()).or_default().push(address);
    }
    let mut findings = overlaps(survey, &ranges, serves);
    findings.extend(collisions(survey, &ranges, serves));
    for pool in survey.objects.pools.iter().filter(|pool| serves(pool)) {
        let addresses = held.get(&pool.key()).map(Vec::as_slice).unwrap_or_default();
        findings.extend(promised_to_others(pool, addresses));
        findings.extend(gateways(pool, addresses));
        if addresses.len() > MOST_INDEXES {
            let text = format!(
                "{} addresses are held: status.indexes lists the first {MOST_INDEXES} and the condition IndexesComplete says so",
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

fn note(check: &'static str, object: &str, text: String, action: &str) -> Finding {
    Finding::new(Level::Notes, check, object, text, action)
}

fn name(pool: &PoolObject) -> String {
    format!("IPPool {}", pool.key())
}

fn ranges_of(pool: &PoolObject) -> Vec<Range> {
    pool.spec.as_ref().map(covered).unwrap_or_default()
}

/// Pools whose ranges meet, over all namespaces; each pair once.
fn overlaps(
    survey: &Survey,
    ranges: &[Vec<Range>],
    serves: impl Fn(&PoolObject) -> bool,
) -> Vec<Finding> {
    let mut sorted: Vec<(Range, usize)> = ranges
        .iter()
        .enumerate()
        .flat_map(|(pool, ranges)| ranges.iter().map(move |range| (*range, pool)))
        .collect();
    sorted.sort_by_key(|(range, _)| (range.first(), range.last()));
    let mut open: Vec<(Range, usize)> = Vec::new();
    let mut pairs: BTreeMap<(usize, usize), IpAddr> = BTreeMap::new();
    for (range, pool) in sorted {
        open.retain(|(other, _)| {
            Family::of(other.first()) == Family::of(range.first()) && other.last() >= range.first()
        });
        for (_, other) in &open {
            let either = [pool, *other]
                .iter()
                .any(|pool| serves(&survey.objects.pools[*pool]));
            if *other != pool && either {
                let pair = (pool.min(*other), pool.max(*other));
                pairs.entry(pair).or_insert(range.first());
            }
        }
        open.push((range, pool));
    }
    let finding = |((one, other), at): ((usize, usize), IpAddr)| {
        let (one, other) = (&survey.objects.pools[one], &survey.objects.pools[other]);
        let text = format!("has addresses in common with {}, such as {at}", name(other));
        let action = "take the addresses out of one of them, unless these are separate networks: pools know nothing of each other";
        Finding::new(Level::Warns, "OverlappingPools", name(one), text, action)
    };
    pairs.into_iter().map(finding).collect()
}

/// Address objects whose name another pool of the namespace would give to the same address.
fn collisions(
    survey: &Survey,
    ranges: &[Vec<Range>],
    serves: impl Fn(&PoolObject) -> bool,
) -> Vec<Finding> {
    let mut by_prefix: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, pool) in survey.objects.pools.iter().enumerate() {
        if let Ok(spec) = &pool.spec
            && serves(pool)
        {
            let key = (&*pool.meta.namespace, &*spec.name_prefix);
            by_prefix.entry(key).or_default().push(number);
        }
    }
    let mut findings = Vec::new();
    for object in &survey.objects.addresses {
        let (Ok(address), meta) = (&object.address, &object.meta) else {
            continue;
        };
        let suffix = names::address_name("", *address);
        let Some(prefix) = meta.name.strip_suffix(&*suffix) else {
            continue;
        };
        let others = by_prefix.get(&(&*meta.namespace, prefix));
        for number in others.into_iter().flatten() {
            let pool = &survey.objects.pools[*number];
            let covers = ranges[*number].iter().any(|range| range.contains(*address));
            if pool.meta.name != object.pool && covers {
                let text = format!(
                    "has the name that {} needs for {address}, which it can therefore not hand out",
                    name(pool)
                );
                let action = "give the two pools different name prefixes or ranges";
                let object = display(object);
                findings.push(Finding::new(
                    Level::Warns,
                    "NameCollision",
                    object,
                    text,
                    action,
                ));
            }
        }
    }
    findings
}

fn display(address: &Address) -> String {
    let (group, meta) = (address.kind.group(), &address.meta);
    format!("IPAddress.{group} {}/{}", meta.namespace, meta.name)
}

/// Addresses that are promised to one claim and held by another one.
fn promised_to_others(pool: &PoolObject, addresses: &[&Address]) -> Vec<Finding> {
    let Ok(spec) = &pool.spec else {
        return Vec::new();
    };
    let mut at: BTreeMap<IpAddr, Vec<&Address>> = BTreeMap::new();
    for address in addresses {
        if let Ok(ip) = address.address {
            at.entry(ip).or_default().push(address);
        }
    }
    let mut findings = Vec::new();
    for (claim, text) in &spec.pre_allocations {
        let Ok(ip) = text.0.parse::<IpAddr>() else {
            continue;
        };
        for holder in at.get(&ip).into_iter().flatten() {
            if *holder.claim != **claim {
                let text = format!(
                    "promises {ip} to the claim {claim:?}, and {} of the claim {:?} holds it",
                    display(holder),
                    holder.claim
                );
                let action = "delete the claim that holds it, or promise another address; until then the promised claim waits";
                findings.push(Finding::new(
                    Level::Warns,
                    "PreAllocationHeld",
                    name(pool),
                    text,
                    action,
                ));
            }
        }
    }
    findings
}

/// Held addresses that are gateways: upstream hands them out, we do not (A7).
fn gateways(pool: &PoolObject, addresses: &[&Address]) -> Vec<Finding> {
    let Ok(spec) = &pool.spec else {
        return Vec::new();
    };
    let texts = spec.pools.iter().map(|entry| &entry.gateway);
    let texts = texts.chain([&spec.gateway]).flatten();
    let gateways: BTreeSet<IpAddr> = texts.filter_map(|text| text.0.parse().ok()).collect();
    let mut findings = Vec::new();
    for address in addresses {
        if let Ok(ip) = address.address
            && gateways.contains(&ip)
        {
            let text = format!("holds {ip}, which is a gateway of {}", name(pool));
            let action = "check that the machine and the router do not share the address; once released it is not handed out again";
            findings.push(Finding::new(
                Level::Warns,
                "GatewayHeld",
                display(address),
                text,
                action,
            ));
        }
    }
    findings
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
