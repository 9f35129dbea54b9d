//! From what a client sent to an object of the kind: kind and version, the form of `metadata`, pruning and defaults.

use serde_json::{Map, Value};

use super::metadata::{self, Object};
use super::request::{FieldValidation, WriteOptions};
use crate::standalone::error::{ApiError, FieldError, truncated};
use crate::standalone::kinds::{Conduct, Resource};

/// Deepest nesting of what is stored. Parsers here end at 128, and patches can put together what no parser would let in.
const DEPTH: usize = 100;

/// How the body came, which decides how its faults are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// As the whole object.
    Whole,
    /// As a patch of one.
    Patched,
    /// As the outcome of an apply.
    Applied,
}

/// Reads `body` as an object of this kind. Unknown fields go, with warnings or an error as the options say.
pub(super) fn decode(
    resource: &Resource,
    body: Value,
    came: Came,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Object, ApiError> {
    let Value::Object(mut object) = body else {
        return Err(cannot_be_handled(resource, "the body is not a JSON object"));
    };
    if object.values().any(|value| !is_shallow(value, DEPTH)) {
        return Err(cannot_be_handled(
            resource,
            &format!("it is nested deeper than {DEPTH} levels"),
        ));
    }
    check_type(resource, &mut object)?;
    let mut unknown = options.findings.clone();
    clean_metadata(resource, &mut object, &mut unknown)?;
    if let Some(schema) = &resource.schema {
        schema.prune(&mut object, &mut unknown);
        match came {
            Came::Whole | Came::Patched => schema.fill_defaults(&mut object),
            Came::Applied => schema.fill_defaults_of_applied(&mut object),
        }
    }
    match options.field_validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.append(&mut unknown),
        FieldValidation::Strict if unknown.is_empty() => {}
        FieldValidation::Strict => {
            let list = format!("strict decoding error: {}", unknown.join(", "));
            return Err(match came {
                Came::Whole => cannot_be_handled(resource, &list),
                Came::Patched | Came::Applied => ApiError::invalid(
                    resource,
                    metadata::text(&object, "name"),
                    &[FieldError {
                        value: None,
                        ..FieldError::invalid("patch", &Value::Null, list)
                    }],
                ),
            });
        }
    }
    Ok(object)
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

fn cannot_be_handled(resource: &Resource, why: &str) -> ApiError {
    let kind = &resource.kind;
    ApiError::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {kind}: {}",
        resource.version,
        truncated(why, 4096)
    ))
}

/// `apiVersion` and `kind` must be the resource's. Built-in kinds may leave them out, as with a real server.
fn check_type(resource: &Resource, object: &mut Object) -> Result<(), ApiError> {
    let want = resource.api_version();
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let may_lack = resource.conduct != Conduct::Custom;
    if kind.is_empty() && !may_lack {
        return Err(ApiError::bad_request(
            "Object 'Kind' is missing in the body",
        ));
    }
    if version.is_empty() && !may_lack {
        return Err(ApiError::bad_request(
            "Object 'apiVersion' is missing in the body",
        ));
    }
    if version != want && !version.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({want})",
            truncated(version, 128)
        )));
    }
    if kind != resource.kind && !kind.is_empty() {
        return Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: the kind in the data does not match the expected kind",
            truncated(kind, 128),
            resource.version,
            resource.kind
        )));
    }
    object.insert("apiVersion".to_owned(), want.into());
    object.insert("kind".to_owned(), resource.kind.as_str().into());
    Ok(())
}

#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Texts,
    TextMap,
    Owners,
    /// Who owns which field.
    Entries,
    /// Accepted and dropped.
    Dropped,
}

/// The fields of ObjectMeta.
const FIELDS: [(&str, Form); 15] = [
    ("annotations", Form::TextMap),
    ("creationTimestamp", Form::Text),
    ("deletionGracePeriodSeconds", Form::Number),
    ("deletionTimestamp", Form::Text),
    ("finalizers", Form::Texts),
    ("generateName", Form::Text),
    ("generation", Form::Number),
    ("labels", Form::TextMap),
    ("managedFields", Form::Entries),
    ("name", Form::Text),
    ("namespace", Form::Text),
    ("ownerReferences", Form::Owners),
    ("resourceVersion", Form::Text),
    ("selfLink", Form::Dropped),
    ("uid", Form::Text),
];

fn clean_metadata(
    resource: &Resource,
    object: &mut Object,
    unknown: &mut Vec<String>,
) -> Result<(), ApiError> {
    let found = match object.get_mut("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(found)) => std::mem::take(found),
        Some(_) => return Err(cannot_be_handled(resource, "metadata is not an object")),
    };
    let mut kept = Map::new();
    for (name, value) in found {
        let Some((_, form)) = FIELDS.iter().find(|(field, _)| *field == name) else {
            unknown.push(format!(
                "unknown field \"metadata.{}\"",
                truncated(&name, 128)
            ));
            continue;
        };
        if value.is_null() || matches!(form, Form::Dropped) {
            continue;
        }
        let Some(value) = form.fit(value, unknown) else {
            return Err(cannot_be_handled(
                resource,
                &format!("metadata.{name} must be {}", form.words()),
            ));
        };
        // An empty list of entries says something where the kind can tell it from none.
        let counts = matches!(form, Form::Entries) && resource.conduct != Conduct::Custom;
        if counts || !is_empty(&value) {
            kept.insert(name, value);
        }
    }
    object.insert("metadata".to_owned(), Value::Object(kept));
    Ok(())
}

/// Empty maps, lists and texts are not written, as with a real server's types.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Form {
    fn words(self) -> &'static str {
        match self {
            Self::Text | Self::Dropped => "a string",
            Self::Number => "an integer",
            Self::Texts => "a list of strings",
            Self::TextMap => "a map of strings to strings",
            Self::Owners => "a list of owner references",
            Self::Entries => "a list of managed fields entries",
        }
    }

    fn fit(self, value: Value, unknown: &mut Vec<String>) -> Option<Value> {
        match (self, value) {
            (Self::Text, value @ Value::String(_)) => Some(value),
            (Self::Number, value) if value.is_i64() => Some(value),
            (Self::Texts, Value::Array(list)) => list
                .iter()
                .all(Value::is_string)
                .then_some(Value::Array(list)),
            (Self::TextMap, Value::Object(mut map)) => {
                for value in map.values_mut() {
                    if value.is_null() {
                        *value = Value::String(String::new());
                    }
                }
                map.values().all(Value::is_string).then_some(map.into())
            }
            (Self::Owners, Value::Array(list)) => list
                .into_iter()
                .map(owner)
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            (Self::Entries, Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .map(|(index, value)| entry(index, value, unknown))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            _ => None,
        }
    }
}

/// An entry of managedFields with the fields that it has.
fn entry(index: usize, value: Value, unknown: &mut Vec<String>) -> Option<Value> {
    let found = match value {
        Value::Null => Map::new(),
        Value::Object(found) => found,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
    };
    let mut kept = Map::new();
    for (name, value) in found {
        match name.as_str() {
            _ if value.is_null() => continue,
            "fieldsV1" => {}
            "time" => {
                value.as_str()?.parse::<jiff::Timestamp>().ok()?;
            }
            "manager" | "operation" | "apiVersion" | "fieldsType" | "subresource" => {
                if value.as_str()?.is_empty() {
                    continue;
                }
            }
            _ => {
                let name = truncated(&name, 128);
                unknown.push(format!(
                    "unknown field \"metadata.managedFields[{index}].{name}\""
                ));
                continue;
            }
        }
        kept.insert(name, value);
    }
    Some(Value::Object(kept))
}

/// An owner reference with the fields that it has.
fn owner(value: Value) -> Option<Value> {
    let Value::Object(found) = value else {
        return None;
    };
    let mut kept = Map::new();
    for (name, value) in found {
        match name.as_str() {
            "apiVersion" | "kind" | "name" | "uid" if value.is_string() => {}
            "controller" | "blockOwnerDeletion" if value.is_boolean() => {}
            "controller" | "blockOwnerDeletion" if value.is_null() => continue,
            "apiVersion" | "kind" | "name" | "uid" | "controller" | "blockOwnerDeletion" => {
                return None;
            }
            _ => continue,
        }
        kept.insert(name, value);
    }
    Some(Value::Object(kept))
}
