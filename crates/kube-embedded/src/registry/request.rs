//! Requests to the registry, and its answers.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::read::budget::{Held, ListBudget};
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
    /// Where the objects are kept.
    pub place: Place,
    /// Bounds of memory.
    pub limits: Limits,
    /// The source of time.
    pub clock: Clock,
    /// Seed of UIDs and generated names. `None` for a random one.
    pub seed: Option<u64>,
}

/// Where a registry keeps its objects.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this folder, durable.
    Folder(PathBuf),
    /// In memory, dropped with the registry.
    Memory,
}

/// A source of time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

/// The object or the collection of a request.
#[derive(Debug, Clone)]
pub struct Target {
    /// The resource.
    pub resource: Arc<Resource>,
    /// The namespace. `None` for cluster-scoped resources and for lists over all namespaces.
    pub namespace: Option<Arc<str>>,
    /// The name of the object. `None` for create, list and watch.
    pub name: Option<String>,
    /// The subresource.
    pub subresource: Option<Subresource>,
}

/// A subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// `/status`.
    Status,
}

/// What happens to fields that the schema does not have (`fieldValidation`).
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

/// Options of a write.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Check and answer, store nothing.
    pub dry_run: bool,
    /// Who writes: the name that the fields are recorded under.
    pub field_manager: Option<String>,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// Findings of the parser that a JSON value cannot show: `duplicate field "spec.x"`. They are treated as unknown fields are.
    pub findings: Vec<String>,
}

/// The outcome of a write.
#[derive(Debug, Clone)]
pub struct Written {
    /// The object, whole.
    pub object: Bytes,
    /// Its revision. For a dry run: the newest revision.
    pub revision: u64,
    /// Whether the object was created.
    pub created: bool,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// A change of an object, in one of the forms that clients send.
#[derive(Debug, Clone)]
pub enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7386.
    Merge(Value),
    /// As merge, but some lists of built-in kinds are merged item by item.
    Strategic(Value),
    /// Server-side apply.
    Apply {
        /// The fields that the manager wants.
        body: Value,
        /// Whether to take fields from other managers.
        force: bool,
    },
}

/// What happens to the dependents of a deleted object (`propagationPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay, and lose the owner reference.
    Orphan,
}

/// How an object is deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only the object in this version.
    pub resource_version: Option<String>,
    /// What happens to dependents. `None`: what the object's finalizers say, or else background.
    pub propagation: Option<Propagation>,
    /// Whether the client sent `orphanDependents: false`. A deletion that has to wait is then answered 202.
    pub orphans_none: bool,
    /// Check and answer, delete nothing.
    pub dry_run: bool,
}

/// The outcome of a deletion.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object was deleted; its last state.
    Gone(Bytes),
    /// The object has finalizers and was marked; its new state.
    Marked(Bytes),
}

/// Selectors of a collection's objects.
#[derive(Debug, Clone, Default)]
pub struct Selectors {
    /// By label.
    pub labels: LabelSelector,
    /// By field.
    pub fields: FieldSelector,
}

/// `resourceVersionMatch` of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly this revision.
    Exact,
    /// This revision or a newer one.
    NotOlderThan,
}

/// Options of a list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Which objects.
    pub selectors: Selectors,
    /// Most items of a page. `None` for all.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub continue_token: Option<String>,
    /// As in the query. An empty one counts as absent.
    pub resource_version: Option<String>,
    /// How the resourceVersion is meant.
    pub version_match: Option<VersionMatch>,
    /// What its bytes are taken from. `None`: they have no bound.
    pub budget: Option<ListBudget>,
}

/// A page of objects, all of one revision.
#[derive(Debug)]
pub struct Listed {
    /// Revision of the list, from which a watch can start.
    pub revision: u64,
    /// The objects, whole.
    pub items: Vec<Bytes>,
    /// Token for the next page.
    pub continue_token: Option<String>,
    /// How many objects follow, if that is known.
    pub remaining: Option<u64>,
    /// What the items have taken of the budget: to be kept as long as they are.
    pub held: Held,
}

/// Options of a watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub selectors: Selectors,
    /// The revision to start from. `None`, empty or `0`: the existing objects are sent first.
    pub resource_version: Option<String>,
    /// Whether to send bookmarks.
    pub bookmarks: bool,
    /// How long the watch runs. `None` for half an hour.
    pub timeout: Option<Duration>,
    /// What the bytes of the existing objects are taken from. `None`: they have no bound.
    pub budget: Option<ListBudget>,
}

/// One event of a watch: `{"type": kind, "object": object}`.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchEventKind,
    /// The object. A bookmark's has a resourceVersion only; an error's is a `Status`.
    pub object: Bytes,
}

/// The types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEventKind {
    /// Created, or newly selected.
    Added,
    /// Changed.
    Modified,
    /// Deleted, or no longer selected.
    Deleted,
    /// All events up to this revision were sent.
    Bookmark,
    /// The watch cannot go on. This is the last event.
    Error,
}

/// A running watch. It ends after an error, at its timeout, and when the server closes.
pub type WatchStream = Pin<Box<dyn Stream<Item = WatchEvent> + Send>>;

// === impl Options ===

impl Options {
    /// The defaults, for this folder.
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

    /// The time.
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

    /// Prefix of the keys of the objects.
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
    /// The body of the answer: the object while it stays, else a `Status` that names it.
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
    /// The type as it is sent.
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
