//! What becomes of greys and of a ramp of them.

use crate::charts::ramps::BANDS;
use crate::levels::Levels;

use super::colours::difference;
use vae_fidelity_core::metrics::lab;

/// Pixels along the borders that count as border.
const BORDER: usize = 8;

/// CIEDE2000 between a flat chart's `level` and the mean of what was decoded.
pub(crate) fn grey_shift(decoded: &Levels, level: u8) -> f64 {
    let mean = decoded.mean(0..decoded.width(), 0..decoded.height());
    difference([f64::from(level); 3], mean)
}

/// The mean of each column of the grey ramp, without the eighth of its rows next to another band.
fn ramp(decoded: &Levels) -> Vec<[f64; 3]> {
    let band = decoded.height() / BANDS;
    let rows = band / 8..band - band / 8;
    (0..decoded.width()).map(|x| decoded.mean(x..x + 1, rows.clone())).collect()
}

/// Mean chroma C*ab of the decoded grey ramp: how much colour greys of all levels take on.
pub(crate) fn ramp_chroma(decoded: &Levels) -> f64 {
    let chroma = ramp(decoded).into_iter().map(|colour| {
        let [_, a, b] = lab(colour);
        a.hypot(b)
    });
    chroma.sum::<f64>() / decoded.width() as f64
}

/// RMS in levels between `chart` and `decoded` along the grey ramp, of column means: tone that is bent or
/// falls into steps.
pub(crate) fn ramp_rms(chart: &Levels, decoded: &Levels) -> f64 {
    let (chart, decoded) = (ramp(chart), ramp(decoded));
    let squares =
        chart.iter().zip(&decoded).flat_map(|(a, b)| [0, 1, 2].map(|c| (a[c] - b[c]).powi(2)));
    (squares.sum::<f64>() / (3 * chart.len()) as f64).sqrt()
}

/// RMS in levels between `chart` and `decoded` within 8 pixels of the left and right borders, where the
/// ramps are darkest and brightest.
pub(crate) fn ramp_border_rms(chart: &Levels, decoded: &Levels) -> f64 {
    let width = chart.width();
    let columns = (0..BORDER).chain(width - BORDER..width);
    let places = columns.flat_map(|x| (0..chart.height()).map(move |y| (x, y)));
    let squares = places.flat_map(|(x, y)| {
        let (a, b) = (chart.pixel(x, y), decoded.pixel(x, y));
        [0, 1, 2].map(|c| (a[c] - b[c]).powi(2))
    });
    (squares.sum::<f64>() / (2 * BORDER * chart.height() * 3) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    #[test]
    fn greys_that_shift_are_measured_and_those_that_stay_are_not() {
        assert!(grey_shift(&Levels::of_greys(16, |_, _| 128.0), 128) < 1e-9);
        assert!(grey_shift(&Levels::of_greys(16, |_, _| 140.0), 128) > 3.0);
        let chart = Levels::of_picture(&Chart::Ramps.draw(128).unwrap());
        assert!(ramp_chroma(&chart) < 1e-9);
        assert!(ramp_chroma(&chart.map(|[r, g, b]| [r, g, b * 0.9])) > 3.0);
    }

    #[test]
    fn ramps_that_bend_or_fall_into_steps_are_measured() {
        let chart = Levels::of_picture(&Chart::Ramps.draw(256).unwrap());
        assert_eq!(ramp_rms(&chart, &chart), 0.0);
        let steps =
            chart.map(|colour| colour.map(|level| (level / 255.0 * 31.0).round() / 31.0 * 255.0));
        let rms = ramp_rms(&chart, &steps);
        assert!((rms - 255.0 / 31.0 / 12f64.sqrt()).abs() < 0.1, "{rms}");
        assert!((ramp_rms(&chart, &chart.map(|c| c.map(|level| level + 3.0))) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn borders_that_come_from_the_other_side_are_measured() {
        let chart = Levels::of_picture(&Chart::Ramps.draw(128).unwrap());
        assert_eq!(ramp_border_rms(&chart, &chart), 0.0);
        let wrapped = Levels::of_greys(128, |x, y| chart.grey((x + 4) % 128, y));
        assert!(ramp_border_rms(&chart, &wrapped) > 30.0);
        assert!(ramp_border_rms(&chart, &chart.map(|_| [f64::NAN; 3])).is_nan());
    }
}
