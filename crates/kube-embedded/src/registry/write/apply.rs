//! Server-side apply as a write: it changes the stored object, or creates it. `managed_fields` computes who owns which field.

use serde_json::Value;

use crate::builtin;
use crate::error::ApiError;
use crate::kinds::Strategy;
use crate::registry::Registry;
use crate::registry::request::{FieldValidation, Target, WriteOptions, Written};
use crate::registry::rules::check::no_number;
use crate::registry::rules::metadata::{self, Object};
use crate::registry::write::body::{self, Came};
use crate::registry::write::managed_fields::{self, By};
use crate::registry::write::{ATTEMPTS, match_path};

impl Registry {
    /// Applies `config` to the stored object, or creates an object with its fields.
    pub(crate) async fn apply(
        &self,
        target: &Target,
        config: Value,
        force: bool,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        let name = target.name()?;
        let Value::Object(config) = config else {
            return Err(ApiError::bad_request(
                "error decoding YAML: the configuration is not an object",
            ));
        };
        let by = By::new(options, self.now());
        // An applied field that is not in the schema was refused before, so none is left out here.
        let mut plain = options.clone();
        let findings = std::mem::take(&mut plain.findings);
        let decode = |applied: Object, warnings: &mut Vec<String>| {
            report_repeated_keys(&findings, options.field_validation, warnings)?;
            let mut applied = applied;
            if resource.strategy == Strategy::Custom {
                remove_unreadable_times(&mut applied);
            }
            let applied = Value::Object(applied);
            let decoded = body::decode(resource, applied, Came::Applied, &plain, warnings);
            let mut wanted =
                decoded.map_err(|error| managed_fields::not_converted(error, &config))?;
            match_path(target, &mut wanted)?;
            body::merge_owners(&mut wanted, Came::Applied, warnings);
            Ok(wanted)
        };
        let part = target.subresource;
        for _ in 0..ATTEMPTS {
            let is_there = self
                .inner
                .store
                .snapshot()?
                .get(&target.key(name))?
                .is_some();
            if is_there || part.is_some() {
                let mut warnings = Vec::new();
                let applied =
                    self.replace(target, options, &mut warnings, None, |old, warnings| {
                        let old = Some(&old.object);
                        let applied =
                            managed_fields::apply(resource, old, &config, part, force, &by)?;
                        decode(applied, warnings)
                    });
                let applied = applied.await;
                match applied.map_err(|error| error.after(&warnings)) {
                    // It was deleted meanwhile, and is created.
                    Err(error) if error.reason == "NotFound" && part.is_none() => continue,
                    done => return done,
                }
            }
            let mut warnings = Vec::new();
            let applied = managed_fields::apply(resource, None, &config, None, force, &by)?;
            let mut wanted = decode(applied, &mut warnings)?;
            let version = metadata::text(&wanted, "resourceVersion");
            // There is no object whose version it could be compared with.
            if !version.is_empty() && version.parse::<u64>().is_err() {
                return Err(no_number(version));
            }
            metadata::of(&mut wanted).remove("resourceVersion");
            let uid = metadata::text(&wanted, "uid");
            if !uid.is_empty() {
                return Err(ApiError::conflict(
                    resource,
                    name,
                    format_args!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    ),
                ));
            }
            let made = self.create_named(target, wanted, options, None, &mut warnings);
            match made.await {
                // It was created meanwhile, and is changed.
                Err(error) if error.reason == "AlreadyExists" => {}
                done => return done.map_err(|error| error.after(&warnings)),
            }
        }
        Err(ApiError::modified(resource, name))
    }
}

/// Removes times in the metadata that cannot be read, as a real API server does for an applied custom resource. The server sets
/// these times itself.
fn remove_unreadable_times(object: &mut Object) {
    for field in ["creationTimestamp", "deletionTimestamp"] {
        let text = metadata::field(object, field).and_then(Value::as_str);
        if text.is_some_and(|text| builtin::time(text).is_none()) {
            metadata::of(object).remove(field);
        }
    }
}

/// Reports keys that an applied configuration repeats, as `fieldValidation` says.
fn report_repeated_keys(
    findings: &[String],
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    match validation {
        FieldValidation::Strict if !findings.is_empty() => Err(ApiError::bad_request(format!(
            "error strict decoding YAML: {}",
            findings.join(", ")
        ))),
        FieldValidation::Warn => {
            warnings.extend_from_slice(findings);
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}
