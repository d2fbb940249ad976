//! One grey everywhere: what a constant picture becomes.

use super::canvas::square;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Every pixel has `level`.
pub(super) fn draw(side: usize, level: u8) -> Result<Rgb8> {
    square(side, |_, _| [level; 3])
}
