//! The semantics of objects, the same for every kind: metadata, generations, finalizers, owners, namespaces, selectors, watches.
//! `store` keeps them, `kinds` lists the resources, `schema`, `builtin` and `admission` decide what a field may hold.
//!
//! ```text
//!   HTTP or in process -> Target + body + options (request.rs)
//!   write/        read -> compute -> commit; again when the object was written meanwhile
//!     body             JSON -> object: kind, types, pruning, defaults, unknown fields
//!     create update    old + new -> what would be stored          delete       waits for finalizers
//!     patch            old + patch -> new: json_patch, strategic_merge
//!     apply            server-side apply; managed_fields: who owns which field
//!     commit           an object's new state -> a change of the store
//!   rules/        mod, names: on metadata; check: on the rest; strategy: of built-in kinds; admit: the embedding program's;
//!                 metadata: reads and changes metadata
//!   read/         get, list in pages of one snapshot; watch; selector, label_selector; continue_token
//!   controllers/  garbage_collector, namespace_controller, expiry of Events; bootstrap: what every cluster has from the start
//! ```

mod controllers;
mod read;
mod request;
mod rules;
pub(super) mod write;

pub use read::budget::{Held, ListBudget};
pub use read::selector::{FieldSelector, LabelSelector};
pub use request::{
    Clock, DeleteOptions, Deleted, FieldValidation, ListOptions, Listed, Options, Patch, Place,
    Propagation, Selectors, Subresource, Target, VersionMatch, WatchEvent, WatchEventKind,
    WatchOptions, WatchStream, WriteOptions, Written,
};

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use jiff::Timestamp;
use prometheus::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::controllers::{expiry, garbage_collector, namespace_controller};
use crate::admission::Admission;
use crate::error::ApiError;
use crate::kinds::Resources;
use crate::metrics;
use crate::product::Product;
use crate::serves::Serves;
use crate::store::{CommitError, Failure, Store, StoreError};
pub use crate::store::{Limits, OpenError};

/// Largest object that is stored, in bytes of JSON: what etcd takes by default.
pub const MAX_OBJECT_BYTES: usize = 1_572_864;

/// The objects. Cheap to clone. The data folder can be opened again when the last clone, watch and list is dropped.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    kinds: Arc<Resources>,
    pages: read::Pages,
    clock: Clock,
    admission: Option<Arc<dyn Admission>>,
    product: Product,
    /// For UIDs and generated names.
    random: Mutex<StdRng>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

// === impl Registry ===

impl Registry {
    /// Opens the data folder, or makes it with the namespaces that every cluster has, and starts the garbage collector.
    ///
    /// # Errors
    /// A folder that is in use, cannot be read, or was written in another format.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let Options {
            serves,
            place,
            limits,
            clock,
            seed,
        } = options;
        let Serves {
            resources: kinds,
            admission,
            product,
        } = serves;
        let count = kinds.all().len();
        let commits = metrics::commit_seconds(&product);
        let store = match place {
            Place::Memory => Store::in_memory(count, limits, commits)?,
            // A store that was not closed is checked as it is opened, which reads all of it.
            Place::Folder(dir) => {
                tokio::task::spawn_blocking(move || Store::open(&dir, count, limits, commits))
                    .await
                    .map_err(|panic| OpenError::Prepare(panic.to_string()))??
            }
        };
        let registry = Self {
            inner: Arc::new(Inner {
                store,
                kinds,
                pages: read::Pages::default(),
                clock,
                admission,
                product,
                random: Mutex::new(match seed {
                    Some(seed) => StdRng::seed_from_u64(seed),
                    None => rand::make_rng(),
                }),
                closed: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        registry
            .index_anew()
            .map_err(|error| OpenError::Prepare(error.to_string()))?;
        registry
            .bootstrap()
            .await
            .map_err(|error| OpenError::Prepare(error.to_string()))?;
        registry
            .find_terminating()
            .map_err(|error| OpenError::Prepare(error.to_string()))?;
        // They hold the registry weakly, so they end when its last clone is dropped.
        let weak = || Arc::downgrade(&registry.inner);
        registry.supervise("the garbage collector", garbage_collector::run(weak()));
        registry.supervise(
            "the namespace controller",
            namespace_controller::run(weak()),
        );
        registry.supervise("the end of old Events", expiry::run(weak()));
        Ok(registry)
    }

    /// The resources that are served.
    pub fn resources(&self) -> &Resources {
        &self.inner.kinds
    }

    /// The program that embeds the server.
    pub(crate) fn product(&self) -> &Product {
        &self.inner.product
    }

    /// Why the server has ended: an error of the disk, or a panic of a task in the background.
    pub(crate) fn failure(&self) -> Failure {
        self.inner.store.failure().clone()
    }

    /// Whether the store still works. The error is the reason why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.inner.store.check()
    }

    /// How long the store's transactions took to be synced.
    pub(crate) fn commit_seconds(&self) -> &Histogram {
        self.inner.store.commit_seconds()
    }

    /// Transactions that were synced.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.inner.store.commits()
    }

    /// Snapshots that are held.
    #[cfg(test)]
    pub(crate) fn snapshots(&self) -> usize {
        self.inner.store.snapshots()
    }

    /// Spawns a controller. A panic in it ends the server.
    fn supervise(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let failure = self.failure();
        self.inner.tasks.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                failure.panicked(name, &*panic);
            }
        });
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.inner.store.revision()
    }

    /// Ends the controllers and every watch. Reads and writes still work, so that requests under way can be completed.
    pub async fn close(&self) {
        self.inner.closed.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.pages.clear();
    }

    /// The time by the clock from which the times in objects come.
    pub(crate) fn clock(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn now(&self) -> String {
        timestamp(self.inner.clock.now())
    }

    /// Whether the objects are in memory, so that no call waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.inner.store.is_in_memory()
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        // A panic elsewhere cannot leave the generator in a bad state.
        let random = self.inner.random.lock();
        random.unwrap_or_else(PoisonError::into_inner)
    }

    fn new_uid(&self) -> String {
        let bytes = self.random().random();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// RFC 3339 with seconds and `Z`, as Kubernetes writes times.
fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store cannot be read");
        Self::internal(error)
    }
}

/// The error of a commit that failed. Callers handle a refused one themselves where they can say more.
fn commit_failed(error: &CommitError) -> ApiError {
    match error {
        CommitError::Refused(refused) => ApiError::internal(format_args!("{refused:?}")),
        CommitError::TooLarge => ApiError::too_large(MAX_OBJECT_BYTES),
        CommitError::Store(error) => ApiError::internal(error),
        CommitError::Closed => ApiError::unavailable("the server is shutting down"),
    }
}

#[cfg(test)]
mod tests;
