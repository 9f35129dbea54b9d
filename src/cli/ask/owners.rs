//! The chain of owners: claim, Metal3Data, Metal3Machine, Machine, Cluster, as far as it can be read.

use std::collections::BTreeMap;

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use serde_json::Value;

/// Owners that a chain names at most; a ring of owner references ends there.
const LONGEST: usize = 8;

/// Follows owner references; what it has read it knows for the next chain.
pub(super) struct Owners<'a> {
    client: &'a Client,
    /// Names of resources, by `apiVersion` and kind.
    resources: BTreeMap<(String, String), Option<String>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self {
            client,
            resources: BTreeMap::new(),
        }
    }

    /// The owners of an object with these references, nearest first, as `Kind name`. Where one cannot be read, the chain ends
    /// with it.
    pub(super) async fn chain(
        &mut self,
        namespace: &str,
        owners: &[OwnerReference],
    ) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = first(owners).cloned();
        while let Some(owner) = next.take() {
            chain.push(format!("{} {}", owner.kind, owner.name));
            if chain.len() < LONGEST
                && let Some(object) = self.read(namespace, &owner).await
            {
                let owners = object["metadata"]["ownerReferences"].clone();
                let owners: Vec<OwnerReference> =
                    serde_json::from_value(owners).unwrap_or_default();
                next = first(&owners).cloned();
            }
        }
        chain
    }

    async fn read(&mut self, namespace: &str, owner: &OwnerReference) -> Option<Value> {
        let version = &owner.api_version;
        let root = if version.contains('/') {
            format!("/apis/{version}")
        } else {
            format!("/api/{version}")
        };
        let key = (version.clone(), owner.kind.clone());
        if !self.resources.contains_key(&key) {
            let list = self.get(&root).await;
            let list = list.as_ref().and_then(|list| list["resources"].as_array());
            let is_it = |resource: &&Value| {
                let name = resource["name"].as_str().unwrap_or_default();
                resource["kind"] == *owner.kind && !name.contains('/')
            };
            let found = list.and_then(|list| list.iter().find(is_it));
            let name = found.and_then(|resource| resource["name"].as_str());
            self.resources.insert(key.clone(), name.map(str::to_owned));
        }
        let resource = self.resources.get(&key)?.as_ref()?;
        let path = format!("{root}/namespaces/{namespace}/{resource}/{}", owner.name);
        let object = self.get(&path).await?;
        (object["metadata"]["uid"] == *owner.uid).then_some(object)
    }

    /// An object; `None` where there is none, or none that may be read.
    async fn get(&self, path: &str) -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).ok()?;
        self.client.request(request).await.ok()
    }
}

/// The owner that manages the object, else the first one.
fn first(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    let manages = |owner: &&OwnerReference| owner.controller == Some(true);
    owners.iter().find(manages).or(owners.first())
}
