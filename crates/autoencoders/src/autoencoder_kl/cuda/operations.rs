//! The sums of group norm, its scale and shift, and its activation: by the kernels, or by libtorch.
//!
//! Tensors are (N, H, W, C), contiguous.

use tch::{Device, Kind, TchError, Tensor};

use super::kernels::{self, Kernels};
use crate::autoencoder_kl::engine::Layer;
use crate::autoencoder_kl::libtorch::Attempt;
use vae_fidelity_core::config::Activation;
use vae_fidelity_files::error::Result;

/// Scores of attention that are in memory at once: half a gigabyte.
const LARGEST_SCORES: i64 = 1 << 27;

type Tried<T> = std::result::Result<T, TchError>;

/// What computes them.
#[derive(Debug)]
pub(super) struct Operations(Option<Kernels>);

/// What group norm needs to know of a tensor.
#[derive(Debug)]
pub(super) enum Sums {
    Kernels(kernels::Sums),
    /// libtorch reads the tensor when it comes to that.
    Later,
}

/// `scale * x + shift`, (N, C) each, in f32.
#[derive(Debug)]
pub(super) struct Normalize {
    pub scale: Tensor,
    pub shift: Tensor,
}

impl Sums {
    pub fn alias(&self) -> Self {
        match self {
            Self::Kernels(sums) => Self::Kernels(sums.alias()),
            Self::Later => Self::Later,
        }
    }
}

impl Normalize {
    pub fn alias(&self) -> Self {
        Self { scale: self.scale.shallow_clone(), shift: self.shift.shallow_clone() }
    }
}

impl Operations {
    /// With the kernels where `device` is a GPU that has them; the second value is why it has not.
    pub fn new(device: Device, kind: Kind) -> (Self, Option<String>) {
        match device {
            Device::Cuda(index) => match Kernels::load(index, kind) {
                Ok(kernels) => (Self(Some(kernels)), None),
                Err(error) => (Self(None), Some(error.problem().to_owned())),
            },
            _ => (Self(None), Some("kernels.cu is for CUDA".to_owned())),
        }
    }

    fn kernels(&self, of: &Tensor) -> Option<&Kernels> {
        let channels = of.size().last().map_or(0, |&channels| channels as usize);
        self.0.as_ref().filter(|_| kernels::fits(channels, of.kind()))
    }

    /// `hidden + residual + bias`, rounded once, and its sums; `bias` is (C) in f32.
    pub fn add(
        &self,
        hidden: Tensor,
        residual: Option<&Tensor>,
        bias: Option<&Tensor>,
        at: &str,
    ) -> Result<(Tensor, Sums)> {
        if residual.is_none() && bias.is_none() {
            return Ok((hidden, Sums::Later));
        }
        if let Some(kernels) = self.kernels(&hidden) {
            let (sum, sums) = kernels.add_and_sum(&hidden, residual, bias)?;
            return Ok((sum.unwrap_or(hidden), Sums::Kernels(sums)));
        }
        let added = || -> Tried<Tensor> {
            let kind = hidden.kind();
            let mut sum = hidden.f_to_kind(Kind::Float)?;
            if let Some(residual) = residual {
                sum = sum.f_add(&residual.f_to_kind(Kind::Float)?)?;
            }
            if let Some(bias) = bias {
                sum = sum.f_add(bias)?;
            }
            sum.f_to_kind(kind)
        };
        Ok((added().attempt(|| at)?, Sums::Later))
    }

    /// Group norm over `hidden` + `bias` as a scale and a shift of `hidden`; weights are (C) in f32.
    pub fn normalize(
        &self,
        hidden: &Tensor,
        sums: &Sums,
        bias: Option<&Tensor>,
        layer: Layer<Tensor>,
        (groups, eps): (usize, f64),
        at: &str,
    ) -> Result<Normalize> {
        if let Some(kernels) = self.kernels(hidden) {
            let taken;
            let sums = match sums {
                Sums::Kernels(sums) => sums,
                Sums::Later => {
                    taken = kernels.add_and_sum(hidden, None, None)?.1;
                    &taken
                }
            };
            let weights = (layer.weight, layer.bias);
            let (scale, shift) =
                kernels.scale_and_shift(sums, hidden, bias, weights, groups, eps)?;
            return Ok(Normalize { scale, shift });
        }
        let normalize = || -> Tried<Normalize> {
            let size = hidden.size();
            let (n, c) = (size[0], size[3]);
            let mut values = hidden.f_to_kind(Kind::Float)?;
            if let Some(bias) = bias {
                values = values.f_add(bias)?;
            }
            let grouped = values.f_reshape([n, -1, groups as i64, c / groups as i64])?;
            // (N, 1, G, 1)
            let (variance, mean) = grouped.f_var_mean_correction(&[1i64, 3][..], 0, true)?;
            let weight = layer.weight.f_reshape([1, 1, groups as i64, -1])?;
            // (N, 1, G, C / G)
            let scale = variance.f_add_scalar(eps)?.f_rsqrt()?.f_mul(&weight)?;
            let mean = match bias {
                Some(bias) => mean.f_sub(&bias.f_reshape([1, 1, groups as i64, -1])?)?,
                None => mean,
            };
            let shift =
                layer.bias.f_reshape([1, 1, groups as i64, -1])?.f_sub(&mean.f_mul(&scale)?)?;
            Ok(Normalize { scale: scale.f_reshape([n, c])?, shift: shift.f_reshape([n, c])? })
        };
        normalize().attempt(|| at)
    }

    /// `activation(scale * hidden + shift)`, rounded once.
    pub fn apply(
        &self,
        hidden: &Tensor,
        normalize: &Normalize,
        activation: Option<Activation>,
        at: &str,
    ) -> Result<Tensor> {
        let Normalize { scale, shift } = normalize;
        if let Some(kernels) = self.kernels(hidden) {
            return kernels.apply(hidden, (scale, shift), number_of(activation));
        }
        let applied = || -> Tried<Tensor> {
            let size = hidden.size();
            let over_pixels = |values: &Tensor| values.f_reshape([size[0], 1, 1, size[3]]);
            let values = hidden.f_to_kind(Kind::Float)?;
            let values = over_pixels(shift)?.f_addcmul(&values, &over_pixels(scale)?)?;
            let values = match activation {
                None => values,
                Some(Activation::Silu) => values.f_silu()?,
                Some(Activation::Mish) => values.f_mish()?,
                Some(Activation::Gelu) => values.f_gelu("none")?,
                Some(Activation::Relu) => values.f_relu()?,
            };
            values.f_to_kind(hidden.kind())
        };
        applied().attempt(|| at)
    }
}

impl Operations {
    /// The channels of each pixel over their length, times the root of their number and `gamma`; rounded
    /// after each of these, as diffusers does.
    pub fn rms_norm(&self, hidden: &Tensor, gamma: &Tensor, at: &str) -> Result<Tensor> {
        let normed = || -> Tried<Tensor> {
            let values = hidden.f_to_kind(Kind::Float)?;
            let length = values.f_norm_scalaropt_dim(2, [3i64], true)?.f_clamp_min(1e-12)?;
            let gamma = gamma.f_view([-1])?;
            let root = (gamma.size()[0] as f64).sqrt();
            values.f_div(&length)?.f_to_kind(hidden.kind())?.f_mul_scalar(root)?.f_mul(&gamma)
        };
        normed().attempt(|| at)
    }

    /// Each pixel of (N, H, W, C) as a 2x2 square.
    pub fn upsample_nearest_2x(&self, hidden: &Tensor, at: &str) -> Result<Tensor> {
        if let Some(kernels) = self.kernels(hidden) {
            return kernels.upsample_nearest_2x(hidden);
        }
        hidden
            .f_permute([0, 3, 1, 2])
            .and_then(|image| image.f_upsample_nearest2d_vec(None::<&[i64]>, [2.0, 2.0]))
            .and_then(|image| image.f_permute([0, 2, 3, 1])?.f_contiguous())
            .attempt(|| at)
    }

    /// Attention with one head over tokens (N, L, C). libtorch's fused kernels stop at 256 channels a head
    /// or are slow beyond, so that on a GPU it is two products with the softmax between them: scores in
    /// f32, some rows at a time.
    pub fn scaled_dot_product_attention(
        &self,
        [query, key, value]: [&Tensor; 3],
        at: &str,
    ) -> Result<Tensor> {
        let size = query.size();
        let (tokens, channels) = (size[1], size[2]);
        let kernels = self.kernels(query).filter(|_| {
            query.kind() != Kind::Float
                && tokens % 2 == 0
                && size[0] * tokens <= i64::from(i32::MAX)
        });
        let Some(kernels) = kernels else {
            let head = |tensor: &Tensor| tensor.f_unsqueeze(1);
            let attended = || {
                Tensor::f_scaled_dot_product_attention(
                    &head(query)?,
                    &head(key)?,
                    &head(value)?,
                    None::<Tensor>,
                    0.0,
                    false,
                    None,
                    false,
                )?
                .f_squeeze_dim(1)
            };
            return attended().attempt(|| at);
        };
        let scale = 1.0 / (channels as f64).sqrt();
        let rows = (LARGEST_SCORES / (size[0] * tokens)).clamp(1, tokens);
        let keys = key.f_transpose(1, 2).attempt(|| at)?;
        let mut panels = Vec::new();
        for from in (0..tokens).step_by(rows as usize) {
            let panel = query.f_narrow(1, from, rows.min(tokens - from)).attempt(|| at)?;
            let scores = panel.f_bmm_dtype(&keys, Kind::Float).attempt(|| at)?;
            let weights = kernels.softmax(&scores, scale as f32)?;
            drop(scores);
            panels.push(weights.f_bmm(value).attempt(|| at)?);
        }
        match panels.len() {
            1 => Ok(panels.remove(0)),
            _ => Tensor::f_cat(&panels, 1).attempt(|| at),
        }
    }
}

/// As kernels.cu counts them.
fn number_of(activation: Option<Activation>) -> i32 {
    match activation {
        None => 0,
        Some(Activation::Silu) => 1,
        Some(Activation::Mish) => 2,
        Some(Activation::Gelu) => 3,
        Some(Activation::Relu) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libtorch computes where there are no kernels; tests/cuda.rs holds the kernels to the same.
    #[test]
    fn norm_and_activation_are_libtorchs_with_bias_and_residual_inside() {
        tch::manual_seed(1);
        let (operations, without) = Operations::new(Device::Cpu, Kind::Float);
        assert!(without.is_some());
        for (kind, most) in [(Kind::Float, 2e-5), (Kind::Half, 4e-3), (Kind::BFloat16, 3e-2)] {
            let normal = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            // A mean far from zero, as decoders have it; squares of 300 are beyond f16.
            let hidden = (normal(&[2, 5, 7, 12]) * 30 + 300).to_kind(kind);
            let residual = normal(&[2, 5, 7, 12]).to_kind(kind);
            let [bias, weight, beta] = [12, 12, 12].map(|channels| normal(&[channels]));
            let off = |found: &Tensor, expected: &Tensor| {
                assert_eq!((found.kind(), found.size()), (kind, expected.size()));
                f64::try_from((found.to_kind(Kind::Float) - expected).abs().max()).unwrap()
            };

            // In f32 throughout, what each of the two has to come to.
            let exact = hidden.to_kind(Kind::Float) + &bias;
            let normed = exact
                .permute([0, 3, 1, 2])
                .group_norm(4, Some(&weight), Some(&beta), 1e-6, true)
                .permute([0, 2, 3, 1]);
            let layer = Layer { weight: &weight, bias: &beta };
            let normalize = operations
                .normalize(&hidden, &Sums::Later, Some(&bias), layer, (4, 1e-6), "norm")
                .unwrap();
            let found = operations.apply(&hidden, &normalize, None, "norm").unwrap();
            assert!(off(&found, &normed) <= most * 4.0, "{kind:?}: {}", off(&found, &normed));
            let silu = operations.apply(&hidden, &normalize, Some(Activation::Silu), "silu");
            assert!(off(&silu.unwrap(), &normed.silu()) <= most * 4.0, "{kind:?}");

            let sum = operations.add(hidden, Some(&residual), Some(&bias), "sum").unwrap().0;
            let expected = exact + residual.to_kind(Kind::Float);
            // Rounded once: half a step of values up to 512.
            let step = match kind {
                Kind::Float => 2f64.powi(-14),
                Kind::Half => 0.125,
                _ => 1.0,
            };
            assert!(off(&sum, &expected) <= step, "{kind:?}: {}", off(&sum, &expected));
        }
    }

    #[test]
    fn nan_stays_nan() {
        let (operations, _) = Operations::new(Device::Cpu, Kind::Float);
        let hidden = Tensor::full([1, 2, 2, 8], f64::NAN, (Kind::Float, Device::Cpu));
        let ones = Tensor::ones([8], (Kind::Float, Device::Cpu));
        let layer = Layer { weight: &ones, bias: &ones };
        let normalize =
            operations.normalize(&hidden, &Sums::Later, None, layer, (4, 1e-6), "norm").unwrap();
        let found = operations.apply(&hidden, &normalize, None, "norm").unwrap();
        assert!(bool::try_from(found.isnan().all()).unwrap());
    }
}
