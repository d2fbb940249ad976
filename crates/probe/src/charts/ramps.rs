//! Four bands, each from black on the left to full on the right: grey, red, green, blue.

use super::canvas::{level, square};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Bands, each as high as the others; the first is grey.
pub(crate) const BANDS: usize = 4;

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    square(side, |x, y| {
        let level = level(x as f64 / (side - 1) as f64);
        match y * BANDS / side {
            0 => [level; 3],
            band => [0, 1, 2].map(|channel| if channel + 1 == band { level } else { 0 }),
        }
    })
}
