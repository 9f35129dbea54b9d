//! What is read of a cluster: its objects, and whose cluster it is.

use http::Request;
use kube::Client;
use serde_json::Value;

use super::super::objects::{Objects, Reader, words};
use super::super::place::Reached;

/// A cluster's objects at one moment.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Of Kubernetes.
    pub(super) version: String,
    /// UID of the namespace kube-system, which identifies the cluster; `None` when the user may not read it.
    pub(super) cluster: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) objects: Objects,
    /// What could not be read, with the server's message.
    pub(super) unread: Vec<String>,
}

impl Reading {
    pub(super) async fn read(cluster: &Reached, namespace: Option<&str>) -> Self {
        let mut reader = Reader::with_writers(&cluster.client);
        let objects = Objects::read(&mut reader, namespace).await;
        reader.expect_namespace(namespace, &objects).await;
        let strange = objects.strange.iter();
        let strange = strange.map(|(object, why)| format!("{object}: {why}"));
        let unread = reader.unread.into_iter().chain(strange).collect();
        Self {
            version: cluster.version.clone(),
            cluster: identity(&cluster.client).await,
            namespace: namespace.map(str::to_owned),
            objects,
            unread,
        }
    }
}

async fn identity(client: &Client) -> Option<String> {
    let path = "/api/v1/namespaces/kube-system";
    let request = Request::get(path).body(Vec::new()).ok()?;
    match client.request::<Value>(request).await {
        Ok(namespace) => Some(namespace["metadata"]["uid"].as_str()?.to_owned()),
        Err(error) => {
            tell!(
                "the cluster's identity, the UID of the namespace kube-system, is not known: {}",
                words(error)
            );
            None
        }
    }
}
