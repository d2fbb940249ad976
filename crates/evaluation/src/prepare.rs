//! From the bytes of a picture's file to the sample that the encoder is given.

use std::path::Path;

use ndarray::Array4;
use vae_fidelity_core::Dtype;
use vae_fidelity_core::image_processor::normalize;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::{Filter, PassOrder, open_bytes, resize, target_size};

use crate::pillow_steps::{adm, short_side, stretched};
use crate::protocol::{Input, Resize};
use crate::tensor_resize::short_side_tensor;

/// A picture ready for the encoder.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Columns and rows in the file, once it is turned.
    pub source: (usize, usize),
    /// (1, 3, H, W) with values in [-1, 1].
    pub sample: Array4<f32>,
}

impl Prepared {
    /// Columns and rows that the encoder is given.
    pub fn size(&self) -> (usize, usize) {
        let (.., height, width) = self.sample.dim();
        (width, height)
    }
}

/// Opens the picture that `bytes` are the file of as Pillow does, and brings it to its size as `input`
/// says; errors call it `id`.
///
/// # Errors
///
/// When it is no picture that can be opened, or too small or large to be resized.
pub fn prepare(id: &str, bytes: Vec<u8>, input: &Input) -> Result<Prepared> {
    let opened = open_bytes(Path::new(id), bytes)?;
    let (opened, _) = opened.oriented(input.exif.exif())?;
    let picture = opened.pixels;
    let source = (picture.width(), picture.height());
    let filter = input.filter.filter();
    let seen = match input.resize {
        Resize::MultipleOf => {
            if source.0.min(source.1) < input.size {
                let (width, height) = source;
                let problem =
                    format!("a side of {width} x {height} is under {} pixels", input.size);
                return Err(Error::image(Path::new(id), problem, "leave it out"));
            }
            let (width, height) = target_size(source.0, source.1, None, input.size)?;
            resize(&picture, width, height, filter, PassOrder::Pillow)?
        }
        Resize::Adm => adm(&picture, input.size, filter)?,
        Resize::ShortSide => short_side(&picture, input.size, filter)?,
        Resize::Stretch => stretched(&picture, input.size, filter)?,
        Resize::ShortSideTensor => {
            debug_assert_eq!(filter, Filter::Bilinear);
            return Ok(Prepared { source, sample: short_side_tensor(&picture, input.size) });
        }
    };
    Ok(Prepared { source, sample: normalize(&seen, Dtype::F32) })
}
