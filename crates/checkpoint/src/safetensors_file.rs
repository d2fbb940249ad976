//! One `.safetensors` file, checked before anything trusts its header.

use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;

use super::bytes::{Bytes, FETCH_AGAIN, READ};
use super::damage;
use super::entry::{Encoding, Entry};
use vae_fidelity_core::safetensors_header::{self, MAX_AXES, too_many_axes};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::printable::shortened;

/// Every tensor of the file whose bytes are `file`; `origin` names it in errors.
pub(super) fn entries(file: &Arc<Bytes>, origin: &Path) -> Result<Vec<(String, Entry)>> {
    let bytes = file.as_slice();
    let (header_len, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| why_unreadable(origin, bytes, &error))?;
    let tensors = metadata.tensors();
    if let Some((name, info)) = tensors.iter().find(|(_, info)| info.shape.len() > MAX_AXES) {
        let problem = format!("{}: {}", shortened(name), too_many_axes(info.shape.len()));
        return Err(Error::checkpoint(origin, problem, FETCH_AGAIN));
    }
    // The crate has checked that the tensors fill the rest of the file without gap or overlap.
    let data_start = header_len + 8;
    Ok(tensors
        .into_iter()
        .map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let range = data_start + start..data_start + end;
            (
                name,
                Entry::contiguous(
                    file,
                    Encoding::of_safetensors(info.dtype),
                    info.shape.clone(),
                    range,
                ),
            )
        })
        .collect())
}

fn why_unreadable(origin: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
    let broken = |problem: String| Error::checkpoint(origin, problem, FETCH_AGAIN);
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return broken(format!(
            "expected a header length of 8 bytes, found a file of {} bytes",
            bytes.len()
        ));
    };
    // Without a header to read there is no sign that it ever was such a file.
    if !rest.is_empty() && rest.first() != Some(&b'{') {
        let first: Vec<String> = length.iter().map(|byte| format!("{byte:02x}")).collect();
        return Error::checkpoint(
            origin,
            format!(
                "begins as no file of weights that is read here does (first bytes {}); read are {READ}",
                first.join(" ")
            ),
            "convert it to .safetensors with the program that wrote it; if it should be one, compare \
             its size and SHA-256 with the source's",
        );
    }
    let length = u64::from_le_bytes(*length);
    if length > rest.len() as u64 {
        return broken(format!(
            "its header claims {length} bytes and the whole file has {}: truncated, or not safetensors",
            bytes.len()
        ));
    }
    broken(match damage::cut_tensors(bytes) {
        Some(cut) => format!("{cut}: truncated"),
        None => {
            format!(
                "is not a valid safetensors file: {}",
                safetensors_header::problem(bytes, error)
            )
        }
    })
}
