//! The output of a module: statistics and a fixed sample of its values, by diffusers' name.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::beside::beside;
use crate::recipe::{name_hash, scrambled};

/// How many values of a tensor a trace keeps.
pub const SAMPLES: usize = 32;

/// The half of a VAE that was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Sample to moments.
    Encode,
    /// Unscaled latents to decoded sample.
    Decode,
}

/// The outputs of a run, in the order in which modules finished.
pub type Trace = Vec<Activation>;

/// The output of one module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Activation {
    /// diffusers' module name, for example `encoder.down_blocks.0.resnets.0.norm1`.
    pub module: String,
    /// diffusers' class of the module, for example `GroupNorm`.
    pub kind: String,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// SHA-256 of all values as little-endian f32 in C order, in hexadecimal, by which equal bits are
    /// known; `None` in traces that do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Mean of the finite values, summed in f64; `None` if there are none.
    pub mean: Option<f64>,
    /// Population standard deviation of the finite values.
    pub std: Option<f64>,
    /// Smallest finite value.
    pub min: Option<f32>,
    /// Largest finite value.
    pub max: Option<f32>,
    /// NaNs and infinities.
    pub non_finite: usize,
    /// Values at [`sample_indices`]; `None` stands for NaN or infinity.
    pub samples: Vec<Option<f32>>,
}

impl Activation {
    /// Statistics and samples of `values`, the output of `module` in C order.
    pub fn new(module: &str, kind: &str, shape: &[usize], values: &[f32]) -> Self {
        // Both read all values, and either takes as long as the other.
        let (sha256, statistics) = beside(|| sha256_of(values), || Statistics::of(values));
        Self {
            module: module.to_owned(),
            kind: kind.to_owned(),
            shape: shape.to_vec(),
            sha256: Some(sha256),
            mean: statistics.mean,
            std: statistics.std,
            min: statistics.min,
            max: statistics.max,
            non_finite: statistics.non_finite,
            samples: sample_indices(values.len(), SAMPLES)
                .map(|index| Some(values[index]).filter(|value| value.is_finite()))
                .collect(),
        }
    }
}

/// SHA-256 of `values` as little-endian f32, in hexadecimal.
pub fn sha256_of(values: &[f32]) -> String {
    let mut hash = Sha256::new();
    #[cfg(target_endian = "little")]
    hash.update(bytemuck::cast_slice::<f32, u8>(values));
    #[cfg(target_endian = "big")]
    for value in values {
        hash.update(value.to_le_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The flat indices at which a tensor of `len` values is sampled: the recipe's hash of `"sample"`,
/// modulo `len`. Scattered, because a fixed stride would stay in one column of a picture.
pub fn sample_indices(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let name = name_hash("sample");
    let count = if len == 0 { 0 } else { count };
    (0..count as u64).map(move |k| (scrambled(name, k) % len as u64) as usize)
}

/// Mean, spread and extremes of the finite values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Statistics {
    /// Mean of the finite values, summed in f64.
    pub mean: Option<f64>,
    /// Population standard deviation of the finite values.
    pub std: Option<f64>,
    /// Smallest finite value.
    pub min: Option<f32>,
    /// Largest finite value.
    pub max: Option<f32>,
    /// NaNs and infinities.
    pub non_finite: usize,
}

impl Statistics {
    /// Statistics of `values`; all but `non_finite` are `None` where nothing is finite.
    ///
    /// ```
    /// let statistics = vae_fidelity_core::trace::Statistics::of(&[1.0, 3.0, f32::NAN]);
    /// assert_eq!((statistics.mean, statistics.std), (Some(2.0), Some(1.0)));
    /// assert_eq!(statistics.non_finite, 1);
    /// ```
    pub fn of<'a>(values: impl IntoIterator<Item = &'a f32, IntoIter: Clone>) -> Self {
        let values = values.into_iter();
        let (mut finite, mut non_finite) = (0usize, 0usize);
        let (mut sum, mut min, mut max) = (0f64, f32::INFINITY, f32::NEG_INFINITY);
        for value in values.clone() {
            if value.is_finite() {
                finite += 1;
                sum += f64::from(*value);
                min = min.min(*value);
                max = max.max(*value);
            } else {
                non_finite += 1;
            }
        }
        if finite == 0 {
            return Self { mean: None, std: None, min: None, max: None, non_finite };
        }
        let mean = sum / finite as f64;
        let squares: f64 = values
            .filter(|value| value.is_finite())
            .map(|value| (f64::from(*value) - mean).powi(2))
            .sum();
        Self {
            mean: Some(mean),
            std: Some((squares / finite as f64).sqrt()),
            min: Some(min),
            max: Some(max),
            non_finite,
        }
    }
}
