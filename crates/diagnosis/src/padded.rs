//! The VAE with its convolutions padded in another way, as pipelines run it that patch them: module by module,
//! each run alone by the VAE itself, on an input that brings the other padding with it.

use ndarray::{Array4, Axis, s};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;
use vae_fidelity_core::config::{Activation, VaeConfig};
use vae_fidelity_core::graph::{Body, Function, Graph, Module, Residual, Step};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, Result};

pub(super) const SYMMETRIC_DOWNSAMPLE_PADDING: Cause = Cause {
    code: Code::SymmetricDownsamplePadding,
    severity: Severity::Error,
    title: "downsampling pads all four sides",
    meaning: "AutoencoderKL, Wan and Qwen-Image pad one pixel on the right and at the bottom before each strided \
              convolution. Padding all sides moves the picture to the bottom right, up to \
              2^(levels - 1) - 1 pixels, and leaves a band at the top left.",
    rule: "Your latents, or your picture, are what this VAE makes when every strided convolution of the \
           encoder is run with its input padded on all sides; or the first diverging layer of a trace is \
           the first that pads: encoder.down_blocks.0.downsamplers.0, or what Wan and Qwen-Image have in its \
           place.",
    remedy: "pad (left 0, right 1, top 0, bottom 1), then convolve with stride 2 and no padding",
    diffusers: "Downsample2D with padding=0 pads (0, 1, 0, 1) itself",
    comfyui: "its Downsample pads (0, 1, 0, 1); check a custom one",
    ports: "PyTorch's padding=1, or one row of zeros on every side, is not it: pad by hand",
    sources: &["divamgupta/stable-diffusion-tensorflow#41"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage, DecidedBy::Against],
};

pub(super) const PADDING_MODE: Cause = Cause {
    code: Code::PaddingMode,
    severity: Severity::Error,
    title: "convolutions pad with something other than zeros",
    meaning: "AutoencoderKL pads with zeros. Circular padding (a switch for tiling textures), \
              reflection or repeated edges change the outermost pixels, and the others little.",
    rule: "Your latents, or your picture, are what this VAE makes when every convolution of 3 x 3 pads its \
           input so: in the encoder, in the decoder, or in both.",
    remedy: "pad with zeros: padding_mode='zeros' in every convolution",
    diffusers: "look for code that sets padding_mode='circular' on the VAE's Conv2d modules",
    comfyui: "turn seamless tiling off for the VAE, and reload it: the switch stays on modules",
    ports: "zeros on all sides of 3 x 3 convolutions; (0, 1, 0, 1) before strided ones",
    sources: &["comfyanonymous/ComfyUI#646", "vladmandic/sdnext#2911"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage],
};

/// How convolutions are padded in place of how they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// Strided convolutions of the encoder on all four sides, not on the right and at the bottom alone.
    Symmetric,
    /// `padding_mode="circular"`: the other side's values, in every convolution.
    Circular,
    /// `padding_mode="reflect"`: the values on this side of the edge, mirrored at it.
    Reflect,
    /// `padding_mode="replicate"`: the edge's own values.
    Replicate,
}

/// A module that runs alone holds its input and output twice: larger pictures could take more memory than their
/// own run, which was known to fit.
const MOST_PIXELS: usize = 1 << 20;

impl Padding {
    /// All that are told apart.
    pub const ALL: [Self; 4] = [Self::Symmetric, Self::Circular, Self::Reflect, Self::Replicate];

    /// The cause that it is.
    pub fn cause(self) -> &'static Cause {
        match self {
            Self::Symmetric => &SYMMETRIC_DOWNSAMPLE_PADDING,
            _ => &PADDING_MODE,
        }
    }

    /// What was done, in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Symmetric => "downsampling padded on all four sides",
            Self::Circular => "circular padding",
            Self::Reflect => "reflecting padding",
            Self::Replicate => "repeating padding",
        }
    }

    /// Latents (N, C, h, w), the posterior's mode, of `sample` (N, 3, H, W); `None` where the VAE does not run
    /// its modules alone, and for more than [`MOST_PIXELS`].
    ///
    /// # Errors
    ///
    /// As [`Vae::forward_module`].
    pub fn encode(self, vae: &dyn Vae, sample: &Array4<f32>) -> Result<Option<Array4<f32>>> {
        let (_, _, height, width) = sample.dim();
        if height * width > MOST_PIXELS {
            return Ok(None);
        }
        let graph = Graph::of(vae.config());
        let Some(given) = self.functions(&graph.before_encoder, sample.clone()) else {
            return Ok(None);
        };
        let encoded = self.forward(vae, &graph.encoder, given)?;
        let moments = match (&graph.quant_conv, encoded) {
            (Some(conv), Some(encoded)) => self.forward(vae, conv, encoded)?,
            (_, encoded) => encoded,
        };
        let channels = vae.config().latent_channels();
        Ok(moments.map(|moments| moments.slice(s![.., ..channels, .., ..]).to_owned()))
    }

    /// The sample (N, 3, H, W) that unscaled `latents` (N, C, h, w) decode to; `None` and errors as
    /// [`Self::encode`].
    pub fn decode(self, vae: &dyn Vae, latents: &Array4<f32>) -> Result<Option<Array4<f32>>> {
        let (_, _, height, width) = latents.dim();
        if height * width * vae.config().downsampling().pow(2) > MOST_PIXELS {
            return Ok(None);
        }
        let graph = Graph::of(vae.config());
        let latents = match &graph.post_quant_conv {
            Some(conv) => self.forward(vae, conv, latents.clone())?,
            None => Some(latents.clone()),
        };
        let Some(latents) = latents else { return Ok(None) };
        let decoded = self.forward(vae, &graph.decoder, latents)?;
        Ok(decoded.and_then(|decoded| self.functions(&graph.after_decoder, decoded)))
    }

    fn forward(
        self,
        vae: &dyn Vae,
        module: &Module,
        xs: Array4<f32>,
    ) -> Result<Option<Array4<f32>>> {
        match &module.body {
            Body::Sequence(steps) => self.sequence(vae, steps, xs),
            Body::Residual(block) => self.residual(vae, block, xs),
            Body::Conv2d(conv) if conv.padding > 0 && self != Self::Symmetric => {
                self.convolved(vae, module, (conv.stride, conv.padding), xs)
            }
            Body::CausalConv3d(conv) if conv.padding > 0 && self != Self::Symmetric => {
                self.convolved(vae, module, (1, conv.padding), xs)
            }
            // Attention has no convolution that is padded.
            _ => alone(vae, module, xs),
        }
    }

    fn sequence(
        self,
        vae: &dyn Vae,
        steps: &[Step],
        mut xs: Array4<f32>,
    ) -> Result<Option<Array4<f32>>> {
        for step in steps {
            let made = match step {
                Step::Module(module) => self.forward(vae, module, xs)?,
                Step::Residual(block) => self.residual(vae, block, xs)?,
                Step::Function(function) => self.function(*function, xs),
                // It leaves pictures alone.
                Step::TimeConv(_) => Some(xs),
            };
            match made {
                Some(made) => xs = made,
                None => return Ok(None),
            }
        }
        Ok(Some(xs))
    }

    fn residual(
        self,
        vae: &dyn Vae,
        block: &Residual,
        xs: Array4<f32>,
    ) -> Result<Option<Array4<f32>>> {
        let hidden = self.sequence(vae, &block.hidden, xs.clone())?;
        let input = match &block.shortcut {
            Some(conv) => self.forward(vae, conv, xs)?,
            None => Some(xs),
        };
        Ok(hidden.zip(input).map(|(hidden, input)| hidden + input))
    }

    fn functions(self, functions: &[Function], xs: Array4<f32>) -> Option<Array4<f32>> {
        functions.iter().try_fold(xs, |xs, function| self.function(*function, xs))
    }

    fn function(self, function: Function, xs: Array4<f32>) -> Option<Array4<f32>> {
        Some(match function {
            Function::Activation(Activation::Silu) => xs.mapv_into(|x| x / (1.0 + (-x).exp())),
            Function::Activation(Activation::Relu) => xs.mapv_into(|x| x.max(0.0)),
            Function::Activation(Activation::Mish) => {
                xs.mapv_into(|x| if x > 20.0 { x } else { x * x.exp().ln_1p().tanh() })
            }
            // No published model has it.
            Function::Activation(Activation::Gelu) => return None,
            Function::PadRightAndBottom if self == Self::Symmetric => zero_padded(&xs, 1, 1),
            Function::PadRightAndBottom => zero_padded(&xs, 0, 1),
            Function::UpsampleNearest2x => {
                let (n, c, h, w) = xs.dim();
                Array4::from_shape_fn((n, c, 2 * h, 2 * w), |(n, c, y, x)| xs[[n, c, y / 2, x / 2]])
            }
            // Patches of pixels: those models are not imitated.
            Function::Patchify(_) | Function::Unpatchify(_) => return None,
            // These classes pad on all sides: there is nothing to imitate.
            Function::PixelUnshuffle2x
            | Function::PixelShuffle2x
            | Function::GroupMeans(_)
            | Function::RepeatChannels(_)
            | Function::GateBySilu
            | Function::ChannelsLast
            | Function::ChannelsFirst
            | Function::SquaresToChannels2x
            | Function::ChannelsToSquares2x => return None,
            Function::Elementwise(function) => xs.mapv_into(|x| function.apply(x, |x| x)),
        })
    }

    /// A convolution whose own zeros lie beyond what is kept of its output.
    fn convolved(
        self,
        vae: &dyn Vae,
        module: &Module,
        (stride, padding): (usize, usize),
        xs: Array4<f32>,
    ) -> Result<Option<Array4<f32>>> {
        if padding != 1 {
            return Ok(None);
        }
        // This many more rows and columns make one output more on each side. The convolution's own zeros reach
        // no further than that one, which is dropped.
        let more = stride as isize;
        let places = |length: usize| -> Vec<usize> {
            let (end, last) = (length as isize, length as isize - 1);
            let from = |at: isize| match self {
                Self::Circular => at.rem_euclid(end),
                Self::Reflect => (last - (last - at.abs()).abs()).clamp(0, last),
                _ => at.clamp(0, last),
            };
            (-more..end + more).map(|at| from(at) as usize).collect()
        };
        let (_, _, height, width) = xs.dim();
        let padded = xs.select(Axis(2), &places(height)).select(Axis(3), &places(width));
        let made = alone(vae, module, padded)?;
        let kept = |made: Array4<f32>| {
            let (_, _, height, width) = made.dim();
            made.slice(s![.., .., 1..height - 1, 1..width - 1]).to_owned()
        };
        Ok(made.map(kept))
    }
}

/// The first module that pads on the right and at the bottom, as diffusers names it; `None` where none does.
pub(super) fn first_padding(config: &VaeConfig) -> Option<String> {
    fn pads(module: &Module) -> Option<String> {
        let Body::Sequence(steps) = &module.body else { return None };
        if steps.iter().any(|step| matches!(step, Step::Function(Function::PadRightAndBottom))) {
            return Some(module.name.clone());
        }
        module.children().into_iter().find_map(pads)
    }
    pads(&Graph::of(config).encoder)
}

/// What the VAE makes of `xs` by `module` alone.
fn alone(vae: &dyn Vae, module: &Module, xs: Array4<f32>) -> Result<Option<Array4<f32>>> {
    let Some(made) = vae.forward_module(&module.name, xs.view().into_dyn()) else {
        return Ok(None);
    };
    let made = made?.into_dimensionality().map_err(|error| {
        Error::tensor(&module.name, error, "report this: the module makes images")
    })?;
    Ok(Some(made))
}

/// `xs` with this many zeros before and behind it in rows and columns.
fn zero_padded(xs: &Array4<f32>, before: usize, behind: usize) -> Array4<f32> {
    let (n, c, h, w) = xs.dim();
    let more = before + behind;
    let mut padded = Array4::zeros((n, c, h + more, w + more));
    padded.slice_mut(s![.., .., before..before + h, before..before + w]).assign(xs);
    padded
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ndarray::{ArrayD, ArrayView4, ArrayViewD};
    use vae_fidelity_core::dtype::Dtype;
    use vae_fidelity_core::vae::Encoded;

    use super::*;

    /// Says how often one of its modules was run alone, which it refuses.
    struct Refuses(VaeConfig, Cell<usize>);

    impl Vae for Refuses {
        fn config(&self) -> &VaeConfig {
            &self.0
        }

        fn dtype(&self) -> Dtype {
            Dtype::F32
        }

        fn encode(&self, _: ArrayView4<f32>, _: Option<ArrayView4<f32>>) -> Result<Encoded> {
            unreachable!("paddings run modules")
        }

        fn decode(&self, _: ArrayView4<f32>) -> Result<Array4<f32>> {
            unreachable!("paddings run modules")
        }

        fn forward_module(&self, _: &str, _: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
            self.1.set(self.1.get() + 1);
            None
        }
    }

    #[test]
    fn large_pictures_and_models_that_run_no_module_alone_are_left_out() {
        let config = r#"{"_class_name": "AutoencoderKL", "block_out_channels": [32, 32, 32, 32],
            "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
            "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;
        let vae = Refuses(VaeConfig::from_json(config, "config.json").unwrap(), Cell::new(0));
        let large = Array4::zeros((1, 3, 1 << 10, (1 << 10) + 8));
        let latents = Array4::zeros((1, 4, 1 << 7, (1 << 7) + 1));
        let small = Array4::zeros((1, 3, 16, 16));
        for padding in Padding::ALL {
            assert_eq!(padding.encode(&vae, &large).unwrap(), None);
            assert_eq!(padding.decode(&vae, &latents).unwrap(), None);
        }
        assert_eq!(vae.1.get(), 0, "more than MOST_PIXELS");
        assert_eq!(Padding::Circular.encode(&vae, &small).unwrap(), None);
        assert_eq!(vae.1.get(), 1, "asked once, and then left alone");
    }
}
