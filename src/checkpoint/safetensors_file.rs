//! One `.safetensors` file, mapped and checked before anything trusts its header.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::Metadata;
use safetensors::{Dtype as StoredDtype, SafeTensors};

use crate::error::{Error, Result, io_reason};

/// Bytes of a checkpoint: mapped from a file, or part of the binary.
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(Mmap),
    Embedded(&'static [u8]),
}

/// An open `.safetensors` file.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    bytes: Bytes,
    data_start: usize,
    metadata: Metadata,
}

impl SafetensorsFile {
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |problem: String| {
            Error::checkpoint(path, problem, "check the path, and that the file can be read")
        };
        let file = File::open(path).map_err(|error| refused(io_reason(&error)))?;
        let metadata = file.metadata().map_err(|error| refused(io_reason(&error)))?;
        if metadata.is_dir() {
            return Err(refused("expected a .safetensors file, found a directory".into()));
        }
        if metadata.len() == 0 {
            return Err(Error::checkpoint(path, "is empty (0 bytes)", FETCH_AGAIN));
        }
        // SAFETY: a map of a file that another process shortens meanwhile faults, as every reader
        // of mapped weights accepts; nothing here writes to it.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| refused(io_reason(&error)))?;
        Self::from_bytes(Bytes::Mapped(map), path)
    }

    pub fn embedded(bytes: &'static [u8], origin: &Path) -> Result<Self> {
        Self::from_bytes(Bytes::Embedded(bytes), origin)
    }

    fn from_bytes(bytes: Bytes, origin: &Path) -> Result<Self> {
        let found = bytes.as_slice();
        if found.starts_with(b"version https://git-lfs") {
            return Err(Error::checkpoint(
                origin,
                "is a git-LFS pointer, not the weights themselves",
                "run `git lfs pull` in the repository, or download the file from the model's page",
            ));
        }
        let (header_len, metadata) = SafeTensors::read_metadata(found).map_err(|error| {
            Error::checkpoint(origin, why_unreadable(found, &error), FETCH_AGAIN)
        })?;
        Ok(Self { bytes, data_start: header_len + 8, metadata })
    }

    /// Names and shapes, in no particular order.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        self.metadata.tensors().into_iter().map(|(name, info)| (name, info.shape.clone()))
    }

    /// Stored dtype, shape and little-endian bytes of `name`.
    pub fn tensor(&self, name: &str) -> Option<(StoredDtype, &[usize], &[u8])> {
        let info = self.metadata.info(name)?;
        let (start, end) = info.data_offsets;
        let data = &self.bytes.as_slice()[self.data_start + start..self.data_start + end];
        Some((info.dtype, &info.shape, data))
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

const FETCH_AGAIN: &str = "fetch the file again and compare its size and SHA-256 with the source's";

fn why_unreadable(bytes: &[u8], error: &safetensors::SafeTensorError) -> String {
    let Some(length) = bytes.first_chunk::<8>().map(|head| u64::from_le_bytes(*head)) else {
        return format!(
            "expected a header length of 8 bytes, found a file of {} bytes",
            bytes.len()
        );
    };
    if length > bytes.len() as u64 - 8 {
        return format!(
            "its header claims {length} bytes and the whole file has {}: truncated, or not safetensors",
            bytes.len()
        );
    }
    format!("is not a valid safetensors file: {error}")
}
