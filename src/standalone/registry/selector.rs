//! Label and field selectors: read once per request, matched against objects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::metadata::{is_label_key, is_label_value};
use crate::standalone::error::{ApiError, truncated};
use crate::standalone::kinds::{Resource, at_path};

/// Most requirements of one selector, and the longest text of one; more is no selection but an attack.
const MOST: usize = 1024;

/// `a=b,c!=d,e in (f,g),h notin (i),j,!k`: all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector(Vec<LabelRequirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    test: LabelTest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelTest {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
    Above(i64),
    Below(i64),
}

/// `metadata.name=a,spec.address!=b`: all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector(Vec<FieldRequirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldRequirement {
    path: String,
    equal: bool,
    value: String,
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Reads `labelSelector` of a query.
    ///
    /// # Errors
    /// `BadRequest` with the place that cannot be read.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (requirement, after) =
                label_requirement(rest).map_err(|why| unreadable(text, &why))?;
            requirements.push(requirement);
            if requirements.len() > MOST {
                return Err(unreadable(text, "too many requirements"));
            }
            rest = after.trim_start();
            if let Some(next) = rest.strip_prefix(',') {
                rest = next.trim_start();
                if rest.is_empty() {
                    return Err(unreadable(text, "found '', expected: identifier after ','"));
                }
            } else if !rest.is_empty() {
                let found = rest.split([',', ' ']).next().unwrap_or(rest);
                return Err(unreadable(
                    text,
                    &format!(
                        "found '{}', expected: ',' or 'end of string'",
                        truncated(found, 64)
                    ),
                ));
            }
        }
        Ok(Self(requirements))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn matches(&self, labels: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(requirement.key.as_str());
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match &requirement.test {
                LabelTest::In(values) => {
                    value.is_some_and(|value| values.iter().any(|v| v == value))
                }
                LabelTest::NotIn(values) => {
                    value.is_none_or(|value| !values.iter().any(|v| v == value))
                }
                LabelTest::Exists => value.is_some(),
                LabelTest::Missing => value.is_none(),
                LabelTest::Above(bound) => number().is_some_and(|n| n > *bound),
                LabelTest::Below(bound) => number().is_some_and(|n| n < *bound),
            }
        })
    }
}

fn unreadable(text: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "unable to parse requirement: {why} in {:?}",
        truncated(text, 128)
    ))
}

/// The first requirement of `text`, and what comes after it.
fn label_requirement(text: &str) -> Result<(LabelRequirement, &str), String> {
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) if !rest.starts_with('=') => (true, rest.trim_start()),
        _ => (false, text),
    };
    let (key, rest) = word(text);
    if key.is_empty() {
        return Err(format!(
            "found '{}', expected: !, identifier, or 'end of string'",
            truncated(text, 32)
        ));
    }
    is_label_key(key).map_err(|why| format!("key: Invalid value: {key:?}: {why}"))?;
    let rest = rest.trim_start();
    let made = |test| LabelRequirement {
        key: key.to_owned(),
        test,
    };
    if negated {
        return Ok((made(LabelTest::Missing), rest));
    }
    if rest.is_empty() || rest.starts_with(',') {
        return Ok((made(LabelTest::Exists), rest));
    }
    for (operator, equal) in [("==", true), ("!=", false), ("=", true)] {
        if let Some(rest) = rest.strip_prefix(operator) {
            let (value, rest) = word(rest.trim_start());
            let values = vec![label_value(value)?];
            let test = if equal {
                LabelTest::In(values)
            } else {
                LabelTest::NotIn(values)
            };
            return Ok((made(test), rest));
        }
    }
    for (operator, above) in [(">", true), ("<", false)] {
        if let Some(rest) = rest.strip_prefix(operator) {
            let (value, rest) = word(rest.trim_start());
            let bound = value.parse().map_err(|_| {
                format!(
                    "for 'Gt', 'Lt' operators, the value must be an integer, found '{}'",
                    truncated(value, 32)
                )
            })?;
            let test = if above {
                LabelTest::Above(bound)
            } else {
                LabelTest::Below(bound)
            };
            return Ok((made(test), rest));
        }
    }
    let (operator, rest) = word(rest);
    let wanted = match operator {
        "in" => true,
        "notin" => false,
        other => {
            return Err(format!(
                "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                truncated(other, 32)
            ));
        }
    };
    let rest = rest.trim_start().strip_prefix('(').ok_or("expected: '('")?;
    let (list, rest) = rest.split_once(')').ok_or("expected: ')'")?;
    let values = list
        .split(',')
        .map(|value| label_value(value.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    let test = if wanted {
        LabelTest::In(values)
    } else {
        LabelTest::NotIn(values)
    };
    Ok((made(test), rest))
}

fn label_value(value: &str) -> Result<String, String> {
    is_label_value(value).map_err(|why| format!("values[0]: Invalid value: {value:?}: {why}"))?;
    Ok(value.to_owned())
}

/// Text up to white space or an operator.
fn word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| c.is_whitespace() || "=!<>(),".contains(c))
        .unwrap_or(text.len());
    text.split_at(end)
}

// === impl FieldSelector ===

impl FieldSelector {
    /// Reads `fieldSelector` of a query; which fields may be named is the resource's.
    ///
    /// # Errors
    /// `BadRequest` for a field that the resource does not select by, or text that cannot be read.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, ApiError> {
        let mut requirements = Vec::new();
        for term in terms(text) {
            if term.is_empty() {
                continue;
            }
            let (path, equal, value) = field_requirement(term).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "invalid selector: '{}'; can't understand '{}'",
                    truncated(text, 128),
                    truncated(term, 64)
                ))
            })?;
            let known = path == "metadata.name"
                || (path == "metadata.namespace" && resource.namespaced)
                || resource.selectable.iter().any(|field| field == path);
            if !known {
                return Err(ApiError::bad_request(format!(
                    "field label not supported: {}",
                    truncated(path, 128)
                )));
            }
            if requirements.len() == MOST {
                return Err(ApiError::bad_request("too many field requirements"));
            }
            requirements.push(FieldRequirement {
                path: path.to_owned(),
                equal,
                value,
            });
        }
        Ok(Self(requirements))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one name that is wanted, if that is what it says.
    pub(super) fn name(&self) -> Option<&str> {
        self.equals("metadata.name")
    }

    /// The one namespace that is wanted, if that is what it says.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.equals("metadata.namespace")
    }

    fn equals(&self, path: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|r| r.equal && r.path == path)
            .map(|r| r.value.as_str())
    }

    /// Whether it looks at more than the key tells.
    fn needs_object(&self) -> bool {
        self.0.iter().any(|r| !r.path.starts_with("metadata."))
    }

    fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().all(|r| match r.path.as_str() {
            "metadata.name" => (r.value == name) == r.equal,
            "metadata.namespace" => (r.value == namespace) == r.equal,
            _ => true,
        })
    }

    fn matches_object(&self, object: &Value) -> bool {
        self.0
            .iter()
            .filter(|r| !r.path.starts_with("metadata."))
            .all(|r| (field_text(object, &r.path) == r.value) == r.equal)
    }
}

/// Comma-separated terms; a backslash keeps the comma that follows it.
fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut from, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[from..]);
    terms
}

fn field_requirement(term: &str) -> Option<(&str, bool, String)> {
    let at = term.find(['=', '!'])?;
    let (path, rest) = term.split_at(at);
    let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else if let Some(value) = rest.strip_prefix("==") {
        (true, value)
    } else {
        (true, rest.strip_prefix('=')?)
    };
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|c| r"\,=".contains(*c))?),
            ',' | '=' => return None,
            other => plain.push(other),
        }
    }
    Some((path, equal, plain))
}

/// A field as a selector compares it: absent is empty.
pub(super) fn field_text<'a>(object: &'a Value, path: &str) -> Cow<'a, str> {
    // `source` of an Event is short for its component, as in core/v1's own conversion.
    let found = match path {
        "source" => at_path(object, "source.component"),
        "reportingComponent" => at_path(object, path)
            .filter(|v| v.as_str() != Some(""))
            .or_else(|| at_path(object, "source.component")),
        path => at_path(object, path),
    };
    match found {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(other) => Cow::Owned(other.to_string()),
    }
}

// === matching ===

/// Just what label selectors look at.
#[derive(Deserialize)]
struct Labelled<'a> {
    #[serde(borrow)]
    metadata: Labels<'a>,
}

#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl super::Selectors {
    /// Whether every object is meant.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object's text must be looked at, beyond its key.
    pub(super) fn needs_object(&self) -> bool {
        !self.labels.is_empty() || self.fields.needs_object()
    }

    /// Whether the object of this key and text is meant.
    pub(super) fn matches(&self, namespace: &str, name: &str, object: &[u8]) -> bool {
        if !self.fields.matches_key(namespace, name) {
            return false;
        }
        if !self.labels.is_empty() {
            let labels = serde_json::from_slice::<Labelled<'_>>(object)
                .ok()
                .and_then(|object| object.metadata.labels)
                .unwrap_or_default();
            if !self.labels.matches(&labels) {
                return false;
            }
        }
        !self.fields.needs_object()
            || serde_json::from_slice(object)
                .is_ok_and(|object| self.fields.matches_object(&object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::standalone::kinds::Resources;
    use crate::standalone::registry::Selectors;

    #[test]
    fn label_selectors_select_as_kubernetes_does() {
        let object = json!({"metadata": {"labels": {"a": "1", "x/y": "z", "e": ""}}}).to_string();
        for (text, want) in [
            ("", true),
            ("a", true),
            ("a=1", true),
            ("a==1", true),
            ("a = 1 , x/y = z", true),
            ("a=2", false),
            ("a!=2", true),
            ("b!=2", true),
            ("!b", true),
            ("!a", false),
            ("a in (1, 2)", true),
            ("a in (2,3)", false),
            ("a notin (2)", true),
            ("b notin (2)", true),
            ("b in (2)", false),
            ("a>0", true),
            ("a<1", false),
            ("e=", true),
            ("a=1,b", false),
        ] {
            let selectors = Selectors {
                labels: LabelSelector::parse(text).unwrap(),
                ..Selectors::default()
            };
            assert_eq!(
                selectors.matches("ns", "n", object.as_bytes()),
                want,
                "{text}"
            );
        }
        for bad in [
            ",", "a,", "a b", "=1", "a in 1", "a in (1", "-a=1", "a=b=c", "a>x", "!",
        ] {
            let error = LabelSelector::parse(bad).unwrap_err();
            assert_eq!(error.code, 400, "{bad}");
        }
    }

    #[test]
    fn field_selectors_know_the_resources_fields_only() {
        let kinds = Resources::served();
        let address = kinds.by_kind("ipam.metal3.io", "IPAddress").unwrap();
        let object = json!({"spec": {"address": "10.0.0.1", "pool": {"name": "p"}}}).to_string();
        for (text, want) in [
            ("spec.address=10.0.0.1", true),
            ("spec.address==10.0.0.1,metadata.name=n", true),
            ("spec.address!=10.0.0.1", false),
            ("spec.pool.name=q", false),
            ("metadata.name!=n", false),
            ("metadata.namespace=ns", true),
            ("", true),
        ] {
            let selectors = Selectors {
                fields: FieldSelector::parse(text, address).unwrap(),
                ..Selectors::default()
            };
            assert_eq!(
                selectors.matches("ns", "n", object.as_bytes()),
                want,
                "{text}"
            );
        }
        let error = FieldSelector::parse("spec.foo=1", address).unwrap_err();
        assert_eq!(error.message, "field label not supported: spec.foo");
        assert_eq!(FieldSelector::parse("spec", address).unwrap_err().code, 400);
    }
}
