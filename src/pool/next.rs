//! What is to be done next for a case.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::AddressKey;

use super::reason::{Reason, Until, WaitState, Waiting};
use super::request::ClaimStatus;

/// What comes first when requests have to wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Something begun is brought to its end: bindings and releases.
    Going,
    /// A claim gets its address.
    New,
    /// Only a status that explains, or puts a condition right.
    Status,
}

/// The next thing to do for a case.
#[derive(Debug)]
pub(super) enum Step {
    /// Choose an address and hold it: this very one, or any.
    Choose(Option<IpAddr>),
    /// Our finalizer on the claim.
    AddFinalizer,
    /// Create the address object.
    Create,
    /// Read the object that has the name.
    ReadName,
    /// Read the object that the claim's status shows.
    ReadShown(AddressKey),
    /// Claim's status to its address.
    Publish(IpAddr, Box<ClaimStatus>),
    /// Claim's status to why it waits.
    Explain(Reason, Box<ClaimStatus>),
    /// Correct the owner references of an address object.
    CorrectOwners(AddressKey, Vec<OwnerReference>),
    /// DELETE an address object.
    Delete(AddressKey),
    /// Our finalizer off an address object.
    RemoveAddressFinalizer(AddressKey),
    /// Our finalizer off the claim.
    RemoveFinalizer,
    /// Ask the server itself whether there is such a claim.
    Confirm,
}

/// What is to be done for a case now.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing until something changes.
    Rest,
    /// Nothing before that time.
    Later(Timestamp),
    /// This, when its turn comes.
    Do(Class, Step),
}

/// A claim that asks for an address and has none.
#[derive(Debug)]
pub(super) enum Asking {
    /// Its condition says why, or is about to.
    Waits(Waiting),
    /// It is counted so, until something changes.
    Counted(WaitState),
}

impl Asking {
    pub(super) fn state(&self) -> WaitState {
        match self {
            Self::Waits(waiting) => WaitState::Waits(waiting.reason),
            Self::Counted(state) => *state,
        }
    }

    pub(super) fn until(&self) -> Until {
        match self {
            Self::Waits(waiting) => waiting.until,
            Self::Counted(_) => Until::Change,
        }
    }
}

/// A next, and why the claim has no address, if it asks for one.
#[derive(Debug)]
pub(super) struct Assessment {
    pub(super) asking: Option<Asking>,
    pub(super) next: Next,
}

impl Assessment {
    pub(super) fn rest() -> Self {
        Next::Rest.into()
    }

    /// Where nothing is to be done before, it is looked at again at this time.
    pub(super) fn look_again_at(&mut self, at: Timestamp) {
        match &mut self.next {
            Next::Rest => self.next = Next::Later(at),
            Next::Later(before) => *before = at.min(*before),
            Next::Do(..) => {}
        }
    }
}

impl From<Next> for Assessment {
    fn from(next: Next) -> Self {
        Self { asking: None, next }
    }
}
