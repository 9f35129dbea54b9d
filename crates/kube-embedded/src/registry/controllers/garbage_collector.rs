//! The garbage collector: deletes dependents whose owners are gone, and serves the finalizers `foregroundDeletion` and `orphan`.
//!
//! Its work list is in the store and is written in the transaction that makes the work: an owner that is gone and has
//! dependents, an owner that waits for its dependents (one of these finalizers), a new dependent whose owner does not exist. So
//! a restart loses no work, and without writes the collector does nothing.
//!
//! A dependent is deleted when none of its owners exists. While one does, only the references to the others are removed. An
//! owner of a kind that is not served here counts as existing.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::error::ApiError;
use crate::registry::request::{DeleteOptions, Propagation, Target};
use crate::registry::rules::metadata::{self, Object};
use crate::registry::write::commit::Old;
use crate::registry::write::managed_fields::{self, By};
use crate::registry::write::{ATTEMPTS, unless_changed};
use crate::registry::{Inner, Registry};
use crate::store::{Wakes, owner_id};

/// Dependents that are worked on at once: they share commits.
const AT_ONCE: usize = 64;
/// Dependents that are looked up at once.
const PAGE: usize = 512;
/// Pause after a pass that could not do everything.
const AGAIN: Duration = Duration::from_secs(1);

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What the collector remembers between passes. Losing it costs only repeated work.
#[derive(Default)]
struct Memory {
    /// Owners whose dependents were all attended to.
    attended: BTreeSet<u128>,
    seen: Wakes,
}

/// Runs until the registry is closed or gone.
pub(crate) async fn run(inner: Weak<Inner>) {
    let Some((closed, mut wakes)) = inner
        .upgrade()
        .map(|inner| (inner.closed.clone(), inner.store.collect_wakes()))
    else {
        return;
    };
    let mut memory = Memory::default();
    loop {
        let seen = *wakes.borrow_and_update();
        if seen.work != memory.seen.work {
            memory.attended.clear();
        }
        memory.seen = seen;
        let passed = match inner.upgrade() {
            None => return,
            Some(inner) => Registry { inner }.collect(&mut memory).await,
        };
        let pause = async {
            match &passed {
                Ok(()) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!(%error, "the garbage collector tries again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::select! {
            () = closed.cancelled() => return,
            changed = wakes.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

fn always_changed(key: &str) -> ApiError {
    ApiError::internal(format_args!(
        "{key} was written by others during each of {ATTEMPTS} attempts to write it"
    ))
}

/// The state of the owner that a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It exists, or is of a kind that is not served here.
    Exists,
    /// It exists and waits for its dependents (`foregroundDeletion`).
    Waits,
    /// It is gone.
    Gone,
}

impl Registry {
    /// One pass over the work list. It goes on after an error, and returns the first one.
    async fn collect(&self, memory: &mut Memory) -> Result<(), ApiError> {
        let work = self.inner.store.snapshot()?.collect()?;
        let known: BTreeSet<u128> = work.iter().map(|(id, _)| *id).collect();
        memory.attended.retain(|id| known.contains(id));
        let mut passed = Ok(());
        for (id, key) in work {
            let done = if !key.is_empty() {
                self.serve_waiting(id, &key, memory).await
            } else if memory.attended.contains(&id) {
                Ok(())
            } else {
                let done = self.attend_dependents(id).await;
                if done.is_ok() {
                    memory.attended.insert(id);
                }
                done
            };
            passed = passed.and(done);
        }
        passed
    }

    /// Serves an owner that is being deleted and has one of the collector's finalizers.
    async fn serve_waiting(
        &self,
        id: u128,
        key: &str,
        memory: &mut Memory,
    ) -> Result<(), ApiError> {
        let Some(stored) = self.inner.store.snapshot()?.get(key)? else {
            return Ok(());
        };
        if stored.id != id || !stored.deleting {
            return Ok(());
        }
        let object = Old::read(stored)?.object;
        let finalizers = metadata::finalizers(&object);
        if finalizers.contains(&ORPHAN) {
            self.for_dependents(id, |dependent| async move {
                self.drop_owners(&dependent, |owner| owner == id).await
            })
            .await?;
            self.drop_finalizer(key, id, ORPHAN).await?;
        } else if finalizers.contains(&FOREGROUND) {
            if !memory.attended.contains(&id) {
                self.attend_dependents(id).await?;
                memory.attended.insert(id);
            }
            if !self.is_blocked(id)? {
                self.drop_finalizer(key, id, FOREGROUND).await?;
            }
        }
        Ok(())
    }

    /// Whether there is a dependent with `blockOwnerDeletion`.
    fn is_blocked(&self, id: u128) -> Result<bool, ApiError> {
        let snapshot = self.inner.store.snapshot()?;
        let mut after: Option<String> = None;
        loop {
            let page = snapshot.dependents(id, after.as_deref(), PAGE)?;
            for key in &page {
                let Some(stored) = snapshot.get(key)? else {
                    continue;
                };
                let object = Old::read(stored)?.object;
                let blocks = metadata::owners(&object).iter().any(|owner| {
                    owner["blockOwnerDeletion"] == true
                        && owner["uid"].as_str().map(owner_id) == Some(id)
                });
                if blocks {
                    return Ok(true);
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(false),
            }
        }
    }

    async fn attend_dependents(&self, id: u128) -> Result<(), ApiError> {
        self.for_dependents(id, |dependent| async move { self.attend(&dependent).await })
            .await
    }

    /// Does `work` for every dependent of an owner, many at once. It goes on after an error, and returns the first one.
    async fn for_dependents<F>(&self, id: u128, work: impl Fn(String) -> F) -> Result<(), ApiError>
    where
        F: Future<Output = Result<(), ApiError>>,
    {
        let mut after: Option<String> = None;
        let mut passed = Ok(());
        loop {
            // A new snapshot for each page: an old one would keep disk space in use for as long as this takes.
            let page = self
                .inner
                .store
                .snapshot()?
                .dependents(id, after.as_deref(), PAGE)?;
            after = page.last().cloned();
            let full = page.len() == PAGE;
            let done: Vec<Result<(), ApiError>> = stream::iter(page.into_iter().map(&work))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            passed = done.into_iter().fold(passed, Result::and);
            if !full {
                return passed;
            }
        }
    }

    /// Decides by all owners of a dependent whether it is deleted, loses references, or stays as it is.
    async fn attend(&self, key: &str) -> Result<(), ApiError> {
        for _ in 0..ATTEMPTS {
            let snapshot = self.inner.store.snapshot()?;
            let Some(stored) = snapshot.get(key)? else {
                return Ok(());
            };
            if stored.deleting {
                return Ok(());
            }
            let old = Old::read(stored)?;
            let namespace = metadata::text(&old.object, "namespace");
            let mut left = 0;
            let mut waiting = false;
            let mut off = BTreeSet::new();
            for owner in metadata::owners(&old.object) {
                if !self.is_known(owner) {
                    // Whether an owner of a kind that is not served exists is not known.
                    return Ok(());
                }
                let id = owner_id(owner["uid"].as_str().unwrap_or_default());
                match self.owner(&snapshot, owner, namespace)? {
                    Owner::Exists => left += 1,
                    Owner::Waits => {
                        waiting = true;
                        off.insert(id);
                    }
                    Owner::Gone => {
                        off.insert(id);
                    }
                }
            }
            if left > 0 {
                if off.is_empty() {
                    return Ok(());
                }
                return self.drop_owners(key, |owner| off.contains(&owner)).await;
            }
            if off.is_empty() {
                // Its references were removed meanwhile.
                return Ok(());
            }
            let has_dependents = !snapshot.dependents(old.stored.id, None, 1)?.is_empty();
            let finalizers = metadata::finalizers(&old.object);
            let propagation = if finalizers.contains(&ORPHAN) {
                Propagation::Orphan
            } else if finalizers.contains(&FOREGROUND) || (waiting && has_dependents) {
                Propagation::Foreground
            } else {
                Propagation::Background
            };
            let options = DeleteOptions {
                uid: Some(metadata::text(&old.object, "uid").to_owned()),
                resource_version: Some(old.stored.revision.to_string()),
                propagation: Some(propagation),
                ..DeleteOptions::default()
            };
            let Some(target) = self.target_of(key) else {
                return Ok(());
            };
            match self.delete(&target, &options).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code == 404 => return Ok(()),
                // It was written meanwhile, and may have other owners now.
                Err(error) if error.code == 409 => {}
                Err(error) => return Err(error),
            }
        }
        Err(always_changed(key))
    }

    /// Whether the kind of an owner is served here, in whichever version.
    fn is_known(&self, owner: &Value) -> bool {
        let text = |name: &str| owner[name].as_str().unwrap_or_default();
        let group = metadata::group_of(text("apiVersion"));
        self.inner.kinds.by_kind(group, text("kind")).is_some()
    }

    fn owner(
        &self,
        snapshot: &crate::store::Snapshot,
        owner: &Value,
        namespace: &str,
    ) -> Result<Owner, ApiError> {
        let Some(key) = self.owner_key(owner, namespace) else {
            return Ok(Owner::Exists);
        };
        let id = owner_id(owner["uid"].as_str().unwrap_or_default());
        let Some(stored) = snapshot.get(&key)?.filter(|stored| stored.id == id) else {
            return Ok(Owner::Gone);
        };
        if !stored.deleting {
            return Ok(Owner::Exists);
        }
        let object = Old::read(stored)?.object;
        if metadata::finalizers(&object).contains(&FOREGROUND) {
            Ok(Owner::Waits)
        } else {
            Ok(Owner::Exists)
        }
    }

    async fn drop_owners(&self, key: &str, off: impl Fn(u128) -> bool) -> Result<(), ApiError> {
        self.change(key, |object| {
            let owners: Vec<Value> = metadata::owners(object)
                .iter()
                .filter(|owner| !off(owner_id(owner["uid"].as_str().unwrap_or_default())))
                .cloned()
                .collect();
            let metadata = metadata::of(object);
            if owners.is_empty() {
                metadata.remove("ownerReferences");
            } else {
                metadata.insert("ownerReferences".to_owned(), owners.into());
            }
        })
        .await
    }

    async fn drop_finalizer(&self, key: &str, id: u128, finalizer: &str) -> Result<(), ApiError> {
        self.change(key, |object| {
            if owner_id(metadata::text(object, "uid")) == id {
                let kept: Vec<String> = metadata::finalizers(object)
                    .into_iter()
                    .filter(|found| *found != finalizer)
                    .map(str::to_owned)
                    .collect();
                let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
                metadata::set_finalizers(object, &kept);
            }
        })
        .await
    }

    /// Changes an object in the name of the server's controllers; again when others write it meanwhile.
    pub(crate) async fn change(
        &self,
        key: &str,
        change: impl Fn(&mut Object),
    ) -> Result<(), ApiError> {
        let Some(target) = self.target_of(key) else {
            return Ok(());
        };
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.inner.store.snapshot()?.get(key)? else {
                return Ok(());
            };
            let old = Old::read(stored)?;
            let mut new = old.object.clone();
            change(&mut new);
            if new == old.object {
                return Ok(());
            }
            let by = By::controllers(self.now());
            managed_fields::track(&target.resource, Some(&old.object), &mut new, None, &by);
            let stored = self.store_next(&target.resource, key, &old, &new).await;
            if unless_changed(stored)?.is_some() {
                return Ok(());
            }
        }
        Err(always_changed(key))
    }

    /// The object that has this key in the store.
    fn target_of(&self, key: &str) -> Option<Target> {
        let resource = self
            .inner
            .kinds
            .all()
            .iter()
            .find(|resource| key.starts_with(&resource.prefix()))?;
        let (namespace, name) = resource.split_key(key);
        let namespace = resource.namespaced.then_some(namespace);
        Some(Target::one(&Arc::clone(resource), namespace, name))
    }
}
