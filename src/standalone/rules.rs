//! The rules of `admission` as the embedded server asks them, with the facts that they ask for, read as of the write.
//!
//! Address objects are found by pool and address, so that "who holds this?" costs the same however many there are, and pools by
//! the blocks of their ranges, so that "whose ranges overlap?" does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kube_embedded::field::{FieldError, FieldErrorKind};
use kube_embedded::kinds::Resource;
use kube_embedded::{Admission, Object, Objects, Request, Verdict};
use serde_json::Value;

use super::blocks::{around, blocks};
use crate::admission::{self, Cause, Holder, Live, Review};
use crate::alloc::Coverage;
use crate::api::{ClaimKind, PoolKey, ip, names, names_our_pool};

/// To be raised with every change of the texts by which objects are found.
const INDEX_VERSION: u64 = 3;

/// All rules of `admission`, as the embedded server asks them.
pub(super) struct Rules;

/// What the rules ask about stored objects, answered from the embedded server's store.
struct Facts<'a>(&'a Objects<'a>);

// === impl Rules ===

impl Admission for Rules {
    fn review(&self, request: &Request<'_>, objects: &Objects<'_>) -> Verdict {
        let Request { resource, old, new } = *request;
        if !has_rules(resource) || old.is_some_and(|old| judges_nothing(old, new)) {
            return Verdict::default();
        }
        let old = old.map(|old| Value::Object(old.clone()));
        let new = Value::Object(new.clone());
        let review = Review {
            group: &resource.group,
            kind: &resource.kind,
            namespace: new["metadata"]["namespace"].as_str().unwrap_or_default(),
            old: old.as_ref(),
            new: &new,
        };
        let verdict = admission::review(&review, &Facts(objects));
        let error = |violation: admission::Violation| FieldError {
            field: violation.field,
            kind: match violation.cause {
                Cause::Invalid => FieldErrorKind::Invalid,
                Cause::Required => FieldErrorKind::Required,
                Cause::Duplicate => FieldErrorKind::Duplicate,
                Cause::Forbidden => FieldErrorKind::Forbidden,
                Cause::NotSupported => FieldErrorKind::NotSupported,
            },
            value: violation.value,
            detail: violation.detail,
        };
        Verdict {
            errors: verdict.errors.into_iter().map(error).collect(),
            warnings: verdict.warnings,
        }
    }

    fn index(&self, resource: &Resource, object: &Object) -> Vec<String> {
        let namespace = text(object, "namespace");
        match &*resource.kind {
            _ if !has_rules(resource) => Vec::new(),
            "IPAddress" => held(object)
                .map(|(pool, address)| by_address(namespace, pool, address))
                .into_iter()
                .collect(),
            "IPPool" => blocks(covers(object).ranges())
                .iter()
                .map(|block| by_block(namespace, block))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn index_version(&self) -> u64 {
        INDEX_VERSION
    }
}

/// Pool and address of an address object; `None` for one of another provider's pool, or of what cannot be a pool.
fn held(object: &Object) -> Option<(&str, IpAddr)> {
    let spec = object.get("spec")?;
    let capi = spec.get("poolRef").is_some();
    let kind = if capi {
        ClaimKind::Capi
    } else {
        ClaimKind::Metal3
    };
    if !names_our_pool(kind, spec) {
        return None;
    }
    let address = ip::parse_stored_ip(spec["address"].as_str()?).ok()?;
    let pool = spec
        .pointer("/pool/name")
        .or_else(|| spec.pointer("/poolRef/name"))?;
    let pool = pool.as_str().filter(|pool| names::is_object_name(pool))?;
    Some((pool, address))
}

/// The addresses that a pool covers.
fn covers(pool: &Object) -> Coverage {
    let spec = pool.get("spec").map(admission::covered_by);
    spec.unwrap_or_default()
}

fn has_rules(resource: &Resource) -> bool {
    [names::METAL3_GROUP, names::CAPI_IPAM_GROUP].contains(&resource.group.as_str())
}

/// Updates are judged on what they change, and only spec and annotations are judged: a finalizer or a label costs nothing.
fn judges_nothing(old: &Object, new: &Object) -> bool {
    let annotations = |object: &Object| {
        let found = object.get("metadata").and_then(|m| m.get("annotations"));
        found.filter(|value| !value.is_null()).cloned()
    };
    old.get("spec") == new.get("spec") && annotations(old) == annotations(new)
}

fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    let found = object.get("metadata").and_then(|m| m.get(field));
    found.and_then(Value::as_str).unwrap_or_default()
}

fn by_pool(namespace: &str, pool: &str) -> String {
    format!("address/{namespace}/{pool}/")
}

fn by_block(namespace: &str, block: &str) -> String {
    format!("pool/{namespace}/{block}")
}

fn by_address(namespace: &str, pool: &str, address: IpAddr) -> String {
    format!("{}{address}", by_pool(namespace, pool))
}

// === impl Facts ===

impl Live for Facts<'_> {
    fn holders(&self, pool: &PoolKey) -> Vec<Holder> {
        let found = self.0.indexed_under(&by_pool(&pool.namespace, &pool.name));
        self.holders(pool, found)
    }

    fn holders_of(&self, pool: &PoolKey, address: IpAddr) -> Vec<Holder> {
        let by = by_address(&pool.namespace, &pool.name, address);
        self.holders(pool, self.0.indexed(&by))
    }

    fn overlaps(&self, pool: &PoolKey, added: &Coverage) -> Vec<(String, IpAddr)> {
        let mut overlaps = BTreeMap::new();
        let mut look_at = |(_, other): (String, Object)| {
            let name = text(&other, "name");
            if *name != *pool.name
                && !overlaps.contains_key(name)
                && let Some(common) = added.meets(&covers(&other))
            {
                overlaps.insert(name.to_owned(), common);
            }
        };
        for block in blocks(added.ranges()) {
            let by = |block| by_block(&pool.namespace, block);
            for around in around(&block) {
                let found = self.0.indexed(&by(around));
                found.into_iter().for_each(&mut look_at);
            }
            let within = self.0.indexed_under(&by(&block));
            within.into_iter().for_each(&mut look_at);
        }
        overlaps.into_iter().collect()
    }

    fn claim_pool_ref(&self, namespace: &str, claim: &str) -> Option<Value> {
        let group = names::CAPI_IPAM_GROUP;
        let mut object = self.0.get(group, "IPAddressClaim", namespace, claim)?;
        object.get_mut("spec")?.get_mut("poolRef").map(Value::take)
    }
}

impl Facts<'_> {
    /// The address objects of a pool that were found, as holders of the addresses by which they were.
    fn holders(&self, pool: &PoolKey, found: Vec<(String, Object)>) -> Vec<Holder> {
        let holder = |(by, object): (String, Object)| {
            let address = by.rsplit_once('/')?.1.parse().ok()?;
            let spec = object.get("spec")?;
            let named = |field: &str| spec.get(field)?.get("name")?.as_str();
            let is_external = !self.has_claim(pool, ClaimKind::Metal3, named("claim"))
                && !self.has_claim(pool, ClaimKind::Capi, named("claimRef"));
            let claim = named("claim")
                .or_else(|| named("claimRef"))
                .unwrap_or_default();
            let name = text(&object, "name");
            Some(Holder {
                address,
                by: names::holder_text(&pool.namespace, name, claim, is_external),
                is_external,
            })
        };
        found.into_iter().filter_map(holder).collect()
    }

    /// Whether a claim of this kind and name exists and asks this pool.
    fn has_claim(&self, pool: &PoolKey, kind: ClaimKind, name: Option<&str>) -> bool {
        let reference = match kind {
            ClaimKind::Metal3 => "pool",
            ClaimKind::Capi => "poolRef",
        };
        let find = |name| {
            self.0
                .get(kind.group(), kind.claim(), &pool.namespace, name)
        };
        let claim = name.and_then(find);
        claim.is_some_and(|claim| {
            let asked = claim.get("spec").and_then(|spec| spec.get(reference));
            asked.and_then(|asked| asked["name"].as_str()) == Some(&*pool.name)
        })
    }
}
