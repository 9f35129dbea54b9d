//! IPPool: its ranges, what it hands out with them, and whom that would hurt.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::entry::{Entry, Inherited, check_gateway, check_name_servers, check_prefix};
use super::impact::{refuse_to_cut_off, warn_of_siblings};
use super::item::{Item, Reading, Spec};
use super::live::Live;
use super::ranges::{Ranges, warn_of_overlaps};
use super::review::Review;
use super::text::host_address;
use super::verdict::{Cause, Findings, Violation, shown};
use crate::alloc::{Coverage, Family};
use crate::api::metal3::IPPoolSpec;
use crate::api::names;
use crate::api::rules::{MAX_NAME_SERVERS, MAX_PRE_ALLOCATIONS};

/// What is wrong with a spec by itself: the errors of a create without live facts. Its `Display` is a line for people.
pub fn pool_problems(spec: &IPPoolSpec) -> Vec<Violation> {
    // Every key is a text, so this cannot fail; if it did, the missing name prefix would be the problem.
    let spec = serde_json::to_value(spec).unwrap_or_default();
    let mut out = Findings::default();
    judge_alone(Spec::new(&spec, None), &mut out);
    out.into_verdict().errors
}

/// The addresses that a spec covers: its valid entries without what is excluded.
pub fn covered(spec: &IPPoolSpec) -> Coverage {
    covered_by(&serde_json::to_value(spec).unwrap_or_default())
}

/// The same of a spec as it is stored.
pub fn covered_by(spec: &Value) -> Coverage {
    Ranges::standing(spec).coverage()
}

pub(super) fn judge(review: &Review<'_>, live: &dyn Live, out: &mut Findings) {
    if review.spec_stands() {
        return;
    }
    let new = review.new_spec();
    match new {
        Value::Object(_) => {}
        Value::Null => return out.error("spec", Cause::Required, None, "must be given"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return out.error("spec", Cause::Invalid, Some(new), "must be an object");
        }
    }
    let spec = Spec::new(new, review.old_spec());
    let name = review
        .new
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let key = review.pool_key(name);
    let ranges = judge_alone(spec, out);
    if !ranges.known {
        return;
    }
    if let Some(old) = review.old_spec() {
        refuse_to_cut_off(old, &ranges, &key, live, out);
    }
    warn_of_siblings(&ranges, &key, live, out);
}

/// The rules that need no live facts.
fn judge_alone<'a>(spec: Spec<'a>, out: &mut Findings) -> Ranges<'a> {
    name_prefix(spec, out);
    let is_random = strategy(spec, out);
    cluster_name(spec, out);
    let seconds = spec.field("addressReuseGracePeriodSeconds");
    if seconds.whole(out).ok().is_some_and(i64::is_negative) {
        seconds.invalid(out, "must be 0 or more seconds");
    }
    let reserved = spec.field("allocateReservedIPAddresses");
    if !matches!(reserved.value, None | Some(Value::Bool(_))) {
        reserved.invalid(out, "must be true or false");
    }
    let (prefix_item, gateway_item) = (spec.field("prefix"), spec.field("gateway"));
    let inherited = Inherited {
        prefix: check_prefix(&prefix_item, None, out).ok(),
        prefix_item,
        gateway: check_gateway(&gateway_item, None, "", out).ok(),
        gateway_item,
    };
    let servers = spec.list("dnsServers", MAX_NAME_SERVERS, out);
    check_name_servers(servers, out);

    let ranges = Ranges::read(spec, out);
    if is_random {
        for start in ranges.entries.iter().filter_map(|e| e.endless.as_ref()) {
            start.invalid(
                out,
                "needs an end or a subnet beside it where allocationStrategy is random: addresses are drawn from all of the range",
            );
        }
    }
    inheritance(&inherited, &ranges.entries, out);
    pre_allocations(spec, &ranges, out);
    for entry in &ranges.entries {
        entry.warn(&inherited, out);
    }
    warn_of_overlaps(&ranges.entries, out);
    ranges
}

/// Every address object is named by it, so it must leave room for the longest address, and stay (A14).
fn name_prefix(spec: Spec<'_>, out: &mut Findings) {
    let item = spec.field("namePrefix");
    if let Some(old) = spec.old_field("namePrefix").and_then(Value::as_str)
        && !old.is_empty()
    {
        let old = shown(old);
        return item.error(
            out,
            Cause::Invalid,
            format_args!("cannot be modified (it is {old}): address objects are named by it; create another pool instead"),
        );
    }
    let longest = names::MAX_OBJECT_NAME - names::MAX_NAME_SUFFIX;
    match item.text(out) {
        Reading::Absent | Reading::Is("") => item.error(
            out,
            Cause::Required,
            "cannot be empty; the names of the pool's address objects begin with it",
        ),
        Reading::Is(text) if text.len() > longest => item.invalid(
            out,
            format_args!("must have at most {longest} characters, so that an address fits behind it in a name"),
        ),
        Reading::Is(text) if !names::is_object_name(&format!("{text}-0")) => item.invalid(
            out,
            "must be the beginning of a DNS-1123 subdomain: a-z, 0-9, - and ., beginning with a letter or digit, and each . between two of these",
        ),
        Reading::Bad | Reading::Is(_) => {}
    }
}

/// It becomes a label of the pool (P2), so it must fit one.
fn cluster_name(spec: Spec<'_>, out: &mut Findings) {
    let item = spec.field("clusterName");
    if let Reading::Is(text) = item.text(out)
        && !text.is_empty()
        && !names::is_cluster_name(text)
    {
        let longest = names::MAX_LABEL_VALUE;
        item.invalid(
            out,
            format_args!("must be the name of a Cluster that fits a label: at most {longest} characters, a-z, 0-9, - and ., beginning and ending with a letter or digit"),
        );
    }
}

/// Absent means sequential, on both sides. Whether it is random.
fn strategy(spec: Spec<'_>, out: &mut Findings) -> bool {
    const SEQUENTIAL: &str = "sequential";
    let item = spec.field("allocationStrategy");
    let named = |text: Option<&str>| match text {
        None | Some("") => SEQUENTIAL.to_owned(),
        Some(text) => shown(text),
    };
    let text = match item.text(out) {
        Reading::Absent | Reading::Is("") => None,
        Reading::Bad => return false,
        Reading::Is(text @ (SEQUENTIAL | "random")) => Some(text),
        Reading::Is(_) => {
            item.error(
                out,
                Cause::NotSupported,
                "supported values: \"random\", \"sequential\"",
            );
            return false;
        }
    };
    let is_update = !spec.is_create();
    let old = named(spec.old_field("allocationStrategy").and_then(Value::as_str));
    if is_update && named(text) != old {
        item.invalid(
            out,
            format_args!(
                "cannot be modified after creation (it is {old}); create another pool instead"
            ),
        );
    }
    text == Some("random")
}

/// What entries inherit must fit their family, else addresses would be handed out with another family's values.
fn inheritance(pool: &Inherited<'_>, entries: &[Entry<'_>], out: &mut Findings) {
    let gateway = pool.gateway.map(Family::of);
    let strangers = |entry: &&Entry<'_>| {
        entry.inherits_gateway() && entry.family.is_some() && entry.family != gateway
    };
    if gateway.is_some()
        && let Some((which, family)) = misfits(entries.iter().filter(strangers), &pool.gateway_item)
    {
        let family = family.name();
        out.error(
            pool.gateway_item.path,
            Cause::Invalid,
            pool.gateway_item.value,
            format_args!("must be an {family} address, like {which}, which inherits it; or give the entries of each family a gateway of their own"),
        );
    }
    let too_wide = |entry: &&Entry<'_>| {
        let width = entry.family.map_or(128, Family::width);
        entry.inherits_prefix() && pool.prefix.is_some_and(|p| p > width)
    };
    if let Some((which, family)) = misfits(entries.iter().filter(too_wide), &pool.prefix_item) {
        let (width, family) = (family.width(), family.name());
        out.error(
            pool.prefix_item.path,
            Cause::Invalid,
            pool.prefix_item.value,
            format_args!("must be from 0 to {width} for {family}, like {which}, which inherits it; or give the entries of each family a prefix of their own"),
        );
    }
}

/// The first entry at odds with an inherited value because one of the two is new, and how many more there are.
fn misfits<'e>(
    entries: impl Iterator<Item = &'e Entry<'e>>,
    inherited: &Item<'_>,
) -> Option<(String, Family)> {
    let mut entries = entries.filter(|entry| entry.item.fresh || inherited.fresh);
    let first = entries.next()?;
    let more = match entries.count() {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    Some((format!("{}{more}", first.item.path), first.family?))
}

/// One address per claim, of the ranges, none twice (A8).
fn pre_allocations(spec: Spec<'_>, ranges: &Ranges<'_>, out: &mut Findings) {
    let wanted = spec.map("preAllocations", MAX_PRE_ALLOCATIONS, out);
    if wanted.is_empty() {
        return;
    }
    let spans = Coverage::of(&ranges.spans(), &[]);
    let excluded = Coverage::of(&ranges.excluded, &[]);
    let before = spec.old().map(|old| Ranges::standing(old).coverage());
    let mut taken: BTreeMap<IpAddr, (&str, &Item<'_>)> = BTreeMap::new();
    for (claim, item) in &wanted {
        if !names::is_object_name(claim) {
            item.error(
                out,
                Cause::Invalid,
                "its key can be no claim's name: a DNS-1123 subdomain of at most 253 characters (a-z, 0-9, -, .)",
            );
        }
        if item.value.is_none() {
            item.error(out, Cause::Required, "must be an address");
        }
        let Reading::Is(address) = item.parsed(out, host_address) else {
            continue;
        };
        match taken.get(&address) {
            None => {
                taken.insert(address, (claim, item));
            }
            // Of the two the one that this write brought is the mistake.
            Some((first, earlier)) => {
                let (at, other) = if item.fresh {
                    (item, *first)
                } else {
                    (*earlier, *claim)
                };
                let other = shown(other);
                at.error(
                    out,
                    Cause::Duplicate,
                    format_args!("{address} is already pre-allocated to claim {other}; give each claim its own address"),
                );
            }
        }
        let was_inside = before.as_ref().is_some_and(|b| b.contains(address));
        if !ranges.known || !(item.fresh || was_inside) {
            continue;
        }
        let fault = if !spans.contains(address) {
            "is out of bounds of the pools given; add a range with it or choose an address of one"
        } else if excluded.contains(address) {
            "is one of excludedAddresses, which are never handed out; choose another or stop excluding it"
        } else {
            continue;
        };
        out.error(item.path, Cause::Invalid, item.value, fault);
    }
}
