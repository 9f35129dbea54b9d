//! Validates an object, with the texts of a real API server.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::found::{Found, too_many};
use super::{Additional, Format, Kind, Limits, List, Node, child, is_type_or_metadata};
use crate::field::{FieldError, FieldErrorKind};

/// The range of `int32`.
const I32: RangeInclusive<f64> = i32::MIN as f64..=i32::MAX as f64;
/// The range of `int64` in floats. The end is the first float beyond it.
const I64: std::ops::Range<f64> = i64::MIN as f64..9_223_372_036_854_775_808.0;

/// 2^53: up to here every whole number is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn root(node: &Node, object: &Map<String, Value>) -> Vec<FieldError> {
    let mut found = Found::default();
    validate_object(node, object, "", true, &mut found);
    found.end();
    found.errors
}

/// Validates one top-level field of an object alone; texts have the paths within it.
pub(super) fn part(node: &Node, name: &str, value: &Value) -> Vec<FieldError> {
    let mut found = Found::within(name.len());
    validate(node, value, name, &mut found);
    found.end();
    found.errors
}

/// Validates one value. As on a real API server all checks that apply are made, in this order, whatever earlier ones found.
fn validate(node: &Node, value: &Value, path: &str, found: &mut Found) {
    if found.is_full() {
        return;
    }
    if value.is_null() {
        if !node.nullable && !fits(node, value) {
            validate_type(node, value, path, found);
        }
        if !node.nullable || !node.limits.one_of.is_empty() {
            validate_choice(node, value, path, found);
        }
        return;
    }
    if !fits(node, value) {
        validate_type(node, value, path, found);
    }
    validate_combined(node, value, path, found);
    match value {
        Value::String(text) => validate_text(&node.limits, value, text, path, found),
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                validate_number(node, value, number, path, found);
            }
        }
        Value::Array(list) => validate_list(node, value, list, path, found),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    validate_choice(node, value, path, found);
    if let Value::Object(object) = value {
        validate_object(node, object, path, node.embedded, found);
    }
}

/// Reports a value of a wrong type.
fn validate_type(node: &Node, value: &Value, path: &str, found: &mut Found) {
    let is_list = value.is_array();
    match node.limits.format {
        // A real API server does not check the format of a list.
        Some(Format::DateTime) if is_list => return,
        Some(format) if !is_list && !value.is_string() && !value.is_null() => {
            found.wrong_type(path, format_of(value), format.name());
            return;
        }
        Some(_) | None => {}
    }
    let wanted = match node.kind {
        Some(kind) => kind.name(),
        None => "integer,string",
    };
    found.wrong_type(path, name_of(value), wanted);
}

/// Reports a value that is not in `enum`.
fn validate_choice(node: &Node, value: &Value, path: &str, found: &mut Found) {
    let choice = &node.limits.one_of;
    if choice.is_empty() || choice.contains(value) {
        return;
    }
    let known: Vec<String> = choice.iter().map(Value::to_string).collect();
    found.push(FieldError {
        field: path.to_owned(),
        kind: FieldErrorKind::NotSupported,
        value: Some(value.clone()),
        detail: format!("supported values: {}", known.join(", ")),
    });
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

/// A float counts as an integer when it is whole and below 2^53, so that it stands for one integer only.
fn is_integer(value: &Value) -> bool {
    let is_exact = |n: f64| n.fract() == 0.0 && n.abs() < EXACT;
    value.is_i64() || value.as_f64().is_some_and(is_exact)
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

/// The format of a number, for an error.
fn format_of(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
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
    // Missing fields are reported after wrong ones.
    for name in &node.required {
        if !object.contains_key(name) {
            found.bare(&child(path, name), FieldErrorKind::Required, "");
        }
    }
}

fn validate_list(node: &Node, value: &Value, list: &[Value], path: &str, found: &mut Found) {
    let count = list.len() as u64;
    if let Some(most) = node.limits.max_items.filter(|most| count > *most) {
        found.push(too_many(path, count, most));
        // The items of a list that is too long are not checked.
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
                // Two items without a key field have the same key.
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
        // Reported once, however often it is repeated.
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
        // A pattern is not matched against a string that is too long.
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

fn validate_number(node: &Node, value: &Value, number: f64, path: &str, found: &mut Found) {
    let limits = &node.limits;
    if node.kind == Some(Kind::Integer) {
        // The greatest int64 is beyond the range as a float.
        let is_i64 = value.is_i64() || I64.contains(&number);
        let (is_within, format) = match limits.format {
            Some(Format::Int32) => (I32.contains(&number), "with format int32"),
            Some(Format::Int64) => (is_i64, "with format int64"),
            Some(Format::DateTime) | None => (is_i64, "(default format)"),
        };
        if !(is_within && is_integer(value)) {
            let inner = found.inner(path);
            let why = format!("Checked value must be of type integer {format} in {inner}");
            let whole = found.whole(path);
            found.push(FieldError::invalid(whole, &"".into(), why));
        }
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
    let nothing = found.beside();
    let holds = |node: &Node| {
        let mut alone = nothing.beside();
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
