//! diffusers `models/autoencoders/vae.py`, `Decoder`.

use vae_fidelity_core::config::{Activation, AutoencoderKLConfig};
use vae_fidelity_files::error::Result;

use super::blocks::{UNetMidBlock2D, UpDecoderBlock2D};
use super::engine::Engine;
use super::layers::{Conv2d, ForwardHook, GroupNorm, Module, Node, Weights, no_hook};

/// `Decoder`: latents, after `post_quant_conv`, to a sample.
#[derive(Debug)]
pub(super) struct Decoder<E: Engine> {
    module: Module,
    conv_in: Conv2d<E>,
    mid_block: UNetMidBlock2D<E>,
    up_blocks: Vec<UpDecoderBlock2D<E>>,
    conv_norm_out: GroupNorm<E>,
    conv_out: Conv2d<E>,
}

impl<E: Engine> Decoder<E> {
    pub fn load(weights: &Weights<E>, config: &AutoencoderKLConfig) -> Result<Self> {
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
    pub fn forward(
        &self,
        engine: &E,
        latents: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let mut xs = self.conv_in.forward(engine, latents, hook)?;
        xs = self.mid_block.forward(engine, xs, hook)?;
        for block in &self.up_blocks {
            xs = block.forward(engine, xs, hook)?;
        }
        xs = self.conv_norm_out.forward(engine, &xs, hook)?;
        // `conv_act` is SiLU whatever `act_fn` says.
        xs = engine.activation(xs, Activation::Silu)?;
        xs = self.conv_out.forward(engine, &xs, hook)?;
        hook(&self.module, &xs)?;
        Ok(xs)
    }
}

impl<E: Engine> Node<E> for Decoder<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        let mut children: Vec<&dyn Node<E>> = vec![&self.conv_in];
        children.push(&self.mid_block);
        children.extend(self.up_blocks.iter().map(|block| block as &dyn Node<E>));
        children.extend([&self.conv_norm_out as &dyn Node<E>, &self.conv_out]);
        children
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}
