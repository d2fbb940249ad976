//! The Fréchet distance between two sets of features, taken for normal distributions.

use nalgebra::DMatrix;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, s};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_kernels::threads::Threads;

/// Rows that are added to a covariance at once.
const ROWS: usize = 512;

/// Rows and columns of a covariance that one thread computes at once.
const BLOCK: usize = 256;

/// How far the halves of a covariance may differ, of the largest variance: rounding of f32.
const SYMMETRIC: f64 = 1e-5;

/// Columns of a factor that are taken off the rest of a matrix at once.
const COLUMNS: usize = 64;

/// Mean and covariance of features, in f64: what `numpy.mean` and `numpy.cov` give.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureStatistics {
    mean: Vec<f64>,
    covariance: Array2<f64>,
}

impl FeatureStatistics {
    /// Of `rows`, one after the other in `features`, each of `width` values. `threads` change no bit.
    ///
    /// # Errors
    ///
    /// When there are fewer than two rows, or a value is not finite.
    ///
    /// # Panics
    ///
    /// When `features` are no whole number of rows.
    pub fn of(features: &[f32], width: usize, threads: Threads) -> Result<Self> {
        assert_eq!(features.len() % width, 0);
        let count = features.len() / width;
        let refused = |problem: &str| Err(Error::tensor("features", problem, "take more pictures"));
        if count < 2 {
            return refused("of two pictures at least are needed");
        }
        if features.iter().any(|value| !value.is_finite()) {
            return refused("are not finite");
        }
        let mut mean = vec![0.0; width];
        for row in features.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        mean.iter_mut().for_each(|sum| *sum /= count as f64);
        let covariance = covariance(features, &mean, threads) / (count - 1) as f64;
        Ok(Self { mean, covariance })
    }

    /// Those that are known; what is wrong with them where they are no mean and covariance.
    ///
    /// # Errors
    ///
    /// When the covariance has not a row and a column for each value of the mean, a value is not finite, a variance is
    /// negative, or the two halves of the covariance differ.
    pub fn from_parts(
        mean: Vec<f64>,
        covariance: Array2<f64>,
    ) -> std::result::Result<Self, &'static str> {
        if covariance.dim() != (mean.len(), mean.len()) {
            return Err("have not the shapes of a mean and its covariance");
        }
        if !mean.iter().chain(&covariance).all(|value| value.is_finite()) {
            return Err("have values that are NaN or infinite");
        }
        if covariance.diag().iter().any(|variance| *variance < 0.0) {
            return Err("are no mean and covariance: a variance is negative");
        }
        let largest = covariance.diag().iter().copied().fold(0.0, f64::max);
        let is_symmetric = |((row, column), value): ((usize, usize), &f64)| {
            (value - covariance[(column, row)]).abs() <= SYMMETRIC * largest
        };
        if !covariance.indexed_iter().all(is_symmetric) {
            return Err("are no mean and covariance: the covariance is not symmetric");
        }
        Ok(Self { mean, covariance })
    }

    /// The mean of each feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The covariance of each two features, over one less than the number of rows.
    pub fn covariance(&self) -> &Array2<f64> {
        &self.covariance
    }

    /// `|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, 0 where both are the same: `calculate_frechet_distance` of
    /// pytorch-fid. With `C1 = L L^T` the root has the trace of that of `L^T C2 L`, whose eigenvalues are real and
    /// not negative, also where there are fewer pictures than features. `threads` change no bit.
    ///
    /// # Panics
    ///
    /// When features are of other widths.
    pub fn distance(&self, other: &Self, threads: Threads) -> f64 {
        assert_eq!(self.mean.len(), other.mean.len());
        let squares: f64 = self.mean.iter().zip(&other.mean).map(|(a, b)| (a - b) * (a - b)).sum();
        let trace = |of: &Array2<f64>| of.diag().sum();
        let root = factor(self.covariance.view());
        let traces = trace(&self.covariance) + trace(&other.covariance);
        if root.is_empty() {
            // All pictures are one.
            return squares + traces;
        }
        let right = product(threads, other.covariance.view(), root.view());
        let product = product(threads, root.t(), right.view());
        let product = DMatrix::from_fn(product.nrows(), product.ncols(), |row, column| {
            // Rounding alone makes the two differ.
            (product[(row, column)] + product[(column, row)]) / 2.0
        });
        let values = product.symmetric_eigenvalues();
        let root: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
        squares + traces - 2.0 * root
    }
}

/// `left` * `right`, so many columns at a time.
fn product(threads: Threads, left: ArrayView2<f64>, right: ArrayView2<f64>) -> Array2<f64> {
    let columns = right.ncols();
    let of = |block: usize| block * BLOCK..((block + 1) * BLOCK).min(columns);
    let mut blocks = vec![Array2::default((0, 0)); columns.div_ceil(BLOCK)];
    threads.for_each_part(&mut blocks, 1, |block, out| {
        out[0] = left.dot(&right.slice(s![.., of(block)]));
    });
    let mut product = Array2::zeros((left.nrows(), columns));
    for (block, columns) in blocks.iter().enumerate() {
        product.slice_mut(s![.., of(block)]).assign(columns);
    }
    product
}

/// The sum over rows of the products of each two columns less their `mean`.
fn covariance(features: &[f32], mean: &[f64], threads: Threads) -> Array2<f64> {
    let width = mean.len();
    let columns = |block: usize| block * BLOCK..((block + 1) * BLOCK).min(width);
    let centered = |rows: &[f32], block: usize| {
        let columns = columns(block);
        Array2::from_shape_fn((rows.len() / width, columns.len()), |(row, column)| {
            let column = columns.start + column;
            f64::from(rows[row * width + column]) - mean[column]
        })
    };
    let blocks = width.div_ceil(BLOCK);
    // The other half is the same.
    let mut upper: Vec<(usize, usize, Array2<f64>)> = (0..blocks)
        .flat_map(|down| (down..blocks).map(move |right| (down, right)))
        .map(|(down, right)| (down, right, Array2::default((0, 0))))
        .collect();
    threads.for_each_part(&mut upper, 1, |_, of| {
        let (down, right, sums) = &mut of[0];
        *sums = Array2::zeros((columns(*down).len(), columns(*right).len()));
        for rows in features.chunks(ROWS * width) {
            let left = centered(rows, *down);
            general_mat_mul(1.0, &left.t(), &centered(rows, *right), 1.0, sums);
        }
    });
    let mut covariance = Array2::zeros((width, width));
    for (down, right, sums) in upper {
        let (down, right) = (columns(down), columns(right));
        covariance.slice_mut(s![right.clone(), down.clone()]).assign(&sums.t());
        covariance.slice_mut(s![down, right]).assign(&sums);
    }
    covariance
}

/// `L` with `L L^T` = `matrix`, which is symmetric and has no negative eigenvalue: Cholesky's with the largest pivot
/// first, as many columns as the matrix has directions, in blocks as LAPACK's `dpstrf`.
fn factor(matrix: ArrayView2<f64>) -> Array2<f64> {
    let width = matrix.nrows();
    let mut diagonal: Vec<f64> = matrix.diag().to_vec();
    let least = diagonal.iter().copied().fold(0.0, f64::max) * width as f64 * f64::EPSILON;
    // What the blocks before leave of the matrix.
    let mut left = matrix.to_owned();
    // Row by row its columns: L^T.
    let mut transposed: Array2<f64> = Array2::zeros((width, width));
    let mut block = 0;
    for step in 0..width {
        let (pivot, most) = (0..width)
            .map(|at| (at, diagonal[at]))
            .fold((0, 0.0), |best, of| if of.1 > best.1 { of } else { best });
        // What is left is rounding.
        if most <= least {
            return transposed.slice(s![..step, ..]).t().to_owned();
        }
        let (above, mut below) = transposed.view_mut().split_at(Axis(0), step);
        let mut column = left.row(pivot).to_owned();
        for earlier in above.slice(s![block.., ..]).rows() {
            column.scaled_add(-earlier[pivot], &earlier);
        }
        column /= most.sqrt();
        for (left, value) in diagonal.iter_mut().zip(&column) {
            *left -= value * value;
        }
        diagonal[pivot] = 0.0;
        below.row_mut(0).assign(&column);
        if step + 1 - block == COLUMNS {
            let columns = transposed.slice(s![block..=step, ..]);
            general_mat_mul(-1.0, &columns.t(), &columns, 1.0, &mut left);
            block = step + 1;
        }
    }
    transposed.t().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features that hardly repeat, and depend on each other.
    fn features(count: usize, width: usize, phase: f32) -> Vec<f32> {
        let of = |at: usize| {
            let (row, column) = ((at / width) as f32, (at % width) as f32);
            (row * 0.37 + phase).sin() * (1.0 + column * 0.1) + (row * column * 0.11 + phase).cos()
        };
        (0..count * width).map(of).collect()
    }

    fn statistics(count: usize, width: usize, phase: f32) -> FeatureStatistics {
        FeatureStatistics::of(&features(count, width, phase), width, Threads::new(2)).unwrap()
    }

    #[test]
    fn the_same_is_no_distance_away() {
        for (count, width) in [(40, 6), (9, 150), (600, 140)] {
            let of = statistics(count, width, 0.0);
            assert!(of.distance(&of, Threads::new(2)).abs() < 1e-6 * of.covariance.diag().sum());
        }
    }

    #[test]
    fn a_factor_has_as_many_columns_as_there_are_directions() {
        let of = statistics(9, 150, 0.0).covariance;
        let root = factor(of.view());
        assert_eq!(root.dim(), (150, 8));
        let off = (root.dot(&root.t()) - &of).mapv(f64::abs).into_iter().fold(0.0, f64::max);
        assert!(off < 1e-12 * of.diag().sum(), "{off}");
        // More than two blocks of columns.
        let of = statistics(600, 140, 0.0).covariance + Array2::<f64>::eye(140);
        let root = factor(of.view());
        assert_eq!(root.dim(), (140, 140));
        let off = (root.dot(&root.t()) - &of).mapv(f64::abs).into_iter().fold(0.0, f64::max);
        assert!(off < 1e-12 * of.diag().sum(), "{off}");
    }

    #[test]
    fn threads_change_no_bit_of_a_covariance_and_blocks_no_more_than_rounding() {
        let (count, width) = (1100, BLOCK + 70);
        let features = features(count, width, 0.0);
        let [one, three] = [1, 3]
            .map(|count| FeatureStatistics::of(&features, width, Threads::new(count)).unwrap());
        assert_eq!(one, three);
        let other = statistics(7, width, 1.0);
        let distance = |threads| one.distance(&other, Threads::new(threads)).to_bits();
        assert_eq!(distance(1), distance(3));
        for (down, right) in [(0, 0), (3, BLOCK + 69), (BLOCK + 69, 3), (BLOCK + 1, BLOCK + 7)] {
            let mean = |column: usize| {
                (0..count).map(|row| f64::from(features[row * width + column])).sum::<f64>()
                    / count as f64
            };
            let (down_mean, right_mean) = (mean(down), mean(right));
            let product = |row: usize| {
                let of = |column: usize| f64::from(features[row * width + column]);
                (of(down) - down_mean) * (of(right) - right_mean)
            };
            let expected = (0..count).map(product).sum::<f64>() / (count - 1) as f64;
            assert!((one.covariance[(down, right)] - expected).abs() < 1e-11);
        }
    }

    #[test]
    fn means_alone_give_the_square_of_their_distance() {
        let one = statistics(50, 5, 0.0);
        let moved: Vec<f32> = features(50, 5, 0.0).iter().map(|value| value + 2.0).collect();
        let moved = FeatureStatistics::of(&moved, 5, Threads::new(1)).unwrap();
        assert!((one.distance(&moved, Threads::new(1)) - 20.0).abs() < 1e-4);
    }

    #[test]
    fn of_one_picture_again_and_again_there_is_a_distance() {
        let of = |value: f32| FeatureStatistics::of(&[value; 3 * 4], 4, Threads::new(1)).unwrap();
        assert_eq!(of(1.0).distance(&of(1.0), Threads::new(1)), 0.0);
        assert_eq!(of(1.0).distance(&of(3.0), Threads::new(1)), 16.0);
        let other = statistics(5, 4, 0.0);
        let expected = other.distance(&of(0.0), Threads::new(1));
        let found = of(0.0).distance(&other, Threads::new(1));
        assert!((found - expected).abs() < 1e-9 * expected, "{found}, {expected}");
    }

    #[test]
    fn too_few_and_broken_features_are_refused() {
        let of = |features: &[f32]| FeatureStatistics::of(features, 2, Threads::new(1));
        assert!(of(&[1.0, 2.0]).unwrap_err().to_string().contains("two pictures"));
        let error = of(&[1.0, 2.0, f32::NAN, 4.0]).unwrap_err().to_string();
        assert!(error.contains("not finite"), "{error}");
    }
}
