//! What `torch.save` writes: a zip archive with a pickle in it, or, before torch 1.6, pickles with
//! the values behind them. Read as data: nothing in a pickle is ever executed.
//!
//! Python's own unpickler calls whatever function a pickle names, which is why a stranger's `.ckpt`
//! can run commands. Here an allow-list of a handful of names is understood ([`globals`]), and the
//! objects made by any other (training callbacks, numpy scalars, an attack) become opaque: they are
//! left out, their names are told to the user, and a VAE whose tensors depend on one is refused.

mod globals;
mod legacy;
mod machine;
mod reader;
mod state_dict;
mod value;
mod zip_file;

use std::path::Path;
use std::sync::Arc;

use super::bytes::Bytes;
pub(super) use state_dict::Pickled;
use vae_fidelity_files::error::{Error, Result};

/// Whether a file that begins with `bytes` was written by torch.save or another pickler.
///
/// `.safetensors` begins with the length of its header, whose bytes can look like a pickle's first;
/// its ninth byte, however, opens a JSON object.
pub(super) fn is_pickled(bytes: &[u8]) -> bool {
    let pickle = matches!(bytes, [0x80, 2..=5, ..]) && bytes.get(8) != Some(&b'{');
    bytes.starts_with(b"PK\x03\x04") || pickle
}

/// Why a file of the older format ends early, if it does.
pub(super) fn ends_early(file: &Arc<Bytes>) -> Option<String> {
    legacy::read(file).err().filter(|problem| problem.starts_with(reader::ENDS_EARLY))
}

/// Every tensor of the state dict in `file`; `origin` names it in errors.
pub(super) fn read(file: &Arc<Bytes>, origin: &Path) -> Result<Pickled> {
    let read = if file.as_slice().starts_with(b"PK") { zip_file::read } else { legacy::read };
    read(file).map_err(|problem| {
        Error::checkpoint(
            origin,
            format!("is not a checkpoint of torch.save that can be read: {problem}"),
            "fetch the file again, or convert it to .safetensors with diffusers",
        )
    })
}
