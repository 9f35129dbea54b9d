//! Writes as dry runs: a server applies the same rules as to other writes, and stores nothing.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

pub(crate) const METAL3: &str = "ipam.metal3.io/v1alpha1";
pub(crate) const CAPI: &str = "ipam.cluster.x-k8s.io/v1beta2";

/// One write. Where it names an object: its API version, kind and name.
#[derive(Clone)]
pub(crate) enum Write {
    /// Creates the object.
    Create(Value),
    /// Merges the patch into the object.
    Patch(&'static str, &'static str, &'static str, Value),
    /// Merges the patch into the object through its status.
    Status(&'static str, &'static str, &'static str, Value),
    /// Deletes the object.
    Delete(&'static str, &'static str, &'static str),
}

/// The objects of an API version and kind.
pub(crate) fn api(
    client: &Client,
    namespace: &str,
    version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Tries the write as a dry run. Returns the server's message where it refuses.
pub(crate) async fn attempt(client: &Client, namespace: &str, write: &Write) -> Result<(), String> {
    let merge = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let api = |version: &str, kind: &str| api(client, namespace, version, kind);
    let done = match write {
        Write::Create(object) => {
            let text = |name: &str| object[name].as_str().unwrap();
            let post = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let made = serde_json::from_value(object.clone()).unwrap();
            let api = api(text("apiVersion"), text("kind"));
            api.create(&post, &made).await.map(drop)
        }
        Write::Patch(version, kind, name, patch) => {
            let api = api(version, kind);
            let patch = Patch::Merge(patch);
            api.patch(name, &merge, &patch).await.map(drop)
        }
        Write::Status(version, kind, name, patch) => {
            let api = api(version, kind);
            let patch = Patch::Merge(patch);
            api.patch_status(name, &merge, &patch).await.map(drop)
        }
        Write::Delete(version, kind, name) => {
            let delete = DeleteParams {
                dry_run: true,
                ..DeleteParams::default()
            };
            api(version, kind).delete(name, &delete).await.map(drop)
        }
    };
    match done {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) => {
            let (code, message) = (status.code, status.message);
            assert!((400..=599).contains(&code), "no refusal: {code} {message}");
            Err(message)
        }
        Err(other) => panic!("no answer of the server: {other}"),
    }
}
