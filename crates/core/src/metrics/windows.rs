//! Weighted means under every window of two planes, and SSIM's terms, which are made of them.
//!
//! Neighboring windows are computed side by side, with the feature `simd` in as wide vectors as the processor has. Each sum
//! is in f64 and in one order, no product is fused with it, and powers are not the system's, so the result does not depend
//! on that.

use std::array::from_fn;

/// One channel of a picture.
pub(super) trait Plane {
    /// Columns and rows.
    fn size(&self) -> (usize, usize);
    /// The values of row `y`.
    fn row(&self, y: usize) -> impl Iterator<Item = f64>;
}

/// What SSIM divides by is never under these two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stabilizers {
    /// Of the luminance.
    pub c1: f64,
    /// Of contrast and structure.
    pub c2: f64,
}

impl Stabilizers {
    /// Those of the authors' K1 = 0.01 and K2 = 0.03, where values span `range`.
    pub const fn of(range: f64) -> Self {
        Self { c1: (0.01 * range) * (0.01 * range), c2: (0.03 * range) * (0.03 * range) }
    }
}

/// Means over all windows.
pub(super) struct Means {
    pub ssim: f64,
    /// SSIM without its luminance.
    pub contrast_and_structure: f64,
}

/// Of a, b, a², b² and ab, under windows side by side.
type Moments = [[f64; LANES]; 5];

/// Doubles of an AVX-512 register.
const LANES: usize = 8;
const SIGMA: f64 = 1.5;

/// A normalised Gaussian of sigma 1.5 over `N` pixels.
pub(super) fn gaussian<const N: usize>() -> [f64; N] {
    let mut weights: [f64; N] = from_fn(|i| {
        let distance = i as f64 - (N / 2) as f64;
        libm::exp(-distance * distance / (2.0 * SIGMA * SIGMA))
    });
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// SSIM and its second term, over all windows of `N` by `N` pixels inside the planes, which have one size and no side under
/// `N`; variances and the covariance are multiplied by `unbiased`. A window's weights are a product of `weights` down and
/// across.
pub(super) fn means<const N: usize>(
    a: &impl Plane,
    b: &impl Plane,
    weights: &[f64; N],
    unbiased: f64,
    stabilizers: Stabilizers,
) -> Means {
    in_vectors(
        #[inline(always)]
        || {
            let (width, height) = a.size();
            let (across, down) = (width - N + 1, height - N + 1);
            let blocks = across.div_ceil(LANES);
            let mut rows = Rows::<N>::new(blocks * LANES + N - 1);
            let mut columns: [Vec<f64>; 5] = from_fn(|_| vec![0.0; rows.width]);
            let mut terms: [Vec<f64>; 2] = from_fn(|_| vec![0.0; blocks * LANES]);
            let mut sums = [0.0; 2];
            for y in 0..height {
                rows.read(a, b, y);
                let Some(top) = (y + 1).checked_sub(N) else { continue };
                for x in (0..rows.width).step_by(LANES) {
                    put(&mut columns, x, rows.down(top, x, weights));
                }
                for x in (0..blocks * LANES).step_by(LANES) {
                    let moments = along(&columns, x, weights);
                    put(&mut terms, x, ssim_terms(moments, unbiased, stabilizers));
                }
                for (sum, terms) in sums.iter_mut().zip(&terms) {
                    *sum += terms[..across].iter().sum::<f64>();
                }
            }
            let windows = (across * down) as f64;
            Means { ssim: sums[0] / windows, contrast_and_structure: sums[1] / windows }
        },
    )
}

/// Runs `work` compiled for the widest vectors that the processor has.
#[cfg(feature = "simd")]
#[inline(always)]
fn in_vectors<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Runs `work`.
#[cfg(not(feature = "simd"))]
#[inline(always)]
fn in_vectors<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The last `N` rows of two planes, with zeros behind them.
struct Rows<const N: usize> {
    /// A multiple of [`LANES`].
    width: usize,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl<const N: usize> Rows<N> {
    /// Of at least `width` columns.
    fn new(width: usize) -> Self {
        let width = width.next_multiple_of(LANES);
        Self { width, a: vec![0.0; N * width], b: vec![0.0; N * width] }
    }

    /// Row `y` of both, in place of the one `N` above.
    #[inline(always)]
    fn read(&mut self, a: &impl Plane, b: &impl Plane, y: usize) {
        let start = y % N * self.width;
        self.a[start..].iter_mut().zip(a.row(y)).for_each(|(to, value)| *to = value);
        self.b[start..].iter_mut().zip(b.row(y)).for_each(|(to, value)| *to = value);
    }

    /// The moments of the columns from `x` on, of the `N` rows from `top` on.
    #[inline(always)]
    fn down(&self, top: usize, x: usize, weights: &[f64; N]) -> Moments {
        let mut moments = [[0.0; LANES]; 5];
        for (y, weight) in (top..).zip(weights) {
            let start = y % N * self.width + x;
            let (a, b) = (lanes(&self.a, start), lanes(&self.b, start));
            let of = |values: [f64; LANES], other: [f64; LANES]| -> [f64; LANES] {
                from_fn(|lane| values[lane] * other[lane])
            };
            for (sums, values) in moments.iter_mut().zip([a, b, of(a, a), of(b, b), of(a, b)]) {
                add(sums, *weight, values);
            }
        }
        moments
    }
}

/// The moments under the windows from `x` on, whose columns have the moments `columns`.
#[inline(always)]
fn along<const N: usize>(columns: &[Vec<f64>; 5], x: usize, weights: &[f64; N]) -> Moments {
    let mut moments = [[0.0; LANES]; 5];
    for (column, weight) in weights.iter().enumerate() {
        for (sums, values) in moments.iter_mut().zip(columns) {
            add(sums, *weight, lanes(values, x + column));
        }
    }
    moments
}

/// SSIM, and its second term.
#[inline(always)]
fn ssim_terms(
    moments: Moments,
    unbiased: f64,
    Stabilizers { c1, c2 }: Stabilizers,
) -> [[f64; LANES]; 2] {
    let mut terms = [[0.0; LANES]; 2];
    for lane in 0..LANES {
        let [mean_a, mean_b, square_a, square_b, product] = moments.map(|of| of[lane]);
        let variances = (square_a - mean_a * mean_a) + (square_b - mean_b * mean_b);
        let covariance = product - mean_a * mean_b;
        let luminance = (2.0 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1);
        terms[1][lane] = (2.0 * unbiased * covariance + c2) / (unbiased * variances + c2);
        terms[0][lane] = luminance * terms[1][lane];
    }
    terms
}

#[inline(always)]
fn add(sums: &mut [f64; LANES], weight: f64, values: [f64; LANES]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

#[inline(always)]
fn lanes(values: &[f64], start: usize) -> [f64; LANES] {
    let mut found = [0.0; LANES];
    found.copy_from_slice(&values[start..start + LANES]);
    found
}

#[inline(always)]
fn put<const OF: usize>(to: &mut [Vec<f64>; OF], start: usize, values: [[f64; LANES]; OF]) {
    for (to, values) in to.iter_mut().zip(values) {
        to[start..start + LANES].copy_from_slice(&values);
    }
}
