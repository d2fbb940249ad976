//! What the user's picture is held against.

use ndarray::{Array4, Axis};

use super::super::evidence::{Evidence, LatentsScale};
use super::super::scaling::unscaled;
use vae_fidelity_files::error::Result;

/// Latents, and the picture that they decode to.
pub(super) struct Reference {
    /// Raw, (1, C, h, w).
    pub latents: Array4<f32>,
    /// Decoded from them, (1, 3, H, W).
    pub decoded: Array4<f32>,
}

/// What the user's latents decode to here where they are given and fit, else this run's output.
pub(super) fn reference(evidence: &Evidence) -> Result<Reference> {
    let latents = evidence.files.latents.as_ref().and_then(|latents| {
        let latents = match latents.ndim() {
            3 => latents.clone().insert_axis(Axis(0)),
            _ => latents.clone(),
        };
        let latents = latents.into_dimensionality::<ndarray::Ix4>().ok()?;
        let fits = match evidence.files.latents_scale {
            LatentsScale::Scaled => latents.dim() == evidence.latents.dim(),
            LatentsScale::Raw => latents.dim() == evidence.encoded.latents.dim(),
        };
        (fits && latents.iter().all(|value| value.is_finite())).then_some(latents)
    });
    match latents {
        None => Ok(Reference {
            latents: evidence.vae.unscale(evidence.latents.view())?,
            decoded: evidence.decoded.clone(),
        }),
        Some(latents) => {
            let scale = evidence.files.latents_scale;
            let raw = unscaled(evidence.vae, scale, latents)?;
            Ok(Reference { decoded: evidence.vae.decode(raw.view())?, latents: raw })
        }
    }
}
