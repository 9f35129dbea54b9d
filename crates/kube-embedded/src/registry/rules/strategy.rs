//! What built-in kinds do differently, as the strategies of a kube-apiserver's registry.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::field::{FieldError, FieldErrorKind};
use crate::kinds::{Resource, Strategy};
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::names;

/// Most bytes in a ConfigMap or a Secret.
const CONTENTS: usize = 1 << 20;
const FILE_NAME: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What the server fills in beyond a schema.
pub(crate) fn complete(resource: &Resource, object: &mut Object, is_new: bool) {
    match resource.strategy {
        Strategy::Namespace => {
            let name = metadata::text(object, "name").to_owned();
            if !name.is_empty() {
                let labels = metadata::of(object)
                    .entry("labels")
                    .or_insert_with(|| Value::Object(Map::new()));
                labels["kubernetes.io/metadata.name"] = name.into();
            }
            if is_new {
                object.insert("spec".to_owned(), json!({"finalizers": ["kubernetes"]}));
                object.insert("status".to_owned(), json!({"phase": "Active"}));
            }
        }
        Strategy::Plain if resource.kind == "Secret" => {
            object
                .entry("type")
                .or_insert_with(|| Value::from("Opaque"));
            if let Some(Value::Object(plain)) = object.remove("stringData") {
                let data = object
                    .entry("data")
                    .or_insert_with(|| Value::Object(Map::new()));
                // `data` of another type stays as it is and is refused by the check.
                if let Value::Object(data) = data {
                    for (key, value) in plain {
                        let value = value
                            .as_str()
                            .map_or(value.clone(), |text| STANDARD.encode(text).into());
                        data.insert(key, value);
                    }
                }
            }
        }
        Strategy::Custom
        | Strategy::Definition
        | Strategy::Event
        | Strategy::Lease
        | Strategy::Plain => {}
    }
}

/// Checks an object of a built-in kind, beyond its metadata and the types of its fields.
pub(crate) fn check(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match resource.strategy {
        Strategy::Plain => check_keys(&resource.kind, object, &mut errors),
        Strategy::Lease => check_lease(object, &mut errors),
        Strategy::Event => check_event(object, &mut errors),
        Strategy::Namespace | Strategy::Custom | Strategy::Definition => {}
    }
    errors
}

/// Checks the change of a ConfigMap or a Secret.
pub(crate) fn check_change(resource: &Resource, old: &Object, new: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if resource.kind == "Secret" && old.get("type") != new.get("type") {
        let found = new.get("type").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("type", &found, "field is immutable"));
    }
    check_frozen(&resource.kind, old, new, &mut errors);
    errors
}

/// Once `immutable` is set, the contents cannot change.
fn check_frozen(kind: &str, old: &Object, new: &Object, errors: &mut Vec<FieldError>) {
    let is_frozen = |object: &Object| object.get("immutable") == Some(&Value::Bool(true));
    if !is_frozen(old) {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    let mut forbid =
        |field: &str| errors.push(FieldError::bare(field, FieldErrorKind::Forbidden, why));
    if !is_frozen(new) {
        forbid("immutable");
    }
    let fields: &[&str] = if kind == "Secret" {
        &["data"]
    } else {
        &["data", "binaryData"]
    };
    for field in fields {
        if old.get(*field) != new.get(*field) {
            forbid(field);
        }
    }
}

/// The keys of a ConfigMap or a Secret must be names of files.
fn check_keys(kind: &str, object: &Object, errors: &mut Vec<FieldError>) {
    let map = |field: &str| object.get(field).and_then(Value::as_object);
    let mut bytes = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in map(field).into_iter().flatten() {
            let path = format!("{field}[{key}]");
            let shown = Value::from(key.as_str());
            for why in file_name_faults(key) {
                errors.push(FieldError::invalid(path.as_str(), &shown, why));
            }
            if kind == "ConfigMap"
                && field == "data"
                && map("binaryData").is_some_and(|other| other.contains_key(key))
            {
                let why = "duplicate of key present in binaryData";
                errors.push(FieldError::invalid(path, &shown, why));
            }
            let length = value.as_str().map_or(0, str::len);
            let is_text = kind == "ConfigMap" && field == "data";
            bytes += if is_text { length } else { length / 4 * 3 };
        }
    }
    if bytes > CONTENTS {
        let field = if kind == "Secret" { "data" } else { "" };
        let why = format!("may not be more than {CONTENTS} bytes");
        errors.push(FieldError::bare(field, FieldErrorKind::TooLong, why));
    }
}

fn file_name_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if key.len() > 253 {
        faults.push("must be no more than 253 characters".to_owned());
    }
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !is_plain {
        faults.push(FILE_NAME.to_owned());
    }
    if key == "." {
        faults.push("must not be '.'".to_owned());
    } else if key == ".." {
        faults.push("must not be '..'".to_owned());
    } else if key.starts_with("..") {
        faults.push("must not start with '..'".to_owned());
    }
    faults
}

fn check_lease(object: &Object, errors: &mut Vec<FieldError>) {
    let spec = object.get("spec").cloned().unwrap_or_default();
    let seconds = &spec["leaseDurationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
        let why = "must be greater than 0";
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            seconds,
            why,
        ));
    }
    let transitions = &spec["leaseTransitions"];
    if transitions.as_i64().is_some_and(|count| count < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            transitions,
            why,
        ));
    }
    let said = |field: &str| spec[field].as_str().is_some_and(|text| !text.is_empty());
    if said("preferredHolder") && !said("strategy") {
        errors.push(FieldError::bare(
            "spec.preferredHolder",
            FieldErrorKind::Forbidden,
            "may only be specified if `strategy` is defined",
        ));
    }
}

fn check_event(object: &Object, errors: &mut Vec<FieldError>) {
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let about = object
        .get("involvedObject")
        .and_then(|about| about["namespace"].as_str())
        .unwrap_or_default();
    let here = metadata::text(object, "namespace");
    let is_new_form = object.get("eventTime").is_some_and(Value::is_string);
    // An Event about an object without a namespace is in the namespace `default`.
    let lies_right = match (about.is_empty(), is_new_form) {
        (true, false) => here == "default",
        (true, true) => here == "default" || here == "kube-system",
        (false, false) => about == here,
        (false, true) => true,
    };
    if !lies_right {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &about.into(),
            "does not match event.namespace",
        ));
    }
    if !is_new_form {
        return;
    }
    let reporter = text("reportingComponent");
    if reporter.is_empty() {
        errors.push(FieldError::bare(
            "reportingComponent",
            FieldErrorKind::Required,
            "",
        ));
    }
    for why in names::key_faults(reporter) {
        errors.push(FieldError::invalid(
            "reportingComponent",
            &reporter.into(),
            why,
        ));
    }
    for (field, is_required, most) in [
        ("reportingInstance", true, 128),
        ("action", true, 128),
        ("reason", true, 128),
        ("message", false, 1024),
    ] {
        let text = text(field);
        if is_required && text.is_empty() {
            errors.push(FieldError::bare(field, FieldErrorKind::Required, ""));
        }
        if text.len() > most {
            let why = format!("can have at most {most} characters");
            errors.push(FieldError::invalid(field, &"".into(), why));
        }
    }
}

/// Warnings about an object that is accepted.
pub(crate) fn warnings(resource: &Resource, old: Option<&Object>, new: &Object) -> Vec<String> {
    if resource.strategy != Strategy::Custom {
        return Vec::new();
    }
    let before = old.map(metadata::finalizers).unwrap_or_default();
    let added: BTreeSet<&str> = metadata::finalizers(new)
        .into_iter()
        .filter(|finalizer| !before.contains(finalizer))
        .collect();
    let bare = added.into_iter().filter(|finalizer| {
        !finalizer.contains('/')
            && !["orphan", "foregroundDeletion", "kubernetes"].contains(finalizer)
    });
    bare.map(|finalizer| {
        let path = if finalizer.contains('.') {
            " including a path (/)"
        } else {
            ""
        };
        format!(
            "metadata.finalizers: {finalizer:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )
    })
    .collect()
}

/// Whether PUT creates an object that does not exist.
pub(crate) fn allows_create_on_update(resource: &Resource) -> bool {
    match resource.strategy {
        Strategy::Event | Strategy::Lease => true,
        Strategy::Custom | Strategy::Definition | Strategy::Namespace | Strategy::Plain => false,
    }
}

/// Whether PUT without a resourceVersion overwrites the stored object.
pub(crate) fn allows_unconditional_update(resource: &Resource) -> bool {
    match resource.strategy {
        Strategy::Event | Strategy::Namespace | Strategy::Plain => true,
        Strategy::Custom | Strategy::Definition | Strategy::Lease => false,
    }
}

/// Whether something else than `metadata.finalizers` keeps the object: a namespace has `spec.finalizers`.
pub(crate) fn is_held(resource: &Resource, object: &Object) -> bool {
    resource.strategy == Strategy::Namespace
        && object
            .get("spec")
            .and_then(|spec| spec["finalizers"].as_array())
            .is_some_and(|finalizers| !finalizers.is_empty())
}
