//! The definitions of `metal3-io/ip-address-manager` ("upstream") and a kube-apiserver that serves them: the server that a
//! cluster has while this program replaces that one. Fields, types, patterns and printer columns are upstream's, as they were
//! before its pools counted their addresses. Nothing of ours is in them: no conditions, no counts, no excluded addresses, no
//! grace period. A server drops fields that a definition lacks, and stores the rest.

mod writes;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use metal3_ipam::api::PoolKey;
use metal3_ipam::pool::Snapshot;
use serde_json::{Value, json};
use tokio::time::timeout;

use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::IPClaim;

use crate::harness::{DEADLINE, World, published};
use crate::steps::{capi_published, until_view};

/// One group of an IPv6 address.
const GROUP: &str = "[0-9a-fA-F]{1,4}";
/// One number of an IPv4 address.
const OCTET: &str = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";

/// The three definitions.
pub(crate) fn definitions() -> Vec<CustomResourceDefinition> {
    let age = column("Age", "date", ".metadata.creationTimestamp");
    let cluster = column(
        "Cluster",
        "string",
        r".metadata.labels.cluster\.x-k8s\.io/cluster-name",
    );
    let named = [
        (
            "IPPool",
            "ippools",
            "ipp",
            "cluster-api",
            [cluster, age.clone()].to_vec(),
            pool(),
        ),
        (
            "IPClaim",
            "ipclaims",
            "ipc",
            "cluster-api",
            vec![age.clone()],
            claim(),
        ),
        (
            "IPAddress",
            "ipaddresses",
            "ipa",
            "metal3",
            vec![age],
            address(),
        ),
    ];
    named
        .into_iter()
        .map(|(kind, plural, short, category, columns, schema)| {
            let singular = kind.to_lowercase();
            let mut short_names = vec![short.to_owned(), singular.clone()];
            for prefix in ["m3", "metal3"] {
                short_names.extend([short, &singular, plural].map(|name| format!("{prefix}{name}")));
            }
            let subresources = if schema["properties"]["status"].is_null() {
                json!({})
            } else {
                json!({"status": {}})
            };
            let definition = json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.ipam.metal3.io")},
                "spec": {
                    "group": "ipam.metal3.io",
                    "scope": "Namespaced",
                    "names": {
                        "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular,
                        "shortNames": short_names, "categories": [category],
                    },
                    "versions": [{
                        "name": "v1alpha1", "served": true, "storage": true, "subresources": subresources,
                        "additionalPrinterColumns": columns, "schema": {"openAPIV3Schema": schema},
                    }],
                },
            });
            serde_json::from_value(definition).unwrap()
        })
        .collect()
}

fn column(name: &str, type_: &str, path: &str) -> Value {
    json!({"name": name, "type": type_, "jsonPath": path})
}

/// A field of text that matches one of these two whole.
fn one_of(four: &str, six: &str) -> Value {
    json!({"type": "string", "pattern": format!("((^{four}$)|(^{six}$))")})
}

fn ipv4() -> String {
    format!(r"({OCTET}\.){{3}}{OCTET}")
}

fn ipv6() -> String {
    let g = GROUP;
    let mut forms = vec![
        format!("({g}:){{7}}{g}"),
        format!("({g}:){{1,7}}:"),
        format!(":((:{g}){{1,7}}|:)"),
    ];
    // With `::` in the middle: up to so many groups before it, up to the rest after it.
    forms.extend((1..=6).map(|before| {
        let after = 7 - before;
        format!("({g}:){{1,{before}}}(:{g}){{1,{after}}}")
    }));
    format!("({})", forms.join("|"))
}

fn ip() -> Value {
    one_of(&ipv4(), &ipv6())
}

fn subnet() -> Value {
    let four = format!("{}/([0-9]|[12][0-9]|3[0-2])", ipv4());
    let six = format!("{}/([0-9]|[0-9][0-9]|1[01][0-9]|12[0-8])", ipv6());
    one_of(&four, &six)
}

fn text() -> Value {
    json!({"type": "string"})
}

fn object(fields: &Value, required: &[&str]) -> Value {
    let mut schema = json!({"type": "object", "properties": fields});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn map_of(value: &Value) -> Value {
    json!({"type": "object", "additionalProperties": value})
}

fn list_of(item: &Value) -> Value {
    json!({"type": "array", "items": item})
}

/// No upstream field has a lower bound for it.
fn prefix() -> Value {
    json!({"type": "integer", "maximum": 128})
}

/// core/v1's reference to an object, which is replaced whole.
fn reference() -> Value {
    let fields = [
        "apiVersion",
        "fieldPath",
        "kind",
        "name",
        "namespace",
        "resourceVersion",
        "uid",
    ];
    let fields: Value = fields
        .map(|field| (field.to_owned(), text()))
        .into_iter()
        .collect();
    let mut reference = object(&fields, &[]);
    reference["x-kubernetes-map-type"] = json!("atomic");
    reference
}

fn whole(spec: &Value, status: Option<&Value>) -> Value {
    let mut fields =
        json!({"apiVersion": text(), "kind": text(), "metadata": {"type": "object"}, "spec": spec});
    if let Some(status) = status {
        fields["status"] = status.clone();
    }
    object(&fields, &[])
}

fn pool() -> Value {
    let entry = object(
        &json!({
            "start": ip(), "end": ip(), "subnet": subnet(), "prefix": prefix(), "gateway": ip(), "dnsServers": list_of(&ip()),
        }),
        &[],
    );
    let strategy =
        json!({"type": "string", "enum": ["sequential", "random"], "default": "sequential"});
    let spec = json!({
        "clusterName": text(),
        "namePrefix": {"type": "string", "minLength": 1},
        "pools": list_of(&entry),
        "prefix": prefix(),
        "gateway": ip(),
        "dnsServers": list_of(&ip()),
        "preAllocations": map_of(&ip()),
        "allocationStrategy": strategy,
    });
    let status = json!({
        "indexes": map_of(&ip()),
        "lastUpdated": {"type": "string", "format": "date-time"},
    });
    whole(&object(&spec, &["namePrefix"]), Some(&object(&status, &[])))
}

fn claim() -> Value {
    let spec = object(&json!({"pool": reference()}), &["pool"]);
    let status = object(
        &json!({"address": reference(), "errorMessage": text()}),
        &[],
    );
    whole(&spec, Some(&status))
}

fn address() -> Value {
    let spec = json!({
        "address": ip(), "claim": reference(), "pool": reference(), "prefix": prefix(), "gateway": ip(),
        "dnsServers": list_of(&ip()),
    });
    whole(&object(&spec, &["address", "claim", "pool"]), None)
}

impl World {
    fn pool_key(&self, pool: &str) -> PoolKey {
        PoolKey {
            namespace: self.namespace.as_str().into(),
            name: pool.into(),
        }
    }

    /// Waits until the controller shows this of a pool. What a definition of upstream's drops from the pool's status is still
    /// in the controller's memory.
    pub(crate) async fn until_snapshot(
        &self,
        pool: &str,
        what: &str,
        holds: impl Fn(&Snapshot) -> bool,
    ) {
        let key = self.pool_key(pool);
        let shows = |view: &metal3_ipam::controller::View| {
            view.snapshot(&key).is_some_and(|snapshot| holds(&snapshot))
        };
        until_view(self.view(), what, shows).await;
    }

    /// Waits until the controller has seen every claim of this one's pool and counts those without an address as waiting, for
    /// this reason among others. A definition of upstream's keeps no condition that would say so of the claim itself.
    pub(crate) async fn counted_as_waiting(&self, claim: &str, reason: &str) {
        let pool = self.get::<IPClaim>(claim).await.spec.pool.name.unwrap();
        let key = self.pool_key(&pool);
        let mut changes = self.view().changes();
        let counted = async {
            loop {
                let claims = self.until::<IPClaim>("a list", |_| true).await;
                let capi_claims = self.until::<IPAddressClaim>("a list", |_| true).await;
                let metal3 = claims
                    .values()
                    .filter(|c| c.spec.pool.name.as_deref() == Some(&*pool))
                    .map(|c| c.metadata.deletion_timestamp.is_none() && published(c).is_none());
                let capi = capi_claims
                    .values()
                    .filter(|c| c.spec.pool_ref.name == pool)
                    .map(|c| {
                        c.metadata.deletion_timestamp.is_none() && capi_published(c).is_none()
                    });
                let of_pool: Vec<bool> = metal3.chain(capi).collect();
                let waiting = of_pool.iter().filter(|waits| **waits).count() as u64;
                let told = self.view().snapshot(&key).is_some_and(|s| {
                    s.claims == of_pool.len() as u64
                        && s.waiting.values().sum::<u64>() == waiting
                        && s.waiting.contains_key(reason)
                });
                if told && published(&claims[claim]).is_none() {
                    return;
                }
                self.view().changed(&mut changes).await;
            }
        };
        let counted = timeout(DEADLINE, counted).await;
        assert!(
            counted.is_ok(),
            "waited for IPClaim {claim} to be counted as waiting for {reason}: {:?}",
            self.view().snapshot(&key)
        );
    }
}
