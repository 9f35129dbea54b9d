//! From what a client sent to an object of the kind: kind and version, the form of `metadata`, pruning and defaults.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::field::{FieldError, expected, truncated};
use crate::kinds::{Conduct, Resource};
use crate::registry::request::{FieldValidation, WriteOptions};
use crate::registry::rules::metadata::{self, Object};
use crate::schema::Schema;
use crate::typed::{self, Source};

/// Deepest nesting of what is stored. Parsers here end at 128, and patches can put together what no parser would let in.
const DEPTH: usize = 100;

/// How the body came, which decides how its faults are told.
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

/// Reads `body` as an object of this kind. Unknown fields go, with warnings or an error as the options say.
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
        // Patches can make it a list, and nothing else.
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
        typed::of_kind(&resource.group, &resource.kind),
    ) {
        (_, Some(of)) => {
            let source = match came {
                Came::Merged | Came::Applied => Source::Values,
                Came::Whole | Came::Patched => Source::Text,
            };
            let read = typed::decode(of, Value::Object(object), "", source, &mut unknown);
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
            let read = typed::decode(
                &typed::OBJECT_META,
                found,
                "metadata",
                Source::Text,
                &mut unknown,
            );
            let metadata = read.map_err(|why| faulty(&why))?;
            object.insert("metadata".to_owned(), metadata.into());
            // The schema is that of this kind in this version; what says that it is another is refused further down.
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
            // An empty list of entries says something only where the kind can tell it from none.
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

/// What an object says that it is.
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

/// Whether nothing in the value lies deeper than this.
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

/// 500 about what was applied, once it is one with the object that was there.
fn cannot_be_applied(resource: &Resource, why: &str) -> ApiError {
    let version = resource.api_version();
    let slash = if version.contains('/') { "" } else { "/" };
    let kind = format!("{slash}{version}, Kind={}", resource.kind);
    ApiError::unreasoned(format!(
        "unable to convert unstructured object to {kind}: {}",
        truncated(why, 4096)
    ))
}

/// 422 about a patch whose outcome is no object of this kind. A real server shows all of the outcome.
fn cannot_be_patched(why: &str) -> ApiError {
    let shown = Value::from("{...}");
    ApiError::invalid_as("", "", "", &[FieldError::invalid("patch", &shown, why)])
}

/// 422 about a patch that leaves a list where the object was.
fn is_a_list(found: &Value) -> ApiError {
    let shown = Value::from(truncated(&found.to_string(), 512));
    let why = format!(
        "couldn't get version/kind; {}",
        expected("an object", "", "a list")
    );
    ApiError::invalid_as("", "", "", &[FieldError::invalid("patch", &shown, why)])
}

/// `apiVersion` must be the resource's; whether `kind` is, is checked with the rest.
fn check_version(resource: &Resource, object: &mut Object) -> Result<(), ApiError> {
    let want = resource.api_version();
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let may_lack = resource.conduct != Conduct::Custom;
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

/// Of owner references that are equal one stays.
pub(crate) fn merge_owners(object: &mut Object, came: Came, warnings: &mut Vec<String>) {
    let when = match came {
        Came::Whole => "",
        // A patch is read as part of the write, where others may have had their say.
        Came::Patched | Came::Merged | Came::Applied => " after mutating admission happens",
    };
    let Some(Value::Array(owners)) = metadata::of(object).get_mut("ownerReferences") else {
        return;
    };
    // By their text, whose keys are sorted: a list may hold tens of thousands.
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
