//! The six kinds that are watched, and in which version the server has them.

use std::fmt;
use std::sync::Mutex;

use crate::api::{ClaimKind, names};
use crate::pool::{KindState, Kinds};

/// A kind that is listed and watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// IPPool.
    Pools,
    /// IPClaim and IPAddressClaim.
    Claims(ClaimKind),
    /// Both IPAddress kinds.
    Addresses(ClaimKind),
    /// Cluster.
    Clusters,
}

impl Watched {
    /// All of them. Pools come first, so that at start most workers know their pool before its claims.
    pub const ALL: [Self; 6] = [
        Self::Pools,
        Self::Clusters,
        Self::Addresses(ClaimKind::Metal3),
        Self::Addresses(ClaimKind::Capi),
        Self::Claims(ClaimKind::Metal3),
        Self::Claims(ClaimKind::Capi),
    ];

    /// API group.
    pub fn group(self) -> &'static str {
        match self {
            Self::Pools => names::METAL3_GROUP,
            Self::Claims(kind) | Self::Addresses(kind) => kind.group(),
            Self::Clusters => names::CAPI_GROUP,
        }
    }

    /// The name in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pools => "ippools",
            Self::Claims(ClaimKind::Metal3) => "ipclaims",
            Self::Claims(ClaimKind::Capi) => "ipaddressclaims",
            Self::Addresses(_) => "ipaddresses",
            Self::Clusters => "clusters",
        }
    }

    /// As `plural.group`, the name of its CustomResourceDefinition.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Pools => "ippools.ipam.metal3.io",
            Self::Claims(ClaimKind::Metal3) => "ipclaims.ipam.metal3.io",
            Self::Claims(ClaimKind::Capi) => "ipaddressclaims.ipam.cluster.x-k8s.io",
            Self::Addresses(ClaimKind::Metal3) => "ipaddresses.ipam.metal3.io",
            Self::Addresses(ClaimKind::Capi) => "ipaddresses.ipam.cluster.x-k8s.io",
            Self::Clusters => "clusters.cluster.x-k8s.io",
        }
    }

    /// Versions that we speak, the best first.
    pub fn versions(self) -> &'static [&'static str] {
        match self.origin() {
            Origin::Ours => &[names::METAL3_VERSION],
            Origin::ClusterApi => &["v1beta2", "v1beta1"],
        }
    }

    /// Whose kind it is: ours must be there, Cluster API's may be absent (A3).
    pub fn origin(self) -> Origin {
        match self {
            Self::Pools | Self::Claims(ClaimKind::Metal3) | Self::Addresses(ClaimKind::Metal3) => {
                Origin::Ours
            }
            Self::Claims(ClaimKind::Capi) | Self::Addresses(ClaimKind::Capi) | Self::Clusters => {
                Origin::ClusterApi
            }
        }
    }

    /// Its place in [`Kinds`].
    pub(super) fn state_in(self, kinds: &mut Kinds) -> &mut KindState {
        match self {
            Self::Pools => &mut kinds.pools,
            Self::Claims(ClaimKind::Metal3) => &mut kinds.metal3_claims,
            Self::Claims(ClaimKind::Capi) => &mut kinds.capi_claims,
            Self::Addresses(ClaimKind::Metal3) => &mut kinds.metal3_addresses,
            Self::Addresses(ClaimKind::Capi) => &mut kinds.capi_addresses,
            Self::Clusters => &mut kinds.clusters,
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Pools => 0,
            Self::Clusters => 1,
            Self::Addresses(ClaimKind::Metal3) => 2,
            Self::Addresses(ClaimKind::Capi) => 3,
            Self::Claims(ClaimKind::Metal3) => 4,
            Self::Claims(ClaimKind::Capi) => 5,
        }
    }

    /// Path of the collection in this version, in one namespace or in all.
    pub(super) fn collection(self, version: &str, namespace: Option<&str>) -> String {
        let (group, plural) = (self.group(), self.plural());
        match namespace {
            Some(ns) => format!("/apis/{group}/{version}/namespaces/{ns}/{plural}"),
            None => format!("/apis/{group}/{version}/{plural}"),
        }
    }
}

impl fmt::Display for Watched {
    /// As `plural.group`, the name of its CustomResourceDefinition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource())
    }
}

/// Who brings a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This program's own CustomResourceDefinitions.
    Ours,
    /// Cluster API's.
    ClusterApi,
}

/// In which version each kind is served now. Written by the kind's watch, read by every request.
#[derive(Debug)]
pub(super) struct Served(Mutex<[Option<&'static str>; 6]>);

impl Served {
    /// Our own kinds have one version; Cluster API's are unknown until discovery has answered.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Watched::ALL.map(|kind| match kind.origin() {
            Origin::Ours => Some(names::METAL3_VERSION),
            Origin::ClusterApi => None,
        })))
    }

    /// The version to use for this kind; `None`: the server does not have it.
    pub(super) fn version(&self, kind: Watched) -> Option<&'static str> {
        self.0.lock().expect(super::LOCK)[kind.place()]
    }

    pub(super) fn set(&self, kind: Watched, version: Option<&'static str>) {
        self.0.lock().expect(super::LOCK)[kind.place()] = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::RESOURCES;

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let mut places: Vec<usize> = Watched::ALL.iter().map(|k| k.place()).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
        places.dedup();
        assert_eq!(places.len(), Watched::ALL.len());
        let mut kinds = Kinds::default();
        for kind in Watched::ALL {
            assert_eq!(*kind.state_in(&mut kinds), KindState::Pending, "{kind}");
            *kind.state_in(&mut kinds) = KindState::Listed;
        }
        assert!(kinds.is_synced());
    }

    #[test]
    fn paths() {
        let claims = Watched::Claims(ClaimKind::Capi);
        assert_eq!(
            claims.collection("v1beta2", Some("m")),
            "/apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/m/ipaddressclaims"
        );
        assert_eq!(
            Watched::Pools.collection("v1alpha1", None),
            "/apis/ipam.metal3.io/v1alpha1/ippools"
        );
    }

    #[test]
    fn metrics_name_every_kind() {
        let mut ours = Watched::ALL.map(Watched::resource);
        let mut theirs = RESOURCES;
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
        for kind in Watched::ALL {
            assert_eq!(
                kind.resource(),
                format!("{}.{}", kind.plural(), kind.group())
            );
        }
    }
}
