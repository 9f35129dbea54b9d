//! What is wrong with an object, in a real API server's words.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{Additional, Format, Kind, Limits, List, Node, child, is_type_or_metadata};
use crate::standalone::error::{FieldError, FieldErrorKind};

/// What `int32` holds.
const I32: RangeInclusive<f64> = i32::MIN as f64..=i32::MAX as f64;
/// Most findings; the walk ends with them.
const FINDINGS: usize = 256;

pub(super) fn root(node: &Node, object: &Map<String, Value>) -> Vec<FieldError> {
    let mut found = Found::default();
    validate_object(node, object, "", true, &mut found);
    found.end();
    if object.get("spec").is_some_and(Value::is_null) && node.required.iter().any(|r| r == "spec") {
        found.bare("spec", FieldErrorKind::Required, "");
    }
    found.errors
}

/// One part of an object alone: paths in texts are those within it.
pub(super) fn part(node: &Node, name: &str, value: &Value) -> Vec<FieldError> {
    let mut found = Found {
        outer: name.len(),
        ..Found::default()
    };
    validate(node, value, name, &mut found);
    found.end();
    found.errors
}

#[derive(Default)]
struct Found {
    errors: Vec<FieldError>,
    /// What is wrong with lists as sets and maps, which is told last.
    lists: Vec<FieldError>,
    /// How much of a path's beginning is outside of what is looked at.
    outer: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.errors.len() >= FINDINGS
    }

    fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.errors.push(error);
        }
    }

    fn of_list(&mut self, error: FieldError) {
        if self.lists.len() < FINDINGS {
            self.lists.push(error);
        }
    }

    fn end(&mut self) {
        self.errors.append(&mut self.lists);
    }

    /// A path, as texts within what is looked at have it.
    fn inner<'a>(&self, path: &'a str) -> &'a str {
        let inner = path.get(self.outer..).unwrap_or(path);
        inner.strip_prefix('.').unwrap_or(inner)
    }

    fn bare(&mut self, path: &str, kind: FieldErrorKind, detail: &str) {
        self.push(FieldError::bare(path, kind, detail));
    }

    /// `path: Invalid value: value: path in body <what>`.
    fn body(&mut self, path: &str, value: &Value, what: &str) {
        let inner = self.inner(path);
        self.push(FieldError::invalid(
            path,
            value,
            format!("{inner} in body {what}"),
        ));
    }

    fn wrong_form(&mut self, path: &str, value: &Value, wanted: &str) {
        let why = format!(
            "{} in body must be of type {wanted}: {value}",
            self.inner(path)
        );
        let error = FieldError::invalid(path, value, why);
        self.push(FieldError {
            kind: FieldErrorKind::TypeInvalid,
            ..error
        });
    }

    fn wrong_type(&mut self, path: &str, found: &str, wanted: &str) {
        let error = FieldError::invalid(
            path,
            &found.into(),
            format!(
                "{} in body must be of type {wanted}: {found:?}",
                self.inner(path)
            ),
        );
        self.push(FieldError {
            kind: FieldErrorKind::TypeInvalid,
            ..error
        });
    }
}

fn validate(node: &Node, value: &Value, path: &str, found: &mut Found) {
    if found.is_full() || (value.is_null() && node.nullable) {
        return;
    }
    if !fits(node, value) {
        let is_list = value.is_array();
        match node.limits.format {
            // A real server holds no list against a format of texts.
            Some(Format::DateTime) if is_list => return,
            Some(format) if !is_list && !value.is_string() => {
                found.wrong_type(path, format_of(value), format.name());
                if let Value::Number(number) = value {
                    // It is held to its bounds all the same.
                    let number = number.as_f64().unwrap_or_default();
                    validate_number(&node.limits, value, number, path, found);
                }
                return;
            }
            Some(_) | None => {}
        }
        let wanted = match node.kind {
            Some(kind) => kind.name(),
            None => "integer,string",
        };
        found.wrong_type(path, name_of(value), wanted);
        return;
    }
    if !node.limits.one_of.is_empty() && !node.limits.one_of.contains(value) {
        let known: Vec<String> = node.limits.one_of.iter().map(Value::to_string).collect();
        found.push(FieldError {
            field: path.to_owned(),
            kind: FieldErrorKind::NotSupported,
            value: Some(value.clone()),
            detail: format!("supported values: {}", known.join(", ")),
        });
    }
    match value {
        Value::Object(object) => validate_object(node, object, path, node.embedded, found),
        Value::Array(list) => validate_list(node, value, list, path, found),
        Value::String(text) => validate_text(&node.limits, value, text, path, found),
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                validate_number(&node.limits, value, number, path, found);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    validate_combined(node, value, path, found);
}

fn fits(node: &Node, value: &Value) -> bool {
    if node.int_or_string {
        return value.is_string() || is_integer(value);
    }
    match node.kind {
        None => true,
        Some(Kind::Object) => value.is_object(),
        Some(Kind::Array) => value.is_array(),
        Some(Kind::String) => value.is_string(),
        Some(Kind::Integer) => is_integer(value),
        Some(Kind::Number) => value.is_number(),
        Some(Kind::Boolean) => value.is_boolean(),
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The format that a value has by itself.
fn format_of(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => "",
    }
}

fn validate_object(
    node: &Node,
    object: &Map<String, Value>,
    path: &str,
    whole: bool,
    found: &mut Found,
) {
    for name in &node.required {
        if !object.contains_key(name) {
            found.bare(&child(path, name), FieldErrorKind::Required, "");
        }
    }
    let count = object.len() as u64;
    if let Some(most) = node.limits.max_properties.filter(|most| count > *most) {
        found.push(too_many(path, count, most));
    }
    if let Some(least) = node.limits.min_properties.filter(|least| count < *least) {
        let what = format!("should have at least {least} properties");
        found.body(path, &count.into(), &what);
    }
    for (name, value) in object {
        if whole && is_type_or_metadata(name) {
            continue;
        }
        match (node.properties.get(name), &node.additional) {
            (Some(property), _) => validate(property, value, &child(path, name), found),
            (None, Additional::Of(values)) => validate(values, value, &child(path, name), found),
            (None, Additional::Any | Additional::None) => {}
        }
    }
}

fn validate_list(node: &Node, value: &Value, list: &[Value], path: &str, found: &mut Found) {
    let count = list.len() as u64;
    if let Some(most) = node.limits.max_items.filter(|most| count > *most) {
        found.push(too_many(path, count, most));
        // What is too long is not walked through.
        return;
    }
    if let Some(least) = node.limits.min_items.filter(|least| count < *least) {
        found.body(path, value, &format!("should have at least {least} items"));
    }
    if let Some(items) = &node.items {
        for (index, item) in list.iter().enumerate() {
            validate(items, item, &format!("{path}[{index}]"), found);
        }
    }
    match &node.list {
        List::Atomic if !node.limits.unique_items => {}
        List::Atomic | List::Set => find_duplicates(list, path, found, Value::clone),
        List::Map(keys) => {
            let odd = list
                .iter()
                .position(|item| !item.is_object() && !item.is_null());
            if let Some(index) = odd {
                let why = "must be an object for an array of list-type map";
                let item = match &list[index] {
                    Value::String(text) => Value::from(text.as_str()),
                    other => other.clone(),
                };
                found.of_list(FieldError::invalid(format!("{path}[{index}]"), &item, why));
                return;
            }
            find_duplicates(list, path, found, |item| {
                // An absent key counts as such: two items without it are two of the same.
                let key = |key: &String| item.get(key).map(|value| (key.clone(), value.clone()));
                Value::Object(keys.iter().filter_map(key).collect())
            });
        }
    }
}

fn find_duplicates(list: &[Value], path: &str, found: &mut Found, key: impl Fn(&Value) -> Value) {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let key = key(item);
        let times = seen.entry(key.to_string()).or_default();
        *times += 1;
        // Told once, however often it stands there.
        if *times == 2 {
            found.of_list(FieldError {
                field: format!("{path}[{index}]"),
                kind: FieldErrorKind::Duplicate,
                value: Some(key),
                detail: String::new(),
            });
        }
    }
}

fn validate_text(limits: &Limits, value: &Value, text: &str, path: &str, found: &mut Found) {
    let length = || text.chars().count() as u64;
    if let Some(most) = limits.max_length
        && text.len() as u64 > most
        && length() > most
    {
        found.bare(
            path,
            FieldErrorKind::TooLong,
            &format!("may not be more than {most} bytes"),
        );
        // A pattern is not run over what is too long anyway.
        return;
    }
    if let Some(least) = limits.min_length.filter(|least| length() < *least) {
        found.body(
            path,
            value,
            &format!("should be at least {least} chars long"),
        );
        return;
    }
    if let Some(pattern) = limits.pattern.as_ref().filter(|p| !p.is_match(text)) {
        found.body(path, value, &format!("should match '{}'", pattern.as_str()));
    }
    match limits.format {
        Some(Format::DateTime) if text.parse::<jiff::Timestamp>().is_err() => {
            found.wrong_form(path, value, "date-time");
        }
        Some(Format::DateTime | Format::Int32 | Format::Int64) | None => {}
    }
}

fn validate_number(limits: &Limits, value: &Value, number: f64, path: &str, found: &mut Found) {
    let is_within = match limits.format {
        Some(Format::Int32) => is_integer(value) && I32.contains(&number),
        Some(Format::Int64) => is_integer(value),
        Some(Format::DateTime) | None => true,
    };
    if let (false, Some(format)) = (is_within, limits.format) {
        let (inner, format) = (found.inner(path), format.name());
        let why = format!("Checked value must be of type integer with format {format} in {inner}");
        found.push(FieldError::invalid("<nil>", &"".into(), why));
    }
    if let Some(bound) = limits.minimum {
        if limits.exclusive_minimum && number <= bound {
            found.body(path, value, &format!("should be greater than {bound}"));
        } else if number < bound {
            found.body(
                path,
                value,
                &format!("should be greater than or equal to {bound}"),
            );
        }
    }
    if let Some(bound) = limits.maximum {
        if limits.exclusive_maximum && number >= bound {
            found.body(path, value, &format!("should be less than {bound}"));
        } else if number > bound {
            found.body(
                path,
                value,
                &format!("should be less than or equal to {bound}"),
            );
        }
    }
    if let Some(factor) = limits.multiple_of
        && (number / factor).fract() != 0.0
    {
        found.body(path, value, &format!("should be a multiple of {factor}"));
    }
}

fn validate_combined(node: &Node, value: &Value, path: &str, found: &mut Found) {
    let outer = found.outer;
    let holds = |node: &Node| {
        let mut alone = Found {
            outer,
            ..Found::default()
        };
        validate(node, value, path, &mut alone);
        alone.errors.is_empty()
    };
    for part in &node.all_of {
        validate(part, value, path, found);
    }
    if !node.any_of.is_empty() && !node.any_of.iter().any(holds) {
        found.body(path, value, "must validate at least one schema (anyOf)");
    }
    if !node.one_of.is_empty() && node.one_of.iter().filter(|part| holds(part)).count() != 1 {
        found.body(path, value, "must validate one and only one schema (oneOf)");
    }
    if node.not.as_deref().is_some_and(holds) {
        found.body(path, value, "must not validate the schema (not)");
    }
}

fn too_many(path: &str, count: u64, most: u64) -> FieldError {
    FieldError {
        field: path.to_owned(),
        kind: FieldErrorKind::TooMany,
        value: Some(count.into()),
        detail: format!("must have at most {most} items"),
    }
}
