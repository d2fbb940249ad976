//! NumPy's archive of arrays: a zip file of one `.npy` a name. It lies here for the reader of zip files
//! that it shares with torch's.

use std::path::Path;
use std::sync::Arc;

use super::zip_file::{Member, members};
use crate::bytes::{Bytes, FETCH_AGAIN};
use vae_fidelity_core::tensor_file::{self, FileTensor};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// How an archive begins that holds nothing.
const EMPTY: &[u8] = b"PK\x05\x06";

/// Whether a file is a zip archive that holds arrays and no pickle of torch's, or nothing; also one that is cut, by
/// the name that stands first in it.
pub(crate) fn is_npz(file: &Bytes) -> bool {
    let bytes = file.as_slice();
    if bytes.starts_with(EMPTY) {
        return true;
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return false;
    }
    let Ok(members) = members(bytes) else {
        let length =
            bytes.get(26..28).map_or(0, |two| usize::from(two[0]) + 256 * usize::from(two[1]));
        return bytes.get(30..30 + length).is_some_and(|name| name.ends_with(b".npy"));
    };
    members.keys().any(|name| name.ends_with(".npy"))
        && !members.keys().any(|name| name.ends_with("data.pkl"))
}

/// An array of an archive.
pub(crate) enum Array {
    /// Numbers of a kind that is read.
    Read(Box<FileTensor>),
    /// Whole numbers in this shape: sizes and boxes, which are no tensors of a VAE.
    Whole(Vec<usize>),
}

/// The arrays in it, by name.
///
/// Errors when one is compressed, damaged or broken.
pub(crate) fn arrays(file: &Arc<Bytes>, path: &Path) -> Result<Vec<(String, Array)>> {
    let broken =
        |problem: String, next: &str| Error::new(ErrorKind::Tensor, path.display(), problem, next);
    let mut arrays = Vec::new();
    if file.as_slice().starts_with(EMPTY) {
        let next = "save the tensor in it: numpy.savez(F, latents=array)";
        return Err(broken(
            "is an archive of NumPy arrays (.npz) without an array".to_owned(),
            next,
        ));
    }
    let members = members(file.as_slice()).map_err(|problem| {
        let problem = format!("is an archive of NumPy arrays (.npz) that is not whole: {problem}");
        broken(problem, "write or fetch the file again")
    })?;
    for (name, member) in members {
        let Some(array) = name.strip_suffix(".npy") else { continue };
        let Member::Stored(checksum) = member else {
            let next = "write it with numpy.savez, which does not compress";
            return Err(broken(format!("{array} is compressed (numpy.savez_compressed)"), next));
        };
        checksum
            .check(file)
            .map_err(|problem| broken(format!("{array}: {problem}"), FETCH_AGAIN))?;
        let bytes = &file.as_slice()[checksum.range()];
        let found = match tensor_file::npy_shape_of_whole_numbers(bytes) {
            Some(shape) => Array::Whole(shape),
            None => Array::Read(Box::new(tensor_file::from_npy(path, bytes)?)),
        };
        arrays.push((array.to_owned(), found));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(arrays)
}
