//! The reference script's `image_to_tensor`, as this crate implements it.

use std::path::Path;

use ndarray::Array4;

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::{normalize, normalize_rgba};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{Filter, PassOrder, open, resize_bicubic, resize_rgba, target_size};

/// A picture's file to a sample (1, 3, H, W), or with `rgba` (1, 4, H, W): the same steps in mode `RGBA`.
pub(super) fn image_to_tensor(
    image: &Path,
    requested: Option<(usize, usize)>,
    dtype: Dtype,
    rgba: bool,
) -> Result<Array4<f32>> {
    let opened = open(image)?;
    let (width, height) = target_size(opened.pixels.width(), opened.pixels.height(), requested, 8)?;
    if !rgba {
        return Ok(normalize(&resize_bicubic(&opened.pixels, width, height)?, dtype));
    }
    let (opened, alpha) = opened.into_rgba()?;
    let size = (width, height);
    let order = PassOrder::Pillow;
    let (pixels, alpha) = resize_rgba(&opened.pixels, &alpha, size, Filter::Bicubic, order)?;
    normalize_rgba(&pixels, &alpha, dtype)
}
