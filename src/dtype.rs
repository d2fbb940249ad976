//! The arithmetic a VAE runs in, and rounding to it while values travel as `f32`.

use std::fmt;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The dtype a VAE computes in (torch's `float32`, `float16`, `bfloat16`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// use vae_fidelity::Dtype;
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
