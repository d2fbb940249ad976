//! A grid of points: the same mark at places that differ in how they lie to the blocks of latents.

use super::canvas::square;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Pixels from a point to the next: odd, so that points stand at every place within blocks of 8.
pub(crate) const SPACING: usize = 21;
/// Pixels a side of a point.
pub(crate) const SIZE: usize = 3;
/// The level between points.
pub(crate) const GROUND: u8 = 64;
/// The level of a point.
pub(crate) const MARK: u8 = 224;

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    let points = places(side);
    square(side, |x, y| {
        let on = |at: usize| points.iter().any(|&first| (first..first + SIZE).contains(&at));
        [if on(x) && on(y) { MARK } else { GROUND }; 3]
    })
}

/// The first columns of points, which are their first rows as well.
pub(crate) fn places(side: usize) -> Vec<usize> {
    (SPACING / 2..side.saturating_sub(SPACING / 2)).step_by(SPACING).collect()
}
