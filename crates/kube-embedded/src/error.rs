//! Errors of requests, as a Kubernetes `Status` with code, reason and message. Clients compare reasons and people search for the
//! texts, so both are those of a real API server.

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::field::FieldError;
use crate::kinds::Resource;

/// An error of a request, which the client gets as a Kubernetes `Status`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// `NotFound`, `Conflict`, ... : what clients branch on. Empty where a real API server leaves it out.
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// The object, and the single findings.
    pub details: Option<Box<Details>>,
    /// For an expired list: the token that continues with the newest objects.
    pub continue_token: Option<Box<str>>,
    /// Warnings about the body that were found before the error.
    pub warnings: Vec<String>,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Kind, or (as on a real API server for most reasons) the plural of the resource.
    pub kind: String,
    /// UID of the object, where known.
    pub uid: String,
    /// The single findings.
    pub causes: Vec<StatusCause>,
    /// How long to wait before the next try.
    pub retry_after_seconds: Option<u32>,
}

/// One thing that is wrong with an object: an entry of `details.causes` in a Status.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusCause {
    /// Machine-readable: `FieldValueInvalid`, ...
    pub reason: &'static str,
    /// The finding without its field.
    pub message: String,
    /// Path of the field.
    pub field: String,
}

/// Most findings of one answer.
const FINDINGS: usize = 64;

// === impl ApiError ===

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
            warnings: Vec::new(),
        }
    }

    /// 500 without a reason, where a real API server's own code fails.
    pub(crate) fn unreasoned(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// Adds these warnings before its own.
    #[must_use]
    pub(crate) fn after(mut self, warnings: &[String]) -> Self {
        self.warnings.splice(0..0, warnings.iter().cloned());
        self
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.plural.clone(),
            ..Details::default()
        }));
        self
    }

    /// 404: this object does not exist.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// 404: nothing is served under this path.
    pub fn no_such_path() -> Self {
        let mut error = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = Some(Box::default());
        error
    }

    /// 409: an object of this name exists.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// 409: an object with this generated name exists. The client can try again, for another name.
    pub fn no_unique_name(resource: &Resource, name: &str) -> Self {
        let mut error = Self::already_exists(resource, name);
        error
            .message
            .push_str(", the server was not able to generate a unique name for the object");
        error.retry_after(1)
    }

    /// 409: the object is not in the state that the request was made for.
    pub fn conflict(resource: &Resource, name: &str, why: impl fmt::Display) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 409: the object was written since the client read it.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409: other managers own applied fields. `causes`: each field and its message.
    pub fn apply_conflict(
        message: impl Into<String>,
        causes: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(Box::new(Details {
            causes: causes
                .take(FINDINGS)
                .map(|(field, message)| StatusCause {
                    reason: "FieldManagerConflict",
                    message,
                    field,
                })
                .collect(),
            ..Details::default()
        }));
        error
    }

    /// 422: these fields are wrong.
    pub fn invalid(resource: &Resource, name: &str, findings: &[FieldError]) -> Self {
        Self::invalid_as(&resource.group, &resource.kind, name, findings)
    }

    /// 422 with the plural of the resource instead of the kind, as a real API server's generic registry writes it.
    pub fn invalid_resource(resource: &Resource, name: &str, findings: &[FieldError]) -> Self {
        Self::invalid_as(&resource.group, &resource.plural, name, findings)
    }

    /// 422 about something of this group and kind; both may be empty.
    pub(crate) fn invalid_as(group: &str, kind: &str, name: &str, findings: &[FieldError]) -> Self {
        let who = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let shown = &findings[..findings.len().min(FINDINGS)];
        let mut texts: Vec<String> = Vec::with_capacity(shown.len());
        for finding in shown {
            let text = finding.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        if findings.len() > shown.len() {
            texts.push(format!("and {} more", findings.len() - shown.len()));
        }
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut error = Self::new(422, "Invalid", format!("{who} {name:?} is invalid: {list}"));
        error.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes: shown.iter().map(StatusCause::of).collect(),
            ..Details::default()
        }));
        error
    }

    /// 422: a patch that cannot be carried out on this object.
    pub fn unprocessable() -> Self {
        let mut error = Self::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        );
        error.details = Some(Box::default());
        error
    }

    /// 400: the request cannot be read, or contradicts itself.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: no token, or a wrong one.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: the request is not allowed.
    pub fn forbidden(resource: &Resource, name: &str, why: impl fmt::Display) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", resource.qualified())
        } else {
            format!("{} {name:?} is forbidden: {why}", resource.qualified())
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 403: the namespace is being deleted.
    pub fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut error = Self::forbidden(resource, name, why);
        if let Some(details) = &mut error.details {
            details.causes.push(StatusCause {
                reason: "NamespaceTerminating",
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
        }
        error
    }

    /// 405: the resource does not have this verb.
    pub fn method_not_allowed(resource: &Resource, action: &str) -> Self {
        let message = format!(
            "{action} is not supported on resources of kind {:?}",
            resource.qualified()
        );
        Self::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    /// 405 on a path that is no resource.
    pub fn method_not_allowed_here() -> Self {
        let mut error = Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        error.details = Some(Box::default());
        error
    }

    /// 406: the server writes none of the media types that the client accepts.
    pub fn not_acceptable(accepted: &str) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: {accepted}"),
        )
    }

    /// 410: the revision is too old; the client has to list again.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 410 of a watch from a revision before the history.
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 413: the body or the object is too big.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 415: the server does not read this media type.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {accepted}"
            ),
        )
    }

    /// 415 with this message.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 429: the client shall try again after this time.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message).retry_after(retry_after_seconds)
    }

    /// 500: the server failed.
    pub fn internal(why: impl fmt::Display) -> Self {
        let mut error = Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {why}"),
        );
        error.details = Some(Box::new(Details {
            causes: vec![StatusCause {
                reason: "",
                message: why.to_string(),
                field: String::new(),
            }],
            ..Details::default()
        }));
        error
    }

    /// 503: the server is shutting down.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504: the request did not end in time.
    pub fn timeout(message: impl fmt::Display, retry_after_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}")).retry_after(retry_after_seconds)
    }

    /// 504: a revision that this server has not reached.
    pub fn too_large_revision(asked: u64, current: u64) -> Self {
        let mut error = Self::timeout(
            format_args!("Too large resource version: {asked}, current: {current}"),
            1,
        );
        if let Some(details) = &mut error.details {
            details.causes.push(StatusCause {
                reason: "ResourceVersionTooLarge",
                message: "Too large resource version".to_owned(),
                field: String::new(),
            });
        }
        error
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    /// Adds the object's UID to the details.
    #[must_use]
    pub fn with_uid(mut self, uid: &str) -> Self {
        uid.clone_into(&mut self.details.get_or_insert_default().uid);
        self
    }

    /// The `Status` object.
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = (**token).into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
        }
        status
    }

    /// The `Status` object as JSON text.
    pub fn to_json(&self) -> Bytes {
        Bytes::from(self.to_value().to_string())
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ] {
            if !text.is_empty() {
                map.insert(key.to_owned(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            map.insert(
                "causes".to_owned(),
                self.causes
                    .iter()
                    .map(StatusCause::to_value)
                    .collect::<Value>(),
            );
        }
        if let Some(seconds) = self.retry_after_seconds {
            map.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        Value::Object(map)
    }
}

impl StatusCause {
    /// The cause of a field error.
    pub(super) fn of(finding: &FieldError) -> Self {
        Self {
            reason: finding.kind.reason(),
            message: finding.body(),
            field: finding.field.clone(),
        }
    }

    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [
            ("reason", self.reason),
            ("message", self.message.as_str()),
            ("field", self.field.as_str()),
        ] {
            if !text.is_empty() {
                map.insert(key.to_owned(), text.into());
            }
        }
        Value::Object(map)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldErrorKind;

    #[test]
    fn texts_and_codes_are_those_of_a_real_api_server() {
        let kinds = crate::testing::resources();
        let widgets = kinds.find("example.com", "v1alpha1", "widgets").unwrap();
        let namespaces = kinds.find("", "v1", "namespaces").unwrap();
        let table = [
            (
                ApiError::not_found(widgets, "x"),
                404,
                "NotFound",
                r#"widgets.example.com "x" not found"#,
            ),
            (
                ApiError::not_found(namespaces, "x"),
                404,
                "NotFound",
                r#"namespaces "x" not found"#,
            ),
            (
                ApiError::modified(widgets, "x"),
                409,
                "Conflict",
                r#"Operation cannot be fulfilled on widgets.example.com "x": the object has been modified; please apply your changes to the latest version and try again"#,
            ),
            (
                ApiError::namespace_terminating(widgets, "x", "ns"),
                403,
                "Forbidden",
                r#"widgets.example.com "x" is forbidden: unable to create new content in namespace ns because it is being terminated"#,
            ),
            (
                ApiError::invalid(
                    widgets,
                    "x",
                    &[FieldError::invalid(
                        "spec.parts[0].end",
                        &json!("10.0.0.1"),
                        "too low",
                    )],
                ),
                422,
                "Invalid",
                r#"Widget.example.com "x" is invalid: spec.parts[0].end: Invalid value: "10.0.0.1": too low"#,
            ),
            (
                ApiError::invalid(
                    widgets,
                    "x",
                    &[
                        FieldError::bare("a", FieldErrorKind::Required, ""),
                        FieldError::bare("b", FieldErrorKind::Forbidden, "no"),
                    ],
                ),
                422,
                "Invalid",
                r#"Widget.example.com "x" is invalid: [a: Required value, b: Forbidden: no]"#,
            ),
        ];
        for (error, code, reason, message) in table {
            assert_eq!((error.code, error.reason), (code, reason));
            assert_eq!(error.message, message);
            let status = error.to_value();
            assert_eq!(status["code"], code);
            assert_eq!(status["details"]["name"], "x");
        }
    }
}
