//! Every answer has exactly one meaning.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::object;
use crate::api::ClaimKind;
use crate::api::Kind;
use crate::controller::outcome::{Meaning, meaning, reread};
use crate::controller::served::Served;
use crate::controller::transport::{Fault, Reply};
use crate::controller::wire::Subject;
use crate::controller::wire::Verb::{self, Create, Delete, Patch, PatchStatus};
use crate::pool::{Outcome, Reread};

const ADDRESS: Kind = Kind::Addresses(ClaimKind::Metal3);

#[allow(
    clippy::unnecessary_wraps,
    reason = "what came of a call, of which an answer is one case"
)]
fn reply(status: u16, body: &Value) -> Result<Reply, Fault> {
    Ok(Reply {
        status,
        retry_after: None,
        body: body.to_string().into(),
    })
}

fn status(code: u16, reason: &str, details: Value) -> Result<Reply, Fault> {
    reply(
        code,
        &json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "words", "details": details }),
    )
}

fn says(verb: Verb, kind: Kind, answer: Result<Reply, Fault>) -> String {
    let subject = Subject {
        verb,
        kind,
        name: "a1",
        uid: None,
    };
    match meaning(&subject, &Served::new(), None, answer) {
        Meaning::Conflict(_) => "read anew".to_owned(),
        Meaning::Outcome(outcome) => match outcome {
            Outcome::Stored(..) => "stored".to_owned(),
            Outcome::Gone => "gone".to_owned(),
            Outcome::Cluster(c) => format!("cluster {}", c.is_some()),
            Outcome::Conflict(_) => "conflict".to_owned(),
            Outcome::NameTaken => "name taken".to_owned(),
            Outcome::Refused { refusal, message } => format!("refused {refusal:?}: {message}"),
            Outcome::NotSent { retry_after } => format!("not sent {retry_after:?}"),
            Outcome::Withdrawn => "withdrawn".to_owned(),
            Outcome::Unknown { .. } => "unknown".to_owned(),
        },
    }
}

fn deleting(finalizers: &[&str]) -> Value {
    let mut object = object("a1", "u", 7, json!({}));
    object["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    object["metadata"]["finalizers"] = json!(finalizers);
    object
}

#[test]
fn r7_what_an_answer_means_for_a_write() {
    let stored = object("a1", "u", 7, json!({}));
    let success = json!({ "kind": "Status", "status": "Success", "details": { "name": "a1" } });
    let named = json!({ "name": "a1" });
    let terminating = json!({ "name": "a1", "causes": [{ "reason": "NamespaceTerminating" }] });
    let cases = [
        (Create, reply(201, &stored), "stored"),
        (Patch, reply(200, &stored), "stored"),
        (PatchStatus, reply(200, &stored), "stored"),
        // The last finalizer went, and with it the object.
        (Patch, reply(200, &deleting(&[])), "gone"),
        (Patch, reply(200, &deleting(&["theirs"])), "stored"),
        (Delete, reply(200, &deleting(&["ours"])), "stored"),
        (Delete, reply(200, &success), "gone"),
        (Delete, reply(200, &stored), "gone"),
        // Not what was asked for.
        (Create, reply(201, &success), "unknown"),
        (
            Create,
            reply(201, &json!({ "metadata": { "name": "b", "uid": "u" } })),
            "unknown",
        ),
        (Patch, reply(200, &json!("cut")), "unknown"),
        (Patch, status(404, "NotFound", named.clone()), "gone"),
        (Delete, status(404, "NotFound", named.clone()), "gone"),
        (
            Create,
            status(
                404,
                "NotFound",
                json!({ "name": "n", "kind": "namespaces" }),
            ),
            "refused Other: words (404)",
        ),
        // A kind or a version that is not served any more says nothing about the object (A3).
        (
            Delete,
            reply(404, &json!("404 page not found")),
            "refused Other: \"404 page not found\" (404)",
        ),
        (
            Delete,
            status(404, "NotFound", json!({})),
            "refused Other: words (404)",
        ),
        (
            Create,
            status(409, "AlreadyExists", named.clone()),
            "name taken",
        ),
        // A webhook's words, not those of who stores objects.
        (
            Create,
            status(409, "AlreadyExists", json!(null)),
            "refused Other: words (409)",
        ),
        (
            Create,
            status(409, "Conflict", named.clone()),
            "refused Conflict: words (409)",
        ),
        (Patch, status(409, "Conflict", named.clone()), "read anew"),
        (
            PatchStatus,
            status(409, "Conflict", named.clone()),
            "read anew",
        ),
        (Delete, status(409, "Conflict", named.clone()), "read anew"),
        (
            Create,
            status(403, "Forbidden", named.clone()),
            "refused Forbidden: words (403)",
        ),
        (
            Create,
            status(403, "Forbidden", terminating),
            "refused NamespaceTerminating: words (403)",
        ),
        (
            Create,
            status(422, "Invalid", named.clone()),
            "refused Invalid: words (422)",
        ),
        (
            Create,
            status(400, "BadRequest", json!(null)),
            "refused Invalid: words (400)",
        ),
        (
            Create,
            status(413, "RequestEntityTooLarge", json!(null)),
            "refused Invalid: words (413)",
        ),
        (
            Create,
            status(401, "Unauthorized", json!(null)),
            "refused Other: words (401)",
        ),
        (
            Create,
            status(405, "MethodNotAllowed", json!(null)),
            "refused Other: words (405)",
        ),
        (Create, status(408, "Timeout", json!(null)), "unknown"),
        (Create, status(500, "InternalError", json!(null)), "unknown"),
        (
            Create,
            status(503, "ServiceUnavailable", json!(null)),
            "unknown",
        ),
        (Create, status(504, "Timeout", json!(null)), "unknown"),
        (Create, reply(302, &json!(null)), "unknown"),
        (Create, Err(Fault::Lost("reset".into())), "unknown"),
        (
            Create,
            Err(Fault::NotConnected("refused".into())),
            "not sent None",
        ),
    ];
    for (verb, answer, want) in cases {
        let shown = format!("{verb:?} {answer:?}");
        assert_eq!(says(verb, ADDRESS, answer), want, "{shown}");
    }
    let later = Ok(Reply {
        status: 429,
        retry_after: Some(Duration::from_secs(3)),
        body: "slow down".into(),
    });
    assert_eq!(says(Create, ADDRESS, later), "not sent Some(3s)");
}

#[test]
fn what_a_read_brings() {
    let stored = object("a1", "u", 7, json!({}));
    let named = json!({ "name": "a1" });
    let cases = [
        (ADDRESS, reply(200, &stored), "stored"),
        (ADDRESS, reply(200, &deleting(&[])), "gone"),
        (ADDRESS, status(404, "NotFound", named.clone()), "gone"),
        (
            ADDRESS,
            reply(404, &json!("404 page not found")),
            "refused Other: \"404 page not found\" (404)",
        ),
        (Kind::Clusters, reply(200, &stored), "cluster true"),
        (
            Kind::Clusters,
            status(404, "NotFound", named),
            "cluster false",
        ),
        (
            ADDRESS,
            status(500, "InternalError", json!(null)),
            "unknown",
        ),
        (ADDRESS, reply(200, &json!("cut")), "unknown"),
        (ADDRESS, Err(Fault::Lost("reset".into())), "unknown"),
        (
            ADDRESS,
            Err(Fault::NotConnected("refused".into())),
            "not sent None",
        ),
    ];
    for (kind, answer, want) in cases {
        let shown = format!("{answer:?}");
        assert_eq!(says(Verb::Get, kind, answer), want, "{shown}");
    }
}

#[test]
fn after_a_conflict_the_newest_is_seen_gone_or_unread() {
    let subject = Subject {
        verb: Patch,
        kind: ADDRESS,
        name: "a1",
        uid: None,
    };
    let read = |answer| reread(&subject, &Served::new(), None, answer);
    let stored = object("a1", "u", 7, json!({}));
    assert!(matches!(read(reply(200, &stored)), Reread::Found(..)));
    let gone = status(404, "NotFound", json!({ "name": "a1" }));
    assert!(matches!(read(gone), Reread::Gone));
    for odd in [
        status(500, "InternalError", json!(null)),
        reply(404, &json!("404 page not found")),
    ] {
        assert!(matches!(read(odd), Reread::Unread));
    }
}
