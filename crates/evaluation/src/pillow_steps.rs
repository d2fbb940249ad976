//! Pictures brought to their size in 8-bit pixels, by Pillow's filters.

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{Filter, PassOrder, Rgb8, resize};

/// `PIL.Image.resize((width, height), filter)`.
fn resized(picture: &Rgb8, width: usize, height: usize, filter: Filter) -> Result<Rgb8> {
    resize(picture, width, height, filter, PassOrder::Pillow)
}

/// Both sides resized.
pub(crate) fn stretched(picture: &Rgb8, size: usize, filter: Filter) -> Result<Rgb8> {
    resized(picture, size, size, filter)
}

/// `center_crop_arr` of OpenAI's guided-diffusion (`guided_diffusion/image_datasets.py`).
pub(crate) fn adm(picture: &Rgb8, size: usize, filter: Filter) -> Result<Rgb8> {
    let mut picture = picture.clone();
    while picture.width().min(picture.height()) >= 2 * size {
        picture = resized(&picture, picture.width() / 2, picture.height() / 2, Filter::Box)?;
    }
    let scale = size as f64 / picture.width().min(picture.height()) as f64;
    // Python's round: halves go to even.
    let [width, height] = [picture.width(), picture.height()]
        .map(|side| (side as f64 * scale).round_ties_even() as usize);
    let picture = resized(&picture, width, height, filter)?;
    cropped(&picture, (width - size) / 2, (height - size) / 2, size)
}

/// torchvision's `Resize(size)` and `CenterCrop(size)` of a Pillow picture
/// (`torchvision/transforms/functional.py`).
pub(crate) fn short_side(picture: &Rgb8, size: usize, filter: Filter) -> Result<Rgb8> {
    let (width, height) = short_side_size(picture.width(), picture.height(), size);
    let picture = resized(picture, width, height, filter)?;
    cropped(&picture, centered(width, size), centered(height, size), size)
}

/// torchvision's `_compute_resized_output_size`: the longer side is cut off.
pub(crate) fn short_side_size(width: usize, height: usize, size: usize) -> (usize, usize) {
    let long = |long: usize, short: usize| (size as f64 * long as f64 / short as f64) as usize;
    match width <= height {
        true => (size, long(height, width)),
        false => (long(width, height), size),
    }
}

/// torchvision's `center_crop`: where the square begins, halves to even.
pub(crate) fn centered(side: usize, size: usize) -> usize {
    ((side - size) as f64 / 2.0).round_ties_even() as usize
}

fn cropped(picture: &Rgb8, left: usize, top: usize, size: usize) -> Result<Rgb8> {
    let rows = picture.data().chunks_exact(picture.width() * 3).skip(top).take(size);
    let data = rows.flat_map(|row| &row[left * 3..(left + size) * 3]).copied().collect();
    Rgb8::new(size, size, data)
}
