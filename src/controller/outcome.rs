//! From an HTTP answer to what it means for the pool. Every answer has exactly one meaning:
//!
//! | answer | of a write | of a read |
//! | --- | --- | --- |
//! | 2xx | `Stored`, or `Gone` when nothing is left of the object | same, or `Cluster` |
//! | 2xx that cannot be read | `Unknown` | same |
//! | 404 that names the object | `Gone` | `Gone` / `Cluster(None)` |
//! | any other 404 | `Refused(Other)`: a missing namespace or kind says nothing about the object (A3) | same |
//! | 409 AlreadyExists of a create that names the object | `NameTaken` | - |
//! | any other 409 of a create | `Refused(Conflict)`, or `Refused(Other)` where it says AlreadyExists | - |
//! | any other 409 | `Conflict`, after a quorum read | - |
//! | 403 / because the namespace ends | `Refused(Forbidden)` / `Refused(NamespaceTerminating)` | same |
//! | 400, 413, 422 | `Refused(Invalid)` | same |
//! | 429 | `NotSent` with the server's Retry-After | same |
//! | other 4xx | `Refused(Other)` | same |
//! | 3xx, 5xx, 408, no answer | `Unknown` (R7) | same: it is tried again |
//! | no connection | `NotSent` | `NotSent` |

use serde::Deserialize;

use crate::api::ClusterFacts;
use crate::pool::{Outcome, Refusal, Reread, Take};

use super::reading;
use super::served::Served;
use super::status::{self, Status};
use super::transport::{Fault, Reply};
use super::wire::{Subject, Verb};
use crate::api::Kind;

/// What an answer means, or that its object must be read anew first.
#[derive(Debug)]
pub(super) enum Meaning {
    Outcome(Outcome),
    /// 409 with these words: [`reread`] of a quorum read completes the outcome.
    Conflict(String),
}

/// A body that may be an object or a Status.
#[derive(Deserialize)]
struct Tagged {
    #[serde(default)]
    kind: String,
}

/// What came of a call about `subject`. `filter`: `--watch-filter`. Whether the object is the newest that is known of it, the
/// router says.
pub(super) fn meaning(
    subject: &Subject<'_>,
    served: &Served,
    filter: Option<&str>,
    answer: Result<Reply, Fault>,
) -> Meaning {
    let lost = |message: String| Meaning::Outcome(Outcome::Unknown { message });
    let reply = match answer {
        Ok(reply) => reply,
        Err(Fault::NotConnected(_)) => {
            return Meaning::Outcome(Outcome::NotSent { retry_after: None });
        }
        Err(Fault::Lost(message) | Fault::TooLong(message)) => return lost(message),
    };
    let status = || Status::of(&reply.body);
    match reply.status {
        200..=299 => match stored(subject, served, filter, &reply.body) {
            Ok(outcome) => Meaning::Outcome(outcome),
            Err(e) => lost(super::bounded(format!("the answer cannot be read: {e}"))),
        },
        404 => {
            let status = status();
            // Only an answer about this very object says that it is gone. When its kind or its namespace is what is
            // missing, nothing that is known of it may be let go.
            let named = status.object() == Some(subject.name);
            Meaning::Outcome(if named && subject.verb != Verb::Create {
                gone(subject.kind, subject.verb)
            } else {
                refused(Refusal::Other, &reply)
            })
        }
        409 => {
            let status = status();
            match (subject.verb, status.reason.as_str()) {
                (Verb::Create, "AlreadyExists") if status.object() == Some(subject.name) => {
                    Meaning::Outcome(Outcome::NameTaken)
                }
                // A webhook may say so too, of whatever it likes.
                (Verb::Create, "AlreadyExists") | (Verb::Get, _) => {
                    Meaning::Outcome(refused(Refusal::Other, &reply))
                }
                (Verb::Create, _) => Meaning::Outcome(refused(Refusal::Conflict, &reply)),
                (Verb::Patch | Verb::PatchStatus | Verb::Delete, _) => {
                    Meaning::Conflict(said(&reply))
                }
            }
        }
        408 => lost("the server gave up waiting (408)".to_owned()),
        429 => Meaning::Outcome(Outcome::NotSent {
            retry_after: reply.retry_after,
        }),
        code @ 400..=499 => {
            let refusal = match code {
                403 if status().is_terminating() => Refusal::NamespaceTerminating,
                403 => Refusal::Forbidden,
                400 | 413 | 422 => Refusal::Invalid,
                _ => Refusal::Other,
            };
            Meaning::Outcome(refused(refusal, &reply))
        }
        code => lost(super::bounded(format!(
            "the server answered {code}: {}",
            status::words(&reply.body)
        ))),
    }
}

/// What the quorum read after a conflict found.
pub(super) fn reread(
    subject: &Subject<'_>,
    served: &Served,
    filter: Option<&str>,
    answer: Result<Reply, Fault>,
) -> Reread {
    let read = Subject {
        verb: Verb::Get,
        ..*subject
    };
    match meaning(&read, served, filter, answer) {
        Meaning::Outcome(Outcome::Stored(object, take)) => Reread::Found(object, take),
        Meaning::Outcome(Outcome::Gone) => Reread::Gone,
        Meaning::Outcome(_) | Meaning::Conflict(_) => Reread::Unread,
    }
}

/// A call that could not be made because the server does not have the kind now (A3): held things stay held.
pub(super) fn unserved(kind: Kind, verb: Verb) -> Outcome {
    match (kind, verb) {
        // There is no Cluster where there is no such kind.
        (Kind::Clusters, Verb::Get) => Outcome::Cluster(None),
        _ => Outcome::Refused {
            refusal: Refusal::Other,
            message: format!("the server does not serve {kind} now"),
        },
    }
}

fn stored(
    subject: &Subject<'_>,
    served: &Served,
    filter: Option<&str>,
    body: &[u8],
) -> Result<Outcome, serde_json::Error> {
    let tagged: Tagged = serde_json::from_slice(body)?;
    if tagged.kind == "Status" {
        // Success of a DELETE that removed the object. Nothing else is answered so.
        return match subject.verb {
            Verb::Delete => Ok(Outcome::Gone),
            Verb::Get | Verb::Create | Verb::Patch | Verb::PatchStatus => {
                Err(serde::de::Error::custom("a Status instead of the object"))
            }
        };
    }
    let read = reading::object(subject.kind, body)?;
    if read.metadata.uid.is_empty() || &*read.metadata.name != subject.name {
        return Err(serde::de::Error::custom(
            "not the object that was asked for",
        ));
    }
    // With the last finalizer a deleting object goes; the answer shows its last state.
    if read.metadata.is_deleting() && read.metadata.finalizers.is_empty() {
        return Ok(Outcome::Gone);
    }
    // A DELETE of an object without finalizers may be answered with the object as it was.
    if subject.verb == Verb::Delete && read.metadata.finalizers.is_empty() {
        return Ok(Outcome::Gone);
    }
    if subject.kind == Kind::Clusters {
        let version = served.version(Kind::Clusters).unwrap_or_default();
        let api_version = format!("{}/{version}", subject.kind.group());
        return Ok(Outcome::Cluster(Some(ClusterFacts::read(
            &api_version,
            &read,
        ))));
    }
    let object = reading::pool_input(subject.kind, read, filter)
        .ok_or_else(|| serde::de::Error::custom("an object of no kind that is written"))?;
    Ok(Outcome::Stored(object, Take::In))
}

fn gone(kind: Kind, verb: Verb) -> Outcome {
    match (kind, verb) {
        (Kind::Clusters, Verb::Get) => Outcome::Cluster(None),
        _ => Outcome::Gone,
    }
}

fn refused(refusal: Refusal, reply: &Reply) -> Outcome {
    Outcome::Refused {
        refusal,
        message: said(reply),
    }
}

/// The server's words with the code, bounded.
fn said(reply: &Reply) -> String {
    let (words, code) = (status::words(&reply.body), reply.status);
    super::bounded(format!("{words} ({code})"))
}
