//! A folder and files that only their owner can read: they hold Secrets, the token and the authority's key.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// The bit of folders such as `/tmp`, in which everyone has files.
const STICKY: u32 = 0o1000;

/// Creates the folder if it is missing, and closes an existing one to other users.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(dir)?;
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & STICKY == 0 {
        tighten(dir, mode, FOLDER);
    } else {
        tracing::warn!(
            "the data folder {} is one that all users share; give --data-dir a folder that nothing else uses",
            dir.display()
        );
    }
    Ok(())
}

/// Opens or creates a file, to read and write.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE)
        .open(path)
}

/// Closes every file in the folder to other users, also those that an older version or a restored backup left open. In a folder
/// that all users share the files may be anybody's, and stay as they are.
pub(super) fn tighten_files(dir: &Path) {
    let is_shared = |folder: fs::Metadata| folder.permissions().mode() & STICKY != 0;
    if fs::metadata(dir).is_ok_and(is_shared) {
        return;
    }
    let Ok(entries) = fs::read_dir(dir) else {
        return; // What is needed from it is opened by name, with an error that says why it cannot be.
    };
    for entry in entries.flatten() {
        // Not through symbolic links.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            tighten(&entry.path(), metadata.permissions().mode(), FILE);
        }
    }
}

/// Removes every permission that is not in `most`. It is no error when the file system or the owner does not allow it.
fn tighten(path: &Path, mode: u32, most: u32) {
    let wanted = mode & most;
    if mode & 0o7777 == wanted {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(wanted)) {
        tracing::warn!(
            %error,
            "{} is open to other users (mode {:o}) and cannot be closed; run chmod {:o} on it as its owner",
            path.display(),
            mode & 0o7777,
            most
        );
    }
}
