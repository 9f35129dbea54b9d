//! The objects at the end of a run, compared with those at the end of another run (O7).

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use metal3_ipam::api::names;
use serde_json::{Value, json};

use super::history::get;

/// Plural and path of the collections, in all namespaces.
const KINDS: [(&str, &str); 6] = [
    ("Cluster", "/apis/cluster.x-k8s.io/v1beta2/clusters"),
    ("IPPool", "/apis/ipam.metal3.io/v1alpha1/ippools"),
    ("IPClaim", "/apis/ipam.metal3.io/v1alpha1/ipclaims"),
    ("IPAddress", "/apis/ipam.metal3.io/v1alpha1/ipaddresses"),
    (
        "IPAddressClaim",
        "/apis/ipam.cluster.x-k8s.io/v1beta2/ipaddressclaims",
    ),
    (
        "IPAddress.capi",
        "/apis/ipam.cluster.x-k8s.io/v1beta2/ipaddresses",
    ),
];

/// How far two runs must end alike (O7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Every claim has the same address.
    Same,
    /// Which of several claims that asked at one time has which address is open.
    OrderAside,
    /// Every claim is served or not as it was. For a create that landed late (F6): its object may be a second one of its claim,
    /// or a leak for a while, and then others have other addresses (A4, R6).
    Claims,
}

/// Every object by kind, namespace and name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End(BTreeMap<(&'static str, String), Value>);

/// What this test reads of an address object.
pub(super) struct Held<'a> {
    pub(super) address: &'a str,
    claim: &'a str,
    pub(super) pool: &'a str,
    ours: bool,
}

impl End {
    /// Reads all of it, past every layer.
    pub(crate) async fn read(client: &Client) -> Self {
        let mut all = BTreeMap::new();
        for (kind, path) in KINDS {
            let list: Value = serde_json::from_slice(&get(client, path).await).unwrap();
            for item in list["items"].as_array().into_iter().flatten() {
                all.insert((kind, name_of(item)), item.clone());
            }
        }
        Self(all)
    }

    pub(super) fn of(&self, kind: &'static str) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.0.iter();
        all.filter(move |((k, _), _)| *k == kind)
            .map(|((_, name), object)| (name.as_str(), object))
    }

    pub(super) fn pool(&self, key: &str) -> Option<&Value> {
        self.0.get(&("IPPool", key.to_owned()))
    }

    /// Both claim kinds, with the namespaced pool that each leads to and the object that its status names.
    pub(super) fn claims(
        &self,
    ) -> impl Iterator<Item = (&'static str, &str, &Value, String, Option<&str>)> {
        let metal3 = self.of("IPClaim").map(|(name, claim)| {
            let pool = text(claim, "/spec/pool/name");
            (
                "IPAddress",
                name,
                claim,
                pool,
                text_of(claim, "/status/address/name"),
            )
        });
        let capi = self
            .of("IPAddressClaim")
            .filter(|(_, claim)| text(claim, "/spec/poolRef/apiGroup") == names::METAL3_GROUP);
        let capi = capi.map(|(name, claim)| {
            let pool = text(claim, "/spec/poolRef/name");
            (
                "IPAddress.capi",
                name,
                claim,
                pool,
                text_of(claim, "/status/addressRef/name"),
            )
        });
        metal3
            .chain(capi)
            .map(|(kind, name, claim, pool, published)| {
                (kind, name, claim, beside(name, pool), published)
            })
    }

    /// Both address kinds.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&'static str, &str, Held<'_>)> {
        let metal3 = self.of("IPAddress").map(|(name, object)| {
            (
                "IPAddress",
                name,
                Held::read(object, "/spec/claim/name", "/spec/pool/name"),
            )
        });
        let capi = self.of("IPAddress.capi").map(|(name, object)| {
            let held = Held::read(object, "/spec/claimRef/name", "/spec/poolRef/name");
            ("IPAddress.capi", name, held)
        });
        metal3.chain(capi)
    }

    /// O3: address objects of ours without a claim, and claims whose object is not there.
    pub(super) fn loose_ends(&self) -> Vec<String> {
        let mut loose = Vec::new();
        for (kind, name, held) in self.objects() {
            let claims = if kind == "IPAddress" {
                "IPClaim"
            } else {
                "IPAddressClaim"
            };
            let claim = (claims, beside(name, held.claim));
            if held.ours && !self.0.contains_key(&claim) {
                loose.push(format!("O3 {kind} {name} leads to no claim ({})", claim.1));
            }
        }
        for (kind, name, _, _, published) in self.claims() {
            let object = published.map(|object| (kind, beside(name, object)));
            if let Some(object) = object.filter(|o| !self.0.contains_key(o)) {
                loose.push(format!(
                    "O3 claim {name} is bound to {object:?}, which is not there"
                ));
            }
        }
        loose
    }

    /// O7: the objects without what differs from run to run.
    fn comparable(&self) -> BTreeMap<(&'static str, String), Value> {
        let uid = |kind: &str, name: &str| -> Option<&str> {
            let kinds = KINDS.iter().map(|(k, _)| *k);
            let kind = kinds.into_iter().find(|k| *k == kind)?;
            text_of(self.0.get(&(kind, name.to_owned()))?, "/metadata/uid")
        };
        let all = self.0.iter().map(|((kind, name), object)| {
            let mut object = object.clone();
            let meta = object["metadata"].as_object_mut().unwrap();
            for volatile in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "generation",
                "managedFields",
            ] {
                meta.remove(volatile);
            }
            if let Some(deleted) = meta.get_mut("deletionTimestamp") {
                *deleted = json!("some time");
            }
            for owner in meta
                .get_mut("ownerReferences")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let owned_by = beside(name, text(owner, "/name"));
                let right = uid(&text(owner, "/kind"), &owned_by) == text_of(owner, "/uid");
                owner["uid"] = json!(if right { "of the owner" } else { "of nobody" });
            }
            for conditions in ["/status/conditions", "/status/v1beta2/conditions"] {
                let Some(conditions) = object.pointer_mut(conditions).and_then(Value::as_array_mut)
                else {
                    continue;
                };
                // A list by type; which one came first is open.
                conditions.sort_by_key(|c| text(c, "/type"));
                for condition in conditions {
                    condition["lastTransitionTime"] = json!("some time");
                    // How often a spec was seen to change is no one's business at the end.
                    condition
                        .as_object_mut()
                        .unwrap()
                        .remove("observedGeneration");
                }
            }
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("lastUpdated");
                status.remove("observedGeneration");
                // Emptied, or never filled.
                if status.get("indexes").is_some_and(|i| i == &json!({})) {
                    status.remove("indexes");
                }
            }
            ((*kind, name.clone()), object)
        });
        all.collect()
    }

    /// The same, without who has which address.
    fn order_aside(&self) -> BTreeMap<(&'static str, String), Value> {
        let mut all = BTreeMap::new();
        for ((kind, name), mut object) in self.comparable() {
            match kind {
                "IPAddress" | "IPAddress.capi" => {
                    // Of each pool the addresses, whichever kind and claim has them.
                    let held = match kind {
                        "IPAddress" => Held::read(&object, "/spec/claim/name", "/spec/pool/name"),
                        _ => Held::read(&object, "/spec/claimRef/name", "/spec/poolRef/name"),
                    };
                    let key = format!("{} of {}", held.address, beside(&name, held.pool));
                    let finalizers = &object["metadata"]["finalizers"];
                    let finalizers = finalizers.as_array().map_or(0, Vec::len);
                    all.insert(("address", key), json!({"finalizers": finalizers}));
                }
                "IPPool" => {
                    let indexes = object.pointer_mut("/status/indexes");
                    for address in indexes.and_then(Value::as_object_mut).into_iter().flatten() {
                        *address.1 = json!("some address");
                    }
                    all.insert((kind, name), object);
                }
                _ => {
                    let shown = text_of(&object, "/status/address/name");
                    let shown = shown.map(|shown| beside(&name, shown));
                    let shown = shown.and_then(|shown| self.0.get(&("IPAddress", shown)));
                    let shown = shown.and_then(|shown| text_of(shown, "/spec/address"));
                    if let Some(ip) = object.pointer_mut("/status/ipAddress") {
                        let is_right = shown == ip.as_str();
                        *ip = json!(if is_right {
                            "of the object"
                        } else {
                            "of no object"
                        });
                    }
                    for reference in ["/status/address/name", "/status/addressRef/name"] {
                        if let Some(name) = object.pointer_mut(reference) {
                            *name = json!("some object");
                        }
                    }
                    all.insert((kind, name), object);
                }
            }
        }
        all
    }

    /// The claims without their addresses, and of pools that they are there.
    fn claims_alone(&self) -> BTreeMap<(&'static str, String), Value> {
        let mut all = self.order_aside();
        all.retain(|(kind, _), _| *kind != "address");
        for ((kind, _), object) in &mut all {
            if *kind == "IPPool" {
                object["status"] = Value::Null;
            }
        }
        all
    }

    /// O7: what differs from the end of another run.
    pub(crate) fn differences(&self, other: &Self, comparison: Comparison) -> Vec<String> {
        let (these, those) = match comparison {
            Comparison::Same => (self.comparable(), other.comparable()),
            Comparison::OrderAside => (self.order_aside(), other.order_aside()),
            Comparison::Claims => (self.claims_alone(), other.claims_alone()),
        };
        let keys: BTreeSet<_> = these.keys().chain(those.keys()).collect();
        keys.into_iter()
            .filter(|key| these.get(key) != those.get(key))
            .map(|key| {
                let how = match (these.get(key), those.get(key)) {
                    (Some(this), Some(that)) => json_patch::diff(this, that).to_string(),
                    (Some(_), None) => "is not there".to_owned(),
                    (None, _) => "should not be there".to_owned(),
                };
                format!("O7 {} {}: {how}", key.0, key.1)
            })
            .collect()
    }
}

impl<'a> Held<'a> {
    fn read(object: &'a Value, claim: &str, pool: &str) -> Self {
        let word = |path| text_of(object, path).unwrap_or_default();
        let finalizers = object["metadata"]["finalizers"].as_array();
        let ours = |f: &Value| {
            let f = f.as_str().unwrap_or_default();
            f == names::IPADDRESS_FINALIZER || f == names::CAPI_ADDRESS_FINALIZER
        };
        Self {
            address: word("/spec/address"),
            claim: word(claim),
            pool: word(pool),
            ours: finalizers.into_iter().flatten().any(ours),
        }
    }
}

fn name_of(object: &Value) -> String {
    let meta = &object["metadata"];
    format!(
        "{}/{}",
        meta["namespace"].as_str().unwrap_or_default(),
        meta["name"].as_str().unwrap_or_default()
    )
}

/// `name` in the namespace of `of`.
pub(super) fn beside(of: &str, name: impl AsRef<str>) -> String {
    let namespace = of.split('/').next().unwrap_or_default();
    format!("{namespace}/{}", name.as_ref())
}

fn text_of<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

fn text(object: &Value, path: &str) -> String {
    text_of(object, path).unwrap_or_default().to_owned()
}
