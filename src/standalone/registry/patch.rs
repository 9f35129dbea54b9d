//! Patches, applied to the object that is there. What a patch can make of little input is bounded.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

use super::metadata::Object;
use super::request::Patch;
use super::strategic;
use crate::standalone::error::ApiError;
use crate::standalone::kinds::{Conduct, Resource};

/// Most operations of a JSON patch.
const OPERATIONS: usize = 10_000;
/// Most values that the moves and copies of one patch may touch: a copy can double an object, ten thousand of them would
/// fill the memory.
const MOVED: usize = 200_000;
/// Deepest path and deepest moved value.
const DEPTH: usize = 100;

const MEDIA_TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// Whether a patch of this form is taken for this resource at all.
pub(super) fn check(resource: &Resource, patch: &Patch) -> Result<(), ApiError> {
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
pub(super) fn apply(patch: &Patch, old: Object) -> Result<Value, ApiError> {
    let mut object = Value::Object(old);
    match patch {
        Patch::Json(patch) => apply_json(&mut object, &patch.0)?,
        Patch::Merge(patch) => json_patch::merge(&mut object, patch),
        Patch::Strategic(patch) => strategic::merge(&mut object, patch)?,
        Patch::Apply { body, .. } => object = body.clone(),
    }
    Ok(object)
}

fn apply_json(object: &mut Value, operations: &[PatchOperation]) -> Result<(), ApiError> {
    let mut budget = MOVED;
    for operation in operations {
        let tokens = operation.path().tokens().count();
        if tokens == 0 {
            // Of the whole document a patch may only say what it is instead, as with a real server.
            match operation {
                PatchOperation::Replace(replace)
                    if replace.value.is_object() || replace.value.is_array() =>
                {
                    *object = replace.value.clone();
                    continue;
                }
                PatchOperation::Test(test) if test.value == *object => continue,
                PatchOperation::Add(_)
                | PatchOperation::Remove(_)
                | PatchOperation::Replace(_)
                | PatchOperation::Move(_)
                | PatchOperation::Copy(_)
                | PatchOperation::Test(_) => return Err(ApiError::unprocessable()),
            }
        }
        if tokens > DEPTH {
            return Err(ApiError::unprocessable());
        }
        let from = match operation {
            PatchOperation::Copy(copy) => Some(&copy.from),
            PatchOperation::Move(moved) => Some(&moved.from),
            PatchOperation::Add(_)
            | PatchOperation::Remove(_)
            | PatchOperation::Replace(_)
            | PatchOperation::Test(_) => None,
        };
        if from.is_some_and(|from| from.tokens().count() == 0) {
            return Err(ApiError::unprocessable());
        }
        if let Some(from) = from
            && let Ok(source) = from.resolve(object)
        {
            budget = weigh(source, budget, DEPTH).ok_or_else(ApiError::unprocessable)?;
        }
        let operation = match operation {
            // Of a field that is not there, replacing it is adding it.
            PatchOperation::Replace(replace) if is_free_field(object, &replace.path) => {
                &PatchOperation::Add(AddOperation {
                    path: replace.path.clone(),
                    value: replace.value.clone(),
                })
            }
            other => other,
        };
        json_patch::patch(object, std::slice::from_ref(operation))
            .map_err(|_| ApiError::unprocessable())?;
    }
    Ok(())
}

/// Whether a pointer leads to a field that an object does not have.
fn is_free_field(object: &Value, path: &PointerBuf) -> bool {
    let parent = path.parent().and_then(|parent| parent.resolve(object).ok());
    parent.is_some_and(Value::is_object) && path.resolve(object).is_err()
}

/// What is left of the budget after this value; none when it is too big or too deep.
fn weigh(value: &Value, budget: usize, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    // A text weighs by its length: copying a long one often is as bad as copying many short ones.
    let own = match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => 1,
    };
    let budget = budget.checked_sub(own)?;
    match value {
        Value::Object(map) => map
            .values()
            .try_fold(budget, |budget, value| weigh(value, budget, depth)),
        Value::Array(list) => list
            .iter()
            .try_fold(budget, |budget, value| weigh(value, budget, depth)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(budget),
    }
}
