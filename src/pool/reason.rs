//! Why a claim has no address (U1), and what it waits for (A11).

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::api::ClaimKind;

/// Reason of the `Ready` of a claim that has its address.
pub(super) const BOUND: &str = "AddressAllocated";

/// Why a claim has no address: the reason of its condition (U1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No address of the pool is free.
    Exhausted,
    /// The pool does not exist.
    PoolNotFound,
    /// The pool gives nothing out for now: its `Ready` condition says why.
    PoolNotReady,
    /// The reference is wrong, or the API server refuses a write.
    AllocationFailed,
    /// Another object has its address.
    AddressConflict,
    /// Its pre-allocated address is somebody else's, or another than the one that it requests.
    PreAllocationConflict,
    /// The annotation is no address.
    RequestedAddressInvalid,
    /// The requested address is in no range of the pool.
    RequestedAddressOutOfRange,
    /// The requested address is somebody else's.
    RequestedAddressUnavailable,
    /// Its address object was moved away, and is not made again for now (R4).
    AddressMissing,
    /// The claim is being deleted, and the server refuses what releases its address (U1).
    ReleaseFailed,
}

impl Reason {
    /// The reason as an IPClaim's `Ready` condition has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Exhausted => "PoolExhausted",
            Self::PoolNotFound => "PoolNotFound",
            Self::PoolNotReady => "PoolNotReady",
            Self::AllocationFailed => "AllocationFailed",
            Self::AddressConflict => "AddressConflict",
            Self::PreAllocationConflict => "PreAllocationConflict",
            Self::RequestedAddressInvalid => "RequestedAddressInvalid",
            Self::RequestedAddressOutOfRange => "RequestedAddressOutOfRange",
            Self::RequestedAddressUnavailable => "RequestedAddressUnavailable",
            Self::AddressMissing => "AddressMissing",
            Self::ReleaseFailed => "ReleaseFailed",
        }
    }

    /// Whether the pool gets an Event for a claim that waits so, too: its count is over all of the pool's claims.
    pub fn concerns_the_pool(self) -> bool {
        match self {
            Self::Exhausted
            | Self::AllocationFailed
            | Self::AddressConflict
            | Self::PreAllocationConflict => true,
            Self::PoolNotFound
            | Self::PoolNotReady
            | Self::RequestedAddressInvalid
            | Self::RequestedAddressOutOfRange
            | Self::RequestedAddressUnavailable
            | Self::AddressMissing
            | Self::ReleaseFailed => false,
        }
    }

    /// Whether somebody has to change something. Other reasons pass by themselves.
    pub fn needs_somebody(self) -> bool {
        match self {
            Self::AllocationFailed
            | Self::AddressConflict
            | Self::PreAllocationConflict
            | Self::RequestedAddressInvalid
            | Self::RequestedAddressOutOfRange
            | Self::RequestedAddressUnavailable => true,
            Self::Exhausted
            | Self::PoolNotFound
            | Self::PoolNotReady
            | Self::AddressMissing
            | Self::ReleaseFailed => false,
        }
    }

    /// As in an IPAddressClaim's condition, where the contract knows three.
    pub(super) fn contract_text(self) -> &'static str {
        match self {
            Self::Exhausted => "PoolExhausted",
            Self::PoolNotFound | Self::PoolNotReady => "PoolNotReady",
            Self::AllocationFailed
            | Self::AddressConflict
            | Self::PreAllocationConflict
            | Self::RequestedAddressInvalid
            | Self::RequestedAddressOutOfRange
            | Self::RequestedAddressUnavailable
            | Self::AddressMissing
            | Self::ReleaseFailed => "AllocationFailed",
        }
    }

    /// Reason and message as a condition of this kind of claim has them: where the contract knows no word for the reason, it
    /// opens the message.
    pub(super) fn in_condition(self, kind: ClaimKind, message: String) -> (&'static str, String) {
        match kind {
            ClaimKind::Metal3 => (self.text(), message),
            ClaimKind::Capi => {
                let (fine, coarse) = (self.text(), self.contract_text());
                if fine == coarse {
                    (coarse, message)
                } else {
                    (coarse, format!("{fine}: {message}"))
                }
            }
        }
    }

    /// Whether it may pass within moments, as when a pool is applied together with its claims: then it is not written at
    /// once, to save two writes a claim.
    pub(super) fn is_passing(self) -> bool {
        match self {
            Self::PoolNotFound | Self::PoolNotReady | Self::AddressMissing => true,
            Self::Exhausted
            | Self::AllocationFailed
            | Self::AddressConflict
            | Self::PreAllocationConflict
            | Self::RequestedAddressInvalid
            | Self::RequestedAddressOutOfRange
            | Self::RequestedAddressUnavailable
            | Self::ReleaseFailed => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a waiting claim waits for, which decides what wakes it (A11). Changes of the pool, its spec, its Cluster or the
/// claim itself wake every claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Any free address.
    Free,
    /// This address.
    Address(IpAddr),
    /// A change of something that it names.
    Change,
}

/// Why a claim has no address, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitState {
    /// Paused, or another manager's.
    LeftAlone,
    /// It is being served.
    BeingServed,
    /// Its condition says why, or is about to.
    Waits(Reason),
}

impl WaitState {
    /// As metrics and the command line name it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::LeftAlone => "Paused",
            Self::BeingServed => "Pending",
            Self::Waits(reason) => reason.text(),
        }
    }
}

/// For what and since when a claim waits.
#[derive(Debug, PartialEq)]
pub(super) struct Wait {
    pub(super) state: WaitState,
    pub(super) until: Until,
    /// Since when so.
    pub(super) since: Timestamp,
    /// Hash of the message that was told last, so that a refused status is not told anew with every try.
    pub(super) told: Option<u64>,
}

/// When the error text of a waiting claim is set (U2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Final {
    /// It cannot heal by itself: at once.
    Now,
    /// It can: after a while.
    Later,
}

/// Why a claim has no address, in full.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) error: Option<(String, Final)>,
    pub(super) until: Until,
}

/// Characters of a user's text that a message repeats.
const ECHO: usize = 128;

/// A user's text, cut to a length that fits a message.
pub(super) fn echo(text: &str) -> String {
    let mut cut: String = text.chars().take(ECHO).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    cut
}
