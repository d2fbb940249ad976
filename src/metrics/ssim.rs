//! Structural similarity, as its authors define it.

use crate::pixels::Rgb8;

/// Side of the Gaussian window, in pixels; smaller pictures have no SSIM.
pub const WINDOW: usize = 11;

const SIGMA: f64 = 1.5;
const RANGE: f64 = 255.0;
const C1: f64 = (0.01 * RANGE) * (0.01 * RANGE);
const C2: f64 = (0.03 * RANGE) * (0.03 * RANGE);

/// Means of a, b, a², b² and ab under one window.
type Moments = [f64; 5];

/// SSIM of two pictures of one size, at most 1, which only equal pictures reach; `None` where
/// sizes differ or a side is under [`WINDOW`].
///
/// Wang, Bovik, Sheikh, Simoncelli 2004: a Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01,
/// K2 = 0.03, population statistics, and only windows that lie inside the picture; computed in
/// f64 for each channel, then averaged. This is scikit-image's `structural_similarity` with
/// `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255,
/// channel_axis=2`.
///
/// It is written here because the crates found compute something else (`image-compare`: windows
/// of 8 x 8 without weights; `dssim`: several scales of a Lab picture) or, like `iqa`, the same
/// with all 121 pixels of every window, several times the work of two passes of 11.
///
/// ```
/// use vae_fidelity::{Rgb8, metrics::ssim};
/// let grey = Rgb8::new(11, 11, vec![128; 11 * 11 * 3]).unwrap();
/// assert_eq!(ssim(&grey, &grey), Some(1.0));
/// assert_eq!(ssim(&grey, &Rgb8::new(1, 1, vec![0; 3]).unwrap()), None);
/// ```
pub fn ssim(a: &Rgb8, b: &Rgb8) -> Option<f64> {
    let (width, height) = (a.width(), a.height());
    if (b.width(), b.height()) != (width, height) || width.min(height) < WINDOW {
        return None;
    }
    let weights = gaussian();
    let windows = (width - WINDOW + 1) * (height - WINDOW + 1);
    let channel_sum = |channel| -> f64 {
        let mut columns = vec![[0.0; 5]; width];
        (0..=height - WINDOW)
            .map(|top| {
                down_the_columns(a, b, channel, top, &weights, &mut columns);
                columns.windows(WINDOW).map(|part| similarity(along(part, &weights))).sum::<f64>()
            })
            .sum()
    };
    Some((0..3).map(|channel| channel_sum(channel) / windows as f64).sum::<f64>() / 3.0)
}

fn gaussian() -> [f64; WINDOW] {
    let mut weights: [f64; WINDOW] = std::array::from_fn(|i| {
        let distance = i as f64 - (WINDOW / 2) as f64;
        (-distance * distance / (2.0 * SIGMA * SIGMA)).exp()
    });
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// Fills `columns` with the weighted moments of the eleven rows from `top` on. The window is a
/// product of two one-dimensional ones, so columns come first and `along` does the rest.
fn down_the_columns(
    a: &Rgb8,
    b: &Rgb8,
    channel: usize,
    top: usize,
    weights: &[f64; WINDOW],
    columns: &mut [Moments],
) {
    columns.fill([0.0; 5]);
    let row_bytes = columns.len() * 3;
    for (row, weight) in (top..).zip(weights) {
        let bytes = row * row_bytes..(row + 1) * row_bytes;
        let (a, b) = (&a.data()[bytes.clone()], &b.data()[bytes]);
        for ((column, a), b) in columns.iter_mut().zip(a.chunks_exact(3)).zip(b.chunks_exact(3)) {
            let (a, b) = (f64::from(a[channel]), f64::from(b[channel]));
            for (sum, value) in column.iter_mut().zip([a, b, a * a, b * b, a * b]) {
                *sum += weight * value;
            }
        }
    }
}

fn along(columns: &[Moments], weights: &[f64; WINDOW]) -> Moments {
    let mut moments = [0.0; 5];
    for (column, weight) in columns.iter().zip(weights) {
        for (sum, value) in moments.iter_mut().zip(column) {
            *sum += weight * value;
        }
    }
    moments
}

fn similarity([mean_a, mean_b, square_a, square_b, product]: Moments) -> f64 {
    let (variance_a, variance_b) = (square_a - mean_a * mean_a, square_b - mean_b * mean_b);
    let covariance = product - mean_a * mean_b;
    ((2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2))
        / ((mean_a * mean_a + mean_b * mean_b + C1) * (variance_a + variance_b + C2))
}
