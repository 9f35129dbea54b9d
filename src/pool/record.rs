//! What is kept of a claim and of an address object: what rules look at and no more. A hundred thousand of them are held
//! in memory, so maps and growable lists of the wire types are cut down on the way in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use serde_json::Value;

use crate::api::names::{
    DELETE_FOR_MOVE_ANNOTATION, GARBAGE_COLLECTOR_FINALIZERS, PAUSED_ANNOTATION, SET_LABELS,
};
use crate::api::{
    Address, Claim, ClaimKey, ClaimKind, Kind, Meta, ReferenceFault, ResourceVersion, Uid,
    owner_references,
};

use super::input::Scope;
use super::reason::BOUND;

/// Finalizers, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finalizers {
    /// One of ours, and no other: as nearly all objects have it.
    Ours(&'static str),
    /// Any others.
    List(Box<[Box<str>]>),
}

impl Finalizers {
    fn of(meta: &Meta, ours: &'static str) -> Self {
        if meta.finalizers == [ours] {
            return Self::Ours(ours);
        }
        Self::List(meta.finalizers.iter().map(|f| f.as_str().into()).collect())
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let (ours, list) = match self {
            Self::Ours(ours) => (Some(*ours), &[][..]),
            Self::List(list) => (None, &**list),
        };
        ours.into_iter().chain(list.iter().map(|f| &**f))
    }

    pub(super) fn has(&self, finalizer: &str) -> bool {
        self.iter().any(|f| f == finalizer)
    }

    /// The list with one more at its end.
    pub(super) fn with(&self, finalizer: &str) -> Vec<String> {
        let all = self.iter().chain([finalizer]);
        all.map(String::from).collect()
    }

    /// The list without one.
    pub(super) fn without(&self, finalizer: &str) -> Vec<String> {
        let kept = self.iter().filter(|f| *f != finalizer);
        kept.map(String::from).collect()
    }

    /// Whether someone else uses the object still (R2): neither `ours` nor the garbage collector's.
    pub(super) fn has_foreign(&self, ours: &str) -> bool {
        self.iter()
            .any(|f| f != ours && !GARBAGE_COLLECTOR_FINALIZERS.contains(&f))
    }
}

/// Conditions of a claim.
#[derive(Debug)]
pub(super) enum Conditions {
    /// A `Ready` that says that the claim is bound, and no other: as nearly all claims have it.
    Bound {
        /// Its `observedGeneration`.
        generation: Option<i64>,
        /// Its `lastTransitionTime`.
        since: Timestamp,
    },
    /// Any others.
    List(Box<[Condition]>),
}

impl Conditions {
    fn new(list: Vec<Condition>) -> Self {
        match &*list {
            [c] if c.type_ == "Ready"
                && c.status == "True"
                && c.reason == BOUND
                && c.message.is_empty() =>
            {
                Self::Bound {
                    generation: c.observed_generation,
                    since: c.last_transition_time.0,
                }
            }
            _ => Self::List(list.into_boxed_slice()),
        }
    }

    /// All of them.
    pub(super) fn list(&self) -> Cow<'_, [Condition]> {
        match self {
            Self::Bound { generation, since } => Cow::Owned(vec![Condition {
                type_: "Ready".to_owned(),
                status: "True".to_owned(),
                reason: BOUND.to_owned(),
                message: String::new(),
                observed_generation: *generation,
                last_transition_time: Time(*since),
            }]),
            Self::List(list) => Cow::Borrowed(list),
        }
    }

    /// Whether they are one `Ready` that says that the claim is bound, of this generation.
    pub(super) fn are_bound(&self, of: Option<i64>) -> bool {
        matches!(self, Self::Bound { generation, .. } if *generation == of)
    }
}

/// Owner references of an address object.
#[derive(Debug)]
pub(super) enum Owners {
    /// Those that it was created with: its claim and this pool.
    Made {
        /// Place of the claim's version in [`Kind::versions`].
        version: u8,
        /// UIDs in them.
        claim: Uid,
        /// Of the pool.
        pool: Uid,
    },
    /// Any others.
    List(Box<[OwnerReference]>),
}

impl Owners {
    fn new(list: Vec<OwnerReference>, kind: ClaimKind, claim: &str, pool: &str) -> Self {
        if let [of_claim, of_pool] = &*list
            && let Some((_, version)) = of_claim.api_version.split_once('/')
            && let mut versions = Kind::Claims(kind).versions().iter()
            && let Some(place) = versions.position(|v| *v == version)
            && let (claim_uid, pool_uid) = (&*of_claim.uid, &*of_pool.uid)
            && list == owner_references(kind, version, (claim, claim_uid), (pool, pool_uid))
        {
            return Self::Made {
                version: place as u8,
                claim: claim_uid.into(),
                pool: pool_uid.into(),
            };
        }
        Self::List(list.into_boxed_slice())
    }

    /// All of an object of this pool that names this claim.
    pub(super) fn list(&self, of: &ClaimKey, pool: &str) -> Cow<'_, [OwnerReference]> {
        match self {
            Self::Made {
                version,
                claim,
                pool: pool_uid,
            } => {
                let version = Kind::Claims(of.kind).versions()[usize::from(*version)];
                let (claim, pool_uid) = (claim.to_string(), pool_uid.to_string());
                let claim = (&*of.name, &*claim);
                Cow::Owned(owner_references(of.kind, version, claim, (pool, &pool_uid)).into())
            }
            Self::List(list) => Cow::Borrowed(list),
        }
    }

    /// Whether they are those of this claim and this pool.
    pub(super) fn are_of(&self, claim: &Uid, pool: &Uid) -> bool {
        matches!(self, Self::Made { claim: c, pool: p, .. } if c == claim && p == pool)
    }
}

/// What is kept of a claim.
#[derive(Debug)]
pub(super) struct ClaimRecord {
    pub(super) uid: Uid,
    pub(super) version: ResourceVersion,
    pub(super) generation: i64,
    pub(super) created: Timestamp,
    pub(super) deleted: Option<Timestamp>,
    pub(super) finalizers: Finalizers,
    pub(super) labels: Box<[(Box<str>, Box<str>)]>,
    /// The pause annotation (P1).
    pub(super) paused: bool,
    /// The annotation of `clusterctl move` (R4).
    pub(super) moving: bool,
    /// Text of the `ipAddress` annotation (A9).
    pub(super) requested: Option<Box<str>>,
    pub(super) fault: Option<ReferenceFault>,
    pub(super) cluster: Option<Arc<str>>,
    pub(super) cluster_required: bool,
    pub(super) published: Option<Arc<str>>,
    pub(super) ip_address: Option<IpAddr>,
    pub(super) error: Option<Box<str>>,
    pub(super) conditions: Conditions,
    /// Others' conditions of the old kind, as they are stored.
    pub(super) old_conditions: Box<[Value]>,
    pub(super) scope: Scope,
}

/// Characters that are kept of the annotation that requests an address: an address has fewer, and messages show fewer.
const REQUESTED: usize = 256;

impl ClaimRecord {
    pub(super) fn new(claim: Claim, scope: Scope) -> Self {
        let cut = |text: &str| text.chars().take(REQUESTED).collect::<String>().into();
        let requested = claim.requested().map(cut);
        let Claim {
            meta,
            kind,
            pool: _,
            fault,
            cluster,
            cluster_required,
            published,
            ip_address,
            error_message,
            conditions,
            old_conditions,
        } = claim;
        let labels = meta.labels.iter();
        Self {
            finalizers: Finalizers::of(&meta, kind.claim_finalizer()),
            labels: labels
                .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
                .collect(),
            paused: meta.has_annotation(PAUSED_ANNOTATION),
            moving: meta.has_annotation(DELETE_FOR_MOVE_ANNOTATION),
            created: meta.created(),
            deleted: meta.deletion_timestamp,
            uid: meta.uid,
            version: meta.resource_version,
            generation: meta.generation,
            requested,
            fault,
            cluster,
            cluster_required,
            published,
            ip_address,
            error: error_message.map(Box::from),
            conditions: Conditions::new(conditions),
            old_conditions: old_conditions.into_boxed_slice(),
            scope,
        }
    }

    /// Labels for its address object (A13).
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.labels.iter();
        labels
            .filter(|(key, _)| !SET_LABELS.iter().any(|of_set| key.starts_with(of_set)))
            .map(|(k, v)| (String::from(&**k), String::from(&**v)))
            .collect()
    }

    /// Whether what it asks for has changed: then it is tried again at once, whatever went wrong before.
    pub(super) fn asks_otherwise(&self, before: &Self) -> bool {
        self.deleted.is_some() != before.deleted.is_some()
            || self.requested != before.requested
            || self.fault != before.fault
            || self.generation != before.generation
    }
}

/// What becomes of an address object whose claim is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// It stays: external, or nothing is known yet.
    Stays,
    /// It is released: the claim's end was seen, or it is a confirmed leak.
    Goes,
}

/// An address object that names this pool.
#[derive(Debug)]
pub(super) struct AddressRecord {
    pub(super) uid: Uid,
    pub(super) version: ResourceVersion,
    pub(super) created: Timestamp,
    pub(super) deleting: bool,
    pub(super) finalizers: Finalizers,
    /// The annotation of `clusterctl move` (R4).
    pub(super) moving: bool,
    /// The address, or the text that is none.
    pub(super) address: Result<IpAddr, Box<str>>,
    pub(super) claim: Arc<str>,
    pub(super) prefix: Option<u8>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) dns_servers: Box<[IpAddr]>,
    pub(super) owners: Owners,
    pub(super) scope: Scope,
    pub(super) course: Course,
    /// Its DELETE, or the write without our finalizer, was sent and not certainly refused: no claim is bound to it any more.
    pub(super) release_sent: bool,
}

impl AddressRecord {
    pub(super) fn new(address: Address, scope: Scope) -> Self {
        let Address {
            meta,
            kind,
            address,
            pool,
            claim,
            prefix,
            gateway,
            dns_servers,
        } = address;
        Self {
            finalizers: Finalizers::of(&meta, kind.address_finalizer()),
            moving: meta.has_annotation(DELETE_FOR_MOVE_ANNOTATION),
            created: meta.created(),
            deleting: meta.is_deleting(),
            uid: meta.uid,
            version: meta.resource_version,
            owners: Owners::new(meta.owner_references, kind, &claim, &pool),
            address: address.map_err(Box::from),
            claim,
            prefix,
            gateway,
            dns_servers: dns_servers.into_boxed_slice(),
            scope,
            course: Course::Stays,
            release_sent: false,
        }
    }

    /// Whether it carries our finalizer.
    pub(super) fn is_ours(&self, kind: ClaimKind) -> bool {
        self.finalizers.has(kind.address_finalizer())
    }

    /// Whether it may be a leak of ours (R6). It carries the labels of its claim (A13): one with another manager's
    /// label is that manager's to find (P4).
    pub(super) fn is_ours_to_repair(&self, kind: ClaimKind) -> bool {
        self.is_ours(kind) && self.scope == Scope::Ours
    }

    /// Whether nothing of ours keeps it any more: it is being deleted, and others' finalizers alone hold it.
    pub(super) fn is_let_go(&self, kind: ClaimKind) -> bool {
        self.deleting && !self.is_ours(kind)
    }
}
