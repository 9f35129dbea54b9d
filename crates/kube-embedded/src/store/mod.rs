//! The durable store: objects as JSON text by key, a revision per write, and recent events for watches.
//!
//! It knows nothing of kinds or rules, which are the registry's. It may use redb and tokio. The path of a write:
//!
//! ```text
//!   registry --Change--> queue --> writer thread: one redb transaction for all that wait, one fsync
//!                                      |-> histories, one per kind (bounded)  --> watches read from their positions
//!                                      `-> answers, one per write
//!   a store in memory has no thread: the caller carries out its write
//!   reads: a redb snapshot each, on the caller's thread; they see every write that was answered
//! ```
//!
//! An answered write is on the disk, also after `kill -9`. A write that was not answered is stored as a whole or not at all.
//! Revisions increase by one per write and continue after a restart.
//!
//! Objects are not held in memory: redb's cache is bounded, so are the histories (by count and by bytes).

mod change;
mod create;
mod disk;
mod failure;
mod history;
mod writer;

pub(crate) use change::{Action, Change, Committed, Draft, Refused, owner_id};
pub(crate) use disk::FILE;
pub use disk::OpenError;
pub(crate) use disk::StoreError;
pub(crate) use disk::{Snapshot, Stored};
pub(crate) use failure::Failure;
pub(crate) use history::{Emptying, Event, EventKind, Next, Tail, Wakes};
pub(crate) use writer::CommitError;

use std::path::Path;
use std::sync::Arc;

use history::Histories;
use prometheus::Histogram;
use writer::Writer;

/// Bounds of what the store keeps in memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events that one kind's watch history keeps.
    pub history_events: usize,
    /// Bytes of objects that one kind's watch history keeps.
    pub history_bytes: usize,
    /// The same, while a client may watch from the revision of a long list that it has just read.
    pub held_bytes: usize,
    /// Bytes of redb's page cache.
    pub cache_bytes: usize,
}

/// The store. The folder can be opened again when it is dropped.
pub(crate) struct Store {
    // Dropped first: its end makes the writer thread close the disk.
    writer: Writer,
    disk: Arc<disk::Disk>,
    histories: Arc<Histories>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            history_events: 4096,
            history_bytes: 4 << 20,
            held_bytes: 32 << 20,
            cache_bytes: 32 << 20,
        }
    }
}

// === impl Store ===

impl Store {
    /// Opens or creates the folder. `kinds`: the number of histories. `commits`: observes how long transactions take.
    pub(crate) fn open(
        dir: &Path,
        kinds: usize,
        limits: Limits,
        commits: Histogram,
    ) -> Result<Self, OpenError> {
        let (disk, revision) = disk::Disk::open(dir, limits.cache_bytes, commits)?;
        let disk = Arc::new(disk);
        let histories = Arc::new(Histories::new(kinds, revision, limits));
        let writer = Writer::start(Arc::clone(&disk), Arc::clone(&histories), revision)?;
        Ok(Self {
            writer,
            disk,
            histories,
        })
    }

    /// A store in memory. Tables and rules are the same. The caller carries out its write itself, so that nothing runs beside it.
    pub(crate) fn in_memory(
        kinds: usize,
        limits: Limits,
        commits: Histogram,
    ) -> Result<Self, OpenError> {
        let (disk, revision) = disk::Disk::in_memory(limits.cache_bytes, commits)?;
        let disk = Arc::new(disk);
        let histories = Arc::new(Histories::new(kinds, revision, limits));
        let writer = Writer::inline(Arc::clone(&disk), Arc::clone(&histories), revision);
        Ok(Self {
            writer,
            disk,
            histories,
        })
    }

    /// Whether it is in memory, so that reads and writes never wait for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.writer.is_inline()
    }

    /// Carries out a write, and returns when it is on the disk.
    pub(crate) async fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        self.writer.commit(change).await
    }

    /// The newest state. While a snapshot lives, the disk space of objects that are overwritten is not reused.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.disk.snapshot()
    }

    /// Makes the index texts of all objects anew, if the stored ones are not of this version. Before any write.
    pub(crate) fn index_anew(
        &self,
        version: u64,
        texts: impl Fn(&str, &[u8]) -> Vec<String>,
    ) -> Result<(), StoreError> {
        self.disk.index_anew(version, texts)
    }

    /// Why the server cannot go on, if so.
    pub(crate) fn failure(&self) -> &Failure {
        &self.disk.failure
    }

    /// Reads from the disk to find out whether it works. The error is the reason why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let read = self.snapshot().and_then(|snapshot| snapshot.get(""));
        match (self.failure().why(), read) {
            (Some(why), _) => Err(why.to_owned()),
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(_)) => Ok(()),
        }
    }

    /// Transactions that were synced since the store was opened.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.disk.commits.get_sample_count()
    }

    /// How long transactions took to be synced.
    pub(crate) fn commit_seconds(&self) -> &Histogram {
        &self.disk.commits
    }

    /// Snapshots that are held.
    #[cfg(test)]
    pub(crate) fn snapshots(&self) -> usize {
        Arc::strong_count(&self.disk.held) - 1
    }

    /// The newest revision whose event watches can read.
    pub(crate) fn revision(&self) -> u64 {
        self.histories.revision()
    }

    /// The events of a kind after `revision`.
    pub(crate) fn follow(&self, kind: usize, revision: u64) -> Tail {
        Tail::new(Arc::clone(&self.histories), kind, revision)
    }

    /// Holds the events after the revision of a long list that was just read, so that its client can watch from there.
    pub(crate) fn hold_after(&self, revision: u64) {
        self.histories.hold_after(revision);
    }

    /// The containers that are being deleted. It changes when a commit adds one, or removes an object from one.
    pub(crate) fn emptying(&self) -> tokio::sync::watch::Receiver<Emptying> {
        self.histories.emptying()
    }

    /// Adds a container that was being deleted when the store was opened.
    pub(crate) fn found_deleting(&self, key: &str, id: u128) {
        self.histories
            .contained(vec![history::Contained::Deleting(Arc::from(key), id)]);
    }

    /// Counters that change when a commit makes work for the garbage collector.
    pub(crate) fn collect_wakes(&self) -> tokio::sync::watch::Receiver<Wakes> {
        self.histories.collect_wakes()
    }
}

#[cfg(test)]
mod tests;
