//! One pass over the pairs of two tensors: what every comparison of tensors counts.

/// Differences of pairs of values, in f64, counted as they come.
///
/// A pair in which a value is NaN or infinite has no difference: it counts as over every threshold.
///
/// ```
/// use vae_fidelity_core::metrics::Pairs;
/// let mut pairs = Pairs::new([0.0, 0.1]);
/// for (at, (a, b)) in [(1.0, 1.0), (2.0, 2.5), (f64::NAN, f64::NAN)].into_iter().enumerate() {
///     pairs.add(at, a, b);
/// }
/// assert_eq!((pairs.count, pairs.non_finite, pairs.over), (3, 1, [2, 2]));
/// assert_eq!(pairs.largest, Some((0.5, 1)));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs<const N: usize> {
    /// The differences that [`Self::over`] counts at.
    pub thresholds: [f64; N],
    /// Pairs that were added.
    pub count: usize,
    /// Pairs in which at least one value is not finite.
    pub non_finite: usize,
    /// Pairs that differ by more than each threshold.
    pub over: [usize; N],
    /// The largest finite difference and where it was first; `None` before a finite pair was added.
    pub largest: Option<(f64, usize)>,
}

impl<const N: usize> Pairs<N> {
    /// No pair yet.
    pub fn new(thresholds: [f64; N]) -> Self {
        Self { thresholds, count: 0, non_finite: 0, over: [0; N], largest: None }
    }

    /// Counts the pair at `at`; its difference, or `None` where a value is not finite.
    pub fn add(&mut self, at: usize, actual: f64, expected: f64) -> Option<f64> {
        self.count += 1;
        if !actual.is_finite() || !expected.is_finite() {
            self.non_finite += 1;
            self.over.iter_mut().for_each(|count| *count += 1);
            return None;
        }
        let difference = (actual - expected).abs();
        for (count, threshold) in self.over.iter_mut().zip(self.thresholds) {
            *count += usize::from(difference > threshold);
        }
        if self.largest.is_none_or(|(largest, _)| difference > largest) {
            self.largest = Some((difference, at));
        }
        Some(difference)
    }
}

/// The position of flat index `at` in a tensor of `shape`, C order.
///
/// ```
/// assert_eq!(vae_fidelity_core::metrics::position(5, &[2, 3]), [1, 2]);
/// ```
pub fn position(at: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = at;
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&side| {
            let here = rest % side;
            rest /= side;
            here
        })
        .collect();
    index.reverse();
    index
}
