//! What is left after one trip of many.

use serde::Serialize;

use crate::levels::Levels;

use super::colours::difference;

/// The chart `mosaic` after one more trip.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Trip {
    /// How many trips it has made, from 1.
    pub trips: usize,
    /// PSNR against the chart in dB; `None` where it is infinite or not a number.
    pub psnr_db: Option<f64>,
    /// Mean over all pixels of CIEDE2000 against the chart; `None` where it is not a number.
    pub mean_delta_e_2000: Option<f64>,
}

impl Trip {
    /// `decoded` is what came back of `chart` after `trips`.
    pub(crate) fn of(trips: usize, chart: &Levels, decoded: &Levels) -> Self {
        let pairs = || chart.pixels().iter().zip(decoded.pixels());
        let count = pairs().len() as f64;
        let squares = pairs().flat_map(|(a, b)| [0, 1, 2].map(|c| (a[c] - b[c]).powi(2)));
        let mean_square = squares.sum::<f64>() / (3.0 * count);
        let psnr = 10.0 * (255.0 * 255.0 / mean_square).log10();
        let mean = pairs().map(|(a, b)| difference(*a, *b)).sum::<f64>() / count;
        let finite = |value: f64| value.is_finite().then_some(value);
        Self { trips, psnr_db: finite(psnr), mean_delta_e_2000: finite(mean) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    #[test]
    fn a_trip_without_loss_has_no_psnr_and_nan_has_nothing() {
        let chart = Levels::of_picture(&Chart::Mosaic.draw(128).unwrap());
        let same = Trip::of(1, &chart, &chart);
        assert_eq!((same.psnr_db, same.mean_delta_e_2000), (None, Some(0.0)));
        let off = Trip::of(2, &chart, &chart.map(|c| c.map(|level| level + 10.0)));
        // 10 levels everywhere are 28.13 dB.
        assert!((off.psnr_db.unwrap() - 28.13).abs() < 0.01);
        assert!(off.mean_delta_e_2000.unwrap() > 1.0);
        let broken = Trip::of(3, &chart, &chart.map(|_| [f64::NAN; 3]));
        assert_eq!((broken.psnr_db, broken.mean_delta_e_2000), (None, None));
    }
}
