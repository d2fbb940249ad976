//! The bytes of one checkpoint file: mapped, never copied as a whole.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;
#[cfg(target_os = "linux")]
use memmap2::UncheckedAdvice;

use super::in_memory::InMemory;
use super::mapped_files::Watched;
use vae_fidelity_files::FileFormat;
use vae_fidelity_files::error::{Error, Result, io_reason};
use vae_fidelity_files::input::{LFS_POINTER, next_to_read, open_regular};

/// What to do about a file that ends early or was damaged.
pub(super) const FETCH_AGAIN: &str =
    "fetch the file again and compare its size and SHA-256 with the source's";

/// What is read, for who gave something else.
pub(super) const READ: &str = ".safetensors, and .bin, .pt and .ckpt of torch.save";

/// Bytes of a checkpoint: mapped from a file, part of the binary, or the caller's.
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(Mapped),
    Embedded(&'static [u8]),
    InMemory(InMemory),
}

/// A mapped file, and what it was like when it was mapped.
#[derive(Debug)]
pub(super) struct Mapped {
    // Before the map itself: while it is watched, it is there.
    _watched: Watched,
    map: Mmap,
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

/// What changes when a file is written to.
type Stamp = (u64, Option<SystemTime>);

fn stamp_of(file: &File) -> io::Result<Stamp> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

impl Bytes {
    /// Maps `path`. Fails if it cannot be read, is empty, or is something else than weights by its first
    /// bytes.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = Self::map(path)?;
        let slice = bytes.as_slice();
        if slice.is_empty() {
            return Err(Error::checkpoint(path, "is empty (0 bytes)", FETCH_AGAIN));
        }
        if slice.starts_with(LFS_POINTER) {
            return Err(Error::checkpoint(
                path,
                "is a git-LFS pointer, not the weights themselves",
                FileFormat::LfsPointer.instead_of_weights(),
            ));
        }
        if let Some(format) = FileFormat::of(slice) {
            let problem = format!("is {format}; weights are read from {READ}");
            return Err(Error::checkpoint(path, problem, format.instead_of_weights()));
        }
        Ok(bytes)
    }

    /// Maps `path`, whatever its content. Fails if it cannot be read.
    pub fn map(path: &Path) -> Result<Self> {
        let refused = |problem: String| {
            let next =
                next_to_read(path).unwrap_or("check the path, and that the file can be read");
            Error::checkpoint(path, problem, next)
        };
        let file = open_regular(path).map_err(refused)?;
        let stamp = stamp_of(&file).map_err(|error| refused(io_reason(&error)))?;
        if stamp.0 == 0 {
            // Nothing can be mapped.
            return Ok(Self::Embedded(&[]));
        }
        // SAFETY: nothing here writes to it. Where another process shortens it meanwhile, reading
        // faults, which the command turns into an error (`mapped_file_at`); where its values are
        // changed, `check_unchanged` says so.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| refused(io_reason(&error)))?;
        let watched = Watched::new(path, map.as_ptr().addr(), map.len());
        Ok(Self::Mapped(Mapped { _watched: watched, map, path: path.to_owned(), file, stamp }))
    }

    /// Fails where another process has written to the file since it was mapped: what was read of it is
    /// partly old and partly new.
    pub fn check_unchanged(&self) -> Result<()> {
        let Self::Mapped(Mapped { path, file, stamp, .. }) = self else { return Ok(()) };
        match stamp_of(file) {
            Ok(now) if now == *stamp => Ok(()),
            _ => Err(Error::checkpoint(
                path,
                "was changed by another process while it was read",
                "wait until nothing writes to it, and run it again",
            )),
        }
    }

    /// Lets go of the pages that lie in `range` as a whole, until they are read again.
    pub fn forget(&self, range: &Range<usize>) {
        #[cfg(target_os = "linux")]
        if let Self::Mapped(Mapped { map, .. }) = self {
            const PAGE: usize = 1 << 16;
            let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
            if start < end {
                // SAFETY: the map is never written to, so what is read again from the file is what
                // was there. A refusal costs memory alone.
                let _ = unsafe {
                    map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start)
                };
            }
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(Mapped { map, .. }) => map,
            Self::Embedded(bytes) => bytes,
            Self::InMemory(bytes) => bytes.as_slice(),
        }
    }
}
