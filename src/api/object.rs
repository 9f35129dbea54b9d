//! The door: both claim kinds, in any of their versions, become one neutral [`Claim`] and [`Address`] here, so that nothing
//! behind it has twins. Reading never fails as a whole: what cannot be read is kept as a fault in its place, so that one
//! broken object delays no other (A12).

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::identity::Uid;
use super::ip::{parse_ip, parse_stored_ip};
use super::meta::{AddressKey, ClaimKey, ClaimKind, Meta, PoolKey};
use super::metal3::{IPPoolSpec, IPPoolStatus};
use super::names;

/// Any object as it comes from a watch or an answer: metadata pruned, the rest open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WireObject {
    /// Pruned metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// The spec as it stands.
    #[serde(default)]
    pub spec: Value,
    /// The status as it stands.
    #[serde(default)]
    pub status: Value,
}

/// Why a claim can never be served by the pool that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceFault {
    /// `spec.pool.name` is empty.
    NoName,
    /// `spec.pool.name` is text that no object can have as its name. The claim leads to the pool without a name.
    BadName,
    /// `spec.pool.namespace` is another namespace.
    OtherNamespace,
    /// `spec.pool.kind` or `apiVersion` (IPClaim) is not IPPool's.
    OtherKind,
    /// `spec.poolRef` of an IPAddressClaim names another provider's pool: not ours to answer at all.
    OtherProvider,
}

impl ReferenceFault {
    /// Whether a claim with this fault may have an address of the pool all the same, given by a controller that reads only the
    /// pool's name, or before a restore into another namespace.
    pub fn may_be_bound(self) -> bool {
        match self {
            Self::OtherNamespace | Self::OtherKind => true,
            Self::NoName | Self::BadName | Self::OtherProvider => false,
        }
    }
}

/// An IPClaim or IPAddressClaim.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Metadata.
    pub meta: Meta,
    /// Which family.
    pub kind: ClaimKind,
    /// Name of the pool that it asks; with a fault the name as it stands.
    pub pool: Arc<str>,
    /// Set when it can never be served.
    pub fault: Option<ReferenceFault>,
    /// Cluster that the claim itself names: `spec.clusterName` (IPAddressClaim), else the cluster-name label.
    pub cluster: Option<Arc<str>>,
    /// Whether that came from `spec.clusterName` or a label of an IPAddressClaim, where a missing Cluster makes it wait (P1).
    pub cluster_required: bool,
    /// Name of the address object in its status.
    pub published: Option<Arc<str>>,
    /// The address in `status.ipAddress` (IPClaim).
    pub ip_address: Option<IpAddr>,
    /// Text in `status.errorMessage` (IPClaim).
    pub error_message: Option<String>,
    /// Its conditions (metav1 ones, in whatever place its version has them).
    pub conditions: Vec<Condition>,
    /// Other controllers' conditions of the kind that v1beta1 of Cluster API had before metav1's, as they are stored: the list is
    /// written as a whole, and they are to stay in it.
    pub old_conditions: Vec<Value>,
}

/// An IPAddress of either family.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// Metadata.
    pub meta: Meta,
    /// Which family.
    pub kind: ClaimKind,
    /// The address, or the text that is none.
    pub address: Result<IpAddr, String>,
    /// Name of the pool of ours that it is of; empty when it is of another provider's.
    pub pool: Arc<str>,
    /// Name of the claim that has it; empty when none is named.
    pub claim: Arc<str>,
    /// Mask in bits; 0 and absent are the same.
    pub prefix: Option<u8>,
    /// Gateway, when it is one.
    pub gateway: Option<IpAddr>,
    /// DNS servers, as far as they are addresses.
    pub dns_servers: Vec<IpAddr>,
}

/// An IPPool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolObject {
    /// Metadata.
    pub meta: Meta,
    /// The spec, or why it cannot be read at all.
    pub spec: Result<IPPoolSpec, String>,
    /// The status as it stands on the server: only compared with, to save writes.
    pub status: IPPoolStatus,
}

/// What pools need to know of a Cluster: its UID, and whether it is paused or being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Its name.
    pub name: Arc<str>,
    /// Its UID, for owner references.
    pub uid: Uid,
    /// `apiVersion` to name it by in owner references, such as `cluster.x-k8s.io/v1beta2`.
    pub api_version: Arc<str>,
    /// `spec.paused` or the annotation.
    pub paused: bool,
    /// Being deleted: it gets no owner reference any more (P2).
    pub deleting: bool,
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .filter(|s| !s.is_empty())
}

/// Conditions of the old kind in an IPAddressClaim's status that are not ours. A list that metav1's conditions stand beside, or
/// of which one is no metav1 condition, is of the old kind.
fn others_old_conditions(status: &Value) -> Vec<Value> {
    let list = status.get("conditions").and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default();
    let is_old = status.get("v1beta2").is_some()
        || list
            .iter()
            .any(|c| Condition::deserialize(c).is_err() || text(c, "/reason").is_none());
    let others = list
        .iter()
        .filter(|c| is_old && text(c, "/type") != Some("Ready"));
    others.cloned().collect()
}

pub(crate) fn conditions(value: Option<&Value>) -> Vec<Condition> {
    let items = value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    items
        .iter()
        .filter_map(|c| Condition::deserialize(c).ok())
        .collect()
}

impl Claim {
    /// Reads a claim of this family, in any version.
    pub fn read(kind: ClaimKind, object: WireObject) -> Self {
        let WireObject {
            metadata: meta,
            spec,
            status,
        } = object;
        let label = meta
            .labels
            .get(names::CLUSTER_NAME_LABEL)
            .filter(|l| !l.is_empty())
            .map(|l| Arc::from(l.as_str()));
        match kind {
            ClaimKind::Metal3 => {
                let pool = text(&spec, "/pool/name");
                let (pool, bad) = pool_name(pool);
                let fault = if bad.is_some() {
                    bad
                } else if text(&spec, "/pool/namespace").is_some_and(|n| n != &*meta.namespace) {
                    Some(ReferenceFault::OtherNamespace)
                } else if text(&spec, "/pool/kind").is_some_and(|k| k != "IPPool")
                    || text(&spec, "/pool/apiVersion")
                        .is_some_and(|v| v.split('/').next() != Some(names::METAL3_GROUP))
                {
                    Some(ReferenceFault::OtherKind)
                } else {
                    None
                };
                Self {
                    kind,
                    pool,
                    fault,
                    cluster: label,
                    cluster_required: false,
                    published: text(&status, "/address/name").map(bounded),
                    ip_address: text(&status, "/ipAddress").and_then(|ip| parse_ip(ip).ok()),
                    error_message: text(&status, "/errorMessage").map(str::to_owned),
                    conditions: conditions(status.get("conditions")),
                    old_conditions: Vec::new(),
                    meta,
                }
            }
            ClaimKind::Capi => {
                let pool = text(&spec, "/poolRef/name");
                let ours = text(&spec, "/poolRef/apiGroup") == Some(names::METAL3_GROUP)
                    && text(&spec, "/poolRef/kind") == Some("IPPool");
                let (pool, bad) = pool_name(pool);
                let fault = if ours {
                    bad
                } else {
                    Some(ReferenceFault::OtherProvider)
                };
                let cluster = text(&spec, "/clusterName").map(Arc::from).or(label);
                Self {
                    kind,
                    pool,
                    fault,
                    cluster_required: cluster.is_some(),
                    cluster,
                    published: text(&status, "/addressRef/name").map(bounded),
                    ip_address: None,
                    error_message: None,
                    // v1beta1 keeps metav1 conditions apart from its own old kind, which has no `reason` for True.
                    conditions: conditions(
                        status
                            .pointer("/v1beta2/conditions")
                            .or_else(|| status.get("conditions")),
                    ),
                    old_conditions: others_old_conditions(&status),
                    meta,
                }
            }
        }
    }

    /// Key within the namespace.
    pub fn key(&self) -> ClaimKey {
        ClaimKey {
            kind: self.kind,
            name: self.meta.name.clone(),
        }
    }

    /// Key of the pool that it leads to.
    pub fn pool_key(&self) -> PoolKey {
        PoolKey {
            namespace: self.meta.namespace.clone(),
            name: self.pool.clone(),
        }
    }

    /// The address that it asks for by annotation, as text; `""` is no request (A9).
    pub fn requested(&self) -> Option<&str> {
        self.meta
            .annotations
            .get(names::REQUESTED_ADDRESS_ANNOTATION)
            .map(String::as_str)
            .filter(|s| !s.is_empty())
    }

    /// Whether it carries our finalizer.
    pub fn has_our_finalizer(&self) -> bool {
        self.meta.has_finalizer(self.kind.claim_finalizer())
    }

    /// The condition of this type in its status.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }
}

impl Address {
    /// Reads an address object of this family, in any version.
    pub fn read(kind: ClaimKind, object: WireObject) -> Self {
        let WireObject {
            metadata: meta,
            spec,
            status: _,
        } = object;
        let (pool, claim) = match kind {
            ClaimKind::Metal3 => ("/pool/name", "/claim/name"),
            ClaimKind::Capi => ("/poolRef/name", "/claimRef/name"),
        };
        let pool = text(&spec, pool).filter(|_| names_our_pool(kind, &spec));
        let address = text(&spec, "/address").unwrap_or_default();
        let prefix = spec
            .get("prefix")
            .and_then(Value::as_u64)
            .and_then(|p| u8::try_from(p).ok())
            .filter(|p| (1..=128).contains(p));
        let dns = spec
            .get("dnsServers")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Self {
            kind,
            address: parse_stored_ip(address).map_err(|_| address.chars().take(64).collect()),
            pool: pool_name(pool).0,
            claim: text(&spec, claim).map(bounded).unwrap_or_default(),
            prefix,
            gateway: text(&spec, "/gateway").and_then(|g| parse_ip(g).ok()),
            dns_servers: dns
                .iter()
                .filter_map(|d| parse_ip(d.as_str()?).ok())
                .collect(),
            meta,
        }
    }

    /// Key within the namespace.
    pub fn key(&self) -> AddressKey {
        AddressKey {
            kind: self.kind,
            name: self.meta.name.clone(),
        }
    }

    /// Key of the pool that it leads to. An IPAddress of another provider's pool (Cluster API's kind) leads to one that no
    /// pool can have.
    pub fn pool_key(&self) -> PoolKey {
        PoolKey {
            namespace: self.meta.namespace.clone(),
            name: self.pool.clone(),
        }
    }

    /// Key of the claim that it names.
    pub fn claim_key(&self) -> ClaimKey {
        ClaimKey {
            kind: self.kind,
            name: self.claim.clone(),
        }
    }

    /// Whether it carries our finalizer.
    pub fn has_our_finalizer(&self) -> bool {
        self.meta.has_finalizer(self.kind.address_finalizer())
    }
}

/// The pool that a reference names; the one without a name where it names none, or no object can have that name.
fn pool_name(text: Option<&str>) -> (Arc<str>, Option<ReferenceFault>) {
    match text {
        None => ("".into(), Some(ReferenceFault::NoName)),
        Some(text) if !names::is_object_name(text) => ("".into(), Some(ReferenceFault::BadName)),
        Some(text) => (text.into(), None),
    }
}

/// A name that somebody wrote, cut to the length that a name has: messages and logs repeat it.
fn bounded(text: &str) -> Arc<str> {
    let end = text.floor_char_boundary(names::MAX_OBJECT_NAME);
    text[..end].into()
}

/// Whether an IPAddress of Cluster API's group names a pool of ours; Metal3's kind always does.
pub fn names_our_pool(kind: ClaimKind, spec: &Value) -> bool {
    match kind {
        ClaimKind::Metal3 => true,
        ClaimKind::Capi => {
            text(spec, "/poolRef/apiGroup") == Some(names::METAL3_GROUP)
                && text(spec, "/poolRef/kind") == Some("IPPool")
        }
    }
}

impl PoolObject {
    /// Reads a pool.
    pub fn read(object: WireObject) -> Self {
        let WireObject {
            metadata: meta,
            spec,
            status,
        } = object;
        Self {
            meta,
            spec: IPPoolSpec::deserialize(&spec)
                .map_err(|e| e.to_string().chars().take(1024).collect()),
            status: pool_status(&status),
        }
    }

    /// Namespace and name.
    pub fn key(&self) -> PoolKey {
        PoolKey {
            namespace: self.meta.namespace.clone(),
            name: self.meta.name.clone(),
        }
    }
}

/// A pool's status; of one that cannot be read as a whole, the fields that can.
pub(crate) fn pool_status(status: &Value) -> IPPoolStatus {
    IPPoolStatus::deserialize(status).unwrap_or_else(|_| {
        let mut fields = status.as_object().cloned().unwrap_or_default();
        fields.retain(|name, value| {
            let field = Map::from_iter([(name.clone(), value.clone())]);
            IPPoolStatus::deserialize(&Value::Object(field)).is_ok()
        });
        IPPoolStatus::deserialize(&Value::Object(fields)).unwrap_or_default()
    })
}

impl ClusterFacts {
    /// Reads a Cluster served as `api_version`. A `spec.paused` that is no boolean counts as a pause: nothing is written until
    /// it is put right.
    pub fn read(api_version: &str, object: &WireObject) -> Self {
        let meta = &object.metadata;
        let paused = !matches!(
            object.spec.get("paused"),
            None | Some(Value::Null | Value::Bool(false))
        );
        Self {
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: api_version.into(),
            paused: paused || meta.has_annotation(names::PAUSED_ANNOTATION),
            deleting: meta.is_deleting(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wire(spec: &Value, status: &Value) -> WireObject {
        let object = json!({
            "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "1"},
            "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_pool_name_that_no_object_can_have_leads_to_no_pool() {
        let long = "p".repeat(254);
        let names = [
            ("p", "p", None),
            ("", "", Some(ReferenceFault::NoName)),
            (&*long, "", Some(ReferenceFault::BadName)),
            ("A b/c", "", Some(ReferenceFault::BadName)),
        ];
        for (name, pool, fault) in names {
            let metal3 = json!({"pool": {"name": name}});
            let capi = json!({"poolRef":
                {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": name}});
            for (kind, spec) in [(ClaimKind::Metal3, metal3), (ClaimKind::Capi, capi)] {
                let claim = Claim::read(kind, wire(&spec, &json!({})));
                assert_eq!((&*claim.pool, claim.fault), (pool, fault), "{name}");
                let address = Address::read(kind, wire(&spec, &json!({})));
                assert_eq!(&*address.pool, pool);
            }
        }
    }

    /// In whatever spelling: a machine uses it (A5).
    #[test]
    fn an_object_has_the_address_that_its_text_stands_for() {
        for (text, address) in [
            ("::ffff:10.0.0.1", Ok("10.0.0.1".parse().unwrap())),
            ("10.0.0.01", Ok("10.0.0.1".parse().unwrap())),
            ("10.0.0.010", Err("10.0.0.010".to_owned())),
        ] {
            let object = wire(&json!({"address": text}), &json!({}));
            assert_eq!(Address::read(ClaimKind::Metal3, object).address, address);
        }
    }

    #[test]
    fn names_that_others_wrote_are_no_longer_than_a_name() {
        let long = "ä".repeat(100_000);
        let spec = json!({"pool": {"name": "p"}, "claim": {"name": long}});
        let address = Address::read(ClaimKind::Metal3, wire(&spec, &json!({})));
        assert_eq!(address.claim.len(), 252);
        let status = json!({"address": {"name": long}});
        let claim = Claim::read(ClaimKind::Metal3, wire(&spec, &status));
        assert_eq!(claim.published.unwrap().len(), 252);
    }

    #[test]
    fn a_cluster_whose_pause_is_no_boolean_is_paused() {
        let paused = |spec: Value| ClusterFacts::read("v1", &wire(&spec, &json!({}))).paused;
        assert!(paused(json!({"paused": "true"})) && paused(json!({"paused": true})));
        assert!(!paused(json!({"paused": null})) && !paused(json!({})));
        assert!(!paused(json!({"paused": false})));
    }
}
