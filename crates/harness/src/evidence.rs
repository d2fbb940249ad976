//! Keeps the tensors of failed checks, so that they can be looked at.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype as StoredDtype, TensorView};

use super::report::Step;
use vae_fidelity_files::error::{Error, ErrorKind, Result, io_reason};
use vae_fidelity_files::output::write_atomically;
use vae_fidelity_pixels::{Rgb8, encode_png};

/// Where the tensors of failed checks go.
pub(super) struct Evidence {
    folder: PathBuf,
}

impl Evidence {
    /// Fails if `folder` is inside `suite`: goldens come from the reference alone, and no output of an
    /// implementation under test may end up beside them.
    pub fn new(folder: Option<PathBuf>, suite: &Path) -> Result<Self> {
        let name = "vae-fidelity-failures";
        let default = || match Path::new("Cargo.toml").is_file() {
            true => Path::new("target").join(name),
            false => std::env::temp_dir().join(name),
        };
        let folder = folder.unwrap_or_else(default);
        // The folder may not exist yet: what counts is where its existing part leads.
        let existing =
            folder.ancestors().find_map(|ancestor| match ancestor.as_os_str().is_empty() {
                true => std::env::current_dir().ok(),
                false => ancestor.canonicalize().ok(),
            });
        let suite = suite.canonicalize().ok();
        if existing.zip(suite).is_some_and(|(folder, suite)| folder.starts_with(suite)) {
            return Err(Error::new(
                ErrorKind::Golden,
                folder.display(),
                "tensors of failed checks may not be saved inside the suite",
                "name a folder elsewhere",
            ));
        }
        Ok(Self { folder })
    }

    /// Saves what failed `step` of `case`: pixels (height, width, 3) as a PNG, other tensors as a
    /// safetensors file. The text says why it could not be.
    pub fn save(
        &self,
        case: &str,
        step: Step,
        shape: &[usize],
        values: &[f32],
    ) -> std::result::Result<PathBuf, String> {
        let folder = self.folder.join(case);
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {}", folder.display(), io_reason(&error)))?;
        let (ending, bytes) = match *shape {
            [height, width, 3] => ("png", png(width, height, values)),
            _ => ("safetensors", safetensors_file(step.name(), shape, values)),
        };
        let path = folder.join(format!("{}.{ending}", step.name()));
        bytes
            .and_then(|bytes| write_atomically(&path, &bytes))
            .map_err(|error| error.to_string())?;
        Ok(path)
    }
}

fn png(width: usize, height: usize, levels: &[f32]) -> Result<Vec<u8>> {
    encode_png(&Rgb8::new(width, height, levels.iter().map(|&level| level as u8).collect())?)
}

fn safetensors_file(name: &str, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorView::new(StoredDtype::F32, shape.to_vec(), &bytes)
        .and_then(|view| safetensors::serialize([(name, view)], None))
        .map_err(|error| Error::tensor(name, error, "report this: the shape was checked before"))
}
