//! The kernel distance between two sets of features.

use ndarray::{Array2, ArrayView2};
use vae_fidelity_core::random::RandomState;
use vae_fidelity_kernels::threads::Threads;

/// Over how many pairs of subsets it is averaged.
const SUBSETS: usize = 100;

/// How many pictures a subset has.
pub const SUBSET_SIZE: usize = 1000;

/// Of what the subsets are drawn by.
const SEED: u32 = 2020;

/// The kernel inception distance (Bińkowski et al. 2018): the squared maximum mean discrepancy, estimated without bias,
/// over 100 pairs of subsets of 1,000 pictures. `kid_features_to_metric` of torch-fidelity 0.4.0, its defaults and its
/// draws included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelDistance {
    /// The mean; it may be a little under 0.
    pub mean: f64,
    /// The deviation between subsets.
    pub std: f64,
}

impl KernelDistance {
    /// Between `one` and `other`, rows of `width` features. `None` where one of them has fewer than [`SUBSET_SIZE`].
    /// `threads` change no bit.
    ///
    /// # Panics
    ///
    /// When features are no whole number of rows.
    pub fn between(one: &[f32], other: &[f32], width: usize, threads: Threads) -> Option<Self> {
        assert!(one.len().is_multiple_of(width) && other.len().is_multiple_of(width));
        let counts = [one.len() / width, other.len() / width];
        if counts.iter().any(|count| *count < SUBSET_SIZE) {
            return None;
        }
        let mut draws = RandomState::new(SEED);
        let mut discrepancies: Vec<([Vec<u32>; 2], f64)> = (0..SUBSETS)
            .map(|_| (counts.map(|count| draws.choice(count as u32, SUBSET_SIZE)), 0.0))
            .collect();
        threads.for_each_part(&mut discrepancies, 1, |_, of| {
            let ([of_one, of_other], discrepancy) = &mut of[0];
            let (one, other) = (chosen(one, of_one, width), chosen(other, of_other, width));
            *discrepancy = squared_discrepancy(one.view(), other.view());
        });
        let of = || discrepancies.iter().map(|(_, of)| of);
        let mean = of().sum::<f64>() / SUBSETS as f64;
        let variance = of().map(|of| (of - mean) * (of - mean)).sum::<f64>() / SUBSETS as f64;
        Some(Self { mean, std: variance.sqrt() })
    }
}

fn chosen(features: &[f32], rows: &[u32], width: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), width), |(row, column)| {
        features[rows[row] as usize * width + column]
    })
}

/// `mmd2` with the kernel `(x y / width + 1)^3`.
fn squared_discrepancy(one: ArrayView2<f32>, other: ArrayView2<f32>) -> f64 {
    let width = one.ncols() as f64;
    let kernel = |product: f32| (f64::from(product) / width + 1.0).powi(3);
    let sums = |a: ArrayView2<f32>, b: ArrayView2<f32>| -> (f64, f64) {
        let products = a.dot(&b.t());
        let all = products.iter().map(|of| kernel(*of)).sum();
        (all, products.diag().iter().map(|of| kernel(*of)).sum())
    };
    let ((of_one, same_one), (of_other, same_other)) = (sums(one, one), sums(other, other));
    let count = one.nrows() as f64;
    let within = (of_one - same_one + of_other - same_other) / (count * (count - 1.0));
    within - 2.0 * sums(one, other).0 / (count * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_discrepancy_of_two_pairs_is_that_by_hand() {
        let one = ndarray::array![[1.0_f32, 1.0], [0.0, 0.0]];
        let other = ndarray::array![[0.0_f32, 0.0], [2.0, 2.0]];
        let kernel = |a: f64, b: f64| (a * b + 1.0).powi(3);
        let within = (2.0 * kernel(1.0, 0.0) + 2.0 * kernel(0.0, 2.0)) / 2.0;
        let across = kernel(1.0, 0.0) + kernel(1.0, 2.0) + kernel(0.0, 0.0) + kernel(0.0, 2.0);
        let expected = within - 2.0 * across / 4.0;
        assert!((squared_discrepancy(one.view(), other.view()) - expected).abs() < 1e-12);
    }

    #[test]
    fn too_few_pictures_have_none_and_threads_change_no_bit() {
        let features =
            |phase: f32| (0..SUBSET_SIZE * 4).map(|at| (at as f32 * 0.7 + phase).sin()).collect();
        let (one, other): (Vec<f32>, Vec<f32>) = (features(0.0), features(0.5));
        let of = |count| KernelDistance::between(&one, &other, 4, Threads::new(count));
        assert!(of(1).is_some() && of(1) == of(3));
        let fewer = &other[4..];
        assert_eq!(KernelDistance::between(&one, fewer, 4, Threads::new(1)), None);
    }
}
