//! The rules on an object beyond its metadata, and on an update as the successor of the stored object.

use serde_json::Value;

use crate::error::ApiError;
use crate::field::{FieldError, FieldErrorKind, expected, truncated};
use crate::kinds::{Resource, Strategy};
use crate::registry::Registry;
use crate::registry::request::{Subresource, Target};
use crate::registry::rules;
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::names;
use crate::registry::rules::strategy;
use crate::registry::write::commit::Old;
use crate::schema::Schema;

impl Registry {
    /// Checks the successor of an object. `kind`: the kind that the client sent, for errors.
    pub(crate) fn check_update(
        &self,
        target: &Target,
        old: &Old,
        new: &Object,
        kind: &str,
        warnings: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        let resource = &target.resource;
        let (general, changed) = rules::check_changed(resource, &old.object, new);
        let mut errors = general.clone();
        errors.extend(changed.iter().cloned());
        let of_another_kind = check_kind(resource, new);
        if of_another_kind.is_empty() {
            // A real API server reports changed metadata twice: by the rules for all objects, and by the kind's own.
            let core = rules::check_core(resource, new);
            if resource.strategy != Strategy::Event {
                errors.extend(changed);
                errors.extend(core.iter().cloned());
            }
            if resource.strategy == Strategy::Plain {
                errors.extend(strategy::check_change(resource, &old.object, new));
                errors.extend(names::check_names(resource, new));
                errors.extend(general);
                errors.extend(core);
            }
            errors.extend(match target.subresource {
                None => check_contents(resource, Some(&old.object), new),
                Some(Subresource::Status) => check_status(resource, &old.object, new),
            });
        } else {
            // For an object of another kind a real API server runs the rules in CEL and nothing else.
            errors.extend(of_another_kind);
        }
        if let Some(schema) = &resource.schema {
            errors = with_rules(schema, errors, new, Some(&old.object));
        }
        if errors.is_empty() && target.subresource.is_none() {
            errors = self.admit(resource, Some(&old.object), new, warnings);
        }
        if errors.is_empty() {
            warnings.extend(strategy::warnings(resource, Some(&old.object), new));
            Ok(())
        } else {
            Err(ApiError::invalid_as(
                &resource.group,
                kind,
                metadata::text(&old.object, "name"),
                &errors,
            ))
        }
    }
}

/// The resourceVersion that the client sent, if any, must be the stored object's.
pub(crate) fn check_version(target: &Target, old: &Old, wanted: &Object) -> Result<(), ApiError> {
    let resource = &target.resource;
    let name = metadata::text(&old.object, "name");
    let version = metadata::text(wanted, "resourceVersion");
    if version.is_empty() || version == "0" {
        if strategy::allows_unconditional_update(resource) {
            return Ok(());
        }
        return Err(ApiError::invalid_resource(
            resource,
            name,
            &[FieldError::invalid(
                "metadata.resourceVersion",
                &0.into(),
                "must be specified for an update",
            )],
        ));
    }
    match version.parse::<u64>() {
        Ok(version) if version == old.stored.revision => Ok(()),
        Ok(_) => Err(ApiError::modified(resource, name)),
        Err(_) => Err(no_number(version)),
    }
}

/// 500 without a reason, as a real API server answers to a resourceVersion that is not a number.
pub(crate) fn no_number(version: &str) -> ApiError {
    let version = format!("{:?}", truncated(version, 256));
    ApiError::unreasoned(expected("a number", "metadata.resourceVersion", &version))
}

/// 409 of a PUT with a UID that is not the stored object's.
pub(crate) fn other_uid(target: &Target, wanted: &str, found: &str) -> ApiError {
    let resource = &target.resource;
    let name = target.name.as_deref().unwrap_or_default();
    let place = match resource.strategy {
        Strategy::Custom => format!("{}/{}", resource.group, resource.plural),
        Strategy::Definition
        | Strategy::Namespace
        | Strategy::Event
        | Strategy::Lease
        | Strategy::Plain => resource.plural.clone(),
    };
    let within = match target.namespace() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    ApiError::conflict(
        resource,
        name,
        format_args!(
            "StorageError: invalid object, Code: 4, Key: /registry/{place}/{within}{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
        ),
    )
}

/// The kind of a custom resource must be the resource's. Built-in kinds were read as the resource's kind.
pub(crate) fn check_kind(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let found = metadata::kind(object);
    if found == resource.kind {
        return Vec::new();
    }
    let why = format!("must be {}", resource.kind);
    vec![FieldError::invalid("kind", &found.into(), why)]
}

/// The rules on everything but the metadata. A violation that the stored object already has is allowed.
pub(crate) fn check_contents(
    resource: &Resource,
    old: Option<&Object>,
    new: &Object,
) -> Vec<FieldError> {
    let Some(schema) = &resource.schema else {
        return strategy::check(resource, new);
    };
    let mut errors = schema.validate(new);
    if let (Some(old), false) = (old, errors.is_empty()) {
        let before = schema.validate(old);
        errors.retain(|error| !before.contains(error));
    }
    errors
}

/// Adds the violations of the rules in CEL. As on a real API server they do not run on an object in which something is missing,
/// too long or of a wrong type, in its metadata or elsewhere.
pub(crate) fn with_rules(
    schema: &Schema,
    mut errors: Vec<FieldError>,
    new: &Object,
    old: Option<&Object>,
) -> Vec<FieldError> {
    if !schema.has_rules() {
        return errors;
    }
    let blocks = |error: &FieldError| match error.kind {
        FieldErrorKind::NotSupported
        | FieldErrorKind::Required
        | FieldErrorKind::TooLong
        | FieldErrorKind::TooMany
        | FieldErrorKind::TypeInvalid => true,
        FieldErrorKind::Invalid | FieldErrorKind::Duplicate | FieldErrorKind::Forbidden => false,
    };
    if errors.iter().any(blocks) {
        errors.push(FieldError::invalid(
            "<nil>",
            &Value::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
        ));
    } else {
        errors.extend(schema.check_rules(new, old));
    }
    errors
}

/// The rules on a status that is written through the subresource.
fn check_status(resource: &Resource, old: &Object, new: &Object) -> Vec<FieldError> {
    let Some(schema) = &resource.schema else {
        return Vec::new();
    };
    let Some(status) = new.get("status") else {
        return Vec::new();
    };
    let before = old.get("status");
    if status.is_null() && before.is_none_or(Value::is_null) {
        // Nothing changes.
        return Vec::new();
    }
    let mut errors = schema.validate_part("status", status);
    if let (Some(old), false) = (before, errors.is_empty()) {
        let before = schema.validate_part("status", old);
        errors.retain(|error| !before.contains(error));
    }
    errors
}
