//! Pools beside each other, and their specs beside the addresses that are held: what no single pool's state machine judges.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;

use super::Objects;
use crate::admission::covered;
use crate::alloc::{Coverage, Range};
use crate::api::{Address, PoolKey, PoolObject, names};

/// What the pools cover and hold.
pub(in crate::cli) struct Beside<'a> {
    objects: &'a Objects,
    /// Of each pool, in the order of the objects.
    ranges: Vec<Coverage>,
    held: BTreeMap<PoolKey, Vec<&'a Address>>,
}

/// Other pools that one names among those that it has addresses in common with.
pub(in crate::cli) const MOST_NAMED: usize = 3;

/// A pool, and those that have addresses in common with it. Displayed as the end of a sentence about the pool.
pub(in crate::cli) struct Overlap<'a> {
    pub(in crate::cli) pool: &'a PoolObject,
    /// At most [`MOST_NAMED`], each with an address that both have.
    pub(in crate::cli) others: Vec<(&'a PoolObject, IpAddr)>,
    /// Whether there are more.
    pub(in crate::cli) has_more: bool,
}

/// A sweep over all pools' ranges in the order of their first addresses. Its cost grows with the ranges and with the pairs that are
/// noted, not with the pairs that meet: of two pools the first in order notes the other, and stops at one more than it names.
#[derive(Default)]
struct Sweep {
    /// Pools with a range that covers the address where the sweep is, and how many such ranges.
    open: BTreeMap<usize, usize>,
    /// Those of interest.
    open_of_interest: BTreeSet<usize>,
    /// Open pools that still note others.
    unsatisfied: BTreeSet<usize>,
    /// Those of interest.
    unsatisfied_of_interest: BTreeSet<usize>,
    /// Ends of open ranges, the first end on top.
    ends: BinaryHeap<Reverse<(IpAddr, usize)>>,
    /// Of each pool that has noted any, the others, each with a common address.
    met: BTreeMap<usize, BTreeMap<usize, IpAddr>>,
}

impl Sweep {
    /// Closes ranges that end before this address.
    fn close_before(&mut self, address: IpAddr) {
        while let Some(Reverse((end, pool))) = self.ends.peek().copied()
            && end < address
        {
            self.ends.pop();
            let open = self.open.entry(pool).or_default();
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&pool);
                self.open_of_interest.remove(&pool);
                self.leave_alone(pool);
            }
        }
    }

    fn leave_alone(&mut self, pool: usize) {
        self.unsatisfied.remove(&pool);
        self.unsatisfied_of_interest.remove(&pool);
    }

    /// Opens a range of a pool, and notes the pools that it meets.
    fn open(&mut self, range: Range, pool: usize, of_interest: bool) {
        let at = range.first();
        let full = |met: &BTreeMap<usize, IpAddr>| met.len() > MOST_NAMED;
        // Pools before it in order note it.
        let unsatisfied = if of_interest {
            &self.unsatisfied
        } else {
            &self.unsatisfied_of_interest
        };
        let before: Vec<usize> = unsatisfied.range(..pool).copied().collect();
        for other in before {
            let met = self.met.entry(other).or_default();
            met.entry(pool).or_insert(at);
            if full(met) {
                self.leave_alone(other);
            }
        }
        // It notes pools after it in order.
        let after = (Bound::Excluded(pool), Bound::Unbounded);
        let everything = self.open.range(after).map(|(other, _)| *other);
        let interesting = self.open_of_interest.range(after).copied();
        let others = everything
            .filter(|_| of_interest)
            .chain(interesting.filter(|_| !of_interest));
        let mut is_full = self.met.get(&pool).is_some_and(full);
        for other in others {
            if is_full {
                break;
            }
            let met = self.met.entry(pool).or_default();
            met.entry(other).or_insert(at);
            is_full = full(met);
        }
        *self.open.entry(pool).or_default() += 1;
        if of_interest {
            self.open_of_interest.insert(pool);
        }
        if !is_full {
            self.unsatisfied.insert(pool);
            if of_interest {
                self.unsatisfied_of_interest.insert(pool);
            }
        }
        self.ends.push(Reverse((range.last(), pool)));
    }
}

impl fmt::Display for Overlap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("has addresses in common with ")?;
        for (number, (other, _)) in self.others.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}IPPool {}", other.key())?;
        }
        if self.has_more {
            f.write_str(" and others")?;
        }
        match self.others.first() {
            Some((_, at)) => write!(f, ", such as {at}"),
            None => Ok(()),
        }
    }
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

    /// Pools whose ranges meet, over all namespaces. Of each pair at least one must be `of_interest`, and the pool that comes first
    /// in the objects names the other. One network in each namespace is usual, so that pairs would be many: a pool names
    /// [`MOST_NAMED`] others.
    pub(in crate::cli) fn overlaps(
        &self,
        of_interest: impl Fn(&PoolObject) -> bool,
    ) -> Vec<Overlap<'a>> {
        let pools = &self.objects.pools;
        let mut sorted: Vec<(Range, usize)> = self
            .ranges
            .iter()
            .enumerate()
            .flat_map(|(pool, covered)| covered.ranges().iter().map(move |range| (*range, pool)))
            .collect();
        sorted.sort_by_key(|(range, _)| (range.first(), range.last()));
        let mut sweep = Sweep::default();
        for (range, pool) in sorted {
            sweep.close_before(range.first());
            sweep.open(range, pool, of_interest(&pools[pool]));
        }
        let overlap = |(pool, met): (usize, BTreeMap<usize, IpAddr>)| {
            let has_more = met.len() > MOST_NAMED;
            let named = met.into_iter().take(MOST_NAMED);
            Overlap {
                pool: &pools[pool],
                others: named.map(|(other, at)| (&pools[other], at)).collect(),
                has_more,
            }
        };
        sweep.met.into_iter().map(overlap).collect()
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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use serde_json::json;

    use super::*;

    fn pool(number: usize, ranges: &[(u16, u16)]) -> PoolObject {
        let ip = |n: u16| format!("10.0.{}.{}", n / 256, n % 256);
        let ranges = ranges
            .iter()
            .map(|(first, last)| json!({"start": ip(*first), "end": ip(*last)}));
        let ranges: Vec<_> = ranges.collect();
        let meta =
            json!({"namespace": "n", "name": format!("p{number}"), "uid": number.to_string()});
        let pool = json!({"metadata": meta, "spec": {"namePrefix": "p", "pools": ranges}});
        PoolObject::read(serde_json::from_value(pool).unwrap())
    }

    fn of(pools: Vec<PoolObject>) -> Objects {
        Objects {
            pools,
            ..Objects::default()
        }
    }

    #[test]
    fn a_pool_names_the_first_of_those_that_it_meets() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..300 {
            let count = rng.random_range(2..12_usize);
            let pools = (0..count).map(|number| {
                let ranges = (0..rng.random_range(1..4)).map(|_| {
                    let first = rng.random_range(1..300_u16);
                    (first, first + rng.random_range(0..40))
                });
                pool(number, &ranges.collect::<Vec<_>>())
            });
            let objects = of(pools.collect());
            let beside = Beside::new(&objects);
            let interesting: Vec<bool> = (0..count).map(|_| rng.random_bool(0.7)).collect();
            let number = |pool: &PoolObject| pool.meta.name[1..].parse::<usize>().unwrap();
            let overlaps = beside.overlaps(|pool| interesting[number(pool)]);
            for (one, is_interesting) in interesting.iter().enumerate() {
                let meets = |other: &usize| {
                    let ranges = beside.ranges[*other].ranges().iter();
                    let touches = |range: &Range| {
                        let of_one = beside.ranges[one].ranges().iter();
                        of_one
                            .clone()
                            .any(|r| r.first() <= range.last() && range.first() <= r.last())
                    };
                    (*is_interesting || interesting[*other]) && ranges.clone().any(touches)
                };
                let met: Vec<usize> = (one + 1..count).filter(meets).collect();
                let overlap = overlaps.iter().find(|o| number(o.pool) == one);
                assert_eq!(overlap.is_some(), !met.is_empty());
                let Some(overlap) = overlap else { continue };
                assert_eq!(overlap.others.len(), met.len().min(MOST_NAMED));
                assert_eq!(overlap.has_more, met.len() > MOST_NAMED);
                for (other, at) in &overlap.others {
                    assert!(met.contains(&number(other)));
                    let both = [one, number(other)];
                    assert!(both.iter().all(|pool| beside.ranges[*pool].contains(*at)));
                }
            }
        }
    }

    /// One provisioning network in each namespace: pairs would be 200 million.
    #[test]
    fn many_pools_with_one_range_give_a_finding_each() {
        const POOLS: usize = 20_000;
        let objects = of((0..POOLS).map(|number| pool(number, &[(1, 9)])).collect());
        let beside = Beside::new(&objects);
        for interest in [true, false] {
            let overlaps = beside.overlaps(|pool| interest || &*pool.meta.name == "p7");
            assert!(overlaps.len() < POOLS);
            let first = overlaps[0].to_string();
            let text = "has addresses in common with IPPool n/";
            assert!(
                first.starts_with(text) && first.ends_with(", such as 10.0.0.1"),
                "{first}"
            );
            assert_eq!(first.contains(" and others"), interest, "{first}");
        }
    }
}
