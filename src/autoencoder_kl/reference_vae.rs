//! `AutoencoderKL` on libtorch.

use std::any::Any;
use std::sync::Arc;

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD};
use tch::Tensor;

use crate::checkpoint::Checkpoint;
use crate::config::AutoencoderKLConfig;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::tiling::Splitting;
use crate::trace::{Stage, Trace};
use crate::vae::{Encoded, Vae};

use super::device::Device;
use super::diagonal_gaussian::DiagonalGaussian;
use super::layers::unwatched;
use super::libtorch::{Attempt, kind_of, to_array, to_tensor};
use super::model::Model;
use super::reference::Reference;

/// The model that [`Checkpoint`]s are loaded into; follows `AutoencoderKL` of diffusers 0.42.1
/// (`models/autoencoders/autoencoder_kl.py`).
#[derive(Debug)]
pub struct AutoencoderKL {
    model: Model<Reference>,
    device: Device,
    dtype: Dtype,
    splitting: Splitting,
    /// Last, so that it outlives the tensors above, which may lie in the mapped files.
    _mapped: Arc<dyn Any + Send + Sync>,
}

impl AutoencoderKL {
    /// Loads the weights of `checkpoint` onto `device`, converted to `dtype`.
    ///
    /// Errors when libtorch cannot hold them; names and shapes were checked when the checkpoint
    /// was opened.
    pub fn load(checkpoint: &Checkpoint, device: Device, dtype: Dtype) -> Result<Self> {
        Self::with_layout(checkpoint, device, dtype, false)
    }

    /// The same with the channels of each pixel side by side, and group norm summed in f32: the fast
    /// engine on CUDA. It rounds otherwise than diffusers; attention is libtorch's fused one, and nothing
    /// waits for the device before results are read.
    ///
    /// Errors as [`Self::load`].
    pub fn load_channels_last(
        checkpoint: &Checkpoint,
        device: Device,
        dtype: Dtype,
    ) -> Result<Self> {
        Self::with_layout(checkpoint, device, dtype, true)
    }

    fn with_layout(
        checkpoint: &Checkpoint,
        device: Device,
        dtype: Dtype,
        channels_last: bool,
    ) -> Result<Self> {
        let engine =
            Reference { device: device.of_libtorch(), kind: kind_of(dtype), channels_last };
        Ok(Self {
            model: Model::load(checkpoint, engine)?,
            device,
            dtype,
            splitting: Splitting::default(),
            _mapped: checkpoint.mapped(),
        })
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The posterior of `sample` (N, 3, H, W), as `AutoencoderKL.encode(x).latent_dist`.
    pub fn posterior(&self, sample: ArrayView4<f32>) -> Result<DiagonalGaussian> {
        DiagonalGaussian::from_moments(&self.moments(sample)?)
    }

    fn moments(&self, sample: ArrayView4<f32>) -> Result<Tensor> {
        self.model.check_sample(&sample)?;
        if !self.splitting.splits_sample(&sample) {
            return self.moments_of(sample);
        }
        let part = |part: ArrayView4<f32>| {
            self.model.check_sample(&part)?;
            to_array(&self.moments_of(part)?)
        };
        let moments = self.splitting.moments(sample, self.dtype, part)?;
        self.tensor(moments.view())
    }

    fn moments_of(&self, sample: ArrayView4<f32>) -> Result<Tensor> {
        let sample = self.tensor(sample)?;
        tch::no_grad(|| self.model.moments(&sample, &mut unwatched))
    }

    fn tensor(&self, array: ArrayView4<f32>) -> Result<Tensor> {
        let engine = self.model.engine;
        to_tensor(array, engine.device, engine.kind)
            .and_then(|tensor| engine.laid_out(tensor).attempt(|| "laying out the input"))
    }

    /// Runs `change` in the model's dtype on its device, as the gist scales latents there.
    fn rescaled(
        &self,
        latents: ArrayView4<f32>,
        change: impl FnOnce(&Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Array4<f32>> {
        let latents = self.tensor(latents)?;
        change(&latents).attempt(|| "scaling the latents").and_then(|scaled| to_array(&scaled))
    }
}

impl Vae for AutoencoderKL {
    fn config(&self) -> &AutoencoderKLConfig {
        &self.model.config
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let moments = self.moments(sample)?;
        let posterior = DiagonalGaussian::from_moments(&moments)?;
        let latents = match noise {
            None => to_array(posterior.mode())?,
            Some(noise) => {
                let noise = self.tensor(noise)?;
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
        self.model.check_latents(&latents)?;
        self.splitting.decoded(latents, self.dtype, |part| {
            let part = self.tensor(part)?;
            to_array(&tch::no_grad(|| self.model.decoded(&part, &mut unwatched))?)
        })
    }

    fn set_splitting(&mut self, splitting: Splitting) -> Result<()> {
        self.splitting = splitting;
        Ok(())
    }

    fn scale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.rescaled(latents, |latents| latents.f_mul_scalar(self.model.config.scaling_factor))
    }

    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.rescaled(latents, |latents| latents.f_div_scalar(self.model.config.scaling_factor))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        let traced = self
            .model
            .check_input(stage, &input)
            .and_then(|()| self.tensor(input))
            .and_then(|input| tch::no_grad(|| self.model.trace(stage, &input)));
        Some(traced)
    }

    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        tch::no_grad(|| self.model.forward_module(name, input, |image| self.tensor(image)))
    }
}
