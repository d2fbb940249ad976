//! How the values of a tensor are written in a file.

use std::fmt;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;

/// The type of a tensor's values in a file: of weights, latents, goldens and pictures alike. What a VAE
/// computes in is a [`Dtype`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ElementType {
    /// 64-bit IEEE 754.
    F64,
    /// 32-bit IEEE 754.
    F32,
    /// 16-bit IEEE 754.
    F16,
    /// bfloat16: the upper half of an f32.
    Bf16,
    /// Levels and other bytes.
    U8,
    /// torch's `float8_e4m3fn`: no infinity, largest value 448.
    #[serde(rename = "float8_e4m3fn")]
    Float8E4m3,
    /// torch's `float8_e5m2`: the upper byte of an f16.
    #[serde(rename = "float8_e5m2")]
    Float8E5m2,
}

impl ElementType {
    /// Bytes of one value.
    ///
    /// ```
    /// use vae_fidelity_core::element_type::ElementType;
    /// assert_eq!(ElementType::Bf16.size_bytes(), 2);
    /// ```
    pub fn size_bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 | Self::Float8E4m3 | Self::Float8E5m2 => 1,
        }
    }

    /// The type that a `.safetensors` file calls `dtype`; `None` for those that nothing here reads.
    pub fn of_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        Some(match dtype {
            safetensors::Dtype::F64 => Self::F64,
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::Bf16,
            safetensors::Dtype::U8 => Self::U8,
            safetensors::Dtype::F8_E4M3 => Self::Float8E4m3,
            safetensors::Dtype::F8_E5M2 => Self::Float8E5m2,
            _ => return None,
        })
    }

    /// The values of little-endian `bytes`, each exact; `None` for 8-bit floats, which only weights have
    /// and a scale may belong to.
    pub fn values(self, bytes: &[u8]) -> Option<Vec<f64>> {
        Some(match self {
            Self::F64 => widen(bytes, f64::from_le_bytes),
            Self::F32 => widen(bytes, |four| f64::from(f32::from_le_bytes(four))),
            Self::F16 => widen(bytes, |two| f16::from_le_bytes(two).to_f64()),
            Self::Bf16 => widen(bytes, |two| bf16::from_le_bytes(two).to_f64()),
            Self::U8 => bytes.iter().copied().map(f64::from).collect(),
            Self::Float8E4m3 | Self::Float8E5m2 => return None,
        })
    }
}

impl From<Dtype> for ElementType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
            Self::Float8E4m3 => "float8_e4m3fn",
            Self::Float8E5m2 => "float8_e5m2",
        })
    }
}

fn widen<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&chunk| value(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::ElementType;

    #[test]
    fn a_type_is_written_as_it_is_shown() {
        for (name, element_type) in [
            ("f64", ElementType::F64),
            ("f32", ElementType::F32),
            ("f16", ElementType::F16),
            ("bf16", ElementType::Bf16),
            ("u8", ElementType::U8),
            ("float8_e4m3fn", ElementType::Float8E4m3),
            ("float8_e5m2", ElementType::Float8E5m2),
        ] {
            assert_eq!(element_type.to_string(), name);
            assert_eq!(serde_json::to_value(element_type).unwrap(), name);
        }
    }

    #[test]
    fn values_are_exact_and_whole() {
        assert_eq!(ElementType::Bf16.values(&[0x80, 0x3f, 0x00, 0xc0]), Some(vec![1.0, -2.0]));
        assert_eq!(ElementType::F16.values(&[0x00, 0x3c]), Some(vec![1.0]));
        assert_eq!(ElementType::U8.values(&[0, 255]), Some(vec![0.0, 255.0]));
        assert_eq!(ElementType::Float8E4m3.values(&[0]), None);
    }
}
