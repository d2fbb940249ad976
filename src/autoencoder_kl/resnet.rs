//! diffusers `models/resnet.py`, `models/downsampling.py` and `models/upsampling.py`.

use tch::Tensor;

use crate::config::{Activation, AutoencoderKLConfig};
use crate::error::Result;

use super::layers::{Conv2d, GroupNorm, Module, Watch, Weights};
use super::libtorch::Attempt;

/// `ResnetBlock2D` without a time embedding, `output_scale_factor` 1.
#[derive(Debug)]
pub(super) struct ResnetBlock2D {
    module: Module,
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    nonlinearity: Activation,
}

impl ResnetBlock2D {
    pub fn load(
        weights: &Weights,
        config: &AutoencoderKLConfig,
        in_channels: usize,
        out_channels: usize,
    ) -> Result<Self> {
        let groups = config.norm_num_groups;
        let conv_shortcut = (in_channels != out_channels)
            .then(|| Conv2d::load(&weights.at("conv_shortcut"), 1, 0))
            .transpose()?;
        Ok(Self {
            module: weights.module("ResnetBlock2D"),
            norm1: GroupNorm::load(&weights.at("norm1"), groups)?,
            conv1: Conv2d::load(&weights.at("conv1"), 1, 1)?,
            norm2: GroupNorm::load(&weights.at("norm2"), groups)?,
            conv2: Conv2d::load(&weights.at("conv2"), 1, 1)?,
            conv_shortcut,
            nonlinearity: config.act_fn,
        })
    }

    /// (N, in, H, W) to (N, out, H, W)
    pub fn forward(&self, input: &Tensor, watch: Watch) -> Result<Tensor> {
        let mut hidden = self.norm1.forward(input, watch)?;
        hidden = self.nonlinearity.forward(&hidden)?;
        hidden = self.conv1.forward(&hidden, watch)?;
        hidden = self.norm2.forward(&hidden, watch)?;
        hidden = self.nonlinearity.forward(&hidden)?;
        hidden = self.conv2.forward(&hidden, watch)?;
        let output = match &self.conv_shortcut {
            Some(conv) => conv.forward(input, watch)?.f_add(&hidden),
            None => input.f_add(&hidden),
        }
        .attempt(|| &self.module.name)?;
        watch(&self.module, &output)?;
        Ok(output)
    }
}

/// `Downsample2D` with `padding=0`: a zero column on the right and a zero row at the bottom, then
/// a 3x3 convolution of stride 2.
#[derive(Debug)]
pub(super) struct Downsample2D {
    module: Module,
    conv: Conv2d,
}

impl Downsample2D {
    pub fn load(weights: &Weights) -> Result<Self> {
        let conv = Conv2d::load(&weights.at("conv"), 2, 0)?;
        Ok(Self { module: weights.module("Downsample2D"), conv })
    }

    /// (N, C, H, W) to (N, C, H / 2, W / 2)
    pub fn forward(&self, xs: &Tensor, watch: Watch) -> Result<Tensor> {
        let padded = xs.f_pad([0, 1, 0, 1], "constant", Some(0.0)).attempt(|| &self.module.name)?;
        let ys = self.conv.forward(&padded, watch)?;
        watch(&self.module, &ys)?;
        Ok(ys)
    }
}

/// `Upsample2D`: each value becomes a 2x2 square, then a 3x3 convolution.
#[derive(Debug)]
pub(super) struct Upsample2D {
    module: Module,
    conv: Conv2d,
}

impl Upsample2D {
    pub fn load(weights: &Weights) -> Result<Self> {
        let conv = Conv2d::load(&weights.at("conv"), 1, 1)?;
        Ok(Self { module: weights.module("Upsample2D"), conv })
    }

    /// (N, C, H, W) to (N, C, 2 H, 2 W)
    pub fn forward(&self, xs: &Tensor, watch: Watch) -> Result<Tensor> {
        let doubled = xs
            .f_upsample_nearest2d_vec(None::<&[i64]>, [2.0, 2.0])
            .attempt(|| &self.module.name)?;
        let ys = self.conv.forward(&doubled, watch)?;
        watch(&self.module, &ys)?;
        Ok(ys)
    }
}
