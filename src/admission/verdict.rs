//! What a review finds, bounded whatever was handed in: Kubernetes' field errors, and warnings.

use std::fmt;
use std::io;

use serde_json::Value;

/// The most errors, and the most warnings, that a verdict lists; one more then counts the rest.
pub const MAX_FINDINGS: usize = 64;
/// The longest warning, in characters.
pub const MAX_WARNING: usize = 256;
/// The longest echo of a value, and of a key inside a field's path, in characters.
const MAX_ECHO: usize = 128;
/// The longest detail of an error, in characters: five holders of an address fit.
const MAX_DETAIL: usize = 2048;

/// Kubernetes' types of field errors, as far as they are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The value breaks a rule.
    Invalid,
    /// The value is missing.
    Required,
    /// The value may be there once only.
    Duplicate,
    /// The value would be fine elsewhere or at another time, not here and now.
    Forbidden,
    /// The value is none of a fixed set.
    NotSupported,
}

impl Cause {
    /// `reason` of a cause in a Kubernetes `Status`, such as `FieldValueInvalid`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotSupported => "FieldValueNotSupported",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid value",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::NotSupported => "Unsupported value",
        }
    }
}

/// One broken rule. Displays in the form of Kubernetes' field errors:
/// `spec.pools[0].end: Invalid value: "10.0.0.1": must not be below start 10.0.0.9`.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Path of the field, such as `spec.pools[0].end` or `metadata.annotations[ipAddress]`.
    pub field: String,
    /// What kind of mistake it is.
    pub cause: Cause,
    /// The value that breaks the rule, cut to 128 characters; none where the value says nothing.
    pub value: Option<Value>,
    /// What was expected and what can be done.
    pub detail: String,
}

impl Violation {
    pub(super) fn new(
        field: impl fmt::Display,
        cause: Cause,
        value: Option<&Value>,
        detail: impl fmt::Display,
    ) -> Self {
        Self {
            field: field.to_string(),
            cause,
            value: value.map(echo),
            detail: clip(&detail.to_string(), MAX_DETAIL),
        }
    }

    /// The message without the field: what a cause in a Kubernetes `Status` says beside its `field`.
    pub fn message(&self) -> String {
        let mut text = self.cause.title().to_owned();
        let shows_value = match self.cause {
            Cause::Invalid | Cause::Duplicate | Cause::NotSupported => true,
            Cause::Required | Cause::Forbidden => false,
        };
        if let Some(value) = self.value.as_ref().filter(|_| shows_value) {
            text.push_str(": ");
            text.push_str(&value.to_string());
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// What is to be said about one write. Without errors it may go ahead.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Why it must not be stored, in the order of the spec; at most [`MAX_FINDINGS`], then one that counts the rest.
    pub errors: Vec<Violation>,
    /// What the user should know, one line of printable ASCII each; at most [`MAX_FINDINGS`], then one that counts the rest.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Whether the write may go ahead.
    pub fn is_allowed(&self) -> bool {
        self.errors.is_empty()
    }

    /// All errors as one text, as Kubernetes joins them: one alone, several as `[a, b]`. Empty without errors.
    pub fn summary(&self) -> String {
        let lines: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        match lines.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        }
    }
}

/// Collects findings; beyond the bound it only counts, so garbage of any size costs no memory.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<Violation>,
    errors_unlisted: usize,
    warnings: Vec<String>,
    warnings_unlisted: usize,
}

impl Findings {
    pub(super) fn error(
        &mut self,
        field: impl fmt::Display,
        cause: Cause,
        value: Option<&Value>,
        detail: impl fmt::Display,
    ) {
        if self.errors.len() < MAX_FINDINGS {
            self.errors
                .push(Violation::new(field, cause, value, detail));
        } else {
            self.errors_unlisted += 1;
        }
    }

    pub(super) fn warn(&mut self, field: impl fmt::Display, text: impl fmt::Display) {
        if self.warnings.len() < MAX_FINDINGS {
            // Warnings travel as HTTP headers.
            let plain: String = format!("{field}: {text}")
                .chars()
                .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
                .collect();
            self.warnings.push(clip(&plain, MAX_WARNING));
        } else {
            self.warnings_unlisted += 1;
        }
    }

    /// How many errors there are so far: rules that would only echo an earlier mistake ask whether that rose.
    pub(super) fn count(&self) -> usize {
        self.errors.len() + self.errors_unlisted
    }

    pub(super) fn into_verdict(self) -> Verdict {
        let Self {
            mut errors,
            errors_unlisted,
            mut warnings,
            warnings_unlisted,
        } = self;
        if errors_unlisted > 0 {
            let rest = format!("{errors_unlisted} more errors are not listed; mend these first");
            errors.push(Violation::new("spec", Cause::Invalid, None, rest));
        }
        if warnings_unlisted > 0 {
            warnings.push(format!("{warnings_unlisted} more warnings are not listed"));
        }
        Verdict { errors, warnings }
    }
}

/// The first `most` characters, the last three of them dots where something was cut. Looks at no more than it keeps.
fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 3).chain("...".chars()).collect(),
    }
}

/// A name from an object, fit for a path or a sentence: bounded, on one line.
pub(super) fn shown(name: &str) -> String {
    clip(name, MAX_ECHO)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// The value itself when short, else the beginning of its text.
fn echo(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => Value::String(clip(text, MAX_ECHO)),
        Value::Array(_) | Value::Object(_) => {
            let mut head = Head(Vec::new());
            // An error means that the head is full, which is the point.
            if serde_json::to_writer(&mut head, value).is_ok() && head.0.len() <= MAX_ECHO {
                value.clone()
            } else {
                Value::String(clip(&String::from_utf8_lossy(&head.0), MAX_ECHO))
            }
        }
    }
}

/// Takes the first bytes of a value's text and then refuses, so that echoing megabytes costs nothing.
struct Head(Vec<u8>);

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Four bytes are the longest character; one character more than is kept tells that something was cut.
        let room = ((MAX_ECHO + 1) * 4).saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
