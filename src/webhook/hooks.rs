//! The paths, as controller-runtime makes them from a group, a version and a kind, so that upstream's configurations lead
//! here unchanged.

use crate::api::{ClaimKind, names};

/// What the webhook at a path does with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Asks the rules.
    Validate,
    /// Puts the finalizer into a new claim.
    AddFinalizer(ClaimKind),
    /// Changes nothing: upstream's configuration names the path, and the server's own defaults do what it is for.
    Nothing,
}

/// One path of the webhook server, and the kind that it reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The path.
    pub path: &'static str,
    /// API group of the objects.
    pub group: &'static str,
    /// Their kind.
    pub kind: &'static str,
    /// What is done.
    pub act: Act,
}

const fn metal3(path: &'static str, kind: &'static str, act: Act) -> Hook {
    Hook {
        path,
        group: names::METAL3_GROUP,
        kind,
        act,
    }
}

const fn capi(path: &'static str, kind: &'static str, act: Act) -> Hook {
    Hook {
        path,
        group: names::CAPI_IPAM_GROUP,
        kind,
        act,
    }
}

/// Every path. Those of Cluster API's kinds have no version: the rules read every version alike.
pub const HOOKS: [Hook; 9] = [
    metal3(
        "/validate-ipam-metal3-io-v1alpha1-ippool",
        "IPPool",
        Act::Validate,
    ),
    metal3(
        "/validate-ipam-metal3-io-v1alpha1-ipclaim",
        "IPClaim",
        Act::Validate,
    ),
    metal3(
        "/validate-ipam-metal3-io-v1alpha1-ipaddress",
        "IPAddress",
        Act::Validate,
    ),
    metal3(
        "/mutate-ipam-metal3-io-v1alpha1-ippool",
        "IPPool",
        Act::Nothing,
    ),
    metal3(
        "/mutate-ipam-metal3-io-v1alpha1-ipclaim",
        "IPClaim",
        Act::AddFinalizer(ClaimKind::Metal3),
    ),
    metal3(
        "/mutate-ipam-metal3-io-v1alpha1-ipaddress",
        "IPAddress",
        Act::Nothing,
    ),
    capi(
        "/validate-ipam-cluster-x-k8s-io-ipaddressclaim",
        "IPAddressClaim",
        Act::Validate,
    ),
    capi(
        "/validate-ipam-cluster-x-k8s-io-ipaddress",
        "IPAddress",
        Act::Validate,
    ),
    capi(
        "/mutate-ipam-cluster-x-k8s-io-ipaddressclaim",
        "IPAddressClaim",
        Act::AddFinalizer(ClaimKind::Capi),
    ),
];

impl Hook {
    /// The hook that serves this path, if one does.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        HOOKS.iter().find(|hook| hook.path == path)
    }
}
