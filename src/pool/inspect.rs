//! What people ask of a pool: who has an address, what waits, how much of each entry is used, which addresses come next.
//! Nothing here changes the pool.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::alloc::{Counts, Location};
use crate::api::metal3::AllocationStrategy;
use crate::api::{AddressKey, ClaimKey};

use super::machine::Pool;
use super::next::Asking;
use super::space::Holder;

/// What a pool knows of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it lies.
    pub place: Location,
    /// Whether automatic allocation could hand it out now.
    pub is_free: bool,
    /// Who has it, or keeps it back.
    pub holders: Vec<Held>,
}

/// One reason why an address is not free for every claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// An address object has it, for the claim that the object names.
    Object(AddressKey, Option<ClaimKey>),
    /// The claim is about to get it.
    Next(ClaimKey),
    /// The claim's status shows it, and its address object is missing.
    Shown(ClaimKey),
    /// An address object that the pool's claims cannot use has the name that this pool needs for it.
    NameTaken(AddressKey),
    /// It is a gateway of the pool.
    Gateway,
    /// The pool's `preAllocations` promise it to claims of this name.
    PreAllocated(Arc<str>),
}

/// How much of one entry of `spec.pools` is used. Addresses that it shares with an earlier entry are counted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryUse {
    /// Its place in `spec.pools`, from 0.
    pub index: usize,
    /// Its addresses: `used` by somebody, `free`, or `reserved`, as the pool's status counts them.
    pub counts: Counts,
}

/// A claim without an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingClaim {
    /// Which claim.
    pub key: ClaimKey,
    /// As its condition has it; `Paused` and `Pending` are in no condition.
    pub reason: &'static str,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// Whether there is a claim that an address object names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It lives.
    Living,
    /// It is being deleted.
    Deleting,
    /// None of the pool's claims has the name.
    Missing,
    /// Claims of its kind are not listed.
    Unknown,
}

impl Pool {
    /// What the message of the condition `Ready` says, as it would be written now; `None` when the pool is ready. What the server
    /// refuses of a change to a pool that serves claims is not said here.
    pub fn why_unready(&self) -> Option<String> {
        let is_unready = self.ready().is_err();
        let mut conditions = self.conditions().into_iter().filter(|_| is_unready);
        conditions.find(|c| c.type_ == "Ready").map(|c| c.message)
    }

    /// Whether this claim of the pool exists.
    pub fn named(&self, claim: &ClaimKey) -> Named {
        let case = self.cases.get(claim);
        match case.and_then(|case| case.claim.as_deref()) {
            Some(claim) if claim.deleted.is_some() => Named::Deleting,
            Some(_) => Named::Living,
            None if self.is_served(claim.kind) => Named::Missing,
            None => Named::Unknown,
        }
    }

    /// What is known of an address.
    pub fn standing(&self, address: IpAddr) -> Standing {
        let holders = self.space.of(address).iter();
        Standing {
            place: self.space.locate(address),
            is_free: self.space.allocator().is_free(address),
            holders: holders.map(|holder| self.held(holder)).collect(),
        }
    }

    /// Every address that is held or kept back, in order.
    pub fn held_addresses(&self) -> impl Iterator<Item = (IpAddr, Vec<Held>)> {
        self.space.all().map(|(address, holders)| {
            let holders = holders.iter().map(|holder| self.held(holder));
            (address, holders.collect())
        })
    }

    fn held(&self, holder: &Holder) -> Held {
        match holder {
            Holder::Object(key) => {
                let claim = self.addresses.get(key).map(|object| &object.claim);
                let claim = claim.filter(|name| !name.is_empty());
                let kind = key.kind;
                let claim = claim.cloned().map(|name| ClaimKey { kind, name });
                Held::Object(key.clone(), claim)
            }
            Holder::Attempt(claim) => Held::Next(claim.clone()),
            Holder::Shown(claim) => Held::Shown(claim.clone()),
            Holder::NameTaken(key) => Held::NameTaken(key.clone()),
            Holder::Gateway => Held::Gateway,
            Holder::PreAllocated(name) => Held::PreAllocated(name.clone()),
        }
    }

    /// Each entry that has addresses, in the order that they are handed out in.
    pub fn entries(&self) -> Vec<EntryUse> {
        let kept_back = self.space.kept_back_by_entry();
        let entries = self.space.allocator().counts_by_entry();
        let entries = entries.map(|(index, mut counts)| {
            // For the allocator, which has to leave them out, they are used.
            let kept = kept_back.get(&index).copied().unwrap_or(0);
            counts.used -= kept;
            counts.reserved += kept;
            EntryUse { index, counts }
        });
        entries.collect()
    }

    /// Every claim without an address, by key.
    pub fn waiting_claims(&self) -> impl Iterator<Item = WaitingClaim> {
        self.cases.iter().filter_map(|(key, case)| {
            let wait = case.work().wait.as_deref()?;
            Some(WaitingClaim {
                key: key.clone(),
                reason: wait.state.text(),
                created: case.claim.as_deref().map(|claim| claim.created),
            })
        })
    }

    /// Why a claim has no address, as its condition has it; `None` when it has one, or asks for none.
    pub fn waits_for(&self, claim: &ClaimKey) -> Option<&'static str> {
        let wait = self.cases.get(claim)?.work().wait.as_deref()?;
        Some(wait.state.text())
    }

    /// The same with the condition's message, as it would be written now; whatever was asked of the API server meanwhile.
    pub fn explains(&self, key: &ClaimKey) -> Option<(&'static str, String)> {
        let case = self.cases.get(key)?;
        let claim = case.claim.as_deref()?;
        let asking = self.assess_asking(key, case, claim).asking?;
        let state = asking.state().text();
        match asking {
            Asking::Waits(waiting) => Some((state, waiting.message)),
            Asking::Counted(_) => Some((state, String::new())),
        }
    }

    /// From which entries the next claims, this many, would get their addresses: each entry's index and how many. Fewer than
    /// were asked for when the pool ends before.
    pub fn next_entries(&self, claims: u128) -> Vec<(usize, u128)> {
        let mut left = claims;
        let mut taken = Vec::new();
        for entry in self.entries() {
            let some = entry.counts.free.min(left);
            if some > 0 {
                taken.push((entry.index, some));
                left -= some;
            }
        }
        taken
    }

    /// The addresses that the next claims, at most this many, would get, in their order. `None` where chance decides.
    pub fn next_addresses(&self, claims: usize) -> Option<Vec<IpAddr>> {
        let strategy = self.ippool.record.as_ref()?.terms.strategy;
        if strategy == AllocationStrategy::Random {
            return None;
        }
        let mut allocator = self.space.allocator().clone();
        let addresses = std::iter::from_fn(|| allocator.take_first());
        Some(addresses.take(claims).map(|picked| picked.addr).collect())
    }
}
