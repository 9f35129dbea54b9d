//! Section 6 on IPClaim and IPAddressClaim.

use super::*;

fn claim(pool: &Value, annotation: Option<&str>) -> Value {
    let mut object = object(&json!({"pool": pool}));
    if let Some(text) = annotation {
        object["metadata"]["annotations"] = json!({"ipAddress": text});
    }
    object
}

fn capi_claim(spec: &Value, annotation: Option<&str>) -> Value {
    let mut object = object(spec);
    if let Some(text) = annotation {
        object["metadata"]["annotations"] = json!({"ipAddress": text});
    }
    object
}

fn create(claim: &Value) -> Verdict {
    judge(METAL3, "IPClaim", None, claim, &NoFacts)
}

#[test]
fn section_6_pool_references() {
    let good = [
        json!({"name": "p"}),
        json!({"name": "p", "namespace": "default", "kind": "IPPool", "apiVersion": "ipam.metal3.io/v1alpha1"}),
        json!({"name": "p", "namespace": "", "kind": "", "apiVersion": "", "uid": "u"}),
    ];
    for pool in good {
        accepts(&create(&claim(&pool, None)), &[]);
    }
    let bad = [
        (
            json!({"name": ""}),
            "spec.pool.name: Required value: cannot be empty; name the IPPool that is asked",
        ),
        (
            json!({}),
            "spec.pool.name: Required value: cannot be empty; name the IPPool that is asked",
        ),
        (
            json!({"name": "A b"}),
            "spec.pool.name: Invalid value: \"A b\": must be the name of an IPPool: a-z, 0-9, - and ., beginning and ending with a letter or digit",
        ),
        (
            json!({"name": 5}),
            "spec.pool.name: Invalid value: 5: must be a text",
        ),
        (
            json!(null),
            "spec.pool: Required value: must be a reference with a name",
        ),
        (
            json!("p"),
            "spec.pool: Invalid value: \"p\": must be a reference with a name",
        ),
        (
            json!({"name": "p", "kind": "InClusterIPPool"}),
            "spec.pool.kind: Unsupported value: \"InClusterIPPool\": supported values: \"IPPool\"",
        ),
        (
            json!({"name": "p", "apiVersion": "ipam.cluster.x-k8s.io/v1alpha2"}),
            "spec.pool.apiVersion: Unsupported value: \"ipam.cluster.x-k8s.io/v1alpha2\": supported values: \"ipam.metal3.io/v1alpha1\"",
        ),
        (
            json!({"name": "p", "namespace": "other"}),
            "spec.pool.namespace: Invalid value: \"other\": must be empty or the object's own namespace default: a pool, its claims and its addresses share one",
        ),
    ];
    for (pool, want) in bad {
        refuses(&create(&claim(&pool, None)), &[want]);
    }
}

/// A9: the annotation names one address; an empty one is no request.
#[test]
fn section_6_requested_addresses() {
    let pool = json!({"name": "p"});
    for good in ["", "10.0.0.5", "fd00::0005"] {
        accepts(&create(&claim(&pool, Some(good))), &[]);
    }
    let bad = [
        (
            "ten",
            "metadata.annotations[ipAddress]: Invalid value: \"ten\": must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10",
        ),
        (
            "10.0.0.5/24",
            "metadata.annotations[ipAddress]: Invalid value: \"10.0.0.5/24\": must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10",
        ),
        (
            "10.0.0.05",
            "metadata.annotations[ipAddress]: Invalid value: \"10.0.0.05\": must not have leading zeros in its decimal numbers",
        ),
        (
            "::",
            "metadata.annotations[ipAddress]: Invalid value: \"::\": must be the address of one host, not the wildcard address",
        ),
        (
            "ff02::1",
            "metadata.annotations[ipAddress]: Invalid value: \"ff02::1\": must be a unicast address, not a multicast one",
        ),
    ];
    for (text, want) in bad {
        refuses(&create(&claim(&pool, Some(text))), &[want]);
        let ours = json!({"poolRef": {"apiGroup": METAL3, "kind": "IPPool", "name": "p"}});
        let verdict = judge(
            CAPI,
            "IPAddressClaim",
            None,
            &capi_claim(&ours, Some(text)),
            &NoFacts,
        );
        refuses(&verdict, &[want]);
        // Another provider may mean something else by it.
        let theirs = json!({"poolRef": {"apiGroup": "x.y", "kind": "IPPool", "name": "p"}});
        let verdict = judge(
            CAPI,
            "IPAddressClaim",
            None,
            &capi_claim(&theirs, Some(text)),
            &NoFacts,
        );
        accepts(&verdict, &[]);
    }
}

#[test]
fn section_6_a_claim_is_judged_on_what_changes() {
    let old = claim(&json!({"name": "p"}), Some("bad"));
    let mut labelled = old.clone();
    labelled["metadata"]["finalizers"] = json!(["ipclaim.ipam.metal3.io"]);
    labelled["status"] = json!({"errorMessage": "x"});
    let update = |old: &Value, new: &Value| judge(METAL3, "IPClaim", Some(old), new, &NoFacts);
    accepts(&update(&old, &labelled), &[]);
    // Go clients write empty fields or leave them out.
    let padded = claim(
        &json!({"name": "p", "namespace": "", "fieldPath": null}),
        Some("bad"),
    );
    accepts(&update(&old, &padded), &[]);
    accepts(&update(&padded, &old), &[]);
    // A stored claim that breaks a rule can still be finalized.
    let nameless = claim(&json!({"name": "", "kind": "Other"}), None);
    let mut finalized = nameless.clone();
    finalized["metadata"]["finalizers"] = json!([]);
    accepts(&update(&nameless, &finalized), &[]);

    refuses(
        &update(&old, &claim(&json!({"name": "q"}), Some("bad"))),
        &[
            "spec.pool: Invalid value: {\"name\":\"q\"}: cannot be modified; delete the IPClaim and create another",
        ],
    );
    refuses(
        &update(&old, &claim(&json!({"name": "p"}), Some("worse"))),
        &[
            "metadata.annotations[ipAddress]: Invalid value: \"worse\": must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10",
        ],
    );
    accepts(
        &update(&old, &claim(&json!({"name": "p"}), Some("10.0.0.5"))),
        &[],
    );
    accepts(&update(&old, &claim(&json!({"name": "p"}), None)), &[]);
    // Whatever happens to the metadata of an object that is on its way out.
    let mut deleting = claim(&json!({"name": "p"}), Some("worse"));
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    accepts(&update(&old, &deleting), &[]);
    deleting["spec"]["pool"]["name"] = json!("q");
    assert_eq!(update(&old, &deleting).errors.len(), 2);
}

#[test]
fn cluster_api_claims() {
    let create = |spec: Value| judge(CAPI, "IPAddressClaim", None, &object(&spec), &NoFacts);
    accepts(
        &create(
            json!({"poolRef": {"apiGroup": METAL3, "kind": "IPPool", "name": "p"}, "clusterName": "c"}),
        ),
        &[],
    );
    accepts(
        &create(json!({"poolRef": {"apiGroup": "other", "kind": "Pool", "name": ""}})),
        &[],
    );
    refuses(
        &create(json!({"poolRef": {"apiGroup": METAL3, "kind": "Pool", "name": "p"}})),
        &["spec.poolRef.kind: Unsupported value: \"Pool\": supported values: \"IPPool\""],
    );
    refuses(
        &create(json!({"poolRef": {"apiGroup": METAL3, "kind": "IPPool"}})),
        &["spec.poolRef.name: Required value: cannot be empty; name the IPPool that is asked"],
    );
    refuses(
        &create(json!({})),
        &["spec.poolRef: Required value: must be a reference with a name"],
    );
    let spec = |cluster: &str, name: &str| {
        object(
            &json!({"clusterName": cluster, "poolRef": {"apiGroup": "x", "kind": "Y", "name": name}}),
        )
    };
    let update = |old: &Value, new: &Value| judge(CAPI, "IPAddressClaim", Some(old), new, &NoFacts);
    accepts(
        &update(
            &spec("", "p"),
            &object(&json!({"poolRef": {"apiGroup": "x", "kind": "Y", "name": "p"}})),
        ),
        &[],
    );
    refuses(
        &update(&spec("c", "p"), &spec("d", "q")),
        &[
            "spec.clusterName: Invalid value: \"d\": cannot be modified; delete the IPAddressClaim and create another",
            "spec.poolRef: Invalid value: {\"apiGroup\":\"x\",\"kind\":\"Y\",\"name\":\"q\"}: cannot be modified; delete the IPAddressClaim and create another",
        ],
    );
    refuses(
        &update(&spec("c", "p"), &object(&json!(null))),
        &[
            "spec: Invalid value: null: cannot be modified; delete the IPAddressClaim and create another",
        ],
    );
}
