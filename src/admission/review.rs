//! The door of the room: which rules a write is judged by, and what they may ask about the namespace.

use std::net::IpAddr;

use serde_json::Value;

use super::verdict::{Cause, Findings, Verdict};
use super::{address, claim, pool};
use crate::api::metal3::IPPoolSpec;
use crate::api::{ClaimKind, PoolKey, names};

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address.
    pub address: IpAddr,
    /// The address object, as people would look for it: `IPAddress default/x (claim y)`.
    pub by: String,
}

/// Facts about the namespace as it is now. They are asked for only when a rule needs them, so an implementation may fetch
/// on demand.
pub trait Live {
    /// Every address object of the pool, of either kind. Asked when a write takes addresses out of the pool's ranges.
    fn holders(&self, pool: &PoolKey) -> Vec<Holder>;

    /// The address objects of the pool that have this address. Asked when an IPAddress is created, so that a store with an
    /// index by address should answer from it.
    fn holders_of(&self, pool: &PoolKey, address: IpAddr) -> Vec<Holder> {
        let mut holders = self.holders(pool);
        holders.retain(|h| h.address == address);
        holders
    }

    /// Name and spec of every other pool of the same namespace. Asked when a write adds a range.
    fn other_pools(&self, pool: &PoolKey) -> Vec<(String, IPPoolSpec)>;

    /// `spec.poolRef` of an IPAddressClaim of Cluster API, if it exists. Asked when such an IPAddress is created.
    fn claim_pool_ref(&self, namespace: &str, claim: &str) -> Option<Value>;
}

/// Knows nothing: for judging an object by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Live for NoFacts {
    fn holders(&self, _: &PoolKey) -> Vec<Holder> {
        Vec::new()
    }

    fn other_pools(&self, _: &PoolKey) -> Vec<(String, IPPoolSpec)> {
        Vec::new()
    }

    fn claim_pool_ref(&self, _: &str, _: &str) -> Option<Value> {
        None
    }
}

/// One write. Objects are whole, as the server is about to store them; writes of status or metadata alone come by too.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// API group of the object.
    pub group: &'a str,
    /// Kind of the object.
    pub kind: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// The object as it is stored; none on a create.
    pub old: Option<&'a Value>,
    /// The object as it would be stored.
    pub new: &'a Value,
}

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

/// Which file judges.
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

impl<'a> Review<'a> {
    /// The spec as it would be; `null` when there is none.
    pub(super) fn new_spec(&self) -> &'a Value {
        self.new.get("spec").unwrap_or(&Value::Null)
    }

    /// The spec as it was; none on a create.
    pub(super) fn old_spec(&self) -> Option<&'a Value> {
        Some(self.old?.get("spec").unwrap_or(&Value::Null))
    }

    /// Whether this is an update that leaves the spec as it is.
    pub(super) fn spec_stands(&self) -> bool {
        self.old_spec().is_some_and(|old| old == self.new_spec())
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.new
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|t| !t.is_null())
    }

    /// Key of a pool of this name in the object's namespace.
    pub(super) fn pool_key(&self, name: &str) -> PoolKey {
        PoolKey {
            namespace: self.namespace.into(),
            name: name.into(),
        }
    }
}
