//! Files of weights that cannot be whole, told by their first and last bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::bytes::Bytes;
use super::pickle;
use vae_fidelity_files::input::LFS_POINTER;

/// Why a file cannot hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// Text of three lines that git-lfs leaves in place of the file.
    LfsPointer,
    /// It ends before its tensors do.
    Truncated,
    /// A checksum inside it does not fit.
    Checksum,
}

/// A file of weights that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: DamageKind,
    /// The same in words, with numbers.
    pub problem: String,
}

/// What is wrong with the file that `bytes` are; `None` for a whole one, and for one that is broken
/// in another way.
pub(super) fn of(path: &Path, bytes: &Arc<Bytes>) -> Option<Damage> {
    let slice = bytes.as_slice();
    let damage = |kind, problem| Some(Damage { path: path.to_owned(), kind, problem });
    if slice.starts_with(LFS_POINTER) {
        let size = String::from_utf8_lossy(&slice[..slice.len().min(1024)]);
        let size = size.lines().find_map(|line| line.strip_prefix("size "));
        let size = size.map(|size| format!(" of a file of {size} bytes")).unwrap_or_default();
        return damage(DamageKind::LfsPointer, format!("is a git-LFS pointer{size}"));
    }
    damage(DamageKind::Truncated, ends_early(bytes)?)
}

/// Why a file with these bytes ends early, if it does.
fn ends_early(file: &Arc<Bytes>) -> Option<String> {
    let bytes = file.as_slice();
    let held = bytes.len() as u64;
    if bytes.is_empty() {
        return Some("is empty (0 bytes)".to_owned());
    }
    if bytes.starts_with(b"PK\x03\x04") {
        // The directory of an archive is its end: at most 64 KB of comment behind 22 bytes.
        let tail = &bytes[bytes.len().saturating_sub(65_557)..];
        let whole = tail.windows(4).any(|four| four == b"PK\x05\x06");
        return (!whole).then(|| format!("is an archive without its end, after {held} bytes"));
    }
    if pickle::is_pickled(bytes) {
        return pickle::ends_early(file);
    }
    let Some((length, rest @ [_, ..])) = bytes.split_first_chunk::<8>() else {
        return Some(format!("has {held} bytes, fewer than any file of weights"));
    };
    let length = u64::from_le_bytes(*length);
    if rest.first() == Some(&b'{') && length > rest.len() as u64 {
        return Some(format!("has a header of {length} bytes, and {held} bytes in all"));
    }
    cut_tensors(bytes)
}

/// That a safetensors file with these bytes ends before its last tensor does, with both lengths;
/// `None` where it does not, and where its header says nothing.
pub(super) fn cut_tensors(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    let header = rest.get(..usize::try_from(length).ok()?)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    let ends = header
        .as_object()?
        .values()
        .filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64()?.checked_add(8 + length));
    let (needed, held) = (ends.max()?, bytes.len() as u64);
    (needed > held).then(|| format!("announces {needed} bytes and has {held}"))
}
