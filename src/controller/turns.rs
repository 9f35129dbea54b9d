//! Whose request is sent next: namespaces take turns, and within each its pools, so that neither a pool with 10,000 requests nor a
//! namespace with 10,000 pools can starve another.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::api::PoolKey;

/// What waits, by pool.
#[derive(Debug)]
pub(super) struct Turns<T> {
    /// Of each pool that has a turn. All of them may have been withdrawn.
    waiting: HashMap<PoolKey, VecDeque<T>>,
    /// Those pools of each namespace, in the order of their turns. None is empty.
    pools: HashMap<Arc<str>, VecDeque<PoolKey>>,
    /// Those namespaces, in the order of their turns.
    namespaces: VecDeque<Arc<str>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            pools: HashMap::new(),
            namespaces: VecDeque::new(),
        }
    }
}

impl<T> Turns<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    pub(super) fn push(&mut self, pool: &PoolKey, job: T) {
        if let Some(waiting) = self.waiting.get_mut(pool) {
            waiting.push_back(job);
            return;
        }
        self.waiting.insert(pool.clone(), VecDeque::from([job]));
        match self.pools.entry(pool.namespace.clone()) {
            Entry::Occupied(mut pools) => pools.get_mut().push_back(pool.clone()),
            Entry::Vacant(place) => {
                self.namespaces.push_back(pool.namespace.clone());
                place.insert(VecDeque::from([pool.clone()]));
            }
        }
    }

    /// The oldest of the pool whose turn it is in the namespace whose turn it is; both then go to the end.
    pub(super) fn pop(&mut self) -> Option<T> {
        while let Some(namespace) = self.namespaces.pop_front() {
            let Entry::Occupied(mut pools) = self.pools.entry(namespace.clone()) else {
                continue;
            };
            let job = pools.get_mut().pop_front().and_then(|pool| {
                let waiting = self.waiting.get_mut(&pool)?;
                let job = waiting.pop_front();
                if waiting.is_empty() {
                    self.waiting.remove(&pool);
                } else {
                    pools.get_mut().push_back(pool);
                }
                job
            });
            if pools.get().is_empty() {
                pools.remove();
            } else {
                self.namespaces.push_back(namespace);
            }
            if job.is_some() {
                return job;
            }
        }
        None
    }

    /// Takes out what still waits. The turn of its pool stays, so that this is fast with many pools.
    pub(super) fn withdraw(&mut self, pool: &PoolKey, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let waiting = self.waiting.get_mut(pool)?;
        let place = waiting.iter().position(is_it)?;
        waiting.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(namespace: &str, name: &str) -> PoolKey {
        PoolKey {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn all(turns: &mut Turns<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn namespaces_take_turns_and_their_pools_within_them() {
        let mut turns = Turns::default();
        for job in ["x1", "x2"] {
            turns.push(&pool("many", "x"), job);
        }
        turns.push(&pool("many", "y"), "y1");
        turns.push(&pool("many", "z"), "z1");
        for job in ["p1", "p2"] {
            turns.push(&pool("few", "p"), job);
        }
        assert_eq!(all(&mut turns), ["x1", "p1", "y1", "p2", "z1", "x2"]);
        assert!(turns.is_empty() && turns.pools.is_empty() && turns.waiting.is_empty());
    }

    #[test]
    fn a_namespace_of_ten_thousand_pools_delays_another_by_one_request() {
        let mut turns = Turns::default();
        for n in 0..10_000 {
            turns.push(&pool("evil", &n.to_string()), "evil");
        }
        for _ in 0..3 {
            turns.push(&pool("victim", "p"), "victim");
        }
        let first: Vec<_> = (0..6).filter_map(|_| turns.pop()).collect();
        assert_eq!(
            first,
            ["evil", "victim", "evil", "victim", "evil", "victim"]
        );
    }

    #[test]
    fn what_is_withdrawn_takes_no_turn() {
        let mut turns = Turns::default();
        turns.push(&pool("a", "p"), "a1");
        turns.push(&pool("b", "p"), "b1");
        turns.push(&pool("a", "q"), "a2");
        assert_eq!(turns.withdraw(&pool("a", "p"), |job| *job == "a2"), None);
        assert_eq!(
            turns.withdraw(&pool("a", "p"), |job| *job == "a1"),
            Some("a1")
        );
        turns.push(&pool("a", "p"), "a3");
        assert_eq!(all(&mut turns), ["a3", "b1", "a2"]);
        assert!(turns.is_empty() && turns.pools.is_empty() && turns.waiting.is_empty());
    }
}
