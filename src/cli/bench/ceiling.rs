//! What an API server itself takes: the three writes that bind a claim and the three that release it, with the same bodies,
//! paths and transport as the writer's, sent with no controller around them. `metal3-ipam bench` measures the controller
//! against this.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Client;
use tokio::sync::Semaphore;

use crate::api::{AddressKey, Claim, ClaimKind, Kind, Meta, PoolKey, Uid, names};
use crate::controller::{Counters, Direct};
use crate::pool::{ClaimStatus, NewAddress, Request};

/// Sends the writes of many claims, so many at once.
pub(super) struct Ceiling {
    direct: Direct,
    slots: Semaphore,
}

/// The pool that claims are bound in.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) key: PoolKey,
    pub(super) uid: Uid,
    pub(super) prefix: Option<u8>,
}

impl Ceiling {
    /// Finds out which versions the server has.
    ///
    /// # Errors
    /// A line for people.
    pub(super) async fn new(client: Client, in_flight: usize) -> Result<Self, String> {
        Ok(Self {
            direct: Direct::new(client).await?,
            slots: Semaphore::new(in_flight),
        })
    }

    async fn send(&self, pool: &PoolKey, request: &Request) -> Result<Meta, String> {
        let _slot = self.slots.acquire().await;
        self.direct.send(pool, request).await
    }

    /// Binds one claim to an address: its finalizer, unless it has that, the address object, its status; each after the answer
    /// to the one before. Tells what the address object was stored as.
    ///
    /// # Errors
    /// A line for people when a write is refused or has no answer.
    pub(super) async fn bind(
        &self,
        target: &Target,
        claim: &Claim,
        object: &AddressKey,
        address: IpAddr,
    ) -> Result<Meta, String> {
        let finalizer = claim.kind.claim_finalizer();
        let mut generation = claim.meta.generation;
        let mut resource_version = claim.meta.resource_version.clone();
        if !claim.meta.has_finalizer(finalizer) {
            let put_in = Request::ClaimFinalizers {
                key: claim.key(),
                uid: claim.meta.uid.clone(),
                resource_version,
                finalizers: vec![finalizer.to_owned()],
            };
            let stored = self.send(&target.key, &put_in).await?;
            (generation, resource_version) = (stored.generation, stored.resource_version);
        }
        let new = NewAddress {
            kind: claim.kind,
            name: object.name.clone(),
            labels: claim.meta.labels.clone(),
            claim: claim.meta.name.clone(),
            claim_uid: claim.meta.uid.clone(),
            pool_uid: target.uid.clone(),
            address,
            prefix: target.prefix,
            gateway: None,
            dns_servers: Vec::new(),
        };
        let created = self
            .send(&target.key, &Request::CreateAddress(Box::new(new)))
            .await?;
        let status = ClaimStatus {
            published: Some(Some(object.name.clone())),
            ip_address: (claim.kind == ClaimKind::Metal3).then_some(Some(address)),
            error_message: None,
            conditions: Some(vec![ready(generation)]),
            old_conditions: Vec::new(),
        };
        let publish = Request::ClaimStatus {
            key: claim.key(),
            uid: claim.meta.uid.clone(),
            resource_version,
            status,
        };
        self.send(&target.key, &publish).await?;
        Ok(created)
    }

    /// Releases a claim that is being deleted: its address object deleted, the finalizer off that, the finalizer off the claim.
    ///
    /// # Errors
    /// A line for people when a write is refused or has no answer.
    pub(super) async fn release(
        &self,
        target: &Target,
        claim: &Claim,
        object: AddressKey,
        stored: &Meta,
    ) -> Result<(), String> {
        let delete = Request::DeleteAddress {
            key: object.clone(),
            uid: stored.uid.clone(),
            resource_version: stored.resource_version.clone(),
        };
        let deleting = self.send(&target.key, &delete).await?;
        let let_go = Request::AddressMeta {
            key: object,
            uid: stored.uid.clone(),
            resource_version: deleting.resource_version,
            finalizers: Some(Vec::new()),
            owner_references: None,
        };
        self.send(&target.key, &let_go).await?;
        let release = Request::ClaimFinalizers {
            key: claim.key(),
            uid: claim.meta.uid.clone(),
            resource_version: claim.meta.resource_version.clone(),
            finalizers: Vec::new(),
        };
        self.send(&target.key, &release).await?;
        Ok(())
    }
}

/// What the controller writes of a bound claim.
fn ready(generation: i64) -> Condition {
    let now = Timestamp::now();
    Condition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        reason: "AddressAllocated".to_owned(),
        message: String::new(),
        observed_generation: Some(generation),
        last_transition_time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    }
}

/// Writes and reads that a controller has sent for claims and address objects, and its writes of pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sent {
    pub(super) claim_writes: u64,
    pub(super) pool_writes: u64,
    pub(super) reads: u64,
}

impl Sent {
    /// What was sent since then.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            claim_writes: self.claim_writes - before.claim_writes,
            pool_writes: self.pool_writes - before.pool_writes,
            reads: self.reads - before.reads,
        }
    }

    pub(super) fn of(counters: &Counters) -> Self {
        let mut sent = Self::default();
        for ((verb, kind, _), n) in &counters.requests {
            match (verb.is_write(), kind) {
                (false, _) => sent.reads += n,
                (true, Kind::Pools) => sent.pool_writes += n,
                (true, Kind::Claims(_) | Kind::Addresses(_) | Kind::Clusters) => {
                    sent.claim_writes += n;
                }
            }
        }
        sent
    }
}

/// The name that the controller gives an address object of a pool.
pub(super) fn object_name(kind: ClaimKind, prefix: &str, address: IpAddr) -> AddressKey {
    AddressKey {
        kind,
        name: Arc::from(names::address_name(prefix, address)),
    }
}
