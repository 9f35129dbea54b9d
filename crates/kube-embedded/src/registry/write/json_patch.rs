//! JSON patches (RFC 6902), carried out by the crate `json-patch`. The library of a real API server allows more than the RFC, and
//! in one place less, so each operation is rewritten first:
//!
//! - A negative index counts from the end of its list: `-1` is the last item.
//! - A field that is missing can be replaced, is copied as null, and equals null in a test.
//! - The whole document can only be replaced, by an object or a list, and tested.
//!
//! What moves and copies make of little input is bounded.

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{
    AddOperation, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation, patch_unsafe,
};
use serde_json::Value;

use crate::error::ApiError;

/// Most values that the moves and copies of one patch may touch: a copy can double an object, ten thousand of them would
/// fill the memory.
const MOVED: usize = 200_000;
/// Deepest path and deepest moved value.
const DEPTH: usize = 100;

/// Carries out all operations, one after the other.
///
/// # Errors
/// 422 at the first operation that cannot be carried out. The object is in between two states then.
pub(crate) fn carry_out(object: &mut Value, operations: &[PatchOperation]) -> Result<(), ApiError> {
    let mut budget = MOVED;
    for operation in operations {
        one(object, operation, &mut budget).ok_or_else(ApiError::unprocessable)?;
    }
    Ok(())
}

fn one(object: &mut Value, operation: &PatchOperation, budget: &mut usize) -> Option<()> {
    let rewritten = match operation {
        PatchOperation::Replace(replace) if replace.path.is_root() => {
            let is_document = replace.value.is_object() || replace.value.is_array();
            is_document.then(|| operation.clone())?
        }
        PatchOperation::Test(test) if test.path.is_root() => operation.clone(),
        PatchOperation::Add(add) => PatchOperation::Add(AddOperation {
            path: counted(object, &add.path, 1)?,
            value: add.value.clone(),
        }),
        PatchOperation::Remove(remove) => PatchOperation::Remove(RemoveOperation {
            path: counted(object, &remove.path, 0)?,
        }),
        PatchOperation::Replace(replace) => {
            let (path, value) = (counted(object, &replace.path, 0)?, replace.value.clone());
            if lacks_field(object, &path) {
                PatchOperation::Add(AddOperation { path, value })
            } else {
                PatchOperation::Replace(ReplaceOperation { path, value })
            }
        }
        PatchOperation::Test(test) => {
            let (path, value) = (counted(object, &test.path, 0)?, test.value.clone());
            if lacks_field(object, &path) {
                return value.is_null().then_some(());
            }
            PatchOperation::Test(TestOperation { path, value })
        }
        PatchOperation::Copy(copy) => {
            let from = counted(object, &copy.from, 0)?;
            let value = match object.pointer(from.as_str()) {
                None if lacks_field(object, &from) => Value::Null,
                found => found?.clone(),
            };
            let path = copy.path.clone();
            weigh(&value, budget)?;
            return one(
                object,
                &PatchOperation::Add(AddOperation { path, value }),
                budget,
            );
        }
        PatchOperation::Move(moved) => {
            let path = counted(object, &moved.from, 0)?;
            let value = object.pointer(path.as_str())?.clone();
            weigh(&value, budget)?;
            one(
                object,
                &PatchOperation::Remove(RemoveOperation { path }),
                budget,
            )?;
            let path = moved.path.clone();
            return one(
                object,
                &PatchOperation::Add(AddOperation { path, value }),
                budget,
            );
        }
    };
    patch_unsafe(object, &[rewritten]).ok()
}

/// The path with every index counted from the beginning of its list. `None` for the root, for a path that is too deep, and for
/// an index that is none. `more`: items that the list at the end of the path would have then, beside those that it has.
fn counted(object: &Value, path: &Pointer, more: usize) -> Option<PointerBuf> {
    let depth = path.count();
    if depth == 0 || depth > DEPTH {
        return None;
    }
    let mut counted = PointerBuf::new();
    let mut at = Some(object);
    for (n, token) in path.tokens().enumerate() {
        let key = token.decoded();
        let Some(Value::Array(items)) = at.filter(|_| key != "-") else {
            at = at.and_then(|value| value.get(&*key));
            counted.push_back(token);
            continue;
        };
        let count = items.len() + if n + 1 == depth { more } else { 0 };
        let index: isize = key.parse().ok()?;
        let index = match usize::try_from(index) {
            Ok(index) => index,
            Err(_) => count.checked_sub(index.unsigned_abs())?,
        };
        at = items.get(index);
        counted.push_back(index);
    }
    Some(counted)
}

/// Whether the path leads to a field that an object could have and has not.
fn lacks_field(object: &Value, path: &Pointer) -> bool {
    let Some((parent, name)) = path.split_back() else {
        return false;
    };
    let parent = object.pointer(parent.as_str()).and_then(Value::as_object);
    parent.is_some_and(|fields| !fields.contains_key(&*name.decoded()))
}

/// Takes a value's weight from the budget; none when it is too big or too deep.
fn weigh(value: &Value, budget: &mut usize) -> Option<()> {
    *budget = less(value, *budget, DEPTH)?;
    Some(())
}

/// What is left of the budget after this value.
fn less(value: &Value, budget: usize, depth: usize) -> Option<usize> {
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
            .try_fold(budget, |budget, value| less(value, budget, depth)),
        Value::Array(list) => list
            .iter()
            .try_fold(budget, |budget, value| less(value, budget, depth)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(budget),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(operations: Value) -> Option<Value> {
        let mut object = json!({"a": {"b": 1, "n": null}, "l": [1, 2, 3]});
        let operations: Vec<PatchOperation> = serde_json::from_value(operations).unwrap();
        carry_out(&mut object, &operations).ok().map(|()| object)
    }

    #[test]
    fn what_is_not_there_can_be_replaced_copied_and_tested_for_null() {
        let cases = [
            (
                json!({"op": "replace", "path": "/a/c", "value": 2}),
                "/a/c",
                json!(2),
            ),
            (
                json!({"op": "copy", "from": "/a/c", "path": "/a/d"}),
                "/a/d",
                json!(null),
            ),
            (
                json!({"op": "test", "path": "/a/c", "value": null}),
                "/a/b",
                json!(1),
            ),
            (
                json!({"op": "move", "from": "/a/b", "path": "/l/-"}),
                "/l",
                json!([1, 2, 3, 1]),
            ),
            (
                json!({"op": "add", "path": "/l/-1", "value": 9}),
                "/l",
                json!([1, 2, 3, 9]),
            ),
            (
                json!({"op": "remove", "path": "/l/-1"}),
                "/l",
                json!([1, 2]),
            ),
            (
                json!({"op": "replace", "path": "/l/-3", "value": 0}),
                "/l",
                json!([0, 2, 3]),
            ),
            (
                json!({"op": "add", "path": "/l/3", "value": 9}),
                "/l",
                json!([1, 2, 3, 9]),
            ),
            (
                json!({"op": "replace", "path": "", "value": []}),
                "",
                json!([]),
            ),
        ];
        for (operation, at, want) in cases {
            let patched = patched(json!([operation])).unwrap();
            assert_eq!(patched.pointer(at), Some(&want), "{operation}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for operation in [
            json!({"op": "move", "from": "/a/c", "path": "/a/d"}),
            json!({"op": "remove", "path": "/a/c"}),
            json!({"op": "add", "path": "/a/n/x", "value": 1}),
            json!({"op": "add", "path": "/a/b/x", "value": 1}),
            json!({"op": "add", "path": "/l/5", "value": 1}),
            json!({"op": "add", "path": "/l/-5", "value": 1}),
            json!({"op": "remove", "path": "/l/3"}),
            json!({"op": "replace", "path": "/l/-", "value": 1}),
            json!({"op": "test", "path": "/l/3", "value": null}),
            json!({"op": "test", "path": "/a/b", "value": 2}),
            json!({"op": "replace", "path": "", "value": "text"}),
            json!({"op": "add", "path": "", "value": {}}),
            json!({"op": "remove", "path": ""}),
            json!({"op": "copy", "from": "", "path": "/a/c"}),
        ] {
            assert_eq!(patched(json!([operation])), None, "{operation}");
        }
    }
}
