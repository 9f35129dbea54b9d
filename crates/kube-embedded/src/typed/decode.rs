//! Reading a value as a type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Empty, Field, Form, Struct, times};
use crate::field::truncated;

/// Most unknown fields that are named; all go.
const NAMED: usize = 64;

/// Where in the document we are.
#[derive(Clone)]
struct Place {
    /// Fields from the root, without indices: `metadata.labels`. Empty at the root.
    fields: String,
    /// The same with indices, for unknown fields.
    path: String,
    /// The type that the last field belongs to.
    within: Option<&'static str>,
}

/// In whose words a value of a wrong form is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Of Go's decoder of JSON.
    Decoder,
    /// Of what fills a type from a tree of values.
    Converter,
}

struct Reader<'a> {
    words: Words,
    /// The first value of a wrong form; the rest is read all the same.
    error: Option<String>,
    /// The first thing at which reading stops there.
    stopped: Option<String>,
    unknown: &'a mut Vec<String>,
}

/// Reads an object as a type. `path` is where it lies in the body, for the names of unknown fields.
///
/// # Errors
/// What Go's decoder says of the first value that has a wrong form.
pub(crate) fn decode(
    of: &'static Struct,
    value: Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    read(of, value, path, Words::Decoder, unknown)
}

/// As [`decode`], for what was put together from values and not read from a text.
///
/// # Errors
/// As [`decode`], in other words.
pub(crate) fn convert(
    of: &'static Struct,
    value: Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    read(of, value, path, Words::Converter, unknown)
}

fn read(
    of: &'static Struct,
    value: Value,
    path: &str,
    words: Words,
    unknown: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let mut reader = Reader {
        words,
        error: None,
        stopped: None,
        unknown,
    };
    let place = Place {
        fields: String::new(),
        path: path.to_owned(),
        within: None,
    };
    let read = reader.structure(of, value, &place);
    match reader.stopped.or(reader.error) {
        Some(error) => Err(error),
        None => Ok(read),
    }
}

impl Reader<'_> {
    fn wrong(&mut self, found: &str, wanted: &str, place: &Place) {
        let into = match place.within {
            Some(within) => format!("struct field {within}.{}", place.fields),
            None => "value".to_owned(),
        };
        self.failed(format!(
            "json: cannot unmarshal {found} into Go {into} of type {wanted}"
        ));
    }

    fn failed(&mut self, error: String) {
        self.error.get_or_insert(error);
    }

    fn stop(&mut self, error: String) {
        self.stopped.get_or_insert(error);
    }

    /// A value that is none of this form.
    fn misfit(&mut self, value: &Value, form: &Form, place: &Place) {
        match (self.words, form) {
            (_, Form::Time | Form::MicroTime) => {
                // They are read from texts of their own.
                let found = name_of(value);
                let into = match (self.words, place.within) {
                    (Words::Decoder, Some(within)) => {
                        format!("struct field {within}.{}", place.fields)
                    }
                    (Words::Decoder, None) | (Words::Converter, _) => "value".to_owned(),
                };
                self.stop(format!(
                    "json: cannot unmarshal {found} into Go {into} of type string"
                ));
            }
            (Words::Decoder, form) => match (form, value) {
                (Form::Int(_), Value::Number(number)) => {
                    self.wrong(&format!("number {number}"), &form.go(), place);
                }
                _ => self.wrong(name_of(value), &form.go(), place),
            },
            (Words::Converter, form) => {
                let found = kind_of(value);
                let why = match (form, value) {
                    (Form::Struct(_), _) => format!("cannot restore struct from: {found}"),
                    (Form::Map(_), _) => format!("cannot restore map from {found}"),
                    (Form::List(_) | Form::Bytes, _) => {
                        format!("cannot restore slice from {found}")
                    }
                    (Form::Text(wanted), Value::Number(number)) if !number.is_f64() => {
                        format!("cannot convert int64 to {wanted}")
                    }
                    (Form::Int(wanted), Value::Number(_)) => {
                        format!("cannot convert {found} to {wanted}")
                    }
                    (Form::Text(_), _) => "unrecognized type: string".to_owned(),
                    (Form::Int(bits), _) => format!("unrecognized type: {bits}"),
                    (Form::Bool | Form::Any | Form::Time | Form::MicroTime, _) => {
                        "unrecognized type: bool".to_owned()
                    }
                };
                self.stop(why);
            }
        }
    }

    fn structure(
        &mut self,
        of: &'static Struct,
        value: Value,
        place: &Place,
    ) -> Map<String, Value> {
        let found = match value {
            Value::Object(found) => found,
            Value::Null => Map::new(),
            other => {
                self.misfit(&other, &Form::Struct(of), place);
                Map::new()
            }
        };
        let mut read = Map::new();
        for (name, value) in found {
            let path = child(&place.path, &name);
            let Some(field) = of.fields.iter().find(|field| field.name == name) else {
                if self.unknown.len() < NAMED {
                    self.unknown
                        .push(format!("unknown field {:?}", truncated(&path, 256)));
                }
                continue;
            };
            let place = Place {
                fields: child(&place.fields, &name),
                path,
                within: Some(of.name),
            };
            if let Some(value) = self.field(field, value, &place) {
                read.insert(name, value);
            }
        }
        for field in of.fields {
            if field.empty == Empty::Written && !read.contains_key(field.name) {
                let empty = self.value(&field.form, Value::Null, place);
                read.insert(field.name.to_owned(), empty);
            }
        }
        read
    }

    fn field(&mut self, field: &'static Field, value: Value, place: &Place) -> Option<Value> {
        if value.is_null() && field.empty != Empty::Written {
            return None;
        }
        let value = self.value(&field.form, value, place);
        match field.empty {
            Empty::Omitted if is_empty(&value) => None,
            Empty::Omitted | Empty::Pointer | Empty::Written => Some(value),
        }
    }

    /// The value as this form; the empty one when it is none, which is told.
    fn value(&mut self, form: &'static Form, value: Value, place: &Place) -> Value {
        match (form, value) {
            (Form::Any, value) => value,
            (Form::Struct(of), value) => self.structure(of, value, place).into(),
            (Form::Text(_), value @ Value::String(_))
            | (Form::Bool, value @ Value::Bool(_))
            | (Form::Time | Form::MicroTime | Form::Map(_) | Form::List(_), value @ Value::Null) => {
                value
            }
            (Form::Text(_) | Form::Bytes, Value::Null) => "".into(),
            (Form::Bool, Value::Null) => false.into(),
            (Form::Int(_), Value::Null) => 0.into(),
            // What does not fit is cut as Go cuts it.
            (Form::Int("int32"), Value::Number(number))
                if self.words == Words::Converter && number.is_i64() =>
            {
                let low = number.as_i64().unwrap_or_default().to_le_bytes();
                i32::from_le_bytes([low[0], low[1], low[2], low[3]]).into()
            }
            (Form::Int(bits), Value::Number(number)) => {
                let whole = number
                    .as_i64()
                    .filter(|n| *bits != "int32" || i32::try_from(*n).is_ok());
                if let Some(whole) = whole {
                    whole.into()
                } else {
                    self.misfit(&Value::Number(number), form, place);
                    0.into()
                }
            }
            (Form::Time, Value::String(text)) => self.time(&text, times::seconds),
            (Form::MicroTime, Value::String(text)) => self.time(&text, times::micros),
            (Form::Time | Form::MicroTime, other) => {
                self.misfit(&other, form, place);
                Value::Null
            }
            (Form::Bytes, Value::String(text)) => {
                if let Err(at) = is_base64(&text) {
                    let why = format!("illegal base64 data at input byte {at}");
                    match self.words {
                        Words::Decoder => self.failed(why),
                        Words::Converter => self.stop(format!("error decoding from json: {why}")),
                    }
                }
                text.into()
            }
            (Form::Bytes, Value::Array(list)) if self.words == Words::Decoder => {
                // Bytes one by one.
                let mut bytes = Vec::with_capacity(list.len());
                for item in list {
                    match item.as_u64().and_then(|byte| u8::try_from(byte).ok()) {
                        Some(byte) => bytes.push(byte),
                        None => match &item {
                            Value::Null => bytes.push(0),
                            Value::Number(number) => {
                                self.wrong(&format!("number {number}"), "uint8", place);
                            }
                            other => self.wrong(name_of(other), "uint8", place),
                        },
                    }
                }
                STANDARD.encode(bytes).into()
            }
            (Form::Map(inner), Value::Object(map)) => {
                let read = map.into_iter().map(|(key, value)| {
                    let place = Place {
                        path: child(&place.path, &key),
                        ..place.clone()
                    };
                    let value = self.value(inner, value, &place);
                    (key, value)
                });
                Value::Object(read.collect())
            }
            (Form::List(inner), Value::Array(list)) => {
                let read = list.into_iter().enumerate().map(|(n, value)| {
                    let place = Place {
                        path: format!("{}[{n}]", place.path),
                        ..place.clone()
                    };
                    self.value(inner, value, &place)
                });
                Value::Array(read.collect())
            }
            (form, other) => {
                self.misfit(&other, form, place);
                self.value(form, Value::Null, place)
            }
        }
    }

    fn time(&mut self, text: &str, read: fn(&str) -> Option<String>) -> Value {
        if let Some(time) = read(text) {
            time.into()
        } else {
            self.stop(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse it"
            ));
            Value::Null
        }
    }
}

impl Form {
    /// Its type, as messages name it.
    fn go(&self) -> String {
        match self {
            Self::Text(name) | Self::Int(name) => (*name).to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Time => "v1.Time".to_owned(),
            Self::MicroTime => "v1.MicroTime".to_owned(),
            Self::Bytes => "[]uint8".to_owned(),
            Self::Map(inner) => format!("map[string]{}", inner.go()),
            Self::List(inner) => format!("[]{}", inner.go()),
            Self::Struct(of) => of.go.to_owned(),
            Self::Any => "interface {}".to_owned(),
        }
    }
}

/// What Go calls a value in a tree of them.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// What Go calls a value of JSON.
fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_empty(value: &Value) -> bool {
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

/// Whether a text is base64, line breaks aside; else where it is not.
fn is_base64(text: &str) -> Result<(), usize> {
    let bare: String = text.chars().filter(|c| !"\r\n".contains(*c)).collect();
    match STANDARD.decode(bare.as_bytes()) {
        Ok(_) => Ok(()),
        Err(
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _),
        ) => Err(at),
        Err(base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding) => {
            // Go looks at groups of four.
            Err(bare.len() / 4 * 4)
        }
    }
}
