//! A folder and files that only their owner can read: they hold Secrets, the token and the authority's key.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
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

/// Writes a file as a whole or not at all, and readable by its owner only from the start.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    // A file that a crash left may have other permissions.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE)
        .open(&beside)?;
    // Independent of the umask.
    file.set_permissions(Permissions::from_mode(FILE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    sync_dir(dir.unwrap_or(Path::new(".")))
}

/// Lets the folder remember which files it has. It is no error where the file system or the folder's mode does not allow it: its
/// files are complete.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    unless_unable(dir, File::open(dir).and_then(|dir| dir.sync_all()))
}

fn unless_unable(dir: &Path, synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            tracing::warn!(%error, "the folder {} cannot be synced", dir.display());
            Ok(())
        }
        other => other,
    }
}

/// Closes these files in the folder to other users, where an older version or a restored backup left them open. Other files are not
/// ours: a program that lies beside them must stay executable. In a folder that all users share even a file of such a name may be
/// anybody's.
pub(super) fn tighten_files(dir: &Path, names: &[&str]) {
    let is_shared = |folder: fs::Metadata| folder.permissions().mode() & STICKY != 0;
    if fs::metadata(dir).is_ok_and(is_shared) {
        return;
    }
    for path in names.iter().map(|name| dir.join(name)) {
        // Not through symbolic links. What is missing is made with the right mode.
        if let Ok(metadata) = fs::symlink_metadata(&path)
            && metadata.is_file()
        {
            tighten(&path, metadata.permissions().mode(), FILE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_synced_fails_no_start() {
        let after = |code| unless_unable(Path::new("/"), Err(io::Error::from_raw_os_error(code)));
        // EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP.
        for code in [1, 13, 22, 38, 95] {
            after(code).unwrap();
        }
        // EIO.
        after(5).unwrap_err();
        unless_unable(Path::new("/"), Ok(())).unwrap();
    }
}
