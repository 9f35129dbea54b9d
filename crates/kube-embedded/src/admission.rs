//! Admission: rules on custom resources that a definition cannot express. The embedding program implements them.

use std::cell::OnceCell;
use std::fmt;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use crate::field::FieldError;
use crate::kinds::{Resource, Resources};
use crate::store::{Snapshot, Store, StoreError};

/// An object, whole.
pub type Object = Map<String, Value>;

/// Rules on objects, asked at each create and update of a custom resource after everything that Kubernetes itself would refuse.
/// They run within the write: they must not block.
pub trait Admission: Send + Sync + 'static {
    /// The violations by `request.new` in place of `request.old`.
    fn review(&self, request: &Request<'_>, objects: &Objects<'_>) -> Verdict;

    /// Texts by which the object can be found ([`Objects::indexed`]), made from its name, its namespace and its `spec` alone:
    /// a write that keeps these keeps the texts. They are stored, see [`Self::index_version`].
    fn index(&self, resource: &Resource, object: &Object) -> Vec<String> {
        let _ = (resource, object);
        Vec::new()
    }

    /// To be raised when [`Self::index`] changes: the texts of a folder that was written with another version are made anew
    /// when it is opened.
    fn index_version(&self) -> u64 {
        0
    }
}

/// A write to check.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// The stored object. `None` at a create.
    pub old: Option<&'a Object>,
    /// The object as it will be stored.
    pub new: &'a Object,
}

/// The outcome of the rules on a write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Why the write is refused. Empty when it is carried out.
    pub errors: Vec<FieldError>,
    /// Warnings for the client when the write is carried out.
    pub warnings: Vec<String>,
}

/// The stored objects as of the write. An object that cannot be read counts as absent, and so does everything while the disk
/// fails, since the write itself fails then.
pub struct Objects<'a> {
    resources: &'a Resources,
    store: &'a Store,
    /// Taken at the first question, since most rules need no other object.
    snapshot: OnceCell<Option<Snapshot>>,
}

// === impl Objects ===

impl<'a> Objects<'a> {
    pub(crate) fn new(resources: &'a Resources, store: &'a Store) -> Self {
        Self {
            resources,
            store,
            snapshot: OnceCell::new(),
        }
    }

    fn snapshot(&self) -> Option<&Snapshot> {
        let snapshot = self.snapshot.get_or_init(|| self.store.snapshot().ok());
        snapshot.as_ref()
    }

    /// The object of this kind with this name.
    pub fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Object> {
        let (resource, snapshot) = self.resource(group, kind)?;
        let stored = snapshot.get(&resource.key(namespace, name)).ok()??;
        serde_json::from_slice(&stored.object).ok()
    }

    /// All objects of this kind in this namespace, by name.
    pub fn list(&self, group: &str, kind: &str, namespace: &str) -> Vec<(String, Object)> {
        let Some((resource, snapshot)) = self.resource(group, kind) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let scanned = snapshot.scan(&resource.key(namespace, ""), None, |key, stored| {
            let (_, name) = resource.split_key(key);
            if let Ok(object) = serde_json::from_slice(&stored.object) {
                found.push((name.to_owned(), object));
            }
            ControlFlow::Continue(())
        });
        scanned.map(|()| found).unwrap_or_default()
    }

    /// The objects that have exactly this text among those of [`Admission::index`], each with that text.
    pub fn indexed(&self, text: &str) -> Vec<(String, Object)> {
        self.found(|snapshot| snapshot.found_exactly_by(text))
    }

    /// The texts of [`Admission::index`] that begin with this one, each with its object. An object with several such texts is
    /// there once for each.
    pub fn indexed_under(&self, prefix: &str) -> Vec<(String, Object)> {
        self.found(|snapshot| snapshot.found_by(prefix))
    }

    fn resource(&self, group: &str, kind: &str) -> Option<(&Resource, &Snapshot)> {
        let resource = self.resources.by_kind(group, kind)?;
        Some((resource, self.snapshot()?))
    }

    fn found(
        &self,
        find: impl FnOnce(&Snapshot) -> Result<Vec<(String, String)>, StoreError>,
    ) -> Vec<(String, Object)> {
        let Some(snapshot) = self.snapshot() else {
            return Vec::new();
        };
        find(snapshot)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(by, key)| {
                let stored = snapshot.get(&key).ok()??;
                Some((by, serde_json::from_slice(&stored.object).ok()?))
            })
            .collect()
    }
}

impl fmt::Debug for Objects<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}
