//! The exact HTTP of every request.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use crate::api::Kind;
use crate::api::{AddressKey, Claim, ClaimKey, ClaimKind, PoolKey};
use crate::controller::served::Served;
use crate::controller::wire::{Unserved, encode, old_condition};
use crate::pool::{ClaimStatus, NewAddress, Request};

fn pool() -> PoolKey {
    PoolKey {
        namespace: "metal".into(),
        name: "prov".into(),
    }
}

fn served(capi: &'static str) -> Served {
    let served = Served::new();
    for kind in Kind::ALL {
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

pub(super) fn new(kind: ClaimKind) -> NewAddress {
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
        ip_address: Some(Some([192, 168, 0, 10].into())),
        error_message: Some(None),
        conditions: Some(vec![ready("True", "AddressAllocated")]),
        old_conditions: Vec::new(),
    };
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "m",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    let old =
        json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" });
    let cases = [
        (
            ClaimKind::Metal3,
            "v1beta2",
            "/apis/ipam.metal3.io/v1alpha1/namespaces/metal/ipclaims/c1/status",
            json!({ "address": { "name": "prov-192-168-0-10", "namespace": "metal" }, "ipAddress": "192.168.0.10", "errorMessage": null, "conditions": [condition] }),
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
            uid: "u".into(),
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
        ip_address: Some(None),
        error_message: Some(Some("Exhausted IP Pools".into())),
        conditions: None,
        old_conditions: Vec::new(),
    };
    let request = |kind| Request::ClaimStatus {
        key: claim(kind),
        uid: "u".into(),
        resource_version: "7".into(),
        status: taken_back.clone(),
    };
    assert_eq!(
        said(&request(ClaimKind::Metal3), &served("v1beta2")).1["status"],
        json!({ "address": null, "ipAddress": null, "errorMessage": "Exhausted IP Pools" })
    );
    assert_eq!(
        said(&request(ClaimKind::Capi), &served("v1beta2")).1["status"],
        json!({ "addressRef": null })
    );
}

#[test]
fn other_controllers_conditions_of_the_old_kind_stay_in_the_list() {
    let theirs =
        json!({ "type": "Mine", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" });
    let object = json!({
        "metadata": { "name": "c1", "namespace": "metal" },
        "spec": { "poolRef": { "apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p" } },
        "status": { "conditions": [theirs, old_condition(&ready("False", "PoolExhausted"))] },
    });
    let read = Claim::read(ClaimKind::Capi, serde_json::from_value(object).unwrap());
    assert_eq!(read.old_conditions, std::slice::from_ref(&theirs));
    let request = Request::ClaimStatus {
        key: claim(ClaimKind::Capi),
        uid: "u".into(),
        resource_version: "7".into(),
        status: ClaimStatus {
            conditions: Some(vec![ready("True", "AddressAllocated")]),
            old_conditions: read.old_conditions,
            ..ClaimStatus::default()
        },
    };
    let written = said(&request, &served("v1beta1")).1;
    let ours = old_condition(&ready("True", "AddressAllocated"));
    assert_eq!(written["status"]["conditions"], json!([theirs, ours]));
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
    // The server needs longer for a pool of thousands of ranges.
    let many = "?timeout=24s&fieldManager=metal3-ipam application/merge-patch+json";
    let cases = [
        (
            Request::PoolMeta {
                uid: "u".into(),
                resource_version: "1".into(),
                finalizers: vec!["ippool.ipam.metal3.io".into()],
                labels: BTreeMap::from([
                    ("a".to_owned(), Some("b".to_owned())),
                    ("gone".to_owned(), None),
                ]),
                owner_references: Some(Vec::new()),
                entries: 499,
            },
            format!("PATCH {ns}/ippools/prov{patch}"),
            json!({ "metadata": { "resourceVersion": "1", "finalizers": ["ippool.ipam.metal3.io"],
                                   "labels": { "a": "b", "gone": null }, "ownerReferences": [] } }),
        ),
        (
            Request::PoolStatus {
                uid: "u".into(),
                resource_version: "2".into(),
                status: json!({ "capacity": 3 }),
                entries: 10_000,
                counts_only: false,
            },
            format!("PATCH {ns}/ippools/prov/status{many}"),
            json!({ "metadata": { "resourceVersion": "2" }, "status": { "capacity": 3 } }),
        ),
        (
            Request::ClaimFinalizers {
                key: claim(ClaimKind::Metal3),
                uid: "u".into(),
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
                uid: "u".into(),
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
    let kind = Kind::Claims(ClaimKind::Capi);
    assert_eq!(
        encode(&pool(), &request, &Served::new()),
        Err(Unserved(kind))
    );
}
