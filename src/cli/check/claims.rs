//! Claims: what their status shows, and whether they wait or end as they should.

use jiff::SignedDuration;

use super::catalog;
use super::finding::{Finding, Level, Subject};
use super::view::View;
use crate::api::{Address, Claim, Kind, names};

pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (claim, addresses) in view.claimed() {
        if claim.meta.is_deleting() {
            findings.extend(deletion(view, claim));
            continue;
        }
        findings.extend(several(claim, &addresses));
        findings.extend(finalizer(view, claim, &addresses));
        // A claim that no pool can serve shows why in its conditions.
        if claim.fault.is_none() {
            findings.extend(status(view, claim, &addresses));
        }
        findings.extend(waits(view, claim, &addresses));
    }
    findings
}

/// E2: several objects of one claim (A4).
fn several(claim: &Claim, addresses: &[&Address]) -> Option<Finding> {
    let live: Vec<&&Address> = addresses.iter().filter(|a| !a.meta.is_deleting()).collect();
    if live.len() < 2 {
        return None;
    }
    let names: Vec<String> = live
        .iter()
        .map(|a| Subject::from(**a).to_string())
        .collect();
    let text = format!("has {} address objects: {}", live.len(), names.join(", "));
    let finding = Finding::new(catalog::SEVERAL, Level::Error, claim, text);
    Some(finding.with(live.into_iter().map(|address| Subject::from(*address))))
}

/// E6 and E7: the status of a claim that lives.
fn status(view: &View<'_>, claim: &Claim, addresses: &[&Address]) -> Option<Finding> {
    let level = Level::unless(view.is_claim_at_rest(claim));
    let addresses_of = Kind::Addresses(claim.kind);
    let Some(name) = &claim.published else {
        if view.objects.unread.contains(&addresses_of) {
            return None;
        }
        let ready = claim.condition("Ready").is_some_and(|c| c.status == "True");
        let shows = match (ready, claim.ip_address) {
            (_, Some(ip)) => ip.to_string(),
            (true, None) => "Ready".to_owned(),
            (false, None) => return None,
        };
        if !addresses.is_empty() {
            // It is just being bound.
            return None;
        }
        let text =
            format!("shows {shows} in its status, names no IPAddress, and no IPAddress names it");
        return Some(Finding::new(catalog::NOTHING_BOUND, level, claim, text));
    };
    let Some(address) = view.published(claim) else {
        if !view.is_missing(addresses_of, &claim.meta, name) {
            return None;
        }
        let text = format!("names the IPAddress {name:?} in its status, which does not exist");
        return Some(Finding::new(catalog::DANGLING, level, claim, text));
    };
    if address.claim == claim.meta.name && address.pool == claim.pool {
        return None;
    }
    let text = format!(
        "names the IPAddress {name:?} in its status, which is of the claim {:?} and the pool {:?}",
        address.claim, address.pool
    );
    let finding = Finding::new(catalog::DANGLING, level, claim, text);
    Some(finding.with([Subject::from(address)]))
}

/// E12: a claim with an address that ends without its address being released.
fn finalizer(view: &View<'_>, claim: &Claim, addresses: &[&Address]) -> Option<Finding> {
    let holds = addresses.iter().any(|address| address.has_our_finalizer());
    if claim.has_our_finalizer() || !holds || !view.is_settled(&claim.meta) {
        return None;
    }
    let level = Level::unless(view.is_claim_at_rest(claim));
    let text = format!(
        "has an address and lacks the finalizer {}: when it is deleted, the address stays held until a leak is found",
        claim.kind.claim_finalizer()
    );
    Some(Finding::new(catalog::FINALIZER, level, claim, text))
}

/// E13: a deletion that only our finalizer keeps from its end, after the pool's grace period (R3).
fn deletion(view: &View<'_>, claim: &Claim) -> Option<Finding> {
    let since = claim.meta.deletion_timestamp?;
    let ours = claim.kind.claim_finalizer();
    let of_others = |finalizer: &&String| {
        **finalizer != ours && !names::GARBAGE_COLLECTOR_FINALIZERS.contains(&&***finalizer)
    };
    let pool = view.pool(&claim.pool_key());
    let grace = pool
        .and_then(|pool| pool.spec.as_ref().ok()?.address_reuse_grace_period_seconds)
        .map_or(SignedDuration::ZERO, SignedDuration::from_secs);
    let patience = view.ages.settled.saturating_add(grace);
    if !claim.has_our_finalizer()
        || claim.meta.finalizers.iter().any(|f| of_others(&f))
        || !view.ages.past(since, patience)
    {
        return None;
    }
    let level = Level::unless(view.is_claim_at_rest(claim));
    let text = format!("is being deleted since {since}, and only the finalizer {ours} keeps it");
    Some(Finding::new(catalog::STUCK_DELETION, level, claim, text))
}

/// E16 and N7: a claim that has waited for long: though an address is free for it, or with the reason that it shows.
fn waits(view: &View<'_>, claim: &Claim, addresses: &[&Address]) -> Option<Finding> {
    if claim.published.is_some() || !view.is_settled(&claim.meta) {
        return None;
    }
    let is_next = view.is_whole() && view.is_next(claim);
    if addresses.is_empty() && is_next && !view.is_claim_at_rest(claim) {
        let text = format!(
            "was created at {} and has no address, though IPPool {} has one for it",
            claim.meta.created(),
            claim.pool_key()
        );
        return Some(Finding::new(catalog::NOT_SERVED, Level::Error, claim, text));
    }
    let level = if view.is_claim_at_rest(claim) {
        Level::Note
    } else {
        Level::Warning
    };
    let condition = claim.condition("Ready").filter(|c| c.status != "True");
    let text = match (condition, &claim.error_message) {
        (Some(c), _) if !view.ages.past(c.last_transition_time.0, view.ages.settled) => {
            return None;
        }
        (Some(c), _) => {
            let (since, reason, message) = (c.last_transition_time.0, &c.reason, &c.message);
            format!("waits since {since}: {reason}: {message}")
        }
        (None, Some(error)) => format!("waits: {error}"),
        (None, None) if addresses.is_empty() => {
            let created = claim.meta.created();
            format!("was created at {created}, has no address and shows no reason")
        }
        (None, None) => {
            let address = addresses.first().map(|a| Subject::from(*a).to_string());
            format!(
                "has {} and does not show it in its status",
                address.unwrap_or_default()
            )
        }
    };
    Some(Finding::new(catalog::STUCK_CLAIM, level, claim, text))
}
