//! `AutoencoderKL` on libtorch.

use std::any::Any;
use std::sync::Arc;

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD};
use tch::Tensor;

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::cancellation::Cancellation;
use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::{RUNNING_VAR, Scaling};
use vae_fidelity_core::tiling::{Part, Splitting};
use vae_fidelity_core::trace::{Extreme, Stage, Trace};
use vae_fidelity_core::vae::{Encoded, Vae};
use vae_fidelity_files::error::Result;

use super::deterministic::{deterministic, no_posterior};
use super::device::Device;
use super::diagonal_gaussian::DiagonalGaussian;
use super::libtorch::{Attempt, kind_of, to_array, to_values};
use super::libtorch_model::LibtorchModel;

/// The model that [`Checkpoint`]s are loaded into; follows `AutoencoderKL` of diffusers 0.42.1
/// (`models/autoencoders/autoencoder_kl.py`).
#[derive(Debug)]
pub struct AutoencoderKL {
    model: LibtorchModel,
    device: Device,
    dtype: Dtype,
    scaling: Scaling,
    splitting: Splitting,
    /// Last, so that it outlives the tensors above, which may lie in the mapped files.
    _mapped: Arc<dyn Any + Send + Sync>,
}

impl AutoencoderKL {
    /// Loads the weights of `checkpoint` onto `device`, converted to `dtype`.
    ///
    /// # Errors
    ///
    /// Returns an error if libtorch cannot allocate them. Names and shapes were checked when the
    /// checkpoint was opened.
    pub fn load(checkpoint: &Checkpoint, device: Device, dtype: Dtype) -> Result<Self> {
        let model = LibtorchModel::reference(checkpoint, device.of_libtorch(), kind_of(dtype))?;
        Self::of(model, checkpoint, device, dtype)
    }

    /// The same with the channels of each pixel side by side, and sums, norms, activations and residuals
    /// in f32 and in one pass each, by kernels that are compiled for the GPU at hand: the fast engine on
    /// CUDA. It rounds otherwise than diffusers. Where the kernels cannot be had
    /// ([`Self::without_kernels`]), libtorch computes the same.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_channels_last(
        checkpoint: &Checkpoint,
        device: Device,
        dtype: Dtype,
    ) -> Result<Self> {
        let model = LibtorchModel::fused(checkpoint, device.of_libtorch(), kind_of(dtype))?;
        Self::of(model, checkpoint, device, dtype)
    }

    fn of(
        model: LibtorchModel,
        checkpoint: &Checkpoint,
        device: Device,
        dtype: Dtype,
    ) -> Result<Self> {
        let scaling = scaling(checkpoint, device, dtype)?;
        let splitting = Splitting::default();
        Ok(Self { model, device, dtype, scaling, splitting, _mapped: checkpoint.mapped() })
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Why the fast engine computes without kernels of its own; `None` where it has them, and for the
    /// reference engine, which has none.
    pub fn without_kernels(&self) -> Option<&str> {
        self.model.without_kernels()
    }

    /// The posterior of `sample` (N, 3, H, W), as `AutoencoderKL.encode(x).latent_dist`.
    ///
    /// # Errors
    ///
    /// Of a class without a posterior ([`VaeConfig::has_posterior`]), and as [`Vae::encode`].
    pub fn posterior(&self, sample: ArrayView4<f32>) -> Result<DiagonalGaussian> {
        if !self.config().has_posterior() {
            return Err(no_posterior(self.config()));
        }
        DiagonalGaussian::from_moments(&self.moments(sample)?)
    }

    fn moments(&self, sample: ArrayView4<f32>) -> Result<Tensor> {
        self.model.check_input(Stage::Encode, &sample)?;
        self.model.watch().begin(Stage::Encode);
        self.splitting.check_sample(&sample)?;
        let clip = self.splitting.frames_of(&sample);
        let whole = |part: ArrayView4<f32>| {
            self.model.forward_part(Stage::Encode, Part::Whole, &self.tensor(part)?, clip)
        };
        if !self.splitting.splits_sample(&sample) {
            return whole(sample);
        }
        let part = |part: ArrayView4<f32>| {
            self.model.check_input(Stage::Encode, &part)?;
            to_array(&whole(part)?)
        };
        let moments = self.splitting.moments(sample, self.dtype, part)?;
        self.tensor(moments.view())
    }

    pub(super) fn forward(&self, stage: Stage, input: &Tensor) -> Result<Tensor> {
        self.model.forward(stage, input)
    }

    pub(super) fn tensor(&self, array: ArrayView4<f32>) -> Result<Tensor> {
        self.model.tensor(array)
    }

    /// Runs `change` in the model's dtype on its device, as the reference script scales latents there.
    fn rescaled(
        &self,
        latents: ArrayView4<f32>,
        change: impl FnOnce(&Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Array4<f32>> {
        let latents = self.tensor(latents)?;
        change(&latents).attempt(|| "scaling the latents").and_then(|scaled| to_array(&scaled))
    }
}

/// The checkpoint's rule with libtorch's own roots: its square root of f32 is that of a vector library, which
/// on some processors is a last bit off the rounded one.
fn scaling(checkpoint: &Checkpoint, device: Device, dtype: Dtype) -> Result<Scaling> {
    let mut scaling = checkpoint.scaling(dtype)?;
    if let (Scaling::PatchedBatchNorm(rule), VaeConfig::AutoencoderKLFlux2(config)) =
        (&mut scaling, checkpoint.config())
    {
        let variance = checkpoint.tensor(RUNNING_VAR)?.to_f32();
        let std = Tensor::f_from_slice(&variance)
            .and_then(|variance| {
                variance.f_to_device(device.of_libtorch())?.f_to_kind(kind_of(dtype))
            })
            .and_then(|variance| variance.f_add_scalar(config.batch_norm_eps)?.f_sqrt())
            .attempt(|| "the deviations of patched latents")?;
        rule.std = to_values(&std)?;
    }
    Ok(scaling)
}

impl Vae for AutoencoderKL {
    fn config(&self) -> &VaeConfig {
        self.model.config()
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let moments = self.moments(sample)?;
        if !self.config().has_posterior() {
            return deterministic(to_array(&moments)?, noise);
        }
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
        self.model.check_input(Stage::Decode, &latents)?;
        self.model.watch().begin(Stage::Decode);
        let clip = self.splitting.frames_of(&latents);
        self.splitting.decoded(latents, self.dtype, |latents, part| {
            let latents = self.tensor(latents)?;
            to_array(&self.model.forward_part(Stage::Decode, part, &latents, clip)?)
        })
    }

    fn set_cancellation(&mut self, cancellation: Cancellation) {
        self.model.set_cancellation(cancellation);
    }

    fn set_splitting(&mut self, splitting: Splitting) -> Result<()> {
        self.splitting = splitting;
        Ok(())
    }

    fn scaling(&self) -> Result<Scaling> {
        Ok(self.scaling.clone())
    }

    fn scale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        match self.scaling.factor() {
            Some(factor) => self.rescaled(latents, |latents| latents.f_mul_scalar(factor)),
            None => self.scaling.scale(latents, self.dtype),
        }
    }

    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        match self.scaling.factor() {
            Some(factor) => self.rescaled(latents, |latents| latents.f_div_scalar(factor)),
            None => self.scaling.unscale(latents, self.dtype),
        }
    }

    fn extremes(&self, stage: Stage) -> Vec<Extreme> {
        self.model.watch().seen(stage)
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        Some(self.model.trace(stage, input))
    }

    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        self.model.forward_module(name, input)
    }
}
