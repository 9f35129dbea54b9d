//! Watches that feed the [`Board`](super::board::Board) and the bench: one task per kind, list then watch.

use anyhow::Context;
use futures::TryStreamExt;
use http::Request;
use kube::Client;
use kube::core::WatchEvent;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::board::{Change, Kind};
use crate::api::{ClaimKind, WireObject};

/// Changes that may wait until the board takes them; a watch waits when there are more.
const WAITING: usize = 1024;

/// The changes of every kind. Dropping it ends the watches.
pub(super) struct Follow {
    changes: mpsc::Receiver<Change>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Follow {
    /// Starts the watches, of every namespace.
    pub(super) fn start(client: &Client) -> Self {
        Self::of(client, None)
    }

    /// Starts the watches, of one namespace or of all.
    pub(super) fn of(client: &Client, namespace: Option<&str>) -> Self {
        let (sender, changes) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let path = path(kind, namespace);
            tasks.spawn(follow(client.clone(), kind, path, sender.clone()));
        }
        Self { changes, tasks }
    }

    /// The next change. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Change> {
        tokio::select! {
            // Each task holds a sender, so there is a next change until one of them has ended.
            Some(change) = self.changes.recv() => Ok(change),
            Some(ended) = self.tasks.join_next() => {
                ended.context("a watch of the embedded server broke off")??;
                anyhow::bail!("a watch of the embedded server ended")
            }
        }
    }
}

/// Where the objects of a kind are listed.
fn path(kind: Kind, namespace: Option<&str>) -> String {
    let (version, plural) = match kind {
        Kind::Pool => ("ipam.metal3.io/v1alpha1", "ippools"),
        Kind::Claim(ClaimKind::Metal3) => ("ipam.metal3.io/v1alpha1", "ipclaims"),
        Kind::Address(ClaimKind::Metal3) => ("ipam.metal3.io/v1alpha1", "ipaddresses"),
        Kind::Claim(ClaimKind::Capi) => ("ipam.cluster.x-k8s.io/v1beta2", "ipaddressclaims"),
        Kind::Address(ClaimKind::Capi) => ("ipam.cluster.x-k8s.io/v1beta2", "ipaddresses"),
        Kind::Cluster => ("cluster.x-k8s.io/v1beta2", "clusters"),
    };
    match namespace {
        Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{plural}"),
        None => format!("/apis/{version}/{plural}"),
    }
}

#[derive(Deserialize)]
struct List {
    metadata: ListMeta,
    items: Vec<WireObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
}

async fn follow(
    client: Client,
    kind: Kind,
    path: String,
    out: mpsc::Sender<Change>,
) -> anyhow::Result<()> {
    loop {
        let request = Request::get(&path).body(Vec::new())?;
        let list: List = client
            .request(request)
            .await
            .with_context(|| format!("listing {path}"))?;
        let mut version = list.metadata.resource_version;
        out.send(Change::All(kind, list.items)).await?;
        while watch(&client, kind, &path, &mut version, &out)
            .await
            .with_context(|| format!("watching {path}"))?
        {}
    }
}

/// One watch, until the server closes it. Returns whether the next can go on where this one ended.
async fn watch(
    client: &Client,
    kind: Kind,
    path: &str,
    version: &mut String,
    out: &mpsc::Sender<Change>,
) -> anyhow::Result<bool> {
    let uri = format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}");
    let request = Request::get(uri).body(Vec::new())?;
    let events = match client.request_events::<WireObject>(request).await {
        Ok(events) => events,
        Err(kube::Error::Api(status)) if status.code == 410 => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    futures::pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        let change = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                *version = object.metadata.resource_version.to_string();
                Change::Seen(kind, object)
            }
            WatchEvent::Deleted(object) => {
                *version = object.metadata.resource_version.to_string();
                Change::Gone(kind, object)
            }
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) if status.code == 410 => return Ok(false),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        };
        out.send(change).await?;
    }
    Ok(true)
}
