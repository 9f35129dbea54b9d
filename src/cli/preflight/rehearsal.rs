//! What each pool would find and write: its state machine is given what was read, and its requests are counted, not sent.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::super::objects::{Fed, Objects};
use super::{Finding, Level};
use crate::api::names;
use crate::pool::{Effect, Input, ProblemKind, Request, Scope, Snapshot};

/// Two looks for leaks agree after this time.
const LOOKS: [SignedDuration; 2] = [SignedDuration::from_mins(11), SignedDuration::from_mins(22)];

/// What the manager would do with one pool.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub(super) fed: Fed,
    pub(super) snapshot: Snapshot,
    /// Kind and text of each consistency problem.
    problems: Vec<(ProblemKind, String)>,
    /// The first requests, by what they are.
    pub(super) writes: BTreeMap<&'static str, u64>,
}

/// Every pool, and every name of a pool that a claim or an address gives and no pool has.
pub(super) fn all(objects: &Objects, watch_filter: Option<&str>, now: Timestamp) -> Vec<Rehearsal> {
    let fed = Fed::all(objects, watch_filter, now);
    fed.into_iter().map(|fed| one(fed, now)).collect()
}

fn one(mut fed: Fed, now: Timestamp) -> Rehearsal {
    let mut writes = BTreeMap::new();
    for effect in &fed.effects {
        if let Effect::Request(_, request) = effect
            && let Some(what) = written(request)
        {
            *writes.entry(what).or_default() += 1;
        }
    }
    let snapshot = fed.pool.snapshot();
    for later in LOOKS {
        let then = now.saturating_add(later).unwrap_or(now);
        fed.pool.step(Input::Tick, then);
    }
    let problems = fed.pool.problems();
    let problems = problems.map(|(kind, text)| (kind, text.to_owned()));
    Rehearsal {
        snapshot,
        problems: problems.collect(),
        writes,
        fed,
    }
}

impl Rehearsal {
    /// What of the pool a manager with this `--watch-filter` leaves alone.
    pub(super) fn not_served(&self, watch_filter: &str) -> Option<Finding> {
        let pool = format!("IPPool {}", self.fed.key);
        let label = format!("{}={watch_filter}", names::WATCH_FILTER_LABEL);
        let action = "label the pool and its claims alike if the manager is to serve them; another manager may serve those of another label";
        let (level, text) = match (self.fed.scope, self.fed.claims, self.fed.others_claims) {
            (Scope::Ours, _, 0) => return None,
            (Scope::Ours, _, others) => (
                Level::Notes,
                format!(
                    "{others} of its claims lack the label {label}: the manager leaves them alone and keeps their addresses held"
                ),
            ),
            (Scope::Another, 0, others) => (
                Level::Notes,
                format!(
                    "lacks the label {label}: the manager leaves it and its {others} claims alone"
                ),
            ),
            (Scope::Another, claims, _) => (
                Level::Warns,
                format!(
                    "lacks the label {label}, which {claims} of its claims carry: the manager does not serve them either"
                ),
            ),
        };
        Some(Finding::new(level, "NotServed", pool, text, action))
    }
}

/// What a request writes.
fn written(request: &Request) -> Option<&'static str> {
    Some(match request {
        Request::PoolMeta { .. } => "pool metadata",
        Request::PoolStatus { .. } => "pool status",
        Request::ClaimFinalizers { .. } => "claim finalizers",
        Request::ClaimStatus { .. } => "claim status",
        Request::CreateAddress(_) => "new address objects",
        Request::DeleteAddress { .. } => "deletions of address objects",
        Request::AddressMeta { .. } => "metadata of address objects",
        Request::ReadCluster { .. } | Request::ReadClaim { .. } | Request::ReadAddress { .. } => {
            return None;
        }
    })
}

/// What the pool found; nothing where the pool is another manager's.
pub(super) fn findings(rehearsal: &Rehearsal) -> Vec<Finding> {
    let Rehearsal { fed, snapshot, .. } = rehearsal;
    if fed.scope == Scope::Another {
        return Vec::new();
    }
    let pool = format!("IPPool {}", fed.key);
    let mut findings = Vec::new();
    for (kind, text) in &rehearsal.problems {
        let (level, action) = advice(*kind);
        findings.push(Finding::new(level, kind.text(), &pool, text, action));
    }
    for line in &fed.invalid {
        let action = "correct the pool; its other entries are served meanwhile";
        findings.push(Finding::new(
            Level::Blocks,
            "InvalidSpec",
            &pool,
            line,
            action,
        ));
    }
    for (reason, claims) in &snapshot.waiting {
        let claims = match *reason {
            // The first request would be under way.
            "Pending" => 0,
            // Claims of other managers are counted where the pool exists.
            "Paused" if snapshot.exists() => claims.saturating_sub(fed.others_waiting),
            _ => *claims,
        };
        if claims == 0 {
            continue;
        }
        let text = format!("{claims} claims would wait: {reason}");
        let action = match *reason {
            "PoolNotFound" => "create the pool, or delete these claims",
            "PoolExhausted" => "add a range to the pool, or delete claims",
            "Paused" => "nothing: they are served when the pause ends",
            _ => "see the conditions of the claims once the manager runs (docs/troubleshooting.md)",
        };
        findings.push(Finding::new(
            Level::Notes,
            "WaitingClaims",
            &pool,
            text,
            action,
        ));
    }
    if snapshot.out_of_range > 0 {
        let text = format!(
            "{} addresses outside of its ranges are held",
            snapshot.out_of_range
        );
        let action =
            "nothing: they stay held until their claims are deleted, and are not handed out again";
        findings.push(Finding::new(
            Level::Notes,
            "OutOfRange",
            &pool,
            text,
            action,
        ));
    }
    findings
}

/// How much a kind of problem matters, and what to do.
fn advice(kind: ProblemKind) -> (Level, &'static str) {
    match kind {
        ProblemKind::DuplicateAddress => (
            Level::Blocks,
            "release all but one of these claims: two machines have one address",
        ),
        ProblemKind::Leak => (
            Level::Warns,
            "nothing, or delete the object: the manager releases it after two looks, 10 minutes apart (R6)",
        ),
        ProblemKind::AddressChanged
        | ProblemKind::SeveralAddresses
        | ProblemKind::AddressMissing
        | ProblemKind::NameTaken
        | ProblemKind::InvalidAddress => (
            Level::Warns,
            "look at the objects named: the manager keeps every address held and changes nothing by itself",
        ),
    }
}
