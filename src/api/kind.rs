//! The six kinds that are listed and watched.

use std::fmt;

use super::{ClaimKind, names};

/// A kind that is listed and watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// IPPool.
    Pools,
    /// IPClaim and IPAddressClaim.
    Claims(ClaimKind),
    /// Both IPAddress kinds.
    Addresses(ClaimKind),
    /// Cluster.
    Clusters,
}

impl Kind {
    /// All of them. Pools come first, so that at start most workers know their pool before its claims.
    pub const ALL: [Self; 6] = [
        Self::Pools,
        Self::Clusters,
        Self::Addresses(ClaimKind::Metal3),
        Self::Addresses(ClaimKind::Capi),
        Self::Claims(ClaimKind::Metal3),
        Self::Claims(ClaimKind::Capi),
    ];

    /// Its API group, such as `ipam.metal3.io`.
    pub fn group(self) -> &'static str {
        match self {
            Self::Pools => names::METAL3_GROUP,
            Self::Claims(kind) | Self::Addresses(kind) => kind.group(),
            Self::Clusters => names::CAPI_GROUP,
        }
    }

    /// The resource's name in paths, such as `ippools`.
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

    /// Its place in [`Self::ALL`], for tables with a value for each kind.
    pub fn place(self) -> usize {
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
    pub fn collection(self, version: &str, namespace: Option<&str>) -> String {
        let (group, plural) = (self.group(), self.plural());
        match namespace {
            Some(ns) => format!("/apis/{group}/{version}/namespaces/{ns}/{plural}"),
            None => format!("/apis/{group}/{version}/{plural}"),
        }
    }
}

impl fmt::Display for Kind {
    /// As `plural.group`, the name of its CustomResourceDefinition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource())
    }
}

/// Whose CustomResourceDefinition a kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This program's own CustomResourceDefinitions.
    Ours,
    /// Cluster API's.
    ClusterApi,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place_in_the_list_of_all() {
        let places = Kind::ALL.map(Kind::place);
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn the_name_of_the_definition_is_plural_and_group() {
        for kind in Kind::ALL {
            let (plural, group) = (kind.plural(), kind.group());
            assert_eq!(kind.resource(), format!("{plural}.{group}"));
        }
    }

    #[test]
    fn the_path_of_a_collection_names_group_version_and_namespace() {
        let claims = Kind::Claims(ClaimKind::Capi);
        assert_eq!(
            claims.collection("v1beta2", Some("m")),
            "/apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/m/ipaddressclaims"
        );
        assert_eq!(
            Kind::Pools.collection("v1alpha1", None),
            "/apis/ipam.metal3.io/v1alpha1/ippools"
        );
    }
}
