//! The bytes of one checkpoint file: mapped, never copied as a whole.

use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
#[cfg(target_os = "linux")]
use memmap2::UncheckedAdvice;

use vae_fidelity_files::FileFormat;
use vae_fidelity_files::error::{Error, Result, io_reason};
use vae_fidelity_files::input::{LFS_POINTER, open_regular};

/// What to do about a file that ends early or was damaged.
pub(super) const FETCH_AGAIN: &str =
    "fetch the file again and compare its size and SHA-256 with the source's";

/// What is read, for who gave something else.
pub(super) const READ: &str = ".safetensors, and .bin, .pt and .ckpt of torch.save";

/// Bytes of a checkpoint: mapped from a file, or part of the binary.
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(Mmap),
    Embedded(&'static [u8]),
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
            Error::checkpoint(path, problem, "check the path, and that the file can be read")
        };
        let file = open_regular(path).map_err(refused)?;
        let metadata = file.metadata().map_err(|error| refused(io_reason(&error)))?;
        if metadata.len() == 0 {
            // Nothing can be mapped.
            return Ok(Self::Embedded(&[]));
        }
        // SAFETY: a map of a file that another process shortens meanwhile faults, as every reader
        // of mapped weights accepts; nothing here writes to it.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| refused(io_reason(&error)))?;
        Ok(Self::Mapped(map))
    }

    /// Lets go of the pages that lie in `range` as a whole, until they are read again.
    pub fn forget(&self, range: &Range<usize>) {
        #[cfg(target_os = "linux")]
        if let Self::Mapped(map) = self {
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
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}
