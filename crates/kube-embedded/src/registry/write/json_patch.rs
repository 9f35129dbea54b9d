//! The operations of a JSON patch (RFC 6902), as the library of a real API server carries them out, which is not in everything
//! as the RFC has it: what is not there can be replaced, copied and tested for null; `-1` is the last item of a list; of the
//! whole document a patch may only say what it is instead.
//!
//! Any operation that cannot be carried out ends all, with one answer for all reasons.

use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde_json::Value;

use crate::error::ApiError;

/// Most values that the moves and copies of one patch may touch: a copy can double an object, ten thousand of them would
/// fill the memory.
const MOVED: usize = 200_000;
/// Deepest path and deepest moved value.
const DEPTH: usize = 100;

/// Carries all of them out, one after the other.
///
/// # Errors
/// 422 at the first that cannot be carried out.
pub(crate) fn carry_out(object: &mut Value, operations: &[PatchOperation]) -> Result<(), ApiError> {
    let mut budget = MOVED;
    for operation in operations {
        one(object, operation, &mut budget).ok_or_else(ApiError::unprocessable)?;
    }
    Ok(())
}

fn one(root: &mut Value, operation: &PatchOperation, budget: &mut usize) -> Option<()> {
    if operation.path().tokens().count() > DEPTH {
        return None;
    }
    match operation {
        PatchOperation::Add(add) => put(root, &add.path, add.value.clone()),
        PatchOperation::Remove(remove) => take(root, &remove.path).map(drop),
        PatchOperation::Replace(replace) if replace.path.is_root() => {
            let value = &replace.value;
            *root = (value.is_object() || value.is_array()).then(|| value.clone())?;
            Some(())
        }
        PatchOperation::Replace(replace) => {
            let value = replace.value.clone();
            match place(root, &replace.path)? {
                Place::Field(fields, name) => {
                    fields.insert(name, value);
                }
                Place::Item(items, key) => {
                    let index = index(&key, items.len())?;
                    *items.get_mut(index)? = value;
                }
            }
            Some(())
        }
        PatchOperation::Move(moved) => {
            weigh(&found(root, &moved.from)?, budget)?;
            let value = take(root, &moved.from)?;
            put(root, &moved.path, value)
        }
        PatchOperation::Copy(copy) => {
            let value = found(root, &copy.from)?;
            weigh(&value, budget)?;
            put(root, &copy.path, value)
        }
        PatchOperation::Test(test) if test.path.is_root() => (*root == test.value).then_some(()),
        PatchOperation::Test(test) => (found(root, &test.path)? == test.value).then_some(()),
    }
}

/// Where a pointer leads to: into what, and how it is called there.
enum Place<'a> {
    Field(&'a mut serde_json::Map<String, Value>, String),
    Item(&'a mut Vec<Value>, String),
}

/// The place that a pointer names, whether there is something or not; none when nothing can be there.
fn place<'a>(root: &'a mut Value, path: &Pointer) -> Option<Place<'a>> {
    let (before, last) = path.split_back()?;
    let last = last.decoded().into_owned();
    let mut at = root;
    for token in before.tokens() {
        let token = token.decoded();
        at = match at {
            Value::Object(fields) => fields.get_mut(&*token)?,
            Value::Array(items) => {
                let index = index(&token, items.len())?;
                items.get_mut(index)?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    match at {
        Value::Object(fields) => Some(Place::Field(fields, last)),
        Value::Array(items) => Some(Place::Item(items, last)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What is there; null when a field is not.
fn found(root: &mut Value, path: &Pointer) -> Option<Value> {
    match place(root, path)? {
        Place::Field(fields, name) => Some(fields.get(&name).cloned().unwrap_or_default()),
        Place::Item(items, key) => items.get(index(&key, items.len())?).cloned(),
    }
}

fn take(root: &mut Value, path: &Pointer) -> Option<Value> {
    match place(root, path)? {
        Place::Field(fields, name) => fields.remove(&name),
        Place::Item(items, key) => {
            let index = index(&key, items.len())?;
            (index < items.len()).then(|| items.remove(index))
        }
    }
}

fn put(root: &mut Value, path: &Pointer, value: Value) -> Option<()> {
    match place(root, path)? {
        Place::Field(fields, name) => {
            fields.insert(name, value);
        }
        Place::Item(items, key) if key == "-" => items.push(value),
        Place::Item(items, key) => {
            let index = index(&key, items.len() + 1)?;
            (index <= items.len()).then(|| items.insert(index, value))?;
        }
    }
    Some(())
}

/// Which item of so many a key means: those from the end have a minus.
fn index(key: &str, count: usize) -> Option<usize> {
    let index: isize = key.parse().ok()?;
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => count.checked_sub(index.unsigned_abs()),
    }
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
