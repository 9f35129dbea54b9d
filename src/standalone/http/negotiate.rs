//! What clients may send, by `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::decode::Notation;
use crate::standalone::error::ApiError;
use crate::standalone::kinds::{Conduct, Resource};
use crate::standalone::registry::Patch;

/// Media types that objects are read and written in.
const OBJECTS: &str = "application/json, application/yaml";
/// Media types of patches of custom resources: nobody knows how their lists merge.
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

/// Which notations a kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notations {
    /// JSON and YAML: custom resources.
    Text,
    /// Protobuf too: built-in kinds.
    Binary,
}

impl Notations {
    pub(super) fn of(resource: &Resource) -> Self {
        match resource.conduct {
            Conduct::Custom => Self::Text,
            Conduct::Definition
            | Conduct::Namespace
            | Conduct::Event
            | Conduct::Lease
            | Conduct::Plain => Self::Binary,
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
            // Another part of the real server says so, in its own words.
            Notations::Binary => {
                let mut error = ApiError::unsupported("415: Unsupported Media Type");
                error.details = Some(Box::default());
                error
            }
        }),
    }
}

impl PatchType {
    pub(super) fn notation(self) -> Notation {
        match self {
            Self::Json | Self::Merge | Self::Strategic => Notation::Json,
            // YAML has JSON within it.
            Self::Apply => Notation::Yaml,
        }
    }

    /// The body as a patch of this form.
    pub(super) fn of(self, body: Value, force: bool) -> Result<Patch, ApiError> {
        if self == Self::Apply && !body.is_object() {
            let found = match body {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Number(_) => "number",
                Value::Bool(_) => "bool",
                Value::Null | Value::Object(_) => "null",
            };
            return Err(ApiError::bad_request(format!(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
        if self != Self::Json && !body.is_object() {
            return Err(ApiError::bad_request("the patch is not an object"));
        }
        Ok(match self {
            Self::Json => Patch::Json(serde_json::from_value(body).map_err(|error| {
                ApiError::bad_request(format!("error decoding patch: {error}"))
            })?),
            Self::Merge => Patch::Merge(body),
            Self::Strategic => Patch::Strategic(body),
            Self::Apply => Patch::Apply { body, force },
        })
    }
}
