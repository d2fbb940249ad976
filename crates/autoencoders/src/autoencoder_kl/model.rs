//! An autoencoder, loaded and run on any engine.

use ndarray::ArrayView4;

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::cancellation::Cancellation;
use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::graph::{Graph, Module};
use vae_fidelity_core::tiling::Part;
use vae_fidelity_core::trace::{Activation, Extreme, Stage, Trace};
use vae_fidelity_files::error::{Error, Result};

use super::engine::{Beyond, Engine};
use super::forward::{ForwardHook, Input, Named, Pass, apply, forward};

/// Classes of modules whose outputs are watched for values beyond f16.
pub(super) const WATCHED: [&str; 16] = [
    "Conv2d",
    "ResnetBlock2D",
    "AutoencoderTinyBlock",
    "Attention",
    "WanCausalConv3d",
    "WanResidualBlock",
    "WanAttentionBlock",
    "QwenImageCausalConv3d",
    "QwenImageResidualBlock",
    "QwenImageAttentionBlock",
    "QwenImage21CausalConv3d",
    "QwenImage21ResidualBlock",
    "QwenImage21AttentionBlock",
    "ResBlock",
    "SanaMultiscaleLinearAttention",
    "GLUMBConv",
];

/// A graph with an engine's tensors in it.
#[derive(Debug)]
pub(super) struct Model<E: Engine> {
    pub engine: E,
    pub config: VaeConfig,
    /// What ends a pass between two modules.
    pub cancellation: Cancellation,
    /// What is run.
    pub graph: Graph<E::Weight>,
}

impl<E: Engine> Model<E> {
    pub fn load(checkpoint: &Checkpoint, engine: E) -> Result<Self> {
        let config = checkpoint.config().clone();
        let graph = Graph::of(&config).try_map(&mut |name, _| engine.weight(checkpoint, name))?;
        Ok(Self { engine, config, cancellation: Cancellation::default(), graph })
    }

    /// For passes of which the result counts, and values beyond [`Extreme::WATCHED`], which are written
    /// down in `seen`.
    pub fn watched<'a>(
        &'a self,
        seen: &'a mut Vec<Extreme>,
    ) -> impl FnMut(Named, &E::Tensor) -> Result<()> + 'a {
        // The layer that made what a norm is given; blocks only hand it on.
        let mut last = String::new();
        move |module, output| {
            self.cancellation.check()?;
            let found = self.engine.beyond(module.class, output, Extreme::WATCHED)?;
            let found = found.map(|beyond| match beyond {
                Beyond::Output(largest) => (module.name.to_owned(), largest),
                Beyond::Input(largest) => (last.clone(), largest),
            });
            if let Some((module, largest)) = found {
                Extreme::merge(seen, vec![Extreme { module, largest }]);
            }
            if WATCHED.contains(&module.class) {
                last.clear();
                last.push_str(module.name);
            }
            Ok(())
        }
    }

    /// (N, 3, H, W) to moments (N, 2C, H / f, W / f), or to latents (N, C, H / f, W / f) in a class
    /// without a posterior
    pub fn moments(&self, sample: &E::Tensor, hook: ForwardHook<E::Tensor>) -> Result<E::Tensor> {
        let pass = &mut Pass::new(hook);
        let sample = self.before_encoder(sample)?;
        let moments = forward(&self.engine, &self.graph.encoder, sample, pass)?;
        let moments = self.through(self.graph.quant_conv.as_ref(), Input::Owned(moments), pass)?;
        moments.owned(&self.engine, "the moments")
    }

    /// `sample` after what the class does to it outside of its modules.
    pub fn before_encoder<'a>(&self, sample: &'a E::Tensor) -> Result<Input<'a, E::Tensor>> {
        let mut sample = Input::Borrowed(sample);
        for function in &self.graph.before_encoder {
            sample = Input::Owned(apply(&self.engine, *function, sample, "the sample")?);
        }
        Ok(sample)
    }

    /// What a convolution between the halves makes of `xs`; `xs` where there is none.
    pub fn through<'a>(
        &self,
        conv: Option<&Module<E::Weight>>,
        xs: Input<'a, E::Tensor>,
        pass: &mut Pass<E::Tensor>,
    ) -> Result<Input<'a, E::Tensor>> {
        match conv {
            Some(conv) => Ok(Input::Owned(forward(&self.engine, conv, xs, pass)?)),
            None => Ok(xs),
        }
    }

    /// Unscaled (N, C, h, w) to (N, 3, h * f, w * f); of a tile, what the decoder makes of it.
    pub fn decoded(
        &self,
        latents: &E::Tensor,
        part: Part,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let pass = &mut Pass::new(hook);
        let post_quant_conv = self.graph.post_quant_conv.as_ref();
        let latents = self.through(post_quant_conv, Input::Borrowed(latents), pass)?;
        self.ended(forward(&self.engine, &self.graph.decoder, latents, pass)?, part)
    }

    /// `decoded` after what the class does to whole pictures.
    pub fn ended(&self, mut decoded: E::Tensor, part: Part) -> Result<E::Tensor> {
        if part == Part::Whole {
            for function in &self.graph.after_decoder {
                let before = Input::Owned(decoded);
                decoded = apply(&self.engine, *function, before, "the decoded sample")?;
            }
        }
        Ok(decoded)
    }

    /// The outputs of all modules of `stage`.
    pub fn trace(&self, stage: Stage, input: &E::Tensor) -> Result<Trace> {
        let mut trace = Trace::new();
        let mut record = |module: Named, output: &E::Tensor| {
            self.cancellation.check()?;
            let (shape, values) = self.engine.values(output)?;
            trace.push(Activation::new(module.name, module.class, &shape, &values));
            Ok(())
        };
        match stage {
            Stage::Encode => self.moments(input, &mut record),
            Stage::Decode => self.decoded(input, Part::Whole, &mut record),
        }?;
        Ok(trace)
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
        let (expected, least) = (self.config.in_channels(), self.config.downsampling());
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
        let whole = self.config.whole_sides();
        if !height.is_multiple_of(whole) || !width.is_multiple_of(whole) {
            return Err(Error::tensor(
                "sample",
                format!("expected sides of multiples of {whole}, found {height} x {width}"),
                "resize the picture; this model makes a latent of whole squares of pixels",
            ));
        }
        Ok(())
    }

    pub fn check_latents(&self, latents: &ArrayView4<f32>) -> Result<()> {
        let expected = self.config.latent_channels();
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
