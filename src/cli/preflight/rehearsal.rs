//! What each pool would find and write: its state machine is given what was read, and its requests are counted, not sent.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::read::Survey;
use super::{Finding, Level};
use crate::admission::pool_problems;
use crate::api::{PoolKey, names};
use crate::pool::{Config, Effect, Input, LeakRepair, Object, Pool, Request, Scope, Snapshot};

/// Two looks for leaks agree after this time.
const LOOKS: [SignedDuration; 2] = [SignedDuration::from_mins(11), SignedDuration::from_mins(22)];

/// What the manager would do with one pool.
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
    /// Whether the manager acts on the pool; it acts on none that does not exist.
    scope: Scope,
    /// Claims that the manager acts on, and those of others.
    claims: usize,
    others_claims: usize,
    /// Those of others that have no address yet: the pool counts them as waiting in a pause.
    others_waiting: u64,
}

/// Every pool, and every name of a pool that a claim or an address gives and no pool has.
pub(super) fn all(survey: &Survey, watch_filter: Option<&str>, now: Timestamp) -> Vec<Rehearsal> {
    let mut inputs: BTreeMap<PoolKey, Vec<Input>> = BTreeMap::new();
    for pool in &survey.pools {
        let scope = Scope::of(&pool.meta, watch_filter);
        let problems = match &pool.spec {
            Ok(spec) => pool_problems(spec)
                .iter()
                .map(ToString::to_string)
                .collect(),
            Err(_) => Vec::new(),
        };
        let object = Box::new(pool.clone());
        let seen = Object::Pool {
            object,
            problems,
            scope,
        };
        inputs
            .entry(pool.key())
            .or_default()
            .push(Input::Seen(seen));
    }
    for address in &survey.addresses {
        let (key, scope) = (address.pool_key(), Scope::of(&address.meta, watch_filter));
        let address = Box::new(address.clone());
        let input = Input::Seen(Object::Address { address, scope });
        inputs.entry(key).or_default().push(input);
    }
    for claim in &survey.claims {
        let (key, scope) = (claim.pool_key(), Scope::of(&claim.meta, watch_filter));
        let claim = Box::new(claim.clone());
        let input = Input::Seen(Object::Claim { claim, scope });
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
        Input::Seen(Object::Pool {
            object, problems, ..
        }) => Some(match &object.spec {
            Ok(_) => problems.clone(),
            Err(why) => vec![why.clone()],
        }),
        _ => None,
    });
    let of_pool = |input: &Input| match input {
        Input::Seen(Object::Pool { scope, .. }) => Some(*scope),
        _ => None,
    };
    let scope = inputs.iter().find_map(of_pool).unwrap_or_default();
    let claims_in = |wanted: Scope| {
        let of_scope = |input: &&Input| matches!(input, Input::Seen(Object::Claim { scope, .. }) if *scope == wanted);
        inputs.iter().filter(of_scope).count()
    };
    let (claims, others_claims) = (claims_in(Scope::Ours), claims_in(Scope::Another));
    let waits = |input: &&Input| {
        matches!(input, Input::Seen(Object::Claim { claim, scope: Scope::Another })
            if claim.published.is_none() && !claim.meta.is_deleting())
    };
    let others_waiting = inputs.iter().filter(waits).count() as u64;
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
        scope,
        claims,
        others_claims,
        others_waiting,
    }
}

impl Rehearsal {
    /// What of the pool a manager with this `--watch-filter` leaves alone.
    pub(super) fn not_served(&self, watch_filter: &str) -> Option<Finding> {
        let pool = format!("IPPool {}", self.key);
        let label = format!("{}={watch_filter}", names::WATCH_FILTER_LABEL);
        let action = "label the pool and its claims alike if the manager is to serve them; another manager may serve those of another label";
        let (level, text) = match (self.scope, self.claims, self.others_claims) {
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
    let Rehearsal { key, snapshot, .. } = rehearsal;
    if rehearsal.scope == Scope::Another {
        return Vec::new();
    }
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
    for (reason, claims) in &snapshot.waiting {
        let claims = match *reason {
            // The first request would be under way.
            "Pending" => 0,
            "Paused" => claims.saturating_sub(rehearsal.others_waiting),
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
