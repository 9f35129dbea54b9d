//! The tables on the disk (redb), the format of an object in them, and snapshots to read from.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `objects` | `/group/plural/[namespace/]name` | [`Header`], then the object as JSON text |
//! | `owned` | owner's id, dependent's key | - |
//! | `found_by` | an object's index text, its key | - |
//! | `collect` | owner's id | the owner's key; empty when the owner is gone and its dependents are to be checked |
//! | `facts` | `revision`, `format`, `index` (the version of the index texts) | a number |

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prometheus::Histogram;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition,
};

use super::create;
use super::failure::Failure;
use crate::private;
use crate::tls;

pub(super) const OBJECTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("objects");
pub(super) const OWNED: TableDefinition<'static, (u128, &str), ()> = TableDefinition::new("owned");
pub(super) const FOUND_BY: TableDefinition<'static, (&str, &str), ()> =
    TableDefinition::new("found_by");
pub(super) const COLLECT: TableDefinition<'static, u128, &str> = TableDefinition::new("collect");
pub(super) const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");

/// The format that this version writes. A folder in another format is not touched.
const FORMAT: u64 = 1;
pub(crate) const FILE: &str = "store.redb";

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has the folder open.
    #[error(
        "the data folder {0} is in use by another process; stop it, or give this one a folder of its own"
    )]
    InUse(PathBuf),
    /// The folder was written in another format.
    #[error(
        "the data folder {dir} has layout {found}, this program reads and writes layout {FORMAT}"
    )]
    Format {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The folder cannot be created or read.
    #[error("the data folder {dir} cannot be opened: {source}")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server has served this folder, and its objects are gone.
    #[error(
        "the data folder {dir} has a token, so it had objects, and its {FILE} is missing or empty; restore that from a backup, or delete \
         ca.crt, ca.key and token beside it to begin without objects (old kubeconfigs stop working)"
    )]
    Lost {
        /// The folder.
        dir: PathBuf,
    },
    /// The file in it is damaged, or the disk fails.
    #[error("the store in {dir} cannot be opened: {source}")]
    Store {
        /// The folder.
        dir: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// The objects that every server has could not be written.
    #[error("the store cannot be prepared: {0}")]
    Prepare(String),
}

/// The disk failed in a read or a write.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store failed: {0}")]
pub(crate) struct StoreError(pub(super) Arc<redb::Error>);

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(source: E) -> Self {
        Self(Arc::new(source.into()))
    }
}

/// The database file.
pub(super) struct Disk {
    pub(super) db: Database,
    pub(super) failure: Failure,
    /// How long transactions took to be synced.
    pub(super) commits: Histogram,
    /// Every snapshot has a clone, so that they can be counted.
    pub(super) held: Arc<()>,
}

/// The bytes before an object's text, with which a write can be checked without parsing the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Revision of its last write.
    pub(super) revision: u64,
    /// Id of its UID.
    pub(super) id: u128,
    /// Whether it has a deletionTimestamp.
    pub(super) deleting: bool,
}

/// Size of a [`Header`] in bytes.
pub(super) const HEADER: usize = 8 + 16 + 1;

/// A stored object.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Revision of its last write.
    pub(crate) revision: u64,
    /// Id of its UID.
    pub(crate) id: u128,
    /// Whether it is being deleted.
    pub(crate) deleting: bool,
    /// Its JSON text.
    pub(crate) object: Bytes,
}

/// A consistent view of all objects at one revision.
pub(crate) struct Snapshot {
    objects: ReadOnlyTable<&'static str, &'static [u8]>,
    owned: ReadOnlyTable<(u128, &'static str), ()>,
    found_by: ReadOnlyTable<(&'static str, &'static str), ()>,
    collect: ReadOnlyTable<u128, &'static str>,
    revision: u64,
    failure: Failure,
    _held: Arc<()>,
}

// === impl Disk ===

impl Disk {
    /// Opens or creates the file, and returns the last revision.
    pub(super) fn open(
        dir: &Path,
        cache_bytes: usize,
        commits: Histogram,
    ) -> Result<(Self, u64), OpenError> {
        Self::open_by(dir, cache_bytes, commits, FileBackend::new)
    }

    /// `backend`: how redb reads and writes the file.
    pub(super) fn open_by<B: StorageBackend>(
        dir: &Path,
        cache_bytes: usize,
        commits: Histogram,
        backend: impl Fn(File) -> Result<B, DatabaseError>,
    ) -> Result<(Self, u64), OpenError> {
        private::make_dir(dir).map_err(|source| create::io_failed(dir, source))?;
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let db = create::open(dir, &builder, backend)?;
        // Not before the file is locked: the folder could be another server's.
        private::tighten_files(dir, &[&[FILE], &tls::FILES[..]].concat());
        Self::begun(db, dir, commits)
    }

    /// Empty tables in memory.
    pub(super) fn in_memory(
        cache_bytes: usize,
        commits: Histogram,
    ) -> Result<(Self, u64), OpenError> {
        let name = Path::new("(memory)");
        let db = Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(InMemoryBackend::new())
            .map_err(|source| OpenError::Store {
                dir: name.to_owned(),
                source: Box::new(source.into()),
            })?;
        Self::begun(db, name, commits)
    }

    fn begun(db: Database, dir: &Path, commits: Histogram) -> Result<(Self, u64), OpenError> {
        let disk = Self {
            db,
            failure: Failure::default(),
            commits,
            held: Arc::default(),
        };
        let (format, revision) = disk.begin().map_err(|StoreError(source)| {
            OpenError::Prepare(format!("{}: {source}", dir.display()))
        })?;
        if format != FORMAT {
            return Err(OpenError::Format {
                dir: dir.to_owned(),
                found: format,
            });
        }
        Ok((disk, revision))
    }

    /// Creates missing tables; returns format and revision.
    fn begin(&self) -> Result<(u64, u64), StoreError> {
        let transaction = self.db.begin_write()?;
        let (format, revision) = {
            let mut facts = transaction.open_table(FACTS)?;
            transaction.open_table(OBJECTS)?;
            transaction.open_table(OWNED)?;
            transaction.open_table(FOUND_BY)?;
            transaction.open_table(COLLECT)?;
            let format = facts.get("format")?.map(|found| found.value());
            let format = if let Some(format) = format {
                format
            } else {
                facts.insert("format", FORMAT)?;
                facts.insert("revision", 0)?;
                FORMAT
            };
            let revision = facts.get("revision")?.map_or(0, |found| found.value());
            (format, revision)
        };
        transaction.commit()?;
        Ok((format, revision))
    }

    /// One transaction: a crash within it leaves the old texts and their version.
    pub(super) fn index_anew(
        &self,
        version: u64,
        texts: impl Fn(&str, &[u8]) -> Vec<String>,
    ) -> Result<(), StoreError> {
        let transaction = self.db.begin_write()?;
        let known = {
            let facts = transaction.open_table(FACTS)?;
            facts.get("index")?.map_or(0, |known| known.value())
        };
        if known == version {
            return Ok(transaction.abort()?);
        }
        transaction.delete_table(FOUND_BY)?;
        {
            let mut found_by = transaction.open_table(FOUND_BY)?;
            for entry in transaction.open_table(OBJECTS)?.iter()? {
                let (key, value) = entry?;
                let (key, value) = (key.value(), value.value());
                for text in texts(key, value.get(HEADER..).unwrap_or_default()) {
                    found_by.insert((&*text, key), ())?;
                }
            }
        }
        transaction.open_table(FACTS)?.insert("index", version)?;
        Ok(transaction.commit()?)
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.failure.note(self.read())
    }

    fn read(&self) -> Result<Snapshot, StoreError> {
        let transaction = self.db.begin_read()?;
        let revision = transaction
            .open_table(FACTS)?
            .get("revision")?
            .map_or(0, |found| found.value());
        Ok(Snapshot {
            objects: transaction.open_table(OBJECTS)?,
            owned: transaction.open_table(OWNED)?,
            found_by: transaction.open_table(FOUND_BY)?,
            collect: transaction.open_table(COLLECT)?,
            revision,
            failure: self.failure.clone(),
            _held: Arc::clone(&self.held),
        })
    }
}

// === impl Header ===

impl Header {
    pub(super) fn write(self, to: &mut impl BufMut) {
        to.put_u64(self.revision);
        to.put_u128(self.id);
        to.put_u8(u8::from(self.deleting));
    }

    pub(super) fn read(mut value: &[u8]) -> Option<Self> {
        (value.len() >= HEADER).then(|| Self {
            revision: value.get_u64(),
            id: value.get_u128(),
            deleting: value.get_u8() != 0,
        })
    }
}

// === impl Stored ===

impl Stored {
    fn read(value: &[u8]) -> Option<Self> {
        let header = Header::read(value)?;
        Some(Self {
            revision: header.revision,
            id: header.id,
            deleting: header.deleting,
            object: Bytes::copy_from_slice(&value[HEADER..]),
        })
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The newest revision in it.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The object at `key`.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let read = || {
            Ok(self
                .objects
                .get(key)?
                .and_then(|value| Stored::read(value.value())))
        };
        self.failure.note(read())
    }

    /// Whether any key has this prefix.
    pub(crate) fn any(&self, prefix: &str) -> Result<bool, StoreError> {
        let read = || {
            Ok(match self.objects.range(prefix..)?.next() {
                Some(entry) => entry?.0.value().starts_with(prefix),
                None => false,
            })
        };
        self.failure.note(read())
    }

    /// Objects whose key has this prefix and comes after `after`, in the order of keys, until `take` breaks.
    pub(crate) fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        mut take: impl FnMut(&str, Stored) -> std::ops::ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut read = || {
            let from = match after {
                Some(after) => std::ops::Bound::Excluded(after),
                None => std::ops::Bound::Included(prefix),
            };
            for entry in self
                .objects
                .range::<&str>((from, std::ops::Bound::Unbounded))?
            {
                let (key, value) = entry?;
                let key = key.value();
                if !key.starts_with(prefix) {
                    break;
                }
                let Some(stored) = Stored::read(value.value()) else {
                    continue;
                };
                if take(key, stored).is_break() {
                    break;
                }
            }
            Ok(())
        };
        self.failure.note(read())
    }

    /// The number of objects whose key has this prefix and comes after `after`.
    pub(crate) fn count(&self, prefix: &str, after: &str) -> Result<u64, StoreError> {
        let read = || {
            let mut count = 0;
            for entry in self
                .objects
                .range::<&str>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))?
            {
                if !entry?.0.value().starts_with(prefix) {
                    break;
                }
                count += 1;
            }
            Ok(count)
        };
        self.failure.note(read())
    }

    /// Keys of up to `most` objects that name this owner, after the key `after`.
    pub(crate) fn dependents(
        &self,
        owner: u128,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let read = || {
            let from = match after {
                Some(after) => std::ops::Bound::Excluded((owner, after)),
                None => std::ops::Bound::Included((owner, "")),
            };
            let mut keys = Vec::new();
            for entry in self
                .owned
                .range::<(u128, &str)>((from, std::ops::Bound::Unbounded))?
            {
                let (key, ()) = {
                    let entry = entry?;
                    (entry.0, entry.1.value())
                };
                let (id, dependent) = key.value();
                if id != owner || keys.len() == most {
                    break;
                }
                keys.push(dependent.to_owned());
            }
            Ok(keys)
        };
        self.failure.note(read())
    }

    /// As [`Self::found_by`], for exactly this text.
    pub(crate) fn found_exactly_by(&self, by: &str) -> Result<Vec<(String, String)>, StoreError> {
        let read = || {
            let mut found = Vec::new();
            for entry in self.found_by.range::<(&str, &str)>((by, "")..)? {
                let (key, _) = entry?;
                let (this, object) = key.value();
                if this != by {
                    break;
                }
                found.push((this.to_owned(), object.to_owned()));
            }
            Ok(found)
        };
        self.failure.note(read())
    }

    /// The index texts that begin with `prefix`, with the keys of their objects.
    pub(crate) fn found_by(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let read = || {
            let mut found = Vec::new();
            for entry in self.found_by.range::<(&str, &str)>((prefix, "")..)? {
                let (key, _) = entry?;
                let (by, object) = key.value();
                if !by.starts_with(prefix) {
                    break;
                }
                found.push((by.to_owned(), object.to_owned()));
            }
            Ok(found)
        };
        self.failure.note(read())
    }

    /// The garbage collector's work list: ids of owners with their keys, which are empty for owners that are gone.
    pub(crate) fn collect(&self) -> Result<Vec<(u128, String)>, StoreError> {
        let read = || {
            self.collect
                .iter()?
                .map(|entry| {
                    let (id, key) = entry?;
                    Ok((id.value(), key.value().to_owned()))
                })
                .collect()
        };
        self.failure.note(read())
    }
}
