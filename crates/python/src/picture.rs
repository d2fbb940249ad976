//! What Python hands over as a picture.

use std::path::{Path, PathBuf};

use ndarray::{ArrayView3, s};
use numpy::{PyReadonlyArray3, PyReadonlyArray4};
use pyo3::prelude::*;
use vae_fidelity::diagnosis::UserPicture;
use vae_fidelity::pipeline::Picture;
use vae_fidelity::pixels::{Alpha8, Exif, OpenedImage};
use vae_fidelity::{Error, Result, Rgb8};

/// A picture as `vae_fidelity/_pictures.py` hands it over.
#[derive(FromPyObject)]
pub enum Given<'py> {
    /// (height, width, 3), or 4 with alpha, 8-bit.
    Pixels(PyReadonlyArray3<'py, u8>),
    /// (frames, height, width, 3), or 4 with alpha, 8-bit.
    Frames(PyReadonlyArray4<'py, u8>),
    /// (1, 3, height, width) in [-1, 1], or 4 with alpha; more than one are the frames of a clip.
    Sample(PyReadonlyArray4<'py, f32>),
    /// A picture's file.
    Bytes(Vec<u8>),
    Path(PathBuf),
}

/// The same, out of Python's hands.
#[derive(Clone)]
pub enum Owned {
    File(PathBuf),
    Bytes(Vec<u8>),
    Pixels(Rgb8, Option<Alpha8>),
    Frames(Vec<(Rgb8, Option<Alpha8>)>),
    Sample(ndarray::Array4<f32>),
}

impl Given<'_> {
    pub fn owned(self, name: &Path) -> Result<Owned> {
        Ok(match self {
            Self::Path(path) => Owned::File(path),
            Self::Bytes(bytes) => Owned::Bytes(bytes),
            Self::Sample(sample) => Owned::Sample(sample.as_array().to_owned()),
            Self::Pixels(pixels) => {
                let (pixels, alpha) = pixels_of(pixels.as_array(), name)?;
                Owned::Pixels(pixels, alpha)
            }
            Self::Frames(frames) => {
                let frames = frames.as_array();
                let frames = frames.outer_iter().map(|frame| pixels_of(frame, name));
                Owned::Frames(frames.collect::<Result<_>>()?)
            }
        })
    }
}

/// The colours of (height, width, 3), and the alpha where there are 4.
fn pixels_of(pixels: ArrayView3<u8>, name: &Path) -> Result<(Rgb8, Option<Alpha8>)> {
    let (height, width, channels) = pixels.dim();
    if !matches!(channels, 3 | 4) {
        return Err(Error::image(
            name,
            format!("expected (height, width, 3), found {:?}", pixels.dim()),
            "convert it to RGB first, or to RGBA",
        ));
    }
    let colours = pixels.slice(s![.., .., ..3]).iter().copied().collect();
    let alpha = match channels {
        4 => {
            let alpha = pixels.slice(s![.., .., 3]).iter().copied().collect();
            Some(Alpha8::new(width, height, alpha)?)
        }
        _ => None,
    };
    Ok((Rgb8::new(width, height, colours)?, alpha))
}

impl Owned {
    /// Its pixels; `name` is what it is called.
    pub fn pixels(self, name: &str, exif: Exif) -> Result<Rgb8> {
        Ok(self.user_picture(name, exif)?.pixels)
    }

    /// The same, with how its file was coded.
    pub fn user_picture(self, name: &str, exif: Exif) -> Result<UserPicture> {
        match self {
            Self::Pixels(pixels, alpha) => Ok(UserPicture { alpha, ..pixels.into() }),
            _ => Ok(self.opened(name, exif)?.into()),
        }
    }

    /// Its pixels, as Pillow converts them to RGBA; what has no alpha is opaque.
    pub fn rgba(self, name: &str, exif: Exif) -> Result<(Rgb8, Alpha8)> {
        match self {
            Self::Pixels(pixels, alpha) => {
                let alpha = alpha.unwrap_or_else(|| Alpha8::opaque(&pixels));
                Ok((pixels, alpha))
            }
            _ => {
                let (opened, alpha) = self.opened(name, exif)?.into_rgba()?;
                Ok((opened.pixels, alpha))
            }
        }
    }

    /// What a file holds, upright where asked.
    fn opened(self, name: &str, exif: Exif) -> Result<OpenedImage> {
        let opened = match self {
            Self::File(path) => vae_fidelity::pixels::open(&path)?,
            Self::Bytes(bytes) => vae_fidelity::pixels::open_bytes(name.as_ref(), bytes)?,
            Self::Pixels(..) | Self::Frames(_) | Self::Sample(_) => {
                let found =
                    if matches!(self, Self::Frames(_)) { "a clip" } else { "a tensor of floats" };
                return Err(Error::option(
                    format!("`{name}`"),
                    format!("expected a picture, found {found}"),
                    "give its 8-bit pixels, (H, W, 3)",
                ));
            }
        };
        Ok(opened.oriented(exif)?.0)
    }

    pub fn picture<'a>(&'a self, name: &'a Path, notes: &[String]) -> Picture<'a> {
        match self {
            Self::File(path) => Picture::File(path),
            Self::Bytes(bytes) => Picture::Bytes { name, bytes: bytes.clone() },
            Self::Pixels(pixels, alpha) => {
                let (pixels, alpha) = (pixels.clone(), alpha.clone());
                Picture::Pixels { name, pixels, alpha, notes: notes.to_vec() }
            }
            Self::Frames(frames) => {
                Picture::Frames { name, frames: frames.clone(), notes: notes.to_vec() }
            }
            Self::Sample(sample) => Picture::Sample { name, sample: sample.clone() },
        }
    }
}
