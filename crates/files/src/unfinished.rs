//! What is being written and not in its place yet: nothing of it stays, however the process ends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::park;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir, TempPath};

/// How the names of files and folders begin that are not finished. The process's number follows.
const UNFINISHED: &str = ".vae-fidelity-unfinished-";

/// How old what another process left has to be where nothing tells whether that process still runs, so that
/// none is taken that is just being made.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// How often a name is tried again that another process took for a leftover.
const TRIES: usize = 8;

/// What this process has begun and not put in its place.
static BEGUN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Whether the process is ending, and what it has begun is going.
static ENDING: AtomicBool = AtomicBool::new(false);

fn begun() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path in [`BEGUN`], for as long as this lives.
struct Begun(PathBuf);

impl Begun {
    /// As one step with making it, for whoever removes all that is begun.
    fn new<T>(
        make: impl FnOnce() -> io::Result<T>,
        path: impl Fn(&T) -> &Path,
    ) -> io::Result<(T, Self)> {
        let mut begun = begun();
        let made = make()?;
        // As it is found from wherever the process is by then.
        let path = std::path::absolute(path(&made))?;
        begun.insert(path.clone());
        Ok((made, Self(path)))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        begun().remove(&self.0);
    }
}

/// Removes what this process has begun to write and not finished: to be called once, when a signal is about to end
/// it. Whatever other threads go on to write fails, and [`wait_if_ending`] holds them; they begin nothing any more.
pub fn remove_unfinished() {
    ENDING.store(true, Ordering::SeqCst);
    let begun = begun();
    remove(&begun);
    std::mem::forget(begun);
}

fn remove(begun: &BTreeSet<PathBuf>) {
    for path in begun {
        if !path.is_dir() {
            // What cannot be removed is cleared by a later run.
            let _ = fs::remove_file(path);
            continue;
        }
        // Under a name that no thread knows nothing is added while it goes.
        let mut ending = path.clone().into_os_string();
        ending.push("-ending");
        match fs::rename(path, &ending) {
            Ok(()) => remove_folder(ending.as_ref()),
            Err(_) => remove_folder(path),
        }
    }
}

/// A file that a thread had found the folder for before it got its new name appears while it goes.
fn remove_folder(path: &Path) {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        if fs::remove_dir_all(path).is_ok() {
            return;
        }
    }
}

/// Does not return once [`remove_unfinished`] was called: what fails from then on fails because of that, and is
/// not worth a message.
pub fn wait_if_ending() {
    while ENDING.load(Ordering::SeqCst) {
        park();
    }
}

/// A file that is being written, under a name of its own.
pub(crate) struct UnfinishedFile {
    file: File,
    path: TempPath,
    _begun: Begun,
}

impl UnfinishedFile {
    /// Begins a file in `folder`, after clearing what runs before left there.
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        clear_leftovers(folder);
        let prefix = prefix();
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // The umask takes its share of these, as for any new file.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let begin = || builder.tempfile_in(folder);
        let make = || held(begin, NamedTempFile::as_file, NamedTempFile::path);
        let (temporary, begun) = Begun::new(make, NamedTempFile::path)?;
        let (file, path) = temporary.into_parts();
        Ok(Self { file, path, _begun: begun })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts it in the place of `target`.
    pub fn put_at(self, target: &Path) -> io::Result<()> {
        self.path.persist(target).map_err(|error| error.error)
    }
}

/// A folder that is being filled, under a name of its own.
pub(crate) struct UnfinishedFolder {
    folder: TempDir,
    /// See [`held`].
    _held: File,
    _begun: Begun,
}

impl UnfinishedFolder {
    /// As [`UnfinishedFile::create_in`].
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        clear_leftovers(folder);
        let prefix = prefix();
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        let begin = || {
            let folder = builder.tempdir_in(folder)?;
            let opened = File::open(folder.path())?;
            Ok((folder, opened))
        };
        let make = || held(begin, |(_, opened)| opened, |(folder, _)| folder.path());
        let ((folder, held), begun) = Begun::new(make, |(folder, _)| folder.path())?;
        Ok(Self { folder, _held: held, _begun: begun })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts it at `target`, where nothing or an empty folder is.
    pub fn put_at(self, target: &Path) -> io::Result<()> {
        fs::rename(self.path(), target)?;
        let _ = self.folder.keep();
        Ok(())
    }
}

fn prefix() -> String {
    format!("{UNFINISHED}{}-", std::process::id())
}

/// What `begin` made, marked as somebody's for as long as the process lives. Another process may take it for a
/// leftover before it is marked: then it is gone, and made once more.
fn held<T>(
    begin: impl Fn() -> io::Result<T>,
    file: impl Fn(&T) -> &File,
    path: impl Fn(&T) -> &Path,
) -> io::Result<T> {
    for _ in 1..TRIES {
        let begun = begin()?;
        // Where a disk has no locks, what is left lying stays.
        let _ = fs4::FileExt::try_lock(file(&begun));
        if path(&begun).exists() {
            return Ok(begun);
        }
    }
    begin()
}

/// Removes what runs that were killed left unfinished in `folder`, and what is nobody's. Once for each folder:
/// it is read whole.
fn clear_leftovers(folder: &Path) {
    static CLEARED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut cleared = CLEARED.lock().unwrap_or_else(PoisonError::into_inner);
    if !cleared.insert(folder.to_owned()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.as_encoded_bytes().strip_prefix(UNFINISHED.as_bytes()) else {
            continue;
        };
        // A pipe of this name would be waited for, and a link leads elsewhere.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() && !metadata.is_dir() {
            continue;
        }
        let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
        if !is_of_a_dead_process(rest) && age.is_none_or(|age| age <= LEFTOVER_AGE) {
            continue;
        }
        let path = entry.path();
        let Ok(held) = File::open(&path) else { continue };
        if fs4::FileExt::try_lock(&held).is_ok() {
            // Whoever may not remove it leaves it to others.
            let _ = match metadata.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
        }
    }
}

/// Whether the name that goes on with `rest` is of a process that ran here and runs no more. A process on another
/// machine or in another container may look so: its lock, or that it makes its file once more, protects it.
fn is_of_a_dead_process(rest: &[u8]) -> bool {
    let number = rest.split(|&byte| byte == b'-').next().unwrap_or_default();
    let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<u32>().ok());
    let runs = |number: u32| {
        // `NUMBER (NAME) STATE ...`: one whose parent has not asked for its exit code yet runs no more.
        let state = fs::read(format!("/proc/{number}/stat")).unwrap_or_default();
        let state = state.rsplit(|&byte| byte == b')').next().unwrap_or_default();
        !matches!(state, [] | [b' ', b'Z' | b'X', ..])
    };
    // Without /proc nothing tells.
    number.is_some_and(|number| runs(std::process::id()) && !runs(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_goes_when_it_is_dropped_or_the_process_ends() {
        let folder = tempfile::tempdir().unwrap();
        let left = || fs::read_dir(folder.path()).unwrap().count();
        drop(UnfinishedFile::create_in(folder.path()).unwrap());
        drop(UnfinishedFolder::create_in(folder.path()).unwrap());
        assert_eq!(left(), 0);
        let file = UnfinishedFile::create_in(folder.path()).unwrap();
        let new = UnfinishedFolder::create_in(folder.path()).unwrap();
        fs::create_dir(new.path().join("a")).unwrap();
        fs::write(new.path().join("a/b"), "half").unwrap();
        assert_eq!(left(), 2);
        remove(&begun());
        assert_eq!(left(), 0);
        assert!(file.put_at(&folder.path().join("c")).is_err());
    }

    /// The number of a process that has ended, and of this one.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_young_leftover_goes_once_its_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: String| folder.path().join(name);
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let dead = path(format!("{UNFINISHED}{}-a", ended.id()));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("half"), "half").unwrap();
        let alive = path(format!("{UNFINISHED}{}-a.tmp", std::process::id()));
        let nameless = path(format!("{UNFINISHED}a.tmp"));
        fs::write(&alive, "half").unwrap();
        fs::write(&nameless, "half").unwrap();
        clear_leftovers(folder.path());
        assert!(!dead.exists() && alive.exists() && nameless.exists());
    }
}
