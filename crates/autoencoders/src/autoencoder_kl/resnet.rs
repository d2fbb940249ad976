//! diffusers `models/resnet.py`, `models/downsampling.py` and `models/upsampling.py`.

use vae_fidelity_core::config::{Activation, AutoencoderKLConfig};
use vae_fidelity_files::error::Result;

use super::engine::Engine;
use super::layers::{Conv2d, ForwardHook, GroupNorm, Module, Node, Weights, no_hook};

/// `ResnetBlock2D` without a time embedding, `output_scale_factor` 1.
#[derive(Debug)]
pub(super) struct ResnetBlock2D<E: Engine> {
    module: Module,
    norm1: GroupNorm<E>,
    conv1: Conv2d<E>,
    norm2: GroupNorm<E>,
    conv2: Conv2d<E>,
    conv_shortcut: Option<Conv2d<E>>,
    nonlinearity: Activation,
}

impl<E: Engine> ResnetBlock2D<E> {
    pub fn load(
        weights: &Weights<E>,
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
    pub fn forward(
        &self,
        engine: &E,
        input: E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let mut hidden = self.norm1.forward(engine, &input, hook)?;
        hidden = engine.activation(hidden, self.nonlinearity)?;
        hidden = self.conv1.forward(engine, &hidden, hook)?;
        hidden = self.norm2.forward(engine, &hidden, hook)?;
        hidden = engine.activation(hidden, self.nonlinearity)?;
        hidden = self.conv2.forward(engine, &hidden, hook)?;
        let input = match &self.conv_shortcut {
            Some(conv) => conv.forward(engine, &input, hook)?,
            None => input,
        };
        let output = engine.add_to_input(input, hidden, &self.module.name)?;
        hook(&self.module, &output)?;
        Ok(output)
    }
}

impl<E: Engine> Node<E> for ResnetBlock2D<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        let mut children: Vec<&dyn Node<E>> =
            vec![&self.norm1, &self.conv1, &self.norm2, &self.conv2];
        children.extend(self.conv_shortcut.iter().map(|conv| conv as &dyn Node<E>));
        children
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, xs, &mut no_hook)
    }
}

/// `Downsample2D` with `padding=0`: a zero column on the right and a zero row at the bottom, then
/// a 3x3 convolution of stride 2.
#[derive(Debug)]
pub(super) struct Downsample2D<E: Engine> {
    module: Module,
    conv: Conv2d<E>,
}

impl<E: Engine> Downsample2D<E> {
    pub fn load(weights: &Weights<E>) -> Result<Self> {
        let conv = Conv2d::load(&weights.at("conv"), 2, 0)?;
        Ok(Self { module: weights.module("Downsample2D"), conv })
    }

    /// (N, C, H, W) to (N, C, H / 2, W / 2)
    pub fn forward(
        &self,
        engine: &E,
        xs: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let padded = engine.pad(xs, &self.module.name)?;
        let ys = self.conv.forward(engine, &padded, hook)?;
        hook(&self.module, &ys)?;
        Ok(ys)
    }
}

impl<E: Engine> Node<E> for Downsample2D<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        vec![&self.conv]
    }

    fn least_side(&self) -> usize {
        2
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}

/// `Upsample2D`: each value becomes a 2x2 square, then a 3x3 convolution.
#[derive(Debug)]
pub(super) struct Upsample2D<E: Engine> {
    module: Module,
    conv: Conv2d<E>,
}

impl<E: Engine> Upsample2D<E> {
    pub fn load(weights: &Weights<E>) -> Result<Self> {
        let conv = Conv2d::load(&weights.at("conv"), 1, 1)?;
        Ok(Self { module: weights.module("Upsample2D"), conv })
    }

    /// (N, C, H, W) to (N, C, 2 H, 2 W)
    pub fn forward(
        &self,
        engine: &E,
        xs: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let upsampled = engine.upsample_nearest_2x(xs, &self.module.name)?;
        let ys = self.conv.forward(engine, &upsampled, hook)?;
        hook(&self.module, &ys)?;
        Ok(ys)
    }
}

impl<E: Engine> Node<E> for Upsample2D<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        vec![&self.conv]
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}
