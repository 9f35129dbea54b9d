//! Section 6: nothing of any size makes a review stop, loop or grow.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::admission::{Cause, MAX_FINDINGS, MAX_WARNING};

const KINDS: [(&str, &str); 5] = [
    (METAL3, "IPPool"),
    (METAL3, "IPClaim"),
    (METAL3, "IPAddress"),
    (CAPI, "IPAddressClaim"),
    (CAPI, "IPAddress"),
];

#[track_caller]
fn is_bounded(verdict: &Verdict) {
    assert!(verdict.errors.len() <= MAX_FINDINGS + 1);
    assert!(verdict.warnings.len() <= MAX_FINDINGS + 1);
    for error in &verdict.errors {
        let line = error.to_string();
        // Field, echo (escaped, so up to six times as long) and detail.
        assert!(line.len() < 4096, "{} bytes: {line}", line.len());
        assert!(!line.contains('\n'), "{line}");
    }
    for warning in &verdict.warnings {
        assert!(warning.chars().count() <= MAX_WARNING, "{warning}");
        assert!(
            warning.bytes().all(|b| (b' '..=b'~').contains(&b)),
            "{warning}"
        );
    }
}

#[test]
fn many_mistakes_are_counted_not_listed() {
    let entries: Vec<Value> = (0..10_000).map(|_| json!({"end": "10.0.0.1"})).collect();
    let verdict = create_pool(&pool(json!({"pools": entries})));
    is_bounded(&verdict);
    assert_eq!(verdict.errors.len(), 65);
    assert_eq!(
        verdict.errors[64].to_string(),
        "spec: Invalid value: 9936 more errors are not listed; mend these first"
    );
    let loopback: Vec<Value> = (0..200)
        .map(|n| json!({"start": format!("127.0.0.{n}"), "end": format!("127.0.0.{n}")}))
        .collect();
    let verdict = create_pool(&pool(json!({"pools": loopback[1..].to_vec()})));
    is_bounded(&verdict);
    assert_eq!(verdict.warnings.len(), 65);
    assert_eq!(verdict.warnings[64], "135 more warnings are not listed");
}

#[test]
fn long_texts_are_cut_where_they_are_echoed() {
    let long = "ä\n\"".repeat(100_000);
    let spec = pool(json!({
        "namePrefix": long,
        "pools": [{"start": long, "end": [long, long], "dnsServers": {"x": long}}, long],
        "allocationStrategy": long,
        "preAllocations": {long.clone(): long},
        "excludedAddresses": [long],
    }));
    let verdict = create_pool(&spec);
    is_bounded(&verdict);
    assert_eq!(verdict.errors.len(), 9);
    let cut = &verdict.errors[0].value.as_ref().unwrap();
    assert_eq!(cut.as_str().unwrap().chars().count(), 128);
    assert!(cut.as_str().unwrap().ends_with("..."));
    let mut claim = object(&json!({"pool": {"name": long, "kind": long, "namespace": long}}));
    claim["metadata"]["annotations"] = json!({"ipAddress": "1".repeat(200 * 1024)});
    let verdict = judge(METAL3, "IPClaim", None, &claim, &NoFacts);
    is_bounded(&verdict);
    assert_eq!(verdict.errors.len(), 4);
    // Old values, and names that live facts bring.
    is_bounded(&update_pool(
        &spec,
        &pool(json!({"allocationStrategy": "random"})),
        &NoFacts,
    ));
    let mut live = Namespace::with_pool("other", &json!([{"subnet": "10.0.0.0/8"}]));
    live.pools[0].0.clone_from(&long);
    live.holders = vec![Holder {
        address: "10.0.0.5".parse().unwrap(),
        by: long.clone(),
        is_external: false,
    }];
    let old = pool(json!({"pools": [{"subnet": "10.0.0.0/24"}]}));
    let new = pool(json!({"pools": [{"subnet": "10.1.0.0/24"}]}));
    let verdict = update_pool(&old, &new, &live);
    is_bounded(&verdict);
    assert_eq!((verdict.errors.len(), verdict.warnings.len()), (1, 1));
}

#[test]
fn a_megabyte_of_nested_json_is_refused_in_one_line() {
    let mut deep = json!("bottom");
    for _ in 0..5_000 {
        deep = json!([deep]);
    }
    for (group, kind) in KINDS {
        let object = json!({"metadata": {"annotations": {"ipAddress": "x"}}, "spec": {"pools": deep, "pool": 1}});
        refuses(
            &judge(group, kind, None, &object, &NoFacts),
            &["spec: Invalid value: must not be nested deeper than 256 levels"],
        );
        let verdict = judge(group, kind, Some(&object), &json!({"spec": {}}), &NoFacts);
        is_bounded(&verdict);
    }
}

/// The bounds of the definitions: one error for the list, and none for what is in it.
#[test]
fn a_list_above_its_bound_gets_one_error_and_is_not_read() {
    let of = |fields: Value| create_pool(&pool(fields));
    let one = |verdict: &Verdict, line: &str| refuses(verdict, &[line]);
    let too_many = |path: &str, most: usize| {
        let n = most + 1;
        format!("{path}: Invalid value: must have at most {most} items; it has {n}")
    };
    one(
        &of(json!({"pools": vec![json!({}); 10_001]})),
        &too_many("spec.pools", 10_000),
    );
    one(
        &of(json!({"pools": [], "excludedAddresses": vec!["1"; 10_001]})),
        &too_many("spec.excludedAddresses", 10_000),
    );
    one(
        &of(json!({"dnsServers": vec!["1"; 11]})),
        &too_many("spec.dnsServers", 10),
    );
    one(
        &of(
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.2", "dnsServers": vec!["1"; 11]}]}),
        ),
        &too_many("spec.pools[0].dnsServers", 10),
    );
    let keys = (0..65_537).map(|n| (format!("_{n}"), json!("x")));
    one(
        &of(json!({"preAllocations": Value::Object(keys.collect())})),
        &too_many("spec.preAllocations", 65_536),
    );
    let address = json!({"address": "10.0.0.5", "pool": {"name": "p"}, "claim": {"name": "c"}, "dnsServers": vec!["1"; 11]});
    let verdict = judge(METAL3, "IPAddress", None, &object(&address), &NoFacts);
    one(&verdict, &too_many("spec.dnsServers", 10));
    // At the bound every element is judged.
    let verdict = of(json!({"pools": vec![json!({}); 10_000]}));
    assert_eq!(verdict.errors.len(), MAX_FINDINGS + 1);
}

/// A pool that upstream stored, which knows no bounds.
#[test]
fn a_stored_list_above_its_bound_stands() {
    let at = |n: usize| format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
    let entries: Vec<Value> = (0..10_500)
        .map(|n| json!({"start": at(4 * n), "end": at(4 * n + 1), "dnsServers": vec!["10.0.0.1"; 11]}))
        .collect();
    let excluded: Vec<Value> = (0..10_500).map(|n| json!(at(4 * n))).collect();
    let stored = pool(
        json!({"pools": entries, "excludedAddresses": excluded, "dnsServers": vec!["10.0.0.1"; 12]}),
    );
    let mut other = stored.clone();
    other["clusterName"] = json!("c");
    accepts(&update_pool(&stored, &other, &NoFacts), &[]);
    // What stands is known: an address in it is in use as before.
    let live = Namespace::holding(&["10.0.0.5"]);
    let mut emptied = stored.clone();
    emptied["pools"] = json!([]);
    let verdict = update_pool(&stored, &emptied, &live);
    assert_eq!(verdict.errors.len(), 1, "{:?}", lines(&verdict));
    assert!(verdict.errors[0].detail.contains("10.0.0.5 by IPAddress"));
    // A change of the list has to bring it below the bound.
    let mut shorter = stored.clone();
    shorter["pools"].as_array_mut().unwrap().truncate(10_001);
    refuses(
        &update_pool(&stored, &shorter, &NoFacts),
        &["spec.pools: Invalid value: must have at most 10000 items; it has 10001"],
    );
    shorter["pools"].as_array_mut().unwrap().truncate(10_000);
    accepts(&update_pool(&stored, &shorter, &NoFacts), &[]);
}

/// 10,000 entries, 10,000 exclusions, 65,536 pre-allocations and 100,000 holders, created and narrowed: no rule compares all with all
/// (that would be 10^10 steps, which no test run survives).
#[test]
fn big_pools_are_judged_by_sorting() {
    let at = |n: usize| format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
    let entries: Vec<Value> = (0..10_000)
        .map(|n| json!({"start": at(n * 16), "end": at(n * 16 + 11)}))
        .collect();
    let excluded: Vec<Value> = (0..10_000).map(|n| json!(at(n * 16 + 11))).collect();
    let pre: serde_json::Map<String, Value> = (0..65_536)
        .map(|n| (format!("claim-{n}"), json!(at(n / 10 * 16 + n % 10))))
        .collect();
    let mut spec = pool(
        json!({"pools": entries, "excludedAddresses": excluded, "gateway": "10.255.0.1", "prefix": 8}),
    );
    spec["preAllocations"] = Value::Object(pre);
    let verdict = create_pool(&spec);
    assert_eq!(lines(&verdict), [""; 0]);

    let holders = (0..100_000)
        .map(|n| Holder {
            address: at(n / 10 * 16 + n % 10).parse().unwrap(),
            by: format!("IPAddress default/a{n}"),
            is_external: false,
        })
        .collect();
    let live = Namespace {
        holders,
        ..Namespace::default()
    };
    let mut narrowed = spec.clone();
    narrowed["pools"].as_array_mut().unwrap().truncate(5_000);
    let verdict = update_pool(&spec, &narrowed, &live);
    is_bounded(&verdict);
    let last = verdict.errors.last().unwrap();
    assert_eq!((last.cause, verdict.errors.len()), (Cause::Invalid, 65));
    assert_eq!(
        last.detail,
        "15473 more errors are not listed; mend these first"
    );
}

#[test]
fn other_kinds_have_no_rules() {
    for (group, kind) in [
        ("", "Secret"),
        (METAL3, "IPPoolList"),
        (CAPI, "IPPool"),
        ("cluster.x-k8s.io", "Cluster"),
    ] {
        accepts(
            &judge(group, kind, None, &json!({"spec": 5}), &NoFacts),
            &[],
        );
    }
}

/// The forms of Kubernetes' field errors, and the reasons of a Status.
#[test]
fn violations_read_like_kubernetes_field_errors() {
    let mut text = String::new();
    for (cause, value) in [
        (Cause::Invalid, Some(json!("x"))),
        (Cause::Required, None),
        (Cause::Duplicate, Some(json!(5))),
        (Cause::Forbidden, Some(json!({"a": 1}))),
        (Cause::NotSupported, Some(json!(true))),
    ] {
        let violation = super::super::Violation {
            field: "spec.a".to_owned(),
            cause,
            value,
            detail: "why".to_owned(),
        };
        writeln!(text, "{} {violation}", cause.reason()).unwrap();
    }
    assert_eq!(
        text,
        "FieldValueInvalid spec.a: Invalid value: \"x\": why\n\
         FieldValueRequired spec.a: Required value: why\n\
         FieldValueDuplicate spec.a: Duplicate value: 5: why\n\
         FieldValueForbidden spec.a: Forbidden: why\n\
         FieldValueNotSupported spec.a: Unsupported value: true: why\n"
    );
}

/// Any JSON, with the fields' own names and near-addresses in it, so that reading gets past the first step.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "spec",
        "pools",
        "start",
        "end",
        "subnet",
        "prefix",
        "gateway",
        "dnsServers",
        "preAllocations",
        "namePrefix",
        "excludedAddresses",
        "allocationStrategy",
        "pool",
        "claim",
        "poolRef",
        "claimRef",
        "name",
        "namespace",
        "address",
        "apiGroup",
        "kind",
        "metadata",
        "annotations",
        "ipAddress",
        "clusterName",
        "deletionTimestamp",
    ]);
    let text = prop_oneof![
        word.clone().prop_map(str::to_owned),
        "[0-9a-f.:/%-]{0,20}",
        prop::sample::select(vec![
            "10.0.0.1",
            "10.0.0.9-10.0.0.12",
            "10.0.0.0/24",
            "fd00::/64",
            "fd00::5",
            "ipam.metal3.io",
            "IPPool",
            "random"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i64..140).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        let key = prop_oneof![4 => word.clone().prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..8)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_gets_a_bounded_verdict(spec in any_json(), old in any_json(), metadata in any_json()) {
        let live = Namespace::holding(&["10.0.0.1", "fd00::5"]);
        for (group, kind) in KINDS {
            let new = json!({"metadata": metadata, "spec": spec});
            let stored = json!({"spec": old});
            is_bounded(&judge(group, kind, None, &new, &live));
            is_bounded(&judge(group, kind, Some(&stored), &new, &live));
            is_bounded(&judge(group, kind, Some(&old), &spec, &live));
            // An update that leaves the object passes, whatever it holds.
            let verdict = judge(group, kind, Some(&new), &new, &live);
            prop_assert_eq!(verdict, Verdict::default());
        }
    }
}
