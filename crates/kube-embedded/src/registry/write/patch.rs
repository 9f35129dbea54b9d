//! Patches, applied to the stored object. What a patch can make of little input is bounded.

use serde_json::Value;

use crate::builtin;
use crate::error::ApiError;
use crate::kinds::{Resource, Strategy};
use crate::registry::request::Patch;
use crate::registry::rules::metadata::Object;
use crate::registry::write::json_patch;
use crate::registry::write::strategic_merge;

/// Most operations of a JSON patch.
const OPERATIONS: usize = 10_000;

const MEDIA_TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// Whether this resource accepts a patch of this form.
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
        // How lists of custom resources merge is not known.
        Patch::Strategic(_) if resource.strategy == Strategy::Custom => {
            Err(ApiError::unsupported_media_type(MEDIA_TYPES))
        }
        Patch::Json(_) | Patch::Merge(_) | Patch::Strategic(_) | Patch::Apply { .. } => Ok(()),
    }
}

/// The object after the patch, which is still to be read as the kind. Server-side apply has its own way, in `apply.rs`.
pub(crate) fn apply(resource: &Resource, patch: &Patch, old: Object) -> Result<Value, ApiError> {
    let mut object = Value::Object(old);
    match patch {
        Patch::Json(patch) => json_patch::carry_out(&mut object, &patch.0)?,
        Patch::Merge(patch) => ::json_patch::merge(&mut object, patch),
        Patch::Strategic(patch) => {
            let of = builtin::object_of(&resource.group, &resource.kind)
                .ok_or_else(|| ApiError::unsupported_media_type(MEDIA_TYPES))?;
            strategic_merge::merge(&mut object, patch, of)?;
        }
        Patch::Apply { body, .. } => object = body.clone(),
    }
    Ok(object)
}
