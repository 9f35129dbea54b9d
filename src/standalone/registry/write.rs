//! Writes: read the object, compute its successor, commit it if the object is still the one that was read. Nothing is
//! locked meanwhile; whoever was slower computes again.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::body::{self, Came};
use super::commit::{Left, Old, left_of};
use super::metadata::{self, Object};
use super::ownership::{self, By};
use super::request::{FieldValidation, Patch, Subresource, Target, WriteOptions, Written};
use super::{Registry, commit_failed, conduct, key, patch, update};
use crate::standalone::error::{ApiError, FieldError, truncated};
use crate::standalone::kinds::{Conduct, Resource};
use crate::standalone::store::{CommitError, Committed, Refused};

/// How often a write is computed again before its caller gets a conflict. Whoever loses, someone else won: with this many
/// losses in a row something else is wrong.
pub(super) const ATTEMPTS: usize = 64;
/// How many generated names are tried.
const NAMES: usize = 8;

impl Registry {
    /// Makes an object.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid`, `BadRequest`, or what the namespace does not allow.
    pub async fn create(
        &self,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        if resource.is_read_only() {
            return Err(ApiError::method_not_allowed(resource, "create"));
        }
        let mut warnings = Vec::new();
        self.create_from(target, body, options, &mut warnings)
            .await
            .map_err(|error| error.after(&warnings))
    }

    async fn create_from(
        &self,
        target: &Target,
        body: Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        let mut object = body::decode(resource, body, Came::Whole, options, warnings)?;
        place(target, &mut object)?;
        update::revive(&mut object);
        let generate = metadata::text(&object, "name").is_empty()
            && !metadata::text(&object, "generateName").is_empty();
        let by = By::new(options, self.now());
        update::claim(resource, &mut object, &by);
        let mut names = 0;
        loop {
            if generate {
                let name = metadata::generated_name(metadata::text(&object, "generateName"));
                metadata::of(&mut object).insert("name".to_owned(), name.into());
            }
            names += 1;
            let before = warnings.len();
            match self
                .create_named(target, object.clone(), options, Some(&by), warnings)
                .await
            {
                Err(error) if generate && names < NAMES && error.reason == "AlreadyExists" => {
                    warnings.truncate(before);
                }
                other => return other,
            }
        }
    }

    pub(super) async fn create_named(
        &self,
        target: &Target,
        object: Object,
        options: &WriteOptions,
        by: Option<&By>,
        warnings: &mut Vec<String>,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        let uid = uuid::Uuid::new_v4().to_string();
        let mut object = update::first(resource, object, &uid, &self.now());
        // What is no number says no version.
        let version = metadata::text(&object, "resourceVersion").parse::<u64>();
        let is_versioned = version.is_ok_and(|version| version > 0);
        let name = metadata::text(&object, "name").to_owned();
        let within = resource.namespaced.then(|| {
            let namespaces = self.inner.kinds.of_conduct(Conduct::Namespace);
            key(namespaces, "", target.namespace())
        });
        let kind = metadata::kind(&object).to_owned();
        let mut errors = check_kind(resource, &object);
        if errors.is_empty() {
            errors = check_contents(resource, None, &object);
            // Of an Event, what any object may be wrong in is looked at last.
            if resource.conduct != Conduct::Event || errors.is_empty() {
                let mut first = metadata::check_new(resource, &object);
                first.extend(metadata::check_core(resource, &object));
                first.append(&mut errors);
                errors = first;
            }
        }
        if errors.is_empty() {
            errors = self.admit(resource, None, &object, warnings);
        }
        if !errors.is_empty() || options.dry_run || is_versioned {
            // A namespace that is not there is told before anything about the object in it.
            self.check_within(target, &name, within.as_deref())?;
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid_as(&resource.group, &kind, &name, &errors));
        }
        warnings.extend(conduct::warnings(resource, None, &object));
        if options.dry_run {
            self.check_free(target, &name)?;
            return Ok(self.not_stored(&object, true, std::mem::take(warnings)));
        }
        if is_versioned {
            return Err(ApiError::unreasoned(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let key = target.key(&name);
        let store = async |object: &Object| {
            self.store(resource, &key, None, object, Left::Kept, within.clone())
                .await
        };
        let mut committed = store(&object).await;
        if too_large_to_account(&committed, by, &mut object) {
            committed = store(&object).await;
        }
        let committed = committed.map_err(|error| match error {
            CommitError::Refused(Refused::Exists | Refused::Changed) => self.exists(target, &name),
            CommitError::Refused(Refused::NoNamespace) => self.no_namespace(target),
            CommitError::Refused(Refused::NamespaceDeleting) => {
                ApiError::namespace_terminating(resource, &name, target.namespace())
            }
            other => commit_failed(&other),
        })?;
        Ok(Written {
            object: committed.object,
            revision: committed.revision,
            created: true,
            warnings: std::mem::take(warnings),
        })
    }

    /// Whether the namespace takes something new, for what is not committed.
    fn check_within(
        &self,
        target: &Target,
        name: &str,
        within: Option<&str>,
    ) -> Result<(), ApiError> {
        let Some(namespace) = within else {
            return Ok(());
        };
        match self.inner.store.snapshot()?.get(namespace)? {
            None => Err(self.no_namespace(target)),
            Some(found) if found.deleting => Err(ApiError::namespace_terminating(
                &target.resource,
                name,
                target.namespace(),
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether the name is free, for what is not committed.
    fn check_free(&self, target: &Target, name: &str) -> Result<(), ApiError> {
        let snapshot = self.inner.store.snapshot()?;
        if !name.is_empty() && snapshot.get(&target.key(name))?.is_some() {
            return Err(self.exists(target, name));
        }
        Ok(())
    }

    /// The error of a name that is taken; by something on its way out, that is said too.
    fn exists(&self, target: &Target, name: &str) -> ApiError {
        let mut error = ApiError::already_exists(&target.resource, name);
        let snapshot = self.inner.store.snapshot().ok();
        let found = snapshot.and_then(|snapshot| snapshot.get(&target.key(name)).ok()?);
        if found.is_some_and(|found| found.deleting) {
            error.message.insert_str(0, "object is being deleted: ");
        }
        error
    }

    fn no_namespace(&self, target: &Target) -> ApiError {
        let namespaces = self.inner.kinds.of_conduct(Conduct::Namespace);
        ApiError::not_found(namespaces, target.namespace())
    }

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
        place(target, &mut wanted)?;
        if target.subresource.is_none()
            && conduct::is_made_by_update(resource)
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
            // Any version will do, for there is none to compare it with.
            if !version.is_empty() && version.parse::<u64>().is_err() {
                return Err(no_number(version));
            }
            let by = By::new(options, self.now());
            let mut new = wanted.clone();
            metadata::of(&mut new).remove("resourceVersion");
            update::claim(resource, &mut new, &by);
            match self
                .create_named(target, new, options, Some(&by), warnings)
                .await
            {
                // Someone was faster: then it is an update.
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

    /// Changes an object; an apply makes it where there is none.
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
                let patched = patch::apply(&patch, old.object.clone())?;
                let mut wanted = body::decode(resource, patched, came, options, warnings)?;
                place(target, &mut wanted)?;
                Ok(wanted)
            },
        );
        let patched = patched.await;
        patched.map_err(|error| error.after(&warnings))
    }

    /// Reads, lets `want` say what is wanted, and writes it; again when the object changed meanwhile. `by`: who owns what is
    /// told by what changed; none: `want` has said it.
    pub(super) async fn replace(
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
            let mut new = update::next(resource, &old.object, wanted, target.subresource, by);
            ownership::keep_times(&old.object, &mut new);
            self.check_update(target, &old, &new, warnings)?;
            if !update::differs(&old.object, &new) {
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
                return Ok(self.not_stored(&new, false, std::mem::take(warnings)));
            }
            let mut stored = self.store_next(resource, &key, &old, &new).await;
            if too_large_to_account(&stored, by, &mut new) {
                stored = self.store_next(resource, &key, &old, &new).await;
            }
            match stored {
                // What went is shown as it was asked for, in no version of its own.
                Ok(_) if left_of(resource, &old, &new) == Left::Gone => {
                    return Ok(self.not_stored(&new, false, std::mem::take(warnings)));
                }
                Ok(committed) => {
                    return Ok(Written {
                        object: committed.object,
                        revision: committed.revision,
                        created: false,
                        warnings: std::mem::take(warnings),
                    });
                }
                Err(CommitError::Refused(_)) => {}
                Err(other) => return Err(commit_failed(&other)),
            }
        }
        Err(ApiError::modified(resource, name))
    }

    fn check_update(
        &self,
        target: &Target,
        old: &Old,
        new: &Object,
        warnings: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        let resource = &target.resource;
        let (general, changed) = metadata::check_changed(resource, &old.object, new);
        let mut errors = general.clone();
        errors.extend(changed.iter().cloned());
        let of_another_kind = check_kind(resource, new);
        if of_another_kind.is_empty() {
            // A real server looks at what changed in the metadata twice: for any object, and for this kind.
            let core = metadata::check_core(resource, new);
            if resource.conduct != Conduct::Event {
                errors.extend(changed);
                errors.extend(core.iter().cloned());
            }
            if resource.conduct == Conduct::Plain {
                errors.extend(conduct::check_change(resource, &old.object, new));
                errors.extend(metadata::check_names(resource, new));
                errors.extend(general);
                errors.extend(core);
            }
            errors.extend(match target.subresource {
                None => check_contents(resource, Some(&old.object), new),
                Some(Subresource::Status) => check_status(resource, &old.object, new),
            });
        } else {
            errors.extend(of_another_kind);
        }
        if errors.is_empty() && target.subresource.is_none() {
            errors = self.admit(resource, Some(&old.object), new, warnings);
        }
        if errors.is_empty() {
            warnings.extend(conduct::warnings(resource, Some(&old.object), new));
            Ok(())
        } else {
            Err(ApiError::invalid_as(
                &resource.group,
                metadata::kind(new),
                metadata::text(&old.object, "name"),
                &errors,
            ))
        }
    }

    fn not_stored(&self, object: &Object, created: bool, warnings: Vec<String>) -> Written {
        Written {
            object: Bytes::from(serde_json::to_vec(object).expect("writing to memory cannot fail")),
            revision: self.revision(),
            created,
            warnings,
        }
    }

    /// Makes or replaces what this server itself serves to be read.
    pub(super) async fn put_served(
        &self,
        resource: &Arc<Resource>,
        want: Value,
    ) -> Result<(), ApiError> {
        let options = WriteOptions {
            field_validation: FieldValidation::Ignore,
            ..WriteOptions::default()
        };
        let wanted = body::decode(resource, want, Came::Whole, &options, &mut Vec::new())?;
        let name = metadata::text(&wanted, "name").to_owned();
        let key = key(resource, "", &name);
        let stored = self.inner.store.snapshot()?.get(&key)?;
        let committed = match stored {
            None => {
                let uid = uuid::Uuid::new_v4().to_string();
                let new = update::first(resource, wanted, &uid, &self.now());
                self.store(resource, &key, None, &new, Left::Kept, None)
                    .await
            }
            Some(stored) => {
                let old = Old::read(stored)?;
                // Its conditions keep the time at which they came true.
                let mut wanted = wanted;
                if let Some(status) = old.object.get("status") {
                    wanted.insert("status".to_owned(), status.clone());
                }
                let new = update::next(resource, &old.object, wanted, None, None);
                if !update::differs(&old.object, &new) {
                    return Ok(());
                }
                self.store_next(resource, &key, &old, &new).await
            }
        };
        committed.map(drop).map_err(|error| commit_failed(&error))
    }
}

/// An object that is too big is stored without its entries, if it is not too big then; whoever applies is told instead.
fn too_large_to_account(
    stored: &Result<Committed, CommitError>,
    by: Option<&By>,
    object: &mut Object,
) -> bool {
    matches!(stored, Err(CommitError::TooLarge)) && by.is_some() && ownership::forget(object)
}

/// Name and namespace of the body must be those of the path, where it has them.
pub(super) fn place(target: &Target, object: &mut Object) -> Result<(), ApiError> {
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

/// The resourceVersion that the client names, if any, must be the object's.
fn check_version(target: &Target, old: &Old, wanted: &Object) -> Result<(), ApiError> {
    let resource = &target.resource;
    let name = metadata::text(&old.object, "name");
    let version = metadata::text(wanted, "resourceVersion");
    if version.is_empty() || version == "0" {
        if conduct::is_updated_unconditionally(resource) {
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

/// A resourceVersion that is none: a real server's store stumbles over it, and says so without a reason.
fn no_number(version: &str) -> ApiError {
    ApiError::unreasoned(format!(
        "strconv.ParseUint: parsing {:?}: invalid syntax",
        truncated(version, 256)
    ))
}

/// Whoever replaces an object by PUT and names a UID means the object that has it, and no other of that name.
fn other_uid(target: &Target, wanted: &str, found: &str) -> ApiError {
    let resource = &target.resource;
    let name = target.name.as_deref().unwrap_or_default();
    let place = match resource.conduct {
        Conduct::Custom => format!("{}/{}", resource.group, resource.plural),
        Conduct::Definition
        | Conduct::Namespace
        | Conduct::Event
        | Conduct::Lease
        | Conduct::Plain => resource.plural.clone(),
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

/// A custom resource says what it is; built-in kinds were read as what the path says.
fn check_kind(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let found = metadata::kind(object);
    if found == resource.kind {
        return Vec::new();
    }
    let why = format!("must be {}", resource.kind);
    vec![FieldError::invalid("kind", &found.into(), why)]
}

/// What is wrong with everything but the metadata. What was wrong before, in the same way, is let through.
fn check_contents(resource: &Resource, old: Option<&Object>, new: &Object) -> Vec<FieldError> {
    let mut errors = match &resource.schema {
        Some(schema) => schema.validate(new),
        None => conduct::check(resource, new),
    };
    if let (Some(old), Some(schema), false) = (old, &resource.schema, errors.is_empty()) {
        let before = schema.validate(old);
        errors.retain(|error| !before.contains(error));
    }
    errors
}

/// What is wrong with a status that is written by its own path.
fn check_status(resource: &Resource, old: &Object, new: &Object) -> Vec<FieldError> {
    let Some(schema) = &resource.schema else {
        return Vec::new();
    };
    let Some(status) = new.get("status") else {
        return Vec::new();
    };
    let mut errors = schema.validate_part("status", status);
    if let (Some(old), false) = (old.get("status"), errors.is_empty()) {
        let before = schema.validate_part("status", old);
        errors.retain(|error| !before.contains(error));
    }
    errors
}
