//! Requests on objects: verb, query and body in, the registry's answer out, in the form that the client asked for.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, StatusCode};
use hyper::body;
use serde_json::Value;

use super::accept::{self, Form};
use super::bounds::{self, Parsed};
use super::decode::Decoded;
use super::negotiate::{self, Notations, PatchType};
use super::options;
use super::render;
use super::reply::{self, Reply};
use super::route::ObjectPath;
use super::service::{Asked, Caller};
use crate::error::ApiError;
use crate::field::{expected, found, truncated};
use crate::kinds::{Resource, Strategy};
use crate::registry::{DeleteOptions, Deleted, FieldValidation, Subresource, Target, Written};

/// Longest time of a request from the network. A shorter `?timeout=` counts.
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
    // In process the clock may be a test's, which runs ahead while the disk works, so there is no limit by default.
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

/// The resource, object and subresource of a path, if they are served.
fn find(asked: &Asked<'_>, path: ObjectPath) -> Result<Target, ApiError> {
    let resources = asked.registry.resources();
    let resource = resources
        .find(&path.group, &path.version, &path.plural)
        .ok_or_else(ApiError::no_such_path)?;
    if path.has_more && resource.strategy != Strategy::Custom {
        return Err(ApiError::no_such_path());
    }
    let subresource = match path.subresource.as_deref() {
        None => None,
        Some("status") if resource.status_subresource => Some(Subresource::Status),
        // For an unknown subresource of a custom resource a real API server answers that the object is not found.
        Some(_)
            if resource.strategy == Strategy::Custom
                && resource.namespaced == path.namespace.is_some() =>
        {
            let name = path.name.as_deref().unwrap_or_default();
            return Err(ApiError::not_found(resource, name));
        }
        Some(_) => return Err(ApiError::no_such_path()),
    };
    let everywhere = path.namespace.is_none() && path.name.is_none();
    let over_all = everywhere && matches!(*asked.method, Method::GET | Method::HEAD);
    if resource.namespaced && everywhere && !over_all && resource.strategy != Strategy::Custom {
        return Err(ApiError::method_not_allowed_here());
    }
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
    let refused = |action: &str| {
        Err(match resource.strategy {
            Strategy::Custom | Strategy::Definition => {
                ApiError::method_not_allowed(resource, action)
            }
            Strategy::Namespace | Strategy::Event | Strategy::Lease | Strategy::Plain => {
                ApiError::method_not_allowed_here()
            }
        })
    };
    let is_status = target.subresource.is_some();
    // As on a real API server: custom resources answer HEAD, built-in ones do not.
    let is_get = asked.method == Method::HEAD && resource.strategy == Strategy::Custom;
    let method = if is_get { "GET" } else { asked.method.as_str() };
    match (method, target.name.is_some()) {
        ("GET", true) => {
            let version = asked.query.said("resourceVersion");
            let object = asked.registry.get(&target, version)?;
            render::one(asked, resource, form, StatusCode::OK, object)
        }
        ("GET", false) => render::list(asked, &target, form).await,
        (method @ ("POST" | "PUT" | "PATCH" | "DELETE"), named) if resource.is_read_only() => {
            refused(verb(method, named))
        }
        ("POST", named) if !is_status && (!named || resource.strategy == Strategy::Custom) => {
            // As on a real API server, a name in the path of a POST of a custom resource is ignored.
            let target = Target {
                name: None,
                ..target.clone()
            };
            // In the order of a real API server, so that of several faults the same one is reported.
            let notation = negotiate::notation(asked.headers, Notations::of(resource))?;
            let body = bounds::collect(asked.bounds, body).await?;
            let mut options = options::write(asked, "CreateOptions", None)?;
            let Parsed { read, turn: _turn } =
                bounds::parse(asked.bounds, &body.bytes, notation).await?;
            let body = object(resource, &body.bytes, read, options.field_validation)?;
            options.findings = options::repeated_keys(&body);
            let written = asked.registry.create(&target, body.value, &options).await?;
            written_reply(asked, resource, form, written)
        }
        ("PUT", true) => {
            let body = bounds::collect(asked.bounds, body).await?;
            let mut options = options::write(asked, "UpdateOptions", None)?;
            let notation = negotiate::notation(asked.headers, Notations::of(resource))?;
            let stored = || bounds::stored_length(asked.registry, &target);
            let parsed = bounds::parse_beside(asked.bounds, &body.bytes, notation, stored);
            let Parsed { read, turn: _turn } = parsed.await?;
            let body = object(resource, &body.bytes, read, options.field_validation)?;
            options.findings = options::repeated_keys(&body);
            let written = asked.registry.update(&target, body.value, &options).await?;
            written_reply(asked, resource, form, written)
        }
        ("PATCH", true) => {
            let kind = negotiate::patch_type(asked.headers, Notations::of(resource))?;
            let body = bounds::collect(asked.bounds, body).await?;
            let mut options = options::write(asked, "PatchOptions", Some(kind))?;
            let force = asked.query.flag("force").unwrap_or(false);
            let stored = || bounds::stored_length(asked.registry, &target);
            let parsed = bounds::parse_beside(asked.bounds, &body.bytes, kind.notation(), stored);
            let Parsed { read, turn: _turn } = parsed.await?;
            let read = read
                .map_err(|error| negotiate::bad_patch(kind, &error))
                .and_then(|body| {
                    options.findings = kind.findings(&body);
                    kind.of(body.value, force, options.field_validation)
                });
            let patch = match read {
                Ok(patch) => patch,
                Err(error) => {
                    // A missing object is reported before a patch that cannot be read, except for an apply, which can create it.
                    if kind != PatchType::Apply {
                        asked.registry.get(&target, None)?;
                    }
                    return Err(error);
                }
            };
            let written = asked.registry.patch(&target, patch, &options).await?;
            written_reply(asked, resource, form, written)
        }
        ("DELETE", true) if !is_status => {
            let options = delete_options(asked, body).await?;
            let deleted = asked.registry.delete(&target, &options).await?;
            match deleted {
                Deleted::Gone(_) => reply::encoded(StatusCode::OK, form, deleted.answer(resource)),
                Deleted::Marked(object) => {
                    let status = if options.orphans_none {
                        StatusCode::ACCEPTED
                    } else {
                        StatusCode::OK
                    };
                    render::one(asked, resource, form, status, object)
                }
            }
        }
        ("DELETE", false) => {
            let mut which = options::list(asked.query, resource)?;
            which.budget = asked.bounds.map(|bounds| bounds.lists.clone());
            let options = delete_options(asked, body).await?;
            let deletion = asked.registry.delete_collection(&target, &options, &which);
            let page = deletion.await?;
            render::items(asked, resource, form, page).await
        }
        ("PUT" | "PATCH", false) if resource.strategy == Strategy::Custom => {
            Err(ApiError::bad_request("name must be provided"))
        }
        (method, named) => refused(verb(method, named)),
    }
}

/// The Kubernetes verb of a method.
fn verb(method: &str, named: bool) -> &'static str {
    match (method, named) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        // Another method has no verb.
        _ => "",
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
    let mut reply = render::one(asked, resource, form, status, written.object)?;
    reply::warn(&mut reply, &written.warnings);
    Ok(reply)
}

async fn delete_options<B>(asked: &Asked<'_>, body: B) -> Result<DeleteOptions, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = bounds::collect(asked.bounds, body).await?;
    let body = if body.bytes.is_empty() {
        None
    } else {
        // The options are a built-in type, also for a custom resource.
        let notation = negotiate::notation(asked.headers, Notations::Binary)?;
        let parsed = bounds::parse(asked.bounds, &body.bytes, notation).await?;
        let read = parsed.read.and_then(typed_body);
        let body = read.map_err(|error| ApiError::bad_request(error.message))?;
        Some(body.value)
    };
    options::delete(asked.query, body)
}

/// Checks that a body is an object, and that its apiVersion and kind are strings if they are present.
fn typed_body(body: Decoded) -> Result<Decoded, ApiError> {
    let unreadable = |wanted: &str, path: &str, value: &Value| {
        let why = expected(wanted, path, &found(value));
        Err(ApiError::bad_request(format!(
            "couldn't get version/kind; {why}"
        )))
    };
    let Value::Object(map) = &body.value else {
        // Empty YAML is null. Empty JSON was refused before.
        if body.value.is_null() {
            return Ok(Decoded {
                value: Value::Object(serde_json::Map::new()),
                ..body
            });
        }
        return unreadable("an object", "", &body.value);
    };
    for field in ["apiVersion", "kind"] {
        match map.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => return unreadable("a string", field, other),
        }
    }
    Ok(body)
}

/// What was read of a body, as an object of the resource's kind.
fn object(
    resource: &Resource,
    bytes: &Bytes,
    read: Result<Decoded, ApiError>,
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    let unrecognized = |why: &str| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            resource.kind,
            summary(bytes)
        ))
    };
    let is_custom = resource.strategy == Strategy::Custom;
    let read = read.and_then(typed_body);
    let Decoded {
        mut value,
        duplicates,
    } = read.map_err(|error| unrecognized(&error.message))?;
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&value, "apiVersion"), text(&value, "kind"));
    let expected = resource.api_version();
    if version.matches('/').count() > 1 {
        let version = truncated(&version, 128);
        return Err(unrecognized(&format!(
            "unexpected GroupVersion string: {version}"
        )));
    }
    if is_custom {
        if value.get("apiVersion").is_some_and(Value::is_null) && !kind.is_empty() {
            return Err(ApiError::bad_request(format!(
                "{} in version \"\" cannot be handled as a {}: .apiVersion accessor error: <nil> is of the type <nil>, expected string",
                truncated(&kind, 128),
                resource.kind
            )));
        }
        if kind.is_empty() {
            let body = truncated(&String::from_utf8_lossy(bytes), 4096);
            let why = format!("Object 'Kind' is missing in '{body}'");
            return Err(match validation {
                // With `fieldValidation=Ignore` a real API server fills in the kind before it finds that it is missing.
                FieldValidation::Ignore => ApiError::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {}: {why}",
                    resource.kind, resource.version, resource.kind
                )),
                FieldValidation::Warn | FieldValidation::Strict => unrecognized(&why),
            });
        }
    } else {
        let is_other = (kind != resource.kind && !kind.is_empty())
            || (version != expected && !version.is_empty());
        if is_other {
            let kind = if kind.is_empty() {
                &resource.kind
            } else {
                &kind
            };
            return Err(ApiError::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: no kind {:?} is registered for version {:?} here",
                truncated(kind, 128),
                truncated(version.rsplit('/').next().unwrap_or_default(), 128),
                resource.kind,
                truncated(kind, 128),
                truncated(&version, 128),
            )));
        }
        for (field, default) in [("apiVersion", &expected), ("kind", &resource.kind)] {
            if value[field].as_str().is_none_or(str::is_empty) {
                value[field] = default.as_str().into();
            }
        }
    }
    Ok(Decoded { value, duplicates })
}

/// The beginning of a body, for errors.
fn summary(bytes: &[u8]) -> String {
    const SHOWN: usize = 30;
    let head = &bytes[..bytes.len().min(SHOWN)];
    let text = match bytes.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned(),
        Some(_) => head.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    };
    if bytes.len() > SHOWN {
        format!("{text} ...")
    } else {
        text
    }
}
