//! What a pool wants done: requests to the API server, as values. The writer turns them into HTTP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use serde_json::Value;

use crate::api::{AddressKey, ClaimKey, ClaimKind, ResourceVersion, Uid};

use super::problem::ProblemKind;
use super::reason::Reason;

/// Number of a request, unique within its pool's life in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One effect of [`super::Pool::step`].
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send this; the answer comes back as [`super::Input::Answer`] with the same number, exactly once.
    Request(RequestId, Request),
    /// Do not send this one, if it has not left yet: its answer is then [`super::Outcome::Withdrawn`]. Since it was decided on a
    /// pause or another manager's label was seen (P1, P4), or the pool has more to say than counts.
    Withdraw(RequestId),
    /// Send [`super::Input::Tick`] at this time. Replaces the wake-up named before.
    WakeAt(Timestamp),
    /// From now on send [`super::Input::NameFreed`] when the address object of this name goes, whatever pool it names (A12).
    /// In force before any request of the same step is sent.
    WatchName(AddressKey),
    /// No longer.
    ForgetName(AddressKey),
    /// For logs, Events and counters.
    Decided(Decision),
}

/// One request to the API server. Every change of an existing object carries the resourceVersion that it was decided on, so
/// that it cannot touch a later version or a later object of the same name. Lists (finalizers, owner references, conditions)
/// are whole, as they shall stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Merge patch of the pool's metadata.
    PoolMeta {
        /// Which incarnation.
        uid: Uid,
        /// Version decided on.
        resource_version: ResourceVersion,
        /// As they shall stand.
        finalizers: Vec<String>,
        /// Labels to set (`Some`) or remove (`None`).
        labels: BTreeMap<String, Option<String>>,
        /// As they shall stand; `None`: unchanged.
        owner_references: Option<Vec<OwnerReference>>,
        /// Ranges and pre-allocations of its spec: the server evaluates the rules of each at every write.
        entries: usize,
    },
    /// Merge patch of the pool's status.
    PoolStatus {
        /// Which incarnation.
        uid: Uid,
        /// Version decided on.
        resource_version: ResourceVersion,
        /// The value of `status` in the patch.
        status: Value,
        /// Ranges and pre-allocations of its spec.
        entries: usize,
        /// Nothing but counts and `indexes` changed: it may be late.
        counts_only: bool,
    },
    /// Merge patch of a claim's finalizers: ours on, or ours off.
    ClaimFinalizers {
        /// Which claim.
        key: ClaimKey,
        /// Which incarnation.
        uid: Uid,
        /// Version decided on.
        resource_version: ResourceVersion,
        /// As they shall stand.
        finalizers: Vec<String>,
    },
    /// Merge patch of a claim's status.
    ClaimStatus {
        /// Which claim.
        key: ClaimKey,
        /// Which incarnation.
        uid: Uid,
        /// Version decided on.
        resource_version: ResourceVersion,
        /// What to write.
        status: ClaimStatus,
    },
    /// Create of an address object, our finalizer on it.
    CreateAddress(Box<NewAddress>),
    /// DELETE with preconditions UID and resourceVersion (R3).
    DeleteAddress {
        /// Which object.
        key: AddressKey,
        /// Which incarnation.
        uid: Uid,
        /// Version decided on.
        resource_version: ResourceVersion,
    },
    /// Merge patch of an address object's metadata.
    AddressMeta {
        /// Which object.
        key: AddressKey,
        /// Which incarnation.
        uid: Uid,
        /// Version decided on.
        resource_version: ResourceVersion,
        /// As they shall stand; `None`: unchanged.
        finalizers: Option<Vec<String>>,
        /// As they shall stand; `None`: unchanged.
        owner_references: Option<Vec<OwnerReference>>,
    },
    /// Uncached read of a Cluster, before it becomes an owner (P2).
    ReadCluster {
        /// Its name.
        name: Arc<str>,
    },
    /// Uncached read of a claim that was seen gone, before its objects are released (R1, R6).
    ReadClaim {
        /// Which claim.
        key: ClaimKey,
    },
    /// Uncached read of an address object.
    ReadAddress {
        /// Which object.
        key: AddressKey,
    },
}

impl Request {
    /// Version of the object that a write was decided on; `None`: a create or a read.
    pub fn resource_version(&self) -> Option<&ResourceVersion> {
        match self {
            Self::PoolMeta {
                resource_version, ..
            }
            | Self::PoolStatus {
                resource_version, ..
            }
            | Self::ClaimFinalizers {
                resource_version, ..
            }
            | Self::ClaimStatus {
                resource_version, ..
            }
            | Self::DeleteAddress {
                resource_version, ..
            }
            | Self::AddressMeta {
                resource_version, ..
            } => Some(resource_version),
            Self::CreateAddress(_)
            | Self::ReadCluster { .. }
            | Self::ReadClaim { .. }
            | Self::ReadAddress { .. } => None,
        }
    }
}

/// What to write into a claim's status. Fields that are `None` stay as they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClaimStatus {
    /// Name of the address object (`Some(None)`: remove the reference).
    pub published: Option<Option<Arc<str>>>,
    /// `status.ipAddress` of an IPClaim (`Some(None)`: remove it). Ignored for an IPAddressClaim.
    pub ip_address: Option<Option<IpAddr>>,
    /// `status.errorMessage` of an IPClaim (`Some(None)`: remove it). Ignored for an IPAddressClaim.
    pub error_message: Option<Option<String>>,
    /// The whole list of conditions as it shall stand, others' kept.
    pub conditions: Option<Vec<Condition>>,
    /// Others' conditions of the kind before metav1's, which stay beside ours in a version that has both. Only with `conditions`.
    pub old_conditions: Vec<Value>,
}

impl ClaimStatus {
    /// Whether it changes only what explains the claim to people: neither its address object nor its error.
    pub(super) fn is_explanation(&self) -> bool {
        self.published.is_none() && self.error_message.is_none()
    }
}

/// An address object to create (A13, A14).
#[derive(Debug, Clone, PartialEq)]
pub struct NewAddress {
    /// Family: of the claim and of the object.
    pub kind: ClaimKind,
    /// Name of the object.
    pub name: Arc<str>,
    /// The claim's labels.
    pub labels: BTreeMap<String, String>,
    /// The claim.
    pub claim: Arc<str>,
    /// The claim's UID, for the owner reference.
    pub claim_uid: Uid,
    /// The pool's UID, for the owner reference.
    pub pool_uid: Uid,
    /// The address.
    pub address: IpAddr,
    /// Mask in bits, when known.
    pub prefix: Option<u8>,
    /// Gateway, when known.
    pub gateway: Option<IpAddr>,
    /// DNS servers (Metal3's kind only).
    pub dns_servers: Vec<IpAddr>,
}

/// Something that the pool decided, once: one line in the log, one count, sometimes an Event.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A claim got an address: its object exists.
    Allocated {
        /// Which claim.
        claim: ClaimKey,
        /// What it got.
        address: IpAddr,
    },
    /// A claim's status shows its address.
    Bound {
        /// Which claim.
        claim: ClaimKey,
        /// Which incarnation.
        uid: Uid,
        /// What it has.
        address: IpAddr,
        /// When the claim was created.
        created: Timestamp,
    },
    /// A claim's address is free again.
    Released {
        /// Which claim.
        claim: ClaimKey,
        /// Which incarnation; `None` when the claim is gone already.
        uid: Option<Uid>,
        /// What it had.
        address: IpAddr,
    },
    /// A claim waits, or waits for another reason than before.
    Waiting {
        /// Which claim.
        claim: ClaimKey,
        /// Which incarnation.
        uid: Uid,
        /// Why.
        reason: Reason,
        /// Message, as in its condition.
        message: String,
    },
    /// The pool's own state changed (ready, exhausted, paused, invalid...).
    Pool {
        /// Condition type.
        condition: &'static str,
        /// Whether it held before: as it was reported or, at a start, stored. `None`: nothing was said of it.
        before: Option<bool>,
        /// Whether it holds.
        status: bool,
        /// Reason.
        reason: &'static str,
        /// Message.
        message: String,
    },
    /// Few addresses are left, where there were more.
    NearlyFull {
        /// How many.
        message: String,
    },
    /// Something is inconsistent: it is reported, and nothing is changed but where R6 says so (A15).
    Problem {
        /// What kind.
        kind: ProblemKind,
        /// What and whose.
        message: String,
    },
    /// A problem is gone.
    Repaired {
        /// What kind.
        kind: ProblemKind,
        /// The problem that is gone, as it was told.
        message: String,
    },
    /// A status that nothing waits for was refused: the pool's own, or one that explains a claim. At most once an hour of each.
    StatusRefused {
        /// Whose, and the server's words.
        message: String,
    },
    /// A request was refused or its answer lost; it is tried again.
    Retrying {
        /// What was tried.
        what: String,
        /// Why again.
        why: String,
    },
}
