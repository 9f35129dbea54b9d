use serde_json::{Value, json};

use super::*;

fn read(kind: &str, value: Value) -> Result<(Value, Vec<String>), String> {
    let group = if kind == "Lease" {
        "coordination.k8s.io"
    } else {
        ""
    };
    let mut unknown = Vec::new();
    let object = decode(of_kind(group, kind).unwrap(), value, "", &mut unknown)?;
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
fn a_wrong_form_is_told_as_a_real_server_tells_it() {
    let cases = [
        (
            "ConfigMap",
            json!({"metadata": {"labels": "x"}}),
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            "ConfigMap",
            json!({"data": {"a": 1}}),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "Event",
            json!({"source": []}),
            "json: cannot unmarshal array into Go struct field Event.source of type v1.EventSource",
        ),
        (
            "Lease",
            json!({"spec": {"leaseTransitions": 1.5}}),
            "json: cannot unmarshal number 1.5 into Go struct field LeaseSpec.spec.leaseTransitions of type int32",
        ),
        (
            "Secret",
            json!({"data": {"a": "no base64!"}}),
            "illegal base64 data at input byte 2",
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
