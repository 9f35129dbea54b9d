//! The media types of bodies, by `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::decode::{Decoded, Notation};
use super::options;
use crate::error::ApiError;
use crate::field::{expected, found};
use crate::kinds::{Resource, Strategy};
use crate::registry::{FieldValidation, Patch};

/// Media types that objects are read and written in. A real server has Protobuf too for answers; here it is read, for built-in
/// kinds.
const OBJECTS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// Media types of patches of custom resources. Strategic merge patches are missing: how lists of custom resources merge is not
/// known.
const CUSTOM_PATCHES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// The forms of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

pub(super) fn not_acceptable() -> ApiError {
    ApiError::not_acceptable(OBJECTS)
}

fn media_type(headers: &HeaderMap) -> &str {
    let text = headers.get(CONTENT_TYPE).map(|v| v.to_str());
    let text = text.and_then(Result::ok).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// In which notations the objects of a kind can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notations {
    /// JSON and YAML: custom resources.
    Text,
    /// Protobuf too: built-in kinds.
    Binary,
}

impl Notations {
    pub(super) fn of(resource: &Resource) -> Self {
        match resource.strategy {
            Strategy::Custom => Self::Text,
            Strategy::Definition
            | Strategy::Namespace
            | Strategy::Event
            | Strategy::Lease
            | Strategy::Plain => Self::Binary,
        }
    }
}

/// The notation of an object in a body; JSON when nothing is said.
pub(super) fn notation(headers: &HeaderMap, known: Notations) -> Result<Notation, ApiError> {
    match media_type(headers) {
        "application/vnd.kubernetes.protobuf" if known == Notations::Binary => {
            Ok(Notation::Protobuf)
        }
        "" | "application/json" => Ok(Notation::Json),
        "application/yaml" => Ok(Notation::Yaml),
        _ => Err(ApiError::unsupported_media_type(OBJECTS)),
    }
}

/// The form of the patch in a body.
pub(super) fn patch_type(headers: &HeaderMap, known: Notations) -> Result<PatchType, ApiError> {
    match media_type(headers) {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" if known == Notations::Binary => {
            Ok(PatchType::Strategic)
        }
        "application/apply-patch+yaml" => Ok(PatchType::Apply),
        _ => Err(match known {
            Notations::Text => ApiError::unsupported_media_type(CUSTOM_PATCHES),
            // For built-in kinds another part of a real API server answers, with another text.
            Notations::Binary => {
                let mut error = ApiError::unsupported("415: Unsupported Media Type");
                error.details = Some(Box::default());
                error
            }
        }),
    }
}

/// The error of a patch that cannot be read at all.
pub(super) fn bad_patch(kind: PatchType, error: &ApiError) -> ApiError {
    if kind == PatchType::Apply {
        let why = &error.message;
        return ApiError::bad_request(format!(
            "error decoding YAML: error converting YAML to JSON: {why}"
        ));
    }
    let why = error
        .message
        .rsplit_once("parse error: ")
        .map_or(error.message.as_str(), |(_, why)| why);
    ApiError::bad_request(format!("error decoding patch: {why}"))
}

impl PatchType {
    pub(super) fn notation(self) -> Notation {
        match self {
            Self::Json | Self::Merge | Self::Strategic => Notation::Json,
            // YAML has JSON within it.
            Self::Apply => Notation::Yaml,
        }
    }

    /// Repeated keys and unknown fields of a body that can be carried out, as the texts of warnings.
    pub(super) fn findings(self, body: &Decoded) -> Vec<String> {
        let doubled = options::repeated_keys(body);
        if self != Self::Json {
            return doubled;
        }
        let list = body.value.as_array().into_iter().flatten().enumerate();
        let unknown = list.flat_map(|(n, operation)| {
            let fields = operation
                .as_object()
                .into_iter()
                .flat_map(serde_json::Map::keys);
            fields
                .filter(|field| !["op", "path", "from", "value"].contains(&field.as_str()))
                .map(move |field| format!("unknown field \"[{n}].{field}\""))
        });
        doubled
            .into_iter()
            .chain(unknown)
            .map(|finding| format!("json patch {finding}"))
            .collect()
    }

    /// The body as a patch of this form.
    pub(super) fn of(
        self,
        body: Value,
        force: bool,
        validation: FieldValidation,
    ) -> Result<Patch, ApiError> {
        let body = match body {
            // An empty body is a patch without fields.
            Value::Null if matches!(self, Self::Apply | Self::Strategic) => {
                Value::Object(serde_json::Map::new())
            }
            body => body,
        };
        // A real API server reads a merge patch as an object only to look for unknown fields. A list replaces the object then.
        let is_list =
            self == Self::Merge && validation == FieldValidation::Ignore && body.is_array();
        if self != Self::Json && !body.is_object() && !is_list {
            let why = expected("an object", "", &found(&body));
            return Err(ApiError::bad_request(match self {
                Self::Apply => format!("error decoding YAML: {why}"),
                Self::Json | Self::Merge | Self::Strategic => {
                    format!("error decoding patch: {why}")
                }
            }));
        }
        Ok(match self {
            Self::Json => {
                // An empty body is a patch without operations.
                let mut body = match body {
                    Value::Null => Value::Array(Vec::new()),
                    body => body,
                };
                for operation in body.as_array_mut().into_iter().flatten() {
                    // A missing value is null.
                    if let Some(operation) = operation.as_object_mut() {
                        operation.entry("value").or_insert(Value::Null);
                    }
                }
                let is_list = body
                    .as_array()
                    .is_some_and(|list| list.iter().all(is_operation));
                Patch::Json(serde_json::from_value(body).map_err(|error| {
                    // A list of operations that make no sense cannot be carried out; anything else cannot be read.
                    if is_list {
                        ApiError::unprocessable()
                    } else {
                        ApiError::bad_request(format!("error decoding patch: {error}"))
                    }
                })?)
            }
            Self::Merge => Patch::Merge(body),
            Self::Strategic => Patch::Strategic(body),
            Self::Apply => Patch::Apply { body, force },
        })
    }
}

/// Whether a value looks like one operation of a JSON patch.
fn is_operation(value: &Value) -> bool {
    value.as_object().is_some_and(|map| {
        ["op", "path", "from"].iter().all(|field| {
            map.get(*field)
                .is_none_or(|value| value.is_string() || value.is_null())
        })
    })
}
