//! The violations that a walk through an object has found so far, and their texts.

use serde_json::Value;

use crate::field::{FieldError, FieldErrorKind};

/// Most findings; the walk ends with them.
const FINDINGS: usize = 256;

/// Findings of one walk.
#[derive(Default)]
pub(super) struct Found {
    pub(super) errors: Vec<FieldError>,
    /// Violations of lists that are sets or maps. They are reported last.
    lists: Vec<FieldError>,
    /// Length of the path prefix to strip before reporting, when a part of an object is checked alone.
    outer: usize,
}

impl Found {
    /// No violations yet, for a part of an object whose path has this length.
    pub(super) fn within(outer: usize) -> Self {
        Self {
            outer,
            ..Self::default()
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= FINDINGS
    }

    pub(super) fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.errors.push(error);
        }
    }

    pub(super) fn of_list(&mut self, error: FieldError) {
        if self.lists.len() < FINDINGS {
            self.lists.push(error);
        }
    }

    pub(super) fn end(&mut self) {
        self.errors.append(&mut self.lists);
    }

    /// No violations yet, for the same part.
    pub(super) fn beside(&self) -> Self {
        Self::within(self.outer)
    }

    /// The path within the part.
    pub(super) fn inner<'a>(&self, path: &'a str) -> &'a str {
        let inner = path.get(self.outer..).unwrap_or(path);
        inner.strip_prefix('.').unwrap_or(inner)
    }

    /// The path of the part; `<nil>` for a whole object.
    pub(super) fn whole<'a>(&self, path: &'a str) -> &'a str {
        match path.get(..self.outer) {
            Some(part) if !part.is_empty() => part,
            Some(_) | None => "<nil>",
        }
    }

    pub(super) fn bare(&mut self, path: &str, kind: FieldErrorKind, detail: &str) {
        self.push(FieldError::bare(path, kind, detail));
    }

    /// `path: Invalid value: value: path in body <what>`.
    pub(super) fn body(&mut self, path: &str, value: &Value, what: &str) {
        let inner = self.inner(path);
        self.push(FieldError::invalid(
            path,
            value,
            format!("{inner} in body {what}"),
        ));
    }

    pub(super) fn wrong_form(&mut self, path: &str, value: &Value, wanted: &str) {
        let why = format!(
            "{} in body must be of type {wanted}: {value}",
            self.inner(path)
        );
        let error = FieldError::invalid(path, value, why);
        self.push(FieldError {
            kind: FieldErrorKind::TypeInvalid,
            ..error
        });
    }

    pub(super) fn wrong_type(&mut self, path: &str, found: &str, wanted: &str) {
        let error = FieldError::invalid(
            path,
            &found.into(),
            format!(
                "{} in body must be of type {wanted}: {found:?}",
                self.inner(path)
            ),
        );
        self.push(FieldError {
            kind: FieldErrorKind::TypeInvalid,
            ..error
        });
    }
}

/// The error of a list or map with too many items.
pub(super) fn too_many(path: &str, count: u64, most: u64) -> FieldError {
    FieldError {
        field: path.to_owned(),
        kind: FieldErrorKind::TooMany,
        value: Some(count.into()),
        detail: format!("must have at most {most} items"),
    }
}
