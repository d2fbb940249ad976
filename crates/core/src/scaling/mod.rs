//! What a pipeline does to latents between the autoencoder and the diffusion model, and back.

mod patched_batch_norm;

use ndarray::{Array4, ArrayView4};
use serde::Serialize;

use crate::dtype::Dtype;
use vae_fidelity_files::error::Result;

pub use patched_batch_norm::{PatchedBatchNorm, RUNNING_MEAN, RUNNING_VAR, patched, unpatched};

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
}

impl Scaling {
    /// The factor, where that is the rule.
    pub fn factor(&self) -> Option<f64> {
        match self {
            Self::Factor { scaling_factor } => Some(*scaling_factor),
            Self::PatchedBatchNorm(_) => None,
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
        }
    }

    /// The shape of scaled latents for (N, C, h, w) as the model makes them.
    pub fn scaled_shape(
        &self,
        (n, channels, height, width): (usize, usize, usize, usize),
    ) -> (usize, usize, usize, usize) {
        match self {
            Self::Factor { .. } => (n, channels, height, width),
            Self::PatchedBatchNorm(PatchedBatchNorm { patch_size: [ph, pw], .. }) => {
                (n, channels * ph * pw, height / ph, width / pw)
            }
        }
    }
}
