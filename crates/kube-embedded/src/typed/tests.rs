use serde_json::{Value, json};

use super::*;

fn read(kind: &str, value: Value) -> Result<(Value, Vec<String>), String> {
    let group = if kind == "Lease" {
        "coordination.k8s.io"
    } else {
        ""
    };
    let of = of_kind(group, kind).unwrap();
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
