//! Requests on objects: which verb it is, what it needs from query and body, and the registry's answer in the form asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, StatusCode};
use hyper::body;
use serde_json::Value;

use super::accept::{self, Form};
use super::decode::{self, Decoded};
use super::negotiate::{self, Notations};
use super::options;
use super::reply::{self, Reply};
use super::route::ObjectPath;
use super::service::{Asked, Caller};
use super::show;
use crate::standalone::error::{ApiError, FieldError};
use crate::standalone::kinds::{Conduct, Resource};
use crate::standalone::registry::{DeleteOptions, Deleted, Listed, Subresource, Target, Written};

/// How long a request from outside may take at most; a shorter `?timeout=` counts.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Answers a request on the objects at this path.
pub(super) async fn serve<B>(
    asked: &Asked<'_>,
    path: ObjectPath,
    body: B,
) -> Result<Reply, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let target = find(asked, path)?;
    let accept = asked.headers.get(ACCEPT).and_then(|v| v.to_str().ok());
    let form = accept::choose(accept).ok_or_else(negotiate::not_acceptable)?;
    if asked.method == Method::GET && asked.query.flag("watch") == Some(true) {
        return super::watch::serve(asked, &target, form);
    }
    // In process the clock may be a test's, and runs ahead while the disk works: only a limit that was asked for counts.
    let limit = match asked.caller {
        Caller::InProcess if asked.query.said("timeout").is_none() => None,
        Caller::InProcess | Caller::Remote => Some(asked.query.timeout(REQUEST_TIMEOUT)?),
    };
    let answer = answer(asked, target, form, body);
    match limit {
        None => answer.await,
        Some(limit) => tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| {
                Err(ApiError::timeout(
                    "request did not complete within the allotted timeout",
                    0,
                ))
            }),
    }
}

/// The resource, object and part that a path names, if this server has them.
fn find(asked: &Asked<'_>, path: ObjectPath) -> Result<Target, ApiError> {
    let resources = asked.registry.resources();
    let resource = resources
        .find(&path.group, &path.version, &path.plural)
        .ok_or_else(ApiError::no_such_path)?;
    let subresource = match path.subresource.as_deref() {
        None => None,
        Some("status") if resource.status_subresource => Some(Subresource::Status),
        Some(_) => return Err(ApiError::no_such_path()),
    };
    let over_all = path.namespace.is_none() && path.name.is_none() && asked.method == Method::GET;
    if resource.namespaced != path.namespace.is_some() && !(resource.namespaced && over_all) {
        return Err(ApiError::no_such_path());
    }
    Ok(Target {
        resource: Arc::clone(resource),
        namespace: path.namespace.map(Arc::from),
        name: path.name,
        subresource,
    })
}

async fn answer<B>(
    asked: &Asked<'_>,
    target: Target,
    form: Form,
    body: B,
) -> Result<Reply, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let resource = &target.resource;
    let refused = |action: &str| Err(ApiError::method_not_allowed(resource, action));
    let is_status = target.subresource.is_some();
    match (asked.method.as_str(), target.name.is_some()) {
        ("GET", true) => {
            let version = asked.query.said("resourceVersion");
            let object = asked.registry.get(&target, version)?;
            show::one(asked, resource, form, StatusCode::OK, object)
        }
        ("GET", false) => show::list(asked, &target, form).await,
        (method @ ("POST" | "PUT" | "PATCH" | "DELETE"), named) if resource.is_read_only() => {
            refused(verb(method, named))
        }
        ("POST", false) => {
            let body = object(asked, resource, body).await?;
            let options = options::write(asked, "CreateOptions", &body)?;
            let written = asked.registry.create(&target, body.value, &options).await?;
            written_reply(asked, resource, form, written)
        }
        ("PUT", true) => {
            let body = object(asked, resource, body).await?;
            let options = options::write(asked, "UpdateOptions", &body)?;
            let written = asked.registry.update(&target, body.value, &options).await?;
            written_reply(asked, resource, form, written)
        }
        ("PATCH", true) => {
            let kind = negotiate::patch_type(asked.headers, Notations::of(resource))?;
            let bytes = collect(asked, body).await?;
            options::check_patch(asked.query, kind)?;
            let body = decode::decode(&bytes, kind.notation())?;
            let options = options::write(asked, "PatchOptions", &body)?;
            let force = asked.query.flag("force").unwrap_or(false);
            let patch = kind.of(body.value, force)?;
            let written = asked.registry.patch(&target, patch, &options).await?;
            written_reply(asked, resource, form, written)
        }
        ("DELETE", true) if !is_status => {
            let options = delete_options(asked, resource, body).await?;
            let deleted = asked.registry.delete(&target, &options).await?;
            match deleted {
                Deleted::Gone(_) => reply::encoded(StatusCode::OK, form, deleted.answer(resource)),
                Deleted::Marked(object) => show::one(asked, resource, form, StatusCode::OK, object),
            }
        }
        ("DELETE", false) => {
            let options = delete_options(asked, resource, body).await?;
            let selectors = options::selectors(asked.query, resource)?;
            let deleted = asked
                .registry
                .delete_collection(&target, &options, &selectors)
                .await?;
            let page = Listed {
                revision: asked.registry.revision(),
                items: deleted.into_iter().map(last_state).collect(),
                continue_token: None,
                remaining: None,
            };
            show::items(asked, resource, form, page).await
        }
        (method, named) => refused(verb(method, named)),
    }
}

/// What Kubernetes calls a method.
fn verb(method: &str, named: bool) -> &str {
    match (method, named) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => method,
    }
}

fn last_state(deleted: Deleted) -> Bytes {
    match deleted {
        Deleted::Gone(object) | Deleted::Marked(object) => object,
    }
}

fn written_reply(
    asked: &Asked<'_>,
    resource: &Resource,
    form: Form,
    written: Written,
) -> Result<Reply, ApiError> {
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut reply = show::one(asked, resource, form, status, written.object)?;
    reply::warn(&mut reply, &written.warnings);
    Ok(reply)
}

async fn collect<B>(asked: &Asked<'_>, body: B) -> Result<Bytes, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    decode::collect(body, asked.caller == Caller::Remote).await
}

async fn delete_options<B>(
    asked: &Asked<'_>,
    resource: &Resource,
    body: B,
) -> Result<DeleteOptions, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bytes = collect(asked, body).await?;
    let body = if bytes.is_empty() {
        None
    } else {
        let notation = negotiate::notation(asked.headers, Notations::of(resource))?;
        Some(decode::decode(&bytes, notation)?.value)
    };
    options::delete(asked.query, body)
}

/// An object from a body, of the kind that the path leads to.
async fn object<B>(asked: &Asked<'_>, resource: &Resource, body: B) -> Result<Decoded, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let notation = negotiate::notation(asked.headers, Notations::of(resource))?;
    let bytes = collect(asked, body).await?;
    let Decoded {
        mut value,
        duplicates,
    } = decode::decode(&bytes, notation)?;
    let Some(map) = value.as_object_mut() else {
        return Err(ApiError::bad_request(
            "the object provided is unrecognized: couldn't get version/kind; the body is not an object",
        ));
    };
    let expected = resource.api_version();
    match map.get("apiVersion").and_then(Value::as_str) {
        None | Some("") => drop(map.insert("apiVersion".to_owned(), expected.into())),
        Some(found) if found == expected => {}
        Some(found) => {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )));
        }
    }
    match map.get("kind").and_then(Value::as_str) {
        None | Some("") => drop(map.insert("kind".to_owned(), resource.kind.as_str().into())),
        Some(found) if found == resource.kind => {}
        Some(found) if resource.conduct == Conduct::Custom => {
            let want = format!("must be {}", resource.kind);
            let finding = FieldError::invalid("kind", &found.into(), want);
            let name = map.get("metadata").and_then(|m| m["name"].as_str());
            return Err(ApiError::invalid(
                resource,
                name.unwrap_or_default(),
                &[finding],
            ));
        }
        Some(found) => {
            return Err(ApiError::bad_request(format!(
                "{found} in version {:?} cannot be handled as a {}",
                resource.api_version(),
                resource.kind
            )));
        }
    }
    Ok(Decoded { value, duplicates })
}
