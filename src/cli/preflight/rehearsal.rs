//! What each pool would find and write: its state machine is given what was read, and its requests are counted, not sent.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::read::Survey;
use super::{Finding, Level};
use crate::admission::pool_problems;
use crate::api::PoolKey;
use crate::pool::{Config, Effect, Input, LeakRepair, Pool, Request, Scope, Snapshot};

/// Two looks for leaks agree after this time.
const LOOKS: [SignedDuration; 2] = [SignedDuration::from_mins(11), SignedDuration::from_mins(22)];

/// What one pool came to.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub(super) key: PoolKey,
    pub(super) snapshot: Snapshot,
    /// Kind and text of each consistency problem.
    problems: Vec<(&'static str, String)>,
    /// What admission finds wrong with the spec.
    invalid: Vec<String>,
    /// The first requests, by what they are.
    pub(super) writes: BTreeMap<&'static str, u64>,
}

/// Every pool, and every name of a pool that a claim or an address gives and no pool has.
pub(super) fn all(survey: &Survey, now: Timestamp) -> Vec<Rehearsal> {
    let mut inputs: BTreeMap<PoolKey, Vec<Input>> = BTreeMap::new();
    let scope = Scope::Ours;
    for pool in &survey.pools {
        let problems = match &pool.spec {
            Ok(spec) => pool_problems(spec)
                .iter()
                .map(ToString::to_string)
                .collect(),
            Err(_) => Vec::new(),
        };
        let object = Box::new(pool.clone());
        inputs.entry(pool.key()).or_default().push(Input::PoolSeen {
            object,
            problems,
            scope,
        });
    }
    for address in &survey.addresses {
        let key = address.pool_key();
        let address = Box::new(address.clone());
        let input = Input::AddressSeen { address, scope };
        inputs.entry(key).or_default().push(input);
    }
    for claim in &survey.claims {
        let key = claim.pool_key();
        let claim = Box::new(claim.clone());
        let input = Input::ClaimSeen { claim, scope };
        inputs.entry(key).or_default().push(input);
    }
    let mut clusters: BTreeMap<&str, Vec<Input>> = BTreeMap::new();
    for (namespace, facts) in &survey.clusters {
        let known = clusters.entry(namespace).or_default();
        known.push(Input::ClusterSeen(facts.clone()));
    }
    let rehearse = |(key, mut inputs): (PoolKey, Vec<Input>)| {
        let known = clusters.get(&*key.namespace);
        inputs.extend(known.into_iter().flatten().cloned());
        one(survey, key, inputs, now)
    };
    inputs.into_iter().map(rehearse).collect()
}

fn one(survey: &Survey, key: PoolKey, inputs: Vec<Input>, now: Timestamp) -> Rehearsal {
    let invalid = inputs.iter().find_map(|input| match input {
        Input::PoolSeen {
            object, problems, ..
        } => Some(match &object.spec {
            Ok(_) => problems.clone(),
            Err(why) => vec![why.clone()],
        }),
        _ => None,
    });
    let config = Config {
        in_flight: u32::MAX as usize,
        leak_repair: LeakRepair::Report,
        ..Config::default()
    };
    let mut pool = Pool::new(key.clone(), config);
    let mut effects = Vec::new();
    for input in inputs {
        effects.extend(pool.step(input, now));
    }
    effects.extend(pool.step(Input::Kinds(survey.kinds), now));
    let mut writes = BTreeMap::new();
    for effect in &effects {
        if let Effect::Request(_, request) = effect
            && let Some(what) = written(request)
        {
            *writes.entry(what).or_default() += 1;
        }
    }
    let snapshot = pool.snapshot();
    for later in LOOKS {
        pool.step(Input::Tick, now.saturating_add(later).unwrap_or(now));
    }
    let problems = pool.problems();
    let problems = problems.map(|(kind, text)| (kind, text.to_owned()));
    Rehearsal {
        key,
        snapshot,
        problems: problems.collect(),
        invalid: invalid.unwrap_or_default(),
        writes,
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

/// What the pool found.
pub(super) fn findings(rehearsal: &Rehearsal) -> Vec<Finding> {
    let Rehearsal { key, snapshot, .. } = rehearsal;
    let pool = format!("IPPool {key}");
    let mut findings = Vec::new();
    for (kind, text) in &rehearsal.problems {
        let (level, action) = advice(kind);
        findings.push(Finding::new(level, kind, &pool, text, action));
    }
    for line in &rehearsal.invalid {
        let action = "correct the pool; its other entries are served meanwhile";
        findings.push(Finding::new(
            Level::Blocks,
            "InvalidSpec",
            &pool,
            line,
            action,
        ));
    }
    // Pending: the first request would be under way.
    let waiting = snapshot
        .waiting
        .iter()
        .filter(|(reason, _)| **reason != "Pending");
    for (reason, claims) in waiting {
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
fn advice(kind: &str) -> (Level, &'static str) {
    match kind {
        "DuplicateAddress" => (
            Level::Blocks,
            "release all but one of these claims: two machines have one address",
        ),
        "Leak" => (
            Level::Warns,
            "nothing, or delete the object: the manager releases it after two looks, 10 minutes apart (R6)",
        ),
        _ => (
            Level::Warns,
            "look at the objects named: the manager keeps every address held and changes nothing by itself",
        ),
    }
}
