//! Metadata that was written, compared with what the API server stored of it: webhooks and policies of others may undo parts of
//! a write. One that is sent again at once would go on for ever, and say nothing.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::Meta;
use crate::api::names::POOL_FINALIZER;

use super::request::Request;

/// What a write asked for. What it left alone is `None`, or not among the labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AskedMeta {
    /// A finalizer of ours, and whether it is to be there. Others' are not ours to judge.
    finalizer: Option<(&'static str, bool)>,
    labels: BTreeMap<String, Option<String>>,
    owners: Option<Vec<OwnerReference>>,
}

impl AskedMeta {
    /// What this request asks for, if it writes metadata.
    pub(super) fn of(request: &Request) -> Option<Box<Self>> {
        let wants = |finalizers: &[String], ours: &'static str| {
            (ours, finalizers.iter().any(|finalizer| finalizer == ours))
        };
        let asked = match request {
            Request::PoolMeta {
                finalizers,
                labels,
                owner_references,
                ..
            } => Self {
                finalizer: Some(wants(finalizers, POOL_FINALIZER)),
                labels: labels.clone(),
                owners: owner_references.clone(),
            },
            Request::AddressMeta {
                key,
                finalizers,
                owner_references,
                ..
            } => Self {
                finalizer: finalizers
                    .as_ref()
                    .map(|finalizers| wants(finalizers, key.kind.address_finalizer())),
                labels: BTreeMap::new(),
                owners: owner_references.clone(),
            },
            Request::ClaimFinalizers {
                key, finalizers, ..
            } => Self {
                finalizer: Some(wants(finalizers, key.kind.claim_finalizer())),
                labels: BTreeMap::new(),
                owners: None,
            },
            Request::PoolStatus { .. }
            | Request::ClaimStatus { .. }
            | Request::CreateAddress(_)
            | Request::DeleteAddress { .. }
            | Request::ReadCluster { .. }
            | Request::ReadClaim { .. }
            | Request::ReadAddress { .. } => return None,
        };
        Some(Box::new(asked))
    }

    /// What the API server stored otherwise, in words; `None` when it stored what was asked for.
    pub(super) fn undone_in(&self, stored: &Meta) -> Option<String> {
        self.difference(stored).map(|what| undone(&what))
    }

    fn difference(&self, stored: &Meta) -> Option<String> {
        if let Some((ours, wanted)) = self.finalizer
            && stored.finalizers.iter().any(|finalizer| finalizer == ours) != wanted
        {
            return Some(format!("the finalizer {ours}"));
        }
        let mut labels = self.labels.iter();
        if let Some((label, _)) =
            labels.find(|(label, value)| stored.labels.get(*label) != value.as_ref())
        {
            return Some(format!("the label {label}"));
        }
        let asked = self.owners.as_deref()?;
        let stored = &stored.owner_references;
        let differs =
            |a: &[OwnerReference], b: &[OwnerReference], counts: fn(&OwnerReference) -> bool| {
                let is_in = |owner: &OwnerReference| b.iter().any(|other| other.uid == owner.uid);
                let found = a.iter().find(|owner| counts(owner) && !is_in(owner));
                found.map(|owner| format!("the owner reference to {} {}", owner.kind, owner.name))
            };
        // An owner that others add is theirs, but of these kinds all are written by us.
        let written = |owner: &OwnerReference| {
            ["Cluster", "IPPool", "IPClaim", "IPAddressClaim"].contains(&&*owner.kind)
        };
        differs(asked, stored, |_| true).or_else(|| differs(stored, asked, written))
    }
}

/// What is said where the API server stored a write without its change of this.
pub(super) fn undone(what: &str) -> String {
    format!(
        "it stored the write without the change of {what}; a webhook or policy of the cluster undoes it, exempt this manager from it"
    )
}
