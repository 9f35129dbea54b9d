//! What the rules may ask about the namespace.

use std::net::IpAddr;

use serde_json::Value;

use crate::alloc::Coverage;
use crate::api::PoolKey;

/// An address, and the address object that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address.
    pub address: IpAddr,
    /// What holds it, as people would look for it: `IPAddress default/x (claim y)`.
    pub by: String,
    /// It is an address object whose claim does not exist (A5): nobody gets the address from the pool.
    pub is_external: bool,
}

/// Facts about the namespace as it is now. They are asked for only when a rule needs them, so an implementation may fetch
/// on demand.
pub trait Live {
    /// Every address object of the pool, of either kind. Asked when a write takes addresses out of the pool's ranges.
    fn holders(&self, pool: &PoolKey) -> Vec<Holder>;

    /// The address objects of the pool that have this address. Asked when an IPAddress is created, so that a store with an
    /// index by address should answer from it.
    fn holders_of(&self, pool: &PoolKey, address: IpAddr) -> Vec<Holder> {
        let mut holders = self.holders(pool);
        holders.retain(|h| h.address == address);
        holders
    }

    /// Every other pool of the namespace that covers one of these addresses, with the lowest such address. Asked when a write
    /// adds ranges, so that a store with an index by range should answer from it.
    fn overlaps(&self, pool: &PoolKey, added: &Coverage) -> Vec<(String, IpAddr)>;

    /// `spec.poolRef` of an IPAddressClaim of Cluster API, if it exists. Asked when such an IPAddress is created.
    fn claim_pool_ref(&self, namespace: &str, claim: &str) -> Option<Value>;
}

/// Knows nothing: for judging an object by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Live for NoFacts {
    fn holders(&self, _: &PoolKey) -> Vec<Holder> {
        Vec::new()
    }

    fn overlaps(&self, _: &PoolKey, _: &Coverage) -> Vec<(String, IpAddr)> {
        Vec::new()
    }

    fn claim_pool_ref(&self, _: &str, _: &str) -> Option<Value> {
        None
    }
}
