//! Errors of fields, with the texts of Kubernetes' `field.Error`.

use std::fmt;

use serde_json::Value;

/// The kinds of field errors, as `field.Error` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// The value is wrong.
    Invalid,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// A value is missing.
    Required,
    /// The value is repeated.
    Duplicate,
    /// The field cannot be set or changed.
    Forbidden,
    /// The value is none of those supported.
    NotSupported,
    /// The value is too long.
    TooLong,
    /// The value has too many items.
    TooMany,
}

/// One error of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Path: `spec.parts[0].end`.
    pub field: String,
    /// The kind of the error.
    pub kind: FieldErrorKind,
    /// The value, which the text shows, cut, for some kinds of errors.
    pub value: Option<Value>,
    /// What was expected.
    pub detail: String,
}

/// Longest text of a value in a message, in characters, so that a message does not grow with the input.
const ECHO: usize = 256;

// === impl FieldErrorKind ===

impl FieldErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::NotSupported => "Unsupported value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }

    fn echoes(self) -> bool {
        match self {
            Self::Invalid
            | Self::TypeInvalid
            | Self::Duplicate
            | Self::NotSupported
            | Self::TooMany => true,
            Self::Required | Self::Forbidden | Self::TooLong => false,
        }
    }
}

// === impl FieldError ===

impl FieldError {
    /// `field: Invalid value: value: detail`.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind: FieldErrorKind::Invalid,
            value: Some(value.clone()),
            detail: detail.into(),
        }
    }

    /// `field: <kind>: detail`, without a value.
    pub fn bare(field: impl Into<String>, kind: FieldErrorKind, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind,
            value: None,
            detail: detail.into(),
        }
    }

    /// The text without the field.
    pub fn body(&self) -> String {
        let mut text = self.kind.text().to_owned();
        if self.kind.echoes()
            && let Some(value) = &self.value
        {
            text.push_str(": ");
            text.push_str(&echo(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// A value for a message: JSON text, cut after [`ECHO`] characters.
fn echo(value: &Value) -> String {
    let text = match value {
        Value::Object(map) if map.len() > 32 => "{...}".to_owned(),
        Value::Array(list) if list.len() > 32 => "[...]".to_owned(),
        Value::String(text) if text.len() > 4 * ECHO => {
            let head: String = text.chars().take(ECHO).collect();
            return format!("{}...", Value::String(head));
        }
        other => other.to_string(),
    };
    truncated(&text, ECHO)
}

/// `text`, cut to `most` characters, with dots where something was cut.
pub(crate) fn truncated(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((cut, _)) => format!("{}...", &text[..cut]),
    }
}

/// The sentence about a value of a wrong type: `expected a string at spec.pool, got a list`. `path` is empty at the root.
pub(crate) fn expected(wanted: &str, path: &str, found: &str) -> String {
    if path.is_empty() {
        format!("expected {wanted}, got {found}")
    } else {
        format!("expected {wanted} at {}, got {found}", truncated(path, 256))
    }
}

/// What a value is, for [`expected`]. Strings are not shown: they may be secret.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_message_grows_with_the_value_it_echoes() {
        for value in [
            json!("é".repeat(100_000)),
            json!(vec!["x"; 100_000]),
            json!({"a": "b".repeat(100_000)}),
        ] {
            let text = FieldError::invalid("f", &value, "d").to_string();
            assert!(text.len() < 1200, "{} bytes", text.len());
        }
    }
}
