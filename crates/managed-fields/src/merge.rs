//! Merges an applied value into a live one. Nothing is removed; an applied value replaces a live one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Object;
use super::element::Element;
use super::shape::{Form, List, Shape, list, map};

/// The merged object. Lists that are maps or sets keep the applied order.
pub(super) fn merge(shape: &Shape, live: &Object, applied: &Object) -> Object {
    walk_map(shape, Some(live), Some(applied))
}

fn walk(shape: &Shape, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let form = shape.form(applied.or(live));
    let nothing = match form {
        Form::Scalar => true,
        Form::Map => map(live).is_none_or(Map::is_empty) && map(applied).is_none_or(Map::is_empty),
        Form::List => {
            list(live).is_none_or(Vec::is_empty) && list(applied).is_none_or(Vec::is_empty)
        }
    };
    if nothing || shape.is_whole(form) {
        return applied.or(live).cloned();
    }
    match (form, shape) {
        (Form::Map, _) => {
            let both = walk_map(shape, map(live), map(applied));
            (!both.is_empty()).then_some(Value::Object(both))
        }
        (Form::List, Shape::List(shape)) => {
            let none = Vec::new();
            let (live, applied) = (list(live).unwrap_or(&none), list(applied).unwrap_or(&none));
            walk_list(shape, live, applied)
        }
        // A value without parts was handled above.
        (Form::Scalar | Form::List, _) => applied.or(live).cloned(),
    }
}

fn walk_map(shape: &Shape, live: Option<&Object>, applied: Option<&Object>) -> Object {
    let mut both = Map::new();
    let names = live.into_iter().chain(applied).flat_map(Map::keys);
    for name in names {
        if both.contains_key(name) {
            continue;
        }
        let (live, applied) = (
            live.and_then(|live| live.get(name)),
            applied.and_then(|applied| applied.get(name)),
        );
        // A field that is not in the shape stays as it is.
        let merged = match shape.field(name) {
            Some(shape) => walk(shape, live, applied),
            None => applied.or(live).cloned(),
        };
        if let Some(merged) = merged {
            both.insert(name.clone(), merged);
        }
    }
    both
}

/// One of the two lists: its items in order, and by key.
struct Side<'a> {
    items: Vec<(Element, &'a Value)>,
}

/// The items of one list by key. Items whose key is repeated are missing, since they are not merged.
type Index<'a> = BTreeMap<&'a Element, &'a Value>;

impl<'a> Side<'a> {
    fn of(shape: &List, items: &'a [Value]) -> Self {
        let items = items
            .iter()
            .filter_map(|item| Some((shape.by.element(item).ok()?, item)));
        Self {
            items: items.collect(),
        }
    }

    fn index(&self) -> Index<'_> {
        let mut index = Index::new();
        for (element, item) in &self.items {
            index
                .entry(element)
                .and_modify(|found| *found = &Value::Null)
                .or_insert(*item);
        }
        index
    }
}

/// Merges two lists. Applied items have the applied order; items that only the live list has keep their place between their
/// neighbours.
fn walk_list(shape: &List, live: &[Value], applied: &[Value]) -> Option<Value> {
    let (live, applied) = (Side::of(shape, live), Side::of(shape, applied));
    let (in_live, in_applied) = (live.index(), applied.index());
    let both_sides = |element: &Element| {
        let (live, applied) = (in_live.get(element), in_applied.get(element));
        walk(&shape.items, live.copied(), applied.copied())
    };
    // The items that are in both lists, in the applied order. The live list is taken up to the next of them.
    let mut shared = applied
        .items
        .iter()
        .map(|(element, _)| element)
        .filter(|element| in_live.contains_key(element))
        .peekable();
    let mut next = shared.next();
    let mut taken = BTreeSet::new();
    let mut both = Vec::new();
    let (mut l, mut a) = (0, 0);
    while l < live.items.len() || a < applied.items.len() {
        if let (Some((left, _)), Some((right, _))) = (live.items.get(l), applied.items.get(a)) {
            if left == right {
                both.extend(both_sides(left));
                taken.insert(left);
                (l, a) = (l + 1, a + 1);
                next = shared.next();
                continue;
            }
            if in_applied.contains_key(left) && next.is_some_and(|next| next != left) {
                // It is in both lists, and comes later in the applied order.
                l += 1;
                continue;
            }
        }
        if let Some((left, item)) = live.items.get(l) {
            if !in_applied.contains_key(left) {
                both.extend(walk(&shape.items, Some(item), None));
                l += 1;
                continue;
            }
            if taken.contains(left) {
                l += 1;
            }
        }
        if let Some((right, _)) = applied.items.get(a) {
            both.extend(both_sides(right));
            taken.insert(right);
            a += 1;
            if next == Some(right) {
                next = shared.next();
            }
        }
    }
    (!both.is_empty()).then_some(Value::Array(both))
}
