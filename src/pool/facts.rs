//! What a pool answers when the rules of admission ask about other objects: questions change nothing, and their cost is that
//! of what they return.

use std::net::IpAddr;
use std::sync::Arc;

use crate::alloc::Coverage;
use crate::api::names::holder_text;
use crate::api::{AddressKey, ClaimKey};

use super::machine::Pool;
use super::space::Holder;

/// A question about what a pool knows now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which addresses are in use?
    InUse,
    /// Which address objects have this address?
    ObjectsAt(IpAddr),
    /// Does the pool cover one of these addresses?
    Meets(Arc<Coverage>),
    /// Does this claim exist, and is its reference one to a pool of ours?
    IsAskedBy(ClaimKey),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// To [`Question::InUse`] and [`Question::ObjectsAt`].
    InUse(Vec<InUse>),
    /// To [`Question::Meets`]: the lowest such address. `None` also when there is no pool object.
    Meets(Option<IpAddr>),
    /// To [`Question::IsAskedBy`].
    IsAsked(bool),
}

/// An address in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The address.
    pub address: IpAddr,
    /// By what, as people would look for it: `IPAddress default/x (claim y)`.
    pub by: String,
    /// By an address object whose claim does not exist (A5).
    pub is_external: bool,
}

impl Pool {
    /// Answers a question.
    pub fn fact(&self, question: &Question) -> Fact {
        match question {
            Question::InUse => {
                let held = self.space.all().flat_map(|(address, holders)| {
                    let in_use = move |h| self.in_use(address, h);
                    holders.iter().filter_map(in_use)
                });
                let shown = self.shown_unheld().into_iter();
                let unheld = shown
                    .filter_map(|(claim, address)| self.in_use(address, &Holder::Shown(claim)));
                Fact::InUse(held.chain(unheld).collect())
            }
            Question::ObjectsAt(address) => {
                let objects = self.space.of(*address).iter();
                let objects = objects.filter(|h| matches!(h, Holder::Object(_)));
                let in_use = |h| self.in_use(*address, h);
                Fact::InUse(objects.filter_map(in_use).collect())
            }
            Question::Meets(ranges) => {
                let exists = self.ippool.record.is_some();
                Fact::Meets(exists.then(|| self.space.meets(ranges)).flatten())
            }
            Question::IsAskedBy(claim) => {
                let case = self.cases.get(claim);
                let claim = case.and_then(|case| case.claim.as_deref());
                Fact::IsAsked(claim.is_some_and(|claim| claim.fault.is_none()))
            }
        }
    }

    /// What an address is in use by; `None` when this holder only keeps it back.
    fn in_use(&self, address: IpAddr, holder: &Holder) -> Option<InUse> {
        let namespace: &Arc<str> = &self.key.namespace;
        let is_external = matches!(holder, Holder::Object(key) if !self.has_claim(key));
        let by = match holder {
            Holder::Object(key) => {
                let claim = self.addresses.get(key).map_or("", |a| &a.claim);
                holder_text(namespace, &key.name, claim, is_external)
            }
            Holder::Attempt(claim) => {
                format!(
                    "{} {namespace}/{}, which is being bound to it",
                    claim.kind.claim(),
                    claim.name
                )
            }
            Holder::Shown(claim) => {
                format!(
                    "{} {namespace}/{}, whose IPAddress is missing",
                    claim.kind.claim(),
                    claim.name
                )
            }
            Holder::NameTaken(_) | Holder::Gateway | Holder::PreAllocated(_) => return None,
        };
        Some(InUse {
            address,
            by,
            is_external,
        })
    }

    /// Whether the claim that an address object names exists.
    fn has_claim(&self, key: &AddressKey) -> bool {
        let claim = self.addresses.get(key).map(|object| ClaimKey {
            kind: key.kind,
            name: Arc::clone(&object.claim),
        });
        let case = claim.and_then(|claim| self.cases.get(&claim));
        case.is_some_and(|case| case.claim.is_some())
    }
}
