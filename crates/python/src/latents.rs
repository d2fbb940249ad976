//! What Python hands over as latents, and how they are scaled.

use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;
use vae_fidelity::checkpoint::LatentsFile;
use vae_fidelity::config::Family;
use vae_fidelity::diagnosis::LatentsScale;
use vae_fidelity::report::LatentsSource;
use vae_fidelity::{Error, Result};

/// Latents as `vae_fidelity/_pipeline.py` hands them over.
#[derive(FromPyObject)]
pub enum Given<'py> {
    Values(PyReadonlyArrayDyn<'py, f32>),
    Path(PathBuf),
}

/// The same, out of Python's hands.
pub enum Owned {
    Values(ArrayD<f32>),
    Path(PathBuf),
}

impl Given<'_> {
    pub fn owned(self) -> Owned {
        match self {
            Self::Values(values) => Owned::Values(values.as_array().to_owned()),
            Self::Path(path) => Owned::Path(path),
        }
    }
}

/// Latents, and where they lay.
pub struct Latents {
    pub values: ArrayD<f32>,
    pub source: Option<LatentsSource>,
    scale: Option<LatentsScale>,
}

impl Owned {
    /// Reads a file, of which `key` names one of several tensors; without a `scale`, they are scaled as the
    /// program does that wrote it.
    pub fn read(self, key: Option<&str>, scale: Option<LatentsScale>) -> Result<Latents> {
        match self {
            Self::Values(_) if key.is_some() => Err(Error::option(
                "`latents_key`",
                "names a tensor of a file, and the latents are an array",
                "leave it out",
            )),
            Self::Values(values) => Ok(Latents { values, source: None, scale }),
            Self::Path(path) => of_file(&path, key, scale),
        }
    }
}

fn of_file(path: &Path, key: Option<&str>, scale: Option<LatentsScale>) -> Result<Latents> {
    let file = LatentsFile::read(path, key)?;
    let source = LatentsSource::new(path, file.name, file.container, scale);
    Ok(Latents { values: file.values, source: Some(source), scale })
}

impl Latents {
    /// How they are scaled where they are those of a VAE of `family`; an array is for diffusion unless
    /// the caller says otherwise.
    pub fn settle(&mut self, family: Family) -> LatentsScale {
        match &mut self.source {
            Some(source) => source.settle(family),
            None => self.scale.unwrap_or_default(),
        }
    }

    /// What a reader should know of them.
    pub fn note(&self) -> Option<String> {
        self.source.as_ref().and_then(LatentsSource::note)
    }
}

/// The latents that may be given, with what is said of them.
pub fn read(given: Option<Owned>, key: Option<&str>, scale: &str) -> Result<Option<Latents>> {
    let scale = asked(scale)?;
    match given {
        None if key.is_some() => Err(Error::option(
            "`latents_key`",
            "was given without `latents`",
            "give both, or neither",
        )),
        given => given.map(|given| given.read(key, scale)).transpose(),
    }
}

/// The scale by its name; `None` for `auto`.
pub fn asked(scale: &str) -> Result<Option<LatentsScale>> {
    match scale {
        "auto" => Ok(None),
        "scaled" => Ok(Some(LatentsScale::Scaled)),
        "raw" => Ok(Some(LatentsScale::Raw)),
        _ => Err(Error::option(
            format!("`latents_scale` {scale}"),
            "expected auto, scaled or raw",
            "scaled is as the diffusion model sees them, raw as the encoder makes them",
        )),
    }
}
