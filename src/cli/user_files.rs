//! Files of the user's own pipeline, as flags of `check` and as evidence.

use std::path::{Path, PathBuf};

use crate::checkpoint::{LatentsFile, read_tensor};
use crate::diagnosis::{LatentsScale, UserFiles, UserPicture};
use crate::report::LatentsSource;
use crate::trace::TraceFile;
use crate::{Result, pixels};
use clap::{Args, ValueEnum};

/// What another pipeline made of the same picture.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files of your own pipeline, to be diagnosed")]
pub struct FilesArgs {
    /// Its latents (.safetensors, .npy, .npz, .pt, ComfyUI's .latent): the only tensor of the file, the
    /// one named latents, or where its program puts them
    #[arg(long, value_name = "F")]
    pub latents: Option<PathBuf>,
    /// The name of the tensor, where the file has several
    #[arg(long, value_name = "NAME", requires = "latents")]
    pub latents_key: Option<String>,
    /// Whether they are scaled for diffusion, or as the model makes them; auto is what the program that
    /// wrote the file does, and scaled for a plain one
    #[arg(long, value_enum, default_value_t = Scale::Auto)]
    pub latents_scale: Scale,
    /// Its decoded picture
    #[arg(long, value_name = "F")]
    pub decoded_image: Option<PathBuf>,
    /// The tensor that it fed to the encoder
    #[arg(long, value_name = "F")]
    pub preprocessed: Option<PathBuf>,
    /// A trace of its layers, as --save-trace writes them: the first that differs is named
    #[arg(long, value_name = "TRACE", conflicts_with = "tiling")]
    pub against: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    Auto,
    Scaled,
    Raw,
}

impl Scale {
    /// What the user says; `None` leaves it to the file.
    pub fn scale(self) -> Option<LatentsScale> {
        match self {
            Self::Auto => None,
            Self::Scaled => Some(LatentsScale::Scaled),
            Self::Raw => Some(LatentsScale::Raw),
        }
    }
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

    /// Reads them all, and where the latents lay. Errors say which file is at fault.
    pub fn read(&self) -> Result<(UserFiles, Option<LatentsSource>)> {
        let latents = self.latents.as_deref().map(|path| {
            let file = LatentsFile::read(path, self.latents_key.as_deref())?;
            let asked = self.latents_scale.scale();
            let source = LatentsSource::new(path, file.name, file.container, asked);
            Ok((file.values, source))
        });
        let (latents, source) = latents.transpose()?.unzip();
        let files = UserFiles {
            latents,
            latents_scale: LatentsScale::default(),
            decoded_image: self
                .decoded_image
                .as_deref()
                .map(|path| pixels::open(path).map(UserPicture::from))
                .transpose()?,
            preprocessed: self
                .preprocessed
                .as_deref()
                .map(|path| read_tensor(path, "preprocessed"))
                .transpose()?,
            against: self.against.as_deref().map(TraceFile::read).transpose()?,
        };
        Ok((files, source))
    }
}
