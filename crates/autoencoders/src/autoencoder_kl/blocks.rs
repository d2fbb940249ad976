//! diffusers `models/unets/unet_2d_blocks.py`: the blocks that `Encoder` and `Decoder` stack.

use vae_fidelity_core::config::AutoencoderKLConfig;
use vae_fidelity_files::error::Result;

use super::attention::Attention;
use super::engine::Engine;
use super::layers::{ForwardHook, Module, Node, Weights, no_hook};
use super::resnet::{Downsample2D, ResnetBlock2D, Upsample2D};

/// `DownEncoderBlock2D`; the last level has no downsampler.
#[derive(Debug)]
pub(super) struct DownEncoderBlock2D<E: Engine> {
    module: Module,
    resnets: Vec<ResnetBlock2D<E>>,
    downsamplers: Vec<Downsample2D<E>>,
}

impl<E: Engine> DownEncoderBlock2D<E> {
    pub fn load(weights: &Weights<E>, config: &AutoencoderKLConfig, level: usize) -> Result<Self> {
        let widths = &config.block_out_channels;
        let before = widths[level.saturating_sub(1)];
        let resnets =
            load_resnets(weights, config, before, widths[level], config.layers_per_block)?;
        let downsamplers = if level + 1 < widths.len() {
            vec![Downsample2D::load(&weights.at("downsamplers.0"))?]
        } else {
            vec![]
        };
        Ok(Self { module: weights.module("DownEncoderBlock2D"), resnets, downsamplers })
    }

    /// (N, in, H, W) to (N, out, H / 2, W / 2), or the same size without a downsampler
    pub fn forward(
        &self,
        engine: &E,
        mut xs: E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        for resnet in &self.resnets {
            xs = resnet.forward(engine, xs, hook)?;
        }
        for downsampler in &self.downsamplers {
            xs = downsampler.forward(engine, &xs, hook)?;
        }
        hook(&self.module, &xs)?;
        Ok(xs)
    }
}

impl<E: Engine> Node<E> for DownEncoderBlock2D<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        let inside = self.resnets.iter().map(|resnet| resnet as &dyn Node<E>);
        inside.chain(self.downsamplers.iter().map(|sampler| sampler as &dyn Node<E>)).collect()
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, xs, &mut no_hook)
    }
}

/// `UpDecoderBlock2D`; the last level has no upsampler.
#[derive(Debug)]
pub(super) struct UpDecoderBlock2D<E: Engine> {
    module: Module,
    resnets: Vec<ResnetBlock2D<E>>,
    upsamplers: Vec<Upsample2D<E>>,
}

impl<E: Engine> UpDecoderBlock2D<E> {
    /// `level` counts from the latents outwards.
    pub fn load(weights: &Weights<E>, config: &AutoencoderKLConfig, level: usize) -> Result<Self> {
        let widths: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let before = widths[level.saturating_sub(1)];
        let layers = config.layers_per_block + 1;
        let resnets = load_resnets(weights, config, before, widths[level], layers)?;
        let upsamplers = if level + 1 < widths.len() {
            vec![Upsample2D::load(&weights.at("upsamplers.0"))?]
        } else {
            vec![]
        };
        Ok(Self { module: weights.module("UpDecoderBlock2D"), resnets, upsamplers })
    }

    /// (N, in, H, W) to (N, out, 2 H, 2 W), or the same size without an upsampler
    pub fn forward(
        &self,
        engine: &E,
        mut xs: E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        for resnet in &self.resnets {
            xs = resnet.forward(engine, xs, hook)?;
        }
        for upsampler in &self.upsamplers {
            xs = upsampler.forward(engine, &xs, hook)?;
        }
        hook(&self.module, &xs)?;
        Ok(xs)
    }
}

impl<E: Engine> Node<E> for UpDecoderBlock2D<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        let inside = self.resnets.iter().map(|resnet| resnet as &dyn Node<E>);
        inside.chain(self.upsamplers.iter().map(|sampler| sampler as &dyn Node<E>)).collect()
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, xs, &mut no_hook)
    }
}

/// `UNetMidBlock2D`: resnet, attention where the config has it, resnet.
#[derive(Debug)]
pub(super) struct UNetMidBlock2D<E: Engine> {
    module: Module,
    resnets: [ResnetBlock2D<E>; 2],
    attentions: Option<Attention<E>>,
}

impl<E: Engine> UNetMidBlock2D<E> {
    pub fn load(weights: &Weights<E>, config: &AutoencoderKLConfig) -> Result<Self> {
        let width = config.block_out_channels[config.block_out_channels.len() - 1];
        let resnet =
            |i| ResnetBlock2D::load(&weights.at(format!("resnets.{i}")), config, width, width);
        let attentions = config
            .mid_block_add_attention
            .then(|| Attention::load(&weights.at("attentions.0"), config))
            .transpose()?;
        Ok(Self {
            module: weights.module("UNetMidBlock2D"),
            resnets: [resnet(0)?, resnet(1)?],
            attentions,
        })
    }

    /// (N, C, H, W) to (N, C, H, W)
    pub fn forward(
        &self,
        engine: &E,
        mut xs: E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        xs = self.resnets[0].forward(engine, xs, hook)?;
        if let Some(attention) = &self.attentions {
            xs = attention.forward(engine, &xs, hook)?;
        }
        xs = self.resnets[1].forward(engine, xs, hook)?;
        hook(&self.module, &xs)?;
        Ok(xs)
    }
}

impl<E: Engine> Node<E> for UNetMidBlock2D<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        let mut children: Vec<&dyn Node<E>> = vec![&self.resnets[0]];
        children.extend(self.attentions.iter().map(|attention| attention as &dyn Node<E>));
        children.push(&self.resnets[1]);
        children
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, xs, &mut no_hook)
    }
}

fn load_resnets<E: Engine>(
    weights: &Weights<E>,
    config: &AutoencoderKLConfig,
    before: usize,
    width: usize,
    layers: usize,
) -> Result<Vec<ResnetBlock2D<E>>> {
    (0..layers)
        .map(|i| {
            let in_channels = if i == 0 { before } else { width };
            ResnetBlock2D::load(&weights.at(format!("resnets.{i}")), config, in_channels, width)
        })
        .collect()
}
