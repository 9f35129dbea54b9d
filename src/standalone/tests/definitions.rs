//! The rules that the definitions carry in CEL, held to those of `admission`, and what of an update they let through.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use kube_embedded::field::{FieldError, FieldErrorKind};
use kube_embedded::schema::Schema;

use crate::admission::{NoFacts, Review, review};

const GROUP: &str = "ipam.metal3.io";

fn schema(kind: &str) -> std::sync::Arc<Schema> {
    let kinds = crate::standalone::serves().resources;
    let resource = kinds.by_kind(GROUP, kind).unwrap();
    std::sync::Arc::clone(resource.schema.as_ref().unwrap())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("no object: {other}"),
    }
}

/// What the definition refuses, on a create or an update.
fn by_definition(schema: &Schema, old: Option<&Value>, new: &Value) -> Vec<String> {
    let (new, old) = (object(new.clone()), old.map(|old| object(old.clone())));
    let mut errors = schema.validate(&new);
    if let Some(old) = &old {
        let before = schema.validate(old);
        errors.retain(|error| !before.contains(error));
    }
    // As a real server, which does not ask the rules about an object in which something is missing.
    let blocks = |error: &FieldError| error.kind == FieldErrorKind::Required;
    if !errors.iter().any(blocks) {
        errors.extend(schema.check_rules(&new, old.as_ref()));
    }
    errors.iter().map(ToString::to_string).collect()
}

/// What admission refuses that a definition can refuse too: without the rules that do not fit into CEL's cost limits.
fn by_admission(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let verdict = review(
        &Review {
            group: GROUP,
            kind,
            namespace: "default",
            old,
            new,
        },
        &NoFacts,
    );
    let beyond_cel = [
        "is already pre-allocated to claim",
        "is out of bounds of the pools given",
        "is one of excludedAddresses",
        "must not end below its beginning",
        "its key can be no claim's name",
        "more errors are not listed",
    ];
    let lines = verdict.errors.iter().map(ToString::to_string);
    lines
        .filter(|line| !beyond_cel.iter().any(|text| line.contains(text)))
        .collect()
}

fn agree(kind: &str, new: &Value) {
    let (cel, pure) = (
        by_definition(&schema(kind), None, new),
        by_admission(kind, None, new),
    );
    let failed = cel.iter().find(|line| line.contains("evaluating rule"));
    assert_eq!(
        failed, None,
        "a rule that fails is not let through for what is stored: {new}"
    );
    assert_eq!(
        cel.is_empty(),
        pure.is_empty(),
        "{new}\nthe definition: {cel:#?}\nadmission: {pure:#?}"
    );
}

fn pool_of(spec: Value) -> Value {
    let mut spec = spec;
    if spec.get("namePrefix").is_none() {
        spec["namePrefix"] = json!("p");
    }
    spec["allocationStrategy"] = json!("sequential");
    json!({"metadata": {"name": "pool", "namespace": "default"}, "spec": spec})
}

const ADDRESSES: [&str; 40] = [
    "",
    "10.0.0.1",
    "10.0.0.9",
    "10.0.1.1",
    "010.0.0.1",
    "10.0.0.256",
    "10.0.0",
    "10.0.0.1.1",
    "999.1.1.1",
    "abc",
    "2130706433",
    "0.0.0.0",
    "::",
    "0:0:0:0:0:0:0:0",
    "255.255.255.255",
    "255.255.255.254",
    "223.255.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "250.1.1.1",
    "127.0.0.1",
    "fd00::1",
    "FD00::0001",
    "fd00::9",
    "fd00::ffff",
    "fd00:0:0:1::1",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:9",
    ":::",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "::10.0.0.1",
    "ff02::1",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "10.0.0.1 ",
    "10.0.0.1\n",
];

const SUBNETS: [&str; 30] = [
    "",
    "10.0.0.0/24",
    "10.0.0.1/24",
    "10.0.0.0/8",
    "10.0.0.0/31",
    "10.0.0.1/32",
    "10.0.0.0/33",
    "10.0.0.0/024",
    "10.0.0/24",
    "010.0.0.0/24",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/255.255.255.0",
    "abc/24",
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "192.0.0.0/2",
    "224.0.0.0/4",
    "224.0.0.0/32",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/0",
    "::/1",
    "fd00::/64",
    "FD00::/7",
    "fd00::/07",
    "fd00::/129",
    "ff00::/8",
    "::ffff:0:0/96",
];

fn address() -> impl Strategy<Value = Value> {
    select(ADDRESSES.to_vec()).prop_map(Value::from)
}

/// Two good addresses more often than not, so that rules about two fields are met.
fn good_or_any() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => any::<u32>().prop_map(|bits| std::net::Ipv4Addr::from_bits(bits).to_string().into()),
        2 => (0..8_u32).prop_map(|low| format!("10.0.0.{low}").into()),
        3 => any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string().into()),
        2 => (0..8_u32).prop_map(|low| format!("FD00:0::{low}").into()),
        2 => address(),
    ]
}

fn subnet() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => select(SUBNETS.to_vec()).prop_map(Value::from),
        1 => (any::<u32>(), 0..34_u8).prop_map(|(bits, mask)| format!("{}/{mask}", std::net::Ipv4Addr::from_bits(bits)).into()),
        1 => (any::<u128>(), 0..130_u8).prop_map(|(bits, mask)| format!("{}/{mask}", std::net::Ipv6Addr::from_bits(bits)).into()),
    ]
}

fn prefix() -> impl Strategy<Value = Value> {
    select(vec![-1, 0, 24, 32, 33, 64, 128, 129]).prop_map(Value::from)
}

/// Some of these fields.
fn some(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let parts: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| proptest::option::of(value).prop_map(move |value| (name, value)))
        .collect();
    parts
        .prop_map(|parts| {
            let present = parts
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(present.collect())
        })
        .boxed()
}

fn list(of: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    proptest::collection::vec(of, 0..3)
        .prop_map(Value::from)
        .boxed()
}

fn entry() -> BoxedStrategy<Value> {
    some(vec![
        ("start", good_or_any().boxed()),
        ("end", good_or_any().boxed()),
        ("subnet", subnet().boxed()),
        ("gateway", good_or_any().boxed()),
        ("prefix", prefix().boxed()),
        ("dnsServers", list(address())),
    ])
}

fn exclusion() -> impl Strategy<Value = Value> {
    prop_oneof![
        address(),
        subnet(),
        (address(), address()).prop_map(|(a, b)| {
            format!("{}-{}", a.as_str().unwrap(), b.as_str().unwrap()).into()
        }),
    ]
}

fn pool() -> BoxedStrategy<Value> {
    let reservations = proptest::collection::btree_map(select(vec!["a", "b.c-d"]), address(), 0..3);
    some(vec![
        ("pools", list(entry())),
        ("gateway", address().boxed()),
        ("prefix", prefix().boxed()),
        ("dnsServers", list(address())),
        ("excludedAddresses", list(exclusion())),
        (
            "preAllocations",
            reservations
                .prop_map(|map| {
                    let pairs = map.into_iter().map(|(k, v)| (k.to_owned(), v));
                    Value::Object(pairs.collect::<Map<_, _>>())
                })
                .boxed(),
        ),
        (
            "namePrefix",
            select(vec!["p", "a.b-c", "Bad", "-a", "a-", "a..b", "a b"])
                .prop_map(Value::from)
                .boxed(),
        ),
        (
            "clusterName",
            select(vec!["", "c", "Bad", "a_b", "a.b"])
                .prop_map(Value::from)
                .boxed(),
        ),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_definition_and_admission_refuse_the_same_entries(entry in entry()) {
        agree("IPPool", &pool_of(json!({"pools": [entry]})));
    }

    #[test]
    fn a_definition_and_admission_refuse_the_same_pools(spec in pool()) {
        agree("IPPool", &pool_of(spec));
    }

    #[test]
    fn a_definition_knows_which_of_two_addresses_is_the_higher(a in any::<u128>(), b in any::<u128>(), shared in 0..129_u32, v4: bool) {
        // Two addresses that share so many bits at least.
        let b = if shared == 0 { b } else if shared >= 128 { a } else {
            let low = u128::MAX >> shared;
            (a & !low) | (b & low)
        };
        let text = |bits: u128| if v4 {
            std::net::Ipv4Addr::from_bits((bits >> 96) as u32).to_string()
        } else {
            std::net::Ipv6Addr::from_bits(bits).to_string()
        };
        agree("IPPool", &pool_of(json!({"pools": [{"start": text(a), "end": text(b)}]})));
    }

    #[test]
    fn a_definition_and_admission_refuse_the_same_addresses(
        spec in some(vec![("address", good_or_any().boxed()), ("gateway", good_or_any().boxed()), ("prefix", prefix().boxed()),
            ("dnsServers", list(address()))]),
        pool in select(vec![json!({"name": "p"}), json!({"name": ""}), json!({}), json!({"name": "p", "kind": "Secret"}),
            json!({"name": "p", "apiVersion": "v1"})]),
        claim in select(vec![json!({"name": "c"}), json!({"name": ""}), json!({})]),
    ) {
        let mut spec = spec;
        (spec["pool"], spec["claim"]) = (pool, claim);
        agree("IPAddress", &json!({"metadata": {"name": "a", "namespace": "default"}, "spec": spec}));
    }
}

#[test]
fn a_definition_and_admission_refuse_the_same_claims() {
    let references = [
        json!({"name": "p"}),
        json!({"name": ""}),
        json!({}),
        json!({"name": "p", "kind": "IPPool", "apiVersion": "ipam.metal3.io/v1alpha1"}),
        json!({"name": "p", "kind": "Secret"}),
        json!({"name": "p", "apiVersion": "v1"}),
        json!({"name": "p", "apiVersion": "ipam.metal3.io.evil/v1"}),
    ];
    for pool in references {
        agree(
            "IPClaim",
            &json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"pool": pool}}),
        );
    }
}

/// Kind, object before, object after, and the line that the definition says.
#[test]
fn what_never_changes_is_refused_by_the_definition_alone() {
    let pool = |prefix: &str, strategy: &str| json!({"metadata": {"name": "p"}, "spec": {"namePrefix": prefix, "allocationStrategy": strategy}});
    let claim = |pool: &str| json!({"metadata": {"name": "c"}, "spec": {"pool": {"name": pool}}});
    let address = |address: &str, prefix: u8| json!({"metadata": {"name": "a"}, "spec": {"address": address, "prefix": prefix, "pool": {"name": "p"}, "claim": {"name": "c"}}});
    let cases = [
        (
            "IPPool",
            pool("a", "sequential"),
            pool("b", "sequential"),
            "spec.namePrefix: Invalid value: \"b\": cannot be modified: address objects are named by it; create another pool instead",
        ),
        (
            "IPPool",
            pool("a", "sequential"),
            pool("a", "random"),
            "spec.allocationStrategy: Invalid value: \"random\": cannot be modified after creation; create another pool instead",
        ),
        (
            "IPClaim",
            claim("a"),
            claim("b"),
            "spec.pool: Invalid value: cannot be modified: a claim asks one pool for its whole life; create another claim instead",
        ),
        (
            "IPAddress",
            address("10.0.0.1", 24),
            address("10.0.0.2", 24),
            "spec: Invalid value: cannot be modified: an IPAddress records what was handed out; delete its claim to release the address",
        ),
        (
            "IPAddress",
            address("10.0.0.1", 24),
            address("10.0.0.1", 25),
            "spec: Invalid value: cannot be modified: an IPAddress records what was handed out; delete its claim to release the address",
        ),
    ];
    for (kind, old, new, line) in cases {
        assert_eq!(by_definition(&schema(kind), Some(&old), &new), [line]);
        assert_eq!(
            by_definition(&schema(kind), Some(&old), &old),
            [""; 0],
            "an update that changes nothing"
        );
    }
}

/// Objects stored before there were rules.
#[test]
fn what_was_stored_before_the_rules_stays_editable_elsewhere() {
    let schema = schema("IPPool");
    let bad = [
        json!({"pools": [{"start": "010.0.0.1"}]}),
        json!({"pools": [{"start": "10.0.0.9", "end": "10.0.0.1"}]}),
        json!({"pools": [{}]}),
        json!({"gateway": "abc"}),
        json!({"gateway": "fd00::1", "pools": [{"start": "10.0.0.1"}]}),
        json!({"prefix": 64, "pools": [{"subnet": "10.0.0.0/24"}]}),
        json!({"namePrefix": "Bad"}),
        json!({"clusterName": "a_b"}),
        json!({"preAllocations": {"": "10.0.0.1"}, "pools": [{"start": "10.0.0.1"}]}),
        json!({"excludedAddresses": ["abc"]}),
        json!({"dnsServers": ["0.0.0.0"]}),
    ];
    for spec in bad {
        let old = pool_of(spec);
        assert_ne!(by_definition(&schema, None, &old), [""; 0], "{old}");
        let mut labelled = old.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        let mut elsewhere = old.clone();
        elsewhere["spec"]["addressReuseGracePeriodSeconds"] = json!(5);
        for new in [labelled, elsewhere] {
            assert_eq!(by_definition(&schema, Some(&old), &new), [""; 0], "{new}");
        }
        let mut other = old.clone();
        other["spec"]["pools"] = json!([{"start": "10.0.0.7", "end": "10.0.0.2"}]);
        assert_ne!(
            by_definition(&schema, Some(&old), &other),
            [""; 0],
            "{other}"
        );
    }
}

#[test]
fn rules_that_are_not_carried_out_are_not_taken() {
    let of = |rule: Value| {
        let raw = json!({"type": "object", "properties": {"spec": {"type": "string", "x-kubernetes-validations": [rule]}}});
        Schema::compile(&raw).map(drop)
    };
    assert_eq!(of(json!({"rule": "self == 'a'"})), Ok(()));
    for rule in [
        json!({"rule": "self =="}),
        json!({"rule": "true", "messageExpression": "self"}),
    ] {
        assert!(of(rule.clone()).is_err(), "{rule}");
    }
    let nested =
        json!({"type": "object", "allOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]});
    assert!(Schema::compile(&nested).is_err());
}

/// Go clients with types write what is empty; others leave it out.
#[test]
fn what_only_some_clients_write_is_no_change_for_a_definition() {
    let claim = |pool: Value| json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"pool": pool}});
    let plain = json!({"metadata": {"name": "a", "namespace": "default"}, "spec":
        {"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c"}}});
    let address = |field: &str, value: Value| {
        let mut object = plain.clone();
        object["spec"][field] = value;
        object
    };
    let empty = [
        "namespace",
        "kind",
        "apiVersion",
        "uid",
        "fieldPath",
        "resourceVersion",
    ];
    let reference = |name: &str| {
        let mut whole = json!({"name": name});
        for field in empty {
            whole[field] = "".into();
        }
        whole
    };
    let same = [
        (
            "IPClaim",
            claim(json!({"name": "p"})),
            claim(reference("p")),
        ),
        ("IPAddress", plain.clone(), address("prefix", 0.into())),
        ("IPAddress", plain.clone(), address("dnsServers", json!([]))),
        ("IPAddress", plain.clone(), address("pool", reference("p"))),
        ("IPAddress", plain.clone(), address("claim", reference("c"))),
    ];
    for (kind, one, other) in same {
        for (old, new) in [(&one, &other), (&other, &one)] {
            assert_eq!(
                by_definition(&schema(kind), Some(old), new),
                [""; 0],
                "{old} {new}"
            );
            assert_eq!(by_admission(kind, Some(old), new), [""; 0], "{old} {new}");
        }
    }
    let other_namespace = json!({"name": "p", "namespace": "other"});
    let changes = [
        (
            "IPClaim",
            claim(json!({"name": "p"})),
            claim(other_namespace.clone()),
        ),
        ("IPAddress", plain.clone(), address("prefix", 24.into())),
        (
            "IPAddress",
            plain.clone(),
            address("gateway", "10.0.0.9".into()),
        ),
        (
            "IPAddress",
            plain.clone(),
            address("dnsServers", json!(["10.0.0.9"])),
        ),
        (
            "IPAddress",
            plain.clone(),
            address("claim", json!({"name": "d"})),
        ),
        ("IPAddress", plain.clone(), address("pool", other_namespace)),
    ];
    for (kind, one, other) in changes {
        for (old, new) in [(&one, &other), (&other, &one)] {
            let refused = by_definition(&schema(kind), Some(old), new);
            assert!(
                refused
                    .iter()
                    .any(|line| line.contains("cannot be modified")),
                "{new}: {refused:?}"
            );
        }
    }
}

/// Entries that inherit another family's gateway or prefix, stored before there were rules.
#[test]
fn an_entry_that_is_added_is_not_refused_for_those_that_stood() {
    let schema = schema("IPPool");
    let v4 = json!({"start": "10.0.0.1", "end": "10.0.0.9"});
    for (field, value) in [("gateway", json!("fd00::1")), ("prefix", json!(64))] {
        let mut old = pool_of(json!({"pools": [v4]}));
        old["spec"][field] = value;
        assert_ne!(by_definition(&schema, None, &old), [""; 0]);
        let mut grown = old.clone();
        grown["spec"]["pools"] = json!([v4, {"start": "fd00::5", "end": "fd00::9"}]);
        for (old, new) in [(&old, &grown), (&grown, &old)] {
            assert_eq!(by_definition(&schema, Some(old), new), [""; 0], "{new}");
            assert_eq!(by_admission("IPPool", Some(old), new), [""; 0], "{new}");
        }
        // Where all was well before, the new entry is at fault.
        let mut good = old.clone();
        good["spec"]["pools"] = json!([{"start": "fd00::5", "end": "fd00::9"}]);
        for old in [good.clone(), pool_of(json!({"pools": [v4]}))] {
            assert_eq!(by_definition(&schema, None, &old), [""; 0]);
            assert_eq!(
                by_definition(&schema, Some(&old), &grown).len(),
                1,
                "{field}"
            );
        }
    }
}
