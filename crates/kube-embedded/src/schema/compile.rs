//! Compiles the schema of a CustomResourceDefinition into a tree of nodes.

use regex::RegexBuilder;
use serde_json::Value;

use super::{Additional, Format, Kind, Limits, List, Node, SchemaError, cel, child};

/// Largest compiled size of one pattern, in bytes.
const PATTERN: usize = 1 << 20;

/// Keywords that do not restrict values, or that only OpenAPI documents use.
const ANNOTATIONS: [&str; 6] = [
    "description",
    "example",
    "externalDocs",
    "title",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-map-type",
];

pub(super) fn node(raw: &Value, path: &str) -> Result<Node, SchemaError> {
    let Value::Object(map) = raw else {
        return Err(wrong(path, "a schema must be an object"));
    };
    let mut node = Node::default();
    let mut list_type = None;
    let mut list_keys = Vec::new();
    for (keyword, value) in map {
        let here = child(path, keyword);
        let nodes = || nodes(value, &here);
        match keyword.as_str() {
            "type" => node.kind = Some(kind(value, &here)?),
            "nullable" => node.nullable = value == true,
            "x-kubernetes-int-or-string" => node.int_or_string = value == true,
            "x-kubernetes-preserve-unknown-fields" => node.preserve = value == true,
            "x-kubernetes-embedded-resource" => node.embedded = value == true,
            "properties" => {
                for (name, property) in value.as_object().into_iter().flatten() {
                    node.properties
                        .insert(name.clone(), self::node(property, &child(&here, name))?);
                }
            }
            "additionalProperties" => {
                node.additional = match value {
                    Value::Bool(true) => Additional::Any,
                    Value::Bool(false) => Additional::None,
                    other => Additional::Of(Box::new(self::node(other, &here)?)),
                }
            }
            "items" => node.items = Some(Box::new(self::node(value, &here)?)),
            "default" => node.default = Some(value.clone()),
            "required" => node.required = texts(value),
            "x-kubernetes-list-type" => list_type = value.as_str(),
            "x-kubernetes-list-map-keys" => list_keys = texts(value),
            "x-kubernetes-validations" => node.rules = cel::rules(value, &here)?,
            "allOf" => node.all_of = nodes()?,
            "anyOf" => node.any_of = nodes()?,
            "oneOf" => node.one_of = nodes()?,
            "not" => node.not = Some(Box::new(self::node(value, &here)?)),
            annotation if ANNOTATIONS.contains(&annotation) => {}
            other => {
                if !limit(&mut node.limits, other, value, &here)? {
                    return Err(wrong(&here, "this keyword is not carried out here"));
                }
            }
        }
    }
    node.list = match list_type {
        None | Some("atomic") => List::Atomic,
        Some("set") => List::Set,
        Some("map") if !list_keys.is_empty() => List::Map(list_keys),
        Some(other) => return Err(wrong(path, &format!("list type {other}, or its keys"))),
    };
    let mut parts = node.all_of.iter().chain(&node.any_of).chain(&node.one_of);
    if parts.any(|part| part.has_rules) || node.not.as_ref().is_some_and(|part| part.has_rules) {
        return Err(wrong(
            path,
            "rules in CEL inside of allOf, anyOf, oneOf or not are not carried out here",
        ));
    }
    let values = match &node.additional {
        Additional::Of(values) => Some(&**values),
        Additional::Any | Additional::None => None,
    };
    let below = || {
        let items = node.items.as_deref();
        node.properties.values().chain(items).chain(values)
    };
    node.has_rules = !node.rules.is_empty() || below().any(|part| part.has_rules);
    node.has_transitions =
        node.rules.iter().any(cel::Rule::is_transition) || below().any(|part| part.has_transitions);
    Ok(node)
}

/// Reads the keyword if it restricts a value.
fn limit(
    limits: &mut Limits,
    keyword: &str,
    value: &Value,
    path: &str,
) -> Result<bool, SchemaError> {
    match keyword {
        "enum" => limits.one_of = value.as_array().cloned().unwrap_or_default(),
        "minimum" => limits.minimum = value.as_f64(),
        "exclusiveMinimum" => limits.exclusive_minimum = value == true,
        "maximum" => limits.maximum = value.as_f64(),
        "exclusiveMaximum" => limits.exclusive_maximum = value == true,
        "multipleOf" => limits.multiple_of = value.as_f64(),
        "minLength" => limits.min_length = value.as_u64(),
        "maxLength" => limits.max_length = value.as_u64(),
        "minItems" => limits.min_items = value.as_u64(),
        "maxItems" => limits.max_items = value.as_u64(),
        "uniqueItems" => limits.unique_items = value == true,
        "minProperties" => limits.min_properties = value.as_u64(),
        "maxProperties" => limits.max_properties = value.as_u64(),
        "format" => {
            limits.format = match value.as_str() {
                Some("date-time") => Some(Format::DateTime),
                Some("int32") => Some(Format::Int32),
                Some("int64") => Some(Format::Int64),
                _ => None,
            }
        }
        "pattern" => {
            let pattern = RegexBuilder::new(value.as_str().unwrap_or_default())
                .size_limit(PATTERN)
                .build()
                .map_err(|error| wrong(path, &error.to_string()))?;
            limits.pattern = Some(pattern);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn kind(value: &Value, path: &str) -> Result<Kind, SchemaError> {
    Ok(match value.as_str() {
        Some("object") => Kind::Object,
        Some("array") => Kind::Array,
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        _ => return Err(wrong(path, "no type of JSON")),
    })
}

fn nodes(value: &Value, path: &str) -> Result<Vec<Node>, SchemaError> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|schema| node(schema, path))
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn wrong(path: &str, why: &str) -> SchemaError {
    SchemaError {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
