//! Structural similarity on one scale and on five, as its authors define it.

use super::windows::{Plane, along, each_row, gaussian};
use vae_fidelity_pixels::Rgb8;

/// Side of the Gaussian window, in pixels; smaller pictures have no SSIM.
pub const WINDOW: usize = 11;

const RANGE: f64 = 255.0;
const C1: f64 = (0.01 * RANGE) * (0.01 * RANGE);
const C2: f64 = (0.03 * RANGE) * (0.03 * RANGE);

/// Exponents of the five scales of MS-SSIM, the finest first.
const SCALES: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Shorter side from which on the coarsest scale of MS-SSIM has room for a window.
pub const MS_SSIM_SIDE: usize = WINDOW << (SCALES.len() - 1);

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
/// use vae_fidelity_pixels::Rgb8;
/// use vae_fidelity_core::metrics::ssim;
/// let grey = Rgb8::new(11, 11, vec![128; 11 * 11 * 3]).unwrap();
/// assert_eq!(ssim(&grey, &grey), Some(1.0));
/// assert_eq!(ssim(&grey, &Rgb8::new(1, 1, vec![0; 3]).unwrap()), None);
/// ```
pub fn ssim(a: &Rgb8, b: &Rgb8) -> Option<f64> {
    if !comparable(a, b, WINDOW) {
        return None;
    }
    let channels = (0..3).map(|channel| similarity(&Channel(a, channel), &Channel(b, channel)));
    Some(channels.map(|mean| mean.ssim).sum::<f64>() / 3.0)
}

/// MS-SSIM of two pictures of one size, 0 to 1; `None` where sizes differ or a side is under
/// [`MS_SSIM_SIDE`].
///
/// Wang, Simoncelli, Bovik 2003: SSIM's contrast and structure on five scales and its luminance on
/// the coarsest, each mean raised to its exponent and multiplied; each scale is the one before with
/// 2 x 2 pixels averaged into one (at an odd side, the last row or column stands for its missing
/// neighbor, as in the authors' code). Computed in f64 for each channel, then averaged. A mean
/// below zero, which has no power, counts as zero.
///
/// ```
/// use vae_fidelity_pixels::Rgb8;
/// use vae_fidelity_core::metrics::{MS_SSIM_SIDE, ms_ssim};
/// let grey = |side: usize| Rgb8::new(side, side, vec![128; side * side * 3]).unwrap();
/// assert_eq!(ms_ssim(&grey(MS_SSIM_SIDE), &grey(MS_SSIM_SIDE)), Some(1.0));
/// assert_eq!(ms_ssim(&grey(175), &grey(175)), None);
/// ```
pub fn ms_ssim(a: &Rgb8, b: &Rgb8) -> Option<f64> {
    if !comparable(a, b, MS_SSIM_SIDE) {
        return None;
    }
    let channels = (0..3).map(|channel| {
        let finest = similarity(&Channel(a, channel), &Channel(b, channel));
        let mut product = finest.contrast_and_structure.max(0.0).powf(SCALES[0]);
        let (mut a, mut b) = (Half::of(&Channel(a, channel)), Half::of(&Channel(b, channel)));
        for (scale, exponent) in SCALES.iter().enumerate().skip(1) {
            let Means { ssim, contrast_and_structure } = similarity(&a, &b);
            let coarsest = scale == SCALES.len() - 1;
            let mean = if coarsest { ssim } else { contrast_and_structure };
            product *= mean.max(0.0).powf(*exponent);
            if !coarsest {
                (a, b) = (Half::of(&a), Half::of(&b));
            }
        }
        product
    });
    Some(channels.sum::<f64>() / 3.0)
}

fn comparable(a: &Rgb8, b: &Rgb8, least: usize) -> bool {
    let (width, height) = (a.width(), a.height());
    (b.width(), b.height()) == (width, height) && width.min(height) >= least
}

struct Channel<'a>(&'a Rgb8, usize);

impl Plane for Channel<'_> {
    fn size(&self) -> (usize, usize) {
        (self.0.width(), self.0.height())
    }

    fn row(&self, y: usize) -> impl Iterator<Item = f64> {
        let bytes = self.0.width() * 3;
        let row = &self.0.data()[y * bytes..(y + 1) * bytes];
        row.chunks_exact(3).map(|pixel| f64::from(pixel[self.1]))
    }
}

/// A plane at half the size.
struct Half {
    width: usize,
    levels: Vec<f64>,
}

impl Half {
    fn of(plane: &impl Plane) -> Self {
        let (width, height) = plane.size();
        let mut levels = Vec::with_capacity(width.div_ceil(2) * height.div_ceil(2));
        for top in (0..height).step_by(2) {
            let below = plane.row((top + 1).min(height - 1));
            let sums: Vec<f64> = plane.row(top).zip(below).map(|(a, b)| a + b).collect();
            levels.extend(sums.chunks(2).map(|pair| match pair {
                [left, right] => (left + right) / 4.0,
                rest => rest[0] / 2.0,
            }));
        }
        Self { width: width.div_ceil(2), levels }
    }
}

impl Plane for Half {
    fn size(&self) -> (usize, usize) {
        (self.width, self.levels.len() / self.width)
    }

    fn row(&self, y: usize) -> impl Iterator<Item = f64> {
        self.levels[y * self.width..(y + 1) * self.width].iter().copied()
    }
}

/// Means over all windows.
struct Means {
    ssim: f64,
    contrast_and_structure: f64,
}

fn similarity(a: &impl Plane, b: &impl Plane) -> Means {
    let (width, height) = a.size();
    let weights = gaussian::<WINDOW>();
    let windows = ((width - WINDOW + 1) * (height - WINDOW + 1)) as f64;
    let (mut ssim, mut contrast_and_structure) = (0.0, 0.0);
    each_row(a, b, &weights, |columns| {
        let mut row = 0.0;
        for part in columns.windows(WINDOW) {
            let (luminance, rest) = under_a_window(along(part, &weights));
            row += luminance * rest;
            contrast_and_structure += rest;
        }
        ssim += row;
    });
    Means { ssim: ssim / windows, contrast_and_structure: contrast_and_structure / windows }
}

/// Luminance, and contrast times structure: SSIM is their product.
fn under_a_window([mean_a, mean_b, square_a, square_b, product]: [f64; 5]) -> (f64, f64) {
    let (variance_a, variance_b) = (square_a - mean_a * mean_a, square_b - mean_b * mean_b);
    let covariance = product - mean_a * mean_b;
    let luminance = (2.0 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1);
    (luminance, (2.0 * covariance + C2) / (variance_a + variance_b + C2))
}
