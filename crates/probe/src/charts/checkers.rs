//! Checkers of four sizes, a quadrant each.

use std::ops::Range;

use super::canvas::square;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Pixels a side of a field, by quadrant: upper left, upper right, lower left, lower right.
pub(crate) const FIELDS: [usize; 4] = [2, 4, 8, 16];
/// The two levels.
const LEVELS: [u8; 2] = [48, 208];

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    square(side, |x, y| {
        let half = side / 2;
        let field = FIELDS[usize::from(x >= half) + 2 * usize::from(y >= half)];
        [LEVELS[(x / field + y / field) % 2]; 3]
    })
}

/// The columns and rows of quadrant `at`, without what lies near another one.
pub(crate) fn inner(side: usize, at: usize) -> (Range<usize>, Range<usize>) {
    let half = side / 2;
    let within = |second: usize| second * half + half / 8..(second + 1) * half - half / 8;
    (within(at % 2), within(at / 2))
}
