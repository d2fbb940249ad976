//! Folders that appear whole or not at all.

use std::fs;
use std::io::{self, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{missing_directory, parent, resolve, write_error};
use crate::unfinished::UnfinishedFolder;

/// A folder that appears whole or not at all: it is filled under another name beside its place.
pub struct NewFolder {
    temporary: UnfinishedFolder,
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
        let temporary =
            UnfinishedFolder::create_in(parent).map_err(|error| write_error(&target, &error))?;
        Ok(Self { temporary, target })
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

    /// Where `path`, a place in [`Self::path`], will be: the name that a user knows it by.
    pub fn final_place(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.path()).map_or(path.to_owned(), |below| self.target.join(below))
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    ///
    /// Returns an error if something else has come to be there, or if the disk fails.
    pub fn finish(self) -> Result<()> {
        let target = self.target.clone();
        let failed = |error: io::Error| match error.kind() {
            IoErrorKind::DirectoryNotEmpty | IoErrorKind::AlreadyExists => Error::output(
                &target,
                "another process has put files there since this run began",
                "look at what it wrote, or name another new folder",
            ),
            _ => write_error(&target, &error),
        };
        if self.target.is_dir() {
            fs::remove_dir(&self.target).map_err(failed)?;
        }
        // Temporary folders are their owner's alone; this one gets what the umask leaves others.
        let usual = self.path().join(".usual");
        fs::create_dir(&usual).map_err(failed)?;
        let permissions = fs::metadata(&usual).map_err(failed)?.permissions();
        fs::remove_dir(&usual).map_err(failed)?;
        fs::set_permissions(self.path(), permissions).map_err(failed)?;
        self.temporary.put_at(&self.target).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_second_is_told_so() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("new");
        let [first, second] = [(); 2].map(|()| NewFolder::create(&target).unwrap());
        fs::write(first.path().join("a"), "a").unwrap();
        assert_eq!(first.final_place(&first.path().join("a")), target.join("a"));
        first.finish().unwrap();
        let error = second.finish().unwrap_err();
        assert!(error.problem().contains("another process"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else stays");
    }
}
