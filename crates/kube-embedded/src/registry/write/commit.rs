//! Turns the new state of an object into a change of the store, with the links to its owners, its index text, and its old state
//! where watches need it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::error::ApiError;
use crate::kinds::{Resource, Strategy, at_path};
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::strategy;
use crate::registry::{MAX_OBJECT_BYTES, Registry};
use crate::store::{Action, Change, CommitError, Committed, Draft, Stored, owner_id};

/// Most bytes that the marks of a deletion add to an object: the time, the grace period, a finalizer, a phase.
const MARKS: usize = 1024;

/// The stored object from which a write is computed.
pub(crate) struct Old {
    pub(crate) stored: Stored,
    pub(crate) object: Object,
}

/// What is stored after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The object.
    Kept,
    /// Nothing. Watches get the last state.
    Gone,
}

impl Old {
    pub(crate) fn read(stored: Stored) -> Result<Self, ApiError> {
        let object = serde_json::from_slice(&stored.object)
            .map_err(|error| ApiError::internal(format_args!("a stored object: {error}")))?;
        Ok(Self { stored, object })
    }
}

/// Whether the object stays when `new` is its next state. It does not when it was being deleted without a grace period (an object
/// that a client created with a deletionTimestamp has none) and no finalizer is left.
pub(crate) fn left_of(resource: &Resource, old: &Old, new: &Object) -> Left {
    let held = !metadata::finalizers(new).is_empty() || strategy::is_held(resource, new);
    let grace = metadata::field(&old.object, "deletionGracePeriodSeconds");
    let is_over = match resource.strategy {
        Strategy::Namespace => metadata::is_deleting(new),
        Strategy::Custom
        | Strategy::Definition
        | Strategy::Event
        | Strategy::Lease
        | Strategy::Plain => {
            metadata::is_deleting(&old.object) && grace.and_then(Value::as_i64).unwrap_or(0) == 0
        }
    };
    if is_over && !held {
        Left::Gone
    } else {
        Left::Kept
    }
}

impl Registry {
    /// Commits the successor of an object, or the removal of one that is being deleted and has no finalizer left.
    pub(crate) async fn store_next(
        &self,
        resource: &Resource,
        key: &str,
        old: &Old,
        new: &Object,
    ) -> Result<Committed, CommitError> {
        match left_of(resource, old, new) {
            Left::Kept => self.store(resource, key, Some(old), new, Left::Kept).await,
            // The write that removes the last finalizer is not stored; watches get the state before it.
            Left::Gone => {
                let last = &old.object;
                self.store(resource, key, Some(old), last, Left::Gone).await
            }
        }
    }

    /// Commits one object's new state.
    pub(crate) async fn store(
        &self,
        resource: &Resource,
        key: &str,
        old: Option<&Old>,
        new: &Object,
        left: Left,
    ) -> Result<Committed, CommitError> {
        let change = self.next_change(resource, key, old, new, left)?;
        self.inner.store.commit(change).await
    }

    /// What is to be committed for one object's new state. It holds texts, not values.
    pub(crate) fn next_change(
        &self,
        resource: &Resource,
        key: &str,
        old: Option<&Old>,
        new: &Object,
        left: Left,
    ) -> Result<Change, CommitError> {
        let id = owner_id(metadata::text(new, "uid"));
        let draft = Draft::of(new);
        let before = old
            .map(|old| metadata::owner_ids(&old.object))
            .unwrap_or_default();
        let deleting = metadata::is_deleting(new);
        if !fits(draft.len(), old, deleting) {
            return Err(CommitError::TooLarge);
        }
        let finalizers = metadata::finalizers(new);
        let waits = deleting
            && (finalizers.contains(&"foregroundDeletion") || finalizers.contains(&"orphan"));
        let (action, linked, unlinked) = match left {
            Left::Kept => {
                let after = metadata::owner_ids(new);
                let unlinked = before.difference(&after).copied().collect();
                let linked = self.links(resource, new, &before);
                let put = Action::Put {
                    id,
                    deleting,
                    draft,
                };
                (put, linked, unlinked)
            }
            Left::Gone => (
                Action::Remove { id, draft },
                Vec::new(),
                before.into_iter().collect(),
            ),
        };
        Ok(Change {
            kind: resource.index,
            key: Arc::from(key),
            expected: old.map(|old| old.stored.revision),
            action,
            container: resource.strategy == Strategy::Namespace,
            within: resource.namespaced.then(|| self.namespace_key(new)),
            linked,
            unlinked,
            index: self.index_change(
                resource,
                old.map(|old| &old.object),
                (left == Left::Kept).then_some(new),
            ),
            collect: waits && left == Left::Kept,
            prior: old.and_then(|old| prior(resource, old, new)),
        })
    }

    /// Key of the object's namespace.
    fn namespace_key(&self, object: &Object) -> Arc<str> {
        let namespaces = self.inner.kinds.of_strategy(Strategy::Namespace);
        Arc::from(namespaces.key("", metadata::text(object, "namespace")))
    }

    /// The owners of `new` that are not in `before`, each with its key in the store.
    fn links(
        &self,
        resource: &Resource,
        new: &Object,
        before: &BTreeSet<u128>,
    ) -> Vec<(u128, Option<String>)> {
        if resource.strategy == Strategy::Event {
            // Events are deleted by their age, not with their owners.
            return Vec::new();
        }
        let namespace = metadata::text(new, "namespace");
        metadata::owners(new)
            .iter()
            .filter_map(|owner| {
                let id = owner_id(owner["uid"].as_str()?);
                (!before.contains(&id)).then(|| (id, self.owner_key(owner, namespace)))
            })
            .collect()
    }

    /// Key of an owner that an object in `namespace` names. `None` when the owner's kind is not served here, or when a
    /// cluster-scoped object names a namespaced owner. The reference may name any version of the kind: all versions of a kind are
    /// one resource, of which one version is served here.
    pub(crate) fn owner_key(&self, owner: &Value, namespace: &str) -> Option<String> {
        let text = |name: &str| owner[name].as_str().unwrap_or_default();
        let group = metadata::group_of(text("apiVersion"));
        let resource = self.inner.kinds.by_kind(group, text("kind"))?;
        if resource.namespaced && namespace.is_empty() {
            return None;
        }
        Some(resource.key(namespace, text("name")))
    }
}

/// Whether an object of this length (as of [`Draft::len`]) may be stored. Every object can be marked once and lose its finalizers,
/// and one that is too long already, as an earlier version stored it, can be written as long as it becomes no longer.
fn fits(length: usize, old: Option<&Old>, deleting: bool) -> bool {
    let marks = if deleting { MARKS } else { 0 };
    let was = old.map_or(0, |Old { stored, .. }| {
        let length = stored.object.len() - stored.revision.to_string().len();
        length + if stored.deleting { 0 } else { marks }
    });
    length <= was.max(MAX_OBJECT_BYTES + marks)
}

/// The old object, when a selector may match only one of old and new.
fn prior(resource: &Resource, old: &Old, new: &Object) -> Option<Bytes> {
    let labels_changed = metadata::field(&old.object, "labels") != metadata::field(new, "labels");
    let changed = labels_changed
        || (!resource.selectable.is_empty() && {
            let field = |object: &Object, path: &str| -> Option<Value> {
                let (first, rest) = path.split_once('.').unwrap_or((path, ""));
                let part = object.get(first)?;
                if rest.is_empty() {
                    Some(part.clone())
                } else {
                    at_path(part, rest).cloned()
                }
            };
            resource
                .selectable
                .iter()
                .any(|path| field(&old.object, path) != field(new, path))
        });
    changed.then(|| old.stored.object.clone())
}
