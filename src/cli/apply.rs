//! Applies manifests on the server's side, as `kubectl apply --server-side --force-conflicts` does, with a field manager of this
//! program's: an object that is not there is created, one that is there gets the fields that the manifest gives, and loses those
//! that an earlier manifest gave and this one does not. Kinds are looked up before anything is written; namespaces that are named
//! and missing are made.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow};
use futures::{StreamExt, stream};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::client::{Body, Client};
use serde_json::{Value, json};

use super::documents::Manifest;
use super::ownership;
use crate::controller::escape;

/// Writes on their way at once, over documents of one kind that follow one another.
const IN_FLIGHT: usize = 32;
/// Largest answer that is read, in bytes: objects end at 3 MiB.
const MAX_ANSWER: usize = 8 << 20;
/// Who the fields belong to.
const FIELD_MANAGER: &str = "metal3-ipam-apply";

/// How often the ownership of one object's fields is moved when others keep writing it.
const ATTEMPTS: usize = 8;

/// How many objects were created and updated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Objects that were not there.
    pub(super) created: usize,
    /// Objects that were there, changed or not.
    pub(super) updated: usize,
    /// What people should know: the server's warnings, and what was left out.
    pub(super) notes: Vec<String>,
}

/// A kind as the server has it.
struct Served {
    plural: String,
    namespaced: bool,
    /// Whether its objects are only read: the embedded server's definitions are part of the program.
    fixed: bool,
}

/// An answer: its status, the server's warnings, its body.
struct Answer {
    status: StatusCode,
    warnings: Vec<String>,
    body: Vec<u8>,
}

/// Writes all manifests, in order; documents of one kind that follow one another may overtake each other, but never two of
/// one object. Ends at the first that is refused. An object that was being deleted is left out.
pub(super) async fn apply(client: &Client, manifests: &[Manifest]) -> anyhow::Result<Applied> {
    let mut applied = Applied::default();
    let (deleted, alive): (Vec<&Manifest>, Vec<&Manifest>) =
        manifests.iter().partition(|manifest| manifest.is_deleting);
    applied.notes.extend(deleted.into_iter().map(|manifest| {
        format!("{manifest}: left out, it was being deleted when it was read; without metadata.deletionTimestamp it is applied")
    }));
    let manifests = &alive[..];
    let kinds = look_up(client, manifests).await?;
    let kind = |m: &Manifest| &kinds[&(m.api_version.clone(), m.kind.clone())];
    let namespaces: BTreeSet<&str> = manifests
        .iter()
        .filter(|m| kind(m).namespaced)
        .map(|m| namespace(m))
        .collect();
    for namespace in namespaces {
        ensure_namespace(client, namespace).await?;
    }
    for run in runs(manifests) {
        if run.first().is_some_and(|first| kind(first).fixed) {
            applied.notes.extend(run.iter().map(|definition| {
                format!("{definition}: left out, this server brings its definitions with it")
            }));
            continue;
        }
        let mut writes = stream::iter(run)
            .map(
                |manifest| async move { (manifest, write(client, kind(manifest), manifest).await) },
            )
            .buffered(IN_FLIGHT);
        while let Some((manifest, outcome)) = writes.next().await {
            let (created, warnings) = outcome.with_context(|| manifest.to_string())?;
            if created {
                applied.created += 1;
            } else {
                applied.updated += 1;
            }
            let note = |text: String| format!("{manifest}: {text}");
            applied.notes.extend(warnings.into_iter().map(note));
            if manifest.had_status {
                applied.notes.push(note(
                    "its status is left out, the controller writes it".to_owned(),
                ));
            }
        }
    }
    Ok(applied)
}

/// Cuts the manifests into stretches within which order does not matter: one kind, no object twice.
pub(super) fn runs<'a, 'm>(manifests: &'a [&'m Manifest]) -> Vec<&'a [&'m Manifest]> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut seen = BTreeSet::new();
    for (index, manifest) in manifests.iter().enumerate() {
        let first = &manifests[start];
        let same = (&first.api_version, &first.kind) == (&manifest.api_version, &manifest.kind);
        if !same || !seen.insert((namespace(manifest), &manifest.name)) {
            runs.push(&manifests[start..index]);
            start = index;
            seen = BTreeSet::from([(namespace(manifest), &manifest.name)]);
        }
    }
    if start < manifests.len() {
        runs.push(&manifests[start..]);
    }
    runs
}

fn namespace(manifest: &Manifest) -> &str {
    manifest.namespace.as_deref().unwrap_or("default")
}

/// Finds every kind that the manifests name.
async fn look_up(
    client: &Client,
    manifests: &[&Manifest],
) -> anyhow::Result<BTreeMap<(String, String), Served>> {
    let mut kinds = BTreeMap::new();
    let mut versions: BTreeMap<&str, Vec<APIResource>> = BTreeMap::new();
    for manifest in manifests {
        let key = (manifest.api_version.clone(), manifest.kind.clone());
        if kinds.contains_key(&key) {
            continue;
        }
        let version = manifest.api_version.as_str();
        if !versions.contains_key(version) {
            let resources = resources(client, version).await;
            versions.insert(version, resources.with_context(|| manifest.to_string())?);
        }
        let found = versions[version]
            .iter()
            .find(|r| r.kind == manifest.kind && !r.name.contains('/'));
        let Some(resource) = found else {
            return Err(anyhow!(
                "{manifest}: the server has no kind {} in {version}",
                manifest.kind
            ));
        };
        kinds.insert(
            key,
            Served {
                plural: resource.name.clone(),
                namespaced: resource.namespaced,
                fixed: is_definition(manifest) && !resource.verbs.iter().any(|v| v == "patch"),
            },
        );
    }
    Ok(kinds)
}

fn is_definition(manifest: &Manifest) -> bool {
    manifest.kind == "CustomResourceDefinition"
        && manifest.api_version.starts_with("apiextensions.k8s.io/")
}

/// What the server has in a version; nothing where it does not have the version.
async fn resources(client: &Client, version: &str) -> anyhow::Result<Vec<APIResource>> {
    let answer = send(client, Method::GET, base(version), None).await?;
    match answer.status {
        StatusCode::OK => Ok(serde_json::from_slice::<APIResourceList>(&answer.body)
            .context("reading the server's list of kinds")?
            .resources),
        StatusCode::NOT_FOUND => Ok(Vec::new()),
        _ => Err(answer.refusal()),
    }
}

/// Where the objects of an API version lie.
pub(super) fn base(version: &str) -> String {
    match version.split_once('/') {
        Some((group, version)) => format!("/apis/{}/{}", escape(group), escape(version)),
        None => format!("/api/{}", escape(version)),
    }
}

async fn ensure_namespace(client: &Client, name: &str) -> anyhow::Result<()> {
    let context = || format!("namespace {name}");
    let path = format!("/api/v1/namespaces/{}", escape(name));
    let found = send(client, Method::GET, path, None)
        .await
        .with_context(context)?;
    match found.status {
        StatusCode::OK => return Ok(()),
        StatusCode::NOT_FOUND => {}
        _ => return Err(found.refusal().context(context())),
    }
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let body = Some(("application/json", &object));
    let made = send(client, Method::POST, "/api/v1/namespaces".to_owned(), body)
        .await
        .with_context(context)?;
    match made.status {
        StatusCode::CREATED | StatusCode::OK | StatusCode::CONFLICT => Ok(()),
        _ => Err(made.refusal().context(context())),
    }
}

/// Applies one object. Returns whether it is new, and what the server warned of.
async fn write(
    client: &Client,
    kind: &Served,
    manifest: &Manifest,
) -> anyhow::Result<(bool, Vec<String>)> {
    let mut path = base(&manifest.api_version);
    if kind.namespaced {
        path.push_str("/namespaces/");
        path.extend(escape(namespace(manifest)));
    }
    path.push('/');
    path.push_str(&kind.plural);
    path.push('/');
    path.extend(escape(&manifest.name));
    // Strict: a field that the kind does not have is a mistake to report, not to drop. Forced: the file has the last word over other field managers.
    let query = format!("?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&force=true");
    let apply = async || {
        let body = Some(("application/apply-patch+yaml", &manifest.object));
        let applied = send(client, Method::PATCH, format!("{path}{query}"), body).await?;
        if applied.status.is_success() {
            Ok(applied)
        } else {
            Err(applied.refusal())
        }
    };
    let applied = apply().await?;
    let created = applied.status == StatusCode::CREATED;
    let mut object: Value = serde_json::from_slice(&applied.body).unwrap_or_default();
    for _ in 0..ATTEMPTS {
        let Some(patch) = ownership::moved(&object, FIELD_MANAGER) else {
            break;
        };
        let body = Some(("application/json-patch+json", &patch));
        let moved = send(client, Method::PATCH, path.clone(), body).await?;
        if !moved.status.is_success() && moved.status != StatusCode::CONFLICT {
            return Err(moved.refusal());
        }
        // Again: what has left the file since is now known to have been ours. After a conflict, for the newest object.
        let again = apply().await?;
        object = serde_json::from_slice(&again.body).unwrap_or_default();
    }
    Ok((created, applied.warnings))
}

async fn send(
    client: &Client,
    method: Method,
    path: String,
    body: Option<(&str, &Value)>,
) -> anyhow::Result<Answer> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, "application/json");
    let body = match body {
        Some((content_type, value)) => {
            request = request.header(header::CONTENT_TYPE, content_type);
            Body::from(value.to_string().into_bytes())
        }
        None => Body::empty(),
    };
    let request = request.body(body).context("this makes no request")?;
    let response = client
        .send(request)
        .await
        .context("the server does not answer")?;
    let status = response.status();
    let warnings = response.headers().get_all(header::WARNING).iter();
    let warnings = warnings.filter_map(|w| warning(w.to_str().ok()?)).collect();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|e| anyhow!("the server's answer broke off: {e}"))?;
    Ok(Answer {
        status,
        warnings,
        body: body.to_bytes().to_vec(),
    })
}

/// The text of a `Warning: 299 - "text"` header.
fn warning(header: &str) -> Option<String> {
    let quoted = header
        .strip_prefix("299 ")?
        .split_once('"')?
        .1
        .strip_suffix('"')?;
    let mut text = String::new();
    let mut escaped = false;
    for c in quoted.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            text.push(c);
            escaped = false;
        }
    }
    Some(text)
}

impl Answer {
    fn status_text(&self, field: &str) -> Option<String> {
        let status: Value = serde_json::from_slice(&self.body).ok()?;
        Some(status.get(field)?.as_str()?.to_owned())
    }

    /// The server's refusal, with its message.
    fn refusal(&self) -> anyhow::Error {
        let message = self
            .status_text("message")
            .unwrap_or_else(|| self.status.to_string());
        anyhow!("{}", message.chars().take(2_000).collect::<String>())
    }
}
