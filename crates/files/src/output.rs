//! Files that are written whole or not at all.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::error::{Error, Result, io_reason};

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
        temporary.persist(&target).map_err(|error| write_error(path, &error.error))?;
    }
    Ok(())
}

/// The bytes in a temporary file, and what it is to replace; `None` for a device, which has been
/// written to.
fn stage(path: &Path, bytes: &[u8]) -> Result<Option<(NamedTempFile<File>, PathBuf)>> {
    let target = check(path)?;
    let failed = |error: io::Error| write_error(path, &error);
    if !replaceable(&target) {
        let mut device = OpenOptions::new().write(true).open(&target).map_err(failed)?;
        device.write_all(bytes).map_err(failed)?;
        return Ok(None);
    }
    let mut temporary = temporary_beside(&target).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    if let Ok(metadata) = fs::metadata(&target) {
        temporary.as_file().set_permissions(metadata.permissions()).map_err(failed)?;
    }
    // A full disk may only be noticed when the data reaches it.
    temporary.as_file().sync_data().map_err(failed)?;
    Ok(Some((temporary, target)))
}

/// Checks before slow work that [`write_atomically`] will be able to write to `path`.
///
/// It leaves nothing behind, and an existing file as it is.
///
/// # Errors
///
/// Returns an error if `path` is a directory, a pipe, a socket, a device or a read-only file, or if its
/// directory is missing or not writable.
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
    // Only trying tells: permissions, read-only mounts and quotas all have a say.
    temporary_beside(&target).map_err(|error| write_error(path, &error))?;
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

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    }
}

/// How the names of files and folders begin that are not finished.
const UNFINISHED: &str = ".vae-fidelity-unfinished-";

/// How old what another process left has to be, so that none is taken that is just being made.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

fn temporary_beside(target: &Path) -> io::Result<NamedTempFile<File>> {
    clear_leftovers(parent(target));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The umask takes its share of these, as for any new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(parent(target))?;
    hold(temporary.as_file());
    Ok(temporary)
}

/// Marks what is being written as somebody's, for as long as the process lives.
fn hold(file: &File) {
    // Where a disk has no locks, what is left lying stays.
    let _ = fs4::FileExt::try_lock(file);
}

/// Removes what runs that were killed left unfinished in `folder`: old, and nobody's. Once for each
/// folder: it is read whole.
fn clear_leftovers(folder: &Path) {
    static CLEARED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut cleared = CLEARED.lock().unwrap_or_else(PoisonError::into_inner);
    if !cleared.insert(folder.to_owned()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        let is_old = |metadata: fs::Metadata| {
            !metadata.is_symlink()
                && metadata
                    .modified()
                    .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFTOVER_AGE))
        };
        if !is_ours || !entry.metadata().is_ok_and(is_old) {
            continue;
        }
        let path = entry.path();
        // A pipe of this name would be waited for.
        let Ok(kind) = entry.file_type() else { continue };
        if !kind.is_file() && !kind.is_dir() {
            continue;
        }
        let Ok(held) = File::open(&path) else { continue };
        if fs4::FileExt::try_lock(&held).is_ok() {
            // Whoever may not remove it leaves it to others.
            let _ = match kind.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
        }
    }
}

/// A folder that appears whole or not at all: it is filled under another name beside its place.
pub struct NewFolder {
    temporary: TempDir,
    /// See [`hold`].
    _held: Option<File>,
    target: PathBuf,
}

impl NewFolder {
    /// Begins a folder that will appear at `target`.
    ///
    /// # Errors
    ///
    /// Returns an error if `target` is anything but an empty folder, or if its parent is missing or not
    /// writable.
    pub fn create(target: &Path) -> Result<Self> {
        let target = resolve(target)?;
        let occupied = match fs::read_dir(&target) {
            Ok(mut entries) => entries
                .next()
                .is_some()
                .then_some("expected an empty or new folder, found one with files in it"),
            Err(_) if target.exists() => Some("expected a folder, found a file"),
            Err(_) => None,
        };
        if let Some(problem) = occupied {
            return Err(Error::output(&target, problem, "name a new folder"));
        }
        let parent = parent(&target);
        if !parent.is_dir() {
            return Err(missing_directory(&target, parent));
        }
        clear_leftovers(parent);
        let temporary = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(parent)
            .map_err(|error| write_error(&target, &error))?;
        let held = File::open(temporary.path()).ok();
        held.iter().for_each(hold);
        Ok(Self { temporary, _held: held, target })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Checks the free space of the disk.
    ///
    /// # Errors
    ///
    /// Returns an error unless there is room for `bytes` and a reserve.
    pub fn check_room(&self, bytes: u64) -> Result<()> {
        let Ok(free) = fs4::available_space(self.path()) else { return Ok(()) };
        let needed = bytes + bytes / 50 + (4 << 20);
        if free >= needed {
            return Ok(());
        }
        let megabytes = |bytes: u64| bytes / 1_000_000;
        Err(Error::output(
            &self.target,
            format!("needs {} MB, the disk has {} MB free", megabytes(needed), megabytes(free)),
            "free some disk space, choose another place, or ask for less",
        ))
    }

    /// Puts the folder in its place.
    pub fn finish(self) -> Result<()> {
        let failed = |error: io::Error| write_error(&self.target, &error);
        if self.target.is_dir() {
            fs::remove_dir(&self.target).map_err(failed)?;
        }
        // Temporary folders are their owner's alone; this one gets what the umask leaves others.
        let usual = self.path().join(".usual");
        fs::create_dir(&usual).map_err(failed)?;
        let permissions = fs::metadata(&usual).map_err(failed)?.permissions();
        fs::remove_dir(&usual).map_err(failed)?;
        fs::set_permissions(self.path(), permissions).map_err(failed)?;
        fs::rename(self.path(), &self.target).map_err(failed)?;
        let _ = self.temporary.keep();
        Ok(())
    }
}

fn missing_directory(path: &Path, parent: &Path) -> Error {
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
        _ => "choose another place",
    };
    Error::output(path, format!("cannot be written: {}", io_reason(error)), next)
}
