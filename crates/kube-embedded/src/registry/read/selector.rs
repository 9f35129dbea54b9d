//! Label and field selectors: parsed once per request, matched against objects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::field::truncated;
use crate::kinds::{Resource, Strategy, at_path};
use crate::registry::read::label_selector;

/// Most requirements of one selector, and the longest text of one. A bound against attacks.
pub(crate) const MOST: usize = 1024;

/// `a=b,c!=d,e in (f,g),h notin (i),j,!k`: all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector(Vec<LabelRequirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelRequirement {
    pub(crate) key: String,
    pub(crate) test: LabelTest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LabelTest {
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
    /// Parses `labelSelector` of a query.
    ///
    /// # Errors
    /// `BadRequest` that shows what cannot be parsed.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match label_selector::requirements(text) {
            Ok(requirements) => Ok(Self(requirements)),
            Err(why) => Err(ApiError::bad_request(why)),
        }
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

// === impl FieldSelector ===

impl FieldSelector {
    /// Parses `fieldSelector` of a query, for a resource, which decides the fields that can be selected by.
    ///
    /// # Errors
    /// `BadRequest` for a field that the resource does not select by, or text that cannot be parsed.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, ApiError> {
        let mut requirements = Vec::new();
        for (path, equal, value) in Self::read(text)? {
            let known = path == "metadata.name"
                || (path == "metadata.namespace" && resource.namespaced)
                || resource.selectable.iter().any(|field| field == path);
            if !known {
                return Err(ApiError::bad_request(not_selectable(resource, path)));
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

    /// The terms: path, whether the value must be equal or not, value.
    ///
    /// # Errors
    /// `BadRequest` for text that cannot be read.
    pub(crate) fn read(text: &str) -> Result<Vec<(&str, bool, String)>, ApiError> {
        terms(text)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(|term| field_requirement(text, term))
            .collect()
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name, if the selector is for one name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.equals("metadata.name")
    }

    /// The namespace, if the selector is for one namespace.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.equals("metadata.namespace")
    }

    fn equals(&self, path: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|r| r.equal && r.path == path)
            .map(|r| r.value.as_str())
    }

    /// Whether it selects by more than name and namespace, which the key has.
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

    /// Whether the text of an object has every value that is selected by, in whatever field: most objects are out by that, and
    /// need not be parsed. Values that JSON writes otherwise, and the empty text of an absent field, are not looked for.
    fn may_match(&self, object: &[u8]) -> bool {
        let as_it_is = |c: char| !matches!(c, '"' | '\\') && !c.is_control();
        let mut sought = self.0.iter().filter(|r| {
            let in_object = r.equal && !r.path.starts_with("metadata.");
            in_object && !r.value.is_empty() && r.value.chars().all(as_it_is)
        });
        sought.all(|r| memmem::find(object, r.value.as_bytes()).is_some())
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

/// The error of a field that cannot be selected by. Events and Secrets have another text.
fn not_selectable(resource: &Resource, path: &str) -> String {
    let path = truncated(path, 128);
    let is_plain = match resource.strategy {
        Strategy::Custom | Strategy::Event | Strategy::Namespace => false,
        Strategy::Lease | Strategy::Definition => true,
        Strategy::Plain => resource.selectable.is_empty(),
    };
    if is_plain {
        format!(
            "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {path}")
    }
}

fn field_requirement<'a>(text: &str, term: &'a str) -> Result<(&'a str, bool, String), ApiError> {
    let unclear = || {
        ApiError::bad_request(format!(
            "invalid selector: '{}'; can't understand '{}'",
            truncated(text, 128),
            truncated(term, 64)
        ))
    };
    let at = term.find(['=', '!']).ok_or_else(unclear)?;
    let (path, rest) = term.split_at(at);
    let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else if let Some(value) = rest.strip_prefix("==") {
        (true, value)
    } else {
        (true, rest.strip_prefix('=').ok_or_else(unclear)?)
    };
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    let wrong = |why: String| {
        Err(ApiError::bad_request(format!(
            "invalid field selector: {why}"
        )))
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if r"\,=".contains(c) => plain.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return wrong(format!("invalid escape sequence: \\{other}"));
                }
            },
            ',' | '=' => return wrong(format!("unescaped character in value: {}", u32::from(c))),
            other => plain.push(other),
        }
    }
    Ok((path, equal, plain))
}

/// The value of a field for a selector. An absent field is the empty string.
pub(crate) fn field_text<'a>(object: &'a Value, path: &str) -> Cow<'a, str> {
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

/// The part of an object that label selectors read.
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

impl crate::registry::Selectors {
    /// Whether every object is selected.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the key of an object is not enough to decide.
    pub(crate) fn needs_object(&self) -> bool {
        !self.labels.is_empty() || self.fields.needs_object()
    }

    /// Whether the object with this key and text is selected.
    pub(crate) fn matches(&self, namespace: &str, name: &str, object: &[u8]) -> bool {
        if !self.fields.matches_key(namespace, name) || !self.fields.may_match(object) {
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
    use crate::registry::Selectors;

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
        let kinds = crate::testing::resources();
        let address = kinds.by_kind("example.com", "Gear").unwrap();
        let object = json!({"spec": {"address": "10.0.0.1", "widget": {"name": "p"}}}).to_string();
        for (text, want) in [
            ("spec.address=10.0.0.1", true),
            ("spec.address==10.0.0.1,metadata.name=n", true),
            ("spec.address!=10.0.0.1", false),
            ("spec.widget.name=q", false),
            ("metadata.name!=n", false),
            ("metadata.namespace=ns", true),
            ("", true),
            // As text it is in the object, and not as this field.
            ("spec.address=p", false),
            ("spec.widget.name=10.0.0.1", false),
            ("spec.address=", false),
            ("spec.widget.name!=", true),
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
