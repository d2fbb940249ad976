//! How much of one set of features lies where the other one does.

use ndarray::{ArrayView2, Axis, s};
use vae_fidelity_kernels::threads::Threads;

/// Which neighbour's distance is the radius around a picture.
pub const NEIGHBORHOOD: usize = 3;

/// Rows that are held against as many others at once.
const ROWS: usize = 512;

/// Improved precision and recall (Kynkäänniemi et al. 2019) on these features: `prc_features_to_metric` of
/// torch-fidelity 0.4.0 with its defaults. A set covers what lies no further from one of its pictures than that
/// picture's third neighbour in the set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// The share of what came back that the originals cover.
    pub precision: f64,
    /// The share of the originals that is covered by what came back.
    pub recall: f64,
}

impl PrecisionRecall {
    /// Of what came back, `generated`, beside the originals, `real`: rows of `width` features. `None` where one of
    /// them has no more pictures than [`NEIGHBORHOOD`]. `threads` change no bit.
    ///
    /// # Panics
    ///
    /// When features are no whole number of rows.
    pub fn of(generated: &[f32], real: &[f32], width: usize, threads: Threads) -> Option<Self> {
        let (generated, real) = (Rows::of(generated, width), Rows::of(real, width));
        if generated.count().min(real.count()) <= NEIGHBORHOOD {
            return None;
        }
        Some(Self {
            precision: real.covers(&generated, threads),
            recall: generated.covers(&real, threads),
        })
    }
}

/// Features with the square of each row's length.
struct Rows<'a> {
    rows: ArrayView2<'a, f32>,
    squares: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn of(features: &'a [f32], width: usize) -> Self {
        assert!(features.len().is_multiple_of(width));
        let square = |row: &[f32]| row.iter().map(|of| f64::from(*of) * f64::from(*of)).sum();
        let squares = features.chunks_exact(width).map(square).collect();
        let shape = (features.len() / width, width);
        // A whole number of rows, as asserted.
        let rows = ArrayView2::from_shape(shape, features).unwrap_or_else(|_| unreachable!());
        Self { rows, squares }
    }

    fn count(&self) -> usize {
        self.squares.len()
    }

    /// Gives `each` (row of `self` from `from` on, row of `other`, square of their distance), other by other.
    fn distances(
        &self,
        from: usize,
        count: usize,
        other: &Self,
        mut each: impl FnMut(usize, usize, f64),
    ) {
        let own = self.rows.slice(s![from..from + count, ..]);
        for (block, others) in other.rows.axis_chunks_iter(Axis(0), ROWS).enumerate() {
            for ((row, at), product) in own.dot(&others.t()).indexed_iter() {
                let at = block * ROWS + at;
                let squares = self.squares[from + row] + other.squares[at];
                each(row, at, (squares - 2.0 * f64::from(*product)).max(0.0));
            }
        }
    }

    /// The square of the distance of each row's neighbour of [`NEIGHBORHOOD`], where a row is no neighbour of itself.
    fn radii(&self, threads: Threads) -> Vec<f64> {
        let mut radii = vec![0.0; self.count()];
        threads.for_each_part(&mut radii, ROWS, |part, radii| {
            let mut nearest = vec![[f64::INFINITY; NEIGHBORHOOD]; radii.len()];
            self.distances(part * ROWS, radii.len(), self, |row, at, distance| {
                let nearest = &mut nearest[row];
                if at != part * ROWS + row && distance < nearest[NEIGHBORHOOD - 1] {
                    let place = nearest.partition_point(|of| *of <= distance);
                    nearest[place..].rotate_right(1);
                    nearest[place] = distance;
                }
            });
            radii.iter_mut().zip(&nearest).for_each(|(of, near)| *of = near[NEIGHBORHOOD - 1]);
        });
        radii
    }

    /// The share of `others` that lies within the radius of a row.
    fn covers(&self, others: &Self, threads: Threads) -> f64 {
        let radii = self.radii(threads);
        let mut covered = vec![false; others.count()];
        threads.for_each_part(&mut covered, ROWS, |part, covered| {
            others.distances(part * ROWS, covered.len(), self, |row, at, distance| {
                covered[row] |= distance <= radii[at];
            });
        });
        covered.iter().filter(|of| **of).count() as f64 / others.count() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(generated: &[f32], real: &[f32]) -> Option<PrecisionRecall> {
        PrecisionRecall::of(generated, real, 1, Threads::new(2))
    }

    #[test]
    fn shares_on_a_line_are_those_by_hand() {
        // Radii of the originals: 3, 2, 2, 3.
        let real = [0.0, 1.0, 2.0, 3.0];
        let generated = [0.5, 1.0, 1.5, 4.0, 100.0];
        let found = of(&generated, &real).unwrap();
        assert_eq!(found, PrecisionRecall { precision: 0.8, recall: 1.0 });
        assert_eq!(of(&real, &generated[..3]), None);
    }

    #[test]
    fn far_away_nothing_is_covered_and_more_than_a_block_is() {
        let real: Vec<f32> = (0..1300).map(|at| at as f32).collect();
        let away: Vec<f32> = real.iter().map(|of| of + 5000.0).collect();
        assert_eq!(of(&away, &real), Some(PrecisionRecall { precision: 0.0, recall: 0.0 }));
        let near: Vec<f32> = real.iter().map(|of| of + 0.5).collect();
        assert_eq!(of(&near, &real), Some(PrecisionRecall { precision: 1.0, recall: 1.0 }));
    }
}
