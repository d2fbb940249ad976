//! diffusers `models/autoencoders/vae.py`, `Decoder`.

use tch::Tensor;

use crate::config::{Activation, AutoencoderKLConfig};
use crate::error::Result;

use super::blocks::{UNetMidBlock2D, UpDecoderBlock2D};
use super::layers::{Conv2d, GroupNorm, Module, Watch, Weights};

/// `Decoder`: latents, after `post_quant_conv`, to a sample.
#[derive(Debug)]
pub(super) struct Decoder {
    module: Module,
    conv_in: Conv2d,
    mid_block: UNetMidBlock2D,
    up_blocks: Vec<UpDecoderBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub fn load(weights: &Weights, config: &AutoencoderKLConfig) -> Result<Self> {
        let up_blocks = (0..config.block_out_channels.len())
            .map(|i| UpDecoderBlock2D::load(&weights.at(format!("up_blocks.{i}")), config, i))
            .collect::<Result<_>>()?;
        Ok(Self {
            module: weights.module("Decoder"),
            conv_in: Conv2d::load(&weights.at("conv_in"), 1, 1)?,
            mid_block: UNetMidBlock2D::load(&weights.at("mid_block"), config)?,
            up_blocks,
            conv_norm_out: GroupNorm::load(&weights.at("conv_norm_out"), config.norm_num_groups)?,
            conv_out: Conv2d::load(&weights.at("conv_out"), 1, 1)?,
        })
    }

    /// (N, C, h, w) to (N, 3, h * f, w * f)
    pub fn forward(&self, latents: &Tensor, watch: Watch) -> Result<Tensor> {
        let mut xs = self.conv_in.forward(latents, watch)?;
        xs = self.mid_block.forward(&xs, watch)?;
        for block in &self.up_blocks {
            xs = block.forward(xs, watch)?;
        }
        xs = self.conv_norm_out.forward(&xs, watch)?;
        // `conv_act` is SiLU whatever `act_fn` says.
        xs = Activation::Silu.forward(&xs)?;
        xs = self.conv_out.forward(&xs, watch)?;
        watch(&self.module, &xs)?;
        Ok(xs)
    }
}
