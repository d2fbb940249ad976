//! diffusers `models/autoencoders/vae.py`, `Encoder`.

use vae_fidelity_core::config::{Activation, AutoencoderKLConfig};
use vae_fidelity_files::error::Result;

use super::blocks::{DownEncoderBlock2D, UNetMidBlock2D};
use super::engine::Engine;
use super::layers::{Conv2d, ForwardHook, GroupNorm, Module, Node, Weights, no_hook};

/// `Encoder`: sample to moments, before `quant_conv`.
#[derive(Debug)]
pub(super) struct Encoder<E: Engine> {
    module: Module,
    conv_in: Conv2d<E>,
    down_blocks: Vec<DownEncoderBlock2D<E>>,
    mid_block: UNetMidBlock2D<E>,
    conv_norm_out: GroupNorm<E>,
    conv_out: Conv2d<E>,
}

impl<E: Engine> Encoder<E> {
    pub fn load(weights: &Weights<E>, config: &AutoencoderKLConfig) -> Result<Self> {
        let down_blocks = (0..config.block_out_channels.len())
            .map(|i| DownEncoderBlock2D::load(&weights.at(format!("down_blocks.{i}")), config, i))
            .collect::<Result<_>>()?;
        Ok(Self {
            module: weights.module("Encoder"),
            conv_in: Conv2d::load(&weights.at("conv_in"), 1, 1)?,
            down_blocks,
            mid_block: UNetMidBlock2D::load(&weights.at("mid_block"), config)?,
            conv_norm_out: GroupNorm::load(&weights.at("conv_norm_out"), config.norm_num_groups)?,
            conv_out: Conv2d::load(&weights.at("conv_out"), 1, 1)?,
        })
    }

    /// (N, 3, H, W) to (N, 2C, H / f, W / f)
    pub fn forward(
        &self,
        engine: &E,
        sample: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let mut xs = self.conv_in.forward(engine, sample, hook)?;
        for block in &self.down_blocks {
            xs = block.forward(engine, xs, hook)?;
        }
        xs = self.mid_block.forward(engine, xs, hook)?;
        xs = self.conv_norm_out.forward(engine, &xs, hook)?;
        // `conv_act` is SiLU whatever `act_fn` says.
        xs = engine.activation(xs, Activation::Silu)?;
        xs = self.conv_out.forward(engine, &xs, hook)?;
        hook(&self.module, &xs)?;
        Ok(xs)
    }
}

impl<E: Engine> Node<E> for Encoder<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        let mut children: Vec<&dyn Node<E>> = vec![&self.conv_in];
        children.extend(self.down_blocks.iter().map(|block| block as &dyn Node<E>));
        children.push(&self.mid_block);
        children.extend([&self.conv_norm_out as &dyn Node<E>, &self.conv_out]);
        children
    }

    fn least_side(&self) -> usize {
        1 << (self.down_blocks.len() - 1)
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}
