//! A folder and files that are their owner's alone: Secrets, the token and the authority's key lie there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// The bit of folders such as `/tmp`, in which everyone has files.
const STICKY: u32 = 0o1000;

/// Makes the folder where it is missing. One that is there is closed to others.
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

/// Opens a file to read and write, or makes it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE)
        .open(path)
}

/// Closes every file in the folder to others, also those that an older version or a restored backup left open.
pub(super) fn tighten_files(dir: &Path) {
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

/// Takes every right off that is not in `most`. A file system or an owner that does not allow it is no reason not to serve.
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
