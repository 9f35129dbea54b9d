//! Writes: read the object, compute its successor, commit it if the object was not written meanwhile, else start again. Nothing
//! is locked.

pub(crate) mod apply;
pub(crate) mod body;
pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod json_patch;
pub(crate) mod managed_fields;
pub(crate) mod patch;
pub(crate) mod strategic_merge;
pub(crate) mod update;

use bytes::Bytes;
use serde_json::Value;

use self::body::Came;
use self::managed_fields::By;
use crate::error::ApiError;
use crate::registry::request::{Patch, Target, WriteOptions, Written};
use crate::registry::rules::check::{check_version, no_number, other_uid};
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::strategy;
use crate::registry::write::commit::{Left, Old, left_of};
use crate::registry::{Registry, commit_failed};
use crate::store::{CommitError, Committed};

/// How often a write of an object is computed again when others write the object meanwhile. Each lost attempt means that another
/// write succeeded, so this many in a row mean that something else is wrong.
pub(crate) const ATTEMPTS: usize = 64;

/// What was committed. `None` when the object was written meanwhile, so that the write must be computed again.
pub(crate) fn unless_changed(
    stored: Result<Committed, CommitError>,
) -> Result<Option<Committed>, ApiError> {
    match stored {
        Ok(committed) => Ok(Some(committed)),
        Err(CommitError::Refused(_)) => Ok(None),
        Err(other) => Err(commit_failed(&other)),
    }
}

impl Registry {
    /// Replaces an object.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Invalid` or `BadRequest`.
    pub async fn update(
        &self,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        if resource.is_read_only() {
            return Err(ApiError::method_not_allowed(resource, "update"));
        }
        let mut warnings = Vec::new();
        self.update_from(target, body, options, &mut warnings)
            .await
            .map_err(|error| error.after(&warnings))
    }

    async fn update_from(
        &self,
        target: &Target,
        body: Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        let name = target.name()?;
        let mut wanted = body::decode(resource, body, Came::Whole, options, warnings)?;
        match_path(target, &mut wanted)?;
        body::merge_owners(&mut wanted, Came::Whole, warnings);
        if target.subresource.is_none()
            && strategy::allows_create_on_update(resource)
            && self
                .inner
                .store
                .snapshot()?
                .get(&target.key(name))?
                .is_none()
        {
            let uid = metadata::text(&wanted, "uid");
            if !uid.is_empty() {
                return Err(other_uid(target, uid, ""));
            }
            let version = metadata::text(&wanted, "resourceVersion");
            // There is no object whose version it could be compared with.
            if !version.is_empty() && version.parse::<u64>().is_err() {
                return Err(no_number(version));
            }
            let by = By::new(options, self.now());
            let mut new = wanted.clone();
            metadata::of(&mut new).remove("resourceVersion");
            update::prepare_for_create(resource, &mut new, &by);
            match self
                .create_named(target, new, options, Some(&by), warnings)
                .await
            {
                // It was created meanwhile, and is updated.
                Err(error) if error.reason == "AlreadyExists" => {}
                other => return other,
            }
        }
        let by = By::new(options, self.now());
        let uid = metadata::text(&wanted, "uid");
        self.replace(target, options, warnings, Some(&by), |old, _| {
            let found = metadata::text(&old.object, "uid");
            if uid.is_empty() || uid == found {
                Ok(wanted.clone())
            } else {
                Err(other_uid(target, uid, found))
            }
        })
        .await
    }

    /// Changes an object. An apply creates one that does not exist.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Invalid` or `BadRequest`.
    pub async fn patch(
        &self,
        target: &Target,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        if resource.is_read_only() {
            return Err(ApiError::method_not_allowed(resource, "patch"));
        }
        target.name()?;
        patch::check(resource, &patch)?;
        if let Patch::Apply { body, force } = patch {
            return self.apply(target, body, force, options).await;
        }
        let by = By::new(options, self.now());
        let came = match patch {
            Patch::Strategic(_) => Came::Merged,
            Patch::Json(_) | Patch::Merge(_) | Patch::Apply { .. } => Came::Patched,
        };
        let mut warnings = Vec::new();
        let patched = self.replace(
            target,
            options,
            &mut warnings,
            Some(&by),
            |old, warnings| {
                let patched = patch::apply(resource, &patch, old.object.clone())?;
                let mut wanted = body::decode(resource, patched, came, options, warnings)?;
                match_path(target, &mut wanted)?;
                body::merge_owners(&mut wanted, came, warnings);
                Ok(wanted)
            },
        );
        let patched = patched.await;
        patched.map_err(|error| error.after(&warnings))
    }

    /// Reads the object, asks `want` for its successor, and commits it; again when the object was written meanwhile. `by`: the
    /// manager to record as the owner of the changes. `None` when `want` returns managedFields (server-side apply).
    pub(crate) async fn replace(
        &self,
        target: &Target,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
        by: Option<&By>,
        want: impl Fn(&Old, &mut Vec<String>) -> Result<Object, ApiError>,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        let name = target.name()?;
        let key = target.key(name);
        let first = warnings.len();
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.inner.store.snapshot()?.get(&key)? else {
                return Err(ApiError::not_found(resource, name));
            };
            let old = Old::read(stored)?;
            warnings.truncate(first);
            let wanted = want(&old, warnings)?;
            check_version(target, &old, &wanted)?;
            let kind = metadata::kind(&wanted).to_owned();
            let mut new = update::successor(resource, &old.object, wanted, target.subresource, by);
            managed_fields::keep_times(&old.object, &mut new);
            // A selfLink is accepted and not stored.
            let link = metadata::of(&mut new).remove("selfLink");
            self.check_update(target, &old, &new, &kind, warnings)?;
            // A status of null counts as absent, as a real API server reads it back.
            if new.get("status").is_some_and(Value::is_null) {
                new.remove("status");
            }
            let shows_link = options.dry_run && link.is_some();
            if !update::differs(&old.object, &new) && !shows_link {
                return Ok(Written {
                    revision: old.stored.revision,
                    object: old.stored.object,
                    created: false,
                    warnings: std::mem::take(warnings),
                });
            }
            let version = old.stored.revision.to_string();
            metadata::of(&mut new).insert("resourceVersion".to_owned(), version.into());
            if options.dry_run {
                if let Some(link) = link {
                    metadata::of(&mut new).insert("selfLink".to_owned(), link);
                }
                return Ok(self.not_stored(&new, false, std::mem::take(warnings)));
            }
            let mut stored = self.store_next(resource, &key, &old, &new).await;
            if fits_without_entries(&stored, by, &mut new) {
                stored = self.store_next(resource, &key, &old, &new).await;
            }
            let Some(committed) = unless_changed(stored)? else {
                continue;
            };
            if left_of(resource, &old, &new) == Left::Gone {
                // A deleted object is shown as it was asked for, without a version.
                return Ok(self.not_stored(&new, false, std::mem::take(warnings)));
            }
            return Ok(Written {
                object: committed.object,
                revision: committed.revision,
                created: false,
                warnings: std::mem::take(warnings),
            });
        }
        Err(ApiError::modified(resource, name))
    }

    pub(crate) fn not_stored(
        &self,
        object: &Object,
        created: bool,
        warnings: Vec<String>,
    ) -> Written {
        Written {
            object: Bytes::from(serde_json::to_vec(object).expect("writing to memory cannot fail")),
            revision: self.revision(),
            created,
            warnings,
        }
    }
}

/// Removes the entries of managedFields from an object that was too big to store, and returns whether to try again. Not for an
/// apply, which fails instead.
pub(crate) fn fits_without_entries(
    stored: &Result<Committed, CommitError>,
    by: Option<&By>,
    object: &mut Object,
) -> bool {
    matches!(stored, Err(CommitError::TooLarge))
        && by.is_some()
        && managed_fields::drop_entries(object)
}

/// Checks that name and namespace of the body are those of the path, and sets the namespace.
pub(crate) fn match_path(target: &Target, object: &mut Object) -> Result<(), ApiError> {
    let resource = &target.resource;
    if let Some(name) = target.name.as_deref() {
        let found = metadata::text(object, "name");
        if found.is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        if found != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
    }
    if !resource.namespaced {
        metadata::of(object).remove("namespace");
        return Ok(());
    }
    let namespace = target.namespace();
    if namespace.is_empty() {
        return Err(ApiError::bad_request(
            "an empty namespace may not be set during creation",
        ));
    }
    let found = metadata::text(object, "namespace");
    if !found.is_empty() && found != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata::of(object).insert("namespace".to_owned(), namespace.into());
    Ok(())
}
