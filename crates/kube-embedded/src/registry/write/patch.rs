//! Patches, applied to the object that is there. What a patch can make of little input is bounded.

use serde_json::Value;

use crate::error::ApiError;
use crate::kinds::{Conduct, Resource};
use crate::registry::request::Patch;
use crate::registry::rules::metadata::Object;
use crate::registry::write::json_patch;
use crate::registry::write::strategic_merge;

/// Most operations of a JSON patch.
const OPERATIONS: usize = 10_000;

const MEDIA_TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// Whether a patch of this form is taken for this resource at all.
pub(crate) fn check(resource: &Resource, patch: &Patch) -> Result<(), ApiError> {
    match patch {
        Patch::Json(patch) if patch.0.len() > OPERATIONS => {
            let mut error = ApiError::too_large(OPERATIONS);
            error.message = format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS}, got {}",
                patch.0.len()
            );
            Err(error)
        }
        // Without Go types nobody knows how lists of custom resources merge.
        Patch::Strategic(_) if resource.conduct == Conduct::Custom => {
            Err(ApiError::unsupported_media_type(MEDIA_TYPES))
        }
        Patch::Json(_) | Patch::Merge(_) | Patch::Strategic(_) | Patch::Apply { .. } => Ok(()),
    }
}

/// The object after the patch; it still has to be read as one. An apply is no patch in this sense: see `write.rs`.
pub(crate) fn apply(patch: &Patch, old: Object) -> Result<Value, ApiError> {
    let mut object = Value::Object(old);
    match patch {
        Patch::Json(patch) => json_patch::carry_out(&mut object, &patch.0)?,
        Patch::Merge(patch) => ::json_patch::merge(&mut object, patch),
        Patch::Strategic(patch) => strategic_merge::merge(&mut object, patch)?,
        Patch::Apply { body, .. } => object = body.clone(),
    }
    Ok(object)
}
