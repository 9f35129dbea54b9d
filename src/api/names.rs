//! Names shared with upstream, byte for byte, and the names of address objects (A14).

use std::net::IpAddr;

/// API group of IPPool, IPClaim and Metal3's IPAddress.
pub const METAL3_GROUP: &str = "ipam.metal3.io";
/// The one version of [`METAL3_GROUP`].
pub const METAL3_VERSION: &str = "v1alpha1";
/// API group of Cluster API's IPAddressClaim and IPAddress.
pub const CAPI_IPAM_GROUP: &str = "ipam.cluster.x-k8s.io";
/// API group of Cluster API's Cluster.
pub const CAPI_GROUP: &str = "cluster.x-k8s.io";

/// Finalizer on an IPPool that this controller serves (R1).
pub const POOL_FINALIZER: &str = "ippool.ipam.metal3.io";
/// Finalizer on an IPClaim.
pub const IPCLAIM_FINALIZER: &str = "ipclaim.ipam.metal3.io";
/// Finalizer on a Metal3 IPAddress.
pub const IPADDRESS_FINALIZER: &str = "ipaddress.ipam.metal3.io";
/// Finalizer on a Cluster API IPAddressClaim.
pub const CAPI_CLAIM_FINALIZER: &str = "ipam.metal3.io/ipaddressclaim";
/// Finalizer on a Cluster API IPAddress.
pub const CAPI_ADDRESS_FINALIZER: &str = "ipam.metal3.io/ipaddress";
/// Finalizers that the garbage collector puts on; they do not count as someone's use of a claim (R2).
pub const GARBAGE_COLLECTOR_FINALIZERS: [&str; 2] = ["foregroundDeletion", "orphan"];

/// Label with the name of the Cluster that an object belongs to.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Label of everything that a clusterctl provider brings.
pub const PROVIDER_LABEL: &str = "cluster.x-k8s.io/provider";
/// Value of [`PROVIDER_LABEL`] for this provider.
pub const PROVIDER_NAME: &str = "ipam-metal3";
/// Label that `--watch-filter` compares (P4).
pub const WATCH_FILTER_LABEL: &str = "cluster.x-k8s.io/watch-filter";
/// Annotation that pauses an object (P1).
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
/// Annotation that clusterctl sets on what it is about to delete from the source of a move (R4).
pub const DELETE_FOR_MOVE_ANNOTATION: &str = "clusterctl.cluster.x-k8s.io/delete-for-move";
/// Labels of these prefixes make an object a member of an ApplySet or of a set of Rancher's and k3s' apply, which deletes
/// members that its files do not name. They are the claim's own and are not copied to its address object (A13).
pub const SET_LABELS: [&str; 2] = ["applyset.kubernetes.io/", "objectset.rio.cattle.io/"];
/// Longest value of a label, in bytes; a Cluster's name is one on its pools.
pub const MAX_LABEL_VALUE: usize = 63;
/// Annotation by which a claim asks for one address (A9).
pub const REQUESTED_ADDRESS_ANNOTATION: &str = "ipAddress";

/// The lease that upstream's manager and ours exclude each other by.
pub const LEASE_NAME: &str = "controller-leader-election-ipam-capm3";

/// Longest name of a custom object, in bytes (DNS-1123 subdomain).
pub const MAX_OBJECT_NAME: usize = 253;
/// Longest text that [`address_name`] appends to a name prefix: a dash and 39 characters of IPv6.
pub const MAX_NAME_SUFFIX: usize = 40;

/// An address object and whose it is, as people look for it: `IPAddress default/x (claim y)`. `is_external`: its claim does not
/// exist (A5).
pub fn holder_text(namespace: &str, object: &str, claim: &str, is_external: bool) -> String {
    let claim = if claim.is_empty() { "?" } else { claim };
    let whose = if is_external {
        format!(", whose claim {claim} does not exist")
    } else {
        format!(" (claim {claim})")
    };
    format!("IPAddress {namespace}/{object}{whose}")
}

/// Name of the address object for `address` in a pool with this name prefix (A14).
///
/// Upstream's rule: prefix, dash, address with `.` and `:` as `-`, trailing dashes cut. An IPv6 address whose canonical
/// text ends in `::` is named as if it ended in `::0`; cut, it would share its name with another address.
pub fn address_name(name_prefix: &str, address: IpAddr) -> String {
    let mut text = address.to_string();
    if text.ends_with("::") {
        text.push('0');
    }
    let mut name = String::with_capacity(name_prefix.len() + 1 + text.len());
    name.push_str(name_prefix);
    name.push('-');
    name.extend(
        text.chars()
            .map(|c| if c == '.' || c == ':' { '-' } else { c }),
    );
    name
}

/// Whether this can be the name of a Cluster that has pools: an object's name that fits a label's value.
pub fn is_cluster_name(name: &str) -> bool {
    name.len() <= MAX_LABEL_VALUE && is_object_name(name)
}

/// Whether `name` is a DNS-1123 label, the form of a namespace's name.
pub fn is_namespace_name(name: &str) -> bool {
    name.len() <= MAX_LABEL_VALUE && !name.contains('.') && is_object_name(name)
}

/// Whether `name` is a DNS-1123 subdomain, the form of an object's name: dot-separated labels of `a-z0-9-`, each beginning
/// and ending with a letter or digit, at most [`MAX_OBJECT_NAME`] bytes.
pub fn is_object_name(name: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |l: &str| {
        let bytes = l.as_bytes();
        bytes.first().is_some_and(|b| alnum(*b))
            && bytes.last().is_some_and(|b| alnum(*b))
            && bytes.iter().all(|b| alnum(*b) || *b == b'-')
    };
    !name.is_empty() && name.len() <= MAX_OBJECT_NAME && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_objects_are_named_as_upstream_names_them_but_for_one() {
        let cases = [
            ("test1-prov", "192.168.0.10", "test1-prov-192-168-0-10"),
            ("p", "fd00::5", "p-fd00--5"),
            ("p", "1:2:3:4::", "p-1-2-3-4--0"),
            ("p", "1.2.3.4", "p-1-2-3-4"),
            ("p", "::1", "p---1"),
        ];
        for (prefix, address, want) in cases {
            assert_eq!(address_name(prefix, address.parse().unwrap()), want);
        }
    }

    #[test]
    fn object_names() {
        for good in ["a", "a.b", "pool-1", "1a", &"a".repeat(253)] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", "a_b", "a/b", &"a".repeat(254)] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }
}
