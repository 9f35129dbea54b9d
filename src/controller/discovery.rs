//! In which version does the server have a kind? (A3)

use std::time::Duration;

use kube::Client;
use serde::Deserialize;

use super::transport::{self, Call, OBJECT_BYTES};
use crate::api::Kind;

/// Time that one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer of `/apis`.
#[derive(Debug, Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    name: String,
    versions: Vec<GroupVersion>,
}

#[derive(Debug, Deserialize)]
struct GroupVersion {
    version: String,
}

/// The answer of `/apis/GROUP/VERSION`.
#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

impl Resources {
    fn has(&self, kind: Kind) -> bool {
        self.resources.iter().any(|r| r.name == kind.plural())
    }
}

#[derive(Debug, Deserialize)]
struct Resource {
    name: String,
}

/// The best version of `kind` that the server has; `None` when it says that it has the kind in none.
///
/// The list of all groups is asked, not the group itself: a 404 for a group is also what a server says that has not loaded
/// its custom kinds yet.
///
/// # Errors
/// A line for people when there was no clear answer, or when the server has the kind only in versions that are not known here.
pub(crate) async fn version_of(
    client: &Client,
    kind: Kind,
) -> Result<Option<&'static str>, String> {
    let groups: Groups = read(client, "/apis").await?;
    let Some(group) = groups.groups.into_iter().find(|g| g.name == kind.group()) else {
        return Ok(None);
    };
    for version in kind.versions() {
        if !group.versions.iter().any(|v| v.version == *version) {
            continue;
        }
        let path = format!("/apis/{}/{version}", kind.group());
        let resources: Resources = read(client, &path).await?;
        if resources.has(kind) {
            return Ok(Some(version));
        }
    }
    let others = group.versions.iter().map(|v| v.version.as_str());
    for version in others.filter(|version| !kind.versions().contains(version)) {
        let path = format!("/apis/{}/{version}", kind.group());
        if read::<Resources>(client, &path).await?.has(kind) {
            return Err(format!(
                "the server has this kind as {version} and in none of the versions that this program reads ({}): objects of \
                 it may hold addresses, so nothing is allocated; upgrade what defines the kind",
                kind.versions().join(", ")
            ));
        }
    }
    Ok(None)
}

async fn read<T: for<'de> Deserialize<'de>>(client: &Client, path: &str) -> Result<T, String> {
    let reply = transport::send(client, Call::get(path.to_owned()), PATIENCE, OBJECT_BYTES)
        .await
        .map_err(|fault| format!("{path}: {}", fault.text()))?;
    if reply.status != 200 {
        return Err(format!("{path}: the server answered {}", reply.status));
    }
    serde_json::from_slice(&reply.body).map_err(|e| format!("{path}: {e}"))
}
