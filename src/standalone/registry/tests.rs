//! Tests of the registry.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value, json};

use super::*;

struct Bed {
    registry: Registry,
    // Dropped last: the folder outlives its store.
    _dir: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(Options::new(dir.path())).await.unwrap();
        Self {
            registry,
            _dir: dir,
        }
    }

    fn kind(&self, plural: &str) -> Arc<Resource> {
        let found = self
            .registry
            .resources()
            .all()
            .iter()
            .find(|r| r.qualified() == plural || r.plural == plural);
        Arc::clone(found.unwrap())
    }

    async fn create(&self, plural: &str, object: Value) -> Result<Value, ApiError> {
        let resource = self.kind(plural);
        let target = Target::all(&resource, resource.namespaced.then_some("default"));
        let mut body = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
        json_patch::merge(&mut body, &object);
        let written = self
            .registry
            .create(&target, body, &WriteOptions::default())
            .await?;
        Ok(serde_json::from_slice(&written.object).unwrap())
    }

    fn one(&self, plural: &str, name: &str) -> Target {
        let resource = self.kind(plural);
        Target::one(&resource, resource.namespaced.then_some("default"), name)
    }

    fn get(&self, plural: &str, name: &str) -> Result<Value, ApiError> {
        let bytes = self.registry.get(&self.one(plural, name), None)?;
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    async fn merge(&self, target: &Target, patch: Value) -> Result<Value, ApiError> {
        let written = self
            .registry
            .patch(target, Patch::Merge(patch), &WriteOptions::default())
            .await?;
        Ok(serde_json::from_slice(&written.object).unwrap())
    }
}

fn pool(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"namePrefix": "p"}})
}

#[tokio::test]
async fn an_object_is_made_read_listed_changed_and_watched() {
    let bed = Bed::new().await;
    let pools = bed.kind("ippools");
    let all = Target::all(&pools, None);
    let mut watch = bed.registry.watch(&all, &WatchOptions::default()).unwrap();
    let made = bed.create("ippools", pool("a")).await.unwrap();
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(bed.get("ippools", "a").unwrap(), made);
    let listed = bed.registry.list(&all, &ListOptions::default()).unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(
        listed.revision.to_string(),
        made["metadata"]["resourceVersion"]
    );
    let patched = bed
        .merge(&bed.one("ippools", "a"), json!({"spec": {"prefix": 24}}))
        .await
        .unwrap();
    assert_eq!(patched["metadata"]["generation"], 2);
    bed.registry
        .delete(&bed.one("ippools", "a"), &DeleteOptions::default())
        .await
        .unwrap();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(watch.next().await.unwrap().kind.as_str());
    }
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"]);
    assert_eq!(bed.get("ippools", "a").unwrap_err().code, 404);
}
