//! The deletion of namespaces: their contents first, then they themselves. Nothing new comes into a namespace that is
//! being deleted (the store sees to it), so telling everything in it once to go is enough; after that it is waited for.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Notify;

use super::commit::Left;
use super::metadata::{self, Object};
use super::request::{DeleteOptions, Target};
use super::{Inner, Registry, key, read};
use crate::standalone::error::ApiError;
use crate::standalone::kinds::{Conduct, Resource};

/// Deletions at once: they share commits.
const AT_ONCE: usize = 64;
/// Pause after a pass that could not do everything.
const AGAIN: Duration = Duration::from_secs(1);

/// The namespaces that are being deleted.
#[derive(Default)]
pub(super) struct Terminating {
    /// By name: whether everything in it was told to go.
    told: Mutex<BTreeMap<String, bool>>,
    bell: Notify,
}

impl Terminating {
    fn begin(&self, namespace: &str) {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(namespace.to_owned())
            .or_insert(false);
        self.bell.notify_one();
    }

    fn has(&self, namespace: &str) -> bool {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(namespace)
    }

    fn was_told(&self, namespace: &str) {
        if let Some(told) = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(namespace)
        {
            *told = true;
        }
    }

    fn end(&self, namespace: &str) {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(namespace);
    }

    fn all(&self) -> Vec<(String, bool)> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(name, told)| (name.clone(), *told))
            .collect()
    }
}

/// Runs until the registry is closed or gone.
pub(super) async fn run(inner: Weak<Inner>) {
    let Some((closed, terminating)) = inner
        .upgrade()
        .map(|inner| (inner.closed.clone(), Arc::clone(&inner.terminating)))
    else {
        return;
    };
    let mut passed = match inner.upgrade() {
        None => return,
        Some(inner) => Registry { inner }.find_terminating(),
    };
    loop {
        if passed.is_ok() {
            passed = match inner.upgrade() {
                None => return,
                Some(inner) => Registry { inner }.terminate().await,
            };
        }
        let failed = passed.as_ref().err();
        let pause = async {
            match failed {
                None => std::future::pending().await,
                Some(error) => {
                    tracing::warn!(%error, "the deletion of a namespace tries again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::select! {
            () = closed.cancelled() => return,
            () = terminating.bell.notified() => {}
            () = pause => {}
        }
        passed = Ok(());
    }
}

impl Registry {
    /// Told of every write that leaves a namespace deleting, or something in one gone.
    pub(super) fn namespace_may_go(&self, resource: &Resource, object: &Object, left: Left) {
        let terminating = &self.inner.terminating;
        if resource.conduct == Conduct::Namespace {
            let name = metadata::text(object, "name");
            match left {
                Left::Gone => terminating.end(name),
                Left::Kept if metadata::is_deleting(object) => terminating.begin(name),
                Left::Kept => {}
            }
        } else if left == Left::Gone && terminating.has(metadata::text(object, "namespace")) {
            terminating.bell.notify_one();
        }
    }

    /// Those that were left over by the last run.
    fn find_terminating(&self) -> Result<(), ApiError> {
        let resource = self.inner.kinds.of_conduct(Conduct::Namespace);
        let snapshot = self.inner.store.snapshot()?;
        snapshot.scan(&resource.prefix(), None, |key, stored| {
            if stored.deleting {
                self.inner
                    .terminating
                    .begin(read::split_key(resource, key).1);
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    async fn terminate(&self) -> Result<(), ApiError> {
        for (namespace, told) in self.inner.terminating.all() {
            if !told {
                self.empty(&namespace).await?;
                self.inner.terminating.was_told(&namespace);
            }
            if self.is_empty(&namespace)? {
                let resource = self.inner.kinds.of_conduct(Conduct::Namespace);
                self.change(&key(resource, "", &namespace), |object| {
                    if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
                        spec["finalizers"] = serde_json::json!([]);
                    }
                })
                .await?;
            }
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
            if snapshot.any(&key(resource, namespace, ""))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells everything in the namespace to go.
    async fn empty(&self, namespace: &str) -> Result<(), ApiError> {
        for resource in self.contained() {
            let mut names = Vec::new();
            self.inner.store.snapshot()?.scan(
                &key(resource, namespace, ""),
                None,
                |key, stored| {
                    if !stored.deleting {
                        names.push(read::split_key(resource, key).1.to_owned());
                    }
                    ControlFlow::Continue(())
                },
            )?;
            stream::iter(names)
                .map(|name| async move {
                    let target = Target::one(resource, Some(namespace), &name);
                    match self.delete(&target, &DeleteOptions::default()).await {
                        Err(error) if error.code != 404 => Err(error),
                        _ => Ok(()),
                    }
                })
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
        }
        Ok(())
    }
}
