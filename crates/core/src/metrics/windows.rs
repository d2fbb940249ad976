//! Weighted means under every window of two planes, which SSIM is made of.

/// One channel of a picture.
pub(super) trait Plane {
    /// Columns and rows.
    fn size(&self) -> (usize, usize);
    /// The values of row `y`.
    fn row(&self, y: usize) -> impl Iterator<Item = f64>;
}

/// Means of a, b, a², b² and ab under one window.
pub(super) type Moments = [f64; 5];

const SIGMA: f64 = 1.5;

/// A normalised Gaussian of sigma 1.5 over `N` pixels.
pub(super) fn gaussian<const N: usize>() -> [f64; N] {
    let mut weights: [f64; N] = std::array::from_fn(|i| {
        let distance = i as f64 - (N / 2) as f64;
        (-distance * distance / (2.0 * SIGMA * SIGMA)).exp()
    });
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// Hands to `row`, for each row of windows, the weighted moments of every column under it. The window is
/// a product of two one-dimensional ones, so columns come first and [`along`] does the rest.
pub(super) fn each_row<const N: usize>(
    a: &impl Plane,
    b: &impl Plane,
    weights: &[f64; N],
    mut row: impl FnMut(&[Moments]),
) {
    let (width, height) = a.size();
    let mut columns = vec![[0.0; 5]; width];
    for top in 0..=height - N {
        columns.fill([0.0; 5]);
        for (y, weight) in (top..).zip(weights) {
            for ((column, a), b) in columns.iter_mut().zip(a.row(y)).zip(b.row(y)) {
                for (sum, value) in column.iter_mut().zip([a, b, a * a, b * b, a * b]) {
                    *sum += weight * value;
                }
            }
        }
        row(&columns);
    }
}

/// The moments under the window whose columns have the moments `columns`.
pub(super) fn along<const N: usize>(columns: &[Moments], weights: &[f64; N]) -> Moments {
    let mut moments = [0.0; 5];
    for (column, weight) in columns.iter().zip(weights) {
        for (sum, value) in moments.iter_mut().zip(column) {
            *sum += weight * value;
        }
    }
    moments
}
