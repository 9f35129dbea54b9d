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
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
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

/// What the object says it is.
pub(super) fn kind(object: &Object) -> &str {
    object
        .get("kind")
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

/// What is wrong with a label's key (or an annotation's, or a finalizer): `[prefix/]name`.
pub(super) fn key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!("a valid label key {QUALIFIED}")];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > 253 {
                    faults.push("prefix part must be no more than 253 bytes".to_owned());
                }
                if !is_subdomain(prefix) {
                    faults.push(format!("prefix part {SUBDOMAIN}"));
                }
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_name_part(name) {
        faults.push(NAME_PART.to_owned());
    }
    faults
}

/// What is wrong with a label's value.
pub(super) fn value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > 63 {
        faults.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_name_part(value) {
        faults.push(LABEL_VALUE.to_owned());
    }
    faults
}

// === validation ===

/// Everything that is wrong with the metadata of a new object.
pub(super) fn check_new(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = check_names(resource, object);
    check_common(object, &mut errors);
    errors
}

/// What is wrong with the name and with what it is made from.
pub(super) fn check_names(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let base = text(object, "generateName");
    if !base.is_empty() {
        // A dash at the end is fine where more follows.
        let full = base
            .strip_suffix('-')
            .map_or_else(|| base.to_owned(), |base| format!("{base}a"));
        check_name(resource, "generateName", base, &full, &mut errors);
    }
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::bare(
            "metadata.name",
            FieldErrorKind::Required,
            "name or generateName is required",
        ));
    } else {
        check_name(resource, "name", name, name, &mut errors);
    }
    errors
}

/// `name` is what is judged, `shown` what the field has.
fn check_name(
    resource: &Resource,
    field: &str,
    shown: &str,
    name: &str,
    errors: &mut Vec<FieldError>,
) {
    let value = Value::from(shown);
    let path = format!("metadata.{field}");
    let mut add = |why: &str| errors.push(FieldError::invalid(path.as_str(), &value, why));
    match resource.conduct {
        Conduct::Event => {
            // Its name need only fit into a path.
            if name == "." || name == ".." {
                add(&format!("may not be '{name}'"));
            }
            for part in ["/", "%"].into_iter().filter(|part| name.contains(part)) {
                add(&format!("may not contain '{part}'"));
            }
        }
        Conduct::Namespace => {
            if name.len() > 63 {
                add("must be no more than 63 characters");
            }
            if name.contains('.') && is_object_name(name) {
                add("must not contain dots");
            } else if name.len() <= 253 && !is_object_name(name) {
                add(LABEL);
            }
        }
        Conduct::Custom | Conduct::Definition | Conduct::Lease | Conduct::Plain => {
            if name.len() > 253 {
                add("must be no more than 253 characters");
            }
            if !is_subdomain(name) {
                add(SUBDOMAIN);
            }
        }
    }
}

/// Whether the name has the right characters, however long it is.
fn is_subdomain(name: &str) -> bool {
    name.split('.').all(|part| {
        let bytes = part.as_bytes();
        let alnum =
            |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        alnum(bytes.first())
            && alnum(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    })
}

/// Everything that is wrong with the metadata of `new` as the successor of `old`: what would be wrong with any object, and what
/// may not change. What the server itself keeps (UID, times) was put in by then, so whatever differs is what the client wants
/// changed.
pub(super) fn check_changed(
    resource: &Resource,
    old: &Object,
    new: &Object,
) -> (Vec<FieldError>, Vec<FieldError>) {
    let mut general = Vec::new();
    if resource.conduct == Conduct::Event {
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
    errors.extend(ownership::check(new));
    (general, errors)
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
    errors.extend(ownership::check(object));
}

/// What kinds of the core group say beyond that: a finalizer names who holds the object.
pub(super) fn check_core(resource: &Resource, object: &Object) -> Vec<FieldError> {
    if !matches!(resource.conduct, Conduct::Plain | Conduct::Namespace) {
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
            // What is no `group/version` has no version.
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
            assert!(key_faults(good).is_empty(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A/b", "-a", &"a".repeat(64), "a b"] {
            assert!(!key_faults(bad).is_empty(), "{bad}");
        }
        assert!(value_faults("").is_empty() && value_faults("a.b_c-1").is_empty());
        assert!(!value_faults("a b").is_empty() && !value_faults(&"a".repeat(64)).is_empty());
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
        let kinds = crate::standalone::kinds::Resources::served();
        let maps = kinds.by_kind("", "ConfigMap").unwrap();
        assert_eq!(
            check_changed(maps, &old, &new).1[0].to_string(),
            r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a", "b"}"#
        );
    }
}
