//! What Python hands over as a picture.

use std::path::{Path, PathBuf};

use ndarray::Axis;
use numpy::{PyReadonlyArray3, PyReadonlyArray4};
use pyo3::prelude::*;
use vae_fidelity::diagnosis::UserPicture;
use vae_fidelity::pipeline::Picture;
use vae_fidelity::pixels::Exif;
use vae_fidelity::{Error, Result, Rgb8};

/// A picture as `vae_fidelity/_pictures.py` hands it over.
#[derive(FromPyObject)]
pub enum Given<'py> {
    /// (height, width, 3), 8-bit.
    Pixels(PyReadonlyArray3<'py, u8>),
    /// (1, 3, height, width) in [-1, 1].
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
    Pixels(Rgb8),
    Sample(ndarray::Array4<f32>),
}

impl Given<'_> {
    pub fn owned(self, name: &Path) -> Result<Owned> {
        Ok(match self {
            Self::Path(path) => Owned::File(path),
            Self::Bytes(bytes) => Owned::Bytes(bytes),
            Self::Sample(sample) => Owned::Sample(sample.as_array().to_owned()),
            Self::Pixels(pixels) => {
                let pixels = pixels.as_array();
                let (height, width, channels) = pixels.dim();
                if channels != 3 {
                    return Err(Error::image(
                        name,
                        format!("expected (height, width, 3), found {:?}", pixels.dim()),
                        "convert it to RGB first",
                    ));
                }
                let rows = pixels.axis_iter(Axis(0));
                let data = rows.flat_map(|row| row.iter().copied().collect::<Vec<_>>()).collect();
                Owned::Pixels(Rgb8::new(width, height, data)?)
            }
        })
    }
}

impl Owned {
    /// Its pixels; `name` is what it is called.
    pub fn pixels(self, name: &str, exif: Exif) -> Result<Rgb8> {
        Ok(self.user_picture(name, exif)?.pixels)
    }

    /// The same, with how its file was coded.
    pub fn user_picture(self, name: &str, exif: Exif) -> Result<UserPicture> {
        let opened = match self {
            Self::Pixels(pixels) => return Ok(pixels.into()),
            Self::File(path) => vae_fidelity::pixels::open(&path)?,
            Self::Bytes(bytes) => vae_fidelity::pixels::open_bytes(name.as_ref(), bytes)?,
            Self::Sample(_) => {
                return Err(Error::option(
                    format!("`{name}`"),
                    "expected a picture, found a tensor of floats",
                    "give its 8-bit pixels, (H, W, 3)",
                ));
            }
        };
        Ok(opened.oriented(exif)?.0.into())
    }

    pub fn picture<'a>(&'a self, name: &'a Path, notes: &[String]) -> Picture<'a> {
        match self {
            Self::File(path) => Picture::File(path),
            Self::Bytes(bytes) => Picture::Bytes { name, bytes: bytes.clone() },
            Self::Pixels(pixels) => {
                Picture::Pixels { name, pixels: pixels.clone(), notes: notes.to_vec() }
            }
            Self::Sample(sample) => Picture::Sample { name, sample: sample.clone() },
        }
    }
}
