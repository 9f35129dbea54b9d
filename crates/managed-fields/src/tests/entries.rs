//! The entries as objects have them.

use super::*;

fn entry(manager: &str, time: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": "Update", "apiVersion": VERSION, "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields})
}

const THEN: &str = "2026-01-01T00:00:00Z";

#[test]
fn entries_are_read_and_written_alike() {
    let entries = json!([
        {"manager": "a", "operation": "Apply", "apiVersion": "example.com/v2", "fieldsType": "FieldsV1", "fieldsV1": {"f:x": {}}},
        {"manager": "b", "operation": "Apply", "apiVersion": VERSION, "time": THEN, "fieldsType": "FieldsV1", "fieldsV1": {}},
        entry("a", THEN, &json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a\\u003cb\"": {}}, "f:ownerReferences": {"k:{\"uid\":\"1\"}": {}}}, "f:spec": {"f:l": {"i:0": {}}}})),
        entry("b", "2026-01-01T00:00:01Z", &json!({"f:y": {}})),
        {"manager": "b", "operation": "Update", "apiVersion": VERSION, "time": "2026-01-01T00:00:01Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:z": {}}, "subresource": "status"},
    ]);
    let read = Managed::read(&entries).unwrap();
    assert_eq!(read.entries.len(), 5);
    assert_eq!(read.clone().write(), Some(entries.clone()));
    let mut turned = read;
    turned.entries.reverse();
    assert_eq!(turned.write(), Some(entries));
    let odd = entry(
        "a",
        "2026-01-01T02:00:00.5+02:00",
        &json!({"f:x": {}, "q:later": {}}),
    );
    assert_eq!(
        Managed::read(&json!([odd])).unwrap().write(),
        Some(json!([entry("a", THEN, &json!({"f:x": {}}))]))
    );
    assert_eq!(Managed::default().write(), None);
}

#[test]
fn what_is_no_entry_is_not_read() {
    let with = |key: &str, value: Value| {
        let mut entry = entry("a", THEN, &json!({"f:x": {}}));
        entry[key] = value;
        json!([entry])
    };
    for bad in [
        with("operation", json!("Steal")),
        with("operation", Value::Null),
        with("apiVersion", json!("")),
        with("fieldsType", json!("FieldsV2")),
        with("fieldsV1", json!([])),
        with("fieldsV1", json!({"x": {}})),
        with("fieldsV1", json!({"": {}})),
        with("fieldsV1", json!({"é:x": {}})),
        with("fieldsV1", json!({"k:[1]": {}})),
        with("fieldsV1", json!({"v:{": {}})),
        with("fieldsV1", json!({"i:x": {}})),
        with("fieldsV1", json!({"f:x": 1})),
        json!([1]),
    ] {
        assert!(Managed::read(&bad).is_err(), "{bad}");
    }
}

#[test]
fn which_entries_count() {
    let live = json!([entry("live", THEN, &json!({"f:x": {}}))]);
    let sent = json!([entry("sent", THEN, &json!({"f:x": {}}))]);
    let bad = json!([{"manager": "bad"}]);
    let manager = |sent: Option<&Value>, is_subresource: bool| {
        let managed = Managed::settle(Some(&live), sent, is_subresource);
        managed
            .entries
            .first()
            .map(|entry| entry.key.manager.clone())
    };
    let live_one = Some("live".to_owned());
    assert_eq!(manager(None, false), live_one);
    assert_eq!(manager(Some(&bad), false), live_one);
    assert_eq!(manager(Some(&sent), false), Some("sent".to_owned()));
    assert_eq!(manager(Some(&sent), true), live_one);
    assert_eq!(manager(Some(&json!([])), false), None);
    assert_eq!(manager(Some(&json!([{}])), false), None);
    assert_eq!(manager(Some(&json!([{}])), true), live_one);
}

#[test]
fn old_updates_are_put_together() {
    let layout = layout();
    let mut live = object(json!({"free": {"f00": 1}}));
    let mut managed = update(&made(&layout, &live, "m00"), Managed::default());
    for number in 1..=13 {
        let mut next = live.clone();
        next["spec"]["free"][format!("f{number:02}")] = json!(1);
        let name = format!("m{number:02}");
        let now = format!("2026-01-01T00:00:{number:02}Z");
        let writer = Writer {
            now: &now,
            ..writer(&name)
        };
        managed = update(
            &Update {
                layout: &layout,
                live: Some(&live),
                new: &next,
                writer: &writer,
            },
            managed,
        );
        live = next;
    }
    let names: Vec<&str> = managed
        .entries
        .iter()
        .map(|entry| entry.key.manager.as_str())
        .collect();
    assert_eq!(names.len(), 10);
    let ancient = names.iter().filter(|name| **name == "ancient-changes");
    assert_eq!(ancient.count(), 1);
    assert!(names.contains(&"m13") && names.contains(&"m05") && !names.contains(&"m04"));
    assert_eq!(
        written(&managed, "ancient-changes"),
        json!({".": {}, "f:free": {".": {}, "f:f00": {}, "f:f01": {}, "f:f02": {}, "f:f03": {}, "f:f04": {}}})
    );
}

fn made<'a>(layout: &'a Layout, new: &'a Object, manager: &'static str) -> Update<'a> {
    // Lives as long as the program: a test's.
    let writer: &'static Writer<'static> = Box::leak(Box::new(writer(manager)));
    Update {
        layout,
        live: None,
        new,
        writer,
    }
}

#[test]
fn an_object_without_entries_is_followed_from_its_first_apply_on() {
    let layout = layout();
    let live = object(json!({"text": "a", "map": {"a": "1"}}));
    let changed = object(json!({"text": "b", "map": {"a": "1"}}));
    let unseen = Update {
        live: Some(&live),
        ..made(&layout, &changed, "unseen")
    };
    assert!(update(&unseen, Managed::default()).is_empty());
    let (_, managed) = applied(&layout, &changed, &object(json!({"number": 1})), "one");
    assert_eq!(
        written(&managed, "before-first-apply"),
        json!({".": {}, "f:text": {}, "f:map": {".": {}, "f:a": {}}})
    );
    assert_eq!(written(&managed, "one"), json!({"f:number": {}}));
}

#[test]
fn kubectl_has_no_conflicts_with_what_its_annotation_says() {
    let layout = layout();
    let annotated = |spec: Value| {
        let last = Value::Object(object(spec.clone())).to_string();
        let mut object = object(spec);
        object["metadata"]["annotations"] = json!({ ANNOTATION: last });
        object
    };
    let live = annotated(json!({"text": "a", "number": 1}));
    let managed = update(
        &made(&layout, &live, "kubectl-client-side-apply"),
        Managed::default(),
    );
    let live = with_entries(live, &managed);
    let config = object(json!({"text": "b"}));
    let conflicts =
        |live: &Object, manager| match apply(&layout, live, &config, &writer(manager), false) {
            Ok(_) => 0,
            Err(ApplyError::Conflicts(conflicts)) => conflicts.len(),
            Err(other) => panic!("{other:?}"),
        };
    assert_eq!(conflicts(&live, KUBECTL), 0);
    assert_eq!(conflicts(&live, "other"), 1);
    // Changed by someone since: no longer kubectl's.
    let mut since = live;
    since["spec"]["text"] = json!("c");
    assert_eq!(conflicts(&since, KUBECTL), 1);
    since["metadata"]["annotations"][ANNOTATION] = json!("garbage");
    assert_eq!(conflicts(&since, KUBECTL), 1);
}
