//! The 24 colours of the ColorChecker, six in a row.

use std::ops::Range;

use super::canvas::square;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Patches in a row.
pub(crate) const COLUMNS: usize = 6;
/// Rows of patches.
pub(crate) const ROWS: usize = 4;

/// sRGB of the patches from dark skin to black, as X-Rite published them for the chart (2005).
pub(crate) const PATCHES: [[u8; 3]; COLUMNS * ROWS] = [
    [115, 82, 68],
    [194, 150, 130],
    [98, 122, 157],
    [87, 108, 67],
    [133, 128, 177],
    [103, 189, 170],
    [214, 126, 44],
    [80, 91, 166],
    [193, 90, 99],
    [94, 60, 108],
    [157, 188, 64],
    [224, 163, 46],
    [56, 61, 150],
    [70, 148, 73],
    [175, 54, 60],
    [231, 199, 31],
    [187, 86, 149],
    [8, 133, 161],
    [243, 243, 242],
    [200, 200, 200],
    [160, 160, 160],
    [122, 122, 121],
    [85, 85, 85],
    [52, 52, 52],
];

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    square(side, |x, y| PATCHES[y * ROWS / side * COLUMNS + x * COLUMNS / side])
}

/// The columns and rows of the inner half of patch `at`, away from its neighbours.
pub(crate) fn inner(side: usize, at: usize) -> (Range<usize>, Range<usize>) {
    let within = |at: usize, count: usize| {
        let (from, to) = (at * side / count, (at + 1) * side / count);
        let quarter = (to - from) / 4;
        from + quarter..to - quarter
    };
    (within(at % COLUMNS, COLUMNS), within(at / COLUMNS, ROWS))
}
