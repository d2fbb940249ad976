//! Least squares and spreads: the arithmetic of the rules.

use std::iter::zip;

use vae_fidelity_core::metrics;
use vae_fidelity_pixels::Rgb8;

/// The best line `y = slope * x + offset` through pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub slope: f64,
    pub offset: f64,
    /// Pearson's, -1 to 1; 0 where a side does not vary.
    pub correlation: f64,
    /// RMS of what the line leaves, in units of y.
    pub residual: f64,
    /// Standard error of the slope.
    pub slope_error: f64,
    /// Spread of x and of y.
    pub spread: [f64; 2],
    pub mean: [f64; 2],
}

impl Line {
    /// Through the pairs in which both values are finite; `None` for fewer than two of them.
    pub fn through<'a>(
        xs: impl IntoIterator<Item = &'a f32>,
        ys: impl IntoIterator<Item = &'a f32>,
    ) -> Option<Self> {
        let (mut n, mut x1, mut y1, mut x2, mut y2, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (&x, &y) in zip(xs, ys).filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (x, y) = (f64::from(x), f64::from(y));
            n += 1.0;
            x1 += x;
            y1 += y;
            x2 += x * x;
            y2 += y * y;
            xy += x * y;
        }
        if n < 2.0 {
            return None;
        }
        let mean = [x1 / n, y1 / n];
        let variance_x = (x2 / n - mean[0] * mean[0]).max(0.0);
        let variance_y = (y2 / n - mean[1] * mean[1]).max(0.0);
        let covariance = xy / n - mean[0] * mean[1];
        // Rounding leaves constants a variance of about this.
        let nothing = |variance: f64, square: f64| variance <= 1e-12 * square / n;
        let flat = nothing(variance_x, x2) || nothing(variance_y, y2);
        let slope = if flat { 0.0 } else { covariance / variance_x };
        let residual = (variance_y - slope * slope * variance_x).max(0.0).sqrt();
        Some(Self {
            slope,
            slope_error: if flat { 0.0 } else { residual / (variance_x * n).sqrt() },
            offset: mean[1] - slope * mean[0],
            correlation: if flat { 0.0 } else { covariance / (variance_x * variance_y).sqrt() },
            residual,
            spread: [variance_x.sqrt(), variance_y.sqrt()],
            mean,
        })
    }
}

/// RMS of `ys - xs` over finite pairs, infinite where none is.
pub(super) fn rms_difference<'a>(
    xs: impl IntoIterator<Item = &'a f32>,
    ys: impl IntoIterator<Item = &'a f32>,
) -> f64 {
    let (mut n, mut squares) = (0.0, 0.0);
    for (&x, &y) in zip(xs, ys).filter(|(x, y)| x.is_finite() && y.is_finite()) {
        n += 1.0;
        squares += (f64::from(y) - f64::from(x)).powi(2);
    }
    if n == 0.0 { f64::INFINITY } else { (squares / n).sqrt() }
}

/// Mean of the values' squares, 0 of none.
pub(super) fn mean_square<'a>(values: impl ExactSizeIterator<Item = &'a f32>) -> f64 {
    let count = values.len().max(1) as f64;
    values.map(|&value| f64::from(value).powi(2)).sum::<f64>() / count
}

/// Standard deviation of the finite values, 0 where there are none.
pub(super) fn spread<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for &value in values.into_iter().filter(|value| value.is_finite()) {
        let value = f64::from(value);
        n += 1.0;
        sum += value;
        squares += value * value;
    }
    if n == 0.0 { 0.0 } else { (squares / n - (sum / n) * (sum / n)).max(0.0).sqrt() }
}

/// What the best linear combination of each row's numbers leaves of its value, and what the values
/// vary by around their mean: sums of squares. `None` where rows are too alike.
pub(super) fn regression(rows: &[(Vec<f64>, f64)]) -> Option<(f64, f64)> {
    let numbers = rows.first()?.0.len();
    // Normal equations, the value last.
    let mut sums = vec![vec![0.0; numbers + 1]; numbers];
    for (xs, y) in rows {
        for (i, xi) in xs.iter().enumerate() {
            for (sum, xj) in sums[i].iter_mut().zip(xs.iter().chain([y])) {
                *sum += xi * xj;
            }
        }
    }
    let least = 1e-9 * rows.len() as f64;
    for at in 0..numbers {
        let pivot =
            (at..numbers).max_by(|&i, &j| sums[i][at].abs().total_cmp(&sums[j][at].abs()))?;
        if sums[pivot][at].is_nan() || sums[pivot][at].abs() <= least {
            return None;
        }
        sums.swap(at, pivot);
        let row = sums[at].clone();
        for other in (0..numbers).filter(|other| *other != at) {
            let times = sums[other][at] / row[at];
            sums[other].iter_mut().zip(&row).for_each(|(to, from)| *to -= times * from);
        }
    }
    let weights: Vec<f64> = (0..numbers).map(|at| sums[at][numbers] / sums[at][at]).collect();
    let mean = rows.iter().map(|(_, y)| y).sum::<f64>() / rows.len() as f64;
    Some(rows.iter().fold((0.0, 0.0), |(left, spread), (xs, y)| {
        let fitted: f64 = xs.iter().zip(&weights).map(|(x, weight)| x * weight).sum();
        (left + (y - fitted).powi(2), spread + (y - mean).powi(2))
    }))
}

/// [`metrics::psnr`], and 0 for sizes that differ: such pictures have nothing in common.
pub(super) fn psnr(a: &Rgb8, b: &Rgb8) -> f64 {
    metrics::psnr(a, b).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_is_found_and_rows_that_are_alike_have_none() {
        let row =
            |i: i32| (vec![f64::from(i), f64::from(i * i), 1.0], f64::from(3 * i - 2 * i * i + 7));
        let rows: Vec<_> = (0..20).map(row).collect();
        let (left, spread) = regression(&rows).unwrap();
        assert!(left < 1e-6 && spread > 1e4, "{left} {spread}");
        assert_eq!(regression(&vec![(vec![1.0, 1.0], 2.0); 9]), None);
    }

    #[test]
    fn a_line_is_found_and_noise_is_not() {
        let xs: Vec<f32> = (0..100).map(|i| i as f32 / 10.0).collect();
        let ys: Vec<f32> = xs.iter().map(|x| 0.5 * x - 3.0).collect();
        let line = Line::through(&xs, &ys).unwrap();
        assert!((line.slope - 0.5).abs() < 1e-6 && (line.offset + 3.0).abs() < 1e-6);
        assert!(line.correlation > 0.999_999 && line.residual < 1e-3);
        let flat = Line::through(&xs, &[7.0; 100]).unwrap();
        assert_eq!((flat.slope, flat.correlation), (0.0, 0.0));
        assert_eq!(Line::through(&[1.0, f32::NAN], &[1.0, 2.0]), None);
        assert!(rms_difference(&[f32::NAN], &[1.0]).is_infinite());
    }
}
