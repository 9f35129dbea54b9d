//! The tables as OpenAPI schemas, and the layouts that follow from them.

use managed_fields::{Layout, Object};
use serde_json::{Map, Value, json};

use super::{Empty, Field, Form, Kind, Merge, OBJECT_META, Owned, Source, Struct, decode};

/// The OpenAPI schema of a type.
pub(crate) fn schema(of: &Struct) -> Value {
    let required: Vec<&str> = of
        .fields
        .iter()
        .filter(|field| field.empty == Empty::Required)
        .map(|field| field.name)
        .collect();
    let properties: Map<String, Value> = of
        .fields
        .iter()
        .map(|field| (field.name.to_owned(), of_field(field)))
        .collect();
    let mut schema =
        json!({"type": "object", "description": of.description, "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if of.owned == Owned::Atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    schema
}

/// The schema of a field, with its own description.
pub(crate) fn of_field(field: &Field) -> Value {
    let mut schema = of_form(&field.form);
    schema["description"] = field.description.into();
    if field.empty.is_written() {
        match field.form {
            Form::Text => schema["default"] = "".into(),
            Form::Struct(_) => schema["default"] = json!({}),
            Form::Bool
            | Form::Int32
            | Form::Int64
            | Form::Time
            | Form::MicroTime
            | Form::Bytes
            | Form::Map(_)
            | Form::List(..)
            | Form::Any => {}
        }
    }
    schema
}

fn of_form(form: &Form) -> Value {
    match form {
        Form::Text => json!({"type": "string"}),
        Form::Bool => json!({"type": "boolean"}),
        Form::Int32 => json!({"type": "integer", "format": "int32"}),
        Form::Int64 => json!({"type": "integer", "format": "int64"}),
        Form::Time | Form::MicroTime => json!({"type": "string", "format": "date-time"}),
        Form::Bytes => json!({"type": "string", "format": "byte"}),
        Form::Map(inner) => json!({"type": "object", "additionalProperties": of_form(inner)}),
        Form::List(merge, inner) => {
            let mut list = json!({"type": "array", "items": of_form(inner)});
            match merge {
                Merge::Atomic => list["x-kubernetes-list-type"] = "atomic".into(),
                Merge::Set => {
                    list["x-kubernetes-list-type"] = "set".into();
                    list["x-kubernetes-patch-strategy"] = "merge".into();
                }
                Merge::By(key) => {
                    list["x-kubernetes-list-type"] = "map".into();
                    list["x-kubernetes-list-map-keys"] = json!([key]);
                    list["x-kubernetes-patch-strategy"] = "merge".into();
                    list["x-kubernetes-patch-merge-key"] = (*key).into();
                }
            }
            list
        }
        Form::Struct(of) => schema(of),
        Form::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    }
}

/// What decides who owns which field of a built-in kind.
pub(crate) fn layout(kind: &Kind) -> Layout {
    let Some(of) = kind.object else {
        return custom_layout(&Value::Null);
    };
    let mut empty = decode(of, Value::Null, "", Source::Values, &mut Vec::new())
        .expect("null is read as an object without fields");
    empty.insert("metadata".to_owned(), Object::new().into());
    custom_layout(&schema(of)).with_empty(empty)
}

/// The same of a custom resource, from its definition's schema.
pub(crate) fn custom_layout(schema: &Value) -> Layout {
    Layout::of_schema(schema, &self::schema(&OBJECT_META))
}
