//! Files that are written whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, io_reason, next_by_number};
use crate::unfinished::UnfinishedFile;
pub use crate::unfinished::{remove_unfinished, wait_if_ending};

/// How many symbolic links in a row are followed.
const MAX_LINKS: usize = 40;

/// Writes `bytes` to `path` so that a reader finds the old file or the new one, never a part.
///
/// The bytes go to a temporary file in the same directory, which then takes the place of `path`.
/// An existing file keeps its permissions, a new one gets those that the umask leaves; a symbolic
/// link stays, and the file it points to is replaced. `/dev/null` and its like are written to directly;
/// all other devices, pipes and sockets are refused, since who reads them may never come.
///
/// # Errors
///
/// As [`check_writable`], and if the disk is full. No temporary file is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_all_atomically(&[(path, bytes)])
}

/// Writes several files as [`write_atomically`] does: all of their bytes are on the disk before the
/// first old file is replaced, so that a full disk leaves every one of them as it was.
pub fn write_all_atomically(files: &[(&Path, impl AsRef<[u8]>)]) -> Result<()> {
    let staged = files
        .iter()
        .map(|(path, bytes)| stage(path, bytes.as_ref()))
        .collect::<Result<Vec<_>>>()?;
    for (staged, (path, _)) in staged.into_iter().zip(files) {
        let Some((temporary, target)) = staged else { continue };
        temporary.put_at(&target).map_err(|error| write_error(path, &error))?;
    }
    Ok(())
}

/// The bytes in a temporary file, and what it is to replace; `None` for a device, which has been
/// written to.
fn stage(path: &Path, bytes: &[u8]) -> Result<Option<(UnfinishedFile, PathBuf)>> {
    let target = check(path)?;
    let failed = |error: io::Error| write_error(path, &error);
    if !replaceable(&target) {
        let mut device = OpenOptions::new().write(true).open(&target).map_err(failed)?;
        device.write_all(bytes).map_err(failed)?;
        return Ok(None);
    }
    let temporary = UnfinishedFile::create_in(parent(&target)).map_err(failed)?;
    temporary.file().write_all(bytes).map_err(failed)?;
    if let Ok(metadata) = fs::metadata(&target) {
        temporary.file().set_permissions(metadata.permissions()).map_err(failed)?;
    }
    // A full disk may only be noticed when the data reaches it.
    temporary.file().sync_data().map_err(failed)?;
    Ok(Some((temporary, target)))
}

/// Checks before slow work that [`write_atomically`] will be able to write to `path`.
///
/// It leaves nothing behind, and an existing file as it is.
///
/// # Errors
///
/// Returns an error if `path` is a directory, a pipe, a socket, a device or a read-only file, if its
/// directory is missing or not writable, or if its name is longer than the disk takes.
pub fn check_writable(path: &Path) -> Result<()> {
    check(path).map(drop)
}

/// The file that `path` leads to, once it is known to be writable.
fn check(path: &Path) -> Result<PathBuf> {
    let target = resolve(path)?;
    let ends_in_separator = path.as_os_str().as_encoded_bytes().last() == Some(&b'/');
    if target.is_dir() || ends_in_separator || target.file_name().is_none() {
        let next = "name a file in it";
        return Err(Error::output(path, "expected a file to write, found a directory", next));
    }
    // By its own name: that of an open pipe (`/dev/stdout`) leads to no path.
    if let Ok(metadata) = fs::metadata(path)
        && let Some(what) = unfit(&metadata)
    {
        let next = "name an ordinary file";
        return Err(Error::output(path, format!("expected a file to write, found {what}"), next));
    }
    if target.exists() {
        OpenOptions::new().write(true).open(&target).map_err(|error| write_error(path, &error))?;
        if !replaceable(&target) {
            return Ok(target);
        }
    }
    let parent = parent(&target);
    if !parent.is_dir() {
        return Err(missing_directory(path, parent));
    }
    // The name of the file that is tried below is short.
    if let Err(error) = fs::symlink_metadata(&target)
        && error.kind() == IoErrorKind::InvalidFilename
    {
        return Err(write_error(path, &error));
    }
    // Only trying tells: permissions, read-only mounts and quotas all have a say.
    UnfinishedFile::create_in(parent).map_err(|error| write_error(path, &error))?;
    Ok(target)
}

/// Whether a new file may take this one's place: it is a regular file, or not there yet.
fn replaceable(target: &Path) -> bool {
    fs::metadata(target).map_or(true, |metadata| metadata.is_file())
}

/// Follows the symbolic links that `path` is, also to a file that does not exist yet: the file that
/// [`write_atomically`] replaces.
///
/// # Errors
///
/// Returns an error if the links form a cycle.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = parent(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(Error::output(path, "too many symbolic links", "name the file itself"))
}

/// What a file is that cannot be written as one; `None` for one that can.
fn unfit(metadata: &fs::Metadata) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return Some("a pipe");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
        if kind.is_block_device() {
            return Some("a disk");
        }
        // Linux's /dev/null, zero and full take what is written at once, or refuse it.
        let at_once =
            !cfg!(target_os = "linux") || [0x103, 0x105, 0x107].contains(&metadata.rdev());
        if kind.is_char_device() && !at_once {
            return Some("a device");
        }
    }
    let _ = metadata;
    None
}

/// The folder of `path`, `.` for a name alone.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    }
}

/// What is wrong where `parent`, the folder of the output `path`, is none.
pub(crate) fn missing_directory(path: &Path, parent: &Path) -> Error {
    if let Err(error) = fs::metadata(parent)
        && !matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory)
    {
        return write_error(path, &error);
    }
    // The folder itself, or one above it, may be a file.
    if let Some(file) = parent.ancestors().find(|above| above.exists() && !above.is_dir()) {
        return Error::output(
            path,
            format!("expected a directory, found the file {}", file.display()),
            "name a place in a directory",
        );
    }
    Error::output(
        path,
        format!("the directory {} does not exist", parent.display()),
        format!("create it: mkdir -p {}", parent.display()),
    )
}

/// What the user is told when `path` cannot be written.
pub fn write_error(path: &Path, error: &io::Error) -> Error {
    let next = match error.kind() {
        IoErrorKind::PermissionDenied => "choose a place that you may write to",
        IoErrorKind::ReadOnlyFilesystem => "choose a place on a writable disk",
        IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded => "free some disk space",
        IoErrorKind::FileTooLarge => "raise the limit on the size of files (ulimit -f)",
        IoErrorKind::InvalidFilename => "choose a shorter name",
        _ => next_by_number(error).unwrap_or("choose another place"),
    };
    Error::output(path, format!("cannot be written: {}", io_reason(error)), next)
}
