//! A pool's request as HTTP (A13, R3).
//!
//! | request | method | body |
//! | --- | --- | --- |
//! | `PoolMeta`, `PoolStatus`, `ClaimFinalizers`, `ClaimStatus`, `AddressMeta` | PATCH | merge patch with `metadata.resourceVersion` |
//! | `CreateAddress` | POST | the whole object |
//! | `DeleteAddress` | DELETE | preconditions UID and resourceVersion |
//! | `ReadCluster`, `ReadClaim`, `ReadAddress` | GET | - (no resourceVersion: a quorum read) |

use std::fmt::Write;
use std::time::Duration;

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

use crate::api::{
    AddressKey, ClaimKey, ClaimKind, Kind, PoolKey, ResourceVersion, Uid, names, owner_references,
};
use crate::pool::{ClaimStatus, NewAddress, Request};

use super::served::Served;
use super::transport::{Call, escape};

/// Time that the server gives a write before it gives up, in seconds. The lease counts on it: see `lease.rs`.
pub(super) const WRITE_SECONDS: u64 = 4;
/// A write of a pool has a second more for so many ranges and pre-allocations of it, since the server evaluates the rules of
/// each (0.25 ms measured): a write that times out would be repeated for ever. One that is carried out late does no
/// harm: it carries the resourceVersion, and nothing is given out by it.
const ENTRIES_PER_SECOND: usize = 500;
/// No write has more. A server gives none more than a minute.
const MOST_SECONDS: u64 = 30;

/// Our manager in `managedFields`.
pub(crate) const FIELD_MANAGER: &str = "metal3-ipam";

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What a request does to its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Create,
    /// PATCH.
    Patch,
    /// PATCH of the status subresource.
    PatchStatus,
    /// DELETE.
    Delete,
}

impl Verb {
    /// The verb's name in metrics, such as `patch_status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::PatchStatus => "patch_status",
            Self::Delete => "delete",
        }
    }

    /// Whether it changes anything.
    pub fn is_write(self) -> bool {
        match self {
            Self::Get => false,
            Self::Create | Self::Patch | Self::PatchStatus | Self::Delete => true,
        }
    }
}

/// The object that a request is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject<'a> {
    pub(super) verb: Verb,
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    /// The incarnation that is to be written; `None` of a create or a read.
    pub(super) uid: Option<&'a Uid>,
}

/// Time that the server gives `request`.
pub(super) fn time_limit(request: &Request) -> Duration {
    let seconds = match request {
        Request::PoolMeta { entries, .. } | Request::PoolStatus { entries, .. } => {
            let more = u64::try_from(entries / ENTRIES_PER_SECOND).unwrap_or(MOST_SECONDS);
            WRITE_SECONDS.saturating_add(more).min(MOST_SECONDS)
        }
        Request::ClaimFinalizers { .. }
        | Request::ClaimStatus { .. }
        | Request::CreateAddress(_)
        | Request::DeleteAddress { .. }
        | Request::AddressMeta { .. }
        | Request::ReadCluster { .. }
        | Request::ReadClaim { .. }
        | Request::ReadAddress { .. } => WRITE_SECONDS,
    };
    Duration::from_secs(seconds)
}

/// The object that `request` of this pool is about.
pub(super) fn subject<'a>(pool: &'a PoolKey, request: &'a Request) -> Subject<'a> {
    let pools = Kind::Pools;
    let claims = |key: &ClaimKey| Kind::Claims(key.kind);
    let addresses = |key: &AddressKey| Kind::Addresses(key.kind);
    let (verb, kind, name, uid) = match request {
        Request::PoolMeta { uid, .. } => (Verb::Patch, pools, &pool.name, Some(uid)),
        Request::PoolStatus { uid, .. } => (Verb::PatchStatus, pools, &pool.name, Some(uid)),
        Request::ClaimFinalizers { key, uid, .. } => {
            (Verb::Patch, claims(key), &key.name, Some(uid))
        }
        Request::ClaimStatus { key, uid, .. } => {
            (Verb::PatchStatus, claims(key), &key.name, Some(uid))
        }
        Request::CreateAddress(new) => (Verb::Create, Kind::Addresses(new.kind), &new.name, None),
        Request::DeleteAddress { key, uid, .. } => {
            (Verb::Delete, addresses(key), &key.name, Some(uid))
        }
        Request::AddressMeta { key, uid, .. } => {
            (Verb::Patch, addresses(key), &key.name, Some(uid))
        }
        Request::ReadCluster { name } => (Verb::Get, Kind::Clusters, name, None),
        Request::ReadClaim { key } => (Verb::Get, claims(key), &key.name, None),
        Request::ReadAddress { key } => (Verb::Get, addresses(key), &key.name, None),
    };
    Subject {
        verb,
        kind,
        name,
        uid,
    }
}

/// The server has no such kind now, so that no path leads to its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unserved(pub(super) Kind);

/// The HTTP request that carries out a pool's request.
pub(super) fn encode(pool: &PoolKey, request: &Request, served: &Served) -> Result<Call, Unserved> {
    let subject = subject(pool, request);
    let version = served.version(subject.kind).ok_or(Unserved(subject.kind))?;
    let collection = || subject.kind.collection(version, Some(&pool.namespace));
    let object = || object(pool, &subject, version);
    let (method, path, content_type) = match subject.verb {
        Verb::Get => return Ok(Call::get(object())),
        Verb::Create => (Method::POST, collection(), JSON),
        Verb::Patch => (Method::PATCH, object(), MERGE_PATCH),
        Verb::PatchStatus => (Method::PATCH, object() + "/status", MERGE_PATCH),
        Verb::Delete => (Method::DELETE, object(), JSON),
    };
    let mut target = format!("{path}?timeout={}s", time_limit(request).as_secs());
    if subject.verb != Verb::Delete {
        let _ = write!(target, "&fieldManager={FIELD_MANAGER}");
    }
    let body = body(pool, request, version, served)?;
    Ok(Call {
        method,
        target,
        content_type: Some(content_type),
        body: serde_json::to_vec(&body).expect("a JSON value has text keys only"),
    })
}

/// The body of a write; null of a read.
fn body(
    pool: &PoolKey,
    request: &Request,
    version: &str,
    served: &Served,
) -> Result<Value, Unserved> {
    Ok(match request {
        Request::PoolMeta {
            uid: _,
            resource_version,
            finalizers,
            labels,
            owner_references,
            entries: _,
        } => {
            let mut meta = versioned(resource_version);
            meta.insert("finalizers".into(), json!(finalizers));
            if !labels.is_empty() {
                meta.insert("labels".into(), json!(labels));
            }
            if let Some(owners) = owner_references {
                meta.insert("ownerReferences".into(), json!(owners));
            }
            json!({ "metadata": meta })
        }
        Request::PoolStatus {
            uid: _,
            resource_version,
            status,
            entries: _,
            counts_only: _,
        } => json!({ "metadata": versioned(resource_version), "status": status }),
        Request::ClaimFinalizers {
            key: _,
            uid: _,
            resource_version,
            finalizers,
        } => {
            let mut meta = versioned(resource_version);
            meta.insert("finalizers".into(), json!(finalizers));
            json!({ "metadata": meta })
        }
        Request::ClaimStatus {
            key,
            uid: _,
            resource_version,
            status,
        } => json!({
            "metadata": versioned(resource_version),
            "status": claim_status(&pool.namespace, key.kind, version, status),
        }),
        Request::CreateAddress(new) => new_address(pool, new, version, served)?,
        Request::DeleteAddress {
            key: _,
            uid,
            resource_version,
        } => json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": { "uid": uid, "resourceVersion": resource_version },
        }),
        Request::AddressMeta {
            key: _,
            uid: _,
            resource_version,
            finalizers,
            owner_references,
        } => {
            let mut meta = versioned(resource_version);
            if let Some(finalizers) = finalizers {
                meta.insert("finalizers".into(), json!(finalizers));
            }
            if let Some(owners) = owner_references {
                meta.insert("ownerReferences".into(), json!(owners));
            }
            json!({ "metadata": meta })
        }
        Request::ReadCluster { .. } | Request::ReadClaim { .. } | Request::ReadAddress { .. } => {
            Value::Null
        }
    })
}

/// The quorum read of what a request was about, after a conflict.
pub(super) fn reread(
    pool: &PoolKey,
    subject: &Subject<'_>,
    served: &Served,
) -> Result<Call, Unserved> {
    let version = served.version(subject.kind).ok_or(Unserved(subject.kind))?;
    Ok(Call::get(object(pool, subject, version)))
}

/// The path of a request's object.
fn object(pool: &PoolKey, subject: &Subject<'_>, version: &str) -> String {
    let mut path = subject.kind.collection(version, Some(&pool.namespace));
    path.push('/');
    path.extend(escape(subject.name));
    path
}

fn versioned(resource_version: &ResourceVersion) -> Map<String, Value> {
    Map::from_iter([("resourceVersion".to_owned(), json!(resource_version))])
}

fn claim_status(namespace: &str, kind: ClaimKind, version: &str, status: &ClaimStatus) -> Value {
    let ClaimStatus {
        published,
        ip_address,
        error_message,
        conditions,
        old_conditions,
    } = status;
    let mut out = Map::new();
    match kind {
        ClaimKind::Metal3 => {
            if let Some(name) = published {
                let reference = name
                    .as_ref()
                    .map(|name| json!({ "name": name, "namespace": namespace }));
                out.insert("address".into(), json!(reference));
            }
            if let Some(ip) = ip_address {
                out.insert("ipAddress".into(), json!(ip));
            }
            if let Some(text) = error_message {
                out.insert("errorMessage".into(), json!(text));
            }
            if let Some(conditions) = conditions {
                out.insert("conditions".into(), json!(conditions));
            }
        }
        ClaimKind::Capi => {
            if let Some(name) = published {
                let reference = name.as_ref().map(|name| json!({ "name": name }));
                out.insert("addressRef".into(), json!(reference));
            }
            if let Some(conditions) = conditions {
                if version == "v1beta1" {
                    let kept =
                        |c: &&Condition| old_conditions.iter().all(|o| o["type"] != *c.type_);
                    let ours = conditions.iter().filter(kept).map(old_condition);
                    let old: Vec<Value> = old_conditions.iter().cloned().chain(ours).collect();
                    out.insert("conditions".into(), json!(old));
                    out.insert("v1beta2".into(), json!({ "conditions": conditions }));
                } else {
                    out.insert("conditions".into(), json!(conditions));
                }
            }
        }
    }
    Value::Object(out)
}

/// The kind of condition that v1beta1 had before metav1's: a reason and a severity only while it does not hold.
pub(super) fn old_condition(condition: &Condition) -> Value {
    let mut out = json!({
        "type": condition.type_,
        "status": condition.status,
        "lastTransitionTime": condition.last_transition_time,
    });
    if condition.status != "True" {
        // What waits heals by itself; what failed needs someone.
        let severity = if condition.reason == "AllocationFailed" {
            "Error"
        } else {
            "Info"
        };
        out["severity"] = json!(severity);
        out["reason"] = json!(condition.reason);
        out["message"] = json!(condition.message);
    }
    out
}

fn new_address(
    pool: &PoolKey,
    new: &NewAddress,
    version: &str,
    served: &Served,
) -> Result<Value, Unserved> {
    let NewAddress {
        kind,
        name,
        labels,
        claim,
        claim_uid,
        pool_uid,
        address,
        prefix,
        gateway,
        dns_servers,
    } = new;
    let claims = Kind::Claims(*kind);
    let claim_version = served.version(claims).ok_or(Unserved(claims))?;
    let (claim_uid, pool_uid) = (claim_uid.to_string(), pool_uid.to_string());
    let owners = owner_references(
        *kind,
        claim_version,
        (claim, &claim_uid),
        (&pool.name, &pool_uid),
    );
    let mut spec = json!({ "address": address });
    match kind {
        ClaimKind::Metal3 => {
            spec["pool"] = json!({ "name": pool.name, "namespace": pool.namespace });
            spec["claim"] = json!({ "name": claim, "namespace": pool.namespace });
            if let Some(prefix) = prefix {
                spec["prefix"] = json!(prefix);
            }
            if !dns_servers.is_empty() {
                spec["dnsServers"] = json!(dns_servers);
            }
        }
        ClaimKind::Capi => {
            spec["poolRef"] = json!({
                "apiGroup": names::METAL3_GROUP,
                "kind": "IPPool",
                "name": pool.name,
            });
            spec["claimRef"] = json!({ "name": claim });
            // Required there; 0 stands for unknown (A7).
            spec["prefix"] = json!(prefix.unwrap_or(0));
        }
    }
    if let Some(gateway) = gateway {
        spec["gateway"] = json!(gateway);
    }
    let mut meta = json!({
        "name": name,
        "namespace": pool.namespace,
        "finalizers": [kind.address_finalizer()],
        "ownerReferences": owners,
    });
    if !labels.is_empty() {
        meta["labels"] = json!(labels);
    }
    Ok(json!({
        "apiVersion": format!("{}/{version}", kind.group()),
        "kind": "IPAddress",
        "metadata": meta,
        "spec": spec,
    }))
}
