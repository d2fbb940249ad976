//! How constant a constant picture comes back.

use crate::levels::Levels;

/// RMS in levels of the pattern that repeats with every block of `period` pixels, all channels, of the
/// decoding of a flat chart: what is left of its differences from the mean when all blocks are laid over
/// each other. A period of 1 has none.
///
/// A block's width at each border is left out, where the padding of convolutions shows.
pub(crate) fn grid_rms(decoded: &Levels, period: usize) -> f64 {
    let (columns, rows) = (decoded.width() / period, decoded.height() / period);
    if columns < 3 || rows < 3 {
        return f64::NAN;
    }
    let blocks = ((columns - 2) * (rows - 2)) as f64;
    let mut pattern = vec![[0.0; 3]; period * period];
    for y in period..(rows - 1) * period {
        for x in period..(columns - 1) * period {
            let pixel = decoded.pixel(x, y);
            let sum = &mut pattern[y % period * period + x % period];
            (0..3).for_each(|channel| sum[channel] += pixel[channel] / blocks);
        }
    }
    rms_about_mean(&pattern)
}

/// RMS in levels of the mean colours of blocks of `period` pixels about their mean, of the decoding of a
/// flat chart: how much what is decoded depends on the place in the picture, borders included.
pub(crate) fn unevenness_rms(decoded: &Levels, period: usize) -> f64 {
    let (columns, rows) = (decoded.width() / period, decoded.height() / period);
    let block = |at: usize| {
        let (x, y) = (at % columns * period, at / columns * period);
        decoded.mean(x..x + period, y..y + period)
    };
    let blocks: Vec<[f64; 3]> = (0..columns * rows).map(block).collect();
    rms_about_mean(&blocks)
}

/// Over all channels, each about its own mean; NaN for nothing.
fn rms_about_mean(colours: &[[f64; 3]]) -> f64 {
    let count = colours.len() as f64;
    let mean = [0, 1, 2].map(|c| colours.iter().map(|colour| colour[c]).sum::<f64>() / count);
    let squares =
        colours.iter().flat_map(|colour| [0, 1, 2].map(|c| (colour[c] - mean[c]).powi(2)));
    (squares.sum::<f64>() / (3.0 * count)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_counts_with_its_own_period_only() {
        // Every eighth column is 8 levels brighter: 7/8 at -1 and 1/8 at +7.
        let grid = Levels::of_greys(64, |x, _| 100.0 + if x % 8 == 0 { 8.0 } else { 0.0 });
        assert!((grid_rms(&grid, 8) - 7f64.sqrt()).abs() < 1e-9);
        assert!(unevenness_rms(&grid, 8) < 1e-9);
        let other = Levels::of_greys(64 * 7, |x, _| 100.0 + if x % 7 == 0 { 8.0 } else { 0.0 });
        assert!(grid_rms(&other, 8) < 0.1, "{}", grid_rms(&other, 8));
        assert_eq!(grid_rms(&Levels::of_greys(64, |_, _| 9.0), 8), 0.0);
    }

    #[test]
    fn what_depends_on_the_place_counts_as_uneven() {
        let half = Levels::of_greys(64, |x, _| if x < 32 { 100.0 } else { 110.0 });
        assert!((unevenness_rms(&half, 8) - 5.0).abs() < 1e-9);
        assert!(grid_rms(&half, 8) < 1e-9);
        let fine = Levels::of_greys(64, |x, _| 100.0 + (x % 2) as f64);
        assert!(unevenness_rms(&fine, 8) < 1e-9);
    }

    #[test]
    fn nan_stays() {
        let broken = Levels::of_greys(64, |x, y| if (x, y) == (20, 20) { f64::NAN } else { 1.0 });
        assert!(grid_rms(&broken, 8).is_nan() && unevenness_rms(&broken, 8).is_nan());
        assert!(grid_rms(&Levels::of_greys(16, |_, _| 1.0), 8).is_nan(), "too small for a grid");
    }
}
