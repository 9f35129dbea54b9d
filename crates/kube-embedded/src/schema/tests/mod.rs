//! Schemas of our own kinds, and one with every keyword.

use serde_json::{Value, json};

use super::*;

fn pool() -> std::sync::Arc<Schema> {
    let kinds = crate::testing::resources();
    let pool = kinds.by_kind("ipam.metal3.io", "IPPool").unwrap();
    std::sync::Arc::clone(pool.schema.as_ref().unwrap())
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else {
        panic!("no object: {value}")
    };
    map
}
fn findings(schema: &Schema, value: Value) -> Vec<String> {
    let texts = schema.validate(&object(value));
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_fields_go_and_are_named_by_their_paths() {
    let mut pool_object = object(json!({
        "apiVersion": "x", "kind": "y", "metadata": {"name": "a"}, "extra": 1,
        "spec": {"foo": 1, "namePrefix": "p", "pools": [{"start": "10.0.0.1", "bar": 2}], "preAllocations": {"any": "10.0.0.2"}},
    }));
    let mut unknown = Vec::new();
    pool().prune(&mut pool_object, &mut unknown);
    assert_eq!(
        unknown,
        [
            r#"unknown field "extra""#,
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.pools[0].bar""#
        ]
    );
    assert_eq!(
        Value::Object(pool_object),
        json!({
            "apiVersion": "x", "kind": "y", "metadata": {"name": "a"},
            "spec": {"namePrefix": "p", "pools": [{"start": "10.0.0.1"}], "preAllocations": {"any": "10.0.0.2"}},
        })
    );
}

#[test]
fn a_cluster_keeps_what_is_not_known_of_it() {
    let kinds = crate::testing::resources();
    let cluster = kinds.by_kind("cluster.x-k8s.io", "Cluster").unwrap();
    let mut whole = object(
        json!({"spec": {"paused": true, "topology": {"a": [1]}}, "status": {"x": {"y": 1}}}),
    );
    let before = whole.clone();
    let mut unknown = Vec::new();
    cluster
        .schema
        .as_ref()
        .unwrap()
        .prune(&mut whole, &mut unknown);
    assert!(unknown.is_empty());
    assert_eq!(whole, before);
}

#[test]
fn absent_fields_get_their_defaults_and_null_means_absent() {
    let mut whole = object(json!({"spec": {"namePrefix": "p", "gateway": null, "prefix": null}}));
    pool().fill_defaults(&mut whole);
    assert_eq!(whole["spec"]["allocationStrategy"], "sequential");
    let prefix_is_nullable = pool().root.properties["spec"].properties["prefix"].nullable;
    assert_eq!(
        whole["spec"].as_object().unwrap().contains_key("prefix"),
        prefix_is_nullable
    );
    let mut none = object(json!({}));
    pool().fill_defaults(&mut none);
    assert!(none.is_empty());
}

#[test]
fn findings_have_the_real_servers_paths_and_texts() {
    let spec = |spec: Value| json!({ "spec": spec });
    let pattern = "/properties/spec/properties/gateway/pattern";
    let should_match = format!(
        "spec.gateway: Invalid value: \"x\": spec.gateway in body should match '{}'",
        pool().raw().pointer(pattern).unwrap().as_str().unwrap()
    );
    let cases = [
        (spec(json!({})), "spec.namePrefix: Required value"),
        (json!({}), "spec: Required value"),
        (
            spec(json!({"namePrefix": ""})),
            r#"spec.namePrefix: Invalid value: "": spec.namePrefix in body should be at least 1 chars long"#,
        ),
        (
            spec(json!({"namePrefix": 1})),
            r#"spec.namePrefix: Invalid value: "integer": spec.namePrefix in body must be of type string: "integer""#,
        ),
        (
            spec(json!({"namePrefix": "p", "prefix": 129})),
            "spec.prefix: Invalid value: 129: spec.prefix in body should be less than or equal to 128",
        ),
        (
            spec(json!({"namePrefix": "p", "prefix": -1})),
            "spec.prefix: Invalid value: -1: spec.prefix in body should be greater than or equal to 0",
        ),
        (
            spec(json!({"namePrefix": "p", "gateway": "x"})),
            &should_match,
        ),
        (
            spec(json!({"namePrefix": "p", "gateway": "1".repeat(46)})),
            "spec.gateway: Too long: may not be more than 39 bytes",
        ),
        (
            spec(json!({"namePrefix": "p", "allocationStrategy": "x"})),
            r#"spec.allocationStrategy: Unsupported value: "x": supported values: "sequential", "random""#,
        ),
        (
            spec(json!({"namePrefix": "p", "pools": {}})),
            r#"spec.pools: Invalid value: "object": spec.pools in body must be of type array: "object""#,
        ),
        (
            spec(json!({"namePrefix": "p", "pools": [{}, {"end": true}]})),
            r#"spec.pools[1].end: Invalid value: "boolean": spec.pools[1].end in body must be of type string: "boolean""#,
        ),
        (
            spec(json!({"namePrefix": "p", "preAllocations": {"c": 1}})),
            r#"spec.preAllocations.c: Invalid value: "integer": spec.preAllocations.c in body must be of type string: "integer""#,
        ),
    ];
    for (value, want) in cases {
        assert_eq!(findings(&pool(), value), [want]);
    }
    // Every check that can be made is made, whatever the one before found.
    assert_eq!(
        findings(&pool(), spec(json!({"namePrefix": "p", "prefix": 1.5}))),
        [
            r#"spec.prefix: Invalid value: "number": spec.prefix in body must be of type integer: "number""#,
            r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.prefix"#,
        ]
    );
    assert_eq!(
        findings(
            &pool(),
            spec(json!({"namePrefix": "p", "allocationStrategy": []}))
        ),
        [
            r#"spec.allocationStrategy: Invalid value: "array": spec.allocationStrategy in body must be of type string: "array""#,
            r#"spec.allocationStrategy: Unsupported value: []: supported values: "sequential", "random""#,
        ]
    );
    let good = spec(json!({"namePrefix": "p", "prefix": 24, "pools": [{"start": "10.0.0.1"}]}));
    assert_eq!(findings(&pool(), good), Vec::<String>::new());
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z"});
    let twice = json!({"spec": {"namePrefix": "p"}, "status": {"conditions": [condition("Ready"), condition("A"), condition("Ready")]}});
    assert_eq!(
        findings(&pool(), twice),
        [r#"status.conditions[2]: Duplicate value: {"type":"Ready"}"#]
    );
}

#[test]
fn an_integer_may_be_the_greatest_of_its_format() {
    let status = |n: Value| json!({"spec": {"namePrefix": "p"}, "status": {"capacity": n}});
    for good in [json!(i64::MAX), json!(0)] {
        assert_eq!(findings(&pool(), status(good)), Vec::<String>::new());
    }
    assert_eq!(
        findings(&pool(), status(json!(i64::MAX as u64 + 1))),
        [
            // Above it a number has a point on a real server.
            r#"status.capacity: Invalid value: "float64": status.capacity in body must be of type int64: "float64""#,
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int64 in status.capacity"#
        ]
    );
}

#[test]
fn every_keyword_is_carried_out_or_the_schema_is_not_taken() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {
            "n": {"type": "number", "minimum": 1, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": true, "multipleOf": 2},
            "l": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "m": {"type": "object", "minProperties": 1, "maxProperties": 2, "additionalProperties": {"type": "integer"}},
            "p": {"x-kubernetes-int-or-string": true},
            "t": {"type": "string", "format": "date-time"},
            "o": {"type": "string", "oneOf": [{"pattern": "^a"}, {"pattern": "z$"}]},
            "y": {"type": "string", "anyOf": [{"enum": ["1"]}, {"maxLength": 0}]},
            "z": {"type": "string", "not": {"enum": ["no"]}, "allOf": [{"minLength": 1}]},
        },
    }))
    .unwrap();
    let good = json!({"n": 4, "l": ["a", "b"], "m": {"x": 1}, "p": "5%", "t": "2024-01-01T00:00:00Z", "o": "ab", "y": "1", "z": "yes"});
    assert_eq!(findings(&schema, good), Vec::<String>::new());
    for (bad, part) in [
        (json!({"n": 1}), "greater than 1"),
        (json!({"n": 9}), "less than 9"),
        (json!({"n": 3}), "multiple of 2"),
        (json!({"l": []}), "at least 1 items"),
        (
            json!({"l": ["a", "b", "c", "d"]}),
            "Too many: 4: must have at most 3 items",
        ),
        (json!({"l": ["a", "a"]}), r#"l[1]: Duplicate value: "a""#),
        (json!({"m": {}}), "at least 1 properties"),
        (json!({"m": {"a": 1, "b": 2, "c": 3}}), "Too many: 3"),
        (json!({"p": 1.5}), "must be of type integer,string"),
        (json!({"t": "yesterday"}), "must be of type date-time"),
        (json!({"o": "az"}), "one and only one"),
        (json!({"y": "2"}), "at least one schema"),
        (json!({"z": "no"}), "must not validate"),
    ] {
        let found = findings(&schema, bad.clone());
        assert!(found.iter().any(|f| f.contains(part)), "{bad}: {found:?}");
    }
    for raw in [
        json!({"type": "object", "x-kubernetes-validations": [{"rule": "true"}]}),
        json!({"type": "tuple"}),
        json!({"type": "string", "pattern": "("}),
        json!({"type": "array", "x-kubernetes-list-type": "map"}),
    ] {
        assert!(Schema::compile(&raw).is_err(), "{raw}");
    }
}

#[test]
fn findings_and_names_of_unknown_fields_are_bounded() {
    let many: Vec<Value> = (0..10_000).map(|i| json!({"end": i, "odd": i})).collect();
    let mut whole = object(json!({"spec": {"namePrefix": "p", "pools": many}}));
    assert!(pool().validate(&whole).len() <= 256);
    let mut unknown = Vec::new();
    pool().prune(&mut whole, &mut unknown);
    assert!(unknown.len() <= 64);
    assert!(!Value::Object(whole).to_string().contains("odd"));
}
