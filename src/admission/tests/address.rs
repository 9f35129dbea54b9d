//! Section 6 on IPAddress of both groups.

use super::*;

fn metal3(fields: &Value) -> Value {
    let mut spec = json!({"address": "10.0.0.5", "pool": {"name": "p"}, "claim": {"name": "c"}});
    spec.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    object(&spec)
}

fn capi(fields: &Value) -> Value {
    let mut spec = json!({
        "address": "10.0.0.5",
        "prefix": 0,
        "poolRef": {"apiGroup": METAL3, "kind": "IPPool", "name": "p"},
        "claimRef": {"name": "c"},
    });
    spec.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    object(&spec)
}

const NO_ADDRESS: &str = "must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10";

#[test]
fn section_6_metal3_addresses() {
    for good in [
        json!({}),
        json!({"prefix": 32, "gateway": "10.0.0.1", "dnsServers": ["fd00::53"]}),
        json!({"address": "fd00::5", "prefix": 64, "gateway": "fe80::1"}),
        json!({"prefix": 0, "pool": {"name": "p", "namespace": "default"}, "claim": {"name": "c", "namespace": "default"}}),
    ] {
        accepts(
            &judge(METAL3, "IPAddress", None, &metal3(&good), &NoFacts),
            &[],
        );
    }
    let bad = [
        (json!({"address": ""}), "spec.address: Required value: cannot be empty; write the address that is recorded".to_owned()),
        (json!({"address": null}), "spec.address: Required value: cannot be empty; write the address that is recorded".to_owned()),
        (json!({"address": "10.0.0"}), format!("spec.address: Invalid value: \"10.0.0\": {NO_ADDRESS}")),
        (json!({"address": "0.0.0.0"}), "spec.address: Invalid value: \"0.0.0.0\": must be the address of one host, not the wildcard address".to_owned()),
        (json!({"address": "224.0.0.5"}), "spec.address: Invalid value: \"224.0.0.5\": must be a unicast address, not a multicast one".to_owned()),
        (json!({"address": "::ffff:10.0.0.5"}), "spec.address: Invalid value: \"::ffff:10.0.0.5\": must not embed an IPv4 address in IPv6; write the IPv4 address itself".to_owned()),
        (json!({"prefix": 129}), "spec.prefix: Invalid value: 129: must be from 0 to 128".to_owned()),
        (json!({"address": "fd00::5", "prefix": 129}), "spec.prefix: Invalid value: 129: must be from 0 to 128".to_owned()),
        (json!({"prefix": -1}), "spec.prefix: Invalid value: -1: must be from 0 to 128".to_owned()),
        (json!({"gateway": "x"}), format!("spec.gateway: Invalid value: \"x\": {NO_ADDRESS}")),
        (json!({"dnsServers": ["8.8.8.8", "x"]}), format!("spec.dnsServers[1]: Invalid value: \"x\": {NO_ADDRESS}")),
        (json!({"pool": {"name": ""}}), "spec.pool.name: Required value: cannot be empty; name the IPPool that the address is of".to_owned()),
        (json!({"pool": {"name": "p", "namespace": "o"}}), "spec.pool.namespace: Invalid value: \"o\": must be empty or the object's own namespace default: a pool, its claims and its addresses share one".to_owned()),
        (json!({"pool": {"name": "p", "kind": "Pool"}}), "spec.pool.kind: Unsupported value: \"Pool\": supported values: \"IPPool\"".to_owned()),
        (json!({"claim": {"name": ""}}), "spec.claim.name: Required value: cannot be empty; name the claim that has the address".to_owned()),
        (json!({"claim": {"name": "c", "namespace": "o"}}), "spec.claim.namespace: Invalid value: \"o\": must be empty or the object's own namespace default: a pool, its claims and its addresses share one".to_owned()),
        (json!({"claim": null}), "spec.claim: Required value: must be a reference with a name".to_owned()),
    ];
    for (fields, want) in bad {
        let verdict = judge(METAL3, "IPAddress", None, &metal3(&fields), &NoFacts);
        refuses(&verdict, &[&want]);
    }
}

/// Upstream stored such objects, and `clusterctl move` and a restore create them again.
#[test]
fn section_6_values_of_the_other_family_are_warnings_on_an_address() {
    let prefix = "spec.prefix: 64 is more than the 32 bits of 10.0.0.5; what reads this address may refuse it";
    let v6 = "spec.gateway: fd00::1 is no IPv4 address, like 10.0.0.5; what reads this address may refuse it";
    let v4 = "spec.gateway: 10.0.0.1 is no IPv6 address, like fd00::5; what reads this address may refuse it";
    for (fields, warnings) in [
        (json!({"prefix": 64}), &[prefix][..]),
        (json!({"prefix": 32, "gateway": "fd00::1"}), &[v6]),
        (json!({"prefix": 64, "gateway": "fd00::1"}), &[prefix, v6]),
        (
            json!({"address": "fd00::5", "prefix": 24, "gateway": "10.0.0.1"}),
            &[v4],
        ),
    ] {
        for (group, object) in [(METAL3, metal3(&fields)), (CAPI, capi(&fields))] {
            accepts(
                &judge(group, "IPAddress", None, &object, &NoFacts),
                warnings,
            );
        }
    }
}

#[test]
fn section_6_the_spec_of_an_address_is_immutable() {
    let old = metal3(&json!({"prefix": 24, "gateway": "10.0.0.1"}));
    let update = |new: &Value| judge(METAL3, "IPAddress", Some(&old), new, &NoFacts);
    let mut finalized = old.clone();
    finalized["metadata"]["finalizers"] = json!(["ipaddress.ipam.metal3.io"]);
    accepts(&update(&finalized), &[]);
    accepts(
        &update(&metal3(
            &json!({"prefix": 24, "gateway": "10.0.0.1", "dnsServers": []}),
        )),
        &[],
    );
    refuses(
        &update(&metal3(
            &json!({"address": "10.0.0.6", "prefix": 25, "claim": {"name": "d"}}),
        )),
        &[
            "spec.address: Invalid value: \"10.0.0.6\": cannot be modified; delete the IPAddress and create another",
            "spec.claim: Invalid value: {\"name\":\"d\"}: cannot be modified; delete the IPAddress and create another",
            "spec.gateway: Invalid value: null: cannot be modified; delete the IPAddress and create another",
            "spec.prefix: Invalid value: 25: cannot be modified; delete the IPAddress and create another",
        ],
    );
    // What was stored under older rules can be patched and deleted.
    let broken = metal3(&json!({"address": "::ffff:10.0.0.5", "prefix": 200}));
    let mut patched = broken.clone();
    patched["metadata"]["labels"] = json!({"a": "b"});
    accepts(
        &judge(METAL3, "IPAddress", Some(&broken), &patched, &NoFacts),
        &[],
    );

    let old = capi(&json!({}));
    accepts(
        &judge(
            CAPI,
            "IPAddress",
            Some(&old),
            &capi(&json!({"prefix": null})),
            &NoFacts,
        ),
        &[],
    );
    refuses(
        &judge(
            CAPI,
            "IPAddress",
            Some(&old),
            &capi(&json!({"prefix": 24})),
            &NoFacts,
        ),
        &[
            "spec.prefix: Invalid value: 24: cannot be modified; delete the IPAddress and create another",
        ],
    );
}

#[test]
fn section_6_an_address_that_is_already_held() {
    let live = Namespace::holding(&["10.0.0.4", "fd00::5", "fd00::5", "10.0.0.5"]);
    let create = |group: &str, object: &Value| judge(group, "IPAddress", None, object, &live);
    let held = "spec.address: 10.0.0.5 is already held by IPAddress default/a3 (claim c3); delete one of the two";
    accepts(&create(METAL3, &metal3(&json!({}))), &[held]);
    accepts(&create(CAPI, &capi(&json!({}))), &[held]);
    // Compared by value.
    accepts(
        &create(METAL3, &metal3(&json!({"address": "FD00::0005"}))),
        &[
            "spec.address: fd00::5 is already held by IPAddress default/a1 (claim c1) and 1 more; delete one of the two",
        ],
    );
    accepts(
        &create(METAL3, &metal3(&json!({"address": "10.0.0.9"}))),
        &[],
    );
    live.asked.borrow_mut().clear();
    // An update asks nothing.
    judge(
        METAL3,
        "IPAddress",
        Some(&metal3(&json!({}))),
        &metal3(&json!({})),
        &live,
    );
    assert_eq!(*live.asked.borrow(), [""; 0]);
}

#[test]
fn cluster_api_addresses() {
    let create = |fields: &Value| judge(CAPI, "IPAddress", None, &capi(fields), &NoFacts);
    for good in [
        json!({}),
        json!({"prefix": 24, "gateway": "10.0.0.1"}),
        json!({"gateway": ""}),
        // Another provider's address: only what Cluster API asks.
        json!({"poolRef": {"apiGroup": "x", "kind": "Y", "name": "z"}, "address": "::ffff:10.0.0.5", "gateway": "fe80::1%eth0"}),
    ] {
        accepts(&create(&good), &[]);
    }
    let foreign = json!({"apiGroup": "x", "kind": "Y", "name": "z"});
    let bad = [
        (json!({"address": "x"}), format!("spec.address: Invalid value: \"x\": {NO_ADDRESS}")),
        (json!({"claimRef": {}}), "spec.claimRef.name: Required value: cannot be empty; name the claim that has the address".to_owned()),
        (json!({"poolRef": foreign, "address": "x"}), "spec.address: Invalid value: \"x\": must be an IPv4 or IPv6 address".to_owned()),
        (json!({"poolRef": foreign, "prefix": -1}), "spec.prefix: Invalid value: -1: must be from 0 to 32 for IPv4".to_owned()),
        (json!({"poolRef": foreign, "gateway": "x"}), "spec.gateway: Invalid value: \"x\": must be an IPv4 or IPv6 address".to_owned()),
    ];
    for (fields, want) in bad {
        refuses(&create(&fields), &[&want]);
    }
}

/// Cluster API: an address fulfils its claim from the pool that the claim asks.
#[test]
fn an_address_is_of_the_pool_that_its_claim_asks() {
    let with_claim = |pool_ref: Value| Namespace {
        pool_ref: Some(pool_ref),
        ..Namespace::default()
    };
    let same = with_claim(json!({"apiGroup": METAL3, "kind": "IPPool", "name": "p"}));
    accepts(
        &judge(CAPI, "IPAddress", None, &capi(&json!({})), &same),
        &[],
    );
    assert_eq!(same.asked.borrow()[0], "claim default/c");
    let other = with_claim(json!({"apiGroup": METAL3, "kind": "IPPool", "name": "q"}));
    refuses(
        &judge(CAPI, "IPAddress", None, &capi(&json!({})), &other),
        &[
            "spec.poolRef: Invalid value: {\"apiGroup\":\"ipam.metal3.io\",\"kind\":\"IPPool\",\"name\":\"p\"}: must be the pool that its claim c asks: IPPool.ipam.metal3.io q",
        ],
    );
}
