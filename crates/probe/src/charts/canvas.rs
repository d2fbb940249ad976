//! Pixels by a function of their place.

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// A square picture of `side` pixels a side: `colour` says what stands at column x of row y.
pub(super) fn square(side: usize, colour: impl Fn(usize, usize) -> [u8; 3]) -> Result<Rgb8> {
    let places = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
    Rgb8::new(side, side, places.flat_map(|(x, y)| colour(x, y)).collect())
}

/// A level from 0 to 255 of a share from 0 to 1.
pub(super) fn level(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}
