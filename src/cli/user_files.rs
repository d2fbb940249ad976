//! Files of the user's own pipeline, as flags of `check` and as evidence.

use std::path::{Path, PathBuf};

use crate::diagnosis::{LatentsScale, UserFiles};
use crate::tensor_file::read_named;
use crate::trace::TraceFile;
use crate::{Result, pixels};
use clap::{Args, ValueEnum};

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
            latents: self.latents.as_deref().map(|path| read_named(path, "latents")).transpose()?,
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
                .map(|path| read_named(path, "preprocessed"))
                .transpose()?,
            against: self.against.as_deref().map(TraceFile::read).transpose()?,
        })
    }
}
