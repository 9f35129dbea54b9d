//! Which Events a pool's decision leads to: the object that each is about, its reason and its message. Pure.

use std::fmt;
use std::sync::Arc;

use crate::api::{ClaimKey, PoolKey, Uid};
use crate::pool::{Decision, ProblemKind};

/// What the manager was doing, as Events name it.
const ALLOCATING: &str = "AllocateIPAddress";
const RELEASING: &str = "ReleaseIPAddress";
const WATCHING: &str = "WatchIPPool";

/// The object that an Event is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Pool(PoolKey),
    /// A claim in this namespace.
    Claim(Arc<str>, ClaimKey, Uid),
}

/// The type of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Normal,
    Warning,
}

/// Something that an Event tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Occurrence {
    pub(super) about: About,
    pub(super) reason: &'static str,
    pub(super) weight: Weight,
    /// What the manager was doing.
    pub(super) action: &'static str,
    pub(super) message: String,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        })
    }
}

impl About {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Pool(key) => &key.namespace,
            Self::Claim(namespace, _, _) => namespace,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Pool(key) => &key.name,
            Self::Claim(_, key, _) => &key.name,
        }
    }
}

/// The Events that a decision leads to. With `claim_events` (`--claim-events`) also those of claims that get, lose or wait for an
/// address.
pub(super) fn of(pool: &PoolKey, decision: &Decision, claim_events: bool) -> Vec<Occurrence> {
    use Weight::{Normal, Warning};
    let of_pool = |weight, reason, action, message: &str| Occurrence {
        about: About::Pool(pool.clone()),
        reason,
        weight,
        action,
        message: message.to_owned(),
    };
    let of_claim = |claim: &ClaimKey, uid: &Uid, weight, reason, action, message| Occurrence {
        about: About::Claim(pool.namespace.clone(), claim.clone(), uid.clone()),
        reason,
        weight,
        action,
        message,
    };
    match decision {
        Decision::Bound {
            claim,
            uid,
            address,
            created: _,
        } if claim_events => {
            let message = format!("{address} of pool {pool} is allocated to it");
            let reason = "AddressAllocated";
            vec![of_claim(claim, uid, Normal, reason, ALLOCATING, message)]
        }
        Decision::Released {
            claim,
            uid: Some(uid),
            address,
        } if claim_events => {
            let message = format!("{address} of pool {pool} is released");
            let reason = "AddressReleased";
            vec![of_claim(claim, uid, Normal, reason, RELEASING, message)]
        }
        Decision::Waiting {
            claim,
            uid,
            reason,
            message,
        } => {
            let mut all = Vec::new();
            if reason.concerns_the_pool() {
                let of_any = format!("{claim}: {message}");
                all.push(of_pool(Warning, reason.text(), ALLOCATING, &of_any));
            }
            if claim_events || reason.needs_somebody() {
                let message = message.clone();
                all.push(of_claim(
                    claim,
                    uid,
                    Warning,
                    reason.text(),
                    ALLOCATING,
                    message,
                ));
            }
            all
        }
        Decision::NearlyFull { message } => {
            vec![of_pool(Warning, "PoolNearlyFull", WATCHING, message)]
        }
        Decision::Pool {
            condition: "Exhausted",
            status: true,
            message,
            ..
        } => vec![of_pool(Warning, "PoolExhausted", WATCHING, message)],
        Decision::Pool {
            condition: "Exhausted",
            before: Some(true),
            status: false,
            ..
        } => {
            let message = format!("pool {pool} has free addresses again");
            vec![of_pool(Normal, "PoolRecovered", WATCHING, &message)]
        }
        Decision::Pool {
            condition: "Paused",
            status: true,
            message,
            ..
        } => vec![of_pool(Normal, "Paused", WATCHING, message)],
        Decision::Problem {
            kind: ProblemKind::NameTaken,
            message,
        } => vec![of_pool(
            Warning,
            "IPAddressNameCollision",
            ALLOCATING,
            message,
        )],
        Decision::Problem { kind, message } => {
            let message = format!("{kind}: {message}");
            vec![of_pool(Warning, "ConsistencyProblem", WATCHING, &message)]
        }
        Decision::Repaired { kind, message } => {
            let message = format!("{kind}: {message}: gone");
            vec![of_pool(Normal, "ConsistencyRepaired", WATCHING, &message)]
        }
        Decision::StatusRefused { message } => {
            vec![of_pool(Warning, "StatusRefused", WATCHING, message)]
        }
        Decision::Allocated { .. }
        | Decision::Bound { .. }
        | Decision::Released { .. }
        | Decision::Pool { .. }
        | Decision::Retrying { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::ClaimKind;
    use crate::pool::Reason;

    fn pool() -> PoolKey {
        PoolKey {
            namespace: "n".into(),
            name: "p".into(),
        }
    }

    fn claim() -> ClaimKey {
        ClaimKey {
            kind: ClaimKind::Metal3,
            name: "c".into(),
        }
    }

    /// Object, type and reason of each Event that a decision leads to.
    fn told(decision: &Decision, claim_events: bool) -> Vec<String> {
        let all = of(&pool(), decision, claim_events).into_iter();
        all.map(|o| {
            let kind = match o.about {
                About::Pool(_) => "pool",
                About::Claim(..) => "claim",
            };
            format!("{kind} {} {}", o.weight, o.reason)
        })
        .collect()
    }

    fn waiting(reason: Reason) -> Decision {
        Decision::Waiting {
            claim: claim(),
            uid: "u".into(),
            reason,
            message: "why".to_owned(),
        }
    }

    fn condition(condition: &'static str, before: Option<bool>, status: bool) -> Decision {
        Decision::Pool {
            condition,
            before,
            status,
            reason: "Why",
            message: String::new(),
        }
    }

    #[test]
    fn u4_a_claim_that_somebody_must_change_is_told_of_and_one_that_waits_is_counted_on_its_pool() {
        for (reason, usual, with_claims) in [
            (Reason::Exhausted, &["pool Warning PoolExhausted"][..], true),
            (Reason::PoolNotFound, &[], true),
            (
                Reason::AllocationFailed,
                &[
                    "pool Warning AllocationFailed",
                    "claim Warning AllocationFailed",
                ],
                false,
            ),
            (
                Reason::RequestedAddressInvalid,
                &["claim Warning RequestedAddressInvalid"],
                false,
            ),
        ] {
            assert_eq!(told(&waiting(reason), false), usual, "{reason}");
            let mut all = usual.iter().map(ToString::to_string).collect::<Vec<_>>();
            all.extend(with_claims.then(|| format!("claim Warning {reason}")));
            assert_eq!(told(&waiting(reason), true), all, "{reason}");
        }
    }

    #[test]
    fn u4_addresses_of_claims_are_told_only_when_asked_for() {
        let address = "10.0.0.1".parse().unwrap();
        let bound = Decision::Bound {
            claim: claim(),
            uid: "u".into(),
            address,
            created: Timestamp::UNIX_EPOCH,
        };
        let released = Decision::Released {
            claim: claim(),
            uid: Some("u".into()),
            address,
        };
        for (decision, reason) in [(bound, "AddressAllocated"), (released, "AddressReleased")] {
            assert_eq!(told(&decision, false), [""; 0], "{reason}");
            assert_eq!(told(&decision, true), [format!("claim Normal {reason}")]);
        }
    }

    #[test]
    fn u4_a_new_pool_has_not_recovered() {
        for (decision, expected) in [
            (condition("Exhausted", None, false), &[][..]),
            (
                condition("Exhausted", Some(true), false),
                &["pool Normal PoolRecovered"],
            ),
            (
                condition("Exhausted", Some(false), true),
                &["pool Warning PoolExhausted"],
            ),
            (condition("Paused", None, true), &["pool Normal Paused"]),
            (condition("Paused", Some(true), false), &[]),
            (condition("Ready", Some(true), false), &[]),
        ] {
            assert_eq!(told(&decision, false), expected, "{decision:?}");
        }
    }
}
