//! Two tensors of one shape: differences in value, in units in the last place, and in direction.

use ndarray::ArrayViewD;
use serde::{Deserialize, Serialize};

use super::pairs::{Pairs, position};
use vae_fidelity_files::error::{Error, Result};

/// Differences that [`TensorMetrics::over`] counts, in the tensors' own unit.
const THRESHOLDS: [f64; 7] = [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// How far `actual` is from `expected`.
///
/// Differences are taken in f64 over the pairs in which both values are finite. A pair in which
/// one is not, counts as differing and as over every threshold, NaN beside NaN and infinity beside
/// infinity included; it has no size, so it is counted in `non_finite_pairs` instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TensorMetrics {
    /// Values in each tensor.
    pub values: usize,
    /// Whether all values are finite and have the same bits (0 and -0 do not).
    pub identical: bool,
    /// Largest absolute difference; `None` where no pair is finite.
    pub max_abs_diff: Option<f64>,
    /// The first pair that differs this much; `None` where no finite pair differs.
    pub worst: Option<WorstPair>,
    /// Mean absolute difference.
    pub mean_abs_diff: Option<f64>,
    /// Root of the mean squared difference.
    pub rms_diff: Option<f64>,
    /// Cosine of the angle between the two, -1 to 1; `None` where one of them is all zero.
    pub cosine: Option<f64>,
    /// Largest distance in f32 units in the last place: how many f32 values lie between, plus one.
    /// 0 and -0 are 0 apart.
    pub max_ulp: Option<u32>,
    /// Pairs whose bits differ, or which are not finite.
    pub differing: usize,
    /// How many pairs differ by more than each threshold.
    pub over: Vec<Over>,
    /// NaNs and infinities in `actual`.
    pub non_finite_actual: usize,
    /// NaNs and infinities in `expected`.
    pub non_finite_expected: usize,
    /// Pairs in which at least one value is not finite.
    pub non_finite_pairs: usize,
}

/// The pair with the largest difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WorstPair {
    /// Index along each dimension.
    pub index: Vec<usize>,
    /// The value of the tensor that is judged.
    pub actual: f32,
    /// The value of the reference.
    pub expected: f32,
}

/// How many pairs differ by more than `threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Over {
    /// An absolute difference.
    pub threshold: f64,
    /// Pairs above it, those that are not finite included.
    pub values: usize,
}

impl TensorMetrics {
    /// Compares `actual` with `expected`.
    ///
    /// # Errors
    ///
    /// Returns an error if the shapes differ.
    ///
    /// # Examples
    ///
    /// ```
    /// use ndarray::array;
    /// use vae_fidelity_core::metrics::TensorMetrics;
    /// let (a, b) = (array![1.0_f32, 2.0].into_dyn(), array![1.0_f32, 2.5].into_dyn());
    /// let metrics = TensorMetrics::of(a.view(), b.view()).unwrap();
    /// assert_eq!(metrics.max_abs_diff, Some(0.5));
    /// assert_eq!(metrics.worst.unwrap().index, [1]);
    /// ```
    pub fn of(actual: ArrayViewD<f32>, expected: ArrayViewD<f32>) -> Result<Self> {
        Self::of_f64(actual.mapv(f64::from).view(), expected.mapv(f64::from).view())
    }

    /// As [`TensorMetrics::of`], for f64: nothing is rounded but the values of [`WorstPair`] and
    /// those between which `max_ulp` counts.
    pub fn of_f64(actual: ArrayViewD<f64>, expected: ArrayViewD<f64>) -> Result<Self> {
        same_shape(&actual, &expected)?;
        let mut sums = Sums::default();
        let mut pairs = Pairs::new(THRESHOLDS);
        for (at, (&actual, &expected)) in actual.iter().zip(expected.iter()).enumerate() {
            match pairs.add(at, actual, expected) {
                Some(difference) => sums.add(difference, actual, expected),
                None => sums.differing += 1,
            }
        }
        let finite = (actual.len() - pairs.non_finite) as f64;
        let of_finite = |value: f64| Some(value).filter(|_| finite > 0.0);
        let norms = (sums.square_actual * sums.square_expected).sqrt();
        let value = |tensor: &ArrayViewD<f64>, at: usize| tensor.iter().nth(at).copied();
        let worst = pairs.largest.filter(|&(difference, _)| difference > 0.0);
        Ok(Self {
            values: actual.len(),
            identical: sums.differing == 0,
            max_abs_diff: pairs.largest.map(|(difference, _)| difference),
            worst: worst.and_then(|(_, at)| {
                Some(WorstPair {
                    index: position(at, actual.shape()),
                    actual: value(&actual, at)? as f32,
                    expected: value(&expected, at)? as f32,
                })
            }),
            mean_abs_diff: of_finite(sums.absolute / finite),
            rms_diff: of_finite((sums.squares / finite).sqrt()),
            cosine: Some(sums.product / norms).filter(|_| norms > 0.0).map(|c| c.clamp(-1.0, 1.0)),
            max_ulp: Some(sums.ulp).filter(|_| finite > 0.0),
            differing: sums.differing,
            over: THRESHOLDS
                .into_iter()
                .zip(pairs.over)
                .map(|(threshold, values)| Over { threshold, values })
                .collect(),
            non_finite_actual: actual.iter().filter(|value| !value.is_finite()).count(),
            non_finite_expected: expected.iter().filter(|value| !value.is_finite()).count(),
            non_finite_pairs: pairs.non_finite,
        })
    }
}

/// Sums over the finite pairs.
#[derive(Default)]
struct Sums {
    absolute: f64,
    squares: f64,
    square_actual: f64,
    square_expected: f64,
    product: f64,
    ulp: u32,
    /// With those that are not finite.
    differing: usize,
}

impl Sums {
    fn add(&mut self, difference: f64, actual: f64, expected: f64) {
        self.differing += usize::from(actual.to_bits() != expected.to_bits());
        self.ulp = self.ulp.max(ulp_distance(actual as f32, expected as f32));
        self.absolute += difference;
        self.squares += difference * difference;
        self.square_actual += actual * actual;
        self.square_expected += expected * expected;
        self.product += actual * expected;
    }
}

/// Steps between two f32 values; f64 beyond the range of f32 count as infinity, one step further.
fn ulp_distance(a: f32, b: f32) -> u32 {
    // Sign and magnitude to a number line on which neighbors are one apart and both zeros meet.
    let on_the_line = |value: f32| {
        let magnitude = i64::from(value.to_bits() & 0x7fff_ffff);
        if value.is_sign_negative() { -magnitude } else { magnitude }
    };
    // At most 2 * 0x7f7f_ffff, which fits.
    (on_the_line(a) - on_the_line(b)).unsigned_abs() as u32
}

fn same_shape(actual: &ArrayViewD<f64>, expected: &ArrayViewD<f64>) -> Result<()> {
    if actual.shape() == expected.shape() {
        return Ok(());
    }
    Err(Error::tensor(
        "tensors",
        format!("expected one shape, found {:?} and {:?}", actual.shape(), expected.shape()),
        "compare tensors of the same shape",
    ))
}
