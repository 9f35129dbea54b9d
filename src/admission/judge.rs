//! Which rules a write is judged by.

use serde_json::Value;

use super::live::Live;
use super::review::Review;
use super::verdict::{Cause, Findings, Verdict};
use super::{address, claim, pool};
use crate::api::{ClaimKind, names};

/// Judges one write. A kind without rules gets an empty verdict. Takes any JSON.
pub fn review(review: &Review<'_>, live: &dyn Live) -> Verdict {
    let mut out = Findings::default();
    let Some(rules) = Rules::of(review.group, review.kind) else {
        return out.into_verdict();
    };
    if is_too_deep(review.new) {
        let detail = format!("must not be nested deeper than {MAX_DEPTH} levels");
        out.error("spec", Cause::Invalid, None, detail);
        return out.into_verdict();
    }
    // A stored object that is too deep itself can be compared with nothing.
    let review = &Review {
        old: review
            .old
            .map(|old| if is_too_deep(old) { &Value::Null } else { old }),
        ..*review
    };
    match rules {
        Rules::Pool => pool::judge(review, live, &mut out),
        Rules::Claim(kind) => claim::judge(kind, review, &mut out),
        Rules::Address(kind) => address::judge(kind, review, live, &mut out),
    }
    out.into_verdict()
}

/// The rules that a kind is judged by.
#[derive(Debug, Clone, Copy)]
enum Rules {
    Pool,
    Claim(ClaimKind),
    Address(ClaimKind),
}

impl Rules {
    fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            (names::METAL3_GROUP, "IPPool") => Some(Self::Pool),
            (names::METAL3_GROUP, "IPClaim") => Some(Self::Claim(ClaimKind::Metal3)),
            (names::METAL3_GROUP, "IPAddress") => Some(Self::Address(ClaimKind::Metal3)),
            (names::CAPI_IPAM_GROUP, "IPAddressClaim") => Some(Self::Claim(ClaimKind::Capi)),
            (names::CAPI_IPAM_GROUP, "IPAddress") => Some(Self::Address(ClaimKind::Capi)),
            _ => None,
        }
    }
}

/// Deeper than what any parser of JSON lets through; patches can build more out of pieces. The rules walk values by recursion.
const MAX_DEPTH: usize = 256;

fn is_too_deep(object: &Value) -> bool {
    let mut open = vec![(object, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return true;
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            Value::Array(parts) => open.extend(parts.iter().map(|part| (part, depth + 1))),
            Value::Object(parts) => open.extend(parts.values().map(|part| (part, depth + 1))),
        }
    }
    false
}
