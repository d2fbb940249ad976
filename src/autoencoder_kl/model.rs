//! diffusers `models/autoencoders/autoencoder_kl.py`, `AutoencoderKL`, for any engine.

use ndarray::{ArrayD, ArrayView4, ArrayViewD, Axis, Ix4};

use crate::checkpoint::{Checkpoint, expected_tensors};
use crate::config::AutoencoderKLConfig;
use crate::error::{Error, Result};
use crate::trace::{Activation, Stage, Trace};

use super::decoder::Decoder;
use super::encoder::Encoder;
use super::engine::Engine;
use super::layers::{Conv2d, Module, Node, Watch, Weights, find};

/// Encoder, decoder and the 1x1 convolutions between them.
#[derive(Debug)]
pub(super) struct Model<E: Engine> {
    pub engine: E,
    pub config: AutoencoderKLConfig,
    encoder: Encoder<E>,
    decoder: Decoder<E>,
    quant_conv: Option<Conv2d<E>>,
    post_quant_conv: Option<Conv2d<E>>,
}

impl<E: Engine> Model<E> {
    pub fn load(checkpoint: &Checkpoint, engine: E) -> Result<Self> {
        let config = checkpoint.config().clone();
        let weights = Weights::new(checkpoint, &engine);
        let one_by_one =
            |name, wanted: bool| wanted.then(|| Conv2d::load(&weights.at(name), 1, 0)).transpose();
        Ok(Self {
            encoder: Encoder::load(&weights.at("encoder"), &config)?,
            decoder: Decoder::load(&weights.at("decoder"), &config)?,
            quant_conv: one_by_one("quant_conv", config.use_quant_conv)?,
            post_quant_conv: one_by_one("post_quant_conv", config.use_post_quant_conv)?,
            config,
            engine,
        })
    }

    /// (N, 3, H, W) to (N, 2C, H / f, W / f)
    pub fn moments(&self, sample: &E::Tensor, watch: Watch<E::Tensor>) -> Result<E::Tensor> {
        let moments = self.encoder.forward(&self.engine, sample, watch)?;
        match &self.quant_conv {
            Some(conv) => conv.forward(&self.engine, &moments, watch),
            None => Ok(moments),
        }
    }

    /// Unscaled (N, C, h, w) to (N, 3, h * f, w * f)
    pub fn decoded(&self, latents: &E::Tensor, watch: Watch<E::Tensor>) -> Result<E::Tensor> {
        match &self.post_quant_conv {
            Some(conv) => {
                let latents = conv.forward(&self.engine, latents, watch)?;
                self.decoder.forward(&self.engine, &latents, watch)
            }
            None => self.decoder.forward(&self.engine, latents, watch),
        }
    }

    /// The outputs of all modules of `stage`.
    pub fn trace(&self, stage: Stage, input: &E::Tensor) -> Result<Trace> {
        let mut trace = Trace::new();
        let mut record = |module: &Module, output: &E::Tensor| {
            let (shape, values) = self.engine.values(output)?;
            trace.push(Activation::new(&module.name, module.class, &shape, &values));
            Ok(())
        };
        match stage {
            Stage::Encode => self.moments(input, &mut record),
            Stage::Decode => self.decoded(input, &mut record),
        }?;
        Ok(trace)
    }

    /// What module `name` makes of `input` alone; `None` where there is no such module. `to_tensor`
    /// takes an image to the engine.
    pub fn forward_module(
        &self,
        name: &str,
        input: ArrayViewD<f32>,
        to_tensor: impl Fn(ArrayView4<f32>) -> Result<E::Tensor>,
    ) -> Option<Result<ArrayD<f32>>> {
        let mut nodes: Vec<&dyn Node<E>> = vec![&self.encoder, &self.decoder];
        let outside = self.quant_conv.iter().chain(&self.post_quant_conv);
        nodes.extend(outside.map(|conv| conv as &dyn Node<E>));
        let node = find(nodes, name)?;
        Some(self.run_alone(node, input, to_tensor))
    }

    fn run_alone(
        &self,
        node: &dyn Node<E>,
        input: ArrayViewD<f32>,
        to_tensor: impl Fn(ArrayView4<f32>) -> Result<E::Tensor>,
    ) -> Result<ArrayD<f32>> {
        let at = node.module();
        let layout = Layout::of(at);
        self.check_module_input(node, layout, input.shape())?;
        // Tokens travel as images of one column, and become tokens as in the whole model.
        let image = match layout {
            Layout::Image => input,
            Layout::Flat => input.insert_axis(Axis(3)),
            Layout::Tokens => input.permuted_axes(vec![0, 2, 1]).insert_axis(Axis(3)),
        };
        let image = image.into_dimensionality::<Ix4>().map_err(|error| {
            Error::tensor(&at.name, error, "report this: its shape was checked")
        })?;
        let mut xs = to_tensor(image)?;
        if layout != Layout::Image {
            xs = self.engine.flatten(&xs, &at.name)?;
        }
        if layout == Layout::Tokens {
            xs = self.engine.to_tokens(&xs, &at.name)?;
        }
        let (shape, values) = self.engine.values(&node.run(&self.engine, xs)?)?;
        ArrayD::from_shape_vec(shape, values).map_err(|error| {
            Error::tensor(&at.name, error, "report this with the command that shows it")
        })
    }

    /// Errors where `shape` is none that the module can be given.
    fn check_module_input(
        &self,
        node: &dyn Node<E>,
        layout: Layout,
        shape: &[usize],
    ) -> Result<()> {
        let at = node.module();
        let mut first = node.module().name.clone();
        let mut inside = node.children();
        while let Some(&child) = inside.first() {
            first.clone_from(&child.module().name);
            inside = child.children();
        }
        let weight = format!("{first}.weight");
        let specs = expected_tensors(&self.config);
        let weight = specs.iter().find(|spec| spec.name == weight).map(|spec| &spec.shape);
        let channels = match weight.map(Vec::as_slice) {
            Some([channels] | [_, channels, ..]) => *channels,
            _ => 0,
        };
        let least = node.least_side();
        let fits = match (layout, shape) {
            (Layout::Image, &[_, found, height, width]) => {
                found == channels && height >= least && width >= least
            }
            (Layout::Flat, &[_, found, _]) | (Layout::Tokens, &[_, _, found]) => found == channels,
            _ => false,
        };
        if fits && !shape.contains(&0) {
            return Ok(());
        }
        let expected = match layout {
            Layout::Image if least > 1 => {
                format!("(N, {channels}, H, W) with sides of at least {least}")
            }
            Layout::Image => format!("(N, {channels}, H, W)"),
            Layout::Flat => format!("(N, {channels}, H * W)"),
            Layout::Tokens => format!("(N, H * W, {channels})"),
        };
        Err(Error::tensor(
            format!("the input of {}", at.name),
            format!("expected {expected}, found {shape:?}"),
            "pass what the module is given in the whole model",
        ))
    }

    /// [`Self::check_sample`] or [`Self::check_latents`], whichever `stage` begins with.
    pub fn check_input(&self, stage: Stage, input: &ArrayView4<f32>) -> Result<()> {
        match stage {
            Stage::Encode => self.check_sample(input),
            Stage::Decode => self.check_latents(input),
        }
    }

    pub fn check_sample(&self, sample: &ArrayView4<f32>) -> Result<()> {
        let (n, channels, height, width) = sample.dim();
        let (expected, least) = (self.config.in_channels, self.config.downsampling());
        if n == 0 || channels != expected || height < least || width < least {
            return Err(Error::tensor(
                "sample",
                format!(
                    "expected (N, {expected}, H, W) with sides of at least {least}, found {:?}",
                    sample.shape()
                ),
                "resize the picture; this model halves each side until one latent is left",
            ));
        }
        Ok(())
    }

    pub fn check_latents(&self, latents: &ArrayView4<f32>) -> Result<()> {
        let expected = self.config.latent_channels;
        if latents.is_empty() || latents.dim().1 != expected {
            return Err(Error::tensor(
                "latents",
                format!("expected (N, {expected}, h, w), found {:?}", latents.shape()),
                "pass latents made by a VAE with the same number of latent channels",
            ));
        }
        Ok(())
    }
}

/// How a module's input lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// (N, C, H, W)
    Image,
    /// (N, C, H * W)
    Flat,
    /// (N, H * W, C)
    Tokens,
}

impl Layout {
    fn of(module: &Module) -> Self {
        match module.class {
            "Linear" => Self::Tokens,
            // The only norm inside attention; all others are of images.
            "GroupNorm" if module.name.ends_with(".group_norm") => Self::Flat,
            _ => Self::Image,
        }
    }
}
