//! Options of requests, from query and body into the registry's words.

use http::HeaderMap;
use http::header::USER_AGENT;
use serde_json::{Value, json};

use super::decode::Decoded;
use super::negotiate::PatchType;
use super::query::Query;
use super::service::Asked;
use crate::standalone::error::{ApiError, Details, FieldError, FieldErrorKind, StatusCause};
use crate::standalone::kinds::Resource;
use crate::standalone::registry::ownership;
use crate::standalone::registry::{
    DeleteOptions, FieldSelector, FieldValidation, LabelSelector, ListOptions, Propagation,
    Selectors, VersionMatch, WriteOptions,
};

/// 422 on an option: `DeleteOptions.meta.k8s.io "" is invalid: ...`.
fn invalid(kind: &str, finding: &FieldError) -> ApiError {
    ApiError {
        code: 422,
        reason: "Invalid",
        message: format!("{kind}.meta.k8s.io \"\" is invalid: {finding}"),
        continue_token: None,
        details: Some(Box::new(Details {
            group: "meta.k8s.io".to_owned(),
            kind: kind.to_owned(),
            causes: vec![StatusCause::of(finding)],
            ..Details::default()
        })),
    }
}

fn unsupported(kind: &str, field: &str, found: &str, known: &[&str]) -> ApiError {
    let known: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
    let finding = FieldError {
        field: field.to_owned(),
        kind: FieldErrorKind::NotSupported,
        value: Some(found.into()),
        detail: format!("supported values: {}", known.join(", ")),
    };
    invalid(kind, &finding)
}

/// `dryRun` knows one value.
fn dry_run<'a>(kind: &str, values: impl Iterator<Item = &'a str>) -> Result<bool, ApiError> {
    let mut found = false;
    for value in values {
        if value != "All" {
            return Err(unsupported(kind, "dryRun", value, &["All"]));
        }
        found = true;
    }
    Ok(found)
}

/// How to write; `kind` is what the options are called in errors, `body` may have findings of its own.
pub(super) fn write(
    asked: &Asked<'_>,
    kind: &str,
    body: &Decoded,
) -> Result<WriteOptions, ApiError> {
    let query = asked.query;
    let field_validation = match query.said("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            let known = ["Ignore", "Strict", "Warn"];
            return Err(unsupported(kind, "fieldValidation", other, &known));
        }
    };
    let doubled = body.duplicates.iter();
    Ok(WriteOptions {
        dry_run: dry_run(kind, query.all("dryRun"))?,
        field_manager: manager(query, asked.headers, kind)?,
        field_validation,
        findings: doubled
            .map(|path| format!("duplicate field {path:?}"))
            .collect(),
    })
}

/// Whose fields they are: who says so, else who the client is.
fn manager(query: &Query, headers: &HeaderMap, kind: &str) -> Result<Option<String>, ApiError> {
    if let Some(manager) = query.said("fieldManager") {
        let findings = ownership::check_manager("fieldManager", manager);
        return match findings.first() {
            None => Ok(Some(manager.to_owned())),
            Some(finding) => Err(invalid(kind, finding)),
        };
    }
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let name = agent.and_then(|agent| agent.split('/').next());
    let mut manager = String::new();
    for c in name.into_iter().flat_map(str::chars) {
        if ownership::is_printable(c) {
            if manager.len() + c.len_utf8() > ownership::MANAGER {
                break;
            }
            manager.push(c);
        }
    }
    Ok((!manager.is_empty()).then_some(manager))
}

/// What an apply must say, and others may not.
pub(super) fn check_patch(query: &Query, patch: PatchType) -> Result<(), ApiError> {
    let finding = match patch {
        PatchType::Apply if query.said("fieldManager").is_none() => FieldError::bare(
            "fieldManager",
            FieldErrorKind::Required,
            "is required for apply patch",
        ),
        PatchType::Json | PatchType::Merge | PatchType::Strategic
            if query.text("force").is_some() =>
        {
            FieldError::bare(
                "force",
                FieldErrorKind::Forbidden,
                "may not be specified for non-apply patch",
            )
        }
        PatchType::Apply | PatchType::Json | PatchType::Merge | PatchType::Strategic => {
            return Ok(());
        }
    };
    Err(invalid("PatchOptions", &finding))
}

/// How to delete: the body counts where it says something, else the query.
pub(super) fn delete(query: &Query, body: Option<Value>) -> Result<DeleteOptions, ApiError> {
    let body = body.unwrap_or_else(|| json!({}));
    if !body.is_object() {
        return Err(ApiError::bad_request("the body is no DeleteOptions"));
    }
    if let Some(kind) = body["kind"].as_str()
        && kind != "DeleteOptions"
    {
        return Err(ApiError::bad_request(format!(
            "{kind} in version {} cannot be handled as a DeleteOptions",
            body["apiVersion"]
        )));
    }
    let wrong = |field: &str| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized: DeleteOptions.{field} has the wrong type"
        ))
    };
    let text = |found: &Value, field: &str| match found {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(wrong(field)),
    };
    let kind = "DeleteOptions";
    let dry_run = match &body["dryRun"] {
        Value::Null => dry_run(kind, query.all("dryRun"))?,
        Value::Array(values) => {
            let values = values.iter().map(|v| v.as_str().unwrap_or_default());
            dry_run(kind, values)?
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            return Err(wrong("dryRun"));
        }
    };
    let policy = text(&body["propagationPolicy"], "propagationPolicy")?
        .or_else(|| query.said("propagationPolicy").map(str::to_owned));
    let orphan = match &body["orphanDependents"] {
        Value::Null => query.flag("orphanDependents"),
        Value::Bool(orphan) => Some(*orphan),
        Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong("orphanDependents"));
        }
    };
    let propagation = match (policy.as_deref(), orphan) {
        (Some(_), Some(_)) => {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let policy = Value::from(policy.as_deref());
            return Err(invalid(
                kind,
                &FieldError::invalid("propagationPolicy", &policy, why),
            ));
        }
        (Some("Background"), None) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), None) => Some(Propagation::Foreground),
        (Some("Orphan"), None) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, None) => None,
        (Some(other), None) => {
            let known = ["Foreground", "Background", "Orphan"];
            return Err(unsupported(kind, "propagationPolicy", other, &known));
        }
    };
    // Nothing served here has a life to end gently: any grace is none.
    if !(body["gracePeriodSeconds"].is_null() || body["gracePeriodSeconds"].is_i64()) {
        return Err(wrong("gracePeriodSeconds"));
    }
    query.number("gracePeriodSeconds")?;
    let preconditions = &body["preconditions"];
    Ok(DeleteOptions {
        uid: text(&preconditions["uid"], "preconditions.uid")?,
        resource_version: text(
            &preconditions["resourceVersion"],
            "preconditions.resourceVersion",
        )?,
        propagation,
        dry_run,
    })
}

/// Which objects of a collection.
pub(super) fn selectors(query: &Query, resource: &Resource) -> Result<Selectors, ApiError> {
    Ok(Selectors {
        labels: LabelSelector::parse(query.said("labelSelector").unwrap_or_default())?,
        fields: FieldSelector::parse(query.said("fieldSelector").unwrap_or_default(), resource)?,
    })
}

/// What to list.
pub(super) fn list(query: &Query, resource: &Resource) -> Result<ListOptions, ApiError> {
    let forbidden = |field: &str, why: &str| {
        let finding = FieldError::bare(field, FieldErrorKind::Forbidden, why);
        invalid("ListOptions", &finding)
    };
    if query.said("sendInitialEvents").is_some() {
        return Err(forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    let version_match = version_match(query)?;
    let (version, token) = (query.said("resourceVersion"), query.said("continue"));
    if version_match.is_some() && version.is_none() {
        return Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    if version_match.is_some() && token.is_some() {
        return Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        ));
    }
    if version_match == Some(VersionMatch::Exact) && version == Some("0") {
        return Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        ));
    }
    let limit = query.number("limit")?.unwrap_or(0);
    Ok(ListOptions {
        selectors: selectors(query, resource)?,
        limit: usize::try_from(limit).ok().filter(|limit| *limit > 0),
        continue_token: token.map(str::to_owned),
        resource_version: version.map(str::to_owned),
        version_match,
    })
}

fn version_match(query: &Query) -> Result<Option<VersionMatch>, ApiError> {
    match query.said("resourceVersionMatch") {
        None => Ok(None),
        Some("Exact") => Ok(Some(VersionMatch::Exact)),
        Some("NotOlderThan") => Ok(Some(VersionMatch::NotOlderThan)),
        Some(other) => Err(unsupported(
            "ListOptions",
            "resourceVersionMatch",
            other,
            &["Exact", "NotOlderThan", ""],
        )),
    }
}

/// A watch cannot begin with the objects there are, as on every server where that feature is off: clients list first.
pub(super) fn no_initial_events(query: &Query) -> Result<(), ApiError> {
    let why = |field: &str, why: &str| {
        let finding = FieldError::bare(field, FieldErrorKind::Forbidden, why);
        Err(invalid("ListOptions", &finding))
    };
    if query.said("sendInitialEvents").is_some() {
        return why(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        );
    }
    if version_match(query)?.is_some() {
        return why(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
    }
    Ok(())
}
