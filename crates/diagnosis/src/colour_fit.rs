//! The line, curve or matrix that brings one picture's colours nearest to another's.

use super::recolouring::{
    BT601, BT709, COLOUR_MATRIX, GAMMA_MISMATCH, LEVELS_CHANGED, Named, Recolouring, Rgb, in_words,
    saturation_in_words,
};

/// What a fitted line is called beside its numbers.
fn described(slope: f64, offset: f64) -> String {
    let pivot = offset / (1.0 - slope);
    let (sharper, lighter) = (
        if slope > 1.0 { "more" } else { "less" },
        if offset > 0.0 { "lighter" } else { "darker" },
    );
    let words = in_words(slope, offset);
    match () {
        () if (slope - 1.0).abs() < 0.004 => {
            format!("{lighter} by {:.1} levels", 255.0 * offset.abs())
        }
        () if offset.abs() < 0.004 => format!("with all levels {words}"),
        () if (0.2..0.8).contains(&pivot) => format!("with {sharper} contrast: {words}"),
        () => format!("with its levels changed: {words}"),
    }
}

/// Sums over pairs of pixels, from which every fit that is linear in its numbers follows.
struct Sums {
    /// Of the products of (r, g, b, 1), for each channel of the found picture, whose clipped values
    /// say nothing.
    products: [[[f64; 4]; 4]; 3],
    /// Of (r, g, b, 1) times the found value.
    found: [[f64; 4]; 3],
}

impl Sums {
    fn of(expected: &[Rgb], found: &[Rgb], clipped: Option<f64>) -> Self {
        let mut sums = Self { products: [[[0.0; 4]; 4]; 3], found: [[0.0; 4]; 3] };
        let inside = |y: f64| clipped.is_none_or(|by| y > by && y < 1.0 - by);
        for (&[r, g, b], pixel) in expected.iter().zip(found) {
            let x = [r, g, b, 1.0];
            for (channel, &y) in pixel.iter().enumerate().filter(|(_, y)| inside(**y)) {
                for (i, xi) in x.into_iter().enumerate() {
                    sums.found[channel][i] += xi * y;
                    for (j, xj) in x.into_iter().enumerate() {
                        sums.products[channel][i][j] += xi * xj;
                    }
                }
            }
        }
        sums
    }

    /// `slope` and `offset` over these channels together.
    fn line(&self, channels: &[usize]) -> Option<(f64, f64)> {
        let sum = |of: &dyn Fn(usize) -> f64| channels.iter().map(|&c| of(c)).sum::<f64>();
        let n = sum(&|c| self.products[c][3][3]);
        let (x, y) = (sum(&|c| self.products[c][c][3]), sum(&|c| self.found[c][3]));
        let (xx, xy) = (sum(&|c| self.products[c][c][c]), sum(&|c| self.found[c][c]));
        let variance = xx - x * x / n;
        // Flat pictures have no slope.
        if n < 16.0 || variance.is_nan() || variance <= 1e-6 * n {
            return None;
        }
        let slope = (xy - x * y / n) / variance;
        Some((slope, (y - slope * x) / n))
    }

    fn brightness(&self) -> Option<f64> {
        let n: f64 = (0..3).map(|c| self.products[c][3][3]).sum();
        let sum: f64 = (0..3).map(|c| self.found[c][3] - self.products[c][c][3]).sum();
        (n >= 16.0).then_some(sum / n)
    }

    /// `s` of `grey + s * (x - grey)`.
    fn saturation(&self, luma: Rgb) -> Option<f64> {
        let (mut squares, mut products) = (0.0, 0.0);
        for channel in 0..3 {
            let grey = [luma[0], luma[1], luma[2], 0.0];
            let mut colour = grey.map(|weight| -weight);
            colour[channel] += 1.0;
            let through = |a: [f64; 4], b: [f64; 4]| -> f64 {
                let rows = self.products[channel].iter().zip(a);
                rows.map(|(row, a)| a * row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>()).sum()
            };
            let with_found: f64 = self.found[channel].iter().zip(colour).map(|(y, v)| y * v).sum();
            squares += through(colour, colour);
            products += with_found - through(grey, colour);
        }
        (squares > 1e-6 * self.products[0][3][3]).then(|| products / squares)
    }

    fn matrix(&self) -> Option<Recolouring> {
        let (mut matrix, mut offset) = ([[0.0; 3]; 3], [0.0; 3]);
        for channel in 0..3 {
            let [r, g, b, one] = solved(self.products[channel], self.found[channel])?;
            matrix[channel] = [r, g, b];
            offset[channel] = one;
        }
        Some(Recolouring::Affine(matrix, offset))
    }
}

/// `a x = b` by elimination; `None` where it has no single solution.
fn solved(mut a: [[f64; 4]; 4], mut b: [f64; 4]) -> Option<[f64; 4]> {
    let least = 1e-7 * a[3][3];
    for column in 0..4 {
        let pivot =
            (column..4).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        if a[pivot][column].is_nan() || a[pivot][column].abs() <= least {
            return None;
        }
        a.swap(column, pivot);
        b.swap(column, pivot);
        for row in column + 1..4 {
            let times = a[row][column] / a[column][column];
            let from = a[column];
            a[row].iter_mut().zip(from).for_each(|(to, from)| *to -= times * from);
            b[row] -= times * b[column];
        }
    }
    let mut x = [0.0; 4];
    for row in (0..4).rev() {
        let known: f64 = (row + 1..4).map(|column| a[row][column] * x[column]).sum();
        x[row] = (b[row] - known) / a[row][row];
    }
    Some(x)
}

/// Recolourings with fitted numbers that bring `expected` near `found`. Levels of `found` within
/// `clipped` of 0 or 1 say nothing of a line.
pub(super) fn fitted(expected: &[Rgb], found: &[Rgb], clipped: Option<f64>) -> Vec<Named> {
    let sums = Sums::of(expected, found, clipped);
    let mut list = Vec::new();
    let mut add = |cause, what, free, recolouring| {
        list.push(Named { cause, what, recolouring, free });
    };
    if let Some(offset) = sums.brightness() {
        add(&LEVELS_CHANGED, described(1.0, offset), 1, Recolouring::line(1.0, offset));
    }
    if let Some((slope, offset)) = sums.line(&[0, 1, 2]).filter(|(slope, _)| *slope > 0.0) {
        add(&LEVELS_CHANGED, described(slope, offset), 2, Recolouring::line(slope, offset));
    }
    let lines: Option<Vec<_>> = (0..3).map(|channel| sums.line(&[channel])).collect();
    if let Some([red, green, blue]) = lines.as_deref()
        && [red, green, blue].iter().all(|(slope, _)| *slope > 0.0)
    {
        let [r, g, b] = [red, green, blue].map(|&(slope, offset)| in_words(slope, offset));
        let what = format!("with another line for each channel: red {r}, green {g}, blue {b}");
        add(&LEVELS_CHANGED, what, 6, Recolouring::lines([*red, *green, *blue]));
    }
    for luma in [BT601, BT709, [1.0 / 3.0; 3]] {
        if let Some(by) = sums.saturation(luma).filter(|by| (by - 1.0).abs() > 0.01) {
            add(&COLOUR_MATRIX, saturation_in_words(by), 1, Recolouring::saturation(luma, by));
        }
    }
    if let Some(matrix) = sums.matrix().filter(Recolouring::keeps_greys) {
        let what = "with its colours mixed by a 3 x 3 matrix".to_owned();
        add(&COLOUR_MATRIX, what, 12, matrix);
    }
    if let Some(power) = power(expected, found, clipped) {
        let what = format!("with each level to the power of {power:.2}");
        add(&GAMMA_MISMATCH, what, 1, Recolouring::Power(power));
    }
    list
}

/// Powers that are looked into, and how many pixels decide.
const POWERS: (f64, f64) = (0.3, 3.4);
const ENOUGH: usize = 4096;

/// The power of least squares, by golden section.
fn power(expected: &[Rgb], found: &[Rgb], clipped: Option<f64>) -> Option<f64> {
    let step = (expected.len() / ENOUGH).max(1);
    let inside = |y: f64| clipped.is_none_or(|by| y > by && y < 1.0 - by);
    let pairs: Vec<(f64, f64)> = expected
        .iter()
        .zip(found)
        .step_by(step)
        .flat_map(|(x, y)| x.iter().copied().zip(y.iter().copied()))
        .filter(|(x, y)| *x > 0.0 && *x < 1.0 && inside(*y))
        .collect();
    if pairs.len() < 16 {
        return None;
    }
    let error = |log: f64| -> f64 {
        let power = log.exp();
        pairs.iter().map(|(x, y)| (x.powf(power) - y).powi(2)).sum()
    };
    let best = least(error, POWERS.0.ln(), POWERS.1.ln(), 24)?;
    Some(best.exp()).filter(|power| (power - 1.0).abs() > 0.02)
}

/// Where `of` is least between `low` and `high`, by golden section; `None` where that is an end.
pub(super) fn least(
    mut of: impl FnMut(f64) -> f64,
    low: f64,
    high: f64,
    steps: usize,
) -> Option<f64> {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let (mut a, mut b) = (low, high);
    let (mut c, mut d) = (b - GOLDEN * (b - a), a + GOLDEN * (b - a));
    let (mut at_c, mut at_d) = (of(c), of(d));
    for _ in 0..steps {
        if at_c < at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - GOLDEN * (b - a);
            at_c = of(c);
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + GOLDEN * (b - a);
            at_d = of(d);
        }
    }
    let found = (a + b) / 2.0;
    let inside = found - low > 0.02 * (high - low) && high - found > 0.02 * (high - low);
    inside.then_some(found)
}

/// RMS of the difference, over all channels.
pub(super) fn rms(expected: impl Iterator<Item = Rgb>, found: &[Rgb]) -> f64 {
    let squares: f64 =
        expected.zip(found).map(|(a, b)| (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f64>()).sum();
    (squares / (3 * found.len()) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::recolouring::known;
    use super::*;

    /// Colours all over the cube, none of them clipped by mild changes.
    fn pixels() -> Vec<Rgb> {
        let level = |i: usize| 0.2 + 0.6 * (i as f64) / 10.0;
        (0..1000).map(|i| [level(i % 10), level(i / 10 % 10), level(i / 100)]).collect()
    }

    fn nearest(changed: impl Fn(Rgb) -> Rgb) -> Named {
        let expected = pixels();
        let found: Vec<Rgb> = expected.iter().map(|&pixel| changed(pixel)).collect();
        let all = known().into_iter().chain(fitted(&expected, &found, None));
        let left = |one: &Named| rms(expected.iter().map(|&x| one.recolouring.of(x)), &found);
        all.min_by(|a, b| {
            let score = |one: &Named| left(one).max(1e-6).ln() + 0.1 * one.free as f64;
            score(a).total_cmp(&score(b))
        })
        .unwrap()
    }

    #[test]
    fn each_change_is_called_by_its_name() {
        let of = |what: &str, changed: &dyn Fn(Rgb) -> Rgb| {
            let found = nearest(changed);
            assert!(found.what.contains(what), "expected {what:?}: {found:?}");
        };
        of("full range written as video range", &|p| p.map(|x| (x * 219.0 + 16.0) / 255.0));
        of("expanded that was full range", &|p| p.map(|x| (x * 255.0 - 16.0) / 219.0));
        of("less contrast: times 0.900", &|p| p.map(|x| 0.9 * (x - 0.5) + 0.5));
        of("lighter by 10.2 levels", &|p| p.map(|x| x + 0.04));
        of("saturation: times 0.60", &|p| Recolouring::saturation(BT601, 0.6).of(p));
        of("without colour", &|p| Recolouring::saturation(BT601, 0.0).of(p));
        of("linear light", &|p| Recolouring::ToLinear.of(p));
        of("once too often", &|p| Recolouring::ToSrgb.of(p));
        of("to the power of 0.60", &|p| p.map(|x| x.powf(0.6)));
        of("each channel", &|[r, g, b]| [0.9 * r + 0.05, g, 1.1 * b - 0.05]);
        of("3 x 3 matrix", &|[r, g, b]| [0.8 * r + 0.2 * g, 0.9 * g + 0.1 * b, b]);
    }

    #[test]
    fn flat_pictures_and_nan_have_no_line() {
        let flat = vec![[0.5; 3]; 100];
        let fits = fitted(&flat, &vec![[0.6; 3]; 100], None);
        assert!(fits.iter().all(|fit| fit.free == 1), "{fits:?}");
        let nan = fitted(&pixels(), &vec![[f64::NAN; 3]; 1000], None);
        let finite = |named: &Named| {
            let left = rms(pixels().into_iter().map(|x| named.recolouring.of(x)), &pixels());
            left.is_finite()
        };
        assert!(!nan.iter().any(finite), "{nan:?}");
    }
}
