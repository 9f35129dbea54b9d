//! Fields that the server's definition of a kind does not keep. A server drops them in silence (upstream's IPClaim has no
//! conditions, its IPPool no counts), so a write of such a field alone would be repeated without end.
//!
//! Only the answer to our own write can say which they are: it shows the object exactly as that write left it. What a watch
//! shows later may have been taken away by somebody else, and is written again. A field that is not kept is still sent along
//! with every write that has another reason, so that it is noticed when the server begins to keep it.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value};

use crate::api::Claim;

use super::request::ClaimStatus;

/// The list of conditions as a whole.
const CONDITIONS: &str = "conditions";
/// Fields of one condition.
const REASON: &str = "conditions.reason";
const MESSAGE: &str = "conditions.message";
const GENERATION: &str = "conditions.observedGeneration";
/// Of a claim. Its reference to the address object is no such field: every definition has that.
const IP: &str = "ipAddress";
const ERROR: &str = "errorMessage";

/// The names of the fields that are not kept, of one kind.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Dropped(BTreeSet<String>);

impl Dropped {
    /// Whether the server does not keep this field of the status.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    fn set(&mut self, field: &str, is_kept: bool) {
        if is_kept {
            self.0.remove(field);
        } else if !self.has(field) {
            self.0.insert(field.to_owned());
        }
    }

    /// Whether two conditions are alike in all that the server keeps.
    pub(super) fn are_alike(&self, a: &Condition, b: &Condition) -> bool {
        self.has(CONDITIONS)
            || (a.status == b.status
                && (a.reason == b.reason || self.has(REASON))
                && (a.message == b.message || self.has(MESSAGE))
                && (a.observed_generation == b.observed_generation || self.has(GENERATION)))
    }

    fn learn_conditions(&mut self, sent: &[Condition], stored: &[Condition]) {
        let pairs: Vec<_> = sent
            .iter()
            .map(|sent| (sent, stored.iter().find(|c| c.type_ == sent.type_)))
            .collect();
        self.set(CONDITIONS, pairs.iter().all(|(_, stored)| stored.is_some()));
        let mut field = |name, same: fn(&Condition, &Condition) -> bool| {
            let mut both = pairs.iter().filter_map(|(a, b)| Some((a, (*b)?)));
            self.set(name, both.all(|(a, b)| same(a, b)));
        };
        field(REASON, |a, b| a.reason == b.reason);
        field(MESSAGE, |a, b| a.message == b.message);
        field(GENERATION, |a, b| {
            a.observed_generation == b.observed_generation
        });
    }

    /// Takes in the answer to a write of a pool's status. Both are JSON as in the API.
    pub(super) fn learn_pool(&mut self, sent: &Map<String, Value>, stored: &Value) {
        for (field, sent) in sent {
            let stored = &stored[field];
            match field.as_str() {
                "lastUpdated" => {}
                "indexes" => {
                    let entries = sent.as_object();
                    let adds = entries.is_some_and(|e| e.values().any(|v| !v.is_null()));
                    if adds {
                        let any = stored.as_object().is_some_and(|stored| !stored.is_empty());
                        self.set(field, any);
                    }
                }
                CONDITIONS => {
                    let list = |value: &Value| -> Vec<Condition> {
                        serde_json::from_value(value.clone()).unwrap_or_default()
                    };
                    self.learn_conditions(&list(sent), &list(stored));
                }
                _ => self.set(field, sent == stored),
            }
        }
    }

    /// Takes in the answer to a write of a claim's status.
    pub(super) fn learn_claim(&mut self, sent: &ClaimStatus, stored: &Claim) {
        let ClaimStatus {
            published: _,
            ip_address,
            error_message,
            conditions,
            old_conditions: _,
        } = sent;
        if let Some(ip) = ip_address {
            self.set(IP, *ip == stored.ip_address);
        }
        if let Some(error) = error_message {
            self.set(ERROR, *error == stored.error_message);
        }
        if let Some(conditions) = conditions {
            // Others' conditions in the list may be of a form that only their writer can read.
            let ours = conditions.iter().find(|c| c.type_ == "Ready");
            self.learn_conditions(ours.map_or(&[], std::slice::from_ref), &stored.conditions);
        }
    }

    /// Whether this status changes anything that the server keeps. `before`: the claim's `Ready` as it stands.
    pub(super) fn changes(&self, status: &ClaimStatus, before: Option<&Condition>) -> bool {
        let ClaimStatus {
            published,
            ip_address,
            error_message,
            conditions,
            old_conditions: _,
        } = status;
        let ready = conditions.iter().flatten().find(|c| c.type_ == "Ready");
        let ready = ready.is_some_and(|new| match before {
            Some(before) => !self.are_alike(before, new),
            None => !self.has(CONDITIONS),
        });
        published.is_some()
            || (ip_address.is_some() && !self.has(IP))
            || (error_message.is_some() && !self.has(ERROR))
            || ready
    }
}

/// What is known of the fields of one claim kind that explain a claim to people, and that not every definition has.
#[derive(Debug, Default)]
pub(super) struct ClaimFields {
    pub(super) dropped: Dropped,
    /// Whether a claim has shown whole conditions, or a write has shown what is dropped of them.
    pub(super) are_known: bool,
    /// The same of the address itself.
    pub(super) is_ip_known: bool,
    /// The claim whose status is written to find out, while nothing is known: the others wait for its answer.
    pub(super) asked_by: Option<crate::api::ClaimKey>,
}

impl ClaimFields {
    /// Takes in what a claim shows: a condition with all its fields proves that the server keeps them.
    pub(super) fn see(&mut self, claim: &Claim) {
        let is_whole = |c: &Condition| !c.reason.is_empty() && c.observed_generation.is_some();
        self.are_known = self.are_known || claim.conditions.iter().any(is_whole);
        self.is_ip_known |= claim.ip_address.is_some();
    }

    /// A write of this status was answered: what it has is known from now on.
    pub(super) fn answered(&mut self, sent: &ClaimStatus) {
        self.are_known |= sent.conditions.is_some();
        self.is_ip_known |= sent.ip_address.is_some();
    }

    /// Whether it is known that the server keeps, or drops, what this status has.
    pub(super) fn knows(&self, status: &ClaimStatus) -> bool {
        (self.are_known || status.conditions.is_none())
            && (self.is_ip_known || status.ip_address.is_none())
    }
}
