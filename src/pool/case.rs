//! A case: one claim and every address object that names it. Either may be missing: a claim that asks has no object, an
//! external object has no claim. A case has one request in flight at most, and where it stands is read off the objects each
//! time, so that a restart finds every case where it was.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::{AddressKey, ClaimKey, ClaimKind};

use super::record::ClaimRecord;
use super::request::{ClaimStatus, NewAddress, RequestId};
use super::terms::Values;
use super::time::Backoff;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) claim: Option<Box<ClaimRecord>>,
    /// Names of the address objects that name the claim.
    pub(super) objects: Vec<Arc<str>>,
    /// The address that it is about to get.
    pub(super) attempt: Option<Box<Attempt>>,
    /// What to put back when its published object has vanished (R4).
    pub(super) kept: Option<Box<Kept>>,
    /// The object that its status may show by now: a write that says so is on its way, or its answer is lost.
    pub(super) showing: Option<Arc<str>>,
    pub(super) flight: Option<RequestId>,
    pub(super) backoff: Backoff,
    /// A write that the server refused, until one succeeds.
    pub(super) refusal: Option<Box<Refused>>,
    /// Why it has no address.
    pub(super) wait: Option<Box<Wait>>,
    /// When to look again.
    pub(super) timer: Option<Timestamp>,
    /// Its place among the cases that want to send something.
    pub(super) parked: Option<(Class, Age)>,
    /// When its objects were first seen without a claim (R6).
    pub(super) leak_seen: Option<Timestamp>,
    /// An uncached read has confirmed that there is no such claim.
    pub(super) confirmed: bool,
}

impl Case {
    /// Whether nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        self.claim.is_none()
            && self.objects.is_empty()
            && self.attempt.is_none()
            && self.flight.is_none()
    }

    /// Its place in a queue.
    pub(super) fn age(&self, key: &ClaimKey) -> Age {
        Age {
            created: self.claim.as_ref().map_or(Timestamp::MIN, |c| c.created),
            name: key.name.clone(),
            kind: key.kind,
        }
    }
}

/// Order of service: the oldest first, then by name, then by kind (A11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    pub(super) created: Timestamp,
    pub(super) name: Arc<str>,
    pub(super) kind: ClaimKind,
}

impl Age {
    pub(super) fn key(&self) -> ClaimKey {
        ClaimKey {
            kind: self.kind,
            name: self.name.clone(),
        }
    }
}

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

/// An address chosen for a claim, until its object is seen.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) address: IpAddr,
    pub(super) state: AttemptState,
    /// What was sent, so that the same is sent again (R7).
    pub(super) sent: Option<Box<NewAddress>>,
    /// Generation of the spec under which it was sent (A8).
    pub(super) generation: i64,
}

/// How far a create is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptState {
    /// Certainly not carried out.
    Planned,
    /// On its way.
    Sent {
        /// An earlier one is unanswered.
        doubt: Option<Timestamp>,
    },
    /// Unanswered since then: sent again until the answer is definite.
    Unanswered {
        /// When the last one was lost.
        since: Timestamp,
    },
    /// Unanswered, and sending it again is refused: settled by a read once nothing can land any more.
    Barred {
        /// When the last one was lost.
        since: Timestamp,
    },
    /// Its name is taken: the object with that name is to be read.
    Taken {
        /// The object went while we read.
        freed: bool,
    },
}

/// An object that vanished under its living claim (R4).
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) name: Arc<str>,
    pub(super) address: IpAddr,
    pub(super) values: Values,
    /// When it vanished, if it was marked for `clusterctl move`: for a while nothing is put back.
    pub(super) moved: Option<Timestamp>,
}

/// The server's no to a write.
#[derive(Debug)]
pub(super) struct Refused {
    /// What it refused, after "the API server refused".
    pub(super) what: &'static str,
    /// Its words, bounded.
    pub(super) message: String,
    /// The claim's status was written, or tried to be: not again before the next try.
    pub(super) explained: bool,
}

impl Refused {
    pub(super) fn words(&self) -> String {
        let Self { what, message, .. } = self;
        format!("the API server refused {what}: {message}")
    }
}

/// Why a claim has no address; a reason in the words of its condition (U1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Exhausted,
    PoolNotFound,
    PoolNotReady,
    AllocationFailed,
    AddressConflict,
    PreAllocationConflict,
    RequestedAddressInvalid,
    RequestedAddressOutOfRange,
    RequestedAddressUnavailable,
    /// Its address object was moved away, and is not made again for now (R4).
    AddressMissing,
    /// The claim is being deleted, and the server refuses what releases its address (U1).
    ReleaseFailed,
    /// Paused, or another manager's: counted, never written.
    LeftAlone,
    /// It is being served: counted, never written.
    Pending,
}

impl Reason {
    /// As in an IPClaim's condition.
    pub(super) fn text(self) -> &'static str {
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
            Self::LeftAlone => "Paused",
            Self::Pending => "Pending",
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
            | Self::ReleaseFailed
            | Self::LeftAlone
            | Self::Pending => "AllocationFailed",
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
            Self::PoolNotFound
            | Self::PoolNotReady
            | Self::AddressMissing
            | Self::LeftAlone
            | Self::Pending => true,
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

/// A claim's waiting.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) reason: Reason,
    pub(super) until: Until,
    /// Since when for this reason.
    pub(super) since: Timestamp,
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

/// The next thing to do for a case.
#[derive(Debug)]
pub(super) enum Step {
    /// Choose an address and hold it: this very one, or any.
    Choose(Option<IpAddr>),
    /// Our finalizer on the claim.
    Pin,
    /// Create the address object.
    Create,
    /// Read the object that has the name.
    ReadName,
    /// Claim's status to its address.
    Publish(IpAddr, Box<ClaimStatus>),
    /// Claim's status to why it waits.
    Explain(Reason, Box<ClaimStatus>),
    /// Correct the owner references of an address object.
    Reown(
        AddressKey,
        Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>,
    ),
    /// DELETE an address object.
    Delete(AddressKey),
    /// Our finalizer off an address object.
    LetGo(AddressKey),
    /// Our finalizer off the claim.
    Unpin,
    /// Ask the server itself whether there is such a claim.
    Confirm,
}

/// What is to be done for a case now.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing until something changes.
    Rest,
    /// Nothing before that time.
    Later(Timestamp),
    /// This, when its turn comes.
    Do(Class, Step),
}

/// A verdict, and why the claim has no address, if it asks for one.
#[derive(Debug)]
pub(super) struct Assessment {
    pub(super) waiting: Option<Waiting>,
    pub(super) verdict: Verdict,
}

impl Assessment {
    pub(super) fn rest() -> Self {
        Verdict::Rest.into()
    }
}

impl From<Verdict> for Assessment {
    fn from(verdict: Verdict) -> Self {
        Self {
            waiting: None,
            verdict,
        }
    }
}
