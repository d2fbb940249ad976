//! What a pipeline does to latents between the autoencoder and the diffusion model, and back.

mod patched_batch_norm;
mod per_channel;

use ndarray::{Array4, ArrayView4};
use serde::Serialize;

use crate::config::VaeConfig;
use crate::dtype::Dtype;
use vae_fidelity_files::error::Result;

pub use patched_batch_norm::{PatchedBatchNorm, RUNNING_MEAN, RUNNING_VAR, patched, unpatched};
pub use per_channel::{PerChannel, PerChannelForm};

/// How the latents of a model are handed to its diffusion model. The first pipeline that was published
/// for a class counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scaling {
    /// `z * scaling_factor`, and `z / scaling_factor` back: the reference script's rule.
    Factor {
        /// The config's.
        scaling_factor: f64,
    },
    /// FLUX.2's: patches, normalised by statistics in the checkpoint.
    PatchedBatchNorm(PatchedBatchNorm),
    /// Wan's and Qwen-Image's: mean and standard deviation of each channel, out of the config.
    PerChannel(PerChannel),
}

impl Scaling {
    /// The rule of `config`; `None` for a class whose rule lies in the checkpoint.
    pub fn of_config(config: &VaeConfig) -> Option<Self> {
        match config {
            VaeConfig::AutoencoderKLFlux2(_) => None,
            VaeConfig::AutoencoderKLWan(_)
            | VaeConfig::AutoencoderKLQwenImage(_)
            | VaeConfig::AutoencoderKLQwenImage21(_) => {
                let (mean, std) = config.latents_statistics()?;
                let form = match config {
                    VaeConfig::AutoencoderKLQwenImage21(_) => PerChannelForm::Quotient,
                    _ => PerChannelForm::Reciprocal,
                };
                Some(Self::PerChannel(PerChannel { mean: mean.to_vec(), std: std.to_vec(), form }))
            }
            _ => {
                let scaling_factor = config.scaling_factor()?;
                Some(Self::Factor { scaling_factor })
            }
        }
    }

    /// The factor, where that is the rule.
    pub fn factor(&self) -> Option<f64> {
        match self {
            Self::Factor { scaling_factor } => Some(*scaling_factor),
            Self::PatchedBatchNorm(_) | Self::PerChannel(_) => None,
        }
    }

    /// What the diffusion model is given for `latents` (N, C, h, w) as the model makes them; each
    /// operation rounded to `dtype`. The shape may be another.
    ///
    /// # Errors
    ///
    /// Returns an error if the shape does not fit the rule.
    pub fn scale(&self, latents: ArrayView4<f32>, dtype: Dtype) -> Result<Array4<f32>> {
        match self {
            Self::Factor { scaling_factor } => {
                let factor = *scaling_factor as f32;
                Ok(latents.map(|&latent| dtype.round(latent * factor)))
            }
            Self::PatchedBatchNorm(rule) => rule.scale(latents, dtype),
            Self::PerChannel(rule) => rule.scale(latents, dtype),
        }
    }

    /// The latents as the model decodes them, for what the diffusion model gives.
    ///
    /// # Errors
    ///
    /// As [`Self::scale`].
    pub fn unscale(&self, latents: ArrayView4<f32>, dtype: Dtype) -> Result<Array4<f32>> {
        match self {
            Self::Factor { scaling_factor } => {
                let factor = *scaling_factor as f32;
                Ok(latents.map(|&latent| dtype.round(latent / factor)))
            }
            Self::PatchedBatchNorm(rule) => rule.unscale(latents, dtype),
            Self::PerChannel(rule) => rule.unscale(latents, dtype),
        }
    }

    /// The shape of scaled latents for (N, C, h, w) as the model makes them.
    pub fn scaled_shape(
        &self,
        (n, channels, height, width): (usize, usize, usize, usize),
    ) -> (usize, usize, usize, usize) {
        match self {
            Self::Factor { .. } | Self::PerChannel(_) => (n, channels, height, width),
            Self::PatchedBatchNorm(PatchedBatchNorm { patch_size: [ph, pw], .. }) => {
                (n, channels * ph * pw, height / ph, width / pw)
            }
        }
    }
}
