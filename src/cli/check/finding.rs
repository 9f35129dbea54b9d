//! One thing that was found, and the objects that it is about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::catalog::{self, Check};
use crate::api::{Address, Claim, Meta, PoolObject, ResourceVersion, Uid};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    /// Objects contradict each other, and nothing under way explains it.
    Error,
    /// All is consistent, and a person should look.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    /// Of what is an error unless a pause or a move explains it.
    pub(super) fn unless(at_rest: bool) -> Self {
        if at_rest { Self::Note } else { Self::Error }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Note => "Note",
        }
    }
}

/// An object as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Subject {
    /// `IPPool`, `IPClaim`, `IPAddressClaim`, `IPAddress.ipam.metal3.io` or `IPAddress.ipam.cluster.x-k8s.io`.
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Uid,
    #[serde(rename = "resourceVersion")]
    version: ResourceVersion,
}

/// One thing that was found.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) check: Check,
    pub(super) level: Level,
    /// The object.
    pub(super) subject: Subject,
    /// The others that it contradicts.
    pub(super) others: Vec<Subject>,
    /// Numbers and names of the cluster's objects.
    pub(super) message: String,
}

/// The errors that both readings show of the same objects in the same versions; all else as the later reading shows it.
pub(super) fn confirmed(first: &[Finding], later: Vec<Finding>) -> Vec<Finding> {
    let before: BTreeSet<_> = first.iter().map(Finding::identity).collect();
    let stays = |f: &Finding| f.level != Level::Error || before.contains(&f.identity());
    later.into_iter().filter(stays).collect()
}

// === impl Subject ===

impl Subject {
    fn new(kind: &str, meta: &Meta) -> Self {
        Self {
            kind: kind.to_owned(),
            namespace: meta.namespace.to_string(),
            name: meta.name.to_string(),
            uid: meta.uid.clone(),
            version: meta.resource_version.clone(),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl From<&Address> for Subject {
    fn from(address: &Address) -> Self {
        let kind = format!("IPAddress.{}", address.kind.group());
        Self::new(&kind, &address.meta)
    }
}

impl From<&Claim> for Subject {
    fn from(claim: &Claim) -> Self {
        Self::new(claim.kind.claim(), &claim.meta)
    }
}

impl From<&PoolObject> for Subject {
    fn from(pool: &PoolObject) -> Self {
        Self::new("IPPool", &pool.meta)
    }
}

// === impl Finding ===

impl Finding {
    pub(super) fn new(
        check: Check,
        level: Level,
        subject: impl Into<Subject>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level,
            subject: subject.into(),
            others: Vec::new(),
            message: message.into(),
        }
    }

    /// It also concerns these.
    pub(super) fn with(mut self, others: impl IntoIterator<Item = Subject>) -> Self {
        self.others.extend(others);
        self
    }

    pub(super) fn order(&self) -> impl Ord {
        let number = self.check.code.get(1..).and_then(|n| n.parse::<u8>().ok());
        let object = (
            self.subject.namespace.clone(),
            self.subject.name.clone(),
            self.subject.kind.clone(),
        );
        let letter = self.check.code.get(..1);
        (self.level, letter, number, object, self.message.clone())
    }

    /// What two readings have to agree on: the check, the object and its version. The status of a pool is written all the time:
    /// where a finding is not about the counts and `indexes` in it, its version does not count.
    fn identity(&self) -> (&'static str, String, String, String) {
        let of_status = [catalog::COUNTS, catalog::INDEXES].contains(&self.check);
        let version = if self.subject.kind == "IPPool" && !of_status {
            String::new()
        } else {
            self.subject.version.to_string()
        };
        let (object, uid) = (self.subject.to_string(), self.subject.uid.to_string());
        (self.check.code, object, uid, version)
    }
}
