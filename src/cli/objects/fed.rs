//! The pools' state machines, given the objects that were read. What they ask to be written is kept, not sent.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Objects;
use crate::admission::pool_problems;
use crate::api::PoolKey;
use crate::pool::{Config, Effect, Input, LeakRepair, Object, Pool, Scope};

/// One pool as the manager would find it at its start.
#[derive(Debug)]
pub(in crate::cli) struct Fed {
    pub(in crate::cli) pool: Pool,
    pub(in crate::cli) key: PoolKey,
    /// What it would write first, and wait for.
    pub(in crate::cli) effects: Vec<Effect>,
    /// What admission finds wrong with the spec.
    pub(in crate::cli) invalid: Vec<String>,
    /// Whether the manager acts on the pool; it acts on none that does not exist.
    pub(in crate::cli) scope: Scope,
    /// Claims that the manager acts on, and those of others.
    pub(in crate::cli) claims: usize,
    pub(in crate::cli) others_claims: usize,
    /// Those of others that have no address yet: the pool counts them as waiting in a pause.
    pub(in crate::cli) others_waiting: u64,
}

impl Fed {
    /// Every pool, and every name of a pool that a claim or an address gives and no pool has, by key.
    pub(in crate::cli) fn all(
        objects: &Objects,
        watch_filter: Option<&str>,
        now: Timestamp,
    ) -> Vec<Self> {
        let mut inputs: BTreeMap<PoolKey, Vec<Input>> = BTreeMap::new();
        for pool in &objects.pools {
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
        for address in &objects.addresses {
            let (key, scope) = (address.pool_key(), Scope::of(&address.meta, watch_filter));
            let address = Box::new(address.clone());
            let input = Input::Seen(Object::Address { address, scope });
            inputs.entry(key).or_default().push(input);
        }
        for claim in &objects.claims {
            let (key, scope) = (claim.pool_key(), Scope::of(&claim.meta, watch_filter));
            let claim = Box::new(claim.clone());
            let input = Input::Seen(Object::Claim { claim, scope });
            inputs.entry(key).or_default().push(input);
        }
        let mut clusters: BTreeMap<&str, Vec<Input>> = BTreeMap::new();
        for (namespace, facts) in &objects.clusters {
            let known = clusters.entry(namespace).or_default();
            known.push(Input::ClusterSeen(facts.clone()));
        }
        let feed = |(key, mut inputs): (PoolKey, Vec<Input>)| {
            let known = clusters.get(&*key.namespace);
            inputs.extend(known.into_iter().flatten().cloned());
            inputs.push(Input::Kinds(objects.kinds));
            Self::one(key, inputs, now)
        };
        inputs.into_iter().map(feed).collect()
    }

    fn one(key: PoolKey, inputs: Vec<Input>, now: Timestamp) -> Self {
        let config = Config {
            in_flight: u32::MAX as usize,
            leak_repair: LeakRepair::Report,
            ..Config::default()
        };
        let mut fed = Self {
            pool: Pool::new(key.clone(), config),
            key,
            effects: Vec::new(),
            invalid: Vec::new(),
            scope: Scope::default(),
            claims: 0,
            others_claims: 0,
            others_waiting: 0,
        };
        for input in inputs {
            fed.count(&input);
            fed.effects.extend(fed.pool.step(input, now));
        }
        fed
    }

    fn count(&mut self, input: &Input) {
        match input {
            Input::Seen(Object::Pool {
                object,
                problems,
                scope,
            }) => {
                self.scope = *scope;
                self.invalid = match &object.spec {
                    Ok(_) => problems.clone(),
                    Err(why) => vec![why.clone()],
                };
            }
            Input::Seen(Object::Claim { claim, scope }) => match scope {
                Scope::Ours => self.claims += 1,
                Scope::Another => {
                    self.others_claims += 1;
                    let waits = claim.published.is_none() && !claim.meta.is_deleting();
                    self.others_waiting += u64::from(waits);
                }
            },
            _ => {}
        }
    }
}
