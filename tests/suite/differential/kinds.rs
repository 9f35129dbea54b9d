//! The kinds that both servers serve, and where their objects lie.

use serde_json::Value;

/// One resource that requests are sent for.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    /// Whether `status` has a path of its own.
    pub(super) status: bool,
    /// Whether it is defined by a CRD.
    pub(super) custom: bool,
}

const fn custom(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    status: bool,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
        status,
        custom: true,
    }
}

const fn built_in(group: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group,
        version: "v1",
        kind,
        plural,
        status: false,
        custom: false,
    }
}

const METAL3: &str = "ipam.metal3.io";
const CAPI: &str = "ipam.cluster.x-k8s.io";

/// Everything that lies in namespaces.
pub(super) const KINDS: [Kind; 10] = [
    custom(METAL3, "v1alpha1", "IPPool", "ippools", true),
    custom(METAL3, "v1alpha1", "IPClaim", "ipclaims", true),
    custom(METAL3, "v1alpha1", "IPAddress", "ipaddresses", false),
    custom(CAPI, "v1beta2", "IPAddressClaim", "ipaddressclaims", true),
    custom(CAPI, "v1beta2", "IPAddress", "ipaddresses", false),
    custom("cluster.x-k8s.io", "v1beta2", "Cluster", "clusters", true),
    built_in("", "ConfigMap", "configmaps"),
    built_in("", "Secret", "secrets"),
    built_in("", "Event", "events"),
    built_in("coordination.k8s.io", "Lease", "leases"),
];

/// Namespaces, which lie in none.
pub(super) const NAMESPACE: Kind = built_in("", "Namespace", "namespaces");

impl Kind {
    /// `group/version`, or the version alone in the core group.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of all of its objects, over all namespaces.
    pub(super) fn everywhere(&self) -> String {
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        format!("{root}/{}/{}", self.api_version(), self.plural)
    }

    /// The path of its objects in the stream's namespace; of namespaces, of all of them.
    pub(super) fn collection(&self) -> String {
        if self.is_namespace() {
            return self.everywhere();
        }
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        format!(
            "{root}/{}/namespaces/{{ns}}/{}",
            self.api_version(),
            self.plural
        )
    }

    /// The path of one object.
    pub(super) fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.collection())
    }

    /// Whether the embedded server has a definition of its own, with less in it than the real one: then only what both have is
    /// sent.
    pub(super) fn is_minimal(&self) -> bool {
        self.kind == "Cluster"
    }

    pub(super) fn is_namespace(&self) -> bool {
        self.plural == "namespaces"
    }

    /// Whether a JSON object says that it is of this kind.
    pub(super) fn is_of(&self, object: &Value) -> bool {
        object["kind"] == self.kind && object["apiVersion"] == *self.api_version()
    }
}

/// The kind that an owner reference names.
pub(super) fn named(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .chain([&NAMESPACE])
        .find(|k| k.kind == kind && k.api_version() == api_version)
}
