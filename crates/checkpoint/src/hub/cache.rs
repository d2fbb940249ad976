//! The cache on disk, laid out as Python's `huggingface_hub` does it, so that each finds what the
//! other has downloaded:
//!
//! ```text
//! models--OWNER--NAME/refs/main                       the commit that `main` was at
//! models--OWNER--NAME/blobs/ETAG                      a file's bytes
//! models--OWNER--NAME/blobs/ETAG.incomplete           the first of them, to go on with
//! models--OWNER--NAME/snapshots/COMMIT/vae/config.json   a link to a blob
//! .locks/models--OWNER--NAME/ETAG.lock                held while a blob is downloaded
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use fs4::TryLockError;

use vae_fidelity_files::error::{Error, ErrorKind, Result, io_reason};
use vae_fidelity_files::output::write_atomically;

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # A cache of huggingface_hub's, see https://bford.info/cachedir/\n";
/// How often a lock that another process holds is tried.
const LOCK_EVERY: Duration = Duration::from_millis(100);

/// One repository's part of the cache.
#[derive(Debug)]
pub(super) struct Repository {
    cache: PathBuf,
    folder: PathBuf,
    locks: PathBuf,
    symlinks: bool,
}

impl Repository {
    pub fn new(cache: &Path, id: &str, symlinks: bool) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self {
            cache: cache.to_owned(),
            folder: cache.join(&name),
            locks: cache.join(".locks").join(name),
            symlinks,
        }
    }

    /// The commit that `revision` was at when the hub was last asked.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text =
            vae_fidelity_files::input::read_text(&self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers that `revision` is at `commit`.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        fs::create_dir_all(path.parent().unwrap_or(&path))
            .map_err(|error| cannot_write(&path, &error))?;
        write_atomically(&path, commit.as_bytes())
    }

    /// The folder of the repository's files as they are at `commit`.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Makes the folders that a blob needs.
    pub fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(self.folder.join("blobs"))?;
        fs::create_dir_all(&self.locks)?;
        let tag = self.cache.join("CACHEDIR.TAG");
        if !tag.exists() {
            // It only keeps the cache out of backups.
            let _ = fs::write(tag, TAG);
        }
        Ok(())
    }

    /// Waits until no other process downloads the blob `etag`; `waiting` is called once if it has
    /// to. The lock is given back when the file is dropped.
    pub fn lock(&self, etag: &str, waiting: impl FnOnce()) -> io::Result<File> {
        let path = self.locks.join(format!("{etag}.lock"));
        let mut waiting = Some(waiting);
        loop {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            match fs4::FileExt::try_lock(&file) {
                // Who held it may have removed it, and others lock another file of its name by now.
                Ok(()) if is_at(&file, &path) => return Ok(file),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    sleep(LOCK_EVERY);
                }
                // A lock only saves a second download: a disk that has none does without.
                Err(TryLockError::Error(error)) if error.kind() == IoErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Lets the snapshot's `file` be the blob `etag`.
    pub fn link(&self, etag: &str, commit: &str, file: &str) -> io::Result<()> {
        let pointer = self.snapshot(commit).join(file);
        if pointer.exists() {
            return Ok(());
        }
        fs::create_dir_all(pointer.parent().unwrap_or(&pointer))?;
        // A link that leads nowhere is in the way.
        let _ = fs::remove_file(&pointer);
        let up = "../".repeat(file.split('/').count() + 1);
        if self.symlinks {
            match symlink(Path::new(&format!("{up}blobs/{etag}")), &pointer) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == IoErrorKind::AlreadyExists => return Ok(()),
                // As Python does where there are no links: the blob itself takes the place.
                Err(_) => {}
            }
        }
        fs::rename(self.blob(etag), &pointer)
    }

    /// What there is of the snapshot at `commit`.
    pub fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }
}

/// Whether a revision is a whole commit, which never changes.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = || {
        let file = same_file::Handle::from_file(file.try_clone()?)?;
        Ok::<_, io::Error>(file == same_file::Handle::from_path(path)?)
    };
    same().unwrap_or(false)
}

/// The error for a part of the cache that cannot be written.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Error {
    let next = match error.kind() {
        IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded | IoErrorKind::FileTooLarge => {
            "free some disk space and run it again: what has arrived is kept; or set HF_HUB_CACHE \
             to a folder on another disk"
        }
        _ => "set HF_HUB_CACHE to a folder that you may write to",
    };
    let problem = format!("the hub's cache cannot be written: {}", io_reason(error));
    Error::new(ErrorKind::Hub, path.display(), problem, next)
}

#[cfg(unix)]
fn symlink(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(IoErrorKind::Unsupported.into())
}
