//! The arithmetic a VAE runs in, and rounding to it while values travel as `f32`.

use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The dtype a VAE computes in (torch's `float32`, `float16`, `bfloat16`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE 754.
    F32,
    /// 16-bit IEEE 754: largest finite value 65504.
    F16,
    /// bfloat16: the exponent of f32, eight bits of precision.
    Bf16,
}

impl Dtype {
    /// `value` rounded to this dtype (to nearest, ties to even), as an `f32`.
    ///
    /// ```
    /// use vae_fidelity_core::Dtype;
    /// assert_eq!(Dtype::F16.round(0.1), 0.099975586);
    /// assert_eq!(Dtype::F32.round(0.1), 0.1);
    /// ```
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// The unit in the last place of 1. That of any other value is at most this many times it, and
    /// more than half as many.
    ///
    /// ```
    /// use vae_fidelity_core::Dtype;
    /// assert_eq!(Dtype::Bf16.epsilon(), 0.0078125);
    /// assert_eq!(Dtype::F16.round(1.0 + Dtype::F16.epsilon() as f32), 1.0009766);
    /// ```
    pub fn epsilon(self) -> f64 {
        match self {
            Self::F32 => f32::EPSILON.into(),
            Self::F16 => f16::EPSILON.into(),
            Self::Bf16 => bf16::EPSILON.into(),
        }
    }

    /// [`Self::round`] of all of `values`, several at once where the processor can.
    pub fn round_all(self, values: &mut [f32]) {
        /// Values that lie in the cache meanwhile.
        const PART: usize = 1024;
        match self {
            Self::F32 => {}
            Self::F16 => {
                let mut rounded = [f16::ZERO; PART];
                for part in values.chunks_mut(PART) {
                    let rounded = &mut rounded[..part.len()];
                    rounded.convert_from_f32_slice(part);
                    rounded.convert_to_f32_slice(part);
                }
            }
            Self::Bf16 => values.iter_mut().for_each(|value| *value = self.round(*value)),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversions of several values have instructions of their own.
    #[test]
    fn all_values_are_rounded_as_each_is() {
        let mut values: Vec<f32> = (0..40_000u32)
            .map(|at| f32::from_bits(at.wrapping_mul(0x9e37_79b9)))
            .chain([65504.0, 65519.9, 65520.0, -65520.0, 1e-8, 6e-8, f32::INFINITY, -0.0, 0.1])
            .collect();
        values.retain(|value| !value.is_nan());
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let mut rounded = values.clone();
            dtype.round_all(&mut rounded);
            for (value, rounded) in values.iter().zip(&rounded) {
                assert_eq!(dtype.round(*value).to_bits(), rounded.to_bits(), "{dtype}: {value}");
            }
            let mut nan = [f32::NAN; 17];
            dtype.round_all(&mut nan);
            assert!(nan.iter().all(|value| value.is_nan()), "{dtype}");
        }
    }
}
