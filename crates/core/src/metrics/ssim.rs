//! Structural similarity on one scale and on five, as its authors define it.

use super::windows::{Means, Plane, Stabilizers, gaussian, means};
use vae_fidelity_pixels::Rgb8;

/// Side of the Gaussian window, in pixels; smaller pictures have no SSIM.
pub const WINDOW: usize = 11;

const STABILIZERS: Stabilizers = Stabilizers::of(255.0);

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
    ssim_and_ms_ssim(a, b).1
}

/// [`ssim`] and [`ms_ssim`], to the bit; the finest scale, three quarters of the work, is computed once.
///
/// ```
/// use vae_fidelity_pixels::Rgb8;
/// use vae_fidelity_core::metrics::ssim_and_ms_ssim;
/// let grey = Rgb8::new(175, 200, vec![128; 175 * 200 * 3]).unwrap();
/// assert_eq!(ssim_and_ms_ssim(&grey, &grey), (Some(1.0), None));
/// ```
pub fn ssim_and_ms_ssim(a: &Rgb8, b: &Rgb8) -> (Option<f64>, Option<f64>) {
    if !comparable(a, b, MS_SSIM_SIDE) {
        return (ssim(a, b), None);
    }
    let channels = [0, 1, 2].map(|channel| {
        let finest = similarity(&Channel(a, channel), &Channel(b, channel));
        (finest.ssim, on_five_scales(finest.contrast_and_structure, a, b, channel))
    });
    let mean = |of: fn(&(f64, f64)) -> f64| Some(channels.iter().map(of).sum::<f64>() / 3.0);
    (mean(|(ssim, _)| *ssim), mean(|(_, ms_ssim)| *ms_ssim))
}

/// MS-SSIM of one channel; `finest` is the mean of contrast and structure on the first scale.
fn on_five_scales(finest: f64, a: &Rgb8, b: &Rgb8, channel: usize) -> f64 {
    let mut product = libm::pow(finest.max(0.0), SCALES[0]);
    let (mut a, mut b) = (Half::of(&Channel(a, channel)), Half::of(&Channel(b, channel)));
    for (scale, exponent) in SCALES.iter().enumerate().skip(1) {
        let Means { ssim, contrast_and_structure } = similarity(&a, &b);
        let coarsest = scale == SCALES.len() - 1;
        let mean = if coarsest { ssim } else { contrast_and_structure };
        product *= libm::pow(mean.max(0.0), *exponent);
        if !coarsest {
            (a, b) = (Half::of(&a), Half::of(&b));
        }
    }
    product
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

fn similarity(a: &impl Plane, b: &impl Plane) -> Means {
    means(a, b, &gaussian::<WINDOW>(), 1.0, STABILIZERS)
}
