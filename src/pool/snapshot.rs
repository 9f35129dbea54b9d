//! What others may see of a pool: a value, replaced whole.

use std::collections::BTreeMap;

use crate::api::{PoolKey, Uid};

use super::machine::Pool;
use super::problem::ProblemKind;

/// A pool at one moment, for metrics, health and the command line. Numbers are addresses unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Which pool.
    pub key: PoolKey,
    /// Which incarnation of the pool object exists, if any.
    pub uid: Option<Uid>,
    /// Whether the pool object is another manager's, by its watch filter (P4): that one shows it.
    pub of_another_manager: bool,
    /// In the ranges, excluded ones not counted.
    pub capacity: u128,
    /// In the ranges, and held by something other than a gateway or a pre-allocation alone.
    pub allocated: u128,
    /// What the next claims can get.
    pub available: u128,
    /// In the ranges, kept back and not handed out.
    pub reserved: u128,
    /// Held outside the ranges.
    pub out_of_range: u64,
    /// Claims without an address, by the reason in their condition.
    pub waiting: BTreeMap<&'static str, u64>,
    /// Claims known, in whatever phase.
    pub claims: u64,
    /// Requests without an answer.
    pub in_flight: u64,
    /// Whether the pool's status is to be written, and nothing but time is in its way. While the API server refuses it, this is
    /// false.
    pub status_waits: bool,
    /// Reason of the `Ready` condition; `Ready` itself when it holds.
    pub ready: Result<(), &'static str>,
    /// Cluster that the pool belongs to.
    pub cluster: Option<String>,
    /// `sequential` or `random`.
    pub strategy: &'static str,
    /// `IPv4`, `IPv6`, `dual` or `none`.
    pub family: &'static str,
    /// Consistency problems by kind.
    pub problems: BTreeMap<ProblemKind, u64>,
}

impl Snapshot {
    /// Whether the pool object exists.
    pub fn exists(&self) -> bool {
        self.uid.is_some()
    }
}

impl Pool {
    /// The pool as it is now, from counters that are kept up to date: the cost does not depend on the number of claims.
    pub fn snapshot(&self) -> Snapshot {
        let numbers = self.space.numbers();
        let terms = self.ippool.record.as_ref().map(|pool| &pool.terms);
        let cluster = terms.and_then(|terms| terms.cluster.as_deref());
        Snapshot {
            key: self.key.clone(),
            uid: self.ippool.record.as_ref().map(|pool| pool.uid.clone()),
            of_another_manager: self.is_of_another_manager(),
            capacity: numbers.capacity,
            allocated: numbers.allocated,
            available: numbers.available,
            reserved: numbers.reserved,
            out_of_range: numbers.outside,
            waiting: self.counts.waiting().clone(),
            claims: self.counts.claims,
            in_flight: self.flights.len() as u64,
            status_waits: self.status_waits(),
            ready: self.unready().map_or(Ok(()), Err),
            cluster: cluster.map(str::to_owned),
            strategy: terms.map_or("sequential", |terms| terms.strategy_name()),
            family: terms.map_or("none", |terms| terms.family_name()),
            problems: self.counts.problem_kinds().clone(),
        }
    }
}
