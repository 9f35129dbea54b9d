//! The part of an object's metadata that this program acts on, and keys to find objects by.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};

use super::identity::{ResourceVersion, Uid};
use super::names;

/// Namespace and name of a pool. Every claim and address object leads to exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// Namespace of the pool and of everything that names it.
    pub namespace: Arc<str>,
    /// Name of the pool; empty when a claim names none.
    pub name: Arc<str>,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The two families of kinds. A family has a claim kind and an address kind of its own; one pool serves both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClaimKind {
    /// IPClaim and IPAddress of `ipam.metal3.io`.
    Metal3,
    /// IPAddressClaim and IPAddress of `ipam.cluster.x-k8s.io`.
    Capi,
}

impl ClaimKind {
    /// Both, in the order in which ties are broken.
    pub const ALL: [Self; 2] = [Self::Metal3, Self::Capi];

    /// Kind of the claim, as people read it: `IPClaim` or `IPAddressClaim`.
    pub fn claim(self) -> &'static str {
        match self {
            Self::Metal3 => "IPClaim",
            Self::Capi => "IPAddressClaim",
        }
    }

    /// API group of both kinds of the family.
    pub fn group(self) -> &'static str {
        match self {
            Self::Metal3 => names::METAL3_GROUP,
            Self::Capi => names::CAPI_IPAM_GROUP,
        }
    }

    /// Our finalizer on the claim.
    pub fn claim_finalizer(self) -> &'static str {
        match self {
            Self::Metal3 => names::IPCLAIM_FINALIZER,
            Self::Capi => names::CAPI_CLAIM_FINALIZER,
        }
    }

    /// Our finalizer on the address object.
    pub fn address_finalizer(self) -> &'static str {
        match self {
            Self::Metal3 => names::IPADDRESS_FINALIZER,
            Self::Capi => names::CAPI_ADDRESS_FINALIZER,
        }
    }
}

/// A claim within its pool's namespace. An IPClaim and an IPAddressClaim of one name are two claims (A10).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey {
    /// Which family.
    pub kind: ClaimKind,
    /// Name of the claim.
    pub name: Arc<str>,
}

impl ClaimKey {
    /// The address object of this name and of the claim's family.
    pub fn object(&self, name: &Arc<str>) -> AddressKey {
        AddressKey {
            kind: self.kind,
            name: name.clone(),
        }
    }
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.claim(), self.name)
    }
}

/// An address object within its pool's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey {
    /// Which family.
    pub kind: ClaimKind,
    /// Name of the object.
    pub name: Arc<str>,
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPAddress.{} {}", self.kind.group(), self.name)
    }
}

/// Owner references of a new address object: its claim, in the version that claims are served in, and its pool. Each is given
/// with its name and UID.
pub fn owner_references(
    kind: ClaimKind,
    version: &str,
    claim: (&str, &str),
    pool: (&str, &str),
) -> [OwnerReference; 2] {
    // Cluster API's contract: the claim is the one owner that manages the object.
    let is_capi = kind == ClaimKind::Capi;
    let reference =
        |group, version, kind: &str, (name, uid): (&str, &str), controls| OwnerReference {
            api_version: format!("{group}/{version}"),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller: is_capi.then_some(controls),
            block_owner_deletion: is_capi.then_some(true),
        };
    [
        reference(kind.group(), version, kind.claim(), claim, true),
        reference(
            names::METAL3_GROUP,
            names::METAL3_VERSION,
            "IPPool",
            pool,
            false,
        ),
    ]
}

/// Metadata as read from the wire: what is not here (managedFields above all) is dropped on the way in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name within the namespace.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// UID of this incarnation.
    pub uid: Uid,
    /// Version of the object.
    pub resource_version: ResourceVersion,
    /// Counts changes of the spec.
    pub generation: i64,
    /// Creation time.
    pub creation_timestamp: Option<Timestamp>,
    /// Set once the object is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Finalizers, in order.
    pub finalizers: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations; only those that are acted on are kept.
    #[serde(deserialize_with = "acted_on")]
    pub annotations: BTreeMap<String, String>,
    /// Owners.
    pub owner_references: Vec<OwnerReference>,
}

/// Keeps the annotations that rules name; the rest (last-applied-configuration can be 200 KiB) is not held in memory.
fn acted_on<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let mut all = Option::<BTreeMap<String, String>>::deserialize(d)?.unwrap_or_default();
    all.retain(|key, _| {
        [
            names::PAUSED_ANNOTATION,
            names::DELETE_FOR_MOVE_ANNOTATION,
            names::REQUESTED_ADDRESS_ANNOTATION,
        ]
        .contains(&key.as_str())
    });
    Ok(all)
}

impl Meta {
    /// Whether the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Whether it carries this finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }

    /// Whether it carries this annotation, whatever the value.
    pub fn has_annotation(&self, annotation: &str) -> bool {
        self.annotations.contains_key(annotation)
    }

    /// Its creation time; an object without one (which no server makes) counts as the oldest.
    pub fn created(&self) -> Timestamp {
        self.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
