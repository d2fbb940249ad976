//! One `.safetensors` file, checked before anything trusts its header.

use std::path::Path;
use std::sync::Arc;

use safetensors::{Dtype as StoredDtype, SafeTensors};

use super::bytes::{Bytes, FETCH_AGAIN};
use super::damage;
use super::entry::{Encoding, Entry};
use vae_fidelity_files::error::{Error, Result};

/// Every tensor of the file whose bytes are `file`; `origin` names it in errors.
pub(super) fn entries(file: &Arc<Bytes>, origin: &Path) -> Result<Vec<(String, Entry)>> {
    let bytes = file.as_slice();
    let (header_len, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| Error::checkpoint(origin, why_unreadable(bytes, &error), FETCH_AGAIN))?;
    // The crate has checked that the tensors fill the rest of the file without gap or overlap.
    let data_start = header_len + 8;
    Ok(metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let range = data_start + start..data_start + end;
            (name, Entry::contiguous(file, encoding(info.dtype), info.shape.clone(), range))
        })
        .collect())
}

fn encoding(dtype: StoredDtype) -> Encoding {
    match dtype {
        StoredDtype::F64 => Encoding::F64,
        StoredDtype::F32 => Encoding::F32,
        StoredDtype::F16 => Encoding::F16,
        StoredDtype::BF16 => Encoding::Bf16,
        StoredDtype::F8_E4M3 => Encoding::F8E4m3,
        StoredDtype::F8_E5M2 => Encoding::F8E5m2,
        other => Encoding::Other(format!("{other:?}")),
    }
}

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
    match damage::cut_tensors(bytes) {
        Some(cut) => format!("{cut}: truncated"),
        None => format!("is not a valid safetensors file: {error}"),
    }
}
