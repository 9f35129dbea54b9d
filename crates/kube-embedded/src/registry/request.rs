//! What the registry is asked and what it answers.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::read::selector::{FieldSelector, LabelSelector};
use crate::error::ApiError;
use crate::kinds::Resource;
use crate::serves::Serves;
use crate::store::Limits;

/// How a registry is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is served.
    pub serves: Serves,
    /// Where the objects lie.
    pub place: Place,
    /// Bounds of memory.
    pub limits: Limits,
    /// Where the time comes from.
    pub clock: Clock,
    /// Seed of UIDs and generated names; without one they are nobody's guess.
    pub seed: Option<u64>,
}

/// Where a registry keeps its objects.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this folder, durable.
    Folder(PathBuf),
    /// In memory, gone with the registry.
    Memory,
}

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

/// What a request is about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The resource.
    pub resource: Arc<Resource>,
    /// The namespace; none for cluster-scoped resources and for lists over all namespaces.
    pub namespace: Option<Arc<str>>,
    /// The object; none for create, list and watch.
    pub name: Option<String>,
    /// The part of it.
    pub subresource: Option<Subresource>,
}

/// A part of an object with a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// `/status`.
    Status,
}

/// What is done with fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped, with a warning each.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// How a write is made.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Check and answer, store nothing.
    pub dry_run: bool,
    /// Who writes: the name that the fields are recorded under.
    pub field_manager: Option<String>,
    /// What is done with unknown fields.
    pub field_validation: FieldValidation,
    /// What whoever read the body found in it that JSON values cannot show: `duplicate field "spec.x"`. Treated as unknown
    /// fields are.
    pub findings: Vec<String>,
}

/// An object as it was stored.
#[derive(Debug, Clone)]
pub struct Written {
    /// The object, whole.
    pub object: Bytes,
    /// Its revision; of a dry run the newest one.
    pub revision: u64,
    /// Whether it is new.
    pub created: bool,
    /// For the one who wrote.
    pub warnings: Vec<String>,
}

/// A change of an object, in one of the forms that clients send.
#[derive(Debug, Clone)]
pub enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7386.
    Merge(Value),
    /// As merge, but finalizers and owner references are merged by value and by UID, as is conditions by type.
    Strategic(Value),
    /// Server-side apply.
    Apply {
        /// The fields that the manager wants.
        body: Value,
        /// Whether to take fields from other managers.
        force: bool,
    },
}

/// What becomes of an object's dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay, without the owner reference.
    Orphan,
}

/// How an object is deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only the object in this version.
    pub resource_version: Option<String>,
    /// What becomes of dependents; none: background, or what the object's finalizers already say.
    pub propagation: Option<Propagation>,
    /// Whether the client said, in the old words, that no dependent may be orphaned: then a deletion that has to wait is
    /// answered as accepted.
    pub orphans_none: bool,
    /// Check and answer, delete nothing.
    pub dry_run: bool,
}

/// What a deletion led to.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object is gone; its last state.
    Gone(Bytes),
    /// It has finalizers and is marked; its state now.
    Marked(Bytes),
}

/// Which objects of a collection are meant.
#[derive(Debug, Clone, Default)]
pub struct Selectors {
    /// By label.
    pub labels: LabelSelector,
    /// By field.
    pub fields: FieldSelector,
}

/// How `resourceVersion` of a list is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMatch {
    /// This one exactly.
    Exact,
    /// This one or a newer one.
    NotOlderThan,
}

/// What is listed.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Which objects.
    pub selectors: Selectors,
    /// Most items of an answer; none: all.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub continue_token: Option<String>,
    /// As in the query; empty is none.
    pub resource_version: Option<String>,
    /// How it is meant.
    pub version_match: Option<VersionMatch>,
}

/// A page of objects, all of one revision.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The revision: where a watch goes on.
    pub revision: u64,
    /// The objects, whole.
    pub items: Vec<Bytes>,
    /// For the next page.
    pub continue_token: Option<String>,
    /// How many are left, where that is known.
    pub remaining: Option<u64>,
}

/// What is watched.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub selectors: Selectors,
    /// From where; none, empty or `0`: the objects there are come first.
    pub resource_version: Option<String>,
    /// Whether to send bookmarks.
    pub bookmarks: bool,
    /// How long; none: half an hour.
    pub timeout: Option<Duration>,
}

/// One message of a watch: `{"type": kind, "object": object}`.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchEventKind,
    /// The object; of a bookmark one that is empty but for its resourceVersion; of an error a `Status`.
    pub object: Bytes,
}

/// What a watch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEventKind {
    /// New, or new to the selector.
    Added,
    /// Changed.
    Modified,
    /// Gone, or no longer of the selector.
    Deleted,
    /// Nothing happened up to here.
    Bookmark,
    /// The watch cannot go on; it is the last message.
    Error,
}

/// A running watch. It ends after an error, at its timeout, and when the server closes.
pub type WatchStream = Pin<Box<dyn Stream<Item = WatchEvent> + Send>>;

// === impl Options ===

impl Options {
    /// The usual ones for this folder.
    pub fn new(data_dir: impl Into<PathBuf>, serves: Serves) -> Self {
        Self {
            serves,
            place: Place::Folder(data_dir.into()),
            limits: Limits::default(),
            clock: Clock::new(Timestamp::now),
            seed: None,
        }
    }
}

// === impl Clock ===

impl Clock {
    /// A clock that this function reads.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

// === impl Target ===

impl Target {
    /// A collection, over all namespaces or in one.
    pub fn all(resource: &Arc<Resource>, namespace: Option<&str>) -> Self {
        Self {
            resource: Arc::clone(resource),
            namespace: namespace.map(Arc::from),
            name: None,
            subresource: None,
        }
    }

    /// One object.
    pub fn one(resource: &Arc<Resource>, namespace: Option<&str>, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..Self::all(resource, namespace)
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(mut self) -> Self {
        self.subresource = Some(Subresource::Status);
        self
    }

    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn name(&self) -> Result<&str, ApiError> {
        self.name
            .as_deref()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| ApiError::bad_request("name is required"))
    }

    pub(super) fn key(&self, name: &str) -> String {
        self.resource.key(self.namespace(), name)
    }

    /// Everything under this prefix is meant.
    pub(super) fn prefix(&self) -> String {
        let mut prefix = self.resource.prefix();
        if let (true, Some(namespace)) = (self.resource.namespaced, &self.namespace) {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        prefix
    }
}

// === impl Deleted ===

impl Deleted {
    /// What a client is answered: the object while it stays, else a `Status` that says which object went.
    pub fn answer(&self, resource: &Resource) -> Bytes {
        match self {
            Self::Marked(object) => object.clone(),
            Self::Gone(object) => {
                let object: Value = serde_json::from_slice(object).unwrap_or_default();
                let mut details = json!({
                    "name": object["metadata"]["name"],
                    "kind": resource.plural,
                    "uid": object["metadata"]["uid"],
                });
                if !resource.group.is_empty() {
                    details["group"] = resource.group.as_str().into();
                }
                let status = json!({
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": details,
                });
                Bytes::from(status.to_string())
            }
        }
    }
}

// === impl WatchEventKind ===

impl WatchEventKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}
