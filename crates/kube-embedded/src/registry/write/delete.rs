//! Deletion. An object with finalizers is marked and waits for them; others are removed at once.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::error::ApiError;
use crate::kinds::{Resource, Strategy};
use crate::registry::Registry;
use crate::registry::read::budget::Held;
use crate::registry::read::{self, Most};
use crate::registry::request::{DeleteOptions, Deleted, ListOptions, Listed, Propagation, Target};
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::strategy;
use crate::registry::write::commit::{Left, Old};
use crate::registry::write::{ATTEMPTS, unless_changed, update};

/// Deletions of a collection that are under way at one time.
const AT_ONCE: usize = 64;
/// What is read of a collection at one time.
const PART: Most = Most {
    items: Some(512),
    bytes: 4 << 20,
};

impl Registry {
    /// Deletes an object, or marks one that has finalizers.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when a precondition does not hold, or a failing store.
    pub async fn delete(
        &self,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let resource = &target.resource;
        if resource.is_read_only() {
            return Err(ApiError::method_not_allowed(resource, "delete"));
        }
        let name = target.name()?;
        if resource.strategy == Strategy::Namespace && is_everlasting(name) {
            return Err(ApiError::forbidden(
                resource,
                name,
                "this namespace may not be deleted",
            ));
        }
        let key = target.key(name);
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.inner.store.snapshot()?.get(&key)? else {
                return Err(ApiError::not_found(resource, name));
            };
            let old = Old::read(stored)?;
            check_preconditions(resource, name, &old, options)?;
            // The garbage collector ignores Events.
            let propagation = match resource.strategy {
                Strategy::Event => Some(Propagation::Background),
                Strategy::Custom
                | Strategy::Definition
                | Strategy::Namespace
                | Strategy::Lease
                | Strategy::Plain => options.propagation,
            };
            let new = marked(resource, &old.object, propagation, &self.now());
            let held = !metadata::finalizers(&new).is_empty() || strategy::is_held(resource, &new);
            if options.dry_run {
                let object = Bytes::from(Value::Object(new).to_string());
                return Ok(if held {
                    Deleted::Marked(object)
                } else {
                    Deleted::Gone(object)
                });
            }
            if held && !update::differs(&old.object, &new) {
                return Ok(Deleted::Marked(old.stored.object));
            }
            // An object that was never marked is removed as it was: watches get the state that was stored.
            let (last, left) = match (held, metadata::is_deleting(&old.object)) {
                (true, _) => (&new, Left::Kept),
                (false, true) => (&new, Left::Gone),
                (false, false) => (&old.object, Left::Gone),
            };
            let change = self.next_change(resource, &key, Some(&old), last, left);
            // Many deletions wait for their commits at one time. Their objects would take much memory meanwhile.
            drop((old, new));
            let stored = match change {
                Ok(change) => self.inner.store.commit(change).await,
                Err(error) => Err(error),
            };
            if let Some(committed) = unless_changed(stored)? {
                return Ok(match left {
                    Left::Kept => Deleted::Marked(committed.object),
                    Left::Gone => Deleted::Gone(committed.object),
                });
            }
        }
        Err(ApiError::modified(resource, name))
    }

    /// Deletes the objects of a collection, or of a page of it, and returns their states before that. Objects that are created
    /// meanwhile may stay. Without a limit nothing is returned of a collection that is too long for the budget.
    ///
    /// # Errors
    /// Those of a list, and the first deletion that fails, other than by `NotFound`.
    pub async fn delete_collection(
        &self,
        target: &Target,
        options: &DeleteOptions,
        which: &ListOptions,
    ) -> Result<Listed, ApiError> {
        let resource = &target.resource;
        if resource.is_read_only() {
            return Err(ApiError::method_not_allowed(resource, "deletecollection"));
        }
        let (listed, named) = if which.limit.is_some_and(|limit| limit > 0) {
            let listed = self.list_beside(target, which).await?;
            let named = listed.items.iter().map(named);
            let named = named.collect::<Result<Vec<_>, _>>()?;
            (listed, named)
        } else {
            self.list_in_parts(target, which).await?
        };
        // Many deletions are under way and share commits.
        stream::iter(named)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, async |Place { namespace, name }| {
                let namespace = resource.namespaced.then_some(&*namespace);
                let one = Target::one(resource, namespace, &name);
                match self.delete(&one, options).await {
                    Err(error) if error.code != 404 => Err(error),
                    _ => Ok(()),
                }
            })
            .await?;
        Ok(listed)
    }

    /// A list, and where all its objects are. It has no objects when they are too many for the budget: these were read part by
    /// part. The snapshot is gone then: while one lives, the space of what is deleted is not used again.
    async fn list_in_parts(
        &self,
        target: &Target,
        which: &ListOptions,
    ) -> Result<(Listed, Vec<Place>), ApiError> {
        let (snapshot, token) = self.asked(which)?;
        let mut listed = Listed {
            revision: snapshot.revision(),
            items: Vec::new(),
            continue_token: None,
            remaining: None,
            held: Held::default(),
        };
        let mut places = Vec::new();
        let mut is_short = false;
        let mut after = token.map(|token| token.start);
        loop {
            let mut held = std::mem::take(&mut listed.held);
            let (target, which, from) = (target.clone(), which.clone(), after.clone());
            let snapshot = Arc::clone(&snapshot);
            let read = self.beside(move |_| {
                let part = read::part(&snapshot, &target, &which, from.as_deref(), PART, &mut held);
                part.map(|part| (part, held))
            });
            let (part, held) = read.await??;
            if part.is_too_much && is_short && part.items.is_empty() {
                return Err(read::too_much());
            }
            for object in &part.items {
                places.push(named(object)?);
            }
            // A long answer gives its room to the objects that are still to be read.
            is_short |= part.is_too_much;
            if is_short {
                listed.items = Vec::new();
            } else {
                listed.items.extend(part.items);
                listed.held = held;
            }
            if part.next.is_none() && !part.is_too_much {
                return Ok((listed, places));
            }
            after = part.next.or(after);
        }
    }
}

fn named(object: &Bytes) -> Result<Place, ApiError> {
    let named: Named = serde_json::from_slice(object).map_err(ApiError::internal)?;
    Ok(named.metadata)
}

/// Of a stored object, where it is.
#[derive(serde::Deserialize)]
struct Named {
    metadata: Place,
}

#[derive(serde::Deserialize)]
struct Place {
    #[serde(default)]
    namespace: String,
    name: String,
}

/// Namespaces that cannot be deleted.
fn is_everlasting(name: &str) -> bool {
    matches!(name, "default" | "kube-system" | "kube-public")
}

fn check_preconditions(
    resource: &Resource,
    name: &str,
    old: &Old,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let uid = metadata::text(&old.object, "uid");
    let conflict = |why: fmt::Arguments<'_>| {
        let mut error = ApiError::conflict(resource, name, why);
        // This error names the kind, not the resource, as a real API server's does.
        if let Some(details) = &mut error.details {
            details.kind.clone_from(&resource.kind);
        }
        error.message = error.message.replacen(&resource.plural, &resource.kind, 1);
        error
    };
    if let Some(wanted) = &options.uid
        && wanted != uid
    {
        return Err(conflict(format_args!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )));
    }
    if let Some(wanted) = &options.resource_version
        && *wanted != old.stored.revision.to_string()
    {
        return Err(conflict(format_args!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({}). The object might have been modified",
            old.stored.revision
        )));
    }
    Ok(())
}

/// The object with the marks of a requested deletion.
fn marked(
    resource: &Resource,
    old: &Object,
    propagation: Option<Propagation>,
    now: &str,
) -> Object {
    let mut new = old.clone();
    let mut finalizers = metadata::finalizers(old);
    let was: Vec<&str> = finalizers.clone();
    if let Some(propagation) = propagation {
        finalizers.retain(|finalizer| !["orphan", "foregroundDeletion"].contains(finalizer));
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => finalizers.push("foregroundDeletion"),
            Propagation::Orphan => finalizers.push("orphan"),
        }
    }
    let same = finalizers.len() == was.len() && was.iter().all(|f| finalizers.contains(f));
    if !same {
        metadata::set_finalizers(&mut new, &finalizers);
    }
    if !metadata::is_deleting(old) {
        // A real API server's deletion of a Namespace leaves the generation as it is.
        if resource.strategy != Strategy::Namespace {
            update::raise_generation(&mut new);
        }
        let metadata = metadata::of(&mut new);
        metadata.insert("deletionTimestamp".to_owned(), now.into());
        metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
        if resource.strategy == Strategy::Namespace {
            new.insert(
                "status".to_owned(),
                serde_json::json!({"phase": "Terminating"}),
            );
            metadata::of(&mut new).remove("deletionGracePeriodSeconds");
        }
    }
    new
}
