//! Reading a value as a type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Empty, Field, Form, Struct, times};
use crate::field::{expected, found, truncated};

/// Most unknown fields that are named; all go.
const NAMED: usize = 64;

/// What an object was before it is read as a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The text of a body. Bytes may be written as a list of numbers, and an integer that is too big is refused.
    Text,
    /// Values that a patch or an apply put together. A real API server reads them in another way: bytes are base64 only, and of
    /// an integer that is too big for 32 bits it keeps the low ones.
    Values,
}

struct Reader<'a> {
    source: Source,
    /// The first value of a wrong type.
    error: Option<String>,
    unknown: &'a mut Vec<String>,
}

/// Reads an object as a type. `path`: where the object lies in the body; empty at the root. Fields that the type does not have
/// are left out and added to `unknown`.
///
/// # Errors
/// One sentence about the first value that has a wrong type: which field, what was expected, and what came.
pub(crate) fn decode(
    of: &'static Struct,
    value: Value,
    path: &str,
    source: Source,
    unknown: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let mut reader = Reader {
        source,
        error: None,
        unknown,
    };
    let read = reader.structure(of, value, path);
    match reader.error {
        Some(error) => Err(error),
        None => Ok(read),
    }
}

impl Reader<'_> {
    /// Notes that a value is not what is expected at this path.
    fn misfit(&mut self, wanted: &str, found: &str, path: &str) {
        self.error
            .get_or_insert_with(|| expected(wanted, path, found));
    }

    fn structure(&mut self, of: &'static Struct, value: Value, path: &str) -> Map<String, Value> {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            other => {
                self.misfit("an object", &found(&other), path);
                Map::new()
            }
        };
        let mut read = Map::new();
        for (name, value) in fields {
            let path = child(path, &name);
            let Some(field) = of.field(&name) else {
                if self.unknown.len() < NAMED {
                    self.unknown
                        .push(format!("unknown field {:?}", truncated(&path, 256)));
                }
                continue;
            };
            if let Some(value) = self.field(field, value, &path) {
                read.insert(name, value);
            }
        }
        for field in of.fields {
            if field.empty.is_written() && !read.contains_key(field.name) {
                let empty = self.value(&field.form, Value::Null, path);
                read.insert(field.name.to_owned(), empty);
            }
        }
        read
    }

    fn field(&mut self, field: &'static Field, value: Value, path: &str) -> Option<Value> {
        if value.is_null() && !field.empty.is_written() {
            return None;
        }
        let value = self.value(&field.form, value, path);
        match field.empty {
            Empty::Omitted if is_empty(&value) => None,
            Empty::Omitted | Empty::Pointer | Empty::Written | Empty::Required => Some(value),
        }
    }

    /// The value as this form. The form's empty value when it has a wrong type, which is noted.
    fn value(&mut self, form: &'static Form, value: Value, path: &str) -> Value {
        match (form, value) {
            (Form::Any, value) => value,
            (Form::Struct(of), value) => self.structure(of, value, path).into(),
            (Form::Text, value @ Value::String(_))
            | (Form::Bool, value @ Value::Bool(_))
            | (Form::Time | Form::MicroTime | Form::Map(_) | Form::List(..), value @ Value::Null) => {
                value
            }
            (Form::Text | Form::Bytes, Value::Null) => "".into(),
            (Form::Bool, Value::Null) => false.into(),
            (Form::Int32 | Form::Int64, Value::Null) => 0.into(),
            (Form::Int32, Value::Number(number))
                if self.source == Source::Values && number.is_i64() =>
            {
                let low = number.as_i64().unwrap_or_default().to_le_bytes();
                i32::from_le_bytes([low[0], low[1], low[2], low[3]]).into()
            }
            (Form::Int64, Value::Number(number)) if number.is_i64() => Value::Number(number),
            (Form::Int32, Value::Number(number))
                if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) =>
            {
                Value::Number(number)
            }
            (Form::Time, Value::String(text)) => self.time(&text, times::seconds, path),
            (Form::MicroTime, Value::String(text)) => self.time(&text, times::micros, path),
            (Form::Bytes, Value::String(text)) => {
                // Line breaks are allowed in it.
                let bare: String = text.chars().filter(|c| !"\r\n".contains(*c)).collect();
                if STANDARD.decode(bare.as_bytes()).is_err() {
                    self.misfit(form.wanted(), "a string that is not base64", path);
                }
                text.into()
            }
            (Form::Bytes, Value::Array(list)) if self.source == Source::Text => {
                let bytes = list.iter().map(|item| match item {
                    Value::Null => Some(0),
                    item => item.as_u64().and_then(|byte| u8::try_from(byte).ok()),
                });
                let Some(bytes) = bytes.collect::<Option<Vec<u8>>>() else {
                    self.misfit(form.wanted(), "a list of other values than bytes", path);
                    return "".into();
                };
                STANDARD.encode(bytes).into()
            }
            (Form::Map(inner), Value::Object(map)) => {
                let read = map.into_iter().map(|(key, value)| {
                    let value = self.value(inner, value, &child(path, &key));
                    (key, value)
                });
                Value::Object(read.collect())
            }
            (Form::List(_, inner), Value::Array(list)) => {
                let read = list
                    .into_iter()
                    .enumerate()
                    .map(|(n, value)| self.value(inner, value, &format!("{path}[{n}]")));
                Value::Array(read.collect())
            }
            (form, other) => {
                self.misfit(form.wanted(), &found(&other), path);
                self.value(form, Value::Null, path)
            }
        }
    }

    fn time(&mut self, text: &str, read: fn(&str) -> Option<String>, path: &str) -> Value {
        if let Some(time) = read(text) {
            return time.into();
        }
        let found = format!("{:?}", truncated(text, 64));
        self.misfit(Form::Time.wanted(), &found, path);
        Value::Null
    }
}

impl Form {
    /// What a value of this form is, for a message.
    fn wanted(&self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Bool => "a boolean",
            Self::Int32 => "a 32-bit integer",
            Self::Int64 => "a 64-bit integer",
            Self::Time | Self::MicroTime => "a time as in RFC 3339",
            Self::Bytes => "a base64 string",
            Self::Map(_) | Self::Struct(_) => "an object",
            Self::List(..) => "a list",
            Self::Any => "a value",
        }
    }
}

/// Whether a value is one that [`Empty::Omitted`] leaves out.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
