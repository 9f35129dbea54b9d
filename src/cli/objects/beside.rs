//! Pools beside each other, and their specs beside the addresses that are held: what no single pool's state machine judges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Objects;
use crate::admission::covered;
use crate::alloc::{Coverage, Family, Range};
use crate::api::{Address, PoolKey, PoolObject, names};

/// What the pools cover and hold.
pub(in crate::cli) struct Beside<'a> {
    objects: &'a Objects,
    /// Of each pool, in the order of the objects.
    ranges: Vec<Coverage>,
    held: BTreeMap<PoolKey, Vec<&'a Address>>,
}

impl<'a> Beside<'a> {
    pub(in crate::cli) fn new(objects: &'a Objects) -> Self {
        let ranges = |pool: &PoolObject| pool.spec.as_ref().map(covered).unwrap_or_default();
        let mut held: BTreeMap<PoolKey, Vec<&Address>> = BTreeMap::new();
        for address in &objects.addresses {
            held.entry(address.pool_key()).or_default().push(address);
        }
        Self {
            ranges: objects.pools.iter().map(ranges).collect(),
            objects,
            held,
        }
    }

    /// The address objects that name a pool.
    pub(in crate::cli) fn held(&self, pool: &PoolKey) -> &[&'a Address] {
        self.held.get(pool).map(Vec::as_slice).unwrap_or_default()
    }

    /// What each pool covers, by its key.
    pub(in crate::cli) fn ranges(&self) -> BTreeMap<PoolKey, &Coverage> {
        let pools = self.objects.pools.iter().map(PoolObject::key);
        pools.zip(&self.ranges).collect()
    }

    /// Pools whose ranges meet, over all namespaces, with a common address; each pair once.
    pub(in crate::cli) fn overlaps(&self) -> Vec<(&'a PoolObject, &'a PoolObject, IpAddr)> {
        let mut sorted: Vec<(Range, usize)> = self
            .ranges
            .iter()
            .enumerate()
            .flat_map(|(pool, covered)| covered.ranges().iter().map(move |range| (*range, pool)))
            .collect();
        sorted.sort_by_key(|(range, _)| (range.first(), range.last()));
        let mut open: Vec<(Range, usize)> = Vec::new();
        let mut pairs: BTreeMap<(usize, usize), IpAddr> = BTreeMap::new();
        for (range, pool) in sorted {
            open.retain(|(other, _)| {
                Family::of(other.first()) == Family::of(range.first())
                    && other.last() >= range.first()
            });
            for (_, other) in &open {
                if *other != pool {
                    let pair = (pool.min(*other), pool.max(*other));
                    pairs.entry(pair).or_insert(range.first());
                }
            }
            open.push((range, pool));
        }
        let pools = &self.objects.pools;
        let pair = |((one, other), at): ((usize, usize), IpAddr)| (&pools[one], &pools[other], at);
        pairs.into_iter().map(pair).collect()
    }

    /// Address objects whose name another pool of the namespace would give to the same address, with that pool.
    pub(in crate::cli) fn collisions(&self) -> Vec<(&'a Address, IpAddr, &'a PoolObject)> {
        let mut by_prefix: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (number, pool) in self.objects.pools.iter().enumerate() {
            if let Ok(spec) = &pool.spec {
                let key = (&*pool.meta.namespace, &*spec.name_prefix);
                by_prefix.entry(key).or_default().push(number);
            }
        }
        let mut collisions = Vec::new();
        for object in &self.objects.addresses {
            let (Ok(address), meta) = (&object.address, &object.meta) else {
                continue;
            };
            let suffix = names::address_name("", *address);
            let Some(prefix) = meta.name.strip_suffix(&*suffix) else {
                continue;
            };
            let others = by_prefix.get(&(&*meta.namespace, prefix));
            for number in others.into_iter().flatten() {
                let pool = &self.objects.pools[*number];
                if pool.meta.name != object.pool && self.ranges[*number].contains(*address) {
                    collisions.push((object, *address, pool));
                }
            }
        }
        collisions
    }

    /// Addresses of a pool that are promised to one claim and held by another one (A8).
    pub(in crate::cli) fn promised_to_others(
        &self,
        pool: &'a PoolObject,
    ) -> Vec<(&'a str, IpAddr, &'a Address)> {
        let Ok(spec) = &pool.spec else {
            return Vec::new();
        };
        let mut at: BTreeMap<IpAddr, Vec<&'a Address>> = BTreeMap::new();
        for address in self.held(&pool.key()) {
            if let Ok(ip) = address.address {
                at.entry(ip).or_default().push(address);
            }
        }
        let mut promised = Vec::new();
        for (claim, text) in &spec.pre_allocations {
            let Ok(ip) = text.0.parse::<IpAddr>() else {
                continue;
            };
            for holder in at.get(&ip).into_iter().flatten() {
                if *holder.claim != **claim {
                    promised.push((&**claim, ip, *holder));
                }
            }
        }
        promised
    }

    /// Held addresses of a pool that are gateways: upstream hands them out, we do not (A7).
    pub(in crate::cli) fn gateways(&self, pool: &PoolObject) -> Vec<(&'a Address, IpAddr)> {
        let Ok(spec) = &pool.spec else {
            return Vec::new();
        };
        let texts = spec.pools.iter().map(|entry| &entry.gateway);
        let texts = texts.chain([&spec.gateway]).flatten();
        let gateways: BTreeSet<IpAddr> = texts.filter_map(|text| text.0.parse().ok()).collect();
        let held = self.held(&pool.key()).iter();
        held.filter_map(|address| Some((*address, *address.address.as_ref().ok()?)))
            .filter(|(_, ip)| gateways.contains(ip))
            .collect()
    }
}
