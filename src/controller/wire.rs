//! From a request told as a value to the HTTP that says it (A13, R3).
//!
//! | request | method | body |
//! | --- | --- | --- |
//! | `PoolMeta`, `PoolStatus`, `ClaimFinalizers`, `ClaimStatus`, `AddressMeta` | PATCH | merge patch with `metadata.resourceVersion` |
//! | `CreateAddress` | POST | the whole object |
//! | `DeleteAddress` | DELETE | preconditions UID and resourceVersion |
//! | `ReadCluster`, `ReadClaim`, `ReadAddress` | GET | - (no resourceVersion: a quorum read) |

use std::fmt::Write;

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

use crate::api::{ClaimKind, PoolKey, names};
use crate::pool::{ClaimStatus, NewAddress, Request};

use super::transport::Call;
use super::watched::{Served, Watched};

/// Time that the server gives a write before it gives up, in seconds. The lease counts on it: see `lease.rs`.
pub(super) const WRITE_SECONDS: u64 = 4;

/// By whom fields were set, in `managedFields`.
const FIELD_MANAGER: &str = "metal3-ipam";

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
    /// As metrics and RBAC name it.
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
    pub(super) kind: Watched,
    pub(super) name: &'a str,
}

/// The object that `request` of this pool is about.
pub(super) fn subject<'a>(pool: &'a PoolKey, request: &'a Request) -> Subject<'a> {
    let (verb, kind, name) = match request {
        Request::PoolMeta { .. } => (Verb::Patch, Watched::Pools, &pool.name),
        Request::PoolStatus { .. } => (Verb::PatchStatus, Watched::Pools, &pool.name),
        Request::ClaimFinalizers { key, .. } => (Verb::Patch, Watched::Claims(key.kind), &key.name),
        Request::ClaimStatus { key, .. } => {
            (Verb::PatchStatus, Watched::Claims(key.kind), &key.name)
        }
        Request::CreateAddress(new) => (Verb::Create, Watched::Addresses(new.kind), &new.name),
        Request::DeleteAddress { key, .. } => {
            (Verb::Delete, Watched::Addresses(key.kind), &key.name)
        }
        Request::AddressMeta { key, .. } => (Verb::Patch, Watched::Addresses(key.kind), &key.name),
        Request::ReadCluster { name } => (Verb::Get, Watched::Clusters, name),
        Request::ReadClaim { key } => (Verb::Get, Watched::Claims(key.kind), &key.name),
        Request::ReadAddress { key } => (Verb::Get, Watched::Addresses(key.kind), &key.name),
    };
    Subject { verb, kind, name }
}

/// The server has no such kind now, so that no path leads to its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unserved(pub(super) Watched);

/// The HTTP of a request.
pub(super) fn encode(pool: &PoolKey, request: &Request, served: &Served) -> Result<Call, Unserved> {
    let subject = subject(pool, request);
    let version = served.version(subject.kind).ok_or(Unserved(subject.kind))?;
    let mut target = subject.kind.collection(version, Some(&pool.namespace));
    if subject.verb != Verb::Create {
        target.push('/');
        push_segment(&mut target, subject.name);
    }
    if subject.verb == Verb::PatchStatus {
        target.push_str("/status");
    }
    if subject.verb.is_write() {
        let _ = write!(target, "?timeout={WRITE_SECONDS}s");
    }
    let body = match request {
        Request::PoolMeta {
            resource_version,
            finalizers,
            labels,
            owner_references,
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
            resource_version,
            status,
        } => json!({ "metadata": versioned(resource_version), "status": status }),
        Request::ClaimFinalizers {
            key: _,
            resource_version,
            finalizers,
        } => {
            let mut meta = versioned(resource_version);
            meta.insert("finalizers".into(), json!(finalizers));
            json!({ "metadata": meta })
        }
        Request::ClaimStatus {
            key,
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
            return Ok(Call::get(target));
        }
    };
    let (method, content_type) = match subject.verb {
        Verb::Create => (Method::POST, "application/json"),
        Verb::Delete => (Method::DELETE, "application/json"),
        Verb::Patch | Verb::PatchStatus | Verb::Get => {
            (Method::PATCH, "application/merge-patch+json")
        }
    };
    if method != Method::DELETE {
        let _ = write!(target, "&fieldManager={FIELD_MANAGER}");
    }
    Ok(Call {
        method,
        target,
        content_type: Some(content_type),
        body: serde_json::to_vec(&body).expect("a JSON value has text keys only"),
    })
}

/// The quorum read of what a request was about, after a conflict.
pub(super) fn reread(
    pool: &PoolKey,
    subject: &Subject<'_>,
    served: &Served,
) -> Result<Call, Unserved> {
    let version = served.version(subject.kind).ok_or(Unserved(subject.kind))?;
    let mut target = subject.kind.collection(version, Some(&pool.namespace));
    target.push('/');
    push_segment(&mut target, subject.name);
    Ok(Call::get(target))
}

/// Names come from specs too (`clusterName`), so nothing in them may end the path segment.
fn push_segment(target: &mut String, name: &str) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

fn versioned(resource_version: &str) -> Map<String, Value> {
    Map::from_iter([("resourceVersion".to_owned(), json!(resource_version))])
}

fn claim_status(namespace: &str, kind: ClaimKind, version: &str, status: &ClaimStatus) -> Value {
    let ClaimStatus {
        published,
        error_message,
        conditions,
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
                    let old: Vec<Value> = conditions.iter().map(old_condition).collect();
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
fn old_condition(condition: &Condition) -> Value {
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
    let claims = Watched::Claims(*kind);
    let claim_version = served.version(claims).ok_or(Unserved(claims))?;
    let mut of_pool = json!({
        "apiVersion": format!("{}/{}", names::METAL3_GROUP, names::METAL3_VERSION),
        "kind": "IPPool",
        "name": pool.name,
        "uid": pool_uid,
    });
    let mut of_claim = json!({
        "apiVersion": format!("{}/{claim_version}", kind.group()),
        "kind": kind.claim(),
        "name": claim,
        "uid": claim_uid,
    });
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
            of_pool["controller"] = json!(false);
            of_pool["blockOwnerDeletion"] = json!(true);
            of_claim["controller"] = json!(true);
            of_claim["blockOwnerDeletion"] = json!(true);
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
        "ownerReferences": [of_claim, of_pool],
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::{AddressKey, ClaimKey};

    fn pool() -> PoolKey {
        PoolKey {
            namespace: "metal".into(),
            name: "prov".into(),
        }
    }

    fn served(capi: &'static str) -> Served {
        let served = Served::new();
        for kind in Watched::ALL {
            if served.version(kind).is_none() {
                served.set(kind, Some(capi));
            }
        }
        served
    }

    fn said(request: &Request, served: &Served) -> (String, Value) {
        let call = encode(&pool(), request, served).unwrap();
        let body = if call.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&call.body).unwrap()
        };
        let kind = call.content_type.unwrap_or("-");
        (format!("{} {} {kind}", call.method, call.target), body)
    }

    fn new(kind: ClaimKind) -> NewAddress {
        NewAddress {
            kind,
            name: "prov-192-168-0-10".into(),
            labels: BTreeMap::from([("rack".to_owned(), "7".to_owned())]),
            claim: "c1".into(),
            claim_uid: "uid-c".into(),
            pool_uid: "uid-p".into(),
            address: "192.168.0.10".parse().unwrap(),
            prefix: Some(24),
            gateway: Some("192.168.0.1".parse().unwrap()),
            dns_servers: vec!["8.8.8.8".parse().unwrap()],
        }
    }

    #[test]
    fn a13_metal3_address_object() {
        let (line, body) = said(
            &Request::CreateAddress(Box::new(new(ClaimKind::Metal3))),
            &served("v1beta2"),
        );
        assert_eq!(
            line,
            "POST /apis/ipam.metal3.io/v1alpha1/namespaces/metal/ipaddresses?timeout=4s&fieldManager=metal3-ipam application/json"
        );
        assert_eq!(
            body,
            json!({
                "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
                "metadata": {
                    "name": "prov-192-168-0-10", "namespace": "metal", "labels": { "rack": "7" },
                    "finalizers": ["ipaddress.ipam.metal3.io"],
                    "ownerReferences": [
                        { "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "name": "c1", "uid": "uid-c" },
                        { "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "name": "prov", "uid": "uid-p" },
                    ],
                },
                "spec": {
                    "address": "192.168.0.10", "prefix": 24, "gateway": "192.168.0.1", "dnsServers": ["8.8.8.8"],
                    "pool": { "name": "prov", "namespace": "metal" }, "claim": { "name": "c1", "namespace": "metal" },
                },
            })
        );
    }

    #[test]
    fn a13_capi_address_object_in_both_versions() {
        for version in ["v1beta1", "v1beta2"] {
            let (line, body) = said(
                &Request::CreateAddress(Box::new(new(ClaimKind::Capi))),
                &served(version),
            );
            assert_eq!(
                line,
                format!(
                    "POST /apis/ipam.cluster.x-k8s.io/{version}/namespaces/metal/ipaddresses?timeout=4s&fieldManager=metal3-ipam application/json"
                )
            );
            assert_eq!(
                body,
                json!({
                    "apiVersion": format!("ipam.cluster.x-k8s.io/{version}"), "kind": "IPAddress",
                    "metadata": {
                        "name": "prov-192-168-0-10", "namespace": "metal", "labels": { "rack": "7" },
                        "finalizers": ["ipam.metal3.io/ipaddress"],
                        "ownerReferences": [
                            { "apiVersion": format!("ipam.cluster.x-k8s.io/{version}"), "kind": "IPAddressClaim", "name": "c1", "uid": "uid-c",
                              "controller": true, "blockOwnerDeletion": true },
                            { "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "name": "prov", "uid": "uid-p",
                              "controller": false, "blockOwnerDeletion": true },
                        ],
                    },
                    "spec": {
                        "address": "192.168.0.10", "prefix": 24, "gateway": "192.168.0.1",
                        "poolRef": { "apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "prov" }, "claimRef": { "name": "c1" },
                    },
                })
            );
        }
    }

    #[test]
    fn a7_what_is_unknown_is_left_out_but_for_the_prefix_that_capi_requires() {
        for (kind, prefix) in [(ClaimKind::Metal3, None), (ClaimKind::Capi, Some(0))] {
            let bare = NewAddress {
                prefix: None,
                gateway: None,
                dns_servers: Vec::new(),
                labels: BTreeMap::new(),
                ..new(kind)
            };
            let (_, body) = said(&Request::CreateAddress(Box::new(bare)), &served("v1beta2"));
            assert_eq!(body["spec"].get("prefix").and_then(Value::as_i64), prefix);
            assert!(body["spec"].get("gateway").is_none());
            assert!(body["spec"].get("dnsServers").is_none());
            assert!(body["metadata"].get("labels").is_none());
        }
    }

    fn claim(kind: ClaimKind) -> ClaimKey {
        ClaimKey {
            kind,
            name: "c1".into(),
        }
    }

    fn ready(status: &str, reason: &str) -> Condition {
        serde_json::from_value(json!({
            "type": "Ready", "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }))
        .unwrap()
    }

    #[test]
    fn claim_status_of_every_version() {
        let bound = ClaimStatus {
            published: Some(Some("prov-192-168-0-10".into())),
            error_message: Some(None),
            conditions: Some(vec![ready("True", "AddressAllocated")]),
        };
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "m",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        });
        let old = json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" });
        let cases = [
            (
                ClaimKind::Metal3,
                "v1beta2",
                "/apis/ipam.metal3.io/v1alpha1/namespaces/metal/ipclaims/c1/status",
                json!({ "address": { "name": "prov-192-168-0-10", "namespace": "metal" }, "errorMessage": null, "conditions": [condition] }),
            ),
            (
                ClaimKind::Capi,
                "v1beta2",
                "/apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/metal/ipaddressclaims/c1/status",
                json!({ "addressRef": { "name": "prov-192-168-0-10" }, "conditions": [condition] }),
            ),
            (
                ClaimKind::Capi,
                "v1beta1",
                "/apis/ipam.cluster.x-k8s.io/v1beta1/namespaces/metal/ipaddressclaims/c1/status",
                json!({ "addressRef": { "name": "prov-192-168-0-10" }, "conditions": [old], "v1beta2": { "conditions": [condition] } }),
            ),
        ];
        for (kind, capi, path, status) in cases {
            let request = Request::ClaimStatus {
                key: claim(kind),
                resource_version: "7".into(),
                status: bound.clone(),
            };
            let (line, body) = said(&request, &served(capi));
            assert_eq!(
                line,
                format!(
                    "PATCH {path}?timeout=4s&fieldManager=metal3-ipam application/merge-patch+json"
                )
            );
            assert_eq!(
                body,
                json!({ "metadata": { "resourceVersion": "7" }, "status": status })
            );
        }
        let taken_back = ClaimStatus {
            published: Some(None),
            error_message: Some(Some("Exhausted IP Pools".into())),
            conditions: None,
        };
        let request = |kind| Request::ClaimStatus {
            key: claim(kind),
            resource_version: "7".into(),
            status: taken_back.clone(),
        };
        assert_eq!(
            said(&request(ClaimKind::Metal3), &served("v1beta2")).1["status"],
            json!({ "address": null, "errorMessage": "Exhausted IP Pools" })
        );
        assert_eq!(
            said(&request(ClaimKind::Capi), &served("v1beta2")).1["status"],
            json!({ "addressRef": null })
        );
    }

    #[test]
    fn an_old_condition_that_does_not_hold_says_why() {
        assert_eq!(
            old_condition(&ready("False", "PoolExhausted")),
            json!({ "type": "Ready", "status": "False", "reason": "PoolExhausted", "severity": "Info", "message": "m",
                    "lastTransitionTime": "2026-01-02T03:04:05Z" })
        );
        assert_eq!(
            old_condition(&ready("False", "AllocationFailed"))["severity"],
            "Error"
        );
    }

    #[test]
    fn the_other_requests() {
        let address = AddressKey {
            kind: ClaimKind::Metal3,
            name: "a1".into(),
        };
        let ns = "/apis/ipam.metal3.io/v1alpha1/namespaces/metal";
        let patch = "?timeout=4s&fieldManager=metal3-ipam application/merge-patch+json";
        let cases = [
            (
                Request::PoolMeta {
                    resource_version: "1".into(),
                    finalizers: vec!["ippool.ipam.metal3.io".into()],
                    labels: BTreeMap::from([
                        ("a".to_owned(), Some("b".to_owned())),
                        ("gone".to_owned(), None),
                    ]),
                    owner_references: Some(Vec::new()),
                },
                format!("PATCH {ns}/ippools/prov{patch}"),
                json!({ "metadata": { "resourceVersion": "1", "finalizers": ["ippool.ipam.metal3.io"],
                                       "labels": { "a": "b", "gone": null }, "ownerReferences": [] } }),
            ),
            (
                Request::PoolStatus {
                    resource_version: "2".into(),
                    status: json!({ "capacity": 3 }),
                },
                format!("PATCH {ns}/ippools/prov/status{patch}"),
                json!({ "metadata": { "resourceVersion": "2" }, "status": { "capacity": 3 } }),
            ),
            (
                Request::ClaimFinalizers {
                    key: claim(ClaimKind::Metal3),
                    resource_version: "3".into(),
                    finalizers: Vec::new(),
                },
                format!("PATCH {ns}/ipclaims/c1{patch}"),
                json!({ "metadata": { "resourceVersion": "3", "finalizers": [] } }),
            ),
            (
                Request::DeleteAddress {
                    key: address.clone(),
                    uid: "u".into(),
                    resource_version: "4".into(),
                },
                format!("DELETE {ns}/ipaddresses/a1?timeout=4s application/json"),
                json!({ "apiVersion": "v1", "kind": "DeleteOptions",
                        "preconditions": { "uid": "u", "resourceVersion": "4" } }),
            ),
            (
                Request::AddressMeta {
                    key: address.clone(),
                    resource_version: "5".into(),
                    finalizers: Some(Vec::new()),
                    owner_references: None,
                },
                format!("PATCH {ns}/ipaddresses/a1{patch}"),
                json!({ "metadata": { "resourceVersion": "5", "finalizers": [] } }),
            ),
            (
                Request::ReadAddress { key: address },
                format!("GET {ns}/ipaddresses/a1 -"),
                Value::Null,
            ),
            (
                Request::ReadClaim {
                    key: claim(ClaimKind::Metal3),
                },
                format!("GET {ns}/ipclaims/c1 -"),
                Value::Null,
            ),
            (
                Request::ReadCluster {
                    name: "../x?y".into(),
                },
                "GET /apis/cluster.x-k8s.io/v1beta2/namespaces/metal/clusters/..%2Fx%3Fy -".into(),
                Value::Null,
            ),
        ];
        for (request, line, body) in cases {
            assert_eq!(said(&request, &served("v1beta2")), (line, body));
        }
    }

    #[test]
    fn a3_a_kind_that_is_not_served_has_no_path() {
        let request = Request::ReadClaim {
            key: claim(ClaimKind::Capi),
        };
        let kind = Watched::Claims(ClaimKind::Capi);
        assert_eq!(
            encode(&pool(), &request, &Served::new()),
            Err(Unserved(kind))
        );
    }
}
