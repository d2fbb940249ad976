//! diffusers' `AutoencoderKL` on libtorch: the same operations in the same order, so that on one
//! machine its latents and pixels equal the gist's to the bit.

mod attention;
mod blocks;
mod decoder;
mod device;
mod diagonal_gaussian;
mod encoder;
mod layers;
mod libtorch;
mod resnet;

use std::any::Any;
use std::sync::Arc;

use ndarray::{Array4, ArrayView4};
use tch::Tensor;

use crate::checkpoint::Checkpoint;
use crate::config::AutoencoderKLConfig;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::trace::{Activation, Stage, Trace};
use crate::vae::{Encoded, Vae};
use decoder::Decoder;
pub use device::{Device, DeviceChoice, noise, pick_device_and_dtype, set_threads};
pub use diagonal_gaussian::DiagonalGaussian;
use encoder::Encoder;
use layers::{Conv2d, Watch, Weights};
use libtorch::{Attempt, kind_of, to_array, to_tensor, to_values};

/// The model that [`Checkpoint`]s are loaded into; follows `AutoencoderKL` of diffusers 0.42.1
/// (`models/autoencoders/autoencoder_kl.py`).
#[derive(Debug)]
pub struct AutoencoderKL {
    config: AutoencoderKLConfig,
    device: Device,
    dtype: Dtype,
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    /// Last, so that it outlives the tensors above, which may lie in the mapped files.
    _mapped: Arc<dyn Any + Send + Sync>,
}

impl AutoencoderKL {
    /// Loads the weights of `checkpoint` onto `device`, converted to `dtype`.
    ///
    /// Errors when libtorch cannot hold them; names and shapes were checked when the checkpoint
    /// was opened.
    pub fn load(checkpoint: &Checkpoint, device: Device, dtype: Dtype) -> Result<Self> {
        let config = checkpoint.config().clone();
        let weights = Weights::new(checkpoint, device.0, kind_of(dtype));
        let one_by_one =
            |name, wanted: bool| wanted.then(|| Conv2d::load(&weights.at(name), 1, 0)).transpose();
        Ok(Self {
            device,
            dtype,
            encoder: Encoder::load(&weights.at("encoder"), &config)?,
            decoder: Decoder::load(&weights.at("decoder"), &config)?,
            quant_conv: one_by_one("quant_conv", config.use_quant_conv)?,
            post_quant_conv: one_by_one("post_quant_conv", config.use_post_quant_conv)?,
            config,
            _mapped: checkpoint.mapped(),
        })
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The posterior of `sample` (N, 3, H, W), as `AutoencoderKL.encode(x).latent_dist`.
    pub fn posterior(&self, sample: ArrayView4<f32>) -> Result<DiagonalGaussian> {
        DiagonalGaussian::from_moments(&self.moments(sample, &mut unwatched)?)
    }

    fn moments(&self, sample: ArrayView4<f32>, watch: Watch) -> Result<Tensor> {
        self.check_sample(&sample)?;
        let sample = to_tensor(sample, self.device.0, kind_of(self.dtype))?;
        tch::no_grad(|| {
            let moments = self.encoder.forward(&sample, watch)?;
            match &self.quant_conv {
                Some(conv) => conv.forward(&moments, watch),
                None => Ok(moments),
            }
        })
    }

    fn decoded(&self, latents: ArrayView4<f32>, watch: Watch) -> Result<Tensor> {
        self.check_latents(&latents)?;
        let latents = to_tensor(latents, self.device.0, kind_of(self.dtype))?;
        tch::no_grad(|| match &self.post_quant_conv {
            Some(conv) => self.decoder.forward(&conv.forward(&latents, watch)?, watch),
            None => self.decoder.forward(&latents, watch),
        })
    }

    fn check_sample(&self, sample: &ArrayView4<f32>) -> Result<()> {
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

    fn check_latents(&self, latents: &ArrayView4<f32>) -> Result<()> {
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

    /// Runs `change` in the model's dtype on its device, as the gist scales latents there.
    fn rescaled(
        &self,
        latents: ArrayView4<f32>,
        change: impl FnOnce(&Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Array4<f32>> {
        let latents = to_tensor(latents, self.device.0, kind_of(self.dtype))?;
        change(&latents).attempt(|| "scaling the latents").and_then(|scaled| to_array(&scaled))
    }
}

impl Vae for AutoencoderKL {
    fn config(&self) -> &AutoencoderKLConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let moments = self.moments(sample, &mut unwatched)?;
        let posterior = DiagonalGaussian::from_moments(&moments)?;
        let latents = match noise {
            None => to_array(posterior.mode())?,
            Some(noise) => {
                let noise = to_tensor(noise, self.device.0, kind_of(self.dtype))?;
                to_array(&posterior.sample(&noise)?)?
            }
        };
        Ok(Encoded {
            moments: Some(to_array(&moments)?),
            std: Some(to_array(posterior.std())?),
            latents,
        })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        to_array(&self.decoded(latents, &mut unwatched)?)
    }

    fn scale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.rescaled(latents, |latents| latents.f_mul_scalar(self.config.scaling_factor))
    }

    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.rescaled(latents, |latents| latents.f_div_scalar(self.config.scaling_factor))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        let mut trace = Trace::new();
        let mut record = |module: &layers::Module, output: &Tensor| {
            let shape: Vec<usize> = output.size().iter().map(|&size| size as usize).collect();
            let values = to_values(output)?;
            trace.push(Activation::new(&module.name, module.class, &shape, &values));
            Ok(())
        };
        let ran = match stage {
            Stage::Encode => self.moments(input, &mut record),
            Stage::Decode => self.decoded(input, &mut record),
        };
        Some(ran.map(|_| trace))
    }
}

fn unwatched(_: &layers::Module, _: &Tensor) -> Result<()> {
    Ok(())
}
