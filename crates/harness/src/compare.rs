//! The one formula, and what a failed comparison has to say for itself.

use serde::{Deserialize, Serialize, Serializer};

use super::tensor::{Expected, Golden};
use vae_fidelity_core::metrics::{Pairs, position};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// How far a value may lie from the golden: `|actual - expected| <= atol + rtol * |expected|`.
///
/// `atol` is in units of the tensor itself, `rtol` is a plain ratio. Neither is a quality
/// threshold: they cover what other kernels round differently, are measured, and are no bigger
/// than that. Do not raise one because a check fails on the machine that wrote the goldens: there
/// the criterion is bit equality.
///
/// NaN and infinity are never within tolerance, on either side, and a tolerance cannot hold them.
///
/// ```
/// use vae_fidelity_harness::Tolerance;
/// let tolerance = Tolerance::new(1e-6, 1e-4).unwrap();
/// assert!(tolerance.allows(1.00005, 1.0));
/// assert!(!tolerance.allows(1.0002, 1.0));
/// assert!(!tolerance.allows(f32::NAN, f32::NAN));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Bounds")]
pub struct Tolerance {
    atol: f64,
    rtol: f64,
}

/// What a file says; checked before it becomes a [`Tolerance`].
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Bounds {
    atol: f64,
    rtol: f64,
}

impl TryFrom<Bounds> for Tolerance {
    type Error = Error;

    fn try_from(bounds: Bounds) -> Result<Self> {
        Self::new(bounds.atol, bounds.rtol)
    }
}

impl Tolerance {
    /// No difference at all (`-0.0` equals `0.0`).
    pub const EXACT: Self = Self { atol: 0.0, rtol: 0.0 };

    /// A tolerance of `atol + rtol * |expected|`.
    ///
    /// # Errors
    ///
    /// Returns an error unless both are finite and not negative: an infinite tolerance would pass
    /// everything.
    pub fn new(atol: f64, rtol: f64) -> Result<Self> {
        let bad = |value: f64| !value.is_finite() || value < 0.0;
        if bad(atol) || bad(rtol) {
            return Err(Error::new(
                ErrorKind::Golden,
                "tolerance",
                format!("expected finite numbers from 0, found atol {atol}, rtol {rtol}"),
                "take the values from a measured sweep",
            ));
        }
        Ok(Self { atol, rtol })
    }

    /// The absolute part.
    pub fn atol(self) -> f64 {
        self.atol
    }

    /// The part relative to the expected value.
    pub fn rtol(self) -> f64 {
        self.rtol
    }

    /// Whether `actual` is near enough; always false when either is NaN or infinite.
    pub fn allows(self, actual: f32, expected: f32) -> bool {
        // In f64, where the difference of two f32 is exact.
        self.allows_f64(f64::from(actual), f64::from(expected))
    }

    /// As [`Tolerance::allows`], for f64.
    pub fn allows_f64(self, actual: f64, expected: f64) -> bool {
        actual.is_finite()
            && expected.is_finite()
            && (actual - expected).abs() <= self.atol + self.rtol * expected.abs()
    }

    /// The same with an absolute part in units of `unit`, such as a layer's standard deviation:
    /// activations of one model differ in scale by orders of magnitude. Without a unit that is a
    /// number, only the relative part is left.
    pub(super) fn in_units_of(self, unit: Option<f64>) -> Self {
        let atol = self.atol * unit.unwrap_or(0.0);
        Self { atol: if atol.is_finite() { atol } else { 0.0 }, ..self }
    }

    /// By how much the bound is passed; infinite for NaN and infinity.
    fn excess(self, actual: f32, expected: f32) -> f64 {
        let (actual, expected) = (f64::from(actual), f64::from(expected));
        let excess = (actual - expected).abs() - self.atol - self.rtol * expected.abs();
        if excess.is_nan() { f64::INFINITY } else { excess }
    }
}

/// The criterion that a tensor is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Every bit of every value: what involves no rounding that machines differ in.
    BitIdentical,
    /// The formula, value by value.
    Within {
        /// How far a value may lie from the golden.
        #[serde(flatten)]
        tolerance: Tolerance,
        /// The share of values that may differ at all.
        #[serde(skip_serializing_if = "Option::is_none")]
        share: Option<f64>,
    },
}

impl Criterion {
    pub(super) fn tolerance(self) -> Tolerance {
        match self {
            Self::BitIdentical => Tolerance::EXACT,
            Self::Within { tolerance, .. } => tolerance,
        }
    }
}

/// Differences that failures are counted at, so that a tolerance can be chosen from what is
/// measured.
pub const THRESHOLDS: [f64; 9] = [0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// One tensor beside its golden.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Comparison {
    /// Shape of the golden.
    pub expected_shape: Vec<usize>,
    /// Shape of what the implementation gave.
    pub actual_shape: Vec<usize>,
    /// Values in the golden.
    pub values: usize,
    /// Values that were compared one by one: all, a sample where the golden keeps a hash and a
    /// sample, or none where shapes differ.
    pub judged: usize,
    /// Every bit equal, `-0.0` told from `0.0`.
    pub bit_identical: bool,
    /// Judged values outside the tolerance, and NaNs and infinities anywhere in the tensor.
    pub failing: usize,
    /// NaNs and infinities anywhere in the tensor.
    pub non_finite: usize,
    /// Largest finite difference; `None` where nothing could be compared.
    pub max_abs_diff: Option<f64>,
    /// The value furthest outside its bound, or nearest to it where all are inside; `None` where
    /// every judged value is equal.
    pub worst: Option<Worst>,
    /// How many judged values differ by more than each of [`THRESHOLDS`].
    pub over: Vec<Over>,
    /// The criterion it was judged by.
    #[serde(rename = "bar")]
    pub criterion: Criterion,
}

/// The value that differs most.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Worst {
    /// Position in the tensor.
    pub index: Vec<usize>,
    /// What the implementation gave.
    #[serde(serialize_with = "number_or_name")]
    #[cfg_attr(feature = "schema", schemars(with = "NumberOrName"))]
    pub actual: f32,
    /// What the golden holds.
    #[serde(serialize_with = "number_or_name")]
    #[cfg_attr(feature = "schema", schemars(with = "NumberOrName"))]
    pub expected: f32,
}

/// A row of the table of differences.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Over {
    /// The absolute difference.
    pub threshold: f64,
    /// Values that differ by more; NaN and infinity always do.
    pub count: usize,
}

/// A number, or the name of what is none: `NaN`, `inf` or `-inf`.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NumberOrName {
    Number(f32),
    Name(String),
}

/// JSON has no NaN; `null` would not say which it was.
fn number_or_name<S: Serializer>(
    value: &f32,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f32(*value) } else { serializer.collect_str(value) }
}

impl Comparison {
    /// Compares `actual`, in C order, with a golden: shape first, then values.
    ///
    /// # Errors
    ///
    /// Returns an error if the golden contradicts itself (same hash, other values).
    pub fn new(
        golden: &Golden,
        actual_shape: &[usize],
        actual: &[f32],
        criterion: Criterion,
    ) -> Result<Self> {
        let mut comparison = Self {
            expected_shape: golden.shape().to_vec(),
            actual_shape: actual_shape.to_vec(),
            values: golden.shape().iter().product(),
            judged: 0,
            bit_identical: false,
            failing: 0,
            non_finite: actual.iter().filter(|value| !value.is_finite()).count(),
            max_abs_diff: None,
            worst: None,
            over: Vec::new(),
            criterion,
        };
        if golden.shape() != actual_shape || comparison.values != actual.len() {
            return Ok(comparison);
        }
        match golden.expected() {
            Expected::Values(expected) => {
                let pairs = actual.iter().copied().zip(expected.iter().copied()).enumerate();
                comparison.judge(pairs);
                comparison.bit_identical =
                    actual.iter().map(|v| v.to_bits()).eq(expected.iter().map(|v| v.to_bits()));
            }
            Expected::Hashed { .. } => {
                let sampled = golden.samples();
                comparison.judge(sampled.iter().map(|&(at, value)| (at, (actual[at], value))));
                comparison.bit_identical = golden.has_hash_of(actual);
                let same = |&(at, value): &(usize, f32)| actual[at].to_bits() == value.to_bits();
                if comparison.bit_identical && !sampled.iter().all(same) {
                    return Err(Error::new(
                        ErrorKind::Golden,
                        golden.name(),
                        "its samples are not those of the tensor that its SHA-256 names",
                        "take the folder golden anew from this crate's sources: git checkout golden",
                    ));
                }
                let seen = sampled.iter().filter(|&&(at, _)| !actual[at].is_finite()).count();
                comparison.failing += comparison.non_finite - seen.min(comparison.non_finite);
            }
        }
        Ok(comparison)
    }

    /// Equal shapes, no NaN or infinity, and what the criterion asks.
    pub fn passes(&self) -> bool {
        self.expected_shape == self.actual_shape
            && self.judged > 0
            && self.non_finite == 0
            && self.failing == 0
            && match self.criterion {
                Criterion::BitIdentical => self.bit_identical,
                Criterion::Within { share, .. } => share.is_none_or(|share| self.share() <= share),
            }
    }

    /// The share of judged values that differ at all.
    pub fn share(&self) -> f64 {
        let differing = self.over.first().map_or(self.judged, |row| row.count);
        differing as f64 / self.judged as f64
    }

    fn judge(&mut self, pairs: impl Iterator<Item = (usize, (f32, f32))>) {
        let tolerance = self.criterion.tolerance();
        let mut counted = Pairs::new(THRESHOLDS);
        let mut worst: Option<(f64, usize, f32, f32)> = None;
        for (at, (actual, expected)) in pairs {
            let difference = counted.add(at, f64::from(actual), f64::from(expected));
            self.failing += usize::from(!tolerance.allows(actual, expected));
            let excess = tolerance.excess(actual, expected);
            if difference != Some(0.0) && worst.is_none_or(|(most, ..)| excess > most) {
                worst = Some((excess, at, actual, expected));
            }
        }
        self.judged = counted.count;
        self.max_abs_diff = counted.largest.map(|(largest, _)| largest);
        self.worst = worst.map(|(_, at, actual, expected)| Worst {
            index: position(at, &self.expected_shape),
            actual,
            expected,
        });
        self.over = THRESHOLDS
            .into_iter()
            .zip(counted.over)
            .map(|(threshold, count)| Over { threshold, count })
            .collect();
    }
}
