//! Reads the options of requests from query and body.

use http::HeaderMap;
use http::header::USER_AGENT;
use serde_json::{Value, json};

use super::decode::Decoded;
use super::negotiate::PatchType;
use super::query::Query;
use super::service::Asked;
use crate::builtin::{self, Source};
use crate::error::ApiError;
use crate::field::{FieldError, FieldErrorKind};
use crate::kinds::Resource;
use crate::registry::write::managed_fields;
use crate::registry::{
    DeleteOptions, FieldSelector, FieldValidation, LabelSelector, ListOptions, Propagation,
    Selectors, VersionMatch, WriteOptions,
};

/// 422 about options, `DeleteOptions.meta.k8s.io "" is invalid: ...`, if there are findings.
fn refuse(kind: &str, findings: &[FieldError]) -> Result<(), ApiError> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid_as("meta.k8s.io", kind, "", findings))
}

fn unsupported(field: &str, found: impl Into<Value>, known: &[&str]) -> FieldError {
    let known: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
    FieldError {
        field: field.to_owned(),
        kind: FieldErrorKind::NotSupported,
        value: Some(found.into()),
        detail: format!("supported values: {}", known.join(", ")),
    }
}

/// Reads `dryRun`, whose only value is `All`.
fn dry_run(values: &[&str], findings: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        findings.push(unsupported("dryRun", values.to_vec(), &["All"]));
    }
    !values.is_empty()
}

/// Reads the options of a write. `kind`: the name of the options in errors. `patch`: the form of the patch, if it is one.
pub(super) fn write(
    asked: &Asked<'_>,
    kind: &str,
    patch: Option<PatchType>,
) -> Result<WriteOptions, ApiError> {
    let query = asked.query;
    let mut findings = Vec::new();
    let manager = manager(query, asked.headers, &mut findings);
    if let Some(patch) = patch {
        findings.extend(check_patch(query, patch));
    }
    let dry_run = dry_run(&query.all("dryRun").collect::<Vec<_>>(), &mut findings);
    let field_validation = match query.said("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            let known = ["", "Ignore", "Strict", "Warn"];
            findings.push(unsupported("fieldValidation", other, &known));
            FieldValidation::Strict
        }
    };
    refuse(kind, &findings)?;
    Ok(WriteOptions {
        dry_run,
        field_manager: manager,
        field_validation,
        findings: Vec::new(),
    })
}

/// The texts of the warnings about repeated keys.
pub(super) fn repeated_keys(body: &Decoded) -> Vec<String> {
    let doubled = body.duplicates.iter();
    doubled
        .map(|path| format!("duplicate field {path:?}"))
        .collect()
}

/// The field manager: `fieldManager`, or else the beginning of `User-Agent`.
fn manager(query: &Query, headers: &HeaderMap, findings: &mut Vec<FieldError>) -> Option<String> {
    if let Some(manager) = query.said("fieldManager") {
        findings.extend(managed_fields::check_manager("fieldManager", manager));
        return Some(manager.to_owned());
    }
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let name = agent.and_then(|agent| agent.split('/').next());
    let mut manager = String::new();
    for c in name.into_iter().flat_map(str::chars) {
        if managed_fields::is_printable(c) {
            if manager.len() + c.len_utf8() > managed_fields::MANAGER {
                break;
            }
            manager.push(c);
        }
    }
    (!manager.is_empty()).then_some(manager)
}

/// Checks the options that an apply requires, and those that other patches cannot have.
fn check_patch(query: &Query, patch: PatchType) -> Option<FieldError> {
    match patch {
        PatchType::Apply if query.said("fieldManager").is_none() => Some(FieldError::bare(
            "fieldManager",
            FieldErrorKind::Required,
            "is required for apply patch",
        )),
        PatchType::Json | PatchType::Merge | PatchType::Strategic
            if query.text("force").is_some() =>
        {
            Some(FieldError::bare(
                "force",
                FieldErrorKind::Forbidden,
                "may not be specified for non-apply patch",
            ))
        }
        PatchType::Apply | PatchType::Json | PatchType::Merge | PatchType::Strategic => None,
    }
}

/// Reads the options of a deletion, from the body, or without a body from the query.
pub(super) fn delete(query: &Query, body: Option<Value>) -> Result<DeleteOptions, ApiError> {
    let options = match body {
        Some(body) => delete_body(body)?,
        None => delete_query(query)?,
    };
    let mut findings = Vec::new();
    let policy = options["propagationPolicy"].as_str();
    let orphan = options["orphanDependents"].as_bool();
    if let (Some(policy), Some(_)) = (policy, orphan) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        findings.push(FieldError::invalid(
            "propagationPolicy",
            &policy.into(),
            why,
        ));
    }
    let propagation = match (policy, orphan) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, None) => None,
        (Some(other), _) => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            findings.push(unsupported("propagationPolicy", other, &known));
            None
        }
    };
    let values: Vec<&str> = options["dryRun"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let dry_run = dry_run(&values, &mut findings);
    refuse("DeleteOptions", &findings)?;
    // Every grace period counts as zero, as for every kind but Pods.
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let preconditions = &options["preconditions"];
    Ok(DeleteOptions {
        uid: text(&preconditions["uid"]),
        resource_version: text(&preconditions["resourceVersion"]),
        propagation,
        orphans_none: orphan == Some(false),
        dry_run,
    })
}

fn delete_body(body: Value) -> Result<Value, ApiError> {
    let found = (body["apiVersion"].as_str(), body["kind"].as_str());
    if let (version, Some(kind)) = found
        && !kind.is_empty()
        && kind != "DeleteOptions"
    {
        let version = version.unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in the scheme of options"
        )));
    }
    let read = builtin::decode(
        &builtin::DELETE_OPTIONS,
        body,
        "",
        Source::Text,
        &mut Vec::new(),
    );
    read.map(Value::Object).map_err(ApiError::bad_request)
}

fn delete_query(query: &Query) -> Result<Value, ApiError> {
    let mut options = json!({});
    let seconds = query.number("gracePeriodSeconds")?;
    if let Some(seconds) = seconds {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(policy) = query.text("propagationPolicy") {
        options["propagationPolicy"] = policy.into();
    }
    if let Some(orphan) = query.flag("orphanDependents") {
        options["orphanDependents"] = orphan.into();
    }
    let values: Vec<&str> = query.all("dryRun").collect();
    if !values.is_empty() {
        options["dryRun"] = values.into();
    }
    Ok(options)
}

/// Reads the selectors of a collection.
pub(super) fn selectors(query: &Query, resource: &Resource) -> Result<Selectors, ApiError> {
    Ok(Selectors {
        labels: LabelSelector::parse(query.said("labelSelector").unwrap_or_default())?,
        fields: FieldSelector::parse(query.said("fieldSelector").unwrap_or_default(), resource)?,
    })
}

/// Reads the options of a list.
pub(super) fn list(query: &Query, resource: &Resource) -> Result<ListOptions, ApiError> {
    let limit = query.number("limit")?.unwrap_or(0);
    // A selector that cannot be parsed is reported before options that contradict each other.
    LabelSelector::parse(query.said("labelSelector").unwrap_or_default())?;
    FieldSelector::read(query.said("fieldSelector").unwrap_or_default())?;
    let mut findings = Vec::new();
    let mut forbidden = |field: &str, why: &str| {
        findings.push(FieldError::bare(field, FieldErrorKind::Forbidden, why));
    };
    let wanted = query.said("resourceVersionMatch");
    let (version, token) = (query.said("resourceVersion"), query.said("continue"));
    if wanted.is_some() && version.is_none() {
        forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        );
    }
    if wanted.is_some() && token.is_some() {
        forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        );
    }
    let version_match = match wanted {
        None => None,
        Some("Exact") => Some(VersionMatch::Exact),
        Some("NotOlderThan") => Some(VersionMatch::NotOlderThan),
        Some(other) => {
            let known = ["Exact", "NotOlderThan", ""];
            findings.push(unsupported("resourceVersionMatch", other, &known));
            None
        }
    };
    let mut forbidden = |field: &str, why: &str| {
        findings.push(FieldError::bare(field, FieldErrorKind::Forbidden, why));
    };
    if version_match == Some(VersionMatch::Exact) && version == Some("0") {
        forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        );
    }
    if query.said("sendInitialEvents").is_some() {
        forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
    }
    refuse("ListOptions", &findings)?;
    Ok(ListOptions {
        selectors: selectors(query, resource)?,
        limit: usize::try_from(limit).ok().filter(|limit| *limit > 0),
        continue_token: token.map(str::to_owned),
        resource_version: version.map(str::to_owned),
        version_match,
        budget: None,
    })
}

/// Refuses `sendInitialEvents`, as a server without the feature gate WatchList does: clients list first.
pub(super) fn no_initial_events(query: &Query) -> Result<(), ApiError> {
    let mut findings = Vec::new();
    let mut forbidden = |field: &str, why: &str| {
        findings.push(FieldError::bare(field, FieldErrorKind::Forbidden, why));
    };
    let wanted = query.said("resourceVersionMatch");
    let asked = query.said("sendInitialEvents").is_some();
    if asked {
        forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        );
    }
    if wanted.is_some() && !asked {
        forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
    }
    if let Some(other) = wanted.filter(|wanted| *wanted != "NotOlderThan") {
        findings.push(unsupported(
            "resourceVersionMatch",
            other,
            &["NotOlderThan"],
        ));
    }
    if wanted.is_some() && query.said("continue").is_some() {
        findings.push(FieldError::bare(
            "resourceVersionMatch",
            FieldErrorKind::Forbidden,
            "resourceVersionMatch is forbidden when continue is provided",
        ));
    }
    refuse("ListOptions", &findings)
}
