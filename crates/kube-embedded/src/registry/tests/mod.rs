//! The registry on a store of its own in a temporary folder, one file per subject.

mod collecting;
mod deleting;
mod listing;
mod owning;
mod watching;
mod writing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::kinds::Resource;
use crate::registry::rules::metadata;

/// Longest wait for something that must happen; a bound for broken code, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry, and short words for what tests do with it. Everything happens in the namespace `default` unless a target
/// says otherwise.
struct Bed {
    registry: Registry,
    // Dropped last: the folder outlives its store.
    dir: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            registry: open(dir.path()).await,
            dir,
        }
    }

    /// The same folder, opened again.
    async fn reopened(self) -> Self {
        self.reopened_at(Timestamp::now).await
    }

    /// The same folder, opened again, with another clock.
    async fn reopened_at(self, clock: fn() -> Timestamp) -> Self {
        let Self { registry, dir } = self;
        registry.close().await;
        drop(registry);
        let options = Options {
            clock: Clock::new(clock),
            ..Options::new(dir.path(), crate::testing::serves())
        };
        Self {
            registry: Registry::open(options).await.unwrap(),
            dir,
        }
    }

    fn kind(&self, plural: &str) -> Arc<Resource> {
        let all = self.registry.resources().all();
        let found = all
            .iter()
            .find(|r| r.qualified() == plural || r.plural == plural);
        Arc::clone(found.unwrap())
    }

    fn all(&self, plural: &str) -> Target {
        Target::all(&self.kind(plural), None)
    }

    fn one(&self, plural: &str, name: &str) -> Target {
        let resource = self.kind(plural);
        Target::one(&resource, resource.namespaced.then_some("default"), name)
    }

    /// The whole body for this object: with kind and version.
    fn body(&self, plural: &str, object: &Value) -> Value {
        let resource = self.kind(plural);
        let mut body = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
        json_patch::merge(&mut body, object);
        body
    }

    async fn create(&self, plural: &str, object: Value) -> Result<Value, ApiError> {
        let target = Target {
            name: None,
            ..self.one(plural, "")
        };
        self.create_at(&target, object).await
    }

    async fn create_at(&self, target: &Target, object: Value) -> Result<Value, ApiError> {
        let body = self.body(&target.resource.qualified(), &object);
        let written = self
            .registry
            .create(target, body, &WriteOptions::default())
            .await?;
        Ok(parse(&written.object))
    }

    async fn update(&self, plural: &str, object: Value) -> Result<Value, ApiError> {
        let target = self.one(plural, object["metadata"]["name"].as_str().unwrap());
        let body = self.body(plural, &object);
        let written = self
            .registry
            .update(&target, body, &WriteOptions::default())
            .await?;
        Ok(parse(&written.object))
    }

    async fn merge(&self, target: &Target, patch: Value) -> Result<Value, ApiError> {
        let written = self
            .registry
            .patch(target, Patch::Merge(patch), &WriteOptions::default())
            .await?;
        Ok(parse(&written.object))
    }

    async fn delete(&self, plural: &str, name: &str) -> Result<Deleted, ApiError> {
        self.registry
            .delete(&self.one(plural, name), &DeleteOptions::default())
            .await
    }

    async fn delete_so(&self, plural: &str, name: &str, propagation: Propagation) -> Deleted {
        let options = DeleteOptions {
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        self.registry
            .delete(&self.one(plural, name), &options)
            .await
            .unwrap()
    }

    fn get(&self, plural: &str, name: &str) -> Result<Value, ApiError> {
        Ok(parse(&self.registry.get(&self.one(plural, name), None)?))
    }

    fn names(&self, target: &Target, options: &ListOptions) -> Vec<String> {
        let listed = self.registry.list(target, options).unwrap();
        listed.items.iter().map(|item| name_of(item)).collect()
    }

    /// Waits until one object is as `want` says; none is an object that is not there.
    async fn until(&self, target: &Target, want: impl Fn(Option<&Value>) -> bool) {
        let mut watch = self
            .registry
            .watch(target, &WatchOptions::default())
            .unwrap();
        let wait = async {
            let mut now = match self.registry.get(target, None) {
                Ok(object) => Some(parse(&object)),
                Err(error) => {
                    assert_eq!(error.code, 404, "{error}");
                    None
                }
            };
            while !want(now.as_ref()) {
                let event = watch.next().await.unwrap();
                now = match event.kind {
                    WatchEventKind::Added | WatchEventKind::Modified => Some(parse(&event.object)),
                    WatchEventKind::Deleted => None,
                    WatchEventKind::Bookmark => continue,
                    WatchEventKind::Error => panic!("{:?}", event.object),
                };
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{target:?} did not become what was waited for"));
    }

    async fn until_gone(&self, plural: &str, name: &str) {
        self.until(&self.one(plural, name), |object| object.is_none())
            .await;
    }
}

async fn open(dir: &Path) -> Registry {
    Registry::open(Options::new(dir, crate::testing::serves()))
        .await
        .unwrap()
}

fn parse(object: &[u8]) -> Value {
    serde_json::from_slice(object).unwrap()
}

fn name_of(object: &[u8]) -> String {
    parse(object)["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn widget(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"model": "p", "parts": [{"start": "10.0.0.1", "end": "10.0.0.99"}]},
    })
}

fn gadget(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"widget": {"name": "widget"}}})
}

fn config(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

/// A reference to this object, as one of its owners.
fn owner(object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"],
    })
}

fn owned(mut object: Value, owners: &[Value]) -> Value {
    object["metadata"]["ownerReferences"] = owners.to_vec().into();
    object
}

fn with_finalizer(mut object: Value, finalizer: &str) -> Value {
    object["metadata"]["finalizers"] = json!([finalizer]);
    object
}
