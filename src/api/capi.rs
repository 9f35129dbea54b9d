//! Our own minimal definitions of Cluster API's kinds: what the IPAM contract needs and no more, so that the embedded
//! server can serve them and a bare cluster can be tried without Cluster API. Where Cluster API is installed, its own
//! definitions stand and these are not used.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Conditions are merged one by one, whoever writes them; the rest is kept as it stands.
fn cluster_status(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": { "conditions": conditions_schema(generator) },
    })
}

fn cluster_spec(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "paused": { "type": "boolean", "description": "Whether controllers leave everything of this Cluster alone." },
        },
    })
}

/// Conditions, held to what Kubernetes' own type is held to.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316, "description": "What the condition is about.",
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it is so." },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, in one word for programs.",
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": { "type": "string", "maxLength": 32768, "description": "Why, in words for people." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "Since when." },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0, "description": "The generation that was looked at.",
                },
            },
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

fn prefix_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": 128 })
}

/// What a Cluster asks for, as far as address management looks at it: `paused`. Anything else is kept untouched.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Cluster groups the objects of one Kubernetes cluster (minimal definition).",
    category = "cluster-api",
    shortname = "cl",
    printcolumn(
        name = "Paused",
        type_ = "boolean",
        json_path = ".spec.paused",
        description = "Whether the Cluster is paused"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct ClusterSpec {
    /// Whether controllers leave everything of this Cluster alone (P1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The rest, as it stands.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl JsonSchema for ClusterSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClusterSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        cluster_spec(generator)
    }
}

/// The status of a Cluster, kept as it stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterStatus(pub serde_json::Map<String, serde_json::Value>);

impl JsonSchema for ClusterStatus {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClusterStatus".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        cluster_status(generator)
    }
}

/// The pool that a claim asks or an address is of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PoolReference {
    /// Name of the pool.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Kind of the pool: `IPPool`.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")
    )]
    pub kind: String,
    /// API group of the pool: `ipam.metal3.io`.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub api_group: String,
}

/// A reference by name alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct NameReference {
    /// Name of the referent, in the same namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

/// IPAddressClaim asks a provider's pool for one address.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "ipam.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "IPAddressClaim",
    plural = "ipaddressclaims",
    namespaced,
    status = "IPAddressClaimStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "IPAddressClaim asks a provider's pool for one address.",
    category = "cluster-api",
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".spec.poolRef.name",
        description = "Pool that is asked"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".status.addressRef.name",
        description = "IPAddress object with the answer"
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
pub struct IPAddressClaimSpec {
    /// Name of the Cluster that the claim belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: Option<String>,
    /// The pool that is asked.
    pub pool_ref: PoolReference,
}

/// The answer to an IPAddressClaim.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct IPAddressClaimStatus {
    /// `Ready`, with the contract's reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The IPAddress object with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_ref: Option<NameReference>,
}

/// IPAddress records which claim has which address of which pool.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "ipam.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "IPAddress",
    root = "CapiIPAddress",
    plural = "ipaddresses",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "IPAddress records which claim has which address of which pool.",
    category = "cluster-api",
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.address",
        description = "The address"
    ),
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".spec.poolRef.name",
        description = "Pool that the address is of"
    ),
    printcolumn(
        name = "Claim",
        type_ = "string",
        json_path = ".spec.claimRef.name",
        description = "Claim that has the address"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct CapiIPAddressSpec {
    /// The claim that has the address.
    pub claim_ref: NameReference,
    /// The pool that the address is of.
    pub pool_ref: PoolReference,
    /// The address, in canonical text.
    #[schemars(length(min = 1, max = 39))]
    pub address: String,
    /// Mask of the network in bits.
    #[schemars(schema_with = "prefix_schema")]
    pub prefix: i32,
    /// Gateway of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    pub gateway: Option<String>,
}
