//! Files of the user's own pipeline, as flags of `check` and as evidence.

use std::path::{Path, PathBuf};

use crate::diagnosis::{LatentsScale, UserFiles};
use crate::tensor_file::read;
use crate::trace::TraceFile;
use crate::{Error, Result, pixels};
use clap::{Args, ValueEnum};
use ndarray::ArrayD;

/// What another pipeline made of the same picture.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files of your own pipeline, to be diagnosed")]
pub struct FilesArgs {
    /// Its latents: the only tensor of the file, or the one named latents
    #[arg(long, value_name = "F")]
    pub latents: Option<PathBuf>,
    /// Whether they are scaled for diffusion, or as the model makes them
    #[arg(long, value_enum, default_value_t = Scale::Scaled)]
    pub latents_scale: Scale,
    /// Its decoded picture
    #[arg(long, value_name = "F")]
    pub decoded_image: Option<PathBuf>,
    /// The tensor that it fed to the encoder
    #[arg(long, value_name = "F")]
    pub preprocessed: Option<PathBuf>,
    /// A trace of its layers, as --save-trace writes them: the first that differs is named
    #[arg(long, value_name = "TRACE")]
    pub against: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    Scaled,
    Raw,
}

impl FilesArgs {
    /// Those that are given, with their flags.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [
            ("--latents", &self.latents),
            ("--decoded-image", &self.decoded_image),
            ("--preprocessed", &self.preprocessed),
            ("--against", &self.against),
        ]
        .into_iter()
        .filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
    }

    /// Reads them all. Errors say which file is at fault.
    pub fn read(&self) -> Result<UserFiles> {
        Ok(UserFiles {
            latents: self.latents.as_deref().map(|path| tensor(path, "latents")).transpose()?,
            latents_scale: match self.latents_scale {
                Scale::Scaled => LatentsScale::Scaled,
                Scale::Raw => LatentsScale::Raw,
            },
            decoded_image: self
                .decoded_image
                .as_deref()
                .map(|path| pixels::open(path).map(|opened| opened.pixels))
                .transpose()?,
            preprocessed: self
                .preprocessed
                .as_deref()
                .map(|path| tensor(path, "preprocessed"))
                .transpose()?,
            against: self.against.as_deref().map(TraceFile::read).transpose()?,
        })
    }
}

/// The only tensor of `path`, or the one of this name.
fn tensor(path: &Path, name: &str) -> Result<ArrayD<f32>> {
    let mut tensors = read(path)?;
    let found: Vec<String> = tensors.iter().filter_map(|tensor| tensor.name.clone()).collect();
    let named = tensors.iter().position(|tensor| tensor.name.as_deref() == Some(name));
    match (named, tensors.len()) {
        (Some(at), _) => Ok(tensors.swap_remove(at).values),
        (None, 1) => Ok(tensors.swap_remove(0).values),
        (None, count) => Err(Error::tensor(
            path.display(),
            format!(
                "expected one tensor, or one named {name}, found {count}: {}",
                found.join(", ")
            ),
            "save the tensor alone, or under that name",
        )),
    }
}
