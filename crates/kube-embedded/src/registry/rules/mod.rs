//! The rules on the metadata of objects, with the texts of a real API server.

pub(crate) mod admit;
pub(crate) mod check;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod strategy;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{FieldError, FieldErrorKind};
use crate::kinds::{Resource, Strategy};
use crate::registry::rules::metadata::{Object, field, finalizers, is_deleting, owners, text};
use crate::registry::rules::names::{check_name, check_names, key_faults, value_faults};
use crate::registry::write::managed_fields;

/// Bytes that all annotations of an object may have together.
const ANNOTATIONS: usize = 256 << 10;

/// Checks the metadata of a new object.
pub(crate) fn check_new(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = check_names(resource, object);
    check_common(object, &mut errors);
    errors
}

/// Checks the metadata of `new` as the successor of `old`: the violations that any object can have, and those of rules on
/// changes. Fields that the server keeps (UID, times) were put in before, so a difference is one that the client wants.
pub(crate) fn check_changed(
    resource: &Resource,
    old: &Object,
    new: &Object,
) -> (Vec<FieldError>, Vec<FieldError>) {
    let mut general = Vec::new();
    if resource.strategy == Strategy::Event {
        check_name(
            resource,
            "name",
            text(new, "name"),
            text(new, "name"),
            &mut general,
        );
    }
    check_common(new, &mut general);
    let mut errors = Vec::new();
    if is_deleting(old) {
        let before: BTreeSet<&str> = finalizers(old).into_iter().collect();
        let added: BTreeSet<&str> = finalizers(new)
            .into_iter()
            .filter(|finalizer| !before.contains(finalizer))
            .collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            errors.push(FieldError::bare(
                "metadata.finalizers",
                FieldErrorKind::Forbidden,
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    list.join(", ")
                ),
            ));
        }
    }
    for name in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let (before, after) = (field(old, name), field(new, name));
        if before != after {
            errors.push(FieldError::invalid(
                format!("metadata.{name}"),
                after.unwrap_or(&Value::Null),
                "field is immutable",
            ));
        }
    }
    check_maps(new, &mut errors);
    check_owners(owners(new), &mut errors);
    errors.extend(managed_fields::check(new));
    (general, errors)
}

/// Whether all annotations together are more than an object may have.
pub(crate) fn annotations_are_too_big(object: &Object) -> bool {
    let annotations = field(object, "annotations").and_then(Value::as_object);
    let bytes: usize = annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    bytes > ANNOTATIONS
}

fn check_common(object: &Object, errors: &mut Vec<FieldError>) {
    let generation = field(object, "generation").and_then(Value::as_i64);
    if let Some(generation) = generation.filter(|generation| *generation < 0) {
        errors.push(FieldError::invalid(
            "metadata.generation",
            &generation.into(),
            "must be greater than or equal to 0",
        ));
    }
    check_maps(object, errors);
    check_owners(owners(object), errors);
    let finalizers = finalizers(object);
    for finalizer in &finalizers {
        for why in key_faults(finalizer) {
            let value = Value::from(*finalizer);
            errors.push(FieldError::invalid("metadata.finalizers", &value, why));
        }
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            &finalizers.into(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errors.extend(managed_fields::check(object));
}

/// The additional rule of core kinds: a finalizer is a standard one or has a domain.
pub(crate) fn check_core(resource: &Resource, object: &Object) -> Vec<FieldError> {
    if !matches!(resource.strategy, Strategy::Plain | Strategy::Namespace) {
        return Vec::new();
    }
    let standard = ["kubernetes", "orphan", "foregroundDeletion"];
    finalizers(object)
        .into_iter()
        .enumerate()
        .filter(|(_, finalizer)| !finalizer.contains('/') && !standard.contains(finalizer))
        .map(|(n, finalizer)| {
            FieldError::invalid(
                format!("metadata.finalizers[{n}]"),
                &finalizer.into(),
                "name is neither a standard finalizer name nor is it fully qualified",
            )
        })
        .collect()
}

/// Labels and annotations.
fn check_maps(object: &Object, errors: &mut Vec<FieldError>) {
    let map = |name| field(object, name).and_then(Value::as_object);
    for (key, value) in map("labels").into_iter().flatten() {
        for why in key_faults(key) {
            let key = Value::from(key.as_str());
            errors.push(FieldError::invalid("metadata.labels", &key, why));
        }
        for why in value_faults(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid("metadata.labels", value, why));
        }
    }
    let mut bytes = 0;
    for (key, value) in map("annotations").into_iter().flatten() {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        for why in key_faults(&key.to_lowercase()) {
            let key = Value::from(key.as_str());
            errors.push(FieldError::invalid("metadata.annotations", &key, why));
        }
    }
    if bytes > ANNOTATIONS {
        errors.push(FieldError::bare(
            "metadata.annotations",
            FieldErrorKind::TooLong,
            format!("may not be more than {ANNOTATIONS} bytes"),
        ));
    }
}

fn check_owners(owners: &[Value], errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for owner in owners {
        for (name, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let text = owner[name].as_str().unwrap_or_default();
            // An apiVersion with more than one slash has no version.
            let is_empty =
                text.is_empty() || (name == "apiVersion" && text.matches('/').count() > 1);
            if is_empty {
                let field = format!("metadata.ownerReferences.{name}");
                errors.push(FieldError::invalid(field, &text.into(), why));
            }
        }
        if owner["apiVersion"] == "v1" && owner["kind"] == "Event" {
            errors.push(FieldError::invalid(
                "metadata.ownerReferences",
                owner,
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if owner["controller"] == true {
            let text = |name: &str| owner[name].as_str().unwrap_or_default();
            let this = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                None => controller = Some(this),
                Some(first) => errors.push(FieldError::invalid(
                    "metadata.ownerReferences",
                    &owners.to_vec().into(),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_with_metadata_is_told_with_its_field() {
        let object = |metadata: Value| json!({ "metadata": metadata }).as_object().unwrap().clone();
        let owner = |name: &str| json!({"apiVersion": "v1", "kind": "K", "name": name, "uid": "u", "controller": true});
        let cases = [
            (
                json!({"annotations": {"a": "x".repeat(300_000)}}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            (
                json!({"labels": {"a": "b c"}}),
                "metadata.labels: Invalid value: \"b c\": a valid label must be",
            ),
            (
                json!({"ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n"}]}),
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
            ),
            (
                json!({"ownerReferences": [owner("a"), owner("b")]}),
                "Only one reference can have Controller set to true. Found \"true\" in references for K/a and K/b",
            ),
            (
                json!({"finalizers": ["a b"]}),
                "metadata.finalizers: Invalid value: \"a b\": name part must consist",
            ),
            (
                json!({"finalizers": ["orphan", "foregroundDeletion"]}),
                "cannot be both set",
            ),
        ];
        for (metadata, want) in cases {
            let mut errors = Vec::new();
            check_common(&object(metadata), &mut errors);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].to_string().contains(want), "{}", errors[0]);
        }
        let old = object(json!({"name": "a", "deletionTimestamp": "t", "finalizers": ["x"]}));
        let new =
            object(json!({"name": "a", "deletionTimestamp": "t", "finalizers": ["x", "b", "a"]}));
        let kinds = crate::testing::resources();
        let maps = kinds.by_kind("", "ConfigMap").unwrap();
        assert_eq!(
            check_changed(maps, &old, &new).1[0].to_string(),
            r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a", "b"}"#
        );
    }
}
