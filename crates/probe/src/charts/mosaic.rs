//! A quarter each of colours, edges, text and rings: what is sent round again and again.

use super::canvas::square;
use super::{colours, edges, text, zone_plate};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    let half = side / 2;
    let parts =
        [colours::draw(half)?, edges::draw(half)?, text::draw(half)?, zone_plate::draw(half)?];
    square(side, |x, y| {
        let part = &parts[usize::from(x >= half) + 2 * usize::from(y >= half)];
        part.pixel(x % half, y % half)
    })
}
