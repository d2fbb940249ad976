//! Rings that become finer outwards: every frequency up to half a cycle a pixel, in every direction.

use std::f64::consts::PI;

use super::canvas::{level, square};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Half of the difference between the rings' brightest and darkest, as a share of 255.
const AMPLITUDE: f64 = 0.35;

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    square(side, |x, y| {
        let radius = radius(side, x, y);
        // The phase pi r^2 / side grows by r / side cycles a pixel.
        let wave = (PI * radius * radius / side as f64).cos();
        let inside = frequency(side, x, y) <= 0.5;
        [level(0.5 + if inside { AMPLITUDE * wave } else { 0.0 }); 3]
    })
}

/// Cycles a pixel at column `x` of row `y`; beyond 0.5 the chart is grey.
pub(crate) fn frequency(side: usize, x: usize, y: usize) -> f64 {
    radius(side, x, y) / side as f64
}

fn radius(side: usize, x: usize, y: usize) -> f64 {
    let from_centre = |at: usize| at as f64 + 0.5 - side as f64 / 2.0;
    from_centre(x).hypot(from_centre(y))
}
