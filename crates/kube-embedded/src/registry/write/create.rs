//! Creates objects: by POST, by PUT of a kind that allows it, and by the first apply.

use serde_json::Value;

use crate::error::ApiError;
use crate::kinds::Strategy;
use crate::registry::request::{Target, WriteOptions, Written};
use crate::registry::rules;
use crate::registry::rules::check::{check_contents, check_kind, with_rules};
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::names;
use crate::registry::rules::strategy;
use crate::registry::write::body::{self, Came};
use crate::registry::write::commit::Left;
use crate::registry::write::managed_fields::By;
use crate::registry::write::update;
use crate::registry::write::{fits_without_entries, match_path};
use crate::registry::{Registry, commit_failed};
use crate::store::{CommitError, Refused};

/// How many generated names are tried.
const NAMES: usize = 8;

impl Registry {
    /// Creates an object.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid`, `BadRequest`, or the error of a namespace that is missing or being deleted.
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
        match_path(target, &mut object)?;
        body::merge_owners(&mut object, Came::Whole, warnings);
        update::prepare_for_post(&mut object);
        let generate = metadata::text(&object, "name").is_empty()
            && !metadata::text(&object, "generateName").is_empty();
        let by = By::new(options, self.now());
        update::prepare_for_create(resource, &mut object, &by);
        let mut tried = 0;
        loop {
            if generate {
                let name = names::generated_name(
                    metadata::text(&object, "generateName"),
                    &mut self.random(),
                );
                metadata::of(&mut object).insert("name".to_owned(), name.into());
            }
            tried += 1;
            let before = warnings.len();
            match self
                .create_named(target, object.clone(), options, Some(&by), warnings)
                .await
            {
                Err(error) if generate && tried < NAMES && error.reason == "AlreadyExists" => {
                    warnings.truncate(before);
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn create_named(
        &self,
        target: &Target,
        object: Object,
        options: &WriteOptions,
        by: Option<&By>,
        warnings: &mut Vec<String>,
    ) -> Result<Written, ApiError> {
        let resource = &target.resource;
        let uid = self.new_uid();
        let mut object = update::created(resource, object, &uid, &self.now());
        // A selfLink is accepted and not stored; only a dry run shows it.
        let link = metadata::of(&mut object).remove("selfLink");
        // A version that is no number is ignored.
        let version = metadata::text(&object, "resourceVersion").parse::<u64>();
        let is_versioned = version.is_ok_and(|version| version > 0);
        let name = metadata::text(&object, "name").to_owned();
        let within = resource.namespaced.then(|| {
            let namespaces = self.inner.kinds.of_strategy(Strategy::Namespace);
            namespaces.key("", target.namespace())
        });
        let kind = metadata::kind(&object).to_owned();
        let mut errors = check_kind(resource, &object);
        if errors.is_empty() {
            errors = check_contents(resource, None, &object);
            // For an Event a real API server checks the metadata last.
            if resource.strategy != Strategy::Event || errors.is_empty() {
                let mut first = rules::check_new(resource, &object);
                first.extend(rules::check_core(resource, &object));
                first.append(&mut errors);
                errors = first;
            }
        }
        // As in an update.
        if let Some(schema) = &resource.schema {
            errors = with_rules(schema, errors, &object, None);
        }
        if errors.is_empty() {
            errors = self.admit(resource, None, &object, warnings);
        }
        if !errors.is_empty() || options.dry_run || is_versioned {
            // A missing namespace is reported before anything about the object.
            self.check_within(target, &name, within.as_deref())?;
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid_as(&resource.group, &kind, &name, &errors));
        }
        warnings.extend(strategy::warnings(resource, None, &object));
        if options.dry_run {
            self.check_free(target, &object)?;
            if let Some(link) = link {
                metadata::of(&mut object).insert("selfLink".to_owned(), link);
            }
            return Ok(self.not_stored(&object, true, std::mem::take(warnings)));
        }
        if is_versioned {
            return Err(ApiError::unreasoned(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let key = target.key(&name);
        let store =
            async |object: &Object| self.store(resource, &key, None, object, Left::Kept).await;
        let mut committed = store(&object).await;
        if fits_without_entries(&committed, by, &mut object) {
            committed = store(&object).await;
        }
        let committed = committed.map_err(|error| match error {
            CommitError::Refused(Refused::Exists | Refused::Changed) => {
                self.exists(target, &object)
            }
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

    /// Whether the namespace exists and is not being deleted, for a create that is not committed.
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

    /// Whether the name is free, for a create that is not committed.
    fn check_free(&self, target: &Target, new: &Object) -> Result<(), ApiError> {
        let name = metadata::text(new, "name");
        let snapshot = self.inner.store.snapshot()?;
        if !name.is_empty() && snapshot.get(&target.key(name))?.is_some() {
            return Err(self.exists(target, new));
        }
        Ok(())
    }

    /// The error of a name that exists. It says so when that object is being deleted.
    fn exists(&self, target: &Target, new: &Object) -> ApiError {
        let name = metadata::text(new, "name");
        let mut error = if metadata::text(new, "generateName").is_empty() {
            ApiError::already_exists(&target.resource, name)
        } else {
            ApiError::no_unique_name(&target.resource, name)
        };
        let snapshot = self.inner.store.snapshot().ok();
        let found = snapshot.and_then(|snapshot| snapshot.get(&target.key(name)).ok()?);
        if found.is_some_and(|found| found.deleting) {
            error.message.insert_str(0, "object is being deleted: ");
        }
        error
    }

    fn no_namespace(&self, target: &Target) -> ApiError {
        let namespaces = self.inner.kinds.of_strategy(Strategy::Namespace);
        ApiError::not_found(namespaces, target.namespace())
    }
}
