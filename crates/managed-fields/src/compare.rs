//! The differences between two objects, as paths.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Object;
use super::element::{Element, same};
use super::set::{Node, Set};
use super::shape::{By, Form, List, Shape, list, map};

/// The differences between two values. No path is in two of the three sets.
#[derive(Debug, Default)]
pub(super) struct Delta {
    pub(super) removed: Set,
    pub(super) modified: Set,
    pub(super) added: Set,
}

/// The differences between two values at one path: the path itself, and the paths below it.
#[derive(Default)]
struct Change {
    removed: bool,
    modified: bool,
    added: bool,
    below: Delta,
}

/// Compares two objects of this shape.
pub(super) fn compare(shape: &Shape, live: &Object, new: &Object) -> Delta {
    let mut delta = Delta::default();
    walk_map(shape, Some(live), Some(new), &mut delta);
    delta
}

// === impl Delta ===

impl Delta {
    /// Without these top-level fields.
    pub(super) fn without(self, fields: &[&str]) -> Self {
        Self {
            removed: self.removed.without(fields),
            modified: self.modified.without(fields),
            added: self.added.without(fields),
        }
    }

    /// The paths that are new or have another value.
    pub(super) fn changed(&self) -> Set {
        if self.modified.is_empty() {
            self.added.clone()
        } else {
            self.modified.union(&self.added)
        }
    }

    fn put(&mut self, element: &Element, change: Change) {
        let Change {
            removed,
            modified,
            added,
            below,
        } = change;
        let node = |own, below: Set| Node { own, below };
        let removed = node(removed, below.removed);
        let modified = node(modified, below.modified);
        let added = node(added, below.added);
        for (set, node) in [
            (&mut self.removed, removed),
            (&mut self.modified, modified),
            (&mut self.added, added),
        ] {
            if !node.is_empty() {
                set.put(element.clone(), node);
            }
        }
    }
}

// === impl Change ===

impl Change {
    fn is_empty(&self) -> bool {
        !(self.removed || self.modified || self.added)
            && self.below.removed.is_empty()
            && self.below.modified.is_empty()
            && self.below.added.is_empty()
    }
}

// === the walk ===

fn walk(shape: &Shape, live: Option<&Value>, new: Option<&Value>) -> Change {
    if let (Some(live), Some(new)) = (live, new)
        && live == new
    {
        return Change::default();
    }
    let mut change = Change::default();
    let forms = (shape.form(live), shape.form(new));
    // A value of another type is walked as both types.
    if live.is_some() && new.is_some() && forms.0 != forms.1 {
        walk_as(shape, forms.0, live, new, &mut change);
    }
    let form = if new.is_none() { forms.0 } else { forms.1 };
    let is_leaf = walk_as(shape, form, live, new, &mut change);
    if !is_leaf {
        change.added |= live.is_none();
        change.removed |= new.is_none();
    }
    change
}

/// Walks both values as this type. Returns whether they are values without parts.
fn walk_as(
    shape: &Shape,
    form: Form,
    live: Option<&Value>,
    new: Option<&Value>,
    change: &mut Change,
) -> bool {
    let nothing = match form {
        Form::Scalar => true,
        Form::Map => map(live).is_none_or(Map::is_empty) && map(new).is_none_or(Map::is_empty),
        Form::List => list(live).is_none_or(Vec::is_empty) && list(new).is_none_or(Vec::is_empty),
    };
    if nothing || shape.is_whole(form) {
        match (live, new) {
            (None, _) => change.added = true,
            (_, None) => change.removed = true,
            (Some(live), Some(new)) => change.modified |= !same(live, new),
        }
        return true;
    }
    match (form, shape) {
        (Form::Map, _) => walk_map(shape, map(live), map(new), &mut change.below),
        (Form::List, Shape::List(list)) => walk_list(list, live, new, &mut change.below),
        // A value without parts was handled above.
        (Form::Scalar | Form::List, _) => {}
    }
    false
}

fn walk_map(shape: &Shape, live: Option<&Object>, new: Option<&Object>, delta: &mut Delta) {
    let mut visit = |name: &String| {
        let Some(shape) = shape.field(name) else {
            return;
        };
        let change = walk(
            shape,
            live.and_then(|live| live.get(name)),
            new.and_then(|new| new.get(name)),
        );
        if !change.is_empty() {
            delta.put(&Element::field(name), change);
        }
    };
    for name in live.into_iter().flat_map(Map::keys) {
        visit(name);
    }
    for name in new.into_iter().flat_map(Map::keys) {
        if live.is_none_or(|live| !live.contains_key(name)) {
            visit(name);
        }
    }
}

/// The items of both lists with one key.
#[derive(Default)]
struct Pair<'a> {
    live: Vec<&'a Value>,
    new: Vec<&'a Value>,
}

fn walk_list(shape: &List, live: Option<&Value>, new: Option<&Value>, delta: &mut Delta) {
    let mut pairs = BTreeMap::new();
    for item in list(live).into_iter().flatten() {
        pair(&mut pairs, &shape.by, item, |pair| &mut pair.live);
    }
    for item in list(new).into_iter().flatten() {
        pair(&mut pairs, &shape.by, item, |pair| &mut pair.new);
    }
    for (element, Pair { live, new }) in pairs {
        let mut change = Change::default();
        match (&live[..], &new[..]) {
            ([] | [_], [] | [_]) => {
                change = walk(&shape.items, live.first().copied(), new.first().copied());
            }
            // Items with the same key count as one value.
            ([_, _, ..], [_, _, ..]) => {
                change.modified =
                    live.len() != new.len() || live.iter().zip(&new).any(|(a, b)| !same(a, b));
            }
            ([_, _, ..], [] | [_]) => {
                if let Some(new) = new.first() {
                    change = walk(&shape.items, None, Some(new));
                }
                change.removed = true;
            }
            ([] | [_], [_, _, ..]) => {
                if let Some(live) = live.first() {
                    change = walk(&shape.items, Some(live), None);
                }
                change.added = true;
            }
        }
        delta.put(&element, change);
    }
}

fn pair<'a>(
    pairs: &mut BTreeMap<Element, Pair<'a>>,
    by: &By,
    item: &'a Value,
    side: impl for<'p> Fn(&'p mut Pair<'a>) -> &'p mut Vec<&'a Value>,
) {
    // An item without a key has no owner.
    if let Ok(element) = by.element(item) {
        side(pairs.entry(element).or_default()).push(item);
    }
}
