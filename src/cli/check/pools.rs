//! Pools: what their status shows beside what their state machines compute, their specs, and pools beside each other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::objects::Fed;
use super::catalog;
use super::finding::{Finding, Level, Subject};
use super::view::View;
use crate::admission::{NoFacts, Review, review};
use crate::api::{ClaimKind, PoolObject, names};
use crate::pool::{Effect, Request, is_nearly_full, utilization};

/// The size from which an API server with etcd's defaults refuses an object, in bytes; and the share of it that is reported.
const MOST_BYTES: usize = 1536 * 1024;
const NEARLY: usize = 80;
/// Counts of a pool's status that are compared.
const COUNTS: [&str; 5] = [
    "capacity",
    "allocated",
    "available",
    "reserved",
    "outOfRange",
];
/// Differences that a message names.
const NAMED: usize = 5;

pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut findings = beside(view);
    for fed in &view.fed {
        let Some(pool) = view.pool(&fed.key) else {
            continue;
        };
        findings.extend(shown(view, fed, pool));
        findings.extend(owner(view, pool));
        findings.extend(finalizer(view, pool));
        findings.extend(deletion(view, pool));
        findings.extend(promised(view, pool));
        findings.extend(size(pool));
        findings.extend(gateways(view, pool));
        findings.extend(doubtful(fed, pool));
        findings.extend(paused(view, pool));
        findings.extend(numbers(fed, pool));
    }
    findings
}

/// E14 and E15: what the pool's state machine would correct in the counts and `indexes` of the status. Only where no
/// address is just being handed out or released: that changes both.
fn shown(view: &View<'_>, fed: &Fed, pool: &PoolObject) -> Vec<Finding> {
    if !view.is_whole() {
        return Vec::new();
    }
    let mut statuses = Vec::new();
    for effect in &fed.effects {
        match effect {
            Effect::Request(_, Request::PoolStatus { status, .. }) => statuses.push(status),
            Effect::Request(
                _,
                Request::CreateAddress(_)
                | Request::DeleteAddress { .. }
                | Request::ClaimFinalizers { .. },
            ) => return Vec::new(),
            _ => {}
        }
    }
    let updated = pool.status.last_updated.as_ref().map(|time| time.0);
    if updated.is_none_or(|at| !view.ages.past(at, view.ages.settled)) || pool.meta.is_deleting() {
        return Vec::new();
    }
    let level = Level::unless(view.is_pool_at_rest(pool));
    let stored = serde_json::to_value(&pool.status).unwrap_or_default();
    let mut findings = Vec::new();
    for status in statuses {
        // Upstream writes no counts: what is not there is not wrong.
        let differs = |field: &&str| status.get(*field).is_some() && !stored[*field].is_null();
        let counts: Vec<String> = COUNTS
            .iter()
            .filter(|field| differs(field))
            .map(|field| format!("{field} {} for {}", stored[*field], status[*field]))
            .collect();
        if !counts.is_empty() {
            let text = format!("shows {}, by its objects", counts.join(", "));
            findings.push(Finding::new(catalog::COUNTS, level, pool, text));
        }
        findings.extend(indexes(status, &stored, pool, level));
    }
    findings
}

fn indexes(status: &Value, stored: &Value, pool: &PoolObject, level: Level) -> Option<Finding> {
    let changed = status.get("indexes")?.as_object()?;
    let line = |(claim, address): (&String, &Value)| {
        let (shown, is) = (&stored["indexes"][claim], address);
        match (shown.as_str(), is.as_str()) {
            (Some(shown), Some(is)) => format!("{claim:?} with {shown} for {is}"),
            (Some(shown), None) => format!("{claim:?} with {shown}, which it does not hold"),
            (None, is) => format!("{claim:?} not, which holds {}", is.unwrap_or("nothing")),
        }
    };
    let mut lines: Vec<String> = changed.iter().take(NAMED).map(line).collect();
    if changed.len() > NAMED {
        lines.push(format!("and {} more", changed.len() - NAMED));
    }
    let text = format!("status.indexes shows {}", lines.join("; "));
    Some(Finding::new(catalog::INDEXES, level, pool, text))
}

/// E11: the owner reference to the pool's Cluster.
fn owner(view: &View<'_>, pool: &PoolObject) -> Option<Finding> {
    let spec = pool.spec.as_ref().ok()?;
    let name = spec.cluster_name.as_deref()?;
    let mut clusters = view.objects.clusters.iter();
    let (_, cluster) =
        clusters.find(|(ns, facts)| **ns == *pool.meta.namespace && *facts.name == *name)?;
    let mut owners = pool.meta.owner_references.iter();
    let owner = owners.find(|owner| owner.kind == "Cluster" && owner.name == name)?;
    if cluster.uid.is(&owner.uid) || pool.meta.is_deleting() {
        return None;
    }
    let level = Level::unless(view.is_pool_at_rest(pool));
    let text = format!(
        "names the UID {} of its Cluster {name:?}, which has the UID {}",
        owner.uid, cluster.uid
    );
    Some(Finding::new(catalog::OWNER, level, pool, text))
}

/// E12: a pool whose addresses are held, and which ends at once when somebody deletes it (R1).
fn finalizer(view: &View<'_>, pool: &PoolObject) -> Option<Finding> {
    let held = view.beside.held(&pool.key()).iter();
    let held = held.filter(|address| address.has_our_finalizer()).count();
    if pool.meta.has_finalizer(names::POOL_FINALIZER)
        || held == 0
        || pool.meta.is_deleting()
        || !view.is_settled(&pool.meta)
    {
        return None;
    }
    let level = Level::unless(view.is_pool_at_rest(pool));
    let text = format!(
        "has {held} addresses and lacks the finalizer {}: kubectl delete removes it at once, and its addresses stay behind",
        names::POOL_FINALIZER
    );
    Some(Finding::new(catalog::FINALIZER, level, pool, text))
}

/// E13: a pool without addresses that our finalizer keeps (R5).
fn deletion(view: &View<'_>, pool: &PoolObject) -> Option<Finding> {
    let since = pool.meta.deletion_timestamp?;
    if !pool.meta.has_finalizer(names::POOL_FINALIZER)
        || !view.beside.held(&pool.key()).is_empty()
        || !view.ages.past(since, view.ages.settled)
    {
        return None;
    }
    let level = Level::unless(view.is_pool_at_rest(pool));
    let text = format!("is being deleted since {since}, and no IPAddress names it any more");
    Some(Finding::new(catalog::STUCK_DELETION, level, pool, text))
}

/// E17: a promise that is broken where the promised claim is there and waits; else it may be meant so (A8).
fn promised(view: &View<'_>, pool: &PoolObject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (claim, ip, holder) in view.beside.promised_to_others(pool) {
        let waits = ClaimKind::ALL
            .into_iter()
            .filter_map(|kind| view.claim(kind, &pool.meta.namespace, claim))
            .any(|of| of.pool_key() == pool.key() && view.of_claim(of).is_empty());
        let level = if waits { Level::Error } else { Level::Warning };
        let text = format!(
            "promises {ip} to the claim {claim:?}, and {} of the claim {:?} holds it",
            Subject::from(holder),
            holder.claim
        );
        let finding = Finding::new(catalog::PROMISED, level, pool, text);
        findings.push(finding.with([Subject::from(holder)]));
    }
    findings
}

/// E18: a status that outgrows what an API server stores.
fn size(pool: &PoolObject) -> Option<Finding> {
    let bytes = serde_json::to_vec(&pool.status).map_or(0, |text| text.len());
    (bytes * 100 >= MOST_BYTES * NEARLY).then(|| {
        let text =
            format!("has a status of {bytes} bytes, of {MOST_BYTES} that an API server stores");
        Finding::new(catalog::STATUS_SIZE, Level::Error, pool, text)
    })
}

/// N1 and N2: pools that meet, and pools whose address objects get the same names.
fn beside(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for overlap in view.beside.overlaps(|_| true) {
        let text = overlap.to_string();
        let finding = Finding::new(catalog::OVERLAP, Level::Warning, overlap.pool, text);
        let others = overlap
            .others
            .iter()
            .map(|(other, _)| Subject::from(*other));
        findings.push(finding.with(others));
    }
    for (address, ip, pool) in view.beside.collisions() {
        let text = format!(
            "has the name that IPPool {} needs for {ip}, which it can therefore not hand out",
            pool.key()
        );
        let finding = Finding::new(catalog::COLLISION, Level::Warning, address, text);
        findings.push(finding.with([Subject::from(pool)]));
    }
    let mut prefixes: BTreeMap<(&str, &str), Vec<&PoolObject>> = BTreeMap::new();
    for pool in &view.objects.pools {
        if let Ok(spec) = &pool.spec {
            let key = (&*pool.meta.namespace, &*spec.name_prefix);
            prefixes.entry(key).or_default().push(pool);
        }
    }
    for ((_, prefix), pools) in prefixes {
        if let [first, others @ ..] = &*pools
            && !others.is_empty()
        {
            let names: Vec<String> = others.iter().map(|pool| pool.key().to_string()).collect();
            let text = format!(
                "has the namePrefix {prefix:?} in common with {}",
                names.join(", ")
            );
            let finding = Finding::new(catalog::COLLISION, Level::Note, *first, text);
            findings.push(finding.with(others.iter().map(|pool| Subject::from(*pool))));
        }
    }
    findings
}

/// N3.
fn gateways(view: &View<'_>, pool: &PoolObject) -> Vec<Finding> {
    let finding = |(address, ip)| {
        let text = format!("holds {ip}, which is a gateway of IPPool {}", pool.key());
        let finding = Finding::new(catalog::GATEWAY, Level::Warning, address, text);
        finding.with([Subject::from(pool)])
    };
    view.beside
        .gateways(pool)
        .into_iter()
        .map(finding)
        .collect()
}

/// N5: what admission says of the spec today, were it written anew.
fn doubtful(fed: &Fed, pool: &PoolObject) -> Vec<Finding> {
    let finding = |level, text: &str| Finding::new(catalog::DOUBTFUL, level, pool, text);
    let mut findings = Vec::new();
    findings.extend(fed.invalid.iter().map(|line| finding(Level::Warning, line)));
    if let Ok(spec) = &pool.spec {
        let new = json!({"metadata": {"name": pool.meta.name}, "spec": spec});
        let verdict = review(
            &Review {
                group: names::METAL3_GROUP,
                kind: "IPPool",
                namespace: &pool.meta.namespace,
                old: None,
                new: &new,
            },
            &NoFacts,
        );
        let warnings = verdict.warnings.iter();
        findings.extend(warnings.map(|line| finding(Level::Warning, line)));
    }
    findings
}

/// N6: a pool that has been paused for long, by the condition of its status.
fn paused(view: &View<'_>, pool: &PoolObject) -> Option<Finding> {
    let mut conditions = pool.status.conditions.iter();
    let condition = conditions.find(|c| c.type_ == "Paused" && c.status == "True")?;
    let since = condition.last_transition_time.0;
    (view.is_pool_at_rest(pool) && view.ages.past(since, view.ages.paused)).then(|| {
        let text = format!("is paused since {since}: its claims are neither served nor released");
        Finding::new(catalog::PAUSED, Level::Warning, pool, text)
    })
}

/// N4 and N8.
fn numbers(fed: &Fed, pool: &PoolObject) -> Vec<Finding> {
    let snapshot = fed.pool.snapshot();
    let mut findings = Vec::new();
    if snapshot.family == "dual" {
        let text = "has ranges of IPv4 and of IPv6";
        findings.push(Finding::new(catalog::MIXED, Level::Note, pool, text));
    }
    let (capacity, available) = (snapshot.capacity, snapshot.available);
    let share = utilization(capacity, available).unwrap_or_default();
    if is_nearly_full(capacity, available) {
        let text = format!(
            "has {available} free addresses of {capacity}: {share} % are in use or kept back"
        );
        findings.push(Finding::new(catalog::FULL, Level::Warning, pool, text));
    }
    findings
}
