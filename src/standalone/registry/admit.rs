//! The rules on our own kinds, asked after everything that Kubernetes itself would refuse; and the facts that they ask
//! for, read from a snapshot as fresh as the write.
//!
//! Address objects are found by pool and address, so that "who holds this?" costs the same however many there are.

use std::net::IpAddr;

use serde_json::Value;

use super::metadata::{self, Object};
use super::{Registry, Rules, key, read};
use crate::admission::{self, Cause, Holder, Live, Review};
use crate::api::metal3::IPPoolSpec;
use crate::api::{PoolKey, ip, names};
use crate::standalone::error::{FieldError, FieldErrorKind};
use crate::standalone::kinds::{Resource, at_path};
use crate::standalone::store::{Snapshot, StoreError};

/// Facts as of one snapshot.
struct Facts<'a> {
    registry: &'a Registry,
    snapshot: Option<Snapshot>,
}

impl Registry {
    /// What the rules say of `new` in place of `old`.
    pub(super) fn admit(
        &self,
        resource: &Resource,
        old: Option<&Object>,
        new: &Object,
        warnings: &mut Vec<String>,
    ) -> Vec<FieldError> {
        let judged = self.inner.rules == Rules::Own && has_rules(resource);
        if !judged || old.is_some_and(|old| judges_nothing(old, new)) {
            return Vec::new();
        }
        let facts = Facts {
            registry: self,
            snapshot: self.inner.store.snapshot().ok(),
        };
        let old = old.map(|old| Value::Object(old.clone()));
        let new = Value::Object(new.clone());
        let review = Review {
            group: &resource.group,
            kind: &resource.kind,
            namespace: new["metadata"]["namespace"].as_str().unwrap_or_default(),
            old: old.as_ref(),
            new: &new,
        };
        let verdict = admission::review(&review, &facts);
        warnings.extend(verdict.warnings);
        verdict
            .errors
            .into_iter()
            .map(|violation| FieldError {
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
            })
            .collect()
    }
}

fn has_rules(resource: &Resource) -> bool {
    [names::METAL3_GROUP, names::CAPI_IPAM_GROUP].contains(&resource.group.as_str())
}

/// Updates are judged on what they change, and only spec and annotations are judged: a finalizer or a label costs nothing.
fn judges_nothing(old: &Object, new: &Object) -> bool {
    old.get("spec") == new.get("spec")
        && metadata::field(old, "annotations") == metadata::field(new, "annotations")
}

// === impl Facts ===

impl Live for Facts<'_> {
    fn holders(&self, pool: &PoolKey) -> Vec<Holder> {
        let prefix = by_pool(&pool.namespace, &pool.name);
        self.holders(|snapshot| snapshot.found_by(&prefix))
    }

    fn holders_of(&self, pool: &PoolKey, address: IpAddr) -> Vec<Holder> {
        let by = by_address(&pool.namespace, &pool.name, address);
        self.holders(|snapshot| snapshot.found_exactly_by(&by))
    }

    fn other_pools(&self, pool: &PoolKey) -> Vec<(String, IPPoolSpec)> {
        let Some((resource, snapshot)) = self.resource(names::METAL3_GROUP, "IPPool") else {
            return Vec::new();
        };
        let prefix = key(resource, &pool.namespace, "");
        let mut pools = Vec::new();
        let scanned = snapshot.scan(&prefix, None, |key, stored| {
            let (_, name) = read::split_key(resource, key);
            if name != &*pool.name
                && let Ok(mut found) = serde_json::from_slice::<Value>(&stored.object)
                && let Ok(spec) = serde_json::from_value(found["spec"].take())
            {
                pools.push((name.to_owned(), spec));
            }
            std::ops::ControlFlow::Continue(())
        });
        scanned.map(|()| pools).unwrap_or_default()
    }

    fn claim_pool_ref(&self, namespace: &str, claim: &str) -> Option<Value> {
        let (resource, snapshot) = self.resource(names::CAPI_IPAM_GROUP, "IPAddressClaim")?;
        let stored = snapshot.get(&key(resource, namespace, claim)).ok()??;
        let mut object: Value = serde_json::from_slice(&stored.object).ok()?;
        object.pointer_mut("/spec/poolRef").map(Value::take)
    }
}

impl Facts<'_> {
    fn resource(&self, group: &str, kind: &str) -> Option<(&Resource, &Snapshot)> {
        let resource = self.registry.inner.kinds.by_kind(group, kind)?;
        Some((resource, self.snapshot.as_ref()?))
    }

    /// Those whose index entries `find` finds.
    fn holders(
        &self,
        find: impl FnOnce(&Snapshot) -> Result<Vec<(String, String)>, StoreError>,
    ) -> Vec<Holder> {
        let Some(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        find(snapshot)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(by, key)| {
                let address = by.rsplit_once('/')?.1.parse().ok()?;
                let stored = snapshot.get(&key).ok()??;
                let object: Object = serde_json::from_slice(&stored.object).ok()?;
                let claim = ["claim", "claimRef"]
                    .iter()
                    .find_map(|field| object.get("spec")?.get(field)?.get("name")?.as_str());
                let by = format!(
                    "IPAddress {}/{} (claim {})",
                    metadata::text(&object, "namespace"),
                    metadata::text(&object, "name"),
                    claim.unwrap_or("?")
                );
                Some(Holder { address, by })
            })
            .collect()
    }
}

// === the index ===

/// What the object before and the object after are found by, where the two differ.
pub(super) fn index_change(
    resource: &Resource,
    old: Option<&Object>,
    new: Option<&Object>,
) -> (Option<String>, Option<String>) {
    if resource.kind != "IPAddress" || !has_rules(resource) {
        return (None, None);
    }
    let (old, new) = (old.and_then(found_by), new.and_then(found_by));
    if old == new { (None, None) } else { (old, new) }
}

fn found_by(object: &Object) -> Option<String> {
    let spec = object.get("spec")?;
    let address = ip::parse_ip(spec["address"].as_str()?).ok()?;
    let pool = at_path(spec, "pool.name")
        .or_else(|| at_path(spec, "poolRef.name"))?
        .as_str()?;
    let namespace = metadata::text(object, "namespace");
    Some(by_address(namespace, pool, address))
}

fn by_pool(namespace: &str, pool: &str) -> String {
    format!("address/{namespace}/{pool}/")
}

fn by_address(namespace: &str, pool: &str, address: IpAddr) -> String {
    format!("{}{address}", by_pool(namespace, pool))
}
