//! How much of a pattern comes back in its place.

use crate::charts::checkers::{FIELDS, inner};
use crate::levels::Levels;

/// Pearson's correlation of the grey values of `chart` and `decoded`; NaN where one of them is constant.
pub(crate) fn correlation(chart: &Levels, decoded: &Levels) -> f64 {
    let (width, height) = (chart.width(), chart.height());
    let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let count = (width * height) as f64;
    let mean = |of: &Levels| places().map(|(x, y)| of.grey(x, y)).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(chart), mean(decoded));
    let [mut aa, mut ab, mut bb] = [0.0; 3];
    for (x, y) in places() {
        let (a, b) = (chart.grey(x, y) - mean_a, decoded.grey(x, y) - mean_b);
        (aa, ab, bb) = (aa + a * a, ab + a * b, bb + b * b);
    }
    ab / (aa * bb).sqrt()
}

/// For checkers with fields of 2, 4, 8 and 16 pixels: how much of their contrast comes back in its place; 1
/// is all of it, 0 none. Of each: pixels a side of a field, response.
pub(crate) fn checker_gains(chart: &Levels, decoded: &Levels) -> Vec<(usize, f64)> {
    let gain = |at: usize| {
        let (columns, rows) = inner(chart.width(), at);
        let mean = chart.mean(columns.clone(), rows.clone());
        let middle = mean.iter().sum::<f64>() / 3.0;
        let [mut aa, mut ab] = [0.0; 2];
        for y in rows {
            for x in columns.clone() {
                let a = chart.grey(x, y) - middle;
                (aa, ab) = (aa + a * a, ab + a * (decoded.grey(x, y) - middle));
            }
        }
        ab / aa
    };
    FIELDS.iter().enumerate().map(|(at, &field)| (field, gain(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    #[test]
    fn text_is_like_itself_unlike_its_mirror_and_like_nothing_when_it_is_gone() {
        let text = Levels::of_picture(&Chart::Text.draw(128).unwrap());
        assert!((correlation(&text, &text) - 1.0).abs() < 1e-12);
        let paler = text.map(|c| c.map(|level| 60.0 + level / 2.0));
        assert!((correlation(&text, &paler) - 1.0).abs() < 1e-12);
        let mirrored = Levels::of_greys(128, |x, y| text.grey(127 - x, y));
        assert!(correlation(&text, &mirrored) < 0.9);
        assert!(correlation(&text, &text.map(|_| [9.0; 3])).is_nan());
    }

    #[test]
    fn checkers_lose_what_a_blur_takes() {
        let chart = Levels::of_picture(&Chart::Checkers.draw(256).unwrap());
        assert!(checker_gains(&chart, &chart).iter().all(|(_, gain)| (gain - 1.0).abs() < 1e-9));
        let blurred = Levels::of_greys(256, |x, y| {
            let at = |x: usize| chart.grey(x.min(255), y);
            (at(x.saturating_sub(1)) + at(x) + at(x + 1)) / 3.0
        });
        let gains = checker_gains(&chart, &blurred);
        // Of two columns of one level, each has one neighbour of the other: (2 - 1) / 3.
        assert_eq!(gains[0].0, 2);
        assert!((gains[0].1 - 1.0 / 3.0).abs() < 0.01, "{gains:?}");
        assert!(gains.windows(2).all(|pair| pair[0].1 < pair[1].1), "{gains:?}");
        let inverted = chart.map(|c| c.map(|level| 256.0 - level));
        assert!(checker_gains(&chart, &inverted)[3].1 < -0.9);
    }
}
