//! Deletes namespaces: first what is in them, then the namespaces themselves. The store refuses new objects in a namespace that
//! is being deleted, so one pass over its objects deletes all of them; the namespace then waits for those with finalizers.
//!
//! The store's writer keeps the work list with each commit (`store::Emptying`), not the requests: a client that disconnects in
//! the middle of its request takes no work with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt, stream};

use crate::error::ApiError;
use crate::kinds::{Resource, Strategy};
use crate::registry::request::{DeleteOptions, Target};
use crate::registry::{Inner, Registry};
use crate::store::StoreError;

/// Deletions under way at one time: they share commits.
const AT_ONCE: usize = 64;
/// Pause after a pass of which something failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until the registry is closed or dropped.
pub(crate) async fn run(inner: Weak<Inner>) {
    let Some((closed, mut emptying)) = inner
        .upgrade()
        .map(|inner| (inner.closed.clone(), inner.store.emptying()))
    else {
        return;
    };
    // Ids of the namespaces in which every object was deleted or marked.
    let mut emptied = BTreeSet::new();
    loop {
        let work = emptying.borrow_and_update().containers.clone();
        emptied.retain(|emptied| work.values().any(|id| id == emptied));
        let passed = match inner.upgrade() {
            None => return,
            Some(inner) => Registry { inner }.terminate(&work, &mut emptied).await,
        };
        let pause = async {
            if passed.is_ok() {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = closed.cancelled() => return,
            changed = emptying.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

/// Something in a pass failed, which was logged.
struct Unfinished;

impl Registry {
    /// Puts the namespaces on the work list that were being deleted when the store was closed.
    pub(crate) fn find_terminating(&self) -> Result<(), StoreError> {
        let resource = self.inner.kinds.of_strategy(Strategy::Namespace);
        let snapshot = self.inner.store.snapshot()?;
        snapshot.scan(&resource.prefix(), None, |key, stored| {
            if stored.deleting {
                self.inner.store.found_deleting(key, stored.id);
            }
            ControlFlow::Continue(())
        })
    }

    /// One pass over the work list. It goes on after a namespace that fails.
    async fn terminate(
        &self,
        work: &BTreeMap<Arc<str>, u128>,
        emptied: &mut BTreeSet<u128>,
    ) -> Result<(), Unfinished> {
        let mut passed = Ok(());
        for (namespace, id) in work {
            let done = self.terminate_one(namespace, *id, emptied).await;
            if let Err(error) = done {
                tracing::warn!(%error, %namespace, "the deletion of a namespace failed and is tried again");
                passed = Err(Unfinished);
            }
        }
        passed
    }

    async fn terminate_one(
        &self,
        namespace: &str,
        id: u128,
        emptied: &mut BTreeSet<u128>,
    ) -> Result<(), ApiError> {
        let resource = self.inner.kinds.of_strategy(Strategy::Namespace);
        let (_, name) = resource.split_key(namespace);
        if !emptied.contains(&id) {
            self.empty(name).await?;
            emptied.insert(id);
        }
        if self.is_empty(name)? {
            self.change(namespace, |object| {
                if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
                    spec["finalizers"] = serde_json::json!([]);
                }
            })
            .await?;
        }
        Ok(())
    }

    fn contained(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.inner
            .kinds
            .all()
            .iter()
            .filter(|resource| resource.namespaced)
    }

    fn is_empty(&self, namespace: &str) -> Result<bool, ApiError> {
        let snapshot = self.inner.store.snapshot()?;
        for resource in self.contained() {
            if snapshot.any(&resource.key(namespace, ""))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes or marks every object in the namespace. It goes on after an error, and returns the first one.
    async fn empty(&self, namespace: &str) -> Result<(), ApiError> {
        let mut emptied = Ok(());
        for resource in self.contained() {
            let mut names = Vec::new();
            self.inner
                .store
                .snapshot()?
                .scan(&resource.key(namespace, ""), None, |key, _| {
                    // Also what is being deleted: a client can create it so, without a finalizer whose end removes it.
                    names.push(resource.split_key(key).1.to_owned());
                    ControlFlow::Continue(())
                })?;
            let deleted: Vec<Result<(), ApiError>> = stream::iter(names)
                .map(|name| async move {
                    let target = Target::one(resource, Some(namespace), &name);
                    match self.delete(&target, &DeleteOptions::default()).await {
                        Err(error) if error.code != 404 => Err(error),
                        _ => Ok(()),
                    }
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            emptied = deleted.into_iter().fold(emptied, Result::and);
        }
        emptied
    }
}
