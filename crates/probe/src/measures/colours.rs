//! How far colours come back from what they were.

use crate::charts::colours::{PATCHES, inner};
use crate::ciede2000::ciede2000;
use crate::levels::Levels;
use vae_fidelity_core::metrics::lab;

/// CIEDE2000 of two colours in levels.
pub(crate) fn difference(one: [f64; 3], other: [f64; 3]) -> f64 {
    ciede2000(lab(one), lab(other))
}

/// CIEDE2000 between each patch of the chart `colours` and the mean of its inner half as it was decoded.
pub(crate) fn patch_differences(decoded: &Levels) -> Vec<f64> {
    let patches = PATCHES.iter().enumerate();
    patches
        .map(|(at, patch)| {
            let (columns, rows) = inner(decoded.width(), at);
            difference(patch.map(f64::from), decoded.mean(columns, rows))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    #[test]
    fn a_chart_is_its_own_and_swapped_channels_are_far_off() {
        let chart = Levels::of_picture(&Chart::Colours.draw(128).unwrap());
        assert!(patch_differences(&chart).iter().all(|&difference| difference < 1e-9));
        let swapped = chart.map(|[red, green, blue]| [blue, green, red]);
        let differences = patch_differences(&swapped);
        assert_eq!(differences.len(), 24);
        assert!(differences.iter().sum::<f64>() / 24.0 > 20.0, "{differences:?}");
        // Greys do not change by it.
        assert!(differences[23] < 1e-9);
        let broken = chart.map(|_| [f64::NAN; 3]);
        assert!(patch_differences(&broken).iter().all(|difference| difference.is_nan()));
    }
}
