//! Which parts of a value can be owned separately, as a kind's OpenAPI schema says it of each list and map.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Object;
use super::element::Element;

/// The form of a value.
#[derive(Debug)]
pub(super) enum Shape {
    /// A value without parts.
    Scalar(Scalar),
    /// A list.
    List(List),
    /// A map, or an object with fields.
    Map(Fields),
    /// A value of any type. A map has parts, everything else has none.
    Free,
}

/// The types of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Text,
    Number,
    Boolean,
    Any,
}

/// A list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) by: By,
    pub(super) items: Box<Shape>,
}

/// What identifies the items of a list.
#[derive(Debug, PartialEq)]
pub(super) enum By {
    /// Nothing: the list has no parts (`atomic`).
    Whole,
    /// Their values (`set`).
    Value,
    /// The values of these fields (`map`), each with the default of an absent one.
    Keys(Vec<(String, Option<Value>)>),
}

/// A map.
#[derive(Debug)]
pub(super) struct Fields {
    /// Whether the map has no parts (`atomic`).
    pub(super) whole: bool,
    /// The fields in the schema's `properties`.
    pub(super) named: BTreeMap<String, Shape>,
    /// The shape of all other fields. `None` when there are no others.
    pub(super) others: Option<Box<Shape>>,
}

/// Map, list or scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Map,
    Scalar,
    List,
}

/// The shape of the objects of a kind.
#[derive(Debug)]
pub struct Layout {
    pub(super) root: Shape,
    /// The fields that every object of the kind has, although nobody sends them, with their empty values.
    empty: Object,
}

// === impl Layout ===

impl Layout {
    /// Of the kind with this OpenAPI schema. `metadata` is the schema of `ObjectMeta`, which a definition's schema does not
    /// repeat. A schema of no type, `null` too, takes objects with any fields.
    pub fn of_schema(schema: &Value, metadata: &Value) -> Self {
        let mut root = shape(schema, false);
        if let Shape::Map(fields) = &mut root {
            for name in ["apiVersion", "kind"] {
                fields
                    .named
                    .insert(name.to_owned(), Shape::Scalar(Scalar::Text));
            }
            fields
                .named
                .insert("metadata".to_owned(), shape(metadata, false));
        }
        Self {
            root,
            empty: Map::new(),
        }
    }

    /// With the fields that every object of the kind has, although nobody sends them: nobody owns these.
    #[must_use]
    pub fn with_empty(self, empty: Object) -> Self {
        Self { empty, ..self }
    }

    /// The object with the fields that every object of the kind has.
    pub(super) fn filled<'a>(&self, object: &'a Object) -> Cow<'a, Object> {
        if self.empty.keys().all(|name| object.contains_key(name)) {
            return Cow::Borrowed(object);
        }
        let mut filled = self.empty.clone();
        filled.extend(object.clone());
        Cow::Owned(filled)
    }
}

// === impl Shape ===

impl Shape {
    /// Whether to walk a value as a map, a list or a scalar. A free shape takes the type of the value; an absent value counts as
    /// a map.
    pub(super) fn form(&self, value: Option<&Value>) -> Form {
        match (self, value) {
            (Self::Scalar(_), _)
            | (Self::Free, Some(Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
                Form::Scalar
            }
            (Self::List(_), _) | (Self::Free, Some(Value::Array(_))) => Form::List,
            (Self::Map(_), _) | (Self::Free, None | Some(Value::Null | Value::Object(_))) => {
                Form::Map
            }
        }
    }

    /// Whether a value of this shape has no parts. A free list has none.
    pub(super) fn is_whole(&self, form: Form) -> bool {
        match self {
            Self::Scalar(_) => true,
            Self::List(list) => list.by == By::Whole,
            Self::Map(fields) => fields.whole,
            Self::Free => form != Form::Map,
        }
    }

    /// The shape of a field. `None` when there is no such field.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.named.get(name).or(fields.others.as_deref()),
            Self::Free => Some(&Self::Free),
            Self::Scalar(_) | Self::List(_) => None,
        }
    }

    /// Whether the field is in the schema's `properties`.
    pub(super) fn names(&self, name: &str) -> bool {
        match self {
            Self::Map(fields) => fields.named.contains_key(name),
            Self::Scalar(_) | Self::List(_) | Self::Free => false,
        }
    }

    /// The shape of an item.
    pub(super) fn items(&self) -> Option<&Self> {
        match self {
            Self::List(list) => Some(&list.items),
            Self::Free => Some(&Self::Free),
            Self::Scalar(_) | Self::Map(_) => None,
        }
    }
}

/// A value as a map. `None` for null and other values.
pub(super) fn map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// A value as a list. `None` for null and other values.
pub(super) fn list(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array)
}

// === a schema's shape ===

/// `free`: whether a schema above this one preserves unknown fields, which holds for everything below it.
fn shape(raw: &Value, free: bool) -> Shape {
    let free = free || raw["x-kubernetes-preserve-unknown-fields"] == true;
    match raw["type"].as_str() {
        Some("object") => Shape::Map(fields(raw, free)),
        Some("array") => {
            let items = shape(&raw["items"], free);
            Shape::List(List {
                by: by(raw),
                items: Box::new(items),
            })
        }
        Some("integer" | "number") => Shape::Scalar(Scalar::Number),
        Some("boolean") => Shape::Scalar(Scalar::Boolean),
        // Server-side apply accepts any scalar for a string with a format.
        Some("string") => Shape::Scalar(match raw["format"].as_str() {
            None | Some("" | "byte") => Scalar::Text,
            Some(_) => Scalar::Any,
        }),
        Some(_) | None => Shape::Free,
    }
}

fn fields(raw: &Value, free: bool) -> Fields {
    let named: BTreeMap<String, Shape> = raw["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.clone(), shape(property, free)))
        .collect();
    let others = match &raw["additionalProperties"] {
        Value::Null => (free || named.is_empty()).then_some(Shape::Free),
        Value::Bool(allowed) => allowed.then_some(Shape::Free),
        other => Some(shape(other, free)),
    };
    Fields {
        whole: raw["x-kubernetes-map-type"] == "atomic",
        named,
        others: others.map(Box::new),
    }
}

fn by(raw: &Value) -> By {
    match raw["x-kubernetes-list-type"].as_str() {
        Some("set") => By::Value,
        Some("map") => {
            let keys = raw["x-kubernetes-list-map-keys"].as_array();
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            let default = |key: &str| {
                let default = &raw["items"]["properties"][key]["default"];
                (!default.is_null()).then(|| default.clone())
            };
            By::Keys(keys.map(|key| (key.to_owned(), default(key))).collect())
        }
        Some(_) | None => By::Whole,
    }
}

// === impl By ===

impl By {
    /// The path element that identifies this item in its list.
    ///
    /// # Errors
    /// A sentence when nothing identifies it.
    pub(super) fn element(&self, item: &Value) -> Result<Element, String> {
        match self {
            Self::Whole => Err("invalid indexing of non-associative list".to_owned()),
            Self::Value => match item {
                Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    Ok(Element::Value(item.clone()))
                }
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                Value::Array(_) => {
                    Err("not supported: associative list with lists as elements".to_owned())
                }
                Value::Null => Err(
                    "associative list without keys has an element that's an explicit null"
                        .to_owned(),
                ),
            },
            Self::Keys(keys) => match item {
                Value::Object(item) => by_keys(keys, item),
                Value::Null => {
                    Err("associative list with keys may not have a null element".to_owned())
                }
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Err("associative list with keys may not have non-map elements".to_owned())
                }
            },
        }
    }
}

fn by_keys(keys: &[(String, Option<Value>)], item: &Map<String, Value>) -> Result<Element, String> {
    let found: Vec<(String, Value)> = keys
        .iter()
        .filter_map(|(key, default)| {
            let value = item.get(key).or(default.as_ref())?;
            Some((key.clone(), value.clone()))
        })
        .collect();
    if found.is_empty() {
        let keys: Vec<String> = keys.iter().map(|(key, _)| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(Element::key(found))
}
