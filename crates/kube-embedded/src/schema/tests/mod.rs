//! Schemas of our own kinds, and one with every keyword.

use serde_json::{Value, json};

use super::*;

fn widget() -> std::sync::Arc<Schema> {
    let kinds = crate::testing::resources();
    let widget = kinds.by_kind("example.com", "Widget").unwrap();
    std::sync::Arc::clone(widget.schema.as_ref().unwrap())
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
    let mut widget_object = object(json!({
        "apiVersion": "x", "kind": "y", "metadata": {"name": "a"}, "extra": 1,
        "spec": {"foo": 1, "model": "p", "parts": [{"start": "10.0.0.1", "bar": 2}], "notes": {"any": "10.0.0.2"}},
    }));
    let mut unknown = Vec::new();
    widget().prune(&mut widget_object, &mut unknown);
    assert_eq!(
        unknown,
        [
            r#"unknown field "extra""#,
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.parts[0].bar""#
        ]
    );
    assert_eq!(
        Value::Object(widget_object),
        json!({
            "apiVersion": "x", "kind": "y", "metadata": {"name": "a"},
            "spec": {"model": "p", "parts": [{"start": "10.0.0.1"}], "notes": {"any": "10.0.0.2"}},
        })
    );
}

#[test]
fn a_cluster_keeps_what_is_not_known_of_it() {
    let kinds = crate::testing::resources();
    let cluster = kinds.by_kind("example.org", "Box").unwrap();
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
    let mut whole = object(json!({"spec": {"model": "p", "release": null, "size": null}}));
    widget().fill_defaults(&mut whole);
    assert_eq!(whole["spec"]["mode"], "sequential");
    let size_is_nullable = widget().root.properties["spec"].properties["size"].nullable;
    assert_eq!(
        whole["spec"].as_object().unwrap().contains_key("size"),
        size_is_nullable
    );
    let mut none = object(json!({}));
    widget().fill_defaults(&mut none);
    assert!(none.is_empty());
}

#[test]
fn findings_have_the_real_servers_paths_and_texts() {
    let spec = |spec: Value| json!({ "spec": spec });
    let pattern = "/properties/spec/properties/release/pattern";
    let should_match = format!(
        "spec.release: Invalid value: \"x\": spec.release in body should match '{}'",
        widget().raw().pointer(pattern).unwrap().as_str().unwrap()
    );
    let cases = [
        (spec(json!({})), "spec.model: Required value"),
        (json!({}), "spec: Required value"),
        (
            spec(json!({"model": ""})),
            r#"spec.model: Invalid value: "": spec.model in body should be at least 1 chars long"#,
        ),
        (
            spec(json!({"model": 1})),
            r#"spec.model: Invalid value: "integer": spec.model in body must be of type string: "integer""#,
        ),
        (
            spec(json!({"model": "p", "size": 129})),
            "spec.size: Invalid value: 129: spec.size in body should be less than or equal to 128",
        ),
        (
            spec(json!({"model": "p", "size": -1})),
            "spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 0",
        ),
        (spec(json!({"model": "p", "release": "x"})), &should_match),
        (
            spec(json!({"model": "p", "release": "1".repeat(46)})),
            "spec.release: Too long: may not be more than 39 bytes",
        ),
        (
            spec(json!({"model": "p", "mode": "x"})),
            r#"spec.mode: Unsupported value: "x": supported values: "sequential", "random""#,
        ),
        (
            spec(json!({"model": "p", "parts": {}})),
            r#"spec.parts: Invalid value: "object": spec.parts in body must be of type array: "object""#,
        ),
        (
            spec(json!({"model": "p", "parts": [{}, {"end": true}]})),
            r#"spec.parts[1].end: Invalid value: "boolean": spec.parts[1].end in body must be of type string: "boolean""#,
        ),
        (
            spec(json!({"model": "p", "notes": {"c": 1}})),
            r#"spec.notes.c: Invalid value: "integer": spec.notes.c in body must be of type string: "integer""#,
        ),
    ];
    for (value, want) in cases {
        assert_eq!(findings(&widget(), value), [want]);
    }
    // Every check that can be made is made, whatever the one before found.
    assert_eq!(
        findings(&widget(), spec(json!({"model": "p", "size": 1.5}))),
        [
            r#"spec.size: Invalid value: "number": spec.size in body must be of type integer: "number""#,
            r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.size"#,
        ]
    );
    assert_eq!(
        findings(&widget(), spec(json!({"model": "p", "mode": []}))),
        [
            r#"spec.mode: Invalid value: "array": spec.mode in body must be of type string: "array""#,
            r#"spec.mode: Unsupported value: []: supported values: "sequential", "random""#,
        ]
    );
    let good = spec(json!({"model": "p", "size": 24, "parts": [{"start": "10.0.0.1"}]}));
    assert_eq!(findings(&widget(), good), Vec::<String>::new());
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z"});
    let twice = json!({"spec": {"model": "p"}, "status": {"conditions": [condition("Ready"), condition("A"), condition("Ready")]}});
    assert_eq!(
        findings(&widget(), twice),
        [r#"status.conditions[2]: Duplicate value: {"type":"Ready"}"#]
    );
}

#[test]
fn an_integer_may_be_the_greatest_of_its_format() {
    let status = |n: Value| json!({"spec": {"model": "p"}, "status": {"capacity": n}});
    for good in [json!(i64::MAX), json!(0)] {
        assert_eq!(findings(&widget(), status(good)), Vec::<String>::new());
    }
    assert_eq!(
        findings(&widget(), status(json!(i64::MAX as u64 + 1))),
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
    let mut whole = object(json!({"spec": {"model": "p", "parts": many}}));
    assert!(widget().validate(&whole).len() <= 256);
    let mut unknown = Vec::new();
    widget().prune(&mut whole, &mut unknown);
    assert!(unknown.len() <= 64);
    assert!(!Value::Object(whole).to_string().contains("odd"));
}
