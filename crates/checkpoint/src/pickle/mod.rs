//! What `torch.save` writes: a zip archive with a pickle in it, or, before torch 1.6, pickles with
//! the values behind them. Read as data: nothing in a pickle is ever executed.
//!
//! Python's own unpickler calls whatever function a pickle names, which is why a stranger's `.ckpt`
//! can run commands. Here an allow-list of a handful of names is understood ([`globals`]), and the
//! objects made by any other (training callbacks, numpy scalars, an attack) become opaque: they are
//! left out, their names are told to the user, and a VAE whose tensors depend on one is refused.

mod archive;
mod globals;
mod legacy;
mod machine;
pub(super) mod npz;
mod reader;
mod state_dict;
mod value;
mod zip_file;

use std::path::Path;
use std::sync::Arc;

use super::bytes::{Bytes, READ};
use reader::NOT_TORCH;
pub(super) use state_dict::Pickled;
use state_dict::Wanted;
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
    legacy::read(file, Wanted::StateDict(None))
        .err()
        .filter(|problem| problem.starts_with(reader::ENDS_EARLY))
}

/// Every tensor of the state dict in `file`, or of the dict in it that `key` leads to; `origin` names the
/// file in errors.
pub(super) fn read(file: &Arc<Bytes>, key: Option<&str>, origin: &Path) -> Result<Pickled> {
    let is_zip = file.as_slice().starts_with(b"PK");
    let read = if is_zip { zip_file::read } else { legacy::read };
    read(file, Wanted::StateDict(key)).map_err(|problem| {
        if let Some((what, next)) = is_zip.then(|| archive::other_than_weights(file)).flatten() {
            return Error::checkpoint(
                origin,
                format!("is {what}; weights are read from {READ}"),
                next,
            );
        }
        let next = match problem.ends_with(NOT_TORCH) {
            true => "save the weights with torch.save(model.state_dict(), F), or as .safetensors",
            false => "fetch the file again, or convert it to .safetensors with diffusers",
        };
        let problem = format!("is not a checkpoint of torch.save that can be read: {problem}");
        Error::checkpoint(origin, problem, next)
    })
}

/// Every tensor in `file`, whatever holds it: a dict, a list, or nothing.
pub(super) fn read_tensors(file: &Arc<Bytes>, origin: &Path) -> Result<Pickled> {
    let is_zip = file.as_slice().starts_with(b"PK");
    let read = if is_zip { zip_file::read } else { legacy::read };
    read(file, Wanted::Tensors).map_err(|problem| {
        let next = match problem.ends_with(NOT_TORCH) {
            true => "save the tensor with torch.save, numpy.save or safetensors",
            false => "write the file again, or save the tensor as .safetensors",
        };
        let problem = match is_zip && problem.ends_with(NOT_TORCH) {
            true => "is a zip archive with neither arrays (.npy) nor a pickle of torch.save in it"
                .to_owned(),
            false => format!("is not a file of torch.save that can be read: {problem}"),
        };
        Error::checkpoint(origin, problem, next)
    })
}
