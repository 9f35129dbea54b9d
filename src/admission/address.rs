//! IPAddress of both groups: an address, who has it, of which pool; nothing of it ever changes.

use std::net::IpAddr;

use serde_json::Value;

use super::claim::{immutable, is_reference, own_namespace, pool_reference};
use super::entry::{check_gateway, check_name_servers, check_prefix};
use super::item::{Item, Reading, Spec};
use super::live::Live;
use super::review::Review;
use super::text::host_address;
use super::verdict::{Cause, Findings, shown};
use crate::alloc::Family;
use crate::api::rules::MAX_NAME_SERVERS;
use crate::api::{ClaimKind, names_our_pool};

pub(super) fn judge(kind: ClaimKind, review: &Review<'_>, live: &dyn Live, out: &mut Findings) {
    if review.old.is_some() {
        immutable("IPAddress", review, out);
        return;
    }
    let spec = Spec::new(review.new_spec(), None);
    let ours = names_our_pool(kind, review.new_spec());
    let pool = match kind {
        ClaimKind::Metal3 => {
            pool_reference("the address is of", spec, review, out);
            let claim = spec.field("claim");
            if is_reference(&claim, out) {
                claim_name(&claim, out);
                own_namespace(&claim, review, out);
            }
            spec.field("pool")
        }
        ClaimKind::Capi => {
            let pool = spec.field("poolRef");
            let claim = spec.field("claimRef");
            if is_reference(&pool, out)
                && is_reference(&claim, out)
                && let Some(name) = claim_name(&claim, out)
                && let Some(asked) = live.claim_pool_ref(review.namespace, name)
            {
                same_pool(&pool, &asked, name, out);
            }
            pool
        }
    };
    let address = spec.field("address");
    if ours {
        let found = values(kind, spec, &address, out);
        let pool = pool.child("name").value.and_then(Value::as_str);
        if let (Some(found), Some(pool)) = (found, pool.filter(|p| !p.is_empty())) {
            let holders = live.holders_of(&review.pool_key(pool), found);
            if let Some(first) = holders.first() {
                let more = match holders.len() {
                    1 => String::new(),
                    n => format!(" and {} more", n - 1),
                };
                out.warn(
                    address.path,
                    format_args!(
                        "{found} is already held by {}{more}; delete one of the two",
                        shown(&first.by)
                    ),
                );
            }
        }
    } else {
        foreign_values(spec, &address, out);
    }
}

fn claim_name<'a>(claim: &Item<'a>, out: &mut Findings) -> Option<&'a str> {
    let name = claim.child("name");
    match name.text(out) {
        Reading::Absent | Reading::Is("") => {
            name.error(
                out,
                Cause::Required,
                "cannot be empty; name the claim that has the address",
            );
            None
        }
        Reading::Bad => None,
        Reading::Is(text) => Some(text),
    }
}

/// An address fulfils its claim from the pool that the claim asks.
fn same_pool(pool: &Item<'_>, asked: &Value, claim: &str, out: &mut Findings) {
    let part = |reference: &Value, name: &str| {
        reference
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let parts = ["apiGroup", "kind", "name"];
    let named = pool.value.unwrap_or(&Value::Null);
    if parts.iter().any(|p| part(named, p) != part(asked, p)) {
        let [group, kind, name] = parts.map(|p| shown(&part(asked, p)));
        pool.invalid(
            out,
            format_args!(
                "must be the pool that its claim {} asks: {kind}.{group} {name}",
                shown(claim)
            ),
        );
    }
}

/// The values of an address of ours; returns the address when it is one.
fn values(
    kind: ClaimKind,
    spec: Spec<'_>,
    address: &Item<'_>,
    out: &mut Findings,
) -> Option<IpAddr> {
    let found = match address.value {
        None => {
            required_address(address, out);
            None
        }
        Some(Value::String(text)) if text.is_empty() => {
            required_address(address, out);
            None
        }
        Some(_) => address.parsed(out, host_address).ok(),
    };
    let prefix_item = spec.field("prefix");
    let prefix = check_prefix(&prefix_item, None, out).ok();
    let mut gateway = spec.field("gateway");
    match kind {
        ClaimKind::Metal3 => {
            let servers = spec.list("dnsServers", MAX_NAME_SERVERS, out);
            check_name_servers(servers, out);
        }
        // Go clients of the old version write "" for none.
        ClaimKind::Capi => gateway.value = gateway.value.filter(|g| g.as_str() != Some("")),
    }
    let of_gateway = check_gateway(&gateway, None, "", out).ok();
    if let Some(address) = found {
        warn_of_family(address, (&prefix_item, prefix), (&gateway, of_gateway), out);
    }
    found
}

/// What upstream hands out of a pool of two families: the other family's gateway or prefix. A move and a restore create such
/// objects again, and each keeps its address.
fn warn_of_family(
    address: IpAddr,
    (prefix_item, prefix): (&Item<'_>, Option<u8>),
    (gateway_item, gateway): (&Item<'_>, Option<IpAddr>),
    out: &mut Findings,
) {
    let family = Family::of(address);
    let width = family.width();
    if let Some(prefix) = prefix.filter(|bits| *bits > width) {
        out.warn(
            prefix_item.path,
            format_args!(
                "{prefix} is more than the {width} bits of {address}; what reads this address may refuse it"
            ),
        );
    }
    if let Some(gateway) = gateway.filter(|gateway| Family::of(*gateway) != family) {
        out.warn(
            gateway_item.path,
            format_args!(
                "{gateway} is no {} address, like {address}; what reads this address may refuse it",
                family.name()
            ),
        );
    }
}

fn required_address(address: &Item<'_>, out: &mut Findings) {
    address.error(
        out,
        Cause::Required,
        "cannot be empty; write the address that is recorded",
    );
}

/// The values of another provider's address: only what Cluster API itself asks of them.
fn foreign_values(spec: Spec<'_>, address: &Item<'_>, out: &mut Findings) {
    let plain = |text: &str| {
        let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
        address
            .parse::<IpAddr>()
            .map_err(|_| "must be an IPv4 or IPv6 address")
    };
    let found = match address.parsed(out, plain) {
        Reading::Absent => {
            required_address(address, out);
            None
        }
        Reading::Bad => None,
        Reading::Is(found) => Some(found),
    };
    check_prefix(&spec.field("prefix"), found.map(Family::of), out);
    let gateway = spec.field("gateway");
    if gateway.value.and_then(Value::as_str) != Some("") {
        gateway.parsed(out, plain);
    }
}
