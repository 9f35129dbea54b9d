//! The rules on `metadata`, with the texts of a real API server.

use std::collections::BTreeSet;

use rand::RngExt as _;
use serde_json::{Map, Value};

use super::ownership;
use crate::api::names::is_object_name;
use crate::standalone::error::{FieldError, FieldErrorKind};
use crate::standalone::kinds::{Conduct, Resource};
use crate::standalone::store::owner_id;

/// An object, whole.
pub(super) type Object = Map<String, Value>;

/// Bytes that all annotations of an object may have together.
const ANNOTATIONS: usize = 256 << 10;
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

// === reading ===

/// A text of the metadata; empty when it is not there.
pub(super) fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A field of the metadata.
pub(super) fn field<'a>(object: &'a Object, field: &str) -> Option<&'a Value> {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .filter(|value| !value.is_null())
}

/// The metadata, to change it. Every object that came through `body` has it.
pub(super) fn of(object: &mut Object) -> &mut Map<String, Value> {
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata
        .as_object_mut()
        .expect("it was made an object right above")
}

/// Whether it is being deleted.
pub(super) fn is_deleting(object: &Object) -> bool {
    field(object, "deletionTimestamp").is_some()
}

/// The finalizers, in order.
pub(super) fn finalizers(object: &Object) -> Vec<&str> {
    field(object, "finalizers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Puts this list of finalizers; an empty one takes the field away.
pub(super) fn set_finalizers(object: &mut Object, finalizers: &[&str]) {
    let metadata = of(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.to_vec().into());
    }
}

/// The owner references, as they stand.
pub(super) fn owners(object: &Object) -> &[Value] {
    field(object, "ownerReferences")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Ids of the owners.
pub(super) fn owner_ids(object: &Object) -> BTreeSet<u128> {
    owners(object)
        .iter()
        .filter_map(|owner| owner["uid"].as_str())
        .map(owner_id)
        .collect()
}

/// `v1` and group `a/v1` of an owner reference's apiVersion: the group.
pub(super) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

// === names ===

/// A name from `generateName`: five characters more, cut to 63.
pub(super) fn generated_name(base: &str) -> String {
    // No vowels and no digits that read like letters: no words, no mix-ups.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const SUFFIX: usize = 5;
    const LONGEST: usize = 63;
    let mut end = base.len().min(LONGEST - SUFFIX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    let mut random = rand::rng();
    for _ in 0..SUFFIX {
        name.push(char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    }
    name
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alnum = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    alnum(bytes.first())
        && alnum(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Whether `key` can be a label's key (or an annotation's, or a finalizer): `[prefix/]name`.
pub(super) fn is_label_key(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            return Err("a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')".to_owned());
        }
        Some(("", _)) => return Err("prefix part must be non-empty".to_owned()),
        Some((prefix, _)) if prefix.len() > 253 => {
            return Err("prefix part must be no more than 253 bytes".to_owned());
        }
        Some((prefix, _)) if !is_object_name(prefix) => {
            return Err(format!("prefix part {SUBDOMAIN}"));
        }
        Some((_, name)) => name,
    };
    if name.is_empty() {
        return Err("name part must be non-empty".to_owned());
    }
    if name.len() > 63 {
        return Err("name part must be no more than 63 bytes".to_owned());
    }
    if !is_name_part(name) {
        return Err(NAME_PART.to_owned());
    }
    Ok(())
}

/// Whether `value` can be a label's value.
pub(super) fn is_label_value(value: &str) -> Result<(), String> {
    if value.len() > 63 {
        return Err("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_name_part(value) {
        return Err(LABEL_VALUE.to_owned());
    }
    Ok(())
}

// === validation ===

/// Everything that is wrong with the metadata of a new object.
pub(super) fn check_new(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::bare(
            "metadata.name",
            FieldErrorKind::Required,
            "name or generateName is required",
        ));
    } else {
        check_name(resource, name, &mut errors);
    }
    check_common(object, &mut errors);
    errors
}

fn check_name(resource: &Resource, name: &str, errors: &mut Vec<FieldError>) {
    let value = Value::from(name);
    let mut add = |why: &str| errors.push(FieldError::invalid("metadata.name", &value, why));
    match resource.conduct {
        Conduct::Namespace => {
            if name.len() > 63 {
                add("must be no more than 63 bytes");
            }
            if name.contains('.') && is_object_name(name) {
                add("must not contain dots");
            } else if name.len() <= 253 && !is_object_name(name) {
                add(LABEL);
            }
        }
        Conduct::Custom
        | Conduct::Definition
        | Conduct::Event
        | Conduct::Lease
        | Conduct::Plain => {
            if name.len() > 253 {
                add("must be no more than 253 bytes");
            } else if !is_object_name(name) {
                add(SUBDOMAIN);
            }
        }
    }
}

/// Everything that is wrong with the metadata of `new` as the successor of `old`. What the server itself keeps (UID, times)
/// was put in by then, so whatever differs is what the client wants changed.
pub(super) fn check_changed(old: &Object, new: &Object) -> Vec<FieldError> {
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
    check_common(new, &mut errors);
    errors
}

/// Whether all annotations together are more than an object may have.
pub(super) fn annotations_are_too_big(object: &Object) -> bool {
    let annotations = field(object, "annotations").and_then(Value::as_object);
    let bytes: usize = annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    bytes > ANNOTATIONS
}

fn check_common(object: &Object, errors: &mut Vec<FieldError>) {
    let map = |name| field(object, name).and_then(Value::as_object);
    for (key, value) in map("labels").into_iter().flatten() {
        if let Err(why) = is_label_key(key) {
            errors.push(FieldError::invalid(
                "metadata.labels",
                &key.as_str().into(),
                why,
            ));
        }
        if let Err(why) = is_label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid("metadata.labels", value, why));
        }
    }
    for key in map("annotations").into_iter().flat_map(Map::keys) {
        if let Err(why) = is_label_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid(
                "metadata.annotations",
                &key.as_str().into(),
                why,
            ));
        }
    }
    if annotations_are_too_big(object) {
        errors.push(FieldError::bare(
            "metadata.annotations",
            FieldErrorKind::TooLong,
            format!("may not be more than {ANNOTATIONS} bytes"),
        ));
    }
    check_owners(owners(object), errors);
    errors.extend(ownership::check(object));
    let finalizers = finalizers(object);
    for finalizer in &finalizers {
        if let Err(why) = is_label_key(finalizer) {
            errors.push(FieldError::invalid(
                "metadata.finalizers",
                &(*finalizer).into(),
                why,
            ));
        }
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            &finalizers.into(),
            "finalizer orphan and foregroundDeletion cannot be both set",
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
            if owner[name].as_str().is_none_or(str::is_empty) {
                errors.push(FieldError::invalid(
                    format!("metadata.ownerReferences.{name}"),
                    &"".into(),
                    why,
                ));
            }
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
    fn generated_names_fit_and_differ() {
        let long = "x".repeat(100);
        let name = generated_name(&long);
        assert_eq!(name.len(), 63);
        assert!(name.starts_with(&"x".repeat(58)));
        assert!(is_object_name(&generated_name("claim-")));
        assert_ne!(generated_name("a"), generated_name("a"));
    }

    #[test]
    fn keys_and_values_of_labels() {
        for good in [
            "a",
            "a.b/c",
            "A_1",
            "ipam.metal3.io/ipaddress",
            "ippool.ipam.metal3.io",
        ] {
            assert!(is_label_key(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A/b", "-a", &"a".repeat(64), "a b"] {
            assert!(is_label_key(bad).is_err(), "{bad}");
        }
        assert!(is_label_value("").is_ok() && is_label_value("a.b_c-1").is_ok());
        assert!(is_label_value("a b").is_err() && is_label_value(&"a".repeat(64)).is_err());
    }

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
        assert_eq!(
            check_changed(&old, &new)[0].to_string(),
            r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a", "b"}"#
        );
    }
}
