//! Strategic merge patches: as merge patches, but some lists of built-in kinds are merged item by item, and keep an order. Which
//! items go first is told by the patch, by its directives, and by what is there.

use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::field::{expected, found, truncated};

const DIRECTIVE: &str = "$patch";
const ORDER: &str = "$setElementOrder/";
const GONE: &str = "$deleteFromPrimitiveList/";

/// How the items of a list are told apart that is not replaced whole.
#[derive(Debug, Clone, Copy)]
enum Items {
    /// By themselves.
    Texts,
    /// By this field.
    By(&'static str),
}

impl Items {
    fn of(field: &str) -> Option<Self> {
        match field {
            "finalizers" => Some(Self::Texts),
            "ownerReferences" => Some(Self::By("uid")),
            "conditions" => Some(Self::By("type")),
            _ => None,
        }
    }

    fn key(self, item: &Value) -> String {
        match self {
            Self::Texts => item.to_string(),
            Self::By(key) => item[key].to_string(),
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

/// Carries out a patch on an object.
///
/// # Errors
/// A directive that is none.
pub(crate) fn merge(target: &mut Value, patch: &Value) -> Result<(), ApiError> {
    merge_field(target, patch, "")
}

fn merge_field(target: &mut Value, patch: &Value, field: &str) -> Result<(), ApiError> {
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
            order_lists(target, &mut patch)?;
            for (name, value) in &patch {
                merge_name(target, name, value)?;
            }
            Ok(())
        }
        (Value::Array(found), Value::Array(patch)) => {
            *found = match Items::of(field) {
                Some(items) => merged(found, patch, items, field)?,
                None => patch.clone(),
            };
            Ok(())
        }
        (target, Value::Object(patch)) => {
            // New where nothing of that form was: the patch without its directives.
            *target = Value::Object(Map::new());
            merge_field(target, &Value::Object(patch.clone()), field)
        }
        (target, patch) => {
            *target = patch.clone();
            Ok(())
        }
    }
}

fn merge_name(target: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), ApiError> {
    if let Some(list) = name.strip_prefix(GONE) {
        if let (Some(Value::Array(found)), Value::Array(gone)) = (target.get_mut(list), value) {
            let gone: HashSet<String> = gone.iter().map(ToString::to_string).collect();
            found.retain(|item| !gone.contains(&item.to_string()));
        }
    } else if name.starts_with('$') {
        // Other directives drop what unions left behind; nothing here needs them.
    } else if value.is_null() || says_what_to_do_with_nothing(target.get(name), value) {
        target.remove(name);
    } else {
        let found = target.entry(name).or_insert(Value::Null);
        merge_field(found, value, name)?;
    }
    Ok(())
}

/// A directive about a map where there is none.
fn says_what_to_do_with_nothing(found: Option<&Value>, patch: &Value) -> bool {
    patch.get(DIRECTIVE).is_some() && !found.is_some_and(Value::is_object)
}

/// Lists for which the patch says an order are merged and put into it, and taken out of the patch.
fn order_lists(
    target: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let names: Vec<String> = patch
        .keys()
        .filter(|name| name.starts_with(ORDER))
        .cloned()
        .collect();
    for name in names {
        let wanted = list(&patch.remove(&name).unwrap_or_default(), &name)?;
        let field = &name[ORDER.len()..];
        let Some(items) = Items::of(field) else {
            continue;
        };
        let read = |value| list(value, field);
        let found = target.get(field).map(read).transpose()?;
        let sent = patch.get(field).map(read).transpose()?;
        if let Some(sent) = &sent {
            check_order(sent, &wanted, items, field)?;
        }
        let both = match (&found, &sent) {
            (None, None) => continue,
            (Some(found), None) => found.clone(),
            (None, Some(sent)) => sent.clone(),
            (Some(found), Some(sent)) => merged(found, sent, items, field)?,
        };
        let found = found.unwrap_or_default();
        if found.is_empty() && sent.is_none_or(|sent| sent.is_empty()) {
            return Err(senseless("a list with items", field, "none"));
        }
        target.insert(
            field.to_owned(),
            ordered(both, &wanted, &found, items).into(),
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
fn list(value: &Value, field: &str) -> Result<Vec<Value>, ApiError> {
    match value {
        Value::Array(list) => Ok(list.clone()),
        other => Err(senseless("a list", field, &found(other))),
    }
}

/// What is sent must stand in the order that is sent with it.
fn check_order(
    sent: &[Value],
    wanted: &[Value],
    items: Items,
    field: &str,
) -> Result<(), ApiError> {
    if sent.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    let mut sent = sent
        .iter()
        .filter(|item| item["$patch"].is_null())
        .map(|item| items.key(item))
        .peekable();
    for item in wanted {
        sent.next_if_eq(&items.key(item));
    }
    if sent.next().is_none() {
        return Ok(());
    }
    let wanted = format!("a list in the order of {ORDER}{field}");
    Err(senseless(&wanted, field, "another order"))
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

/// Both lists as one: what the patch has as the patch has it.
fn merged(
    found: &[Value],
    patch: &[Value],
    items: Items,
    field: &str,
) -> Result<Vec<Value>, ApiError> {
    check_alike(found, patch, field)?;
    let mut both: Vec<Option<Value>> = Vec::with_capacity(found.len() + patch.len());
    let mut places = HashMap::new();
    for item in found {
        // A text that stands there twice is one; objects are left as they are.
        let is_new = !places.contains_key(&items.key(item));
        if is_new || matches!(items, Items::By(_)) {
            places.entry(items.key(item)).or_insert(both.len());
            both.push(Some(item.clone()));
        }
    }
    for item in patch {
        let key = items.key(item);
        let at = places.get(&key).copied();
        let known = at.and_then(|at| both[at].as_mut());
        match (known, item["$patch"] == "delete") {
            (Some(known), false) => merge_field(known, item, "")?,
            (None, false) => {
                places.insert(key, both.len());
                both.push(Some(item.clone()));
            }
            (_, true) => {
                // However often it stands there.
                for item in both
                    .iter_mut()
                    .filter(|item| item.as_ref().is_some_and(|item| items.key(item) == key))
                {
                    *item = None;
                }
            }
        }
    }
    let both = both.into_iter().flatten().collect();
    Ok(ordered(both, patch, found, items))
}

/// The items that are wanted in the order in which they are, and between them what only the server has, where its order says so.
fn ordered(both: Vec<Value>, wanted: &[Value], found: &[Value], items: Items) -> Vec<Value> {
    let (wanted, found) = (items.places(wanted), items.places(found));
    let (mut first, others): (Vec<Value>, Vec<Value>) = both
        .into_iter()
        .partition(|item| wanted.contains_key(&items.key(item)));
    first.sort_by_cached_key(|item| wanted.get(&items.key(item)));
    let place = |item: &Value| found.get(&items.key(item));
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

    fn patched(object: Value, patch: &Value) -> Result<Value, String> {
        let mut object = object;
        merge(&mut object, patch).map_err(|error| error.message)?;
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
    fn items_of_several_types_are_no_list() {
        let object = json!({"finalizers": ["a/1"]});
        let patch = json!({"finalizers": ["b/2", -1]});
        let want =
            "expected a list with items of one type at finalizers, got items of several types";
        assert_eq!(patched(object, &patch).unwrap_err(), want);
    }

    #[test]
    fn an_order_that_cannot_be_is_told() {
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
