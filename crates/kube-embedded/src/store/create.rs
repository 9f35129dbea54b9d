//! Opens the database file, and creates it in a new folder. It is created under another name and gets its own one when it is
//! complete, because redb never opens a file again whose creation was cut off, by a crash or a full disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::disk::{FILE, OpenError};
use crate::private;
use crate::tls::TOKEN;

/// Ends the name until it is complete. Nothing was stored in a file of this name: the next start creates it anew.
const UNFINISHED: &str = ".new";
/// Most symbolic links that lead from one to the next, as on Linux.
const LINKS: usize = 40;

/// `backend`: how redb reads and writes the file.
pub(super) fn open<B: StorageBackend>(
    dir: &Path,
    builder: &Builder,
    backend: impl Fn(File) -> Result<B, DatabaseError>,
) -> Result<Database, OpenError> {
    open_by(dir, builder, backend, |from, to| fs::rename(from, to))
}

fn open_by<B: StorageBackend>(
    dir: &Path,
    builder: &Builder,
    backend: impl Fn(File) -> Result<B, DatabaseError>,
    rename: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<Database, OpenError> {
    let failed = |source| io_failed(dir, source);
    let database = |file| {
        backend(file)
            .and_then(|backend| builder.create_with_backend(backend))
            .map_err(|source| open_failed(dir, source))
    };
    // A rename would take the place of a link, so it is made where the link leads.
    let path = followed(dir.join(FILE)).map_err(failed)?;
    if !is_created(&path).map_err(failed)? {
        // The token is written once the database is complete.
        if dir.join(TOKEN).exists() {
            return Err(OpenError::Lost {
                dir: dir.to_owned(),
            });
        }
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(UNFINISHED);
        let unfinished = Path::new(&unfinished);
        let file = private::open(unfinished).map_err(failed)?;
        // Where the file system has no such locks, redb's own have to do.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(OpenError::InUse(dir.to_owned()));
        }
        // Another process could have completed it before this one had the lock.
        if !is_created(&path).map_err(failed)? {
            file.set_len(0).map_err(failed)?;
            let created = database(file)?;
            match rename(unfinished, &path) {
                Ok(()) => {
                    private::sync_dir(path.parent().unwrap_or(dir)).map_err(failed)?;
                    return Ok(created);
                }
                // An empty file that is mounted there keeps its place, and is filled.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    drop(created);
                    fs::remove_file(unfinished).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
    database(private::open(&path).map_err(failed)?)
}

/// Where symbolic links lead from this path, also to a file that is missing.
fn followed(mut path: PathBuf) -> io::Result<PathBuf> {
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // It is no link, or missing.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Whether the file exists and has content.
fn is_created(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn io_failed(dir: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        dir: dir.to_owned(),
        source,
    }
}

fn open_failed(dir: &Path, source: DatabaseError) -> OpenError {
    let dir = dir.to_owned();
    match source {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(dir),
        other => OpenError::Store {
            dir,
            source: Box::new(other.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use redb::backends::FileBackend;

    use super::*;
    use crate::metrics;
    use crate::store::disk::Disk;
    use crate::testing;

    /// A disk that takes so many writes and syncs, as the power is cut after them.
    #[derive(Debug)]
    struct Cut {
        file: FileBackend,
        left: AtomicUsize,
    }

    impl Cut {
        fn pass(&self) -> io::Result<()> {
            let next = |left: usize| left.checked_sub(1);
            self.left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
                .map_or_else(|_| Err(io::Error::other("cut off")), |_| Ok(()))
        }
    }

    impl StorageBackend for Cut {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, into)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.pass()?;
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.pass()?;
            self.file.sync_data()
        }

        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.pass()?;
            self.file.write(offset, bytes)
        }

        fn close(&self) -> io::Result<()> {
            self.file.close()
        }
    }

    #[test]
    fn a_first_start_that_is_cut_off_at_any_write_can_be_repeated() {
        let commits = || metrics::commit_seconds(&testing::product());
        let mut complete = false;
        let mut cut_at = 0;
        while !complete {
            let dir = tempfile::tempdir().unwrap();
            let locked = Cell::new(None);
            let cut = |file: File| {
                locked.set(file.try_clone().ok());
                Ok(Cut {
                    file: FileBackend::new(file)?,
                    left: AtomicUsize::new(cut_at),
                })
            };
            complete = Disk::open_by(dir.path(), 1 << 20, commits(), cut).is_ok();
            // redb can keep a file open whose creation failed; the end of a process ends its lock.
            locked.take().unwrap().unlock().unwrap();
            for start in ["repeated", "after it"] {
                let opened = Disk::open(dir.path(), 1 << 20, commits()).map(drop);
                assert!(opened.is_ok(), "{start}, cut at {cut_at}: {opened:?}");
                let names = fs::read_dir(dir.path()).unwrap().count();
                assert_eq!(names, 1, "{start}, cut at {cut_at}");
            }
            cut_at += 1;
        }
        assert!(cut_at > 5, "the start was cut off at {cut_at} writes only");
    }

    #[test]
    fn a_folder_that_was_served_and_has_no_objects_is_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let open = || open(dir.path(), &Builder::new(), FileBackend::new).map(drop);
        open().unwrap();
        fs::write(dir.path().join(TOKEN), "t").unwrap();
        open().unwrap();
        let file = dir.path().join(FILE);
        fs::write(&file, "").unwrap();
        assert!(matches!(open(), Err(OpenError::Lost { .. })));
        fs::remove_file(&file).unwrap();
        let lost = open().unwrap_err();
        assert!(matches!(lost, OpenError::Lost { .. }));
        assert!(
            lost.to_string().contains("restore that from a backup"),
            "{lost}"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(dir.path().join(TOKEN)).unwrap();
        open().unwrap();
    }

    #[test]
    fn two_servers_do_not_create_the_file_together() {
        let dir = tempfile::tempdir().unwrap();
        let other = private::open(&dir.path().join("store.redb.new")).unwrap();
        other.lock().unwrap();
        let open = || open(dir.path(), &Builder::new(), FileBackend::new);
        assert!(matches!(open(), Err(OpenError::InUse(_))));
        drop(other);
        let first = open().unwrap();
        assert!(matches!(open(), Err(OpenError::InUse(_))));
        drop(first);
        open().unwrap();
    }

    #[test]
    fn the_file_is_made_where_a_link_leads() {
        for is_empty in [false, true] {
            let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (link, file) = (dir.path().join(FILE), disk.path().join("data"));
            let between = disk.path().join("between");
            std::os::unix::fs::symlink(&between, &link).unwrap();
            // From where the link is.
            std::os::unix::fs::symlink("data", &between).unwrap();
            if is_empty {
                File::create(&file).unwrap();
            }
            for _ in ["created", "opened"] {
                open(dir.path(), &Builder::new(), FileBackend::new).unwrap();
                assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
                assert!(fs::symlink_metadata(&file).unwrap().len() > 0);
                assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 2);
            }
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&between, &file).unwrap();
            assert!(open(dir.path(), &Builder::new(), FileBackend::new).is_err());
        }
    }

    #[test]
    fn an_empty_file_that_is_mounted_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join(FILE)).unwrap();
        let busy = |_: &Path, _: &Path| Err(io::ErrorKind::ResourceBusy.into());
        open_by(dir.path(), &Builder::new(), FileBackend::new, busy).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        open(dir.path(), &Builder::new(), FileBackend::new).unwrap();
    }
}
