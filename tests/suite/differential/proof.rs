//! That the comparison can fail: answers that are the same but for one thing, which must be named; and that what is let through
//! is what `docs/standalone.md` tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::answer::{Answer, Body};
use super::compare::{Aspect, compare};
use super::known::{KNOWN, level};
use super::script::{Request, Step, What};

fn pool() -> Value {
    json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
        "metadata": {
            "name": "a", "resourceVersion": "{rv 1.0}", "finalizers": ["test.io/hold"],
            "managedFields": [{"manager": "someone", "operation": "Update", "time": "{time}"}],
        },
        "spec": {"namePrefix": "p"},
    })
}

fn answer(code: u16, body: Value) -> Answer {
    Answer {
        code,
        content_type: "application/json".to_owned(),
        warnings: vec!["299 - \"unknown field \\\"x\\\"\"".to_owned()],
        body: Body::Json(body),
    }
}

fn refusal() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 409, "reason": "Conflict",
        "message": "Operation cannot be fulfilled on ippools.ipam.metal3.io \"a\": it was modified",
        "details": {"name": "a", "group": "ipam.metal3.io", "kind": "ippools"},
    })
}

fn step() -> Step {
    Step {
        id: 1,
        what: What::Request(Request::new(
            "PUT",
            "/apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a",
        )),
    }
}

/// What is told of two answers, after what is known was let through.
fn told(embedded: &Answer, real: &Answer) -> Vec<(Aspect, String)> {
    let (left, right, _) = level(&step(), embedded, real);
    let differences = compare(&left, &right);
    differences
        .into_iter()
        .map(|d| (d.aspect, d.path))
        .collect()
}

#[test]
fn whatever_is_spoiled_on_one_side_is_named() {
    let good = answer(200, pool());
    assert!(told(&good, &good).is_empty());
    let with = |pointer: &str, value: Option<Value>| {
        let mut body = pool();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = body
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .unwrap();
        match value {
            Some(value) => parent.insert(name.to_owned(), value),
            None => parent.remove(name),
        };
        answer(200, body)
    };
    let cases = [
        (answer(201, pool()), Aspect::Code, "HTTP status"),
        (
            with("/spec/namePrefix", None),
            Aspect::Object,
            ".spec.namePrefix",
        ),
        (
            with("/spec/prefix", Some(24.into())),
            Aspect::Object,
            ".spec.prefix",
        ),
        (
            with("/metadata/finalizers", None),
            Aspect::Object,
            ".metadata.finalizers",
        ),
        (
            with("/metadata/resourceVersion", Some("{rv 0.0}".into())),
            Aspect::Object,
            ".metadata.resourceVersion",
        ),
        (
            with("/metadata/managedFields/0/manager", Some("other".into())),
            Aspect::Object,
            ".metadata.managedFields[0].manager",
        ),
        (
            Answer {
                warnings: Vec::new(),
                ..good.clone()
            },
            Aspect::Warnings,
            "warnings",
        ),
        (
            Answer {
                content_type: "text/plain".to_owned(),
                ..good.clone()
            },
            Aspect::ContentType,
            "Content-Type",
        ),
    ];
    for (spoiled, aspect, path) in cases {
        let want = vec![(aspect, path.to_owned())];
        assert_eq!(told(&spoiled, &good), want);
        assert_eq!(told(&good, &spoiled), want);
    }
}

#[test]
fn a_refusal_is_compared_with_reason_message_and_details() {
    let good = answer(409, refusal());
    for (field, value, aspect) in [
        ("reason", json!("AlreadyExists"), Aspect::Reason),
        ("message", json!("something else"), Aspect::Message),
        ("details", json!({"name": "b"}), Aspect::Details),
    ] {
        let mut spoiled = refusal();
        spoiled[field] = value;
        let told = told(&answer(409, spoiled), &good);
        assert!(told.iter().all(|(found, _)| *found == aspect), "{told:?}");
        assert!(!told.is_empty(), "{field}");
    }
}

#[test]
fn causes_in_another_order_are_let_through_and_other_causes_are_not() {
    let invalid = |texts: &[&str]| {
        let causes: Vec<Value> = texts
            .iter()
            .map(|text| json!({"reason": "FieldValueInvalid", "field": "spec", "message": text}))
            .collect();
        let list: Vec<String> = texts.iter().map(|text| format!("spec: {text}")).collect();
        let mut status = refusal();
        status["code"] = 422.into();
        status["message"] = format!("IPPool \"a\" is invalid: [{}]", list.join(", ")).into();
        status["details"]["causes"] = causes.into();
        answer(422, status)
    };
    let real = invalid(&["one", "two", "three"]);
    assert!(told(&invalid(&["three", "one", "two"]), &real).is_empty());
    for other in [
        invalid(&["three", "two"]),
        invalid(&["one", "one", "two", "three"]),
        invalid(&["one", "two", "four"]),
    ] {
        assert!(!told(&other, &real).is_empty());
        assert!(!told(&real, &other).is_empty());
    }
}

#[test]
fn fewer_misfits_are_let_through_where_the_real_server_left_a_map_early() {
    let misfits = |list: &str| {
        let mut status = refusal();
        status["code"] = 500.into();
        status["message"] =
            format!("failed to create typed patch object (a/b; v1, Kind=IPPool): {list}").into();
        answer(500, status)
    };
    let apply = Step {
        id: 1,
        what: What::Request(Request {
            content_type: Some("application/apply-patch+yaml"),
            ..Request::new(
                "PATCH",
                "/apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a",
            )
        }),
    };
    let differ = |embedded: &Answer, real: &Answer| {
        let (left, right, _) = level(&apply, embedded, real);
        !compare(&left, &right).is_empty()
    };
    let twin = ".metadata.finalizers: duplicate entries for key [=\"a\"]";
    let undeclared = ".unknown: field not declared in schema";
    let all = misfits(&format!("errors:\n  {twin}\n  {undeclared}"));
    assert!(!differ(&all, &misfits(undeclared)));
    for (embedded, real) in [
        (&all, &misfits(twin)),
        (&misfits(undeclared), &all),
        (&all, &misfits(".other: field not declared in schema")),
    ] {
        assert!(differ(embedded, real));
    }
}

#[test]
fn the_words_of_a_parser_are_let_through_and_nothing_beside_them_is() {
    let status = |code: u16, reason: &str, message: &str| {
        let mut status = refusal();
        status["code"] = code.into();
        status["reason"] = reason.into();
        status["message"] = message.into();
        answer(code, status)
    };
    let handled = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ";
    let bad = |before: &str, words: &str| status(400, "BadRequest", &format!("{before}{words}"));
    let ours = "expected a string at data.a, got the number 1";
    let go = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
    assert!(told(&bad(handled, ours), &bad(handled, go)).is_empty());
    let other = "Secret in version \"v1\" cannot be handled as a Secret: ";
    for (embedded, real) in [
        // Another object, code or reason.
        (bad(handled, ours), bad(other, go)),
        (
            bad(handled, ours),
            status(422, "BadRequest", &format!("{handled}{go}")),
        ),
        (
            bad(handled, ours),
            status(400, "Invalid", &format!("{handled}{go}")),
        ),
        // Only one of the two is about something that cannot be read.
        (bad(handled, ours), bad(handled, "unknown field \"x\"")),
        (bad(handled, "the name is too long"), bad(handled, go)),
        (
            bad(handled, "the name is too long"),
            bad(handled, "unknown field \"x\""),
        ),
        // A sentence that people meet.
        (
            bad(
                "",
                "the API version in the data (a/v1) does not match the expected API version (v1)",
            ),
            bad(
                "",
                "the API version in the data (b/v1) does not match the expected API version (v1)",
            ),
        ),
    ] {
        assert!(!told(&embedded, &real).is_empty(), "{embedded:?}");
    }
    let caused = |field: &str, words: &str| {
        let mut invalid = status(
            422,
            "Invalid",
            &format!(" \"\" is invalid: {field}: {words}"),
        );
        if let Body::Json(status) = &mut invalid.body {
            let cause = json!({"reason": "FieldValueInvalid", "field": field, "message": words});
            status["details"]["causes"] = json!([cause]);
        }
        invalid
    };
    let real = caused("patch", &format!("Invalid value: \"{{}}\": {go}"));
    let same = caused("patch", &format!("Invalid value: \"{{}}\": {ours}"));
    let elsewhere = caused("spec", &format!("Invalid value: \"{{}}\": {ours}"));
    assert!(told(&same, &real).is_empty());
    assert!(!told(&elsewhere, &real).is_empty());
}

#[test]
fn a_repeated_key_is_named_by_its_path_or_its_line_and_must_be_the_same() {
    let warned = |warning: &str| Answer {
        warnings: vec![format!("299 - \"{warning}\"")],
        ..answer(200, pool())
    };
    let apply = Step {
        id: 1,
        what: What::Request(Request {
            content_type: Some("application/apply-patch+yaml"),
            ..Request::new("PATCH", "/api/v1/namespaces/{ns}/configmaps/a")
        }),
    };
    let differ = |embedded: &str, real: &str| {
        let (left, right, _) = level(&apply, &warned(embedded), &warned(real));
        !compare(&left, &right).is_empty()
    };
    let real = "line 1: key \\\"file.txt\\\" already set in map";
    assert!(!differ("duplicate field \\\"data.file.txt\\\"", real));
    for other in ["data.profile.txt", "data.txt", "data.file.txt.a"] {
        assert!(
            differ(&format!("duplicate field \\\"{other}\\\""), real),
            "{other}"
        );
    }
}

#[test]
fn a_lost_event_and_a_lost_object_are_named() {
    let with = |body: Body| Answer {
        body,
        ..answer(200, Value::Null)
    };
    let event = |kind: &str| (kind.to_owned(), pool());
    let both = with(Body::Events(vec![event("ADDED"), event("MODIFIED")]));
    let one = with(Body::Events(vec![event("ADDED")]));
    assert_eq!(told(&one, &both), [(Aspect::Events, "event 1".to_owned())]);
    let there = with(Body::State(vec![pool()]));
    let gone = with(Body::State(Vec::new()));
    assert_eq!(told(&gone, &there), [(Aspect::State, String::new())]);
}

#[test]
fn the_page_tells_every_known_difference_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/standalone.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, table) = page.split_once("## Known differences").unwrap();
    let told: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let known: BTreeSet<&str> = KNOWN.iter().map(|known| known.name).collect();
    assert_eq!(told, known);
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        assert!(line.split('|').all(|cell| cell.trim() != "-"), "{line}");
        assert_eq!(line.matches('|').count(), 5, "{line}");
    }
}
