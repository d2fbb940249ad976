//! How much of each frequency of the zone plate comes back.

use crate::charts::zone_plate::frequency;
use crate::levels::Levels;

/// Frequencies at which a response is given, in cycles a pixel times [`PER_CYCLE`].
const BANDS: std::ops::Range<usize> = 1..10;
/// Bands for each cycle a pixel: they are 0.05 apart and as wide.
const PER_CYCLE: f64 = 20.0;

/// The response at frequencies from 0.05 to 0.45 cycles a pixel, in all directions: how much of the rings of
/// `chart` is in `decoded`, in their place; 1 is all, 0 none of it. Of each: cycles a pixel, response.
pub(crate) fn ring_gains(chart: &Levels, decoded: &Levels) -> Vec<(f64, f64)> {
    let side = chart.width();
    let mut sums = vec![[0.0; 3]; BANDS.end];
    for y in 0..side {
        for x in 0..side {
            let band = (frequency(side, x, y) * PER_CYCLE).round() as usize;
            if BANDS.contains(&band) {
                // Rings lie around the middle between 0 and 255, of which the chart has neither.
                let (a, b) = (chart.grey(x, y) - 127.5, decoded.grey(x, y) - 127.5);
                sums[band][0] += a * a;
                sums[band][1] += a * b;
            }
        }
    }
    BANDS.map(|band| (band as f64 / PER_CYCLE, sums[band][1] / sums[band][0])).collect()
}

/// The first frequency at which `response` (cycles a pixel, response; from low to high) falls under a half,
/// between its neighbours by a line; half a cycle a pixel, the finest that there is, where it does not; NaN
/// where a response up to there is.
pub(crate) fn half_response(response: &[(f64, f64)]) -> f64 {
    let mut before = (0.0, 1.0);
    for &(frequency, gain) in response {
        if gain.is_nan() {
            return f64::NAN;
        }
        if gain < 0.5 {
            let share = (before.1 - 0.5) / (before.1 - gain);
            return before.0 + share * (frequency - before.0);
        }
        before = (frequency, gain);
    }
    0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    #[test]
    fn a_box_of_three_pixels_answers_as_its_formula() {
        let side = 256;
        let chart = Levels::of_picture(&Chart::ZonePlate.draw(side).unwrap());
        let same = ring_gains(&chart, &chart);
        assert!(same.iter().all(|(_, gain)| (gain - 1.0).abs() < 1e-9));
        assert_eq!(half_response(&same), 0.5);
        // A box over three columns: (1 + 2 cos 2 pi fx) / 3, over all directions of f.
        let blurred = Levels::of_greys(side, |x, y| {
            let at = |x: usize| chart.grey(x.clamp(0, side - 1), y);
            (at(x.saturating_sub(1)) + at(x) + at(x + 1)) / 3.0
        });
        for (frequency, gain) in ring_gains(&chart, &blurred) {
            let turns = (0..360).map(|turn| f64::from(turn).to_radians().cos() * frequency);
            let of = |fx: f64| (1.0 + 2.0 * (2.0 * std::f64::consts::PI * fx).cos()) / 3.0;
            let expected = turns.map(of).sum::<f64>() / 360.0;
            assert!((gain - expected).abs() < 0.03, "{frequency}: {gain} for {expected}");
        }
        let grey = chart.map(|_| [127.5; 3]);
        assert!(half_response(&ring_gains(&chart, &grey)) < 0.03);
        assert!(half_response(&ring_gains(&chart, &chart.map(|_| [f64::NAN; 3]))).is_nan());
    }

    #[test]
    fn the_half_lies_between_its_neighbours() {
        assert!((half_response(&[(0.1, 0.9), (0.2, 0.4)]) - 0.18).abs() < 1e-9);
        assert_eq!(half_response(&[(0.1, 0.9), (0.2, 0.6)]), 0.5);
        assert!(half_response(&[(0.1, f64::NAN), (0.2, 0.1)]).is_nan());
    }
}
