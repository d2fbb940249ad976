//! What becomes of one mark at many places.

use crate::charts::points::{GROUND, MARK, SIZE, places};
use crate::levels::Levels;

/// The points of the chart `points` as they were decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PointGrid {
    /// How much of a point's brightness comes back in its place, on average; 1 is all of it.
    pub gain: f64,
    /// The standard deviation of that from point to point: how much it depends on the place.
    pub spread: f64,
}

/// Points at the borders are left out.
pub(crate) fn point_grid(decoded: &Levels) -> PointGrid {
    let firsts = places(decoded.width());
    let firsts = &firsts[1..firsts.len() - 1];
    let gains = firsts.iter().flat_map(|&x| firsts.iter().map(move |&y| (x, y))).map(|(x, y)| {
        let mean = decoded.mean(x..x + SIZE, y..y + SIZE).iter().sum::<f64>() / 3.0;
        (mean - f64::from(GROUND)) / f64::from(MARK - GROUND)
    });
    let gains: Vec<f64> = gains.collect();
    let count = gains.len() as f64;
    let gain = gains.iter().sum::<f64>() / count;
    let spread = gains.iter().map(|of| (of - gain).powi(2)).sum::<f64>() / count;
    PointGrid { gain, spread: spread.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    #[test]
    fn points_that_stay_fade_or_depend_on_their_place() {
        let chart = Levels::of_picture(&Chart::Points.draw(256).unwrap());
        let same = point_grid(&chart);
        assert!((same.gain - 1.0).abs() < 1e-12 && same.spread < 1e-12);
        let faded = point_grid(&chart.map(|c| c.map(|level| (level + 64.0) / 2.0)));
        assert!((faded.gain - 0.5).abs() < 1e-12 && faded.spread < 1e-12);
        let by_place =
            Levels::of_greys(256, |x, y| if x % 8 < 4 { chart.grey(x, y) } else { 64.0 });
        assert!(point_grid(&by_place).spread > 0.3);
        assert!(point_grid(&chart.map(|_| [f64::NAN; 3])).gain.is_nan());
    }
}
