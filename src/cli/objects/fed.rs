//! The pools' state machines, given the objects that were read. What they ask to be written is kept, not sent.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::Objects;
use crate::admission::pool_problems;
use crate::api::{Address, AddressKey, Claim, ClusterFacts, PoolKey, PoolObject};
use crate::pool::{
    Config, Effect, Input, Kinds, LeakRepair, NewAddress, Object, Outcome, Pool, Request, Scope,
    Take,
};

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
    pub(in crate::cli) births: Births,
}

/// When a pool and its address objects were created.
#[derive(Debug, Default)]
pub(in crate::cli) struct Births {
    pub(in crate::cli) pool: Option<Timestamp>,
    /// In order.
    pub(in crate::cli) addresses: Vec<Timestamp>,
}

/// The objects of one pool.
#[derive(Debug, Default)]
pub(in crate::cli) struct Parts<'a> {
    /// `None`: claims or address objects name a pool that does not exist.
    pub(in crate::cli) pool: Option<&'a PoolObject>,
    pub(in crate::cli) addresses: Vec<&'a Address>,
    pub(in crate::cli) claims: Vec<&'a Claim>,
    /// The Clusters of its namespace.
    pub(in crate::cli) clusters: Vec<&'a Arc<ClusterFacts>>,
}

impl Parts<'_> {
    pub(in crate::cli) fn births(&self) -> Births {
        let addresses = self.addresses.iter();
        let mut addresses: Vec<Timestamp> = addresses.map(|a| a.meta.created()).collect();
        addresses.sort_unstable();
        Births {
            pool: self.pool.map(|pool| pool.meta.created()),
            addresses,
        }
    }
}

impl Fed {
    /// Every pool, and every name of a pool that a claim or an address gives and no pool has, by key.
    pub(in crate::cli) fn all(
        objects: &Objects,
        watch_filter: Option<&str>,
        now: Timestamp,
    ) -> Vec<Self> {
        let mut pools: BTreeMap<PoolKey, Parts<'_>> = BTreeMap::new();
        for pool in &objects.pools {
            pools.entry(pool.key()).or_default().pool = Some(pool);
        }
        for address in &objects.addresses {
            let parts = pools.entry(address.pool_key()).or_default();
            parts.addresses.push(address);
        }
        for claim in &objects.claims {
            let parts = pools.entry(claim.pool_key()).or_default();
            parts.claims.push(claim);
        }
        let mut clusters: BTreeMap<&str, Vec<&Arc<ClusterFacts>>> = BTreeMap::new();
        for (namespace, facts) in &objects.clusters {
            clusters.entry(namespace).or_default().push(facts);
        }
        let feed = |(key, mut parts): (PoolKey, Parts<'_>)| {
            if let Some(known) = clusters.get(&*key.namespace) {
                parts.clusters.clone_from(known);
            }
            Self::of(key, &parts, objects.kinds, watch_filter, now)
        };
        let mut all: Vec<Self> = pools.into_iter().map(feed).collect();
        let mut creating = all
            .iter_mut()
            .filter(|fed| fed.creates().next().is_some())
            .peekable();
        if creating.peek().is_some() {
            let name = |address: &'_ Address| (address.meta.namespace.clone(), address.key());
            let known = objects.addresses.iter().chain(&objects.namesakes);
            let by_name: HashMap<_, _> = known.map(|address| (name(address), address)).collect();
            for fed in creating {
                let namespace = fed.key.namespace.clone();
                let named =
                    |name: &AddressKey| by_name.get(&(namespace.clone(), name.clone())).copied();
                fed.refuse_taken_names(named, watch_filter, now);
            }
        }
        all
    }

    /// One pool, from its own objects.
    pub(in crate::cli) fn of(
        key: PoolKey,
        parts: &Parts<'_>,
        kinds: Kinds,
        watch_filter: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let Parts {
            pool,
            addresses,
            claims,
            clusters,
        } = parts;
        let mut inputs = Vec::new();
        if let Some(pool) = *pool {
            let scope = Scope::of(&pool.meta, watch_filter);
            let problems = match &pool.spec {
                Ok(spec) => pool_problems(spec)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                Err(_) => Vec::new(),
            };
            let object = Box::new(pool.clone());
            inputs.push(Input::Seen(Object::Pool {
                object,
                problems,
                scope,
            }));
        }
        for address in addresses {
            let scope = Scope::of(&address.meta, watch_filter);
            let address = Box::new((*address).clone());
            inputs.push(Input::Seen(Object::Address { address, scope }));
        }
        for claim in claims {
            let scope = Scope::of(&claim.meta, watch_filter);
            let claim = Box::new((*claim).clone());
            inputs.push(Input::Seen(Object::Claim { claim, scope }));
        }
        let known = clusters.iter().copied().cloned();
        inputs.extend(known.map(Input::ClusterSeen));
        inputs.push(Input::Kinds(kinds));
        Self {
            births: parts.births(),
            ..Self::one(key, inputs, now)
        }
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
            births: Births::default(),
        };
        for input in inputs {
            fed.count(&input);
            fed.effects.extend(fed.pool.step(input, now));
        }
        fed
    }

    /// Names of the address objects that it would create.
    pub(in crate::cli) fn creates(&self) -> impl Iterator<Item = AddressKey> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Request(_, Request::CreateAddress(new)) => Some(name_of(new)),
            _ => None,
        })
    }

    /// Answers the creates that the server would refuse, because other objects have their names (A12). `named`: the object of a name.
    pub(in crate::cli) fn refuse_taken_names<'a>(
        &mut self,
        named: impl Fn(&AddressKey) -> Option<&'a Address>,
        watch_filter: Option<&str>,
        now: Timestamp,
    ) {
        let mut effects = VecDeque::from(std::mem::take(&mut self.effects));
        let mut statuses = Vec::new();
        let mut read = BTreeSet::new();
        let mut refused = false;
        while let Some(effect) = effects.pop_front() {
            let answer = match &effect {
                Effect::Request(id, Request::CreateAddress(new))
                    if named(&name_of(new)).is_some() =>
                {
                    refused = true;
                    Some((*id, Outcome::NameTaken))
                }
                // Once each: what a second answer of the same would change is nothing.
                Effect::Request(id, Request::ReadAddress { key }) if read.insert(key.clone()) => {
                    named(key).map(|address| {
                        let take = if address.pool_key() == self.key {
                            Take::In
                        } else {
                            Take::LeaveOut
                        };
                        let scope = Scope::of(&address.meta, watch_filter);
                        let address = Box::new(address.clone());
                        let object = Object::Address { address, scope };
                        (*id, Outcome::Stored(object, take))
                    })
                }
                Effect::Request(id, Request::PoolStatus { .. }) => {
                    statuses.push(*id);
                    None
                }
                _ => None,
            };
            match answer {
                Some((id, outcome)) => {
                    effects.extend(self.pool.step(Input::Answer { id, outcome }, now));
                }
                None => self.effects.push(effect),
            }
        }
        if refused {
            // A status that was decided on before is another one now.
            self.effects
                .retain(|effect| !matches!(effect, Effect::Request(_, Request::PoolStatus { .. })));
            for id in statuses {
                let outcome = Outcome::Withdrawn;
                let effects = self.pool.step(Input::Answer { id, outcome }, now);
                self.effects.extend(effects);
            }
        }
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

fn name_of(new: &NewAddress) -> AddressKey {
    AddressKey {
        kind: new.kind,
        name: new.name.clone(),
    }
}
