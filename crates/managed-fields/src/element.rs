//! The elements of paths into an object: their order, their text in FieldsV1 and in messages.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::Object;

/// One element of a path.
#[derive(Debug, Clone)]
pub(super) enum Element {
    /// A field of a map.
    Field(String),
    /// The item of a list with these values in its key fields; sorted by field.
    Key(Vec<(String, Value)>),
    /// The item of a set with this value.
    Value(Value),
    /// The item at this index. It is not used here, but entries of other servers may have it.
    Index(i64),
}

/// Why a text is no element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has a type that only a later version knows, and is to be ignored.
    Unknown,
    /// It is malformed.
    Bad,
}

// === impl Element ===

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// An item by its key fields, in any order.
    pub(super) fn key(mut fields: Vec<(String, Value)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(fields)
    }

    /// Reads `f:name`, `k:{"a":1}`, `v:"a"` or `i:0`.
    pub(super) fn read(text: &str) -> Result<Self, Unread> {
        let Some((kind, rest)) = text.split_at_checked(1) else {
            return Err(Unread::Bad);
        };
        let rest = rest.strip_prefix(':').ok_or(Unread::Bad)?;
        match kind {
            "f" => Ok(Self::field(rest)),
            "v" => serde_json::from_str(rest)
                .map(Self::Value)
                .map_err(|_| Unread::Bad),
            "k" => serde_json::from_str::<Map<String, Value>>(rest)
                .map(|fields| Self::key(fields.into_iter().collect()))
                .map_err(|_| Unread::Bad),
            "i" => rest.parse().map(Self::Index).map_err(|_| Unread::Bad),
            _ => Err(Unread::Unknown),
        }
    }

    /// The text in FieldsV1.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{}", json(&Value::from(&**name)), json(value)))
                    .collect();
                format!("k:{{{}}}", fields.join(","))
            }
            Self::Value(value) => format!("v:{}", json(value)),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// JSON as Go writes it: whole numbers without a point; `<`, `>`, `&` and line separators escaped.
pub fn json(value: &Value) -> String {
    let text = match value {
        Value::Number(_) => display(value),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn display(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(display).collect();
            format!("[{}]", items.join(","))
        }
        // A key is no map, except in malformed entries of other servers.
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => value.to_string(),
    }
}

/// The text in messages: `.spec`, `[uid="a"]`, `[="a"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={}", display(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", display(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |element: &Self| match element {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        };
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                in_turn(a, b, |a, b| a.0.cmp(&b.0).then_with(|| order(&a.1, &b.1)))
            }
            (Self::Value(a), Self::Value(b)) => order(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (
                Self::Field(_) | Self::Key(_) | Self::Value(_) | Self::Index(_),
                Self::Field(_) | Self::Key(_) | Self::Value(_) | Self::Index(_),
            ) => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element {}

/// Compares item by item. A prefix is less.
fn in_turn<T>(a: &[T], b: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| compare(a, b))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// A total order of JSON values: numbers, strings, booleans, lists, maps, null. 1 equals 1.0.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, _) | (_, None) => a
                .as_f64()
                .unwrap_or_default()
                .total_cmp(&b.as_f64().unwrap_or_default()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => in_turn(a, b, order),
        (Value::Object(a), Value::Object(b)) => {
            let (a, b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
            in_turn(&a, &b, |a, b| a.0.cmp(b.0).then_with(|| order(a.1, b.1)))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Whether two objects are equal, where 1 equals 1.0.
pub(super) fn same_fields(a: &Object, b: &Object) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
}

/// Whether two values are equal, where 1 equals 1.0 at any depth.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_fields(a, b),
        (a, b) => a == b || order(a, b) == Ordering::Equal,
    }
}
