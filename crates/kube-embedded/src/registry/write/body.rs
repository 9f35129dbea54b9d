//! Reads what a client sent as an object of a kind: checks kind and version, reads `metadata` and built-in kinds by their
//! types, and prunes and defaults custom resources.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::builtin::{self, Source};
use crate::error::ApiError;
use crate::field::{FieldError, expected, truncated};
use crate::kinds::{Resource, Strategy};
use crate::registry::request::{FieldValidation, WriteOptions};
use crate::registry::rules::metadata::{self, Object};
use crate::schema::Schema;

/// Deepest nesting of a stored object. Parsers here stop at 128, and patches can build what no parser would accept.
const DEPTH: usize = 100;

/// How an object was sent. Decides how its errors are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// As the whole object.
    Whole,
    /// As a patch of one.
    Patched,
    /// As a strategic merge patch of one.
    Merged,
    /// As the outcome of an apply.
    Applied,
}

/// Reads `body` as an object of this kind. Unknown fields are left out, with a warning or an error as the options say.
pub(crate) fn decode(
    resource: &Resource,
    body: Value,
    came: Came,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Object, ApiError> {
    let says = body["apiVersion"].as_str().unwrap_or_default();
    let version = match says.rsplit('/').next() {
        Some(version) if !version.is_empty() => version.to_owned(),
        Some(_) | None => resource.version.clone(),
    };
    let faulty = |why: &str| match came {
        Came::Whole | Came::Applied => cannot_be_handled(resource, &version, why),
        Came::Patched | Came::Merged => cannot_be_patched(why),
    };
    let mut object = match body {
        Value::Object(object) => object,
        // A patch can replace the object by a list, and by nothing else.
        other if came == Came::Patched => return Err(is_a_list(&other)),
        _ => return Err(faulty("the body is not a JSON object")),
    };
    if object.values().any(|value| !is_shallow(value, DEPTH)) {
        let why = format!("it is nested deeper than {DEPTH} levels");
        return Err(faulty(&why));
    }
    let mut unknown = options.findings.clone();
    match (
        &resource.schema,
        builtin::object_of(&resource.group, &resource.kind),
    ) {
        (_, Some(of)) => {
            let source = match came {
                Came::Merged | Came::Applied => Source::Values,
                Came::Whole | Came::Patched => Source::Text,
            };
            let read = builtin::decode(of, Value::Object(object), "", source, &mut unknown);
            object = read.map_err(|why| match came {
                Came::Whole | Came::Patched | Came::Merged => faulty(&why),
                Came::Applied => cannot_be_applied(resource, &why),
            })?;
            object
                .entry("metadata")
                .or_insert_with(|| Value::Object(Map::new()));
        }
        (schema, None) => {
            let found = object.remove("metadata").unwrap_or_default();
            let read = builtin::decode(
                &builtin::OBJECT_META,
                found,
                "metadata",
                Source::Text,
                &mut unknown,
            );
            let metadata = read.map_err(|why| faulty(&why))?;
            object.insert("metadata".to_owned(), metadata.into());
            // An object of another kind or version is refused further down; this schema says nothing about it.
            let says = says_it_is(resource, &object);
            if schema.is_some() && says == Says::OtherVersion {
                Schema::prune_all(&mut object, &mut unknown);
            }
            if let Some(schema) = schema.as_ref().filter(|_| says == Says::This) {
                schema.prune(&mut object, &mut unknown);
                match came {
                    Came::Whole | Came::Patched | Came::Merged => {
                        schema.fill_defaults(&mut object);
                    }
                    Came::Applied => schema.fill_defaults_of_applied(&mut object),
                }
            }
            // Only built-in kinds tell an empty list of entries from a missing one.
            let metadata = metadata::of(&mut object);
            if metadata.get("managedFields") == Some(&Value::Array(Vec::new())) {
                metadata.remove("managedFields");
            }
        }
    }
    match options.field_validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.append(&mut unknown),
        FieldValidation::Strict if unknown.is_empty() => {}
        FieldValidation::Strict => {
            let why = format!("strict decoding error: {}", unknown.join(", "));
            return Err(faulty(&why));
        }
    }
    check_version(resource, &mut object)?;
    Ok(object)
}

/// Whether the apiVersion and kind of an object are those of its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    This,
    OtherVersion,
    OtherKind,
}

fn says_it_is(resource: &Resource, object: &Object) -> Says {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion");
    if metadata::group_of(version) != resource.group || text("kind") != resource.kind {
        Says::OtherKind
    } else if version == resource.api_version() {
        Says::This
    } else {
        Says::OtherVersion
    }
}

/// Whether the value is nested at most this deep.
fn is_shallow(value: &Value, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Object(map) => map.values().all(|value| is_shallow(value, depth)),
        Value::Array(list) => list.iter().all(|value| is_shallow(value, depth)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn cannot_be_handled(resource: &Resource, version: &str, why: &str) -> ApiError {
    let kind = &resource.kind;
    ApiError::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {kind}: {}",
        truncated(version, 128),
        truncated(why, 4096)
    ))
}

/// 500 about an applied configuration that, merged with the live object, cannot be read as the kind.
fn cannot_be_applied(resource: &Resource, why: &str) -> ApiError {
    let version = resource.api_version();
    let slash = if version.contains('/') { "" } else { "/" };
    let kind = format!("{slash}{version}, Kind={}", resource.kind);
    ApiError::unreasoned(format!(
        "unable to convert unstructured object to {kind}: {}",
        truncated(why, 4096)
    ))
}

/// 422 about a patch whose outcome cannot be read as the kind. A real API server shows the whole outcome.
fn cannot_be_patched(why: &str) -> ApiError {
    let shown = Value::from("{...}");
    ApiError::invalid_as("", "", "", &[FieldError::invalid("patch", &shown, why)])
}

/// 422 about a patch that replaces the object by a list.
fn is_a_list(found: &Value) -> ApiError {
    let shown = Value::from(truncated(&found.to_string(), 512));
    let why = format!(
        "couldn't get version/kind; {}",
        expected("an object", "", "a list")
    );
    ApiError::invalid_as("", "", "", &[FieldError::invalid("patch", &shown, why)])
}

/// `apiVersion` must be the resource's. `kind` is checked with the other rules.
fn check_version(resource: &Resource, object: &mut Object) -> Result<(), ApiError> {
    let want = resource.api_version();
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let may_lack = resource.strategy != Strategy::Custom;
    if version != want && !(version.is_empty() && may_lack) {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({want})",
            truncated(version, 128)
        )));
    }
    if kind.is_empty() {
        object.insert("kind".to_owned(), resource.kind.as_str().into());
    }
    object.insert("apiVersion".to_owned(), want.into());
    Ok(())
}

/// Removes repeated owner references, with a warning.
pub(crate) fn merge_owners(object: &mut Object, came: Came, warnings: &mut Vec<String>) {
    let when = match came {
        Came::Whole => "",
        // A real API server reads the outcome of a patch after its mutating webhooks.
        Came::Patched | Came::Merged | Came::Applied => " after mutating admission happens",
    };
    let Some(Value::Array(owners)) = metadata::of(object).get_mut("ownerReferences") else {
        return;
    };
    // Compared as text, whose keys are sorted: a list may have tens of thousands of items.
    let mut seen = HashSet::with_capacity(owners.len());
    let mut known = HashSet::new();
    let mut doubled = Vec::new();
    owners.retain(|owner| {
        let is_new = seen.insert(owner.to_string());
        let uid = owner["uid"].as_str().unwrap_or_default();
        if !is_new && known.insert(uid.to_owned()) {
            doubled.push(uid.to_owned());
        }
        is_new
    });
    if !doubled.is_empty() {
        warnings.push(format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            doubled.join(", ")
        ));
    }
}
