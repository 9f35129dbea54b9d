use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use serde_json::{Value, json};

use super::*;

fn read(kind: &str, value: Value) -> Result<(Value, Vec<String>), String> {
    let group = if kind == "Lease" {
        "coordination.k8s.io"
    } else {
        ""
    };
    let of = object_of(group, kind).unwrap();
    let mut unknown = Vec::new();
    let object = decode(of, value, "", Source::Text, &mut unknown)?;
    Ok((object.into(), unknown))
}

#[test]
fn what_is_empty_is_left_out_or_written_as_the_type_says() {
    let (event, unknown) = read(
        "Event",
        json!({"metadata": {"labels": {}}, "message": "", "count": 0}),
    )
    .unwrap();
    assert_eq!(
        event,
        json!({
            "involvedObject": {}, "source": {}, "eventTime": null, "firstTimestamp": null, "lastTimestamp": null,
            "reportingComponent": "", "reportingInstance": "",
        })
    );
    assert!(unknown.is_empty());
    let (lease, _) = read(
        "Lease",
        json!({"spec": {"holderIdentity": "", "leaseTransitions": 0, "renewTime": null}}),
    )
    .unwrap();
    assert_eq!(
        lease["spec"],
        json!({"holderIdentity": "", "leaseTransitions": 0})
    );
}

#[test]
fn unknown_fields_go_and_are_named_with_their_path() {
    let body = json!({"x": 1, "metadata": {"ownerReferences": [{"kind": "K", "y": 2}]}});
    let (object, unknown) = read("ConfigMap", body).unwrap();
    assert_eq!(
        unknown,
        [
            "unknown field \"metadata.ownerReferences[0].y\"",
            "unknown field \"x\""
        ]
    );
    let owner = &object["metadata"]["ownerReferences"][0];
    assert_eq!(
        *owner,
        json!({"apiVersion": "", "kind": "K", "name": "", "uid": ""})
    );
}

#[test]
fn a_value_of_a_wrong_type_is_an_error_that_names_its_field() {
    let cases = [
        (
            "ConfigMap",
            json!({"metadata": {"labels": "x"}}),
            "expected an object at metadata.labels, got a string",
        ),
        (
            "ConfigMap",
            json!({"data": {"a": 1}}),
            "expected a string at data.a, got the number 1",
        ),
        (
            "Event",
            json!({"source": []}),
            "expected an object at source, got a list",
        ),
        (
            "Lease",
            json!({"spec": {"leaseTransitions": 1.5}}),
            "expected a 32-bit integer at spec.leaseTransitions, got the number 1.5",
        ),
        (
            "Secret",
            json!({"data": {"a": "no base64!"}}),
            "expected a base64 string at data.a, got a string that is not base64",
        ),
    ];
    for (kind, body, want) in cases {
        assert_eq!(read(kind, body).unwrap_err(), want);
    }
}

#[test]
fn times_are_kept_in_the_precision_of_their_type() {
    let spec = json!({"renewTime": "2021-01-01T01:00:00.123456789+01:00", "acquireTime": "2021-01-01T00:00:00Z"});
    let (lease, _) = read("Lease", json!({ "spec": spec })).unwrap();
    assert_eq!(lease["spec"]["renewTime"], "2021-01-01T00:00:00.123456Z");
    assert_eq!(lease["spec"]["acquireTime"], "2021-01-01T00:00:00.000000Z");
    let (event, _) = read("Event", json!({"lastTimestamp": "2021-01-01T00:00:00.9Z"})).unwrap();
    assert_eq!(event["lastTimestamp"], "2021-01-01T00:00:00Z");
    for bad in [
        "",
        "yesterday",
        "2021-01-01",
        "2021-01-01 00:00:00Z",
        "2021-13-01T00:00:00Z",
    ] {
        assert!(
            read("Event", json!({"lastTimestamp": bad})).is_err(),
            "{bad}"
        );
    }
}

/// The fields of a schema by path, each with its type, and `*` where clients have to send it.
fn fields_of(root: &Value, schema: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    let schema = match (&schema["allOf"][0], &schema["$ref"]) {
        (Value::Null, Value::String(target)) => {
            root.pointer(target.trim_start_matches('#')).unwrap()
        }
        (Value::Null, _) => schema,
        (inner, _) => return fields_of(root, inner, path, found),
    };
    let text = |name: &str| schema[name].as_str().unwrap_or_default();
    found.insert(
        path.to_owned(),
        format!("{} {}", text("type"), text("format")),
    );
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|all| all.contains(&name.as_str().into()));
        // Of an Event alone it is said, and of every object it is true.
        let mark = if is_required && name != "metadata" {
            "*"
        } else {
            ""
        };
        fields_of(root, field, &format!("{path}.{name}{mark}"), found);
    }
    for (part, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if !schema[part].is_null() {
            fields_of(root, &schema[part], &format!("{path}{mark}"), found);
        }
    }
}

#[test]
fn every_table_has_the_fields_of_kubernetes_own_type() {
    fn theirs<T: schemars::JsonSchema>() -> Value {
        schemars::schema_for!(T).to_value()
    }
    let object = |kind: &str| {
        KINDS
            .into_iter()
            .find(|k| k.kind == kind)
            .unwrap()
            .object
            .unwrap()
    };
    for (ours, theirs) in [
        (object("Namespace"), theirs::<Namespace>()),
        (object("ConfigMap"), theirs::<ConfigMap>()),
        (object("Secret"), theirs::<Secret>()),
        (object("Event"), theirs::<Event>()),
        (object("Lease"), theirs::<Lease>()),
        (&DELETE_OPTIONS, theirs::<DeleteOptions>()),
    ] {
        let ours = schema(ours);
        let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
        fields_of(&ours, &ours, "", &mut left);
        fields_of(&theirs, &theirs, "", &mut right);
        assert_eq!(left, right);
    }
}

#[test]
fn no_two_fields_of_a_type_have_the_same_number_or_name() {
    fn check(of: &'static Struct) {
        let numbers: Vec<u64> = of
            .fields
            .iter()
            .map(|f| f.number)
            .filter(|n| *n > 0)
            .collect();
        let names: Vec<&str> = of.fields.iter().map(|f| f.name).collect();
        assert_eq!(
            numbers.iter().collect::<BTreeSet<_>>().len(),
            numbers.len(),
            "{names:?}"
        );
        assert_eq!(
            names.iter().collect::<BTreeSet<_>>().len(),
            names.len(),
            "{names:?}"
        );
        of.fields.iter().for_each(|field| check_form(&field.form));
    }
    fn check_form(form: &'static Form) {
        match form {
            Form::Struct(of) => check(of),
            Form::List(_, inner) | Form::Map(inner) => check_form(inner),
            _ => {}
        }
    }
    for kind in KINDS {
        kind.object.into_iter().for_each(check);
    }
    for of in [&DELETE_OPTIONS, &SELF_REVIEW, &ACCESS_REVIEW, &RULES_REVIEW] {
        check(of);
    }
}

#[test]
fn an_integer_that_a_patch_made_too_big_keeps_its_low_bits() {
    let lease = json!({"spec": {"leaseDurationSeconds": 9_999_999_999_u64}});
    let of = object_of("coordination.k8s.io", "Lease").unwrap();
    let read = |source| decode(of, lease.clone(), "", source, &mut Vec::new());
    let patched = read(Source::Values).unwrap();
    assert_eq!(patched["spec"]["leaseDurationSeconds"], 1_410_065_407);
    assert!(read(Source::Text).is_err());
}
