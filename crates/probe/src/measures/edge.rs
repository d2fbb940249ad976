//! What becomes of slanted edges: resolution, ringing and place, after ISO 12233.

use std::f64::consts::PI;

use crate::charts::edges::{BRIGHT, DARK, Edge};
use crate::levels::Levels;

use super::rings::half_response;

/// Bins for each pixel of distance from the edge, as the standard has it.
const BINS: usize = 4;
/// Pixels on each side of an edge that are looked at.
const REACH: usize = 24;
/// Pixels on each side within which an overshoot counts as ringing.
const RINGING: usize = 12;

/// One edge as it was decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EdgeResponse {
    /// The frequency at which half of the contrast is left, in cycles a pixel at a right angle to the edge;
    /// at most 0.5.
    pub mtf50_cycles_per_pixel: f64,
    /// How far the picture goes beyond the levels on the two sides, in percent of their difference.
    pub ringing_percent: f64,
    /// How far the edge has moved, in pixels at a right angle to it.
    pub shift_pixels: f64,
}

/// Each edge of the chart `edges`, whose own response is divided out.
pub(crate) fn edge_responses(chart: &Levels, decoded: &Levels) -> [EdgeResponse; 4] {
    Edge::all(chart.width()).map(|edge| response(&edge, chart, decoded))
}

fn response(edge: &Edge, chart: &Levels, decoded: &Levels) -> EdgeResponse {
    let (drawn, found) = (Profile::of(edge, chart), Profile::of(edge, decoded));
    let [drawn_spread, found_spread] = [&drawn, &found].map(Profile::line_spread);
    let [drawn_centre, found_centre] = [&drawn_spread, &found_spread].map(|spread| centre(spread));
    let frequencies = (1..=50).map(|at| f64::from(at) / 100.0);
    let ratio = |frequency| {
        let of =
            |spread: &[f64], at| modulation(spread, at, frequency) / modulation(spread, at, 0.0);
        of(&found_spread, found_centre) / of(&drawn_spread, drawn_centre)
    };
    let response: Vec<(f64, f64)> = frequencies.map(|at| (at, ratio(at))).collect();
    EdgeResponse {
        mtf50_cycles_per_pixel: half_response(&response),
        ringing_percent: found.ringing_percent(),
        shift_pixels: (found_centre - drawn_centre).abs() / BINS as f64,
    }
}

/// Mean levels by distance from the edge, four bins a pixel, from the bright side to the dark one or the
/// other way.
struct Profile {
    bins: Vec<f64>,
}

impl Profile {
    fn of(edge: &Edge, picture: &Levels) -> Self {
        let mut sums = vec![(0.0, 0.0); 2 * REACH * BINS];
        // What lies near another edge, or a border, is left out along the edge.
        let margin = edge.side / 8;
        for along in margin..edge.side - margin {
            for across in 0..edge.side {
                let (x, y) = if edge.upright { (across, along) } else { (along, across) };
                let (x, y) = (edge.left + x, edge.top + y);
                let beyond = edge.beyond(x as f64 + 0.5, y as f64 + 0.5);
                let bin = ((beyond + REACH as f64) * BINS as f64).floor();
                if bin >= 0.0 && (bin as usize) < sums.len() {
                    let sum = &mut sums[bin as usize];
                    *sum = (sum.0 + picture.grey(x, y), sum.1 + 1.0);
                }
            }
        }
        Self { bins: sums.into_iter().map(|(sum, count)| sum / count).collect() }
    }

    /// The derivative, under a Hamming window around its centre, as the standard has it.
    fn line_spread(&self) -> Vec<f64> {
        let spread: Vec<f64> = self.bins.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let middle = centre(&spread);
        let width = self.bins.len() as f64;
        let windowed = spread.iter().enumerate().map(|(at, value)| {
            let turn = (at as f64 - middle) / width;
            value * if turn.abs() <= 0.5 { 0.54 + 0.46 * (2.0 * PI * turn).cos() } else { 0.0 }
        });
        windowed.collect()
    }

    /// Overshoot on either side, in percent of the edge: beyond the mean of what lies further away.
    fn ringing_percent(&self) -> f64 {
        let middle = self.bins.len() / 2;
        let near = RINGING * BINS;
        let mean = |bins: &[f64]| bins.iter().sum::<f64>() / bins.len() as f64;
        let (first, second) =
            (mean(&self.bins[..middle - near]), mean(&self.bins[middle + near..]));
        let (low, high) = (first.min(second), first.max(second));
        // Of what was drawn: a contrast that is lost makes no ringing.
        let contrast = f64::from(BRIGHT - DARK);
        let around = &self.bins[middle - near..middle + near];
        // `max` would lose NaN.
        if self.bins.iter().any(|level| level.is_nan()) {
            return f64::NAN;
        }
        // Means of a pixel: single bins are noisy.
        let over = around.windows(BINS).map(mean).map(|level| (level - high).max(low - level));
        over.fold(0.0, f64::max) / contrast * 100.0
    }
}

/// The centre of the line spread by its squares, which plateaus do not move.
fn centre(spread: &[f64]) -> f64 {
    let squares = spread.iter().map(|value| value * value);
    let (sum, moment) = squares.enumerate().fold((0.0, 0.0), |(sum, moment), (at, square)| {
        (sum + square, moment + at as f64 * square)
    });
    moment / sum
}

/// The size of the Fourier transform of `spread` around `centre` at `frequency`, in cycles a pixel.
fn modulation(spread: &[f64], centre: f64, frequency: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (at, value) in spread.iter().enumerate() {
        let phase = 2.0 * PI * frequency * (at as f64 - centre) / BINS as f64;
        real += value * phase.cos();
        imaginary += value * phase.sin();
    }
    f64::hypot(real, imaginary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::Chart;

    const SIDE: usize = 256;

    fn chart() -> Levels {
        Levels::of_picture(&Chart::Edges.draw(SIDE).unwrap())
    }

    /// `chart` under a kernel of odd length in both directions.
    fn filtered(chart: &Levels, kernel: &[f64]) -> Levels {
        let half = kernel.len() as isize / 2;
        let weights =
            || kernel.iter().enumerate().map(|(at, weight)| (at as isize - half, *weight));
        let clamped = |at: usize, by: isize| at.saturating_add_signed(by).min(SIDE - 1);
        let rows = Levels::of_greys(SIDE, |x, y| {
            weights().map(|(by, w)| w * chart.grey(clamped(x, by), y)).sum()
        });
        Levels::of_greys(SIDE, |x, y| {
            weights().map(|(by, w)| w * rows.grey(x, clamped(y, by))).sum()
        })
    }

    #[test]
    fn the_chart_itself_is_sharp_and_stands_still() {
        for found in edge_responses(&chart(), &chart()) {
            assert_eq!(found.mtf50_cycles_per_pixel, 0.5);
            assert!(found.shift_pixels < 1e-9 && found.ringing_percent < 0.5, "{found:?}");
        }
    }

    /// A Gauss of sigma pixels halves the contrast at sqrt(ln 2 / 2) / (pi sigma).
    #[test]
    fn a_gauss_halves_the_contrast_where_its_formula_says() {
        for sigma in [1.0, 2.0, 3.0] {
            let weights = (-12..=12).map(|at| (-f64::from(at * at) / (2.0 * sigma * sigma)).exp());
            let kernel: Vec<f64> = weights.collect();
            let sum: f64 = kernel.iter().sum();
            let kernel: Vec<f64> = kernel.iter().map(|weight| weight / sum).collect();
            let expected = (2f64.ln() / 2.0).sqrt() / (PI * sigma);
            for found in edge_responses(&chart(), &filtered(&chart(), &kernel)) {
                let mtf50 = found.mtf50_cycles_per_pixel;
                assert!((mtf50 / expected - 1.0).abs() < 0.06, "{sigma}: {mtf50} for {expected}");
                assert!(found.ringing_percent < 1.0 && found.shift_pixels < 0.05, "{found:?}");
            }
        }
    }

    #[test]
    fn sharpening_rings_and_moving_shifts() {
        let sharpened = filtered(&chart(), &[-0.25, 1.5, -0.25]);
        for found in edge_responses(&chart(), &sharpened) {
            assert!((10.0..30.0).contains(&found.ringing_percent), "{found:?}");
            assert_eq!(found.mtf50_cycles_per_pixel, 0.5);
        }
        let still = chart();
        let moved = Levels::of_greys(SIDE, |x, y| still.grey((x + 3) % SIDE, (y + 3) % SIDE));
        for found in edge_responses(&still, &moved) {
            assert!((2.5..3.5).contains(&found.shift_pixels), "{found:?}");
        }
    }

    #[test]
    fn nan_and_a_lost_edge_are_not_sharp() {
        let broken =
            Levels::of_greys(SIDE, |x, y| if (x, y) == (70, 64) { f64::NAN } else { 100.0 });
        let [found, ..] = edge_responses(&chart(), &broken);
        assert!(found.mtf50_cycles_per_pixel.is_nan() && found.ringing_percent.is_nan());
        for found in edge_responses(&chart(), &chart().map(|_| [128.0; 3])) {
            let mtf50 = found.mtf50_cycles_per_pixel;
            assert!(mtf50.is_nan() || mtf50 <= 0.1, "{found:?}");
        }
    }
}
