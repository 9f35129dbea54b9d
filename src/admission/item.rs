//! A spec as its parts: each with its path and whether this write changed it.
//!
//! Reading is lenient: what has the wrong JSON type is reported (when it changed) and then counts as absent, so that every
//! other part is still judged. Nothing here depends on the server having checked a schema first.

use std::collections::HashMap;

use serde_json::Value;

use super::path::Path;
use super::verdict::{Cause, Findings};

/// The spec as it would be and, on an update, as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec<'a> {
    new: &'a Value,
    old: Option<&'a Value>,
}

/// One field of a spec: its path, its value, and whether this write changes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// Its path from the object.
    pub(super) path: Path<'a>,
    /// Its value; `null` counts as absent.
    pub(super) value: Option<&'a Value>,
    /// Whether this write brings it: on a create always, on an update when the old object had no such part.
    pub(super) fresh: bool,
}

/// What a text or number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading<T> {
    /// Not there.
    Absent,
    /// There, but not usable; reported where it is new.
    Bad,
    /// Usable.
    Is(T),
}

impl<T> Reading<T> {
    /// The value, if it is there and can be used.
    pub(super) fn ok(self) -> Option<T> {
        match self {
            Self::Absent | Self::Bad => None,
            Self::Is(value) => Some(value),
        }
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|v| !v.is_null())
}

impl<'a> Spec<'a> {
    pub(super) fn new(new: &'a Value, old: Option<&'a Value>) -> Self {
        Self { new, old }
    }

    /// A spec that stands: nothing in it is new, so reading it reports nothing.
    pub(super) fn standing(spec: &'a Value) -> Self {
        Self::new(spec, Some(spec))
    }

    /// The field `name` of the spec.
    pub(super) fn field(&self, name: &'static str) -> Item<'a> {
        let value = present(self.new.get(name));
        Item {
            path: Path::of("spec", name),
            value,
            fresh: self.old.is_none_or(|old| present(old.get(name)) != value),
        }
    }

    pub(super) fn is_create(&self) -> bool {
        self.old.is_none()
    }

    /// The spec as it was; none on a create.
    pub(super) fn old(&self) -> Option<&'a Value> {
        self.old
    }

    /// The old value of a field; none on a create.
    pub(super) fn old_field(&self, name: &str) -> Option<&'a Value> {
        present(self.old?.get(name))
    }

    /// The elements of the list `name`, which may have `most`. One is new when the old list did not hold it, at whatever
    /// place, often enough. A new list above its bound is reported, and then counts as absent.
    pub(super) fn list(
        &self,
        name: &'static str,
        most: usize,
        out: &mut Findings,
    ) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let list = self.field(name);
        let elements = list.array(most, out);
        let mut standing: HashMap<String, usize> = HashMap::new();
        if list.fresh
            && let Some(Value::Array(old)) = self.old_field(name)
        {
            // Only what the new list has, which is bounded: the old one may have any length.
            standing.extend(elements.iter().map(|element| (element.to_string(), 0)));
            for element in old {
                if let Some(count) = standing.get_mut(&element.to_string()) {
                    *count += 1;
                }
            }
        }
        let fresh = move |element: &Value| {
            list.fresh
                && match standing.get_mut(&element.to_string()) {
                    Some(count @ 1..) => {
                        *count -= 1;
                        false
                    }
                    Some(0) | None => true,
                }
        };
        list.elements(elements, fresh)
    }

    /// The entries of the map `name`, by key, of which it may have `most`. One is new when the old map had no such entry or
    /// another value for it. A new map above its bound is reported, and then counts as absent.
    pub(super) fn map(
        &self,
        name: &'static str,
        most: usize,
        out: &mut Findings,
    ) -> Vec<(&'a str, Item<'a>)> {
        let map = self.field(name);
        let entries = match map.value {
            Some(Value::Object(entries)) if map.fits(entries.len(), most, out) => entries,
            None | Some(Value::Object(_)) => return Vec::new(),
            Some(_) => {
                map.invalid(out, "must be a map");
                return Vec::new();
            }
        };
        let old = self.old_field(name);
        let mut items: Vec<(&str, Item<'_>)> = entries
            .iter()
            .map(|(key, value)| {
                let item = Item {
                    path: map.path.key(key),
                    value: present(Some(value)),
                    fresh: map.fresh && old.and_then(|old| old.get(key)) != Some(value),
                };
                (key.as_str(), item)
            })
            .collect();
        items.sort_unstable_by_key(|(key, _)| *key);
        items
    }
}

impl<'a> Item<'a> {
    /// The field `name` of an element; as new as the element.
    pub(super) fn child(&self, name: &'static str) -> Self {
        Self {
            path: self.path.child(name),
            value: present(self.value.and_then(|v| v.get(name))),
            fresh: self.fresh,
        }
    }

    /// The elements of a list inside an element, which may have `most`; as new as the element.
    pub(super) fn children(
        &self,
        name: &'static str,
        most: usize,
        out: &mut Findings,
    ) -> impl Iterator<Item = Self> + use<'a> {
        let list = self.child(name);
        list.elements(list.array(most, out), move |_| list.fresh)
    }

    /// The elements of the list that this is, unless it is a new one with more than `most`.
    fn array(&self, most: usize, out: &mut Findings) -> &'a [Value] {
        match self.value {
            Some(Value::Array(elements)) if self.fits(elements.len(), most, out) => elements,
            None | Some(Value::Array(_)) => &[],
            Some(_) => {
                self.invalid(out, "must be a list");
                &[]
            }
        }
    }

    /// Whether a list or map of `count` items is to be read: a new one within its bound, or one that stands.
    fn fits(&self, count: usize, most: usize, out: &mut Findings) -> bool {
        let fits = !self.fresh || count <= most;
        if !fits {
            let detail = format_args!("must have at most {most} items; it has {count}");
            out.error(self.path, Cause::Invalid, None, detail);
        }
        fits
    }

    fn elements(
        self,
        elements: &'a [Value],
        mut fresh: impl FnMut(&Value) -> bool,
    ) -> impl Iterator<Item = Self> {
        let items = elements.iter().enumerate();
        items.map(move |(index, element)| Self {
            path: self.path.index(index),
            value: present(Some(element)),
            fresh: fresh(element),
        })
    }

    /// Reports a broken rule about this part alone, where the part is new.
    pub(super) fn error(&self, out: &mut Findings, cause: Cause, detail: impl std::fmt::Display) {
        if self.fresh {
            out.error(self.path, cause, self.value, detail);
        }
    }

    /// [`Self::error`] for [`Cause::Invalid`].
    pub(super) fn invalid(&self, out: &mut Findings, detail: impl std::fmt::Display) {
        self.error(out, Cause::Invalid, detail);
    }

    /// Reads the field as a text; anything else is a finding.
    pub(super) fn text(&self, out: &mut Findings) -> Reading<&'a str> {
        match self.value {
            None => Reading::Absent,
            Some(Value::String(text)) => Reading::Is(text),
            Some(_) => {
                self.invalid(out, "must be a text");
                Reading::Bad
            }
        }
    }

    /// Its text as read by `parse`, whose error is the detail of the report.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        out: &mut Findings,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Reading<T> {
        match self.text(out) {
            Reading::Absent => Reading::Absent,
            Reading::Bad => Reading::Bad,
            Reading::Is(text) => match parse(text) {
                Ok(value) => Reading::Is(value),
                Err(error) => {
                    self.invalid(out, error);
                    Reading::Bad
                }
            },
        }
    }

    /// Reads the field as a whole number; anything else is a finding.
    pub(super) fn whole(&self, out: &mut Findings) -> Reading<i64> {
        let Some(value) = self.value else {
            return Reading::Absent;
        };
        if let Some(number) = value.as_i64() {
            return Reading::Is(number);
        }
        self.invalid(out, "must be a whole number");
        Reading::Bad
    }
}

/// Whether two values mean the same to a client that leaves out what is empty: `null`, `""`, `0`, `[]`, `{}`.
pub(super) fn equivalent(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Object(x)), Some(Value::Object(y))) => {
            x.iter()
                .all(|(key, value)| equivalent(Some(value), y.get(key)))
                && y.iter()
                    .all(|(key, value)| x.contains_key(key) || is_empty(value))
        }
        (Some(a), Some(b)) => a == b || (is_empty(a) && is_empty(b)),
        (Some(one), None) | (None, Some(one)) => is_empty(one),
        (None, None) => true,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}
