//! Address objects: what they name, how they are named, and whether one address is held twice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::catalog;
use super::finding::{Finding, Level, Subject};
use super::view::View;
use crate::api::{Address, ClaimKind, Kind, PoolKey, PoolObject, names};

pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut findings = duplicates(view);
    let ranges = view.beside.ranges();
    for address in &view.objects.addresses {
        findings.extend(text(view, address));
        findings.extend(claim(view, address));
        findings.extend(deletion(view, address));
        let Some(pool) = view.pool(&address.pool_key()) else {
            findings.extend(no_pool(view, address));
            continue;
        };
        findings.extend(owner(view, address, pool));
        findings.extend(name(view, address, pool));
        let covered = ranges.get(&pool.key());
        if let Ok(ip) = address.address
            && pool.spec.is_ok()
            && !covered.is_some_and(|covered| covered.contains(ip))
        {
            findings.extend(out_of_range(view, address, pool, ip));
        }
    }
    findings
}

/// E1: a pool's address that two or more objects hold, of either kind.
fn duplicates(view: &View<'_>) -> Vec<Finding> {
    let mut held: BTreeMap<(PoolKey, IpAddr), Vec<&Address>> = BTreeMap::new();
    for address in &view.objects.addresses {
        if let Ok(ip) = address.address {
            held.entry((address.pool_key(), ip))
                .or_default()
                .push(address);
        }
    }
    let finding = |((pool, ip), mut holders): ((PoolKey, IpAddr), Vec<&Address>)| {
        holders.sort_by_key(|address| (address.meta.created(), address.key()));
        let (first, others) = holders.split_first()?;
        let live = holders.iter().filter(|a| !a.meta.is_deleting()).count();
        let level = match (others, live) {
            ([], _) => return None,
            (_, 0 | 1) => Level::Warning,
            _ => Level::Error,
        };
        let holder = |a: &&Address| format!("{} (claim {:?})", Subject::from(*a), a.claim);
        let holders: Vec<String> = holders.iter().map(holder).collect();
        let text = format!("{ip} of IPPool {pool} is held by {}", holders.join(" and "));
        let others = others.iter().map(|address| Subject::from(*address));
        Some(Finding::new(catalog::DUPLICATE, level, *first, text).with(others))
    };
    held.into_iter().filter_map(finding).collect()
}

/// E10: a text that is no address, or not its canonical form.
fn text(view: &View<'_>, address: &Address) -> Option<Finding> {
    let (level, text) = match (&address.address, view.objects.spelled.get(&key(address))) {
        (Err(text), _) => (
            Level::Error,
            format!("spec.address is {text:?}, which is no address"),
        ),
        (Ok(ip), Some(text)) => {
            let text = format!("spec.address is {text:?}; tools that compare texts look for {ip}");
            (Level::Warning, text)
        }
        (Ok(_), None) => return None,
    };
    Some(Finding::new(catalog::NOT_CANONICAL, level, address, text))
}

/// E3 and E4: the claim that is named. Without our finalizer the object was made by hand, and is no leak (A5, R6).
fn claim(view: &View<'_>, address: &Address) -> Option<Finding> {
    let level = Level::unless(view.is_address_at_rest(address));
    let word = address.kind.claim();
    let claim = view
        .claim_of(address)
        .filter(|claim| claim.pool == address.pool);
    let Some(claim) = claim else {
        if !address.has_our_finalizer()
            || address.meta.is_deleting()
            || !view.is_settled(&address.meta)
            || !view.is_missing(Kind::Claims(address.kind), &address.meta, &address.claim)
        {
            return None;
        }
        let text = format!(
            "belongs to the {word} {:?}, which does not exist in its pool {:?}",
            address.claim, address.pool
        );
        return Some(Finding::new(catalog::LEAK, level, address, text));
    };
    let mut owners = address.meta.owner_references.iter();
    let owner = owners.find(|owner| owner.kind == word && *owner.name == *claim.meta.name)?;
    if claim.meta.uid.is(&owner.uid) || address.meta.is_deleting() {
        return None;
    }
    let text = format!(
        "names the UID {} of its {word} {:?}, which has the UID {}",
        owner.uid, claim.meta.name, claim.meta.uid
    );
    let finding = Finding::new(catalog::REPLACED, level, address, text);
    Some(finding.with([Subject::from(claim)]))
}

/// E5: a pool that does not exist. An object that was made by hand may come before its pool.
fn no_pool(view: &View<'_>, address: &Address) -> Option<Finding> {
    let level = if address.has_our_finalizer() {
        Level::unless(view.is_address_at_rest(address))
    } else {
        Level::Note
    };
    let text = format!("names the IPPool {:?}, which does not exist", address.pool);
    let is_missing = view.is_missing(Kind::Pools, &address.meta, &address.pool);
    (is_missing && view.is_settled(&address.meta))
        .then(|| Finding::new(catalog::POOL_MISSING, level, address, text))
}

/// E8: outside of the pool's ranges. What was made by hand may lie there (A5).
fn out_of_range(
    view: &View<'_>,
    address: &Address,
    pool: &PoolObject,
    ip: IpAddr,
) -> Option<Finding> {
    if view.claim_of(address).is_none() && !address.has_our_finalizer() {
        return None;
    }
    let level = if address.has_our_finalizer() {
        Level::Error
    } else {
        Level::Note
    };
    let text = format!("holds {ip}, which is in no range of IPPool {}", pool.key());
    Some(Finding::new(catalog::OUT_OF_RANGE, level, address, text))
}

/// By which the text of its address is found.
fn key(address: &Address) -> (ClaimKind, String, String) {
    let meta = &address.meta;
    (
        address.kind,
        meta.namespace.to_string(),
        meta.name.to_string(),
    )
}

/// E9: our objects are named by their address (A14); upstream names them by its text, and cuts what an IPv6 address ends in.
fn name(view: &View<'_>, address: &Address, pool: &PoolObject) -> Option<Finding> {
    let (Ok(ip), Ok(spec)) = (&address.address, &pool.spec) else {
        return None;
    };
    let wanted = names::address_name(&spec.name_prefix, *ip);
    let name = &*address.meta.name;
    let spelled = view.objects.spelled.get(&key(address));
    let by_text =
        spelled.map(|text| format!("{}-{}", spec.name_prefix, text.replace([':', '.'], "-")));
    let is_upstreams = wanted.strip_suffix("--0") == Some(name) && ip.is_ipv6()
        || by_text.is_some_and(|by_text| by_text == *name);
    if name == wanted || is_upstreams || !address.has_our_finalizer() {
        return None;
    }
    let text = format!("holds {ip}, of which the object's name would be {wanted}");
    Some(Finding::new(catalog::MISNAMED, Level::Error, address, text))
}

/// E11 and E12: the owner reference to the pool, and our finalizer on an object that looks like ours.
fn owner(view: &View<'_>, address: &Address, pool: &PoolObject) -> Option<Finding> {
    if address.meta.is_deleting() {
        return None;
    }
    let mut owners = address.meta.owner_references.iter();
    let owner = owners.find(|owner| owner.kind == "IPPool" && *owner.name == *pool.meta.name)?;
    if !pool.meta.uid.is(&owner.uid) {
        let text = format!(
            "names the UID {} of its IPPool {:?}, which has the UID {}",
            owner.uid, pool.meta.name, pool.meta.uid
        );
        let level = Level::unless(view.is_address_at_rest(address));
        let finding = Finding::new(catalog::OWNER, level, address, text);
        return Some(finding.with([Subject::from(pool)]));
    }
    if address.has_our_finalizer() || view.claim_of(address).is_none() {
        return None;
    }
    let text = format!(
        "lacks the finalizer {}: kubectl delete removes it at once, and its claim {:?} loses the address",
        address.kind.address_finalizer(),
        address.claim
    );
    Some(Finding::new(catalog::FINALIZER, Level::Note, address, text))
}

/// E13: a deletion that our finalizer keeps from its end, though no claim needs the object. Under a living claim it is kept (R4).
fn deletion(view: &View<'_>, address: &Address) -> Option<Finding> {
    let since = address.meta.deletion_timestamp?;
    if !address.has_our_finalizer() || !view.ages.past(since, view.ages.settled) {
        return None;
    }
    let claim = view
        .claim_of(address)
        .filter(|claim| claim.pool == address.pool);
    let (level, text) = match claim {
        // The claim's own deletion is judged with the claim.
        Some(claim) if claim.meta.is_deleting() => return None,
        Some(claim) => (
            Level::Warning,
            format!(
                "was deleted at {since} while its claim {:?} lives; its finalizer keeps it until that claim is gone",
                claim.meta.name
            ),
        ),
        None => (
            Level::unless(view.is_address_at_rest(address)),
            format!(
                "is being deleted since {since}; its finalizer keeps it, and its claim {:?} does not exist",
                address.claim
            ),
        ),
    };
    Some(Finding::new(catalog::STUCK_DELETION, level, address, text))
}
