//! Strategic merge patches: as merge patches, but some lists of built-in kinds are merged item by item and keep an order. Which
//! lists these are is in the tables of `builtin`. The order follows from the patch, from its directives, and from the stored list.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::builtin::{Form, Merge, Struct};
use crate::error::ApiError;
use crate::field::{expected, found, truncated};

const DIRECTIVE: &str = "$patch";
const ORDER: &str = "$setElementOrder/";
const GONE: &str = "$deleteFromPrimitiveList/";

/// A list that is merged item by item.
#[derive(Debug, Clone, Copy)]
struct List<'a> {
    field: &'a str,
    merge: Merge,
    items: &'a Form,
}

impl<'a> List<'a> {
    /// The list in this field of this type. `None` where the field is no list, or one that is replaced whole.
    fn of(form: Option<&'a Form>, field: &'a str) -> Option<Self> {
        match form {
            Some(Form::List(merge @ (Merge::Set | Merge::By(_)), items)) => Some(Self {
                field,
                merge: *merge,
                items,
            }),
            Some(_) | None => None,
        }
    }

    /// What tells an item from the others.
    fn key(self, item: &Value) -> String {
        match self.merge {
            Merge::Set | Merge::Atomic => item.to_string(),
            Merge::By(key) => item[key].to_string(),
        }
    }

    /// Where in a list each key stands first.
    fn places(self, list: &[Value]) -> HashMap<String, usize> {
        let mut places = HashMap::with_capacity(list.len());
        for (at, item) in list.iter().enumerate() {
            places.entry(self.key(item)).or_insert(at);
        }
        places
    }
}

/// The type of a field of a value of this type.
fn inner<'a>(form: Option<&'a Form>, field: &str) -> Option<&'a Form> {
    match form? {
        Form::Struct(of) => of.field(field).map(|field| &field.form),
        Form::Map(inner) => Some(inner),
        _ => None,
    }
}

/// Carries out a patch on an object of this type.
///
/// # Errors
/// 500 without a reason, as a real API server answers to a patch that makes no sense.
pub(crate) fn merge(
    target: &mut Value,
    patch: &Value,
    of: &'static Struct,
) -> Result<(), ApiError> {
    merge_value(target, patch, Some(&Form::Struct(of)), "")
}

/// `field`: the name of the field that has this value, for errors.
fn merge_value(
    target: &mut Value,
    patch: &Value,
    form: Option<&Form>,
    field: &str,
) -> Result<(), ApiError> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            let mut patch = patch.clone();
            if let Some(directive) = patch.get(DIRECTIVE) {
                match directive.as_str() {
                    Some("replace") => {
                        patch.remove(DIRECTIVE);
                        *target = patch;
                    }
                    Some("delete") => target.clear(),
                    Some(_) | None => {
                        let found = truncated(&directive.to_string(), 64);
                        let wanted = "a $patch of \"replace\" or \"delete\"";
                        return Err(senseless(wanted, field, &found));
                    }
                }
                return Ok(());
            }
            order_lists(target, &mut patch, form)?;
            for (name, value) in &patch {
                merge_field(target, name, value, form)?;
            }
            Ok(())
        }
        (Value::Array(found), Value::Array(patch)) => {
            *found = match List::of(form, field) {
                Some(list) => merged(found, patch, list)?,
                None => patch.clone(),
            };
            Ok(())
        }
        (target, Value::Object(patch)) => {
            // New where nothing of that form was: the patch without its directives.
            *target = Value::Object(Map::new());
            merge_value(target, &Value::Object(patch.clone()), form, field)
        }
        (target, patch) => {
            *target = patch.clone();
            Ok(())
        }
    }
}

fn merge_field(
    target: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    form: Option<&Form>,
) -> Result<(), ApiError> {
    if let Some(list) = name.strip_prefix(GONE) {
        if let (Some(Value::Array(found)), Value::Array(gone)) = (target.get_mut(list), value) {
            let gone: HashSet<String> = gone.iter().map(ToString::to_string).collect();
            found.retain(|item| !gone.contains(&item.to_string()));
        }
    } else if name.starts_with('$') {
        // Other directives drop what unions left behind; nothing here needs them.
    } else if value.is_null() || has_nothing_to_direct(target.get(name), value) {
        target.remove(name);
    } else {
        let found = target.entry(name).or_insert(Value::Null);
        merge_value(found, value, inner(form, name), name)?;
    }
    Ok(())
}

/// Whether the patch has a directive about an object where there is none.
fn has_nothing_to_direct(found: Option<&Value>, patch: &Value) -> bool {
    patch.get(DIRECTIVE).is_some() && !found.is_some_and(Value::is_object)
}

/// Merges the lists for which the patch gives an order, puts them into that order, and takes them out of the patch.
fn order_lists(
    target: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    form: Option<&Form>,
) -> Result<(), ApiError> {
    let names: Vec<String> = patch
        .keys()
        .filter(|name| name.starts_with(ORDER))
        .cloned()
        .collect();
    for name in names {
        let wanted = items(&patch.remove(&name).unwrap_or_default(), &name)?;
        let field = &name[ORDER.len()..];
        let Some(list) = List::of(inner(form, field), field) else {
            continue;
        };
        let read = |value| items(value, field);
        let found = target.get(field).map(read).transpose()?;
        let sent = patch.get(field).map(read).transpose()?;
        if let Some(sent) = &sent {
            check_order(sent, &wanted, list)?;
        }
        let both = match (&found, &sent) {
            (None, None) => continue,
            (Some(found), None) => found.clone(),
            (None, Some(sent)) => sent.clone(),
            (Some(found), Some(sent)) => merged(found, sent, list)?,
        };
        let found = found.unwrap_or_default();
        if found.is_empty() && sent.is_none_or(|sent| sent.is_empty()) {
            return Err(senseless("a list with items", field, "none"));
        }
        target.insert(
            field.to_owned(),
            ordered(both, &wanted, &found, list).into(),
        );
        patch.remove(field);
    }
    Ok(())
}

/// 500 without a reason, as a real API server answers to a patch that makes no sense: what was expected at this field, and what
/// came.
fn senseless(wanted: &str, field: &str, found: &str) -> ApiError {
    ApiError::unreasoned(expected(wanted, field, found))
}

/// The items of what must be a list.
fn items(value: &Value, field: &str) -> Result<Vec<Value>, ApiError> {
    match value {
        Value::Array(list) => Ok(list.clone()),
        other => Err(senseless("a list", field, &found(other))),
    }
}

/// The items of a patch must stand in the order that its `$setElementOrder` gives.
fn check_order(sent: &[Value], wanted: &[Value], list: List<'_>) -> Result<(), ApiError> {
    if sent.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    let mut sent = sent
        .iter()
        .filter(|item| item["$patch"].is_null())
        .map(|item| list.key(item))
        .peekable();
    for item in wanted {
        sent.next_if_eq(&list.key(item));
    }
    if sent.next().is_none() {
        return Ok(());
    }
    let wanted = format!("a list in the order of {ORDER}{}", list.field);
    Err(senseless(&wanted, list.field, "another order"))
}

/// Items of one list are all of one type.
fn check_alike(found: &[Value], patch: &[Value], field: &str) -> Result<(), ApiError> {
    let of = |value: &Value| match value {
        // Go tells whole numbers from others.
        Value::Number(number) if number.is_f64() => None,
        other => Some(std::mem::discriminant(other)),
    };
    let mut all = found.iter().chain(patch).map(of);
    let first = all.next();
    if all.all(|other| Some(other) == first) {
        return Ok(());
    }
    Err(senseless(
        "a list with items of one type",
        field,
        "items of several types",
    ))
}

/// Both lists as one. An item that is in both is merged; one with `$patch: delete` is taken out.
fn merged(found: &[Value], patch: &[Value], list: List<'_>) -> Result<Vec<Value>, ApiError> {
    check_alike(found, patch, list.field)?;
    let mut both: Vec<Option<Value>> = Vec::with_capacity(found.len() + patch.len());
    let mut places = HashMap::new();
    for item in found {
        // A string that is stored twice becomes one; objects are left as they are.
        let is_new = !places.contains_key(&list.key(item));
        if is_new || matches!(list.merge, Merge::By(_)) {
            places.entry(list.key(item)).or_insert(both.len());
            both.push(Some(item.clone()));
        }
    }
    for item in patch {
        let key = list.key(item);
        let at = places.get(&key).copied();
        let known = at.and_then(|at| both[at].as_mut());
        match (known, item["$patch"] == "delete") {
            (Some(known), false) => merge_value(known, item, Some(list.items), "")?,
            (None, false) => {
                places.insert(key, both.len());
                both.push(Some(item.clone()));
            }
            (_, true) => {
                // All items with this key.
                for item in both
                    .iter_mut()
                    .filter(|item| item.as_ref().is_some_and(|item| list.key(item) == key))
                {
                    *item = None;
                }
            }
        }
    }
    let both = both.into_iter().flatten().collect();
    Ok(ordered(both, patch, found, list))
}

/// The merged list: the patch's order; items that only the server has keep their place between their neighbours.
fn ordered(both: Vec<Value>, wanted: &[Value], found: &[Value], list: List<'_>) -> Vec<Value> {
    let (wanted, found) = (list.places(wanted), list.places(found));
    let (mut first, others): (Vec<Value>, Vec<Value>) = both
        .into_iter()
        .partition(|item| wanted.contains_key(&list.key(item)));
    first.sort_by_cached_key(|item| wanted.get(&list.key(item)));
    let place = |item: &Value| found.get(&list.key(item));
    let mut others = others.into_iter().peekable();
    let mut all = Vec::new();
    for item in first {
        while let (Some(there), Some(here)) = (others.peek().and_then(place), place(&item))
            && there < here
        {
            all.extend(others.next());
        }
        all.push(item);
    }
    all.extend(others);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin::OBJECT_META;

    fn patched(object: Value, patch: &Value) -> Result<Value, String> {
        let mut object = object;
        merge(&mut object, patch, &OBJECT_META).map_err(|error| error.message)?;
        Ok(object)
    }

    #[test]
    fn lists_are_merged_and_keep_an_order() {
        let object = json!({"finalizers": ["a/1", "b/2", "c/3"]});
        let cases = [
            (
                json!({"finalizers": ["d/4", "b/2"]}),
                json!(["d/4", "a/1", "b/2", "c/3"]),
            ),
            (
                json!({"$setElementOrder/finalizers": ["c/3", "a/1"]}),
                json!(["b/2", "c/3", "a/1"]),
            ),
            (
                json!({"$deleteFromPrimitiveList/finalizers": ["b/2"]}),
                json!(["a/1", "c/3"]),
            ),
        ];
        for (patch, want) in cases {
            assert_eq!(
                patched(object.clone(), &patch).unwrap()["finalizers"],
                want,
                "{patch}"
            );
        }
        let owners = json!({"ownerReferences": [{"uid": "1"}, {"uid": "2"}]});
        let patch = json!({"ownerReferences": [{"uid": "2", "name": "x"}, {"$patch": "delete", "uid": "1"}]});
        assert_eq!(
            patched(owners, &patch).unwrap()["ownerReferences"],
            json!([{"uid": "2", "name": "x"}])
        );
    }

    #[test]
    fn a_list_with_items_of_several_types_is_refused() {
        let object = json!({"finalizers": ["a/1"]});
        let patch = json!({"finalizers": ["b/2", -1]});
        let want =
            "expected a list with items of one type at finalizers, got items of several types";
        assert_eq!(patched(object, &patch).unwrap_err(), want);
    }

    #[test]
    fn an_order_that_the_items_are_not_in_is_refused() {
        let object = json!({"finalizers": ["a/1"]});
        for (patch, want) in [
            (
                json!({"$setElementOrder/finalizers": ["a/1"], "finalizers": null}),
                "expected a list at finalizers, got null",
            ),
            (
                json!({"$setElementOrder/finalizers": ["a/1"], "finalizers": ["b/2"]}),
                "expected a list in the order of $setElementOrder/finalizers at finalizers, got another order",
            ),
        ] {
            assert_eq!(patched(object.clone(), &patch).unwrap_err(), want);
        }
    }
}
