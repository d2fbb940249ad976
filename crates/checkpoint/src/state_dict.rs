//! The tensors of one file as they are, of whatever model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::tensor_files::{self, TensorFile};
use super::weights_sha256;
use vae_fidelity_files::error::{Error, Result};

/// A file of tensors by name, `.safetensors` or what `torch.save` writes: nothing in it is run, and nothing is
/// expected of it.
#[derive(Debug)]
pub struct StateDict {
    path: PathBuf,
    tensors: BTreeMap<String, Entry>,
}

impl StateDict {
    /// Maps `path`, and reads which tensors it has.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is none of these files; one of another format is named as that.
    pub fn open(path: &Path) -> Result<Self> {
        let (tensors, _) = tensor_files::open(&[TensorFile::plain(path.to_owned())], None)?;
        Ok(Self { path: path.to_owned(), tensors })
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The values of tensor `name` in f32, which has `shape`.
    ///
    /// # Errors
    ///
    /// When there is no such tensor, it has another shape, or is of no type of floats.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let refused = |problem: String| {
            Error::checkpoint(&self.path, problem, "take the file that was published for this")
        };
        let entry =
            self.tensors.get(name).ok_or_else(|| refused(format!("has no tensor {name}")))?;
        if entry.shape != shape {
            return Err(refused(format!("{name}: expected {shape:?}, found {:?}", entry.shape)));
        }
        let stored =
            entry.read().ok_or_else(|| refused(format!("{name} is of {}", entry.encoding)))?;
        Ok(stored.to_f32())
    }

    /// SHA-256 of the file, in hexadecimal.
    ///
    /// # Errors
    ///
    /// When it cannot be read to its end.
    pub fn sha256(&self) -> Result<String> {
        weights_sha256::of_file(&self.path)
    }
}
