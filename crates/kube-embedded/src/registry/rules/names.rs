//! The rules on names of objects and on keys and values of labels, with the texts of a real API server; and generated names.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::field::{FieldError, FieldErrorKind};
use crate::kinds::{Resource, Strategy};
use crate::registry::rules::metadata::{Object, text};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Longest name of an object.
const MAX_NAME: usize = 253;

/// Whether this is an RFC 1123 subdomain.
fn is_object_name(name: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|b| is_alphanumeric(*b))
            && bytes.last().is_some_and(|b| is_alphanumeric(*b))
            && bytes.iter().all(|b| is_alphanumeric(*b) || *b == b'-')
    };
    !name.is_empty() && name.len() <= MAX_NAME && name.split('.').all(is_label)
}

/// A name from `generateName`: five characters more, cut to 63.
pub(crate) fn generated_name(base: &str, random: &mut StdRng) -> String {
    // Without vowels and without digits that look like letters, so that no words come out.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const SUFFIX: usize = 5;
    const LONGEST: usize = 63;
    let mut end = base.len().min(LONGEST - SUFFIX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
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

/// Checks the key of a label or an annotation, or a finalizer: `[prefix/]name`.
pub(crate) fn key_faults(key: &str) -> Vec<String> {
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

/// Checks the value of a label.
pub(crate) fn value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > 63 {
        faults.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_name_part(value) {
        faults.push(LABEL_VALUE.to_owned());
    }
    faults
}

/// Checks name and generateName.
pub(crate) fn check_names(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let base = text(object, "generateName");
    if !base.is_empty() {
        // A dash at the end is allowed, because more characters follow.
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

/// `name`: what is checked. `shown`: the value of the field, for the error.
pub(crate) fn check_name(
    resource: &Resource,
    field: &str,
    shown: &str,
    name: &str,
    errors: &mut Vec<FieldError>,
) {
    let value = Value::from(shown);
    let path = format!("metadata.{field}");
    let mut add = |why: &str| errors.push(FieldError::invalid(path.as_str(), &value, why));
    match resource.strategy {
        Strategy::Event => {
            // The name of an Event only has to fit into a path.
            if name == "." || name == ".." {
                add(&format!("may not be '{name}'"));
            }
            for part in ["/", "%"].into_iter().filter(|part| name.contains(part)) {
                add(&format!("may not contain '{part}'"));
            }
        }
        Strategy::Namespace => {
            if name.len() > 63 {
                add("must be no more than 63 characters");
            }
            if name.contains('.') && is_object_name(name) {
                add("must not contain dots");
            } else if name.len() <= MAX_NAME && !is_object_name(name) {
                add(LABEL);
            }
        }
        Strategy::Custom | Strategy::Definition | Strategy::Lease | Strategy::Plain => {
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn generated_names_fit_and_differ() {
        let long = "x".repeat(100);
        let mut random = StdRng::seed_from_u64(1);
        let mut named = |base: &str| generated_name(base, &mut random);
        let name = named(&long);
        assert_eq!(name.len(), 63);
        assert!(name.starts_with(&"x".repeat(58)));
        assert!(is_object_name(&named("gadget-")));
        assert_ne!(named("a"), named("a"));
    }

    #[test]
    fn keys_and_values_of_labels() {
        for good in [
            "a",
            "a.b/c",
            "A_1",
            "example.com/gear",
            "widget.example.com",
        ] {
            assert!(key_faults(good).is_empty(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A/b", "-a", &"a".repeat(64), "a b"] {
            assert!(!key_faults(bad).is_empty(), "{bad}");
        }
        assert!(value_faults("").is_empty() && value_faults("a.b_c-1").is_empty());
        assert!(!value_faults("a b").is_empty() && !value_faults(&"a".repeat(64)).is_empty());
    }
}
