//! Patches, applied to the object that is there. What a patch can make of little input is bounded.

use json_patch::PatchOperation;
use serde_json::Value;

use super::metadata::Object;
use super::request::Patch;
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
        Patch::Strategic(patch) => merge_strategically(&mut object, patch, ""),
        Patch::Apply { body, .. } => object = body.clone(),
    }
    Ok(object)
}

fn apply_json(object: &mut Value, operations: &[PatchOperation]) -> Result<(), ApiError> {
    let mut budget = MOVED;
    for operation in operations {
        if operation.path().tokens().count() > DEPTH {
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
        if let Some(from) = from
            && let Ok(source) = from.resolve(object)
        {
            budget = weigh(source, budget, DEPTH).ok_or_else(ApiError::unprocessable)?;
        }
        json_patch::patch(object, std::slice::from_ref(operation))
            .map_err(|_| ApiError::unprocessable())?;
    }
    Ok(())
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

/// The key by which items of a list are told apart, for the lists of ObjectMeta that are not replaced whole.
fn merge_key(field: &str) -> Option<&'static str> {
    match field {
        "ownerReferences" => Some("uid"),
        "conditions" => Some("type"),
        _ => None,
    }
}

fn merge_strategically(target: &mut Value, patch: &Value, field: &str) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
                    if let (Some(Value::Array(found)), Value::Array(gone)) =
                        (target.get_mut(list), value)
                    {
                        found.retain(|item| !gone.contains(item));
                    }
                } else if name.starts_with('$') {
                    // Other directives order lists or drop what unions left behind; nothing here needs them.
                } else if value.is_null() {
                    target.remove(name);
                } else if let Some(directive) = value.get("$patch") {
                    let replaces = directive == "replace" && target.contains_key(name);
                    target.remove(name);
                    if replaces && let Value::Object(rest) = value {
                        let mut rest = rest.clone();
                        rest.remove("$patch");
                        target.insert(name.clone(), rest.into());
                    }
                } else {
                    merge_strategically(
                        target.entry(name.as_str()).or_insert(Value::Null),
                        value,
                        name,
                    );
                }
            }
        }
        (target @ Value::Array(_), Value::Array(patch)) if field == "finalizers" => {
            if let Value::Array(found) = target {
                found.extend(patch.iter().cloned());
                found.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                found.dedup();
            }
        }
        (Value::Array(found), Value::Array(patch)) if merge_key(field).is_some() => {
            let key = merge_key(field).unwrap_or_default();
            for item in patch {
                let at = found.iter().position(|other| other[key] == item[key]);
                match (at, item["$patch"] == "delete") {
                    (Some(at), true) => {
                        found.remove(at);
                    }
                    (None, true) => {}
                    (Some(at), false) => merge_strategically(&mut found[at], item, ""),
                    (None, false) => found.push(item.clone()),
                }
            }
        }
        (target, Value::Object(patch)) => {
            // New where nothing of that form was: the patch without its directives.
            *target = Value::Object(serde_json::Map::new());
            merge_strategically(target, &Value::Object(patch.clone()), field);
        }
        (target, patch) => *target = patch.clone(),
    }
}
