//! IPPool, IPClaim and IPAddress of `ipam.metal3.io/v1alpha1`, as they stand on the wire. Addresses are text here: what
//! they mean is read by [`super::ip`], what is allowed is decided by the `admission` room.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::rules;

/// An IPv4 or IPv6 address as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IpText(pub String);

/// A subnet in CIDR form as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetText(pub String);

/// An address, a range `a-b` or a subnet, as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExclusionText(pub String);

macro_rules! text {
    ($kind:ident, $max:expr, $pattern:expr) => {
        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "maxLength": $max, "pattern": $pattern })
            }
        }
        impl From<&str> for $kind {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl std::ops::Deref for $kind {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
    };
}
text!(IpText, 39, rules::ip_pattern());
text!(NetText, 43, rules::net_pattern());
text!(ExclusionText, 79, rules::exclusion_pattern());

/// Addresses of a status, by name. A status shows what is, in whatever spelling it stands in the object, so it is not held
/// to the rules of a spec.
fn indexes_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 45, "pattern": "^[0-9A-Fa-f.:]*$" },
    })
}

/// The mask of a network as a number of bits; 0 and absent both mean "inherit" (A7).
fn prefix_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": 128 })
}

/// A whole number from 0 to 2^63-1.
fn count_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// A share as a whole number of percent.
fn percent_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": 100 })
}

/// Conditions, merged by their type.
fn conditions_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": generator.subschema_for::<Condition>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// A reference to another object, replaced as a whole.
fn reference_schema(_: &mut SchemaGenerator) -> Schema {
    let text = |what: &str| serde_json::json!({ "type": "string", "description": what });
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "apiVersion": text("API version of the referent."),
            "fieldPath": text("A part of the referent, where the whole is not meant."),
            "kind": text("Kind of the referent."),
            "name": text("Name of the referent."),
            "namespace": text("Namespace of the referent."),
            "resourceVersion": text("The version of the referent that is meant, if any."),
            "uid": text("UID of the referent."),
        },
    })
}

/// How an address of an entry is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AllocationStrategy {
    /// The lowest free address of the entry.
    #[default]
    Sequential,
    /// A uniformly chosen free address of the entry.
    Random,
}

/// One range of a pool: `start` to `end`, clipped to `subnet` when it is given; `subnet` alone begins at the address as
/// written plus one; `start` alone runs to the top of its family.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PoolEntry {
    /// First address of the range. Without `end` and `subnet` the range runs to the top of its family. Can be changed.
    /// Example: 192.168.0.10
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<IpText>,
    /// Last address of the range; needs `start`. Default: the last address of `subnet`. Can be changed. Example:
    /// 192.168.0.200
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<IpText>,
    /// Bounds of the range; alone, the range runs from the address as written plus one to the last address of the subnet.
    /// Can be changed. Example: 192.168.0.0/24
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<NetText>,
    /// Length of the network's mask in bits, for addresses of this entry. Default, and 0: the pool's `prefix`. Can be
    /// changed; addresses that are handed out keep theirs. Example: 24
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "prefix_schema")]
    pub prefix: Option<i64>,
    /// Gateway for addresses of this entry; it is not handed out by itself. Default: the pool's `gateway`. Can be changed;
    /// addresses that are handed out keep theirs. Example: 192.168.0.1
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpText>,
    /// DNS servers for addresses of this entry. Default, and an empty list: the pool's `dnsServers`. Can be changed;
    /// addresses that are handed out keep theirs. Example: `[192.168.0.2]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpText>,
}

/// IPPool says which addresses exist and how they are handed out.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "ipam.metal3.io",
    version = "v1alpha1",
    kind = "IPPool",
    plural = "ippools",
    namespaced,
    status = "IPPoolStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "IPPool says which addresses exist and how they are handed out.",
    category = "cluster-api",
    shortname = "ipp",
    shortname = "ippool",
    shortname = "m3ipp",
    shortname = "m3ippool",
    shortname = "m3ippools",
    shortname = "metal3ipp",
    shortname = "metal3ippool",
    shortname = "metal3ippools",
    selectable = ".spec.clusterName",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".metadata.labels.cluster\\.x-k8s\\.io/cluster-name",
        description = "Cluster to which this pool belongs"
    ),
    printcolumn(
        name = "Capacity",
        type_ = "integer",
        json_path = ".status.capacity",
        description = "Addresses in the pool's ranges"
    ),
    printcolumn(
        name = "Allocated",
        type_ = "integer",
        json_path = ".status.allocated",
        description = "Addresses that are held by address objects"
    ),
    printcolumn(
        name = "Available",
        type_ = "integer",
        json_path = ".status.available",
        description = "Addresses that the next claims can get"
    ),
    printcolumn(
        name = "Use%",
        type_ = "integer",
        json_path = ".status.utilization",
        description = "Share of the addresses that the next claims cannot get, in percent"
    ),
    printcolumn(
        name = "Waiting",
        type_ = "integer",
        json_path = ".status.waitingClaims",
        description = "Claims that ask for an address, have none and are not being served"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the pool serves claims"
    ),
    printcolumn(
        name = "Strategy",
        type_ = "string",
        json_path = ".spec.allocationStrategy",
        priority = 1,
        description = "How an address of a range is chosen"
    ),
    printcolumn(
        name = "Prefix",
        type_ = "string",
        json_path = ".spec.namePrefix",
        priority = 1,
        description = "First part of the names of the pool's address objects"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct IPPoolSpec {
    /// Name of the Cluster, in the same namespace, that the pool belongs to: owner reference, label and pause. Default:
    /// none. Can be changed. Example: production
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// The ranges, consumed in the order written: an entry is used up before the next one starts. Default: none, and
    /// nothing is handed out. Can be changed; the webhook refuses to leave out an address in use. Example:
    /// `[{start: 192.168.0.10, end: 192.168.0.200}]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolEntry>,
    /// Addresses reserved for claims, by the claim's name, whichever kind it has. Default: none. Can be changed. Example:
    /// `{node-0-eth0: 192.168.0.11}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pre_allocations: BTreeMap<String, IpText>,
    /// Length of the network's mask in bits. Default, and 0: none. Can be changed; addresses that are handed out keep
    /// theirs. Example: 24
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "prefix_schema")]
    pub prefix: Option<i64>,
    /// Gateway of the network; it is not handed out by itself. Default: none. Can be changed; addresses that are handed out
    /// keep theirs. Example: 192.168.0.1
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpText>,
    /// DNS servers. Default: none. Can be changed; addresses that are handed out keep theirs. Example:
    /// `[192.168.0.2, 192.168.0.3]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpText>,
    /// First part of the name of every address object of this pool. Cannot be changed. Example: provisioning, for an
    /// IPAddress `provisioning-192-168-0-10`
    #[schemars(length(min = 1))]
    pub name_prefix: String,
    /// How an address of an entry is chosen: `sequential`, the lowest free one, or `random`, any free one. Default:
    /// sequential. Cannot be changed. Example: random
    #[serde(default)]
    pub allocation_strategy: AllocationStrategy,
    /// Addresses that are never handed out: single ones, ranges `a-b` or subnets. Default: none. Can be changed. Example:
    /// `[192.168.0.50, 192.168.0.60-192.168.0.69, 192.168.0.128/28]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_addresses: Vec<ExclusionText>,
    /// Whether network, broadcast and subnet-router anycast addresses may be handed out too. Default: false. Can be
    /// changed. Example: true, for a range that is routed as single addresses
    #[serde(
        default,
        rename = "allocateReservedIPAddresses",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub allocate_reserved_ip_addresses: bool,
    /// Seconds that a deleted claim keeps its address before the next one can get it. Default: 0. Can be changed. Example:
    /// 300
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub address_reuse_grace_period_seconds: Option<i64>,
}

/// What the controller reports of a pool. A view for people and tools: never read back as truth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPPoolStatus {
    /// Time of the last change of `indexes` or of the counts. Example: 2026-01-31T12:00:00Z
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<Time>,
    /// Addresses by the name of the claim that has them; left out when too many (condition IndexesComplete). Example:
    /// `{node-0-eth0: 192.168.0.10}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "indexes_schema")]
    pub indexes: BTreeMap<String, IpText>,
    /// Number of addresses in the pool's ranges, without the excluded ones; at most 2^63-1. Example: 191
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub capacity: Option<i64>,
    /// Number of addresses in the ranges that address objects hold. Example: 40
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub allocated: Option<i64>,
    /// Number of addresses that the next claims can get. Example: 150
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub available: Option<i64>,
    /// Number of addresses that the next claims can get: `available` under the name that upstream's proposal gives it; absent
    /// when it does not fit (`capacityOverflow`). Example: 150
    #[serde(
        default,
        rename = "availableIPCount",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "count_schema")]
    pub available_ip_count: Option<i64>,
    /// Share of the addresses that the next claims cannot get, in use or kept back, in percent from 0 to 100 and rounded
    /// down; absent where there are no addresses. Example: 21
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "percent_schema")]
    pub utilization: Option<i64>,
    /// Number of addresses in the ranges that are kept back: gateways, network and broadcast addresses, pre-allocations not
    /// yet claimed. Example: 1
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub reserved: Option<i64>,
    /// Number of held addresses that lie outside the ranges. Example: 0
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub out_of_range: Option<i64>,
    /// Whether a count of addresses did not fit and stands at 2^63-1. Absent: no. Example: true, for an IPv6 /64
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_overflow: Option<bool>,
    /// Number of claims that ask for an address, have none and are not being served at this moment. Example: 0
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub waiting_claims: Option<i64>,
    /// The generation of the spec that is in force: no create under an older one is unanswered. Example: 2
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count_schema")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Exhausted`, `Paused`, `Consistent`, `IndexesComplete`. Example: Ready=True, wait for it with kubectl wait
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// IPClaim asks a pool for one address. The annotation `ipAddress` names the wanted one.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "ipam.metal3.io",
    version = "v1alpha1",
    kind = "IPClaim",
    plural = "ipclaims",
    namespaced,
    status = "IPClaimStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "IPClaim asks a pool for one address. The annotation ipAddress names the wanted one.",
    category = "cluster-api",
    shortname = "ipc",
    shortname = "ipclaim",
    shortname = "m3ipc",
    shortname = "m3ipclaim",
    shortname = "m3ipclaims",
    shortname = "metal3ipc",
    shortname = "metal3ipclaim",
    shortname = "metal3ipclaims",
    selectable = ".spec.pool.name",
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".spec.pool.name",
        description = "Pool that is asked"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".status.address.name",
        description = "IPAddress object with the answer"
    ),
    printcolumn(
        name = "IP",
        type_ = "string",
        json_path = ".status.ipAddress",
        description = "Address in that object"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the claim has its address"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct IPClaimSpec {
    /// The IPPool, in the same namespace, that is asked for an address. Cannot be changed. Example: `{name: provisioning}`
    #[schemars(schema_with = "reference_schema")]
    pub pool: ObjectReference,
}

/// The answer to an IPClaim.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPClaimStatus {
    /// The IPAddress object with the answer. Example: `{name: provisioning-192-168-0-10, namespace: metal3}`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "reference_schema")]
    pub address: Option<ObjectReference>,
    /// The address in that object, for people who list claims. Programs read the object. Example: 192.168.0.10
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpText>,
    /// Why there is no address. The machine controller takes it as final. Example: Exhausted IP Pools
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// `Ready`. Example: Ready=False with the reason PoolExhausted
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// IPAddress records which claim has which address of which pool.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "ipam.metal3.io",
    version = "v1alpha1",
    kind = "IPAddress",
    plural = "ipaddresses",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "IPAddress records which claim has which address of which pool.",
    category = "metal3",
    shortname = "ipa",
    shortname = "ipaddress",
    shortname = "m3ipa",
    shortname = "m3ipaddress",
    shortname = "m3ipaddresses",
    shortname = "metal3ipa",
    shortname = "metal3ipaddress",
    shortname = "metal3ipaddresses",
    selectable = ".spec.address",
    selectable = ".spec.pool.name",
    selectable = ".spec.claim.name",
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.address",
        description = "The address"
    ),
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".spec.pool.name",
        description = "Pool that the address is of"
    ),
    printcolumn(
        name = "Claim",
        type_ = "string",
        json_path = ".spec.claim.name",
        description = "Claim that has the address"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct IPAddressSpec {
    /// The address, in its standard spelling. Cannot be changed. Example: 192.168.0.10
    pub address: IpText,
    /// The pool that the address is of. Cannot be changed. Example: `{name: provisioning, namespace: metal3}`
    #[schemars(schema_with = "reference_schema")]
    pub pool: ObjectReference,
    /// The claim that has the address. Cannot be changed. Example: `{name: node-0-eth0, namespace: metal3}`
    #[schemars(schema_with = "reference_schema")]
    pub claim: ObjectReference,
    /// Length of the network's mask in bits. Default: none. Cannot be changed. Example: 24
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "prefix_schema")]
    pub prefix: Option<i64>,
    /// Gateway of the network. Default: none. Cannot be changed. Example: 192.168.0.1
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpText>,
    /// DNS servers. Default: none. Cannot be changed. Example: `[192.168.0.2]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpText>,
}
